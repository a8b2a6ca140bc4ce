package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/shellenv"
)

func (a *app) bundleEnvCmd() *cobra.Command {
	r := &bundleEnv{a: a}
	cmd := a.bundleSub("env FILE…", "env", a.someArgs, func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		return r.run(cmd, cfg, args)
	})
	a.bundleSettings(cmd)
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.StringVar(&r.shell, "shell", "", a.p.T("bundle.flag-shell"))
	fs.StringVar(&r.dir, "dir", "", a.p.T("bundle.flag-dir"))
	fs.StringVar(&r.url, "url", "", a.p.T("bundle.flag-url"))
	cmd.MarkFlagsMutuallyExclusive("dir", "url")
	return cmd
}

// A bundleEnv is one run of bundle env.
type bundleEnv struct {
	a               *app
	shell, dir, url string
	list            []*openBundle
}

// A variable is what a shell is to set.
type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (r *bundleEnv) run(cmd *cobra.Command, cfg *config.Config, files []string) (err error) {
	keys, err := r.a.trustedKeys(cfg)
	if err != nil {
		return err
	}
	if r.list, err = r.a.openBundles(files, keys); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBundles(r.list)) }()
	sh, err := r.shellOf()
	if err != nil {
		return err
	}
	vars, err := r.variables(cfg)
	if err != nil {
		return err
	}
	if asJSON(cmd) {
		m := map[string]string{}
		for _, v := range vars {
			m[v.Name] = v.Value
		}
		return r.a.json(m)
	}
	for _, v := range vars {
		line, err := shellenv.Assign(sh, v.Name, v.Value)
		if err != nil {
			return err
		}
		fmt.Fprint(r.a.stdout, line)
	}
	r.a.sayCC(r.list)
	return nil
}

// shellOf is the shell that lines are for: the one that was named, else that of the user.
func (r *bundleEnv) shellOf() (shellenv.Shell, error) {
	name := cmp.Or(r.shell, r.a.env("SHELL"))
	if name == "" && runtime.GOOS == "windows" {
		name = "powershell"
	}
	sh, err := shellenv.ParseShell(cmp.Or(name, "sh"))
	if err != nil && r.shell == "" {
		return shellenv.Sh, nil // a shell that nobody named, and that most likely knows export
	}
	if err != nil {
		return "", &fault{code: "env.error.shell", args: []any{"Name", r.shell, "Names", strings.Join(envShellNames(), ", ")}, hint: "env.hint.shell", exit: 2, err: err}
	}
	return sh, nil
}

// variables are what the go command needs to know to work from the bundles with all checks on.
func (r *bundleEnv) variables(cfg *config.Config) ([]variable, error) {
	proxy, vuln, err := r.proxy(cfg)
	if err != nil {
		return nil, err
	}
	db, err := r.a.bundleDB(cfg, r.list)
	if err != nil {
		return nil, err
	}
	sums := string(cfg.Sumdb)
	if db.Off || strings.TrimSpace(sums) == "" {
		sums = "sum.golang.org" // a check that somebody has switched off is what a bundle makes unnecessary
	}
	vars := []variable{
		{"GOPROXY", proxy},
		{"GOSUMDB", sums},
		// Private or not, all comes from the bundle, and GOPRIVATE would stand in for these two.
		{"GONOPROXY", "none"},
		{"GONOSUMDB", r.noSumdb(cfg)},
		{"GOTOOLCHAIN", r.toolchain()},
		{"GOFLAGS", withoutMod(r.a.env("GOFLAGS"))},
	}
	if vuln != "" {
		vars = append(vars, variable{"GOVULNDB", vuln})
	}
	return vars, nil
}

// proxy is GOPROXY, and the address of govulncheck's database where a bundle has it.
func (r *bundleEnv) proxy(cfg *config.Config) (proxy, vuln string, err error) {
	base := strings.TrimSuffix(r.url, "/")
	if r.dir != "" {
		dir, err := filepath.Abs(r.dir)
		if err != nil {
			return "", "", err
		}
		base = fileURL(dir)
		// Behind a file:// alone the go command asks the checksum database itself.
		proxy, vuln = base+",off", base+"/"+strings.TrimSuffix(bundle.VulnFolder, "/")
	} else {
		if base == "" {
			base = "http://" + cfg.Listen
		}
		if u, err := url.Parse(base); err != nil || u.Host == "" {
			return "", "", &fault{code: "bundle.error.url", args: []any{"URL", base}, hint: "bundle.hint.url", exit: 2, err: err}
		}
		proxy, vuln = base, base+"/-/vuln"
	}
	if !slices.ContainsFunc(r.list, (*openBundle).hasVuln) {
		vuln = ""
	}
	return proxy, vuln, nil
}

// fileURL is the URL of a folder.
func fileURL(dir string) string {
	dir = filepath.ToSlash(dir)
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir // C:/folder
	}
	return (&url.URL{Scheme: "file", Path: dir}).String()
}

// noSumdb are the modules that the go command must not look up. The manifest of a bundle that nobody trusted has signed
// has no say in this: anybody could name a public module there.
func (r *bundleEnv) noSumdb(cfg *config.Config) string {
	patterns := exemptOf(cfg, r.list)
	client := strings.Split(patterns, ",")
	var left []string
	for _, b := range r.list {
		for _, path := range b.private {
			if !slices.ContainsFunc(client, func(p string) bool { return p != "" && module.MatchPrefixPatterns(p, path) }) && !slices.Contains(left, path) {
				left = append(left, path)
			}
		}
	}
	if len(left) > 0 {
		r.a.say(r.a.p.T("bundle.env-private", "Modules", strings.Join(left, ", ")))
		r.a.hint(r.a.p.T("bundle.hint.private", "Modules", strings.Join(left, ",")))
	}
	return cmp.Or(patterns, "none")
}

// toolchain is GOTOOLCHAIN: auto where there is something to switch to, else the go command's own, which then says in a word
// what is wrong.
func (r *bundleEnv) toolchain() string {
	platform := "." + runtime.GOOS + "-" + runtime.GOARCH
	for _, b := range r.list {
		for _, m := range b.Manifest().Modules {
			if m.Path == goproxy.ToolchainPath && strings.HasSuffix(m.Version, platform) {
				return "auto"
			}
		}
	}
	return "local"
}

// withoutMod is GOFLAGS without a -mod=mod: it would have every build ask for newer versions.
func withoutMod(flags string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return strings.TrimLeft(f, "-") == "mod=mod" }), " ")
}
