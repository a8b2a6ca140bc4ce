// Package toolchain lists, downloads, verifies, installs, selects and repairs Go
// toolchains; it never edits shell files.
//
// People read "SDK" where this room says toolchain. It asks the environment for nothing,
// prints nothing, and sets no variable: least of all GOROOT, which the go command finds
// by itself and which breaks every other Go on the machine when it is exported.
package toolchain

import (
	"cmp"
	"errors"
	"fmt"
	"go/version"
	"regexp"
	"strings"

	"golang.org/x/mod/module"
)

// ModulePath is the module that carries toolchains. Source:
// https://go.dev/doc/toolchain#download.
const ModulePath = "golang.org/toolchain"

// ErrVersion says that a text names no Go release.
var ErrVersion = errors.New("not a Go version")

// A Version is the name of a release: "go1.25.7", "go1.26rc2", "go1.20". The zero
// Version is none.
type Version string

// releaseName is what a release may be called. go/version knows "go1.21-suffix" as well,
// which are toolchains that somebody built and nobody published.
var releaseName = regexp.MustCompile(`^go1(\.(0|[1-9][0-9]*)){0,2}((beta|rc)[1-9][0-9]*)?$`)

// ParseVersion reads the name of a release, with "go" in front or without. The error
// matches ErrVersion. A language version such as "1.25" is a release only before Go 1.21;
// it is accepted here, and whether there is such a release is for a list to say.
func ParseVersion(s string) (Version, error) {
	v := "go" + strings.TrimPrefix(s, "go")
	if !releaseName.MatchString(v) || !version.IsValid(v) {
		return "", fmt.Errorf("%q: %w", s, ErrVersion)
	}
	return Version(v), nil
}

// Compare compares by age: go1.26rc1 < go1.26.0 < go1.26.1.
func (v Version) Compare(w Version) int { return version.Compare(string(v), string(w)) }

// Stable reports whether v is neither a beta nor a release candidate.
func (v Version) Stable() bool {
	return v != "" && !strings.Contains(string(v), "beta") && !strings.Contains(string(v), "rc")
}

// Language is the language version: "go1.25" for "go1.25.7" and for "go1.25rc1".
func (v Version) Language() Version { return Version(version.Lang(string(v))) }

// Number is v without "go" in front.
func (v Version) Number() string { return strings.TrimPrefix(string(v), "go") }

// A Target is a release for one system.
type Target struct {
	Version Version `json:"version"`
	OS      string  `json:"os"`   // GOOS
	Arch    string  `json:"arch"` // GOARCH: "arm", not the "armv6l" of archives
}

// moduleVersion is how the module that carries toolchains numbers them.
var moduleVersion = regexp.MustCompile(`^v0\.0\.1-(go1[0-9a-z.]*)\.([a-z0-9]+)-([a-z0-9]+)$`)

// ParseModuleVersion reads a version of ModulePath, such as
// "v0.0.1-go1.25.7.linux-amd64". The error matches ErrVersion.
func ParseModuleVersion(s string) (Target, error) {
	m := moduleVersion.FindStringSubmatch(s)
	if m == nil {
		return Target{}, fmt.Errorf("%q: %w", s, ErrVersion)
	}
	v, err := ParseVersion(m[1])
	if err != nil {
		return Target{}, err
	}
	return Target{Version: v, OS: m[2], Arch: m[3]}, nil
}

// Module is the module version that carries t.
func (t Target) Module() module.Version {
	return module.Version{Path: ModulePath, Version: fmt.Sprintf("v0.0.1-%s.%s-%s", t.Version, t.OS, t.Arch)}
}

// Platform is "linux-amd64".
func (t Target) Platform() string { return t.OS + "-" + t.Arch }

// String is "go1.25.7.linux-amd64".
func (t Target) String() string { return string(t.Version) + "." + t.Platform() }

// Compare orders by version, then by platform.
func (t Target) Compare(u Target) int {
	return cmp.Or(t.Version.Compare(u.Version), strings.Compare(t.Platform(), u.Platform()))
}

// Archive is the file name of t on archive hosts: "go1.25.7.linux-amd64.tar.gz". Source:
// https://go.dev/dl.
func (t Target) Archive() string {
	arch, ext := t.Arch, ".tar.gz"
	if arch == "arm" {
		arch = "armv6l"
	}
	if t.OS == "windows" {
		ext = ".zip"
	}
	return fmt.Sprintf("%s.%s-%s%s", t.Version, t.OS, arch, ext)
}
