package doctor

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/gocmd"
)

// A gitRule is a url.BASE.insteadOf line: what begins with From is fetched from Base.
type gitRule struct {
	gitSetting
	Base, From string
}

func (s *gitState) insteadOf() []gitRule {
	var list []gitRule
	for _, g := range s.all("url.", ".insteadof") {
		list = append(list, gitRule{g, strings.TrimSuffix(strings.TrimPrefix(g.Key, "url."), ".insteadof"), g.Value})
	}
	return list
}

// setGitGone are copies of github.com that have ended, to which rules of old still lead.
var setGitGone = []string{"hub.fastgit.org", "hub.fastgit.xyz", "github.com.cnpmjs.org"}

// rules judges the insteadOf lines.
func (s *gitState) rules() []Finding {
	var found []Finding
	for _, r := range s.insteadOf() {
		base := setShown(r.Base)
		add := func(code string, severity Severity, fixes ...Fix) {
			f := setFinding(code, severity, base, "Base", base, "From", setShown(r.From))
			f.Facts, f.Fixes = []Fact{r.fact()}, append(fixes, r.unset(s.x))
			found = append(found, f)
		}
		better := gitMeantBase(r.Base, r.From)
		host, _ := gitHost(r.Base)
		switch {
		case better != "":
			add(codeGitInsteadOf, Fault, r.fix(s.x, fixGitSet, "url."+better+".insteadOf", "--rename-section", "url."+r.Base, "url."+better))
		case slices.Contains(setGitGone, host):
			add(codeGitInsteadGone, Warning)
		case strings.HasPrefix(r.Base, "http://") && strings.HasPrefix(r.From, "https://") && !setLocalHost(host):
			add(codeGitInsteadHTTP, Warning)
		}
	}
	return found
}

// gitMeantBase is what a base that can never work was meant to be; "" where nothing is wrong with it.
// Rules replace text: "git@host/" makes a path on this machine of every address, and
// "ssh://git@host:" a port of its first folder.
func gitMeantBase(base, from string) string {
	if rest, ok := strings.CutPrefix(base, "ssh://"); ok {
		if host, ok := strings.CutSuffix(rest, ":"); ok && !strings.Contains(host, "/") && strings.HasSuffix(from, "/") {
			return "ssh://" + host + "/"
		}
		return ""
	}
	user, rest, at := strings.Cut(base, "@")
	if !at || strings.ContainsAny(user, ":/") || strings.Contains(rest, ":") {
		return ""
	}
	host, path, slash := strings.Cut(rest, "/")
	if !strings.Contains(host, ".") {
		return ""
	}
	if slash {
		return user + "@" + host + ":" + path
	}
	if strings.HasSuffix(from, "/") {
		return user + "@" + host + ":"
	}
	return ""
}

// gitHost is the host of an address, and whether it is reached by ssh.
func gitHost(address string) (host string, ssh bool) {
	if strings.Contains(address, "://") {
		u, err := url.Parse(strings.TrimSuffix(address, ":"))
		if err != nil {
			return "", false
		}
		return u.Hostname(), u.Scheme == "ssh" || u.Scheme == "git+ssh"
	}
	before, _, colon := strings.Cut(address, ":")
	if !colon || strings.Contains(before, "/") || len(before) < 2 {
		return "", false
	}
	if i := strings.LastIndexByte(before, '@'); i >= 0 {
		before = before[i+1:]
	}
	return before, true
}

// ssh looks whether the hosts to which rules lead by ssh are known: for one that is not, ssh asks whether
// to trust it, which nobody sees or can answer while the go command runs.
func (s *gitState) ssh(ctx context.Context) (found []Finding, facts []Fact) {
	var hosts []string
	for _, r := range s.insteadOf() {
		if gitMeantBase(r.Base, r.From) != "" {
			continue
		}
		target, ssh := gitTarget(r.Base)
		if ssh && target != "" && !slices.Contains(hosts, target) {
			hosts = append(hosts, target)
		}
	}
	if len(hosts) == 0 {
		return nil, nil
	}
	if s.x.Env["GIT_SSH_COMMAND"] != "" || s.x.Env["GIT_SSH"] != "" || len(s.all("core.sshcommand", "")) > 0 {
		return nil, []Fact{{Name: factSSHKey, Answer: Unmeasured, Value: strings.Join(hosts, ", "), Reason: NotNeeded}} // a way of the user's own
	}
	for _, host := range hosts {
		known := s.sshKnown(ctx, host)
		if known.Reason == NoTool {
			f := setFinding(codeSSHMissing, s.severity(host), "ssh", "Host", host)
			f.Fixes = ccInstallNamed(s.x, fixSSHInstall, "ssh")
			return []Finding{f}, facts
		}
		facts = append(facts, known)
		if known.Answer != No {
			continue
		}
		f := setFinding(codeSSHHostKey, s.severity(host), host, "Host", host)
		f.Facts = []Fact{known}
		f.Fixes = []Fix{{Code: fixSSHAccept, Kind: ByHand, Args: setArgs("Host", host), Command: append([]string{"ssh", "-T"}, sshArgs(host)...)}}
		found = append(found, f)
	}
	return found, facts
}

// gitTarget is user@host, or user@host:port, of an address.
func gitTarget(address string) (target string, ssh bool) {
	host, ssh := gitHost(address)
	if host == "" || !ssh {
		return "", false
	}
	if u, err := url.Parse(strings.TrimSuffix(address, ":")); err == nil && u.Host != "" {
		target = u.Host
		if u.User != nil {
			target = u.User.Username() + "@" + target
		}
		return target, true
	}
	before, _, _ := strings.Cut(address, ":")
	return before, true
}

// sshArgs are the arguments for a target of gitTarget.
func sshArgs(target string) []string {
	user, hostport, at := strings.Cut(target, "@")
	if !at {
		user, hostport = "", target
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return []string{target}
	}
	if at {
		host = user + "@" + host
	}
	return []string{"-p", port, host}
}

// sshKnown asks ssh itself how it would connect, and ssh-keygen whether the key is known.
func (s *gitState) sshKnown(ctx context.Context, target string) Fact {
	fact := Fact{Name: factSSHKey, Answer: Unmeasured, Value: target, Reason: NotReadable}
	dir, err := gocmd.NeutralDir()
	if err != nil {
		return fact
	}
	res, err := s.x.Runner.Run(ctx, gocmd.Cmd{Name: "ssh", Args: append([]string{"-G"}, sshArgs(target)...), Dir: dir})
	if err != nil {
		fact.Reason = setRunError(ctx, err).NotRun
		return fact
	}
	conf := map[string][]string{}
	for line := range strings.Lines(string(res.Stdout)) {
		if w := strings.Fields(line); len(w) > 1 {
			conf[strings.ToLower(w[0])] = w[1:]
		}
	}
	first := func(key string) string { return append(conf[key], "")[0] }
	if res.ExitCode != 0 || first("hostname") == "" {
		return fact
	}
	if strict := first("stricthostkeychecking"); strict == "no" || strict == "off" || strict == "false" || strict == "accept-new" {
		return Fact{Name: factSSHKey, Answer: Yes, Value: target}
	}
	if len(conf["knownhostscommand"]) > 0 && first("knownhostscommand") != "none" || first("verifyhostkeydns") == "yes" || first("verifyhostkeydns") == "true" {
		return fact
	}
	name := first("hostkeyalias")
	if name == "" || name == "none" {
		if name = first("hostname"); first("port") != "22" && first("port") != "" {
			name = "[" + name + "]:" + first("port")
		}
	}
	for _, file := range append(conf["userknownhostsfile"], conf["globalknownhostsfile"]...) {
		if rest, ok := strings.CutPrefix(file, "~/"); ok {
			file = filepath.Join(s.x.Home, rest)
		}
		if _, err := os.Stat(file); err != nil {
			continue
		}
		res, err := s.x.Runner.Run(ctx, gocmd.Cmd{Name: "ssh-keygen", Args: []string{"-F", name, "-f", file}, Dir: dir})
		if err != nil {
			return fact
		}
		if res.ExitCode == 0 {
			return Fact{Name: factSSHKey, Answer: Yes, Value: target}
		}
	}
	return Fact{Name: factSSHKey, Answer: No, Value: target}
}

// logins is about private modules of a host for which git has no login of any kind.
func (s *gitState) logins() []Finding {
	var found []Finding
	private := setNoProxyList(s.x)
	var hosts []string
	for _, glob := range setSplit(private) {
		host, _, _ := strings.Cut(strings.TrimSuffix(glob, "/"), "/")
		if strings.ContainsAny(host, `*?[\`) || !strings.Contains(host, ".") || slices.Contains(hosts, host) || s.login(host) {
			continue
		}
		hosts = append(hosts, host)
		f := setFinding(codeGitNoLogin, Note, host, "Host", host)
		f.Fixes = []Fix{{Code: fixGitLogin, Kind: RunCommand, Args: setArgs("Host", host), Command: []string{"git", "config", "--global", "url.git@" + host + ":.insteadOf", "https://" + host + "/"}}}
		found = append(found, f)
	}
	return found
}

// login reports whether git may have a way to log in at host: a helper, a rule, a netrc file.
func (s *gitState) login(host string) bool {
	if len(s.all("credential.", "helper")) > 0 || len(s.all("http.", "extraheader")) > 0 || s.x.Env["GIT_ASKPASS"] != "" || len(s.all("core.askpass", "")) > 0 {
		return true
	}
	for _, r := range s.insteadOf() {
		if strings.HasPrefix("https://"+host+"/", r.From) || strings.HasPrefix(r.From, "https://"+host+"/") {
			return true
		}
	}
	for _, name := range []string{s.x.Env["NETRC"], filepath.Join(s.x.Home, ".netrc"), filepath.Join(s.x.Home, "_netrc")} {
		if name == "" {
			continue
		}
		data, err := os.ReadFile(name)
		if err == nil && (slices.Contains(strings.Fields(string(data)), host) || slices.Contains(strings.Fields(string(data)), "default")) {
			return true
		}
	}
	return slices.Contains(setPublicSites, host)
}

// fetches reports whether the go command asks host by git before any proxy: all hosts, or those of GONOPROXY.
func (s *gitState) fetches(host string) bool {
	if list := setProxies(setOf(s.x, "GOPROXY")); len(list) > 0 && list[0].Raw == "direct" {
		return true
	}
	for _, glob := range setSplit(setNoProxyList(s.x)) {
		if first, _, _ := strings.Cut(glob, "/"); module.MatchPrefixPatterns(first, host) {
			return true
		}
	}
	return false
}

// severity is that of something which keeps git from a target of gitTarget, to which rules lead.
func (s *gitState) severity(target string) Severity {
	for _, r := range s.insteadOf() {
		if t, _ := gitTarget(r.Base); t != target {
			continue
		}
		if host, _ := gitHost(r.From); s.fetches(host) {
			return Fault
		}
	}
	return Warning
}
