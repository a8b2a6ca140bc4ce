package toolchain

import (
	"errors"
	"fmt"
	"go/version"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/goferry/goferry/internal/goproxy"
)

// The reasons why a query names no version.
var (
	ErrNotListed   = errors.New("no such release is listed")
	ErrNoGoLine    = errors.New("the go.mod file has neither a toolchain line nor a go line")
	ErrGoMod       = errors.New("the go.mod file cannot be read")
	ErrCustom      = errors.New("a toolchain that somebody built: it is published nowhere")
	ErrNoCandidate = errors.New("no pre-release is newer than the newest stable release")
)

// A ChoiceError says why a query names no version. It matches goproxy.ErrNotExist where the
// query is good and there is no such release, goproxy.ErrInvalid where it is not, and the reason.
type ChoiceError struct {
	Query string
	Want  Version   // what was looked for; empty where that cannot be said
	Near  []Version // releases that may be meant instead, newest first; at most 5
	Err   error     // the reason: ErrVersion, ErrNotListed, ErrNoGoLine, ErrGoMod, ErrCustom or ErrNoCandidate
}

// Error names the query, the reason and what is near.
func (e *ChoiceError) Error() string {
	s := fmt.Sprintf("%q: %v", e.Query, e.Err)
	if e.Want != "" && string(e.Want) != e.Query && e.Want.Number() != e.Query {
		s = fmt.Sprintf("%q: %s: %v", e.Query, e.Want, e.Err)
	}
	if len(e.Near) > 0 {
		s += "; there is " + joinVersions(e.Near)
	}
	return s
}

// Unwrap returns the meaning and the reason.
func (e *ChoiceError) Unwrap() []error {
	if errors.Is(e.Err, ErrNotListed) || errors.Is(e.Err, ErrNoCandidate) {
		return []error{goproxy.ErrNotExist, e.Err}
	}
	return []error{goproxy.ErrInvalid, e.Err}
}

func joinVersions(list []Version) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.Number()
	}
	return strings.Join(words, ", ")
}

// nearVersions is how many versions a ChoiceError names.
const nearVersions = 5

// preOf is a query for the newest pre-release of a minor: "1.27rc".
var preOf = regexp.MustCompile(`^(1\.[0-9]+)(rc|beta)$`)

// Choose says which of the versions of known, in any order, a query means:
//
//	latest, stable  the newest stable release
//	oldstable       the newest one of the minor before
//	rc              the newest pre-release, if it is newer than all stable ones
//	1.26            the newest patch of a minor; "1" of them all
//	1.25.7          this release; "1.20.0" means go1.20, as it was called then
//	1.27rc2         this pre-release; "1.27rc" the newest one of the minor
//	go.mod          the release that the lines of goMod ask for, the content of a go.mod or
//	                go.work file; the newest patch where they name a minor alone
//
// A release may have "go" in front. A query for one release is good without a list too:
// where known is empty it is not looked up. The error is a *ChoiceError.
func Choose(query string, known []Version, goMod []byte) (Version, error) {
	known = slices.Clone(known)
	slices.SortFunc(known, func(a, b Version) int { return b.Compare(a) })
	known = slices.Compact(known)
	c := chooser{query: query, known: known}
	switch query {
	case "latest", "stable":
		return c.newest("", func(v Version) bool { return v.Stable() })
	case "oldstable":
		minors := stableMinors(known)
		if len(minors) < 2 {
			return "", c.fail("", ErrNotListed)
		}
		return c.newest(minors[1], func(v Version) bool { return v.Stable() && v.Language() == minors[1] })
	case "rc":
		if len(known) == 0 || known[0].Stable() {
			return "", c.fail("", ErrNoCandidate)
		}
		return known[0], nil
	case "go.mod", "go.work":
		want, err := c.ofProject(goMod)
		if err != nil {
			return "", err
		}
		return c.release(want)
	}
	number := strings.TrimPrefix(query, "go")
	if m := preOf.FindStringSubmatch(number); m != nil {
		minor := Version("go" + m[1])
		return c.newest(minor, func(v Version) bool { return v.Language() == minor && strings.Contains(string(v), m[2]) })
	}
	want, err := ParseVersion(query)
	if err != nil {
		return "", c.fail("", ErrVersion)
	}
	return c.release(want)
}

// A chooser looks for a version in a list.
type chooser struct {
	query string
	known []Version // newest first
}

// newest is the newest version that fits; near it are those near want.
func (c chooser) newest(want Version, fits func(Version) bool) (Version, error) {
	if i := slices.IndexFunc(c.known, fits); i >= 0 {
		return c.known[i], nil
	}
	return "", c.fail(want, ErrNotListed)
}

// release is the release want, or the newest patch where want is a minor.
func (c chooser) release(want Version) (Version, error) {
	if want == "go1" {
		return c.newest(want, func(v Version) bool { return v.Stable() })
	}
	if want == want.Language() {
		return c.newest(want, func(v Version) bool { return v.Stable() && v.Language() == want })
	}
	want = ReleaseName(want)
	if len(c.known) == 0 || slices.Contains(c.known, want) {
		return want, nil
	}
	return "", c.fail(want, ErrNotListed)
}

// ReleaseName is what v is called as a release: before Go 1.21 the first one of a minor had no ".0".
// Source: https://go.dev/doc/toolchain#version.
func ReleaseName(v Version) Version {
	if minor, ok := strings.CutSuffix(string(v), ".0"); ok && v.Compare(firstModule) < 0 && version.Lang(minor) == minor {
		return Version(minor)
	}
	return v
}

// ofProject is the release that the lines of a go.mod or go.work file ask for. As for the go
// command, that is the newer one of both lines; "toolchain default" asks for nothing beyond
// the go line.
func (c chooser) ofProject(data []byte) (Version, error) {
	lines, err := projectLinesOf(data)
	if err != nil {
		return "", c.fail("", fmt.Errorf("%w: %w", ErrGoMod, err))
	}
	goLine, err := c.lineVersion(lines["go"])
	if err != nil {
		return "", err
	}
	name := lines["toolchain"]
	if name == "default" || name == "local" {
		name = ""
	}
	toolchain, err := c.lineVersion(name)
	if err != nil {
		return "", err
	}
	want := goLine
	if toolchain != "" && (want == "" || toolchain.Compare(want) > 0) {
		want = toolchain
	}
	if want == "" {
		return "", c.fail("", ErrNoGoLine)
	}
	return want, nil
}

// lineVersion reads the word of a line; an empty one is none.
func (c chooser) lineVersion(word string) (Version, error) {
	if word == "" {
		return "", nil
	}
	v, err := ParseVersion(word)
	if err == nil {
		return v, nil
	}
	base, _, custom := strings.Cut(word, "-")
	if v, err = ParseVersion(base); custom && err == nil {
		return "", c.fail(v, fmt.Errorf("%s: %w", word, ErrCustom))
	}
	return "", c.fail("", fmt.Errorf("%q: %w", word, ErrVersion))
}

// projectLinesOf returns the words of the go and the toolchain line. Other lines are not
// looked at: they may be of a newer Go than goferry knows.
func projectLinesOf(data []byte) (map[string]string, error) {
	f, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	return lineWords(f.Syntax), nil
}

// lineWords are the words of the go and the toolchain line.
func lineWords(file *modfile.FileSyntax) map[string]string {
	words := map[string]string{}
	for _, stmt := range file.Stmt {
		line, ok := stmt.(*modfile.Line)
		if !ok || len(line.Token) != 2 {
			continue
		}
		if verb := line.Token[0]; verb == "go" || verb == "toolchain" {
			words[verb] = strings.Trim(line.Token[1], "\"`")
		}
	}
	return words
}

func (c chooser) fail(want Version, err error) *ChoiceError {
	return &ChoiceError{Query: c.query, Want: want, Near: near(want, c.known), Err: err}
}

// near picks from known, which is sorted, what may be meant by want: releases of its minor
// around it, else the newest of the minors around it, else the newest of all.
func near(want Version, known []Version) []Version {
	var list []Version
	for _, v := range known {
		if want != "" && v.Language() == want.Language() {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		for _, v := range known {
			if v.Stable() && Superseded(v, known) == "" {
				list = append(list, v)
			}
		}
	}
	if len(list) <= nearVersions {
		return list
	}
	at := 0
	if want != "" {
		at, _ = slices.BinarySearchFunc(list, want, func(v, w Version) int { return w.Compare(v) })
	}
	from := min(max(at-(nearVersions+1)/2, 0), len(list)-nearVersions) // rather newer ones
	return list[from : from+nearVersions]
}
