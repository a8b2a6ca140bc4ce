package main

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
)

// TestRememberOrigins: what is left in the file is known to this run and the next, and not kept in memory.
func TestRememberOrigins(t *testing.T) {
	dir := t.TempDir()
	newFerry := func() *ferry {
		f := &ferry{cfg: &config.Config{}, log: slog.New(slog.DiscardHandler)}
		f.cfg.CacheDir = dir
		return f
	}
	f := newFerry()
	if err := os.MkdirAll(f.stateFile(""), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		f.origins.kept(goproxy.Request{Path: "example.com/m", Version: version, Kind: goproxy.Zip}, "a")
		f.rememberOrigins()
		if len(f.origins.fresh) != 0 {
			t.Errorf("%d notes stay in memory", len(f.origins.fresh))
		}
	}
	f.origins.kept(goproxy.Request{Path: "example.com/m", Version: "v1.2.0", Kind: goproxy.Zip}, "b")
	if ours, next := f.allOrigins(), newFerry().allOrigins(); len(ours) != 3 || len(next) != 2 || next["example.com/m@v1.0.0"].From != "a" {
		t.Errorf("this run knows %v, the next one %v", ours, next)
	}
}

// TestOrigins: who served the zip stands, lists and queries are of nobody, and the oldest notes make room.
func TestOrigins(t *testing.T) {
	var o origins
	file := func(version string, kind goproxy.Kind) goproxy.Request {
		return goproxy.Request{Path: "example.com/m", Version: version, Kind: kind}
	}
	for _, n := range []struct {
		req  goproxy.Request
		from string
	}{
		{file("", goproxy.List), "a"}, {file("", goproxy.Latest), "a"}, {file("main", goproxy.Info), "a"},
		{file("v1.0.0", goproxy.Mod), "a"}, {file("v1.0.0", goproxy.Zip), "b"}, {file("v1.0.0", goproxy.Info), "c"},
		{file("v1.1.0", goproxy.Info), "a"}, {file("v1.1.0", goproxy.Mod), "b"}, {file("v1.2.0", goproxy.Zip), ""},
	} {
		o.kept(n.req, n.from)
	}
	from := func(all map[string]origin) map[string]string {
		m := map[string]string{}
		for name, n := range all {
			m[name] = n.From
		}
		return m
	}
	want := map[string]string{"example.com/m@v1.0.0": "b", "example.com/m@v1.1.0": "b", "example.com/m@v1.2.0": "direct"}
	if diff := cmp.Diff(want, from(o.merged(nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	before := map[string]origin{"example.com/m@v1.1.0": {From: "z", Zip: true}, "example.com/n@v1.0.0": {From: "z"}}
	want["example.com/m@v1.1.0"], want["example.com/n@v1.0.0"] = "z", "z"
	if diff := cmp.Diff(want, from(o.merged(before))); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	for i := range maxOrigins {
		before[fmt.Sprint("old@", i)] = origin{From: "z", At: time.Unix(int64(i+1), 0)}
	}
	all := o.merged(before)
	_, oldest := all["old@0"]
	_, newest := all[fmt.Sprint("old@", maxOrigins-1)]
	if _, ours := all["example.com/m@v1.2.0"]; len(all) != maxOrigins || oldest || !newest || !ours {
		t.Errorf("%d notes; oldest %v, newest %v, ours %v", len(all), oldest, newest, ours)
	}
}
