package mirrors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// DefaultModule is what a probe asks for where nothing else is named: small, and on every mirror
// that serves public modules.
func DefaultModule() module.Version {
	return module.Version{Path: "golang.org/x/mod", Version: "v0.17.0"}
}

// Options say how to probe. HTTP is required; the zero value of everything else is a default.
type Options struct {
	// HTTP sends all requests. It should not try again by itself: a probe measures.
	HTTP *http.Client
	// Check compares a .mod or zip with the checksum database, as sumdb.Client.Verify does.
	// Nil if nobody can: the mirrors are Unverified then.
	Check func(ctx context.Context, req goproxy.Request, r io.ReaderAt, size int64) error
	// Module is what is asked for. Default DefaultModule.
	Module module.Version
	// Toolchain is the version of golang.org/toolchain that is asked for. Default one that
	// every mirror of toolchains has.
	Toolchain string
	// SumDB is the name of the checksum database that a mirror is asked to carry. Default sum.golang.org.
	SumDB string
	// StepTimeout bounds each request. Default 10 s.
	StepTimeout time.Duration
	// Timeout bounds the time for one mirror, waiting for others not counted. Default 30 s.
	Timeout time.Duration
}

const (
	defaultToolchain = "v0.0.1-go1.23.0.linux-amd64"
	toolchainMod     = "module golang.org/toolchain\n" // the whole file, of every version

	maxSmall = 1 << 20  // bytes read of an answer that is not a zip
	maxHead  = 32 << 10 // of the list of toolchains, which has some hundred KB
	maxZip   = 64 << 20
	maxPart  = 1 << 10 // bytes asked for to see whether parts can be had
)

func (o Options) withDefaults() Options {
	if o.Module == (module.Version{}) {
		o.Module = DefaultModule()
	}
	if o.Toolchain == "" {
		o.Toolchain = defaultToolchain
	}
	if o.SumDB == "" {
		o.SumDB = "sum.golang.org"
	}
	if o.StepTimeout == 0 {
		o.StepTimeout = 10 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	return o
}

// Probe probes one mirror. Its list is compared with none.
func Probe(ctx context.Context, target Target, o Options) Result {
	return ProbeAll(ctx, []Target{target}, o)[0]
}

// ProbeAll probes all targets side by side and returns their results in the same order. Zips
// are fetched one at a time, since measurements that share a link measure each other.
// It fails for no mirror: a Result says what went wrong. When ctx ends it returns what it has.
func ProbeAll(ctx context.Context, targets []Target, o Options) []Result {
	o = o.withDefaults()
	link := make(chan struct{}, 1)
	results := make([]Result, len(targets))
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() { results[i] = probe(ctx, target, o, link) })
	}
	wg.Wait()
	for i := range results {
		results[i].judge()
	}
	compareLists(results, o.Module.Version)
	for i := range results {
		results[i].judge()
	}
	return results
}

// compareLists finds the lists that lack what a usable mirror lists, or the version that was asked for. What others
// list counts for nothing: anybody can claim a version.
func compareLists(results []Result, asked string) {
	best := ""
	if !module.IsPseudoVersion(asked) {
		best = asked
	}
	for _, r := range results {
		if r.Verdict.Usable() && r.List != nil {
			best = higher(best, r.List.Highest)
		}
	}
	for _, r := range results {
		if r.List == nil || best == "" {
			continue
		}
		r.List.Best = best
		if s := r.Steps[AskList]; s.State == Yes && r.List.Highest != best && higher(r.List.Highest, best) == best {
			s.State, s.Reason = No, Behind
			r.Steps[AskList] = s
		}
	}
}

// A prober asks one mirror.
type prober struct {
	Options
	base *url.URL
	link chan struct{} // taken while a zip is fetched
	left time.Duration // of Timeout
	rest time.Time     // until when the last questions may take; zero before

	mu      sync.Mutex
	res     Result
	samples []time.Duration // of small answers

	mod, zip []byte // as they came; nil if they did not
}

func probe(ctx context.Context, target Target, o Options, link chan struct{}) Result {
	p := &prober{Options: o, link: link, left: o.Timeout, res: Result{
		Name: target.Name, URL: goproxy.RedactURL(target.URL), Operator: target.Operator, InUse: target.InUse,
		Steps: make(map[Ask]Step),
	}}
	for _, ask := range Asks() {
		p.res.Steps[ask] = Step{State: Skipped}
	}
	base, err := url.Parse(target.URL)
	if err != nil || !isHTTP(target.URL) {
		p.res.Steps[AskInfo] = Step{State: Unknown, Reason: Malformed, Detail: "not an http URL"}
		return p.res
	}
	p.base = base
	if p.first(ctx) {
		p.files(ctx)
		p.others(ctx)
	}
	p.res.Latency = Millis(median(p.samples))
	slices.Sort(p.res.Redirect)
	return p.res
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func (p *prober) request(kind goproxy.Kind) goproxy.Request {
	req := goproxy.Request{Path: p.Module.Path, Kind: kind}
	if kind != goproxy.List && kind != goproxy.Latest {
		req.Version = p.Module.Version
	}
	return req
}

// first makes the connection, and reports whether there was an answer of any kind: who does not
// answer the first question is not kept waiting for with the others.
func (p *prober) first(ctx context.Context) bool {
	a := p.info(ctx)
	p.res.Link = a.link
	p.set(AskInfo, p.infoStep(a))
	return a.err == nil
}

func (p *prober) info(ctx context.Context) answer {
	return p.file(ctx, p.request(goproxy.Info), want{limit: maxSmall})
}

func (p *prober) infoStep(a answer) Step {
	s := a.step()
	if s.State == Yes {
		if _, err := goproxy.ParseInfo(p.request(goproxy.Info), a.body); err != nil {
			return malformed(s, err)
		}
		p.samples = append(p.samples, a.waited())
	}
	return s
}

func malformed(s Step, err error) Step {
	s.State, s.Reason = Unknown, Malformed
	var ge *goproxy.Error
	if errors.As(err, &ge) {
		err = ge.Err
	}
	s.Detail = err.Error()
	return s
}

// files fetches what a build needs, one after the other: they are measured.
func (p *prober) files(ctx context.Context) {
	a := p.file(ctx, p.request(goproxy.Mod), want{limit: maxSmall})
	s := a.step()
	if s.State == Yes {
		p.mod = a.body
		p.samples = append(p.samples, a.waited())
	}
	p.set(AskMod, s)
	if s.State == Yes {
		p.infoStep(p.info(ctx)) // the first one may have been made for us
	}
	select {
	case p.link <- struct{}{}:
	case <-ctx.Done():
		return
	}
	a = p.file(ctx, p.request(goproxy.Zip), want{limit: maxZip})
	<-p.link
	s = a.step()
	if s.State == Yes {
		p.zip = a.body
	}
	p.set(AskZip, s)
	if took := a.waited(); a.status == http.StatusOK && len(a.body) > 0 && took > 0 {
		p.res.Speed = int64(float64(len(a.body)) / took.Seconds())
	}
}

// others puts all questions that nothing is measured by, together.
func (p *prober) others(ctx context.Context) {
	p.rest = time.Now().Add(min(p.StepTimeout, p.left))
	var wg sync.WaitGroup
	for _, ask := range []func(context.Context){p.checked, p.list, p.latest, p.sumdb, p.ranges, p.toolchains} {
		wg.Go(func() { ask(ctx) })
	}
	wg.Wait()
}

// checked compares the files that came with the checksum database.
func (p *prober) checked(ctx context.Context) {
	if p.mod == nil && p.zip == nil {
		return
	}
	if p.Check == nil {
		p.set(AskChecked, Step{State: Unknown, Reason: Unchecked})
		return
	}
	ctx, cancel := context.WithDeadline(ctx, p.rest)
	defer cancel()
	start := time.Now()
	s := Step{State: Yes}
	for _, f := range []struct {
		kind goproxy.Kind
		data []byte
	}{{goproxy.Mod, p.mod}, {goproxy.Zip, p.zip}} {
		if f.data == nil || s.Reason == Mismatch {
			continue
		}
		if err := p.Check(ctx, p.request(f.kind), bytes.NewReader(f.data), int64(len(f.data))); err != nil {
			s = uncheckedStep(err)
		}
	}
	s.Took = Millis(time.Since(start))
	p.set(AskChecked, s)
}

// list counts what is listed. Lines may carry a second column.
func (p *prober) list(ctx context.Context) {
	a := p.file(ctx, p.request(goproxy.List), want{limit: maxSmall})
	s := a.step()
	defer func() { p.set(AskList, s) }()
	if s.State != Yes {
		return
	}
	l := &List{}
	seen := map[string]bool{}
	for line := range bytes.Lines(a.body) {
		versions, pseudo := goproxy.ParseList(p.Module.Path, line)
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case len(pseudo) == 1:
			l.Pseudo++
		case len(versions) == 0 || seen[versions[0]]:
			l.Garbage++
		default:
			seen[versions[0]] = true
			l.Versions++
			l.Highest = higher(l.Highest, versions[0])
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.res.List = l
}

// higher is a or b. It prefers releases to pre-releases, as the go command does, and anything to "".
func higher(a, b string) string {
	release := func(v string) bool { return v != "" && semver.Prerelease(v) == "" }
	if release(a) != release(b) {
		if release(a) {
			return a
		}
		return b
	}
	if semver.Compare(a, b) >= 0 {
		return a
	}
	return b
}

func (p *prober) latest(ctx context.Context) {
	req := p.request(goproxy.Latest)
	a := p.file(ctx, req, want{limit: maxSmall})
	s := a.step()
	if s.State == Yes {
		if _, err := goproxy.ParseInfo(req, a.body); err != nil {
			s = malformed(s, err)
		}
	}
	p.set(AskLatest, s)
}

// sumdb asks what the go command asks before it trusts a proxy with the checksum database.
// Source: https://go.dev/design/25530-sumdb, "Proxying a Checksum Database".
func (p *prober) sumdb(ctx context.Context) {
	p.set(AskSumdb, p.get(ctx, "sumdb/"+p.SumDB+"/supported", want{limit: maxSmall}).step())
}

// ranges asks for a part from the middle of the zip that came before.
func (p *prober) ranges(ctx context.Context) {
	size := len(p.zip)
	if size < 2 {
		return
	}
	from := size / 2
	to := min(size, from+maxPart) - 1
	a := p.file(ctx, p.request(goproxy.Zip), want{limit: maxPart, from: from, to: to})
	p.set(AskRanges, rangeStep(a, p.zip, from, to))
}

func rangeStep(a answer, zip []byte, from, to int) Step {
	s := a.step()
	s.Status = a.status
	switch {
	case a.err != nil:
	case a.status == http.StatusOK:
		s.State, s.Reason = No, NoRange
	case a.status == http.StatusRequestedRangeNotSatisfiable:
		s.State, s.Reason = No, Status // it knows ranges, and denies one that there is
	case a.status != http.StatusPartialContent:
	case a.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, to, len(zip)) || !bytes.Equal(a.body, zip[from:to+1]):
		s.State, s.Reason = No, WrongPart
	default:
		s.State, s.Reason = Yes, ""
	}
	return s
}

// toolchains looks for the list, and for two small files of one version; a zip has 70 MB.
func (p *prober) toolchains(ctx context.Context) {
	req := goproxy.Request{Path: "golang.org/toolchain", Kind: goproxy.List}
	a := p.file(ctx, req, want{limit: maxHead, head: true})
	s := a.step()
	if versions, _ := goproxy.ParseList(req.Path, wholeLines(a.body)); s.State == Yes && len(versions) == 0 {
		s.State, s.Reason = No, Malformed // an empty list, most often
	}
	p.set(AskToolchainList, s)

	req.Version, req.Kind = p.Toolchain, goproxy.Info
	a = p.file(ctx, req, want{limit: maxSmall})
	s = a.step()
	if s.State == Yes {
		if _, err := goproxy.ParseInfo(req, a.body); err != nil {
			s = malformed(s, err)
		}
	}
	if s.State == Yes {
		req.Kind = goproxy.Mod
		a = p.file(ctx, req, want{limit: maxSmall})
		if s = a.step(); s.State == Yes && string(a.body) != toolchainMod {
			s = malformed(s, errors.New("not the go.mod of a toolchain"))
		}
	}
	p.set(AskToolchain, s)
}

// wholeLines cuts off a last line that may not be whole.
func wholeLines(data []byte) []byte { return data[:bytes.LastIndexByte(data, '\n')+1] }

func (p *prober) set(ask Ask, s Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.res.Steps[ask] = s
}

// redirected notes another host than was asked.
func (p *prober) redirected(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !strings.EqualFold(host, p.base.Host) && !slices.Contains(p.res.Redirect, host) {
		p.res.Redirect = append(p.res.Redirect, host)
	}
}

// explain takes the error of a request apart.
func explain(err error) (Reason, transport.Op) {
	if e, ok := transport.Explain(err); ok {
		return Reason(e.Failure), e.Op
	}
	if goproxy.Timeout(err) {
		return Reason(transport.TimedOut), ""
	}
	return Reason(transport.Other), ""
}
