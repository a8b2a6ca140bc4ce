package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/transport"
)

func TestParseGoCommand(t *testing.T) {
	for _, tt := range []struct {
		line      string
		dir, verb string
		is        string // what is true of it
	}{
		{"go", ".", "", ""},
		{"go version", ".", "version", ""},
		{"go build ./...", ".", "build", ""},
		{"go -C sub build ./...", "sub", "build", ""},
		{"go build -C sub ./...", "sub", "build", ""},
		{"go build -C=sub ./...", "sub", "build", ""},
		{"go build --C=sub", "sub", "build", ""},
		{"go build -x -C sub", ".", "build", ""}, // which the go command refuses
		{"go -C", ".", "", ""},
		{"/usr/local/go/bin/go mod download -x", ".", "mod download", "downloads all"},
		{"GO.EXE mod download -json", ".", "mod download", "downloads all"},
		{"go1.26.0 mod download", ".", "mod download", "downloads all"},
		{"go mod download -C sub all", "sub", "mod download", "downloads all"},
		{"go -C sub mod download", "sub", "mod download", "downloads all"},
		{"go mod download example.com/a", ".", "mod download", ""},
		{"go mod download example.com/a@v1.0.0", ".", "mod download", "names"},
		{"go mod vendor -o x", ".", "mod vendor", "all"},
		{"go work vendor", ".", "work vendor", "all"},
		{"go mod", ".", "mod", ""},
		{"go get example.com/a@latest", ".", "get", "names"},
		{"go get ./...", ".", "get", ""},
		{"go install example.com/a/cmd/b@v1.0.0", ".", "install", "names"},
		{"go run example.com/a@v1.0.0 -x", ".", "run", "names"},
		{"go run . user@host", ".", "run", ""},
		{"go test -run a@b ./...", ".", "test", ""},
		{"go build -modfile=other.mod", ".", "build", "modfile"},
		{"go build --modfile other.mod", ".", "build", "modfile"},
		{"make -C sub mod download", ".", "", ""},
		{"gofmt -l .", ".", "", ""},
	} {
		c := parseGoCommand(strings.Fields(tt.line))
		var is []string
		for word, yes := range map[string]bool{"names": c.namesModules(), "downloads": c.downloads(), "all": c.takesAll(), "modfile": c.otherModFile("")} {
			if yes {
				is = append(is, word)
			}
		}
		want := strings.Fields(tt.is)
		slices.Sort(is)
		slices.Sort(want)
		if c.dir != tt.dir || c.verb != tt.verb || !slices.Equal(is, want) {
			t.Errorf("%s: folder %q, verb %q, %v", tt.line, c.dir, c.verb, is)
		}
	}
	if !parseGoCommand([]string{"go", "build"}).otherModFile("-mod=mod -modfile=x.mod") {
		t.Error("GOFLAGS is passed over")
	}
}

// A server that is killed has left what it learned until shortly before.
func TestKeepRemembering(t *testing.T) {
	f := &ferry{cfg: &config.Config{}, log: slog.New(slog.DiscardHandler), hosts: transport.NewMemory()}
	f.cfg.CacheDir = t.TempDir()
	if err := os.MkdirAll(f.stateFile(""), 0o777); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- f.keepRemembering(ctx) }()
		time.Sleep(rememberEvery - time.Second)
		if _, err := os.Stat(f.stateFile("hosts.json")); !os.IsNotExist(err) {
			t.Errorf("too soon: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := os.Stat(f.stateFile("hosts.json")); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}
