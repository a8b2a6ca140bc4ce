package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/service"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
	"github.com/goferry/goferry/internal/web"
)

func (a *app) serveCmd() *cobra.Command {
	var logFile string
	cmd := a.command("serve", "serve", a.noArgs, func(cmd *cobra.Command, _ []string) error {
		a.fromBundles = true
		if err := a.logTo(logFile); err != nil {
			return err
		}
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return service.Run(cmd.Context(), serviceName, func(ctx context.Context) error { return a.serve(ctx, cfg) })
	})
	a.settingFlags(cmd.Flags(), true)
	a.settingFlag(cmd.Flags(), "bundle")
	a.settingFlag(cmd.Flags(), "bundle.trust")
	cmd.Flags().StringVar(&logFile, "log-file", "", a.p.T("flag.log-file"))
	_ = cmd.Flags().MarkHidden("log-file") // it is there; for service managers that keep no log
	return cmd
}

// newLogger makes the logger that the settings ask for.
func newLogger(w io.Writer, cfg *config.Config, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	if lines, ok := w.(*server.LogWriter); ok {
		return slog.New(server.NewTextHandler(lines, level))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

func (a *app) serve(ctx context.Context, cfg *config.Config) (err error) {
	if a.env("GOGC") == "" {
		// What lives on the heap is small (the hot files, at most 32 MiB), what each
		// answer leaves behind is garbage: collecting less often costs little memory.
		debug.SetGCPercent(400)
	}
	lines := server.NewLogWriter(a.stderr)
	defer lines.Close()
	log := newLogger(lines, cfg, cfg.LogLevel)
	// The socket first: that the port is taken should be said before anything is opened.
	srv, err := server.Listen(ctx, server.Config{
		Listen: cfg.Listen, CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey,
		ShutdownTimeout: cfg.ShutdownTimeout, Logger: log, AccessLog: cfg.LogAccess,
	})
	if err != nil {
		return listenFault(cfg, err)
	}
	defer srv.Close()
	if cfg, err = a.withoutSelf(ctx, cfg, srv.URL()); err != nil {
		return err
	}
	f, err := a.wire(cfg, log, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	watch, err := f.watcher()
	if err != nil {
		return err
	}
	guess := f.guess()
	if err := f.metrics.Watch(f.aheadGauges()); err != nil {
		return err
	}
	a.announce(srv.URL(), f)
	work, stop := context.WithCancel(ctx)
	defer stop()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return f.store.Run(work) })
	g.Go(func() error { return f.keepRemembering(work) })
	if guess != nil {
		g.Go(func() error { return guess.Run(work) })
	}
	if watch != nil {
		g.Go(func() error { return watch.Run(work) })
	}
	g.Go(func() error {
		<-work.Done()
		if ctx.Err() != nil {
			a.say(a.p.T("serve.stopping", "Time", cfg.ShutdownTimeout))
		}
		return nil
	})
	g.Go(func() error {
		defer stop()
		return srv.Serve(work, a.mux(f, srv.URL()))
	})
	err = g.Wait()
	if errors.Is(err, server.ErrCutOff) {
		return &fault{code: "error.cut-off", args: []any{"After", cfg.ShutdownTimeout}, hint: "hint.cut-off", exit: 1, err: err}
	}
	return err
}

// announce says where the server is and how to use it.
func (a *app) announce(url string, f *ferry) {
	up := goproxy.FormatUpstreams(redacted(f.upstreams))
	if f.offline() {
		up = a.p.T("serve.offline")
	}
	if f.bundles != nil {
		a.say(a.p.T("bundle.serve-ready", "URL", url, "Bundles", a.bundleNames(f)))
		a.say(a.p.T("serve.use", "URL", url))
		return
	}
	a.say(a.p.T("serve.ready", "URL", url, "Upstream", up, "Dir", f.cfg.CacheDir))
	a.say(a.p.T("serve.use", "URL", url))
}

func redacted(ups []goproxy.Upstream) []goproxy.Upstream {
	out := make([]goproxy.Upstream, len(ups))
	for i, u := range ups {
		out[i] = u
		if strings.Contains(u.URL, "://") {
			out[i].URL = goproxy.RedactURL(u.URL)
		}
	}
	return out
}

// mux is the HTTP surface: the protocol at /, the checksum database, and ours under /-/.
func (a *app) mux(f *ferry, url string) http.Handler {
	home := web.Home(a.p, url)
	sums := server.Wrap(sumdb.Handler{Client: f.sums, Explain: func(err error) []string { return a.explainSums(f, err) }}, server.Observe(f.observeSums))
	var modules http.Handler = f.handler
	if f.busy != nil {
		modules = f.busy.watch(f.handler)
	}
	m := server.NewMux(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			home.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/sumdb/"):
			sums.ServeHTTP(w, r)
		default:
			modules.ServeHTTP(w, r)
		}
	}))
	h := a.health(f)
	m.Handle("/-/healthz", h.Live())
	m.Handle("/-/readyz", h.Ready())
	m.Handle("/-/metrics", f.metrics.Handler(f.log))
	m.Handle("/-/version", server.VersionHandler(build()))
	m.Handle("/-/status", a.statusParts(f, url))
	if vuln := f.vulnFolder(); vuln != nil {
		m.Handle("/-/vuln/", vuln)
	}
	return m
}

// observeSums counts an answer of the checksum database's proxy.
func (f *ferry) observeSums(_ *http.Request, status int, bytes int64, took time.Duration) {
	result := "other"
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		result = "absent"
	case status >= 400:
		result = "error"
	}
	f.metrics.Request("sumdb", result, status, took, bytes)
}

func (a *app) health(f *ferry) *server.Health {
	h := &server.Health{}
	h.Add(server.Check{Name: "store", Critical: true, Run: func(context.Context) (string, error) {
		if err := f.store.Check(); err != nil {
			return "", err // it names the folder
		}
		return f.cfg.CacheDir, nil
	}})
	h.Add(server.Check{Name: "sumdb", Run: func(context.Context) (string, error) {
		st := f.sums.Status()
		if st.Off {
			return "", errors.New("off: files are not verified")
		}
		if st.LastError != nil && st.LastErrorAt.After(st.LastSuccess) {
			return st.Name, st.LastError
		}
		if st.LastSuccess.IsZero() {
			return st.Name, server.ErrNotMeasured
		}
		return st.Name, nil
	}})
	if f.offline() {
		h.Add(server.Check{Name: "upstream", Run: func(context.Context) (string, error) { return "offline", server.ErrNotMeasured }})
		return h
	}
	for _, up := range f.upstreams {
		if strings.HasPrefix(up.URL, "http") {
			h.Add(server.Check{Name: "upstream " + goproxy.RedactURL(up.URL), Run: func(ctx context.Context) (string, error) {
				return probe(ctx, f.http, up.URL)
			}})
		}
	}
	return h
}

// probe reports whether an upstream answers at all: any status below 500 will do, since
// a module proxy need not serve its root.
func probe(ctx context.Context, hc *http.Client, base string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, base, nil)
	if err != nil {
		return "", transport.Clean(err)
	}
	resp, err := hc.Do(req)
	if err != nil {
		return "", transport.Clean(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 500 {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	return fmt.Sprintf("status %d", resp.StatusCode), nil
}
