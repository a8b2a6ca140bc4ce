package goproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/module"
)

// Sep says when a chain goes on behind a link; it is the separator that stands
// behind an entry in a GOPROXY list.
type Sep byte

// The separators of a GOPROXY list, and goferry's own.
const (
	OnAbsent Sep = ',' // go on after ErrNotExist, ErrGone and ErrInvalid only
	OnError  Sep = '|' // go on after any error
	OnMirror Sep = '=' // the next link serves the same modules: go on after any error but ErrBlocked
)

// A Link is one entry of a Chain.
type Link struct {
	Name   string // for logs; without credentials
	Source Source
	Sep    Sep // what stands behind it; of no meaning for the last link

	// Decides says that Source is a module proxy that makes what it lacks from the origin:
	// where it has a module, its "not found" for a longer path is the last word of a look-up.
	Decides bool
	// Origin says that Source is version control, which is not asked once a link has decided.
	Origin bool
}

// Chain asks its links in turn, as the go command walks GOPROXY. When no link has
// the file, the error of the chain is the one that says most: an ErrMismatch, else the last
// that is not Absent ("could not find out" anywhere is never "not found"), else the last.
//
// One answer ends the walk early: where a link that Decides has no module at the path of a List, Latest or
// Info but has one at a shorter path, as the go command finds out by asking for every prefix of a package,
// then the origin is not asked, and a link that could not find out does not hide it.
//
// A File that a chain opened and that turned out to be bad (see Avoid) is asked
// for once more by opening it with the same context: the link that served it is passed over,
// and the chain goes on where the separator allows that after any error.
func Chain(links ...Link) Source {
	c := &chain{links: links, owners: make([]*owner, len(links))}
	for i, l := range links {
		if l.Decides {
			c.owners[i] = &owner{src: l.Source}
		}
	}
	return c
}

type chain struct {
	links  []Link
	owners []*owner // nil for links that do not decide
}

// Open implements Source.
func (c *chain) Open(ctx context.Context, req Request) (File, error) {
	avoid := avoidFrom(ctx)
	w := walk{chain: c, req: req}
	for i, l := range c.links {
		if l.Origin && !w.versioned() && w.decided(ctx) {
			return nil, w.final
		}
		if i > 0 && ctx.Err() != nil {
			return nil, &Error{Request: req, Err: context.Cause(ctx)}
		}
		var f File
		err, before := avoid.reason(linkKey{c, i}), avoid.count()
		if err == nil {
			f, err = l.Source.Open(ctx, req)
		}
		if err == nil {
			if avoid.count() == before { // else it was a chain or a set within the link, which said who
				avoid.serve(server{key: linkKey{c, i}, name: l.Name})
			}
			return f, nil
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil, err
		}
		w.failed(i, err)
		if !l.Sep.goesOn(err) {
			break
		}
	}
	if w.best == nil {
		return nil, &Error{Request: req, Err: fmt.Errorf("%w: no upstream is configured", ErrUnavailable)}
	}
	if errors.Is(w.best, ErrUnavailable) && w.decided(ctx) {
		return nil, w.final
	}
	return nil, w.best
}

// A walk is one request on its way along a chain.
type walk struct {
	*chain
	req    Request
	best   error   // the most telling so far
	absent []claim // of the links that may decide
	final  error   // set once decided
}

type claim struct {
	link int
	err  error
}

func (w *walk) failed(i int, err error) {
	w.best = moreTelling(w.best, err)
	if w.owners[i] != nil && Absent(err) {
		w.absent = append(w.absent, claim{i, err})
	}
}

// versioned requests may be for a module that the build needs, and that only the
// origin has; all others look for what there is.
func (w *walk) versioned() bool { return w.req.Kind == Info && w.req.Immutable() }

func (w *walk) decided(ctx context.Context) bool {
	if !probed(w.req) {
		return false
	}
	for _, a := range w.absent {
		if w.final == nil && w.owners[a.link].decides(ctx, w.req) {
			w.final = a.err
		}
	}
	w.absent = nil
	return w.final != nil
}

func (s Sep) goesOn(err error) bool {
	switch s {
	case OnError:
		return true
	case OnMirror:
		return !errors.Is(err, ErrBlocked)
	}
	return Absent(err)
}

func moreTelling(best, err error) error {
	if best == nil || Absent(best) || errors.Is(err, ErrMismatch) {
		return err
	}
	if Absent(err) || errors.Is(best, ErrMismatch) {
		return best
	}
	return err
}

// linkKey is a link of a chain, as an Avoid knows it.
type linkKey struct {
	chain *chain
	link  int
}

// Avoid remembers who served bytes that were refused, links of chains and mirrors of a set, so
// that the next try of the same request goes to another. Chains and sets may stand within each
// other: what is refused is the innermost that served, and all else may be asked again.
type Avoid struct {
	mu     sync.Mutex
	last   server
	served int  // times that somebody served
	open   bool // the last one who served can still be refused
	bad    map[any]error
}

// A server is who opened a file for a request with an Avoid.
type server struct {
	key     any // comparable, of one link or mirror
	name    string
	refused func(error) // told when its bytes are refused; may be nil
	spare   bool        // somebody else could serve the same
}

type avoidKey struct{}

// NewAvoid returns a context in which chains and sets of mirrors remember who served, and its Avoid.
// At most one Open at a time may use it.
func NewAvoid(ctx context.Context) (context.Context, *Avoid) {
	a := &Avoid{bad: map[any]error{}}
	return context.WithValue(ctx, avoidKey{}, a), a
}

// withoutAvoid is for requests other than the one that the Avoid in ctx is about, and for
// those of which only one will have served.
func withoutAvoid(ctx context.Context) context.Context {
	if avoidFrom(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, avoidKey{}, (*Avoid)(nil))
}

func avoidFrom(ctx context.Context) *Avoid {
	a, _ := ctx.Value(avoidKey{}).(*Avoid)
	return a
}

// Refuse puts whoever served last out for this request. It reports whether there was one.
func (a *Avoid) Refuse(err error) bool {
	a.mu.Lock()
	last, open := a.last, a.open
	if open {
		a.bad[last.key], a.open = err, false
	}
	a.mu.Unlock()
	if open && last.refused != nil {
		last.refused(err)
	}
	return open
}

// Last is the name of the link or mirror that served last; empty if none did.
func (a *Avoid) Last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last.name
}

// Spare reports whether somebody else could serve the file that was served last: a set of mirrors has
// others. If its bytes turn out to be bad, nobody need notice, as long as none has left.
func (a *Avoid) Spare() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last.spare
}

// reason is why the bytes of key were refused; nil if they were not.
func (a *Avoid) reason(key any) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bad[key]
}

// count is how often somebody served.
func (a *Avoid) count() int {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.served
}

func (a *Avoid) serve(s server) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last, a.open = s, true
	a.served++
}

// Match asks yes for modules whose path matches one of the comma-separated glob
// patterns, by the rule of GOPRIVATE (module.MatchPrefixPatterns), and no for all others.
func Match(patterns string, yes, no Source) Source {
	return SourceFunc(func(ctx context.Context, req Request) (File, error) {
		if module.MatchPrefixPatterns(patterns, req.Path) {
			return yes.Open(ctx, req)
		}
		return no.Open(ctx, req)
	})
}

// Limit lets at most n files of src be opened or read at a time; others wait for a
// place or for their context. An n below 1 is 1.
func Limit(src Source, n int) Source {
	places := make(chan struct{}, max(n, 1))
	return SourceFunc(func(ctx context.Context, req Request) (File, error) {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil, &Error{Request: req, Err: context.Cause(ctx)}
		}
		release := sync.OnceFunc(func() { <-places })
		f, err := src.Open(ctx, req)
		if err != nil {
			release()
			return nil, err
		}
		return &closingFile{File: f, after: release}, nil
	})
}

type closingFile struct {
	File
	after func()
}

func (f *closingFile) Close() error {
	defer f.after()
	return f.File.Close()
}

// Enforce asks allow before each request; an error of allow is the answer.
func Enforce(src Source, allow func(ctx context.Context, req Request) error) Source {
	return SourceFunc(func(ctx context.Context, req Request) (File, error) {
		if err := allow(ctx, req); err != nil {
			return nil, err
		}
		return src.Open(ctx, req)
	})
}

// Policy returns a rule for Enforce: modules that match block, or that do not match
// a non-empty allow, are ErrBlocked. Both are lists of GOPRIVATE patterns.
func Policy(allow, block []string) func(ctx context.Context, req Request) error {
	matches := func(patterns []string, path string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return module.MatchPrefixPatterns(p, path) })
	}
	return func(_ context.Context, req Request) error {
		if matches(block, req.Path) || len(allow) > 0 && !matches(allow, req.Path) {
			return &Error{Request: req, Err: fmt.Errorf("%w by the policy of this goferry", ErrBlocked),
				Hint: "ask whoever runs this goferry to allow " + req.Path, HintCode: "policy.hint.blocked"}
		}
		return nil
	}
}

// Observe tells done of each Open: its error and how long it took.
func Observe(src Source, done func(ctx context.Context, req Request, took time.Duration, err error)) Source {
	return SourceFunc(func(ctx context.Context, req Request) (File, error) {
		start := time.Now()
		f, err := src.Open(ctx, req)
		done(ctx, req, time.Since(start), err)
		return f, err
	})
}

// Fail answers every request with err; each caller gets an *Error of its own request.
func Fail(source string, err error, hint, code string) Source {
	return SourceFunc(func(_ context.Context, req Request) (File, error) {
		return nil, &Error{Source: source, Request: req, Err: err, Hint: hint, HintCode: code}
	})
}
