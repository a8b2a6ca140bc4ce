package cgo

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// deliver puts outputs and archives in place, then what lists them.
func (r *buildRun) deliver() error {
	var files []BuildFile
	for _, res := range r.report.Targets {
		if res.Status == BuildFailed {
			continue
		}
		dir := filepath.Join(r.out, targetDir(res.target))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return diskFailure(r.o.Out, err)
		}
		for _, o := range res.Outputs {
			if err := os.Rename(o.path, filepath.Join(r.out, filepath.FromSlash(o.File))); err != nil {
				return diskFailure(r.o.Out, err)
			}
			files = append(files, o.BuildFile)
		}
		if a := res.Archive; a != nil {
			if err := os.Rename(filepath.Join(r.scratch, a.File), filepath.Join(r.out, a.File)); err != nil {
				return diskFailure(r.o.Out, err)
			}
			files = append(files, *a)
		}
	}
	if len(files) == 0 {
		return nil
	}
	manifest, err := r.manifest()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(manifest)
	files = append(files, BuildFile{File: "manifest.json", SHA256: hex.EncodeToString(sum[:])})
	slices.SortFunc(files, func(a, b BuildFile) int { return cmp.Compare(a.File, b.File) })
	var sums bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&sums, "%s  %s\n", f.SHA256, f.File)
	}
	for name, data := range map[string][]byte{"manifest.json": manifest, "SHA256SUMS": sums.Bytes()} {
		tmp := filepath.Join(r.scratch, name)
		err := os.WriteFile(tmp, data, 0o666)
		if err == nil {
			err = os.Rename(tmp, filepath.Join(r.out, name))
		}
		if err != nil {
			return diskFailure(r.o.Out, err)
		}
	}
	return nil
}

// A Manifest lists what a build has made. The same sources, Go and compilers give the same one: no time and no path of
// the machine is in it.
type Manifest struct {
	Schema  int              `json:"schema"` // 1
	Go      string           `json:"go"`
	Targets []ManifestTarget `json:"targets"`
}

// A ManifestTarget is one target of a Manifest.
type ManifestTarget struct {
	Target   string            `json:"target"`
	Cgo      bool              `json:"cgo"`
	Compiler *ManifestCompiler `json:"compiler,omitempty"`
	Tags     []string          `json:"tags,omitempty"`
	LDFlags  string            `json:"ldflags,omitempty"`
	Outputs  []BuildOutput     `json:"outputs"` // without Run, which is about the machine
	Archive  *BuildFile        `json:"archive,omitempty"`
}

// A ManifestCompiler is the C compiler of a target.
type ManifestCompiler struct {
	Family  Family   `json:"family"`
	CC      []string `json:"cc"` // as a person would write it (zig cc -target …), without folders of the machine
	Version string   `json:"version,omitempty"`
}

func (r *buildRun) manifest() ([]byte, error) {
	m := Manifest{Schema: 1, Go: r.report.Go, Targets: []ManifestTarget{}}
	for _, res := range r.report.Targets {
		if res.Status == BuildFailed {
			continue
		}
		t := ManifestTarget{Target: res.Target, Cgo: res.Cgo, Tags: res.Tags, LDFlags: res.LDFlags, Archive: res.Archive}
		if c := res.Compiler; c != nil {
			t.Compiler = &ManifestCompiler{Family: c.Family, CC: plainCC(c.Shown()), Version: c.Version}
		}
		for _, o := range res.Outputs {
			o.Run = nil // depends on the machine
			t.Outputs = append(t.Outputs, o)
		}
		m.Targets = append(m.Targets, t)
	}
	slices.SortFunc(m.Targets, func(a, b ManifestTarget) int { return cmp.Compare(a.Target, b.Target) })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(m)
	return b.Bytes(), err
}

// pathFlag is a flag that has an absolute path behind it: --sysroot=/x, -L/x, -Wl,-rpath,/x. A macro (-D) is code.
var pathFlag = regexp.MustCompile(`^(-[^D][-\w,=.]*?)(/.*|[A-Za-z]:[\\/].*)$`)

// plainCC are the words of a compiler without the folders of this machine: of a path its last name is left.
func plainCC(cc []string) []string {
	plain := make([]string, len(cc))
	for i, w := range cc {
		plain[i] = w
		if m := pathFlag.FindStringSubmatch(w); m != nil {
			plain[i] = m[1] + filepath.Base(m[2])
		} else if filepath.IsAbs(w) {
			plain[i] = filepath.Base(w)
		}
	}
	return plain
}

// docName matches the files of a project that belong to its programs wherever these go.
var docName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|readme|authors|patents)([-_.].*)?$`)

// An archiveFile is a file of an archive.
type archiveFile struct {
	name string // in the archive
	file string
	mode os.FileMode
}

// archive packs the outputs of a target, with the licence and the like from the root of the module. Times, owners and
// order are always the same.
func (r *buildRun) archive(res *BuildResult) error {
	if len(res.Outputs) == 0 {
		return nil
	}
	name := r.archiveName(res)
	var files []archiveFile
	for _, o := range res.Outputs {
		files = append(files, archiveFile{name + "/" + filepath.Base(o.path), o.path, 0o755})
	}
	if root := cmp.Or(r.root, res.load.root); root != "" {
		entries, err := os.ReadDir(root)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && docName.MatchString(e.Name()) {
				files = append(files, archiveFile{name + "/" + e.Name(), filepath.Join(root, e.Name()), 0o644})
			}
		}
	}
	slices.SortFunc(files, func(a, b archiveFile) int { return cmp.Compare(a.name, b.name) })
	write, ext := r.writeTar, ".tar.gz"
	if res.target.OS == "windows" {
		write, ext = r.writeZip, ".zip"
	}
	f, err := os.Create(filepath.Join(r.scratch, name+ext))
	if err != nil {
		return err
	}
	h := &counted{Hash: sha256.New()}
	err = write(io.MultiWriter(f, h), files)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	res.Archive = &BuildFile{File: name + ext, Size: h.n, SHA256: hex.EncodeToString(h.Sum(nil))}
	return nil
}

// archiveName is that of the only program, or of the module, and the target.
func (r *buildRun) archiveName(res *BuildResult) string {
	name := strings.TrimSuffix(filepath.Base(res.Outputs[0].path), ".exe")
	if len(res.Outputs) > 1 {
		name = programName(cmp.Or(res.load.path, "programs"))
	}
	return name + "-" + targetDir(res.target)
}

// counted is a hash that knows how much it was given.
type counted struct {
	hash.Hash
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hash.Write(p)
}

func (r *buildRun) when() time.Time {
	if r.o.Time.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return r.o.Time.UTC()
}

func (r *buildRun) writeTar(w io.Writer, files []archiveFile) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	for _, f := range files {
		err := withFile(f.file, func(in *os.File, size int64) error {
			h := &tar.Header{Name: f.name, Mode: int64(f.mode), Size: size, ModTime: r.when(), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
			_, err := io.Copy(tw, in)
			return err
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

func (r *buildRun) writeZip(w io.Writer, files []archiveFile) error {
	zw := zip.NewWriter(w)
	when := r.when()
	if first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); when.Before(first) { // MS-DOS times have none before
		when = first
	}
	for _, f := range files {
		err := withFile(f.file, func(in *os.File, _ int64) error {
			h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: when}
			h.SetMode(f.mode)
			out, err := zw.CreateHeader(h)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, in)
			return err
		})
		if err != nil {
			return err
		}
	}
	return zw.Close()
}

func withFile(name string, use func(in *os.File, size int64) error) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() // only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return use(in, info.Size())
}
