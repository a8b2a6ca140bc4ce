package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// sumsInMemory is a sumdb.Store without a disk.
type sumsInMemory struct {
	mu    sync.Mutex
	files map[string][]byte
	lock  chan struct{}
}

func newSumsInMemory() *sumsInMemory {
	return &sumsInMemory{files: map[string][]byte{}, lock: make(chan struct{}, 1)}
}

// Get returns a file.
func (s *sumsInMemory) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}

// Put keeps a file.
func (s *sumsInMemory) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = slices.Clone(data)
	return nil
}

// Lock is one lock for all names.
func (s *sumsInMemory) Lock(ctx context.Context, _ string) (unlock func(), err error) {
	select {
	case s.lock <- struct{}{}:
		return func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ourSums is goferry's own client of the checksum database as the remote of another.
type ourSums struct {
	client *sumdb.Client
	name   string
}

// Fetch asks for a path of the database's protocol.
func (r ourSums) Fetch(ctx context.Context, path string) ([]byte, error) {
	data, _, err := r.client.Open(ctx, r.name+path)
	return data, err
}

// String names the remote.
func (r ourSums) String() string { return r.name }

// parallelLookups is how many module versions are looked up side by side; most answers are in the cache.
const parallelLookups = 16

// A sumsPart is the checksum database's part of a bundle.
type sumsPart struct {
	files   map[string][]byte // by name, below sumdb/NAME/
	missing []bundle.Missing
}

// bundleSums proves modules, whose Recorded it sets, with an empty store, and returns what is in that store then: all
// that somebody without a network needs for the same proof, and nothing else. Base has the files of an older bundle, or is
// nil: whoever knows its tree head can prove that the new one goes on from there.
func (f *ferry) bundleSums(ctx context.Context, modules []bundle.Module, base fs.FS, tell func(done, total int)) (sumsPart, error) {
	db, err := f.sumDB()
	if err != nil || db.Off {
		return sumsPart{}, err
	}
	// Goferry's own client learns of all modules first. Whatever head it has then is at least as new as that of any
	// lookup, so that the second round ends with one head, and with the tiles of one tree.
	part := sumsPart{}
	if err := f.eachModule(ctx, f.sums, modules, &part, nil, tell); err != nil || len(part.missing) > 0 {
		return part, err
	}
	head, _, err := f.sums.Open(ctx, db.Name+"/latest")
	if err != nil && !f.offline() {
		return part, err
	}
	store := newSumsInMemory()
	err = f.proveAll(ctx, db, store, modules, baseHead(base, db.Name), head, &part)
	if err != nil || len(part.missing) > 0 && f.offline() {
		// The cache has what proves each lookup under the head that it was kept with, and perhaps not what proves all of
		// them under one.
		part.missing, store = nil, newSumsInMemory()
		err = f.proveAll(ctx, db, store, modules, nil, nil, &part)
	}
	part.files = store.files
	return part, err
}

// proveAll looks all modules up with a client of its own over store.
func (f *ferry) proveAll(ctx context.Context, db sumdb.DB, store sumdb.Store, modules []bundle.Module, base, head []byte, part *sumsPart) (err error) {
	c, err := sumdb.New(sumdb.Config{
		DB: db, Store: store, Remotes: []sumdb.Remote{ourSums{f.sums, db.Name}}, Exempt: strings.Join(f.cfg.NoSumdb, ","), Logger: f.log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for _, h := range [][]byte{base, head} {
		if len(h) == 0 {
			continue
		}
		if err := c.Learn(ctx, h); err != nil {
			return err
		}
	}
	return f.eachModule(ctx, c, modules, part, func(m *bundle.Module) { m.Recorded = true }, nil)
}

// eachModule looks up every module that the database covers, and compares.
func (f *ferry) eachModule(ctx context.Context, c *sumdb.Client, modules []bundle.Module, part *sumsPart, good func(*bundle.Module), tell func(done, total int)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelLookups)
	var mu sync.Mutex
	done := 0
	for i := range modules {
		m := &modules[i]
		g.Go(func() error {
			if c.Covers(m.Path) {
				req, err := checkRecord(ctx, c, *m)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				mu.Lock()
				if err != nil {
					part.missing = append(part.missing, bundle.Missing{Request: req, Err: err})
				} else if good != nil {
					good(m)
				}
				mu.Unlock()
			}
			mu.Lock()
			defer mu.Unlock()
			if done++; tell != nil {
				tell(done, len(modules))
			}
			return nil
		})
	}
	err := g.Wait()
	part.missing = bundle.SortMissing(part.missing)
	return err
}

// checkRecord compares the hashes of m's files with what the database recorded.
func checkRecord(ctx context.Context, c *sumdb.Client, m bundle.Module) (goproxy.Request, error) {
	req := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Mod}
	if m.Sum != "" {
		req.Kind = goproxy.Zip
	}
	sums, err := c.Lookup(ctx, m.Path, m.Version)
	if err != nil {
		return req, err
	}
	if m.Sum != "" && m.Sum != sums.Zip {
		return req, &sumdb.MismatchError{Request: req, Want: sums.Zip, Got: m.Sum, DB: c.Status().Name}
	}
	// The go.mod of a toolchain is one line that is always the same, and need not be recorded.
	if m.ModSum != "" && m.ModSum != sums.Mod && (m.Path != goproxy.ToolchainPath || sums.Mod != "") {
		req.Kind = goproxy.Mod
		return req, &sumdb.MismatchError{Request: req, Want: sums.Mod, Got: m.ModSum, DB: c.Status().Name}
	}
	return req, nil
}

// baseHead is the tree head of an older bundle; nil if it has none.
func baseHead(base fs.FS, db string) []byte {
	if base == nil {
		return nil
	}
	head, err := fs.ReadFile(base, "sumdb/"+db+"/latest")
	if err != nil {
		return nil
	}
	return head
}

// entries makes entries of the database's files. Of lookups that base has with the same record, base's do: they differ
// in the tree head alone, and the tiles that prove them under the new head come along.
func (p sumsPart) entries(base fs.FS) ([]bundle.File, error) {
	var files []bundle.File
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if strings.Contains(name, "/lookup/") && base != nil {
			same, err := sameRecord(base, name, p.files[name])
			if err != nil {
				return nil, err
			}
			if same {
				continue
			}
		}
		files = append(files, bundle.FileOf(name, p.files[name]))
	}
	return files, nil
}

// sameRecord reports whether base has a lookup of that name with the same record.
func sameRecord(base fs.FS, name string, data []byte) (bool, error) {
	f, err := base.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	old, err := io.ReadAll(f)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	record := func(b []byte) string { r, _, _ := strings.Cut(string(b), "\n\n"); return r }
	return record(old) == record(data), nil
}
