package prefetch

import (
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
)

// Files lists what a build of the project will need as far as its own files tell, without asking
// anybody, in the order in which the go command will ask: the .mod files of its requirements, then those that
// go.sum names, the .info files of its zips, the zips.
//
// From go 1.17 on, go.mod requires every module that a build of the main module takes packages from, and
// their zips are what "go mod download" fetches. Many more have a line in go.sum that is not one of a
// go.mod: it may be there to find out that a package is in no other module. Below go 1.17, and in a workspace,
// which may select higher versions than any of its modules requires, those lines are all
// there is to tell, and of several versions the highest is taken.
func (p *Project) Files() []goproxy.Request {
	l := newFileList()
	required := p.required()
	for _, m := range required {
		l.add(m, goproxy.Mod)
	}
	for _, s := range p.sums {
		if s.mod {
			l.add(s.Version, goproxy.Mod)
		}
	}
	zips := required
	if !p.explicit() {
		zips = p.highestZips(required)
	}
	l.addAll(zips, goproxy.Info)
	l.addAll(zips, goproxy.Zip)
	return l.list
}

// Complete reports whether Files is all that builds of the project need: its go.mod requires every
// module that packages come from, and go.sum has a line for each. Else the module graph knows more.
func (p *Project) Complete() bool {
	if !p.explicit() {
		return false
	}
	known := map[module.Version]bool{}
	for _, s := range p.sums {
		known[s.Version] = known[s.Version] || s.mod
	}
	return !slices.ContainsFunc(p.required(), func(m module.Version) bool { return !known[m] })
}

// FilesOf lists what a build of the project needs by its module graph, for builds of its own packages
// and for commands that look at all modules, such as "go list -m all"; with all, also the zips of modules that
// provide no package to it, as "go mod download all" fetches them.
// Where go.sum is missing or knows nothing of a selected version, its zip is needed.
func (p *Project) FilesOf(g *modgraph.Graph, all bool) []goproxy.Request {
	l := newFileList()
	l.addAll(g.Loaded(), goproxy.Mod)
	for _, f := range g.Failures() {
		l.add(f.Actual, goproxy.Mod)
	}
	var build, zips []module.Version
	needed := p.needsZip(g)
	for _, m := range g.BuildList() {
		actual := g.Actual(m)
		build = append(build, actual)
		if all || needed(m, actual) {
			zips = append(zips, actual)
		}
	}
	l.addAll(build, goproxy.Mod)
	l.addAll(build, goproxy.Info)
	l.addAll(zips, goproxy.Zip)
	return l.list
}

// needsZip says of a selected module and what stands for it whether a build needs its zip.
func (p *Project) needsZip(g *modgraph.Graph) func(m, actual module.Version) bool {
	if p.explicit() {
		required := map[string]bool{}
		for _, m := range p.requirements() {
			required[m.Path] = true
		}
		return func(m, _ module.Version) bool { return required[m.Path] }
	}
	zips, known := map[module.Version]bool{}, map[module.Version]bool{}
	for _, s := range p.sums {
		known[s.Version] = true
		zips[s.Version] = zips[s.Version] || !s.mod
	}
	return func(m, actual module.Version) bool {
		_, loaded := g.Requirements(m)
		return zips[actual] || loaded && !known[actual]
	}
}

// explicit reports whether go.mod requires all modules that packages come from, in the
// versions that are selected: one main module of go 1.17 or later.
func (p *Project) explicit() bool {
	return p.Work == nil && atLeast(p.Mains[0].File.Go, "go1.17")
}

// requirements are those of the main modules, without what is excluded.
func (p *Project) requirements() []module.Version {
	excluded := map[module.Version]bool{}
	for _, m := range p.Mains {
		for _, x := range m.File.Exclude {
			excluded[x.Mod] = true
		}
	}
	var list []module.Version
	for _, m := range p.Mains {
		for _, r := range m.File.Require {
			if !excluded[r.Mod] {
				list = append(list, r.Mod)
			}
		}
	}
	return list
}

// required are the requirements that are asked for: replaced, and without main modules.
func (p *Project) required() []module.Version {
	mains := map[string]bool{}
	for _, m := range p.Mains {
		mains[m.Path()] = true
	}
	var list []module.Version
	for _, m := range p.requirements() {
		if actual := p.replaced(m); !mains[m.Path] && valid(actual) {
			list = append(list, actual)
		}
	}
	return list
}

// replaced is what stands for m. A folder has no version.
func (p *Project) replaced(m module.Version) module.Version {
	var lists [][]*modfile.Replace
	if p.Work != nil {
		lists = append(lists, p.Work.Replace)
	}
	for _, main := range p.Mains {
		lists = append(lists, main.File.Replace)
	}
	for _, list := range lists {
		var all *modfile.Replace
		for _, r := range list {
			switch r.Old {
			case m:
				return r.New
			case module.Version{Path: m.Path}:
				all = r
			}
		}
		if all != nil {
			return all.New
		}
	}
	return m
}

// highestZips are the module versions whose zips have a line in go.sum, the highest of each path, those of
// required first.
func (p *Project) highestZips(required []module.Version) []module.Version {
	highest := map[string]string{}
	for _, s := range p.sums {
		if v, ok := highest[s.Path]; !s.mod && (!ok || semver.Compare(s.Version.Version, v) > 0) {
			highest[s.Path] = s.Version.Version
		}
	}
	var list []module.Version
	take := func(path string) {
		if v, ok := highest[path]; ok {
			list = append(list, module.Version{Path: path, Version: v})
			delete(highest, path)
		}
	}
	for _, m := range required {
		take(m.Path)
	}
	for _, s := range p.sums {
		take(s.Path)
	}
	return list
}

// A fileList is a list of requests without repetitions.
type fileList struct {
	list []goproxy.Request
	seen map[goproxy.Request]bool
}

func newFileList() *fileList { return &fileList{seen: map[goproxy.Request]bool{}} }

// add adds a file of m, unless m is a folder or something that cannot be asked for.
func (l *fileList) add(m module.Version, kind goproxy.Kind) {
	req := goproxy.Request{Path: m.Path, Version: m.Version, Kind: kind}
	if m.Version == "" || l.seen[req] || !valid(m) {
		return
	}
	l.seen[req] = true
	l.list = append(l.list, req)
}

func (l *fileList) addAll(list []module.Version, kind goproxy.Kind) {
	for _, m := range list {
		l.add(m, kind)
	}
}

// InModCache returns a function that reports whether the go command's own module cache in
// the folder dir, GOMODCACHE, has a file, so that it will not be asked for. For a zip, that is the zip with
// its hash, or the folder it was unpacked to.
func InModCache(dir string) func(req goproxy.Request) bool {
	exists := func(elem ...string) bool {
		_, err := os.Stat(filepath.Join(append([]string{dir}, elem...)...))
		return err == nil
	}
	return func(req goproxy.Request) bool {
		name, err := req.Name()
		if err != nil || !req.Immutable() {
			return false
		}
		file := filepath.Join("cache", "download", filepath.FromSlash(name))
		if req.Kind != goproxy.Zip {
			return exists(file)
		}
		if !exists(file + "hash") {
			return false
		}
		unpacked, err := unpackedTo(req)
		return exists(file) || err == nil && exists(unpacked) && !exists(file[:len(file)-len("zip")]+"partial")
	}
}

// unpackedTo is the folder of a module version in GOMODCACHE.
func unpackedTo(req goproxy.Request) (string, error) {
	path, err := module.EscapePath(req.Path)
	if err != nil {
		return "", err
	}
	v, err := module.EscapeVersion(req.Version)
	return filepath.FromSlash(path) + "@" + v, err
}

// Sums reports whether go.sum has the hash of the zip req, which is so for those that builds and tests need.
// Where there is no go.sum, all may be needed.
func (p *Project) Sums(req goproxy.Request) bool {
	for _, s := range p.sums {
		if !s.mod && s.Path == req.Path && s.Version.Version == req.Version {
			return true
		}
	}
	return len(p.sums) == 0
}
