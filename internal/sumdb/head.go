package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A head is a signed tree head. The zero head is the empty tree.
type head struct {
	tlog.Tree
	msg []byte // the signed note
}

// openHead checks the signature of msg.
func (c *Client) openHead(msg []byte) (head, error) {
	n, err := note.Open(msg, c.verifiers)
	if err != nil {
		return head{}, fmt.Errorf("tree head: %w", err)
	}
	tree, err := tlog.ParseTree([]byte(n.Text))
	if err != nil {
		return head{}, fmt.Errorf("tree head: %w", err)
	}
	return head{tree, msg}, nil
}

func (c *Client) headName() string { return c.file("latest") }

// file is the store name of a file of the surface, such as "tile/8/0/001".
func (c *Client) file(name string) string { return "sumdb/" + c.db.Name + "/" + name }

// head returns the newest head that was proved: the store's, or the one in
// memory where the store could not keep it. A damaged one in the store counts
// as none, so that a bad disk does not lock us out; that is logged.
func (c *Client) head() head {
	var kept head
	msg, err := c.store.Get(c.headName())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		c.noteStore("get latest", err)
	default:
		if kept, err = c.openHead(msg); err != nil {
			c.log.Warn("checksum database: the kept tree head is damaged and ignored", "file", c.headName(), "err", err)
			kept = head{}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mem.N >= kept.N {
		return c.mem
	}
	c.mem = kept
	return kept
}

// replaceHead writes next if the head still is old, else it returns
// sumdb.ErrWriteConflict. before runs under the lock, first: it keeps the tiles that
// prove next, so that no head is ever kept without them. A store that cannot write costs the
// memory of the head after a restart, not the answer.
func (c *Client) replaceHead(ctx context.Context, old []byte, next head, before func()) error {
	unlock, err := c.store.Lock(ctx, c.headName())
	if ctx.Err() != nil {
		if err == nil {
			unlock()
		}
		return context.Cause(ctx)
	}
	if err == nil {
		defer unlock()
	} else {
		c.noteStore("lock", err)
	}
	cur := c.head()
	if !bytes.Equal(cur.msg, old) {
		return sumdb.ErrWriteConflict
	}
	before()
	c.put(ctx, "latest", next.msg)
	if cur.N == 0 {
		c.put(ctx, "supported", nil) // a go command that reads the store as files asks for it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.N > c.mem.N {
		c.mem = next
	}
	return nil
}

// put keeps a file, if it can.
func (c *Client) put(ctx context.Context, name string, data []byte) {
	if err := c.store.Put(ctx, c.file(name), data); err != nil && ctx.Err() == nil {
		c.noteStore("put", err)
	}
}

// contains checks that newer's tree begins with older's.
func (s *session) contains(ctx context.Context, newer, older head) error {
	if older.N == 0 || older.Tree == newer.Tree {
		return nil
	}
	r := tlog.TileHashReader(newer.Tree, s.tiles(ctx))
	if older.N == newer.N { // two signatures under two hashes of one tree: no tile is needed
		return s.c.forked(forkReport(newer, older, newer.Hash, r))
	}
	h, err := tlog.TreeHash(older.N, r)
	if err != nil {
		return err
	}
	if h == older.Hash {
		return nil
	}
	return s.c.forked(forkReport(newer, older, h, r))
}

// forkReport holds what is needed to convince others: both signed heads and the proof
// that the newer one does not contain the older one.
func forkReport(newer, older head, h tlog.Hash, r tlog.HashReader) string {
	var b strings.Builder
	fmt.Fprintf(&b, "old tree head:\n%s\nnew tree head:\n%s\n", older.msg, newer.msg)
	fmt.Fprintf(&b, "hash of the first %d records in the new tree:\n\t%v\n", older.N, h)
	if older.N < newer.N {
		proof, err := tlog.ProveTree(newer.N, older.N, r)
		if err != nil {
			fmt.Fprintf(&b, "no proof: %v\n", err)
		}
		for _, p := range proof {
			fmt.Fprintf(&b, "\t%v\n", p)
		}
	}
	return b.String()
}

// forked makes the loudest error there is.
func (c *Client) forked(report string) error {
	c.log.Error("checksum database: SECURITY: the database contradicts what it signed before", "db", c.db.Name, "report", report)
	return &ForkError{DB: c.db.Name, Report: report}
}

// advance proves that next and the head we have are one timeline, and moves on
// to next if that is the newer one.
func (s *session) advance(ctx context.Context, next head) error {
	for {
		cur := s.c.head()
		if next.N <= cur.N {
			return s.contains(ctx, cur, next)
		}
		if err := s.contains(ctx, next, cur); err != nil {
			return err
		}
		err := s.c.replaceHead(ctx, cur.msg, next, func() { s.flush(ctx) })
		if err != sumdb.ErrWriteConflict {
			return err
		}
	}
}

// Learn takes a signed tree head from elsewhere: a bundle's, or the go command's
// own in GOPATH/pkg/sumdb/NAME/latest. With it, files that were kept under that head
// can be proved offline. Errors as of Lookup; a wrong signature is ErrUnavailable.
func (c *Client) Learn(ctx context.Context, treeHead []byte) error {
	if c.db.Off {
		return nil
	}
	next, err := c.openHead(treeHead)
	if err != nil {
		return c.explain(fmt.Errorf("%w: %w: %w", goproxy.ErrUnavailable, errForged, err))
	}
	_, err = c.prove(ctx, "learn "+next.Hash.String(), func(ctx context.Context, s *session) ([]byte, error) {
		return nil, s.advance(ctx, next)
	})
	if err != nil {
		return c.explain(err)
	}
	return nil
}

// refresh asks for the newest tree head, checks it against the one we have, and
// returns the newer of the two. Whoever asks meanwhile shares the answer.
func (c *Client) refresh(ctx context.Context) (head, error) {
	_, err := c.prove(ctx, "latest", func(ctx context.Context, s *session) ([]byte, error) {
		msg, err := s.fetch(ctx, "/latest")
		if err != nil {
			return nil, err
		}
		next, err := c.openHead(msg)
		if err != nil {
			return nil, err
		}
		return nil, s.advance(ctx, next)
	})
	if err != nil {
		return head{}, err
	}
	c.mu.Lock()
	c.fresh = time.Now()
	c.mu.Unlock()
	return c.head(), nil
}

// latest returns a head that is at most c.freshness old, or an older one when
// no remote answers: stale is better than nothing, and it is still signed.
func (c *Client) latest(ctx context.Context) (head, error) {
	c.mu.Lock()
	fresh := !c.fresh.IsZero() && time.Since(c.fresh) < c.freshness
	c.mu.Unlock()
	kept := c.head()
	if fresh && kept.N > 0 {
		return kept, nil
	}
	h, err := c.refresh(ctx)
	if err == nil || kept.N == 0 || ctx.Err() != nil || errors.Is(err, goproxy.ErrMismatch) {
		return h, err
	}
	c.log.Info("checksum database: serving an old tree head", "size", kept.N, "err", err)
	return kept, nil
}
