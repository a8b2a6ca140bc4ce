package toolchain

import (
	"context"
	"errors"
	"fmt"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

// A Sumdb says what the checksum database recorded; *sumdb.Client is one.
type Sumdb interface {
	// Lookup returns the hashes of a module version, proved to be in the database. The
	// errors are those of sumdb.Client.Lookup.
	Lookup(ctx context.Context, path, version string) (sumdb.Sums, error)
}

// wanted is what the checksum database said before the first byte was asked for.
type wanted struct {
	target Target
	h1     string // empty if it could not be found out
	proof  Proof  // Unknown if h1 is empty; its Verdict is for the tree to earn otherwise
	err    error  // why h1 is empty
	fatal  error  // the database cannot be believed at all
}

// askSums asks the checksum database; nil sums means that it is switched off.
func askSums(ctx context.Context, sums Sumdb, t Target) *wanted {
	w := &wanted{target: t, proof: Proof{Way: BySumDB, Verdict: Unknown}}
	if sums == nil {
		w.proof.Reason = ReasonOff
		w.err = fmt.Errorf("%s: %w: the checksum database is switched off", t, goproxy.ErrUnavailable)
		return w
	}
	if s, ok := sums.(interface{ Status() sumdb.Status }); ok {
		w.proof.By = s.Status().Name
	}
	m := t.Module()
	rec, err := sums.Lookup(ctx, m.Path, m.Version)
	if err == nil && rec.Zip == "" {
		err = fmt.Errorf("%s: %w: the record of the checksum database has no hash of the zip", t, goproxy.ErrNotExist)
	}
	if err == nil {
		w.h1 = rec.Zip
		return w
	}
	w.err, w.proof.Detail = err, oneLine(err)
	switch {
	case errors.Is(err, goproxy.ErrMismatch):
		// It contradicts itself: nothing may be trusted until that is explained.
		w.fatal = err
	case errors.Is(err, goproxy.ErrBlocked):
		w.proof.Reason = ReasonOff
	case goproxy.Absent(err):
		w.proof.Reason = ReasonNoRecord
	default:
		w.proof.Reason = ReasonUnreachable
	}
	return w
}

// judge is the proof by the database of a tree with the hash h1.
func (w *wanted) judge(h1 string) Proof {
	p := w.proof
	switch {
	case w.h1 == "":
	case w.h1 == h1:
		p.Verdict = Proved
	default:
		p.Verdict, p.Reason, p.Detail = Refuted, ReasonDiffers, "got "+h1+", recorded "+w.h1
	}
	return p
}
