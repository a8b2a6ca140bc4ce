package vcs

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// repoVars tie git to one repository. They are set in hooks, from where goferry may be started too.
// See `git rev-parse --local-env-vars`.
var repoVars = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_GRAFT_FILE",
	"GIT_SHALLOW_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_REPLACE_REF_BASE", "GIT_IMPLICIT_WORK_TREE",
}

// environ is the environment of all that runs here. GOPRIVATE stays as the user has it, because GOVCS speaks
// of private and public modules; GONOPROXY stays because it changes nothing for GOPROXY=direct.
func (s *Source) environ(base []string, insecure string) []string {
	env := make([]string, 0, len(base)+24)
	for _, kv := range base {
		key, _, _ := strings.Cut(kv, "=")
		drop := false
		for _, v := range repoVars {
			drop = drop || key == v
		}
		if !drop {
			env = append(env, kv)
		}
	}
	env = append(env,
		"GOPROXY=direct", "GO111MODULE=on", "GOWORK=off",
		"GOSUMDB=off", "GONOSUMDB=*", // the checksum database is asked elsewhere, for whatever source a file came from
		"GOTOOLCHAIN=local",   // no go.mod makes us download a toolchain
		"GOFLAGS=-modcacherw", // and none of the user's, such as -mod=vendor
		"GOMODCACHE="+s.mod,   // see Config.Dir
		"GOPATH="+filepath.Join(s.dir, "gopath"),
		"GOCACHE="+filepath.Join(s.dir, "gocache"), // there may be no HOME
		"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never",
	)
	if insecure != "" {
		env = append(env, "GOINSECURE="+insecure)
	}
	// Git's housekeeping stays in the foreground, where it ends with the command that caused it.
	if n, err := strconv.Atoi(orDefault(last(env, "GIT_CONFIG_COUNT"), "0")); err == nil && n >= 0 {
		for _, key := range []string{"gc.autoDetach", "maintenance.autoDetach"} {
			i := strconv.Itoa(n)
			env = append(env, "GIT_CONFIG_KEY_"+i+"="+key, "GIT_CONFIG_VALUE_"+i+"=false")
			n++
		}
		env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
	}
	return env
}

// last returns the value of key in env.
func last(env []string, key string) string {
	value := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			value = v
		}
	}
	return value
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// An sshCommand keeps ssh from asking questions, unless the user has said how to call ssh.
type sshCommand struct {
	mu    sync.Mutex
	known bool
	env   []string
}

// sshEnv returns what the environment lacks for that. The variable would hide the setting core.sshCommand, so
// git is asked for it first, once.
func (s *Source) sshEnv(ctx context.Context) []string {
	s.ssh.mu.Lock()
	defer s.ssh.mu.Unlock()
	if s.ssh.known {
		return s.ssh.env
	}
	if last(s.run.Env, "GIT_SSH_COMMAND") == "" && last(s.run.Env, "GIT_SSH") == "" {
		res, err := s.run.Run(ctx, gocmd.Cmd{Name: "git", Args: []string{"config", "--get", "core.sshCommand"}, Dir: s.neutral})
		if err != nil {
			return nil // no git, or no time; both are noticed elsewhere
		}
		if res.ExitCode == 1 { // not set, says git-config(1)
			s.ssh.env = []string{"GIT_SSH_COMMAND=ssh -o BatchMode=yes"}
		}
	}
	s.ssh.known = true
	return s.ssh.env
}

// start runs a tool where no module and no repository is near.
func (s *Source) start(ctx context.Context, name string, args ...string) (gocmd.Result, error) {
	return s.startIn(ctx, s.neutral, name, args...)
}

func (s *Source) startIn(ctx context.Context, dir, name string, args ...string) (gocmd.Result, error) {
	return s.run.Run(ctx, gocmd.Cmd{Name: name, Args: args, Dir: dir, Env: s.sshEnv(ctx)})
}

// An origin is where cmd/go says that a version came from, also beside some errors; see evidence.
type origin struct {
	VCS, URL, Subdir, Hash, Ref, TagSum, RepoSum string
}

// A failure is what is known about a go command that failed.
type failure struct {
	err    error  // the go command could not be run to its end
	text   string // its own words
	origin *origin
	made   bool // the version exists and its .info was made; the zip was not
}

// goList runs go list -m on one argument.
func (s *Source) goList(ctx context.Context, flags []string, arg string) (m struct {
	Version  string
	Versions []string
	Origin   *origin
	Error    *struct{ Err string }
}, f *failure) {
	args := append([]string{"list", "-m", "-e", "-json"}, flags...)
	res, err := s.start(ctx, "go", append(args, arg)...)
	if err != nil {
		return m, &failure{err: err}
	}
	if err := json.Unmarshal(res.Stdout, &m); err != nil || res.ExitCode != 0 {
		return m, &failure{text: string(res.Stderr)}
	}
	if m.Error != nil {
		return m, &failure{text: m.Error.Err, origin: m.Origin}
	}
	return m, nil
}

// again wraps explain for commands that are worth a second try: explain has shown that the fault, if it was
// the network's, is over.
func (s *Source) again(ctx context.Context, req goproxy.Request, try func() *failure) error {
	for second := false; ; second = true {
		f := try()
		if f == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.DebugContext(ctx, "the go command failed", "module", req.Path, "version", req.Version, "err", userinfo.ReplaceAllString(f.text, "://"), "origin", f.origin)
		err := s.explain(ctx, req, f, second)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errTryAgain) {
			return err
		}
	}
}

// errTryAgain says that nothing stands in the way of a command that failed.
var errTryAgain = errors.New("try again")

// stat resolves the version or query of an Info, Mod or Latest, and makes its .info and .mod.
func (s *Source) stat(ctx context.Context, req goproxy.Request) (version string, err error) {
	query, flags := req.Version, []string(nil)
	if req.Kind == goproxy.Latest {
		// With -retracted, cmd/go does not pass over retracted versions, nor over their go.mod files.
		query, flags = "latest", []string{"-retracted"}
	}
	err = s.again(ctx, req, func() *failure {
		m, f := s.goList(ctx, flags, req.Path+"@"+query)
		if f != nil && (f.err != nil || req.Kind != goproxy.Latest || !canonical(m.Version)) {
			return f
		}
		// A Latest with a version came through: what failed is the look at its retractions.
		if m.Origin != nil && m.Origin.VCS != "" {
			s.kinds.set(req.Path, m.Origin.VCS)
		}
		version = m.Version
		if !revision(query) {
			return s.confirmList(ctx, req.Path) // it was chosen from the list
		}
		return s.haveMod(req)
	})
	return version, err
}

// haveMod makes sure that a .mod that was asked for is there: the go command does not say if only that failed.
func (s *Source) haveMod(req goproxy.Request) *failure {
	if req.Kind != goproxy.Mod {
		return nil
	}
	name, err := s.file(req)
	if err == nil {
		_, err = os.Stat(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{text: "the go command could not get the go.mod file"}
	} else if err != nil {
		return &failure{err: err}
	}
	return nil
}

// list returns the tagged versions, retracted ones too.
func (s *Source) list(ctx context.Context, req goproxy.Request) (versions []string, err error) {
	err = s.again(ctx, req, func() *failure {
		m, f := s.goList(ctx, []string{"-versions", "-retracted"}, req.Path)
		if f != nil {
			return f
		}
		versions, _ = goproxy.ParseList(req.Path, []byte(strings.Join(m.Versions, "\n")))
		return s.confirmList(ctx, req.Path)
	})
	return versions, err
}

// download makes the zip.
func (s *Source) download(ctx context.Context, req goproxy.Request) error {
	return s.again(ctx, req, func() *failure {
		res, err := s.start(ctx, "go", "mod", "download", "-json", req.Path+"@"+req.Version)
		if err != nil {
			return &failure{err: err}
		}
		var m struct {
			Error, Info, Zip, Dir string
			Origin                *origin
		}
		err = json.Unmarshal(res.Stdout, &m)
		s.dropTree(m.Dir)
		switch {
		case err != nil:
			return &failure{text: string(res.Stderr)}
		case m.Error != "" || res.ExitCode != 0:
			return &failure{text: m.Error, origin: m.Origin, made: m.Info != ""}
		}
		if _, err := os.Stat(m.Zip); err != nil {
			return &failure{err: err}
		}
		return nil
	})
}

// revision reports whether a query names one revision: a version, a branch, a tag or a commit, and not a
// choice among versions, as latest and v1 are.
func revision(query string) bool {
	return query != "" && query != "latest" && !prefixQuery(query)
}

func prefixQuery(query string) bool {
	return semver.IsValid(query) && strings.Count(query, ".") < 2 && semver.Prerelease(query) == "" && semver.Build(query) == ""
}

// release reports whether version can only be a tag.
func release(version string) bool {
	return canonical(version) && !module.IsPseudoVersion(version)
}

func canonical(version string) bool {
	return version != "" && module.CanonicalVersion(version) == version
}
