package doctor

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/transport"
)

// What is found about git, as the go command uses it for direct.
const (
	codeGitMissing     = "git-missing"
	codeGitBroken      = "git-broken"
	codeGitPrompt      = "git-prompts"
	codeGitHelper      = "git-helper-missing"
	codeGitInsteadOf   = "git-insteadof-broken"
	codeGitInsteadHTTP = "git-insteadof-http"
	codeGitInsteadGone = "git-insteadof-gone"
	codeGitProxyDead   = "git-proxy-dead"
	codeGitNoVerify    = "git-no-verify"
	codeGitNoLogin     = "git-no-login"
	codeSSHHostKey     = "ssh-host-unknown"
	codeSSHMissing     = "ssh-missing"
)

const (
	fixGitUnset   = "git-config-unset"
	fixGitSet     = "git-config-set"
	fixGitInstall = "git-install"
	fixSSHAccept  = "ssh-accept-key"
	fixGitLogin   = "git-login"
	fixGitLine    = "git-config-line"
	fixSSHInstall = "ssh-install"
	factGit       = "git"
	factGitRule   = "git-rule"
	factSSHKey    = "ssh-key-known"
	factGitProxy  = "git-proxy"
)

func gitCodes() []string {
	return []string{codeGitMissing, codeGitBroken, codeGitPrompt, codeGitHelper, codeGitInsteadOf, codeGitInsteadHTTP, codeGitInsteadGone,
		codeGitProxyDead, codeGitNoVerify, codeGitNoLogin, codeSSHHostKey, codeSSHMissing}
}

func gitFixCodes() []string {
	return []string{fixGitUnset, fixGitSet, fixGitInstall, fixSSHAccept, fixGitLogin, fixGitLine, fixSSHInstall}
}

func gitFactNames() []string { return []string{factGit, factGitRule, factSSHKey, factGitProxy} }

// gitNeed says how much the go command depends on git here.
type gitNeed int

const (
	gitNever gitNeed = iota // no way leads to it
	gitLast                 // after all proxies
	gitOften                // for the modules of GONOPROXY, or all
)

func gitNeeds(x *Exam) gitNeed {
	list := setProxies(setOf(x, "GOPROXY"))
	if setNoProxyList(x) != "" && setNoProxyList(x) != setNone || len(list) > 0 && list[0].Raw == "direct" {
		return gitOften
	}
	for _, p := range list {
		if p.Raw == "direct" {
			return gitLast
		}
		if p.Raw == "off" {
			break
		}
	}
	return gitNever
}

// A gitSetting is a line of git's configuration.
type gitSetting struct {
	Scope, File string // "global", "file:/home/u/.gitconfig"
	Key, Value  string // as git writes them: section and name in lower case
}

// A gitState is what the checks of git look at.
type gitState struct {
	x        *Exam
	need     gitNeed
	settings []gitSetting
	exec     string // folder of git's own programs
}

// checkGit looks at git as the go command will run it: outside of any repository of the user.
func checkGit(ctx context.Context, x *Exam) Outcome {
	if _, known := setValue(x, "GOPROXY"); !known {
		return setKept(x)
	}
	s := &gitState{x: x, need: gitNeeds(x)}
	if s.need == gitNever {
		return Outcome{NotRun: NotNeeded}
	}
	var out Outcome
	version, err := s.run(ctx, "--version")
	if errors.Is(err, gocmd.ErrNoTool) {
		f := setFinding(codeGitMissing, Note, "git") // proxies are asked first, and have nearly everything
		if s.need == gitOften {
			f.Severity = Fault
		}
		f.Fixes = ccInstallNamed(x, fixGitInstall, "git")
		out.Findings = []Finding{f}
		return out
	} else if err != nil {
		return s.broken(ctx, err)
	}
	list, err := s.run(ctx, "config", "--list", "--show-scope", "--show-origin", "-z")
	if err != nil {
		return s.broken(ctx, err)
	}
	s.settings = gitParse(list)
	s.exec, _ = s.run(ctx, "--exec-path")
	s.exec = strings.TrimSpace(s.exec)
	out.Facts = []Fact{{Name: factGit, Answer: Yes, Value: strings.TrimPrefix(strings.TrimSpace(version), "git version ")}}
	out.Findings = slices.Concat(s.prompts(), s.helpers(ctx), s.rules(), s.verify(), s.proxies(ctx), s.logins())
	ssh, facts := s.ssh(ctx)
	out.Findings, out.Facts = append(out.Findings, ssh...), append(out.Facts, facts...)
	return out
}

// run runs git in a folder that is no repository.
func (s *gitState) run(ctx context.Context, args ...string) (string, error) {
	dir, err := gocmd.NeutralDir()
	if err != nil {
		return "", err
	}
	if s.x.Runner == nil {
		return "", &gocmd.ToolError{Name: "git", Err: errors.New("no runner")}
	}
	res, err := s.x.Runner.Run(ctx, gocmd.Cmd{Name: "git", Args: args, Dir: dir})
	if err != nil {
		return "", err
	}
	if res.ExitCode != 0 {
		return "", &gitError{cmp.Or(setOneLine(string(res.Stderr)), "exit code "+strconv.Itoa(res.ExitCode))}
	}
	return string(res.Stdout), nil
}

// A gitError is what git said when it ended with an error.
type gitError struct{ says string }

// Error is the text of git.
func (e *gitError) Error() string { return e.says }

// broken is about a git that does not run, or cannot read its configuration.
func (s *gitState) broken(ctx context.Context, err error) Outcome {
	var said *gitError
	if !errors.As(err, &said) {
		return setRunError(ctx, err)
	}
	f := setFinding(codeGitBroken, Fault, "git", "Error", setShown(said.says))
	if s.need != gitOften {
		f.Severity = Warning
	}
	if m := gitBadLine.FindStringSubmatch(said.says); m != nil {
		f.Fixes = []Fix{{Code: fixGitLine, Kind: ByHand, File: m[2], Args: setArgs("Line", m[1])}}
	} else {
		f.Fixes = ccInstallNamed(s.x, fixGitInstall, "git")
	}
	return Outcome{Findings: []Finding{f}}
}

// gitBadLine is what git says of a line of its configuration that it cannot read.
var gitBadLine = regexp.MustCompile(`bad config line (\d+) in file (.+)$`)

// setRunError is what an error of gocmd.Runner.Run means for a check.
func setRunError(ctx context.Context, err error) Outcome {
	out := Outcome{NotRun: NotReadable, Detail: setOneLine(err.Error())}
	if errors.Is(err, gocmd.ErrNoTool) {
		out.NotRun = NoTool
	} else if ctx.Err() != nil {
		out.NotRun, out.Detail = OutOfTime, ""
	}
	return out
}

// gitParse reads what git config --list --show-scope --show-origin -z prints.
func gitParse(text string) []gitSetting {
	var list []gitSetting
	fields := strings.Split(text, "\x00")
	for i := 0; i+2 < len(fields); i += 3 {
		key, value, has := strings.Cut(fields[i+2], "\n")
		if !has {
			value = "true" // a name without "=" is a switch
		}
		list = append(list, gitSetting{fields[i], strings.TrimPrefix(fields[i+1], "file:"), key, value})
	}
	return list
}

// all are the settings whose key has this beginning and end, in git's order: the last counts.
func (s *gitState) all(prefix, suffix string) []gitSetting {
	var list []gitSetting
	for _, g := range s.settings {
		if strings.HasPrefix(g.Key, prefix) && strings.HasSuffix(g.Key, suffix) && len(g.Key) >= len(prefix)+len(suffix) {
			list = append(list, g)
		}
	}
	return list
}

// unset is the fix that takes g away.
func (g gitSetting) unset(x *Exam) Fix {
	return g.fix(x, fixGitUnset, g.Key, "--unset-all", g.Key, "^"+gitLiteral(g.Value)+"$")
}

// fix is a command of git for the file in which g stands. What stands in the environment is for the user to change.
func (g gitSetting) fix(x *Exam, code, setting string, args ...string) Fix {
	f := Fix{Code: code, Kind: RunCommand, File: g.File, Root: g.Scope == "system", Args: setArgs("Setting", setShown(setting))}
	where := []string{"--file", g.File}
	switch {
	case g.Scope == "command":
		return setUnset("GIT_CONFIG_COUNT")
	case g.Scope == "global" && slices.Contains(gitGlobal(x), filepath.Clean(g.File)) || !filepath.IsAbs(g.File):
		where, f.File = []string{"--" + g.Scope}, ""
	}
	f.Command = slices.Concat([]string{"git", "config"}, where, args)
	return f
}

// gitGlobal are the files that git config --global writes: others are included by them.
func gitGlobal(x *Exam) []string {
	if file := x.Env["GIT_CONFIG_GLOBAL"]; file != "" {
		return []string{file}
	}
	dir := x.Env["XDG_CONFIG_HOME"]
	if dir == "" {
		dir = filepath.Join(x.Home, ".config")
	}
	return []string{filepath.Join(x.Home, ".gitconfig"), filepath.Join(dir, "git", "config")}
}

// gitLiteral is s as a regular expression of git that matches nothing else.
func gitLiteral(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (g gitSetting) fact() Fact {
	return Fact{Name: factGitRule, Answer: Yes, Value: g.File + ": " + setShown(g.Key+"="+g.Value)}
}

// prompts is about git asking for passwords. The go command keeps it from that, unless it was told
// otherwise; then it waits for an answer, mostly behind a line that nobody sees.
func (s *gitState) prompts() []Finding {
	var found []Finding
	for _, v := range []struct {
		key string
		bad []string
	}{{"GIT_TERMINAL_PROMPT", []string{"1", "true", "yes", "on"}}, {"GCM_INTERACTIVE", []string{"1", "true", "always", "auto", "yes"}}} {
		if value := s.x.Env[v.key]; slices.Contains(v.bad, strings.ToLower(value)) {
			f := setFinding(codeGitPrompt, Warning, v.key, "Value", value)
			f.Facts, f.Fixes = setEvidence(s.x, v.key), []Fix{setUnset(v.key)}
			found = append(found, f)
		}
	}
	return found
}

// helpers finds credential helpers whose program is not there: each git that needs a login says so
// and goes on without.
func (s *gitState) helpers(ctx context.Context) []Finding {
	var found []Finding
	list := s.all("credential.", "helper")
	for i, g := range list {
		words := strings.Fields(g.Value)
		reset := slices.ContainsFunc(list[i+1:], func(o gitSetting) bool { return o.Key == g.Key && o.Value == "" })
		if len(words) == 0 || reset || strings.HasPrefix(g.Value, "!") || s.hasHelper(words[0]) || ctx.Err() != nil {
			continue
		}
		f := setFinding(codeGitHelper, Warning, g.Key, "Helper", words[0], "File", g.File)
		if u, err := url.Parse(strings.TrimSuffix(strings.TrimPrefix(g.Key, "credential."), ".helper")); err == nil && u.Host != "" && !s.fetches(u.Hostname()) {
			f.Severity = Note // of a host to which no way of the go command leads
		}
		f.Facts, f.Fixes = []Fact{g.fact()}, []Fix{g.unset(s.x)}
		if words[0] == "manager-core" && s.hasHelper("manager") { // its name until 2022
			f.Fixes = append([]Fix{g.fix(s.x, fixGitSet, g.Key, "--replace-all", g.Key, "manager", "^"+gitLiteral(g.Value)+"$")}, f.Fixes...)
		}
		found = append(found, f)
	}
	return found
}

func (s *gitState) hasHelper(name string) bool {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		name = filepath.Join(s.x.Home, rest)
	}
	if filepath.IsAbs(name) || strings.HasPrefix(name, "/") {
		if _, err := s.x.Runner.FindTool(filepath.FromSlash(name)); err == nil {
			return true
		}
		return s.x.OS == "windows" // paths of git's own world, and spaces
	}
	program := "git-credential-" + name
	for _, p := range []string{filepath.Join(s.exec, program), filepath.Join(s.exec, program+".exe")} {
		if _, err := os.Stat(p); err == nil {
			return true
		}
	}
	_, err := s.x.Runner.FindTool(program)
	return err == nil
}

// verify is about certificates that are not looked at.
func (s *gitState) verify() []Finding {
	var found []Finding
	for _, g := range s.all("http.", "sslverify") {
		if slices.Contains([]string{"false", "no", "off", "0"}, strings.ToLower(g.Value)) {
			f := setFinding(codeGitNoVerify, Warning, g.Key)
			f.Facts, f.Fixes = []Fact{g.fact()}, []Fix{g.unset(s.x)}
			found = append(found, f)
		}
	}
	if v := s.x.Env["GIT_SSL_NO_VERIFY"]; v != "" && v != "0" && !strings.EqualFold(v, "false") {
		f := setFinding(codeGitNoVerify, Warning, "GIT_SSL_NO_VERIFY")
		f.Facts, f.Fixes = setEvidence(s.x, "GIT_SSL_NO_VERIFY"), []Fix{setUnset("GIT_SSL_NO_VERIFY")}
		found = append(found, f)
	}
	return found
}

// proxies is about git's own setting of a proxy, which outlives the program behind it. Only such on
// this machine are tried: there a refusal is a proof.
func (s *gitState) proxies(ctx context.Context) []Finding {
	var found []Finding
	for _, g := range s.all("http.", "proxy") {
		u, err := url.Parse(g.Value)
		if err != nil || u.Host == "" { // 127.0.0.1:7890
			u, err = url.Parse("http://" + g.Value)
		}
		if g.Value == "" || err != nil || !setLoopback(u.Hostname()) || s.x.Net.Dial == nil {
			continue
		}
		port := u.Port()
		if port == "" {
			port = "1080"
		}
		host := u.Hostname()
		if host == "localhost" {
			host = "127.0.0.1"
		}
		dialCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		conn, err := s.x.Net.Dial(dialCtx, "tcp", net.JoinHostPort(host, port))
		cancel()
		if err == nil {
			_ = conn.Close()
			continue
		}
		if transport.FailureOf(transport.OpConnect, err) != transport.Refused {
			continue
		}
		f := setFinding(codeGitProxyDead, Fault, g.Key, "Proxy", setShown(u.Host))
		if s.need == gitLast {
			f.Severity = Warning
		}
		f.Facts = []Fact{g.fact(), {Name: factGitProxy, Answer: No, Value: u.Host}}
		f.Fixes = []Fix{g.unset(s.x)}
		found = append(found, f)
	}
	return found
}

func setLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
