package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

const partial = ".partial"

// An output writes a bundle, in one file or in parts.
//
// The lock on FILE.partial keeps two processes apart. It is the file that a bundle of one piece
// is written to; a bundle in parts leaves it empty.
type output struct {
	file  string // as the user named it
	lock  *os.File
	total int64
	split int64 // 0 for one file

	parts []*outFile // begun; the last is being written
	sums  []string   // hex, of finished parts
	sum   hash.Hash  // of the part being written
}

// openOutput makes FILE.partial, or finds it, and locks it.
func openOutput(file string) (*output, error) {
	name := file + partial
	for {
		if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
			return nil, &Error{Code: CodeWrite, File: file, Err: fmt.Errorf("%s is not a regular file", name)}
		}
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, writeError(file, 0, err)
		}
		if !tryLock(f) {
			f.Close()
			return nil, &Error{Code: CodeBusy, File: file}
		}
		// Whoever had the lock may have renamed the file meanwhile: then it is not ours.
		ours, err1 := f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return &output{file: file, lock: f}, nil
		}
		f.Close()
	}
}

// plan fixes how much is written, and into how many parts.
func (o *output) plan(total, split int64) error {
	o.total = total
	if split > 0 {
		if _, err := partsFor(total, split); err != nil {
			return err
		}
		o.split = split
	}
	return nil
}

// write appends p to the bundle.
func (o *output) write(p []byte) error {
	for len(p) > 0 {
		f, room, err := o.current()
		if err != nil {
			return err
		}
		k := min(int64(len(p)), room)
		if err := f.write(p[:k]); err != nil {
			return writeError(o.file, o.total, err)
		}
		if o.sum != nil {
			o.sum.Write(p[:k])
		}
		p = p[k:]
	}
	return nil
}

// current returns the file to write to, and how many bytes may be.
func (o *output) current() (*outFile, int64, error) {
	if len(o.parts) > 0 {
		f := o.parts[len(o.parts)-1]
		if o.split == 0 {
			return f, o.total, nil
		}
		if f.n < o.split {
			return f, o.split - f.n, nil
		}
		if err := o.endPart(); err != nil {
			return nil, 0, err
		}
	}
	name, f := o.file, o.lock
	if o.split > 0 {
		name, f = partName(o.file, len(o.parts)+1), nil
		o.sum = sha256.New()
	}
	of, err := openOutFile(name, f)
	if err != nil {
		return nil, 0, writeError(o.file, o.total, err)
	}
	o.parts = append(o.parts, of)
	if o.split == 0 {
		return of, o.total, nil
	}
	return of, o.split, nil
}

// endPart finishes the part being written, but for its name.
func (o *output) endPart() error {
	if o.sum != nil {
		o.sums = append(o.sums, hexSum(o.sum))
	}
	if err := o.parts[len(o.parts)-1].end(); err != nil {
		return writeError(o.file, o.total, err)
	}
	return nil
}

// finish gives the files their names.
func (o *output) finish() error {
	if err := o.endPart(); err != nil {
		return err
	}
	if err := o.rename(); err != nil {
		return &Error{Code: CodeWrite, File: o.file, Err: err}
	}
	return nil
}

func (o *output) rename() error {
	sums := o.file + sumsExt
	if o.split == 0 {
		o.lock = nil // it is the file of the only part
		if err := o.parts[0].rename(); err != nil {
			return err
		}
	} else {
		// The old sums go first: from here on to the new ones a mixture has none to speak for it.
		if err := remove(sums); err != nil {
			return err
		}
		for _, f := range o.parts {
			if err := f.rename(); err != nil {
				return err
			}
		}
		if err := writeWhole(sums, formatSums(o.file, o.sums)); err != nil {
			return err
		}
	}
	if err := o.sweep(sums); err != nil {
		return err
	}
	syncFolder(filepath.Dir(o.file))
	return nil
}

// sweep removes what an older bundle of that name leaves beside the new one: its other form, its
// further parts, and pieces of runs that were given up.
func (o *output) sweep(sums string) error {
	first := 1
	if err := remove(sums + partial); err != nil {
		return err
	}
	if o.split > 0 {
		first = len(o.parts) + 1
		if err := remove(o.file); err != nil {
			return err
		}
	} else if err := remove(sums); err != nil {
		return err
	}
	numbers, err := partNumbers(o.file)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n >= first {
			if err := errors.Join(remove(partName(o.file, n)), remove(partName(o.file, n)+partial)); err != nil {
				return err
			}
		}
	}
	if o.split > 0 {
		lock := o.lock
		o.lock = nil
		return removeOpen(lock, o.file+partial)
	}
	return nil
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// abandon closes what is open. What was written stays, for the next run.
func (o *output) abandon() {
	for _, f := range o.parts {
		if f.f == o.lock {
			f.f = nil
		}
		f.close()
	}
	if o.lock == nil {
		return
	}
	if info, err := o.lock.Stat(); err == nil && info.Size() == 0 {
		removeOpen(o.lock, o.file+partial) // nothing to go on with
	}
	o.lock.Close()
}

// removeOpen removes a file that is open and locked, and closes it. Where the system can, it is removed
// while it is still locked: nobody else can have begun to write to it.
func removeOpen(f *os.File, name string) error {
	if !renameOpen {
		return errors.Join(f.Close(), remove(name))
	}
	return errors.Join(remove(name), f.Close())
}

// files returns what was written.
func (o *output) files() []string {
	var names []string
	for _, f := range o.parts {
		names = append(names, f.name)
	}
	if o.split > 0 {
		names = append(names, o.file+sumsExt)
	}
	return names
}

func (o *output) reused() int64 {
	n := int64(0)
	for _, f := range o.parts {
		n += f.reused
	}
	return n
}

// An outFile is a file being written. As long as what is to be written is there already, it compares
// instead: with what an interrupted run has left in NAME.partial, else with NAME itself, whose
// bytes are never touched.
type outFile struct {
	name   string
	f      *os.File // NAME.partial; nil until there is something to write
	old    *os.File // to compare with: f itself, NAME, or nil when what is written is new
	n      int64
	reused int64
	buf    []byte
}

// openOutFile opens NAME.partial unless the caller has.
func openOutFile(name string, f *os.File) (*outFile, error) {
	o := &outFile{name: name, f: f}
	if f == nil {
		var err error
		f, err = os.OpenFile(name+partial, os.O_RDWR, 0)
		if err == nil {
			o.f = f
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if o.f != nil {
		info, err := o.f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			o.close()
			return nil, errors.Join(err, fmt.Errorf("%s%s cannot be written to", name, partial))
		}
		if info.Size() > 0 {
			o.old = o.f
			return o, nil
		}
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		o.old, _ = os.Open(name) // what cannot be read is of no use, and that is all
	}
	return o, nil
}

// write compares, or writes.
func (o *outFile) write(p []byte) error {
	if o.old != nil {
		k, err := o.compare(p)
		if err != nil {
			return err
		}
		o.n += int64(k)
		o.reused += int64(k)
		p = p[k:]
		if len(p) == 0 {
			return nil
		}
		if err := o.part(); err != nil {
			return err
		}
	}
	if o.f == nil {
		if err := o.part(); err != nil {
			return err
		}
	}
	k, err := o.f.Write(p)
	o.n += int64(k)
	return err
}

// compare returns how many bytes of p are there already.
func (o *outFile) compare(p []byte) (int, error) {
	if cap(o.buf) < len(p) {
		o.buf = make([]byte, max(len(p), copyBuffer))
	}
	buf := o.buf[:len(p)]
	n, err := o.old.ReadAt(buf, o.n)
	if err != nil && err != io.EOF && o.old == o.f {
		return 0, err // else it is an old bundle that cannot be read: it is not needed
	}
	if bytes.Equal(buf[:n], p[:n]) {
		return n, nil
	}
	k := 0
	for buf[k] == p[k] {
		k++
	}
	return k, nil
}

// part makes NAME.partial hold the first n bytes of what is there, and goes on writing behind them.
func (o *outFile) part() error {
	old := o.old
	o.old = nil
	if o.f == nil {
		f, err := os.OpenFile(o.name+partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return errors.Join(err, closeOld(old))
		}
		o.f = f
	}
	if old == o.f {
		if err := o.f.Truncate(o.n); err != nil {
			return err
		}
		_, err := o.f.Seek(o.n, io.SeekStart)
		return err
	}
	if old == nil {
		return nil
	}
	_, err := io.Copy(o.f, io.NewSectionReader(old, 0, o.n))
	return errors.Join(err, closeOld(old))
}

func closeOld(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// end makes sure that the file is on the disk and no longer than it should be.
func (o *outFile) end() error {
	if o.old != nil {
		info, err := o.old.Stat()
		if err != nil {
			return err
		}
		if o.old != o.f && info.Size() == o.n {
			return errors.Join(o.old.Close(), o.drop()) // NAME is what we would write
		}
		if err := o.part(); err != nil {
			return err
		}
	}
	if err := o.f.Sync(); err != nil {
		return err
	}
	if renameOpen {
		return nil // rename closes it, and ends the lock with that
	}
	return o.f.Close()
}

// drop leaves NAME as it is.
func (o *outFile) drop() error {
	o.old = nil
	if o.f == nil {
		return nil
	}
	f := o.f
	o.f = nil
	return removeOpen(f, o.name+partial)
}

// rename gives the file its name, unless it has it.
func (o *outFile) rename() error {
	if o.f == nil {
		return nil
	}
	if err := os.Rename(o.name+partial, o.name); err != nil {
		return err
	}
	f := o.f
	o.f = nil
	if renameOpen {
		return f.Close()
	}
	return nil
}

// close is for a run that is given up.
func (o *outFile) close() {
	if o.old != nil && o.old != o.f {
		o.old.Close()
	}
	if o.f != nil {
		o.f.Close()
	}
	o.old, o.f = nil, nil
}

// writeWhole writes a small file, by way of NAME.partial.
func writeWhole(name string, data []byte) error {
	f, err := os.Create(name + partial)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name+partial, name)
	}
	if err != nil {
		os.Remove(name + partial)
	}
	return err
}

// syncFolder makes renames last where the system can; where it cannot, they last as its renames do.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		f.Sync()
		f.Close()
	}
}

// writeError tells a full disk from other faults.
func writeError(file string, total int64, err error) error {
	code, detail := CodeWrite, ""
	if noSpace(err) {
		code, detail = CodeDiskFull, strconv.FormatInt(total, 10)
	}
	if tooLarge(err) {
		code, detail = CodeFileLimit, strconv.FormatInt(total, 10)
	}
	return &Error{Code: code, File: file, Detail: detail, Err: err}
}
