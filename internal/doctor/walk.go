package doctor

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// A WalkState says what a walk, or one upstream of it, came to.
type WalkState string

// The states of a walk.
const (
	WalkServed     WalkState = "served"
	WalkAbsent     WalkState = "not-found"    // by positive evidence
	WalkFailed     WalkState = "failed"       // the go command stops with an error, or goes on behind "|"
	WalkSilent     WalkState = "silent"       // the go command would wait for ever
	WalkOff        WalkState = "off"          // GOPROXY says to ask nobody
	WalkUnmeasured WalkState = "not-measured" // for lack of time, or of a program
)

// WalkStates lists the states.
func WalkStates() []WalkState {
	return []WalkState{WalkServed, WalkAbsent, WalkFailed, WalkSilent, WalkOff, WalkUnmeasured}
}

// A Walk is what the go command does to fetch one version of one module, step by step.
type Walk struct {
	SchemaVersion int           `json:"schema_version"`
	Module        string        `json:"module"` // the one found: what was asked for may be a package in it
	Query         string        `json:"query"`  // what was asked for: a version, a branch, "latest"
	Version       string        `json:"version,omitempty"`
	Pattern       string        `json:"private_pattern,omitempty"` // of GONOPROXY, if it keeps proxies out
	Cached        bool          `json:"cached"`                    // the module cache has it: nobody would be asked
	State         WalkState     `json:"state"`
	By            string        `json:"served_by,omitempty"`
	Stops         []WalkStop    `json:"stops"`
	Took          time.Duration `json:"took_ns"`
	Causes        []Cause       `json:"causes"` // as in a Report
	Trace         *Fact         `json:"trace,omitempty"`
}

// A WalkStop is one entry of GOPROXY, or the checksum database.
type WalkStop struct {
	Name  string     `json:"name"`           // URL without credentials, "direct", "off", or the name of the database
	Via   string     `json:"via,omitempty"`  // the proxy between
	Sep   string     `json:"then,omitempty"` // "," or "|" behind it
	Asked bool       `json:"asked"`          // the go command comes here; else it was asked only to see what it would say
	State WalkState  `json:"state"`
	Steps []WalkStep `json:"steps"`

	target Target
}

// A WalkStep is one request, or one run of git.
type WalkStep struct {
	What    string            `json:"what"` // "list", "latest", "info", "mod", "zip", "supported", "lookup", "go-get", "git"
	URL     string            `json:"url"`
	Addr    string            `json:"address,omitempty"`
	Proto   string            `json:"proto,omitempty"`
	Status  int               `json:"status,omitempty"`
	Op      transport.Op      `json:"op,omitempty"`      // that failed
	Failure transport.Failure `json:"failure,omitempty"` // why
	Error   string            `json:"error,omitempty"`
	Bytes   int64             `json:"bytes"`
	Size    int64             `json:"size,omitempty"` // of the whole; 0 for unknown
	Timing  Timing            `json:"timing"`

	answer httpAnswer
}

// walker walks.
type walker struct {
	x    *Exam
	line *httpLine
	w    *Walk
	zip  httpAnswer // that was served

	findings []Finding
}

// A walkTry is what is known of an entry of GOPROXY while it is asked.
type walkTry struct {
	WalkStop
	up      goproxy.Upstream
	base    *url.URL // of files; nil for "direct" and "off"
	module  string   // that was found
	version string   // that the query comes to there
}

const (
	walkZipTime = 4 * time.Second // of a zip; then it is seen that it comes
	walkZipSize = 32 << 20
)

// Walk does what the go command would do for MODULE or MODULE@VERSION, and finds out at which upstream it ends and why.
// Path may be that of a package. What it does not come to is asked for as well, to see what would help.
func (x *Exam) Walk(ctx context.Context, path, query string) Walk {
	start := time.Now()
	w := Walk{SchemaVersion: SchemaVersion, Module: path, Query: query, State: WalkUnmeasured, Stops: []WalkStop{}, Causes: []Cause{}}
	if query == "" {
		w.Query = "latest"
	}
	x = x.Sharing()
	wk := &walker{x: x, w: &w, line: httpLineOf(x, false, nil)}
	defer wk.line.Close()
	w.Cached = wk.cached()
	wk.entries(ctx)
	if w.State == WalkServed {
		wk.database(ctx)
	}
	wk.judge(ctx)
	w.Took = time.Since(start)
	wk.publish()
	return w
}

// publish orders what was found, and takes the secrets out.
func (wk *walker) publish() {
	secrets := SecretsOf(wk.x)
	wk.w.Trace = wk.x.Trace.ran(secrets)
	results := []Result{{Check: "walk", Group: Network, Findings: wk.findings}}
	for _, c := range causesOf(wk.x, results) {
		c.Finding, c.Follows = secrets.finding(c.Finding), secrets.findings(c.Follows)
		wk.w.Causes = append(wk.w.Causes, c)
	}
	for _, stop := range wk.w.Stops {
		for i, step := range stop.Steps {
			stop.Steps[i].Error, stop.Steps[i].URL = secrets.Mask(step.Error), secrets.Mask(step.URL)
		}
	}
}

// entries walks the list. Where the first entry does not have it, the others are asked at once what they would say: to wait for one
// dead host after another takes too long. What is to be fetched is fetched in turn, from who would be asked for it.
func (wk *walker) entries(ctx context.Context) {
	x, w := wk.x, wk.w
	if w.Pattern = walkPattern(x, w.Module); w.Pattern != "" {
		try := wk.try(goproxy.Upstream{URL: "direct"})
		wk.ask(ctx, try)
		wk.take(try)
		return
	}
	var tries []*walkTry
	for _, up := range httpUpstreams(x) {
		tries = append(tries, wk.try(up))
	}
	var rest sync.WaitGroup
	defer rest.Wait()
	on := true
	for i, try := range tries {
		if i == 0 {
			wk.ask(ctx, try)
		}
		if try.Asked = on; on {
			wk.fetch(ctx, try)
			on = wk.take(try)
		} else {
			w.Stops = append(w.Stops, try.WalkStop)
		}
		if w.State == WalkServed {
			return // who stands behind that need not be bothered
		}
		if i == 0 {
			wk.why(ctx, &rest, try)
			var wg sync.WaitGroup
			for _, other := range tries[1:] {
				wg.Go(func() { wk.ask(ctx, other) })
			}
			wg.Wait()
		}
	}
}

// try is an entry before it is asked.
func (wk *walker) try(up goproxy.Upstream) *walkTry {
	try := &walkTry{up: up, WalkStop: WalkStop{Name: goproxy.RedactURL(up.URL), Asked: true, State: WalkUnmeasured, Steps: []WalkStep{}}}
	if up.Sep != 0 {
		try.Sep = string(rune(up.Sep))
	}
	return try
}

// ask finds out what an entry would say of the module.
func (wk *walker) ask(ctx context.Context, try *walkTry) {
	switch try.up.URL {
	case "off":
		try.State = WalkOff
	case "direct":
		wk.direct(ctx, try)
	default:
		wk.upstream(ctx, try)
	}
}

// take notes where the walk has come to, and reports whether the go command goes on to the next entry.
func (wk *walker) take(try *walkTry) bool {
	w := wk.w
	w.Stops = append(w.Stops, try.WalkStop)
	switch w.State = try.State; try.State {
	case WalkServed:
		w.By, w.Version = try.Name, try.version
		if try.module != "" {
			w.Module = try.module
		}
		return false
	case WalkAbsent:
		return true
	case WalkFailed:
		return try.up.Sep == goproxy.OnError
	}
	return false
}

// why begins to look into what keeps the go command from a host, while others are asked: it takes long, and is kept.
func (wk *walker) why(ctx context.Context, wg *sync.WaitGroup, try *walkTry) {
	n := len(try.Steps)
	if n == 0 || try.target.URL == nil || !try.Steps[n-1].answer.unreached() || len(try.Steps[n-1].answer.hops) > 0 {
		return
	}
	wg.Go(func() { wk.x.Reach(ctx, try.target) })
}

// walkPattern is the pattern of GONOPROXY, or GOPRIVATE, that matches.
func walkPattern(x *Exam, path string) string {
	patterns := x.GoEnv.Values["GONOPROXY"]
	if patterns == "" {
		patterns = x.GoEnv.Values["GOPRIVATE"]
	}
	for p := range strings.SplitSeq(patterns, ",") {
		if module.MatchPrefixPatterns(p, path) {
			return p
		}
	}
	return ""
}

// cached reports whether the module cache has the version: then no network is needed.
func (wk *walker) cached() bool {
	dir := wk.x.GoEnv.Values["GOMODCACHE"]
	req := goproxy.Request{Path: wk.w.Module, Version: wk.w.Query, Kind: goproxy.Zip}
	name, err := req.Name()
	if dir == "" || err != nil || semver.Canonical(wk.w.Query) != strings.TrimSuffix(wk.w.Query, "+incompatible") {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, "cache", "download", filepath.FromSlash(name)))
	return err == nil
}

// targetOf is the target of an entry, or one that is made of it.
func (wk *walker) targetOf(up goproxy.Upstream) (Target, bool) {
	for _, t := range wk.x.Targets {
		if t.Role == Upstream && httpIs(up, t) {
			return t, true
		}
	}
	u, err := url.Parse(up.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return Target{}, false
	}
	u.User = nil
	t := Target{Role: Upstream, URL: u, Sep: byte(up.Sep)}
	t.Proxy, _ = wk.line.proxy(u)
	return t, true
}

// upstream asks a module proxy, or a tree of files, for the version.
func (wk *walker) upstream(ctx context.Context, try *walkTry) {
	if t, ok := wk.targetOf(try.up); ok {
		try.target, try.base = t, wk.x.httpBase(t)
		if t.Proxy != nil {
			try.Via = proxyShown(t.Proxy)
		}
	} else if try.base, _ = url.Parse(try.up.URL); try.base == nil {
		try.State = WalkFailed
		return
	}
	for _, path := range walkPaths(wk.w.Module) {
		if try.version, try.State = wk.resolve(ctx, &try.WalkStop, try.base, path); try.State != WalkAbsent {
			try.module = path
			return
		}
	}
}

// fetch gets the files of the version that an upstream has.
func (wk *walker) fetch(ctx context.Context, try *walkTry) {
	if try.State != WalkServed || try.base == nil {
		return
	}
	for _, kind := range []goproxy.Kind{goproxy.Mod, goproxy.Zip} {
		var a httpAnswer
		a, try.State = wk.file(ctx, &try.WalkStop, try.base, goproxy.Request{Path: try.module, Version: try.version, Kind: kind})
		if try.State != WalkServed {
			return
		}
		if kind == goproxy.Zip {
			wk.zip = a
		}
	}
}

// file asks for one file.
func (wk *walker) file(ctx context.Context, stop *WalkStop, base *url.URL, req goproxy.Request) (httpAnswer, WalkState) {
	u, err := httpFile(base, req)
	if err != nil {
		return httpAnswer{}, WalkAbsent // no such name can exist
	}
	ask := httpAsk{url: u, limit: 1 << 20, keep: true}
	if req.Kind == goproxy.Zip {
		ask.limit, ask.span = walkZipSize, walkZipTime
	}
	a := wk.line.ask(ctx, ask)
	if (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusNotFound) && wk.x.Net.HTTP != nil && u.Scheme != "file" {
		// The go command has GOAUTH and netrc, and so has goferry's client.
		if b, err := wk.credentialed(ctx, ask); err == nil && b.status == http.StatusOK {
			b.took, b.addr, b.h2 = a.took, a.addr, a.h2
			a = b
		}
	}
	step := walkStepOf(req.Kind.String(), a)
	if step.URL = httpShown(u); u.Scheme == "file" {
		if step.Proto = ""; a.status == http.StatusForbidden {
			step.Error = "permission denied"
		}
	}
	stop.Steps = append(stop.Steps, step)
	return a, walkStateOf(a)
}

// credentialed asks with the credentials that the user has.
func (wk *walker) credentialed(ctx context.Context, ask httpAsk) (httpAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, wk.x.Net.answerWait())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask.url.String(), nil)
	if err != nil {
		return httpAnswer{}, err
	}
	resp, err := wk.x.Net.HTTP.Do(req)
	if err != nil {
		return httpAnswer{}, transport.Clean(err)
	}
	defer resp.Body.Close()
	a := httpAnswer{url: ask.url, status: resp.StatusCode, header: resp.Header, length: resp.ContentLength}
	return a, wk.line.read(ctx, ask, &a, resp.Body, func(error) { cancel() })
}

func walkStateOf(a httpAnswer) WalkState {
	switch {
	case a.failure == transport.Canceled:
		return WalkUnmeasured
	case a.op == transport.OpRead && (a.failure == transport.TimedOut || a.failure == transport.Stalled):
		return WalkSilent
	case a.err != nil:
		return WalkFailed
	case a.status == http.StatusOK:
		return WalkServed
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		return WalkAbsent
	}
	return WalkFailed
}

func walkStepOf(what string, a httpAnswer) WalkStep {
	s := WalkStep{What: what, Addr: a.addr, Status: a.status, Op: a.op, Failure: a.failure, Error: httpText(a), Bytes: a.read,
		Size: max(a.length, 0), Timing: a.took, answer: a}
	if a.status != 0 {
		s.Proto = httpProto(a)
	}
	return s
}
