package transport

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// A method is one command of GOAUTH.
type method struct {
	kind string   // "netrc", "git" or "command"
	dir  string   // of git
	argv []string // of command
}

// parseGOAUTH reads the semicolon-separated list that `go help goauth`
// describes, with the errors of cmd/go.
func parseGOAUTH(list string) ([]method, error) {
	if list == "" {
		list = "netrc"
	}
	commands := strings.Split(list, ";")
	var methods []method
	for _, command := range commands {
		words := strings.Fields(command)
		if len(words) == 0 {
			return nil, errors.New("GOAUTH: empty command")
		}
		switch words[0] {
		case "off":
			if len(commands) != 1 {
				return nil, errors.New("GOAUTH: off cannot be combined with other commands")
			}
		case "netrc":
			methods = append(methods, method{kind: "netrc"})
		case "git":
			if len(words) != 2 {
				return nil, errors.New("GOAUTH: git needs one directory, without spaces")
			}
			if err := checkGitDir(words[1]); err != nil {
				return nil, err
			}
			methods = append(methods, method{kind: "git", dir: words[1]})
		default:
			argv, err := splitQuoted(command)
			if err != nil {
				return nil, fmt.Errorf("GOAUTH: %w", err)
			}
			methods = append(methods, method{kind: "command", argv: argv})
		}
	}
	return methods, nil
}

// checkGitDir demands an absolute path, because a git repository in the working
// directory could bring its own credential helper (golang.org/issue/29230).
func checkGitDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("GOAUTH: git: %s is not an absolute path", dir)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("GOAUTH: git: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("GOAUTH: git: %s is not a directory", dir)
	}
	return nil
}

// splitQuoted splits a command into words as cmd/go does: a word may stand in
// single or double quotes, inside of which nothing is special.
func splitQuoted(s string) ([]string, error) {
	const space = " \t\r\n"
	var words []string
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		if q := s[0]; q == '"' || q == '\'' {
			word, rest, ok := strings.Cut(s[1:], string(q))
			if !ok {
				return nil, fmt.Errorf("unterminated %c", q)
			}
			words, s = append(words, word), rest
			continue
		}
		end := strings.IndexAny(s, space)
		if end < 0 {
			end = len(s)
		}
		words, s = append(words, s[:end]), s[end:]
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("empty command")
	}
	return words, nil
}

// parseGOAUTHOutput reads what a command prints: sets of URLs, an empty line, headers,
// an empty line. The keys of the result are prefixes as prefixOf makes them.
// A set without headers takes the credentials of its URLs away. An error does
// not quote the output, which holds secrets.
func parseGOAUTHOutput(data string) (map[string]http.Header, error) {
	found := map[string]http.Header{}
	for data != "" {
		urls, rest, ok := cutParagraph(data)
		if !ok {
			return nil, errors.New("no empty line after the URLs")
		}
		headers, rest, ok := cutParagraph(rest)
		if !ok {
			return nil, errors.New("no empty line after the headers")
		}
		data = rest
		h := http.Header{}
		for _, line := range headers {
			name, value, ok := strings.Cut(line, ": ")
			value = strings.TrimSpace(value)
			if !ok || !validName(name) || !validValue(value) {
				return nil, errors.New("a line is no header")
			}
			h.Add(name, value)
		}
		for _, line := range urls {
			u, err := url.ParseRequestURI(line)
			if err != nil || u.Scheme != "https" || u.Host == "" {
				return nil, errors.New("a line is no https URL")
			}
			found[prefixOf(u)] = h
		}
	}
	return found, nil
}

// cutParagraph returns the lines before the first empty one, and what follows it.
func cutParagraph(data string) (lines []string, rest string, ok bool) {
	for {
		line, rest, ok := strings.Cut(data, "\n")
		if !ok {
			return nil, "", false
		}
		line = strings.TrimSuffix(line, "\r") // what a script on Windows prints
		if line == "" {
			return lines, rest, true
		}
		lines, data = append(lines, line), rest
	}
}

// validName reports whether s is a token of RFC 9110, section 5.6.2.
func validName(s string) bool {
	for _, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// parseGitCredential reads the key=value lines of `git credential fill`
// (gitcredentials(7)), the answer for u. It fails if they are for another URL.
func parseGitCredential(data string, u *url.URL) (prefix string, h http.Header, err error) {
	var got url.URL
	var login, password string
	for line := range strings.SplitSeq(data, "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "protocol":
			got.Scheme = value
		case "host":
			got.Host = value
		case "path":
			got.Path = "/" + strings.TrimPrefix(value, "/")
		case "username":
			login = value
		case "password":
			password = value
		case "url":
			if whole, err := url.ParseRequestURI(value); err == nil {
				got = url.URL{Scheme: whole.Scheme, Host: whole.Host, Path: whole.Path}
			}
		}
	}
	prefix = prefixOf(&got)
	if got.Scheme != u.Scheme || !covers(prefix, prefixOf(u)) {
		return "", nil, errors.New("git credential fill answered for another URL")
	}
	if login == "" && password == "" {
		return "", nil, errors.New("git credential fill knows no credentials")
	}
	return prefix, http.Header{"Authorization": {basic(url.UserPassword(login, password))}}, nil
}

// prefixOf is the key of a URL in the table of credentials: host and escaped
// path without a slash at the end.
func prefixOf(u *url.URL) string {
	return strings.TrimRight(strings.ToLower(u.Host)+u.EscapedPath(), "/")
}

// covers reports whether prefix is key, or one of the folders above it.
func covers(prefix, key string) bool {
	rest, ok := strings.CutPrefix(key, prefix)
	return ok && prefix != "" && (rest == "" || rest[0] == '/')
}
