package goproxy

import (
	"fmt"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A Kind says which file of the protocol a Request names.
type Kind uint8

// The kinds of file, as the Go modules reference lists them.
const (
	List   Kind = iota + 1 // $module/@v/list
	Latest                 // $module/@latest
	Info                   // $module/@v/$version.info, also for version queries
	Mod                    // $module/@v/$version.mod
	Zip                    // $module/@v/$version.zip
)

// String returns the word for k that logs and metrics use.
func (k Kind) String() string {
	switch k {
	case List:
		return "list"
	case Latest:
		return "latest"
	case Info:
		return "info"
	case Mod:
		return "mod"
	case Zip:
		return "zip"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// A Request names one file of the protocol.
type Request struct {
	Path    string // module path, unescaped
	Version string // version, or for Info a version query; empty for List and Latest
	Kind    Kind   // List, Latest, Info, Mod, Zip
}

// ParseRequest is the inverse of Name: it parses an escaped path without a
// leading slash, such as "github.com/!azure/go/@v/v1.0.0.mod".
// The error matches ErrInvalid.
func ParseRequest(name string) (Request, error) {
	invalid := func(why string) (Request, error) {
		return Request{}, &Error{Err: fmt.Errorf("%q: %w: %s", clip(name, 200), ErrInvalid, why)}
	}
	if esc, ok := strings.CutSuffix(name, "/@latest"); ok {
		return parsePath(esc, Request{Kind: Latest}, invalid)
	}
	esc, file, ok := strings.Cut(name, "/@v/")
	if !ok {
		return invalid("not a path of the GOPROXY protocol")
	}
	if file == "list" {
		return parsePath(esc, Request{Kind: List}, invalid)
	}
	dot := strings.LastIndexByte(file, '.')
	if dot <= 0 {
		return invalid("not a file of the GOPROXY protocol")
	}
	var req Request
	switch file[dot:] {
	case ".info":
		req.Kind = Info
	case ".mod":
		req.Kind = Mod
	case ".zip":
		req.Kind = Zip
	default:
		return invalid("the file is none of list, .info, .mod and .zip")
	}
	v, err := module.UnescapeVersion(file[:dot])
	if err != nil {
		return invalid(err.Error())
	}
	req.Version = v
	return parsePath(esc, req, invalid)
}

func parsePath(esc string, req Request, invalid func(string) (Request, error)) (Request, error) {
	p, err := module.UnescapePath(esc)
	if err != nil {
		return invalid(err.Error())
	}
	req.Path = p
	if err := req.check(); err != nil {
		return invalid(err.Error())
	}
	return req, nil
}

// check holds the rules that go beyond the escaping of path and version.
func (r Request) check() error {
	if r.Kind != Mod && r.Kind != Zip {
		return nil
	}
	if !isCanonical(r.Path, r.Version) {
		return fmt.Errorf("%s is not a canonical version of %s", r.Version, r.Path)
	}
	return nil
}

// isCanonical reports whether version is a canonical version that path may
// have: "v1.2" is not, nor is "v2.0.0" of a path without /v2, nor "v1.0.0+incompatible"
// (https://go.dev/ref/mod#incompatible-versions), which x/mod lets pass.
func isCanonical(path, version string) bool {
	if version == "" || module.CanonicalVersion(version) != version || module.Check(path, version) != nil {
		return false
	}
	if strings.HasSuffix(version, "+incompatible") {
		_, pathMajor, _ := module.SplitPathVersion(path)
		major := semver.Major(version)
		return pathMajor == "" && major != "v0" && major != "v1"
	}
	return true
}

// Name returns the escaped name of the file: URL path, file path and store name
// in one. The error matches ErrInvalid.
func (r Request) Name() (string, error) {
	fail := func(err error) (string, error) {
		return "", &Error{Request: r, Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
	}
	esc, err := module.EscapePath(r.Path)
	if err != nil {
		return fail(err)
	}
	switch r.Kind {
	case List:
		return esc + "/@v/list", nil
	case Latest:
		return esc + "/@latest", nil
	case Info, Mod, Zip:
		v, err := module.EscapeVersion(r.Version)
		if err != nil {
			return fail(err)
		}
		if err := r.check(); err != nil {
			return fail(err)
		}
		return esc + "/@v/" + v + "." + r.Kind.String(), nil
	}
	return fail(fmt.Errorf("no such kind of file"))
}

// Immutable reports whether the bytes of the file may never change: .mod, .zip,
// and the .info of a canonical version. Lists, latest and version queries change.
func (r Request) Immutable() bool {
	return r.Kind == Mod || r.Kind == Zip || r.Kind == Info && !r.Query()
}

// Query reports whether r asks for the .info of something other than a
// canonical version of its module: a branch, a commit, a prefix, "latest".
func (r Request) Query() bool {
	return r.Kind == Info && !isCanonical(r.Path, r.Version)
}

// String names the file for people: "example.com/m@v1.0.0.zip", "example.com/m@list".
func (r Request) String() string {
	switch r.Kind {
	case List, Latest:
		return r.Path + "@" + r.Kind.String()
	case 0:
		return r.Path
	}
	return r.Path + "@" + r.Version + "." + r.Kind.String()
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
