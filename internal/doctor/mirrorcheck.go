package doctor

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
)

// Findings about what upstreams serve.
const (
	codeMirrorLies     = "mirror-lies"      // bytes that are not those that the checksum database recorded
	codeMirrorStale    = "mirror-stale"     // a list that lacks versions which have been out for long
	codeMirrorNoRanges = "mirror-no-ranges" // a download that broke off begins anew
)

// Facts about upstreams.
const (
	factServesPublic = "serves-public"
	factHashRight    = "hash-right"
	factHashWant     = "hash-recorded"
	factHashGot      = "hash-served"
	factHighest      = "highest-listed"
	factNewest       = "newest-known"
	factCarriesSumDB = "carries-sumdb"
	factTakesRanges  = "takes-ranges"
)

func mirrorCodes() []string { return []string{codeMirrorLies, codeMirrorStale, codeMirrorNoRanges} }

func mirrorFacts() []string {
	return []string{factServesPublic, factHashRight, factHashWant, factHashGot, factHighest, factNewest, factCarriesSumDB, factTakesRanges}
}

func mirrorChecks() []Check {
	return []Check{{ID: "mirrors", Group: Mirrors, Run: mirrorCheck}}
}

// mirrorProbe asks for the module whose bytes are compared: 3 kB, older than every mirror.
func mirrorProbe(kind goproxy.Kind) goproxy.Request {
	req := goproxy.Request{Path: "rsc.io/quote", Kind: kind}
	if kind != goproxy.List && kind != goproxy.Latest {
		req.Version = "v1.5.2"
	}
	return req
}

const (
	// What the public checksum database recorded for it, for when the database cannot be asked.
	mirrorProbeSum = "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y="
	publicSumDB    = "sum.golang.org"
	// A version of golang.org/x/mod that was out long before this program.
	mirrorBaseline = "v0.40.0"
	// How long a list may lag behind. Many mirrors keep lists for hours.
	mirrorLag = 24 * time.Hour
)

// A mirrorLook is what one upstream gave.
type mirrorLook struct {
	t       Target
	zip     httpAnswer
	list    httpAnswer
	part    httpAnswer
	sumdb   httpAnswer
	highest string // of list, without pre-releases
}

// mirrorCheck compares what upstreams serve with the checksum database and with each other.
func mirrorCheck(ctx context.Context, x *Exam) Outcome {
	var looks []*mirrorLook
	for _, t := range x.Targets {
		if t.Role == Upstream && t.URL != nil && strings.HasPrefix(t.URL.Scheme, "http") {
			looks = append(looks, &mirrorLook{t: t})
		}
	}
	if len(looks) == 0 {
		return Outcome{NotRun: NotNeeded}
	}
	db, err := sumdb.ParseDB(x.SumDB)
	if err != nil {
		db = sumdb.DB{Off: true} // the check of GOSUMDB says so
	}
	var wg sync.WaitGroup
	for _, l := range looks {
		wg.Go(func() { l.look(ctx, x, db) })
	}
	truth := mirrorTruth{db: db}
	var side sync.WaitGroup
	sctx, cancel := context.WithCancel(ctx)
	defer cancel()
	side.Go(func() { truth.ask(sctx, x, looks) })
	wg.Wait()
	if !slices.ContainsFunc(looks, func(l *mirrorLook) bool { return l.zip.ok() }) {
		cancel() // there is nothing to compare
	}
	side.Wait()
	defer truth.close()
	var o Outcome
	var beyond []string
	newest := mirrorNewest(ctx, x, looks, &truth)
	for _, l := range looks {
		switch {
		case l.zip.status == 0 && len(l.zip.hops) > 0: // it answers, and sends to who does not
			beyond = append(beyond, l.zip.url.Host)
		case l.zip.status == 0:
			beyond = append(beyond, subjectOf(l.t))
		}
		l.judgeHash(x, &truth, &o)
		l.judgeList(ctx, x, newest, &o)
		l.judgeRest(x, db, &o)
	}
	if len(beyond) > 0 {
		o.NotRun, o.Detail = NoNetwork, strings.Join(beyond, " ")
	}
	return o
}

// look asks one upstream. What is not answered stays unknown.
func (l *mirrorLook) look(ctx context.Context, x *Exam, db sumdb.DB) {
	line := httpLineOf(x, false, nil)
	defer line.Close()
	base := x.httpBase(l.t)
	u, _ := httpFile(base, mirrorProbe(goproxy.Zip))
	if l.zip = line.ask(ctx, httpAsk{url: u, limit: httpBodySize, keep: true}); l.zip.err != nil && !l.zip.unreached() && ctx.Err() == nil {
		l.zip = line.ask(ctx, httpAsk{url: u, limit: httpBodySize, keep: true}) // a lossy link is no reason not to know
	}
	if l.zip.err != nil {
		return // who does not answer the first question is not kept waiting for with the others
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		u, _ := httpFile(base, httpProbe(goproxy.List))
		l.list = line.ask(ctx, httpAsk{url: u, limit: httpSmall, keep: true})
		if l.list.ok() {
			versions, _ := goproxy.ParseList(httpProbe(goproxy.List).Path, l.list.body)
			for _, v := range versions {
				if semver.Prerelease(v) == "" && semver.Compare(v, l.highest) > 0 {
					l.highest = v
				}
			}
		}
	})
	if l.zip.ok() && len(l.zip.body) > 1000 {
		wg.Go(func() {
			l.part = line.ask(ctx, httpAsk{url: u, limit: httpSmall, keep: true, head: http.Header{"Range": {"bytes=500-599"}}})
		})
	}
	if !db.Off {
		wg.Go(func() {
			l.sumdb = line.ask(ctx, httpAsk{url: httpJoin(base, "sumdb/"+db.Name+"/supported"), limit: 1 << 10, keep: true})
		})
	}
	wg.Wait()
}

// A mirrorTruth is what the checksum database says, by whatever way it can be asked.
type mirrorTruth struct {
	db     sumdb.DB
	client *sumdb.Client
	line   *httpLine
	sum    string // of the probe; empty if nobody can say
	from   string // "database" or "built-in"
}

func (m *mirrorTruth) close() {
	if m.client != nil {
		_ = m.client.Close() // it keeps nothing on a disk
		m.line.Close()
	}
}

func (m *mirrorTruth) ask(ctx context.Context, x *Exam, looks []*mirrorLook) {
	if m.db.Off {
		return
	}
	m.line = httpLineOf(x, false, nil)
	hc := &http.Client{Transport: m.line.tr, Timeout: httpWait(x.Net.AnswerWait, 5*time.Second)}
	var proxies []string
	for _, l := range looks {
		proxies = append(proxies, x.httpBase(l.t).String())
	}
	remotes := sumdb.Remotes(m.db, hc, proxies)
	if x.Net.HTTP != nil {
		remotes = append(remotes, sumdb.Remotes(m.db, x.Net.HTTP, nil)...)
	}
	if m.db.Name == publicSumDB {
		m.sum, m.from = mirrorProbeSum, "built-in"
	}
	client, err := sumdb.New(sumdb.Config{DB: m.db, Store: &memStore{}, Remotes: remotes, HedgeAfter: time.Second})
	if err != nil {
		return
	}
	m.client = client
	probe := mirrorProbe(goproxy.Zip)
	ctx, cancel := context.WithTimeout(ctx, 3*httpWait(x.Net.AnswerWait, 5*time.Second)/2)
	defer cancel()
	if sums, err := client.Lookup(ctx, probe.Path, probe.Version); err == nil && sums.Zip != "" {
		m.sum, m.from = sums.Zip, "database"
	}
}

// recorded reports whether the database has a record of a version, as far as it can be asked.
func (m *mirrorTruth) recorded(ctx context.Context, x *Exam, path, version string) bool {
	if m.client == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, httpWait(x.Net.AnswerWait, 5*time.Second))
	defer cancel()
	sums, err := m.client.Lookup(ctx, path, version)
	return err == nil && sums.Zip != ""
}

// mirrorNewest is the newest version of the listed module that is real and has been out for long enough: others' lists
// count only for what the checksum database has a record of, for anybody can claim a version.
func mirrorNewest(ctx context.Context, x *Exam, looks []*mirrorLook, truth *mirrorTruth) string {
	newest := ""
	if truth.db.Name == publicSumDB {
		newest = mirrorBaseline
	}
	differ := false
	best := looks[0]
	for _, l := range looks {
		differ = differ || l.highest != best.highest && l.highest != "" && best.highest != ""
		if semver.Compare(l.highest, best.highest) > 0 {
			best = l
		}
	}
	if !differ || semver.Compare(best.highest, newest) <= 0 {
		return newest
	}
	req := httpProbe(goproxy.Info)
	req.Version = best.highest
	line := httpLineOf(x, false, nil)
	defer line.Close()
	u, err := httpFile(x.httpBase(best.t), req)
	if err != nil {
		return newest
	}
	a := line.ask(ctx, httpAsk{url: u, limit: httpSmall, keep: true})
	if !a.ok() {
		return newest
	}
	rev, err := goproxy.ParseInfo(req, a.body)
	if err != nil || x.Net.now().Sub(rev.Time) < mirrorLag || !truth.recorded(ctx, x, req.Path, req.Version) {
		return newest
	}
	return best.highest
}

func mirrorFact(t Target, name string, answer Answer, value string) Fact {
	f := Fact{Name: name, Answer: answer, Value: t.URL.Hostname()}
	if value != "" {
		f.Value += ": " + value
	}
	if answer == Unmeasured {
		f.Reason = NoNetwork
	}
	return f
}

// judgeHash compares the zip with what was recorded.
func (l *mirrorLook) judgeHash(x *Exam, truth *mirrorTruth, o *Outcome) {
	switch {
	case l.zip.status == http.StatusNotFound || l.zip.status == http.StatusGone:
		o.Facts = append(o.Facts, mirrorFact(l.t, factServesPublic, No, ""))
		return
	case !l.zip.ok() || !l.zip.whole || l.zip.html():
		o.Facts = append(o.Facts, mirrorFact(l.t, factHashRight, Unmeasured, ""))
		return
	case truth.sum == "":
		f := mirrorFact(l.t, factHashRight, Unmeasured, "")
		if truth.db.Off {
			f.Reason = NotNeeded
		}
		o.Facts = append(o.Facts, f)
		return
	}
	got, err := mirrorHash(l.zip.body)
	if err != nil {
		got = err.Error()
	}
	if got == truth.sum {
		o.Facts = append(o.Facts, mirrorFact(l.t, factHashRight, Yes, ""))
		return
	}
	probe := mirrorProbe(goproxy.Zip)
	f := Finding{Code: codeMirrorLies, Severity: Fault, Subject: subjectOf(l.t), Op: transport.OpRead,
		Args: map[string]string{"Host": l.t.URL.Hostname(), "Module": probe.Path, "Version": probe.Version, "DB": cmp.Or(truth.db.Name, publicSumDB)},
		Facts: []Fact{{Name: factHashWant, Answer: Yes, Value: truth.sum + " (" + truth.from + ")"},
			{Name: factHashGot, Answer: Yes, Value: got}}}
	f.Fixes = (&httpLook{t: l.t}).otherWays(x)
	o.Findings = append(o.Findings, f)
}

// mirrorHash is the hash of a module zip as in go.sum.
func mirrorHash(data []byte) (string, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", errors.New("no zip file")
	}
	files := map[string]*zip.File{}
	var names []string
	size := uint64(0)
	for _, f := range z.File {
		files[f.Name] = f
		names = append(names, f.Name)
		size += f.UncompressedSize64
	}
	if size > 16<<20 {
		return "", errors.New("a zip file of another size")
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		f, ok := files[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return f.Open()
	})
}

// judgeList says whether the list lacks a version that it should have. An upstream of a company or of this machine may have only what it
// was given, which is its owner's affair.
func (l *mirrorLook) judgeList(ctx context.Context, x *Exam, newest string, o *Outcome) {
	if l.highest == "" {
		return // it need not have the module
	}
	o.Facts = append(o.Facts, mirrorFact(l.t, factHighest, Yes, l.highest))
	if newest == "" || semver.Compare(l.highest, newest) >= 0 {
		return
	}
	f := Finding{Code: codeMirrorStale, Severity: Warning, Subject: subjectOf(l.t), Op: transport.OpRead,
		Args: map[string]string{"Host": l.t.URL.Hostname(), "Module": httpProbe(goproxy.List).Path, "Have": l.highest, "Newest": newest},
		Facts: []Fact{{Name: factHighest, Answer: Yes, Value: l.highest},
			{Name: factNewest, Answer: Yes, Value: newest}}}
	if near := x.Reach(ctx, l.t).Addr(); near.IsValid() && slices.Contains([]oddness{addrPrivate, addrThisHost}, dnsOddness(near.Addr())) {
		f.Severity = Note
	}
	if age, err := strconv.Atoi(l.list.header.Get("Age")); err == nil && age > 0 {
		f.Facts[0].Value += ", Age: " + (time.Duration(age) * time.Second).String()
	}
	f.Fixes = (&httpLook{t: l.t}).otherWays(x)
	o.Findings = append(o.Findings, f)
}

// judgeRest tells what is worth knowing and no fault.
func (l *mirrorLook) judgeRest(x *Exam, db sumdb.DB, o *Outcome) {
	if l.zip.err != nil {
		return
	}
	switch {
	case db.Off:
	case l.sumdb.status == http.StatusOK && !l.sumdb.html():
		o.Facts = append(o.Facts, mirrorFact(l.t, factCarriesSumDB, Yes, ""))
	case l.sumdb.status == http.StatusNotFound || l.sumdb.status == http.StatusGone:
		o.Facts = append(o.Facts, mirrorFact(l.t, factCarriesSumDB, No, ""))
	default:
		o.Facts = append(o.Facts, mirrorFact(l.t, factCarriesSumDB, Unmeasured, ""))
	}
	switch {
	case !l.zip.ok() || len(l.zip.body) <= 1000:
	case l.part.status == http.StatusPartialContent && bytes.Equal(l.part.body, l.zip.body[500:600]):
		o.Facts = append(o.Facts, mirrorFact(l.t, factTakesRanges, Yes, ""))
	case l.part.status == http.StatusOK, l.part.status == http.StatusRequestedRangeNotSatisfiable, l.part.status == http.StatusPartialContent:
		o.Findings = append(o.Findings, Finding{Code: codeMirrorNoRanges, Severity: Note, Subject: subjectOf(l.t), Op: transport.OpRead,
			Args: map[string]string{"Host": l.t.URL.Hostname()}, Facts: []Fact{{Name: factTakesRanges, Answer: No}}})
	default:
		o.Facts = append(o.Facts, mirrorFact(l.t, factTakesRanges, Unmeasured, ""))
	}
}

// memStore keeps what the checksum database said while the check runs.
type memStore struct {
	mu    sync.Mutex
	files map[string][]byte
	locks map[string]chan struct{}
}

// Get implements sumdb.Store.
func (s *memStore) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data, ok := s.files[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// Put implements sumdb.Store.
func (s *memStore) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.files[name] = bytes.Clone(data)
	return nil
}

// Lock implements sumdb.Store.
func (s *memStore) Lock(ctx context.Context, name string) (func(), error) {
	s.mu.Lock()
	if s.locks == nil {
		s.locks = map[string]chan struct{}{}
	}
	lock, ok := s.locks[name]
	if !ok {
		lock = make(chan struct{}, 1)
		s.locks[name] = lock
	}
	s.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// sumURL is a database's own URL.
func sumURL(db sumdb.DB) *url.URL {
	u, err := url.Parse(cmp.Or(db.URL, "https://"+db.Name))
	if err != nil {
		return &url.URL{Scheme: "https", Host: db.Name}
	}
	return u
}
