package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/server"
)

// mirrorFlags are the flags of goferry mirrors.
type mirrorFlags struct {
	timeout string // duration for one mirror; empty for the default
	module  string // path@version; empty for the default
}

func (a *app) mirrorsCmd() *cobra.Command {
	var flags mirrorFlags
	cmd := a.command("mirrors [NAME…]", "mirrors", cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
		return a.mirrors(cmd, args, flags)
	})
	cmd.ValidArgsFunction = a.completeMirrors
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&flags.timeout, "timeout", "", a.p.T("mirrors.flag-timeout"))
	cmd.Flags().StringVar(&flags.module, "module", "", a.p.T("mirrors.flag-module", "Module", mirrors.DefaultModule().String()))
	cmd.AddCommand(a.mirrorsUseCmd())
	return cmd
}

// completeMirrors offers the names of known mirrors.
func (a *app) completeMirrors(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, m := range mirrors.Known() {
		names = append(names, m.Name+"\t"+m.Operator[a.p.Lang()])
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// mirrorReport is what `mirrors --json` prints.
type mirrorReport struct {
	Module  string           `json:"module"` // that was asked for, path@version
	Best    string           `json:"best"`   // name of the first in mirrors; empty if none is usable
	Mirrors []mirrors.Result `json:"mirrors"`
}

// mirrors probes and ranks. It ends with 12 if no mirror is usable.
func (a *app) mirrors(cmd *cobra.Command, args []string, flags mirrorFlags) error {
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	o, err := probeOptions(cfg, flags)
	if err != nil {
		return err
	}
	targets, err := a.mirrorTargets(cfg, args)
	if err != nil {
		return err
	}
	if !asJSON(cmd) {
		a.say(a.p.T("mirrors.probing", "Count", len(targets), "Time", o.Timeout))
	}
	r := mirrorReport{Module: o.Module.String()}
	if r.Mirrors, err = a.probe(cmd.Context(), cfg, targets, o); err != nil {
		return err
	}
	mirrors.Rank(r.Mirrors)
	if r.Mirrors[0].Rank == 1 {
		r.Best = r.Mirrors[0].Name
	} else {
		a.exit = 12
	}
	if asJSON(cmd) {
		return a.json(r)
	}
	return a.showMirrors(r)
}

// probeOptions reads the flags. What the user keeps from module proxies is not asked of
// mirrors either, and nobody is asked when offline.
func probeOptions(cfg *config.Config, flags mirrorFlags) (mirrors.Options, error) {
	o := mirrors.Options{Module: mirrors.DefaultModule(), Timeout: 30 * time.Second}
	if cfg.Offline {
		return o, &fault{code: "mirrors.error.offline", hint: "mirrors.hint.offline", exit: 2}
	}
	if flags.timeout != "" {
		d, err := time.ParseDuration(flags.timeout)
		if err != nil || d <= 0 {
			return o, &fault{code: "mirrors.error.timeout", args: []any{"Value", flags.timeout}, hint: "hint.value-duration", exit: 2, err: err}
		}
		o.Timeout = d
	}
	o.StepTimeout = o.Timeout / 3
	if flags.module != "" {
		path, version, _ := strings.Cut(flags.module, "@")
		o.Module = module.Version{Path: path, Version: version}
		if _, err := (goproxy.Request{Path: path, Version: version, Kind: goproxy.Zip}).Name(); err != nil {
			return o, &fault{code: "mirrors.error.module", args: []any{"Value", flags.module}, hint: "mirrors.hint.module", exit: 2, err: err}
		}
	}
	if module.MatchPrefixPatterns(strings.Join(cfg.NoProxy, ","), o.Module.Path) {
		return o, &fault{code: "mirrors.error.private", args: []any{"Module", o.Module.Path}, hint: "mirrors.hint.private", exit: 11}
	}
	return o, nil
}

// mirrorTargets are the upstreams in use and the known mirrors, or those of both, and URLs, that args name.
func (a *app) mirrorTargets(cfg *config.Config, args []string) ([]mirrors.Target, error) {
	var inUse []string
	if ups, err := goproxy.ParseUpstreams(string(cfg.Upstream)); err == nil { // else this command is there to help
		for _, up := range ups {
			inUse = append(inUse, up.URL)
		}
	}
	all := mirrors.Targets(inUse)
	if len(args) == 0 {
		return all, nil
	}
	var list []mirrors.Target
	for _, arg := range args {
		t, ok := mirrors.Pick(all, arg)
		if !ok {
			return nil, unknownMirror(all, arg)
		}
		list = append(list, t)
	}
	return list, nil
}

func unknownMirror(all []mirrors.Target, arg string) error {
	var names []string
	for _, t := range all {
		names = append(names, t.Name)
	}
	args := []any{"Name", goproxy.RedactURL(arg), "Names", strings.Join(names, ", "), "Near", config.Near(arg, names)}
	if args[5] != "" {
		return &fault{code: "mirrors.error.unknown", args: args, hint: "hint.did-you-mean", exit: 2}
	}
	return &fault{code: "mirrors.error.unknown", args: args, hint: "mirrors.hint.unknown", exit: 2}
}

// probe probes targets as the settings say, but each request once: a probe measures. The checksum
// database is asked by way of all of them, since what it says is proved, whoever brings it; but not over
// the connections that are measured.
func (a *app) probe(ctx context.Context, cfg *config.Config, targets []mirrors.Target, o mirrors.Options) (_ []mirrors.Result, err error) {
	f := &ferry{cfg: cfg, log: a.quietLog(cfg), metrics: server.NewMetrics()}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, t := range targets {
		f.upstreams = append(f.upstreams, goproxy.Upstream{URL: t.URL, Sep: goproxy.OnMirror})
	}
	once := *cfg
	once.LinkRetries = 0
	if o.HTTP, err = a.httpClient(&once, f); err != nil {
		return nil, err
	}
	defer o.HTTP.CloseIdleConnections()
	if f.http, err = a.httpClient(cfg, f); err != nil {
		return nil, err
	}
	defer f.http.CloseIdleConnections()
	if f.store, err = openStore(cfg, f.log, nil); err != nil {
		return nil, cacheFault(cfg, err)
	}
	f.closers = append(f.closers, f.store)
	if f.sums, err = f.checksumDB(nil); err != nil {
		return nil, err
	}
	f.closers = append(f.closers, f.sums)
	o.SumDB = f.sums.Status().Name
	if f.sums.Covers(o.Module.Path) {
		o.Check = f.sums.Verify
	}
	// The database is asked while the files are still on their way.
	asking, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		f.prepare(asking, goproxy.Request{Path: o.Module.Path, Version: o.Module.Version, Kind: goproxy.Zip})
	})
	results := mirrors.ProbeAll(ctx, targets, o)
	stop()
	wg.Wait()
	return results, ctx.Err()
}

// showMirrors prints the table, and what to do with it.
func (a *app) showMirrors(r mirrorReport) error {
	printColumns(a.stdout, a.mirrorRows(r), 2, 3)
	if r.Best == "" {
		a.say(a.p.T("mirrors.error.none", "Module", r.Module))
		a.hint(a.p.T("mirrors.hint.none"))
		return nil
	}
	best := r.Mirrors[0]
	if best.InUse {
		_, err := fmt.Fprintf(a.stdout, "\n%s\n", a.p.T("mirrors.best-in-use", "Name", best.Name))
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s\n", a.p.T("mirrors.use-best", "Command", "goferry mirrors use "+mirrorArg(best)))
	return err
}

// mirrorArg is what `mirrors use` takes for r.
func mirrorArg(r mirrors.Result) string {
	if _, ok := mirrors.Pick(mirrors.Targets(nil), r.Name); ok {
		return r.Name
	}
	return r.URL
}
