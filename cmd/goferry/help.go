package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/text"
)

// helpColumns is how wide help is, on any terminal: lines of more are hard to read.
const helpColumns = 100

// help says how cmd is used: examples come before all reference, exit codes last.
func (a *app) help(cmd *cobra.Command) {
	w := cmd.OutOrStdout()
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	a.lines(w, "", about)
	if cmd.HasExample() {
		a.section(w, "usage.examples")
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
	a.section(w, "usage.usage")
	fmt.Fprintln(w, "  "+a.useLine(cmd))
	a.commandTable(w, cmd)
	if cmd.HasAvailableLocalFlags() {
		a.section(w, "usage.flags")
		a.flagTable(w, cmd.LocalFlags())
	}
	if cmd.HasAvailableInheritedFlags() {
		a.section(w, "usage.global")
		a.flagTable(w, cmd.InheritedFlags())
	}
	a.section(w, "usage.exit")
	a.lines(w, "  ", a.p.T("usage.exit-codes"))
}

func (a *app) section(w io.Writer, code string) { fmt.Fprintf(w, "\n%s\n", a.p.T(code)) }

// lines prints s, wrapped, with indent before each line.
func (a *app) lines(w io.Writer, indent, s string) {
	for _, line := range text.Wrap(s, helpColumns-len(indent)) {
		fmt.Fprintln(w, strings.TrimRight(indent+line, " "))
	}
}

// useLine is how cmd is called, in the language of the user.
func (a *app) useLine(cmd *cobra.Command) string {
	line := cmd.CommandPath()
	if cmd.HasAvailableSubCommands() && !strings.Contains(cmd.Use, "[") { // it does nothing by itself
		return line + " " + a.p.T("usage.command")
	}
	if cmd.HasAvailableLocalFlags() {
		line += " [" + a.p.T("usage.flags-word") + "]"
	}
	return line + strings.TrimPrefix(cmd.Use, cmd.Name())
}

func (a *app) commandTable(w io.Writer, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	a.section(w, "usage.commands")
	var rows [][2]string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			rows = append(rows, [2]string{"  " + sub.Name(), sub.Short})
		}
	}
	a.table(w, rows)
}

func (a *app) flagTable(w io.Writer, fs *pflag.FlagSet) {
	var rows [][2]string
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		if word := valueWord(f); word != "" {
			name += " " + word
		}
		rows = append(rows, [2]string{name, f.Usage})
	})
	a.table(w, rows)
}

// table prints rows of two columns, the second of which is wrapped.
func (a *app) table(w io.Writer, rows [][2]string) {
	left := 0
	for _, row := range rows {
		left = max(left, text.Columns(row[0])+2)
	}
	for _, row := range rows {
		name := row[0]
		for _, line := range text.Wrap(row[1], helpColumns-left) {
			fmt.Fprintln(w, name+strings.Repeat(" ", left-text.Columns(name))+line)
			name = ""
		}
	}
}

// valueWord stands in help for the value of a flag; a flag that takes none has none.
func valueWord(f *pflag.Flag) string {
	if f.Value.Type() == "bool" { // also of pflag itself
		return ""
	}
	switch f.Name {
	case "cache", "sdk-dir", "goroot", "build-cache", "dir", "out":
		return "DIR"
	case "config", "tls-cert", "tls-key", "file", "sdk-keyring", "chrome", "bundle", "explain", "output", "sign", "since", "base", "ca", "save", "from":
		return "FILE"
	case "listen":
		return "HOST:PORT"
	case "sumdb", "lang", "os", "arch", "name", "apt":
		return "NAME"
	case "upstream", "sdk-sources", "packages", "shell", "platform", "tags":
		return "LIST"
	case "private":
		return "PATTERNS"
	case "timeout", "every":
		return "TIME"
	case "trust":
		return "KEY"
	case "url", "vuln":
		return "URL"
	case "split":
		return "SIZE"
	case "sdk":
		return "VERSION"
	case "go-image", "push":
		return "REF"
	case "target":
		return "TARGET"
	case "require":
		return "PROMISE"
	case "health":
		return "PATH"
	case "package":
		return "PACKAGE"
	case "label":
		return "KEY=VALUE"
	case "ldflags":
		return "FLAGS"
	case "port":
		return "N"
	case "why", "cut":
		return "MODULE"
	case "module", "what-if":
		return "MODULE@VERSION"
	case "with":
		return "NAME=VALUE"
	case "log-format", "log-level", "format", "libc", "cgo":
		return "WORD"
	case "static", "run-test": // with a value or without: their texts say which
		return ""
	}
	switch f.Value.Type() {
	case config.TypeBool.String():
		return ""
	case config.TypeInt.String():
		return "N"
	}
	return strings.ToUpper(f.Value.Type())
}
