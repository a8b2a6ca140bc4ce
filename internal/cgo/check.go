package cgo

import (
	"context"
	"errors"
	"go/token"
	"runtime"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/gocmd"
)

// ErrNoPackages says that no Go package is where packages were looked for.
var ErrNoPackages = errors.New("no Go packages")

// A Checker finds out what a project needs of cgo. It loads the packages with and without cgo for each target and
// checks the types of what it finds without: no C compiler and no compiled package is needed for that.
type Checker struct {
	Runner  *gocmd.Runner
	Env     []string // KEY=VALUE over the Runner's: GOPROXY
	Finder  *Finder  // of compilers; nil: they are not looked for
	Release string   // text of /etc/os-release, for the lines that install compilers

	// Progress, if it is not nil, is told what is done, of how much. Calls come one at a time.
	Progress func(done, total int, target string)
}

// CheckOptions say what to check.
type CheckOptions struct {
	Dir      string
	Packages []string // patterns as for go build; none means all below Dir
	Targets  []Target // none means this machine and CheckTargets
	Tags     []string // build tags, beside those of GOFLAGS
	Build    bool     // builds without cgo for each target, with the go command, where it else checks types; much slower
}

// CheckTargets are what a project is checked for where nobody says more, beside the machine it is checked on.
func CheckTargets() []Target {
	return []Target{
		{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "amd64", Libc: "musl"}, {OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "arm", Variant: "v7"},
		{OS: "windows", Arch: "amd64"}, {OS: "darwin", Arch: "amd64"}, {OS: "darwin", Arch: "arm64"},
	}
}

// A CheckReport is what a Checker found. Lists are sorted or in the order of the targets.
type CheckReport struct {
	Dir     string `json:"dir"`
	Module  string `json:"module"`  // path of the main module; of a workspace, the first one
	Go      string `json:"go"`      // "1.26.8"
	Host    string `json:"host"`    // this machine, as a target
	Enabled bool   `json:"enabled"` // CGO_ENABLED, as the go command has it here
	CC      string `json:"cc"`      // that the go command would run here
	HasCC   bool   `json:"has_cc"`

	Packages int           `json:"packages"` // of the project
	Uses     []CgoUse      `json:"uses"`     // packages outside of the standard library that use cgo on some target
	ByTags   []CgoTagged   `json:"by_tags"`  // what would use cgo, or more of it, under build tags that are not set
	Targets  []CheckTarget `json:"targets"`
}

// A CgoUse is a package that uses cgo.
type CgoUse struct {
	Package string    `json:"package"`
	Module  string    `json:"module,omitempty"`
	Version string    `json:"version,omitempty"`
	Own     bool      `json:"own"` // of the project itself
	Via     []string  `json:"via"` // how the project comes to it: packages that import each other, it is the last
	Files   []CgoFile `json:"files"`

	Languages []string `json:"languages,omitempty"`  // beside C: C++, Objective-C, Fortran, SWIG
	PkgConfig []string `json:"pkg_config,omitempty"` // that #cgo lines ask for
	Libraries []string `json:"libraries,omitempty"`  // that #cgo lines link with, those of libc aside
	AvoidTags []string `json:"avoid_tags,omitempty"` // each of these build tags alone leaves all the files out

	Targets []string     `json:"targets"` // where it uses cgo
	Without []CgoWithout `json:"without"` // what comes of it without cgo
}

// A CgoFile is a file that imports "C".
type CgoFile struct {
	Name       string `json:"name"`
	Constraint string `json:"constraint,omitempty"` // its //go:build line; what its name says is not in it
}

// A State is what comes of something without cgo.
type State string

// The states, the better first.
const (
	StateSame  State = "same"  // nothing changes: cgo is not used
	StateGone  State = "gone"  // the package is not needed then
	StateOther State = "other" // other files are compiled, with code of their own and the same names
	StateLess  State = "less"  // it builds, but has not all names
	StateStub  State = "stub"  // it builds, and all that it has instead returns or panics at once
	StateFails State = "fails" // it does not build
)

// Worse is the worse of two states.
func Worse(a, b State) State {
	order := " same gone other less stub fails "
	if strings.Index(order, " "+string(a)+" ") >= strings.Index(order, " "+string(b)+" ") {
		return a
	}
	return b
}

// CgoWithout says what comes of a package without cgo, on the targets where that is so.
type CgoWithout struct {
	Targets []string `json:"targets"`
	State   State    `json:"state"`
	Went    []string `json:"went,omitempty"` // files that are not compiled then
	Came    []string `json:"came,omitempty"` // files that are compiled instead
	Lost    []string `json:"lost,omitempty"` // exported names that are missing then: Open, DB.Close
	Says    string   `json:"says,omitempty"` // a text in the files that came which speaks of cgo: what people read at run time
}

// CgoTagged is a package with files that import "C" under build tags.
type CgoTagged struct {
	Package string   `json:"package"`
	Module  string   `json:"module,omitempty"`
	Tags    []string `json:"tags"` // all of them are to be set
	Files   []string `json:"files"`
	Targets []string `json:"targets"`
}

// Now says how a project can be built for a target on this machine.
type Now string

// What can be built now.
const (
	NowPlain   Now = "plain"   // as it is: cgo is not used
	NowCgo     Now = "cgo"     // with cgo: there is a compiler that works
	NowWithout Now = "without" // without cgo alone
	NowPartly  Now = "partly"  // without cgo alone, and then something is missing or fails when it runs
	NowNot     Now = "no"
)

// A CheckTarget is what there is to say of a target.
type CheckTarget struct {
	Target string `json:"target"`
	Uses   int    `json:"uses"`    // packages outside of the standard library that use cgo
	State  State  `json:"without"` // the worst that comes of them without cgo

	Standard []string     `json:"standard,omitempty"` // packages of the standard library that are compiled from other files without cgo
	Failures []CgoFailure `json:"failures,omitempty"` // why it does not build; the causes, not what follows from them
	Compiler *Compiler    `json:"compiler,omitempty"` // the first that works
	Tried    bool         `json:"tried"`              // a program was made with it; zig is taken at its word, unless CheckOptions.Build
	Broken   []CgoBroken  `json:"broken,omitempty"`   // compilers that are here and do not work
	Missing  string       `json:"missing,omitempty"`  // why there is none, where more can be said: MissingError.Reason
	Install  []Line       `json:"install,omitempty"`  // lines that install one, where none works
	Now      Now          `json:"now"`
}

// A CgoFailure is a package that does not build without cgo.
type CgoFailure struct {
	Package string `json:"package"`
	Reason  string `json:"reason"`         // excluded: all its files need cgo or another system; compile; load
	By      string `json:"by,omitempty"`   // package that imports it, of excluded
	Said    string `json:"said,omitempty"` // FILE:LINE:COLUMN: what is wrong
	Anyway  bool   `json:"anyway"`         // nor does it build with cgo
}

// CgoBroken is a compiler that does not work.
type CgoBroken struct {
	Compiler Compiler `json:"compiler"`
	Said     string   `json:"said"`
}

// Check checks a project. Errors: gocmd.ErrNoModule, ErrNoPackages, a *gocmd.GoError if it does not load, *gocmd.ToolError, and the
// cause of ctx.
func (c *Checker) Check(ctx context.Context, o CheckOptions) (CheckReport, error) {
	l := &checkLoader{Checker: c, o: o, fset: token.NewFileSet(), files: map[string]*sourceFile{}}
	rep, err := l.project(ctx)
	if err != nil {
		return rep, err
	}
	targets, host := l.targets(rep.Host)
	loads := l.group(targets, host)
	total := len(loads) + len(targets)
	p := &checkProgress{tell: c.Progress, total: total}
	// The machine's own first: who cannot be loaded here need not be loaded for others.
	p.at(host.String())
	if err := l.load(ctx, loads[0]); err != nil {
		return rep, err
	}
	if err := loads[0].fault(); err != nil {
		return rep, err
	}
	p.did()
	err = eachOf(ctx, loads[1:], func(ctx context.Context, g *checkLoad) error {
		p.at(g.targets[0].String())
		defer p.did()
		return l.load(ctx, g)
	})
	if err != nil {
		return rep, err
	}
	l.report(&rep, loads, targets)
	err = eachOf(ctx, indexes(targets), func(ctx context.Context, i int) error {
		p.at(targets[i].String())
		defer p.did()
		return l.compiler(ctx, targets[i], &rep.Targets[i], needsCXX(rep.Uses, targets[i]))
	})
	for i := range rep.Targets {
		rep.Targets[i].judge()
	}
	return rep, err
}

// targets are what to check, and which of them stands for this machine; that one is loaded even if nobody asks for it.
func (l *checkLoader) targets(hostName string) (list []Target, host Target) {
	goos, goarch, _ := strings.Cut(hostName, "/")
	host = Target{OS: goos, Arch: goarch}
	if list = l.o.Targets; len(list) > 0 {
		return list, host
	}
	for _, t := range append([]Target{host}, CheckTargets()...) {
		if len(list) == 0 || t != host {
			list = append(list, t)
		}
	}
	return list, host
}

// group makes one load of the targets whose files are the same, that of this machine first.
func (l *checkLoader) group(targets []Target, host Target) []*checkLoad {
	first := &checkLoad{env: host.Env(), goos: host.OS, goarch: host.Arch}
	loads := []*checkLoad{first}
	byEnv := map[string]*checkLoad{strings.Join(first.env, " "): first}
	for _, t := range targets {
		env := t.Env()
		key := strings.Join(env, " ")
		if byEnv[key] == nil {
			byEnv[key] = &checkLoad{env: env, goos: t.OS, goarch: t.Arch}
			loads = append(loads, byEnv[key])
		}
		byEnv[key].targets = append(byEnv[key].targets, t)
	}
	if len(first.targets) == 0 {
		first.targets, first.unasked = []Target{host}, true
	}
	return loads
}

// judge says what can be built now.
func (t *CheckTarget) judge() {
	anyway := false
	for _, f := range t.Failures {
		anyway = anyway || f.Anyway
	}
	switch {
	case anyway:
		t.Now = NowNot
	case t.State == StateSame:
		t.Now = NowPlain
	case t.Compiler != nil:
		t.Now = NowCgo
	case t.State == StateOther || t.State == StateGone:
		t.Now = NowWithout
	case t.State == StateFails:
		t.Now = NowNot
	default:
		t.Now = NowPartly
	}
}

// checkProgress counts.
type checkProgress struct {
	mu          sync.Mutex
	tell        func(done, total int, target string)
	done, total int
	target      string
}

func (p *checkProgress) at(target string) { p.change(0, target) }

func (p *checkProgress) did() { p.change(1, "") }

func (p *checkProgress) change(by int, target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += by
	if target != "" {
		p.target = target
	}
	if p.tell != nil {
		p.tell(p.done, p.total, p.target)
	}
}

func indexes[T any](list []T) []int {
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	return all
}

// eachOf does work for all of list, as many at a time as there are cores, and returns the first error, which ends all.
func eachOf[T any](ctx context.Context, list []T, work func(context.Context, T) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan T)
	var done sync.WaitGroup
	for range min(len(list), runtime.NumCPU()) {
		done.Go(func() {
			for x := range next {
				if err := work(ctx, x); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, x := range list {
		if ctx.Err() != nil {
			break
		}
		next <- x
	}
	close(next)
	done.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
