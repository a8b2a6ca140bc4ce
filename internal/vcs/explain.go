package vcs

import (
	"context"
	"fmt"
	"go/version"
	"net/url"
	"os"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// explain finds out why the go command failed on req. The second time, nothing that can be tried again is
// left; the first time it may return errTryAgain.
func (s *Source) explain(ctx context.Context, req goproxy.Request, f *failure, second bool) error {
	if f.err != nil {
		return toolError(f.err)
	}
	if req.Kind != goproxy.List && !f.made && f.evidence(query(req)) {
		return absent(s.words(req, f))
	}
	set, err := s.settings(ctx)
	if err != nil {
		return err
	}
	if f.made {
		if err := s.explainZip(ctx, req, f, set); err != nil {
			return err
		}
	}
	r, err := s.findRoot(ctx, req.Path, set)
	if err != nil {
		return err
	}
	if err := set.mayUse(r); err != nil {
		return err
	}
	if r.vcs == "mod" {
		return s.explainProxy(ctx, req, f, r)
	}
	dir, ok := r.codeDir(req.Path)
	if !ok {
		return absent(fmt.Sprintf("the repository of %s cannot hold this module", r.prefix))
	}
	c := &failed{Source: s, req: req, failure: f, second: second, root: r, codeDir: dir}
	switch r.vcs {
	case "git":
		return c.explainGit(ctx)
	case "hg":
		return c.explainHg(ctx)
	}
	return unknown(s.words(req, f))
}

// A failed is a request on which the go command failed, and where it had to look.
type failed struct {
	*Source
	*failure
	req     goproxy.Request
	second  bool
	root    root
	codeDir string
}

func query(req goproxy.Request) string {
	if req.Kind == goproxy.Latest {
		return "latest"
	}
	return req.Version
}

// noTags is the TagSum of a repository without the tags that matter: the hash of nothing.
const noTags = "t1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

// evidence reports whether the Origin beside the error says that the repository was reached and that what
// was asked is not in it. cmd/go keeps these records so that "not there" can be remembered, see
// cmd/go/internal/modfetch/codehost.Origin and UnknownRevisionError:
//
//   - a RepoSum without a Hash: all refs are known, and after fetching what they lead to the revision was not among it
//   - a Hash: the revision was found, and what is wrong with it is in the repository. But a pseudo-version
//     needs the history of the revision, and a failure to fetch that looks the same; so the Hash counts only where
//     no history was needed: for tags, and where no tag could have preceded the revision.
func (f *failure) evidence(query string) bool {
	o := f.origin
	switch {
	case o == nil || o.VCS != "git" && o.VCS != "hg":
		return false
	case o.Hash == "":
		return o.RepoSum != "" && revision(query)
	case o.VCS == "hg": // always fetches everything
		return true
	case release(query), !revision(query) && strings.HasPrefix(o.Ref, "refs/tags/"):
		return true
	case module.IsPseudoVersion(query):
		base, err := module.PseudoVersionBase(strings.TrimSuffix(query, "+incompatible"))
		return err != nil || base == ""
	}
	return o.TagSum == noTags
}

// explainZip finds the reasons why a version that exists may have no zip. It returns nil if it finds none.
func (s *Source) explainZip(ctx context.Context, req goproxy.Request, f *failure, set settings) error {
	need, err := s.goDirective(req)
	if err == nil && version.IsValid(set.goVersion) && version.Compare(need, set.goVersion) > 0 {
		return withHint(hintGoTooOld, unknown(fmt.Sprintf("the module wants %s, and direct downloads use %s", need, set.goVersion)))
	}
	if f.origin != nil && f.origin.VCS == "git" {
		if err := s.checkTree(ctx, req, f.origin); err != nil {
			return absent(s.clean(err.Error()))
		}
	}
	return nil
}

// goDirective returns the Go version that the module wants, such as "go1.26".
func (s *Source) goDirective(req goproxy.Request) (string, error) {
	req.Kind = goproxy.Mod
	name, err := s.file(req)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	f, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return "", err
	}
	if f.Go == nil {
		return "", nil
	}
	return "go" + f.Go.Version, nil
}

// explainProxy asks the module proxy that go-import names for the very file.
func (s *Source) explainProxy(ctx context.Context, req goproxy.Request, f *failure, r root) error {
	name, err := req.Name()
	if err != nil {
		return err
	}
	u, err := url.JoinPath(r.repos[0], name)
	if err != nil {
		return absent("go-import names no valid URL")
	}
	status, _, err := get(ctx, s.http, u, 1)
	if err != nil {
		return fmt.Errorf("%w: asking the module proxy of %s: %w", goproxy.ErrUnavailable, r.prefix, err)
	}
	if err := goproxy.FromStatus(status); err != nil {
		return fmt.Errorf("the module proxy of %s: %w", r.prefix, err)
	}
	return unknown(s.words(req, f))
}

// probe asks a server over http whether it has what target names, after the tool whose command is cmd failed
// there. It never returns nil: even a server that has it has not given it to the tool.
func (s *Source) probe(ctx context.Context, target, cmd, said string) error {
	status, _, err := get(ctx, s.http, target, 1)
	if err != nil {
		return withHint(hintUnreachable(cmd), fmt.Errorf("%w: the repository cannot be reached: %w", goproxy.ErrUnavailable, err))
	}
	err = fromStatus(status)
	switch {
	case err == nil:
		return withHint(hintUnreachable(cmd), unknown(said))
	case goproxy.Absent(err):
		return fmt.Errorf("the repository: %w", err)
	case status == 401 || status == 403:
		return withHint(hintCredentials(cmd), fmt.Errorf("the repository: %w", err))
	}
	return withHint(hintUnreachable(cmd), fmt.Errorf("the repository: %w", err))
}
