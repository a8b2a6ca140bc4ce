package toolchain

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

func TestVerifyNamesChanges(t *testing.T) {
	f := newVerFixture(t)
	for name, test := range verAlterations() {
		t.Run(name, func(t *testing.T) {
			f.t = t
			root := f.tree()
			test.do(t, root)
			for _, v := range []*Verifier{f.verifier(""), f.verifier("newetag/noetag"), f.fetcher(f.verifier("norange"))} {
				r := f.verify(v, root, StateAltered)
				if diff := cmp.Diff(test.want, r.Changes); diff != "" || !r.Named() || r.Harmless() {
					t.Errorf("%v: changes (-want +got):\n%s", v.Places, diff)
				}
				if r.Proof.Verdict != Refuted || r.Target != verTarget {
					t.Errorf("proof %+v of %s", r.Proof, r.Target)
				}
			}
		})
	}
}

func TestVerifyProved(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	for _, dir := range []string{"api", "doc", "misc", "test"} {
		verWrite(t, filepath.Join(root, dir, "x"), "of the archive", 0o644)
	}
	r := f.verify(f.verifier(), root, StateProved)
	want := verSums(f.files).H1(verTarget)
	if r.Want != want || r.Got != want || r.Proof.Verdict != Proved || len(r.Changes) != 0 || r.Err != nil {
		t.Errorf("report %+v, want the hash %s on both sides", r, want)
	}
	if diff := cmp.Diff([]string{"api", "doc", "misc", "test"}, r.NotCovered()); diff != "" {
		t.Errorf("not covered (-want +got):\n%s", diff)
	}
	if f.Count(".zip") != 0 {
		t.Errorf("the zip was asked for: %v", f.Requests())
	}
	if by := f.SumDBName(); r.Proof.By != by {
		t.Errorf("proof by %q, want %q", r.Proof.By, by)
	}
}

// Edits of distributors, and what desktops and builds leave, are named without any zip.
func TestVerifyWithoutNetwork(t *testing.T) {
	f := newVerFixture(t)
	env := func(from, to string) string { return strings.Replace(verGoEnv, from, to, 1) }
	for name, test := range map[string]struct {
		env   string
		add   []string
		lines []string
		what  ChangeWhat
	}{
		"local":         {env: env("=auto", "=local"), lines: []string{"-GOTOOLCHAIN=auto", "+GOTOOLCHAIN=local"}, what: WhatDistributor},
		"direct":        {env: env("https://proxy.example.test,direct", "direct"), lines: []string{"-GOPROXY=https://proxy.example.test,direct", "+GOPROXY=direct"}, what: WhatDistributor},
		"line gone":     {env: env("GOTOOLCHAIN=auto\n", ""), lines: []string{"-GOTOOLCHAIN=auto"}, what: WhatDistributor},
		"line added":    {env: verGoEnv + "GOFLAGS=-mod=mod\n", lines: []string{"+GOFLAGS=-mod=mod"}, what: WhatGoEnv},
		"other proxy":   {env: env("https://proxy.example.test,direct", "https://mirror.example.test"), lines: []string{"-GOPROXY=https://proxy.example.test,direct", "+GOPROXY=https://mirror.example.test"}, what: WhatGoEnv},
		"Windows lines": {env: strings.ReplaceAll(verGoEnv, "\n", "\r\n"), what: WhatGoEnv},
		"leftovers":     {env: verGoEnv, add: []string{".DS_Store", "src/fmt/.print.go.swp", "lib/hg/x.pyc", "pkg/linux_amd64/fmt.a", "pkg/tool/linux_arm64/asm", "bin/linux_arm64/go"}},
		"both":          {env: env("=auto", "=local"), add: []string{".DS_Store"}, lines: []string{"-GOTOOLCHAIN=auto", "+GOTOOLCHAIN=local"}, what: WhatDistributor},
		"other tools":   {env: verGoEnv, add: []string{"pkg/tool/linux_amd64/pprof"}},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			root := f.tree()
			verWrite(t, filepath.Join(root, "go.env"), test.env, 0o644)
			var want []Change
			for _, name := range test.add {
				verWrite(t, filepath.Join(root, filepath.FromSlash(name)), "junk", 0o755)
				what := WhatBuilt
				switch {
				case isJunk(name):
					what = WhatJunk
				case strings.HasSuffix(name, "pprof"):
					what = WhatNothing
				}
				want = append(want, Change{Name: name, Kind: Added, What: what})
			}
			if test.env != verGoEnv {
				want = append(want, Change{Name: goEnv, Kind: Altered, What: test.what, Lines: test.lines})
			}
			slices.SortFunc(want, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
			r := f.verify(f.verifier(), root, StateAltered)
			for i := range r.Changes {
				if name == "Windows lines" {
					r.Changes[i].Lines = nil // all of them
				}
			}
			if diff := cmp.Diff(want, r.Changes); diff != "" || r.Against != AgainstHash {
				t.Errorf("against %q, changes (-want +got):\n%s", r.Against, diff)
			}
			if harmless := name != "other tools" && test.what != WhatGoEnv; r.Harmless() != harmless {
				t.Errorf("harmless is %v", r.Harmless())
			}
		})
	}
}

// What a repair needs is known from the tree itself, also where a file is damaged by more
// than one edit: the kept hashes name it, but only if they add up.
func TestVerifyKeptSums(t *testing.T) {
	f := newVerFixture(t)
	home := Home{Dir: t.TempDir()}
	root := verTree(t, home.Root(verTarget), f.files)
	keep := func(s Sums) {
		w, err := os.Create(home.SumsFile(verTarget))
		verMust(t, err)
		_, err = s.WriteTo(w)
		verMust(t, err, w.Close())
	}
	verWrite(t, filepath.Join(root, "src", "fmt", "print.go"), "package evil\n", 0o644)
	want := []Change{{Name: "src/fmt/print.go", Kind: Altered}}
	v := f.verifier()
	v.Home = home

	keep(verSums(f.files))
	r := f.verify(v, root, StateAltered)
	if diff := cmp.Diff(want, r.Changes); diff != "" || r.Against != AgainstKept {
		t.Errorf("against %q, changes (-want +got):\n%s", r.Against, diff)
	}

	forged := maps.Clone(f.files)
	forged["src/fmt/print.go"] = "package evil\n"
	keep(verSums(forged))
	r = f.verify(v, root, StateAltered)
	if r.Named() || len(r.Changes) != 0 || !errors.Is(r.Err, goproxy.ErrUnavailable) {
		t.Errorf("forged hashes were believed: %+v", r)
	}
}

// A file that has the size and the CRC-32 of the right one is found all the same.
func TestVerifySameChecksum(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	name := "src/pkg7/file37.go"
	evil := verForge([]byte("package evil // "+f.files[name][16:]), crc32.ChecksumIEEE([]byte(f.files[name])))
	verWrite(t, filepath.Join(root, filepath.FromSlash(name)), string(evil), 0o644)
	if len(evil) != len(f.files[name]) || crc32.ChecksumIEEE(evil) != crc32.ChecksumIEEE([]byte(f.files[name])) {
		t.Fatal("the forgery is not one")
	}
	r := f.verify(f.verifier(""), root, StateAltered)
	if r.Named() || !errors.Is(r.Err, goproxy.ErrMismatch) {
		t.Errorf("without the whole zip: %+v", r)
	}
	r = f.verify(f.fetcher(f.verifier("")), root, StateAltered)
	if diff := cmp.Diff([]Change{{Name: name, Kind: Altered}}, r.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// verForge changes the last four bytes of data so that its CRC-32 is want.
func verForge(data []byte, want uint32) []byte {
	table := crc32.IEEETable
	n := len(data) - 4
	crc := ^crc32.ChecksumIEEE(data[:n])
	state := ^want
	var index [4]byte
	for i := 3; i >= 0; i-- {
		for k, e := range table {
			if e>>24 == state>>24 {
				index[i] = byte(k)
				state = (state ^ e) << 8
				break
			}
		}
	}
	for i := range 4 {
		data[n+i] = byte(crc) ^ index[i]
		crc = table[index[i]] ^ crc>>8
	}
	return data
}

// Places that do not work are left for the next, and the reason is told.
func TestVerifyNextPlace(t *testing.T) {
	f := newVerFixture(t)
	for _, test := range []struct {
		fault string
		want  error
		why   Fault
	}{
		{"404", goproxy.ErrNotExist, FaultAbsent},
		{"403", goproxy.ErrBlocked, FaultRefused},
		{"html", goproxy.ErrUnavailable, FaultWebPage},
		{"norange", goproxy.ErrUnavailable, FaultNoRange},
		{"reset", goproxy.ErrUnavailable, FaultLink},
		{"badzip/prefix", goproxy.ErrMismatch, ""},
		{"badzip/dup", goproxy.ErrMismatch, ""},
		{"wrongsum", goproxy.ErrMismatch, ""},
	} {
		t.Run(test.fault, func(t *testing.T) {
			f.t, f.troubles = t, nil
			root := f.tree()
			verMust(t, os.Remove(filepath.Join(root, "LICENSE")))
			v := f.verifier(test.fault, "")
			r := f.verify(v, root, StateAltered)
			if diff := cmp.Diff([]Change{{Name: "LICENSE", Kind: Missing}}, r.Changes); diff != "" || r.Source != v.Places[1].Name {
				t.Errorf("source %q, changes (-want +got):\n%s", r.Source, diff)
			}
			if len(f.troubles) != 1 || f.troubles[0].Place != v.Places[0].Name || !errors.Is(f.troubles[0].Err, test.want) {
				t.Fatalf("troubles %v, want one of %s that matches %v", f.troubles, v.Places[0].Name, test.want)
			}
			var fault *PlaceError
			if test.why != "" && (!errors.As(f.troubles[0].Err, &fault) || fault.Fault != test.why) {
				t.Errorf("trouble is %#v, want the fault %s", f.troubles[0].Err, test.why)
			}
		})
	}
}

func TestVerifyUnknown(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	refuse := func(err error) *Verifier { return &Verifier{Sums: verNoSums{err}} }
	for _, test := range []struct {
		v      *Verifier
		reason Reason
		err    error
	}{
		{&Verifier{}, ReasonOff, goproxy.ErrUnavailable},
		{refuse(goproxy.ErrBlocked), ReasonOff, goproxy.ErrBlocked},
		{refuse(goproxy.ErrNotExist), ReasonNoRecord, goproxy.ErrNotExist},
		{refuse(goproxy.ErrUnavailable), ReasonUnreachable, goproxy.ErrUnavailable},
	} {
		r := f.verify(test.v, root, StateUnknown)
		if r.Proof.Verdict != Unknown || r.Proof.Reason != test.reason || !errors.Is(r.Err, test.err) || r.Harmless() {
			t.Errorf("%v: proof %+v, error %v", test.reason, r.Proof, r.Err)
		}
		if _, err := test.v.Repair(t.Context(), root, r); !errors.Is(err, test.err) {
			t.Errorf("%v: repair without knowledge: %v", test.reason, err)
		}
	}
	if _, err := refuse(&sumdb.ForkError{}).Verify(t.Context(), root); !errors.Is(err, goproxy.ErrMismatch) {
		t.Errorf("a database that contradicts itself: %v", err)
	}
}

type verNoSums struct{ err error }

func (s verNoSums) Lookup(context.Context, string, string) (sumdb.Sums, error) {
	return sumdb.Sums{}, s.err
}

// Where the database cannot be asked, it is still known what was installed.
func TestVerifyAgainstRecord(t *testing.T) {
	f := newVerFixture(t)
	home := Home{Dir: t.TempDir()}
	root := verTree(t, home.Root(verTarget), f.files)
	sums := verSums(f.files)
	var list strings.Builder
	_, err := sums.WriteTo(&list)
	verMust(t, err)
	verWrite(t, home.SumsFile(verTarget), list.String(), 0o644)
	verWrite(t, home.RecordFile(verTarget), fmt.Sprintf(`{"version":"go1.99.1","os":"linux","arch":"amd64","h1":%q}`, sums.H1(verTarget)), 0o644)
	v := &Verifier{Sums: verNoSums{goproxy.ErrUnavailable}, Home: home}
	if r := f.verify(v, root, StateUnknown); r.Against != AgainstRecord || len(r.Changes) != 0 {
		t.Errorf("against %q: %v", r.Against, r.Changes)
	}
	verMust(t, os.Remove(filepath.Join(root, "LICENSE")))
	r := f.verify(v, root, StateAltered)
	if diff := cmp.Diff([]Change{{Name: "LICENSE", Kind: Missing}}, r.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestVerifyNoTree(t *testing.T) {
	empty := t.TempDir()
	devel := t.TempDir()
	verWrite(t, filepath.Join(devel, "VERSION"), "devel go1.28-abc\n", 0o644)
	for _, root := range []string{empty, devel} {
		if _, err := new(Verifier).Verify(t.Context(), root); !errors.Is(err, ErrTree) {
			t.Errorf("%s: %v, want ErrTree", root, err)
		}
	}
	if _, err := new(Verifier).Verify(t.Context(), filepath.Join(empty, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestVerifyCanceled(t *testing.T) {
	f := newVerFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	v := f.verifier("")
	v.Progress = func(Progress) { cancel() }
	if _, err := v.Verify(ctx, f.tree()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// A damaged VERSION, or none, does not hide what the tree should be where its folder says so.
func TestVerifyByName(t *testing.T) {
	f := newVerFixture(t)
	root := verTree(t, filepath.Join(t.TempDir(), "go1.99.1.linux-amd64"), f.files)
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		root = verTree(t, filepath.Join(t.TempDir(), "go1.99.1"), f.files)
	}
	for _, text := range []string{"go1.98.3\n", "rubbish\n", ""} {
		verWrite(t, filepath.Join(root, "VERSION"), text, 0o644)
		if text == "" {
			verMust(t, os.Remove(filepath.Join(root, "VERSION")))
		}
		r := f.verify(f.verifier(""), root, StateAltered)
		if r.Target != verTarget || len(r.Changes) != 1 || r.Changes[0].Name != "VERSION" {
			t.Errorf("%q: %s, %v", text, r.Target, r.Changes)
		}
	}
}

// A tree with the tools of two systems is recognized as the one that it is.
func TestVerifyTwoPlatforms(t *testing.T) {
	f := newVerFixture(t)
	root := f.tree()
	verWrite(t, filepath.Join(root, "pkg", "tool", "aix_ppc64", "asm"), "x", 0o755)
	r := f.verify(f.verifier(), root, StateAltered)
	if diff := cmp.Diff([]Change{{Name: "pkg/tool/aix_ppc64/asm", Kind: Added, What: WhatBuilt}}, r.Changes); diff != "" || r.Target != verTarget {
		t.Errorf("%s, changes (-want +got):\n%s", r.Target, diff)
	}
	if diff := cmp.Diff([]string{"aix-ppc64"}, r.Others); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
}

func FuzzOriginalGoEnvs(f *testing.F) {
	f.Add([]byte(verGoEnv))
	f.Add([]byte(strings.Replace(verGoEnv, "auto", "local", 1)))
	f.Add([]byte("a for details.\r\n\r\nb=c"))
	f.Fuzz(func(t *testing.T, edited []byte) {
		for _, guess := range originalGoEnvs(edited) {
			if string(guess) == string(edited) {
				t.Error("a guess that nothing was edited")
			}
			lines := lineChanges(guess, edited)
			minus := func(l string) bool { return l[0] == '-' }
			gone := len(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !minus(l) }))
			come := len(lines) - gone
			if strings.Count(string(guess), "\n")-gone+come != strings.Count(string(edited), "\n") {
				t.Errorf("%q to %q by %q", guess, edited, lines)
			}
		}
	})
}
