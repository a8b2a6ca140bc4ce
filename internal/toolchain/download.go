package toolchain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	fetchBuffer = 128 << 10
	// fetchOverlap is how many of the bytes that are there a request for the rest asks for
	// again, to see that it is the same file: no two compressed files agree there by chance.
	fetchOverlap = 16 << 10
	// fetchMax bounds a file in bytes; toolchains have 60 to 150 MB.
	fetchMax = 1 << 30
	// slowRate, in bytes per second, is what a place must bring while others are untried. As long as no other has
	// been slow it may be this place, and not the link of this machine: then it is goodRate, or what brings the rest
	// within shortWait.
	slowRate  = 32 << 10
	shortWait = time.Minute
	// slowShare is the part of another place's known rate that a place must bring.
	slowShare     = 4
	progressEvery = 100 * time.Millisecond
	longestWait   = 30 * time.Second
)

// A Fetcher downloads the files of toolchains. What it has when it is killed, or when its
// context ends, it goes on with the next time, wherever that is. It believes no place: it
// says what came from where, and the proof is the caller's.
//
// One file must not be fetched by two at a time; different ones may.
type Fetcher struct {
	HTTP     *http.Client   // package transport's, which itself goes on where an answer breaks off
	Dir      string         // of the unfinished downloads; see Home.Parts
	Health   *Health        // what places are asked first; nil for none
	Logger   *slog.Logger   // gets a line for each trouble; nil discards
	Trouble  func(Trouble)  // told of each place that was left, with a *PlaceError; nil for nobody
	Progress func(Progress) // told some ten times a second, on the goroutine of Fetch; nil for nobody

	// MinProgress is what an answer must have brought, in bytes, for its place to be asked
	// again at once where it breaks off. Default 256 KiB.
	MinProgress int64
	// Retries is how often all places are asked anew after a round that has not brought
	// MinProgress. Default 3; negative for never.
	Retries int
	// RetryWait is the wait before a further round; it doubles with each that was of no use. Default 1 s.
	RetryWait time.Duration
	// SlowAfter is how long a place may be slow before another one is tried. Default 20 s; negative for ever.
	SlowAfter time.Duration

	now func() time.Time // nil for time.Now
}

// A Download is a file that came whole, as far as its length tells.
type Download struct {
	Path    string
	Size    int64             // bytes
	SHA256  [sha256.Size]byte // of the file
	Places  []Place           // that gave bytes, in the order in which they first did, in this run or an earlier one
	Resumed int64             // bytes that an earlier run had brought

	keep bool // the file is the user's own
}

// Remove deletes the file; one in a folder of the user's stays.
func (d *Download) Remove() error {
	if d.keep {
		return nil
	}
	return removePart(d.Path)
}

func (f Fetcher) withDefaults() Fetcher {
	if f.MinProgress == 0 {
		f.MinProgress = 256 << 10
	}
	if f.Retries == 0 {
		f.Retries = 3
	}
	if f.RetryWait == 0 {
		f.RetryWait = time.Second
	}
	if f.SlowAfter == 0 {
		f.SlowAfter = 20 * time.Second
	}
	f.Logger = orDiscard(f.Logger)
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// Fetch downloads the file of t from the places of offers, which must all call it file. They
// are tried in the order of Health.Sort; where one fails, the next goes on with what is
// there. If the whole then turns out to be forged, the guilty place is found by FetchWhole
// from each of Download.Places, after Remove.
//
// The error is a *FetchError where no place brought the file, the context's, or one of this
// machine's disk, which matches ErrDiskFull where that is so; what came is kept.
func (f *Fetcher) Fetch(ctx context.Context, t Target, file string, offers []Offer) (*Download, error) {
	sorted := sortByHealth(f.Health, offers, func(o Offer) Place { return o.Place })
	return f.fetch(ctx, t, file, sorted, false)
}

// FetchWhole is Fetch from one place alone: bytes that another one gave are thrown away first.
func (f *Fetcher) FetchWhole(ctx context.Context, t Target, file string, offer Offer) (*Download, error) {
	return f.fetch(ctx, t, file, []Offer{offer}, true)
}

// A fetching is one call of Fetch.
type fetching struct {
	Fetcher
	target Target
	file   string
	alone  bool
	places []*candidate
	part   *part // nil until it is needed
	buf    []byte

	brought  int64     // bytes that were added to the part
	resumed  int64     // bytes that were there
	reported time.Time // the last progress
}

// A candidate is a place that may bring the file, and what came of asking it.
type candidate struct {
	Offer
	name    string
	last    *PlaceError // nil while it has not failed
	order   int         // when it failed first, from 1
	out     bool        // it is asked no more
	whole   bool        // it is asked for the whole file: its rest cannot be had there, or is another one's
	took    bool        // its file has replaced the one that was there
	lenient bool        // what speaks against it is no worse than the alternatives
}

// slow reports whether c was left for one that may be faster.
func (c *candidate) slow() bool { return c.last != nil && c.last.Fault == FaultSlow }

func (f *Fetcher) fetch(ctx context.Context, t Target, file string, offers []Offer, alone bool) (*Download, error) {
	if filepath.Base(file) != file || file == "." || file == ".." {
		return nil, fmt.Errorf("%q: %w: not a file name", file, goproxy.ErrInvalid)
	}
	d := &fetching{Fetcher: f.withDefaults(), target: t, file: file, alone: alone}
	for _, o := range offers {
		c := &candidate{Offer: o, name: o.Place.Name}
		if c.name == "" {
			c.name = goproxy.RedactURL(o.Place.URL)
		}
		d.places = append(d.places, c)
	}
	done, err := d.run(ctx)
	if d.part != nil {
		if cerr := d.part.close(); err == nil && cerr != nil {
			return nil, cerr
		}
	}
	if err != nil {
		return nil, err
	}
	return done, nil
}

// run asks the places, round by round.
func (d *fetching) run(ctx context.Context) (*Download, error) {
	idle := 0
	for round := 0; ; round++ {
		before := d.brought
		turn := d.turn()
		if len(turn) == 0 || idle > max(d.Retries, 0) {
			return nil, d.failed()
		}
		if round > 0 && (turn[0].last == nil || !turn[0].last.Fault.softer()) {
			if err := d.rest(ctx, idle); err != nil {
				return nil, err
			}
		}
		for _, c := range turn {
			done, err := d.try(ctx, c)
			trouble, ok := errors.AsType[*PlaceError](err)
			if !ok {
				return done, err
			}
			d.note(ctx, c, trouble)
		}
		if idle++; d.brought-before >= d.MinProgress {
			idle = 0
		}
	}
}

// turn is who is asked in a round, as they were given but for two: those that were too slow
// come after those that broke off, the fastest first; and those that may replace what is
// there by another file come last, since nobody else could go on with it then.
func (d *fetching) turn() []*candidate {
	var turn []*candidate
	for _, c := range d.places {
		if !c.out {
			turn = append(turn, c)
		}
	}
	slices.SortStableFunc(turn, func(a, b *candidate) int {
		aClass, aRate := d.class(a)
		bClass, bRate := d.class(b)
		return cmp.Or(cmp.Compare(aClass, bClass), cmp.Compare(bRate, aRate))
	})
	return turn
}

// class is where c stands in a round, and among those of its class a rate says more.
func (d *fetching) class(c *candidate) (class int, rate float64) {
	switch {
	case c.whole:
		return 2, 0
	case c.last != nil && c.last.Fault == FaultSlow:
		return 1, d.Health.Of(c.Place).Rate
	}
	return 0, 0
}

// rest waits before a further round, after so many that were of no use. The random part
// keeps those apart who were cut off together.
func (d *fetching) rest(ctx context.Context, idle int) error {
	wait := min(d.RetryWait<<min(idle, 10), longestWait)
	timer := time.NewTimer(wait/2 + rand.N(wait/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return d.left(ctx)
	}
}

// left is the error of an asker who left.
func (d *fetching) left(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return fmt.Errorf("%s: %w", d.file, err)
}

func (d *fetching) failed() error {
	var asked []*candidate
	for _, c := range d.places {
		if c.last != nil {
			asked = append(asked, c)
		}
	}
	slices.SortFunc(asked, func(a, b *candidate) int { return a.order - b.order })
	e := &FetchError{Target: d.target, File: d.file}
	for _, c := range asked {
		e.Troubles = append(e.Troubles, Trouble{Place: c.name, Err: c.last})
	}
	return e
}

// note keeps what went wrong with c, and decides how it is asked the next time.
func (d *fetching) note(ctx context.Context, c *candidate, trouble *PlaceError) {
	fault := trouble.Fault
	if c.last == nil {
		for _, other := range d.places {
			c.order = max(c.order, other.order+1)
		}
	}
	c.last = trouble
	c.lenient = c.lenient || fault.softer()
	switch {
	case !trouble.again():
		c.out = true
	case fault.wantsWhole():
		c.out = c.whole || c.took && (fault == FaultDiffers || fault == FaultLength)
		c.whole = true
	}
	switch fault {
	case FaultLink, FaultCut, FaultStalled, FaultStatus, FaultRefused, FaultWebPage, FaultNotArchive:
		d.Health.Failed(c.Place, fault)
	}
	d.Logger.InfoContext(ctx, "the next place is tried", "file", d.file, "source", c.name, "fault", fault, "err", trouble)
	if d.Trouble != nil {
		d.Trouble(Trouble{Place: c.name, Err: trouble})
	}
}

// try asks c until the file is there or c fails.
func (d *fetching) try(ctx context.Context, c *candidate) (*Download, error) {
	if c.Place.local() {
		return d.fromDisk(ctx, c)
	}
	if err := d.open(c); err != nil {
		return nil, err
	}
	d.report(c, true) // who is asked, before it answers: that may take long
	begin, start := d.brought, d.now()
	defer func() { d.Health.Brought(c.Place, d.brought-begin, d.now().Sub(start)) }()
	for !d.part.complete() {
		before := d.brought
		err := d.ask(ctx, c)
		if ctx.Err() != nil {
			d.report(c, true) // how far it came is what is said of it
			return nil, d.left(ctx)
		}
		trouble, ok := errors.AsType[*PlaceError](err)
		if ok && (trouble.Fault == FaultCut || trouble.Fault == FaultStalled) && d.brought-before >= d.MinProgress {
			d.Logger.InfoContext(ctx, "broken off: going on from there", "file", d.file, "source", c.name, "bytes", d.part.have, "err", err)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	d.report(c, true)
	return d.whole(), nil
}

// open opens the part, if it is not open.
func (d *fetching) open(c *candidate) error {
	if d.part != nil {
		return nil
	}
	if err := os.MkdirAll(d.Dir, 0o777); err != nil {
		return asDiskFull(err)
	}
	p, err := openPart(filepath.Join(d.Dir, d.file+".part"), d.file, d.now)
	if err != nil {
		return err
	}
	d.part, d.buf = p, make([]byte, fetchBuffer)
	if d.alone && !p.lone(c.Place) {
		if err := p.reset(); err != nil {
			return asDiskFull(err)
		}
	}
	d.resumed = p.have
	return nil
}

// whole is the Download that the part has become.
func (d *fetching) whole() *Download {
	done := &Download{Path: d.part.path, Size: d.part.have, Resumed: d.resumed}
	d.part.sum.Sum(done.SHA256[:0])
	for _, p := range d.part.places {
		for _, c := range d.places {
			if c.Place.key() == p.key() {
				p = c.Place // with the credentials that it takes to ask it again
			}
		}
		if !slices.ContainsFunc(done.Places, func(q Place) bool { return q.key() == p.key() }) {
			done.Places = append(done.Places, p)
		}
	}
	return done
}

// report tells how far it is, now and then or at once.
func (d *fetching) report(c *candidate, atOnce bool) {
	now := d.now()
	if d.Progress == nil || !atOnce && now.Sub(d.reported) < progressEvery {
		return
	}
	d.reported = now
	total := d.part.length
	if total < 0 && c.Size > 0 {
		total = c.Size
	}
	d.Progress(Progress{Target: d.target, Stage: Downloading, Place: c.name, Done: d.part.have, Total: total, Resumed: d.resumed})
}

// slowLimit is the rate in bytes per second below which another place is worth a try.
func (d *fetching) slowLimit(c *candidate) float64 {
	limit := 0.0
	if c.lenient || d.SlowAfter < 0 {
		return limit
	}
	untried := float64(slowRate)
	if !slices.ContainsFunc(d.places, func(o *candidate) bool { return o.slow() }) {
		untried = float64(goodRate)
		if d.part != nil && d.part.length > 0 {
			untried = max(untried, float64(d.part.length-d.part.have)/shortWait.Seconds())
		}
	}
	for _, other := range d.places {
		if other == c || other.out || other.last != nil && !other.slow() {
			continue
		}
		switch known := d.Health.Of(other.Place); {
		case known.Rate > 0:
			limit = max(limit, known.Rate/slowShare)
		case other.last == nil:
			limit = max(limit, untried)
		}
	}
	return limit
}

// othersLeft reports whether there is a place that is worth a try before c gets all the time that the link allows.
func (d *fetching) othersLeft(c *candidate) bool { return d.slowLimit(c) > 0 }

// beginning is what a file of that name begins with.
func beginning(file string) string {
	switch {
	case strings.HasSuffix(file, ".zip"):
		return "PK\x03\x04"
	case strings.HasSuffix(file, ".gz"):
		return "\x1f\x8b"
	}
	return ""
}
