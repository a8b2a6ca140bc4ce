package shellenv

import (
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// machine is one on Linux with an empty home folder and no settings of the system.
func machine(t *testing.T, env map[string]string) *Machine {
	t.Helper()
	root := t.TempDir()
	m := &Machine{OS: "linux", Home: filepath.Join(root, "home"), Etc: filepath.Join(root, "etc"), Env: func(k string) string { return env[k] }}
	for _, dir := range []string{m.Home, m.Etc} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// content is what a file has; "(none)" if there is none.
func content(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return "(none)"
	} else if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func apply(t *testing.T, m *Machine, p *Plan, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Failed {
		t.Errorf("failed: %v", f)
	}
	for _, c := range p.Changes {
		if err := m.Apply(c); err != nil {
			t.Error(err)
		}
	}
}

// A recorded registry is what reg export wrote, and what is done to it.
type recorded struct {
	values map[Key]map[string]Value
	kinds  map[string]bool // values that are no text
	told   int             // broadcasts
	writes int
	deny   bool
}

// loadReg reads a .reg file of regedit, version 5.
func loadReg(t *testing.T, file string) *recorded {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{values: map[Key]map[string]Value{}}
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\\\n  ", "")
	var at Key
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, isValue := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			at = Key(strings.NewReplacer("HKEY_CURRENT_USER", "HKCU", "HKEY_LOCAL_MACHINE", "HKLM").Replace(strings.Trim(line, "[]")))
			r.values[at] = map[string]Value{}
		case isValue && strings.HasPrefix(value, "hex(2):"):
			r.values[at][strings.Trim(name, `"`)] = Value{Text: fromHex(t, strings.TrimPrefix(value, "hex(2):")), Expand: true}
		case isValue:
			r.values[at][strings.Trim(name, `"`)] = Value{Text: strings.ReplaceAll(strings.Trim(value, `"`), `\\`, `\`)}
		}
	}
	return r
}

func fromHex(t *testing.T, list string) string {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(list, ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	var units []uint16
	for i := 0; i+1 < len(data); i += 2 {
		units = append(units, uint16(data[i])|uint16(data[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}

func (r *recorded) Get(k Key, name string) (Value, error) {
	v, ok := r.values[k][name]
	if !ok {
		return Value{}, fs.ErrNotExist
	}
	if r.kinds[name] {
		return Value{}, ErrValue
	}
	return v, nil
}

func (r *recorded) Set(k Key, name string, v Value) error {
	if r.deny {
		return fs.ErrPermission
	}
	if r.values[k] == nil {
		r.values[k] = map[string]Value{}
	}
	r.values[k][name] = v
	r.writes++
	return nil
}

func (r *recorded) Delete(k Key, name string) error {
	delete(r.values[k], name)
	r.writes++
	return nil
}

func (r *recorded) Broadcast() error { r.told++; return nil }
