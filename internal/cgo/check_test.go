package cgo

import (
	"context"
	"errors"
	"go/build/constraint"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/gocmd"
)

// project writes the files of a txtar archive of testdata/check and returns their folder.
func project(t *testing.T, name string) string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "check", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range a.Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkRunner runs the go command with settings of its own.
func checkRunner(t *testing.T, env ...string) *gocmd.Runner {
	t.Helper()
	return &gocmd.Runner{Env: append(os.Environ(), append([]string{"GOFLAGS=", "GOWORK=", "GOENV=off", "GOPROXY=off", "GOTOOLCHAIN=local"}, env...)...)}
}

func check(t *testing.T, o CheckOptions) CheckReport {
	t.Helper()
	rep, err := (&Checker{Runner: checkRunner(t)}).Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

var (
	linux  = Target{OS: "linux", Arch: "amd64"}
	musl   = Target{OS: "linux", Arch: "amd64", Libc: "musl"}
	win64  = Target{OS: "windows", Arch: "amd64"}
	darwin = Target{OS: "darwin", Arch: "arm64"}
)

// TestCheck looks at a project with a package of each kind.
func TestCheck(t *testing.T) {
	dir := project(t, "kinds")
	rep := check(t, CheckOptions{Dir: dir, Targets: []Target{linux, musl, win64}})
	if rep.Module != "example.com/kinds" || rep.Packages != 12 || rep.Host == "" || rep.CC == "" {
		t.Errorf("module %q, %d packages, host %q, cc %q", rep.Module, rep.Packages, rep.Host, rep.CC)
	}
	on := func(t ...string) []string { return t }
	all, unix := on("linux/amd64", "linux/amd64/musl", "windows/amd64"), on("linux/amd64", "linux/amd64/musl")
	want := []CgoUse{
		{Package: "example.com/kinds/alone", Own: true, Via: on("example.com/kinds/alone"), Files: []CgoFile{{Name: "alone.go"}}, Targets: all,
			Without: []CgoWithout{{Targets: all, State: StateFails, Went: on("alone.go")}}},
		{Package: "example.com/kinds/less", Own: true, Via: on("example.com/kinds/cmd/app", "example.com/kinds/less"), Targets: all,
			Files: []CgoFile{{Name: "fast.go"}}, PkgConfig: on("libzstd"), Libraries: on("brotli"),
			Without: []CgoWithout{{Targets: all, State: StateLess, Went: on("fast.go"), Lost: on("Fast", "T.Fast")}}},
		{Package: "example.com/kinds/other", Own: true, Via: on("example.com/kinds/cmd/app", "example.com/kinds/other"), Targets: unix,
			Files: []CgoFile{{Name: "c.go", Constraint: "cgo && !windows && !purego"}}, Languages: on("C++"), AvoidTags: on("purego"),
			Without: []CgoWithout{{Targets: unix, State: StateOther, Went: on("c.go"), Came: on("pure.go")}}},
		{Package: "example.com/kinds/stub", Own: true, Via: on("example.com/kinds/cmd/app", "example.com/kinds/stub"), Targets: all,
			Files:   []CgoFile{{Name: "c.go", Constraint: "cgo"}},
			Without: []CgoWithout{{Targets: all, State: StateStub, Went: on("c.go"), Came: on("stub.go"), Says: "stub: this program was built without cgo"}}},
		{Package: "example.com/kinds/gone", Own: true, Via: on("example.com/kinds/cmd/app", "example.com/kinds/uses", "example.com/kinds/gone"), Targets: all,
			Files: []CgoFile{{Name: "gone.go"}}, Without: []CgoWithout{{Targets: all, State: StateGone, Went: on("gone.go")}}},
		{Package: "example.com/kinds/uses", Own: true, Via: on("example.com/kinds/cmd/app", "example.com/kinds/uses"), Targets: all,
			Without: []CgoWithout{{Targets: all, State: StateOther, Went: on("c.go"), Came: on("pure.go")}}},
		{Package: "example.com/kinds/vanished", Own: true, Via: on("example.com/kinds/cmd/broken", "example.com/kinds/vanished"), Targets: all,
			Files: []CgoFile{{Name: "v.go"}}, Without: []CgoWithout{{Targets: all, State: StateFails, Went: on("v.go")}}},
	}
	byPath := cmpopts.SortSlices(func(a, b CgoUse) bool { return a.Package < b.Package })
	if diff := cmp.Diff(want, rep.Uses, byPath, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(CgoUse{}, "Module")); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	failures := []CgoFailure{
		{Package: "example.com/kinds/alone", Reason: "excluded"},
		{Package: "example.com/kinds/vanished", Reason: "excluded", By: "example.com/kinds/cmd/broken"},
		{Package: "example.com/kinds/cmd/lost", Reason: "compile", Said: "cmd/lost/main.go:5:20: undefined: less.Fast"},
	}
	for i, target := range all {
		got := rep.Targets[i]
		if got.Target != target || got.State != StateFails || got.Now != NowNot {
			t.Errorf("%s: %+v", target, got)
		}
		if diff := cmp.Diff(failures, got.Failures); diff != "" {
			t.Errorf("%s: failures (-want +got):\n%s", target, diff)
		}
	}
	if diff := cmp.Diff([]CgoTagged{{Package: "example.com/kinds/tagged", Module: "example.com/kinds", Tags: on("withc"), Files: on("c.go", "two_linux.go"), Targets: all}}, rep.ByTags); diff != "" {
		t.Errorf("by tags (-want +got):\n%s", diff)
	}
}

// TestCheckAsGoBuilds holds what is found without a build to what go build says, package by package.
func TestCheckAsGoBuilds(t *testing.T) {
	dir := project(t, "kinds")
	o := CheckOptions{Dir: dir, Targets: []Target{linux}}
	quick := check(t, o)
	o.Build = true
	built := check(t, o)
	if diff := cmp.Diff(built, quick, cmpopts.IgnoreFields(CgoFailure{}, "Said")); diff != "" {
		t.Errorf("(-go build +types):\n%s", diff)
	}
}

// TestCheckOne names what to look at: programs that each have one verdict.
func TestCheckOne(t *testing.T) {
	dir := project(t, "kinds")
	tests := []struct {
		pkg    string
		tags   []string
		target Target
		state  State
		now    Now
		std    string
	}{
		{"./plain", nil, linux, StateSame, NowPlain, ""},
		{"./other", nil, linux, StateOther, NowWithout, ""},
		{"./other", []string{"purego"}, linux, StateSame, NowPlain, ""},
		{"./other", nil, win64, StateSame, NowPlain, ""},
		{"./stub", nil, linux, StateStub, NowPartly, ""},
		{"./less", nil, linux, StateLess, NowPartly, ""},
		{"./cmd/lost", nil, linux, StateFails, NowNot, ""},
		{"./cmd/broken", nil, linux, StateFails, NowNot, ""},
		{"./uses", nil, linux, StateOther, NowWithout, ""},
		{"./tagged", nil, linux, StateSame, NowPlain, "net runtime/cgo"},
		{"./tagged", []string{"withc"}, linux, StateOther, NowWithout, "net runtime/cgo"},
		{"./tagged", nil, darwin, StateSame, NowPlain, ""},
	}
	for _, tt := range tests {
		t.Run(tt.pkg[2:]+" "+tt.target.String()+strings.Join(tt.tags, ","), func(t *testing.T) {
			got := check(t, CheckOptions{Dir: dir, Packages: []string{tt.pkg}, Targets: []Target{tt.target}, Tags: tt.tags}).Targets[0]
			got.Standard = slices.DeleteFunc(got.Standard, func(p string) bool { return !strings.Contains("net os/user", p) })
			std := slices.DeleteFunc(strings.Fields(tt.std), func(p string) bool { return p == "runtime/cgo" })
			if got.State != tt.state || got.Now != tt.now || !slices.Equal(got.Standard, std) {
				t.Errorf("%+v, want %s, %s, %v", got, tt.state, tt.now, std)
			}
		})
	}
}

// TestCheckBothWays tells what cgo has nothing to do with from what it has.
func TestCheckBothWays(t *testing.T) {
	dir := project(t, "both")
	rep := check(t, CheckOptions{Dir: dir, Targets: []Target{linux, win64}})
	want := [][]CgoFailure{nil, {
		{Package: "example.com/both/onlylinux", Reason: "excluded", By: "example.com/both/needs", Anyway: true},
		{Package: "example.com/both/kill", Reason: "compile", Said: "kill/kill.go:9:23: undefined: syscall.Kill", Anyway: true},
	}}
	for i, w := range want {
		if diff := cmp.Diff(w, rep.Targets[i].Failures); diff != "" {
			t.Errorf("%s (-want +got):\n%s", rep.Targets[i].Target, diff)
		}
	}
	if rep.Targets[0].Now != NowWithout || rep.Targets[1].Now != NowNot {
		t.Errorf("now %s and %s", rep.Targets[0].Now, rep.Targets[1].Now)
	}
}

func TestCheckErrors(t *testing.T) {
	outside := t.TempDir()
	empty := t.TempDir()
	write := func(dir, name, data string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(empty, "go.mod", "module example.com/empty\n\ngo 1.21\n")
	missing := t.TempDir()
	write(missing, "go.mod", "module example.com/missing\n\ngo 1.21\n")
	write(missing, "m.go", "package missing\n\nimport _ \"example.com/absent\"\n")
	c := &Checker{Runner: checkRunner(t)}
	if _, err := c.Check(t.Context(), CheckOptions{Dir: outside}); !errors.Is(err, gocmd.ErrNoModule) {
		t.Errorf("outside of a module: %v", err)
	}
	if _, err := c.Check(t.Context(), CheckOptions{Dir: empty}); !errors.Is(err, ErrNoPackages) {
		t.Errorf("no packages: %v", err)
	}
	var ge *gocmd.GoError
	if _, err := c.Check(t.Context(), CheckOptions{Dir: missing}); !errors.As(err, &ge) || !strings.Contains(ge.Error(), "example.com/absent") {
		t.Errorf("a module that is missing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(done, _ int, _ string) {
		if done == 1 {
			cancel()
		}
	}
	if _, err := c.Check(ctx, CheckOptions{Dir: project(t, "kinds"), Targets: []Target{linux, win64, darwin}}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	none := &Checker{Runner: &gocmd.Runner{Env: []string{"PATH=" + empty}}}
	if _, err := none.Check(t.Context(), CheckOptions{Dir: missing}); !errors.Is(err, gocmd.ErrNoTool) {
		t.Errorf("no go command: %v", err)
	}
}

// TestCheckProgress counts up to the end.
func TestCheckProgress(t *testing.T) {
	c := &Checker{Runner: checkRunner(t)}
	last, of := 0, 0
	c.Progress = func(done, total int, target string) {
		if done < last || done > total || target == "" {
			t.Errorf("%d of %d at %q after %d", done, total, target, last)
		}
		last, of = done, total
	}
	if _, err := c.Check(t.Context(), CheckOptions{Dir: project(t, "both"), Targets: []Target{linux, win64}}); err != nil || last != of || of == 0 {
		t.Errorf("%d of %d, %v", last, of, err)
	}
}

func TestTagsFor(t *testing.T) {
	l := &checkLoader{tags: []string{"set"}}
	tests := []struct {
		constraint string
		want       string
	}{
		{"cgo", ""},
		{"ignore", ""},
		{"cgo && sqlite_icu", "sqlite_icu"},
		{"cgo && a && b && linux", "a b"},
		{"(a || b) && cgo", "a"},
		{"a && windows", ""},
		{"set && a", "a"},
		{"set && !cgo", ""},
		{"amd64.v3 && go1.21 && goexperiment.x && a", ""}, // amd64.v3 is of GOAMD64, not of the user
	}
	for _, tt := range tests {
		expr := mustConstraint(t, tt.constraint)
		if got := strings.Join(l.tagsFor(expr, &checkLoad{goos: "linux", goarch: "amd64"}), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.constraint, got, tt.want)
		}
	}
}

func TestNameFits(t *testing.T) {
	for name, want := range map[string]bool{
		"a.go": true, "linux.go": true, "a_linux.go": true, "a_windows.go": false, "a_amd64.go": true, "a_arm64.go": false,
		"a_linux_amd64.go": true, "a_linux_arm64.go": false, "a_b.go": true, "a_windows_b.go": true, "a_unix.go": true, "windows_amd64.go": true,
	} {
		if got := nameFits(name, "linux", "amd64"); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func mustConstraint(t *testing.T, text string) constraint.Expr {
	t.Helper()
	expr, err := constraint.Parse("//go:build " + text)
	if err != nil {
		t.Fatal(err)
	}
	return expr
}
