package cgo

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/gocmd"
)

// buildModule writes a module with files, in the form of txtar, into a new folder.
func buildModule(t *testing.T, files string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte("-- go.mod --\nmodule example.com/app\n\ngo 1.21\n" + files)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func testBuilder() *Builder {
	r := &gocmd.Runner{}
	return &Builder{Runner: r, Finder: &Finder{Runner: r, Env: os.Getenv}, Env: []string{"GOFLAGS=-buildvcs=false", "GOPROXY=off", "GOTOOLCHAIN=local", "GOENV=off"}}
}

// here is the target of this machine.
func here() Target { return Target{OS: runtime.GOOS, Arch: runtime.GOARCH} }

const plainApp = "-- main.go --\npackage main\n\nfunc main() { println(\"here\") }\n-- LICENSE --\nfree\n-- other.txt --\nnot packed\n"

// read returns the contents of the files below dir, by name.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestBuild builds for two targets, one of which cannot be built, from two folders: all that is left is listed with its
// hash, is the same for both folders, and starts.
func TestBuild(t *testing.T) {
	none := Target{OS: "linux", Arch: "s390x"} // excluded by the file's name
	if runtime.GOARCH == none.Arch {
		none.Arch = "ppc64le"
	}
	const app = "-- only/main_" + runtime.GOARCH + ".go --\npackage main\n\nfunc main() { println(\"here\") }\n-- LICENSE --\nfree\n-- other.txt --\nnot packed\n"
	var trees [2]map[string]string
	for i := range trees {
		dir, out := buildModule(t, app), filepath.Join(t.TempDir(), "a", "b")
		rep, err := testBuilder().Build(t.Context(), BuildOptions{Dir: dir, Packages: []string{"./only"}, Targets: []Target{here(), none}, Cgo: CgoOff, Out: out, Archive: true, Run: true})
		if err != nil {
			t.Fatal(err)
		}
		if ok, bad := rep.Targets[0], rep.Targets[1]; ok.Status != BuildOK || len(ok.Outputs) != 1 || bad.Status != BuildFailed || bad.Failure.Code != FailConstraints {
			t.Fatalf("%+v %+v %+v", ok, bad, bad.Failure)
		}
		o := rep.Targets[0].Outputs[0]
		if o.Package != "example.com/app/only" || o.BuildInfo == nil || !slices.Contains(o.RunsOn, "Alpine 3.5+") && runtime.GOOS == "linux" && len(o.RunsOn) == 0 {
			t.Errorf("%+v", o)
		}
		trees[i] = readTree(t, out)
	}
	if diff := cmp.Diff(trees[0], trees[1]); diff != "" {
		t.Errorf("not the same bytes from another folder:\n%.2000s", diff)
	}
	name := targetDir(here())
	want := []string{"SHA256SUMS", name + "/only", "manifest.json", "only-" + name + ".tar.gz"}
	if runtime.GOOS != "windows" {
		var got []string
		for f := range trees[0] {
			got = append(got, f)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
	for line := range strings.Lines(trees[0]["SHA256SUMS"]) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(trees[0][file]))); got != sum || trees[0][file] == "" {
			t.Errorf("%s has the hash %s, not %s", file, got, sum)
		}
	}
	var m Manifest
	if err := json.Unmarshal([]byte(trees[0]["manifest.json"]), &m); err != nil || len(m.Targets) != 1 || m.Targets[0].Outputs[0].BuildInfo.Path != "example.com/app/only" {
		t.Errorf("manifest: %v, %+v", err, m)
	}
}

// TestBuildCancelled ends a build in the middle: nothing is left, not even the folder.
func TestBuildCancelled(t *testing.T) {
	dir, out := buildModule(t, plainApp), filepath.Join(t.TempDir(), "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	b := testBuilder()
	b.Progress = func(p BuildProgress) {
		if p.Finished != nil {
			once.Do(cancel) // one target is built, the others run
		}
	}
	targets := []Target{here(), {OS: "linux", Arch: "mips"}, {OS: "linux", Arch: "mips64"}}
	_, err := b.Build(ctx, BuildOptions{Dir: dir, Packages: []string{"."}, Targets: targets, Cgo: CgoOff, Out: out, Jobs: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Dir(out)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}

// TestBuildInGit builds into a folder of the checkout: Git does not see it, since the go command writes into the program
// whether something is not committed.
func TestBuildInGit(t *testing.T) {
	dir := buildModule(t, plainApp)
	r := &gocmd.Runner{}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "x"}} {
		if res, err := r.Run(t.Context(), gocmd.Cmd{Name: "git", Args: args, Dir: dir}); err != nil || res.ExitCode != 0 {
			t.Fatalf("git %v: %v %s", args, err, res.Stderr)
		}
	}
	b := testBuilder()
	b.Env = append(b.Env, "GOFLAGS=-buildvcs=true")
	for range 2 {
		rep, err := b.Build(t.Context(), BuildOptions{Dir: dir, Targets: []Target{here()}, Out: filepath.Join(dir, "dist"), Cgo: CgoOff})
		if err != nil || len(rep.Targets[0].Outputs) != 1 {
			t.Fatalf("%v %+v", err, rep.Targets)
		}
		if vcs := rep.Targets[0].Outputs[0].BuildInfo.Settings; vcs["vcs.modified"] != "false" {
			t.Errorf("settings %v", vcs)
		}
	}
}

// TestBuildFailures wants the code of what people get wrong.
func TestBuildFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	need, err := binary.ParseRequirement("size<=1KB")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, files, code string
		o                 BuildOptions
	}{
		{name: "no project", code: FailNoProject},
		{name: "out below a file", files: plainApp, code: FailOut, o: BuildOptions{Out: filepath.Join(file, "out")}},
		{name: "no program", files: "-- a.go --\npackage a\n", code: FailNoMain},
		{name: "no package", files: plainApp, code: FailPackages, o: BuildOptions{Packages: []string{"./nothing"}}},
		{name: "one name", files: "-- a/x/m.go --\npackage main\nfunc main() {}\n-- b/x/m.go --\npackage main\nfunc main() {}\n", code: FailSameName, o: BuildOptions{Packages: []string{"./..."}}},
		{name: "Go code", files: "-- m.go --\npackage main\nfunc main() { nonsense() }\n", code: FailGo},
		{name: "module", files: "-- m.go --\npackage main\nimport _ \"example.com/nowhere\"\nfunc main() {}\n", code: FailModules},
		{name: "needs cgo", files: "-- m.go --\npackage main\nimport \"C\"\nfunc main() {}\n", code: FailCgoOff},
		{name: "promise", files: plainApp, o: BuildOptions{Require: []binary.Requirement{need}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := test.o
			o.Cgo, o.Targets = CgoOff, []Target{here()}
			if o.Dir = t.TempDir(); test.files != "" {
				o.Dir = buildModule(t, test.files)
			}
			if o.Out == "" {
				o.Out = filepath.Join(t.TempDir(), "out")
			}
			rep, err := testBuilder().Build(t.Context(), o)
			var failure *BuildFailure
			if !errors.As(err, &failure) && err == nil {
				failure = rep.Targets[0].Failure
			}
			switch {
			case test.code == "" && (failure != nil || rep.Targets[0].Status != BuildBroken || rep.Targets[0].Outputs[0].Unmet()[0].Requirement != "size<=1kb"):
				t.Errorf("%v, %+v, %+v", err, failure, rep.Targets[0])
			case test.code != "" && (failure == nil || failure.Code != test.code):
				t.Errorf("error %v, failure %+v, want %s", err, failure, test.code)
			}
			if _, err := os.Stat(o.Out); test.code != "" && err == nil {
				t.Error("the folder for outputs is left")
			}
		})
	}
}

// TestArchives wants the same bytes of the same files, without times and owners.
func TestArchives(t *testing.T) {
	dir := buildModule(t, plainApp+"-- README.md --\nread\n")
	program := filepath.Join(dir, "app")
	if err := os.WriteFile(program, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, goos := range []string{"linux", "windows"} {
		var first []byte
		for i := range 2 {
			r := &buildRun{scratch: t.TempDir(), root: dir, o: BuildOptions{Time: time.Unix(1e9, 0)}}
			res := &BuildResult{target: Target{OS: goos, Arch: "amd64"}, Outputs: []BuildOutput{{path: program}}, load: &buildLoad{}}
			if err := r.archive(res); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(r.scratch, res.Archive.File))
			if err != nil || int64(len(data)) != res.Archive.Size || fmt.Sprintf("%x", sha256.Sum256(data)) != res.Archive.SHA256 {
				t.Fatalf("%v: %d bytes, %+v", err, len(data), res.Archive)
			}
			if i == 1 && !bytes.Equal(first, data) {
				t.Error("other bytes the second time")
			}
			first = data
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(program, later, later); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"app-" + goos + "-amd64/LICENSE -rw-r--r-- free\n", "app-" + goos + "-amd64/README.md -rw-r--r-- read\n", "app-" + goos + "-amd64/app -rwxr-xr-x program"}
		if diff := cmp.Diff(want, unpacked(t, goos, first)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", goos, diff)
		}
	}
}

// unpacked lists what is in an archive.
func unpacked(t *testing.T, goos string, data []byte) (list []string) {
	t.Helper()
	add := func(name string, mode os.FileMode, when time.Time, r io.Reader) {
		body, err := io.ReadAll(r)
		if err != nil || when.Unix() != 1e9 {
			t.Errorf("%s: %v, time %v", name, err, when)
		}
		list = append(list, fmt.Sprintf("%s %v %s", name, mode, body))
	}
	if goos == "windows" {
		zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range zr.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			add(f.Name, f.Mode(), f.Modified, r)
			r.Close()
		}
		return list
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		if h.Uname != "" || h.Uid != 0 {
			t.Errorf("%s belongs to %q, %d", h.Name, h.Uname, h.Uid)
		}
		add(h.Name, h.FileInfo().Mode(), h.ModTime, tr)
	}
}

func TestLDFlags(t *testing.T) {
	static := []string{"-linkmode=external", "-extldflags=-static"}
	for _, test := range []struct {
		ours       []string
		user, want string
	}{
		{nil, "", ""},
		{nil, "-s -w", "-s -w"},
		{static, "", "-linkmode=external -extldflags=-static"},
		{static, "-s -w", "-linkmode=external -extldflags=-static -s -w"},
		{static, "-X 'main.v=a b' -s", "-linkmode=external -extldflags=-static -X 'main.v=a b' -s"},
		{static, "-X 'main.v=a b' -extldflags '-lm -lz'", "-linkmode=external '-extldflags=-static -lm -lz' -X 'main.v=a b'"},
		{static, `--extldflags=-lm`, "-linkmode=external '-extldflags=-static -lm'"},
		{[]string{"-s"}, `-extldflags=-lm`, "-s -extldflags=-lm"},
	} {
		if got := ldflags(test.ours, test.user); got != test.want {
			t.Errorf("%q and %q: %q, want %q", test.ours, test.user, got, test.want)
		}
	}
	flags := readGoflags(`-mod=mod --tags=a,b "-ldflags=-s -w" -trimpath`)
	if diff := cmp.Diff(buildFlags{tags: []string{"a", "b"}, ldflags: "-s -w"}, flags, cmp.AllowUnexported(buildFlags{})); diff != "" {
		t.Error(diff)
	}
}

func TestProgramName(t *testing.T) {
	for path, want := range map[string]string{"example.com/app": "app", "example.com/app/v2": "app", "example.com/app/v10": "app", "example.com/app/v1": "v1", "v2": "v2", "command-line-arguments": "command-line-arguments"} {
		if got := programName(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestBuildQueue never takes two targets of one system and architecture while there are others.
func TestBuildQueue(t *testing.T) {
	r := &buildRun{Builder: &Builder{}}
	for _, name := range []string{"linux/amd64", "linux/amd64/musl", "linux/arm64", "windows/amd64"} {
		parts := strings.Split(name, "/")
		r.queue = append(r.queue, &BuildResult{Target: name, target: Target{OS: parts[0], Arch: parts[1], Libc: strings.Join(parts[2:], "")}})
	}
	a, b := r.next(), r.next()
	r.tell(a)
	c, d := r.next(), r.next()
	if got := strings.Join([]string{a.Target, b.Target, c.Target, d.Target}, " "); got != "linux/amd64 linux/arm64 linux/amd64/musl windows/amd64" {
		t.Error(got)
	}
	if r.next() != nil {
		t.Error("more targets than there are")
	}
}
