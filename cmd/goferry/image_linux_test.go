package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/goproxytest"
)

const imageApp = `
-- go.mod --
module example.com/app
go 1.21
-- main.go --
package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"example.com/hello"
)

func main() {
	_, zone := time.LoadLocation("Asia/Shanghai")
	pool, roots := x509.SystemCertPool()
	fmt.Println(hello.Word, zone, roots, len(pool.Subjects()) > 0, os.Getuid(), len(os.Args))
}
`

// imageRig has a project in two folders, and a world with one module.
func imageRig(t *testing.T) (r *rig, one, two string) {
	t.Helper()
	up := goproxytest.New(t)
	up.AddModule("example.com/hello", "v1.0.0", map[string]string{"go.mod": "module example.com/hello\ngo 1.21\n", "hello.go": "package hello\n\nconst Word = \"carried\"\n"})
	r = rigFor(t, up)
	one, two = filepath.Join(r.work, "one"), filepath.Join(r.work, "somewhere", "else")
	for _, dir := range []string{one, two} {
		for _, f := range txtar.Parse([]byte(imageApp)).Files {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		cmd := r.command("go", "mod", "tidy")
		cmd.Dir, cmd.Env = dir, r.environ("GOPROXY="+up.URL)
		if _, stderr, code := finish(t, cmd); code != 0 {
			t.Fatal(stderr)
		}
	}
	return r, one, two
}

// TestImageName wants a name that docker load takes and docker run finds, however short it was given.
func TestImageName(t *testing.T) {
	r, one, _ := imageRig(t)
	out := filepath.Join(r.work, "named.tar")
	if _, stderr, code := r.run(t, "goferry", "image", one, "-o", out, "--name", "app"); code != 0 {
		t.Fatal(stderr)
	}
	m, err := unpackLayout(t, out).IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Manifests[0].Annotations["io.containerd.image.name"]; got != "docker.io/library/app:latest" {
		t.Errorf("for containerd it is %q", got)
	}
	saved, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(out) })
	if err != nil || len(saved) != 1 || fmt.Sprint(saved[0].RepoTags) != "[app:latest]" {
		t.Errorf("manifest.json: %+v, %v", saved, err)
	}
	// skopeo reads it in both ways, by code of its own.
	for _, kind := range []string{"oci-archive:", "docker-archive:"} {
		text, err := exec.Command("skopeo", "inspect", "--config", kind+out).Output()
		var cf v1.ConfigFile
		if err == nil {
			err = json.Unmarshal(text, &cf)
		}
		if err != nil || cf.OS != "linux" || cf.Config.User != "65532:65532" || len(cf.RootFS.DiffIDs) != 2 {
			t.Errorf("skopeo, %s: %v %s", kind, err, text)
		}
	}
}

// TestImageBase builds on OCI layouts in tars, which have several platforms: one of this program, and one with nothing of docker's.
func TestImageBase(t *testing.T) {
	r, one, _ := imageRig(t)
	base, pure := filepath.Join(r.work, "base.tar"), filepath.Join(r.work, "pure.tar")
	const platforms = "linux/amd64,linux/arm64"
	if _, stderr, code := r.run(t, "goferry", "image", one, "-o", base, "--platform", platforms); code != 0 {
		t.Fatal(stderr)
	}
	if text, err := exec.Command("skopeo", "copy", "--insecure-policy", "--all", "oci-archive:"+base, "oci-archive:"+pure).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, from := range []string{base, pure} {
		stdout, stderr, code := r.run(t, "goferry", "image", one, "-o", filepath.Join(r.work, "on.tar"), "--platform", platforms, "--base", from, "--json")
		var report imageReport
		if code != 0 || json.Unmarshal([]byte(stdout), &report) != nil || len(report.Platforms) != 2 {
			t.Errorf("%s: exit code %d: %s", from, code, stderr)
		}
	}
}

// unpackLayers makes the root folder of an image.
func unpackLayers(t *testing.T, img v1.Image) string {
	t.Helper()
	root := t.TempDir()
	r := mutate.Extract(img)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(root, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(file, 0o777)
		} else if err = os.MkdirAll(filepath.Dir(file), 0o777); err == nil {
			var data []byte
			if data, err = io.ReadAll(tr); err == nil {
				err = os.WriteFile(file, data, os.FileMode(h.Mode))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestImage makes an image twice, in different folders, loads it in the two ways that engines do, and runs it.
func TestImage(t *testing.T) {
	t.Parallel()
	r, one, two := imageRig(t)
	tars := []string{filepath.Join(r.work, "a.tar"), filepath.Join(r.work, "b.tar")}
	var report imageReport
	for i, dir := range []string{one, two} {
		stdout, stderr, code := r.run(t, "goferry", "image", dir, "-o", tars[i], "--platform", "linux/amd64,linux/arm64,linux/arm/v7", "--name", "team/app:v1", "--json")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &report); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // the second one has no network
			r.vars["GOFERRY_OFFLINE"] = "true"
		}
	}
	a, err := os.ReadFile(tars[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(tars[1])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two builds differ")
	}

	// As docker load reads it.
	tag, err := name.NewTag("team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(tars[0], &tag)
	if err != nil {
		t.Fatal(err)
	}
	runImage(t, img)

	// As an OCI layout, all platforms, with what is said of them.
	idx := unpackLayout(t, tars[0])
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := idx.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if m.Manifests[0].Digest.String() != report.Digest {
		t.Errorf("the index is %s, not %s", m.Manifests[0].Digest, report.Digest)
	}
	checkIndex(t, inner)
}

func unpackLayout(t *testing.T, file string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return idx
}

// runImage runs the entry point in a root that has nothing but the image, and returns that.
func runImage(t *testing.T, img v1.Image) (root string) {
	t.Helper()
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	s := &stageRun{t: t, root: unpackLayers(t, img), dir: "/", user: cf.Config.User, env: cf.Config.Env}
	out, err := s.exec(false, false, cf.Config.Entrypoint...)
	if want := "carried <nil> <nil> true 65532 1\n"; err != nil || out != want {
		t.Errorf("%q says %q, %v, want %q", cf.Config.Entrypoint, out, err, want)
	}
	return s.root
}

// checkIndex wants three platforms, and an SBOM and a provenance for each that name its digest.
func checkIndex(t *testing.T, idx v1.ImageIndex) {
	t.Helper()
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, d := range m.Manifests[:3] {
		digests[d.Digest.String()] = d.Platform.String()
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil { // it knows no attestations
			t.Error(err)
		}
	}
	if got := fmt.Sprint(m.Manifests[0].Platform, m.Manifests[1].Platform, m.Manifests[2].Platform, len(m.Manifests)); got != "linux/amd64 linux/arm64 linux/arm/v7 6" {
		t.Errorf("platforms: %s", got)
	}
	for _, d := range m.Manifests[3:] {
		about := d.Annotations["vnd.docker.reference.digest"]
		if digests[about] == "" || d.Platform.OS != "unknown" {
			t.Errorf("%s: about %q", d.Digest, about)
		}
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 2 {
			t.Fatal(len(layers), err)
		}
		for i, kind := range []string{"https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"} {
			rc, err := layers[i].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			var s struct {
				PredicateType string
				Subject       []struct{ Digest map[string]string }
				Predicate     map[string]any
			}
			if err := json.NewDecoder(rc).Decode(&s); err != nil {
				t.Fatal(err)
			}
			if s.PredicateType != kind || "sha256:"+s.Subject[0].Digest["sha256"] != about {
				t.Errorf("statement %+v", s)
			}
			if text := fmt.Sprint(s.Predicate); !strings.Contains(text, "pkg:golang/example.com/hello@v1.0.0") {
				t.Errorf("%s does not name the module: %s", kind, text)
			}
		}
	}
}

// TestImagePush pushes to a registry, and builds on an image from a tar.
func TestImagePush(t *testing.T) {
	t.Parallel()
	r, one, _ := imageRig(t)
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	ref := strings.TrimPrefix(srv.URL, "http://") + "/team/app:v2"
	base := filepath.Join(r.work, "base.tar")
	writeBase(t, base)
	stdout, stderr, code := r.run(t, "goferry", "image", one, "--push", ref, "--base", base, "--label", "a=b", "--port", "8080")
	if code != 0 || !strings.Contains(stdout, "pushed: "+strings.TrimSuffix(ref, ":v2")+"@sha256:") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := idx.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if len(cf.RootFS.DiffIDs) != 3 || cf.Config.Env[0] != "BASE=1" || cf.Config.Labels["a"] != "b" || len(cf.Config.ExposedPorts) != 1 {
		t.Errorf("config %+v", cf.Config)
	}
	root := runImage(t, img)
	if data, err := os.ReadFile(filepath.Join(root, "etc", "base")); err != nil || string(data) != "base\n" {
		t.Errorf("the base is lost: %q %v", data, err)
	}
}

// writeBase writes an image as docker save does.
func writeBase(t *testing.T, file string) {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Name: "etc/base", Mode: 0o644, Size: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write([]byte("base\n")); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: v1.Config{Env: []string{"BASE=1"}}, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{diffID(t, layer)}}}); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("base:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		t.Fatal(err)
	}
}

func diffID(t *testing.T, l v1.Layer) v1.Hash {
	t.Helper()
	h, err := l.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestImageFaults wants words for what goes wrong, and nothing written.
func TestImageFaults(t *testing.T) {
	t.Parallel()
	r, one, _ := imageRig(t)
	out := filepath.Join(r.work, "out.tar")
	cgo := filepath.Join(r.work, "cgo")
	for file, text := range map[string]string{
		"go.mod": "module example.com/cgo\n\ngo 1.21\n", "main.go": "package main\n\n// int one(void) { return 1; }\nimport \"C\"\n\nfunc main() { println(C.one()) }\n",
	} {
		if err := os.MkdirAll(cgo, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cgo, file), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	garbage := filepath.Join(r.work, "garbage.tar")
	if err := os.WriteFile(garbage, []byte("no tar"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{one}, 2, "say where the image goes"},
		{[]string{one, "-o", out, "--platform", "plan9/amd64"}, 2, "plan9/amd64"},
		{[]string{one, "-o", out, "--platform", "linux/amd64/v9"}, 2, "linux/amd64/v9"},
		{[]string{one, "-o", out, "--base", garbage}, 2, "garbage.tar"},
		{[]string{one, "-o", out, "--base", filepath.Join(r.work, "absent")}, 2, "absent"},
		{[]string{one, "-o", out, "--port", "0"}, 2, "port 0"},
		{[]string{one, "-o", out, "--ca", filepath.Join(r.work, "absent")}, 2, "absent"},
		{[]string{one, "-o", out, "--name", "No Name"}, 2, "No Name"},
		{[]string{cgo, "-o", out}, 1, "cgo is needed by example.com/cgo"},
		{[]string{filepath.Join(r.work, "nothing"), "-o", out}, 2, "there is no folder"},
		{[]string{one, "-o", out, "--ca", "none", "--platform", "linux/amd64,windows/amd64"}, 2, "windows/amd64"},
		{[]string{one, "-o", filepath.Join(r.work, "no", "such", "folder.tar")}, 1, "folder.tar"},
		{[]string{one, "--push", "127.0.0.1:1/app"}, 1, "127.0.0.1:1"},
	} {
		_, stderr, code := r.run(t, "goferry", append([]string{"image"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "hint: ") && code == 2 {
			t.Errorf("%q: exit code %d, %s", c.args, code, stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q wrote an image", c.args)
		}
	}
	if left, err := filepath.Glob(filepath.Join(r.work, ".out*")); err != nil || left != nil {
		t.Errorf("left behind: %q %v", left, err)
	}
}
