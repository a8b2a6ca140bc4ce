package cgo

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]struct {
		target Target
		env    string
	}{
		"linux/amd64":             {Target{OS: "linux", Arch: "amd64"}, "GOOS=linux GOARCH=amd64"},
		"linux/arm/v7":            {Target{OS: "linux", Arch: "arm", Variant: "v7"}, "GOOS=linux GOARCH=arm GOARM=7"},
		"linux/arm/v6+softfloat":  {Target{OS: "linux", Arch: "arm", Variant: "v6+softfloat"}, "GOOS=linux GOARCH=arm GOARM=6,softfloat"},
		"linux/arm/v6/musl":       {Target{OS: "linux", Arch: "arm", Variant: "v6", Libc: "musl"}, "GOOS=linux GOARCH=arm GOARM=6"},
		"linux/arm64/v8.0+lse":    {Target{OS: "linux", Arch: "arm64", Variant: "v8.0+lse"}, "GOOS=linux GOARCH=arm64 GOARM64=v8.0,lse"},
		"linux/amd64/gnu.2.17":    {Target{OS: "linux", Arch: "amd64", Libc: "gnu", Floor: "2.17"}, "GOOS=linux GOARCH=amd64"},
		"linux/amd64/v3/gnu.2.17": {Target{OS: "linux", Arch: "amd64", Variant: "v3", Libc: "gnu", Floor: "2.17"}, "GOOS=linux GOARCH=amd64 GOAMD64=v3"},
		"linux/386/softfloat":     {Target{OS: "linux", Arch: "386", Variant: "softfloat"}, "GOOS=linux GOARCH=386 GO386=softfloat"},
		"linux/ppc64le/power9":    {Target{OS: "linux", Arch: "ppc64le", Variant: "power9"}, "GOOS=linux GOARCH=ppc64le GOPPC64=power9"},
		"linux/mips64le/hardfloat": {
			Target{OS: "linux", Arch: "mips64le", Variant: "hardfloat"}, "GOOS=linux GOARCH=mips64le GOMIPS64=hardfloat",
		},
		"windows/amd64/ucrt": {Target{OS: "windows", Arch: "amd64", Libc: "ucrt"}, "GOOS=windows GOARCH=amd64"},
		"plan9/386":          {Target{OS: "plan9", Arch: "386"}, "GOOS=plan9 GOARCH=386"},
	} {
		got, err := ParseTarget(text)
		if err != nil || got != want.target || got.String() != text {
			t.Errorf("ParseTarget(%q) = %+v %q, %v", text, got, got, err)
		}
		if env := strings.Join(got.Env(), " "); env != want.env {
			t.Errorf("%s: Env %s, want %s", text, env, want.env)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for text, want := range map[string]struct{ kind, part, near string }{
		"":                         {"form", "", ""},
		"linux":                    {"form", "", "linux/386"},
		"arm64":                    {"form", "", "linux/arm64"},
		"x86_64-linux-musl":        {"form", "", "linux/amd64/musl"},
		"aarch64-unknown-linux":    {"form", "", "linux/arm64"},
		"x86_64-linux-gnu.2.17":    {"form", "", "linux/amd64/gnu.2.17"},
		"x86_64-w64-mingw32":       {"form", "", "windows/amd64"},
		"linux-amd64":              {"form", "", "linux/amd64"},
		"macos/arm64":              {"os", "macos", "darwin/arm64"},
		"win/x64":                  {"os", "win", "windows/amd64"},
		"linux/x86_64":             {"arch", "x86_64", "linux/amd64"},
		"linux/armv7":              {"arch", "armv7", "linux/arm/v7"},
		"linux/arm/7":              {"libc", "7", "linux/arm/v7"},
		"darwin/386":               {"arch", "386", "darwin/amd64"},
		"linux/amd46":              {"arch", "amd46", "linux/amd64"},
		"Linux/AMD64":              {"os", "Linux", "linux/amd64"},
		"linx/amd64":               {"os", "linx", "linux/amd64"},
		"linux/amd64/glibc":        {"libc", "glibc", "linux/amd64/gnu"},
		"linux/amd64/musl.1.2":     {"libc", "musl.1.2", "linux/amd64/musl"},
		"linux/amd64/gnu.3":        {"floor", "3", "linux/amd64/gnu"},
		"linux/amd64/gnu.2.017":    {"floor", "2.017", "linux/amd64/gnu"},
		"linux/amd64/musl/v3":      {"variant", "musl", "linux/amd64/v3/musl"},
		"darwin/arm64/musl":        {"variant", "musl", "darwin/arm64"},
		"windows/amd64/gnu":        {"libc", "gnu", "windows/amd64"},
		"linux//amd64":             {"form", "", "linux/amd64"},
		"linux/amd64/v3/musl/foo":  {"form", "", "linux/amd64"},
		strings.Repeat("a/", 9999): {"form", "", ""},
	} {
		_, err := ParseTarget(text)
		e := (*TargetError)(nil)
		if !errors.As(err, &e) {
			t.Errorf("ParseTarget(%.60q): %v", text, err)
			continue
		}
		if e.Kind != want.kind || e.Part != want.part || (want.near != "") != (len(e.Near) > 0) || want.near != "" && e.Near[0] != want.near {
			t.Errorf("ParseTarget(%.60q): %s %q near %q; want %+v", text, e.Kind, e.Part, e.Near, want)
		}
		if !strings.Contains(err.Error(), "target ") {
			t.Errorf("%v", err)
		}
	}
}

// The table of platforms is the go command's.
func TestTargetsAreThoseOfGo(t *testing.T) {
	res, err := (&gocmd.Runner{}).Run(t.Context(), gocmd.Cmd{Name: "go", Args: []string{"tool", "dist", "list"}, Dir: os.TempDir(), Env: []string{"GOWORK=off"}})
	if err != nil || res.ExitCode != 0 {
		t.Fatal(err, string(res.Stderr))
	}
	var got []string
	for _, target := range Targets() {
		if target == target.Base() {
			got = append(got, target.String())
		}
		if again, err := ParseTarget(target.String()); err != nil || again != target {
			t.Errorf("%+v is read as %+v, %v", target, again, err)
		}
	}
	if want := strings.Fields(string(res.Stdout)); !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if (Target{OS: "plan9", Arch: "386"}).Cgo() || !(Target{OS: "linux", Arch: "riscv64", Libc: Musl}).Cgo() {
		t.Error("Cgo: plan9 has none, linux has it")
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, target := range Targets() {
		f.Add(target.String())
	}
	f.Add("x86_64-linux-gnu.2.17")
	f.Add("linux/arm/v5+softfloat/gnu.2.2.5")
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text)
		if err == nil {
			if target.String() != text {
				t.Fatalf("%q is read as %q", text, target)
			}
			return
		}
		e := (*TargetError)(nil)
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		for _, name := range e.Near {
			if _, err := ParseTarget(name); err != nil {
				t.Fatalf("%q: near is %q: %v", text, name, err)
			}
		}
	})
}

func TestGoEnv(t *testing.T) {
	c := Compiler{CC: []string{"/opt/my cc/gcc", "-m32", "it's", ""}, AR: []string{"ar"}, Env: []string{"PKG_CONFIG=x"}}
	got := c.GoEnv()
	want := []string{"CGO_ENABLED=1", `CC='/opt/my cc/gcc' -m32 "it's" ''`, "CXX=" + NoCXX, "AR=ar", "PKG_CONFIG=x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzSplitWords(f *testing.F) {
	f.Add("a 'b c' \"d'e\"")
	f.Fuzz(func(t *testing.T, s string) {
		words, err := splitWords(s)
		if err != nil {
			return
		}
		for _, w := range words {
			if strings.Contains(w, "'") && strings.Contains(w, `"`) {
				return // cannot be said
			}
		}
		again, err := splitWords(quoteWords(words))
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("%q: %q again %q, %v", s, words, again, err)
		}
	})
}
