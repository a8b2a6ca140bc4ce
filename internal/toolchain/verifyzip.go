package toolchain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/goferry/goferry/internal/goproxy"
)

// zipConnections is how many parts of a zip are read at a time from a server.
const zipConnections = 4

// An openZip is a module zip with what has to be closed afterwards.
type openZip struct {
	*zipDir
	place string
	local bool   // reading all of it costs no network
	stay  *bool  // set where a download is to stay, since a repair will want it; nil for none
	close func() // lets go of it; never nil where the zip could be opened
}

// errEnough ends the search for zips: there is no need of another.
var errEnough = errors.New("enough")

// eachZip opens one zip of target after the other and gives it to use, until that returns
// nil: those on disk, then parts of those on servers, then whole ones by the Fetcher.
// The error tells why none did; of each, Trouble was told, too.
func (v *Verifier) eachZip(ctx context.Context, target Target, use func(openZip) error) error {
	var errs []error
	try := func(place string, open func() (openZip, error)) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		z, err := open()
		if err == nil {
			z.place = cmp.Or(z.place, place)
			err = use(z)
			z.close()
		}
		switch {
		case err == nil:
			return errEnough
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isDiskFull(err) || isLocal(err) && !z.local:
			return err // no other place helps
		case errors.As(err, new(*FetchError)): // which has named the places
			errs = append(errs, err)
		case !errors.Is(err, errNoZip):
			v.trouble(cmp.Or(z.place, place), err)
			errs = append(errs, fmt.Errorf("%s: %w", cmp.Or(z.place, place), err))
		}
		return nil
	}
	err := v.tryZips(ctx, target, try)
	switch {
	case err == errEnough: //nolint:errorlint // never wrapped
		return nil
	case err != nil:
		return err
	}
	return noZip(errs)
}

// tryZips calls try for each zip there may be, until it returns an error.
func (v *Verifier) tryZips(ctx context.Context, target Target, try func(string, func() (openZip, error)) error) error {
	if v.Cached != nil {
		if err := try("cache", func() (openZip, error) { return v.cachedZip(ctx, target) }); err != nil {
			return err
		}
	}
	var offers []Offer
	for _, p := range v.Places {
		if p.Kind != Modules {
			continue
		}
		o := p.Offer(target)
		open := func() (openZip, error) { return v.remoteZip(ctx, target, o) }
		if p.local() {
			open = func() (openZip, error) { return localZip(ctx, target, o) }
		} else {
			offers = append(offers, o)
		}
		if err := try(p.Name, open); err != nil {
			return err
		}
	}
	if v.Fetcher == nil {
		return nil
	}
	return v.tryWhole(ctx, target, offers, try)
}

// tryWhole downloads zips, first from wherever bytes come. Where what came is no good and
// several places gave to it, each is asked alone.
func (v *Verifier) tryWhole(ctx context.Context, target Target, offers []Offer, try func(string, func() (openZip, error)) error) error {
	single := false
	for len(offers) > 0 {
		ask := offers
		if single {
			ask = offers[:1]
		}
		var from []Place
		before := len(offers)
		if err := try(ask[0].Place.Name, func() (z openZip, err error) {
			z, from, err = v.wholeZip(ctx, target, ask)
			return z, err
		}); err != nil {
			return err
		}
		switch {
		case len(from) > 1:
			single = true
		case len(from) == 1:
			offers = slices.DeleteFunc(slices.Clone(offers), func(o Offer) bool { return o.Place == from[0] })
		case single:
			offers = offers[1:]
		default:
			return nil // all have been asked
		}
		if len(from) == 1 && len(offers) == before {
			return nil // it came from nowhere
		}
	}
	return nil
}

// cachedZip opens the zip that goferry's cache has.
func (v *Verifier) cachedZip(ctx context.Context, target Target) (openZip, error) {
	m := target.Module()
	f, err := v.Cached.Open(goproxy.WithCachedOnly(ctx), goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Zip})
	if err != nil {
		return openZip{}, errNoZip // a cache that does not work is no news
	}
	info, err := f.Stat()
	if err != nil || info.Size() < 0 {
		_ = f.Close() // it was only read
		return openZip{}, errNoZip
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		r = &seekReaderAt{f: f}
	}
	return diskZip(ctx, target, zipOnDisk{r, info.Size()}, f)
}

// localZip opens the zip of a place of this machine.
func localZip(ctx context.Context, target Target, o Offer) (openZip, error) {
	name, err := pathOfURL(o.URL)
	if err != nil {
		return openZip{}, err
	}
	return fileZip(ctx, target, name)
}

func fileZip(ctx context.Context, target Target, name string) (openZip, error) {
	f, info, err := openPlain(name)
	if err != nil {
		return openZip{local: true}, err
	}
	return diskZip(ctx, target, zipOnDisk{f, info.Size()}, f)
}

// diskZip reads the directory of a zip on disk, which c closes.
func diskZip(ctx context.Context, target Target, src zipOnDisk, c io.Closer) (openZip, error) {
	d, err := readZipDir(ctx, src, target.Module())
	if err != nil {
		_ = c.Close() // it was only read
		return openZip{local: true}, err
	}
	return openZip{zipDir: d, local: true, close: func() { _ = c.Close() }}, nil
}

// remoteZip opens a zip of which a server sends parts.
func (v *Verifier) remoteZip(ctx context.Context, target Target, o Offer) (openZip, error) {
	if v.HTTP == nil {
		return openZip{}, errNoZip
	}
	src, err := openZipRemote(ctx, v.HTTP, o)
	if err != nil {
		return openZip{}, err
	}
	d, err := readZipDir(ctx, src, target.Module())
	if err != nil {
		return openZip{}, err
	}
	return openZip{zipDir: d, close: func() {}}, nil
}

// wholeZip downloads a zip, and says which places gave to it. Its name is none that an
// Installer uses, which may download the same now.
func (v *Verifier) wholeZip(ctx context.Context, target Target, offers []Offer) (openZip, []Place, error) {
	file := "repair-" + offers[0].Place.FileName(target)
	if err := os.MkdirAll(v.Fetcher.Dir, 0o777); err != nil {
		return openZip{}, nil, err
	}
	v.progress(Progress{Target: target, Stage: Waiting, Total: -1})
	unlock, err := lockFile(ctx, filepath.Join(v.Fetcher.Dir, file+".lock"))
	if err != nil {
		return openZip{}, nil, err
	}
	d, err := v.Fetcher.Fetch(ctx, target, file, offers)
	if err != nil {
		unlock()
		return openZip{}, nil, err
	}
	z, err := fileZip(ctx, target, d.Path)
	if err != nil {
		err = errors.Join(err, d.Remove())
		unlock()
		return z, d.Places, err
	}
	closeFile := z.close
	z.stay, z.place = new(bool), d.Places[len(d.Places)-1].Name
	z.close = func() {
		defer unlock()
		closeFile()
		if *z.stay {
			return
		}
		if err := d.Remove(); err != nil {
			v.log().Warn("toolchain: the download stays", "err", err)
		}
	}
	return z, d.Places, nil
}

// parallel is how many files of z are unpacked at a time.
func (v *Verifier) parallel(z openZip) int {
	switch {
	case !z.local:
		return zipConnections
	case v.Parallel > 0:
		return v.Parallel
	}
	return runtime.GOMAXPROCS(0)
}

// fromZips finds the reference by what places have.
func (v *Verifier) fromZips(ctx context.Context, t *tree, w *wanted) (*reference, error) {
	var ref *reference
	err := v.eachZip(ctx, w.target, func(z openZip) (err error) {
		ref, err = v.compare(ctx, t, z, w)
		return err
	})
	return ref, err
}

// compare hashes what z has: all of it where it is on disk, else what does not look like
// the file of the tree. A file that was altered so that it looks the same makes the
// sum wrong; then only the whole zip tells.
func (v *Verifier) compare(ctx context.Context, t *tree, z openZip, w *wanted) (*reference, error) {
	sums := make(Sums, len(z.entries))
	var names []string
	for name, e := range z.entries {
		f := t.files[name]
		if f == nil || f.err != nil || f.size != e.bytes || f.crc != e.crc {
			names = append(names, name)
		}
		if f != nil {
			sums[name] = f.sum
		}
	}
	differ := names
	if z.local {
		names = z.names()
	} else if v.Fetcher != nil && z.sizeOf(names) > z.packed/2 {
		return nil, errNoZip // the whole comes with resumption, and from several places
	}
	ref := &reference{sums: sums, against: AgainstZip, source: z.place}
	if !z.local {
		ref.zip = z.zipDir
	}
	small, large := map[string]bool{}, false
	for _, name := range differ {
		small[name] = z.entries[name].bytes <= maxKept
		large = large || !small[name]
	}
	var mu sync.Mutex
	err := z.each(ctx, names, v.parallel(z), func(name string, r io.Reader) error {
		sum, data, err := hashContent(r, small[name])
		mu.Lock()
		defer mu.Unlock()
		if sums[name] = sum; data != nil {
			ref.keep(name, data)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if got := sums.H1(w.target); got != w.h1 {
		return nil, fmt.Errorf("%w: its zip adds up to %s, recorded is %s", goproxy.ErrMismatch, got, w.h1)
	}
	if z.stay != nil {
		*z.stay = large
	}
	return ref, nil
}

// hashContent hashes r, and returns its content as well if keep is set.
func hashContent(r io.Reader, keep bool) (sum [sha256.Size]byte, data []byte, err error) {
	if keep {
		data, err = io.ReadAll(r)
		return sumOf(data), data, err
	}
	h := sha256.New()
	_, err = io.Copy(h, r)
	h.Sum(sum[:0])
	return sum, nil, err
}

// sumOf is the hash of a small file.
func sumOf(data []byte) [sha256.Size]byte { return sha256.Sum256(data) }

// readSmall reads a file of up to limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	return data, err
}
