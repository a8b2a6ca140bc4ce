package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/binary"
)

// inspectShown is how many packages, libraries or functions a block names; --verbose and JSON have more.
const inspectShown = 6

// needs adds what a program asks of its system.
func (p *inspectPage) needs() {
	i, a := p.i, p.a
	for _, m := range i.Members {
		p.row("inspect.row-member", a.programText(m))
	}
	var names []string
	for _, l := range i.Libraries {
		name := l.Name
		if l.Delayed {
			name = a.p.T("inspect.delayed", "Name", name)
		}
		names = append(names, name)
	}
	if most := 2 * inspectShown; len(names) > most && !p.verbose {
		names = append(names[:most], fmt.Sprintf("… +%d", len(names)-most))
	}
	p.row("inspect.row-needs", p.list(names))
	var floors []string
	for _, f := range i.Floors {
		if p.verbose && len(f.Symbols) > 0 {
			p.row("inspect.row-floor", strings.TrimSpace(f.Name+" "+f.Version)+": "+strings.Join(f.Symbols, ", "))
			continue
		}
		floors = append(floors, strings.TrimSpace(f.Name+" "+f.Version))
	}
	if arm := i.Arch == "arm" && i.CPU > strings.Split(i.Detail, ",")[0]; arm || i.CPU != "" && i.CPU != i.Detail && i.Arch == "amd64" {
		floors = append(floors, a.p.T("inspect.cpu", "CPU", i.Arch+" "+i.CPU))
	}
	p.row("inspect.row-floor", p.list(floors))
	if !p.verbose {
		return
	}
	p.row("inspect.row-interpreter", i.Interpreter)
	p.row("inspect.row-runpath", strings.Join(i.RunPath, ":"))
	for _, l := range i.Libraries {
		if len(l.Symbols) > 0 {
			p.row("inspect.row-functions", l.Name+": "+strings.Join(l.Symbols, " "))
		}
	}
}

// origin adds what Go left in a program: the versions, the settings of the build, the commit.
func (p *inspectPage) origin() {
	g, a := p.i.Go, p.a
	if g == nil {
		return
	}
	facts := []string{g.Version}
	if g.Path != "" {
		facts = append(facts, g.Path)
	}
	switch {
	case g.Cgo == nil:
	case *g.Cgo:
		facts = append(facts, a.p.T("inspect.with-cgo"))
	default:
		facts = append(facts, a.p.T("inspect.without-cgo"))
	}
	if len(g.Tags) > 0 {
		facts = append(facts, "-tags="+strings.Join(g.Tags, ","))
	}
	if g.LDFlags != "" {
		facts = append(facts, "-ldflags="+g.LDFlags)
	}
	if r := g.VCS["revision"]; r != "" {
		if len(r) > 12 {
			r = r[:12]
		}
		if g.VCS["modified"] == "true" {
			r = a.p.T("inspect.modified", "Revision", r)
		}
		facts = append(facts, strings.TrimSpace(g.VCS["vcs"]+" "+r))
	}
	p.row("inspect.row-made", p.list(facts))
	if !p.verbose {
		return
	}
	var keys []string
	for k := range g.Settings {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		p.row("inspect.row-setting", k+"="+g.Settings[k])
	}
}

// protection adds what a program has of the protections that its format knows, and what it lacks.
func (p *inspectPage) protection() {
	h := p.i.Hardening
	var has, lacks []string
	add := func(name string, v *bool) {
		switch {
		case v == nil:
		case *v:
			has = append(has, name)
		default:
			lacks = append(lacks, name)
		}
	}
	add("PIE", h.PIE)
	add("NX", h.NX)
	switch h.RELRO {
	case "full":
		has = append(has, "RELRO")
	case "partial":
		has = append(has, p.a.p.T("inspect.relro-partial"))
	case "none":
		lacks = append(lacks, "RELRO")
	}
	add("ASLR", h.ASLR)
	add("high-entropy ASLR", h.HighASLR)
	add("CFG", h.CFG)
	if p.i.Go == nil { // Go checks its stacks itself
		add("stack canary", h.Canary)
	}
	switch {
	case h.Signed != nil && *h.Signed:
		has = append(has, p.a.p.T("inspect.signature"))
	case h.Signed != nil && p.i.OS == "darwin": // programs for Windows are rarely signed
		lacks = append(lacks, p.a.p.T("inspect.no-signature"))
	}
	var facts []string
	if len(has) > 0 {
		facts = append(facts, p.list(has))
	}
	if len(lacks) > 0 {
		facts = append(facts, p.a.p.T("inspect.lacks", "Names", p.list(lacks)))
	}
	if h.TextWrite != nil && *h.TextWrite {
		facts = append(facts, p.a.p.T("inspect.text-write"))
	}
	if h.Stripped != nil && *h.Stripped {
		facts = append(facts, p.a.p.T("inspect.stripped"))
	}
	p.row("inspect.row-protection", strings.Join(facts, p.a.p.T("inspect.join")))
}

// sizes adds the largest packages.
func (p *inspectPage) sizes() {
	most := inspectShown
	if p.verbose {
		most = 40
	}
	if p.i.Kind == binary.Object || p.i.Kind == binary.Core {
		return
	}
	var list []string
	for _, pkg := range p.i.Packages[:min(most, len(p.i.Packages))] {
		list = append(list, pkg.Path+" "+human(pkg.Bytes))
	}
	p.row("inspect.row-largest", p.list(list))
}
