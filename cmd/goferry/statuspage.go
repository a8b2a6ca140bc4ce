package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// statusParts are the parts of /-/status: one object, a part under each name. A part is made
// for each answer, from memory alone, and holds no secrets.
type statusParts map[string]func() any

// statusParts lists what a running server tells `goferry status`, which knows how to print
// it (statusSections). A part that is not of interest to that server is left out.
func (a *app) statusParts(f *ferry, url string) statusParts {
	parts := statusParts{
		// The process: what it is, since when, where it asks.
		"server": func() any {
			return serverPart{URL: url, Version: build().Version, Started: f.started.UTC(), Uptime: int64(time.Since(f.started) / time.Second),
				Upstream: goproxy.FormatUpstreams(redacted(f.upstreams)), Offline: f.offline()}
		},
		// The store, as far as it has been counted.
		"cache": func() any {
			u := f.store.Usage()
			return cachePart{Dir: f.cfg.CacheDir, Files: u.Files, Bytes: u.Bytes, Limit: int64(f.cfg.CacheMaxSize), Exact: u.Exact}
		},
		// The last answers of the module proxy that were errors.
		"failures": func() any { return f.failures.list() },
		// Hosts that needed a way around something, and hosts that do not answer.
		"hosts": func() any { return hostParts(f.hosts.Hosts()) },
	}
	if len(f.sets) > 0 {
		parts["mirrors"] = func() any { return mirrorParts(f.mirrorStates()) }
	}
	if f.ahead != nil {
		parts["prefetch"] = func() any { return prefetchPartOf(f.ahead.Stats()) }
	}
	if f.watch != nil {
		parts["watch"] = func() any { return watchPartOf(f.watch.Progress()) }
	}
	return parts
}

type serverPart struct {
	URL      string    `json:"url"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Uptime   int64     `json:"uptime_s"`
	Upstream string    `json:"upstream"` // list, without credentials
	Offline  bool      `json:"offline"`
}

type cachePart struct {
	Dir   string `json:"dir"`
	Files int64  `json:"files"`
	Bytes int64  `json:"bytes"`
	Limit int64  `json:"limit_bytes"` // 0: none
	Exact bool   `json:"exact"`       // false: the store has not been counted yet
}

// ServeHTTP answers askers on this machine: the parts name modules, of which some are private.
func (p statusParts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed: only GET and HEAD", http.StatusMethodNotAllowed)
		return
	case !fromHere(r):
		http.Error(w, "forbidden: the status is for this machine alone\nhint: run goferry status where goferry serves", http.StatusForbidden)
		return
	}
	all := make(map[string]any, len(p))
	for name, part := range p {
		all[name] = part()
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(all) // an asker who has left needs no answer
}

// fromHere reports whether a program of this machine asks for itself: not a reverse proxy for
// somebody else, nor a browser that a web page has sent under a name of its own.
func fromHere(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
		return false
	}
	addr, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(addr)
	return err == nil && ip != nil && ip.IsLoopback()
}

// keptFailures is how many failures are remembered, each kind of each file once.
const keptFailures = 20

// failures remembers the last answers that were errors. Nil remembers nothing.
type failures struct {
	mu   sync.Mutex
	last []failure // oldest first
}

// A failure is an answer that was an error, other than "not found".
type failure struct {
	Time     time.Time `json:"time"` // of the last one
	Count    int       `json:"count"`
	Module   string    `json:"module"`
	Version  string    `json:"version,omitempty"`
	File     string    `json:"file"`               // list, latest, info, mod, zip
	Kind     string    `json:"kind"`               // unavailable, mismatch, blocked, fault
	Failure  string    `json:"failure,omitempty"`  // what transport calls it, such as stalled
	Upstream string    `json:"upstream,omitempty"` // without credentials
	Error    string    `json:"error"`              // one line, as the client got it
}

func (f *failures) add(now time.Time, ans goproxy.Answer) {
	if f == nil || ans.Result != "error" || ans.Err == nil || ans.Request.Path == "" {
		return
	}
	e := failure{
		Time: now.UTC(), Count: 1, Module: ans.Request.Path, Version: ans.Request.Version, File: ans.Request.Kind.String(),
		Kind: strings.TrimPrefix(reasonCode(ans.Err), "reason."), Upstream: sourceOf(ans.Err), Error: oneLine(ans.Err.Error(), 300),
	}
	if te, ok := transport.Explain(ans.Err); ok {
		e.Failure = string(te.Failure)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	same := func(o failure) bool {
		return o.Module == e.Module && o.Version == e.Version && o.File == e.File && o.Kind == e.Kind && o.Failure == e.Failure && o.Upstream == e.Upstream
	}
	if i := slices.IndexFunc(f.last, same); i >= 0 {
		e.Count += f.last[i].Count
		f.last = slices.Delete(f.last, i, i+1)
	}
	f.last = append(f.last, e)
	if len(f.last) > keptFailures {
		f.last = slices.Delete(f.last, 0, len(f.last)-keptFailures)
	}
}

// list returns the failures, the newest first.
func (f *failures) list() []failure {
	list := []failure{}
	if f == nil {
		return list
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list = append(list, f.last...)
	slices.Reverse(list)
	return list
}

// sourceOf is the first source that err names.
func sourceOf(err error) string {
	var e *goproxy.Error
	for errors.As(err, &e) {
		if e.Source != "" {
			return e.Source
		}
		err = e.Err
	}
	return ""
}

// oneLine makes one line of s, of at most n characters.
func oneLine(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		s = string(r[:n-1]) + "…"
	}
	return s
}
