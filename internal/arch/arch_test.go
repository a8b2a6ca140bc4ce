package arch_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/arch"
)

// root is the root of the module, and a look that it is.
func root(t *testing.T) fs.FS {
	t.Helper()
	fsys := os.DirFS(filepath.Join("..", ".."))
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil || !strings.HasPrefix(string(mod), "module "+arch.Module+"\n") {
		t.Fatalf("go.mod of %s is not two folders up: %v", arch.Module, err)
	}
	return fsys
}

func TestRooms(t *testing.T) {
	problems, err := arch.Check(root(t))
	report(t, problems, err)
}

func TestLeaks(t *testing.T) {
	problems, err := arch.Leaks(root(t))
	report(t, problems, err)
}

func report(t *testing.T, problems []arch.Problem, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Warning {
			t.Log(p)
		} else {
			t.Error(p)
		}
	}
}

// TestTable holds the table to the layers it speaks of.
func TestTable(t *testing.T) {
	rooms := arch.Rooms()
	layer := make(map[string]int)
	for _, r := range rooms {
		if _, twice := layer[r.Name]; twice {
			t.Errorf("%s has two rows", r.Name)
		}
		layer[r.Name] = r.Layer
	}
	for _, r := range rooms {
		for _, i := range r.Imports {
			if l, ok := layer[i]; !ok || l > r.Layer || i == r.Name {
				t.Errorf("%s may import %s: no such room, itself, or above it", r.Name, i)
			}
		}
	}
	for _, h := range arch.Helpers() {
		if _, ok := layer[h.Room]; !ok {
			t.Errorf("%s helps %s, which is no room", h.Name, h.Room)
		}
	}
}

// TestSamples shows that every rule can fail, and that good code passes. The
// comment of each archive lists what is wrong with it.
func TestSamples(t *testing.T) {
	seen := make(map[string]bool)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fsys := fstest.MapFS{}
			for _, f := range a.Files {
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			compare(t, fsys, string(a.Comment), seen)
		})
	}
	t.Run("length", func(t *testing.T) {
		long := "// Package store keeps named, immutable blobs on disk.\n//\n// It is long.\npackage store\n" + strings.Repeat("\n", 700)
		compare(t, fstest.MapFS{"internal/store/store.go": {Data: []byte(long)}}, "internal/store/store.go: length: 704 lines, more than 700", seen)
	})
	t.Run("leaks", func(t *testing.T) {
		// Put together from parts, since this file is searched as well.
		host := "proxy." + "golang" + ".org"
		folder := "/" + "work" + "/"
		compare(t, fstest.MapFS{
			"a.md":                    {Data: []byte("one\n// https://" + strings.ToUpper(host) + "/\n")},
			"docs/b.md":               {Data: []byte("see " + folder + "main\r\n" + strings.Repeat("<", 7) + " ours\r\n=======\r\n" + strings.Repeat(">", 7) + " theirs\r\n")},
			".ci/run":                 {Data: []byte("cd " + folder + "x")},
			"testdata/script/c.txtar": {Data: []byte("env GOPROXY=" + host)},
			"fine.sh":                 {Data: []byte("cd $X" + folder + "x; cd .." + folder + "; cd /net" + folder + "; echo sum.golang.org >>>>>>> x\n")},
			"binary":                  {Data: []byte("\x00" + host)},
			".git/config":             {Data: []byte(host)},
			"dist/d":                  {Data: []byte(host)},
			"old.out":                 {Data: []byte(host)},
		}, `
.ci/run:1: path: names a folder of the machine that this was built on
a.md:2: host: names the official proxy's host; goferry uses what go env GOPROXY says
docs/b.md:1: path: names a folder of the machine that this was built on
docs/b.md:2: merge: a marker that a merge left behind
docs/b.md:4: merge: a marker that a merge left behind
testdata/script/c.txtar:1: host: names the official proxy's host; goferry uses what go env GOPROXY says
`, seen)
	})
	for _, rule := range arch.Rules() {
		if !seen[rule] {
			t.Errorf("no sample breaks the rule %q", rule)
		}
	}
	for rule := range seen {
		if !slices.Contains(arch.Rules(), rule) {
			t.Errorf("the rule %q is not listed", rule)
		}
	}
}

func compare(t *testing.T, fsys fs.FS, want string, seen map[string]bool) {
	t.Helper()
	problems, err := arch.Check(fsys)
	if err != nil {
		t.Fatal(err)
	}
	found, err := arch.Leaks(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range append(problems, found...) {
		got = append(got, p.String())
		seen[p.Rule] = true
	}
	slices.Sort(got)
	lines := strings.Split(strings.TrimSpace(want), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" || strings.HasPrefix(l, "#") })
	slices.Sort(lines)
	if len(lines) == 0 {
		lines = nil
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSourceThatDoesNotParseIsAnError(t *testing.T) {
	if _, err := arch.Check(fstest.MapFS{"internal/store/store.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("Check passed over a file that is no Go")
	}
}
