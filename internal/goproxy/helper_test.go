package goproxy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// mustParse parses the name of a file.
func mustParse(t testing.TB, name string) goproxy.Request {
	t.Helper()
	req, err := goproxy.ParseRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// tree is a Source in memory that counts what it is asked for. An entry of errs is the answer for its name;
// what stands nowhere is ErrNotExist.
type tree struct {
	files map[string]string
	errs  map[string]error
	mod   time.Time
	meta  *goproxy.Meta

	mu    sync.Mutex
	asked []string
}

func (s *tree) Open(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
	name, err := req.Name()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.asked = append(s.asked, name)
	s.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := s.errs[name]; err != nil {
		return nil, &goproxy.Error{Source: "tree", Request: req, Err: err}
	}
	content, ok := s.files[name]
	if !ok {
		return nil, &goproxy.Error{Source: "tree", Request: req, Err: goproxy.ErrNotExist}
	}
	return goproxy.NewFile(req, []byte(content), s.mod, s.meta), nil
}

// took returns the names that were asked for since the last call.
func (s *tree) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// infos makes a tree of a module's versions: list and .info files.
func infos(path string, versions ...string) *tree {
	s := &tree{files: map[string]string{}, errs: map[string]error{}}
	list := ""
	for _, v := range versions {
		list += v + "\n"
		s.files[path+"/@v/"+v+".info"] = fmt.Sprintf(`{"Version":%q}`, v)
	}
	s.files[path+"/@v/list"] = list
	return s
}

// sentinels are all meanings of errors.
func sentinels() map[string]error {
	return map[string]error{
		"not-exist": goproxy.ErrNotExist, "gone": goproxy.ErrGone, "invalid": goproxy.ErrInvalid, "blocked": goproxy.ErrBlocked,
		"unavailable": goproxy.ErrUnavailable, "mismatch": goproxy.ErrMismatch,
		"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "other": errors.New("some fault of ours"),
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// loopback returns a client that reaches nothing but this machine.
func loopback(t testing.TB) *http.Client {
	t.Helper()
	dialer := net.Dialer{}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(addr); err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("a test wanted to reach %s", addr)
			return nil, fmt.Errorf("%s is not on this machine", addr)
		}
		return dialer.DialContext(ctx, network, addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// forever reads the same text again and again.
type forever string

func (s forever) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], s)
	}
	return n, nil
}
