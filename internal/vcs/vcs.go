// Package vcs answers the protocol from version control, as GOPROXY=direct does.
//
// The go command does the work, in a module cache of its own: only what it makes of a repository is what
// GOPROXY=direct would have given, byte for byte. When it fails, this package finds out why, and never guesses
// "not found": it asks the discovery page and the repository what is there. The texts of go, git and hg are
// shown, never read.
package vcs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/goferry/goferry/internal/flight"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// Config are the settings of a Source.
type Config struct {
	// Dir is a folder of our own, made if missing: the module cache, clones and leftovers of the go command.
	// It must not be the user's GOMODCACHE: a go command that waits for us would hold the lock we wait for.
	Dir string

	Runner *gocmd.Runner // starts go, git and hg
	Env    []string      // KEY=VALUE over the Runner's environment: GOVCS, GOPRIVATE, GOAUTH and whatever git needs

	HTTP         *http.Client // asks discovery pages and servers of repositories when the go command failed
	InsecureHTTP *http.Client // the same for https hosts that Insecure matches, without checking certificates; nil is HTTP
	Insecure     string       // patterns as in GOINSECURE; "" is what the go command has been told

	Timeout  time.Duration // for all that one answer takes, without the time in the queue; 0 is 10 minutes
	Parallel int           // answers that are worked on at a time; 0 is 4
	Logger   *slog.Logger  // nil discards
}

var errClosed = fmt.Errorf("%w: the source is closed", goproxy.ErrUnavailable)

const (
	defaultTimeout  = 10 * time.Minute
	defaultParallel = 4
	maxOutput       = 64 << 20       // bytes; a million refs
	staleAfter      = 24 * time.Hour // a leftover in tmp that old belongs to nobody
)

// A Source is a goproxy.Source that answers from version control. Several processes may share its folder.
type Source struct {
	dir      string         // work folder
	mod      string         // GOMODCACHE
	neutral  string         // a folder in no module, where go and git run
	private  *regexp.Regexp // paths that are nobody's business
	run      *gocmd.Runner
	http     *http.Client
	insecure *http.Client
	timeout  time.Duration
	log      *slog.Logger

	slots   chan struct{}
	flights flight.Group[answer]
	paths   keyedLock
	kinds   kinds
	ssh     sshCommand
}

// New returns a Source, and makes its folder. Close it.
func New(cfg Config) (*Source, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil || cfg.Dir == "" {
		return nil, fmt.Errorf("direct: no work folder: %w", errors.Join(err, os.ErrInvalid))
	}
	s := &Source{
		dir: dir, mod: filepath.Join(dir, "mod"),
		http: secure(cfg.HTTP), insecure: secure(cfg.InsecureHTTP),
		timeout: cfg.Timeout, log: cfg.Logger,
		flights: flight.Group[answer]{Closed: errClosed},
	}
	if cfg.InsecureHTTP == nil {
		s.insecure = s.http
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = defaultParallel
	}
	s.slots = make(chan struct{}, cfg.Parallel)
	empty := filepath.Join(dir, "empty")
	for _, d := range []string{empty, s.mod, s.tmp()} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return nil, fmt.Errorf("direct: %w", err)
		}
	}
	s.sweep()
	if s.neutral, err = gocmd.NeutralDir(empty); err != nil {
		return nil, fmt.Errorf("direct: %w", err)
	}
	runner := new(gocmd.Runner)
	if cfg.Runner != nil {
		*runner = *cfg.Runner
	}
	if runner.MaxOutput <= 0 {
		runner.MaxOutput = maxOutput
	}
	runner.Env = s.environ(append(runner.Environ(), cfg.Env...), cfg.Insecure)
	s.run = runner
	s.private = privateDirs(dir, s.neutral, last(runner.Env, "HOME"), last(runner.Env, "USERPROFILE"))
	return s, nil
}

// Close stops what is still running and waits for it.
func (s *Source) Close() error {
	s.flights.Close()
	return nil
}

func (s *Source) tmp() string { return filepath.Join(s.dir, "tmp") }

// sweep takes away what a killed process left in tmp.
func (s *Source) sweep() {
	entries, err := os.ReadDir(s.tmp())
	if err != nil {
		s.log.Warn("cannot sweep the work folder", "file", s.tmp(), "err", err)
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			if err := os.RemoveAll(filepath.Join(s.tmp(), e.Name())); err != nil {
				s.log.Warn("cannot sweep the work folder", "file", e.Name(), "err", err)
			}
		}
	}
}

// Open implements goproxy.Source. Every error is a *goproxy.Error; see package goproxy for its meaning.
//
// Latest is the highest release, else the highest pre-release, else the newest commit of the default branch.
// Retracted versions count here and stay in List: the go command that asks applies the retractions.
func (s *Source) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	f, err := s.open(ctx, req)
	if err != nil {
		return nil, s.carry(ctx, req, err)
	}
	return f, nil
}

func (s *Source) open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	if _, err := req.Name(); err != nil {
		return nil, err
	}
	if req.Query() && needsMain(req.Version) {
		return nil, fmt.Errorf("%w: the query %s has a meaning only inside a module", goproxy.ErrInvalid, req.Version)
	}
	if req.Immutable() {
		if f, ok := s.cached(req); ok {
			return f, nil
		}
	}
	if goproxy.IsCachedOnly(ctx) {
		return nil, fmt.Errorf("%w: not fetched yet", goproxy.ErrNotExist)
	}
	if _, _, err := staticRoot(req.Path); err != nil {
		return nil, err
	}
	ans, err := s.flights.Do(ctx, req.String(), nil, func(ctx context.Context) (answer, error) { return s.answer(ctx, req) })
	if err != nil {
		return nil, err
	}
	if req.Kind == goproxy.List {
		return goproxy.NewFile(req, goproxy.FormatList(ans.versions), time.Now(), nil), nil
	}
	made := req
	if made.Kind == goproxy.Latest {
		made.Kind = goproxy.Info
	}
	made.Version = ans.version
	if f, ok := s.cached(made); ok {
		return f, nil
	}
	return nil, fmt.Errorf("the go command said it has made %s, but it is not in %s", made, s.mod)
}

// needsMain reports whether a query means something relative to what a main module requires.
func needsMain(query string) bool { return query == "upgrade" || query == "patch" }

// An answer is what the work on a request has brought; files are in the module cache.
type answer struct {
	version  string
	versions []string
}

// answer works on req, one at a time for each module, so that the go commands do not wait for each
// other's locks, and not on too many modules at once.
func (s *Source) answer(ctx context.Context, req goproxy.Request) (answer, error) {
	unlock, err := s.paths.lock(ctx, req.Path)
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	if req.Immutable() {
		if f, ok := s.cached(req); ok { // somebody else's work brought it
			return answer{version: req.Version}, f.Close()
		}
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeLimit)
	defer cancel()
	start := time.Now()
	ans, err := s.work(ctx, req)
	s.log.DebugContext(ctx, "asked version control", "module", req.Path, "version", req.Version, "file", req.Kind.String(), "dur", time.Since(start))
	return ans, s.timeLimit(ctx, err)
}

var errTimeLimit = fmt.Errorf("time limit: %w", context.DeadlineExceeded)

func (s *Source) timeLimit(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errTimeLimit) {
		return fmt.Errorf("%w: version control took longer than %v: %w", goproxy.ErrUnavailable, s.timeout, context.DeadlineExceeded)
	}
	return err
}

func (s *Source) work(ctx context.Context, req goproxy.Request) (answer, error) {
	switch req.Kind {
	case goproxy.List:
		versions, err := s.list(ctx, req)
		return answer{versions: versions}, err
	case goproxy.Zip:
		return answer{version: req.Version}, s.download(ctx, req)
	}
	version, err := s.stat(ctx, req)
	return answer{version: version}, err
}

// carry makes err a *goproxy.Error that says what was asked of whom.
func (s *Source) carry(ctx context.Context, req goproxy.Request, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", goproxy.ErrUnavailable, err)
		}
	}
	e := &goproxy.Error{Source: "direct", Request: req, Err: err}
	var h *hinted
	if errors.As(err, &h) {
		e.Hint, e.HintCode = h.hint.text, h.hint.code
	}
	return e
}
