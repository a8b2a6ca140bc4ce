package cgo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// settle makes the programs that were unpacked into work run from the folder that it will become. host are the
// libraries that they need.
//
// A compiler finds its own parts from where it lies. What it does not find that way is told to it: absolute paths in
// linker scripts and specs are written anew, and each program is started by a wrapper that says where its libraries are.
func (s *Setup) settle(p *Pack, work string, host []string) error {
	final, err := filepath.Abs(s.Dir(p))
	if err != nil {
		return err
	}
	for _, d := range []string{"bin", hostLib} {
		if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
			return err
		}
	}
	for _, name := range host {
		if err := os.Symlink(filepath.Join("..", filepath.FromSlash(name)), filepath.Join(work, hostLib, filepath.Base(name))); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	switch p.Kind {
	case "cross":
		err = rewriteScripts(filepath.Join(work, "usr", p.Triple, "lib"), final)
	case "musl":
		err = rewriteSpecs(filepath.Join(work, "usr", "lib", muslTriple(p)), final)
	case "native": // the paths in its scripts begin at the sysroot
		err = mergeUsr(work)
	}
	if err != nil {
		return err
	}
	return writeWrappers(p, work, final)
}

// muslTriple is what Debian calls the musl of the machine itself.
func muslTriple(p *Pack) string { return strings.Replace(p.Triple, "-gnu", "-musl", 1) }

// hostLib is the folder with the libraries that the programs of a compiler need themselves.
const hostLib = "hostlib"

// mergeUsr gives a root the links that a system with a merged /usr has. They are made last: nothing is unpacked through them.
func mergeUsr(work string) error {
	for _, name := range []string{"lib", "lib64"} {
		if _, err := os.Stat(filepath.Join(work, "usr", name)); err != nil {
			continue
		}
		if err := os.Symlink(filepath.Join("usr", name), filepath.Join(work, name)); err != nil {
			return err
		}
	}
	return nil
}

var scriptPath = regexp.MustCompile(`(^|[\s(])(/(?:usr|lib)[^\s()]*)`)

// rewriteScripts gives the linker scripts in dir, which stand for libraries, the paths where these lie:
// libc.so, libm.so and libm.a of Debian's cross compilers name others by absolute paths.
func rewriteScripts(dir, final string) error {
	entries, err := os.ReadDir(dir)
	if err = ignoreAbsent(err); err != nil { // without a libc there is nothing to mend; trying the compiler tells
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 4096 || !strings.HasSuffix(e.Name(), ".so") && !strings.HasSuffix(e.Name(), ".a") {
			continue
		}
		name := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(data), "/* GNU ld script") {
			continue
		}
		if err := os.WriteFile(name, scriptPath.ReplaceAll(data, []byte(`${1}"`+strings.ReplaceAll(final, "$", "$$")+`${2}"`)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// rewriteSpecs gives the specs of musl-gcc the paths where musl lies. The path of the interpreter stays: it is that of
// the systems that the programs are for.
func rewriteSpecs(dir, final string) error {
	name := filepath.Join(dir, "musl-gcc.specs")
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	at := regexp.MustCompile(`(/usr/(?:include|lib)/[^\s/]*-musl)`)
	here := strings.ReplaceAll(strings.NewReplacer(`\`, `\\`, " ", `\ `, "%", "%%").Replace(final), "$", "$$")
	return os.WriteFile(name, at.ReplaceAll(data, []byte(here+"${1}")), 0o644)
}

// wrapped are the programs of a compiler that others start by name.
func wrapped() []string {
	return []string{"gcc", "g++", "c++", "cpp", "ar", "as", "ld", "nm", "objcopy", "objdump", "ranlib", "readelf", "strip", "size", "addr2line", "windres", "dlltool", "gcc-ar", "gcc-nm", "gcc-ranlib"}
}

// writeWrappers puts the programs into bin, under the names that a system has them.
func writeWrappers(p *Pack, work, final string) error {
	made := 0
	for _, tool := range wrapped() {
		program, err := toolIn(filepath.Join(work, "usr", "bin"), p, tool)
		if err != nil {
			return err
		}
		if program == "" {
			continue
		}
		made++
		names := []string{p.Triple + "-" + tool}
		if p.Kind == "musl" && tool != "gcc" {
			if slices.Contains([]string{"g++", "c++", "cpp"}, tool) { // of glibc: musl-tools has none for C++
				continue
			}
			names = []string{muslTriple(p) + "-" + tool}
		} else if p.Kind == "musl" {
			names = []string{muslTriple(p) + "-gcc", "musl-gcc"}
		} else if p.Kind == "native" {
			names = append(names, tool)
		}
		for _, name := range names {
			if err := writeWrapper(p, filepath.Join(work, "bin", name), final, program, tool); err != nil {
				return err
			}
		}
	}
	if p.Kind == "musl" && !p.Whole {
		made++
		for _, name := range []string{muslTriple(p) + "-gcc", "musl-gcc"} {
			if err := writeWrapper(p, filepath.Join(work, "bin", name), final, "", "gcc"); err != nil {
				return err
			}
		}
	}
	if made == 0 {
		return fmt.Errorf("%w: no program called %s-gcc in the packages", errDeb, p.Triple)
	}
	return nil
}

// toolIn finds a program in a folder: as it is called, with the kind of threads that Go needs, or with its version.
func toolIn(bin string, p *Pack, tool string) (string, error) {
	name := p.Triple + "-" + tool
	entries, err := filepath.Glob(filepath.Join(bin, name+"*"))
	if err != nil {
		return "", err
	}
	versioned := regexp.MustCompile(`^` + regexp.QuoteMeta(name) + `-\d+(-posix)?$`)
	best := ""
	for _, e := range entries {
		switch base := filepath.Base(e); {
		case base == name+"-posix":
			return base, nil
		case base == name:
			best = base
		case best == "" && versioned.MatchString(base):
			best = base
		}
	}
	return best, nil
}

// writeWrapper writes a script that starts a program of the folder.
func writeWrapper(p *Pack, name, final, program, tool string) error {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	compiles := slices.Contains([]string{"gcc", "g++", "c++", "cpp"}, tool)
	bin := filepath.Join(final, "usr", "bin")
	line := quote(filepath.Join(bin, program))
	after := ""
	switch {
	case !compiles:
	case p.Kind == "musl":
		after = " -specs=" + quote(filepath.Join(final, "usr", "lib", muslTriple(p), "musl-gcc.specs"))
		if program == "" {
			line = `"${REALGCC:-` + p.Triple + `-gcc}"`
		} else {
			line += " -B" + quote(bin+"/")
		}
	case p.Kind == "native":
		line += " --sysroot=" + quote(final) + " -B" + quote(bin+"/")
	}
	text := "#!/bin/sh\n# Written by goferry cgo setup " + p.Target + ".\n"
	if p.Whole {
		text += "LD_LIBRARY_PATH=" + quote(filepath.Join(final, hostLib)) + "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\nexport LD_LIBRARY_PATH\n"
	}
	return os.WriteFile(name, []byte(text+"exec "+line+` "$@"`+after+"\n"), 0o755)
}
