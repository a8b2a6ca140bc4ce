package toolchain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	// partEvery is how often what is known of an unfinished download is made to outlast
	// a power cut.
	partEvery = time.Second
	// noteEvery is how often it is noted without waiting for the disk, which is enough
	// where the process is killed.
	noteEvery = 50 * time.Millisecond
)

// A part is an unfinished download: a file, and beside it what of it can be trusted. The
// file may hold more than that, or after a power cut other bytes; the hash tells.
type part struct {
	path string
	file *os.File
	sum  hash.Hash // of the first have bytes
	now  func() time.Time

	name   string
	have   int64
	length int64 // of the whole file; -1 while unknown
	places []Place
	etag   string // strong, of the file at the last of places; may be empty

	saved time.Time
	took  time.Duration // the last save
	noted time.Time
	lasts partMark // what the last save made to last
	dirty bool
}

// A partMark says that a file begins with certain bytes.
type partMark struct {
	Have   int64  `json:"have"`
	SHA256 string `json:"sha256"` // of the first Have bytes
}

// A partRecord is what is kept beside the bytes.
type partRecord struct {
	File   string `json:"file"`
	Length int64  `json:"length"` // -1 for unknown
	partMark
	Lasts  partMark `json:"lasts"`  // an earlier mark whose bytes a power cut has not taken
	Places []Place  `json:"places"` // that gave bytes, in order, without credentials
	ETag   string   `json:"etag,omitempty"`
}

// openPart opens the unfinished download at path of the file name, or begins one.
func openPart(path, name string, now func() time.Time) (*part, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, asDiskFull(err)
	}
	p := &part{path: path, file: f, sum: sha256.New(), now: now, name: name, length: -1, saved: now()}
	if !p.restore() {
		err = p.reset()
	} else {
		err = p.shorten()
	}
	if err != nil {
		f.Close()
		return nil, asDiskFull(err)
	}
	return p, nil
}

func (p *part) record() string { return p.path + ".json" }

// restore takes up what an earlier run left, if it is what it says.
func (p *part) restore() bool {
	data, err := os.ReadFile(p.record())
	if err != nil {
		return false
	}
	var r partRecord
	if json.Unmarshal(data, &r) != nil || r.File != p.name || r.Have <= 0 || r.Length < -1 || r.Length >= 0 && r.Have > r.Length || len(r.Places) == 0 {
		return false
	}
	for _, mark := range []partMark{r.partMark, r.Lasts} {
		if mark.Have > 0 && mark.Have <= r.Have && p.rehash(mark.Have) == nil && hex.EncodeToString(p.sum.Sum(nil)) == mark.SHA256 {
			p.have, p.length, p.places, p.etag = mark.Have, r.Length, r.Places, r.ETag
			if r.Lasts.Have <= mark.Have {
				p.lasts = r.Lasts
			}
			return true
		}
	}
	return false
}

// rehash makes the sum that of the first n bytes of the file, which must be there.
func (p *part) rehash(n int64) error {
	p.sum.Reset()
	_, err := io.CopyBuffer(p.sum, &exactly{io.NewSectionReader(p.file, 0, n), n}, make([]byte, fetchBuffer))
	return err
}

// reset forgets everything.
func (p *part) reset() error {
	p.sum.Reset()
	p.have, p.length, p.places, p.etag, p.dirty, p.lasts = 0, -1, nil, "", false, partMark{}
	if err := ignoreAbsent(os.Remove(p.record())); err != nil {
		return err
	}
	return p.shorten()
}

// shorten cuts off what cannot be trusted.
func (p *part) shorten() error {
	info, err := p.file.Stat()
	if err != nil || info.Size() == p.have {
		return err
	}
	return p.file.Truncate(p.have)
}

// cut keeps the first n bytes.
func (p *part) cut(n int64) error {
	if n == 0 {
		return p.reset()
	}
	if err := p.rehash(n); err != nil {
		return err
	}
	p.have, p.dirty = n, true
	if p.lasts.Have > n {
		p.lasts = partMark{}
	}
	return p.shorten()
}

// matches compares b with the bytes at off that are there, and returns how many agree.
func (p *part) matches(b []byte, off int64) (int, error) {
	there := make([]byte, len(b))
	if _, err := p.file.ReadAt(there, off); err != nil {
		return 0, err
	}
	if bytes.Equal(b, there) {
		return len(b), nil
	}
	n := 0
	for b[n] == there[n] {
		n++
	}
	return n, nil
}

// append adds b, which from gave, and makes it last now and then.
func (p *part) append(b []byte, from Place, etag string) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := p.file.WriteAt(b, p.have); err != nil {
		return asDiskFull(err)
	}
	p.sum.Write(b)
	p.have += int64(len(b))
	p.etag, p.dirty = etag, true
	if n := len(p.places); n == 0 || p.places[n-1].key() != from.key() {
		p.places = append(p.places, from.public())
	}
	// A disk that is slow to say that it has the bytes is asked less often.
	switch now := p.now(); {
	case now.Sub(p.saved) >= max(partEvery, 20*p.took):
		return p.save()
	case now.Sub(p.noted) >= noteEvery:
		p.noted = now
		return p.write(false)
	}
	return nil
}

// write writes the record of what is there.
func (p *part) write(sync bool) error {
	r := partRecord{
		File: p.name, Length: p.length, partMark: partMark{p.have, hex.EncodeToString(p.sum.Sum(nil))}, Lasts: p.lasts, Places: p.places, ETag: p.etag,
	}
	if sync {
		r.Lasts = r.partMark
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := writeBeside(p.record(), append(data, '\n'), sync); err != nil {
		return err
	}
	p.lasts = r.Lasts
	return nil
}

// save makes what is there last.
func (p *part) save() error {
	if !p.dirty {
		return nil
	}
	start := p.now()
	if err := p.file.Sync(); err != nil {
		return asDiskFull(err)
	}
	if err := p.write(true); err != nil {
		return err
	}
	p.saved, p.dirty = p.now(), false
	p.noted = p.saved
	p.took = p.saved.Sub(start)
	return nil
}

// complete reports whether nothing is missing.
func (p *part) complete() bool { return p.length > 0 && p.have == p.length }

// close keeps what is there for another time. Where nothing came, nothing stays.
func (p *part) close() error {
	if p.have == 0 {
		return errors.Join(p.file.Close(), removePart(p.path))
	}
	err := p.save()
	if cerr := p.file.Close(); err == nil && cerr != nil {
		err = asDiskFull(fmt.Errorf("%s: %w", p.path, cerr))
	}
	return err
}

// lone reports whether all that is there came from place, or nothing is there.
func (p *part) lone(place Place) bool {
	return len(p.places) == 0 || len(p.places) == 1 && p.places[0].key() == place.key()
}

// spentParts lists the downloads of t that have all their bytes. Where t is installed they are of no use any more.
func (h Home) spentParts(t Target) []string {
	var list []string
	for _, kind := range []Kind{Modules, Archives} {
		path := filepath.Join(h.Parts(), Place{Kind: kind}.FileName(t)+".part")
		var r partRecord
		data, err := os.ReadFile(path + ".json")
		if err == nil && json.Unmarshal(data, &r) == nil && r.Length > 0 && r.Have == r.Length {
			list = append(list, path)
		}
	}
	return list
}

// removePart takes away what is kept of a download.
func removePart(path string) error {
	var errs []error
	for _, name := range []string{path + ".json", path} {
		errs = append(errs, ignoreAbsent(os.Remove(name)))
	}
	return errors.Join(errs...)
}
