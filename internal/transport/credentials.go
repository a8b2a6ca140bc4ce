package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Credentials say where the headers come from that authenticate requests.
//
// User and password in a request's URL come first. They are sent over https,
// and over http where Config.Insecure allows it; elsewhere the request is
// refused. For https requests without them GOAUTH decides, as in cmd/go: the
// longest URL prefix wins, and the method named first among equal ones. On a 4xx
// answer its methods are asked about that URL, and if they have something
// new the request is repeated once. What they found is kept and sent at once
// from then on. Nothing is ever sent to the target of a redirect to another host.
type Credentials struct {
	// GOAUTH is the list that `go help goauth` describes. Default "netrc".
	GOAUTH string
	// NetrcFiles are read for the netrc method; those that do not exist are
	// skipped. The first entry for a machine counts; the default entry is not
	// used, as in cmd/go. They are read again when they have changed and an answer is 4xx.
	NetrcFiles []string
	// Run runs a command in dir (empty for any) with stdin, and returns what
	// it printed. Needed only for the methods of GOAUTH that are commands.
	Run func(ctx context.Context, dir string, argv []string, stdin []byte) ([]byte, error)
}

// askAgain is how long an answer "nothing new" of the methods holds for a folder of
// URLs. Without it each "not found" of a proxy would start a process.
const (
	askAgain = time.Minute
	askedMax = 10000
)

// methodTimeout bounds one command: the others wait for their turn. It leaves
// a person time to answer a dialog.
const methodTimeout = time.Minute

// An authenticator knows the headers for URLs.
type authenticator struct {
	Credentials
	methods []method
	log     *slog.Logger
	turn    chan struct{} // held while methods are asked; a lock that can be given up

	mu     sync.Mutex
	primed bool
	table  map[string]http.Header // by prefixOf
	asked  map[string]time.Time   // by folder: when the methods had nothing new
	stamps map[string]stamp       // of the netrc files
}

type stamp struct {
	size int64
	time time.Time
}

func newAuthenticator(c Credentials, log *slog.Logger) (*authenticator, error) {
	methods, err := parseGOAUTH(c.GOAUTH)
	if err != nil {
		return nil, err
	}
	for _, m := range methods {
		if m.kind != "netrc" && c.Run == nil {
			return nil, fmt.Errorf("GOAUTH: no commands can be run here, such as %s", m)
		}
	}
	return &authenticator{
		Credentials: c, methods: methods, log: log,
		turn:  make(chan struct{}, 1),
		table: map[string]http.Header{}, asked: map[string]time.Time{}, stamps: map[string]stamp{},
	}, nil
}

// String names the method without its arguments, which may be secrets.
func (m method) String() string {
	if m.kind == "command" {
		return path.Base(m.argv[0])
	}
	return m.kind
}

// covers reports whether GOAUTH decides about req.
func (a *authenticator) covers(req *http.Request) bool {
	if len(a.methods) == 0 || req.URL.Scheme != "https" || req.URL.User != nil || req.Header.Get("Authorization") != "" {
		return false
	}
	first := req
	for first.Response != nil && first.Response.Request != nil { // net/http leaves this trail of redirects
		first = first.Response.Request
	}
	return sameHost(first.URL, req.URL)
}

// header returns what is known for u; nil for nothing. It asks all methods
// before the first request of all.
func (a *authenticator) header(ctx context.Context, u *url.URL) http.Header {
	a.mu.Lock()
	primed := a.primed
	a.mu.Unlock()
	if !primed && a.take(ctx) {
		defer a.release()
		a.prime(ctx)
	}
	return a.find(u)
}

func (a *authenticator) take(ctx context.Context) bool {
	select {
	case a.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *authenticator) release() { <-a.turn }

func (a *authenticator) prime(ctx context.Context) {
	a.mu.Lock()
	primed := a.primed
	a.mu.Unlock()
	if primed {
		return
	}
	a.ask(ctx, nil, nil)
	if ctx.Err() == nil { // else the methods were interrupted
		a.mu.Lock()
		a.primed = true
		a.mu.Unlock()
	}
}

// find returns the header of the longest prefix of u.
func (a *authenticator) find(u *url.URL) http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := prefixOf(u); ; {
		if h, ok := a.table[key]; ok {
			return h
		}
		slash := strings.LastIndexByte(key, '/')
		if slash < 0 {
			break
		}
		key = key[:slash]
	}
	// A machine of a .netrc file is a host; its entry serves each port of it.
	return a.table[strings.ToLower(u.Hostname())]
}

// A grant is a header that was found for a URL after a request was denied.
type grant struct {
	header http.Header
	fills  []fill
}

// A fill is an answer of `git credential fill`, about which git wants to hear
// whether it was good.
type fill struct {
	dir    string
	out    []byte
	prefix string
	header http.Header
}

// renew returns another header for u than sent, or nil if there is none. resp is the
// answer that the request got.
func (a *authenticator) renew(ctx context.Context, u *url.URL, sent http.Header, resp *http.Response) *grant {
	if !a.take(ctx) {
		return nil
	}
	defer a.release()
	// Another request may have found something since this one was sent.
	if h := a.find(u); h != nil && !reflect.DeepEqual(h, sent) {
		return &grant{header: h}
	}
	folder := path.Dir(prefixOf(u))
	if a.askedLately(folder) && !a.netrcChanged() {
		return nil
	}
	fills := a.ask(ctx, u, resp)
	if h := a.find(u); h != nil && !reflect.DeepEqual(h, sent) {
		return &grant{header: h, fills: fills}
	}
	if ctx.Err() == nil {
		a.noteAsked(folder)
	}
	return nil
}

func (a *authenticator) askedLately(folder string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.asked[folder]
	return ok && time.Since(at) < askAgain
}

func (a *authenticator) noteAsked(folder string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.asked) >= askedMax {
		clear(a.asked)
	}
	a.asked[folder] = time.Now()
}

// ask runs the methods, about u unless it is nil, and keeps what they say. They
// run from the last to the first, so that the first has the last word.
func (a *authenticator) ask(ctx context.Context, u *url.URL, resp *http.Response) (fills []fill) {
	for _, m := range slices.Backward(a.methods) {
		var err error
		switch m.kind {
		case "netrc":
			err = a.askNetrc()
		case "git":
			if u == nil {
				continue // git cannot list what it knows
			}
			var f fill
			if f, err = a.askGit(ctx, m, u); err == nil {
				fills = append(fills, f)
			}
		default:
			err = a.askCommand(ctx, m, u, resp)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "no credentials", "goauth", m.String(), "err", err)
		}
	}
	return fills
}

func (a *authenticator) keep(found map[string]http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for prefix, h := range found {
		if len(h) == 0 {
			delete(a.table, prefix)
		} else {
			a.table[prefix] = h
		}
	}
}

func (a *authenticator) askCommand(ctx context.Context, m method, u *url.URL, resp *http.Response) error {
	argv, stdin := m.argv, []byte(nil)
	if u != nil {
		argv, stdin = append(slices.Clone(argv), u.String()), describe(resp)
	}
	ctx, cancel := context.WithTimeout(ctx, methodTimeout)
	defer cancel()
	out, err := a.Run(ctx, "", argv, stdin)
	if err != nil {
		return err
	}
	found, err := parseGOAUTHOutput(string(out))
	if err != nil {
		return err
	}
	a.keep(found)
	return nil
}

// describe writes the header of resp as a GOAUTH command reads it.
func describe(resp *http.Response) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", resp.Proto, resp.Status)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(resp.Header[name], ", "))
	}
	b.WriteString("\n")
	return []byte(b.String())
}

func (a *authenticator) askGit(ctx context.Context, m method, u *url.URL) (fill, error) {
	ctx, cancel := context.WithTimeout(ctx, methodTimeout)
	defer cancel()
	out, err := a.Run(ctx, m.dir, []string{"git", "credential", "fill"}, []byte("url="+u.String()+"\n"))
	if err != nil {
		return fill{}, err
	}
	prefix, h, err := parseGitCredential(string(out), u)
	if err != nil {
		return fill{}, err
	}
	a.keep(map[string]http.Header{prefix: h})
	return fill{dir: m.dir, out: out, prefix: prefix, header: h}, nil
}

// judge tells git whether the credentials of g were good, so that its helper
// keeps or forgets them. It must not fail the request.
func (a *authenticator) judge(ctx context.Context, g *grant, status int) {
	verdict := ""
	switch status {
	case http.StatusOK, http.StatusPartialContent:
		verdict = "approve"
	case http.StatusUnauthorized:
		verdict = "reject"
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, methodTimeout)
	defer cancel()
	for _, f := range g.fills {
		if !reflect.DeepEqual(f.header, g.header) {
			continue // another method had the last word
		}
		if verdict == "reject" {
			a.keep(map[string]http.Header{f.prefix: nil})
		}
		if _, err := a.Run(ctx, f.dir, []string{"git", "credential", verdict}, f.out); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "git credential "+verdict, "err", err)
		}
	}
}

// askNetrc reads the .netrc files.
func (a *authenticator) askNetrc() error {
	found := map[string]http.Header{}
	var bad []error
	for _, name := range a.NetrcFiles {
		s, _ := stampOf(name)
		a.mu.Lock()
		a.stamps[name] = s
		a.mu.Unlock()
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		for _, e := range parseNetrc(string(data)) {
			key := strings.ToLower(e.Machine)
			if _, dup := found[key]; !dup && key != "" {
				found[key] = http.Header{"Authorization": {basic(url.UserPassword(e.Login, string(e.Password)))}}
			}
		}
	}
	a.keep(found)
	return errors.Join(bad...)
}

func stampOf(name string) (stamp, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, false
	}
	return stamp{info.Size(), info.ModTime()}, true
}

// netrcChanged reports whether a .netrc file is not the one that was read.
func (a *authenticator) netrcChanged() bool {
	if !slices.ContainsFunc(a.methods, func(m method) bool { return m.kind == "netrc" }) {
		return false
	}
	for _, name := range a.NetrcFiles {
		s, ok := stampOf(name)
		a.mu.Lock()
		old := a.stamps[name]
		a.mu.Unlock()
		if ok && s != old {
			return true
		}
	}
	return false
}
