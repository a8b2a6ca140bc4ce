package shellenv

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Kind is what a Note is about.
type Kind string

// The kinds of notes.
const (
	// KindFirst: Dir has a go command and comes before goferry's; File and Line are what puts
	// it there, where that was found.
	KindFirst Kind = "first"
	// KindSystemFirst: Dir has a go command and stands in the PATH of the system, which Windows puts
	// before that of the user.
	KindSystemFirst Kind = "system-first"
	// KindUnread: Shell, as a login shell, reads File and not Other, where goferry's lines stand.
	KindUnread Kind = "unread"
	// KindLoginShell: the user's login shell is Shell, and none of its files has goferry's lines.
	KindLoginShell Kind = "login-shell"
	// KindPending: the lines are written, and this process, or what started it, does not have them yet.
	KindPending Kind = "pending"
	// KindMissing: Dir, where go install puts programs, is not on the PATH.
	KindMissing Kind = "missing"
	// KindGoroot: GOROOT is exported as Dir, which breaks every go command but one; File and Line are
	// what exports it, where that was found.
	KindGoroot Kind = "goroot"
	// KindLeaves: Line of File starts another shell, before the lines of goferry are read.
	KindLeaves Kind = "leaves"
)

// A Note is something that the user should know.
type Note struct {
	Kind  Kind
	Shell Shell
	Dir   string
	File  string
	Line  int // of File, from 1; 0 for none
	Other string
}

// Look finds what keeps goferry's go command, in the folder goDir, from being the one that runs, and
// what else is wrong with the environment. programs is where go install puts programs; shells are
// those that have or would get lines.
func (m *Machine) Look(shells []Shell, goDir, programs string) []Note {
	var notes []Note
	notes = append(notes, m.lookFirst(shells, goDir)...)
	notes = append(notes, m.lookSystem(goDir)...)
	notes = append(notes, m.lookFiles(shells)...)
	written := m.written(shells, goDir)
	if written && !m.OnPath(goDir) {
		notes = append(notes, Note{Kind: KindPending})
	}
	if programs != "" && !m.OnPath(programs) && !m.written(shells, programs) {
		notes = append(notes, Note{Kind: KindMissing, Dir: programs})
	}
	if dir := m.env("GOROOT"); dir != "" {
		n := Note{Kind: KindGoroot, Dir: dir}
		n.File, n.Line = m.find(shells, func(line string, _ bool) bool { return gorootLine.MatchString(line) })
		notes = append(notes, n)
	}
	return notes
}

var gorootLine = regexp.MustCompile(`^\s*(export\s+GOROOT\b|GOROOT=|(declare|typeset)\s+-\w*x\w*\s+GOROOT\b|set\s+(-\w+\s+)*GOROOT\b|\$env[:.]GOROOT\s*=)`)

// lookFirst finds what comes before goDir on the PATH and has a go command.
func (m *Machine) lookFirst(shells []Shell, goDir string) (notes []Note) {
	var seen []string
	onPath := m.OnPath(goDir)
	for _, dir := range m.PathList() {
		dir = m.expand(dir)
		if m.same(dir, goDir) {
			break
		}
		if slices.ContainsFunc(seen, func(s string) bool { return m.same(s, dir) }) || !m.hasGo(dir) {
			continue
		}
		seen = append(seen, dir)
		n := Note{Kind: KindFirst, Dir: dir}
		// Without goDir on the PATH nothing comes before it yet; but what a file puts there behind
		// goferry's lines will.
		n.File, n.Line = m.find(shells, func(line string, behind bool) bool { return (onPath || behind) && m.puts(line, dir) })
		if onPath || n.File != "" {
			notes = append(notes, n)
		}
	}
	return notes
}

func (m *Machine) hasGo(dir string) bool {
	if m.OS == "windows" {
		return m.isFile(windowsEntry(dir) + `\go.exe`)
	}
	return filepath.IsAbs(dir) && m.isFile(filepath.Join(dir, "go"))
}

// lookSystem finds go commands in the PATH of the system on Windows.
func (m *Machine) lookSystem(goDir string) (notes []Note) {
	if m.OS != "windows" || m.Registry == nil {
		return nil
	}
	v, _, err := m.path(systemKey)
	if err != nil {
		return nil
	}
	for _, e := range splitPath(v.Text) {
		dir := m.expand(e)
		if m.same(dir, goDir) {
			break
		}
		if m.hasGo(dir) {
			notes = append(notes, Note{Kind: KindSystemFirst, Dir: windowsEntry(dir)})
		}
	}
	return notes
}

// puts reports whether a line of a start-up file puts dir before what is on the PATH.
func (m *Machine) puts(line, dir string) bool {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return false
	}
	if line == dir { // a file of /etc/paths.d
		return true
	}
	at := -1
	for _, name := range m.spellings(dir) {
		if at = indexDir(line, name); at >= 0 {
			break
		}
	}
	if at < 0 {
		return false
	}
	if strings.HasPrefix(line, "fish_add_path") {
		return !strings.Contains(line, "--append") && !strings.Contains(line, " -a ")
	}
	for _, rest := range []string{"$PATH", "${PATH", "$path", "$env.PATH", "$env:PATH", "$fish_user_paths"} {
		if i := strings.Index(line, rest); i > at {
			return true
		}
	}
	return strings.Contains(line, "prepend")
}

// spellings are the ways in which people write a folder.
func (m *Machine) spellings(dir string) []string {
	list := []string{dir}
	if rest, ok := strings.CutPrefix(dir, strings.TrimRight(m.Home, "/")+"/"); ok {
		list = append(list, "$HOME/"+rest, "${HOME}/"+rest, "~/"+rest)
	}
	// GOROOT of old: export PATH=$GOROOT/bin:$PATH
	if root := m.env("GOROOT"); root != "" && m.same(dir, filepath.Join(root, "bin")) {
		list = append(list, "$GOROOT/bin", "${GOROOT}/bin")
	}
	return list
}

// indexDir is where dir stands in line, not as a part of a longer name; else -1.
func indexDir(line, dir string) int {
	for from := 0; ; {
		i := strings.Index(line[from:], dir)
		if i < 0 {
			return -1
		}
		i += from
		end := i + len(dir)
		rest := strings.TrimPrefix(line[end:], "/")
		if (i == 0 || strings.IndexByte(" \t:=\"'(;,", line[i-1]) >= 0) && (rest == "" || strings.IndexByte(" \t:\"');,", rest[0]) >= 0) {
			return i
		}
		from = end
	}
}

// find returns the first line that matches, outside of goferry's blocks, of the files that shells
// read. behind is whether the line stands behind such a block.
func (m *Machine) find(shells []Shell, match func(line string, behind bool) bool) (file string, line int) {
	for _, name := range m.startFiles(shells) {
		text, _, exists, err := read(name)
		if err != nil || !exists {
			continue
		}
		at, n := 0, 0
		b, _, _ := findBlock(text)
		for l := range strings.Lines(text) {
			n++
			behind := b != nil && at >= b.end
			if (b == nil || at < b.start || behind) && match(strings.TrimRight(l, "\r\n"), behind) {
				return name, n
			}
			at += len(l)
		}
	}
	return "", 0
}

// startFiles are the files that shells, and those above them, may read, the user's own first.
func (m *Machine) startFiles(shells []Shell) []string {
	var list []string
	for _, sh := range shells {
		list = append(list, m.places(sh)...)
		switch sh {
		case Zsh:
			list = append(list, m.zsh(".zshenv"), m.zsh(".zprofile"), m.zsh(".zlogin"), m.etc("zsh", "zshenv"), m.etc("zshenv"),
				m.etc("zsh", "zshrc"), m.etc("zshrc"), m.etc("zsh", "zprofile"), m.etc("zprofile"))
		case Fish:
			conf, _ := filepath.Glob(filepath.Join(m.fishDir(), "conf.d", "*.fish"))
			list = append(append(list, filepath.Join(m.fishDir(), "config.fish")), conf...)
		case Nushell:
			list = append(list, filepath.Join(m.nuConfig(), "env.nu"), filepath.Join(m.nuConfig(), "config.nu"))
		case Bash:
			list = append(list, m.etc("bash.bashrc"), m.etc("bashrc"))
		}
	}
	if m.OS != "windows" {
		scripts, _ := filepath.Glob(m.etc("profile.d", "*.sh"))
		paths, _ := filepath.Glob(m.etc("paths.d", "*"))
		list = append(append(append(list, m.etc("profile"), m.etc("environment")), scripts...), paths...)
	}
	var once []string
	for _, f := range list {
		if !slices.Contains(once, f) {
			once = append(once, f)
		}
	}
	return once
}

var otherShell = regexp.MustCompile(`^\s*exec\s+(\S*/)?(bash|zsh|fish|nu|pwsh)\b`)

// lookFiles finds lines of goferry that no login shell will read.
func (m *Machine) lookFiles(shells []Shell) (notes []Note) {
	profile, login := m.home(".profile"), m.bashLogin()
	loginShell := m.LoginShell()
	if loginShell == Bash && login != profile && blockOf(profile) != "" && blockOf(login) == "" {
		notes = append(notes, Note{Kind: KindUnread, Shell: Bash, File: login, Other: profile})
	}
	if m.OS != "windows" && loginShell != "" && !slices.Contains(shells, loginShell) && len(shells) > 0 {
		if !slices.ContainsFunc(m.places(loginShell), func(f string) bool { return blockOf(f) != "" }) {
			files, _ := m.files(loginShell)
			notes = append(notes, Note{Kind: KindLoginShell, Shell: loginShell, File: files[len(files)-1]})
		}
	}
	for _, sh := range shells {
		files, _ := m.files(sh)
		for _, file := range files {
			text, _, _, err := read(file)
			if err != nil {
				continue
			}
			n := 0
			for l := range strings.Lines(text) {
				n++
				if strings.HasPrefix(l, markOpen) {
					break
				}
				note := Note{Kind: KindLeaves, Shell: sh, File: file, Line: n}
				if otherShell.MatchString(l) && !slices.Contains(notes, note) {
					notes = append(notes, note)
				}
			}
		}
	}
	return notes
}

// Private is the first folder on the way to dir that other users may not enter; "" if there is
// none, and on Windows, where it is not looked for. What all users are to have should not lie there.
func (m *Machine) Private(dir string) string {
	if m.OS == "windows" {
		return ""
	}
	private := ""
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o001 == 0 {
			private = at
		}
		if at == filepath.Dir(at) {
			return private
		}
	}
}
