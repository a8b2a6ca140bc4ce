package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/binary"
)

// An inspectJob is what one run of inspect is asked to look at.
type inspectJob struct {
	require []string
	verbose bool
}

func (a *app) inspectCmd() *cobra.Command {
	job := &inspectJob{}
	cmd := a.command("inspect BINARY...", "inspect", a.binaryArgs, func(cmd *cobra.Command, args []string) error {
		return a.inspect(cmd, job, args)
	})
	a.jsonFlag(cmd)
	cmd.Flags().StringArrayVar(&job.require, "require", nil, a.p.T("inspect.flag-require"))
	cmd.Flags().BoolVarP(&job.verbose, "verbose", "v", false, a.p.T("inspect.flag-verbose"))
	return cmd
}

// binaryArgs wants one file at least.
func (a *app) binaryArgs(cmd *cobra.Command, args []string) error {
	return a.argCount(cmd, args, 1, max(1, len(args)))
}

// inspectReport is what `inspect --json` prints.
type inspectReport struct {
	Met   bool          `json:"met"` // every file could be read, and every requirement is met
	Files []inspectFile `json:"files"`
}

// An inspectFile is what is known of one file: what was read, and where it runs; or why nothing is.
type inspectFile struct {
	File  string        `json:"file"`
	Error *inspectError `json:"error,omitempty"`
	*binary.Info
	RunsOn       []string         `json:"runs_on,omitempty"` // in short: Debian 12+
	Verdicts     []binary.Verdict `json:"verdicts,omitempty"`
	Requirements []binary.Outcome `json:"requirements,omitempty"`
}

type inspectError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// inspect looks at files, all of them, whatever is wrong with one, and prints what they are.
func (a *app) inspect(cmd *cobra.Command, job *inspectJob, files []string) error {
	promises, err := parseRequirements(job.require)
	if err != nil {
		return err
	}
	rep := inspectReport{Met: true, Files: []inspectFile{}}
	var bad []error
	for _, file := range files {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		f := inspectFile{File: file}
		if f.Info, err = readBinary(file); err != nil {
			err = binaryFault(file, err)
			bad = append(bad, err)
			f.Error = a.inspectError(err)
		} else {
			f.Verdicts = binary.Judge(f.Info)
			f.RunsOn = binary.PlatformNames(verdictsThat(f.Verdicts, binary.Runs), true)
			f.Requirements = checkAll(promises, f.Info)
		}
		rep.Files = append(rep.Files, f)
	}
	unmet, idle := tallyRequirements(promises, rep.Files)
	rep.Met = unmet == 0 && len(idle) == 0 && len(bad) == 0
	if unmet > 0 || len(idle) > 0 {
		a.exit = 3
	}
	if asJSON(cmd) {
		err = a.json(rep)
	} else {
		err = a.showPrograms(rep.Files, job.verbose)
	}
	for _, r := range idle {
		a.say(a.p.T("inspect.idle", "Requirement", r))
	}
	for n, e := range bad {
		if exit := a.report(e); n == 0 {
			a.exit = exit
		}
	}
	return err
}

// inspectError is a fault for JSON.
func (a *app) inspectError(err error) *inspectError {
	var f *fault
	if errors.As(err, &f) {
		return &inspectError{Code: f.code, Message: a.p.T(f.code, f.args...)}
	}
	return &inspectError{Code: "inspect.error.read", Message: err.Error()}
}

// parseRequirements reads what --require was given; the error is a fault.
func parseRequirements(list []string) ([]binary.Requirement, error) {
	var promises []binary.Requirement
	for _, given := range list { // nothing given as a promise is an unset variable of a script, which would check nothing
		for text := range strings.SplitSeq(given, ",") {
			r, err := binary.ParseRequirement(text)
			if err != nil {
				return nil, requirementFault(err)
			}
			promises = append(promises, r)
		}
	}
	return promises, nil
}

// requirementFault says what is wrong with a requirement, and which there are.
func requirementFault(err error) error {
	var re *binary.RequirementError
	if !errors.As(err, &re) {
		return err
	}
	var all []string
	for _, k := range binary.Requirements() {
		all = append(all, k.Example)
	}
	fail := func(hint string, more ...any) error {
		return &fault{code: "inspect.error.require-" + re.Kind, args: append([]any{"Text", re.Text, "Near", re.Near}, more...), hint: hint, exit: 2, err: err}
	}
	switch {
	case re.Kind == "platform":
		return fail("inspect.hint.platform")
	case re.Near != "":
		return fail("hint.did-you-mean", "Cmd", "")
	}
	return fail("inspect.hint.require", "All", strings.Join(all, " "))
}

// checkAll holds a program to all promises.
func checkAll(promises []binary.Requirement, i *binary.Info) []binary.Outcome {
	var list []binary.Outcome
	for _, r := range promises {
		list = append(list, r.Check(i))
	}
	return list
}

// tallyRequirements counts broken promises, and names those that say nothing of any of the files: who asked for them
// believes that something was checked.
func tallyRequirements(promises []binary.Requirement, files []inspectFile) (unmet int, idle []string) {
	about, read := map[string]bool{}, false
	for _, f := range files {
		read = read || f.Info != nil
		for _, o := range f.Requirements {
			about[o.Requirement] = about[o.Requirement] || o.Met != binary.MetNone
			if o.Met == binary.MetNo {
				unmet++
			}
		}
	}
	for _, r := range promises {
		if read && !about[r.String()] {
			idle = append(idle, r.String())
		}
	}
	return unmet, idle
}

// What a name is that is no file.
var (
	errFolder    = errors.New("a folder")
	errIrregular = errors.New("no regular file")
)

// readBinary reads a program. It opens nothing but regular files: a pipe would never answer.
func readBinary(name string) (*binary.Info, error) {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case st.IsDir():
		return nil, errFolder
	case !st.Mode().IsRegular():
		return nil, errIrregular
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil { // of what was opened, whatever had the name before
		return nil, err
	}
	return binary.Read(f, st.Size())
}

// binaryFault says why a file is no program that can be read, and what helps.
func binaryFault(name string, err error) error {
	var nb *binary.NotBinaryError
	var damaged *binary.DamagedError
	fail := func(exit int, code, hint string, more ...any) error {
		return &fault{code: code, args: append([]any{"File", printable(name), "Err", plain(err)}, more...), hint: hint, exit: exit, err: err}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(2, "inspect.error.absent", "inspect.hint.absent")
	case errors.Is(err, errFolder):
		return fail(2, "inspect.error.folder", "inspect.hint.folder")
	case errors.Is(err, errIrregular):
		return fail(2, "inspect.error.irregular", "inspect.hint.absent")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fail(1, "inspect.error.changed", "inspect.hint.changed")
	case errors.As(err, &nb):
		code := "inspect.error.looks-" + nb.Looks
		switch nb.Looks {
		case "archive":
			return fail(1, code, "inspect.hint.objects")
		case "compressed", "zip", "tar", "deb":
			return fail(1, code, "inspect.hint.unpack", "Detail", nb.Detail)
		case "empty":
			return fail(1, code, "inspect.hint.damaged")
		}
		return fail(1, code, "inspect.hint.not-binary", "Detail", nb.Detail)
	case errors.As(err, &damaged):
		return fail(1, "inspect.error.damaged", "inspect.hint.damaged", "Format", string(damaged.Format), "What", printable(damaged.What))
	}
	return fail(1, "inspect.error.read", "inspect.hint.read")
}
