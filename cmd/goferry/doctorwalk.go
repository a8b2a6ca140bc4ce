package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/text"
)

// doctorWalkTime bounds a walk, but for what the zip of the module takes.
const doctorWalkTime = 30 * time.Second

// walk shows what the go command would do for MODULE or MODULE@VERSION. It ends with 3 where that fails.
func (r *doctorRun) walk(arg string) error {
	path, query, _ := strings.Cut(arg, "@")
	if err := module.CheckPath(path); err != nil {
		if e, ok := err.(*module.InvalidPathError); ok {
			err = e.Err
		}
		return &fault{code: "doctor.error.walk-module", args: []any{"Name", path, "Err", err}, hint: "doctor.hint.walk-module", exit: 2}
	}
	ctx, cancel := context.WithTimeout(r.ctx(), doctorWalkTime)
	defer cancel()
	w := r.exam.Walk(ctx, path, query)
	if err := r.ctx().Err(); err != nil {
		return context.Cause(r.ctx())
	}
	if len(w.Causes) > 0 || w.State != doctor.WalkServed {
		r.exit = 3
	}
	if asJSON(r.cmd) {
		return r.json(w)
	}
	_, err := io.WriteString(r.stdout, r.walkPage(w))
	return err
}

// walkPage is a walk as people read it: a line with a bar for each step, then what is wrong, as in a report.
func (r *doctorRun) walkPage(w doctor.Walk) string {
	d := r.page(doctor.Report{Causes: w.Causes, Results: []doctor.Result{{Check: "walk", Group: doctor.Network}}})
	version := w.Version
	if version == "" {
		version = w.Query
	} else if w.Query != version {
		version += " (" + w.Query + ")"
	}
	d.line("", r.p.T("doctor.walk.head", "Module", w.Module, "Version", version))
	if w.Cached {
		d.line("", r.p.T("doctor.walk.cached"))
	}
	if w.Pattern != "" {
		d.line("", r.p.T("doctor.walk.private", "Pattern", w.Pattern))
	}
	bars := walkBarsOf(r.p, w)
	d.line("", "")
	d.line("", bars.legend())
	for i, stop := range w.Stops {
		d.line("", "")
		d.walkStop(stop, i+1 == len(w.Stops) || !w.Stops[i+1].Asked, bars)
	}
	if w.Trace != nil {
		d.line("", "")
	}
	d.traced(w.Trace)
	for i, c := range w.Causes {
		d.cause(i, c)
	}
	d.line("", "")
	d.line("", r.p.T("doctor.walk.result-"+string(w.State), "Name", w.By, "Time", doctorTime(w.Took)))
	return d.b.String()
}

// walkStop writes one entry of GOPROXY with its steps; last is the one at which the go command ends.
func (d *doctorPage) walkStop(stop doctor.WalkStop, last bool, bars walkBars) {
	state, why := doctor.Healthy, doctor.Reason("")
	switch stop.State {
	case doctor.WalkFailed, doctor.WalkSilent:
		state = doctor.Faulty
	case doctor.WalkAbsent:
		state = doctor.Warned
	case doctor.WalkUnmeasured:
		state = doctor.NotSure
	case doctor.WalkOff:
		state, why = doctor.NotSure, doctor.NotNeeded
	}
	line := "[" + d.mark(state, why) + "] " + stop.Name
	if stop.Via != "" {
		line += " " + d.p.T("doctor.walk.via", "Proxy", stop.Via)
	}
	parts := []string{d.p.T("doctor.walk.state-" + string(stop.State))}
	switch {
	case !stop.Asked:
		parts = append(parts, d.p.T("doctor.walk.not-asked"))
	case stop.State == doctor.WalkServed, stop.State == doctor.WalkOff:
	case last:
		parts = append(parts, d.p.T("doctor.walk.then-end"))
	default:
		parts = append(parts, d.p.T("doctor.walk.then-on"))
	}
	d.line("", line+"  "+(&app{p: d.p}).join(parts))
	for _, step := range stop.Steps {
		d.line("    ", bars.step(step))
	}
}

// walkBars draws steps to one scale.
type walkBars struct {
	p       *text.Printer
	longest time.Duration
	what    int // columns of the names of steps
}

// walkBar is how long a bar is at most.
const walkBar = 40

func walkBarsOf(p *text.Printer, w doctor.Walk) walkBars {
	b := walkBars{p: p, longest: time.Millisecond}
	for _, stop := range w.Stops {
		for _, s := range stop.Steps {
			b.longest = max(b.longest, s.Timing.Total())
			b.what = max(b.what, len(s.What))
		}
	}
	return b
}

// walkPart is one phase of a request.
type walkPart struct {
	code string
	sign string
	took func(doctor.Timing) time.Duration
}

func walkParts() []walkPart {
	return []walkPart{
		{"resolve", "░", func(t doctor.Timing) time.Duration { return t.Resolve }},
		{"connect", "▒", func(t doctor.Timing) time.Duration { return t.Connect }},
		{"proxy", "=", func(t doctor.Timing) time.Duration { return t.Proxy }},
		{"tls", "▓", func(t doctor.Timing) time.Duration { return t.TLS }},
		{"first-byte", "-", func(t doctor.Timing) time.Duration { return t.FirstByte }},
		{"transfer", "█", func(t doctor.Timing) time.Duration { return t.Transfer }},
	}
}

// legend says which sign is which phase.
func (b walkBars) legend() string {
	var parts []string
	for _, part := range walkParts() {
		parts = append(parts, part.sign+" "+b.p.T("doctor.walk."+part.code))
	}
	return strings.Join(parts, "   ")
}

// step is the line of a step: its name, what came, how long it took, the bar, and the phases in numbers.
func (b walkBars) step(s doctor.WalkStep) string {
	line := s.What + strings.Repeat(" ", b.what-len(s.What)+2)
	switch {
	case s.Status != 0:
		line += fmt.Sprintf("%-3d ", s.Status)
	default:
		line += "–   "
	}
	line += fmt.Sprintf("%8s  ", doctorTime(s.Timing.Total())) + b.bar(s.Timing)
	if s.Bytes > 0 && s.What == "zip" {
		size := human(s.Bytes)
		if s.Size > s.Bytes {
			size = b.p.T("doctor.walk.partly", "Bytes", size, "Size", human(s.Size))
		}
		line += "  " + size
	}
	if s.Error != "" {
		line += "  " + oneLine(s.Error, 120)
	} else if s.Status >= 400 {
		line += "  " + http.StatusText(s.Status)
	}
	return line
}

// bar draws the phases one after another, each that took any time at least one sign long.
func (b walkBars) bar(t doctor.Timing) string {
	var bar strings.Builder
	drawn, upTo := 0, time.Duration(0)
	for _, part := range walkParts() {
		took := part.took(t)
		if took <= 0 {
			continue
		}
		upTo += took
		n := max(int(int64(walkBar)*int64(upTo)/int64(b.longest))-drawn, 0)
		if n == 0 && took > b.longest/200 {
			n = 1
		}
		bar.WriteString(strings.Repeat(part.sign, n))
		drawn += n
	}
	return bar.String()
}
