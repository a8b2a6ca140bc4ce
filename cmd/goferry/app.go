package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/server"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/toolchain"
	"github.com/goferry/goferry/internal/transport"
)

// world is what a process gets from its system.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	keys           *toolchain.Keyring // of the key that signs releases; nil for the one that goferry carries with it
}

func system() world {
	return world{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv}
}

// app is one run of the command line.
type app struct {
	world
	p      *text.Printer
	runner *gocmd.Runner
	exit   int // code of a run that ended without an error

	fromBundles bool // the setting of that name counts: what serves modules to the go command can take them from bundles
}

// run runs one command line and returns its exit code (docs/exit-codes.md).
func run(ctx context.Context, args []string, w world) int {
	if code, ok := compileByZig(ctx, args, w); ok {
		return code
	}
	a := &app{world: w, p: text.New(text.Detect(langFlag(args), w.env, nil)), runner: &gocmd.Runner{}}
	root := a.rootCmd()
	root.SetArgs(args)
	root.SetIn(w.stdin)
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return a.exit
	}
	return a.report(err)
}

// langFlag finds --lang before the flags are parsed: it decides in which
// language they are explained. A language that is none of ours decides nothing.
func langFlag(args []string) string {
	lang := ""
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if v, ok := strings.CutPrefix(arg, "--lang="); ok {
			lang = v
		} else if arg == "--lang" && i+1 < len(args) {
			lang = args[i+1]
		}
	}
	if lang != text.English && lang != text.Chinese {
		return ""
	}
	return lang
}

// A fault is an error with a message in both languages and a way out.
type fault struct {
	code string // of the message
	args []any  // names and values for the message and its hint
	hint string // code of the hint; may be empty
	exit int
	err  error
}

func (f *fault) Error() string { return f.code }
func (f *fault) Unwrap() error { return f.err }

// report tells the user what went wrong and what helps, and returns the exit code.
func (a *app) report(err error) int {
	if errors.Is(err, context.Canceled) {
		return 130
	}
	exit := goproxy.ExitCode(err)
	var f *fault
	if errors.As(err, &f) {
		a.say(a.p.T(f.code, f.args...))
		if f.hint != "" {
			a.hint(a.p.T(f.hint, f.args...))
		}
		return f.exit
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			exit = a.report(e)
		}
		return exit
	}
	var ce *config.Error
	if errors.As(err, &ce) {
		a.reportSetting(ce)
		return 2
	}
	for _, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
		a.say(line)
	}
	if h := a.hintOf(err); h != "" {
		a.hint(h)
	}
	return exit
}

// reportSetting says what is wrong with a setting, and what it may be.
func (a *app) reportSetting(ce *config.Error) {
	line := a.p.T("error.setting", "Err", ce.Error())
	if errors.Is(ce, config.ErrUnknownKey) {
		line = a.p.T("error.unknown-key", "Where", ce.Origin, "Key", ce.Key)
	}
	a.say(strings.ReplaceAll(line, "\n", " "))
	if ce.HintCode != "" {
		a.hint(a.p.T(ce.HintCode, ce.HintArgs...))
	} else if ce.Hint != "" {
		a.hint(ce.Hint)
	}
}

// hintOf is the way out that belongs to an error of a room.
func (a *app) hintOf(err error) string {
	var e *goproxy.Error
	if errors.As(err, &e) && e.Hint != "" && a.p.Lang() == text.English {
		return e.Hint // may name the very command or module, which the code cannot
	}
	if e != nil && e.HintCode != "" {
		return a.p.T(e.HintCode)
	}
	if te, ok := transport.Explain(err); ok {
		code, _ := te.Hint()
		return a.p.T(code)
	}
	if e != nil {
		return e.Hint
	}
	return ""
}

func (a *app) say(line string) { fmt.Fprintln(a.stderr, "goferry: "+line) }

// example indents the command lines of a help text.
func (a *app) example(code string) string {
	return "  " + strings.ReplaceAll(a.p.T(code), "\n", "\n  ")
}

func (a *app) hint(line string) { a.say(a.p.T("cli.hint", "Hint", line)) }

// json prints v as the result of a command run with --json.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// explain makes the lines of an error answer over HTTP: what it means, the details, a way out.
func (a *app) explain(err error) []string {
	var e *goproxy.Error
	what := ""
	if errors.As(err, &e) {
		what = e.Request.String()
	}
	lines := []string{a.p.T(reasonCode(err), "What", what)}
	lines = append(lines, strings.Split(strings.TrimSpace(err.Error()), "\n")...)
	h := a.hintOf(err)
	if h == "" {
		h = a.p.T("hint." + reasonCode(err))
	}
	return append(lines[:min(len(lines), 7)], a.p.T("cli.hint", "Hint", h))
}

func reasonCode(err error) string {
	switch {
	case errors.Is(err, goproxy.ErrMismatch):
		return "reason.mismatch"
	case errors.Is(err, goproxy.ErrBlocked):
		return "reason.blocked"
	case errors.Is(err, goproxy.ErrUnavailable), goproxy.Timeout(err):
		return "reason.unavailable"
	case errors.Is(err, goproxy.ErrGone):
		return "reason.gone"
	case errors.Is(err, goproxy.ErrNotExist):
		return "reason.absent"
	case errors.Is(err, goproxy.ErrInvalid):
		return "reason.invalid"
	}
	return "reason.fault"
}

// badSetting is the fault of a setting whose value a room cannot use; hint says what it can.
func badSetting(cfg *config.Config, key string, err error, hint string) error {
	ce := cfg.Fault(key, err)
	ce.HintCode = hint
	return ce
}

// listenFault says whose fault it is that the server cannot listen.
func listenFault(cfg *config.Config, err error) error {
	var le *server.ListenError
	var ce *server.CertError
	switch {
	case errors.As(err, &ce):
		return badSetting(cfg, "tls.cert", ce, "hint.tls-files")
	case errors.Is(err, server.ErrPortTaken) && errors.As(err, &le):
		return &fault{code: "error.port-taken", args: []any{"Addr", le.Addr}, hint: "hint.port-taken", exit: 1, err: err}
	case errors.As(err, &le):
		return &fault{code: "error.listen", args: []any{"Addr", le.Addr, "Err", le.Err}, hint: "hint.listen", exit: 1, err: err}
	}
	return err
}
