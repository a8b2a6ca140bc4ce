package toolchain

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCurrent(t *testing.T) {
	h := useHome(t, "go1.25.7", "go1.26.1", "go1.24.3")
	if err := errors.Join(h.Use(Here("go1.25.7")), h.LinkVersions()); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	cached := useTree(t, filepath.Join(cache, filepath.FromSlash(ModulePath)+"@"+Here("go1.27.0").Module().Version), "go1.27.0", runtime.GOOS, runtime.GOARCH)
	root := func(v Version) string {
		real, err := filepath.EvalSymlinks(h.Root(Here(v)))
		if err != nil {
			t.Fatal(err)
		}
		return real
	}
	tests := []struct {
		name, setting, mod, work, gowork string
		want                             string
		why                              Why
		file, root                       string
		err                              error
	}{
		{name: "nothing asks", setting: "auto", want: "go1.25.7", why: WhyPath, root: root("go1.25.7")},
		{name: "no setting", mod: "go 1.26.1", want: "go1.25.7", why: WhyPath, root: root("go1.25.7")},
		{name: "local", setting: "local", mod: "go 1.26.1", want: "go1.25.7", why: WhyPath, root: root("go1.25.7")},
		{name: "older lines", setting: "auto", mod: "go 1.21\n\ntoolchain go1.24.3", want: "go1.25.7", why: WhyPath, root: root("go1.25.7")},
		{name: "toolchain line", setting: "auto", mod: "go 1.21\n\ntoolchain go1.26.1", want: "go1.26.1", why: WhyToolchain, file: "go.mod", root: root("go1.26.1")},
		{name: "go line", setting: "path", mod: "go 1.26.1", want: "go1.26.1", why: WhyGo, file: "go.mod", root: root("go1.26.1")},
		{name: "language version", setting: "auto", mod: "go 1.27", want: "go1.27.0", why: WhyGo, file: "go.mod", root: cached},
		{name: "nowhere", setting: "auto", mod: "go 1.28.2", want: "go1.28.2", why: WhyGo, file: "go.mod"},
		{name: "path has no cache", setting: "path", mod: "go 1.27", want: "go1.27.0", why: WhyGo, file: "go.mod"},
		{name: "default", setting: "auto", mod: "go 1.26.1\n\ntoolchain default", want: "go1.25.7", why: WhyPath, root: root("go1.25.7")},
		{name: "named", setting: "go1.24.3", mod: "go 1.26.1", want: "go1.24.3", why: WhySetting, root: root("go1.24.3")},
		{name: "named, raised", setting: "go1.24.3+auto", mod: "go 1.26.1", want: "go1.26.1", why: WhyGo, file: "go.mod", root: root("go1.26.1")},
		{name: "named, not raised", setting: "go1.26.1+path", mod: "go 1.25.0", want: "go1.26.1", why: WhySetting, root: root("go1.26.1")},
		{name: "local+auto", setting: "local+auto", mod: "go 1.26.1", want: "go1.26.1", why: WhyGo, file: "go.mod", root: root("go1.26.1")},
		{name: "workspace", setting: "auto", mod: "go 1.26.1", work: "go 1.25.7\n", want: "go1.25.7", why: WhyPath, root: root("go1.25.7")},
		{name: "workspace raises", setting: "auto", mod: "go 1.21", work: "go 1.25.7\n\ntoolchain go1.26.1\n", want: "go1.26.1", why: WhyToolchain, file: "go.work", root: root("go1.26.1")},
		{name: "workspace off", setting: "auto", mod: "go 1.26.1", work: "go 1.25.7\n", gowork: "off", want: "go1.26.1", why: WhyGo, file: "go.mod", root: root("go1.26.1")},
		{name: "bad setting", setting: "bash", err: ErrVersion},
		{name: "bad mode", setting: "go1.25.7+download", err: ErrVersion},
		{name: "bad minimum", setting: "1.25.7+auto", err: ErrVersion},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			sub := filepath.Join(dir, "a", "b")
			if err := os.MkdirAll(sub, 0o777); err != nil {
				t.Fatal(err)
			}
			if tt.mod != "" {
				useWrite(t, filepath.Join(dir, "go.mod"), "module example.com/m\n\n"+tt.mod+"\n")
			}
			if tt.work != "" {
				useWrite(t, filepath.Join(dir, "go.work"), tt.work)
			}
			s := Selector{
				Finder: Finder{Path: []string{filepath.Join(h.Default(), "bin"), h.Bin()}, ModCache: cache},
				Dir:    sub, Setting: tt.setting, GOWORK: tt.gowork, GOMOD: true,
			}
			got, err := s.Current()
			if !errors.Is(err, tt.err) || (err != nil) != (tt.err != nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			file := ""
			if tt.file != "" {
				file = filepath.Join(dir, tt.file)
			}
			if got.Name != tt.want || got.Why != tt.why || got.File != file || got.Root != tt.root || (got.Program == "") != (tt.root == "") {
				t.Errorf("got %+v, want %s %s %s %s", got, tt.want, tt.why, file, tt.root)
			}
			if got.Program != "" && runtime.GOOS != "windows" {
				if ran := runsAs(t, got.Program); ran != tt.want+" version" {
					t.Errorf("%s runs as %q", got.Program, ran)
				}
			}
			s.GOMOD = false
			if got, err := s.Current(); err != nil || got.File != "" {
				t.Errorf("with GO111MODULE=off: %+v, %v", got, err)
			}
		})
	}
	if _, err := (Selector{Setting: "auto"}).Current(); !errors.Is(err, ErrNoGo) {
		t.Errorf("no go command: %v", err)
	}
}

// TestCurrentAsTheGoCommand holds the rules to the real go command, which finds the toolchains of the
// table in PATH. Each of them says who it is.
func TestCurrentAsTheGoCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // the trees hold shell scripts
	}
	program, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	h := useHome(t, "go1.98.0", "go1.99.0", "go1.99.1", "go1.20")
	if err := h.LinkVersions(); err != nil {
		t.Fatal(err)
	}
	path := []string{filepath.Dir(program), h.Bin(), "/usr/bin", "/bin"}
	for _, setting := range []string{"auto", "path", "local", "go1.98.0", "go1.98.0+auto", "go1.99.1+path", "local+path"} {
		for _, lines := range []string{"go 1.21", "go 1.21\n\ntoolchain go1.99.0", "go 1.99.1", "go 1.99", "go 1.98.0\n\ntoolchain go1.99.1",
			"go 1.99.0\n\ntoolchain go1.98.0", "go 1.21\n\ntoolchain default", "go 1.21\n\ntoolchain go1.20"} {
			dir := t.TempDir()
			useWrite(t, filepath.Join(dir, "go.mod"), "module example.com/m\n\n"+lines+"\n")
			got, err := Selector{Finder: Finder{Path: path}, Dir: dir, Setting: setting, GOMOD: true}.Current()
			if err != nil {
				t.Fatalf("%s, %q: %v", setting, lines, err)
			}
			cmd := exec.Command(program, "version")
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + strings.Join(path, ":"), "HOME=" + dir, "GOTOOLCHAIN=" + setting, "GOPROXY=off", "GOWORK=off", "GOENV=off", "GOFLAGS=-mod=mod"}
			out, runErr := cmd.CombinedOutput()
			switch fields := strings.Fields(string(out)); {
			case got.Program == "":
				if runErr == nil || !strings.Contains(string(out), got.Name) {
					t.Errorf("%s, %q: the go command says %q, we that it needs %s, which is not here", setting, lines, out, got.Name)
				}
			case got.Program == got.First:
				if len(fields) < 3 || fields[2] != got.Name {
					t.Errorf("%s, %q: the go command says %q, we %s", setting, lines, out, got.Name)
				}
			case string(out) != got.Name+" version\n":
				t.Errorf("%s, %q: the go command says %q, we %s", setting, lines, out, got.Name)
			}
		}
	}
}

func useWrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestWithToolchain(t *testing.T) {
	tests := []struct {
		name, file, text string
		v                Version
		want             string // empty: no change
		err              error
	}{
		{name: "added", file: "go.mod", text: "module m\n\ngo 1.24 // lang\n\nrequire example.com/a v1.0.0\n", v: "go1.25.7",
			want: "module m\n\ngo 1.24 // lang\n\ntoolchain go1.25.7\n\nrequire example.com/a v1.0.0\n"},
		{name: "changed", file: "go.mod", text: "module m\n\ngo 1.24\n\ntoolchain go1.25.1 // why\n", v: "go1.25.7",
			want: "module m\n\ngo 1.24\n\ntoolchain go1.25.7 // why\n"},
		{name: "there", file: "go.mod", text: "module   m\ngo 1.24\ntoolchain go1.25.7\n", v: "go1.25.7"},
		{name: "says the go line", file: "go.mod", text: "module m\n\ngo 1.25.7\n", v: "go1.25.7"},
		{name: "says the go line now", file: "go.mod", text: "module m\n\ngo 1.25.7\n\ntoolchain go1.26.1\n", v: "go1.25.7", want: "module m\n\ngo 1.25.7\n"},
		{name: "no go line", file: "go.mod", text: "module m\n", v: "go1.25.7", want: "module m\n\ntoolchain go1.25.7\n"},
		{name: "taken away", file: "go.mod", text: "module m\n\ngo 1.24\n\ntoolchain go1.26.1\n", want: "module m\n\ngo 1.24\n"},
		{name: "too old", file: "go.mod", text: "module m\n\ngo 1.26\n", v: "go1.25.7", err: ErrTooOld},
		{name: "rc is older", file: "go.mod", text: "module m\n\ngo 1.26.0\n", v: "go1.26rc1", err: ErrTooOld},
		{name: "rc has the language", file: "go.mod", text: "module m\n\ngo 1.26\n", v: "go1.26rc1", want: "module m\n\ngo 1.26\n\ntoolchain go1.26rc1\n"},
		{name: "workspace", file: "go.work", text: "go 1.24\n\nuse ./a\n", v: "go1.25.7", want: "go 1.24\n\ntoolchain go1.25.7\n\nuse ./a\n"},
		{name: "workspace, taken away", file: "go.work", text: "go 1.24\n\ntoolchain go1.25.7\n\nuse ./a\n", want: "go 1.24\n\nuse ./a\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := parseProjectLines(tt.file, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got, changed, err := lines.WithToolchain(tt.v)
			if !errors.Is(err, tt.err) || (err != nil) != (tt.err != nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				return
			}
			want := tt.want
			if want == "" {
				want = tt.text
			}
			if string(got) != want || changed != (tt.want != "") {
				t.Errorf("changed %v:\n%s\nwant:\n%s", changed, got, want)
			}
		})
	}
}

// FuzzProjectLines holds that a toolchain line that was written is read again, and changes nothing the second time.
func FuzzProjectLines(f *testing.F) {
	f.Add("go.mod", "module m\n\ngo 1.24\n\ntoolchain go1.25.1\n")
	f.Add("go.mod", "module m\n")
	f.Add("go.work", "go 1.24\n\nuse (\n\t./a\n)\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		if name != "go.work" {
			name = "go.mod"
		}
		lines, err := parseProjectLines(name, []byte(text))
		if err != nil {
			return
		}
		const v = "go1.99.3"
		data, _, err := lines.WithToolchain(v)
		if err != nil {
			return
		}
		again, err := parseProjectLines(name, data)
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		if again.Toolchain != v && "go"+again.Go != v {
			t.Fatalf("toolchain %q, go %q in\n%s", again.Toolchain, again.Go, data)
		}
		if _, changed, err := again.WithToolchain(v); changed || err != nil {
			t.Fatalf("changed again: %v, %v", changed, err)
		}
	})
}
