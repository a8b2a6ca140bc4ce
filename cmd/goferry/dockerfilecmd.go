package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/image"
)

// A dockerJob is what one run of dockerfile is asked to write.
type dockerJob struct {
	dir      string
	packages []string
	image    string // of the build stage; empty means golang, with the project's version
	bundle   string
	libc     string
	debs     []string
	port     int
	health   string
	force    bool
	toStdout bool
}

func (a *app) dockerfileCmd() *cobra.Command {
	job := &dockerJob{}
	cmd := a.command("dockerfile [DIR]", "dockerfile", a.perhapsOneArg, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) (err error) {
		if job.dir, err = folderArg(args); err != nil {
			return err
		}
		return a.dockerfile(cmd, cfg, job)
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&job.packages, "package", nil, a.p.T("dockerfile.flag-package"))
	fs.StringVar(&job.image, "go-image", "", a.p.T("dockerfile.flag-go-image"))
	fs.StringVar(&job.bundle, "bundle", "", a.p.T("dockerfile.flag-bundle"))
	fs.StringVar(&job.libc, "libc", "copy", a.p.T("dockerfile.flag-libc"))
	fs.StringSliceVar(&job.debs, "apt", nil, a.p.T("dockerfile.flag-apt"))
	fs.IntVar(&job.port, "port", 0, a.p.T("dockerfile.flag-port"))
	fs.StringVar(&job.health, "health", "", a.p.T("dockerfile.flag-health"))
	fs.BoolVar(&job.force, "force", false, a.p.T("dockerfile.flag-force"))
	fs.BoolVar(&job.toStdout, "stdout", false, a.p.T("dockerfile.flag-stdout"))
	return cmd
}

// dockerReport is what `dockerfile --json` prints.
type dockerReport struct {
	Dockerfile   string        `json:"dockerfile"`   // the text
	DockerIgnore string        `json:"dockerignore"` // the text
	Written      []string      `json:"written"`      // files
	GoImage      string        `json:"go_image"`
	Pinned       bool          `json:"pinned"` // the image of the build stage by its hash
	Deps         image.Deps    `json:"deps"`
	Libc         image.Libc    `json:"libc"`
	CGO          []string      `json:"cgo"` // packages that need it
	Programs     []dockerEntry `json:"programs"`
	Port         int           `json:"port,omitempty"`
}

type dockerEntry struct {
	Package string `json:"package"`
	Name    string `json:"name"`
}

// dockerfile looks at the project and writes the two files.
func (a *app) dockerfile(cmd *cobra.Command, cfg *config.Config, job *dockerJob) error {
	ctx := cmd.Context()
	if job.libc != string(image.LibcCopy) && job.libc != string(image.LibcStatic) {
		return misuse(cmd, "", "dockerfile.error.libc", "Libc", job.libc)
	}
	var r dockerReport
	var warn []string
	err := a.proxied(ctx, cfg, newLogger(a.stderr, cfg, quietLevel(cfg)), nil, nil, func(_ context.Context, f *ferry, url string) error {
		p, err := image.Loader{Runner: a.runner, Env: []string{"GOPROXY=" + url}}.Load(ctx, job.dir, job.packages)
		if err != nil {
			return err
		}
		o, said, err := a.dockerOptions(ctx, f, job, p)
		if err != nil {
			return err
		}
		warn = said
		r, err = a.writeDocker(job, p, o)
		return err
	})
	if err != nil {
		return a.imageFault(job.dir, err)
	}
	for _, w := range warn {
		a.say(w)
	}
	if !r.Pinned {
		a.say(a.p.T("dockerfile.unpinned", "Image", r.GoImage))
		a.hint(a.p.T("dockerfile.hint.unpinned", "Image", r.GoImage))
		a.exit = 3
	}
	switch {
	case asJSON(cmd):
		return a.json(r)
	case job.toStdout:
		_, err := io.WriteString(a.stdout, r.Dockerfile)
		return err
	}
	for _, file := range r.Written {
		fmt.Fprintln(a.stdout, a.p.T("dockerfile.written", "File", file))
	}
	_, err = fmt.Fprintln(a.stdout, a.p.T("dockerfile.next", "Dir", contextDir(job.dir, filepath.Dir(r.Written[0])), "Name", imageName(r.Programs[0].Name)))
	return err
}

// contextDir is the folder of the files as people call it, who may have named one below it.
func contextDir(named, root string) string {
	if abs, err := filepath.Abs(named); err == nil && abs == root {
		return named
	}
	return root
}

// imageName makes the name of a program one that an image may have: lower case, and separators only between words.
func imageName(program string) string {
	name := strings.Map(func(r rune) rune {
		if r < 128 && (unicode.IsLower(r) || unicode.IsDigit(r)) || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(program))
	if name = strings.Trim(manySeparators.ReplaceAllString(name, "-"), "._-"); name == "" {
		return "app"
	}
	return name
}

var manySeparators = regexp.MustCompile(`[._-]{2,}`)

// dockerOptions decides what the command line leaves open, and says what people should know of it.
func (a *app) dockerOptions(ctx context.Context, f *ferry, job *dockerJob, p image.Project) (image.DockerOptions, []string, error) {
	var said []string
	o := image.DockerOptions{
		GoImage: job.image, Deps: image.FromProxy, Packages: job.debs, Port: job.port, Health: job.health,
		Comment: func(key string) string { return a.p.T("dockerfile.comment."+key, "Go", p.Go, "Bundle", job.bundle) },
	}
	if o.GoImage == "" {
		o.GoImage = "docker.io/library/golang:" + p.Go + "-bookworm"
	}
	if p.Vendor {
		o.Deps = image.FromVendor
	}
	if job.bundle != "" {
		o.Deps = image.FromBundle
		var err error
		if o.Bundle, o.BundleSHA, err = bundleInContext(p.Root, job.bundle); err != nil {
			return o, nil, err
		}
	}
	switch {
	case len(p.CGO) > 0:
		o.Libc = image.Libc(job.libc)
		said = append(said, a.p.T("dockerfile.cgo", "Packages", strings.Join(p.CGO, ", ")))
	case len(p.MayCGO) > 0 && p.CGOOff:
		said = append(said, a.p.T("dockerfile.cgo-off", "Packages", strings.Join(p.MayCGO, ", ")))
	case len(p.MayCGO) > 0:
		o.Libc = image.Libc(job.libc)
		said = append(said, a.p.T("dockerfile.cgo-may", "Packages", strings.Join(p.MayCGO, ", ")))
	}
	if len(p.Mains) > 1 {
		said = append(said, a.p.T("dockerfile.programs", "Count", len(p.Mains), "Name", p.Mains[0].Name))
	}
	switch {
	case o.Port == 0 && len(p.Ports) == 1:
		o.Port = p.Ports[0]
		said = append(said, a.p.T("dockerfile.port", "Port", o.Port))
	case o.Port == 0 && len(p.Ports) > 1:
		said = append(said, a.p.T("dockerfile.ports", "Ports", strings.Trim(fmt.Sprint(p.Ports), "[]")))
	}
	if !f.offline() && !image.Pinned(o.GoImage) {
		asking, stop := context.WithTimeout(ctx, 15*time.Second)
		defer stop()
		if pinned, err := image.Pin(asking, o.GoImage, f.http.Transport); err == nil {
			o.GoImage = pinned
		} else if errors.Is(err, image.ErrOption) {
			return o, nil, err
		}
	}
	return o, said, nil
}

// bundleInContext is the place of a bundle in the build context, and its hash.
func bundleInContext(root, file string) (rel, sum string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", &fault{code: "dockerfile.error.bundle", args: []any{"File", file, "Err", plain(err)}, hint: "dockerfile.hint.bundle", exit: 2, err: err}
	}
	defer f.Close()
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", "", err
	}
	if rel, err = filepath.Rel(root, abs); err != nil || strings.HasPrefix(rel, "..") {
		return "", "", &fault{code: "dockerfile.error.bundle-outside", args: []any{"File", file, "Dir", root}, hint: "dockerfile.hint.bundle", exit: 2, err: err}
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", "", err
	}
	return filepath.ToSlash(rel), hex.EncodeToString(h.Sum(nil)), nil
}

// writeDocker makes the texts, and writes them where nothing of the user's is lost.
func (a *app) writeDocker(job *dockerJob, p image.Project, o image.DockerOptions) (dockerReport, error) {
	text, err := image.Dockerfile(p, o)
	if err != nil {
		return dockerReport{}, err
	}
	r := dockerReport{
		Dockerfile: text, DockerIgnore: image.DockerIgnore(p, o), Written: []string{},
		GoImage: o.GoImage, Pinned: image.Pinned(o.GoImage), Deps: o.Deps, Libc: o.Libc, CGO: append(append([]string{}, p.CGO...), p.MayCGO...), Port: o.Port,
	}
	for _, m := range p.Mains {
		r.Programs = append(r.Programs, dockerEntry{m.Package, m.Name})
	}
	if job.toStdout {
		return r, nil
	}
	files := map[string]string{"Dockerfile": r.Dockerfile, ".dockerignore": r.DockerIgnore}
	for _, name := range []string{"Dockerfile", ".dockerignore"} {
		file := filepath.Join(p.Root, name)
		old, err := os.ReadFile(file)
		if err == nil && string(old) != files[name] && !job.force {
			return r, &fault{code: "dockerfile.error.exists", args: []any{"File", file}, hint: "dockerfile.hint.exists", exit: 1}
		}
	}
	for _, name := range []string{"Dockerfile", ".dockerignore"} {
		file := filepath.Join(p.Root, name)
		if err := os.WriteFile(file, []byte(files[name]), 0o666); err != nil {
			return r, err
		}
		r.Written = append(r.Written, file)
	}
	return r, nil
}

// imageFault says what is wrong with a project.
func (a *app) imageFault(dir string, err error) error {
	var ge *gocmd.GoError
	var cgo *image.CGOError
	var be *image.BaseError
	var out *image.OutsideError
	switch {
	case errors.As(err, &cgo):
		return &fault{code: "image.error.cgo", args: []any{"Packages", strings.Join(cgo.Packages, ", ")}, hint: "image.hint.cgo", exit: 1, err: err}
	case errors.As(err, &out):
		return &fault{code: "dockerfile.error.outside", args: []any{"Dirs", strings.Join(out.Dirs, ", "), "Root", out.Root}, hint: "dockerfile.hint.outside", exit: 1, err: err}
	case errors.As(err, &be):
		return &fault{code: "image.error.base", args: []any{"File", be.File, "Err", plain(be.Err)}, hint: "image.hint.base", exit: 2, err: err}
	case errors.Is(err, gocmd.ErrNoModule):
		return &fault{code: "fetch.error.no-project", args: []any{"Dir", dir}, hint: "vendor.hint.no-project", exit: 2, err: err}
	case errors.Is(err, image.ErrNoMain):
		return &fault{code: "dockerfile.error.no-main", args: []any{"Dir", dir}, hint: "dockerfile.hint.no-main", exit: 2, err: err}
	case errors.Is(err, image.ErrOption):
		return &fault{code: "image.error.option", args: []any{"Err", errLine(err)}, hint: "image.hint.option", exit: 2, err: err}
	case errors.As(err, &ge):
		return &fault{code: "dockerfile.error.go", args: []any{"Err", errLine(ge)}, hint: "dockerfile.hint.go", exit: 1, err: err}
	}
	if missing := noCommand(err); missing != nil {
		return missing
	}
	return err
}
