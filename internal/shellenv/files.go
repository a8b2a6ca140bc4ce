package shellenv

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// LoginShell is the shell that the user logs in with; "" if that is none that is known here.
func (m *Machine) LoginShell() Shell {
	if m.OS == "windows" {
		return PowerShell
	}
	sh, err := ParseShell(m.env("SHELL"))
	if err != nil || sh == Cmd || sh == Windows {
		return ""
	}
	return sh
}

// InUse are the shells that the user has set up, the login shell first. There is always one.
func (m *Machine) InUse() []Shell {
	if m.OS == "windows" {
		return []Shell{Windows}
	}
	login := m.LoginShell()
	var list []Shell
	add := func(sh Shell, used bool) {
		if sh == login {
			list = slices.Insert(list, 0, sh)
		} else if used {
			list = append(list, sh)
		}
	}
	any := slices.ContainsFunc[[]string]
	add(Bash, any([]string{m.home(".bashrc"), m.home(".bash_profile"), m.home(".bash_login")}, m.isFile))
	add(Zsh, any([]string{".zshrc", ".zshenv", ".zprofile", ".zlogin"}, func(f string) bool { return m.isFile(m.zsh(f)) || m.isFile(m.home(f)) }))
	add(Fish, isDir(m.fishDir()))
	add(Nushell, isDir(m.nuConfig()))
	add(Sh, m.isFile(m.home(".profile")))
	add(PowerShell, isDir(filepath.Join(m.xdg("XDG_CONFIG_HOME", ".config"), "powershell")))
	if len(list) == 0 {
		list = []Shell{Sh}
	}
	return list
}

// files are the files that lines have to stand in for sh to have them in every way of being
// started that comes before all others: as login shell, and interactive.
func (m *Machine) files(sh Shell) ([]string, error) {
	if m.OS == "windows" && sh != PowerShell && sh != Nushell {
		return nil, ErrShell // they have the PATH of Windows, in a form of their own
	}
	switch sh {
	case Bash:
		return []string{m.home(".bashrc"), m.bashLogin()}, nil
	case Zsh:
		// Not .zshenv: in a login shell macOS and some distributions put their own folders first
		// after it. Nor .zprofile as well: what an old line in .zshrc puts first would stay there.
		return []string{m.zsh(".zshrc")}, nil
	case Fish:
		return []string{filepath.Join(m.fishDir(), "conf.d", "goferry.fish")}, nil
	case Nushell:
		// Not a file in one of its autoload folders: nu -l -c, and so an editor, does not read those.
		return []string{filepath.Join(m.nuConfig(), "config.nu")}, nil
	case Sh:
		return []string{m.home(".profile")}, nil
	case PowerShell:
		return m.powerShellProfiles(), nil
	}
	return nil, ErrShell
}

// places are all files in which lines for sh may stand, those of other days included.
func (m *Machine) places(sh Shell) []string {
	files, _ := m.files(sh)
	if len(files) == 0 {
		return nil
	}
	switch sh {
	case Bash:
		files = append(files, m.home(".bash_profile"), m.home(".bash_login"), m.home(".profile"))
	case Zsh:
		files = append(files, m.home(".zshrc"))
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// bashLogin is the file that bash reads as a login shell: the first of three that is there. Where
// none is, .profile is made: it serves other shells as well, and hides no file.
// https://www.gnu.org/software/bash/manual/html_node/Bash-Startup-Files.html
func (m *Machine) bashLogin() string {
	for _, name := range []string{".bash_profile", ".bash_login"} {
		if m.isFile(m.home(name)) {
			return m.home(name)
		}
	}
	return m.home(".profile")
}

// zsh is a start-up file of zsh, in the folder ZDOTDIR. Terminals of editors set that to a folder
// of their own and keep the user's in USER_ZDOTDIR. Where it is not exported it may stand in a
// .zshenv, which only zsh itself has read.
func (m *Machine) zsh(name string) string {
	for _, v := range []string{"USER_ZDOTDIR", "ZDOTDIR"} {
		if dir := m.env(v); filepath.IsAbs(dir) {
			return filepath.Join(dir, name)
		}
	}
	for _, file := range []string{m.home(".zshenv"), m.etc("zsh", "zshenv"), m.etc("zshenv")} {
		if dir := m.zdotdirIn(file); dir != "" {
			return filepath.Join(dir, name)
		}
	}
	return m.home(name)
}

var zdotdirLine = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+|typeset[ \t]+-gx[ \t]+)?ZDOTDIR=(?:"([^"\n]*)"|'([^'\n]*)'|([^\s;#]*))`)

// zdotdirIn reads ZDOTDIR from a file if it is set there in a plain way.
func (m *Machine) zdotdirIn(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	groups := zdotdirLine.FindStringSubmatch(string(data))
	if groups == nil {
		return ""
	}
	config := m.xdg("XDG_CONFIG_HOME", ".config")
	dir := groups[2]
	if dir == "" {
		dir = strings.NewReplacer(
			"${XDG_CONFIG_HOME:-$HOME/.config}", config, "${XDG_CONFIG_HOME:-${HOME}/.config}", config, "${XDG_CONFIG_HOME:-~/.config}", config,
			"${XDG_CONFIG_HOME}", config, "$XDG_CONFIG_HOME", config, "${HOME}", m.Home, "$HOME", m.Home,
		).Replace(groups[1] + groups[3])
		if rest, ok := strings.CutPrefix(groups[3], "~/"); ok {
			dir = m.home(rest)
		}
	}
	if !filepath.IsAbs(dir) || strings.ContainsAny(dir, "$`") {
		return ""
	}
	return filepath.Clean(dir)
}

func (m *Machine) fishDir() string { return filepath.Join(m.xdg("XDG_CONFIG_HOME", ".config"), "fish") }

// nuConfig is the folder of Nushell's config.nu.
// https://www.nushell.sh/book/configuration.html
func (m *Machine) nuConfig() string {
	switch {
	case filepath.IsAbs(m.env("XDG_CONFIG_HOME")):
	case m.OS == "darwin":
		return m.home("Library", "Application Support", "nushell")
	case m.OS == "windows" && m.env("APPDATA") != "":
		return filepath.Join(m.env("APPDATA"), "nushell")
	}
	return filepath.Join(m.xdg("XDG_CONFIG_HOME", ".config"), "nushell")
}

// powerShellProfiles are the profiles of the user for all hosts: PowerShell 7 and, on Windows, the
// one that is part of it, version 5.1.
// https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_profiles
func (m *Machine) powerShellProfiles() []string {
	if m.OS != "windows" {
		return []string{filepath.Join(m.xdg("XDG_CONFIG_HOME", ".config"), "powershell", "profile.ps1")}
	}
	docs := m.Documents
	if docs == "" {
		docs = m.home("Documents")
	}
	return []string{filepath.Join(docs, "PowerShell", "profile.ps1"), filepath.Join(docs, "WindowsPowerShell", "profile.ps1")}
}

// systemFiles are the files for all users of the machine, and the shell whose lines they hold; pathsD
// stands for a plain list of folders.
func (m *Machine) systemFiles() map[string]Shell {
	if m.OS == "darwin" {
		// path_helper reads the files by name; Go's own installer leaves one called go.
		return map[string]Shell{m.etc("paths.d", "00-goferry"): pathsD}
	}
	files := map[string]Shell{m.etc("profile.d", "goferry.sh"): Sh}
	if isDir(m.etc("fish")) {
		files[m.etc("fish", "conf.d", "goferry.fish")] = Fish
	}
	// As a login shell zsh reads /etc/profile only where the distribution has it do so.
	if text, _, _, err := read(m.etc("zsh", "zprofile")); isDir(m.etc("zsh")) && (err != nil || !profileRead.MatchString(text)) {
		files[m.etc("zsh", "zprofile")] = Zsh
	}
	return files
}

var profileRead = regexp.MustCompile(`(?m)^[^#\n]*(source|\.)[ \t]+['"]?/etc/profile\b`)

// pathsD is a file of /etc/paths.d: one folder a line and nothing else, so no marks either.
const pathsD Shell = "paths.d"
