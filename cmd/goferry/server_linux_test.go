package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goferry/goferry/internal/server"
)

// limitFiles lets the server write no file beyond so many bytes, which is how a full disk looks to it.
func limitFiles(t *testing.T, s *served, n uint64) {
	t.Helper()
	var old unix.Rlimit
	pid := s.cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: min(n, old.Max), Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk fills the disk under a running server: files are answered whole and not kept, log,
// answer and readiness say so, what is in the cache is served as ever; and when there is room
// again, all is well.
func TestFullDisk(t *testing.T) {
	r := newRig(t)
	r.up.AddRandom("example.com/kept", "v1.0.0", 30000)
	r.up.AddRandom("example.com/m", "v1.0.0", 3<<20)
	const path = "/example.com/m/@v/v1.0.0.zip"
	_, want, err := fetchAll(t, client(t), r.up.URL+path)
	if err != nil {
		t.Fatal(err)
	}
	s := r.serve(t)
	hc := client(t)
	if resp, _, err := fetchAll(t, hc, s.url+"/example.com/kept/@v/v1.0.0.zip"); err != nil || resp.StatusCode != 200 || resp.Header.Get("Warning") != "" {
		t.Fatalf("before: %v %v", resp, err)
	}
	limitFiles(t, s, 100)
	for range 2 { // it is not kept, so it is fetched again
		resp, got, err := fetchAll(t, hc, s.url+path)
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
			t.Fatalf("full disk: %s, %d of %d bytes, %v", resp.Status, len(got), len(want), err)
		}
		if w := resp.Header.Get("Warning"); w != `199 goferry "answered, but not kept: the disk of the cache takes no more"` {
			t.Errorf("Warning: %q", w)
		}
	}
	if n := r.up.Count(path); n != 3 {
		t.Errorf("%d requests reached the upstream, want the test's and two", n)
	}
	s.says(t, `level=WARN msg="answered, but not kept in the cache" module=example.com/m version=v1.0.0 file=zip err=".*disk is full`)
	resp, body, err := fetchAll(t, hc, s.url+"/-/readyz")
	var ready server.Readiness
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || json.Unmarshal(body, &ready) != nil || ready.OK {
		t.Errorf("readyz: %s %s %v", resp.Status, body, err)
	}
	if c := ready.Checks[0]; c.Name != "store" || c.OK == nil || *c.OK || !strings.Contains(c.Detail, "disk is full") {
		t.Errorf("readyz says of the store: %+v", c)
	}
	if resp, _, err := fetchAll(t, hc, s.url+"/example.com/kept/@v/v1.0.0.zip"); err != nil || resp.StatusCode != 200 {
		t.Errorf("a hit while the disk is full: %v %v", resp, err)
	}
	limitFiles(t, s, unix.RLIM_INFINITY)
	resp, got, err := fetchAll(t, hc, s.url+path)
	if err != nil || resp.Header.Get("Warning") != "" || !bytes.Equal(got, want) {
		t.Errorf("with room again: %v, %d bytes, %v", resp.Header, len(got), err)
	}
	fetchAll(t, hc, s.url+path)
	if n := r.up.Count(path); n != 4 {
		t.Errorf("%d requests reached the upstream, want one more and then a hit", n)
	}
	s.quit(t)
	if left := spoolFiles(t, filepath.Join(r.cache(), ".goferry", "spool")); len(left) != 0 {
		t.Errorf("left in the spool: %v", left)
	}
	if out, _ := r.must(t, "goferry", "cache", "verify"); !strings.Contains(out, " 2 good, 0 bad") {
		t.Errorf("verify says %s", out)
	}
}

// TestDiskFillsMidway fills the disk while a zip is half on its way: its reader gets the rest.
func TestDiskFillsMidway(t *testing.T) {
	up, want, release := bigUpstream(t)
	r := rigFor(t, up)
	s := r.serve(t)
	body, first, err := open(t.Context(), client(t), s.url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	limitFiles(t, s, 3<<19)
	release()
	rest, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(append(first, rest...), want) {
		t.Errorf("got %d of %d bytes, %v\n%s", 1+len(rest), len(want), err, s.log.all())
	}
	s.says(t, `answered, but not kept in the cache`)
	s.quit(t)
	if out, _ := r.must(t, "goferry", "cache", "ls"); out != "" {
		t.Errorf("the cache has %s", out)
	}
}
