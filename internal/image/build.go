package image

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// A CGOError says that programs need cgo, and so a C library that an empty image does not have.
type CGOError struct{ Packages []string }

// Error names the packages.
func (e *CGOError) Error() string { return "cgo is needed by " + strings.Join(e.Packages, ", ") }

// A Builder makes images of the programs of a project.
type Builder struct {
	Loader    Loader
	Dir       string
	Packages  []string      // the programs, the first of which is the entry point; none means all of the project
	Platforms []v1.Platform // none means that of this machine, on Linux
	Base      string        // a docker or OCI tar, or an OCI layout folder, to build on; empty means from scratch
	LDFlags   string        // for go build
	CA        string        // file with CA certificates to put in; empty for none
	Labels    map[string]string
	Ports     []int
	Time      time.Time // of everything in the image; zero is 1970
}

// Built is what came of a Builder.
type Built struct {
	Project Project
	Index   v1.ImageIndex // of all platforms, and for each an attestation: an SBOM and how it was made
	Images  []PlatformImage
}

// A PlatformImage is the image of one platform.
type PlatformImage struct {
	Platform v1.Platform
	Image    v1.Image
	Programs []Program
}

// A Program is a program of an image.
type Program struct {
	Main
	Size   int64
	SHA256 string // hex
	Info   *buildinfo.BuildInfo
	file   string
}

// Build compiles the programs in the folder scratch, which must stay until the images are written, and puts the images
// together. The same sources, Go and options give the same bytes. Errors are those of Loader.Load, *CGOError, *BaseError,
// *gocmd.GoError where a program does not compile, and those of the disk.
func (b Builder) Build(ctx context.Context, scratch string) (Built, error) {
	p, err := b.Loader.Load(ctx, b.Dir, b.Packages)
	if err != nil {
		return Built{}, err
	}
	built := Built{Project: p, Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
	if len(p.CGO) > 0 {
		return built, &CGOError{Packages: p.CGO}
	}
	platforms := b.Platforms
	if len(platforms) == 0 {
		platforms = []v1.Platform{{OS: "linux", Architecture: runtime.GOARCH}}
	}
	built.Images = make([]PlatformImage, len(platforms))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, runtime.GOMAXPROCS(0)/2)) // go build uses all cores by itself
	for i, platform := range platforms {
		g.Go(func() (err error) {
			built.Images[i], err = b.platform(gctx, p, platform, filepath.Join(scratch, strings.ReplaceAll(platform.String(), "/", "-")))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return built, err
	}
	var images, attested []mutate.IndexAddendum
	for _, img := range built.Images {
		platform := img.Platform
		images = append(images, mutate.IndexAddendum{Add: img.Image, Descriptor: v1.Descriptor{Platform: &platform}})
		a, err := b.attest(p, img)
		if err != nil {
			return built, err
		}
		attested = append(attested, a)
	}
	built.Index = mutate.AppendManifests(built.Index, append(images, attested...)...)
	return built, nil
}

// platform makes the image of one platform.
func (b Builder) platform(ctx context.Context, p Project, platform v1.Platform, dir string) (PlatformImage, error) {
	img := PlatformImage{Platform: platform}
	base, err := b.base(platform, dir)
	if err != nil {
		return img, err
	}
	if img.Programs, err = b.compile(ctx, p, platform, dir); err != nil {
		return img, err
	}
	root, err := b.rootLayer(ctx, dir)
	if err != nil {
		return img, err
	}
	app, err := b.appLayer(img.Programs, dir)
	if err != nil {
		return img, err
	}
	add := func(layer v1.Layer, by string) mutate.Addendum {
		return mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{CreatedBy: by, Created: v1.Time{Time: b.when()}}}
	}
	img.Image, err = mutate.Append(base, add(root, "goferry image: certificates, time zones, user"), add(app, "goferry image: "+p.Mains[0].Package))
	if err != nil {
		return img, err
	}
	cf, err := img.Image.ConfigFile()
	if err != nil {
		return img, err
	}
	cf = cf.DeepCopy()
	b.configure(cf, p, platform)
	img.Image, err = mutate.ConfigFile(img.Image, cf)
	return img, err
}

func (b Builder) when() time.Time {
	if b.Time.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return b.Time.UTC()
}

// configure says how the image is run.
func (b Builder) configure(cf *v1.ConfigFile, p Project, platform v1.Platform) {
	cf.OS, cf.Architecture, cf.Variant = platform.OS, platform.Architecture, platform.Variant
	cf.Created, cf.Author = v1.Time{Time: b.when()}, ""
	cf.Config.Entrypoint, cf.Config.Cmd = []string{"/app/" + p.Mains[0].Name}, nil
	cf.Config.User = "65532:65532"
	cf.Config.Env = setEnv(cf.Config.Env, "PATH=/app:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cf.Config.Env = setEnv(cf.Config.Env, "ZONEINFO=/app/.zoneinfo.zip")
	if b.CA != "" {
		cf.Config.Env = setEnv(cf.Config.Env, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt")
	}
	for _, port := range b.Ports {
		if cf.Config.ExposedPorts == nil {
			cf.Config.ExposedPorts = map[string]struct{}{}
		}
		cf.Config.ExposedPorts[fmt.Sprintf("%d/tcp", port)] = struct{}{}
	}
	labels := map[string]string{"org.opencontainers.image.title": p.Mains[0].Name}
	for k, v := range b.Labels {
		labels[k] = v
	}
	cf.Config.Labels = labels
}

// setEnv sets a variable, KEY=VALUE, in a list of them.
func setEnv(env []string, kv string) []string {
	key, _, _ := strings.Cut(kv, "=")
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, key+"=") })
	return append(env, kv)
}

// compile builds the programs for a platform.
func (b Builder) compile(ctx context.Context, p Project, platform v1.Platform, dir string) ([]Program, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	env, err := goPlatform(platform)
	if err != nil {
		return nil, err
	}
	args := []string{"build", "-trimpath", "-ldflags=" + b.LDFlags, "-o", dir + string(filepath.Separator)}
	for _, m := range p.Mains {
		args = append(args, m.Package)
	}
	if _, err := b.Loader.golang(ctx, p.Root, append(env, "CGO_ENABLED=0"), args...); err != nil {
		return nil, err
	}
	var programs []Program
	for _, m := range p.Mains {
		prog := Program{Main: m, file: filepath.Join(dir, m.Name)}
		if prog.Size, prog.SHA256, err = hashFile(prog.file); err != nil {
			return nil, err
		}
		if prog.Info, err = buildinfo.ReadFile(prog.file); err != nil {
			return nil, err
		}
		programs = append(programs, prog)
	}
	return programs, nil
}

// goPlatform are the variables of the go command for a platform of an image. Variants are those of
// https://github.com/opencontainers/image-spec/blob/main/image-index.md, "Platform Variants".
func goPlatform(p v1.Platform) ([]string, error) {
	env := []string{"GOOS=" + p.OS, "GOARCH=" + p.Architecture}
	bad := fmt.Errorf("%w: platform %q", ErrOption, p.String())
	if p.OS != "linux" || !plainArg.MatchString(p.Architecture) {
		return nil, bad
	}
	switch {
	case p.Variant == "":
	case p.Architecture == "arm" && slices.Contains([]string{"v5", "v6", "v7"}, p.Variant):
		env = append(env, "GOARM="+p.Variant[1:])
	case p.Architecture == "arm64" && p.Variant == "v8":
	case p.Architecture == "amd64" && slices.Contains([]string{"v1", "v2", "v3", "v4"}, p.Variant):
		env = append(env, "GOAMD64="+p.Variant)
	default:
		return nil, bad
	}
	return env, nil
}

// ParsePlatforms reads a list such as "linux/amd64,linux/arm/v7". The error matches ErrOption.
func ParsePlatforms(list string) ([]v1.Platform, error) {
	var platforms []v1.Platform
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		p, err := v1.ParsePlatform(s)
		if err != nil || p.OS == "" || p.Architecture == "" || path.Clean(s) != s {
			return nil, fmt.Errorf("%w: platform %q", ErrOption, s)
		}
		if _, err := goPlatform(*p); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(platforms, func(o v1.Platform) bool { return o.Equals(*p) }) {
			platforms = append(platforms, *p)
		}
	}
	if len(platforms) == 0 {
		return nil, fmt.Errorf("%w: no platform", ErrOption)
	}
	return platforms, nil
}

var errNoBase = errors.New("no image for this platform")
