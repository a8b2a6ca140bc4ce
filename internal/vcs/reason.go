package vcs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
)

// A hint is a way out for a person.
type hint struct{ code, text string }

var (
	hintNoGo     = hint{"vcs.hint.no-go", "direct downloads need the go command: install Go from go.dev/dl, or add its folder to PATH"}
	hintNoGit    = hint{"vcs.hint.no-git", "direct downloads need git: install it and see that it is in PATH"}
	hintNoHg     = hint{"vcs.hint.no-hg", "this module is kept in Mercurial: install hg and see that it is in PATH"}
	hintGOVCS    = hint{"vcs.hint.govcs", "GOVCS decides this, see go help vcs"}
	hintGoTooOld = hint{"vcs.hint.go-too-old", "the go command that direct downloads use is too old for this module: install a newer one"}
)

// hintCredentials and the other two name the command that shows a person the same trouble.
func hintCredentials(cmd string) hint {
	return hint{"vcs.hint.credentials", "the server wants credentials, from .netrc, a credential helper or ssh; this must work: " + cmd}
}

func hintUnreachable(cmd string) hint {
	return hint{"vcs.hint.unreachable", "this must work: " + cmd}
}

func hintSSH(cmd string) hint {
	return hint{"vcs.hint.ssh", "ssh must get there without a question, with a key or an agent; this must work: " + cmd}
}

// hinted is an error that knows a way out.
type hinted struct {
	err  error
	hint hint
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func withHint(h hint, err error) error { return &hinted{err, h} }

// absent is for what is positively not there.
func absent(reason string) error { return fmt.Errorf("%w: %s", goproxy.ErrNotExist, reason) }

// unknown is for what could not be found out.
func unknown(reason string) error { return fmt.Errorf("%w: %s", goproxy.ErrUnavailable, reason) }

// toolError is about a program that could not be run to its end.
func toolError(err error) error {
	var t *gocmd.ToolError
	switch {
	case errors.Is(err, goproxy.ErrUnavailable):
		return err // it has been here before
	case errors.As(err, &t):
		err = fmt.Errorf("%w: %w", goproxy.ErrUnavailable, err)
		switch t.Name {
		case "go":
			return withHint(hintNoGo, err)
		case "git":
			return withHint(hintNoGit, err)
		case "hg":
			return withHint(hintNoHg, err)
		}
		return err
	case errors.Is(err, gocmd.ErrTooMuchOutput):
		return fmt.Errorf("%w: %w", goproxy.ErrUnavailable, err)
	}
	return err
}

const (
	maxReasonLines = 8
	maxReasonLine  = 300 // bytes
)

var (
	userinfo   = regexp.MustCompile(`://[^\s/@'"]*@`)
	vcsFolder  = regexp.MustCompile(` in \S*[/\\]cache[/\\]vcs[/\\][0-9a-f]+`)
	fileURL    = regexp.MustCompile(`file://[^\s'"]+`)
	queryInURL = regexp.MustCompile(`(://[^\s?'"]+)\?[^\s'"]+`)
)

// privateDirs matches all paths in these folders.
func privateDirs(dirs ...string) *regexp.Regexp {
	var alt []string
	for _, dir := range dirs {
		if len(dir) > 3 { // neither empty nor a root
			alt = append(alt, regexp.QuoteMeta(dir))
		}
	}
	return regexp.MustCompile(`(?:` + strings.Join(alt, "|") + `)[^\s'":]*`)
}

// clean makes the words of a tool fit for strangers: no credentials, no folders of this machine, not too
// long. What it has to say about the subject itself is cut, because the error that carries the words says it.
func (s *Source) clean(text string, subjects ...string) string {
	text = userinfo.ReplaceAllString(text, "://")
	text = queryInURL.ReplaceAllString(text, "$1")
	text = vcsFolder.ReplaceAllString(text, "")
	text = fileURL.ReplaceAllString(text, "a local repository")
	text = s.private.ReplaceAllString(text, "…")
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "go: ")
		for _, subject := range subjects {
			line = strings.TrimPrefix(line, subject+": ")
		}
		if line == "" {
			continue
		}
		if len(line) > maxReasonLine {
			line = strings.ToValidUTF8(line[:maxReasonLine], "") + "…"
		}
		if lines = append(lines, line); len(lines) == maxReasonLines {
			break
		}
	}
	if len(lines) == 0 {
		return "the go command does not say why"
	}
	return strings.Join(lines, "\n")
}

// words are what the go command said about req.
func (s *Source) words(req goproxy.Request, f *failure) string {
	return s.clean(f.text, req.Path+"@"+req.Version, "module "+req.Path, req.Path)
}
