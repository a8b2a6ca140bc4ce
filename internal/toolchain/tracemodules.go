package toolchain

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// Names of spans, before the path of the zip in the module cache. Source: cmd/go/internal/modfetch/fetch.go.
const (
	zipSpan   = "modfetch.downloadZip "
	unzipSpan = "unzip "
)

// traceGrain is how much older than it is a file may look: file systems keep coarse time.
const traceGrain = 20 * time.Millisecond

// downloads finds out what came into the module cache meanwhile. The go command records when it fetched a zip; of
// .info and .mod files only the file tells, which counts for this command if it was written while it ran.
func (tr *Trace) downloads(modcache string) {
	tr.Fetched = []TraceDownload{}
	if modcache == "" {
		return
	}
	root := filepath.Join(modcache, "cache", "download")
	zips := tr.zipSpans(root)
	since, until := tr.Start.Add(-traceGrain), tr.Start.Add(time.Duration(tr.Time)+traceGrain)
	_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // taken away meanwhile, or not ours to read
		}
		if d.IsDir() {
			// A folder that nothing was put into has nothing new, and these have no folders in them that matter.
			if b := filepath.Base(name); b == "@v" || b == "lookup" {
				if info, err := d.Info(); err != nil || info.ModTime().Before(since) {
					return fs.SkipDir
				}
			}
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return nil
		}
		sumdb := strings.HasPrefix(rel, "sumdb"+string(filepath.Separator))
		dl, ok := parseDownload(filepath.ToSlash(rel))
		if !ok && !sumdb {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.ModTime().Before(since) || info.ModTime().After(until) {
			return nil
		}
		if sumdb {
			tr.Sumdb++
			return nil
		}
		dl.Bytes = info.Size()
		dl.Arrived = tr.at(info.ModTime())
		if z, ok := zips[rel]; ok {
			dl.Begin, dl.Time, dl.Unpack = z.Begin, z.Time, z.Unpack
			dl.Arrived = max(dl.Arrived, dl.Begin) // see traceGrain
		}
		delete(zips, rel)
		tr.Fetched = append(tr.Fetched, dl)
		return nil
	})
	for rel, z := range zips {
		dl, ok := parseDownload(filepath.ToSlash(rel))
		if _, err := os.Stat(filepath.Join(root, rel)); ok && z.Time > 0 && errors.Is(err, fs.ErrNotExist) {
			dl.Begin, dl.Time, dl.Failed = z.Begin, z.Time, true
			tr.Fetched = append(tr.Fetched, dl)
		}
	}
	slices.SortFunc(tr.Fetched, func(a, b TraceDownload) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Module, b.Module), strings.Compare(a.Version, b.Version), strings.Compare(a.File, b.File))
	})
}

// zipSpans are the times of zips, by their names below root.
func (tr *Trace) zipSpans(root string) map[string]TraceDownload {
	zips := map[string]TraceDownload{}
	for _, s := range tr.spans {
		name, fetched := strings.CutPrefix(s.name, zipSpan)
		if !fetched {
			var unpacked bool
			if name, unpacked = strings.CutPrefix(s.name, unzipSpan); !unpacked {
				continue
			}
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			continue
		}
		z := zips[rel]
		if fetched {
			z.Begin, z.Time = s.begin, s.end-s.begin
		} else {
			z.Unpack = s.end - s.begin
		}
		zips[rel] = z
	}
	return zips
}

// parseDownload reads the name of a file of the module cache, such as golang.org/x/text/@v/v0.3.0.zip.
func parseDownload(rel string) (TraceDownload, bool) {
	esc, file, ok := strings.Cut(rel, "/@v/")
	if !ok {
		return TraceDownload{}, false
	}
	ext := filepath.Ext(file)
	if ext != ".info" && ext != ".mod" && ext != ".zip" {
		return TraceDownload{}, false
	}
	path, err1 := module.UnescapePath(esc)
	version, err2 := module.UnescapeVersion(strings.TrimSuffix(file, ext))
	if err := cmp.Or(err1, err2); err != nil {
		return TraceDownload{}, false
	}
	return TraceDownload{Module: path, Version: version, File: ext}, true
}

// Size is the number of bytes that came for modules.
func (tr *Trace) Size() (n int64) {
	for _, d := range tr.Fetched {
		n += d.Bytes
	}
	return n
}
