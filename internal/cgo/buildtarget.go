package cgo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// The codes of notes: what the user should know of a target that was built.
const (
	NoteCgoLeftOut = "cgo-left-out"  // --cgo off, and packages use it where it is on: what they do instead is not known here
	NoteStaticNSS  = "static-nss"    // glibc, static: users, groups and hosts from files and DNS alone
	NoteNextCC     = "next-compiler" // the first compiler that was found does not work
)

// A buildLoad is what the go command says of the packages to build.
type buildLoad struct {
	mains []string // import paths
	uses  []string // packages outside of the standard library that use cgo
	cxx   bool     // one of them has C++
	root  string   // of a main package's module
	path  string   // of that module; may be empty
}

// target builds one target; what fails is returned.
func (r *buildRun) target(ctx context.Context, res *BuildResult) *BuildFailure {
	load, failure := r.list(ctx, res)
	if failure != nil {
		return failure
	}
	res.load = load
	res.CgoUses = append(res.CgoUses, load.uses...)
	if name := sameName(load.mains); name != "" {
		return &BuildFailure{Code: FailSameName, Name: name, Packages: load.mains}
	}
	if err := os.MkdirAll(res.dir, 0o777); err != nil {
		return diskFailure(r.o.Out, err)
	}
	if res.Cgo = r.needsCgo(res.target, load); res.Cgo {
		failure = r.withCgo(ctx, res)
	} else {
		if len(load.uses) > 0 {
			res.Notes = append(res.Notes, NoteCgoLeftOut)
		}
		failure = r.compile(ctx, res, nil)
	}
	if failure != nil {
		return failure
	}
	if failure := r.look(ctx, res); failure != nil {
		return failure
	}
	if r.o.Archive {
		if err := r.archive(res); err != nil {
			return diskFailure(r.o.Out, err)
		}
	}
	return nil
}

// needsCgo decides whether cgo is on. A static program that is independent of its position is made by a C linker alone.
func (r *buildRun) needsCgo(t Target, load *buildLoad) bool {
	switch {
	case r.o.Cgo == CgoOn:
		return true
	case r.o.Cgo == CgoOff, !t.Cgo():
		return false
	}
	return len(load.uses) > 0 || r.o.Static == StaticPIE && t.OS == "linux"
}

// list asks which packages are to be built and which of them use cgo. It takes no compiler to say so. With cgo off what
// would use it is of interest only where the build works.
func (r *buildRun) list(ctx context.Context, res *BuildResult) (*buildLoad, *BuildFailure) {
	args := []string{"list", "-deps", "-json=" + listedFields}
	if tags := r.tags(nil); len(tags) > 0 {
		args = append(args, "-tags="+strings.Join(tags, ","))
	}
	args = append(append(args, "--"), r.o.Packages...)
	enabled := "CGO_ENABLED=1"
	if r.o.Cgo != CgoOn && !res.target.Cgo() {
		enabled = "CGO_ENABLED=0"
	}
	out, err := r.golang(ctx, append(res.target.Env(), enabled), args...)
	if err != nil {
		return nil, toolFailure(err)
	}
	if out.ExitCode != 0 {
		if r.o.Cgo == CgoOff {
			return &buildLoad{}, nil
		}
		return nil, explainGo(string(out.Stderr), nil, false)
	}
	load := &buildLoad{}
	for dec := json.NewDecoder(bytes.NewReader(out.Stdout)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return load, nil
		} else if err != nil {
			return nil, &BuildFailure{Code: FailOther, Lines: []string{"go list: " + err.Error()}, Err: err}
		}
		load.add(&p)
	}
}

func (l *buildLoad) add(p *listed) {
	if p.Standard {
		return
	}
	if p.usesCgo() {
		l.uses = append(l.uses, p.ImportPath)
		l.cxx = l.cxx || len(p.CXXFiles)+len(p.SwigCXXFiles) > 0
	}
	if p.Name == "main" && !p.DepOnly {
		l.mains = append(l.mains, p.ImportPath)
		if p.Module != nil {
			l.root, l.path = p.Module.Dir, p.Module.Path
		} else {
			l.root = p.Dir
		}
	}
}

// sameName finds a name that two programs would have.
func sameName(mains []string) string {
	seen := map[string]bool{}
	for _, m := range mains {
		name := programName(m)
		if seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}

var majorElement = regexp.MustCompile(`^v[2-9][0-9]*$|^v1[0-9]+$`)

// programName is the name that the go command gives the program of a package (load.DefaultExecName of cmd/go).
func programName(importPath string) string {
	dir, name := path.Split(importPath)
	if majorElement.MatchString(name) && dir != "" {
		name = path.Base(dir)
	}
	return name
}

// tags are the build tags, with more that ours need.
func (r *buildRun) tags(more []string) []string {
	tags := r.o.Tags
	if tags == nil {
		tags = r.goflags.tags
	}
	for _, t := range more {
		if !slices.Contains(tags, t) {
			tags = append(slices.Clip(tags), t)
		}
	}
	return tags
}

// withCgo builds with the first compiler that works.
func (r *buildRun) withCgo(ctx context.Context, res *BuildResult) *BuildFailure {
	found, err := r.Finder.Find(ctx, res.target)
	if err == nil && len(found) == 0 {
		err = &MissingError{Target: res.target}
	}
	if err != nil {
		return missing(err, res.load.uses)
	}
	compilers := found
	if res.load.cxx {
		compilers = slices.DeleteFunc(slices.Clone(found), func(c Compiler) bool { return len(c.CXX) == 0 })
		if len(compilers) == 0 {
			return &BuildFailure{Code: FailNoCompiler, Reason: "needs-cxx", Compiler: found[0].Line(), Packages: res.load.uses}
		}
	}
	if r.o.Static != "" {
		compilers = slices.Clone(compilers)
		for i, c := range compilers {
			compilers[i] = c.forStatic()
		}
		if compilers = slices.DeleteFunc(compilers, Compiler.noStatic); len(compilers) == 0 {
			return &BuildFailure{Code: FailStaticGlibc, Compiler: found[0].Line(), From: found[0].From, Packages: res.load.uses}
		}
	}
	var first *BuildFailure
	for i := range compilers {
		failure := r.compile(ctx, res, &compilers[i])
		if failure == nil {
			if i > 0 {
				res.Notes = append(res.Notes, NoteNextCC)
			}
			return nil
		}
		if failure.Code == FailWrongCompiler {
			failure.Machine = r.machine(ctx, compilers[i])
		}
		first = firstOf(first, failure)
		// What the user named is what the user wants; another compiler helps only where this one is at fault.
		if compilers[i].Family == User || !failure.ofCompiler() || ctx.Err() != nil {
			break
		}
	}
	return first
}

func firstOf(a, b *BuildFailure) *BuildFailure {
	if a != nil {
		return a
	}
	return b
}

// missing is the failure of a target without a compiler.
func missing(err error, uses []string) *BuildFailure {
	var me *MissingError
	if !errors.As(err, &me) {
		return toolFailure(err)
	}
	f := &BuildFailure{Code: FailNoCompiler, Tried: me.Tried, Reason: me.Reason, Packages: uses, Err: err}
	if n := len(me.Tried); n > 0 && me.Reason == MissingHeaders {
		f.Code, f.Compiler = FailNoLibc, me.Tried[n-1]
	}
	return f
}

// machine asks a compiler what it makes programs for, as x86_64-linux-gnu; "" if it does not say.
func (r *buildRun) machine(ctx context.Context, c Compiler) string {
	if len(c.CC) == 0 {
		return ""
	}
	res, err := r.Runner.Run(ctx, gocmd.Cmd{Name: c.CC[0], Args: append(slices.Clone(c.CC[1:]), "-dumpmachine")})
	text := strings.TrimSpace(string(res.Stdout))
	if err != nil || !machineForm.MatchString(text) {
		return ""
	}
	return text
}

var machineForm = regexp.MustCompile(`^[\w.]+(-[\w.]+){1,4}$`)

// compile runs go build for one target, with a C compiler or, where c is nil, without cgo.
func (r *buildRun) compile(ctx context.Context, res *BuildResult, c *Compiler) *BuildFailure {
	res.Compiler = c
	if c != nil {
		told := r.named(*c)
		c = &told
	}
	args, env := r.goBuild(res, c)
	out, err := r.golang(ctx, env, append(append(args, "--"), r.o.Packages...)...)
	switch {
	case err != nil:
		return toolFailure(err)
	case out.ExitCode != 0:
		failure := explainGo(string(out.Stderr), c, !res.Cgo && len(res.load.uses) > 0)
		failure.Packages = res.load.uses
		if r.o.Static != "" {
			failure.ofStatic()
		}
		return failure
	}
	return nil
}

// goBuild is the go command's arguments and environment for one target; res gets what it says of them.
func (r *buildRun) goBuild(res *BuildResult, c *Compiler) (args, env []string) {
	n := strconv.Itoa(r.cores)
	args = []string{"build", "-trimpath", "-p=" + n, "-o", res.dir + string(filepath.Separator)}
	env = append(res.target.Env(), "GOMAXPROCS="+n)
	var tags, flags []string
	if c != nil {
		env = append(env, c.GoEnv()...)
		var notes []string
		if r.o.Static != "" {
			tags, flags, notes = staticFlags(*c, res.target, r.o.Static == StaticPIE)
		}
		if c.Family == Zig && res.target.OS == "darwin" {
			flags = append(flags, "-w") // else go tool link starts Apple's dsymutil and strip
		}
		for _, note := range notes {
			if !slices.Contains(res.Notes, note) {
				res.Notes = append(res.Notes, note)
			}
		}
		if r.o.Static == StaticPIE && res.target.OS == "linux" {
			args = append(args, "-buildmode=pie")
		}
	} else {
		env = append(env, "CGO_ENABLED=0")
	}
	if res.Tags = r.tags(tags); len(res.Tags) > 0 {
		args = append(args, "-tags="+strings.Join(res.Tags, ","))
	}
	user := r.o.LDFlags
	if user == "" {
		user = r.goflags.ldflags
	}
	if res.LDFlags = ldflags(flags, user); res.LDFlags != "" {
		args = append(args, "-ldflags="+res.LDFlags)
	}
	return args, env
}
