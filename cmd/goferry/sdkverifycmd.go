package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/toolchain"
)

// sdkTreeFlags say which trees are meant.
type sdkTreeFlags struct {
	goroot string
	all    bool
}

func (a *app) sdkTreeFlags(cmd *cobra.Command, flags *sdkTreeFlags) {
	a.jsonFlag(cmd)
	cmd.ValidArgsFunction = a.completeSDKs
	cmd.Flags().StringVar(&flags.goroot, "goroot", "", a.p.T("sdk.flag-goroot"))
	cmd.Flags().BoolVar(&flags.all, "all", false, a.p.T("sdk.flag-all-installed"))
}

func (a *app) sdkVerifyCmd() *cobra.Command {
	var flags sdkTreeFlags
	cmd := a.sdkSub("verify [VERSION…]", "verify", true, cobra.ArbitraryArgs, func(r *sdkRun, args []string) error {
		roots, err := r.roots(args, flags)
		if err != nil {
			return err
		}
		return r.verify(roots)
	})
	a.sdkTreeFlags(cmd, &flags)
	return cmd
}

func (a *app) sdkRepairCmd() *cobra.Command {
	var flags sdkTreeFlags
	var fix sdkFix
	cmd := a.sdkSub("repair [VERSION…]", "repair", true, cobra.ArbitraryArgs, func(r *sdkRun, args []string) error {
		roots, err := r.roots(args, flags)
		if err != nil {
			return err
		}
		return r.repair(roots, fix)
	})
	a.sdkTreeFlags(cmd, &flags)
	cmd.Flags().BoolVar(&fix.prune, "prune", false, a.p.T("sdk.flag-prune"))
	cmd.Flags().BoolVar(&fix.keepEnv, "keep-go-env", false, a.p.T("sdk.flag-keep-go-env"))
	return cmd
}

// sdkFix says how far a repair goes.
type sdkFix struct {
	prune   bool // remove what was added
	keepEnv bool // leave what a distributor wrote into go.env
}

// An sdkTree is a tree to look at.
type sdkTree struct {
	root   string
	target toolchain.Target // zero: the tree says
}

// roots are the trees that args and flags mean; without any it is the one that go means in this folder.
func (r *sdkRun) roots(args []string, flags sdkTreeFlags) ([]sdkTree, error) {
	var list []sdkTree
	if flags.goroot != "" {
		list = append(list, sdkTree{root: flags.goroot})
	}
	for _, arg := range args {
		t, err := r.pick(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, sdkTree{r.home.Root(t), t})
	}
	if flags.all {
		recs, err := r.home.Installed()
		if err != nil {
			return nil, sdkHomeFault(r.home, err)
		}
		for _, rec := range recs {
			list = append(list, sdkTree{r.home.Root(rec.Target), rec.Target})
		}
		if len(recs) == 0 {
			return nil, sdkNotInstalled("", nil)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	cur, err := r.current(r.askGo())
	if err != nil || cur.Root == "" {
		return nil, &fault{code: "sdk.error.no-tree", hint: "sdk.hint.no-tree", exit: 2, err: err}
	}
	return []sdkTree{{root: cur.Root}}, nil
}

// verify proves trees, and names what differs.
func (r *sdkRun) verify(trees []sdkTree) error {
	return r.eachTree(trees, func(v *toolchain.Verifier, tree sdkTree) (sdkChecked, error) {
		rep, err := v.Verify(r.ctx(), tree.root)
		return sdkChecked{Report: rep}, err
	})
}

// repair puts right what differs.
func (r *sdkRun) repair(trees []sdkTree, fix sdkFix) error {
	return r.eachTree(trees, func(v *toolchain.Verifier, tree sdkTree) (sdkChecked, error) {
		v.Prune = fix.prune
		if fix.keepEnv {
			v.Keep = func(c toolchain.Change) bool {
				return c.What == toolchain.WhatDistributor || c.What == toolchain.WhatGoEnv
			}
		}
		before, err := v.Verify(r.ctx(), tree.root)
		if err != nil || before.State == toolchain.StateProved {
			return sdkChecked{Report: before}, err
		}
		if before.State == toolchain.StateUnknown && before.Against == toolchain.AgainstNothing {
			return sdkChecked{Report: before}, nil
		}
		after, err := v.Repair(r.ctx(), tree.root, before)
		left := map[string]bool{}
		for _, c := range after.Changes {
			left[c.Name+string(c.Kind)] = true
		}
		done := slices.DeleteFunc(slices.Clone(before.Changes), func(c toolchain.Change) bool { return left[c.Name+string(c.Kind)] })
		added := slices.ContainsFunc(after.Changes, func(c toolchain.Change) bool { return c.Kind == toolchain.Added })
		return sdkChecked{Report: after, Repaired: done, left: fix.prune || !added}, err
	})
}

// An sdkChecked is what `sdk verify --json` and `sdk repair --json` print of each tree.
type sdkChecked struct {
	toolchain.Report
	Harmless   bool               `json:"harmless"`           // no change alters a build
	NotCovered []string           `json:"notCovered"`         // folders that no database says anything about
	Repaired   []toolchain.Change `json:"repaired,omitempty"` // what was put right
	Error      string             `json:"error,omitempty"`    // why it is unknown, or what differs has no name
	Troubles   []sdkTrouble       `json:"troubles,omitempty"` // places that did not help

	left bool // a repair left what it was told to leave: doing it again changes nothing
}

// eachTree does the work on each tree and reports. The exit code is the worst: 13 where builds may be altered, 12
// where nobody could say, 3 where changes are harmless.
func (r *sdkRun) eachTree(trees []sdkTree, work func(*toolchain.Verifier, sdkTree) (sdkChecked, error)) error {
	return r.ferried(func(f *sdkFerry, show *sdkShow) error {
		list := []sdkChecked{}
		for _, tree := range trees {
			show.begin()
			v := r.verifier(f, show)
			v.Target = tree.target
			got, err := work(v, tree)
			if err != nil {
				return r.treeFault(tree, got, err)
			}
			if got.NotCovered = got.Report.NotCovered(); got.NotCovered == nil {
				got.NotCovered = []string{}
			}
			got.Harmless = got.Report.Harmless()
			if got.Err != nil {
				got.Error = errLine(got.Err)
			}
			got.Troubles = show.takeTroubles()
			r.exit = sdkWorse(r.exit, sdkExit(got))
			list = append(list, got)
		}
		show.end()
		if asJSON(r.cmd) {
			return r.json(list)
		}
		for i, got := range list {
			if i > 0 {
				fmt.Fprintln(r.stdout)
			}
			r.showChecked(got)
		}
		return nil
	})
}

// sdkExit is the exit code that a tree deserves.
func sdkExit(c sdkChecked) int {
	switch {
	case c.State == toolchain.StateProved:
		return 0
	case c.State == toolchain.StateUnknown:
		return 12
	case c.Harmless:
		return 3
	}
	return 13
}

func sdkWorse(a, b int) int {
	order := []int{0, 3, 12, 13}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// treeFault says why a tree could not be looked at, or not be repaired.
func (r *sdkRun) treeFault(tree sdkTree, got sdkChecked, err error) error {
	args := []any{"Root", tree.root, "Err", errLine(plain(err))}
	switch {
	case r.ctx().Err() != nil:
		return err
	case errors.Is(err, toolchain.ErrTree):
		return &fault{code: "sdk.error.no-toolchain", args: args, hint: "sdk.hint.no-toolchain", exit: 2, err: err}
	case errors.Is(err, fs.ErrPermission):
		return &fault{code: "sdk.error.permission", args: args, hint: "sdk.hint.permission", exit: 1, err: err}
	case errors.Is(err, fs.ErrNotExist) && got.Root == "":
		return &fault{code: "sdk.error.no-toolchain", args: args, hint: "sdk.hint.no-toolchain", exit: 2, err: err}
	case errors.Is(err, goproxy.ErrUnavailable):
		return &fault{code: "sdk.error.no-repair", args: args, hint: "sdk.hint.places", exit: 12, err: err}
	}
	return r.sdkFault(got.Target, err)
}

// showChecked prints what came of one tree.
func (r *sdkRun) showChecked(c sdkChecked) {
	args := []any{"Root", c.Root, "Name", sdkName(c.Target), "Count", c.Files, "Bytes", human(c.Bytes)}
	for _, done := range c.Repaired {
		if done.Kind == toolchain.Added {
			fmt.Fprintln(r.stdout, r.p.T("sdk.repair.removed", "Name", done.Name))
			continue
		}
		fmt.Fprintln(r.stdout, r.p.T("sdk.repair.done", "Name", done.Name, "What", r.p.T("sdk.change."+string(done.Kind))))
	}
	switch {
	case c.State == toolchain.StateProved:
		fmt.Fprintln(r.stdout, r.p.T("sdk.verify.proved", args...))
	case c.State == toolchain.StateUnknown:
		fmt.Fprintln(r.stdout, r.p.T("sdk.verify.unknown", args...))
	case c.Harmless:
		fmt.Fprintln(r.stdout, r.p.T("sdk.verify.harmless", args...))
	default:
		fmt.Fprintln(r.stdout, r.p.T("sdk.verify.altered", args...))
	}
	r.showChanges(c.Changes)
	if !c.Named() {
		fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.verify.unnamed"))
	}
	if c.Harmless && c.Proof.Verdict == toolchain.Refuted { // by the changes alone: with them undone, the hash is the recorded one
		fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.proof.rest", "Way", r.wayName(c.Proof)))
	} else {
		fmt.Fprintln(r.stdout, "  "+r.proofLine(c.Proof))
	}
	if c.Against == toolchain.AgainstRecord {
		fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.verify.against-record"))
	}
	if len(c.NotCovered) > 0 {
		fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.verify.not-covered", "Names", strings.Join(c.NotCovered, ", ")))
	}
	for _, e := range c.Extras {
		if e.Why == toolchain.ExtraLinked && !strings.Contains(e.Name, "/") {
			fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.verify.linked", "Name", e.Name, "To", e.To))
		}
	}
	if c.State == toolchain.StateAltered && c.Named() && !c.Harmless && !c.left {
		r.hint(r.p.T("sdk.hint.repair", "Command", r.repairCommand(c)))
	}
}

// repairCommand is what puts c right.
func (r *sdkRun) repairCommand(c sdkChecked) string {
	command := "goferry sdk repair "
	if t, ok := r.home.TargetAt(c.Root); ok && t == toolchain.Here(t.Version) {
		command += t.Version.Number()
	} else {
		command += "--goroot " + c.Root
	}
	if slices.ContainsFunc(c.Changes, func(ch toolchain.Change) bool { return ch.Kind == toolchain.Added }) {
		command += " --prune"
	}
	return command
}

// settingLines are those of the changed lines that set something: comments say nothing to the go command.
func settingLines(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		line = strings.TrimSpace(strings.TrimLeft(line, "+-"))
		return line == "" || strings.HasPrefix(line, "#")
	})
}

// maxChanges is how many changes people are told of; JSON has them all.
const maxChanges = 50

func (r *sdkRun) showChanges(changes []toolchain.Change) {
	var rows [][]string
	for _, c := range changes[:min(len(changes), maxChanges)] {
		what := ""
		if c.What != "" {
			what = r.p.T("sdk.what." + string(c.What))
		}
		if lines := settingLines(c.Lines); len(lines) > 0 {
			what += ": " + strings.Join(lines, " ")
		}
		rows = append(rows, []string{" ", r.p.T("sdk.change." + string(c.Kind)), c.Name, what})
	}
	printColumns(r.stdout, rows)
	if more := len(changes) - maxChanges; more > 0 {
		fmt.Fprintln(r.stdout, "  "+r.p.T("sdk.verify.more", "Count", more))
	}
}
