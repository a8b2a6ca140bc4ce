// Package sumdb checks files against the checksum database and proxies it,
// online or from a store; it never skips a check silently.
//
// It does not decide which mirror is asked next, what is kept of a module, or
// whether the check is on: that is said by its settings, and a database that
// cannot be asked makes a file unavailable, not trusted.
//
// What it keeps has the names of the HTTP surface (sumdb/NAME/supported, latest,
// lookup/…, tile/…), so that the store is a GOPROXY=file:// tree. Nothing is
// written before it is proved to be in the tree that the database signed, and a
// kept lookup carries the tree head that it was proved under, not the one it came
// with: so the kept tiles suffice to prove every kept lookup, also to a go command
// that has no network.
package sumdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/flight"
	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
)

// A Store keeps named files. It may be shared with other processes.
type Store interface {
	// Get returns the whole file; the error matches fs.ErrNotExist when there is none.
	Get(name string) ([]byte, error)
	// Put writes the whole file or nothing. It replaces what was there.
	Put(ctx context.Context, name string, data []byte) error
	// Lock waits for the exclusive right to change the named file, across processes.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// Config is what a Client needs to know. DB must come from ParseDB.
type Config struct {
	DB      DB
	Store   Store    // where tiles, lookups and the tree head are kept; required unless DB.Off
	Remotes []Remote // tried in this order; none means offline
	Exempt  string   // module path patterns as in GONOSUMDB, GOPRIVATE already merged in

	Freshness  time.Duration // how long /latest and /supported are believed; 0 means a minute
	HedgeAfter time.Duration // silence after which the next remote is asked too, sooner for one that has never answered; 0 means 3 s

	Logger *slog.Logger // nil discards
}

// A Client checks files and answers the database's protocol. Close it.
// It may be used by many goroutines, and by many processes over one store.
type Client struct {
	db        DB
	store     Store
	exempt    string
	freshness time.Duration
	log       *slog.Logger
	verifiers note.Verifiers
	chain     *chain
	alone     []*chain // each remote by itself, in the same order

	fetches flight.Group[[]byte] // of remote files
	proofs  flight.Group[[]byte] // of whole lookups, tree heads and tiles
	zips    chan struct{}        // bounds the zips that are decompressed at once

	mu      sync.Mutex
	mem     head // the newest head that was proved, should the store be unable to keep it
	fresh   time.Time
	probed  time.Time
	probe   error
	status  Status
	noticed map[string]bool // faults of the store that were logged already
}

const (
	defaultFreshness = time.Minute
	defaultHedge     = 3 * time.Second
)

// New returns a Client for cfg.
func New(cfg Config) (*Client, error) {
	c := &Client{
		db:        cfg.DB,
		store:     cfg.Store,
		exempt:    cfg.Exempt,
		freshness: cfg.Freshness,
		log:       cfg.Logger,
		zips:      make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		noticed:   make(map[string]bool),
		fetches:   flight.Group[[]byte]{Closed: errClosed},
		proofs:    flight.Group[[]byte]{Closed: errClosed},
		status:    Status{Name: cfg.DB.Name, Off: cfg.DB.Off, Offline: len(cfg.Remotes) == 0},
	}
	if c.freshness == 0 {
		c.freshness = defaultFreshness
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if cfg.DB.Off {
		return c, nil
	}
	if cfg.Store == nil {
		return nil, errors.New("checksum database: no store to keep its tree in")
	}
	v, err := note.NewVerifier(cfg.DB.Key)
	if err != nil {
		return nil, fmt.Errorf("checksum database: key: %w", err)
	}
	if v.Name() != cfg.DB.Name {
		return nil, fmt.Errorf("checksum database: key is of %s, not of %s", v.Name(), cfg.DB.Name)
	}
	c.verifiers = note.VerifierList(v)
	hedge := cfg.HedgeAfter
	if hedge == 0 {
		hedge = defaultHedge
	}
	c.chain = &chain{remotes: cfg.Remotes, hedge: hedge, check: c.plausible}
	for i := range cfg.Remotes {
		c.alone = append(c.alone, &chain{remotes: cfg.Remotes[i : i+1], hedge: hedge, check: c.plausible})
	}
	return c, nil
}

// Close ends what is under way and waits for it.
func (c *Client) Close() error {
	c.proofs.Close()
	c.fetches.Close()
	return nil
}

// A Status says how the checksum database has been doing.
type Status struct {
	Name        string // of the database; empty if Off
	Off         bool   // nothing is checked
	Offline     bool   // no remote: answers come from the store alone
	TreeSize    int64  // records in the newest tree that was proved; 0 if none
	LastSuccess time.Time
	LastError   error // of the last remote fetch that had no answer; nil if there was none
	LastErrorAt time.Time
}

// Status returns the state as it is now. It asks nobody.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.TreeSize = c.mem.N
	return s
}

// Sums is what the database recorded for one module version: "h1:" hashes in
// the form of go.sum. One of them may be empty.
type Sums struct {
	Zip string // of the module zip
	Mod string // of its go.mod file
}

// toolchainPath is the module whose versions are Go toolchains. The go command
// looks it up even when a pattern exempts it, since no go.sum can list it.
const toolchainPath = "golang.org/toolchain"

// Covers reports whether the database is asked about path: it is on, and no
// pattern exempts path. golang.org/toolchain cannot be exempted.
func (c *Client) Covers(path string) bool {
	return !c.db.Off && (path == toolchainPath || !module.MatchPrefixPatterns(c.exempt, path))
}

// Lookup returns the hashes that the database recorded, proved to be in its
// tree, and keeps the proof. Errors: ErrNotExist or ErrGone if the database says
// that it has no record, ErrBlocked if the module is exempt (its name must not
// leave) or the database is off, ErrUnavailable if it could not be asked or what came
// back is not authentic, *ForkError if it contradicts its own past.
func (c *Client) Lookup(ctx context.Context, path, version string) (Sums, error) {
	m := module.Version{Path: path, Version: version}
	data, err := c.lookup(ctx, m)
	if err != nil {
		return Sums{}, err
	}
	return sumsOf(m, recordText(data)), nil
}

// sumsOf picks the lines of m from the text of a record. As in cmd/go the first
// h1 line counts. Source: cmd/go/internal/modfetch/fetch.go, checkSumDB.
func sumsOf(m module.Version, text string) Sums {
	var s Sums
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Split(line, " ")
		if len(f) != 3 || f[0] != m.Path || !strings.HasPrefix(f[2], "h1:") {
			continue
		}
		switch {
		case f[1] == m.Version && s.Zip == "":
			s.Zip = f[2]
		case f[1] == m.Version+"/go.mod" && s.Mod == "":
			s.Mod = f[2]
		}
	}
	return s
}

// noteFetch keeps what Status tells.
func (c *Client) noteFetch(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || goproxy.Absent(err) {
		c.status.LastSuccess = time.Now()
		return
	}
	c.status.LastError, c.status.LastErrorAt = err, time.Now()
}

// noteStore logs a fault of the store, once for each operation: a full disk must not
// fill the log as well.
func (c *Client) noteStore(op string, err error) {
	c.mu.Lock()
	seen := c.noticed[op]
	c.noticed[op] = true
	c.mu.Unlock()
	if !seen {
		c.log.Warn("checksum database: the store does not work; answers are proved but not kept", "op", op, "err", err)
	}
}
