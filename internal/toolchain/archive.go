package toolchain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// An ArchiveProver proves archives of releases without the checksum database: by their
// OpenPGP signatures, which may come from anywhere, and by the SHA-256 that another host
// gives than the ones that sent the bytes.
type ArchiveProver struct {
	HTTP   *http.Client // nil: only places that are folders of this machine are asked
	Places []Place      // that are asked; those of Archives are
	Keys   *Keyring     // nil: GoogleKeyring
	Waits  Waits
	Now    func() time.Time // nil: time.Now
}

// Prove tries both ways at once and says what came of each: first ByOpenPGP, then BySHA256.
// What could not be found out, also because ctx ended, is Unknown.
func (p *ArchiveProver) Prove(ctx context.Context, t Target, d *Download) []Proof {
	proofs := make([]Proof, 2)
	var both sync.WaitGroup
	both.Go(func() { proofs[0] = p.signature(ctx, t, d.Path) })
	both.Go(func() { proofs[1] = p.digest(ctx, t, d) })
	both.Wait()
	return proofs
}

// places are those that may have something about archives.
func (p *ArchiveProver) places() []Place {
	return slices.DeleteFunc(slices.Clone(p.Places), func(p Place) bool { return p.Kind != Archives })
}

func (p *ArchiveProver) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// signature asks all places for the signature of the archive of t, which is at path. One
// that proves is enough, whoever sent it.
func (p *ArchiveProver) signature(ctx context.Context, t Target, path string) Proof {
	if !strings.HasSuffix(t.Archive(), ".tar.gz") {
		return Proof{Way: ByOpenPGP, Verdict: None, Reason: ReasonNotSigned} // source: golang.org/x/build/internal/relui
	}
	keys := p.Keys
	if keys == nil {
		keys = GoogleKeyring()
	}
	places, now := p.places(), p.now()
	best := Proof{Way: ByOpenPGP, Verdict: Unknown, Reason: ReasonUnreachable}
	seen := map[string]bool{}
	var why askWhy
	take := func(i int, r reply, err error) askResult {
		if err != nil {
			if askMalformed(err) && best.Reason == ReasonUnreachable {
				best.Reason = ReasonMalformed
			}
			why.add(places[i], err)
			return askOn
		}
		if seen[string(r.data)] {
			return askOn
		}
		seen[string(r.data)] = true
		got, err := keys.Check(r.data, now, func() (io.ReadCloser, error) { return os.Open(path) })
		if err != nil {
			why = askWhy{err.Error()}
			return askDone
		}
		if signatureRank(got) > signatureRank(best) {
			best = got
		}
		switch {
		case got.Verdict == Proved:
			return askDone
		case got.Reason == ReasonMalformed:
			return askOn
		}
		return askSoon
	}
	ask := func(ctx context.Context, i int) (reply, error) {
		return askPlace(ctx, p.HTTP, places[i], beside(places[i], t, ".asc"), maxSignature)
	}
	if err := askAll(ctx, p.Waits, len(places), ask, take); err != nil {
		why = askWhy{err.Error()}
	}
	best.Detail = cmp.Or(best.Detail, why.String())
	return best
}

// signatureRank says how much an answer tells.
func signatureRank(p Proof) int {
	switch {
	case p.Reason == ReasonUnreachable:
		return 0
	case p.Reason == ReasonMalformed:
		return 1
	}
	return 2 + rank(p.Verdict)
}

// digest asks all places for the SHA-256 of the archive of t.
func (p *ArchiveProver) digest(ctx context.Context, t Target, d *Download) Proof {
	places := p.places()
	c := digestCount{sum: d.SHA256}
	var from sync.WaitGroup // a few words with each place that gave bytes, meanwhile
	hosts := make([][]string, len(d.Places))
	for i, place := range d.Places {
		from.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, p.Waits.answer())
			defer cancel()
			hosts[i] = hostsAt(ctx, p.HTTP, place, place.Offer(t).URL)
		})
	}
	var got []vouch
	var names []string
	take := func(i int, v vouch, err error) askResult {
		if err != nil {
			c.bad = c.bad || askMalformed(err)
			c.why.add(places[i], err)
			return askOn
		}
		got, names = append(got, v), append(names, places[i].Name)
		return askSoon
	}
	ask := func(ctx context.Context, i int) (vouch, error) { return digestAt(ctx, p.HTTP, places[i], t) }
	err := askAll(ctx, p.Waits, len(places), ask, take)
	from.Wait()
	c.from = slices.Concat(hosts...)
	for i, v := range got {
		c.count(names[i], v)
	}
	if err != nil {
		c.why = askWhy{err.Error()}
	}
	return c.proof()
}

// A digestCount counts who agrees with the SHA-256 of an archive.
type digestCount struct {
	sum  [sha256.Size]byte
	from []string // the hosts that sent the bytes

	agree  []string // hosts that did not send the bytes
	same   []string // that did
	plain  []string // hosts that were reached over plain http
	differ []string
	bad    bool // somebody answered with something else
	why    askWhy
}

func (c *digestCount) count(name string, v vouch) {
	who := v.hosts[0]
	if who == thisMachine {
		who = name
	}
	switch {
	case v.sum != c.sum:
		c.differ = append(c.differ, who)
	case slices.ContainsFunc(v.hosts, func(h string) bool { return slices.Contains(c.from, h) }):
		c.same = append(c.same, who)
	case v.plain:
		c.plain = append(c.plain, who)
	default:
		c.agree = append(c.agree, who)
	}
}

func (c *digestCount) proof() Proof {
	unknown := func(reason Reason, by []string, detail string) Proof {
		return Proof{Way: BySHA256, Verdict: Unknown, Reason: reason, By: askNames(by), Detail: detail}
	}
	switch {
	case len(c.differ) > 0 && len(c.agree) > 0:
		return unknown(ReasonDisagree, c.agree, "another one: "+askNames(c.differ))
	case len(c.differ) > 0:
		return Proof{Way: BySHA256, Verdict: Refuted, Reason: ReasonDiffers, By: askNames(c.differ)}
	case len(c.agree) > 0:
		return Proof{Way: BySHA256, Verdict: Proved, By: askNames(c.agree)}
	case len(c.plain) > 0:
		return unknown(ReasonPlain, c.plain, c.why.String())
	case len(c.same) > 0:
		return unknown(ReasonSameHost, c.same, c.why.String())
	case c.bad:
		return unknown(ReasonMalformed, nil, c.why.String())
	}
	return unknown(ReasonUnreachable, nil, c.why.String())
}

// askNames lists each name once.
func askNames(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// askMalformed reports whether err says that something else came than was asked for.
func askMalformed(err error) bool {
	var e *PlaceError
	return errors.As(err, &e) && (e.Fault == FaultWebPage || e.Fault == FaultTooLarge || e.Fault == FaultNotArchive)
}

// An askWhy collects why places did not answer, for one line.
type askWhy []string

func (w *askWhy) add(p Place, err error) {
	*w = append(*w, p.Name+": "+strings.TrimPrefix(err.Error(), goproxy.ErrUnavailable.Error()+": "))
}

func (w askWhy) String() string {
	w = slices.Clone(w)
	slices.Sort(w) // answers come in any order
	return strings.Join(w, "; ")
}
