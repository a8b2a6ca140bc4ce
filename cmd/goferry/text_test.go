package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/text/texttest"
)

var update = flag.Bool("update", false, "write testdata/help anew")

// TestCodes wants a message for every code that the source names.
func TestCodes(t *testing.T) {
	for _, dir := range []string{".", "../../internal"} {
		texttest.Check(t, os.DirFS(dir))
	}
}

// helpOf is what goferry prints for args in one language.
func helpOf(t *testing.T, lang string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	w := world{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: func(string) string { return "" }}
	if code := run(t.Context(), append([]string{"--lang", lang}, args...), w); code != 0 || errs.Len() > 0 {
		t.Fatalf("goferry %v: exit code %d\n%s", args, code, errs.String())
	}
	return out.String()
}

// commands are all commands, by the words that call them.
func commands(lang string) map[string]*cobra.Command {
	a := &app{p: text.New(lang)}
	all := map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		all[strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "goferry"))] = cmd
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(a.rootCmd())
	return all
}

var noMessage = regexp.MustCompile(`\[[a-z]+(\.[a-z-]+)+\]|%!|<no value>`)

// TestHelp holds the help of every command to its form: an example before all else, exit
// codes last, lines that fit, every line in the language.
func TestHelp(t *testing.T) {
	sections := map[string][3]string{
		text.English: {"\nExamples:\n", "\nUsage:\n", "\nExit codes:\n"},
		text.Chinese: {"\n示例：\n", "\n用法：\n", "\n退出码：\n"},
	}
	for lang, names := range sections {
		all := commands(lang)
		if len(all) < 13 {
			t.Fatalf("only %d commands", len(all))
		}
		for name, cmd := range all {
			t.Run(lang+"/"+strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				help := helpOf(t, lang, append(strings.Fields(name), "--help")...)
				example, usage, exit := strings.Index(help, names[0]), strings.Index(help, names[1]), strings.Index(help, names[2])
				if example < 0 || usage < example || exit < usage {
					t.Errorf("want examples, usage, exit codes in this order:\n%s", help)
				}
				if tail := help[exit:]; strings.Count(strings.TrimSpace(tail), "\n") != 2 || !strings.Contains(tail, "130") {
					t.Errorf("help ends with %q, want the exit codes", tail)
				}
				for line := range strings.Lines(help) {
					line = strings.TrimSuffix(line, "\n")
					if n := text.Columns(line); n > helpColumns || strings.TrimRight(line, " \t") != line {
						t.Errorf("%d columns: %q", n, line)
					}
				}
				if m := noMessage.FindString(help); m != "" {
					t.Errorf("a message is missing: %s", m)
				}
				if lang == text.Chinese {
					chinese(t, cmd)
				}
			})
		}
	}
}

// chinese wants Chinese wherever the help of cmd has words, also of the flags that it hides.
func chinese(t *testing.T, cmd *cobra.Command) {
	t.Helper()
	words := map[string]string{"short": cmd.Short}
	if cmd.Long != "" {
		words["long"] = cmd.Long
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { words["--"+f.Name] = f.Usage })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { words["--"+f.Name] = f.Usage })
	for what, s := range words {
		if !strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s: %q is not Chinese", what, s)
		}
	}
}

// TestHelpText compares the help of all commands with testdata/help, where people can read
// it; go test ./cmd/goferry -run TestHelpText -update writes it.
func TestHelpText(t *testing.T) {
	order := []string{"", "serve", "exec", "fetch", "on", "off", "status", "mirrors", "mirrors use", "env", "cache", "cache ls", "cache stat", "cache verify", "cache gc", "cache rm", "cache import",
		"sdk", "sdk list", "sdk install", "sdk use", "sdk which", "sdk exec", "sdk verify", "sdk repair", "sdk remove", "sdk import", "sdk test", "sdk trace", "doctor", "graph", "bundle", "bundle create", "bundle inspect", "bundle verify", "bundle diff", "bundle import", "bundle env", "bundle keygen", "vendor", "dockerfile", "image", "build", "inspect", "cgo", "cgo check", "cgo setup",
		"config", "version", "completion", "help"}
	for _, lang := range []string{text.English, text.Chinese} {
		var b strings.Builder
		for _, name := range order {
			args := append(strings.Fields(name), "--help")
			fmt.Fprintf(&b, "$ goferry %s\n%s\n", strings.Join(args, " "), helpOf(t, lang, args...))
		}
		file := filepath.Join("testdata", "help", lang+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		if n := len(commands(lang)); n != len(order)-1 && n != len(order) { // help itself comes with Execute
			t.Errorf("%d commands, and the help of %d is compared", n, len(order))
		}
	}
}

// TestReasonCodes wants a message, and a way out, for every reason that an answer over HTTP can have.
func TestReasonCodes(t *testing.T) {
	p := text.New(text.English)
	for _, code := range []string{"absent", "gone", "invalid", "blocked", "unavailable", "mismatch", "fault"} {
		for _, c := range []string{"reason." + code, "hint.reason." + code} {
			if !p.Has(c) {
				t.Errorf("no message %s", c)
			}
		}
	}
	if got := reasonCode(context.DeadlineExceeded); got != "reason.unavailable" {
		t.Errorf("a deadline is %s", got)
	}
}
