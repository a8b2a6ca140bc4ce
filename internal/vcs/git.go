package vcs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// explainGit asks the repository what the go command can have seen there.
func (c *failed) explainGit(ctx context.Context) error {
	if _, err := c.run.FindTool("git"); err != nil {
		return toolError(err)
	}
	repo, refs, err := c.lsRemote(ctx)
	if err != nil {
		return err
	}
	q := query(c.req)
	switch {
	case c.req.Kind == goproxy.List:
		return c.tryAgain()
	case release(q):
		// A tag or nothing. If it is there, the go command has not come so far as to fetch it; see evidence.
		if tag := c.tag(q); refs["refs/tags/"+tag] == "" {
			return absent("the repository has no tag " + tag)
		}
		return c.tryAgain()
	case q == "latest":
		if refs["HEAD"] == "" && !c.anyTag(refs) {
			return absent("the repository has no commits")
		}
		return c.explainCommit(ctx, repo, refs, refs["HEAD"])
	case prefixQuery(q):
		return c.explainPrefix(ctx, repo, refs)
	}
	rev, err := findRev(refs, q)
	if err != nil {
		return err
	}
	return c.explainCommit(ctx, repo, refs, rev)
}

// tryAgain is for what is there, and yet did not come.
func (c *failed) tryAgain() error {
	if !c.second {
		return errTryAgain
	}
	return unknown(c.words(c.req, c.failure))
}

// tag returns the tag of a release version.
func (c *failed) tag(version string) string {
	v := strings.TrimSuffix(version, "+incompatible")
	if c.codeDir == "" {
		return v
	}
	return c.codeDir + "/" + v
}

// anyTag reports whether there is a tag that a pseudo-version of the module could have to come after.
func (c *failed) anyTag(refs map[string]string) bool {
	prefix := "refs/tags/" + c.tag("v")
	for ref := range refs {
		if strings.HasPrefix(ref, prefix) {
			return true
		}
	}
	return false
}

// findRev returns what a revision query leads to: the commit of a branch or tag, or what looks like a commit. The
// error matches ErrNotExist.
func findRev(refs map[string]string, q string) (string, error) {
	if semver.IsValid(q) && module.IsPseudoVersion(q) {
		return module.PseudoVersionRev(q)
	}
	for _, ref := range []string{"refs/tags/" + q, "refs/heads/" + q} {
		if refs[ref] != "" {
			return refs[ref], nil
		}
	}
	if q == "HEAD" && refs[q] != "" {
		return refs[q], nil
	}
	if !hashLike.MatchString(q) {
		return "", absent("the repository has no branch or tag " + q)
	}
	return q, nil
}

var hashLike = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// explainPrefix is about queries such as v1.
func (c *failed) explainPrefix(ctx context.Context, repo string, refs map[string]string) error {
	m, f := c.goList(ctx, []string{"-versions"}, c.req.Path)
	if f != nil {
		return c.tryAgain()
	}
	for _, v := range m.Versions {
		if strings.HasPrefix(v, c.req.Version+".") {
			return c.tryAgain()
		}
	}
	if len(m.Versions) > 0 || !c.anyTag(refs) {
		return absent(c.words(c.req, c.failure))
	}
	return c.explainCommit(ctx, repo, refs, refs["HEAD"])
}

// explainCommit is about a commit that the go command had to find, with its history.
func (c *failed) explainCommit(ctx context.Context, repo string, refs map[string]string, rev string) error {
	has, shallow := c.goClone(ctx, repo, rev)
	complete := has && (!shallow || !c.anyTag(refs))
	switch {
	case c.made: // of a version that was there, only the zip is missing
	case has && c.second, complete && c.origin != nil && c.origin.Hash != "":
		return absent(c.words(c.req, c.failure))
	}
	if c.second {
		return unknown(c.words(c.req, c.failure))
	}
	if complete {
		return errTryAgain
	}
	found, err := c.fetchHistory(ctx, repo, refs, rev)
	switch {
	case err != nil:
		return err
	case !found:
		return absent("no branch or tag of the repository leads to " + rev)
	}
	return errTryAgain
}

// lsRemote returns the refs of the first of the root's repositories that answers. Tags lead to commits, not to
// tag objects.
func (c *failed) lsRemote(ctx context.Context) (repo string, refs map[string]string, err error) {
	for _, repo := range c.root.repos {
		res, runErr := c.start(ctx, "git", "ls-remote", "-q", "--", repo)
		switch {
		case runErr != nil:
			return "", nil, toolError(runErr)
		case res.ExitCode == 0:
			return repo, parseRefs(string(res.Stdout)), nil
		case err == nil: // https comes first, and is the one that can say what it means
			err = c.unreachableGit(ctx, repo, string(res.Stderr))
		}
	}
	return "", nil, err
}

// parseRefs parses the output of git ls-remote.
func parseRefs(out string) map[string]string {
	refs := make(map[string]string)
	for line := range strings.Lines(out) {
		hash, ref, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		tag, peeled := strings.CutSuffix(ref, "^{}")
		if _, seen := refs[tag]; peeled || !seen {
			refs[tag] = hash
		}
	}
	return refs
}

// unreachableGit says what git ls-remote could not: whether the server has no such repository, keeps it closed, or
// is not there.
func (c *failed) unreachableGit(ctx context.Context, repo, said string) error {
	// url.<base>.insteadOf may lead elsewhere.
	res, err := c.start(ctx, "git", "ls-remote", "--get-url", "--", repo)
	if err != nil {
		return toolError(err)
	}
	target := strings.TrimSpace(string(res.Stdout))
	cmd := "git ls-remote " + userinfo.ReplaceAllString(repo, "://")
	u, err := url.Parse(target)
	said = c.clean(said)
	switch {
	case err != nil: // scp-like, as git@host:path
		return withHint(hintSSH(cmd), unknown(said))
	case u.Scheme == "http" || u.Scheme == "https":
		return c.probe(ctx, strings.TrimSuffix(target, "/")+"/info/refs?service=git-upload-pack", cmd, said)
	case u.Scheme == "file" || u.Scheme == "" && filepath.IsAbs(target):
		if _, err := os.Stat(filepath.FromSlash(u.Path)); errors.Is(err, fs.ErrNotExist) {
			return absent("no repository is there")
		}
	case strings.Contains(u.Scheme, "ssh"), u.Scheme == "":
		return withHint(hintSSH(cmd), unknown(said))
	}
	return withHint(hintUnreachable(cmd), unknown(said))
}

// goClone looks whether the commit is in the clone that the go command has of a repository, and whether
// that clone is without history. Where the clone is, is up to the go command (cmd/go/internal/modfetch/codehost.WorkDir): if
// it is elsewhere, has is false.
func (s *Source) goClone(ctx context.Context, repo, rev string) (has, shallow bool) {
	dir := s.workDir("git3", repo)
	if rev == "" || !isDir(dir) {
		return false, false
	}
	res, err := s.startIn(ctx, dir, "git", "rev-parse", "-q", "--verify", "--end-of-options", rev+"^{commit}")
	if err != nil || res.ExitCode != 0 {
		return false, false
	}
	res, err = s.startIn(ctx, dir, "git", "rev-parse", "--is-shallow-repository")
	return true, err != nil || strings.TrimSpace(string(res.Stdout)) != "false"
}

func (s *Source) workDir(kind, repo string) string {
	return filepath.Join(s.mod, "cache", "vcs", fmt.Sprintf("%x", sha256.Sum256([]byte(kind+":"+repo))))
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// fetchHistory fetches the commits of all branches and tags, and looks for rev among them. Commits that other
// refs lead to do not count, as they do not for the go command: pull requests are everybody's.
func (s *Source) fetchHistory(ctx context.Context, repo string, refs map[string]string, rev string) (found bool, err error) {
	dir, err := os.MkdirTemp(s.tmp(), "clone-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	git := func(args ...string) (gocmd.Result, error) {
		res, err := s.startIn(ctx, dir, "git", args...)
		return res, toolError(err)
	}
	format := "sha1"
	for _, hash := range refs {
		if len(hash) == 64 {
			format = "sha256"
		}
	}
	fetch := []string{"fetch", "-q", "--no-tags", "--filter=tree:0", "origin", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}
	for _, args := range [][]string{
		{"init", "-q", "--bare", "--object-format=" + format}, {"remote", "add", "--", "origin", repo}, fetch,
	} {
		res, err := git(args...)
		if err == nil && res.ExitCode != 0 && args[0] == "fetch" {
			// Not every server and every git can leave the files out.
			if res, err = git(append(fetch[:3:3], fetch[4:]...)...); err == nil && res.ExitCode != 0 {
				return false, withHint(hintUnreachable("git ls-remote "+userinfo.ReplaceAllString(repo, "://")), unknown(s.clean(string(res.Stderr))))
			}
		}
		if err != nil {
			return false, err
		}
	}
	// Git must not fetch what is missing: a server may give any commit to those who know its name.
	for _, args := range [][]string{{"remote", "remove", "origin"}, {"config", "--unset", "extensions.partialClone"}} {
		if _, err := git(args...); err != nil {
			return false, err
		}
	}
	res, err := git("rev-parse", "-q", "--verify", "--end-of-options", rev+"^{commit}")
	return err == nil && res.ExitCode == 0, err
}
