package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// wireBundles opens the bundles that the settings name. They are the only source then, nothing of them is copied into the
// cache, and nothing of the cache is served: what is in it may be of another tree of the checksum database, and no
// go command follows two.
func (a *app) wireBundles(f *ferry) error {
	if !a.fromBundles || len(f.cfg.Bundle) == 0 {
		return nil
	}
	keys, err := a.trustedKeys(f.cfg)
	if err != nil {
		return err
	}
	list, err := a.openBundles(f.cfg.Bundle, keys)
	if err != nil {
		return err
	}
	for _, b := range list {
		f.closers = append(f.closers, b)
	}
	for _, b := range list {
		err := bundle.NeedBase(b.Manifest(), func(id string) bool {
			return slices.ContainsFunc(list, func(other *openBundle) bool { return other.Manifest().ID == id })
		})
		if err != nil {
			base := b.Manifest().Base
			return &fault{code: "bundle.error.base", args: []any{"File", b.label(), "Detail", shortID(base.ID), "Date", base.Time.UTC().Format("2006-01-02"), "Count", 0},
				hint: "bundle.hint.serve-base", exit: goproxy.ExitCode(err), err: err}
		}
	}
	f.bundles = list
	return nil
}

// bundledSums makes the client of the checksum database of bundles. It keeps nothing on disk: what the cache knows of other
// trees must not come between.
func (a *app) bundledSums(f *ferry) (*sumdb.Client, error) {
	db, err := a.bundleDB(f.cfg, f.bundles)
	if err != nil {
		return nil, err
	}
	return bundleSumsClient(context.Background(), f, db, f.bundles)
}

// A bundled is the module files of bundles as a source.
type bundled struct {
	list []*openBundle // those whose answers go first stand first
	srcs []goproxy.Source
	sums *sumdb.Client

	mu   sync.Mutex
	seen map[goproxy.Request]*seenFile
}

// A seenFile is a file that has been checked, or is just being checked.
type seenFile struct {
	mu sync.Mutex
	ok bool
}

func newBundled(list []*openBundle, sums *sumdb.Client) *bundled {
	s := &bundled{list: slices.Clone(list), sums: sums, seen: map[goproxy.Request]*seenFile{}}
	slices.Reverse(s.list) // what adds to another has the newer lists
	slices.SortStableFunc(s.list, func(x, y *openBundle) int { return y.Manifest().Time.Compare(x.Manifest().Time) })
	for _, b := range s.list {
		s.srcs = append(s.srcs, b.Source())
	}
	return s
}

// Open answers from the first bundle that has the file. A go.mod file or zip is checked against the checksum database when
// it is asked for the first time, before its first byte leaves.
func (s *bundled) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	if req.Kind == goproxy.List {
		return s.versions(ctx, req)
	}
	for _, src := range s.srcs {
		f, err := src.Open(ctx, req)
		if errors.Is(err, goproxy.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := s.check(ctx, req, f); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	return nil, s.lacking(req)
}

// versions are those of all bundles.
func (s *bundled) versions(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	var all []string
	found := false
	for _, src := range s.srcs {
		data, err := goproxy.ReadFile(ctx, src, req)
		if errors.Is(err, goproxy.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		found = true
		list, _ := goproxy.ParseList(req.Path, data)
		all = append(all, list...)
	}
	if !found {
		return nil, s.lacking(req)
	}
	slices.Sort(all)
	return goproxy.NewFile(req, goproxy.FormatList(slices.Compact(all)), s.list[0].Manifest().Time, &goproxy.Meta{Result: "hit"}), nil
}

// check compares a file with what the checksum database recorded; once, since its bytes cannot change unseen: the reader of
// the bundle compares them with the manifest.
func (s *bundled) check(ctx context.Context, req goproxy.Request, f goproxy.File) error {
	if req.Kind != goproxy.Mod && req.Kind != goproxy.Zip {
		return nil
	}
	s.mu.Lock()
	seen := s.seen[req]
	if seen == nil {
		seen = &seenFile{}
		s.seen[req] = seen
	}
	s.mu.Unlock()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if seen.ok {
		return nil
	}
	info, err := f.Stat()
	if err == nil {
		err = s.sums.Verify(ctx, req, readerAt(f), info.Size())
	}
	seen.ok = err == nil
	return err
}

// lacking is the error for what no bundle has. Modules that no bundle has anything of are not found: the go command looks for
// packages by asking for modules that were never there. Of a module that is here, another version may well exist.
func (s *bundled) lacking(req goproxy.Request) error {
	name := s.list[0].label()
	if more := len(s.list) - 1; more > 0 {
		name = fmt.Sprintf("%s and %d more", name, more)
	}
	if slices.ContainsFunc(s.list, func(b *openBundle) bool { return b.hasModule(req.Path) }) {
		return &goproxy.Error{Source: name, Request: req, Err: fmt.Errorf("%w: not in the bundle", goproxy.ErrUnavailable),
			Hint: "make a bundle that has it: goferry bundle create --since OLD.bundle", HintCode: "bundle.hint.lacking"}
	}
	return &goproxy.Error{Source: name, Request: req, Err: fmt.Errorf("%w: the bundle has nothing of this module", goproxy.ErrNotExist),
		Hint: "make a bundle that has it: goferry bundle create --since OLD.bundle", HintCode: "bundle.hint.lacking"}
}

// bundleNames says what is served.
func (a *app) bundleNames(f *ferry) string {
	var names []string
	for _, b := range f.bundles {
		names = append(names, a.p.T("bundle.serving", "File", b.label(), "Date", b.day()))
	}
	return strings.Join(names, ", ")
}

// explainSums says why the checksum database's part of the server has no answer, where that takes more words than
// the error has; nil if not.
func (a *app) explainSums(f *ferry, err error) []string {
	var ne *sumdb.NewerError
	if !errors.As(err, &ne) {
		return nil
	}
	args := []any{"Name", ne.DB, "Theirs", ne.Want, "Ours", ne.Have, "Bundle", a.bundleNames(f)}
	what, hint := a.p.T("bundle.newer.cache", args...), a.p.T("bundle.hint.newer-cache", "Name", ne.DB)
	if f.bundles != nil {
		what, hint = a.p.T("bundle.newer.bundle", args...), a.p.T("bundle.hint.newer-bundle", "Name", ne.DB)
	}
	return []string{what, a.p.T("cli.hint", "Hint", hint)}
}

// vulnFolder serves govulncheck's database where a bundle has one.
func (f *ferry) vulnFolder() http.Handler {
	for _, b := range slices.Backward(f.bundles) {
		if sub, err := fs.Sub(b.FS(), strings.TrimSuffix(bundle.VulnFolder, "/")); err == nil {
			if _, err := fs.Stat(sub, "index"); err == nil {
				return http.StripPrefix("/-/vuln", http.FileServerFS(sub))
			}
		}
	}
	return nil
}
