package toolchain

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/sumdb"
)

// unpackPiece is how much of a file is held in memory at once, in bytes. All but a dozen
// files of a release are smaller and are read, hashed and written in one go.
const unpackPiece = 1 << 20

// maxArchiveDirectory bounds the central directory of a zip from an archive host, which
// archive/zip holds in memory as a whole; that of a release has 1.5 MB. For module zips
// sumdb.CheckZip has limits.
const maxArchiveDirectory = 16 << 20

// An unpacking puts the files of one download into one folder and hashes them on their
// way. Only what the module of the toolchain has is written; the rest of an archive is
// looked at and left out, since no database vouches for it.
type unpacking struct {
	target   Target
	dir      string // is there, is empty, and nobody else knows its name
	parallel int    // 0 means one goroutine for each processor
	progress func(done, total int64)

	plan unpackPlan
	sums Sums

	mu    sync.Mutex
	done  int64 // bytes of files written
	shown int64 // what progress was last told
	total int64 // of all files; -1 while unknown
}

// newUnpacking needs no dir before it unpacks. progress may be nil.
func newUnpacking(t Target, dir string, parallel int, progress func(done, total int64)) *unpacking {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	return &unpacking{target: t, dir: dir, parallel: parallel, progress: progress, sums: Sums{}, total: -1}
}

// bytes is the size of all files that were written.
func (u *unpacking) bytes() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.done
}

// wrote adds n to the bytes done. Progress is told every few megabytes.
func (u *unpacking) wrote(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done += int64(n)
	if u.progress != nil && (u.done-u.shown >= 4*unpackPiece || u.done == u.total) {
		u.shown = u.done
		u.progress(u.done, u.total)
	}
}

// moduleZip unpacks a zip of the module golang.org/toolchain. The error matches
// goproxy.ErrMismatch if the zip is not what a release can be.
func (u *unpacking) moduleZip(ctx context.Context, r io.ReaderAt, size int64) error {
	m := u.target.Module()
	if err := sumdb.CheckZip(ctx, m, r, size); err != nil {
		return err
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return badArchive("", err)
	}
	prefix := m.Path + "@" + m.Version + "/"
	jobs := make([]unpackJob, 0, len(z.File))
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		switch {
		case !ok || name == "" || strings.HasSuffix(name, "/"):
			// The hash counts names of folders, and no release has any.
			return badArchive(f.Name, errors.New("is no file of this release"))
		case moduleName(name) != name:
			return badArchive(f.Name, errors.New("go.mod stands in a toolchain under another name"))
		}
		jobs = append(jobs, unpackJob{f, rootName(name)})
	}
	return u.zip(ctx, r, jobs)
}

// archiveZip unpacks the archive of a release for Windows.
func (u *unpacking) archiveZip(ctx context.Context, r io.ReaderAt, size int64) error {
	dir := &cappedReaderAt{r: r}
	dir.left.Store(maxArchiveDirectory)
	z, err := zip.NewReader(dir, size)
	if err != nil {
		return badArchive("", err)
	}
	dir.left.Store(1 << 62)
	var jobs []unpackJob
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, archiveFolder)
		name, isDir := strings.CutSuffix(name, "/")
		switch {
		case !ok:
			return badArchive(f.Name, errOutside)
		case isDir || name == "":
			if err := u.plan.addDir(name); err != nil {
				return badArchive(f.Name, err)
			}
		case rootName(name) != name:
			return badArchive(f.Name, errModName)
		case inModule(name):
			jobs = append(jobs, unpackJob{f, name})
		default:
			if err := u.planZip(f, name); err != nil {
				return err
			}
		}
	}
	return u.zip(ctx, r, jobs)
}

// planZip adds the file to the plan, or says what is wrong with it.
func (u *unpacking) planZip(f *zip.File, name string) error {
	err := checkMode(f.Mode())
	if err == nil && f.UncompressedSize64 > maxTreeBytes {
		err = errTooLarge
	}
	if err == nil {
		err = u.plan.add(name, int64(f.UncompressedSize64))
	}
	if err != nil {
		return badArchive(f.Name, err)
	}
	return nil
}

// An unpackJob is a file of a zip and the name it has in the GOROOT.
type unpackJob struct {
	f    *zip.File
	name string
}

// zip unpacks the jobs side by side.
func (u *unpacking) zip(ctx context.Context, r io.ReaderAt, jobs []unpackJob) error {
	var total int64
	for _, j := range jobs {
		if err := u.planZip(j.f, j.name); err != nil {
			return err
		}
		total += int64(j.f.UncompressedSize64)
	}
	u.total = total
	if err := u.mkdirs(jobs); err != nil {
		return err
	}
	return writeAll(ctx, u, jobs, func() func(context.Context, unpackJob) ([sha256.Size]byte, error) {
		return (&unzipper{u: u, r: r}).extract
	})
}

// A treeJob is a file to write.
type treeJob interface {
	file() (name string, size int64) // in the GOROOT; bytes
}

func (j unpackJob) file() (string, int64) { return j.name, int64(j.f.UncompressedSize64) }

// writeAll writes the files of jobs side by side, and keeps their hashes. What worker makes writes one after the other.
func writeAll[J treeJob](ctx context.Context, u *unpacking, jobs []J, worker func() func(context.Context, J) ([sha256.Size]byte, error)) error {
	// The few large programs first, so that none is left to a single goroutine at the end.
	slices.SortStableFunc(jobs, func(a, b J) int { return cmp.Compare(runsOf(b), runsOf(a)) })
	sums := make([][sha256.Size]byte, len(jobs))
	eg, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(u.parallel, max(len(jobs), 1)) {
		eg.Go(func() error {
			write := worker()
			for {
				from, to := nextRun(&next, jobs)
				if from == to {
					return nil
				}
				for i, j := range jobs[from:to] {
					if err := context.Cause(ctx); err != nil {
						return err
					}
					var err error
					if sums[from+i], err = write(ctx, j); err != nil {
						return err
					}
				}
			}
		})
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	for i, j := range jobs {
		name, _ := j.file()
		u.sums[moduleName(name)] = sums[i]
	}
	return nil
}

// runsOf is 1 for files that are worth a goroutine of their own.
func runsOf(j treeJob) int {
	if _, size := j.file(); size > unpackPiece {
		return 1
	}
	return 0
}

// nextRun takes the jobs from…to-1, none if all are taken: a large one by itself, of the small ones enough that
// goroutines seldom meet in one folder, few enough to share out evenly.
func nextRun[J treeJob](next *atomic.Int64, jobs []J) (from, to int) {
	for {
		at := next.Load()
		from, to = int(at), min(int(at)+32, len(jobs))
		if from < to && runsOf(jobs[from]) == 1 {
			to = from + 1
		}
		if from == to || next.CompareAndSwap(at, int64(to)) {
			return from, to
		}
	}
}

// mkdirs makes the folders of the jobs.
func (u *unpacking) mkdirs(jobs []unpackJob) error {
	made := treeDirs{root: u.dir}
	for _, j := range jobs {
		if err := made.mkdir(j.name); err != nil {
			return err
		}
	}
	return nil
}

// An unzipper writes files of a zip, one after the other.
type unzipper struct {
	u    *unpacking
	r    io.ReaderAt
	in   []byte // compressed
	out  []byte // a piece of the file
	mem  bytes.Reader
	flat io.ReadCloser // a flate reader; nil before the first
}

// extract writes one file and returns its hash.
func (w *unzipper) extract(ctx context.Context, j unpackJob) (sum [sha256.Size]byte, err error) {
	if w.out == nil {
		w.in, w.out = make([]byte, unpackPiece), make([]byte, unpackPiece)
	}
	data, err := w.open(j.f)
	if err != nil {
		return sum, err
	}
	return w.u.write(ctx, j.name, int64(j.f.UncompressedSize64), int64(j.f.CRC32), w.out, data)
}

// open returns the content of f, which must not be trusted to have the size that f declares.
func (w *unzipper) open(f *zip.File) (io.Reader, error) {
	off, err := f.DataOffset()
	if err != nil {
		return nil, badArchive(f.Name, err)
	}
	if f.CompressedSize64 > maxTreeBytes {
		return nil, badArchive(f.Name, errTooLarge)
	}
	packed := int64(f.CompressedSize64)
	var data flate.Reader = &w.mem
	if packed <= int64(len(w.in)) {
		if _, err := io.ReadFull(io.NewSectionReader(w.r, off, packed), w.in[:packed]); err != nil {
			return nil, faultOf(f.Name, err)
		}
		w.mem.Reset(w.in[:packed])
	} else {
		data = &pieceReader{r: w.r, buf: w.in, off: off, end: off + packed}
	}
	switch {
	case f.Method == zip.Store:
		return data, nil
	case f.Method != zip.Deflate:
		return nil, badArchive(f.Name, zip.ErrAlgorithm)
	case w.flat == nil:
		w.flat = flate.NewReader(data)
	default:
		if err := w.flat.(flate.Resetter).Reset(data, nil); err != nil {
			return nil, badArchive(f.Name, err)
		}
	}
	return w.flat, nil
}

// write makes the file name of the tree of size bytes from data and returns its hash. crc is checked unless it
// is negative. buf is scratch.
func (u *unpacking) write(ctx context.Context, name string, size, crc int64, buf []byte, data io.Reader) (sum [sha256.Size]byte, err error) {
	mode := fs.FileMode(0o666)
	if executable(name) {
		mode = 0o777
	}
	out, err := createFile(filepath.Join(u.dir, filepath.FromSlash(name)), mode)
	if err != nil {
		return sum, err
	}
	defer func() { err = cmp.Or(err, out.Close()) }()
	h, check := sha256.New(), uint32(0)
	for left := size; ; {
		piece := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(data, piece); err != nil {
			return sum, faultOf(name, err)
		}
		h.Write(piece)
		if crc >= 0 {
			check = crc32.Update(check, crc32.IEEETable, piece)
		}
		if _, err := out.Write(piece); err != nil {
			return sum, err
		}
		u.wrote(len(piece))
		if left -= int64(len(piece)); left == 0 {
			break
		}
		if err := context.Cause(ctx); err != nil {
			return sum, err
		}
	}
	switch _, err := io.ReadFull(data, buf[:1]); {
	case err == nil:
		return sum, badArchive(name, errors.New("has more bytes than it declares"))
	case err != io.EOF:
		return sum, faultOf(name, err)
	}
	if crc >= 0 && int64(check) != crc {
		return sum, badArchive(name, zip.ErrChecksum)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// faultOf tells faults of the archive from faults of what it is read from.
func faultOf(name string, err error) error {
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badArchive(name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// A pieceReader reads from off to end in pieces of the size of buf: flate asks for single bytes.
type pieceReader struct {
	r        io.ReaderAt
	buf      []byte
	off, end int64 // not read yet
	have     []byte
}

func (p *pieceReader) fill() error {
	if len(p.have) > 0 {
		return nil
	}
	if p.off >= p.end {
		return io.EOF
	}
	n, err := p.r.ReadAt(p.buf[:min(int64(len(p.buf)), p.end-p.off)], p.off)
	p.off += int64(n)
	p.have = p.buf[:n]
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read implements io.Reader.
func (p *pieceReader) Read(b []byte) (int, error) {
	if err := p.fill(); err != nil {
		return 0, err
	}
	n := copy(b, p.have)
	p.have = p.have[n:]
	return n, nil
}

// ReadByte implements io.ByteReader.
func (p *pieceReader) ReadByte() (byte, error) {
	if err := p.fill(); err != nil {
		return 0, err
	}
	c := p.have[0]
	p.have = p.have[1:]
	return c, nil
}

// A cappedReaderAt fails when more than left bytes were read.
type cappedReaderAt struct {
	r    io.ReaderAt
	left atomic.Int64
}

// ReadAt implements io.ReaderAt.
func (c *cappedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		return 0, errTooLarge
	}
	return c.r.ReadAt(p, off)
}
