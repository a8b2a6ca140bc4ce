package shellenv

import (
	"fmt"
	"slices"
	"strings"
)

// Lines are the commands with which sh puts entries on its PATH, each line ended. Run twice they
// change nothing the second time: an entry that is there is left where it is, so that a shell started inside of
// another keeps the order that it was given.
func (m *Machine) Lines(sh Shell, entries []Entry) (string, error) {
	return m.lines(sh, entries, m.Home)
}

// lines writes $HOME for home, so that start-up files can be shared between machines; for a home
// of "" it writes the folders in full.
func (m *Machine) lines(sh Shell, entries []Entry, home string) (string, error) {
	if err := m.checkAll(entries); err != nil {
		return "", err
	}
	var front, back []string
	for _, e := range entries {
		w := word(sh, e.Dir, home)
		if e.Last {
			back = append(back, w)
		} else {
			front = append(front, w)
		}
	}
	slices.Reverse(front) // the last one to be put before the others is the first
	switch sh {
	case Bash, Zsh, Sh:
		return posixLines(front, back), nil
	case Fish:
		return fishLines(front, back), nil
	case Nushell:
		return nuLines(front, back), nil
	case PowerShell, Windows:
		return m.powerShellLines(front, back), nil
	case Cmd:
		return cmdLines(front, back), nil
	}
	return "", fmt.Errorf("%q: %w", sh, ErrShell)
}

// Assign is the command with which sh gives a variable a value for itself and the programs it starts, its line ended.
// The error is ErrShell.
func Assign(sh Shell, name, value string) (string, error) {
	w := word(sh, value, "")
	switch sh {
	case Bash, Zsh, Sh:
		return "export " + name + "=" + w + "\n", nil
	case Fish:
		return "set -gx " + name + " " + w + "\n", nil
	case Nushell:
		return "$env." + name + " = " + w + "\n", nil
	case PowerShell, Windows:
		return "$env:" + name + " = " + w + "\n", nil
	case Cmd:
		return `set "` + name + "=" + w + "\"\r\n", nil
	}
	return "", fmt.Errorf("%q: %w", sh, ErrShell)
}

// word is a folder as sh reads it.
func word(sh Shell, dir, home string) string {
	switch sh {
	case Bash, Zsh, Sh:
		return homeWord(dir, home, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`"))
	case Fish:
		return homeWord(dir, home, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`))
	case Nushell:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(dir) + `"`
	case PowerShell, Windows:
		// PowerShell takes typographic quotes for quotes.
		return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(dir) + "'"
	}
	return dir
}

// homeWord quotes dir, with $HOME for the home folder.
func homeWord(dir, home string, quote *strings.Replacer) string {
	if home = strings.TrimRight(home, "/"); home != "" {
		if rest, ok := strings.CutPrefix(dir, home); ok && (rest == "" || rest[0] == '/') {
			return `"$HOME` + quote.Replace(rest) + `"`
		}
	}
	return `"` + quote.Replace(dir) + `"`
}

// posixLines are understood by every shell that knows POSIX, zsh included. An empty PATH gets no
// empty entry, which would mean the current folder.
func posixLines(front, back []string) string {
	var b strings.Builder
	put := func(w, path string) {
		fmt.Fprintf(&b, "case \":${PATH-}:\" in\n*:%s:*) ;;\n*) PATH=%s ;;\nesac\n", w, path)
	}
	for _, w := range front {
		put(w, strings.TrimSuffix(w, `"`)+`${PATH:+:${PATH}}"`)
	}
	for _, w := range back {
		put(w, `"${PATH:+${PATH}:}`+strings.TrimPrefix(w, `"`))
	}
	b.WriteString("export PATH\n")
	return b.String()
}

func fishLines(front, back []string) string {
	var b strings.Builder
	for _, w := range front {
		fmt.Fprintf(&b, "contains -- %s $PATH; or set -gx PATH %s $PATH\n", w, w)
	}
	for _, w := range back {
		fmt.Fprintf(&b, "contains -- %s $PATH; or set -gx PATH $PATH %s\n", w, w)
	}
	return b.String()
}

// nuLines splits first: where nothing has made a list of it, PATH is one string.
func nuLines(front, back []string) string {
	var b strings.Builder
	b.WriteString("$env.PATH = ($env.PATH? | default [] | split row (char esep))\n")
	for _, w := range front {
		fmt.Fprintf(&b, "if %s not-in $env.PATH { $env.PATH = ($env.PATH | prepend %s) }\n", w, w)
	}
	for _, w := range back {
		fmt.Fprintf(&b, "if %s not-in $env.PATH { $env.PATH = ($env.PATH | append %s) }\n", w, w)
	}
	return b.String()
}

// powerShellLines run in a scope of their own, which leaves no variables behind.
func (m *Machine) powerShellLines(front, back []string) string {
	notIn := "-cnotcontains"
	if m.OS == "windows" {
		notIn = "-notcontains"
	}
	var b strings.Builder
	b.WriteString("& {\n    $sep = [IO.Path]::PathSeparator\n")
	put := func(list []string, order string) {
		if len(list) > 0 {
			fmt.Fprintf(&b, "    foreach ($dir in %s) {\n        if (($env:PATH -split $sep) %s $dir) { $env:PATH = (@(%s) -ne $null -ne '') -join $sep }\n    }\n",
				strings.Join(list, ", "), notIn, order)
		}
	}
	put(front, "$dir, $env:PATH")
	put(back, "$env:PATH, $dir")
	b.WriteString("}\n")
	return b.String()
}

// cmdLines cannot ask what is there already.
func cmdLines(front, back []string) string {
	front = append(slices.Clone(front), "%PATH%")
	slices.Reverse(front[:len(front)-1])
	return `set "PATH=` + strings.Join(append(front, back...), ";") + "\"\r\n"
}
