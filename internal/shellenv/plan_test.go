package shellenv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func goEntries(m *Machine) []Entry {
	return []Entry{{Dir: m.home(".goferry", "go", "bin")}, {Dir: m.home(".goferry", "bin")}, {Dir: m.home("go", "bin"), Last: true, Optional: true}}
}

// files are the files of a plan, below the home folder.
func files(m *Machine, p *Plan) []string {
	var list []string
	for _, c := range p.Changes {
		name, _ := filepath.Rel(m.Home, c.File)
		list = append(list, name)
	}
	return list
}

func TestWhichFiles(t *testing.T) {
	tests := []struct {
		name   string
		os     string // "" is linux
		env    map[string]string
		have   map[string]string // files in the home folder, or in etc/
		shells []Shell           // nil: those in use
		use    []Shell
		want   []string
	}{
		{name: "nothing known", use: []Shell{Sh}, want: []string{".profile"}},
		{name: "bash, a new user", env: map[string]string{"SHELL": "/bin/bash"}, use: []Shell{Bash}, want: []string{".bashrc", ".profile"}},
		{name: "bash as on Debian", env: map[string]string{"SHELL": "/bin/bash"}, have: map[string]string{".bashrc": "", ".profile": ""},
			use: []Shell{Bash, Sh}, want: []string{".bashrc", ".profile"}},
		{name: "bash as on Fedora", env: map[string]string{"SHELL": "/bin/bash"}, have: map[string]string{".bashrc": "", ".bash_profile": ""},
			use: []Shell{Bash}, want: []string{".bashrc", ".bash_profile"}},
		{name: "bash_login hides profile", env: map[string]string{"SHELL": "/bin/bash"}, have: map[string]string{".bash_login": "", ".profile": ""},
			use: []Shell{Bash, Sh}, want: []string{".bashrc", ".bash_login", ".profile"}},
		{name: "zsh on macOS", os: "darwin", env: map[string]string{"SHELL": "/bin/zsh"}, use: []Shell{Zsh}, want: []string{".zshrc"}},
		{name: "zsh beside bash", env: map[string]string{"SHELL": "/usr/bin/zsh"}, have: map[string]string{".bashrc": "", ".zshrc": ""},
			use: []Shell{Zsh, Bash}, want: []string{".zshrc", ".bashrc", ".profile"}},
		{name: "ZDOTDIR exported", env: map[string]string{"SHELL": "zsh", "ZDOTDIR": "HOME/dots"}, use: []Shell{Zsh}, want: []string{"dots/.zshrc"}},
		{name: "ZDOTDIR of a terminal in an editor", env: map[string]string{"SHELL": "zsh", "ZDOTDIR": "/tmp/editor", "USER_ZDOTDIR": "HOME"},
			use: []Shell{Zsh}, want: []string{".zshrc"}},
		{name: "ZDOTDIR in .zshenv", env: map[string]string{"SHELL": "bash"}, have: map[string]string{".zshenv": "# x\nexport ZDOTDIR=\"${XDG_CONFIG_HOME:-$HOME/.config}/zsh\"\n"},
			shells: []Shell{Zsh}, use: []Shell{Bash, Zsh}, want: []string{".config/zsh/.zshrc"}},
		{name: "ZDOTDIR with a tilde", have: map[string]string{".zshenv": "ZDOTDIR=~/.zsh # mine\n"}, shells: []Shell{Zsh}, use: []Shell{Zsh}, want: []string{".zsh/.zshrc"}},
		{name: "ZDOTDIR of the system", have: map[string]string{"../etc/zsh/zshenv": "ZDOTDIR=$HOME/.config/zsh\n"}, shells: []Shell{Zsh}, use: []Shell{Sh}, want: []string{".config/zsh/.zshrc"}},
		{name: "ZDOTDIR computed", have: map[string]string{".zshenv": "ZDOTDIR=$(dirname x)\n"}, shells: []Shell{Zsh}, use: []Shell{Zsh}, want: []string{".zshrc"}},
		{name: "fish", env: map[string]string{"SHELL": "/usr/bin/fish"}, use: []Shell{Fish}, want: []string{".config/fish/conf.d/goferry.fish"}},
		{name: "fish elsewhere", env: map[string]string{"SHELL": "fish", "XDG_CONFIG_HOME": "HOME/cfg"}, use: []Shell{Fish}, want: []string{"cfg/fish/conf.d/goferry.fish"}},
		{name: "XDG_CONFIG_HOME alone is no shell", env: map[string]string{"SHELL": "sh", "XDG_CONFIG_HOME": "HOME/cfg"}, have: map[string]string{"cfg/x": ""}, use: []Shell{Sh}, want: []string{".profile"}},
		{name: "XDG_CONFIG_HOME relative", env: map[string]string{"SHELL": "fish", "XDG_CONFIG_HOME": "cfg"}, use: []Shell{Fish}, want: []string{".config/fish/conf.d/goferry.fish"}},
		{name: "nushell", env: map[string]string{"SHELL": "/usr/bin/nu"}, use: []Shell{Nushell}, want: []string{".config/nushell/config.nu"}},
		{name: "nushell on macOS", os: "darwin", env: map[string]string{"SHELL": "/opt/homebrew/bin/nu"}, use: []Shell{Nushell}, want: []string{"Library/Application Support/nushell/config.nu"}},
		{name: "powershell", have: map[string]string{".config/powershell/profile.ps1": ""}, use: []Shell{PowerShell}, want: []string{".config/powershell/profile.ps1"}},
		{name: "a shell that is not known", env: map[string]string{"SHELL": "/bin/tcsh"}, use: []Shell{Sh}, want: []string{".profile"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := machine(t, nil)
			if tt.os != "" {
				m.OS = tt.os
			}
			m.Env = func(k string) string { return strings.ReplaceAll(tt.env[k], "HOME", m.Home) }
			for name, text := range tt.have {
				write(t, m.home(name), text)
			}
			if diff := cmp.Diff(tt.use, m.InUse()); diff != "" {
				t.Errorf("in use (-want +got):\n%s", diff)
			}
			shells := tt.shells
			if shells == nil {
				shells = m.InUse()
			}
			p, err := m.Write(shells, goEntries(m))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, files(m, p)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriteTwiceAndRemove(t *testing.T) {
	m := machine(t, map[string]string{"SHELL": "/bin/bash", "PATH": "/usr/bin"})
	before := map[string]string{".bashrc": "alias l=ls", ".profile": "(none)", ".zshrc": "a\n", ".config/fish/conf.d/goferry.fish": "(none)", ".config/fish/config.fish": ""}
	for name, text := range before {
		if text != "(none)" {
			write(t, m.home(name), text)
		}
	}
	if err := os.Chmod(m.home(".bashrc"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := m.Write(m.InUse(), goEntries(m))
	apply(t, m, p, err)
	if info, err := os.Stat(m.home(".bashrc")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	written := map[string]string{}
	for name := range before {
		written[name] = content(t, m.home(name))
	}
	// A new shell has go/bin from goferry's lines: they stay.
	m.Env = func(k string) string {
		return map[string]string{"SHELL": "/bin/bash", "PATH": m.home(".goferry", "go", "bin") + ":/usr/bin:" + m.home("go", "bin")}[k]
	}
	if p, err = m.Write(m.InUse(), goEntries(m)); err != nil || !p.Same() || len(p.Failed) > 0 {
		t.Errorf("the second time: %+v, %v", p.Changes, err)
	}
	apply(t, m, p, err)
	for name := range before {
		if diff := cmp.Diff(written[name], content(t, m.home(name))); diff != "" {
			t.Errorf("%s, the second time:\n%s", name, diff)
		}
	}
	apply(t, m, m.Remove(m.Known(), nil), nil)
	for name, text := range before {
		if diff := cmp.Diff(text, content(t, m.home(name))); diff != "" {
			t.Errorf("%s after remove:\n%s", name, diff)
		}
	}
	if p := m.Remove(m.Known(), nil); !p.Same() {
		t.Errorf("the second remove: %+v", p.Changes)
	}
}

func TestOptionalEntry(t *testing.T) {
	m := machine(t, nil)
	m.Env = func(k string) string {
		return map[string]string{"PATH": "/usr/bin:" + m.home("go", "bin") + "/", "SHELL": "sh"}[k]
	}
	p, err := m.Write([]Shell{Sh}, goEntries(m))
	apply(t, m, p, err)
	if text := content(t, m.home(".profile")); strings.Contains(text, `"$HOME/go/bin"`) || !strings.Contains(text, ".goferry/go/bin") {
		t.Errorf("go/bin is on the PATH already:\n%s", text)
	}
}

func TestSystemFiles(t *testing.T) {
	m := machine(t, nil)
	entries := []Entry{{Dir: "/opt/goferry/go/bin"}, {Dir: "/opt/goferry/bin"}}
	if err := os.MkdirAll(m.etc("fish"), 0o755); err != nil {
		t.Fatal(err)
	}
	zprofile := write(t, m.etc("zsh", "zprofile"), "# Debian leaves it empty, and Arch has: source /etc/profile\n")
	p, err := m.WriteSystem(entries)
	apply(t, m, p, err)
	for _, f := range []string{m.etc("profile.d", "goferry.sh"), m.etc("fish", "conf.d", "goferry.fish"), zprofile} {
		if text := content(t, f); !strings.Contains(text, `"/opt/goferry/go/bin`) {
			t.Errorf("%s: %s", f, text)
		}
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: not for all to read: %v, %v", f, info.Mode(), err)
		}
	}
	if p, err = m.WriteSystem(entries); err != nil || !p.Same() {
		t.Errorf("the second time: %v, %v", p, err)
	}
	apply(t, m, m.RemoveSystem(nil), nil)
	if p := m.RemoveSystem(nil); !p.Same() || content(t, m.etc("profile.d", "goferry.sh")) != "(none)" || content(t, m.etc("fish", "conf.d", "goferry.fish")) != "(none)" {
		t.Error("something is left")
	}
	if got := content(t, zprofile); strings.Contains(got, "goferry") {
		t.Error(got)
	}
	write(t, zprofile, "emulate sh -c 'source /etc/profile'\n")
	if p, err = m.WriteSystem(entries); err != nil || slices.ContainsFunc(p.Changes, func(c *Change) bool { return c.File == zprofile }) {
		t.Errorf("%s reads /etc/profile already", zprofile)
	}

	m.OS = "darwin" // path_helper takes every line for a folder
	p, err = m.WriteSystem(entries)
	apply(t, m, p, err)
	if diff := cmp.Diff("/opt/goferry/go/bin\n/opt/goferry/bin\n", content(t, m.etc("paths.d", "00-goferry"))); diff != "" {
		t.Error(diff)
	}
	apply(t, m, m.RemoveSystem(nil), nil)
	if got := content(t, m.etc("paths.d", "00-goferry")); got != "(none)" {
		t.Error(got)
	}
}

func TestLinksAreFollowed(t *testing.T) {
	m := machine(t, map[string]string{"SHELL": "zsh"})
	real := write(t, m.home("dotfiles", "zshrc"), "a\n")
	for link, to := range map[string]string{".zshrc": "dotfiles/zshrc", ".profile": m.home("dotfiles", "missing", "profile")} {
		if err := os.Symlink(to, m.home(link)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := m.Write([]Shell{Zsh, Sh}, goEntries(m))
	apply(t, m, p, err)
	if text := content(t, real); !strings.Contains(text, ".goferry") {
		t.Errorf("%s: %s", real, text)
	}
	if text := content(t, m.home("dotfiles", "missing", "profile")); !strings.Contains(text, ".goferry") {
		t.Errorf("the end of the link: %s", text)
	}
	apply(t, m, m.Remove(m.Known(), nil), nil)
	for link, want := range map[string]string{".zshrc": "a\n", ".profile": "(none)"} {
		if info, err := os.Lstat(m.home(link)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v", link, err)
		}
		if got := content(t, m.home(link)); got != want {
			t.Errorf("%s: %q", link, got)
		}
	}
}

func TestChangedInTheMeantime(t *testing.T) {
	m := machine(t, map[string]string{"SHELL": "sh"})
	for _, was := range []string{"", "a\n"} {
		if was != "" {
			write(t, m.home(".profile"), was)
		}
		p, err := m.Write([]Shell{Sh}, goEntries(m))
		if err != nil {
			t.Fatal(err)
		}
		write(t, m.home(".profile"), "typed while goferry asked\n")
		err = m.Apply(p.Changes[0])
		if fe := (*FileError)(nil); !errors.Is(err, ErrChanged) || !errors.As(err, &fe) || fe.File != m.home(".profile") {
			t.Errorf("%q: %v", was, err)
		}
		if got := content(t, m.home(".profile")); got != "typed while goferry asked\n" {
			t.Errorf("%q: %s", was, got)
		}
	}
}

func TestFilesThatCannotBeEdited(t *testing.T) {
	m := machine(t, map[string]string{"SHELL": "bash"})
	write(t, m.home(".bashrc"), markOpen+markEnd+"\nhalf of it\n")
	write(t, m.home(".profile"), "good\n")
	write(t, m.home(".zshrc"), "\x7fELF\x00")
	p, err := m.Write([]Shell{Bash, Zsh}, goEntries(m))
	if err != nil {
		t.Fatal(err)
	}
	var broken []string
	for _, f := range p.Failed {
		broken = append(broken, strings.TrimPrefix(f.Error(), m.Home+"/"))
	}
	want := []string{".bashrc:1: " + ErrBroken.Error(), ".zshrc: " + ErrBinary.Error()}
	if diff := cmp.Diff(want, broken); diff != "" {
		t.Error(diff)
	}
	if got := files(m, p); !slices.Equal(got, []string{".profile"}) {
		t.Errorf("the rest: %v", got)
	}
	if _, err := m.Write([]Shell{Cmd}, goEntries(m)); !errors.Is(err, ErrShell) {
		t.Errorf("cmd has no file: %v", err)
	}
}

func TestWindowsProfiles(t *testing.T) {
	m := machine(t, map[string]string{"PATH": `C:\Windows`})
	m.OS, m.Documents = "windows", m.home("OneDrive", "文档")
	old := write(t, filepath.Join(m.Documents, "WindowsPowerShell", "profile.ps1"), "\xff\xfe"+string(utf16le("Set-Alias g git\r\n")))
	p, err := m.Write([]Shell{PowerShell}, []Entry{{Dir: `C:\Users\李\go\bin`}})
	apply(t, m, p, err)
	text, _, _, err := read(old)
	if err != nil || !strings.HasPrefix(text, "Set-Alias g git\r\n# >>> goferry env >>>\r\n") || !strings.Contains(text, `'C:\Users\李\go\bin'`) {
		t.Errorf("%q, %v", text, err)
	}
	// PowerShell 5.1 takes a file without a mark for the code page of the system.
	if text := content(t, filepath.Join(m.Documents, "PowerShell", "profile.ps1")); !strings.HasPrefix(text, "\xef\xbb\xbf# >>>") {
		t.Errorf("a new profile: %q", text)
	}
	apply(t, m, m.Remove(m.Known(), nil), nil)
	if got := content(t, old); got != "\xff\xfe"+string(utf16le("Set-Alias g git\r\n")) {
		t.Errorf("after remove: %q", got)
	}
	for _, sh := range []Shell{Bash, Zsh, Fish, Sh} {
		if _, err := m.Write([]Shell{sh}, nil); !errors.Is(err, ErrShell) {
			t.Errorf("%s on Windows: %v", sh, err)
		}
	}
}
