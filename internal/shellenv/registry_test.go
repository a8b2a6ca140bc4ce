package shellenv

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// windows11 is a machine as recorded from Windows 11 with Go, Git and an editor installed.
func windows11(t *testing.T) (*Machine, *recorded) {
	t.Helper()
	r := loadReg(t, "testdata/windows11.reg")
	env := map[string]string{
		"USERPROFILE": `C:\Users\Li Na`, "SystemRoot": `C:\WINDOWS`, "SYSTEMROOT": `C:\WINDOWS`,
		"PATH": `C:\WINDOWS\system32;C:\WINDOWS;C:\Program Files\Git\cmd;C:\Program Files\Go\bin;C:\Users\Li Na\AppData\Local\Microsoft\WindowsApps;C:\Users\Li Na\go\bin`,
	}
	m := &Machine{
		OS: "windows", Home: t.TempDir(), Env: func(k string) string { return env[k] }, Registry: r,
		IsFile: func(name string) bool { return name == `C:\Program Files\Go\bin\go.exe` },
	}
	m.Documents = m.Home
	return m, r
}

func windowsEntries() []Entry {
	return []Entry{{Dir: `C:\Users\Li Na\AppData\Local\Programs\goferry\go\bin`}, {Dir: `C:\Users\Li Na\AppData\Local\Programs\goferry\bin`},
		{Dir: `C:\Users\Li Na\go\bin`, Last: true, Optional: true}}
}

const recordedPath = `%USERPROFILE%\AppData\Local\Microsoft\WindowsApps;C:\Users\Li Na\AppData\Local\Programs\Microsoft VS Code\bin;%USERPROFILE%\go\bin`

func TestRegistry(t *testing.T) {
	m, r := windows11(t)
	if got := m.InUse(); !slices.Equal(got, []Shell{Windows}) {
		t.Fatalf("in use: %v", got)
	}
	before, err := r.Get(userKey, pathValue)
	if err != nil || before.Text != recordedPath || !before.Expand {
		t.Fatalf("recorded: %+v, %v", before, err)
	}
	p, err := m.Write(m.InUse(), windowsEntries())
	apply(t, m, p, err)
	want := Value{Text: `C:\Users\Li Na\AppData\Local\Programs\goferry\go\bin;C:\Users\Li Na\AppData\Local\Programs\goferry\bin;` + recordedPath, Expand: true}
	if got, err := r.Get(userKey, pathValue); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if r.told != 1 {
		t.Errorf("the programs that run were told %d times", r.told)
	}
	wantDiff := `--- HKCU\Environment\Path
+++ HKCU\Environment\Path
@@ -1,3 +1,5 @@
+C:\Users\Li Na\AppData\Local\Programs\goferry\go\bin
+C:\Users\Li Na\AppData\Local\Programs\goferry\bin
 %USERPROFILE%\AppData\Local\Microsoft\WindowsApps
 C:\Users\Li Na\AppData\Local\Programs\Microsoft VS Code\bin
 %USERPROFILE%\go\bin
`
	if diff := cmp.Diff(wantDiff, p.Changes[0].Diff()); diff != "" {
		t.Error(diff)
	}

	if p, err = m.Write(m.InUse(), windowsEntries()); err != nil || !p.Same() {
		t.Errorf("the second time: %+v, %v", p.Changes[0], err)
	}
	apply(t, m, p, err)
	if r.told != 1 {
		t.Error("told, and nothing had changed")
	}

	apply(t, m, m.Remove(m.Known(), []string{windowsEntries()[0].Dir, windowsEntries()[1].Dir}), nil)
	if got, err := r.Get(userKey, pathValue); err != nil || got != before {
		t.Errorf("after remove %+v, %v", got, err)
	}
	if v, err := r.Get(userKey.record(), oursValue); err == nil {
		t.Errorf("still remembered: %+v", v)
	}
}

// TestRegistrySpellings wants an entry to be known in every spelling, and similar ones not to be.
func TestRegistrySpellings(t *testing.T) {
	dir := `C:\Users\Li Na\goferry\go\bin`
	for _, e := range []string{dir, dir + `\`, strings.ToUpper(dir), `"` + dir + `"`, `%USERPROFILE%\goferry\go\bin`, `C:/Users/Li Na/goferry/go/bin`, ` ` + dir} {
		m, r := windows11(t)
		r.values[userKey][pathValue] = Value{Text: `D:\x;` + e}
		p, err := m.Write([]Shell{Windows}, []Entry{{Dir: dir}})
		if err != nil || !p.Same() {
			t.Errorf("%s was not known: %+v, %v", e, p.Changes, err)
		}
	}
	for _, e := range []string{dir + "2", `C:\Users\Li Na\goferry\go`, dir + `\sub`, `%UNKNOWN%\goferry\go\bin`, `"D:\a;` + dir + `"`} {
		m, r := windows11(t)
		r.values[userKey][pathValue] = Value{Text: e}
		p, err := m.Write([]Shell{Windows}, []Entry{{Dir: dir}})
		apply(t, m, p, err)
		if got := r.values[userKey][pathValue]; got.Text != dir+";"+e || got.Expand {
			t.Errorf("%s: %+v", e, got)
		}
		apply(t, m, m.Remove([]Shell{Windows}, nil), nil)
		if got := r.values[userKey][pathValue]; got.Text != e {
			t.Errorf("%s after remove: %+v", e, got)
		}
	}
}

func TestRegistryWithoutPath(t *testing.T) {
	m, r := windows11(t)
	delete(r.values[userKey], pathValue)
	p, err := m.Write([]Shell{Windows}, []Entry{{Dir: `C:\a`}, {Dir: `C:\z`, Last: true}})
	apply(t, m, p, err)
	if got := r.values[userKey][pathValue]; got != (Value{Text: `C:\a;C:\z`, Expand: true}) {
		t.Errorf("got %+v", got)
	}
	apply(t, m, m.Remove([]Shell{Windows}, nil), nil)
	if got, ok := r.values[userKey][pathValue]; ok {
		t.Errorf("left behind: %+v", got)
	}
}

// TestRegistryOptional: what goferry put there for go install is taken away again, what others did stays.
func TestRegistryOptional(t *testing.T) {
	m, r := windows11(t)
	r.values[userKey][pathValue] = Value{Text: `C:\x;`}
	m.Env = func(string) string { return "" }
	p, err := m.Write([]Shell{Windows}, windowsEntries())
	apply(t, m, p, err)
	if got := r.values[userKey][pathValue].Text; !strings.HasSuffix(got, `\bin;C:\x;C:\Users\Li Na\go\bin`) {
		t.Errorf("got %s", got)
	}
	m.Env = func(k string) string { return map[string]string{"PATH": `C:\Users\Li Na\go\bin`}[k] } // a new window has it
	if p, err = m.Write([]Shell{Windows}, windowsEntries()); err != nil || !p.Same() {
		t.Errorf("the second time: %v, %v", p, err)
	}
	apply(t, m, m.Remove([]Shell{Windows}, nil), nil)
	if got := r.values[userKey][pathValue].Text; got != `C:\x` {
		t.Errorf("after remove: %s", got)
	}
}

func TestRegistryRefusals(t *testing.T) {
	m, r := windows11(t)
	r.kinds = map[string]bool{pathValue: true}
	if p, err := m.Write([]Shell{Windows}, windowsEntries()); err != nil || len(p.Failed) != 1 || !errors.Is(p.Failed[0], ErrValue) {
		t.Errorf("a number for a PATH: %+v, %v", p, err)
	}
	r.kinds = nil
	r.values[userKey][pathValue] = Value{Text: strings.Repeat(`C:\0123456789;`, 2340)}
	if p, err := m.Write([]Shell{Windows}, windowsEntries()); err != nil || len(p.Failed) != 1 || !errors.Is(p.Failed[0], ErrTooLong) {
		t.Errorf("too long: %+v, %v", p, err)
	}
	// 1024 is what setx would cut it to.
	long := strings.TrimSuffix(strings.Repeat(`C:\0123456789;`, 300), ";")
	r.values[userKey][pathValue] = Value{Text: long, Expand: true}
	p, err := m.Write([]Shell{Windows}, windowsEntries())
	apply(t, m, p, err)
	if got := r.values[userKey][pathValue].Text; !strings.HasSuffix(got, ";"+long) {
		t.Errorf("a long PATH was not kept: %d of %d", len(got), len(long))
	}

	if p, err = m.Write([]Shell{Windows}, []Entry{{Dir: `C:\new`}}); err != nil {
		t.Fatal(err)
	}
	r.values[userKey][pathValue] = Value{Text: `C:\other`, Expand: true}
	if err := m.Apply(p.Changes[0]); !errors.Is(err, ErrChanged) || r.values[userKey][pathValue].Text != `C:\other` {
		t.Errorf("changed in the meantime: %v", err)
	}
}

func TestRegistryOfTheSystem(t *testing.T) {
	m, r := windows11(t)
	before := r.values[systemKey][pathValue]
	p, err := m.WriteSystem([]Entry{{Dir: `C:\goferry\go\bin`}})
	apply(t, m, p, err)
	if got := r.values[systemKey][pathValue]; got.Text != `C:\goferry\go\bin;`+before.Text || !got.Expand {
		t.Errorf("got %+v", got)
	}
	if r.values[userKey][pathValue].Text != recordedPath {
		t.Error("the user's was touched")
	}
	apply(t, m, m.RemoveSystem(nil), nil)
	if got := r.values[systemKey][pathValue]; got != before {
		t.Errorf("after remove: %+v", got)
	}
	r.deny = true
	if p, err = m.WriteSystem([]Entry{{Dir: `C:\goferry\go\bin`}}); err != nil {
		t.Fatal(err)
	}
	if fe := (*FileError)(nil); !errors.As(m.Apply(p.Changes[0]), &fe) || r.values[systemKey][pathValue] != before {
		t.Error("without rights")
	}
}

func TestNotesOnWindows(t *testing.T) {
	m, _ := windows11(t)
	dir := windowsEntries()[0].Dir
	got := m.Look([]Shell{Windows}, dir, `C:\Users\Li Na\go\bin`)
	want := []Note{{Kind: KindSystemFirst, Dir: `C:\Program Files\Go\bin`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p, err := m.Write([]Shell{Windows}, windowsEntries())
	apply(t, m, p, err)
	got = m.Look([]Shell{Windows}, dir, `C:\tools`)
	want = append(want, Note{Kind: KindPending}, Note{Kind: KindMissing, Dir: `C:\tools`})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzSplitPath wants every entry, and nothing but separators lost.
func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{recordedPath, "", ";", ";;a;", `"a;b";c`, `"`, `a";b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := splitPath(text)
		if again := splitPath(strings.Join(list, ";")); !slices.Equal(again, list) {
			t.Fatalf("%q: %q, then %q", text, list, again)
		}
		if got := len(strings.ReplaceAll(strings.Join(list, ""), ";", "")); got != len(strings.ReplaceAll(text, ";", "")) {
			t.Fatalf("%q: %q", text, list)
		}
	})
}
