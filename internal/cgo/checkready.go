package cgo

import (
	"context"
	"errors"
	"runtime"
	"slices"
)

// compiler looks for a compiler for a target, and tries those that are there until one works. cxx: it is to know C++.
func (l *checkLoader) compiler(ctx context.Context, t Target, ct *CheckTarget, cxx bool) error {
	if l.Finder == nil || ct.State == StateSame {
		return nil // nobody needs one
	}
	found, err := l.Finder.Find(ctx, t)
	var missing *MissingError
	switch {
	case errors.As(err, &missing):
		ct.Missing = missing.Reason
	case err != nil:
		return err
	}
	for _, c := range found {
		if c.Family == Zig && !l.o.Build {
			ct.Compiler = &c // it has what it needs with it, and would compile a libc for minutes to show that
			return nil
		}
		probe, err := l.Finder.TryLean(ctx, c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && probe.C && (probe.CXX || !cxx) {
			ct.Compiler, ct.Tried = &c, true
			return nil
		}
		b := CgoBroken{Compiler: c, Said: probe.Said}
		if err != nil {
			b.Said = err.Error()
		}
		ct.Broken = append(ct.Broken, b)
	}
	has := func(program string) bool {
		_, err := l.Runner.FindTool(program)
		return err == nil
	}
	ct.Install = InstallLines(t, runtime.GOOS, l.Release, has)
	return nil
}

// needsCXX reports whether a package that uses cgo on t has C++.
func needsCXX(uses []CgoUse, t Target) bool {
	return slices.ContainsFunc(uses, func(u CgoUse) bool {
		return slices.Contains(u.Languages, "C++") && slices.Contains(u.Targets, t.String())
	})
}
