package cgo

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/goferry/goferry/internal/gocmd"
)

// What a package may hold at most; those of compilers hold a tenth of it.
const (
	maxDebBytes   = 4 << 30
	maxDebEntries = 200_000
)

// errDeb says that a file is no Debian package, or a damaged one.
var errDeb = errors.New("no whole Debian package")

// unpackDeb checks a package in the folder debs and unpacks it into tree.
func (s *Setup) unpackDeb(ctx context.Context, t Target, d Deb, debs string, tree *debTree) (err error) {
	damaged := func(err error) error {
		if err == nil || ctx.Err() != nil {
			return err
		}
		return &SetupError{Code: SetupDamaged, Target: t, What: d.File, Err: err}
	}
	if d.File != filepath.Base(d.File) || d.File == ".." {
		return damaged(errDeb)
	}
	file, err := os.Open(filepath.Join(debs, d.File))
	if err != nil {
		return damaged(err)
	}
	defer func() { _ = file.Close() }() // only read
	if err := checkDeb(file, d); err != nil {
		return damaged(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, suffix, err := debData(file)
	if err != nil {
		return damaged(err)
	}
	err = s.decompressed(ctx, file.Name(), data, suffix, tree.unpack)
	var missing *gocmd.ToolError
	if errors.As(err, &missing) {
		return &SetupError{Code: SetupNoUnpack, Target: t, What: missing.Name, Err: err}
	}
	var disk *fs.PathError
	var link *os.LinkError
	if errors.As(err, &disk) || errors.As(err, &link) {
		return err
	}
	return damaged(err)
}

// checkDeb compares a file with what the index says of it.
func checkDeb(r io.Reader, d Deb) error {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != d.Size || got != d.SHA256 {
		return fmt.Errorf("%d bytes with sha256 %s, want %d with %s", n, got, d.Size, d.SHA256)
	}
	return nil
}

// debData finds the member of a package that holds its files: an ar archive with debian-binary, control.tar and
// data.tar, whose suffix is how it is compressed. Source: deb(5).
func debData(r io.Reader) (data io.Reader, suffix string, err error) {
	br := bufio.NewReaderSize(r, 1<<16)
	magic := make([]byte, 8)
	if _, err := io.ReadFull(br, magic); err != nil || string(magic) != "!<arch>\n" {
		return nil, "", errDeb
	}
	for range 16 {
		head := make([]byte, 60)
		if _, err := io.ReadFull(br, head); err != nil || string(head[58:]) != "`\n" {
			return nil, "", errDeb
		}
		name := strings.TrimSuffix(strings.TrimSpace(string(head[:16])), "/")
		size, err := strconv.ParseInt(strings.TrimSpace(string(head[48:58])), 10, 64)
		if err != nil || size < 0 {
			return nil, "", errDeb
		}
		if rest, ok := strings.CutPrefix(name, "data.tar"); ok {
			return io.LimitReader(br, size), rest, nil
		}
		if _, err := io.CopyN(io.Discard, br, size+size%2); err != nil {
			return nil, "", errDeb
		}
	}
	return nil, "", errDeb
}

// decompressed hands what is in data, the member of a file, to use.
func (s *Setup) decompressed(ctx context.Context, file string, data io.Reader, suffix string, use func(io.Reader) error) error {
	switch suffix {
	case "":
		return use(data)
	case ".gz":
		r, err := gzip.NewReader(data)
		if err != nil {
			return err
		}
		return use(r)
	case ".zst":
		r, err := zstd.NewReader(data, zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer r.Close()
		return use(r)
	case ".xz":
		return s.unxz(ctx, file, data, use)
	}
	return fmt.Errorf("%w: data.tar%s", errDeb, suffix)
}

// unxz lets dpkg-deb decompress, which every system with Debian packages has, else xz, which most others have.
func (s *Setup) unxz(ctx context.Context, file string, data io.Reader, use func(io.Reader) error) error {
	r := s.runner()
	c := gocmd.Cmd{Name: "dpkg-deb", Args: []string{"--fsys-tarfile", file}}
	if _, err := r.FindTool(c.Name); err != nil {
		c = gocmd.Cmd{Name: "xz", Args: []string{"--decompress", "--stdout"}, Stdin: data}
		if _, err := r.FindTool(c.Name); err != nil {
			return err
		}
	}
	pr, pw := io.Pipe()
	c.Stdout = pw
	ran := make(chan error, 1)
	go func() {
		res, err := r.Run(ctx, c)
		if err == nil && res.ExitCode != 0 {
			err = fmt.Errorf("%w: %s: %s", errDeb, c.Name, strings.TrimSpace(string(res.Stderr)))
		}
		_ = pw.CloseWithError(err) // never fails
		ran <- err
	}()
	err := use(pr)
	_ = pr.CloseWithError(io.ErrClosedPipe) // never fails
	if e := <-ran; err == nil && e != nil {
		err = e
	}
	return err
}

// A debTree is a folder that packages are unpacked into. Whatever they hold, nothing outside of it is touched.
type debTree struct {
	root    *os.Root
	names   []string // files and links of what was unpacked last
	entries int
	bytes   int64
}

// unpack unpacks the files of a package, as a system with a merged /usr has them.
func (d *debTree) unpack(r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r) // so that whoever writes comes to its end
			return err
		}
		if err != nil {
			return err
		}
		if d.entries++; d.entries > maxDebEntries || h.Size < 0 || d.bytes+h.Size > maxDebBytes {
			return fmt.Errorf("%w: too much in it", errDeb)
		}
		d.bytes += h.Size
		name, ok := treeName(h.Name)
		if !ok {
			return fmt.Errorf("%w: %q leads out of it", errDeb, h.Name)
		}
		if name == "" || useless(name) {
			continue
		}
		if err := d.put(tr, h, name); err != nil {
			return err
		}
	}
}

// treeName is the name of a file below the folder, with / as in fs.FS; "" is the folder itself.
func treeName(name string) (string, bool) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", false
		}
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if strings.ContainsAny(name, "\x00\\") {
		return "", false
	}
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32":
		name = "usr/" + name
	}
	return name, true
}

// useless reports whether a file is for people or for the system: of those only who may copy it is kept. Headers are
// in usr/share, too (mingw-w64).
func useless(name string) bool {
	first, rest, _ := strings.Cut(name, "/")
	kind, _ := strings.CutPrefix(rest, "share/")
	kind, _, _ = strings.Cut(kind, "/")
	switch {
	case first != "usr":
		return true
	case !strings.HasPrefix(rest, "share/"):
		return false
	case kind == "doc":
		return path.Base(name) != "copyright"
	}
	return slices.Contains([]string{"man", "info", "locale", "lintian", "bug", "perl5", "zsh", "bash-completion", "gdb", "doc-base", "menu", "python3"}, kind)
}

func (d *debTree) put(r io.Reader, h *tar.Header, name string) error {
	if h.Typeflag == tar.TypeDir {
		return d.root.MkdirAll(name, 0o755)
	}
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		if err := d.file(r, name, fs.FileMode(h.Mode)&0o111); err != nil {
			return err
		}
	case tar.TypeSymlink:
		to, err := linkTarget(h.Name, name, h.Linkname)
		if err != nil {
			return err
		}
		if err := d.root.Symlink(to, name); err != nil {
			return err
		}
	case tar.TypeLink:
		old, ok := treeName(h.Linkname)
		if !ok {
			return fmt.Errorf("%w: %q leads out of it", errDeb, h.Linkname)
		}
		if err := d.root.Link(old, name); err != nil {
			return err
		}
	default: // a device or a pipe has no place in a compiler
		return fmt.Errorf("%w: %q is neither a file nor a link", errDeb, h.Name)
	}
	d.names = append(d.names, name)
	return nil
}

// linkTarget is where a symbolic link leads in the folder, seen from where it lies.
func linkTarget(was, name, to string) (string, error) {
	if !path.IsAbs(to) {
		to = path.Join(path.Dir("/"+was), to)
	}
	to, ok := treeName(path.Clean(to))
	if !ok {
		return "", fmt.Errorf("%w: %q leads out of it", errDeb, was)
	}
	rel, err := filepath.Rel(filepath.FromSlash(path.Dir(name)), filepath.FromSlash(to))
	return filepath.ToSlash(rel), err
}

func (d *debTree) file(r io.Reader, name string, exec fs.FileMode) (err error) {
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|exec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, r)
	return err
}
