package doctor

import (
	"context"
	"net/url"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

// walkMostPaths is how many parts of a path are taken for a module: nobody has more folders, and each costs a question.
const walkMostPaths = 16

// walkPaths are the module paths that a package may be in, the longest first. The go command asks for all of them at once.
func walkPaths(p string) []string {
	least := 1
	for host, n := range map[string]int{"github.com/": 3, "bitbucket.org/": 3, "golang.org/x/": 3, "gopkg.in/": 2} { // nothing there has fewer parts
		if strings.HasPrefix(p, host) {
			least = n
		}
	}
	var list []string
	for ; p != "." && p != "/" && len(list) < walkMostPaths; p = path.Dir(p) {
		if module.CheckPath(p) == nil && (len(list) == 0 || strings.Count(p, "/")+1 >= least) {
			list = append(list, p)
		}
	}
	return list
}

// walkListed reports whether a query is answered by the list of versions, and whether what has no version may be meant
// as well. Source: https://go.dev/ref/mod#version-queries.
func walkListed(query string) (listed, orLatest bool) {
	switch {
	case query == "latest", query == "upgrade", query == "patch":
		return true, true
	case strings.HasPrefix(query, "<"), strings.HasPrefix(query, ">"):
		return true, false
	}
	return walkPrefix(query), false
}

// walkPrefix reports whether a query is the beginning of a version, as v1 and v1.2 are.
func walkPrefix(query string) bool {
	return semver.IsValid(query) && strings.Count(query, ".") < 2 && semver.Prerelease(query) == "" && semver.Build(query) == ""
}

// resolve finds out the version that the query comes to at an upstream, empty if none.
func (wk *walker) resolve(ctx context.Context, stop *WalkStop, base *url.URL, path string) (string, WalkState) {
	req := goproxy.Request{Path: path, Version: wk.w.Query, Kind: goproxy.Info}
	if listed, orLatest := walkListed(wk.w.Query); listed {
		a, state := wk.file(ctx, stop, base, goproxy.Request{Path: path, Kind: goproxy.List})
		if state != WalkServed && state != WalkAbsent {
			return "", state
		}
		v := ""
		if state == WalkServed {
			v = walkChoose(path, wk.w.Query, a.body)
		}
		switch {
		case v != "":
			req.Version = v
		case orLatest:
			req = goproxy.Request{Path: path, Kind: goproxy.Latest}
		default:
			return "", WalkAbsent
		}
	}
	a, state := wk.file(ctx, stop, base, req)
	if state != WalkServed {
		return "", state
	}
	rev, err := goproxy.ParseInfo(req, a.body)
	if err != nil {
		last := &stop.Steps[len(stop.Steps)-1]
		last.Error = "not the answer of a Go module proxy"
		return "", WalkFailed
	}
	return rev.Version, WalkServed
}

// walkChoose is the version of a list that a query means, empty if none: releases before others, and the highest, or behind ">" the lowest.
func walkChoose(path, query string, list []byte) string {
	versions, _ := goproxy.ParseList(path, list)
	low := strings.HasPrefix(query, ">")
	best := ""
	for _, v := range versions {
		if !walkAllows(query, v) {
			continue
		}
		release, has := semver.Prerelease(v) == "", best != "" && semver.Prerelease(best) == ""
		better := semver.Compare(v, best) > 0 != low
		if best == "" || release && !has || release == has && better {
			best = v
		}
	}
	return best
}

// walkAllows reports whether v is among what a query allows.
func walkAllows(query, v string) bool {
	for _, by := range []struct {
		op string
		ok func(int) bool
	}{
		{"<=", func(c int) bool { return c <= 0 }}, {"<", func(c int) bool { return c < 0 }},
		{">=", func(c int) bool { return c >= 0 }}, {">", func(c int) bool { return c > 0 }},
	} {
		if than, ok := strings.CutPrefix(query, by.op); ok {
			return semver.IsValid(than) && by.ok(semver.Compare(v, than))
		}
	}
	return !walkPrefix(query) || strings.HasPrefix(v, query+".")
}
