// Package shellenv writes and takes away the lines of shell start-up files that put Go on the
// PATH, and on Windows the entries of the user's environment in the registry that do.
//
// It never runs a shell, exports no GOROOT, and changes nothing but a block between two marks that
// are its own: what stands outside of it, and what other programs have put into a PATH, stays
// byte by byte. Every change is planned first and can be shown before it is made.
package shellenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Shell is a program that sets up a PATH, by its name.
type Shell string

// The shells.
const (
	Bash       Shell = "bash"
	Zsh        Shell = "zsh"
	Fish       Shell = "fish"
	Nushell    Shell = "nushell"
	Sh         Shell = "sh" // dash, ksh, ash and what else reads ~/.profile
	PowerShell Shell = "powershell"
	Cmd        Shell = "cmd"     // has no start-up file: lines can be made, not kept
	Windows    Shell = "windows" // the environment in the registry, which all programs get
)

// ParseShell finds the shell with a name or path, such as "zsh", "/usr/bin/fish", "pwsh.exe" or "-bash". The
// error is ErrShell.
func ParseShell(name string) (Shell, error) {
	base := name[strings.LastIndexAny(name, `/\`)+1:]
	base = strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(base), ".exe"), "-")
	switch base {
	case "bash", "zsh", "fish", "nushell", "powershell", "cmd", "windows", "sh":
		return Shell(base), nil
	case "nu":
		return Nushell, nil
	case "pwsh":
		return PowerShell, nil
	case "dash", "ash", "ksh", "mksh", "busybox", "profile":
		return Sh, nil
	case "registry":
		return Windows, nil
	}
	return "", fmt.Errorf("%q: %w", name, ErrShell)
}

// Errors of this room. Those about a file are inside of a *FileError.
var (
	ErrShell   = errors.New("no shell that is known here")
	ErrFolder  = errors.New("is no absolute path without characters that end an entry")
	ErrBroken  = errors.New("the marks around the lines of goferry are damaged")
	ErrBinary  = errors.New("it is no text")
	ErrChanged = errors.New("it was changed in the meantime")
	ErrValue   = errors.New("the value has an unexpected type")
)

// A FileError says which file, or value of the registry, could not be read or written.
type FileError struct {
	File string
	Line int // where it is about one line, from 1; else 0
	Err  error
}

// Error names the file first.
func (e *FileError) Error() string {
	err := e.Err
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err // the name stands there already
	}
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, err)
	}
	return fmt.Sprintf("%s: %v", e.File, err)
}

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// An Entry is a folder that belongs on the PATH.
type Entry struct {
	Dir  string // absolute
	Last bool   // behind what is there, else before it
	// Optional is for a folder that others may have put on the PATH: it is left out where the PATH has
	// it already and goferry has not written it before.
	Optional bool
}

// A Machine is what this room has to know of where it runs. It changes nothing by itself.
type Machine struct {
	OS   string              // as runtime.GOOS
	Home string              // home folder of the user, absolute
	Env  func(string) string // the environment: PATH, SHELL, ZDOTDIR, XDG_CONFIG_HOME and so on
	Etc  string              // the folder of the settings of the system; "" is /etc

	Documents string   // Windows: the user's Documents, which may have been moved
	Registry  Registry // Windows: nil elsewhere

	// IsFile reports whether a file is there; nil asks the file system.
	IsFile func(name string) bool
}

func (m *Machine) env(name string) string {
	if m.Env == nil {
		return ""
	}
	return m.Env(name)
}

func (m *Machine) isFile(name string) bool {
	if m.IsFile != nil {
		return m.IsFile(name)
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// etc is a file of the system's settings.
func (m *Machine) etc(elem ...string) string {
	root := m.Etc
	if root == "" {
		root = "/etc"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

// home is a file in the user's home folder.
func (m *Machine) home(elem ...string) string {
	return filepath.Join(append([]string{m.Home}, elem...)...)
}

// xdg is a folder of the XDG base directory specification: what the variable says if that is
// an absolute path, as the specification wants it, else a folder in the home folder.
func (m *Machine) xdg(variable string, elem ...string) string {
	if dir := m.env(variable); filepath.IsAbs(dir) {
		return dir
	}
	return m.home(elem...)
}

// separator stands between the entries of a PATH.
func (m *Machine) separator() string {
	if m.OS == "windows" {
		return ";"
	}
	return ":"
}

// PathList is the PATH of this process, without empty entries.
func (m *Machine) PathList() []string {
	return slices.DeleteFunc(strings.Split(m.env("PATH"), m.separator()), func(s string) bool { return s == "" })
}

// same reports whether two entries of a PATH are the same folder by name. Links are not followed:
// that two names lead to one folder today is no reason to leave one out.
func (m *Machine) same(a, b string) bool {
	if m.OS == "windows" {
		return strings.EqualFold(windowsEntry(a), windowsEntry(b))
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// OnPath reports whether the PATH of this process has dir.
func (m *Machine) OnPath(dir string) bool {
	return slices.ContainsFunc(m.PathList(), func(e string) bool { return m.same(m.expand(e), dir) })
}

// check refuses folders that no PATH can name.
func (m *Machine) check(dir string) error {
	bad := ":\n\r\x00"
	absolute := strings.HasPrefix(dir, "/")
	if m.OS == "windows" {
		// A percent sign would begin the name of a variable.
		bad = ";%\"\n\r\x00"
		absolute = len(dir) > 2 && (dir[1] == ':' && (dir[2] == '\\' || dir[2] == '/') || strings.HasPrefix(dir, `\\`))
	}
	control := strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' || r == 0x7f })
	if !absolute || control || strings.ContainsAny(dir, bad) {
		return fmt.Errorf("%q %w", dir, ErrFolder)
	}
	return nil
}

func (m *Machine) checkAll(entries []Entry) error {
	for _, e := range entries {
		if err := m.check(e.Dir); err != nil {
			return err
		}
	}
	return nil
}
