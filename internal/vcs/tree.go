package vcs

import (
	"context"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/goferry/goferry/internal/goproxy"
)

// checkTree looks whether the files of a version can be in a module zip at all: names, sizes and collisions. It
// returns nil if they can, or if that cannot be found out.
// https://go.dev/ref/mod#zip-files
func (s *Source) checkTree(ctx context.Context, req goproxy.Request, o *origin) error {
	dir := s.workDir("git3", o.URL)
	if !isDir(dir) || o.Hash == "" {
		return nil
	}
	_, major, _ := module.SplitPathVersion(req.Path)
	subs := []string{o.Subdir}
	if strings.HasPrefix(major, "/") {
		subs = []string{path.Join(o.Subdir, major[1:]), o.Subdir} // the folder of the major version, where there is one
	}
	for _, sub := range subs {
		res, err := s.startIn(ctx, dir, "git", "ls-tree", "-r", "-l", "-z", "--full-tree", o.Hash+":"+sub)
		if err != nil || res.ExitCode != 0 {
			continue
		}
		_, err = zip.CheckFiles(parseTree(string(res.Stdout)))
		return err
	}
	return nil
}

// parseTree parses what git ls-tree -r -l -z prints: "mode type hash size\tname\0".
func parseTree(out string) []zip.File {
	var files []zip.File
	for entry := range strings.SplitSeq(out, "\x00") {
		meta, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(meta)
		if !ok || len(fields) != 4 || fields[1] != "blob" {
			continue
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			continue
		}
		mode := fs.FileMode(0o644)
		if fields[0] == "120000" {
			mode |= fs.ModeSymlink
		}
		files = append(files, treeFile{name, size, mode})
	}
	return files
}

// A treeFile is a file of a tree whose content is not needed.
type treeFile struct {
	name string
	size int64
	mode fs.FileMode
}

func (f treeFile) Path() string                 { return f.name }
func (f treeFile) Lstat() (fs.FileInfo, error)  { return treeInfo{f}, nil }
func (f treeFile) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }

type treeInfo struct{ f treeFile }

func (i treeInfo) Name() string       { return path.Base(i.f.name) }
func (i treeInfo) Size() int64        { return i.f.size }
func (i treeInfo) Mode() fs.FileMode  { return i.f.mode }
func (i treeInfo) ModTime() time.Time { return time.Time{} }
func (i treeInfo) IsDir() bool        { return false }
func (i treeInfo) Sys() any           { return nil }
