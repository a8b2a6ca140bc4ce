package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxytest"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(peerEnv); spec != "" {
		servePeer(spec)
		return
	}
	testscript.Main(m, map[string]func(){
		"exec-child": execChild,
		"goferry":    main,
		"systemctl":  fakeSystemctl,
		"journalctl": fakeJournalctl,
	})
}

// TestScript runs testdata/script/*.txtar; testdata/script/README says what they can use.
func TestScript(t *testing.T) {
	t.Parallel() // with the few that take long, which would stand alone at the end
	refuseStop(t)
	goCache := goEnvOf(t, "GOCACHE")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               func(env *testscript.Env) error { return setupScript(env, goCache) },
		RequireExplicitExec: true,
		Condition:           scriptCondition,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start":    cmdStart,
			"quit":     cmdQuit,
			"get":      cmdGet,
			"requests": cmdRequests,
			"upstream": cmdUpstream,
			"peak":     cmdPeak,
			"link":     cmdLink,
			"leave":    cmdLeave,
			"resolver": cmdResolver,
			"fails":    cmdFails,
			"exits":    cmdExits,
			"take":     cmdTake,
			"await":    cmdAwait,
			"clock":    cmdClock,
			"port":     cmdPort,
			"unit":     cmdUnit,
			"archive":  cmdArchive,
			"tree":     cmdTree,
			"grows":    cmdGrows,
			"contents": cmdContents,
			"mends":    cmdMends,
			"undone":   cmdUndone,
			"unpack":   cmdUnpack,
			"pack":     cmdPack,
			"within":   cmdWithin,
		},
	})
}

// scriptCondition knows what scripts may ask for in brackets: [root].
func scriptCondition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("there is no condition %s", name)
}

// refuseStop fails the test if a script says stop: that is a command of testscript itself, which
// ends the script there and calls it a success.
func refuseStop(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^(! *|\? *)?stop\b`).Match(data) {
			t.Errorf("%s: stop ends the script, and what follows is never run: quit ends the server", file)
		}
	}
}

func goEnvOf(t *testing.T, key string) string {
	t.Helper()
	out, err := exec.Command("go", "env", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

type upstreamKey struct{}
type ferryKey struct{}

// upstreamOf and ferryOf are the script's servers.
func upstreamOf(ts *testscript.TestScript) *goproxytest.Server {
	return ts.Value(upstreamKey{}).(*goproxytest.Server)
}
func ferryOf(ts *testscript.TestScript) *ferryProcess { return ts.Value(ferryKey{}).(*ferryProcess) }

// setupScript gives a script an upstream of its own, a fresh HOME and GOMODCACHE, and no way
// to leave the loopback interface.
func setupScript(env *testscript.Env, goCache string) error {
	up, err := goproxytest.Start(goproxytest.Options{})
	if err != nil {
		return err
	}
	env.Defer(up.Close)
	if err := up.Handler.LoadFS(os.DirFS("testdata/mod")); err != nil {
		return err
	}
	fp := &ferryProcess{}
	env.Defer(func() { fp.kill() })
	env.Defer(func() { killUnit(filepath.Join(env.WorkDir, "home")) })
	env.Values[upstreamKey{}] = up
	env.Values[ferryKey{}] = fp
	weak := links{}
	env.Defer(weak.close)
	env.Values[linksKey{}] = weak
	env.Values[mendedKey{}] = &mendedState{}
	sdkEnv(env)
	set, err := hermetic(env.WorkDir, up, goCache)
	for k, v := range set {
		env.Setenv(k, v)
	}
	return err
}

// hermetic is the environment in which goferry and the go command have a fresh HOME, GOMODCACHE and
// cache in the folder work, up as their upstream, and no way to leave the loopback interface.
func hermetic(work string, up *goproxytest.Server, goCache string) (map[string]string, error) {
	bin, err := exec.LookPath("goferry")
	if err != nil {
		return nil, err
	}
	home := filepath.Join(work, "home")
	return map[string]string{
		"HOME": home, "USERPROFILE": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"), "XDG_CACHE_HOME": filepath.Join(home, ".cache"),
		"GOENV": filepath.Join(home, "goenv"), "GOPATH": filepath.Join(work, "gopath"), "GOMODCACHE": filepath.Join(work, "modcache"),
		"GOCACHE": goCache, "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GONOSUMDB": "", "GOPRIVATE": "", "GONOPROXY": "",
		"GOSUMDB": up.GOSUMDB(), "GOPROXY": "off",
		"UPSTREAM": up.URL, "SUMDB": up.SumDBName(), "GOFERRY_UPSTREAM": up.URL, "GOFERRY_CACHE": filepath.Join(work, "cache"), "GOFERRY_LANG": "en",
		"GOFERRY_LINK_RETRIES": "0", "GOFERRY_PREFETCH": "off", "BIN": filepath.Dir(bin),
		"GORACE": "atexit_sleep_ms=10", // each process of a build for the race detector waits a second at its end else
		// What wants to leave the machine finds a proxy that refuses.
		"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1,localhost,::1",
		"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
	}, quietHome(home)
}

// quietHome makes a home folder in which the go command keeps no telemetry: else each one leaves
// a process behind that writes there while the folder is removed.
func quietHome(home string) error {
	dir := filepath.Join(home, ".config", "go", "telemetry")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o666)
}

// ferryProcess is a goferry serve that a script started.
type ferryProcess struct {
	cmd  *exec.Cmd
	log  string
	done chan error
}

func (p *ferryProcess) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		p.cmd = nil
	}
}

var listening = regexp.MustCompile(`(?:listening on|正在监听) (https?:[^\s,，]+)`)

// cmdStart runs goferry serve on a free port until quit or the end of the script. It sets
// FERRY to its URL, and writes its log to serve.log.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	p := ferryOf(ts)
	if neg || p.cmd != nil {
		ts.Fatalf("start: one server at a time, and no negation")
	}
	bin, err := exec.LookPath("goferry")
	ts.Check(err)
	cmd := exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = scriptEnv(ts)
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	logFile, err := os.Create(filepath.Join(ts.Getenv("WORK"), "serve.log"))
	ts.Check(err)
	ts.Check(cmd.Start())
	url := make(chan string, 1)
	p.cmd, p.log, p.done = cmd, logFile.Name(), make(chan error, 1)
	go func() {
		sc := bufio.NewScanner(stderr)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			fmt.Fprintln(logFile, sc.Text())
			if m := listening.FindStringSubmatch(sc.Text()); m != nil {
				url <- m[1]
			}
		}
		logFile.Close()
		p.done <- cmd.Wait()
	}()
	select {
	case u := <-url:
		ts.Setenv("FERRY", u)
	case err := <-p.done:
		p.cmd = nil
		data, _ := os.ReadFile(p.log)
		ts.Fatalf("serve ended: %v\n%s", err, data)
	case <-time.After(30 * time.Second):
		ts.Fatalf("serve did not come up")
	}
}

// scriptEnv is the environment of the script, as os/exec wants it.
func scriptEnv(ts *testscript.TestScript) []string {
	var env []string
	for _, kv := range os.Environ() {
		k, _, _ := strings.Cut(kv, "=")
		if v := ts.Getenv(k); v != "" {
			env = append(env, k+"="+v)
		}
	}
	for _, k := range scriptVars {
		env = append(env, k+"="+ts.Getenv(k))
	}
	for _, s := range config.Table() {
		env = append(env, s.Env+"="+ts.Getenv(s.Env))
	}
	return env
}

var scriptVars = strings.Fields(`HOME XDG_CONFIG_HOME XDG_CACHE_HOME GOENV GOPATH GOMODCACHE GOCACHE GOFLAGS GOTOOLCHAIN GOTELEMETRY
	GONOSUMDB GOPRIVATE GONOPROXY GOINSECURE GOAUTH NETRC GOSUMDB GOPROXY GOFERRY_CONFIG HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE GIT_CONFIG_NOSYSTEM GIT_TERMINAL_PROMPT
	GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_VALUE_0 GORACE PATH`)

// cmdQuit interrupts the server and waits for its end, which must be clean; "quit -kill" kills it.
func cmdQuit(ts *testscript.TestScript, neg bool, args []string) {
	p := ferryOf(ts)
	if p.cmd == nil {
		ts.Fatalf("quit: no server runs")
	}
	if len(args) == 1 && args[0] == "-kill" {
		p.kill()
		return
	}
	ts.Check(p.cmd.Process.Signal(os.Interrupt))
	err := <-p.done
	p.cmd = nil
	if err != nil && !neg {
		data, _ := os.ReadFile(p.log)
		ts.Fatalf("serve ended with %v\n%s", err, data)
	}
}

// cmdGet asks for a URL, prints status, headers and body, and sets ETAG:
// get [-head] [-H 'Name: value'] [-o FILE] STATUS URL.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	method, out := http.MethodGet, ""
	header := http.Header{}
	for len(args) > 2 {
		switch args[0] {
		case "-head":
			method = http.MethodHead
			args = args[1:]
		case "-X":
			method = args[1]
			args = args[2:]
		case "-H":
			k, v, _ := strings.Cut(args[1], ": ")
			header.Set(k, v)
			args = args[2:]
		case "-o":
			out = args[1]
			args = args[2:]
		default:
			ts.Fatalf("get: unknown flag %s", args[0])
		}
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	req, err := http.NewRequest(method, args[1], nil)
	ts.Check(err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && !neg {
		ts.Fatalf("get: %v", err)
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, resp.Status)
	var hd bytes.Buffer
	ts.Check(resp.Header.Write(&hd))
	b.WriteString(strings.ReplaceAll(hd.String(), "\r\n", "\n"))
	if resp.Header.Get("Content-Type") != "application/zip" {
		fmt.Fprintf(&b, "\n%s", body)
	}
	fmt.Fprint(ts.Stdout(), b.String())
	ts.Setenv("ETAG", resp.Header.Get("Etag"))
	if out != "" {
		ts.Check(os.WriteFile(ts.MkAbs(out), body, 0o666))
	}
	if whole := resp.StatusCode == want && err == nil; whole == neg {
		ts.Fatalf("get %s: got %s, error %v\n%s", args[1], resp.Status, err, b.String())
	}
}

// cmdRequests checks how many requests reached the upstream: requests N [PART]; "requests" alone
// lists them, "requests reset" forgets them, "requests once" wants no file to be asked for twice.
func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	up := upstreamOf(ts)
	switch {
	case len(args) == 0:
		fmt.Fprintln(ts.Stdout(), strings.Join(up.Requests(), "\n"))
	case args[0] == "reset":
		up.Reset()
	case args[0] == "once":
		seen := map[string]bool{}
		for _, r := range up.Requests() {
			if seen[r] && strings.Contains(r, "/@v/") {
				ts.Fatalf("upstream was asked twice for %s:\n%s", r, strings.Join(up.Requests(), "\n"))
			}
			seen[r] = true
		}
		if len(seen) == 0 {
			ts.Fatalf("upstream was asked for nothing")
		}
	default:
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		part := strings.Join(args[1:], "")
		if got := up.Count(part); (got == want) == neg {
			ts.Fatalf("upstream got %d requests with %q, want %d:\n%s", got, part, want, strings.Join(up.Requests(), "\n"))
		}
	}
}

// cmdUpstream cuts the cable and mends it: upstream down, upstream up; cmdUpstreamHas is the rest.
func cmdUpstream(ts *testscript.TestScript, neg bool, args []string) {
	switch strings.Join(args, " ") {
	case "down":
		upstreamOf(ts).Down()
	case "up":
		upstreamOf(ts).Up()
	default:
		cmdUpstreamHas(ts, args)
	}
}
