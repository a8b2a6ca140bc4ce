package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A blob is a file of an OCI layout.
type blob struct {
	size int64
	open func() (io.ReadCloser, error)
}

// WriteTar writes the images as one tar that is both an OCI layout and what docker save writes
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md): docker load, podman load and skopeo read it. tag is the name that
// the image gets when it is loaded, such as "app:latest".
func (b Built) WriteTar(w io.Writer, tag string) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("%w: name %q", ErrOption, tag)
	}
	if !strings.HasSuffix(tag, ":"+ref.TagStr()) { // docker load refuses a name without
		tag += ":" + ref.TagStr()
	}
	blobs := map[string]blob{}
	if err := b.collect(blobs); err != nil {
		return err
	}
	index, docker, err := b.heads(ref, tag)
	if err != nil {
		return err
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index, "manifest.json": docker}
	t := tarOut{tar.NewWriter(w), b.time()}
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := t.put(dir, 0, nil); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(blobs))
	for n := range blobs {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if err := t.blob(n, blobs[n]); err != nil {
			return err
		}
	}
	for _, n := range []string{"index.json", "manifest.json", "oci-layout"} {
		if err := t.put(n, int64(len(files[n])), strings.NewReader(string(files[n]))); err != nil {
			return err
		}
	}
	return t.Close()
}

// heads are index.json of the layout, which leads to the index of all platforms, and docker's manifest.json, for
// engines that know one platform: the first.
func (b Built) heads(ref name.Tag, tag string) (index, docker []byte, err error) {
	size, err := b.Index.Size()
	if err != nil {
		return nil, nil, err
	}
	digest, err := b.Index.Digest()
	if err != nil {
		return nil, nil, err
	}
	index, err = json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIImageIndex, Size: size, Digest: digest,
		Annotations: map[string]string{"io.containerd.image.name": strings.Replace(ref.Name(), name.DefaultRegistry+"/", "docker.io/", 1), "org.opencontainers.image.ref.name": ref.TagStr()},
	}}})
	if err != nil {
		return nil, nil, err
	}
	m, err := b.Images[0].Image.Manifest()
	if err != nil {
		return nil, nil, err
	}
	layers := []string{}
	for _, l := range m.Layers {
		layers = append(layers, blobName(l.Digest))
	}
	docker, err = json.Marshal([]map[string]any{{"Config": blobName(m.Config.Digest), "RepoTags": []string{tag}, "Layers": layers}})
	return index, docker, err
}

// collect gathers every blob of the index.
func (b Built) collect(blobs map[string]blob) error {
	raw, err := b.Index.RawManifest()
	if err != nil {
		return err
	}
	digest, err := b.Index.Digest()
	if err != nil {
		return err
	}
	blobs[blobName(digest)] = bytesBlob(raw)
	m, err := b.Index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range m.Manifests {
		img, err := b.Index.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := collectImage(blobs, img, d.Digest); err != nil {
			return err
		}
	}
	return nil
}

func collectImage(blobs map[string]blob, img v1.Image, digest v1.Hash) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	blobs[blobName(digest)] = bytesBlob(raw)
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	named, err := img.ConfigName()
	if err != nil {
		return err
	}
	blobs[blobName(named)] = bytesBlob(config)
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return err
		}
		size, err := l.Size()
		if err != nil {
			return err
		}
		blobs[blobName(d)] = blob{size, l.Compressed}
	}
	return nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func bytesBlob(data []byte) blob {
	return blob{int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil }}
}

// Push writes all platforms and what is said of them to a registry, under ref. Passwords are those of docker login.
func (b Built) Push(ctx context.Context, ref string, rt http.RoundTripper) (digest string, err error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return "", fmt.Errorf("%w: name %q", ErrOption, ref)
	}
	if err := remote.WriteIndex(r, b.Index, remote.WithContext(ctx), remote.WithTransport(rt), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", fmt.Errorf("%s: %w", r.Context().RegistryStr(), err)
	}
	d, err := b.Index.Digest()
	return r.Context().Digest(d.String()).String(), err
}

// A tarOut writes a tar whose bytes follow from the names and contents.
type tarOut struct {
	*tar.Writer
	when v1.Time
}

func (t tarOut) put(file string, size int64, content io.Reader) error {
	h := &tar.Header{Name: file, Mode: 0o644, Size: size, ModTime: t.when.Time, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if content == nil {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	}
	if err := t.WriteHeader(h); err != nil || content == nil {
		return err
	}
	_, err := io.Copy(t, content)
	return err
}

func (t tarOut) blob(file string, b blob) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	return t.put(file, b.size, r)
}

// time is the one of the first image.
func (b Built) time() v1.Time {
	if cf, err := b.Images[0].Image.ConfigFile(); err == nil {
		return cf.Created
	}
	return v1.Time{}
}
