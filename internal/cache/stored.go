package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

// stored is an answer that the store has.
type stored struct {
	file  goproxy.File
	meta  *goproxy.Meta // of file
	age   time.Duration // since an upstream confirmed it
	fresh bool
}

func (s *stored) close() {
	if s != nil {
		s.file.Close()
	}
}

// unless closes the stored file if it is not f, the one that is handed out.
func (s *stored) unless(f goproxy.File) {
	if s != nil && s.file != f {
		s.file.Close()
	}
}

// hitFile is a blob with its Meta. The kernel can copy it to a connection.
type hitFile struct {
	*store.File
	meta *goproxy.Meta
}

type hitInfo struct {
	fs.FileInfo
	meta *goproxy.Meta
}

func (i hitInfo) Sys() any { return i.meta }

// OSFile returns the file on disk.
func (f *hitFile) OSFile() *os.File { return f.File.File }

// Stat describes the blob, and how it was come by.
func (f *hitFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return hitInfo{info, f.meta}, err
}

// openHot opens an immutable file that is kept in memory. It returns nil if it is not.
func (c *Cache) openHot(req goproxy.Request) *goproxy.MemFile {
	return c.hot.get(req, c.now(), c.cfg.Store)
}

// openStored opens what the store has under name. The error is goproxy.ErrNotExist if that is nothing.
// It looks on the disk; what is in memory openHot has.
func (c *Cache) openStored(req goproxy.Request, name string) (*stored, error) {
	immutable := req.Immutable()
	f, err := c.cfg.Store.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, goproxy.ErrNotExist
	}
	if errors.Is(err, fs.ErrInvalid) { // too long for a file system: the go command could not keep it either
		return nil, &goproxy.Error{Request: req, Err: fmt.Errorf("%w: %w", goproxy.ErrInvalid, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cache: %w", err)
	}
	s := &stored{meta: &goproxy.Meta{Result: "hit"}}
	if !immutable {
		s.age = max(0, c.now().Sub(info.ModTime()))
		s.fresh = s.age < c.freshFor(req)
		s.meta.Age = s.age
	}
	if req.Kind == goproxy.Zip && (info.Size() > hotMax || !c.hot.again(name)) {
		s.file = &hitFile{f, s.meta}
		return s, nil
	}
	defer f.Close()
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("cache: %s: %w", name, err)
	}
	file := goproxy.NewFile(req, data, info.ModTime(), s.meta)
	if immutable {
		c.hot.put(req, name, file, c.now())
	}
	s.file = file
	return s, nil
}

// absentPrefix is the folder of the store in which absences are remembered. It can be no
// module path, whose first element has a dot.
const absentPrefix = "absent/"

// storedAbsent is a remembered absence.
type storedAbsent struct {
	err   error
	age   time.Duration
	fresh bool
}

type absentRecord struct {
	Gone   bool   `json:"gone,omitempty"`
	Reason string `json:"reason"`
	Source string `json:"source,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Code   string `json:"code,omitempty"` // message code of Hint
}

func (c *Cache) storedAbsent(req goproxy.Request, name string) *storedAbsent {
	f, err := c.cfg.Store.Open(absentPrefix + name)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	var rec absentRecord
	if err := json.NewDecoder(io.LimitReader(f, 64<<10)).Decode(&rec); err != nil {
		return nil
	}
	meaning := goproxy.ErrNotExist
	if rec.Gone {
		meaning = goproxy.ErrGone
	}
	age := max(0, c.now().Sub(info.ModTime()))
	return &storedAbsent{
		err:   &goproxy.Error{Source: rec.Source, Request: req, Err: &recordedError{meaning, rec.Reason}, Hint: rec.Hint, HintCode: rec.Code},
		age:   age,
		fresh: age < c.cfg.FreshAbsent,
	}
}

// recordedError has the text an absence had when it was found, and its meaning.
type recordedError struct {
	meaning error
	text    string
}

func (e *recordedError) Error() string { return e.text }
func (e *recordedError) Unwrap() error { return e.meaning }

// keepAbsent remembers an absence. Failing to is no reason not to answer.
func (c *Cache) keepAbsent(ctx context.Context, name string, err error) {
	if errors.Is(err, goproxy.ErrInvalid) {
		return
	}
	rec := absentRecord{Gone: errors.Is(err, goproxy.ErrGone), Reason: err.Error()}
	var e *goproxy.Error
	if errors.As(err, &e) {
		rec.Source, rec.Hint, rec.Code, rec.Reason = e.Source, e.Hint, e.HintCode, e.Err.Error()
	}
	data, jerr := json.Marshal(rec)
	if jerr == nil {
		jerr = c.cfg.Store.PutLoose(ctx, absentPrefix+name, strings.NewReader(string(data)), c.now())
	}
	if jerr != nil {
		c.log.Warn("absence not remembered", "name", name, "err", jerr)
	}
}

// forgetAbsent forgets what turned out to be there. Were it remembered, it would be the answer again
// once the file is evicted and no upstream can be asked.
func (c *Cache) forgetAbsent(name string) {
	if err := c.cfg.Store.Remove(absentPrefix + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("absence not forgotten", "name", name, "err", err)
	}
}

// openOffline answers without asking anybody. Lists and latest are made of the versions
// whose zips are here, so that what the go command picks can be had.
func (c *Cache) openOffline(ctx context.Context, req goproxy.Request, name string, s *stored) (goproxy.File, error) {
	if !req.Immutable() {
		f, err := c.local.Open(ctx, req)
		if err == nil && (req.Kind != goproxy.List || hasBytes(f) || s == nil) {
			s.close()
			return f, nil
		}
		if s != nil {
			s.meta.Result = "stale"
			return s.file, nil
		}
		if err != nil && !goproxy.Absent(err) {
			return nil, err
		}
	}
	if a := c.storedAbsent(req, name); a != nil {
		return nil, a.err
	}
	return nil, &goproxy.Error{Source: "cache", Request: req,
		Err:      fmt.Errorf("%w: not in the cache, and goferry is offline", goproxy.ErrUnavailable),
		HintCode: "cache.hint.offline", Hint: "fetch it once while online"}
}

func hasBytes(f goproxy.File) bool {
	info, err := f.Stat()
	return err == nil && info.Size() > 0
}

// openPresent answers from the store as if it were an upstream that has just what is in
// it: a list of the versions whose zips are here, with pseudo-versions, and no latest.
func (c *Cache) openPresent(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	notExist := &goproxy.Error{Source: "cache", Request: req, Err: goproxy.ErrNotExist}
	if req.Kind == goproxy.Latest {
		return nil, notExist
	}
	if f := c.openHot(req); f != nil {
		return f, nil
	}
	if req.Kind != goproxy.List {
		s, err := c.openStored(req, name)
		if err != nil {
			return nil, err
		}
		return s.file, nil
	}
	var versions []string
	err = c.cfg.Store.Walk(ctx, path.Dir(name)+"/", func(b store.Blob) error {
		r, perr := goproxy.ParseRequest(b.Name)
		if perr == nil && r.Path == req.Path && r.Kind == goproxy.Zip {
			versions = append(versions, r.Version)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if len(versions) == 0 {
		return nil, notExist
	}
	return goproxy.NewFile(req, goproxy.FormatList(versions), c.now(), &goproxy.Meta{Result: "hit"}), nil
}
