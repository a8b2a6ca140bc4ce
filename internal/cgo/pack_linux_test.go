package cgo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/gocmd"
)

// TestPacks carries a compiler to a machine that has no apt, and from there the same bytes on.
func TestPacks(t *testing.T) {
	s := mingwRepo(t).setup(true)
	p, err := s.Plan(t.Context(), mingwTarget, true)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Fetch(t.Context(), mingwTarget, p)
	if err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	if err := errors.Join(SavePacks(&one, []*Pack{p}, []string{dir}), SavePacks(&two, []*Pack{p}, []string{dir})); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatalf("saved twice: %v", err)
	}
	tools := t.TempDir()
	for _, name := range []string{"xz", "sh"} {
		path, err := s.runner().FindTool(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	far := &Setup{Home: filepath.Join(t.TempDir(), "cc"), Runner: &gocmd.Runner{Env: []string{"PATH=" + tools}}}
	got, debs, err := far.OpenPack(t.Context(), mingwTarget, bytes.NewReader(one.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := far.Install(t.Context(), got, debs); err != nil || !far.Installed(p) {
		t.Fatal(err)
	}
	list, err := ReadPackIndex(bytes.NewReader(one.Bytes()))
	if diff := cmp.Diff([]*Pack{p}, list); err != nil || diff != "" {
		t.Errorf("index (-want +got):\n%s%v", diff, err)
	}
	flip := bytes.Clone(one.Bytes())
	flip[len(flip)*2/3] ^= 1
	for name, c := range map[string]struct {
		data   []byte
		target Target
		code   string
	}{
		"cut":        {one.Bytes()[:one.Len()/2], mingwTarget, SetupDamaged},
		"changed":    {flip, mingwTarget, SetupDamaged},
		"other":      {one.Bytes(), Target{OS: "windows", Arch: "386"}, SetupNotIn},
		"no pack":    {[]byte("hello"), mingwTarget, SetupNotPack},
		"other host": {bytes.Replace(one.Bytes(), []byte(`"host": "`+runtime.GOARCH+`"`), []byte(`"host": "`+map[bool]string{true: "s390x", false: "riscv64"}[len(runtime.GOARCH) == 5]+`"`), 1), mingwTarget, SetupOtherHost},
		"bad name":   {bytes.Replace(one.Bytes(), []byte(`"name": "windows-amd64"`), []byte(`"name": "../dows-amd64"`), 1), mingwTarget, SetupNotPack},
	} {
		var se *SetupError
		p, debs, err := far.OpenPack(t.Context(), c.target, bytes.NewReader(c.data))
		if err == nil {
			err = far.Install(t.Context(), p, debs)
		}
		if !errors.As(err, &se) || se.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if !far.Installed(p) {
		t.Error("what was installed is gone")
	}
}
