package cgo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/fstest"
	"time"
)

// packFolders are an older folder with a compiler for Windows and a newer one with what has changed since.
func packFolders(t *testing.T) (older, newer fstest.MapFS, packs []*Pack) {
	t.Helper()
	older, newer = fstest.MapFS{}, fstest.MapFS{}
	deb := func(name, version string) Deb {
		data := debOf(t, "Package: "+name+"\n", "", entry{name: "./usr/bin/x86_64-w64-mingw32-" + name, text: "#!/bin/sh\n# " + version, mode: 0o755})
		sum := sha256.Sum256(data)
		d := Deb{Name: name, Version: version, Arch: "all", File: name + "_" + version + "_all.deb", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
		newer[d.PackName()] = &fstest.MapFile{Data: data}
		return d
	}
	for _, version := range []string{"1", "2"} {
		p, _, err := recipe(mingwTarget)
		if err != nil {
			t.Fatal(err)
		}
		p.Debs = []Deb{deb("binutils", "1"), deb("gcc", version)}
		packs = append(packs, p)
	}
	for i, folder := range []fstest.MapFS{older, newer} {
		index, err := PackIndex(packs[i : i+1])
		if err != nil {
			t.Fatal(err)
		}
		folder[PackIndexName] = &fstest.MapFile{Data: index}
	}
	for _, d := range packs[0].Debs {
		older[d.PackName()] = newer[d.PackName()]
		delete(newer, d.PackName())
	}
	return older, newer, packs
}

// TestPackFolders: the first folder that has the target says what is needed, and each package is taken from where it is.
func TestPackFolders(t *testing.T) {
	older, newer, packs := packFolders(t)
	s := &Setup{Home: filepath.Join(t.TempDir(), "cc")}
	p, dir, err := s.OpenPackFolders(t.Context(), mingwTarget, []fs.FS{fstest.MapFS{}, newer, older})
	if err != nil || p.Debs[1] != packs[1].Debs[1] {
		t.Fatalf("%+v %v", p, err)
	}
	if left, err := missingDebs(dir, p.Debs); err != nil || len(left) > 0 {
		t.Errorf("missing: %v %v", left, err)
	}
	if err := s.Install(t.Context(), p, dir); err != nil || !s.Installed(packs[1]) {
		t.Errorf("install: %v", err)
	}
	// What was taken before an interruption is not taken again.
	delete(older, packs[0].Debs[0].PackName())
	if p, _, err := s.OpenPackFolders(t.Context(), mingwTarget, []fs.FS{newer}); err != nil || p.Debs[0] != packs[1].Debs[0] {
		t.Errorf("again: %v", err)
	}
}

// TestPackFoldersRefused: each way in which folders cannot give a compiler has its code, and nothing is taken for one.
func TestPackFoldersRefused(t *testing.T) {
	older, newer, packs := packFolders(t)
	other := *packs[0]
	if other.Host = "arm64"; runtime.GOARCH == "arm64" {
		other.Host = "amd64"
	}
	index, err := PackIndex([]*Pack{&other})
	if err != nil {
		t.Fatal(err)
	}
	short := fstest.MapFS{PackIndexName: older[PackIndexName]}
	for _, d := range packs[0].Debs {
		short[d.PackName()] = &fstest.MapFile{Data: []byte("!<arch>\n")}
	}
	for name, c := range map[string]struct {
		folders []fs.FS
		target  Target
		code    string
	}{
		"without the older one": {[]fs.FS{newer}, mingwTarget, SetupLacking},
		"other target":          {[]fs.FS{newer, older}, Target{OS: "linux", Arch: "s390x"}, SetupNotIn},
		"no index":              {[]fs.FS{fstest.MapFS{}}, mingwTarget, SetupNotIn},
		"bad index":             {[]fs.FS{fstest.MapFS{PackIndexName: {Data: []byte("{}")}}}, mingwTarget, SetupNotPack},
		"large index":           {[]fs.FS{fstest.MapFS{PackIndexName: {Data: make([]byte, maxPackIndex+1)}}}, mingwTarget, SetupNotPack},
		"other machine":         {[]fs.FS{fstest.MapFS{PackIndexName: {Data: index}}}, mingwTarget, SetupOtherHost},
		"cut package":           {[]fs.FS{short}, mingwTarget, SetupDamaged},
	} {
		s := &Setup{Home: t.TempDir()}
		var se *SetupError
		if _, _, err := s.OpenPackFolders(t.Context(), c.target, c.folders); !errors.As(err, &se) || se.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := ReadPackFolder(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder without an index: %v", err)
	}
}

func TestDebTime(t *testing.T) {
	built := "!<arch>\ndebian-binary   1770000000  0     0     100644  4         `\n2.0\n"
	for text, want := range map[string]time.Time{
		built:                                time.Unix(1770000000, 0),
		string(debOf(t, "Package: x\n", "")): {},
	} {
		file := filepath.Join(t.TempDir(), "x.deb")
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := DebTime(file); err != nil || !got.Equal(want) {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "no.deb")
	if err := os.WriteFile(file, make([]byte, 100), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := DebTime(file); !errors.Is(err, errDeb) {
		t.Errorf("no package: %v", err)
	}
}
