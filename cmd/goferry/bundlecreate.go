package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/cgo"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/toolchain"
)

// A createJob is what one run of bundle create is asked to make.
type createJob struct {
	*fetchJob
	file     string
	list     string
	level    bundle.Level
	sdks     []string
	oses     []string
	arches   []string
	tools    bool
	vuln     string // URL of govulncheck's database
	cc       []string
	since    string
	split    string
	sign     string
	keep     bool
	versions []toolchain.Version // of sdks
	options  bundle.CreateOptions
	base     *bundle.Reader

	ccTargets []cgo.Target // of cc
}

// editorTools are what --tools adds: what the Go extensions of editors install.
func editorTools() []module.Version {
	var list []module.Version
	for _, path := range []string{"golang.org/x/tools/gopls", "github.com/go-delve/delve/cmd/dlv", "honnef.co/go/tools/cmd/staticcheck", "golang.org/x/vuln/cmd/govulncheck"} {
		list = append(list, module.Version{Path: path, Version: "latest"})
	}
	return list
}

// vulnDatabase is where govulncheck asks by itself.
const vulnDatabase = "https://vuln.go.dev"

func (a *app) bundleCreateCmd() *cobra.Command {
	job := &createJob{}
	var all, build, tidy bool
	cmd := &cobra.Command{
		Use:     "create -o FILE [DIR… | MODULE@VERSION…]",
		Short:   a.p.T("bundlecreate.short"),
		Long:    a.p.T("bundlecreate.long"),
		Example: a.example("bundlecreate.example"),
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			job.level = bundle.Editor
			count := 0
			for level, set := range map[bundle.Level]bool{bundle.All: all, bundle.Build: build, bundle.Tidy: tidy} {
				if set {
					job.level = level
					count++
				}
			}
			if count > 1 {
				return misuse(cmd, "", "bundlecreate.error.levels")
			}
			if err := a.readCreate(cmd, job, args); err != nil {
				return err
			}
			if job.base != nil {
				defer job.base.Close()
			}
			cfg, err := a.load(cmd)
			if err != nil {
				return err
			}
			return a.create(cmd, cfg, job)
		},
	}
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&job.file, "output", "o", "", a.p.T("bundlecreate.flag-output"))
	flags.StringVarP(&job.list, "file", "f", "", a.p.T("fetch.flag-file"))
	flags.BoolVar(&all, "all", false, a.p.T("bundlecreate.flag-all"))
	flags.BoolVar(&tidy, "tidy", false, a.p.T("bundlecreate.flag-tidy"))
	flags.BoolVar(&build, "build", false, a.p.T("bundlecreate.flag-build"))
	flags.StringSliceVar(&job.sdks, "sdk", nil, a.p.T("bundlecreate.flag-sdk"))
	flags.StringSliceVar(&job.oses, "os", nil, a.p.T("bundlecreate.flag-os"))
	flags.StringSliceVar(&job.arches, "arch", nil, a.p.T("bundlecreate.flag-arch"))
	flags.BoolVar(&job.tools, "tools", false, a.p.T("bundlecreate.flag-tools"))
	flags.StringVar(&job.vuln, "vuln", "", a.p.T("bundlecreate.flag-vuln"))
	flags.Lookup("vuln").NoOptDefVal = vulnDatabase
	flags.StringSliceVar(&job.cc, "cc", nil, a.p.T("bundlecreate.flag-cc"))
	flags.StringVar(&job.since, "since", "", a.p.T("bundlecreate.flag-since"))
	flags.StringVar(&job.split, "split", "", a.p.T("bundlecreate.flag-split"))
	flags.StringVar(&job.sign, "sign", "", a.p.T("bundlecreate.flag-sign"))
	flags.BoolVar(&job.keep, "keep-going", false, a.p.T("bundlecreate.flag-keep-going"))
	return cmd
}

// readCreate reads what the command line names: projects, modules, SDKs, the older bundle, the key. What is wrong
// with it is said before anything is asked of anybody.
func (a *app) readCreate(cmd *cobra.Command, job *createJob, args []string) (err error) {
	if job.file == "" {
		return misuse(cmd, "", "bundlecreate.error.no-output")
	}
	for _, s := range job.sdks {
		v, err := toolchain.ParseVersion(s)
		if err != nil || v.Language() == v && v.Compare("go1.21") >= 0 {
			return misuse(cmd, "", "bundlecreate.error.sdk", "Version", s)
		}
		job.versions = append(job.versions, v)
	}
	if job.ccTargets, err = a.cgoSetupTargets(job.cc, "goferry bundle create"); err != nil {
		return err
	}
	if len(args) == 0 && job.list == "" {
		// An SDK or tools can be wanted alone, where no project is.
		_, none := prefetch.ReadProject(".", a.env("GOWORK"))
		if alone := job.tools || len(job.sdks) > 0 || job.vuln != "" || len(job.cc) > 0; !alone || !errors.Is(none, prefetch.ErrNoProject) {
			args = []string{"."}
		}
	}
	if job.fetchJob, err = a.fetchJob(cmd, args, job.list); err != nil {
		return err
	}
	if job.tools {
		job.modules = append(job.modules, editorTools()...)
	}
	if job.split != "" {
		size, err := config.ParseSize(job.split)
		if err != nil || size == 0 {
			return misuse(cmd, "", "bundlecreate.error.split", "Size", job.split)
		}
		job.options.Split = int64(size)
	}
	if job.sign != "" {
		key, err := bundle.ReadPrivateKey(job.sign, a.keyPassword(job.sign))
		if err != nil {
			return a.bundleFault(err)
		}
		job.options.Sign = &key
	}
	if job.since != "" {
		if job.base, err = bundle.Open(job.since); err != nil {
			return a.bundleFault(err)
		}
	}
	return nil
}

// create makes the bundle.
func (a *app) create(cmd *cobra.Command, cfg *config.Config, job *createJob) (err error) {
	ctx := cmd.Context()
	scratch, err := newScratch(cfg)
	if err != nil {
		return cacheFault(cfg, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	show := a.showCreate()
	defer show.end()
	rec := newRecorder()
	t := newTally()
	t.also = rec.answered
	var made *creation
	err = a.proxied(ctx, cfg, newLogger(show, cfg, quietLevel(cfg)), t, func(f *ferry) { f.busy = new(busy) }, func(serving context.Context, f *ferry, url string) error {
		serving, stop := context.WithCancel(serving)
		guessed := make(chan error, 1)
		if guess := f.guess(); guess != nil {
			go func() { guessed <- guess.Run(serving) }()
		} else {
			guessed <- nil
		}
		c := &creation{a: a, f: f, job: job, show: show, source: goproxy.Enforce(f.cache, f.policy)}
		err := c.run(ctx, url, scratch, rec)
		made = c
		stop()
		return errors.Join(err, <-guessed)
	})
	show.end()
	if made == nil {
		return err
	}
	return a.created(cmd, made, a.bundleFault(err))
}

// A creation is one run of bundle create.
type creation struct {
	a       *app
	f       *ferry
	job     *createJob
	show    *createShow
	source  goproxy.Source
	rec     *recording
	plan    bundle.Plan
	files   []bundle.File // of the tree, those of the older bundle too
	cc      ccBundling
	missing []bundle.Missing
	made    bundle.Created
}

// errMissing says that something could not be had, and that there is no bundle for that reason.
var errMissing = errors.New("files are missing")

// run finds out what goes in, proves it, and writes it.
func (c *creation) run(ctx context.Context, url, scratch string, rec *recorder) (err error) {
	if c.rec, err = c.a.newRecording(ctx, c.f, url, scratch, rec); err != nil {
		return err
	}
	c.rec.level, c.rec.tell = c.job.level, c.show.asking
	c.rec.halt = func() error { return c.short(append(rec.missing(c.f.offline()), c.rec.lost...)) }
	c.rec.warm = c.warm
	if c.rec.systems, err = c.rec.systemsOf(ctx, c.job.oses, c.job.arches); err != nil {
		return err
	}
	if err := c.planCC(ctx); err != nil {
		return err
	}
	asked, err := c.record(ctx)
	if err != nil {
		return err
	}
	if err := c.choose(ctx, asked); err != nil {
		return err
	}
	if err := c.prove(ctx); err != nil {
		return err
	}
	if err := c.extras(ctx); err != nil {
		return err
	}
	if err := c.describe(); err != nil {
		return err
	}
	if err := c.delta(ctx); err != nil {
		return err
	}
	c.job.options.Progress = c.show.progress
	if c.made, err = bundle.Create(ctx, c.job.file, c.plan, c.job.options); err != nil {
		return err
	}
	return c.dropCC()
}

// extras adds what is no module.
func (c *creation) extras(ctx context.Context) error {
	if c.job.vuln != "" {
		if err := c.vuln(ctx); err != nil {
			return err
		}
	}
	return c.fetchCC(ctx)
}

// short ends the run where something is missing, unless the user wants what there is.
func (c *creation) short(more []bundle.Missing) error {
	c.missing = bundle.SortMissing(append(slices.Clip(c.missing), more...))
	if len(c.missing) > 0 && !c.job.keep {
		return errMissing
	}
	return nil
}

// record asks for what the far side will ask for.
func (c *creation) record(ctx context.Context) ([]goproxy.Request, error) {
	// All that go.mod, go.sum and the module graph tell is fetched first, many files at a time: the go command waits for
	// one after the other. What is missing shows when it is asked for.
	ahead := &fetchJob{projects: c.job.projects, all: c.job.level == bundle.All}
	for _, p := range c.job.projects {
		c.job.versions = append(c.job.versions, sdksOf(p)...)
	}
	files := append(c.rec.sdkRequests(c.job.versions), ahead.files()...) // SDKs are the largest
	if _, err := prefetch.Run(ctx, c.source, files, prefetch.Options{More: ahead.more, Retry: true, Progress: c.show.event}); err != nil {
		return nil, err
	}
	for _, p := range c.job.projects {
		if err := c.recorded(c.rec.project(ctx, p)); err != nil {
			return nil, err
		}
	}
	for _, m := range c.job.modules {
		if err := c.recorded(c.rec.tool(ctx, m)); err != nil {
			return nil, err
		}
	}
	return append(c.rec.rec.requests(), c.rec.sdkRequests(c.job.versions)...), nil
}

// warm brings lists into the cache. What is missing shows when it is asked for.
func (c *creation) warm(ctx context.Context, paths []string) error {
	var files []goproxy.Request
	for _, path := range paths {
		if path != goproxy.ToolchainPath {
			files = append(files, goproxy.Request{Path: path, Kind: goproxy.List}, goproxy.Request{Path: path, Kind: goproxy.Latest})
		}
	}
	_, err := prefetch.Run(ctx, c.source, files, prefetch.Options{})
	return err
}

// recorded judges how the go command ended.
func (c *creation) recorded(err error) error {
	if c.job.keep {
		err = c.rec.tolerate(err)
	}
	var ge *goError
	if errors.As(err, &ge) {
		return recordedFault(err)
	}
	return err
}

// choose makes the tree.
func (c *creation) choose(ctx context.Context, asked []goproxy.Request) error {
	s := bundle.Selector{
		Source: c.source, Lists: c.rec.has(bundle.Editor), Offline: c.f.offline(),
		Progress: func(done, total int) { c.show.counting("bundlecreate.reading", done, total) },
	}
	if c.f.offline() {
		// A cache without a network lists what it has as a whole. What was there when it could still be asked says more.
		s.News = goproxy.Enforce(goproxy.Strict(goproxy.Tree(os.DirFS(c.f.cfg.CacheDir), "the cache")), c.f.policy)
	}
	got, err := s.Select(ctx, asked)
	if err != nil {
		return err
	}
	c.files, c.plan.Modules, c.plan.Time = got.Files, got.Modules, got.Youngest
	return c.short(got.Missing)
}

// prove adds what the checksum database says of the modules.
func (c *creation) prove(ctx context.Context) error {
	var base fs.FS
	if c.job.base != nil {
		base = c.job.base.FS()
	}
	part, err := c.f.bundleSums(ctx, c.plan.Modules, base, func(done, total int) { c.show.counting("bundlecreate.proving", done, total) })
	if err != nil {
		return err
	}
	if err := c.short(part.missing); err != nil {
		return err
	}
	for _, m := range part.missing { // unproved files do not go in
		c.drop(m.Request)
	}
	files, err := part.entries(base)
	c.files = append(c.files, files...)
	return err
}

// drop takes a module version out.
func (c *creation) drop(req goproxy.Request) {
	c.plan.Modules = slices.DeleteFunc(c.plan.Modules, func(m bundle.Module) bool { return m.Path == req.Path && m.Version == req.Version })
	c.files = slices.DeleteFunc(c.files, func(f bundle.File) bool {
		r, err := goproxy.ParseRequest(f.Name)
		return err == nil && r.Path == req.Path && r.Version == req.Version
	})
}

// describe fills in what the manifest says of the whole.
func (c *creation) describe() error {
	for _, s := range c.rec.systems {
		c.plan.Targets = append(c.plan.Targets, s.String())
	}
	c.plan.Level, c.plan.Tools = c.job.level, c.rec.tools
	for _, p := range c.job.projects {
		d, err := describeProject(p)
		if err != nil {
			return err
		}
		c.plan.Projects = append(c.plan.Projects, d)
	}
	c.plan.Edges = selectedEdges(c.rec.edges, c.job.projects)
	if s := c.a.env("SOURCE_DATE_EPOCH"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return &fault{code: "bundlecreate.error.epoch", args: []any{"Value", s}, hint: "bundlecreate.hint.epoch", exit: 2, err: err}
		}
		c.plan.Time = time.Unix(n, 0)
	}
	if c.plan.Time.Year() < 1980 { // what a zip cannot say
		c.plan.Time = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return nil
}

// describeProject says what a bundle was made for.
func describeProject(p *prefetch.Project) (bundle.Project, error) {
	dir, mod, sum := p.Mains[0].Dir, "go.mod", "go.sum"
	d := bundle.Project{Module: p.Mains[0].Path()}
	if f := p.Mains[0].File; f != nil && f.Go != nil {
		d.Go = f.Go.Version
	}
	if p.Work != nil {
		abs, err := filepath.Abs(p.Dir)
		if err != nil {
			return d, err
		}
		dir, mod, sum = p.Dir, "go.work", "go.work.sum"
		d.Module, d.Go = filepath.Base(abs), ""
		if p.Work.Go != nil {
			d.Go = p.Work.Go.Version
		}
	}
	hash := func(name string) (string, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		} else if err != nil {
			return "", err
		}
		h := sha256.Sum256(data)
		return hex.EncodeToString(h[:]), nil
	}
	var err error
	if d.GoMod, err = hash(mod); err != nil {
		return d, err
	}
	d.GoSum, err = hash(sum)
	return d, err
}

// selectedEdges are the edges of the graph among the versions that were chosen: the SBOM tells what a build is made of,
// not what was looked at. MVS chooses the highest of all that are asked for.
func selectedEdges(edges []bundle.Edge, projects []*prefetch.Project) []bundle.Edge {
	mains := map[string]bool{}
	for _, p := range projects {
		for _, m := range p.Mains {
			mains[m.Path()] = true
		}
	}
	chosen := map[string]string{}
	for _, e := range edges {
		if old, ok := chosen[e.To.Path]; !ok || semver.Compare(e.To.Version, old) > 0 {
			chosen[e.To.Path] = e.To.Version
		}
	}
	var list []bundle.Edge
	for _, e := range edges {
		if e.From.Version != "" && chosen[e.From.Path] != e.From.Version || mains[e.To.Path] {
			continue
		}
		list = append(list, bundle.Edge{From: e.From, To: module.Version{Path: e.To.Path, Version: chosen[e.To.Path]}})
	}
	return list
}

// delta leaves out what the older bundle has.
func (c *creation) delta(ctx context.Context) error {
	c.plan.Files = c.files
	if c.job.base == nil {
		return nil
	}
	m := c.job.base.Manifest()
	c.plan.Base = &bundle.Base{ID: m.ID, Time: m.Time}
	files, err := bundle.MergeLists(ctx, c.files, c.job.base.FS())
	if err != nil {
		return err
	}
	if c.plan.Files, err = bundle.Lacking(ctx, files, m); err != nil {
		return err
	}
	in := map[module.Version]bool{}
	for _, f := range c.plan.Files {
		if req, err := goproxy.ParseRequest(f.Name); err == nil {
			in[module.Version{Path: req.Path, Version: req.Version}] = true
		}
	}
	c.plan.Modules = slices.DeleteFunc(c.plan.Modules, func(m bundle.Module) bool { return !in[module.Version{Path: m.Path, Version: m.Version}] })
	return nil
}
