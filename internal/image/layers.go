package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A BaseError says that a base image cannot be used.
type BaseError struct {
	File string
	Err  error
}

// Error names the file.
func (e *BaseError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *BaseError) Unwrap() error { return e.Err }

// base is what a platform's image is built on. An OCI layout in a tar is unpacked beside dir.
func (b Builder) base(platform v1.Platform, dir string) (v1.Image, error) {
	if b.Base == "" {
		return mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), nil
	}
	info, err := os.Stat(b.Base)
	if err != nil {
		return nil, &BaseError{b.Base, err}
	}
	var img v1.Image
	if info.IsDir() {
		img, err = layoutImage(b.Base, platform)
	} else {
		img, err = tarImage(b.Base, platform, dir+".base")
	}
	if err != nil {
		return nil, &BaseError{b.Base, err}
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, &BaseError{b.Base, err}
	}
	if cf.OS != platform.OS || cf.Architecture != platform.Architecture {
		return nil, &BaseError{b.Base, fmt.Errorf("%w: it is for %s/%s", errNoBase, cf.OS, cf.Architecture)}
	}
	return mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON), nil
}

// tarImage finds the image of a platform in a tar: what docker save writes, an OCI layout, or, as newer engines and this
// package write it, both, of which only the layout can have several platforms.
func tarImage(file string, platform v1.Platform, scratch string) (v1.Image, error) {
	img, err := tarball.ImageFromPath(file, nil)
	if err == nil {
		if cf, err := img.ConfigFile(); err == nil && cf.OS == platform.OS && cf.Architecture == platform.Architecture && (platform.Variant == "" || cf.Variant == platform.Variant) {
			return img, nil
		}
	}
	if unpackLayout(file, scratch) == nil {
		if inner, bad := layoutImage(scratch, platform); bad == nil {
			return inner, nil
		}
	}
	return img, err
}

// unpackLayout writes the files of an OCI layout in a tar to dir, and nothing else that is in it.
func unpackLayout(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, d := range []string{"sha256", "sha512"} {
		if err := os.MkdirAll(filepath.Join(dir, "blobs", d), 0o777); err != nil {
			return err
		}
	}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if name := path.Clean(h.Name); h.Typeflag == tar.TypeReg && layoutFile.MatchString(name) {
			if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), tr); err != nil {
				return err
			}
		}
	}
}

// layoutFile matches the files of an OCI layout.
var layoutFile = regexp.MustCompile(`^(oci-layout|index\.json|blobs/(sha256|sha512)/[0-9a-f]+)$`)

func writeFile(name string, content io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// layoutImage finds the image of a platform in an OCI layout.
func layoutImage(dir string, platform v1.Platform) (v1.Image, error) {
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	return fromIndex(idx, platform, 0)
}

func fromIndex(idx v1.ImageIndex, platform v1.Platform, depth int) (v1.Image, error) {
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsIndex() && depth < 4:
			inner, err := idx.ImageIndex(d.Digest)
			if err != nil {
				continue // docker save leaves out what it does not have
			}
			if img, err := fromIndex(inner, platform, depth+1); err == nil {
				return img, nil
			}
		case d.MediaType.IsImage():
			img, err := idx.Image(d.Digest)
			if err != nil {
				continue
			}
			if cf, err := img.ConfigFile(); err == nil && cf.OS == platform.OS && cf.Architecture == platform.Architecture && (platform.Variant == "" || cf.Variant == platform.Variant) {
				return img, nil
			}
		}
	}
	return nil, errNoBase
}

// An item is a file or a folder of a layer.
type item struct {
	name string // ends with a slash for a folder
	mode int64
	data []byte
	file string // where the content is, instead of data
}

// rootLayer has what every program wants from a system; its file stands beside dir.
func (b Builder) rootLayer(ctx context.Context, dir string) (v1.Layer, error) {
	out, err := b.Loader.golang(ctx, b.Dir, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	zones := filepath.Join(strings.TrimSpace(string(out)), "lib", "time", "zoneinfo.zip")
	items := []item{
		{name: "app/", mode: 0o755},
		{name: "app/.zoneinfo.zip", mode: 0o444, file: zones},
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, data: []byte("root:x:0:\napp:x:65532:\n")},
		{name: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/:/sbin/nologin\napp:x:65532:65532:app:/:/sbin/nologin\n")},
	}
	if b.Base != "" { // it has users of its own
		items = items[:2]
	}
	if b.CA != "" {
		items = append(items, item{name: "etc/ssl/", mode: 0o755}, item{name: "etc/ssl/certs/", mode: 0o755}, item{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o444, file: b.CA})
	}
	return b.layer(dir+".root.tar.gz", append(items, item{name: "tmp/", mode: 0o1777}))
}

// appLayer has the programs.
func (b Builder) appLayer(programs []Program, dir string) (v1.Layer, error) {
	items := []item{{name: "app/", mode: 0o755}}
	for _, p := range programs {
		items = append(items, item{name: "app/" + p.Name, mode: 0o555, file: p.file})
	}
	return b.layer(dir+".app.tar.gz", items)
}

// layer makes a layer whose bytes follow from its items alone, in the file named: programs are large, and there may be many platforms.
func (b Builder) layer(file string, items []item) (v1.Layer, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	z := gzip.NewWriter(f)
	if err := errors.Join(b.writeTar(z, items), z.Close(), f.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(file, tarball.WithMediaType(types.OCILayer))
}

func (b Builder) writeTar(w io.Writer, items []item) error {
	tw := tar.NewWriter(w)
	for _, it := range items {
		if err := b.writeItem(tw, it); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (b Builder) writeItem(tw *tar.Writer, it item) error {
	h := &tar.Header{Name: it.name, Mode: it.mode, ModTime: b.when(), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	content := io.Reader(bytes.NewReader(it.data))
	h.Size = int64(len(it.data))
	switch {
	case strings.HasSuffix(it.name, "/"):
		h.Typeflag = tar.TypeDir
	case it.file != "":
		f, err := os.Open(it.file)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Size, content = info.Size(), f
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	_, err := io.Copy(tw, content)
	return err
}

// hashFile is the size and the SHA-256, in hex, of a file.
func hashFile(name string) (n int64, sum string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}
