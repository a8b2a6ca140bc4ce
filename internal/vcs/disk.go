package vcs

import (
	"archive/zip"
	"os"
	"path/filepath"

	"github.com/goferry/goferry/internal/goproxy"
)

// file is where a file of the protocol lies in the module cache.
// https://go.dev/ref/mod#module-cache
func (s *Source) file(req goproxy.Request) (string, error) {
	name, err := req.Name()
	if err != nil {
		return "", err
	}
	return filepath.Join(s.mod, "cache", "download", filepath.FromSlash(name)), nil
}

// cached opens an immutable file that the go command has put into its cache. The go command renames whole
// files into place but does not sync them, so a power cut can leave them empty or full of zeros; such
// files are removed.
func (s *Source) cached(req goproxy.Request) (goproxy.File, bool) {
	name, err := s.file(req)
	if err != nil {
		return nil, false
	}
	if req.Kind == goproxy.Info {
		return s.cachedInfo(req, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, false
	}
	if !whole(req.Kind, f) {
		f.Close()
		s.discard(name)
		return nil, false
	}
	return f, true
}

func (s *Source) cachedInfo(req goproxy.Request, name string) (goproxy.File, bool) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	st, err := os.Stat(name)
	if err != nil {
		return nil, false
	}
	if _, err := goproxy.ParseInfo(req, data); err != nil {
		s.discard(name)
		return nil, false
	}
	return goproxy.NewFile(req, data, st.ModTime(), nil), true
}

// whole reports whether f looks like what the go command has written. The directory of a zip is at its end.
func whole(kind goproxy.Kind, f *os.File) bool {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return false
	}
	if kind == goproxy.Zip {
		_, err := zip.NewReader(f, st.Size())
		return err == nil
	}
	first := make([]byte, 1)
	_, err = f.ReadAt(first, 0)
	return err == nil && first[0] != 0
}

func (s *Source) discard(name string) {
	s.log.Warn("removed a damaged file of the module cache", "file", name)
	for _, n := range []string{name, name + "hash"} { // .ziphash
		_ = os.Remove(n)
	}
}

// dropTree removes the unpacked module that go mod download makes beside the zip: nobody needs it.
func (s *Source) dropTree(dir string) {
	rel, err := filepath.Rel(s.mod, dir)
	if dir == "" || err != nil || !filepath.IsLocal(rel) || rel == "." {
		return
	}
	// Renamed first: another process that shares the folder must see all of it or nothing.
	gone, err := os.MkdirTemp(s.tmp(), "tree-")
	if err != nil {
		return
	}
	_ = os.Rename(dir, filepath.Join(gone, "tree"))
	_ = os.RemoveAll(gone)
}
