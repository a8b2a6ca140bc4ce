package doctor

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
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

// entries walks the list.
func (wk *walker) entries(ctx context.Context) {
	x, w := wk.x, wk.w
	if w.Pattern = walkPattern(x, w.Module); w.Pattern != "" {
		stop := WalkStop{Name: "direct", Asked: true}
		wk.direct(ctx, &stop)
		w.Stops = append(w.Stops, stop)
		if w.State = stop.State; stop.State == WalkServed {
			w.By = "direct"
		}
		return
	}
	asked := true
	for _, up := range httpUpstreams(x) {
		stop := WalkStop{Name: goproxy.RedactURL(up.URL), Asked: asked}
		if up.Sep != 0 {
			stop.Sep = string(rune(up.Sep))
		}
		switch {
		case up.URL == "off":
			stop.State = WalkOff
		case up.URL == "direct":
			wk.direct(ctx, &stop)
		default:
			wk.upstream(ctx, &stop, up)
		}
		w.Stops = append(w.Stops, stop)
		if !asked {
			continue
		}
		w.State = stop.State
		switch {
		case stop.State == WalkServed:
			w.By = stop.Name
			asked = false
		case stop.State == WalkAbsent:
		case stop.State == WalkFailed && up.Sep == goproxy.OnError:
		default:
			asked = false
		}
		if w.State == WalkServed {
			return // who stands behind that need not be bothered
		}
	}
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

// upstream asks a module proxy. A file:// tree is looked into.
func (wk *walker) upstream(ctx context.Context, stop *WalkStop, up goproxy.Upstream) {
	t, ok := wk.targetOf(up)
	if !ok {
		wk.tree(stop, up)
		return
	}
	stop.target = t
	if t.Proxy != nil {
		stop.Via = proxyShown(t.Proxy)
	}
	base := wk.x.httpBase(t)
	for _, path := range walkPaths(wk.w.Module) {
		stop.State = wk.module(ctx, stop, base, path)
		if stop.State != WalkAbsent {
			if stop.State == WalkServed && stop.Asked {
				wk.w.Module = path
			}
			return
		}
	}
}

// tree looks into a proxy of files.
func (wk *walker) tree(stop *WalkStop, up goproxy.Upstream) {
	stop.State = WalkFailed
	u, err := url.Parse(up.URL)
	if err != nil || u.Scheme != "file" {
		return
	}
	dir := filepath.FromSlash(u.Path)
	if wk.x.OS == "windows" {
		dir = strings.TrimPrefix(dir, `\`)
	}
	req := goproxy.Request{Path: wk.w.Module, Version: wk.w.Query, Kind: goproxy.Zip}
	name, err := req.Name()
	if err != nil {
		req = goproxy.Request{Path: wk.w.Module, Kind: goproxy.List}
		name, _ = req.Name()
	}
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
	step := WalkStep{What: req.Kind.String(), URL: goproxy.RedactURL(up.URL) + "/" + name}
	switch {
	case err == nil:
		stop.State, step.Bytes, wk.w.Version = WalkServed, info.Size(), wk.w.Query
	case os.IsNotExist(err):
		stop.State = WalkAbsent
	default:
		step.Error = err.Error()
	}
	stop.Steps = append(stop.Steps, step)
}

// walkPaths are the module paths that a package may be in, the longest first, as the go command tries them.
func walkPaths(p string) []string {
	var list []string
	for ; p != "." && p != "/" && strings.Contains(p, "."); p = path.Dir(p) {
		if module.CheckPath(p) == nil {
			list = append(list, p)
		}
	}
	most := 4
	for host, n := range map[string]int{"github.com/": 3, "bitbucket.org/": 3} { // no repository has fewer parts
		if len(list) > 0 && strings.HasPrefix(list[0], host) {
			most = max(1, strings.Count(list[0], "/")+2-n)
		}
	}
	return list[:min(len(list), most)]
}

// module asks for the files of one module.
func (wk *walker) module(ctx context.Context, stop *WalkStop, base *url.URL, path string) WalkState {
	version, state := wk.resolve(ctx, stop, base, path)
	if version == "" {
		return state
	}
	if !stop.Asked { // it has it; that is all that is to be known
		return WalkServed
	}
	for _, kind := range []goproxy.Kind{goproxy.Mod, goproxy.Zip} {
		a, state := wk.file(ctx, stop, base, goproxy.Request{Path: path, Version: version, Kind: kind})
		if state != WalkServed {
			return state
		}
		if kind == goproxy.Zip {
			wk.zip = a
		}
	}
	wk.w.Version = version
	return WalkServed
}

// resolve finds out the version that the query comes to at an upstream, empty if none.
func (wk *walker) resolve(ctx context.Context, stop *WalkStop, base *url.URL, path string) (string, WalkState) {
	req := goproxy.Request{Path: path, Version: wk.w.Query, Kind: goproxy.Info}
	if wk.w.Query == "latest" || wk.w.Query == "upgrade" {
		a, state := wk.file(ctx, stop, base, goproxy.Request{Path: path, Kind: goproxy.List})
		if state != WalkServed && state != WalkAbsent {
			return "", state
		}
		if v := walkHighest(path, a.body); v != "" && state == WalkServed {
			req.Version = v
		} else {
			req = goproxy.Request{Path: path, Kind: goproxy.Latest}
		}
	}
	a, state := wk.file(ctx, stop, base, req)
	if state != WalkServed {
		return "", state
	}
	rev, err := goproxy.ParseInfo(req, a.body)
	if err != nil {
		last := &stop.Steps[len(stop.Steps)-1]
		last.Error = "not the answer of a Go module proxy"
		return "", WalkFailed
	}
	return rev.Version, WalkServed
}

// walkHighest is the version that "latest" means in a list: releases before others.
func walkHighest(path string, list []byte) string {
	versions, _ := goproxy.ParseList(path, list)
	best := ""
	for _, v := range versions {
		release, has := semver.Prerelease(v) == "", best != "" && semver.Prerelease(best) == ""
		if best == "" || release && !has || release == has && semver.Compare(v, best) > 0 {
			best = v
		}
	}
	return best
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
	if (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusNotFound) && wk.x.Net.HTTP != nil {
		// The go command has GOAUTH and netrc, and so has goferry's client.
		if b, err := wk.credentialed(ctx, ask); err == nil && b.status == http.StatusOK {
			b.took, b.addr, b.h2 = a.took, a.addr, a.h2
			a = b
		}
	}
	step := walkStepOf(req.Kind.String(), a)
	step.URL = httpShown(u)
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
