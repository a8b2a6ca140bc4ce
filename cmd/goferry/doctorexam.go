package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/toolchain"
	"github.com/goferry/goferry/internal/transport"
)

// doctorAskGo bounds what each question to the go command about its settings may take, doctorAskLess what one may that it can answer
// at once.
const (
	doctorAskGo   = 5 * time.Second
	doctorAskLess = 2 * time.Second
)

// doctorAskFerry bounds the question whether a goferry answers at an address of this machine.
const doctorAskFerry = time.Second

// Where it takes long to find out what there is to look at, the checks have less time, so that the whole is over after doctorWhole.
const (
	doctorWhole = 14 * time.Second
	doctorGrace = time.Second     // of doctor.Examine
	doctorLeast = 3 * time.Second // for the checks
)

// left is how long each check may look; 0 for as long as is usual.
func (r *doctorRun) left() time.Duration {
	if r.begun.IsZero() {
		return 0
	}
	left := max(doctorWhole-doctorGrace-time.Since(r.begun), doctorLeast)
	r.begun = time.Time{} // whoever looks again has nothing to find out before
	if left >= doctorUsual {
		return 0
	}
	return left
}

// doctorUsual is what doctor.Options gives to a check.
const doctorUsual = 12 * time.Second

// prepare makes the Exam of this machine as it is now.
func (r *doctorRun) prepare() error {
	r.begun = time.Now()
	goEnv := r.doctorGoEnv()
	if err := r.ctx().Err(); err != nil {
		return context.Cause(r.ctx())
	}
	if err := r.settings(goEnv); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "" // gone, perhaps; then it lies in no module
	}
	home, _ := os.UserHomeDir()
	account := ""
	if u, err := user.Current(); err == nil {
		account = u.HomeDir
	}
	x := &doctor.Exam{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Home: home, Account: account, Dir: dir, Env: environment(r.runner.Environ()), GoEnv: goEnv, Runner: r.runner,
		SumDB: strings.TrimSpace(goEnv.Values["GOSUMDB"]), OSRelease: osRelease(), Hosts: r.hostsFile(),
	}
	x.Secrets = r.fileSecrets(home)
	for _, m := range mirrors.Known() {
		x.Mirrors = append(x.Mirrors, m.URL)
	}
	x.SDKs = r.sdkFinder(home, goEnv.Values["GOMODCACHE"])
	r.doctorProject(x)
	x.Targets = r.behindFerry(doctorTargets(x))
	f := &ferry{cfg: r.cfg, log: r.log.logger(), metrics: server.NewMetrics()}
	x.Net = r.doctorNet(f)
	r.traced(x)
	x.Verify = r.doctorVerify(f, x)
	r.exam = x
	return nil
}

// settings reads goferry's own settings. The doctor works where they are no good, too: then it uses the defaults.
// What stands on the command line must be right.
func (r *doctorRun) settings(goEnv doctor.GoEnv) error {
	cfg, err := r.loadWith(r.cmd, func(name string) (string, error) {
		if goEnv.Err != nil {
			return r.env(name), nil
		}
		return goEnv.Values[name], nil
	})
	var ce *config.Error
	switch {
	case err == nil:
		r.cfg, r.setup = cfg, nil
		return nil
	case errors.As(err, &ce) && ce.Origin.Kind == config.FromFlag:
		return err
	}
	r.setup = err
	in := config.Input{Env: func(string) string { return "" }, GoEnv: func(string) (string, error) { return "", nil }, Defaults: map[string]string{}}
	if cache, err := os.UserCacheDir(); err == nil {
		in.Defaults["cache"] = filepath.Join(cache, "goferry")
	}
	if home := r.sdkHome(); home != "" {
		in.Defaults["sdk.dir"] = home
	}
	r.cfg, err = config.Load(in)
	return err
}

// doctorGoEnv asks the go command for all its settings.
func (r *doctorRun) doctorGoEnv() doctor.GoEnv {
	ctx, cancel := context.WithTimeout(r.ctx(), doctorAskGo)
	defer cancel()
	g := doctor.GoEnv{Values: map[string]string{}, Written: map[string]string{}}
	env, err := r.runner.GoEnv(ctx)
	if err != nil {
		g.Err = err
	}
	if err != nil && ctx.Err() == nil {
		// Once more with the GOROOT that the command belongs to. If that works, the one that is set is all that is wrong.
		if env, err = r.askGoEnv(ctx); err == nil {
			g.Err = nil
		}
	}
	if err != nil {
		// To say everything it makes a folder and runs the C compiler, which a full disk forbids. These it just knows.
		// A compiler that hangs would have taken all the time.
		keys := append(doctorGoKeys(), "GOVERSION", "GOHOSTOS", "GOHOSTARCH", "GOOS", "GOARCH", "GOTMPDIR")
		less, cancel := context.WithTimeout(r.ctx(), doctorAskLess)
		defer cancel()
		if env, err = r.askGoEnv(less, keys...); err == nil {
			g.Err = nil
		}
	}
	if err == nil {
		g.Values = env
	} else {
		for _, key := range doctorGoKeys() { // what go would see if there were one
			if v := r.env(key); v != "" {
				g.Values[key] = v
			}
		}
	}
	g.Version, g.File = g.Values["GOVERSION"], g.Values["GOENV"]
	if g.File == "" || g.File == "off" { // what go env -w wrote is there all the same
		g.File = ""
		if dir, err := os.UserConfigDir(); err == nil {
			g.File = filepath.Join(dir, "go", "env")
		}
	}
	if data, err := os.ReadFile(g.File); err == nil {
		for line := range strings.SplitSeq(string(data), "\n") {
			key, value, ok := strings.Cut(strings.TrimSuffix(line, "\r"), "=")
			if ok && !strings.HasPrefix(key, "#") {
				g.Written[key] = value
			}
		}
	}
	if root := cmp.Or(r.env("GOROOT"), g.Written["GOROOT"]); root != "" && r.env("GOENV") != "off" || r.env("GOROOT") != "" {
		g.Values["GOROOT"] = root // and not what it was asked with
	}
	return g
}

// doctorGoKeys are the variables that count for the network without a go command that could say them.
func doctorGoKeys() []string {
	return []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE", "GOFLAGS", "GOAUTH", "GOVCS", "GOTOOLCHAIN", "GOENV",
		"GOPATH", "GOMODCACHE", "GOCACHE", "GOROOT", "GO111MODULE", "GOWORK", "CGO_ENABLED", "CC", "CXX"}
}

// doctorProject asks which go.mod and go.work count in the user's folder. GoEnv was asked outside of it.
func (r *doctorRun) doctorProject(x *doctor.Exam) {
	if x.Dir == "" || x.GoEnv.Version == "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx(), doctorAskLess)
	defer cancel()
	res, err := r.plainRunner().Run(ctx, gocmd.Cmd{Name: "go", Args: []string{"env", "GOMOD", "GOWORK"}, Dir: x.Dir, Env: []string{"GOTOOLCHAIN=local"}})
	lines := strings.Split(strings.ReplaceAll(string(res.Stdout), "\r", ""), "\n")
	if err != nil || res.ExitCode != 0 || len(lines) < 2 {
		x.GoEnv.Values["GOWORK"] = x.Env["GOWORK"]
		return
	}
	x.GoEnv.Values["GOMOD"], x.GoEnv.Values["GOWORK"] = lines[0], lines[1]
}

// osRelease is what a Linux system says of itself. https://www.freedesktop.org/software/systemd/man/os-release.html
func osRelease() string {
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if data, err := os.ReadFile(name); err == nil {
			return string(data)
		}
	}
	return ""
}

// hostsFile is the system's own list of hosts.
func (r *doctorRun) hostsFile() doctor.HostsFile {
	h := doctor.HostsFile{Path: "/etc/hosts"}
	if runtime.GOOS == "windows" {
		h.Path = filepath.Join(r.env("SystemRoot"), "System32", "drivers", "etc", "hosts")
	}
	const most = 64 << 20 // those that block advertisements are long
	if info, err := os.Stat(h.Path); err == nil && info.Size() <= most {
		if data, err := os.ReadFile(h.Path); err == nil {
			h.Text = string(data)
		}
	}
	return h
}

// environment is an environment by names. Of a name that stands there twice the last counts, as for programs.
func environment(list []string) map[string]string {
	env := map[string]string{}
	for _, kv := range list {
		if key, value, ok := strings.Cut(kv, "="); ok && key != "" { // Windows has names that begin with =
			env[key] = value
		}
	}
	return env
}

// sdkFinder looks for Gos on this machine.
func (r *doctorRun) sdkFinder(user, modCache string) toolchain.Finder {
	f := toolchain.Finder{User: user, ModCache: modCache, Path: filepath.SplitList(r.env("PATH")), Dirs: map[string]string{}}
	if home, err := homeOf(r.cfg); err == nil {
		f.Home = home
	}
	for _, name := range toolchain.FinderVariables() {
		f.Dirs[name] = r.env(name)
	}
	return f
}

// doctorTargets are the servers that the go command would ask, in its order: the upstreams, the checksum database, for
// direct alone the hosts of what the project needs, and where there is no go command the hosts of SDKs.
func doctorTargets(x *doctor.Exam) []doctor.Target {
	var list []doctor.Target
	sdkHosts := 0
	proxy := doctor.EnvProxy(x.Env)
	add := func(role doctor.Role, raw string, sep goproxy.Sep) {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return
		}
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		t := doctor.Target{Role: role, URL: u, Sep: byte(sep)}
		if p, err := proxy(u); err == nil { // what is wrong with a variable is a finding
			t.Proxy = p
		}
		if !slices.ContainsFunc(list, func(o doctor.Target) bool { return o.Role == role && o.URL.String() == u.String() }) {
			list = append(list, t)
		}
	}
	ups, err := goproxy.ParseUpstreams(x.GoEnv.Values["GOPROXY"])
	if err != nil {
		ups = nil // what is wrong with the list is a finding
	}
	for _, up := range ups {
		add(doctor.Upstream, up.URL, up.Sep)
	}
	if len(ups) > 0 && ups[0].URL == "direct" {
		for _, host := range originHosts(x.GoEnv.Values["GOMOD"]) {
			add(doctor.Origin, "https://"+host+"/", 0)
		}
	}
	if db, err := sumdb.ParseDB(x.SumDB); err == nil && !db.Off && len(ups) > 0 && ups[0].URL != "off" {
		if db.URL != "" {
			add(doctor.Database, db.URL, 0)
		} else {
			add(doctor.Database, "https://"+db.Name, 0)
		}
	}
	if x.GoEnv.Version == "" && len(x.SDKs.Find()) == 0 {
		const most = 4 // one that answers is enough
		for _, p := range toolchain.Known() {
			if p.Kind != toolchain.Modules && sdkHosts < most {
				add(doctor.SDKHost, p.URL, 0)
				sdkHosts++
			}
		}
	}
	return list
}

// behindFerry leaves goferry alone where it is asked first and answers: it carries the checksum database as well, and
// what stands behind it is asked only while it is down. What it cannot get shows in what it answers.
func (r *doctorRun) behindFerry(list []doctor.Target) []doctor.Target {
	if len(list) == 0 || list[0].Role != doctor.Upstream || !loopback(list[0].URL.Hostname()) {
		return list
	}
	ctx, cancel := context.WithTimeout(r.ctx(), doctorAskFerry)
	defer cancel()
	if _, err := askVersion(ctx, strings.TrimSuffix(list[0].URL.String(), "/")); err != nil {
		return list
	}
	return list[:1]
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// originHosts are the first few hosts that the module of goMod requires something from; without one that of most.
func originHosts(goMod string) []string {
	const most = 3
	var hosts []string
	if data, err := os.ReadFile(goMod); err == nil {
		if f, err := modfile.ParseLax(goMod, data, nil); err == nil {
			for _, req := range f.Require {
				host, _, _ := strings.Cut(req.Mod.Path, "/")
				if len(hosts) < most && strings.Contains(host, ".") && !slices.Contains(hosts, host) {
					hosts = append(hosts, host)
				}
			}
		}
	}
	if len(hosts) == 0 {
		return []string{"github.com"}
	}
	return hosts
}

// doctorNet is the network of this machine. What is asked for comparison are resolvers that answer in most places; those
// that the user has named come instead.
func (r *doctorRun) doctorNet(f *ferry) doctor.Net {
	dialer := &net.Dialer{}
	n := doctor.Net{
		Lookup: func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, network, host)
		},
		Resolvers: []string{"223.5.5.5:53", "8.8.8.8:53"},
		DoH:       []string{"https://223.5.5.5/dns-query", "https://1.1.1.1/dns-query"},
		Dial:      dialer.DialContext, DialNarrow: doctor.DialNarrow(),
		Control: "example.com",
		Whoami:  "whoami.v4.powerdns.org",
		Now:     time.Now,
	}
	// Who has set shorter waits does not want to wait longer here.
	n.ConnectWait, n.TLSWait = min(4*time.Second, r.cfg.LinkConnectTimeout), min(4*time.Second, r.cfg.LinkTLSTimeout)
	n.AnswerWait, n.StallWait = min(5*time.Second, r.cfg.LinkFirstByteTimeout), min(3*time.Second, r.cfg.LinkStallTimeout)
	if len(r.cfg.LinkDoH) > 0 {
		n.DoH = r.cfg.LinkDoH
	}
	if r.cfg.Offline { // the user does not want others to be asked than those that he has named
		n.Resolvers, n.DoH, n.Control, n.Whoami = nil, r.cfg.LinkDoH, "", ""
	}
	quick := *r.cfg
	quick.LinkRetries = min(quick.LinkRetries, 1) // for who looks at a dead network, trying again is waiting again
	client, err := r.httpClient(&quick, f)
	if err != nil {
		if r.setup == nil {
			r.setup = err
		}
		if client, err = transport.New(transport.Config{UserAgent: "goferry/" + build().Version, Logger: f.log}); err != nil {
			client = nil // what goferry itself would reach stays unknown
		}
	}
	n.HTTP, f.http = client, client
	return n
}

// doctorVerify proves a Go by what the checksum database says. Nothing of it is kept, and no zip is fetched.
func (r *doctorRun) doctorVerify(f *ferry, x *doctor.Exam) func(context.Context, string) (toolchain.Report, error) {
	db, err := sumdb.ParseDB(x.SumDB)
	if err != nil || db.Off || f.http == nil {
		return nil
	}
	var proxies []string
	for _, t := range x.Targets {
		if t.Role == doctor.Upstream {
			proxies = append(proxies, t.URL.String())
		}
	}
	home, _ := homeOf(r.cfg)
	return func(ctx context.Context, root string) (rep toolchain.Report, err error) {
		sums, err := sumdb.New(sumdb.Config{DB: db, Store: &looseStore{files: map[string][]byte{}}, Remotes: sumdb.Remotes(db, f.http, proxies), Logger: f.log})
		if err != nil {
			return toolchain.Report{}, err
		}
		defer func() { err = errors.Join(err, sums.Close()) }()
		v := &toolchain.Verifier{Sums: sums, Home: home, Logger: f.log}
		return v.Verify(ctx, root)
	}
}

// A looseStore keeps what the checksum database says for one run, in memory: the doctor writes nothing.
type looseStore struct {
	mu    sync.Mutex
	files map[string][]byte
	turn  sync.Mutex
}

func (s *looseStore) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return data, nil
}

func (s *looseStore) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = slices.Clone(data)
	return nil
}

// Lock waits for the one lock that there is: the holders keep it for moments.
func (s *looseStore) Lock(ctx context.Context, _ string) (func(), error) {
	s.turn.Lock()
	if ctx.Err() != nil {
		s.turn.Unlock()
		return nil, context.Cause(ctx)
	}
	return s.turn.Unlock, nil
}

// A doctorLog collects what the rooms log while the doctor looks, for a bundle.
type doctorLog struct {
	mu   sync.Mutex
	text strings.Builder
	to   io.Writer // gets it as well; nil for nobody
}

// doctorLogMost is how much of a log is kept.
const doctorLogMost = 4 << 20

func (l *doctorLog) Write(p []byte) (int, error) {
	if l.to != nil {
		_, _ = l.to.Write(p) // an error means that nobody can be told
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() < doctorLogMost {
		l.text.Write(p)
	}
	return len(p), nil
}

func (l *doctorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// logger logs into l; a nil l discards.
func (l *doctorLog) logger() *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
