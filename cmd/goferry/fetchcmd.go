package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/modgraph"
	"github.com/goferry/goferry/internal/prefetch"
)

func (a *app) fetchCmd() *cobra.Command {
	var list string
	var all bool
	cmd := a.command("fetch [DIR | MODULE@VERSION…]", "fetch", cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && list == "" {
			args = []string{"."}
		}
		job, err := a.fetchJob(cmd, args, list)
		if err != nil {
			return err
		}
		job.all = all
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return a.fetch(cmd, cfg, job)
	})
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, a.p.T("fetch.flag-all"))
	cmd.Flags().StringVarP(&list, "file", "f", "", a.p.T("fetch.flag-file"))
	return cmd
}

// A fetchJob is what one run of fetch is asked to bring.
type fetchJob struct {
	projects []*prefetch.Project
	modules  []module.Version // versions may be queries
	all      bool

	mu     sync.Mutex
	failed []prefetch.Missing // what could not be found out, beside files
}

// fetchJob reads the arguments: folders of projects and module versions.
func (a *app) fetchJob(cmd *cobra.Command, args []string, list string) (*fetchJob, error) {
	job := &fetchJob{}
	for _, arg := range args {
		if m, ok := prefetch.ParseModule(arg); ok && !isDir(arg) {
			job.modules = append(job.modules, m)
			continue
		}
		if !isDir(arg) {
			return nil, misuseFetch(cmd, arg)
		}
		p, err := prefetch.ReadProject(arg, a.env("GOWORK"))
		switch {
		case errors.Is(err, prefetch.ErrNoProject):
			return nil, &fault{code: "fetch.error.no-project", args: []any{"Dir", arg}, hint: "fetch.hint.no-project", exit: 2, err: err}
		case err != nil:
			return nil, &fault{code: "fetch.error.project", args: []any{"Err", errLine(err)}, hint: "fetch.hint.project", exit: 2, err: err}
		}
		job.projects = append(job.projects, p)
	}
	if list == "" {
		return job, nil
	}
	modules, err := a.fetchList(list)
	job.modules = append(job.modules, modules...)
	return job, err
}

// misuseFetch is the fault of an argument that is neither a folder nor a module version.
func misuseFetch(cmd *cobra.Command, arg string) error {
	if !strings.Contains(arg, "@") && goproxy.CheckPath(arg) == nil && strings.Contains(strings.SplitN(arg, "/", 2)[0], ".") {
		return misuse(cmd, "goferry fetch "+arg+"@latest", "fetch.error.argument", "Arg", arg)
	}
	return misuse(cmd, "", "fetch.error.argument", "Arg", arg)
}

// fetchList reads the list of module versions in a file; "-" is standard input.
func (a *app) fetchList(name string) ([]module.Version, error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &fault{code: "fetch.error.list", args: []any{"File", name, "Err", plain(err)}, hint: "fetch.hint.list", exit: 2, err: err}
		}
		defer f.Close()
		r = f
	}
	modules, err := prefetch.ParseModules(name, r)
	var le *prefetch.LineError
	switch {
	case errors.As(err, &le):
		return nil, &fault{code: "fetch.error.line", args: []any{"File", le.File, "Line", le.Line, "Text", le.Text}, hint: "fetch.hint.line", exit: 2, err: err}
	case err != nil:
		return nil, &fault{code: "fetch.error.list", args: []any{"File", name, "Err", plain(err)}, hint: "fetch.hint.list", exit: 2, err: err}
	}
	return modules, nil
}

// fetch brings what job names into the cache, and says what it did.
func (a *app) fetch(cmd *cobra.Command, cfg *config.Config, job *fetchJob) (err error) {
	ctx := cmd.Context()
	show := a.showFetch()
	defer show.end()
	f, err := a.wire(cfg, newLogger(show, cfg, quietLevel(cfg)), nil, nil)
	if err != nil {
		return err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan error, 1)
	go func() { kept <- f.store.Run(keeping) }()
	defer func() {
		stop()
		err = errors.Join(err, <-kept, f.Close())
	}()
	src := goproxy.Enforce(f.cache, goproxy.Policy(cfg.PolicyAllow, cfg.PolicyBlock))
	res, err := prefetch.Run(ctx, src, job.files(), prefetch.Options{More: job.more, Retry: true, Progress: show.event})
	show.end()
	res.Missing = append(res.Missing, job.failed...)
	if err != nil {
		a.say(a.p.T("fetch.interrupted", "Count", res.Fetched, "Bytes", human(res.Bytes)))
		return err
	}
	return a.fetched(cmd, res)
}

// files are those that are known without asking anybody.
func (j *fetchJob) files() []goproxy.Request {
	var files []goproxy.Request
	for _, p := range j.projects {
		files = append(files, p.Files()...)
	}
	for _, m := range j.modules {
		files = append(files, prefetch.FilesOfModule(m)...) // none for a query
	}
	return files
}

// lookUps is how many projects and modules are looked at side by side; each asks for many files at once.
const lookUps = 8

// more finds out the rest by loading the module graphs.
func (j *fetchJob) more(ctx context.Context, src goproxy.Source, add func(files ...goproxy.Request)) {
	places := make(chan struct{}, lookUps)
	var wg sync.WaitGroup
	beside := func(work func()) {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			work()
		})
	}
	for _, p := range j.projects {
		beside(func() {
			g, err := p.Graph(ctx, src)
			if err != nil {
				j.fail(ctx, goproxy.Request{Path: p.Mains[0].Path()}, err)
				return
			}
			j.failures(ctx, g)
			add(p.FilesOf(g, j.all)...)
		})
	}
	for _, m := range j.modules {
		beside(func() { j.module(ctx, src, m, add) })
	}
	wg.Wait()
}

// module finds out the version of m, and what belongs to it.
func (j *fetchJob) module(ctx context.Context, src goproxy.Source, m module.Version, add func(files ...goproxy.Request)) {
	if len(prefetch.FilesOfModule(m)) == 0 {
		rev, err := goproxy.Stat(ctx, src, m.Path, m.Version)
		if err != nil {
			req := goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Info}
			if m.Version == "latest" {
				req = goproxy.Request{Path: m.Path, Kind: goproxy.Latest}
			}
			j.fail(ctx, req, err)
			return
		}
		m.Version = rev.Version
		add(prefetch.FilesOfModule(m)...)
	}
	g, err := prefetch.GraphOfModule(ctx, src, m)
	if err != nil {
		j.fail(ctx, goproxy.Request{Path: m.Path, Version: m.Version, Kind: goproxy.Mod}, err)
		return
	}
	j.failures(ctx, g)
	add(prefetch.FilesOfGraph(g, j.all)...)
}

// failures keeps what is wrong with the graph itself; files that could not be had are found missing anyway.
func (j *fetchJob) failures(ctx context.Context, g *modgraph.Graph) {
	for _, f := range g.Failures() {
		if f.Actual.Version == "" || errors.Is(f.Err, modgraph.ErrBadMod) {
			j.fail(ctx, goproxy.Request{Path: f.Module.Path, Version: f.Module.Version, Kind: goproxy.Mod}, f.Err)
		}
	}
}

// fail keeps an error, unless it is the end of ctx.
func (j *fetchJob) fail(ctx context.Context, req goproxy.Request, err error) {
	if ctx.Err() != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = append(j.failed, prefetch.Missing{Request: req, Err: err})
}

// fetchReport is what `fetch --json` prints.
type fetchReport struct {
	Fetched int           `json:"fetched"` // files
	Cached  int           `json:"cached"`  // files that were in the cache already
	Bytes   int64         `json:"bytes"`   // of the fetched files
	Missing []missingFile `json:"missing"`
}

type missingFile struct {
	Module  string `json:"module"`
	Version string `json:"version,omitempty"`
	File    string `json:"file"`   // "mod", "info", "zip"
	Reason  string `json:"reason"` // "absent", "gone", "invalid", "blocked", "unavailable", "mismatch" or "fault"
	Error   string `json:"error"`
}

// maxMissing is how many missing files people are told of; JSON has them all.
const maxMissing = 20

// fetched reports, and sets the exit code: 3 where something is missing.
func (a *app) fetched(cmd *cobra.Command, res prefetch.Result) error {
	slices.SortFunc(res.Missing, func(x, y prefetch.Missing) int { return strings.Compare(x.Request.String(), y.Request.String()) })
	if len(res.Missing) > 0 {
		a.exit = 3
	}
	if asJSON(cmd) {
		r := fetchReport{Fetched: res.Fetched, Cached: res.Cached, Bytes: res.Bytes, Missing: []missingFile{}}
		for _, m := range res.Missing {
			r.Missing = append(r.Missing, missingFile{
				Module: m.Request.Path, Version: m.Request.Version, File: m.Request.Kind.String(),
				Reason: strings.TrimPrefix(reasonCode(m.Err), "reason."), Error: errLine(m.Err),
			})
		}
		return a.json(r)
	}
	for _, m := range res.Missing[:min(len(res.Missing), maxMissing)] {
		fmt.Fprintln(a.stdout, a.p.T("fetch.missing", "File", m.Request.String(), "Reason", a.reason(m.Err), "Err", why(m)))
	}
	if more := len(res.Missing) - maxMissing; more > 0 {
		fmt.Fprintln(a.stdout, a.p.T("fetch.missing-more", "Count", more))
	}
	_, err := fmt.Fprintln(a.stdout, a.p.T("fetch.report", "Count", res.Fetched, "Bytes", human(res.Bytes), "Cached", res.Cached))
	if len(res.Missing) > 0 {
		a.say(a.p.T("fetch.incomplete", "Count", len(res.Missing)))
		if slices.ContainsFunc(res.Missing, func(m prefetch.Missing) bool { return errors.Is(m.Err, goproxy.ErrUnavailable) }) {
			a.hint(a.p.T("fetch.hint.again"))
		}
	}
	return err
}

// reason says in a word or two why a file is missing.
func (a *app) reason(err error) string {
	return a.p.T("fetch." + reasonCode(err))
}

// why is the rest of what is known about a missing file, on one line: the file and the meaning stand before it.
func why(m prefetch.Missing) string {
	s := strings.TrimPrefix(errLine(m.Err), m.Request.String()+": ")
	for _, meaning := range []error{goproxy.ErrNotExist, goproxy.ErrGone, goproxy.ErrBlocked, goproxy.ErrUnavailable, goproxy.ErrMismatch} {
		if errors.Is(m.Err, meaning) {
			s = strings.TrimPrefix(strings.Replace(s, meaning.Error()+": ", "", 1), meaning.Error()+" ")
			s = strings.TrimSuffix(s, ": "+meaning.Error())
		}
	}
	return s
}

// errLine is the text of err on one line.
func errLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' })
	return strings.TrimSpace(strings.Join(lines, " "))
}
