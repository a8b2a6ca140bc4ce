package toolchain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// An Installer installs toolchains into a Home: it downloads, unpacks beside, proves, and
// only then puts in place. Nothing that is not proved ever stands under a name that
// something runs. Installers of one Home do not disturb each other, in one process or many.
type Installer struct {
	Home    Home
	Fetcher *Fetcher
	Places  []Place
	// Cached is asked before any place, with goproxy.WithCachedOnly: a cache of modules
	// has toolchains as well. May be nil.
	Cached goproxy.Source
	// Sums is the checksum database; nil means that it is switched off.
	Sums Sumdb
	// Archives proves archives in other ways than Sums. Nil: only Sums can prove.
	Archives *ArchiveProver
	// Parallel is how many files are unpacked at a time; 0 means one for each processor.
	Parallel int
	// Force installs what is there already once more.
	Force bool

	Progress func(Progress) // may be nil; never called by two goroutines at once
	Trouble  func(Trouble)  // may be nil; called for each place that was left for the next
	Logger   *slog.Logger   // nil discards
}

// Install installs t and reports whether it was there already. It is there if its version
// and its go command are; whether every file is what it was is for a Verifier to say.
//
// Places that have module zips come first, since the checksum database vouches for every
// file of them; then those with archives. The error matches goproxy.ErrMismatch if a
// place sent what is no release and no other place did better; goproxy.ErrNotExist if
// every place says that there is no such release; goproxy.ErrUnavailable if nobody could
// say, or nothing could prove what came (*ProofError).
func (i *Installer) Install(ctx context.Context, t Target) (Record, bool, error) {
	if rec, ok := i.installed(t); ok {
		return rec, true, i.tidy(ctx, t)
	}
	unlock, err := i.lock(ctx, t)
	if err != nil {
		return Record{}, false, err
	}
	defer unlock()
	if rec, ok := i.installed(t); ok { // by whoever had the lock
		return rec, true, nil
	}
	if err := i.Home.sweep(t); err != nil {
		return Record{}, false, err
	}
	rec, err := i.install(ctx, t)
	return rec, false, err
}

// tidy removes what a run left of t that was killed when the tree stood already: an older tree, and the whole download.
// That it cannot is no reason to fail: somebody else's folder is not to be written to, and programs that run stay on Windows.
func (i *Installer) tidy(ctx context.Context, t Target) error {
	left, err := i.Home.leftovers(t)
	spent := i.Home.spentParts(t)
	if err != nil || len(left)+len(spent) == 0 {
		return nil
	}
	unlock, err := i.lock(ctx, t) // not under the hands of a run that replaces it
	if err != nil {
		return context.Cause(ctx)
	}
	defer unlock()
	err = i.Home.sweep(t)
	for _, path := range spent {
		err = cmp.Or(err, removePart(path))
	}
	if err != nil {
		i.log().Debug("what a killed run left cannot be removed", "target", t.String(), "err", err)
	}
	return nil
}

// lock waits until no other goferry is at work on t.
func (i *Installer) lock(ctx context.Context, t Target) (unlock func(), err error) {
	i.progress(Progress{Target: t, Stage: Waiting, Total: -1})
	return i.Home.lock(ctx, t)
}

// installed returns the record of t if t is there and may stay.
func (i *Installer) installed(t Target) (Record, bool) {
	if i.Force || i.Home.looksWhole(t) != nil {
		return Record{}, false
	}
	rec, err := i.Home.Record(t)
	if err != nil {
		rec = Record{Target: t}
	}
	return rec, true
}

// install tries what there is, best first. The lock is held.
func (i *Installer) install(ctx context.Context, t Target) (Record, error) {
	i.progress(Progress{Target: t, Stage: Asking, Total: -1})
	want := askSums(ctx, i.Sums, t)
	if want.fatal != nil {
		return Record{}, want.fatal
	}
	fail := &InstallError{Target: t}
	for _, try := range []func(context.Context, *wanted) (Record, error){i.fromCache, i.fromModules, i.fromArchives} {
		rec, err := try(ctx, want)
		if err == nil {
			return rec, nil
		}
		if ctx.Err() != nil {
			return Record{}, fmt.Errorf("%s: %w", t, context.Cause(ctx))
		}
		if !errors.Is(err, errNoOffer) {
			fail.Errs = append(fail.Errs, err)
		}
		if isLocal(err) {
			break // another place cannot help a full disk
		}
	}
	return Record{}, fail.reduce()
}

// errNoOffer says that there is no such way to come by the toolchain.
var errNoOffer = errors.New("no place offers it")

// fromCache installs from goferry's own cache, without a copy.
func (i *Installer) fromCache(ctx context.Context, want *wanted) (Record, error) {
	if i.Cached == nil || want.h1 == "" {
		return Record{}, errNoOffer
	}
	m := want.target.Module()
	f, err := i.Cached.Open(goproxy.WithCachedOnly(ctx), goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Zip})
	if err != nil {
		return Record{}, errNoOffer // a cache that does not work is no reason not to install
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < 0 {
		return Record{}, errNoOffer
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		r = &seekReaderAt{f: f}
	}
	got := parcel{kind: Modules, place: Place{Name: "cache", Kind: Modules}, file: m.Version + ".zip", r: r, size: info.Size()}
	rec, err := i.put(ctx, want, got)
	if err != nil {
		i.trouble(got.place, err)
	}
	return rec, err
}

// fromModules installs from places that have module zips. Only the database can prove
// those, so without it they are not even asked.
func (i *Installer) fromModules(ctx context.Context, want *wanted) (Record, error) {
	offers := i.offers(want.target, Modules)
	switch {
	case len(offers) == 0:
		return Record{}, errNoOffer
	case want.h1 == "":
		return Record{}, want.err
	}
	return i.fromOffers(ctx, want, want.target.Module().Version+".zip", offers)
}

// fromArchives installs from hosts of archives.
func (i *Installer) fromArchives(ctx context.Context, want *wanted) (Record, error) {
	offers := i.offers(want.target, Archives)
	switch {
	case len(offers) == 0:
		return Record{}, errNoOffer
	case want.h1 == "" && i.Archives == nil:
		return Record{}, want.err
	}
	return i.fromOffers(ctx, want, want.target.Archive(), offers)
}

// offers lists the places of a kind, in the order of their health.
func (i *Installer) offers(t Target, kind Kind) []Offer {
	if i.Fetcher == nil {
		return nil
	}
	var offers []Offer
	for _, p := range i.Fetcher.Health.Sort(i.Places) {
		if p.Kind == kind {
			offers = append(offers, p.Offer(t))
		}
	}
	return offers
}

// fromOffers downloads, first from wherever bytes come, also from several places one after
// the other. Where what came is no release, and several places gave to it, it is not known
// which of them is to blame: then each is asked for the whole.
func (i *Installer) fromOffers(ctx context.Context, want *wanted, file string, offers []Offer) (Record, error) {
	var errs []error
	single := false
	for len(offers) > 0 {
		d, err := i.fetch(ctx, want.target, file, offers, single)
		if err != nil {
			errs = append(errs, err)
			if !single || ctx.Err() != nil || isLocal(err) {
				break
			}
			offers = offers[1:]
			continue
		}
		rec, err := i.fromDownload(ctx, want, file, d)
		if err == nil {
			return rec, d.Remove()
		}
		if !blamesPlace(err) {
			return Record{}, err // the download stays for the next run
		}
		if err := d.Remove(); err != nil {
			return Record{}, err
		}
		errs = append(errs, err)
		if !anotherMayHelp(err) {
			break
		}
		if len(d.Places) > 1 {
			single = true
			continue
		}
		i.trouble(d.Places[0], err)
		offers = slices.DeleteFunc(offers, func(o Offer) bool { return o.Place.key() == d.Places[0].key() })
	}
	return Record{}, joinErrs(errs)
}

// fetch downloads from whoever has it, or all of it from the first of the offers.
func (i *Installer) fetch(ctx context.Context, t Target, file string, offers []Offer, single bool) (*Download, error) {
	if single {
		return i.Fetcher.FetchWhole(ctx, t, file, offers[0])
	}
	return i.Fetcher.Fetch(ctx, t, file, offers)
}

// fromDownload unpacks, proves and puts in place what was downloaded.
func (i *Installer) fromDownload(ctx context.Context, want *wanted, file string, d *Download) (Record, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	last := d.Places[len(d.Places)-1]
	return i.put(ctx, want, parcel{kind: last.Kind, place: last, file: file, r: f, size: d.Size, download: d})
}

// A parcel is a whole file that has come and is not proved.
type parcel struct {
	kind     Kind
	place    Place // the last that gave bytes
	file     string
	r        io.ReaderAt
	size     int64
	download *Download // nil for a file of the cache
}

// put unpacks p beside, proves it and puts it in place; or leaves nothing behind.
func (i *Installer) put(ctx context.Context, want *wanted, p parcel) (rec Record, err error) {
	t := want.target
	tmp, err := i.Home.tempTree(t)
	if err != nil {
		return Record{}, err
	}
	defer func() { err = cmp.Or(asDiskFull(err), removeTree(tmp)) }()
	u := newUnpacking(t, tmp, i.Parallel, func(done, total int64) {
		i.progress(Progress{Target: t, Stage: Unpacking, Place: p.place.Name, Done: done, Total: total})
	})
	if err := u.parcel(ctx, p); err != nil {
		return Record{}, err
	}
	i.progress(Progress{Target: t, Stage: Proving, Place: p.place.Name, Total: -1})
	rec = Record{
		Target: t, H1: u.sums.H1(t), Source: sourceName(p.place), File: p.file, FileBytes: p.size, Bytes: u.bytes(), Installed: time.Now().UTC().Truncate(time.Second),
	}
	if rec.Proofs, err = i.prove(ctx, want, p, rec.H1); err != nil {
		return Record{}, err
	}
	if err := checkTree(tmp, t); err != nil {
		return Record{}, err
	}
	i.log().Debug("toolchain proved", "target", t.String(), "h1", rec.H1, "source", rec.Source)
	return rec, i.Home.commit(ctx, tmp, rec, u.sums)
}

// parcel unpacks p, whatever it is.
func (u *unpacking) parcel(ctx context.Context, p parcel) error {
	switch {
	case p.kind == Modules:
		return u.moduleZip(ctx, p.r, p.size)
	case strings.HasSuffix(p.file, ".zip"):
		return u.archiveZip(ctx, p.r, p.size)
	}
	return u.tarGz(ctx, io.NewSectionReader(p.r, 0, p.size))
}

// prove tries every way there is. The error is a *ProofError.
func (i *Installer) prove(ctx context.Context, want *wanted, p parcel, h1 string) ([]Proof, error) {
	proofs := []Proof{want.judge(h1)}
	places := []Place{p.place}
	switch {
	case p.kind == Modules || p.download == nil:
		proofs = append(proofs, Proof{Way: ByOpenPGP, Verdict: None, Reason: ReasonNotSigned},
			Proof{Way: BySHA256, Verdict: None, Reason: ReasonNotArchive})
	case i.Archives != nil:
		places = p.download.Places
		proofs = append(proofs, i.Archives.Prove(ctx, want.target, p.download)...)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // nobody could answer; it is no fault of the places
	}
	if !ProvedBy(proofs) {
		return nil, &ProofError{Target: want.target, Proofs: proofs, Places: places}
	}
	return proofs, nil
}

// checkTree checks that the tree at dir is t: the signature and the SHA-256 of an older
// archive are good, also where it is sent under the name of a newer one. The error matches
// goproxy.ErrMismatch.
func checkTree(dir string, t Target) error {
	if err := wholeTree(dir, t); err != nil {
		return fmt.Errorf("%w: not %s: %w", goproxy.ErrMismatch, t, err)
	}
	return nil
}

// wholeTree looks at the version, the platform and the go command of the tree at dir.
func wholeTree(dir string, t Target) error {
	data, err := os.ReadFile(filepath.Join(dir, "VERSION"))
	if err != nil {
		return err
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if got := strings.TrimSpace(string(first)); got != string(t.Version) {
		return fmt.Errorf("its VERSION is %.100q", got)
	}
	for _, name := range []string{filepath.Join("bin", "go"+exeSuffix(t.OS)), filepath.Join("pkg", "tool", t.OS+"_"+t.Arch)} {
		info, err := os.Stat(filepath.Join(dir, name))
		switch {
		case err != nil:
			return err
		case info.Mode().IsRegular() && info.Size() == 0:
			return &fs.PathError{Op: "read", Path: name, Err: errors.New("is empty")}
		}
	}
	return nil
}

func (i *Installer) progress(p Progress) {
	if i.Progress != nil {
		i.Progress(p)
	}
}

// trouble tells that a place was left.
func (i *Installer) trouble(p Place, err error) {
	i.log().Warn("toolchain: next place", "source", p.Name, "err", err)
	if i.Fetcher != nil && p.URL != "" {
		i.Fetcher.Health.Failed(p, FaultNotArchive) // it is asked last from now on
	}
	if i.Trouble != nil {
		i.Trouble(Trouble{Place: p.Name, Err: err})
	}
}

func (i *Installer) log() *slog.Logger { return orDiscard(i.Logger) }

// orDiscard is log, or one that says nothing where that is nil.
func orDiscard(log *slog.Logger) *slog.Logger {
	return cmp.Or(log, slog.New(slog.DiscardHandler))
}

// joinErrs is errs as one error on one line.
func joinErrs(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return &errorList{errs}
}
