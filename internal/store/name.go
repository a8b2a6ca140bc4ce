package store

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Limits of names, in bytes. Common file systems allow 255 for an element. The
// whole is far longer than a module path that anybody ever published, and far
// shorter than what Linux allows for a path.
const (
	maxElem = 255
	maxName = 1024
)

// A NameError says why no blob can have a name. It matches fs.ErrInvalid.
type NameError struct {
	Name   string
	Reason string
}

// Error puts the name first, shortened if it is long.
func (e *NameError) Error() string {
	name := e.Name
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return fmt.Sprintf("%q: invalid blob name: %s", name, e.Reason)
}

// Unwrap returns fs.ErrInvalid.
func (e *NameError) Unwrap() error { return fs.ErrInvalid }

// checkName returns nil if a blob may be called name, else a *NameError. Names
// are slash-separated relative paths as fs.ValidPath has them. They must not
// begin with a dot, which is the store's own ground, and must be good on every
// system, so that a tree can be carried from one to another.
func checkName(name string) error {
	reason := ""
	switch {
	case name == "":
		reason = "it is empty"
	case len(name) > maxName:
		reason = "it is too long"
	case name[0] == '.':
		reason = "it begins with a dot"
	case !fs.ValidPath(name):
		reason = "it is not a clean relative path"
	default:
		reason = checkBytes(name)
	}
	if reason == "" {
		reason = checkSystem(name)
	}
	if reason != "" {
		return &NameError{Name: name, Reason: reason}
	}
	return nil
}

// checkBytes holds the rules of Windows that any other system can check as well.
func checkBytes(name string) string {
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			if c := name[i]; c < ' ' || c == 0x7f || strings.IndexByte(`\:"<>|?*`, c) >= 0 {
				return fmt.Sprintf("it contains %q", c)
			}
			continue
		}
		if i-start > maxElem {
			return "an element is too long"
		}
		if last := name[i-1]; last == '.' || last == ' ' {
			return "an element ends with a dot or a space"
		}
		start = i + 1
	}
	return ""
}

// parent is the folder of a name, "." for the store's own.
func parent(name string) string { return path.Dir(name) }
