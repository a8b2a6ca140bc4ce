package main

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"strconv"
	"strings"

	"github.com/goferry/goferry/internal/doctor"
)

// doctorExplained bounds what is read of the output of a build, in bytes.
const doctorExplained = 32 << 20

// explain says what the messages in the output of a build mean, and looks at just what bears on them. The name - is
// standard input.
func (r *doctorRun) explain(name string) error {
	list, err := r.recognize(name)
	if err != nil {
		return err
	}
	secrets := doctor.SecretsOf(r.exam)
	for i := range list {
		list[i].Text = secrets.Mask(list[i].Text)
		for k, v := range list[i].Args {
			list[i].Args[k] = secrets.Mask(v)
		}
	}
	rep, err := r.examine(doctor.BearOn(list, doctor.Checks()))
	if err != nil {
		return err
	}
	doctor.Mend(r.exam, list, rep)
	rep.Messages = list
	if len(list) == 0 && !asJSON(r.cmd) {
		_, err := io.WriteString(r.stdout, r.p.T("doctor.explain.none")+"\n")
		return err
	}
	if err := r.show(rep); err != nil {
		return err
	}
	if len(list) > 0 {
		r.exit = 3
	}
	return nil
}

// recognize reads the output of a build.
func (r *doctorRun) recognize(name string) ([]doctor.Recognized, error) {
	in := r.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, r.unread(name, err)
		}
		defer f.Close()
		in = f
	}
	list, err := doctor.Explain(io.LimitReader(in, doctorExplained))
	if err != nil {
		return nil, r.unread(name, err)
	}
	return list, nil
}

// unread is the fault that the output of a build cannot be read.
func (r *doctorRun) unread(name string, err error) error {
	why := err
	var path *fs.PathError
	if errors.As(err, &path) {
		why = path.Err // it names the file itself
	}
	return &fault{code: "doctor.error.explain-file", args: []any{"File", name, "Err", why.Error()}, hint: "doctor.hint.explain-file", exit: 1, err: err}
}

// messages writes what the output of a build said, above what the doctor found.
func (d *doctorPage) messages() {
	if len(d.rep.Messages) == 0 {
		return
	}
	for i, m := range d.rep.Messages {
		number := strconv.Itoa(i+1) + ". "
		indent := strings.Repeat(" ", len(number))
		args := maps.Clone(m.Args)
		if args["Host"] == "-" {
			args["Host"] = d.p.T("doctor.explain.server")
		}
		d.wrapped(number, indent, d.p.T("doctor.message."+m.Code, doctorArgs(args)...))
		where := d.p.T("doctor.explain.where", "Line", m.Line)
		if m.Count > 1 {
			where = d.p.T("doctor.explain.times", "Line", m.Line, "Times", m.Count)
		}
		d.wrapped(indent, indent+"  ", where+": "+m.Text)
		for n, fix := range m.Fixes {
			d.fix(indent, n, fix)
		}
	}
	d.line("", "")
	if len(d.rep.Results) > 0 {
		d.line("", d.p.T("doctor.explain.checked"))
	}
}
