package doctor

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/transport"
)

// walkGitTime is how long git may take to list what a repository has.
const walkGitTime = 6 * time.Second

// walkMeta matches the tags by which a host says where modules are. https://go.dev/ref/mod#vcs-find
var walkMeta = regexp.MustCompile(`(?i)<meta\s+name=["']?go-import["']?\s+content=["']([^"']+)["']`)

// direct asks version control, as far as can be done without fetching anything: where the repository is, and whether it has
// the version.
func (wk *walker) direct(ctx context.Context, try *walkTry) {
	root, repo, state := wk.repository(ctx, &try.WalkStop)
	if repo == "" {
		try.State = state
		return
	}
	if try.State = wk.git(ctx, &try.WalkStop, root, repo); try.State == WalkServed && module.CanonicalVersion(wk.w.Query) == wk.w.Query {
		try.version = wk.w.Query
	}
}

// repository finds the repository of the module: by its name for the hosts that the go command knows, else by asking.
func (wk *walker) repository(ctx context.Context, stop *WalkStop) (root, repo string, state WalkState) {
	path := wk.w.Module
	parts := strings.SplitN(path, "/", 4)
	switch {
	case parts[0] == "github.com" || parts[0] == "bitbucket.org":
		if len(parts) < 3 {
			return "", "", WalkAbsent
		}
		root = strings.Join(parts[:3], "/")
		stop.target = wk.origin(parts[0])
		return root, "https://" + root, WalkServed
	case strings.Contains(path, ".git/") || strings.HasSuffix(path, ".git"):
		i := strings.Index(path+"/", ".git/") + len(".git")
		stop.target = wk.origin(parts[0])
		return path[:i], "https://" + path[:i], WalkServed
	}
	u := &url.URL{Scheme: "https", Host: parts[0], Path: "/" + strings.TrimPrefix(strings.TrimPrefix(path, parts[0]), "/"), RawQuery: "go-get=1"}
	stop.target = wk.origin(parts[0])
	if stop.target.Proxy != nil {
		stop.Via = proxyShown(stop.target.Proxy)
	}
	a := wk.line.ask(ctx, httpAsk{url: u, limit: 1 << 20, keep: true})
	step := walkStepOf("go-get", a)
	step.URL = httpShown(u)
	stop.Steps = append(stop.Steps, step)
	for _, m := range walkMeta.FindAllStringSubmatch(string(a.body), -1) { // whatever the status is, as the go command
		f := strings.Fields(m[1])
		if len(f) >= 3 && (f[0] == path || strings.HasPrefix(path, f[0]+"/")) && f[1] == "git" {
			return f[0], f[2], WalkServed
		}
	}
	if state = walkStateOf(a); state == WalkServed {
		state = WalkAbsent // no tag there: the go command says "unrecognized import path"
	}
	return "", "", state
}

// origin is a host of version control as a target.
func (wk *walker) origin(host string) Target {
	t := Target{Role: Origin, URL: &url.URL{Scheme: "https", Host: host, Path: "/"}}
	t.Proxy, _ = wk.line.proxy(t.URL)
	return t
}

// git asks the repository for its tags and branches.
func (wk *walker) git(ctx context.Context, stop *WalkStop, root, repo string) WalkState {
	step := WalkStep{What: "git", URL: walkRepo(repo)}
	defer func() { stop.Steps = append(stop.Steps, step) }()
	if wk.x.Runner == nil {
		step.Error = string(NoTool)
		return WalkUnmeasured
	}
	gctx, cancel := context.WithTimeout(ctx, walkGitTime)
	defer cancel()
	// As the go command: nobody is asked for a password. https://go.dev/doc/faq#git_https
	res, err := wk.x.Runner.Run(gctx, gocmd.Cmd{Name: "git", Args: []string{"ls-remote", "--quiet", "--", repo}, Dir: wk.x.Home,
		Env: []string{"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "GIT_SSH_COMMAND=ssh -o BatchMode=yes"}})
	step.Timing.Transfer, step.Bytes = res.Duration, int64(len(res.Stdout))
	switch {
	case err != nil && gctx.Err() != nil && ctx.Err() == nil:
		step.Op, step.Failure, step.Error = transport.OpRead, transport.TimedOut, "git: no answer"
		return WalkSilent
	case err != nil && ctx.Err() != nil:
		return WalkUnmeasured
	case err != nil:
		step.Error = err.Error()
		return WalkUnmeasured
	case res.ExitCode != 0:
		step.Error = walkGitError(string(res.Stderr))
		return WalkFailed
	}
	if !walkHasRef(string(res.Stdout), root, wk.w.Module, wk.w.Query) {
		step.Error = "no such tag or branch"
		return WalkAbsent
	}
	return WalkServed
}

// walkRepo is a repository as it may be shown; one by ssh is no URL.
func walkRepo(repo string) string {
	u, err := url.Parse(repo)
	if err != nil || u.Host == "" {
		return repo
	}
	u.User = nil
	return u.String()
}

// walkGitError is the line in which git says why.
func walkGitError(stderr string) string {
	last := ""
	for line := range strings.SplitSeq(stderr, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "fatal: ") || strings.HasPrefix(line, "ERROR: ") || strings.HasPrefix(line, "remote: ") && last == "" {
			last = line
		}
	}
	if last == "" {
		last = strings.TrimSpace(stderr)
	}
	last, _, _ = strings.Cut(last, "\n")
	return last[:min(len(last), 300)]
}

// walkHasRef reports whether a list of references has what the query asks for. Commits cannot be told from such a list.
func walkHasRef(refs, root, path, query string) bool {
	if query == "latest" || query == "upgrade" || query == "patch" || module.IsPseudoVersion(query) || walkHash.MatchString(query) {
		return strings.TrimSpace(refs) != ""
	}
	sub := strings.Trim(strings.TrimPrefix(path, root), "/")
	if prefix, _, ok := module.SplitPathVersion(path); ok && !strings.HasPrefix(path, "gopkg.in/") {
		sub = strings.Trim(strings.TrimPrefix(prefix, root), "/")
	}
	tag := strings.TrimSuffix(query, "+incompatible")
	names := map[string]bool{}
	for line := range strings.SplitSeq(refs, "\n") {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			names[strings.TrimSuffix(name, "^{}")] = true
		}
	}
	if sub != "" && (names["refs/tags/"+sub+"/"+tag] || strings.Contains(path, sub+"/v") && names["refs/tags/"+tag]) {
		return true
	}
	return names["refs/heads/"+query] || sub == "" && names["refs/tags/"+tag]
}

var walkHash = regexp.MustCompile(`^[0-9a-f]{7,40}$`)

// database asks the checksum database, if it is asked for this module, and compares what was served.
func (wk *walker) database(ctx context.Context) {
	x, w := wk.x, wk.w
	db, covered := walkCovered(x, w.Module)
	if !covered || w.Version == "" {
		return
	}
	stop := WalkStop{Name: db.Name, Asked: true, State: WalkServed}
	defer func() { w.Stops = append(w.Stops, stop) }()
	way := sumFind(ctx, x, db, wk.line)
	if way.stop != nil {
		stop.target = way.at
		step := walkStepOf("supported", *way.stop)
		step.URL = httpShown(httpJoin(way.at.URL, "sumdb/"+db.Name+"/supported"))
		stop.Steps, stop.State = []WalkStep{step}, walkStateOf(*way.stop)
		return
	}
	u := httpJoin(way.base, "lookup/"+walkEscaped(w.Module, w.Version))
	a := wk.line.ask(ctx, httpAsk{url: u, limit: httpSmall, keep: true, wait: 2 * x.Net.answerWait()})
	step := walkStepOf("lookup", a)
	step.URL = httpShown(u)
	stop.State = walkStateOf(a)
	stop.target = Target{Role: Database, URL: way.base}
	stop.target.Proxy, _ = wk.line.proxy(way.base)
	if stop.State == WalkServed && wk.zip.whole && wk.zip.status == http.StatusOK {
		if want := walkSum(a.body, w.Module, w.Version); want != "" {
			if got, err := mirrorHash(wk.zip.body); err == nil && got != want {
				w.State = WalkFailed
				wk.add(walkMismatch(x, w, db.Name, want, got))
			}
		}
	}
	stop.Steps = []WalkStep{step}
}

func walkEscaped(path, version string) string {
	p, err := module.EscapePath(path)
	if err != nil {
		p = path
	}
	v, err := module.EscapeVersion(version)
	if err != nil {
		v = version
	}
	return p + "@" + v
}

// walkSum is the hash of the zip in an answer of the database.
func walkSum(lookup []byte, path, version string) string {
	for line := range strings.SplitSeq(string(lookup), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == path && f[1] == version {
			return f[2]
		}
	}
	return ""
}
