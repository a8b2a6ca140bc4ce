package shellenv

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Change is what a Plan does to one file, or to one value of the registry.
type Change struct {
	File   string  // its name; for the registry the key and the name of the value
	Shells []Shell // that read it
	// Before and After are the text; of a PATH in the registry, one entry a line.
	Before, After   string
	Exists, Remains bool // whether it is there before and after

	encoding encoding
	registry *registryChange // nil for a file
}

// Same reports whether there is nothing to do.
func (c *Change) Same() bool { return c.Before == c.After && c.Exists == c.Remains }

// A Plan is a list of changes that have not been made. What could not be planned, such as
// a file whose marks are damaged, is in Failed, and does not keep the rest from being done.
type Plan struct {
	Changes []*Change // those where there is nothing to do included
	Failed  []*FileError
}

// Same reports whether the plan has nothing to do.
func (p *Plan) Same() bool {
	return !slices.ContainsFunc(p.Changes, func(c *Change) bool { return !c.Same() })
}

// Write plans to have shells put entries on their PATH. The error is ErrFolder, or ErrShell for a
// shell that has no file here.
func (m *Machine) Write(shells []Shell, entries []Entry) (*Plan, error) {
	if err := m.checkAll(entries); err != nil {
		return nil, err
	}
	p := &Plan{}
	for _, sh := range shells {
		if sh == Windows && m.Registry != nil {
			p.registry(m.writeRegistry(userKey, m.wanted([]Shell{Windows}, entries)))
			continue
		}
		files, err := m.files(sh)
		if err != nil {
			return nil, &FileError{File: string(sh), Err: err}
		}
		lines, err := m.Lines(sh, m.wanted(shells, entries))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			p.edit(file, sh, func(text string, exists bool) (string, bool, int, error) {
				after, line, err := put(text, lines, exists)
				return after, true, line, err
			})
		}
	}
	return p, nil
}

// WriteSystem plans to have the shells of all users put entries on their PATH.
func (m *Machine) WriteSystem(entries []Entry) (*Plan, error) {
	if err := m.checkAll(entries); err != nil {
		return nil, err
	}
	p := &Plan{}
	if m.OS == "windows" {
		p.registry(m.writeRegistry(systemKey, entries))
		return p, nil
	}
	all := m.systemFiles()
	for _, file := range slices.Sorted(maps.Keys(all)) {
		sh := all[file]
		if sh == pathsD {
			p.edit(file, sh, func(string, bool) (string, bool, int, error) { return pathsList(entries), true, 0, nil })
			continue
		}
		lines, err := m.lines(sh, entries, "")
		if err != nil {
			return nil, err
		}
		p.edit(file, sh, func(text string, exists bool) (string, bool, int, error) {
			after, line, err := put(text, lines, exists)
			return after, true, line, err
		})
	}
	return p, nil
}

func pathsList(entries []Entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Dir + "\n")
	}
	return b.String()
}

// Remove plans to take the lines of goferry out of every file that shells may have them in. dirs are
// those of the entries that are goferry's own, for the registry, which knows no marks.
func (m *Machine) Remove(shells []Shell, dirs []string) *Plan {
	p := &Plan{}
	for _, sh := range shells {
		if sh == Windows && m.Registry != nil {
			p.registry(m.removeRegistry(userKey, dirs))
			continue
		}
		for _, file := range m.places(sh) {
			p.take(file, sh)
		}
	}
	return p
}

// RemoveSystem is Remove for what WriteSystem wrote.
func (m *Machine) RemoveSystem(dirs []string) *Plan {
	p := &Plan{}
	if m.OS == "windows" {
		p.registry(m.removeRegistry(systemKey, dirs))
		return p
	}
	all := m.systemFiles()
	if m.OS != "darwin" { // what was there then may be gone or changed since
		all[m.etc("fish", "conf.d", "goferry.fish")] = Fish
		all[m.etc("zsh", "zprofile")] = Zsh
	}
	for _, file := range slices.Sorted(maps.Keys(all)) {
		if all[file] == pathsD {
			p.edit(file, pathsD, func(string, bool) (string, bool, int, error) { return "", false, 0, nil })
		} else {
			p.take(file, all[file])
		}
	}
	return p
}

// Known are all shells that Write can serve here.
func (m *Machine) Known() []Shell {
	if m.OS == "windows" {
		return []Shell{Windows, PowerShell, Nushell}
	}
	return []Shell{Bash, Zsh, Fish, Nushell, Sh, PowerShell}
}

// wanted leaves the optional entries out that others put on the PATH.
func (m *Machine) wanted(shells []Shell, entries []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool {
		return e.Optional && m.OnPath(e.Dir) && !m.written(shells, e.Dir)
	})
}

// Wanted are the entries that Write would write for shells.
func (m *Machine) Wanted(shells []Shell, entries []Entry) []Entry { return m.wanted(shells, entries) }

// written reports whether dir stands in a block of goferry that a shell may read, or in the
// registry by goferry's hand.
func (m *Machine) written(shells []Shell, dir string) bool {
	for _, sh := range shells {
		if sh == Windows && m.Registry != nil {
			if slices.ContainsFunc(m.ours(userKey), func(e string) bool { return m.same(e, dir) }) {
				return true
			}
		}
		for _, file := range m.places(sh) {
			if strings.Contains(blockOf(file), word(sh, dir, m.Home)) {
				return true
			}
		}
	}
	return false
}

// blockOf is the text of goferry's block in a file; "" if there is none.
func blockOf(file string) string {
	text, _, _, err := read(file)
	if err != nil {
		return ""
	}
	b, _, err := findBlock(text)
	if err != nil || b == nil {
		return ""
	}
	return text[b.start:b.end]
}

// read reads a file as text; exists is false, without an error, where there is none.
func read(file string) (text string, e encoding, exists bool, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", encoding{}, false, nil
	} else if err != nil {
		return "", encoding{}, false, err
	}
	text, e, err = decode(data)
	return text, e, true, err
}

// edit plans what f makes of a file. A file that two shells read is planned once.
func (p *Plan) edit(file string, sh Shell, f func(text string, exists bool) (after string, remains bool, line int, err error)) {
	for _, c := range p.Changes {
		if c.File == file {
			c.Shells = append(c.Shells, sh)
			return
		}
	}
	if slices.ContainsFunc(p.Failed, func(e *FileError) bool { return e.File == file }) {
		return
	}
	c := &Change{File: file, Shells: []Shell{sh}}
	var line int
	var err error
	if c.Before, c.encoding, c.Exists, err = read(file); err == nil {
		c.After, c.Remains, line, err = f(c.Before, c.Exists)
	}
	if !c.Exists && sh == PowerShell && strings.ContainsFunc(c.After, func(r rune) bool { return r >= utf8.RuneSelf }) {
		c.encoding.mark = "\xef\xbb\xbf" // else PowerShell 5.1 takes it for the code page of the system
	}
	if err != nil {
		p.Failed = append(p.Failed, &FileError{File: file, Line: line, Err: err})
		return
	}
	p.Changes = append(p.Changes, c)
}

// take plans to take the block out of a file.
func (p *Plan) take(file string, sh Shell) {
	p.edit(file, sh, func(text string, exists bool) (string, bool, int, error) {
		after, remains, line, err := take(text)
		return after, remains && exists, line, err
	})
}

func (p *Plan) registry(c *Change, err *FileError) {
	if err != nil {
		p.Failed = append(p.Failed, err)
	} else {
		p.Changes = append(p.Changes, c)
	}
}

// Apply makes a change, unless somebody else was faster: then the error is ErrChanged. The file is
// replaced at once or not at all, by one with the same owner and mode; a symbolic link is followed.
func (m *Machine) Apply(c *Change) error {
	if c.Same() {
		return nil
	}
	if c.registry != nil {
		return m.applyRegistry(c)
	}
	now, _, exists, err := read(c.File)
	if err == nil && (now != c.Before || exists != c.Exists) {
		err = ErrChanged
	}
	switch {
	case err != nil:
	case !c.Remains:
		err = remove(c.File)
	default:
		err = replace(c.File, c.encoding.encode(c.After))
	}
	if err != nil {
		return &FileError{File: c.File, Err: err}
	}
	return nil
}
