package vcs

import (
	"context"
	"net/url"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// hgPlain keeps hg from asking questions and from the user's aliases.
var hgPlain = []string{"--noninteractive", "--config=ui.interactive=no"}

// nullNode is the head of an empty Mercurial repository.
var nullNode = strings.Repeat("0", 40)

// hgIdentify returns the node that rev, or "" for the tip, is in a remote repository.
func (s *Source) hgIdentify(ctx context.Context, repo, rev string) (node string, res gocmd.Result, err error) {
	args := append([]string{"identify", "--template={node}"}, hgPlain...)
	if rev != "" {
		args = append(args, "--rev="+rev)
	}
	res, err = s.run.Run(ctx, gocmd.Cmd{Name: "hg", Args: append(args, "--", repo), Dir: s.neutral, Env: []string{"HGPLAIN=1"}})
	if err != nil {
		return "", res, toolError(err)
	}
	return strings.TrimSpace(string(res.Stdout)), res, nil
}

// explainHg asks the repository what the go command can have seen there.
func (c *failed) explainHg(ctx context.Context) error {
	repo := c.root.repos[0]
	tip, res, err := c.hgIdentify(ctx, repo, "")
	if err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return c.unreachableHg(ctx, repo, string(res.Stderr))
	}
	q := query(c.req)
	switch {
	case c.req.Kind == goproxy.List:
		return c.tryAgain()
	case tip == nullNode:
		return absent("the repository has no commits")
	case !revision(q):
		return c.explainHgChoice(ctx, q)
	}
	rev := q
	switch {
	case release(q):
		rev = c.tag(q)
	case module.IsPseudoVersion(q):
		if rev, err = module.PseudoVersionRev(q); err != nil {
			return absent(c.words(c.req, c.failure))
		}
	}
	if _, res, err = c.hgIdentify(ctx, repo, rev); err != nil || res.ExitCode == 0 {
		return orElse(err, c.tryAgain)
	}
	// Mercurial has one exit code for all trouble. If the tip can be had, before and after, it was the revision.
	if _, res, err = c.hgIdentify(ctx, repo, ""); err != nil || res.ExitCode != 0 {
		return orElse(err, c.tryAgain)
	}
	return absent("the repository has no revision " + rev)
}

func orElse(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}

// explainHgChoice is about latest and queries such as v1.
func (c *failed) explainHgChoice(ctx context.Context, q string) error {
	m, f := c.goList(ctx, []string{"-versions"}, c.req.Path)
	if f == nil {
		f = c.confirmHg(ctx, c.root.repos[0])
	}
	if f != nil || !prefixQuery(q) {
		return c.tryAgain()
	}
	for _, v := range m.Versions {
		if strings.HasPrefix(v, q+".") {
			return c.tryAgain()
		}
	}
	return absent(c.words(c.req, c.failure))
}

func (c *failed) unreachableHg(ctx context.Context, repo, said string) error {
	cmd := "hg identify " + userinfo.ReplaceAllString(repo, "://")
	said = c.clean(said)
	u, err := url.Parse(repo)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https"):
		return c.probe(ctx, strings.TrimSuffix(repo, "/")+"?cmd=capabilities", cmd, said)
	case err == nil && u.Scheme == "ssh":
		return withHint(hintSSH(cmd), unknown(said))
	}
	return withHint(hintUnreachable(cmd), unknown(said))
}

// confirmList makes sure that a list comes from the repository. The go command lists a Mercurial repository
// that it cannot reach as it last saw it, or as empty, without an error (cmd/go/internal/modfetch/codehost.vcsRepo.loadTags).
func (s *Source) confirmList(ctx context.Context, path string) *failure {
	if r, ok, _ := staticRoot(path); ok && r.vcs != "hg" {
		return nil
	}
	if kind, ok := s.kinds.get(path); ok && kind != "hg" {
		return nil
	}
	set, err := s.settings(ctx)
	if err != nil {
		return &failure{err: err}
	}
	r, err := s.findRoot(ctx, path, set)
	if err != nil {
		// The go command has found it a moment ago; that it is Mercurial is the less likely, the longer nobody uses it.
		s.log.DebugContext(ctx, "cannot find out the version control system", "module", path, "err", err)
		return nil
	}
	s.kinds.set(path, r.vcs)
	if r.vcs != "hg" {
		return nil
	}
	return s.confirmHg(ctx, r.repos[0])
}

// confirmHg makes sure that the go command's clone has the tip of the repository.
func (s *Source) confirmHg(ctx context.Context, repo string) *failure {
	tip, res, err := s.hgIdentify(ctx, repo, "")
	switch {
	case err != nil:
		return &failure{err: err}
	case res.ExitCode != 0:
		return &failure{text: string(res.Stderr)}
	}
	dir := s.workDir("vcs1.hg", repo)
	if tip == nullNode || !isDir(dir) {
		return nil
	}
	res, err = s.startIn(ctx, dir, "hg", append([]string{"log", "--limit=1", "--rev=" + tip, "--template=x"}, hgPlain...)...)
	switch {
	case err != nil:
		return &failure{err: err}
	case res.ExitCode != 0:
		return &failure{text: "the repository has changes that the go command could not fetch"}
	}
	return nil
}
