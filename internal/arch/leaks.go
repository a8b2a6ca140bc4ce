package arch

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// A leak is a pattern that no file may hold. The patterns are put together from
// parts: this file is searched too.
type leak struct {
	rule    string
	pattern *regexp.Regexp
	why     string
}

func leaks() []leak {
	host := strings.Join([]string{"proxy", "golang", "org"}, `\.`)
	build := strings.Join([]string{"work", "root/go", "tmp/bash_jobs"}, "|")
	return []leak{
		{"host", regexp.MustCompile(`(?i)` + host), "names the official proxy's host; goferry uses what go env GOPROXY says"},
		{"path", regexp.MustCompile(`(^|[^A-Za-z0-9_.$}/-])/(` + build + `)/`), "names a folder of the machine that this was built on"},
		{"merge", regexp.MustCompile(`^(<{7}|>{7}|\|{7})( |$)`), "a marker that a merge left behind"},
	}
}

// Leaks searches all text files below fsys for what must not be published.
func Leaks(fsys fs.FS) ([]Problem, error) {
	var problems []Problem
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name {
			case ".git", ".bench", "bin", "dist":
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || path.Ext(name) == ".test" || path.Ext(name) == ".out" {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if bytes.IndexByte(data, 0) < 0 { // else it is no text
			problems = append(problems, search(name, data)...)
		}
		return nil
	})
	return problems, err
}

func search(name string, data []byte) (problems []Problem) {
	patterns := leaks()
	for i, line := range bytes.Split(data, []byte("\n")) {
		for _, l := range patterns {
			if l.pattern.Match(bytes.TrimSuffix(line, []byte("\r"))) {
				problems = append(problems, Problem{Rule: l.rule, Pos: fmt.Sprintf("%s:%d", name, i+1), Text: l.why})
			}
		}
	}
	return problems
}
