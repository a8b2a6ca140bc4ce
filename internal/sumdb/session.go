package sumdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is the only one that the go command asks for.
const tileHeight = 8

// A session is one try to prove something. It collects what is worth keeping and
// keeps it only when the proof is done: golang.org/x/mod/sumdb hands over tiles as
// soon as they fit a signed head, which is before it knows whether that head fits the ones before.
type session struct {
	c        *Client
	chain    *chain // nil: ask nobody
	useStore bool   // take tiles and lookups from the store where it has them

	mu      sync.Mutex
	keep    map[string][]byte // by name below sumdb/NAME/
	got     map[string][]byte // what a lone remote answered, by path
	missing map[string]error  // by tile position or path: what no remote could give
	fork    error
	best    head // newest head that was used
}

func (c *Client) newSession(ch *chain, useStore bool) *session {
	return &session{c: c, chain: ch, useStore: useStore, keep: make(map[string][]byte), got: make(map[string][]byte), missing: make(map[string]error)}
}

// prove runs f, at most once at a time for a name, in an attempt, and returns what it returned.
// Names do not wait for each other: a lookup that hangs must not hold up one that is answered.
func (c *Client) prove(ctx context.Context, name string, f func(context.Context, *session) ([]byte, error)) ([]byte, error) {
	return c.proofs.Do(ctx, name, nil, func(ctx context.Context) ([]byte, error) {
		var data []byte
		err := c.attempt(ctx, name, func(s *session) (err error) {
			data, err = f(ctx, s)
			return err
		})
		return data, err
	})
}

// attempt runs prove over the store and all remotes. If the pieces are there but do not add up,
// at least one is forged or damaged, and it cannot be told which: then each remote is tried by
// itself, without the store, and what that proves replaces what was kept.
func (c *Client) attempt(ctx context.Context, what string, prove func(*session) error) error {
	s := c.newSession(c.chain, true)
	err := s.verdict(ctx, prove(s))
	if err == nil || !isForged(err) {
		s.finish(ctx, err)
		return err
	}
	c.log.Error("checksum database: answers do not add up, asking again", "db", c.db.Name, "file", what, "err", err)
	for _, one := range c.alone {
		s := c.newSession(one, false)
		again := s.verdict(ctx, prove(s))
		if again == nil || errors.Is(again, goproxy.ErrMismatch) || ctx.Err() != nil {
			s.finish(ctx, again)
			return again
		}
		c.log.Error("checksum database: no authentic answer", "db", c.db.Name, "from", one.name(0), "file", what, "err", again)
	}
	return err
}

func (s *session) finish(ctx context.Context, err error) {
	if err == nil {
		s.flush(ctx)
	}
}

// verdict says what err means. What x/mod returns has lost its causes, so they
// are noted where they happen.
func (s *session) verdict(ctx context.Context, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fork *ForkError
	switch {
	case err == nil:
		return nil
	case s.fork != nil:
		return s.fork
	case errors.As(err, &fork):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if keys := slices.Sorted(maps.Keys(s.missing)); len(keys) > 0 {
		err := s.missing[keys[0]]
		if goproxy.Absent(err) && !strings.HasPrefix(keys[0], "/lookup/") {
			// A tile of a tree that was signed must be somewhere.
			return fmt.Errorf("%w: %s: %v", goproxy.ErrUnavailable, keys[0], err)
		}
		return err
	}
	return fmt.Errorf("%w: %w: %w", goproxy.ErrUnavailable, errForged, err)
}

// lingerTile bridges the moments between the arrival of a tile and its proof.
const lingerTile = 5 * time.Second

// lingerAbsent is how long a "no such record" is believed.
const lingerAbsent = time.Minute

func linger(path string) func(error) time.Duration {
	return func(err error) time.Duration {
		switch {
		case err == nil && strings.HasPrefix(path, "/tile/"):
			return lingerTile
		case goproxy.Absent(err) && strings.HasPrefix(path, "/lookup/"):
			return lingerAbsent
		}
		return 0
	}
}

// fetch asks the remotes. Sessions over all remotes share what is under way.
func (s *session) fetch(ctx context.Context, path string) ([]byte, error) {
	data, err := s.ask(ctx, path)
	key := position(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.missing[key] == nil {
			s.missing[key] = err
		}
		return nil, err
	}
	delete(s.missing, key) // a full tile makes up for a partial one
	return data, nil
}

// position is path without the width of a partial tile.
func position(path string) string {
	p, _, _ := strings.Cut(path, ".p/")
	return p
}

func (s *session) ask(ctx context.Context, path string) ([]byte, error) {
	switch {
	case s.chain == nil || len(s.chain.remotes) == 0:
		return nil, &goproxy.Error{Source: s.c.db.Name, Err: fmt.Errorf("%w: not kept, and there is no remote to ask (offline)", goproxy.ErrUnavailable)}
	case s.chain != s.c.chain:
		return s.askOnce(ctx, path)
	}
	return s.c.fetches.Do(ctx, path, linger(path), func(ctx context.Context) ([]byte, error) {
		data, err := s.c.chain.fetch(ctx, path)
		if ctx.Err() == nil {
			s.c.noteFetch(err)
		}
		return data, err
	})
}

// askOnce shares nothing with other sessions: what they were told may be forged.
func (s *session) askOnce(ctx context.Context, path string) ([]byte, error) {
	s.mu.Lock()
	data, ok := s.got[path]
	s.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := s.chain.fetch(ctx, path)
	s.c.noteFetch(err)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got[path] = data
	}
	return data, err
}

// plausible sorts out what cannot be an answer of the database, so that the next
// remote is asked: the signature of heads, the form of records, the size of tiles.
func (c *Client) plausible(path string, data []byte) error {
	switch {
	case path == "/latest":
		_, err := c.openHead(data)
		return err
	case strings.HasPrefix(path, "/lookup/"):
		_, _, msg, err := tlog.ParseRecord(data)
		if err != nil {
			return err
		}
		_, err = c.openHead(msg)
		return err
	case strings.HasPrefix(path, "/tile/"):
		t, err := tlog.ParseTilePath(path[1:])
		if err != nil {
			return err
		}
		if t.L >= 0 && len(data) != t.W*tlog.HashSize {
			return fmt.Errorf("tile has %d bytes, not %d", len(data), t.W*tlog.HashSize)
		}
	}
	return nil
}

// kept reads a file of the store. A tile of the wrong length counts as missing.
func (s *session) kept(name string) ([]byte, error) {
	if !s.useStore {
		return nil, errors.New("the store is not asked")
	}
	data, err := s.c.store.Get(s.c.file(name))
	if err != nil {
		return nil, err
	}
	if err := s.c.plausible("/"+name, data); err != nil {
		return nil, err
	}
	return data, nil
}

func (s *session) save(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep[name] = data
}

// saved is what this session proved and did not write yet.
func (s *session) saved(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep[name]
}

// flush writes what was saved, lookups last: they lean on the tiles.
func (s *session) flush(ctx context.Context) {
	s.mu.Lock()
	keep := s.keep
	s.keep = make(map[string][]byte)
	s.mu.Unlock()
	names := slices.Sorted(maps.Keys(keep)) // "lookup/" sorts before "tile/"
	for _, name := range slices.Backward(names) {
		s.c.put(ctx, name, keep[name])
	}
}

// ops is sumdb.ClientOps over functions that close over the context of one lookup.
type ops struct {
	readRemote  func(path string) ([]byte, error)
	readConfig  func(file string) ([]byte, error)
	writeConfig func(file string, old, new []byte) error
	readCache   func(file string) ([]byte, error)
	writeCache  func(file string, data []byte)
	security    func(msg string)
}

func (o *ops) ReadRemote(path string) ([]byte, error)         { return o.readRemote(path) }
func (o *ops) ReadConfig(file string) ([]byte, error)         { return o.readConfig(file) }
func (o *ops) WriteConfig(file string, old, new []byte) error { return o.writeConfig(file, old, new) }
func (o *ops) ReadCache(file string) ([]byte, error)          { return o.readCache(file) }
func (o *ops) WriteCache(file string, data []byte)            { o.writeCache(file, data) }
func (o *ops) Log(string)                                     {}
func (o *ops) SecurityError(msg string)                       { o.security(msg) }

func (s *session) ops(ctx context.Context) sumdb.ClientOps {
	strip := func(file string) string { return strings.TrimPrefix(file, s.c.db.Name+"/") }
	return &ops{
		readRemote: func(path string) ([]byte, error) {
			data, err := s.fetch(ctx, path)
			if err == nil {
				s.used(data)
			}
			return data, err
		},
		readConfig: func(file string) ([]byte, error) {
			if file == "key" {
				return []byte(s.c.db.Key), nil
			}
			h := s.c.head()
			s.usedHead(h)
			return h.msg, nil
		},
		// A head is kept when the whole proof is done, see lookup; x/mod would keep it
		// before it has the tiles that tie the record to it.
		writeConfig: func(string, []byte, []byte) error { return nil },
		readCache: func(file string) ([]byte, error) {
			data, err := s.kept(strip(file))
			if err == nil {
				s.used(data)
			}
			return data, err
		},
		writeCache: func(file string, data []byte) { s.save(strip(file), data) },
		security: func(msg string) {
			err := s.c.forked(msg)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.fork = err
		},
	}
}

// used notes the tree head that comes with a lookup; other files have none.
func (s *session) used(data []byte) {
	if _, _, msg, err := tlog.ParseRecord(data); err == nil {
		if h, err := s.c.openHead(msg); err == nil {
			s.usedHead(h)
		}
	}
}

func (s *session) usedHead(h head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.N > s.best.N {
		s.best = h
	}
}

// tileReader is tlog.TileReader over functions, for the same reason as ops.
type tileReader struct {
	read func(tlog.Tile) ([]byte, error)
	save func(tlog.Tile, []byte)
}

func (r *tileReader) Height() int { return tileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	errs := make([]error, len(tiles))
	var wg sync.WaitGroup
	for i, t := range tiles {
		wg.Go(func() { data[i], errs[i] = r.read(t) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		r.save(t, data[i])
	}
}

// tiles reads from the store, then from the remotes.
func (s *session) tiles(ctx context.Context) tlog.TileReader {
	var mu sync.Mutex
	stored := make(map[tlog.Tile]bool)
	return &tileReader{
		read: func(t tlog.Tile) ([]byte, error) {
			if data := s.saved(t.Path()); data != nil {
				return data, nil
			}
			data, err := s.keptTile(t)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				stored[t] = true
				return data, nil
			}
			data, err = s.fetch(ctx, "/"+t.Path())
			if err != nil && t.W < 1<<tileHeight {
				// Once a tile is full, its partial forms may be gone.
				if data, err2 := s.fetch(ctx, "/"+full(t).Path()); err2 == nil {
					return data[:t.W*tlog.HashSize], nil
				}
			}
			return data, err
		},
		save: func(t tlog.Tile, data []byte) {
			mu.Lock()
			defer mu.Unlock()
			if !stored[t] {
				s.save(t.Path(), data)
			}
		},
	}
}

// keptTile reads t from the store, or cuts it from the full tile there.
func (s *session) keptTile(t tlog.Tile) ([]byte, error) {
	data, err := s.kept(t.Path())
	if err != nil && t.L >= 0 && t.W < 1<<tileHeight {
		if data, err = s.kept(full(t).Path()); err == nil {
			data = data[:t.W*tlog.HashSize]
		}
	}
	return data, err
}

func full(t tlog.Tile) tlog.Tile {
	t.W = 1 << t.H
	return t
}

// lookup returns the record of m as a file of the surface, proved and kept.
func (c *Client) lookup(ctx context.Context, m module.Version) ([]byte, error) {
	name, err := c.mayLookup(m)
	if err != nil {
		return nil, err
	}
	data, err := c.prove(ctx, name, func(ctx context.Context, s *session) ([]byte, error) {
		return s.lookup(ctx, m, name)
	})
	if err != nil {
		return nil, c.explain(err)
	}
	return data, nil
}

// mayLookup returns the name of m's lookup, or why it must not be asked for.
func (c *Client) mayLookup(m module.Version) (string, error) {
	blocked := func(why, hint, code string) (string, error) {
		return "", &goproxy.Error{Source: "checksum database", Err: fmt.Errorf("%s: %w: %s", m, goproxy.ErrBlocked, why), Hint: hint, HintCode: code}
	}
	if c.db.Off {
		return blocked("the database is switched off", hintOff, codeOff)
	}
	name, err := lookupName(m)
	if err != nil {
		return "", &goproxy.Error{Source: c.db.Name, Err: fmt.Errorf("%s: %w: %w", m, goproxy.ErrInvalid, err)}
	}
	if !c.Covers(m.Path) {
		return blocked("exempt by GONOSUMDB or GOPRIVATE here, so its name is not sent to a checksum database",
			"set GONOSUMDB or GOPRIVATE to cover "+m.Path+" for the go command as well", "sumdb.hint.exempt")
	}
	return name, nil
}

func lookupName(m module.Version) (string, error) {
	if module.CanonicalVersion(m.Version) != m.Version {
		return "", fmt.Errorf("version %q is not canonical", m.Version)
	}
	if err := module.Check(m.Path, m.Version); err != nil {
		return "", err
	}
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	return "lookup/" + path + "@" + version, nil
}

// lookup lets a client of x/mod, used once, prove the record.
func (s *session) lookup(ctx context.Context, m module.Version, name string) ([]byte, error) {
	data, keptErr := s.kept(name)
	if keptErr == nil && sumsOf(m, recordText(data)) == (Sums{}) {
		keptErr = errors.New("kept lookup is of another module")
		s.c.log.Warn("checksum database: damaged lookup", "file", s.c.file(name), "err", keptErr)
		return nil, keptErr
	}
	if !s.useStore {
		if err := s.lookForFork(ctx, "/"+name); err != nil {
			return nil, err
		}
	}
	client := sumdb.NewClient(s.ops(ctx))
	if _, err := client.Lookup(m.Path, m.Version); err != nil {
		return nil, err
	}
	if keptErr != nil {
		var err error
		if data, err = s.proved(m, name); err != nil {
			return nil, err
		}
	}
	return data, s.advance(ctx, s.best)
}

// proved is the lookup that x/mod's client has just proved, as it is to be
// kept: with the newest head that it was proved under.
func (s *session) proved(m module.Version, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.keep[name]
	delete(s.keep, name)
	if data == nil { // another session kept it between our look and x/mod's
		var err error
		if data, err = s.c.store.Get(s.c.file(name)); err != nil {
			return nil, err
		}
	}
	// A true record of another module is no record of this one (CVE-2026-42501).
	if sumsOf(m, recordText(data)) == (Sums{}) {
		return nil, fmt.Errorf("the record is not about %s", m)
	}
	id, text, _, err := tlog.ParseRecord(data)
	if err != nil {
		return nil, err
	}
	rec, err := tlog.FormatRecord(id, text)
	if err != nil {
		return nil, err
	}
	data = append(rec, s.best.msg...)
	s.keep[name] = data
	return data, nil
}

// lookForFork proves the head of a lookup against ours with tiles of the new
// tree alone. x/mod's client also proves our own head, with the same tiles; after a fork it
// finds that tiles do not fit, but not that the database lied.
func (s *session) lookForFork(ctx context.Context, path string) error {
	data, err := s.fetch(ctx, path)
	if err != nil {
		return err
	}
	_, _, msg, err := tlog.ParseRecord(data)
	if err != nil {
		return err
	}
	h, err := s.c.openHead(msg)
	if err != nil {
		return err
	}
	return s.advance(ctx, h)
}

// recordText is the text of the record in a lookup, which was parsed before.
func recordText(lookup []byte) string {
	_, text, _, err := tlog.ParseRecord(lookup)
	if err != nil {
		return ""
	}
	return string(text)
}
