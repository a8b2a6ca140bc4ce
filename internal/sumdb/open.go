package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// Open returns a file of the surface below /sumdb/, such as
// "sum.golang.org/lookup/golang.org/x/mod@v0.40.0", and whether it never changes.
//
//   - NAME/supported exists where this client can serve the database: a tree head
//     is kept, or a remote gives one. Else it is ErrNotExist, which sends the go
//     command to the next proxy; a yes would bind it to us.
//   - NAME/latest is at most a minute old, older if no remote answers.
//   - NAME/lookup/… and NAME/tile/… are kept for ever once proved. Exempt modules are ErrBlocked.
//
// What is not kept and cannot be asked for is ErrUnavailable, never ErrNotExist.
func (c *Client) Open(ctx context.Context, name string) (data []byte, immutable bool, err error) {
	rest, ok := c.below(name)
	if !ok {
		return nil, false, &goproxy.Error{Err: fmt.Errorf("%w: no such checksum database here", goproxy.ErrNotExist)}
	}
	switch {
	case rest == "supported":
		return nil, false, c.supported(ctx)
	case rest == "latest":
		h, err := c.latest(ctx)
		if err != nil {
			return nil, false, c.explain(err)
		}
		return h.msg, false, nil
	case strings.HasPrefix(rest, "lookup/"):
		data, err := c.openLookup(ctx, strings.TrimPrefix(rest, "lookup/"))
		return data, true, err
	case strings.HasPrefix(rest, "tile/"):
		return c.openTile(ctx, rest)
	}
	return nil, false, c.invalid(errors.New("not a path of the checksum database protocol"))
}

// below takes the name of the database off.
func (c *Client) below(name string) (rest string, ok bool) {
	for _, db := range []string{c.db.Name, publicAlias} {
		if rest, ok := strings.CutPrefix(name, db+"/"); ok && c.db.names(db) {
			return rest, true
		}
	}
	return "", false
}

func (c *Client) invalid(err error) error {
	return &goproxy.Error{Source: c.db.Name, Err: fmt.Errorf("%w: %w", goproxy.ErrInvalid, err)}
}

// supported returns nil or ErrNotExist. Both are remembered for c.freshness.
func (c *Client) supported(ctx context.Context) error {
	if c.head().N > 0 {
		return nil
	}
	c.mu.Lock()
	known, err := !c.probed.IsZero() && time.Since(c.probed) < c.freshness, c.probe
	c.mu.Unlock()
	if known {
		return err
	}
	if _, err = c.refresh(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err = &goproxy.Error{Source: c.db.Name, Err: fmt.Errorf("%w: cannot be served now: %v", goproxy.ErrNotExist, err)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probed, c.probe = time.Now(), err
	return err
}

func (c *Client) openLookup(ctx context.Context, esc string) ([]byte, error) {
	path, version, ok := strings.Cut(esc, "@")
	if !ok {
		return nil, c.invalid(fmt.Errorf("lookup of %q: no version", clip(esc, 200)))
	}
	m, err := unescape(path, version)
	if err != nil {
		return nil, c.invalid(err)
	}
	data, err := c.lookup(ctx, m)
	if err == nil || !errors.Is(err, goproxy.ErrUnavailable) || isForged(err) || ctx.Err() != nil {
		return data, err
	}
	// It was proved when it was kept. If a tile of the proof is lost, whoever
	// asks may have it: the go command proves what it gets.
	kept, keptErr := c.newSession(nil, true).kept("lookup/" + esc)
	if keptErr != nil || sumsOf(m, recordText(kept)) == (Sums{}) {
		return nil, err
	}
	c.log.Info("checksum database: serving a kept lookup without proving it again", "module", m.Path, "version", m.Version, "err", err)
	return kept, nil
}

func unescape(path, version string) (m module.Version, err error) {
	if m.Path, err = module.UnescapePath(path); err != nil {
		return m, err
	}
	m.Version, err = module.UnescapeVersion(version)
	return m, err
}

func (c *Client) openTile(ctx context.Context, path string) (data []byte, immutable bool, err error) {
	t, err := tlog.ParseTilePath(path)
	if err != nil {
		return nil, false, c.invalid(err)
	}
	if t.H != tileHeight {
		return nil, false, c.invalid(fmt.Errorf("tile height %d: only %d is served", t.H, tileHeight))
	}
	h := c.head()
	if data, err = c.keptTile(ctx, t, h); err == nil {
		return data, true, nil
	}
	if !inTree(t, h.N) {
		newest, err := c.refresh(ctx)
		if err != nil {
			if h.N > 0 && errors.Is(err, goproxy.ErrUnavailable) && !isForged(err) {
				err = &NewerError{DB: c.db.Name, Want: records(t), Have: h.N, Err: err}
			}
			return nil, false, c.explain(err)
		}
		h = newest
	}
	if inTree(t, h.N) {
		immutable = true
		data, err = c.prove(ctx, path, func(ctx context.Context, s *session) ([]byte, error) {
			return s.proveTile(ctx, t, h)
		})
	} else {
		// The asker has a newer head than anyone we can ask, or a wrong one. It
		// can prove what it gets; we cannot, so nothing is kept.
		data, err = c.newSession(c.chain, false).ask(ctx, "/"+path)
		if errors.Is(err, goproxy.ErrUnavailable) {
			err = &NewerError{DB: c.db.Name, Want: records(t), Have: h.N, Err: err}
		}
	}
	if err != nil {
		return nil, false, c.explain(err)
	}
	return data, immutable, nil
}

// records is how many records a tree has at least that has all of t.
func records(t tlog.Tile) int64 {
	level := max(t.L, 0)
	if level*t.H > 62 || t.N >= 1<<(62-level*t.H)>>t.H {
		return 1 << 62
	}
	return (t.N<<t.H + int64(t.W)) << (level * t.H)
}

// inTree reports whether a tree of n records has all of t.
func inTree(t tlog.Tile, n int64) bool {
	level := max(t.L, 0)
	if level*t.H > 62 || t.N > 1<<(62-t.H) {
		return false
	}
	return t.N<<t.H+int64(t.W) <= n>>(level*t.H)
}

// proveTile returns t, which is in h's tree. The tiles that prove it are kept, and with them a
// wider form of t itself where there is one.
func (s *session) proveTile(ctx context.Context, t tlog.Tile, h head) ([]byte, error) {
	r := tlog.TileHashReader(h.Tree, s.tiles(ctx))
	if t.L >= 0 {
		return tlog.ReadTileData(t, r)
	}
	data, keptErr := s.kept(t.Path())
	if keptErr != nil {
		var err error
		if data, err = s.fetch(ctx, "/"+t.Path()); err != nil {
			return nil, err
		}
	}
	if err := proveRecords(t, data, r); err != nil {
		return nil, err
	}
	if keptErr != nil {
		s.save(t.Path(), data)
	}
	return data, nil
}

// proveRecords checks the records of data tile t against the hashes in the tree.
// A data tile is its records, each with an empty line behind it.
func proveRecords(t tlog.Tile, data []byte, r tlog.HashReader) error {
	index := make([]int64, t.W)
	for i := range index {
		index[i] = tlog.StoredHashIndex(0, t.N<<t.H+int64(i))
	}
	hashes, err := r.ReadHashes(index)
	if err != nil {
		return err
	}
	for i, h := range hashes {
		end := bytes.Index(data, []byte("\n\n"))
		if end < 0 || tlog.RecordHash(data[:end+1]) != h {
			return fmt.Errorf("record %d is not in the tree", t.N<<t.H+int64(i))
		}
		data = data[end+2:]
	}
	if len(data) > 0 {
		return fmt.Errorf("%d bytes behind the last record", len(data))
	}
	return nil
}

// keptTile answers from the store alone. The tile is proved again if the store has
// all that takes; a damaged one is an error, so that it is asked for again. One
// that cannot be proved for lack of other tiles is served: it was proved when it was kept.
func (c *Client) keptTile(ctx context.Context, t tlog.Tile, h head) ([]byte, error) {
	s := c.newSession(nil, true)
	if inTree(t, h.N) {
		data, err := s.proveTile(ctx, t, h)
		if err == nil {
			return data, nil
		}
		if err := s.verdict(ctx, err); isForged(err) {
			return nil, err
		}
	}
	return s.keptTile(t)
}
