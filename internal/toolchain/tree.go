package toolchain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// ErrTree says that a folder is no Go toolchain.
var ErrTree = errors.New("no Go toolchain")

// An Extra is something in a tree that its hash does not cover, or that was reached by a
// way worth telling.
type Extra struct {
	Name string   `json:"name"` // below the root, with slashes
	Why  ExtraWhy `json:"why"`
	To   string   `json:"to,omitempty"` // where a link leads
}

// An ExtraWhy says what an Extra is.
type ExtraWhy string

// What an Extra can be. Only of ExtraLinked are the files part of the tree.
const (
	ExtraNotCovered ExtraWhy = "not-covered" // a folder of archives that the checksum database says nothing about: api, doc, misc, test
	ExtraLinked     ExtraWhy = "linked"      // a symbolic link that was followed
	ExtraLink       ExtraWhy = "link"        // a symbolic link that was not: it leads in a circle, to nothing, or is a folder deep in the tree
	ExtraSpecial    ExtraWhy = "special"     // neither file, folder nor link, or a name that no release can hold
	ExtraVCS        ExtraWhy = "vcs"         // the .git of a clone
	ExtraLeftover   ExtraWhy = "leftover"    // of a repair that was killed
	ExtraUnreadable ExtraWhy = "unreadable"  // a folder that may not be read
)

// repairPrefix begins the name of the folder in which a repair gathers its files.
const repairPrefix = ".goferry-repair-"

// A treeFile is a file of a tree.
type treeFile struct {
	disk string // its name below the root, with slashes
	size int64
	mode fs.FileMode
	crc  uint32
	sum  [sha256.Size]byte
	err  error // why it could not be read; nil if it was
	link bool  // its name is a symbolic link
}

// A tree is what is on disk.
type tree struct {
	root   string               // without symbolic links
	files  map[string]*treeFile // by their names in the module
	copies map[string]*treeFile // go.mod where _go.mod is there too, by the name of the latter
	extras []Extra
	bytes  int64

	found func(*treeFile) // gets each file as soon as it is known
}

// HashTree hashes the files of the toolchain at root, several at a time (0 means one for
// each CPU). Folders that the database says nothing about are left out; where
// the go command has made a go.mod of a _go.mod, as it does in the module cache, the latter
// counts. Links of the first two levels, which distributors make, are followed. A file
// that cannot be read is not in the Sums.
func HashTree(ctx context.Context, root string, parallel int) (Sums, []Extra, error) {
	t, err := readTree(ctx, root, parallel, nil)
	if err != nil {
		return nil, nil, err
	}
	return t.sums(), t.extras, nil
}

// readTree finds and hashes the files of the toolchain at root.
func readTree(ctx context.Context, root string, parallel int, done func(int64)) (*tree, error) {
	real, err := realRoot(root)
	if err != nil {
		return nil, err
	}
	t := &tree{root: real}
	return t, t.read(ctx, parallel, done)
}

// realRoot is root without symbolic links.
func realRoot(root string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(root)
}

// sums are the hashes of the files that could be read.
func (t *tree) sums() Sums {
	s := make(Sums, len(t.files))
	for name, f := range t.files {
		if f.err == nil {
			s[name] = f.sum
		}
	}
	return s
}

// scanTree finds the files of the toolchain at root, with their sizes and modes, and reads none.
func scanTree(root string) (*tree, error) {
	real, err := realRoot(root)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil, err
	}
	t := &tree{root: real}
	t.found = func(f *treeFile) {
		info, err := os.Stat(t.path(f.disk))
		if err != nil {
			f.err = err
			return
		}
		f.size, f.mode = info.Size(), info.Mode()
		t.bytes += f.size
	}
	err = t.begin(entries)
	t.forget()
	return t, err
}

// begin scans the tree from its root.
func (t *tree) begin(entries []fs.DirEntry) error {
	t.files, t.copies = make(map[string]*treeFile, 1<<14), map[string]*treeFile{}
	return t.scan("", entries)
}

// path is where the file name of the tree is.
func (t *tree) path(name string) string { return filepath.Join(t.root, filepath.FromSlash(name)) }

func (t *tree) extra(name string, why ExtraWhy, to string) {
	t.extras = append(t.extras, Extra{name, why, to})
}

// scan adds the entries of the folder dir.
func (t *tree) scan(dir string, entries []fs.DirEntry) error {
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if dir == "" && t.outside(name) {
			continue
		}
		var err error
		switch mode := e.Type(); {
		case !cleanName(name) || path.Base(name) != e.Name():
			t.extra(name, ExtraSpecial, "")
		case mode.IsDir():
			err = t.scanDir(name)
		case mode&fs.ModeSymlink != 0:
			err = t.scanLink(name)
		case mode.IsRegular():
			err = t.add(name, false)
		default:
			t.extra(name, ExtraSpecial, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outside reports whether the entry name of the root is none of the module's.
func (t *tree) outside(name string) bool {
	switch {
	case !inModule(name):
		t.extra(name, ExtraNotCovered, "")
	case name == ".git":
		t.extra(name, ExtraVCS, "")
	case strings.HasPrefix(name, repairPrefix):
		t.extra(name, ExtraLeftover, "")
	default:
		return false
	}
	return true
}

func (t *tree) scanDir(name string) error {
	entries, err := os.ReadDir(t.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		t.extra(name, ExtraUnreadable, "")
		return nil
	}
	return t.scan(name, entries)
}

// scanLink follows a link to a file, and one to a folder where distributors make them:
// src, or pkg/include. Elsewhere it could lead to the whole disk.
func (t *tree) scanLink(name string) error {
	to, err := filepath.EvalSymlinks(t.path(name))
	if err != nil {
		t.extra(name, ExtraLink, "")
		return nil
	}
	info, err := os.Stat(to)
	switch {
	case err == nil && info.Mode().IsRegular():
		t.extra(name, ExtraLinked, to)
		return t.add(name, true)
	case err != nil || !info.IsDir() || strings.Count(name, "/") > 1 || t.circle(name, to):
		t.extra(name, ExtraLink, to)
		return nil
	}
	t.extra(name, ExtraLinked, to)
	return t.scanDir(name)
}

// circle reports whether the folder to holds the link name, or the root.
func (t *tree) circle(name, to string) bool {
	parent, err := filepath.EvalSymlinks(filepath.Dir(t.path(name)))
	return err != nil || within(to, parent) || within(to, t.root)
}

// within reports whether the path p is dir or below it.
func within(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

func (t *tree) add(name string, link bool) error {
	f := &treeFile{disk: name, link: link}
	key := moduleName(name)
	if _, both := t.files[key]; both { // _go.mod comes first: entries are sorted
		t.copies[key] = f
	} else {
		t.files[key] = f
	}
	if len(t.files)+len(t.copies) > maxSums {
		return fmt.Errorf("%s: %w: more than %d files", t.root, ErrTree, maxSums)
	}
	t.found(f)
	return nil
}

// read finds the files of the tree and hashes them, several at a time. A file that cannot
// be read keeps its error. done, which may be nil, is told of bytes; not by two at once.
func (t *tree) read(ctx context.Context, parallel int, done func(int64)) error {
	entries, err := os.ReadDir(t.root)
	if err != nil {
		return err
	}
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	jobs := make(chan *treeFile, 1<<10)
	t.found = func(f *treeFile) { jobs <- f }
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			buf, h := make([]byte, 256<<10), sha256.New()
			for f := range jobs {
				if ctx.Err() != nil {
					continue // to the end, so that nobody waits
				}
				f.read(ctx, t.path(f.disk), buf, h)
				mu.Lock()
				if t.bytes += f.size; done != nil {
					done(t.bytes)
				}
				mu.Unlock()
			}
		})
	}
	err = t.begin(entries)
	close(jobs)
	workers.Wait()
	t.forget()
	return cmp.Or(context.Cause(ctx), err)
}

// forget takes away the files that went while they were being read.
func (t *tree) forget() {
	for _, m := range []map[string]*treeFile{t.files, t.copies} {
		maps.DeleteFunc(m, func(_ string, f *treeFile) bool { return errors.Is(f.err, fs.ErrNotExist) })
	}
}

// read hashes f, with h and buf.
func (f *treeFile) read(ctx context.Context, file string, buf []byte, h hash.Hash) {
	r, err := os.Open(file)
	if err != nil {
		f.err = err
		return
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		f.err = err
		return
	}
	f.mode = info.Mode()
	h.Reset()
	for f.size < info.Size() && ctx.Err() == nil {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		f.crc = crc32.Update(f.crc, crc32.IEEETable, buf[:n])
		f.size += int64(n)
		if err != nil {
			f.err = err
			return
		}
	}
	h.Sum(f.sum[:0])
}

// platformDir is what a folder of pkg/tool may be called.
var platformDir = regexp.MustCompile(`^([a-z0-9]+)_([a-z0-9]+)$`)

// treeTargets says which release the tree at root (a real path) is or should be, the most
// likely first. A folder that is named after a release, as those of goferry and of the
// module cache are, is believed before what lies in it. The error matches ErrTree.
func treeTargets(root string) ([]Target, error) {
	var found []Target
	add := func(t Target) {
		if !slices.Contains(found, t) {
			found = append(found, t)
		}
	}
	base := filepath.Base(root)
	if t, ok := targetOf(base); ok {
		add(t)
	} else if v, ok := strings.CutPrefix(base, "toolchain@"); ok {
		if t, err := ParseModuleVersion(v); err == nil {
			add(t)
		}
	}
	version, err := treeVersion(root)
	if err != nil {
		if len(found) > 0 {
			return found, nil
		}
		return nil, err
	}
	for _, p := range treePlatforms(root) {
		add(Target{version, p.OS, p.Arch})
	}
	return found, nil
}

// treeVersion reads the VERSION file.
func treeVersion(root string) (Version, error) {
	f, err := os.Open(filepath.Join(root, "VERSION"))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", root, ErrTree, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", root, ErrTree, err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ") // distributors add their own number
	v, err := ParseVersion(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w: VERSION: %w", root, ErrTree, err)
	}
	return v, nil
}

// treePlatforms lists the systems whose tools are in the tree, this one first; where
// there are no tools, this one is guessed.
func treePlatforms(root string) []Target {
	entries, _ := os.ReadDir(filepath.Join(root, "pkg", "tool")) // none is an answer
	var found []Target
	for _, e := range entries {
		if m := platformDir.FindStringSubmatch(e.Name()); m != nil {
			found = append(found, Target{OS: m[1], Arch: m[2]})
		}
	}
	here := Here("")
	if len(found) == 0 {
		return []Target{here}
	}
	slices.SortStableFunc(found, func(a, b Target) int {
		switch here {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	return found
}
