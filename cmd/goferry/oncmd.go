package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/service"
	"github.com/goferry/goferry/internal/transport"
)

// serviceName is what the service manager calls goferry.
const serviceName = "goferry"

// comeUp is how long a service has until it answers.
const comeUp = 10 * time.Second

func (a *app) onCmd() *cobra.Command {
	var noService bool
	cmd := a.command("on", "on", a.noArgs, a.loaded(func(cmd *cobra.Command, cfg *config.Config, _ []string) error {
		err := a.on(cmd.Context(), &switchOn{cfg: cfg, flags: flagsSet(cmd.Flags()), noService: noService})
		if errors.Is(err, errSaid) {
			return nil
		}
		return err
	}))
	a.settingFlags(cmd.Flags(), true)
	cmd.Flags().BoolVar(&noService, "no-service", false, a.p.T("flag.no-service"))
	return cmd
}

func (a *app) offCmd() *cobra.Command {
	return a.command("off", "off", a.noArgs, func(cmd *cobra.Command, _ []string) error { return a.off(cmd.Context()) })
}

// A switchOn is one run of goferry on.
type switchOn struct {
	cfg       *config.Config
	flags     map[string]string
	noService bool

	url    string    // where goferry will answer
	record *onRecord // what an earlier run left, or a new one
	goenv  string    // file of the go command's settings
	goproxyPlan
}

// A goproxyPlan says what GOPROXY is to be.
type goproxyPlan struct {
	now    string // as go env says it
	want   string // goferry, and behind "|" what was there
	behind string // what was there
	asks   string // what goferry itself asks, where no setting of its own says it
	done   bool   // GOPROXY leads to goferry already
}

// on makes the user's go command use goferry. GOPROXY is written last: until goferry answers
// nothing that the go command sees has changed.
func (a *app) on(ctx context.Context, s *switchOn) (err error) {
	if s.url, err = localURL(s.cfg); err != nil {
		return err
	}
	if s.record, err = loadRecord(); err != nil {
		return err
	}
	if s.record == nil {
		s.record = &onRecord{Time: time.Now().UTC()}
	}
	if err := a.plan(ctx, s); err != nil {
		return err
	}
	if s.noService {
		if _, err := askVersion(ctx, s.url); err != nil {
			return &fault{code: "error.on-no-answer", args: []any{"URL", s.url, "Err", err, "Command", byHandCommand(s, "serve")}, hint: "hint.on-no-answer", exit: 1, err: err}
		}
	} else if err := a.onService(ctx, s); err != nil {
		return err
	}
	s.record.URL = s.url
	if s.done {
		if err := s.record.save(); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, a.p.T("on.already", "Value", config.Redact(s.now)))
		return err
	}
	if err := a.point(ctx, s.record, s.goenv, s.want, s.behind); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, a.p.T("on.done", "Value", config.Redact(s.want), "Behind", config.Redact(s.behind)))
	return err
}

// plan finds out what GOPROXY is and should be. Where it stands in the environment, go env -w
// would change nothing: then the user has to.
func (a *app) plan(ctx context.Context, s *switchOn) error {
	env, err := a.runner.GoEnv(ctx, "GOPROXY", "GOENV")
	if err != nil {
		return cmp.Or(noCommand(err), err)
	}
	s.goenv = env["GOENV"]
	s.goproxyPlan = a.planFor(ctx, env["GOPROXY"], s.url, s.record.Go)
	line := shellSet("GOPROXY", config.Redact(s.want))
	switch {
	case s.done:
		return nil
	case a.env("GOPROXY") != "":
		return &fault{code: "error.on-env", args: []any{"Line", line}, hint: "hint.on-env", exit: 1}
	case s.goenv == "" || s.goenv == "off":
		return &fault{code: "error.on-goenv", args: []any{"Line", line}, hint: "hint.on-env", exit: 1}
	}
	return nil
}

// planFor puts goferry, at url, before the list now. rec tells what stood in the list before an
// earlier run, if now is what that wrote.
func (a *app) planFor(ctx context.Context, now, url string, rec *goRecord) goproxyPlan {
	p := goproxyPlan{now: now, behind: now, asks: now}
	if rec != nil && rec.Written == now {
		p.behind, p.asks = rec.Behind, rec.Behind
	} else if ups, err := goproxy.ParseUpstreams(now); err == nil {
		// The user may have pointed GOPROXY here himself.
		self := func(u goproxy.Upstream) bool { return isSelf(u.URL, url) }
		if slices.ContainsFunc(ups, self) {
			p.done = self(ups[0])
			ups = slices.DeleteFunc(ups, self)
			p.behind = goproxy.FormatUpstreams(ups)
			p.asks = p.behind
			onlyEnd := len(ups) == 0 || ups[0].URL == "direct" || ups[0].URL == "off"
			if onlyEnd && !strings.HasPrefix(now, url+"|") { // which is how on writes it
				p.asks = a.goDefault(ctx) // as serve does, see withoutSelf
			}
		}
	}
	if p.asks == "" {
		p.asks = "direct"
	}
	if p.behind == "" {
		p.behind = p.asks
	}
	p.want = url + "|" + p.behind
	// Without anything behind it, or behind a comma, a stopped goferry would stop the go command.
	p.done = p.now == p.want || p.done && strings.HasPrefix(p.now, url+"|")
	return p
}

// onService installs and starts the service, and waits until it answers.
func (a *app) onService(ctx context.Context, s *switchOn) error {
	m, err := a.serviceManager()
	if err != nil {
		return err
	}
	spec, err := a.serviceSpec(s, m.Kind())
	if err != nil {
		return err
	}
	if err := m.Check(ctx); err != nil {
		return a.byHand(s, err)
	}
	was, err := m.State(ctx)
	if err != nil {
		return err
	}
	if !was.Running { // or it would be itself that answers
		if err := portFree(ctx, s.url); err != nil {
			return err
		}
	}
	if err := m.Start(ctx, spec); err != nil {
		return a.serviceFault(ctx, s, m, was.File, err)
	}
	if err := a.awaitService(ctx, m, s.url); err != nil {
		lines := m.Log(ctx, 5)
		if !was.Installed {
			if _, rerr := m.Remove(context.WithoutCancel(ctx)); rerr != nil {
				a.say(rerr.Error())
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, line := range lines {
			fmt.Fprintln(a.stderr, "  "+line)
		}
		return &fault{code: "error.on-not-up", args: []any{"URL", s.url, "Err", err}, hint: "hint.on-not-up", exit: 1, err: err}
	}
	s.record.Service, s.record.Program = serviceName, spec.Program
	_, err = fmt.Fprintln(a.stdout, a.p.T("on.service", "Kind", string(m.Kind()), "URL", s.url, "File", spec.Program))
	return err
}

// byHand says how to run goferry without a service manager; nothing was changed.
func (a *app) byHand(s *switchOn, why error) error {
	if errors.Is(why, context.Canceled) {
		return why
	}
	a.say(oneLine(a.p.T("error.on-no-manager", "Err", strings.TrimPrefix(why.Error(), service.ErrNone.Error()+": ")), 300))
	a.hint(a.p.T("on.by-hand"))
	serve := byHandCommand(s, "serve")
	background := "nohup " + serve + " > goferry.log 2>&1 &"
	if runtime.GOOS == "windows" {
		background = `start "goferry" ` + serve
	}
	fmt.Fprintf(a.stderr, "\n  %s\n  %s\n\n", background, byHandCommand(s, "on", "--no-service"))
	fmt.Fprintln(a.stderr, a.p.T("on.by-hand-go")+"\n\n  go env -w GOPROXY="+shellWord(config.Redact(s.want)))
	a.exit = 1
	return errSaid
}

// errSaid is the error of a command that has said all there is to say, and set its exit code.
var errSaid = errors.New("said")

// serviceFault says why the service, which is described in file, could not be installed or started.
func (a *app) serviceFault(ctx context.Context, s *switchOn, m *service.Manager, file string, err error) error {
	switch {
	case errors.Is(err, service.ErrNone):
		return a.byHand(s, err)
	case errors.Is(err, service.ErrForeign):
		return &fault{code: "error.on-foreign", args: []any{"Name", serviceName, "File", file}, hint: "hint.on-foreign", exit: 1, err: err}
	case errors.Is(err, service.ErrDenied):
		return &fault{code: "error.on-denied", args: []any{"Err", err}, hint: "hint.on-denied", exit: 1, err: err}
	}
	for _, line := range m.Log(ctx, 5) {
		fmt.Fprintln(a.stderr, "  "+line)
	}
	return &fault{code: "error.on-service", args: []any{"Err", err}, hint: "hint.on-not-up", exit: 1, err: err}
}

// awaitService waits until goferry answers at url; a service that is found stopped twice will not.
func (a *app) awaitService(ctx context.Context, m *service.Manager, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, comeUp, fmt.Errorf("no answer within %s", comeUp))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n, stopped := 1, 0; ; n++ {
		_, err := askVersion(ctx, url)
		if err == nil {
			return nil
		}
		if n%4 == 0 {
			if st, serr := m.State(ctx); serr == nil && !st.Running {
				stopped++
			}
			if stopped == 2 {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// portFree says whether somebody else is at url.
func portFree(ctx context.Context, url string) error {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := askVersion(short, url); err == nil {
		return &fault{code: "error.on-other", args: []any{"URL", url}, hint: "hint.on-other", exit: 1}
	}
	addr := strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	conn.Close()
	return &fault{code: "error.port-taken", args: []any{"Addr", addr}, hint: "hint.port-taken", exit: 1}
}

// hereClient asks a goferry on this machine: no proxy stands in between.
func hereClient() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// askVersion asks who answers at url; the error says that it is not a goferry.
func askVersion(ctx context.Context, url string) (server.Build, error) {
	var b server.Build
	status, err := askHere(ctx, url+"/-/version", &b)
	if err == nil && (status != http.StatusOK || b.Version == "" || b.Go == "") {
		err = fmt.Errorf("what answers there is no goferry (status %d)", status)
	}
	return b, err
}

// askHere decodes the JSON at url into v.
func askHere(ctx context.Context, url string, v any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := hereClient().Do(req)
	if err != nil {
		return 0, transport.Clean(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return resp.StatusCode, err
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(body, v)
	}
	return resp.StatusCode, err
}

// localURL is where this machine reaches the server that cfg describes.
func localURL(cfg *config.Config) (string, error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if n, nerr := strconv.Atoi(port); err != nil || nerr != nil || n <= 0 {
		return "", &fault{code: "error.on-listen", args: []any{"Addr", cfg.Listen}, hint: "hint.listen", exit: 2, err: err}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "localhost" // [::] may have been made IPv6-only by the system
		}
	}
	scheme := "http://"
	if cfg.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

// serviceManager is the one of this user.
func (a *app) serviceManager() (*service.Manager, error) {
	home, err := os.UserHomeDir()
	if u, uerr := user.Current(); uerr == nil && runtime.GOOS == "darwin" {
		home, err = u.HomeDir, nil // as the library does
	}
	if err != nil {
		return nil, err
	}
	return service.New(service.Config{Name: serviceName, Home: home, LogFile: serviceLog(home), Run: func(ctx context.Context, name string, args ...string) (service.Output, error) {
		dir, err := gocmd.NeutralDir()
		if err != nil {
			return service.Output{}, err
		}
		res, err := a.runner.Run(ctx, gocmd.Cmd{Name: name, Args: args, Dir: dir})
		return service.Output{Stdout: string(res.Stdout), Stderr: string(res.Stderr), Code: res.ExitCode}, err
	}}), nil
}

// serviceLog is where the service writes its log where the system keeps none.
func serviceLog(home string) string {
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Logs", "goferry.log")
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "goferry", "service.log")
}
