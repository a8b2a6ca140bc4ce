package cgo

import (
	"go/build/constraint"
	"slices"
	"strings"
)

// taggedFiles adds the files of a package that import "C" and are left out for want of build tags.
func (l *checkLoader) taggedFiles(tagged map[string]*CgoTagged, g *checkLoad, p *listed) {
	for _, name := range p.IgnoredGoFiles {
		if strings.HasSuffix(name, "_test.go") || !nameFits(name, g.goos, g.goarch) {
			continue
		}
		h := l.header(p.Dir, name)
		if !h.c || h.expr == nil {
			continue
		}
		tags := l.tagsFor(h.expr, g)
		if len(tags) == 0 {
			continue
		}
		key := p.ImportPath + " " + strings.Join(tags, ",")
		t := tagged[key]
		if t == nil {
			t = &CgoTagged{Package: p.ImportPath, Tags: tags}
			if p.Module != nil {
				t.Module = p.Module.Path
			}
			tagged[key] = t
		}
		t.Files = addTo(t.Files, name)
		for _, target := range g.targets {
			if s := target.String(); !slices.Contains(t.Targets, s) {
				t.Targets = append(t.Targets, s)
			}
		}
	}
}

// tagsFor are the fewest tags that are to be set, beside those that are, so that a constraint is met with cgo; nil if
// none do that.
func (l *checkLoader) tagsFor(expr constraint.Expr, g *checkLoad) []string {
	own := ownTags(expr)
	with := func(tags []string) bool {
		return expr.Eval(func(tag string) bool { return l.isSet(tag, g.goos, g.goarch) || slices.Contains(tags, tag) })
	}
	if len(own) == 0 || with(nil) {
		return nil
	}
	for _, tag := range own { // most want one
		if with([]string{tag}) {
			return []string{tag}
		}
	}
	if !with(own) {
		return nil
	}
	for i := 0; i < len(own); {
		if fewer := slices.Delete(slices.Clone(own), i, i+1); with(fewer) {
			own = fewer
		} else {
			i++
		}
	}
	return own
}

// avoidTags are the tags each of which alone leaves out all files of a package that import "C", on all targets.
func (l *checkLoader) avoidTags(u CgoUse) []string {
	var candidates []string
	exprs := make([]constraint.Expr, len(u.Files))
	for i, f := range u.Files {
		expr, err := constraint.Parse("//go:build " + f.Constraint)
		if err != nil {
			return nil // there is none: nothing leaves it out
		}
		exprs[i] = expr
		candidates = append(candidates, ownTags(expr)...)
	}
	slices.Sort(candidates)
	var found []string
	for _, tag := range slices.Compact(candidates) {
		out := func(expr constraint.Expr) bool {
			return !slices.ContainsFunc(u.Targets, func(target string) bool {
				goos, rest, _ := strings.Cut(target, "/")
				goarch, _, _ := strings.Cut(rest, "/")
				return expr.Eval(func(t string) bool { return t == tag || l.isSet(t, goos, goarch) })
			})
		}
		if !slices.ContainsFunc(exprs, func(e constraint.Expr) bool { return !out(e) }) {
			found = append(found, tag)
		}
	}
	return found
}

// ownTags are the tags of a constraint that nobody but the user sets, sorted.
func ownTags(expr constraint.Expr) []string {
	var tags []string
	var walk func(constraint.Expr)
	walk = func(e constraint.Expr) {
		switch e := e.(type) {
		case *constraint.AndExpr:
			walk(e.X)
			walk(e.Y)
		case *constraint.OrExpr:
			walk(e.X)
			walk(e.Y)
		case *constraint.NotExpr:
			walk(e.X)
		case *constraint.TagExpr:
			if !systemTag(e.Tag) {
				tags = addTo(tags, e.Tag)
			}
		}
	}
	walk(expr)
	return tags
}

// The words of constraints and file names that the go command knows; source: internal/syslist and go/build.
const (
	knownOS   = " aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos "
	knownArch = " 386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm "
	unixOS    = " aix android darwin dragonfly freebsd hurd illumos ios linux netbsd openbsd solaris "
	notOwn    = " cgo gc gccgo unix ignore race msan asan boringcrypto "
)

// systemTag reports whether a tag follows from the target, the compiler or a flag; ignore is how people say never.
func systemTag(tag string) bool {
	return strings.Contains(knownOS+knownArch+notOwn, " "+tag+" ") || strings.HasPrefix(tag, "go1.") || strings.HasPrefix(tag, "goexperiment.") ||
		slices.ContainsFunc(strings.Fields(knownArch), func(arch string) bool { return strings.HasPrefix(tag, arch+".") }) // amd64.v3
}

// isSet reports whether a tag is met for a target with cgo.
func (l *checkLoader) isSet(tag, goos, goarch string) bool {
	switch {
	case tag == "cgo", tag == "gc", tag == goos, tag == goarch, slices.Contains(l.tags, tag):
		return true
	case tag == "unix":
		return strings.Contains(unixOS, " "+goos+" ")
	case tag == "linux":
		return goos == "android"
	case tag == "darwin":
		return goos == "ios"
	case tag == "solaris":
		return goos == "illumos"
	}
	return strings.HasPrefix(tag, "go1.")
}

// nameFits reports whether the name of a file lets it be compiled for a target: NAME_OS_ARCH.go.
func nameFits(name, goos, goarch string) bool {
	parts := strings.Split(strings.TrimSuffix(name, ".go"), "_")
	if parts = parts[1:]; len(parts) == 0 {
		return true
	}
	known := func(list, s string) bool { return strings.Contains(list, " "+s+" ") }
	fitsOS := func(s string) bool {
		return s == goos || goos == "android" && s == "linux" || goos == "ios" && s == "darwin" || goos == "illumos" && s == "solaris"
	}
	last := parts[len(parts)-1]
	if len(parts) > 1 && known(knownArch, last) && known(knownOS, parts[len(parts)-2]) {
		return last == goarch && fitsOS(parts[len(parts)-2])
	}
	switch {
	case known(knownOS, last):
		return fitsOS(last)
	case known(knownArch, last):
		return last == goarch
	}
	return true
}
