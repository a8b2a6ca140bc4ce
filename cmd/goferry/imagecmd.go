package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/image"
)

// An imageJob is what one run of image is asked to make.
type imageJob struct {
	b         image.Builder
	out, push string
	name      string
	platforms string
	ca        string
}

func (a *app) imageCmd() *cobra.Command {
	job := &imageJob{}
	cmd := a.command("image [DIR]", "image", a.perhapsOneArg, a.loaded(func(cmd *cobra.Command, cfg *config.Config, args []string) (err error) {
		if job.b.Dir, err = folderArg(args); err != nil {
			return err
		}
		if err := a.imageArgs(cmd, job); err != nil {
			return err
		}
		return a.image(cmd, cfg, job)
	}))
	a.settingFlags(cmd.Flags(), false)
	a.jsonFlag(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&job.out, "output", "o", "", a.p.T("image.flag-output"))
	fs.StringVar(&job.push, "push", "", a.p.T("image.flag-push"))
	fs.StringVar(&job.name, "name", "", a.p.T("image.flag-name"))
	fs.StringSliceVar(&job.b.Packages, "package", nil, a.p.T("dockerfile.flag-package"))
	fs.StringVar(&job.platforms, "platform", "", a.p.T("image.flag-platform"))
	fs.StringVar(&job.b.Base, "base", "", a.p.T("image.flag-base"))
	fs.StringVar(&job.b.LDFlags, "ldflags", "-s -w", a.p.T("image.flag-ldflags"))
	fs.StringVar(&job.ca, "ca", "", a.p.T("image.flag-ca"))
	fs.StringToStringVar(&job.b.Labels, "label", nil, a.p.T("image.flag-label"))
	fs.IntSliceVar(&job.b.Ports, "port", nil, a.p.T("image.flag-port"))
	return cmd
}

// imageArgs checks what can be checked before anything is built.
func (a *app) imageArgs(cmd *cobra.Command, job *imageJob) (err error) {
	if job.out == "" && job.push == "" {
		return misuse(cmd, "", "image.error.nowhere")
	}
	if job.platforms != "" {
		if job.b.Platforms, err = image.ParsePlatforms(job.platforms); err != nil {
			return a.imageFault(job.b.Dir, err)
		}
	}
	for _, p := range job.b.Ports {
		if p < 1 || p > 65535 {
			return a.imageFault(job.b.Dir, fmt.Errorf("%w: port %d", image.ErrOption, p))
		}
	}
	if job.b.CA, err = certificates(job.ca); err != nil {
		return err
	}
	job.b.Time, err = sourceDate(a.env("SOURCE_DATE_EPOCH"))
	return err
}

// certificates is the file with the CA certificates for an image: the given one, else the system's.
func certificates(given string) (string, error) {
	if given == "none" {
		return "", nil
	}
	if given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", &fault{code: "image.error.ca", args: []any{"File", given, "Err", plain(err)}, hint: "image.hint.ca", exit: 2, err: err}
		}
		return given, nil
	}
	// Where Linux distributions keep them; the order is that of crypto/x509.
	for _, f := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"} {
		if _, err := os.Stat(f); err == nil {
			return f, nil
		}
	}
	return "", nil
}

// sourceDate reads SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/); zero where there is none.
func sourceDate(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, &fault{code: "image.error.date", args: []any{"Value", text}, hint: "image.hint.date", exit: 2}
	}
	return time.Unix(n, 0).UTC(), nil
}

// imageReport is what `image --json` prints.
type imageReport struct {
	Digest    string          `json:"digest"` // of the index
	Written   string          `json:"written,omitempty"`
	Pushed    string          `json:"pushed,omitempty"` // reference with the digest
	Name      string          `json:"name"`             // that docker load gives it
	CA        string          `json:"ca,omitempty"`     // file
	Platforms []imagePlatform `json:"platforms"`
}

type imagePlatform struct {
	Platform string         `json:"platform"`
	Digest   string         `json:"digest"`
	Size     int64          `json:"size"` // of the compressed layers, bytes
	Programs []imageProgram `json:"programs"`
}

type imageProgram struct {
	Package string `json:"package"`
	Path    string `json:"path"` // in the image
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
}

// image builds, writes and pushes.
func (a *app) image(cmd *cobra.Command, cfg *config.Config, job *imageJob) (err error) {
	ctx := cmd.Context()
	scratch, err := os.MkdirTemp("", "goferry-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	var r imageReport
	var may []string
	err = a.proxied(ctx, cfg, newLogger(a.stderr, cfg, quietLevel(cfg)), nil, nil, func(_ context.Context, f *ferry, url string) error {
		job.b.Loader = image.Loader{Runner: a.runner, Env: []string{"GOPROXY=" + url}}
		built, err := job.b.Build(ctx, scratch)
		if err != nil {
			return err
		}
		may = built.Project.MayCGO
		if r, err = imageFacts(built, job); err != nil {
			return err
		}
		if job.out != "" {
			if err := writeWhole(job.out, func(w io.Writer) error { return built.WriteTar(w, r.Name) }); err != nil {
				return err
			}
			r.Written = job.out
		}
		if job.push != "" {
			r.Pushed, err = built.Push(ctx, job.push, f.http.Transport)
		}
		return err
	})
	if err != nil {
		return a.imageFault(job.b.Dir, err)
	}
	if len(may) > 0 && a.env("CGO_ENABLED") != "0" {
		a.say(a.p.T("image.cgo-may", "Packages", strings.Join(may, ", ")))
	}
	if asJSON(cmd) {
		return a.json(r)
	}
	return a.imaged(r)
}

// writeWhole writes a file that is there as a whole or not at all.
func writeWhole(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// imageFacts are what there is to say of an image.
func imageFacts(built image.Built, job *imageJob) (imageReport, error) {
	digest, err := built.Index.Digest()
	r := imageReport{Digest: digest.String(), Name: job.name, CA: job.b.CA}
	if r.Name == "" {
		r.Name = imageName(built.Project.Mains[0].Name) + ":latest"
	}
	if err != nil {
		return r, err
	}
	for _, img := range built.Images {
		p := imagePlatform{Platform: img.Platform.String()}
		d, err := img.Image.Digest()
		if err != nil {
			return r, err
		}
		m, err := img.Image.Manifest()
		if err != nil {
			return r, err
		}
		p.Digest = d.String()
		for _, l := range m.Layers {
			p.Size += l.Size
		}
		for _, prog := range img.Programs {
			p.Programs = append(p.Programs, imageProgram{prog.Package, "/app/" + prog.Name, prog.Size, prog.SHA256})
		}
		r.Platforms = append(r.Platforms, p)
	}
	return r, nil
}

// imaged tells people.
func (a *app) imaged(r imageReport) error {
	for _, p := range r.Platforms {
		var names []string
		for _, prog := range p.Programs {
			names = append(names, prog.Path)
		}
		fmt.Fprintln(a.stdout, a.p.T("image.platform", "Platform", p.Platform, "Bytes", human(p.Size), "Programs", strings.Join(names, " "), "Digest", p.Digest))
	}
	if r.CA == "" {
		a.say(a.p.T("image.no-ca"))
	}
	if r.Written != "" {
		fmt.Fprintln(a.stdout, a.p.T("image.written", "File", r.Written, "Name", r.Name))
	}
	if r.Pushed != "" {
		fmt.Fprintln(a.stdout, a.p.T("image.pushed", "Ref", r.Pushed))
	}
	return nil
}
