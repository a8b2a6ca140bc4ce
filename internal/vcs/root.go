package vcs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// A root is where the module paths below prefix are kept.
type root struct {
	prefix string   // module path of the root of the repository
	vcs    string   // "git", "hg", …; "mod" is a module proxy
	repos  []string // URLs, the first that works counts
	subdir string   // of the repository, where prefix is; see go-import
}

// codeDir returns the folder of the repository where the module path is looked for first. It is false if
// the repository cannot hold the module.
// https://go.dev/ref/mod#vcs-dir
func (r root) codeDir(modPath string) (string, bool) {
	prefix, _, ok := module.SplitPathVersion(modPath)
	if !ok {
		return "", false
	}
	dir := ""
	if r.prefix != modPath {
		if !hasPathPrefix(prefix, r.prefix) {
			return "", false
		}
		dir = strings.Trim(strings.TrimPrefix(prefix, r.prefix), "/")
	}
	if r.subdir != "" {
		dir = path.Join(dir, r.subdir)
	}
	return dir, true
}

// A host has import paths that say where the repository is. See `go help importpath`.
type host struct {
	name string // first elements of the path
	path *regexp.Regexp
	vcs  string
}

var hosts = []host{
	{"github.com", regexp.MustCompile(`^(github\.com/[\w.\-]+/[\w.\-]+)(/[\w.\-]+)*$`), "git"},
	{"bitbucket.org", regexp.MustCompile(`^(bitbucket\.org/[\w.\-]+/[\w.\-]+)(/[\w.\-]+)*$`), "git"},
	{"hub.jazz.net/git", regexp.MustCompile(`^(hub\.jazz\.net/git/[a-z0-9]+/[\w.\-]+)(/[\w.\-]+)*$`), "git"},
	{"git.apache.org", regexp.MustCompile(`^(git\.apache\.org/[a-z0-9_.\-]+\.git)(/[\w.\-]+)*$`), "git"},
	{"git.openstack.org", regexp.MustCompile(`^(git\.openstack\.org/[\w.\-]+/[\w.\-]+)(?:\.git)?(/[\w.\-]+)*$`), "git"},
	{"chiselapp.com", regexp.MustCompile(`^(chiselapp\.com/user/[A-Za-z0-9]+/repository/[\w.\-]+)$`), "fossil"},
}

// suffixed is the form of paths that name the version control system anywhere, as in example.com/repo.git/dir.
var suffixed = regexp.MustCompile(`^((?:[a-z0-9.\-]+\.)+[a-z0-9.\-]+(?::[0-9]+)?(?:/~?[\w.\-]+)+?)\.(bzr|fossil|git|hg|svn)(/~?[\w.\-]+)*$`)

// schemes are the secure ones that the go command tries on a suffixed path, in its order.
func schemes(kind string) []string {
	switch kind {
	case "git":
		return []string{"https", "git+ssh", "ssh"}
	case "hg":
		return []string{"https", "ssh"}
	case "svn":
		return []string{"https", "svn+ssh"}
	case "bzr":
		return []string{"https", "bzr+ssh"}
	case "fossil":
		return []string{"https"}
	}
	return nil
}

// staticRoot finds the root that the path itself names. It is false if a discovery page has to be asked. The
// error matches ErrInvalid: no repository can have this path.
func staticRoot(modPath string) (root, bool, error) {
	for _, h := range hosts {
		if !hasPathPrefix(modPath, h.name) {
			continue
		}
		m := h.path.FindStringSubmatch(modPath)
		if m == nil {
			return root{}, false, fmt.Errorf("%w: no repository of %s has this path", goproxy.ErrInvalid, h.name)
		}
		if h.name != "git.apache.org" {
			for _, kind := range []string{"git", "hg", "svn", "bzr", "fossil"} {
				if strings.HasSuffix(m[1], "."+kind) {
					return root{}, false, fmt.Errorf("%w: paths of %s do not end in .%s", goproxy.ErrInvalid, h.name, kind)
				}
			}
		}
		return root{prefix: m[1], vcs: h.vcs, repos: []string{"https://" + m[1]}}, true, nil
	}
	m := suffixed.FindStringSubmatch(modPath)
	if m == nil {
		return root{}, false, nil
	}
	r := root{prefix: m[1] + "." + m[2], vcs: m[2]}
	for _, scheme := range schemes(m[2]) {
		r.repos = append(r.repos, scheme+"://"+m[1])
	}
	return r, true, nil
}

// findRoot finds the repository of a module path as the go command does.
func (s *Source) findRoot(ctx context.Context, modPath string, set settings) (root, error) {
	if r, ok, err := staticRoot(modPath); ok || err != nil {
		return r, err
	}
	insecure := module.MatchPrefixPatterns(set.insecure, modPath)
	tag, err := s.discover(ctx, modPath, modPath, insecure)
	if err != nil {
		return root{}, err
	}
	if tag.prefix != modPath {
		// Whoever owns a page below must not speak for what is above: the page of the prefix has to agree.
		above, err := s.discover(ctx, tag.prefix, modPath, insecure)
		if err != nil {
			return root{}, err
		}
		if above != tag {
			return root{}, absent(fmt.Sprintf("the pages of %s and %s disagree about go-import", modPath, tag.prefix))
		}
	}
	if err := tag.check(); err != nil {
		return root{}, absent(fmt.Sprintf("the page of %s is of no use: %v", modPath, err))
	}
	return root{prefix: tag.prefix, vcs: tag.vcs, repos: []string{tag.repo}, subdir: tag.subdir}, nil
}

const maxPage = 1 << 20 // bytes; the tags are in the head

// discover asks the page of the path at for the tag about modPath.
func (s *Source) discover(ctx context.Context, at, modPath string, insecure bool) (goImport, error) {
	status, page, err := s.getPage(ctx, at, insecure)
	if err != nil {
		return goImport{}, fmt.Errorf("%w: asking the page of %s: %w", goproxy.ErrUnavailable, at, err)
	}
	tags, parseErr := parseGoImports(bytes.NewReader(page))
	if len(tags) == 0 {
		// Any status may carry the tags. Without them it says why.
		if err := fromStatus(status); err != nil {
			return goImport{}, fmt.Errorf("the page of %s: %w", at, err)
		}
		if parseErr != nil {
			return goImport{}, absent(fmt.Sprintf("the page of %s is of no use: %v", at, parseErr))
		}
	}
	tag, err := matchGoImport(tags, modPath)
	if err != nil {
		return goImport{}, absent(fmt.Sprintf("the page of %s is of no use: %v", at, err))
	}
	return tag, nil
}

// fromStatus is goproxy.FromStatus for servers that do not speak the protocol of module proxies: whether
// a page or a repository was there once makes no difference.
func fromStatus(status int) error {
	err := goproxy.FromStatus(status)
	if errors.Is(err, goproxy.ErrGone) {
		return absent(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	}
	return err
}

// getPage gets the discovery page over https, or else over http where that is allowed.
func (s *Source) getPage(ctx context.Context, at string, insecure bool) (status int, page []byte, err error) {
	hostname, rest, _ := strings.Cut(at, "/")
	u := &url.URL{Scheme: "https", Host: hostname, Path: "/" + rest, RawQuery: "go-get=1"}
	client := s.http
	if insecure {
		client = s.insecure
	}
	status, page, err = get(ctx, client, u.String(), maxPage)
	if err != nil && insecure && ctx.Err() == nil {
		u.Scheme = "http"
		status, page, err = get(ctx, s.http, u.String(), maxPage)
	}
	return status, page, err
}

// get returns the answer to one GET, up to limit bytes of it.
func get(ctx context.Context, client *http.Client, target string, limit int64) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, limit)); err != nil {
		return 0, nil, withoutURL(err)
	}
	return resp.StatusCode, body, nil
}

// withoutURL takes off the URL that net/http puts before an error: it may hold a password.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

const maxRedirects = 10

// secure returns a copy of c that does not follow redirects from https to http, as the go command does not; a
// client that has its own rule keeps it.
func secure(c *http.Client) *http.Client {
	client := new(http.Client)
	if c != nil {
		*client = *c
	}
	if client.CheckRedirect == nil {
		client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errors.New("redirected from https to http")
			}
			return nil
		}
	}
	return client
}
