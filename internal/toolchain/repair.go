package toolchain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/goproxy"
)

// An OutsideError says that files of a tree lie elsewhere, behind links: whoever owns
// those has to repair them.
type OutsideError struct {
	Root  string
	Names []string
}

// Error names them.
func (e *OutsideError) Error() string {
	return fmt.Sprintf("%s: links lead out of it: %s", e.Root, strings.Join(e.Names, ", "))
}

// Repair puts back what the report of a Verify of root says is altered or missing, and
// lets programs be run again; what was added goes if Prune is set. Only files that differ
// are fetched. They are gathered beside the tree and compared with what adds up to the
// database's hash; nothing is touched before all of them are there. Each is then put in
// place by one rename, and the tree is read again. Nothing outside of root is written.
//
// The error matches goproxy.ErrUnavailable where no place has what is needed or it is
// not known which files differ; it may be an *OutsideError, ErrDiskFull or the disk's.
func (v *Verifier) Repair(ctx context.Context, root string, r Report) (Report, error) {
	if r.ref == nil || r.Root == "" {
		var err error
		if r, err = v.Verify(ctx, root); err != nil {
			return r, err
		}
	}
	if r.ref == nil {
		return r, fmt.Errorf("%s: it is not known which files differ: %w", r.Root, cmp.Or(r.Err, errNoZip))
	}
	unlock := func() {}
	if v.Home.Dir != "" && sameDir(v.Home.Root(r.Target), r.Root) {
		var err error
		v.progress(Progress{Target: r.Target, Stage: Waiting, Total: -1})
		if unlock, err = v.Home.lock(ctx, r.Target); err != nil {
			return r, err
		}
	}
	defer unlock()
	if err := v.repair(ctx, r); err != nil {
		return r, err
	}
	return v.again(ctx, r)
}

// again reads the tree anew and compares it with the same reference.
func (v *Verifier) again(ctx context.Context, r Report) (Report, error) {
	t, err := readTree(ctx, r.Root, v.Parallel, v.hashing(r.Target))
	if err != nil {
		return r, err
	}
	r.Got = t.sums().H1(r.Target)
	r.ref.same = false // it may have been only the modes
	r.Changes = t.changes(r.ref, r.Target)
	r.Extras, r.Files, r.Bytes = t.extras, len(t.files)+len(t.copies), t.bytes
	r.State = r.state()
	if r.Want != "" {
		r.Proof = (&wanted{h1: r.Want, proof: Proof{Way: r.Proof.Way, By: r.Proof.By}}).judge(r.Got)
	}
	for _, c := range r.Changes {
		if c.Kind != Added && !v.keeps(c) {
			return r, fmt.Errorf("%s: %s is %s again", r.Root, c.Name, c.Kind)
		}
	}
	return r, nil
}

func (v *Verifier) keeps(c Change) bool { return v.Keep != nil && v.Keep(c) }

// A repairing is one repair.
type repairing struct {
	v      *Verifier
	r      Report
	root   *os.Root
	dir    string              // where files are gathered, below root
	want   map[string][]string // where each file is to go, by its name in the module
	opened []openedDir         // folders that were made writable

	mu     sync.Mutex
	count  int               // of files that were begun
	staged map[string]string // what is there, by name in the module: its name below root
	done   int64
	total  int64
}

// An openedDir is a folder that could not be written into.
type openedDir struct {
	name string
	mode fs.FileMode
}

func (v *Verifier) repair(ctx context.Context, r Report) (err error) {
	w := &repairing{v: v, r: r, want: map[string][]string{}, staged: map[string]string{}}
	changes := slices.DeleteFunc(slices.Clone(r.Changes), v.keeps)
	if !v.Prune {
		changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Kind == Added })
	}
	if w.root, err = os.OpenRoot(r.Root); err != nil {
		return err
	}
	defer w.root.Close()
	defer func() { err = cmp.Or(err, w.closeDirs()) }()
	if err := w.sweep(); err != nil || len(changes) == 0 {
		return err
	}
	places, err := w.resolve(changes)
	if err != nil {
		return err
	}
	for i, c := range changes {
		if c.Kind == Missing || c.Kind == Altered {
			name := moduleName(c.Name)
			w.want[name] = append(w.want[name], places[i])
		}
		changes[i].Name = places[i]
	}
	if len(w.want) > 0 {
		if err := w.free(); err != nil {
			return err
		}
		if err := w.stage(ctx); err != nil {
			return errors.Join(err, w.sweepOwn())
		}
	}
	return errors.Join(w.apply(ctx, changes), w.sweepOwn())
}

// sweep removes what killed repairs left.
func (w *repairing) sweep() error {
	for _, e := range w.r.Extras {
		if e.Why == ExtraLeftover {
			if err := cmp.Or(w.open("."), w.root.RemoveAll(e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *repairing) sweepOwn() error {
	if w.dir == "" {
		return nil
	}
	return w.root.RemoveAll(w.dir)
}

// resolve returns the names of changes without the links in them, and refuses those that
// leave the root. os.Root guards against links that are made in the meantime.
func (w *repairing) resolve(changes []Change) ([]string, error) {
	out := &OutsideError{Root: w.r.Root}
	names := make([]string, len(changes))
	for i, c := range changes {
		dir := path.Dir(c.Name)
		missing := ""
		for dir != "." {
			if _, err := os.Lstat(filepath.Join(w.r.Root, filepath.FromSlash(dir))); err == nil {
				break
			}
			dir, missing = path.Dir(dir), path.Join(path.Base(dir), missing)
		}
		real, err := filepath.EvalSymlinks(filepath.Join(w.r.Root, filepath.FromSlash(dir)))
		if err != nil || !within(w.r.Root, real) {
			out.Names = append(out.Names, c.Name)
			continue
		}
		rel, err := filepath.Rel(w.r.Root, real)
		if err != nil {
			return nil, err
		}
		names[i] = path.Join(filepath.ToSlash(rel), missing, path.Base(c.Name))
	}
	if len(out.Names) > 0 {
		return nil, out
	}
	return names, nil
}

// free checks that a file can stand wherever one has to go. What was added may be in the
// way; with Prune it will not.
func (w *repairing) free() error {
	if w.v.Prune {
		return nil
	}
	for _, places := range w.want {
		for _, to := range places {
			if info, err := w.root.Lstat(to); err == nil && info.IsDir() {
				return inTheWay(w.r.Root, to, "a folder is where a file should be")
			}
			for dir := path.Dir(to); dir != "."; dir = path.Dir(dir) {
				if info, err := w.root.Lstat(dir); err == nil && !info.IsDir() {
					return inTheWay(w.r.Root, dir, "it is where a folder should be")
				}
			}
		}
	}
	return nil
}

func inTheWay(root, name, why string) error {
	return &fs.PathError{Op: "repair", Path: filepath.Join(root, filepath.FromSlash(name)), Err: errors.New(why)}
}

// stage gathers the content of all wanted files.
func (w *repairing) stage(ctx context.Context) error {
	if err := w.open("."); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(w.r.Root, repairPrefix)
	if err != nil {
		return asDiskFull(err)
	}
	w.dir = filepath.Base(tmp)
	for name, data := range w.r.ref.content {
		if err := w.put(name, strings.NewReader(string(data))); err != nil {
			return err
		}
	}
	if err := w.fromDisk(); err != nil {
		return err
	}
	if d := w.r.ref.zip; d != nil && len(w.left()) > 0 {
		if err := w.fromZip(ctx, openZip{zipDir: d, place: w.r.ref.source}); err != nil {
			if ctx.Err() != nil || isLocal(err) {
				return err
			}
			w.v.trouble(w.r.ref.source, err)
		}
	}
	if len(w.left()) == 0 {
		return nil
	}
	return w.v.eachZip(ctx, w.r.Target, func(z openZip) error { return w.fromZip(ctx, z) })
}

// left are the names of the files that are still wanted.
func (w *repairing) left() (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.want {
		if _, ok := w.staged[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// fromDisk takes what this machine has: the other of go.mod and _go.mod, and the same file of
// goferry's own tree of the same release. What is not as it should be is passed over.
func (w *repairing) fromDisk() error {
	for _, name := range w.left() {
		places := []string{filepath.Join(w.r.Root, filepath.FromSlash(name)), filepath.Join(w.r.Root, filepath.FromSlash(rootName(name)))}
		if w.v.Home.Dir != "" {
			places = append(places, filepath.Join(w.v.Home.Root(w.r.Target), filepath.FromSlash(rootName(name))))
		}
		for _, file := range places {
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				continue
			}
			f, err := os.Open(file)
			if err != nil {
				continue
			}
			err = w.put(name, f)
			_ = f.Close() // it was only read
			if err == nil {
				break
			}
			if isLocal(err) && isDiskFull(err) {
				return asDiskFull(err)
			}
		}
	}
	return nil
}

// fromZip takes what z has.
func (w *repairing) fromZip(ctx context.Context, z openZip) error {
	names := w.left()
	total := w.done
	for _, name := range names {
		total += z.entries[name].bytes
	}
	w.total = total
	return z.each(ctx, names, w.v.parallel(z), func(name string, r io.Reader) error {
		return w.put(name, &counted{r: r, add: func(n int) { w.progress(z.place, n) }})
	})
}

func (w *repairing) progress(place string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += int64(n)
	w.v.progress(Progress{Target: w.r.Target, Stage: Downloading, Place: place, Done: min(w.done, w.total), Total: w.total})
}

// counted tells how much was read.
type counted struct {
	r   io.Reader
	add func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.add(n)
	return n, err
}

// put stages the file name if r is what it should be. The error matches goproxy.ErrMismatch if not.
func (w *repairing) put(name string, r io.Reader) (err error) {
	want, ok := w.r.ref.sums[name]
	if _, wanted := w.want[name]; !ok || !wanted {
		return nil
	}
	w.mu.Lock()
	w.count++
	at := path.Join(w.dir, strconv.Itoa(w.count))
	_, there := w.staged[name]
	if !there {
		w.staged[name] = at
	}
	w.mu.Unlock()
	if there {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	defer func() {
		if err != nil {
			w.mu.Lock()
			delete(w.staged, name)
			w.mu.Unlock()
		}
	}()
	return w.write(at, name, r, want)
}

// write writes a staged file.
func (w *repairing) write(at, name string, r io.Reader, want [sha256.Size]byte) error {
	f, err := w.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return asDiskFull(err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err == nil && [sha256.Size]byte(h.Sum(nil)) != want {
		err = fmt.Errorf("%s: %w: it is not the released file", name, goproxy.ErrMismatch)
	}
	if err == nil {
		err = f.Sync()
	}
	return asDiskFull(errors.Join(err, f.Close()))
}

// apply changes the tree. Everything that is needed is there.
func (w *repairing) apply(ctx context.Context, changes []Change) error {
	for _, c := range changes { // first, as it may stand where something has to go
		if c.Kind == Added {
			if err := w.remove(c.Name); err != nil {
				return err
			}
		}
	}
	base := w.usualMode()
	changed := map[string]bool{}
	for name, places := range w.want {
		for i, to := range places {
			if err := w.place(ctx, name, to, base, i == len(places)-1); err != nil {
				return err
			}
			changed[filepath.Join(w.r.Root, filepath.FromSlash(path.Dir(to)))] = true
		}
	}
	for dir := range changed {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if c.Kind != Mode {
			continue
		}
		info, err := w.root.Stat(c.Name)
		if err == nil {
			err = w.root.Chmod(c.Name, info.Mode().Perm()|0o111)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// usualMode is that of a file of the tree: in the module cache, nobody may write.
func (w *repairing) usualMode() fs.FileMode {
	for _, name := range []string{"VERSION", "LICENSE", "README.md"} {
		if info, err := w.root.Lstat(name); err == nil && info.Mode().IsRegular() {
			return info.Mode().Perm()&^0o111 | 0o444
		}
	}
	return 0o644
}

// place puts the staged file name where it belongs.
func (w *repairing) place(ctx context.Context, name, to string, mode fs.FileMode, last bool) error {
	from := w.staged[name]
	if !last {
		var err error
		if from, err = w.copy(from); err != nil {
			return err
		}
	}
	if executable(name) {
		mode |= 0o111
	}
	if err := w.mkdir(path.Dir(to), mode); err != nil {
		return err
	}
	if old, err := w.root.Lstat(to); err == nil {
		switch {
		case old.IsDir():
			return inTheWay(w.r.Root, to, "a folder is where a file should be")
		case old.Mode().IsRegular():
			mode = old.Mode().Perm() | mode&0o111 | 0o444
			if runtime.GOOS == "windows" { // which replaces no file that is read-only
				_ = w.root.Chmod(to, mode|0o200) // if not, the rename tells
			}
		}
	}
	if err := w.root.Chmod(from, mode); err != nil {
		return err
	}
	return retryRename(ctx, func() error { return w.root.Rename(from, to) }, isHeld)
}

// copy makes another staged file with the same content.
func (w *repairing) copy(from string) (string, error) {
	data, err := w.root.ReadFile(from)
	if err != nil {
		return "", err
	}
	return from + "b", asDiskFull(w.root.WriteFile(from+"b", data, 0o600))
}

// mkdir makes the folder dir, and lets files be put into it.
func (w *repairing) mkdir(dir string, mode fs.FileMode) error {
	there := dir
	for there != "." {
		if _, err := w.root.Lstat(there); err == nil {
			break
		}
		there = path.Dir(there)
	}
	if err := w.open(there); err != nil {
		return err
	}
	if there == dir {
		return nil
	}
	if err := w.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if mode&0o200 == 0 { // as its neighbours are
		for d := dir; d != there; d = path.Dir(d) {
			w.opened = append(w.opened, openedDir{d, 0o555})
		}
	}
	return nil
}

// open lets files be put into the folder dir, until closeDirs.
func (w *repairing) open(dir string) error {
	info, err := w.root.Lstat(dir)
	if err != nil || info.Mode()&0o200 != 0 {
		return err
	}
	if err := w.root.Chmod(dir, info.Mode().Perm()|0o700); err != nil {
		return err
	}
	w.opened = append(w.opened, openedDir{dir, info.Mode().Perm()})
	return nil
}

// closeDirs gives folders the modes back that they had.
func (w *repairing) closeDirs() (err error) {
	for _, d := range slices.Backward(w.opened) {
		err = cmp.Or(err, ignoreAbsent(w.root.Chmod(d.name, d.mode)))
	}
	return err
}

// remove removes the file name, and the folders that are empty then.
func (w *repairing) remove(name string) error {
	if err := w.open(path.Dir(name)); err != nil {
		return err
	}
	if err := ignoreAbsent(w.root.Remove(name)); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if w.open(path.Dir(dir)) != nil || w.root.Remove(dir) != nil {
			break // it is not empty
		}
	}
	return nil
}
