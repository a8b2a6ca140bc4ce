// Package sourcetest holds what every goproxy.Source must do, as tests.
//
// It knows no particular source, and brings no upstream of its own.
package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Want says what a Source has.
type Want struct {
	Files  map[string][]byte // content by protocol name
	Absent []string          // names of files that it does not have
}

// Sample returns a small tree with every kind of file and name: capitals, a major version in
// the path and one in the suffix, a pseudo-version, and a zip of several hundred
// kilobytes. The zips are no archives.
func Sample() Want {
	w := Want{Files: map[string][]byte{}}
	w.module("example.com/!upper/mod", 900, "v0.9.0-rc.1", "v1.0.0", "v1.2.3")
	w.module("example.com/mod/v2", 70<<10, "v2.0.0")
	w.module("example.com/old", 300<<10, "v0.1.0", "v3.0.0+incompatible")
	w.module("gopkg.in/yaml.v3", 0, "v3.0.1")
	w.version("example.com/mod/v2", "v2.0.1-0.20240102030405-0123456789ab", 100)
	w.Absent = []string{
		"example.com/mod/@v/list",
		"example.com/mod/@latest",
		"example.com/!upper/mod/@v/v1.9.9.info",
		"example.com/!upper/mod/@v/v1.9.9.mod",
		"example.com/!upper/mod/@v/v1.9.9.zip",
		"example.com/!upper/mod/@v/main.info",
		"example.com/upper/mod/@v/v1.0.0.mod",
	}
	return w
}

// module adds a module whose zips have about size bytes.
func (w Want) module(escaped string, size int, versions ...string) {
	for i, v := range versions {
		w.version(escaped, v, size+i)
	}
	w.Files[escaped+"/@v/list"] = []byte(strings.Join(versions, "\n") + "\n")
	w.Files[escaped+"/@latest"] = w.Files[escaped+"/@v/"+versions[len(versions)-1]+".info"]
}

func (w Want) version(escaped, version string, size int) {
	base := escaped + "/@v/" + version
	w.Files[base+".info"] = fmt.Appendf(nil, `{"Version":%q,"Time":"2024-01-02T03:04:05Z","Origin":{"VCS":"git"}}`, version)
	w.Files[base+".mod"] = []byte("module " + strings.ReplaceAll(escaped, "!u", "U") + "\n")
	zip := make([]byte, size)
	rnd := rand.New(rand.NewPCG(uint64(size), 1))
	for i := range zip {
		zip[i] = byte(rnd.Uint32())
	}
	w.Files[base+".zip"] = zip
}

// Run tests that src has what want says, and answers as the documentation of
// goproxy.Source and goproxy.File demands.
func Run(t *testing.T, src goproxy.Source, want Want) {
	t.Helper()
	for name, content := range want.Files {
		t.Run("has "+name, func(t *testing.T) { has(t, src, name, content) })
	}
	for _, name := range want.Absent {
		t.Run("lacks "+name, func(t *testing.T) {
			f, err := src.Open(t.Context(), parse(t, name))
			wantError(t, f, err, goproxy.ErrNotExist)
			if !strings.Contains(err.Error(), parse(t, name).Path) {
				t.Errorf("the error does not say what is missing: %v", err)
			}
		})
	}
	t.Run("invalid", func(t *testing.T) {
		for _, req := range []goproxy.Request{
			{},
			{Path: "example.com/mod", Version: "v1.0.0"},
			{Path: "no dot/mod", Version: "v1.0.0", Kind: goproxy.Mod},
			{Path: "example.com/../mod", Kind: goproxy.List},
			{Path: "example.com/mod", Version: "../../v1.0.0", Kind: goproxy.Info},
			{Path: "example.com/mod", Version: "v1.0", Kind: goproxy.Zip},
			{Path: "example.com/mod", Version: "v2.0.0", Kind: goproxy.Mod},
		} {
			f, err := src.Open(t.Context(), req)
			wantError(t, f, err, goproxy.ErrInvalid)
		}
	})
	t.Run("canceled", func(t *testing.T) { canceled(t, src, want) })
	t.Run("parallel", func(t *testing.T) { parallel(t, src, want) })
}

func parse(t *testing.T, name string) goproxy.Request {
	t.Helper()
	req, err := goproxy.ParseRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func wantError(t *testing.T, f goproxy.File, err, want error) {
	t.Helper()
	if f != nil {
		f.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("got file %v and error %v, want an error that is %q", f, err, want)
	}
	if !goproxy.Absent(err) {
		t.Errorf("%v is not Absent", err)
	}
}

// has tests one file: what it says of itself, reading it in all ways, and seeking.
func has(t *testing.T, src goproxy.Source, name string, content []byte) {
	f, err := src.Open(t.Context(), parse(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("read %d bytes and error %v, want %d bytes: %.100q", len(got), err, len(content), got)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != int64(len(content)) || info.Name() != path.Base(name) || !info.Mode().IsRegular() || info.IsDir() {
		t.Errorf("Stat is %s, %d bytes, mode %v; want %s, %d bytes", info.Name(), info.Size(), info.Mode(), path.Base(name), len(content))
	}
	if at, err := f.Seek(0, io.SeekStart); at != 0 || err != nil {
		t.Fatalf("Seek to the start: %d, %v", at, err)
	}
	if err := iotest.TestReader(f, content); err != nil {
		t.Error(err)
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek to -1 is no error")
	}
}

// canceled tests that a source that heeds the context says so, and says nothing worse.
func canceled(t *testing.T, src goproxy.Source, want Want) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range want.Absent {
		f, err := src.Open(ctx, parse(t, name))
		if err == nil {
			f.Close()
			t.Errorf("%s: no error", name)
		}
		if !errors.Is(err, context.Canceled) && !errors.Is(err, goproxy.ErrNotExist) {
			t.Errorf("%s: %v; want that the asker left", name, err)
		}
	}
}

// parallel reads everything with many goroutines.
func parallel(t *testing.T, src goproxy.Source, want Want) {
	var wg sync.WaitGroup
	for range 4 {
		for name, content := range want.Files {
			req := parse(t, name)
			wg.Go(func() {
				got, err := goproxy.ReadFile(t.Context(), src, req)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, error %v; want %d bytes", name, len(got), err, len(content))
				}
			})
		}
	}
	wg.Wait()
}
