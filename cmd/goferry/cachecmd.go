package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

func (a *app) cacheCmd() *cobra.Command {
	return a.group("cache COMMAND", "cache", a.cacheLs(), a.cacheStat(), a.cacheVerify(), a.cacheGC(), a.cacheRm(), a.cacheImport())
}

// cacheSub makes a command that works on the store.
func (a *app) cacheSub(use, name string, args cobra.PositionalArgs, run func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, args []string) error) *cobra.Command {
	cmd := a.command(use, "cache."+name, args, a.loaded(func(cmd *cobra.Command, cfg *config.Config, got []string) error {
		return run(cmd.Context(), cmd, cfg, got)
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	return cmd
}

// withStore opens the store of cfg for run.
func (a *app) withStore(cfg *config.Config, run func(st *store.Store) error) (err error) {
	st, err := openStore(cfg, a.quietLog(cfg), nil)
	if err != nil {
		return cacheFault(cfg, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return run(st)
}

// cacheFault says why the store of cfg cannot be opened.
func cacheFault(cfg *config.Config, err error) error {
	if cfg.CacheDir == "" { // there is no home folder to put it in
		return &fault{code: "error.no-cache", hint: "hint.no-cache", exit: 2, err: err}
	}
	reason := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		reason = pe.Err
		if !strings.HasPrefix(pe.Path, cfg.CacheDir) { // a folder above it
			reason = fmt.Errorf("%s: %w", pe.Path, pe.Err)
		}
	}
	args := []any{"Dir", cfg.CacheDir, "Err", reason}
	if errors.Is(err, store.ErrFull) && !errors.Is(err, syscall.EROFS) { // no space that is freed helps a disk that is read-only
		return &fault{code: "error.cache", args: args, hint: "cache.hint.disk-full", exit: 1, err: err}
	}
	return &fault{code: "error.cache", args: args, hint: "hint.cache-not-writable", exit: 1, err: err}
}

// quietLog is the logger of commands whose output is a report.
func (a *app) quietLog(cfg *config.Config) *slog.Logger {
	return newLogger(a.stderr, cfg, quietLevel(cfg))
}

func quietLevel(cfg *config.Config) slog.Level {
	if cfg.Origin("log.level").Kind != config.FromDefault {
		return cfg.LogLevel
	}
	return slog.LevelError
}

func pattern(args []string) (cache.Pattern, error) {
	if len(args) == 0 {
		return cache.Pattern{}, nil
	}
	pat, err := cache.ParsePattern(args[0])
	if err != nil {
		return pat, &fault{code: "error.pattern", args: []any{"Pattern", args[0]}, hint: "hint.pattern", exit: 2, err: err}
	}
	return pat, nil
}

func (a *app) cacheLs() *cobra.Command {
	return a.cacheSub("ls [PATTERN]", "ls", a.perhapsOneArg, func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, args []string) error {
		pat, err := pattern(args)
		if err != nil {
			return err
		}
		return a.withStore(cfg, func(st *store.Store) error {
			entries := []cache.Entry{}
			err := cache.Entries(ctx, st, pat, func(e cache.Entry) error {
				slices.Sort(e.Files)
				entries = append(entries, e)
				return nil
			})
			if err != nil {
				return err
			}
			slices.SortFunc(entries, func(x, y cache.Entry) int {
				return cmp.Or(strings.Compare(x.Path, y.Path), semver.Compare(x.Version, y.Version), strings.Compare(x.Version, y.Version))
			})
			if asJSON(cmd) {
				return a.json(entries)
			}
			return a.listEntries(entries)
		})
	})
}

func (a *app) listEntries(entries []cache.Entry) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, e := range entries {
		name := e.Path
		if e.Version != "" {
			name += "@" + e.Version
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, human(e.Bytes), strings.Join(e.Files, ","), e.Used.Local().Format("2006-01-02 15:04"))
	}
	return w.Flush()
}

// cacheStats is what `cache stat --json` prints.
type cacheStats struct {
	Dir      string         `json:"dir"`
	Modules  int64          `json:"modules"`
	Versions int64          `json:"versions"` // with at least one immutable file
	Files    map[string]int `json:"files"`    // by kind
	Bytes    int64          `json:"bytes"`    // of everything, the checksum database's files included
	Sumdb    int64          `json:"sumdb_bytes"`
	Limit    int64          `json:"limit_bytes"` // 0: none
	Oldest   *time.Time     `json:"least_recently_used,omitempty"`
}

func (a *app) cacheStat() *cobra.Command {
	return a.cacheSub("stat", "stat", a.noArgs, func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, _ []string) error {
		return a.withStore(cfg, func(st *store.Store) error {
			s, err := countStore(ctx, st)
			if err != nil {
				return err
			}
			s.Dir, s.Limit = cfg.CacheDir, int64(cfg.CacheMaxSize)
			if asJSON(cmd) {
				return a.json(s)
			}
			limit := a.p.T("cache.stat.no-limit")
			if s.Limit > 0 {
				limit = cfg.CacheMaxSize.String() // as it was set
			}
			_, err = fmt.Fprintln(a.stdout, a.p.T("cache.stat.report", "Dir", s.Dir, "Modules", s.Modules, "Versions", s.Versions,
				"Zips", s.Files["zip"], "Mods", s.Files["mod"], "Infos", s.Files["info"], "Bytes", human(s.Bytes), "Sumdb", human(s.Sumdb), "Limit", limit))
			return err
		})
	})
}

func countStore(ctx context.Context, st *store.Store) (*cacheStats, error) {
	s := &cacheStats{Files: map[string]int{}}
	last := ""
	err := cache.Entries(ctx, st, cache.Pattern{}, func(e cache.Entry) error {
		if e.Path != last {
			s.Modules++
			last = e.Path
		}
		if e.Version != "" {
			s.Versions++
		}
		for _, k := range e.Files {
			s.Files[k]++
		}
		if s.Oldest == nil || e.Used.Before(*s.Oldest) {
			s.Oldest = &e.Used
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = st.Walk(ctx, "", func(b store.Blob) error {
		s.Bytes += b.Size
		if strings.HasPrefix(b.Name, "sumdb/") {
			s.Sumdb += b.Size
		}
		return nil
	})
	return s, err
}

// finding is a cache.Finding in JSON.
type finding struct {
	Module   string `json:"module"`
	Version  string `json:"version,omitempty"`
	File     string `json:"file"`
	Problem  string `json:"problem"` // "mismatch" or "unverified"
	Error    string `json:"error"`
	Repaired bool   `json:"repaired"`
}

// report is what verify and import print as JSON.
type report struct {
	cache.Report
	Findings []finding `json:"findings"`
}

// collect tells of findings as they come, or keeps them for JSON.
func (a *app) collect(cmd *cobra.Command, r *report) func(cache.Finding) {
	r.Findings = []finding{}
	return func(f cache.Finding) {
		j := finding{Module: f.Request.Path, Version: f.Request.Version, File: f.Request.Kind.String(), Problem: "unverified", Repaired: f.Repaired}
		if errors.Is(f.Err, goproxy.ErrMismatch) {
			j.Problem = "mismatch"
		}
		if f.Err != nil {
			j.Error = strings.TrimPrefix(f.Err.Error(), f.Request.String()+": ") // the file is named before it
		}
		if asJSON(cmd) {
			r.Findings = append(r.Findings, j)
			return
		}
		code := "cache.found." + j.Problem
		if f.Repaired {
			code = "cache.found.repaired"
		}
		fmt.Fprintln(a.stdout, a.p.T(code, "File", f.Request.String(), "Err", j.Error))
	}
}

func (a *app) cacheVerify() *cobra.Command {
	var repair bool
	cmd := a.cacheSub("verify [PATTERN]", "verify", a.perhapsOneArg, func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, args []string) error {
		pat, err := pattern(args)
		if err != nil {
			return err
		}
		f, err := a.wire(cfg, a.quietLog(cfg), nil, nil)
		if err != nil {
			return err
		}
		var r report
		r.Report, err = f.cache.Verify(ctx, pat, repair, a.collect(cmd, &r))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		a.exit = findingsExit(r.Report)
		return a.finish(cmd, r, "cache.verify.report")
	})
	cmd.Flags().BoolVar(&repair, "repair", false, a.p.T("flag.repair"))
	return cmd
}

// findingsExit is 13 if bad bytes are left, 3 if something could not be checked.
func findingsExit(r cache.Report) int {
	switch {
	case r.Bad > 0:
		return 13
	case r.Unverified > 0:
		return 3
	}
	return 0
}

func (a *app) finish(cmd *cobra.Command, r report, code string) error {
	if asJSON(cmd) {
		return a.json(r)
	}
	_, err := fmt.Fprintln(a.stdout, a.p.T(code, "Count", r.Files, "Good", r.Good, "Bad", r.Bad,
		"Unverified", r.Unverified, "Repaired", r.Repaired, "Skipped", r.Skipped, "Bytes", human(r.Bytes)))
	return err
}

func (a *app) cacheGC() *cobra.Command {
	return a.cacheSub("gc", "gc", a.noArgs, func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, _ []string) error {
		return a.withStore(cfg, func(st *store.Store) error {
			r, err := st.GC(ctx)
			if err != nil {
				return err
			}
			if asJSON(cmd) {
				return a.json(map[string]any{"freed_bytes": r.FreedBytes, "freed_files": r.FreedFiles, "kept_bytes": r.KeptBytes, "kept_files": r.KeptFiles})
			}
			_, err = fmt.Fprintln(a.stdout, a.p.T("cache.gc.report", "Freed", human(r.FreedBytes), "Count", r.FreedFiles, "Kept", human(r.KeptBytes)))
			return err
		})
	})
}

func (a *app) cacheRm() *cobra.Command {
	return a.cacheSub("rm PATTERN", "rm", a.oneArg, func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, args []string) error {
		pat, err := pattern(args)
		if err != nil {
			return err
		}
		return a.withStore(cfg, func(st *store.Store) error {
			files, bytes, err := cache.Remove(ctx, st, pat)
			if err != nil {
				return err
			}
			if files == 0 {
				return &fault{code: "error.nothing-matches", args: []any{"Pattern", args[0]}, hint: "hint.cache-ls", exit: 10}
			}
			if asJSON(cmd) {
				return a.json(map[string]any{"removed_files": files, "removed_bytes": bytes})
			}
			_, err = fmt.Fprintln(a.stdout, a.p.T("cache.rm.report", "Count", files, "Bytes", human(bytes)))
			return err
		})
	})
}

func (a *app) cacheImport() *cobra.Command {
	return a.cacheSub("import DIR", "import", a.oneArg, func(ctx context.Context, cmd *cobra.Command, cfg *config.Config, args []string) error {
		dir, err := importDir(args[0])
		if err != nil {
			return &fault{code: "error.import-dir", args: []any{"Dir", args[0], "Err", plain(err)}, hint: "hint.import-dir", exit: 2, err: err}
		}
		tree := os.DirFS(dir)
		// What the folder has of the checksum database is asked first: it is
		// authenticated like any other answer, and saves the network.
		f, err := a.wire(cfg, a.quietLog(cfg), tree, nil)
		if err != nil {
			return err
		}
		a.learn(ctx, f, dir)
		var r report
		r.Report, err = f.cache.Import(ctx, tree, a.collect(cmd, &r))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		a.exit = findingsExit(r.Report)
		return a.finish(cmd, r, "cache.import.report")
	})
}

// learn takes over the tree head of the go command that filled dir, its module cache, if it can be
// found: the pieces of the checksum database's tree that are kept there fit that head alone. It
// is proved like any other; without it the network is asked.
func (a *app) learn(ctx context.Context, f *ferry, dir string) {
	name := f.sums.Status().Name
	if name == "" {
		return
	}
	file := filepath.Join(dir, "..", "..", "..", "sumdb", filepath.FromSlash(name), "latest") // GOPATH/pkg/mod/cache/download
	head, err := os.ReadFile(file)
	if err == nil {
		err = f.sums.Learn(ctx, head)
	}
	if err != nil {
		f.log.Info("tree head not taken over", "file", file, "err", err)
	}
}

// importDir accepts a GOPROXY tree, or the GOMODCACHE that has one inside.
func importDir(dir string) (string, error) {
	if inner := filepath.Join(dir, "cache", "download"); isDir(inner) {
		return inner, nil
	}
	if !isDir(dir) {
		_, err := os.Stat(dir)
		if err == nil {
			err = errors.New("not a folder")
		}
		return "", err
	}
	return dir, nil
}

// plain is err without the path that the user wrote himself.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func isDir(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// human writes a number of bytes for people: 12.3 MB.
func human(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= 999.95 && i < 3 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGT"[i])
}
