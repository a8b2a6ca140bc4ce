package cgo

// A Line is one that installs something on this system, to be shown and, when the user says so, run.
type Line struct {
	System   string   `json:"system"`   // apt, dnf, yum, apk, pacman, zypper, brew, xcode, winget, msys2, npm …
	Argv     []string `json:"argv"`     // empty: Words say what to do
	Packages []string `json:"packages"` // of it
	Root     bool     `json:"root"`     // takes rights that the user may not have
}

// InstallLines are the lines that install a compiler for t on this system, the best first. release is the text of
// /etc/os-release; has tells whether a program is in PATH.
func InstallLines(t Target, goos, release string, has func(program string) bool) []Line { return nil }
