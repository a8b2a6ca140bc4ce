package shellenv

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// A Key is a key of the Windows registry, with its root: `HKCU\Environment`.
type Key string

// The keys that are read and written.
const (
	userKey   Key = `HKCU\Environment`
	systemKey Key = `HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment`

	pathValue = "Path"
	oursValue = "PathEntries" // in the record of the key: what goferry put into its Path
)

// record is the key that remembers what goferry put into the PATH of k: the value itself has no
// room for marks.
func (k Key) record() Key {
	if k == systemKey {
		return `HKLM\SOFTWARE\goferry`
	}
	return `HKCU\SOFTWARE\goferry`
}

// A Value is a text of the registry.
type Value struct {
	Text   string
	Expand bool // REG_EXPAND_SZ: names of variables in it stand for their values; else REG_SZ
}

// A Registry is the Windows registry, as far as this room needs it.
type Registry interface {
	// Get reads a value. The error matches fs.ErrNotExist where there is none, ErrValue where it is no text.
	Get(k Key, name string) (Value, error)
	Set(k Key, name string, v Value) error
	Delete(k Key, name string) error
	// Broadcast tells the programs that run that the environment has changed, so that those
	// they start have it as it is now. https://learn.microsoft.com/windows/win32/winmsg/wm-settingchange
	Broadcast() error
}

// A registryChange is what Apply has to know beside the text.
type registryChange struct {
	key          Key
	before       Value
	after        string   // the PATH
	ours, record []string // what goferry has put in, before and after
}

// path reads the PATH of a key.
func (m *Machine) path(k Key) (v Value, exists bool, err error) {
	v, err = m.Registry.Get(k, pathValue)
	if errors.Is(err, fs.ErrNotExist) {
		return Value{Expand: true}, false, nil // as Windows itself would make it
	}
	return v, err == nil, err
}

// ours lists what goferry has put into the PATH of a key.
func (m *Machine) ours(k Key) []string {
	v, err := m.Registry.Get(k.record(), oursValue)
	if err != nil {
		return nil
	}
	return splitPath(v.Text)
}

// splitPath splits the PATH of Windows. Quotes may keep a semicolon from being one.
func splitPath(text string) (list []string) {
	start, quoted := 0, false
	for i := range len(text) + 1 {
		switch {
		case i == len(text) || text[i] == ';' && !quoted:
			if i > start {
				list = append(list, text[start:i])
			}
			start = i + 1
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return list
}

// windowsEntry is an entry without what makes no difference.
func windowsEntry(e string) string {
	e = strings.ReplaceAll(strings.Trim(strings.TrimSpace(e), `"`), "/", `\`)
	if trimmed := strings.TrimRight(e, `\`); len(trimmed) > 2 { // C:\ is not C:
		e = trimmed
	}
	return e
}

// expand puts in the values of variables such as %USERPROFILE%; one that is unknown stays.
func (m *Machine) expand(e string) string {
	if m.OS != "windows" {
		return e
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(e, "%")
		name, after, closed := strings.Cut(rest, "%")
		if !ok || !closed {
			return b.String() + e
		}
		b.WriteString(before)
		if v := m.env(name); name != "" && v != "" {
			b.WriteString(v)
			e = after
		} else {
			b.WriteString("%" + name)
			e = "%" + after
		}
	}
}

func (m *Machine) has(list []string, dir string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return m.same(m.expand(e), dir) })
}

// maxPath is how long a variable of Windows may be, in UTF-16 units.
const maxPath = 32767

// ErrTooLong says that a PATH would be longer than Windows lets it be.
var ErrTooLong = errors.New("the PATH would be too long for Windows")

// writeRegistry plans to put entries into the PATH of a key. What stands there keeps its place, its
// spelling and its type.
func (m *Machine) writeRegistry(k Key, entries []Entry) (*Change, *FileError) {
	v, exists, err := m.path(k)
	if err != nil {
		return nil, &FileError{File: valueName(k), Err: err}
	}
	rc := &registryChange{key: k, before: v, ours: m.ours(k)}
	rc.record = slices.Clone(rc.ours)
	now := splitPath(v.Text)
	var front, back []string
	for _, e := range entries {
		if m.has(now, e.Dir) {
			continue
		}
		if e.Last {
			back = append(back, e.Dir)
		} else {
			front = append(front, e.Dir)
		}
		if !m.has(rc.record, e.Dir) {
			rc.record = append(rc.record, e.Dir)
		}
	}
	rc.after = v.Text
	if len(front) > 0 {
		rc.after = strings.TrimSuffix(strings.Join(front, ";")+";"+rc.after, ";")
	}
	if len(back) > 0 {
		rc.after = strings.TrimPrefix(strings.TrimSuffix(rc.after, ";")+";"+strings.Join(back, ";"), ";")
	}
	if len(rc.after) > maxPath {
		return nil, &FileError{File: valueName(k), Err: ErrTooLong}
	}
	return m.registryChange(rc, exists, true), nil
}

// removeRegistry plans to take out what goferry has put in, and dirs, which are its own in any case.
func (m *Machine) removeRegistry(k Key, dirs []string) (*Change, *FileError) {
	v, exists, err := m.path(k)
	if err != nil {
		return nil, &FileError{File: valueName(k), Err: err}
	}
	rc := &registryChange{key: k, before: v, ours: m.ours(k), after: v.Text}
	all := append(slices.Clone(rc.ours), dirs...)
	now := splitPath(v.Text)
	kept := slices.DeleteFunc(slices.Clone(now), func(e string) bool {
		return slices.ContainsFunc(all, func(dir string) bool { return m.same(m.expand(e), dir) })
	})
	if len(kept) < len(now) {
		rc.after = strings.Join(kept, ";")
	}
	return m.registryChange(rc, exists, rc.after != ""), nil
}

func (m *Machine) registryChange(rc *registryChange, exists, remains bool) *Change {
	lines := func(text string) string {
		list := splitPath(text)
		if len(list) == 0 {
			return ""
		}
		return strings.Join(list, "\n") + "\n"
	}
	if rc.after == rc.before.Text {
		remains = exists // nothing is made, and nothing taken away
	}
	return &Change{
		File: valueName(rc.key), Shells: []Shell{Windows}, Before: lines(rc.before.Text), After: lines(rc.after),
		Exists: exists, Remains: remains, registry: rc,
	}
}

func valueName(k Key) string { return string(k) + `\` + pathValue }

// applyRegistry writes the PATH, what is remembered of it, and tells the programs that run.
func (m *Machine) applyRegistry(c *Change) error {
	rc := c.registry
	fail := func(err error) error { return &FileError{File: c.File, Err: err} }
	now, exists, err := m.path(rc.key)
	if err == nil && (now != rc.before || exists != c.Exists) {
		err = ErrChanged
	}
	if err != nil {
		return fail(err)
	}
	// First what was put in: what is not remembered could not be taken away.
	if len(rc.record) > len(rc.ours) {
		if err := m.Registry.Set(rc.key.record(), oursValue, Value{Text: strings.Join(rc.record, ";")}); err != nil {
			return fail(err)
		}
	}
	if c.Remains {
		err = m.Registry.Set(rc.key, pathValue, Value{Text: rc.after, Expand: rc.before.Expand})
	} else {
		err = m.Registry.Delete(rc.key, pathValue)
	}
	if err != nil {
		return fail(err)
	}
	if len(rc.record) == 0 && len(rc.ours) > 0 {
		if err := m.Registry.Delete(rc.key.record(), oursValue); err != nil {
			return fail(err)
		}
	}
	if err := m.Registry.Broadcast(); err != nil {
		return fail(err)
	}
	return nil
}
