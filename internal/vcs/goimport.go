package vcs

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// A goImport is one <meta name="go-import" content="prefix vcs repo [subdir]">.
// https://go.dev/ref/mod#vcs-find
type goImport struct {
	prefix, vcs, repo, subdir string
}

// parseGoImports returns the go-import tags in the head of an HTML page, those of kind mod first; a prefix that has
// one of these has no other. The error says why the page could not be read further, if no tag was found
// before.
func parseGoImports(r io.Reader) ([]goImport, error) {
	d := xml.NewDecoder(r)
	d.Strict = false
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) {
		if c := strings.ToLower(charset); c != "utf-8" && c != "ascii" {
			return nil, fmt.Errorf("the character set %q is not supported", charset)
		}
		return in, nil
	}
	var all []goImport
	for {
		token, err := d.RawToken()
		if err != nil {
			if len(all) == 0 && !errors.Is(err, io.EOF) {
				return nil, err
			}
			break
		}
		if headEnds(token) {
			break
		}
		if m, ok := metaTag(token); ok {
			all = append(all, m)
		}
	}
	return modFirst(all), nil
}

func headEnds(token xml.Token) bool {
	switch t := token.(type) {
	case xml.StartElement:
		return strings.EqualFold(t.Name.Local, "body")
	case xml.EndElement:
		return strings.EqualFold(t.Name.Local, "head")
	}
	return false
}

func metaTag(token xml.Token) (goImport, bool) {
	t, ok := token.(xml.StartElement)
	if !ok || !strings.EqualFold(t.Name.Local, "meta") || attr(t, "name") != "go-import" {
		return goImport{}, false
	}
	f := strings.Fields(attr(t, "content"))
	switch len(f) {
	case 3:
		return goImport{f[0], f[1], f[2], ""}, true
	case 4: // since Go 1.25
		return goImport{f[0], f[1], f[2], f[3]}, true
	}
	return goImport{}, false
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

func modFirst(all []goImport) []goImport {
	isMod := func(m goImport) bool { return m.vcs == "mod" }
	var list []goImport
	for _, m := range all {
		if isMod(m) {
			list = append(list, m)
		}
	}
	mods := list
	for _, m := range all {
		if !isMod(m) && !slices.ContainsFunc(mods, func(o goImport) bool { return o.prefix == m.prefix }) {
			list = append(list, m)
		}
	}
	return list
}

// matchGoImport returns the tag that is about path. The error says why there is none.
func matchGoImport(tags []goImport, path string) (goImport, error) {
	var found *goImport
	for i, m := range tags {
		if !hasPathPrefix(path, m.prefix) {
			continue
		}
		if found != nil {
			if found.vcs == "mod" && m.vcs != "mod" {
				break
			}
			return goImport{}, errors.New("it has more than one go-import tag for this path")
		}
		found = &tags[i]
	}
	if found == nil {
		return goImport{}, errors.New("it has no go-import tag for this path")
	}
	return *found, nil
}

// check holds a tag to the rules of the go command.
func (m goImport) check() error {
	u, err := url.Parse(m.repo)
	switch {
	case err != nil:
		return fmt.Errorf("its go-import tag names no valid URL: %w", err)
	case u.Scheme == "":
		return errors.New("its go-import tag names a repository without a scheme")
	case u.Scheme == "file":
		return errors.New("its go-import tag names a local file")
	case strings.HasPrefix(m.subdir, "/"), strings.HasPrefix(m.subdir, "-"):
		return errors.New("its go-import tag names an invalid subdirectory")
	}
	return nil
}

// hasPathPrefix reports whether prefix is path or a parent of it.
func hasPathPrefix(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
