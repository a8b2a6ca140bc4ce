package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/transport"
)

func (a *app) httpClient(cfg *config.Config, f *ferry) (*http.Client, error) {
	retries := cfg.LinkRetries
	if retries == 0 {
		retries = -1 // transport's word for none
	}
	insecure := strings.Join(cfg.Insecure, ",")
	split := int64(cfg.LinkSplit)
	if split == 0 {
		split = -1 // transport's word for never
	}
	client, err := transport.New(transport.Config{
		ConnectTimeout: cfg.LinkConnectTimeout, TLSTimeout: cfg.LinkTLSTimeout,
		FirstByteTimeout: cfg.LinkFirstByteTimeout, StallTimeout: cfg.LinkStallTimeout,
		Retries: retries, RootFiles: cfg.TLSRoots,
		SplitSize: split, SplitParts: cfg.LinkConnections,
		Hosts: hostAddrs(cfg.LinkHosts), DoH: cfg.LinkDoH,
		Memory:   f.hosts, // nil for what measures: it must not be told that a host is resting
		Insecure: func(host, path string) bool { return module.MatchPrefixPatterns(insecure, host+path) },
		Credentials: transport.Credentials{
			GOAUTH: string(cfg.GoAuth), NetrcFiles: a.netrcFiles(), Run: a.runAuth,
		},
		UserAgent: "goferry/" + build().Version,
		Logger:    f.log,
		Observe: func(at transport.Attempt) {
			f.metrics.Upstream(server.UpstreamRequest{
				Host: at.Host, Status: at.Status, Failure: string(at.Failure), Retry: at.Retry(), Resumed: at.Resumed, Part: at.Part,
				Bytes: at.Bytes, Wasted: at.Wasted, Duration: at.Duration,
			})
			f.tally.attempt(at)
		},
	})
	var re *transport.RootsError
	var de *transport.ResolverError
	switch {
	case errors.As(err, &re):
		return nil, badSetting(cfg, "tls.roots", err, "hint.tls-files")
	case errors.As(err, &de):
		return nil, badSetting(cfg, "link.doh", err, "hint.bad-doh")
	case err != nil:
		return nil, badSetting(cfg, "goauth", err, "hint.bad-goauth")
	}
	return client, nil
}

// netrcFiles are where cmd/go looks: NETRC, else .netrc in the home folder, _netrc on Windows.
func (a *app) netrcFiles() []string {
	if file := a.env("NETRC"); file != "" {
		return []string{file}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	if runtime.GOOS == "windows" {
		return []string{filepath.Join(home, "_netrc"), filepath.Join(home, ".netrc")}
	}
	return []string{filepath.Join(home, ".netrc")}
}

// hostAddrs makes NAME=ADDRESS items, which config has checked, what transport wants.
func hostAddrs(items []string) map[string][]netip.Addr {
	hosts := map[string][]netip.Addr{}
	for _, item := range items {
		name, text, _ := strings.Cut(item, "=")
		if addr, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil {
			name = strings.ToLower(strings.TrimSpace(name))
			hosts[name] = append(hosts[name], addr)
		}
	}
	return hosts
}

// stateFile is a file in which one run leaves what the next may want to know. Nothing depends on it.
func (f *ferry) stateFile(name string) string { return filepath.Join(f.cfg.CacheDir, ".goferry", name) }

// recall reads what an earlier run knew; what cannot be read was not known.
func (f *ferry) recall(name string, read func(*os.File) error) {
	file, err := os.Open(f.stateFile(name))
	if err != nil {
		return
	}
	defer file.Close()
	if err := read(file); err != nil {
		f.log.Debug("what an earlier run knew cannot be read", "file", file.Name(), "err", err)
	}
}

// rememberEvery is how often a server leaves what it learned: it may run for months, and end by a power cut.
const rememberEvery = 5 * time.Minute

// keepRemembering remembers now and then until ctx ends.
func (f *ferry) keepRemembering(ctx context.Context) error {
	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.remember()
		case <-ctx.Done():
			return nil
		}
	}
}

// remember leaves what was learned for the next run. Two runs at once may overwrite each other:
// it is a hint and no more.
func (f *ferry) remember() {
	f.rememberOrigins()
	f.leave("hosts.json", func(file *os.File) error { return f.hosts.Save(file) })
	if states := f.mirrorStates(); len(states) > 0 {
		f.leave("mirrors.json", func(file *os.File) error { return json.NewEncoder(file).Encode(states) })
	}
}

func (f *ferry) leave(name string, write func(*os.File) error) {
	if err := replaceFile(f.stateFile(name), write); err != nil {
		f.log.Debug("what this run learned cannot be kept", "file", name, "err", err)
	}
}

// savedMirrors is what an earlier run knew of mirrors.
func (f *ferry) savedMirrors() (states []goproxy.MirrorState) {
	f.recall("mirrors.json", func(file *os.File) error { return json.NewDecoder(io.LimitReader(file, 1<<20)).Decode(&states) })
	return states
}

func (f *ferry) mirrorStates() (states []goproxy.MirrorState) {
	for _, set := range f.sets {
		states = append(states, set.State()...)
	}
	return states
}
