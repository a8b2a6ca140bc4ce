package modgraph

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxytest"
)

// A world is what a random build is made of: published modules and a project.
type world struct {
	mods  map[module.Version][]string // the lines of each go.mod
	files map[string]string           // of the project, by slash-separated name
	paths []string                    // of the published modules
	of    map[string][]string         // their versions
	rnd   *rand.Rand
}

// newWorld makes 5 to 60 modules of up to four versions each, of all sorts of names and versions, with
// cycles between them, and a project that uses some of them; every third one is a workspace.
func newWorld(seed uint64) *world {
	w := &world{
		mods: map[module.Version][]string{}, files: map[string]string{}, of: map[string][]string{},
		rnd: rand.New(rand.NewPCG(seed, 6)),
	}
	for i := range 5 + w.rnd.IntN(56) {
		w.publish(i)
	}
	mains := []string{"example.com/main"}
	if w.rnd.IntN(3) == 0 {
		mains = []string{"example.com/x", "example.com/y", "example.com/z"}[:2+w.rnd.IntN(2)]
	}
	for _, m := range mains {
		w.of[m] = []string{"v1.0.0"} // what uses it may be required by it
	}
	for i, path := range w.paths {
		for _, v := range w.of[path] {
			w.mods[module.Version{Path: path, Version: v}] = w.gomod(path, max(i-3, 0), 4, mains)
		}
	}
	for _, m := range mains {
		w.mods[module.Version{Path: m, Version: "v1.0.0"}] = w.gomod(m, 0, 3, mains)
	}
	if len(mains) == 1 {
		w.files["go.mod"] = w.main(mains[0], ".", mains, map[string]bool{})
		return w
	}
	w.workspace(mains)
	return w
}

// publish invents the i-th module: its path and its versions.
func (w *world) publish(i int) {
	add := func(path string, versions ...string) {
		w.rnd.Shuffle(len(versions), func(i, j int) { versions[i], versions[j] = versions[j], versions[i] })
		w.paths, w.of[path] = append(w.paths, path), versions[:1+w.rnd.IntN(min(4, len(versions)))]
	}
	name := fmt.Sprintf("example.com/m%d", i)
	v1 := []string{"v1.0.0", "v1.2.0", "v1.10.0", "v1.2.0-rc.1", "v1.10.0-alpha", "v0.9.0", "v1.2.1-0.20200102030405-abcdefabcdef"}
	switch w.rnd.IntN(8) {
	case 0:
		add(name+"/sub/dir", v1...)
	case 1:
		add(name, v1...)
		add(name+"/v2", "v2.0.0", "v2.1.0", "v2.1.1-0.20200102030405-abcdefabcdef", "v2.0.0-beta.2")
	case 2:
		add(fmt.Sprintf("gopkg.in/m%d.v1", i), "v1.0.0", "v1.1.0", "v1.2.0-pre")
		add(fmt.Sprintf("gopkg.in/m%d.v3", i), "v3.0.0", "v3.0.1", "v3.0.0-20200102030405-abcdefabcdef")
	case 3:
		add(name, "v1.0.0", "v2.0.0+incompatible", "v3.1.0+incompatible", "v3.1.0-rc.1+incompatible")
	case 4:
		add(name, "v0.0.0-20190102030405-abcdefabcdef", "v0.0.0-20210102030405-0123456789ab", "v0.0.1")
	default:
		add(name, v1...)
	}
}

// pick is a published version of one of the modules from the n-th on.
func (w *world) pick(n int) module.Version {
	path := w.paths[n+w.rnd.IntN(len(w.paths)-n)]
	return module.Version{Path: path, Version: w.of[path][w.rnd.IntN(len(w.of[path]))]}
}

func (w *world) goLine() string {
	lines := []string{"", "", "1.11", "1.13", "1.16", "1.17", "1.17", "1.18", "1.20", "1.20.3", "1.21", "1.21.0", "1.22rc1", "1.23.4", "1.24.0", "1.26"}
	return lines[w.rnd.IntN(len(lines))]
}

// gomod makes a go.mod that requires up to n modules, most of them from the first one on.
func (w *world) gomod(path string, first, n int, mains []string) []string {
	lines := []string{"module " + path}
	if v := w.goLine(); v != "" {
		lines = append(lines, "go "+v)
		if w.rnd.IntN(5) == 0 {
			lines = append(lines, "toolchain go1.26.1")
		}
	}
	seen := map[string]bool{path: true}
	for range w.rnd.IntN(n + 1) {
		m := w.pick(first)
		if w.rnd.IntN(60) == 0 {
			m = module.Version{Path: mains[0], Version: "v1.0.0"}
		}
		if !seen[m.Path] || w.rnd.IntN(30) == 0 && m.Path != path {
			lines = append(lines, "require "+m.Path+" "+m.Version)
		}
		seen[m.Path] = true
	}
	switch w.rnd.IntN(20) { // of no meaning where it is not the main module
	case 0:
		lines = append(lines, "retract [v1.0.0, v1.1.0] // bad")
	case 1:
		lines = append(lines, "exclude "+strings.Replace(w.pick(0).String(), "@", " ", 1))
	case 2:
		lines = append(lines, "replace "+w.pick(0).Path+" => ../nowhere")
	}
	return lines
}

// main makes the go.mod of a main module. What is replaced by others already is left alone.
func (w *world) main(path, dir string, mains []string, replaced map[string]bool) string {
	lines := w.gomod(path, 0, 8, mains)
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "nowhere") })
	for i, l := range lines {
		if strings.HasPrefix(l, "require ") && w.rnd.IntN(3) == 0 {
			lines[i] += " // indirect"
		}
	}
	for range w.rnd.IntN(3) {
		m := w.pick(0)
		lines = append(lines, fmt.Sprintf("exclude %s %s", m.Path, m.Version))
	}
	for range w.rnd.IntN(4) {
		lines = append(lines, w.replace(dir, mains, replaced)...)
	}
	w.files[pathJoin(dir, "a.go")] = "package a\n"
	return strings.Join(lines, "\n") + "\n"
}

// replace makes a replacement for a go.mod in dir.
func (w *world) replace(dir string, mains []string, replaced map[string]bool) []string {
	m, by := w.pick(0), w.pick(0)
	if replaced[m.Path] {
		return nil
	}
	replaced[m.Path] = true
	old := m.Path
	if w.rnd.IntN(2) == 0 {
		old += " " + m.Version
	}
	switch w.rnd.IntN(3) {
	case 0:
		folder := fmt.Sprintf("folder%d", len(w.files))
		w.files[folder+"/go.mod"] = strings.Join(w.gomod("example.com/whatever", 0, 4, mains), "\n") + "\n"
		w.files[folder+"/a.go"] = "package a\n"
		if dir != "." {
			return []string{"replace " + old + " => ../" + folder}
		}
		return []string{"replace " + old + " => ./" + folder}
	case 1:
		by.Path, by.Version = m.Path, w.of[m.Path][0]
	}
	return []string{fmt.Sprintf("replace %s => %s %s", old, by.Path, by.Version)}
}

func (w *world) workspace(mains []string) {
	lines, replaced := []string{"go 1.26"}, map[string]bool{}
	for _, m := range mains {
		dir := filepath.Base(m)
		lines = append(lines, "use ./"+dir)
		w.files[dir+"/go.mod"] = w.main(m, dir, mains, replaced)
	}
	for range w.rnd.IntN(3) {
		lines = append(lines, w.replace(".", mains, map[string]bool{})...)
	}
	// A path is replaced once in a file.
	seen := map[string]bool{}
	lines = slices.DeleteFunc(lines, func(l string) bool {
		f := strings.Fields(l)
		twice := f[0] == "replace" && seen[f[1]]
		seen[f[1]] = true
		return twice
	})
	w.files["go.work"] = strings.Join(lines, "\n") + "\n"
}

// serve publishes the modules, and writes the project into a folder.
func (w *world) serve(t *testing.T) (s *goproxytest.Server, dir string) {
	t.Helper()
	s = goproxytest.New(t)
	for _, m := range slices.SortedFunc(maps.Keys(w.mods), compareModules) {
		files := map[string]string{"go.mod": strings.Join(w.mods[m], "\n") + "\n", "a.go": "package a\n"}
		if semver.Build(m.Version) == "+incompatible" {
			files[".mod"] = files["go.mod"]
			delete(files, "go.mod")
		}
		s.AddModule(m.Path, m.Version, files)
	}
	dir = t.TempDir()
	w.write(t, dir)
	return s, dir
}

func (w *world) write(t *testing.T, dir string) {
	t.Helper()
	for name, text := range w.files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func pathJoin(dir, name string) string { return filepath.ToSlash(filepath.Join(dir, name)) }
