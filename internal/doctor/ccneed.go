package doctor

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
)

// A ccProject is what the packages of the project want of cgo.
type ccProject struct {
	known    bool     // the go command could say
	inModule bool     // there is a project here
	whole    bool     // all packages could be looked at; else those that are named are only some
	packages []string // that have C and are not of the standard library
	without  []string // those of them that are nothing without cgo
	cxx      []string // those with C++
	pkgs     []string // what they ask pkg-config for
}

// ccListFormat prints a line for each package with C. Fields are separated by tabs.
const ccListFormat = `{{if .Error}}!{{else if and (not .Standard) (or .CgoFiles .SwigFiles .SwigCXXFiles)}}{{.ImportPath}}{{"\t"}}{{len .CXXFiles}}{{"\t"}}{{range .CgoPkgConfig}}{{.}} {{end}}{{end}}`

// ccAskProject asks the go command which packages of the project have C. Nothing is downloaded or changed, no other toolchain
// taken.
func ccAskProject(ctx context.Context, x *Exam) ccProject {
	mod := x.GoEnv.Values["GOMOD"]
	p := ccProject{inModule: mod != "" && mod != "/dev/null" && mod != "NUL"}
	if _, asked := x.GoEnv.Values["GOMOD"]; !asked || !p.inModule {
		p.inModule = ccInModule(x)
	}
	if !p.inModule {
		return p
	}
	out, ok := ccList(ctx, x, "1", ccListFormat, "./...")
	if !ok {
		return p
	}
	p.known, p.whole = true, true
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if f[0] == "!" {
			p.whole = false
		}
		if len(f) < 3 {
			continue
		}
		p.packages = append(p.packages, f[0])
		if n, _ := strconv.Atoi(f[1]); n > 0 {
			p.cxx = append(p.cxx, f[0])
		}
		for _, name := range strings.Fields(f[2]) {
			if !strings.HasPrefix(name, "-") && !slices.Contains(p.pkgs, name) {
				p.pkgs = append(p.pkgs, name)
			}
		}
	}
	return p
}

// ccInModule reports whether the user stands in a project.
func ccInModule(x *Exam) bool {
	_, err := sdkProject(x)
	return err == nil
}

// ccList runs go list over packages and what they import.
func ccList(ctx context.Context, x *Exam, cgo, format string, packages ...string) (string, bool) {
	env := []string{"CGO_ENABLED=" + cgo, "GOPROXY=off", "GOTOOLCHAIN=local", "GOFLAGS=" + ccFlags(x.GoEnv.Values["GOFLAGS"])}
	args := append([]string{"list", "-e", "-deps", "-f", format}, packages...)
	res, err := x.Runner.Run(ctx, gocmd.Cmd{Name: "go", Args: args, Dir: x.Dir, Env: env})
	return string(res.Stdout), err == nil && res.ExitCode == 0
}

// ccFlags is GOFLAGS without what would let go list write go.mod.
func ccFlags(flags string) string {
	words := slices.DeleteFunc(strings.Fields(flags), func(w string) bool { return w == "-mod=mod" || w == "--mod=mod" })
	return strings.Join(words, " ")
}

// ccBare finds those of the packages that are nothing without cgo: the go command then excludes all of their files, or
// says by a stub that it cannot work.
func ccBare(ctx context.Context, x *Exam, p *ccProject) {
	out, ok := ccList(ctx, x, "0", `{{.ImportPath}}{{"\t"}}{{len .GoFiles}}`, p.packages...)
	if !ok {
		p.without = p.packages // the safe guess: they have C
		return
	}
	for line := range strings.Lines(out) {
		path, n, _ := strings.Cut(strings.TrimSpace(line), "\t")
		stub := path == "github.com/mattn/go-sqlite3"
		if slices.Contains(p.packages, path) && (n == "0" || stub) {
			p.without = append(p.without, path)
		}
	}
}
