package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/toolchain"
)

// proofLines say what came of each way to prove a toolchain, the strongest first.
func (a *app) proofLines(proofs []toolchain.Proof) []string {
	var lines []string
	for _, p := range proofs {
		lines = append(lines, a.proofLine(p))
	}
	return lines
}

// proofLine is "proved by the checksum database (sum.golang.org)" or what stands in the way of that.
func (a *app) proofLine(p toolchain.Proof) string {
	way := a.wayName(p)
	if p.Verdict == toolchain.Proved {
		return a.p.T("sdk.proof.proved", "Way", way)
	}
	why := a.p.T("sdk.proof.reason." + cmp.Or(string(p.Reason), "none"))
	if p.Detail != "" && p.Verdict != toolchain.None {
		why += ": " + p.Detail
	}
	return a.p.T("sdk.proof."+string(p.Verdict), "Way", way, "Why", why)
}

// wayName is "the checksum database (sum.golang.org)".
func (a *app) wayName(p toolchain.Proof) string {
	way := a.p.T("sdk.way." + string(p.Way))
	if p.By != "" {
		way += " (" + p.By + ")"
	}
	return way
}

// printProofs prints the lines under what they are about.
func (a *app) printProofs(proofs []toolchain.Proof) {
	for _, line := range a.proofLines(proofs) {
		fmt.Fprintln(a.stdout, "  "+line)
	}
}

// proofFault says that a download was thrown away.
func (a *app) proofFault(pe *toolchain.ProofError, err error) error {
	var places, why []string
	for _, p := range pe.Places {
		places = append(places, p.Name)
	}
	for _, p := range pe.Proofs {
		if p.Verdict == toolchain.None || pe.Refuted() && p.Verdict != toolchain.Refuted {
			continue
		}
		why = append(why, a.proofLine(p))
	}
	args := []any{"Name", sdkName(pe.Target), "Places", strings.Join(places, ", "), "Why", strings.Join(why, "; ")}
	switch {
	case pe.Refuted() && len(places) > 0:
		return &fault{code: "sdk.error.forged", args: args, hint: "sdk.hint.forged", exit: 13, err: err}
	case pe.Refuted():
		return &fault{code: "sdk.error.differs", args: args, hint: "sdk.hint.differs", exit: 13, err: err}
	}
	for _, p := range pe.Proofs {
		switch p.Reason {
		case toolchain.ReasonOff:
			return &fault{code: "sdk.error.unproved", args: args, hint: "sumdb.hint.off", exit: 12, err: err}
		case toolchain.ReasonNoRecord:
			return &fault{code: "sdk.error.unproved", args: args, hint: "sdk.hint.no-record", exit: 12, err: err}
		}
	}
	return &fault{code: "sdk.error.unproved", args: args, hint: "sdk.hint.unproved", exit: 12, err: err}
}

// sdkFault says why a toolchain could not be installed, imported or repaired.
func (r *sdkRun) sdkFault(t toolchain.Target, err error) error {
	var pe *toolchain.ProofError
	var outside *toolchain.OutsideError
	args := []any{"Name", sdkName(t), "Err", errLine(err)}
	switch {
	case r.ctx().Err() != nil:
		return err
	case errors.As(err, &pe) && (pe.Refuted() || goproxy.ExitCode(err) == 12):
		return r.proofFault(pe, err)
	case errors.As(err, &outside):
		return &fault{code: "sdk.error.outside", args: []any{"Root", outside.Root, "Names", strings.Join(outside.Names, ", ")}, hint: "sdk.hint.outside", exit: 1, err: err}
	case errors.Is(err, toolchain.ErrDiskFull):
		return &fault{code: "sdk.error.home", args: []any{"Dir", r.home.Dir, "Err", errLine(toolchain.ErrDiskFull)}, hint: "sdk.hint.disk-full", exit: 1, err: err}
	}
	switch exit := goproxy.ExitCode(err); exit {
	case 10:
		return &fault{code: "sdk.error.absent", args: args, hint: "sdk.hint.list", exit: exit, err: err}
	case 11, 12:
		var fe *toolchain.FetchError
		switch {
		case r.cfg.Offline:
			return &fault{code: "sdk.error.offline", args: args, hint: "sdk.hint.offline", exit: exit, err: err}
		case errors.As(err, &fe): // some place was asked
		case strings.TrimSpace(string(r.cfg.Sumdb)) == "off":
			return &fault{code: "sdk.error.unproved", args: append(args, "Why", errLine(err)), hint: "sumdb.hint.off", exit: 12, err: err}
		default:
			return &fault{code: "sdk.error.unproved", args: append(args, "Why", errLine(err)), hint: "sdk.hint.unproved", exit: 12, err: err}
		}
		return &fault{code: "sdk.error.unavailable", args: args, hint: sdkHint(err), exit: exit, err: err}
	case 13:
		return &fault{code: "sdk.error.mismatch", args: args, hint: "sdk.hint.forged", exit: exit, err: err}
	}
	return sdkHomeFault(r.home, err)
}
