package goproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A Rev is the content of an .info file. Origin and fields that are not known yet
// are kept only in the raw bytes, which goferry passes on untouched.
type Rev struct {
	Version string    // canonical version
	Time    time.Time // commit time; may be zero
}

// ParseInfo parses an .info file that answers req and holds it to the rules that
// the go command checks: the version is canonical and belongs to the module, and is the
// very version asked for unless a query was asked.
func ParseInfo(req Request, data []byte) (Rev, error) {
	bad := func(format string, args ...any) (Rev, error) {
		return Rev{}, &Error{Request: req, Err: fmt.Errorf("%w: the answer is no valid .info: "+format, append([]any{ErrUnavailable}, args...)...)}
	}
	var raw struct {
		Version string
		Time    *time.Time
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return bad("%v", err)
	}
	switch {
	case raw.Version == "":
		return bad("it names no version")
	case !isCanonical(req.Path, raw.Version):
		return bad("%q is not a canonical version of %s", clip(raw.Version, 100), req.Path)
	case req.Kind == Info && !req.Query() && raw.Version != req.Version:
		return bad("it is about %s", raw.Version)
	}
	rev := Rev{Version: raw.Version}
	if raw.Time != nil {
		rev.Time = *raw.Time
	}
	return rev, nil
}

// ParseList returns the versions in a list file as the protocol wants them: valid
// canonical versions of the module, sorted by precedence, each once. Pseudo-versions,
// which must not be listed but are by some proxies, are returned apart. Lines may carry
// a second column.
func ParseList(path string, data []byte) (versions, pseudo []string) {
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || !isCanonical(path, fields[0]) {
			continue
		}
		if module.IsPseudoVersion(fields[0]) {
			pseudo = append(pseudo, fields[0])
		} else {
			versions = append(versions, fields[0])
		}
	}
	sortUnique := func(list []string) []string {
		semver.Sort(list)
		return slices.Compact(list)
	}
	return sortUnique(versions), sortUnique(pseudo)
}

// FormatList is the inverse of ParseList.
func FormatList(versions []string) []byte {
	if len(versions) == 0 {
		return nil
	}
	return []byte(strings.Join(versions, "\n") + "\n")
}

// Versions returns the versions of the module path that src knows, sorted, without
// pseudo-versions. No versions is a legal answer, not an error.
func Versions(ctx context.Context, src Source, path string) ([]string, error) {
	req := Request{Path: path, Kind: List}
	data, err := ReadFile(ctx, src, req)
	if err != nil {
		return nil, err
	}
	versions, _ := ParseList(path, data)
	return versions, nil
}

// Stat resolves a version or a version query of a module; the query "latest" asks for Latest.
func Stat(ctx context.Context, src Source, path, query string) (Rev, error) {
	req := Request{Path: path, Version: query, Kind: Info}
	if query == "latest" {
		req = Request{Path: path, Kind: Latest}
	}
	data, err := ReadFile(ctx, src, req)
	if err != nil {
		return Rev{}, err
	}
	return ParseInfo(req, data)
}

// pickLatest chooses by Go's rule: the highest release, else the highest
// pre-release, else the newest pseudo-version. It returns "" if there is none.
// https://go.dev/ref/mod#version-queries
func pickLatest(versions, pseudo []string) string {
	if v := highest(versions); v != "" {
		return v
	}
	newest, when := "", time.Time{}
	for _, v := range pseudo {
		t, err := module.PseudoVersionTime(v)
		if err == nil && (newest == "" || t.After(when) || t.Equal(when) && semver.Compare(v, newest) > 0) {
			newest, when = v, t
		}
	}
	return newest
}

// highest returns the highest release of a sorted list, else its highest pre-release, else "".
func highest(sorted []string) string {
	for _, v := range slices.Backward(sorted) {
		if semver.Prerelease(v) == "" {
			return v
		}
	}
	if len(sorted) > 0 {
		return sorted[len(sorted)-1]
	}
	return ""
}

// isPrefix reports whether query is a version prefix such as v1 or v1.2.
func isPrefix(query string) bool {
	return semver.IsValid(query) && semver.Prerelease(query) == "" && semver.Build(query) == "" &&
		strings.Count(query, ".") < 2
}

func matchPrefix(versions []string, prefix string) []string {
	var match []string
	for _, v := range versions {
		if strings.HasPrefix(v, prefix+".") {
			match = append(match, v)
		}
	}
	return match
}
