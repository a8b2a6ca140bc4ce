package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
)

func (a *app) bundleVerifyCmd() *cobra.Command {
	cmd := a.bundleSub("verify FILE…", "verify", a.someArgs, func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return a.verifyBundles(cmd, cfg, args)
	})
	a.bundleSettings(cmd)
	a.jsonFlag(cmd)
	return cmd
}

// bundleVerdict is what `bundle verify --json` prints of one bundle.
type bundleVerdict struct {
	File string `json:"file"`
	ID   string `json:"id"`
	bundle.Report
	Damage    []bundle.Damage `json:"damage"`
	Signature string          `json:"signature"` // none, unchecked, good, untrusted, bad
	Signer    string          `json:"signer,omitempty"`
	Checked   int             `json:"checked"` // .mod and .zip files that are as the checksum database recorded them
	Private   int             `json:"private"` // that the database is not asked about
	Findings  []finding       `json:"findings"`
}

// exit is the exit code of a verdict.
func (v *bundleVerdict) exit() int {
	switch {
	case v.Damaged > 0 || v.Signature == "bad" || slices.ContainsFunc(v.Findings, func(f finding) bool { return f.Problem == "mismatch" }):
		return 13
	case v.Signature == "untrusted" || v.Signature == "none" && v.Signer == "wanted":
		return 11
	case len(v.Findings) > 0:
		return 3
	}
	return 0
}

// verifyBundles checks bundles: their bytes, who signed them, and their modules. A delta rests on the one before it, which may
// be named beside it.
func (a *app) verifyBundles(cmd *cobra.Command, cfg *config.Config, files []string) (err error) {
	ctx := cmd.Context()
	keys, err := a.trustedKeys(cfg)
	if err != nil {
		return err
	}
	var list []*openBundle
	defer func() { err = errors.Join(err, closeBundles(list)) }()
	for _, file := range files {
		b, err := a.openBundle(file, keys, bundle.OpenDamaged)
		if err != nil {
			return err
		}
		list = append(list, b)
	}
	list = inOrder(list)
	show := a.showBundle("bundle.verifying")
	defer show.end()
	verdicts := []*bundleVerdict{}
	for _, b := range list {
		v, err := a.verifyBytes(ctx, b, len(keys) > 0, show)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, v)
	}
	if err := a.verifyModules(ctx, cfg, list, verdicts, show); err != nil {
		return err
	}
	show.end()
	for i, v := range verdicts {
		a.exit = worse(a.exit, v.exit())
		if !asJSON(cmd) {
			a.showVerdict(list[i], v)
		}
	}
	if asJSON(cmd) {
		if len(verdicts) == 1 {
			return a.json(verdicts[0])
		}
		return a.json(verdicts)
	}
	return nil
}

// worse is the exit code that says more: wrong bytes, then a missing signature, then findings.
func worse(x, y int) int {
	for _, code := range []int{13, 11, 12, 3} {
		if x == code || y == code {
			return code
		}
	}
	return max(x, y)
}

// verifyBytes reads the whole file.
func (a *app) verifyBytes(ctx context.Context, b *openBundle, trust bool, show *bundleShow) (*bundleVerdict, error) {
	v := &bundleVerdict{File: b.Name(), ID: b.Manifest().ID, Damage: []bundle.Damage{}, Findings: []finding{}}
	show.next(b.label())
	var err error
	v.Report, err = b.Verify(ctx, func(d bundle.Damage) { v.Damage = append(v.Damage, d) }, show.progress)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && len(v.Damage) == 0 {
		return nil, a.bundleFault(err)
	}
	slices.SortFunc(v.Damage, func(x, y bundle.Damage) int { return int(min(1, max(-1, x.Offset-y.Offset))) })
	id, signed := b.Signer()
	v.Signer = id
	var be *bundle.Error
	switch {
	case !signed && trust:
		v.Signature, v.Signer = "none", "wanted"
	case !signed:
		v.Signature = "none"
	case !trust:
		v.Signature = "unchecked"
	case b.signer != nil:
		v.Signature, v.Signer = "good", b.signer.String()
	case errors.As(b.sigErr, &be) && be.Code == bundle.CodeSignature:
		v.Signature = "bad"
	default:
		v.Signature = "untrusted"
	}
	return v, nil
}

// verifyModules checks every go.mod file and zip against what the bundles themselves have of the checksum database.
func (a *app) verifyModules(ctx context.Context, cfg *config.Config, list []*openBundle, verdicts []*bundleVerdict, show *bundleShow) (err error) {
	db, err := a.bundleDB(cfg, list)
	if err != nil {
		return err
	}
	f := &ferry{cfg: cfg, log: a.quietLog(cfg)}
	sums, err := bundleSumsClient(ctx, f, db, list)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sums.Close()) }()
	if db.Off {
		a.say(a.p.T("log.sumdb-off"))
	}
	for i, b := range list {
		show.next(b.label())
		c := &moduleChecker{b: b, sums: sums, v: verdicts[i], show: show}
		if err := c.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A moduleChecker checks the modules of one bundle.
type moduleChecker struct {
	b    *openBundle
	sums *sumdb.Client
	v    *bundleVerdict
	show *bundleShow
	mu   sync.Mutex
	done int64
}

// run checks all files that are whole.
func (c *moduleChecker) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	total := int64(0)
	var todo []goproxy.Request
	for _, e := range c.b.Manifest().Entries {
		req, err := goproxy.ParseRequest(e.Name)
		if err != nil || req.Kind != goproxy.Mod && req.Kind != goproxy.Zip {
			continue
		}
		if _, bad := slices.BinarySearch(c.v.Bad, e.Name); !bad {
			todo, total = append(todo, req), total+e.Size
		}
	}
	for _, req := range todo {
		g.Go(func() error {
			size, err := c.check(ctx, req)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			switch {
			case err != nil:
				c.v.Findings = append(c.v.Findings, bundleFinding(req, err))
			case c.sums.Covers(req.Path):
				c.v.Checked++
			default:
				c.v.Private++
			}
			c.done += size
			c.show.progress(bundle.Progress{Phase: "modules", Done: c.done, Total: total})
			return nil
		})
	}
	err := g.Wait()
	slices.SortFunc(c.v.Findings, func(x, y finding) int {
		return strings.Compare(x.Module+"@"+x.Version+x.File, y.Module+"@"+y.Version+y.File)
	})
	return err
}

// check checks one file.
func (c *moduleChecker) check(ctx context.Context, req goproxy.Request) (int64, error) {
	f, err := c.b.Source().Open(ctx, req)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), c.sums.Verify(ctx, req, readerAt(f), info.Size())
}

// bundleFinding says what is the matter with a file.
func bundleFinding(req goproxy.Request, err error) finding {
	f := finding{Module: req.Path, Version: req.Version, File: req.Kind.String(), Problem: "unverified",
		Error: strings.TrimPrefix(errLine(err), req.String()+": ")}
	if errors.Is(err, goproxy.ErrMismatch) {
		f.Problem = "mismatch"
	}
	return f
}

// showVerdict tells people.
func (a *app) showVerdict(b *openBundle, v *bundleVerdict) {
	const most = 20
	for _, d := range v.Damage[:min(most, len(v.Damage))] {
		a.showDamage(d)
	}
	if more := len(v.Damage) - most; more > 0 {
		fmt.Fprintln(a.stdout, a.p.T("bundle.damage-more", "Count", more))
	}
	for _, f := range v.Findings[:min(most, len(v.Findings))] {
		fmt.Fprintln(a.stdout, a.p.T("cache.found."+f.Problem, "File", f.Module+"@"+f.Version+"."+f.File, "Err", f.Error))
	}
	if more := len(v.Findings) - most; more > 0 {
		fmt.Fprintln(a.stdout, a.p.T("bundle.findings-more", "Count", more))
	}
	fmt.Fprintln(a.stdout, a.p.T("bundle.verdict", "File", v.File, "Bytes", human(v.Bytes), "Entries", v.Entries, "Count", v.Damaged))
	fmt.Fprintln(a.stdout, "  "+a.p.T("bundle.verdict-modules", "Checked", v.Checked, "Private", v.Private, "Count", len(v.Findings)))
	fmt.Fprintln(a.stdout, "  "+a.p.T("bundle.signature."+v.Signature, "Key", v.Signer))
	a.verdictHints(b, v)
}

func (a *app) verdictHints(b *openBundle, v *bundleVerdict) {
	if v.Damaged > 0 {
		a.hint(a.p.T("bundle.hint.copy-parts"))
	}
	for _, f := range v.Findings {
		if f.Problem == "mismatch" {
			a.hint(a.p.T("bundle.hint.forged"))
			return
		}
	}
	if len(v.Findings) == 0 {
		return
	}
	if base := b.Manifest().Base; base != nil {
		a.hint(a.p.T("bundle.hint.verify-base", "Date", base.Time.UTC().Format("2006-01-02"), "ID", shortID(base.ID)))
	}
	if slices.ContainsFunc(v.Findings, func(f finding) bool { return slices.Contains(b.private, f.Module) }) {
		a.hint(a.p.T("bundle.hint.private", "Modules", strings.Join(b.private[:min(3, len(b.private))], ",")))
	}
}

// showDamage names a damaged place.
func (a *app) showDamage(d bundle.Damage) { fmt.Fprintln(a.stdout, a.damageText("bundle.damage", d)) }

func (a *app) damageText(code string, d bundle.Damage) string {
	entry := d.Entry
	if entry == "" {
		entry = "zip"
	}
	return a.p.T(code, "Entry", entry, "What", a.p.T("bundle.damage."+string(d.Code)), "From", d.Offset, "To", d.Offset+max(d.Length, 1)-1,
		"Parts", strings.Join(d.Parts, ", "))
}

// shortID is enough of an ID for people.
func shortID(id string) string { return id[:min(12, len(id))] }

// readerAt is a file of a bundle, which can be read anywhere.
func readerAt(f fs.File) io.ReaderAt { return f.(io.ReaderAt) }
