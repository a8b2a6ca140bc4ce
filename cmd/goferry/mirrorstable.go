package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/transport"
)

// mirrorRows makes a table of a report, its head first.
func (a *app) mirrorRows(r mirrorReport) [][]string {
	rows := [][]string{{
		a.p.T("mirrors.col-name"), a.p.T("mirrors.col-verdict"), a.p.T("mirrors.col-latency"), a.p.T("mirrors.col-speed"),
		"HTTP", "TLS", a.p.T("mirrors.col-list"), "@latest", "sumdb", a.p.T("mirrors.col-ranges"), a.p.T("mirrors.col-toolchains"), a.p.T("mirrors.col-note"),
	}}
	for _, m := range r.Mirrors {
		rows = append(rows, []string{
			m.Name, a.p.T("mirrors.verdict-" + string(m.Verdict)), latencyCell(m), speedCell(m),
			orNothing(strings.TrimSuffix(strings.TrimPrefix(m.Link.HTTP, "HTTP/"), ".0")), orNothing(strings.TrimPrefix(m.Link.TLS, "TLS ")),
			a.listCell(m), a.stateCell(m, mirrors.AskLatest), a.stateCell(m, mirrors.AskSumdb),
			a.stateCell(m, mirrors.AskRanges), a.stateCell(m, mirrors.AskToolchain), a.notes(m),
		})
	}
	return rows
}

// nothing stands in a table for what is not known because nobody asked.
const nothing = "–"

func orNothing(s string) string {
	if s == "" {
		return nothing
	}
	return s
}

func latencyCell(m mirrors.Result) string {
	switch d := time.Duration(m.Latency); {
	case d == 0:
		return nothing
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	default:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	}
}

func speedCell(m mirrors.Result) string {
	if m.Speed == 0 {
		return nothing
	}
	return human(m.Speed) + "/s"
}

func (a *app) listCell(m mirrors.Result) string {
	switch s := m.Steps[mirrors.AskList]; {
	case s.Reason == mirrors.Behind:
		return a.p.T("mirrors.list-behind")
	case s.State == mirrors.Yes:
		return a.p.T("mirrors.list-fresh")
	}
	return a.stateCell(m, mirrors.AskList)
}

func (a *app) stateCell(m mirrors.Result, ask mirrors.Ask) string {
	switch m.Steps[ask].State {
	case mirrors.Yes:
		return a.p.T("mirrors.yes")
	case mirrors.No:
		return a.p.T("mirrors.no")
	case mirrors.Unknown:
		return "?"
	}
	return nothing
}

// notes says in a line what is worth saying of m.
func (a *app) notes(m mirrors.Result) string {
	var list []string
	if m.InUse {
		list = append(list, a.p.T("mirrors.in-use"))
	}
	for _, n := range m.Notes {
		switch n.Code {
		case mirrors.NoteFailed, mirrors.NoteUnsure:
			list = append(list, a.stepNote(n.Ask, m.Steps[n.Ask]))
		default:
			list = append(list, a.p.T("mirrors.note-"+string(n.Code), "Value", n.Value))
		}
	}
	return strings.Join(list, a.p.T("mirrors.note-join"))
}

// stepNote says what became of a question that was not answered with yes.
func (a *app) stepNote(ask mirrors.Ask, s mirrors.Step) string {
	what := a.askName(ask)
	if ask == mirrors.AskInfo && s.Op != "" {
		what = opName(s.Op) // nothing was asked yet
	}
	why := string(s.Reason)
	if code := "mirrors.why-" + why; a.p.Has(code) {
		why = a.p.T(code, "Status", s.Status)
	}
	return a.p.T("mirrors.note-step", "What", what, "Why", why)
}

// askName names a question as the table and the protocol do.
func (a *app) askName(ask mirrors.Ask) string {
	switch ask {
	case mirrors.AskInfo, mirrors.AskMod, mirrors.AskZip:
		return "." + string(ask)
	case mirrors.AskLatest:
		return "@latest"
	case mirrors.AskSumdb:
		return "sumdb"
	case mirrors.AskChecked:
		return a.p.T("mirrors.ask-checked")
	case mirrors.AskList:
		return a.p.T("mirrors.col-list")
	case mirrors.AskRanges:
		return a.p.T("mirrors.col-ranges")
	}
	return a.p.T("mirrors.col-toolchains")
}

// opName names a step of a request by the protocol it belongs to.
func opName(op transport.Op) string {
	switch op {
	case transport.OpResolve:
		return "DNS"
	case transport.OpConnect:
		return "TCP"
	case transport.OpTLS:
		return "TLS"
	case transport.OpProxy:
		return "HTTP proxy"
	}
	return "HTTP"
}

// printColumns prints rows whose cells stand below each other, also wide ones as Chinese has
// them. The columns in right are flush with their right side; the last one is never filled up.
func printColumns(w io.Writer, rows [][]string, right ...int) {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], text.Columns(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			fill := strings.Repeat(" ", width[i]-text.Columns(cell))
			if slices.Contains(right, i) {
				cell, fill = fill+cell, ""
			}
			b.WriteString(cell + fill + "  ")
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
