package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/toolchain"
)

// A killRig is a rig whose upstream has a toolchain of many files.
type killRig struct {
	*rig
	target toolchain.Target
	home   toolchain.Home
	files  map[string]string // of the tree
}

func newKillRig(t *testing.T) *killRig {
	t.Helper()
	r := &killRig{rig: newRig(t), target: sdkTarget(must{t}, "go1.98.0")}
	r.vars["GOFERRY_SDK_SOURCES"] = "off"
	r.home = toolchain.Home{Dir: filepath.Join(r.work, "home", ".goferry")}
	files := sdkFiles(must{t}, r.target, 500_000)
	for n := range 600 {
		files[fmt.Sprintf("src/p%d/f%d.go", n%40, n)] = fmt.Sprintf("package p%d // %d\n", n%40, n)
	}
	m := r.target.Module()
	r.up.AddModule(m.Path, m.Version, files)
	r.files = maps.Clone(files)
	r.files["src/go.mod"] = r.files["src/_go.mod"]
	delete(r.files, "src/_go.mod")
	return r
}

// killWhen starts goferry and kills it as soon as something is so.
func (r *killRig) killWhen(t *testing.T, so func() bool, args ...string) {
	t.Helper()
	cmd := r.command("goferry", args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for over := false; !over && !so(); {
		select {
		case <-ended:
			over = true
		case <-late:
			t.Error("it never came so far")
			over = true
		case <-tick.C:
		}
	}
	_ = cmd.Process.Kill() // an error means that it has ended
	<-ended
}

// half lists what is there of trees that are not in their place.
func (r *killRig) half(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(r.home.SDKs(), ".tmp-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tree reads the installed tree; nil if there is none.
func (r *killRig) tree(t *testing.T) map[string]string {
	t.Helper()
	root := r.home.Root(r.target)
	if _, err := os.Lstat(root); err != nil {
		return nil
	}
	tree := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(root, name)
		tree[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// absent checks that nothing says that the toolchain is installed.
func (r *killRig) absent(t *testing.T) {
	t.Helper()
	for _, name := range []string{r.home.Root(r.target), r.home.Default(), filepath.Join(r.home.Bin(), "go1.98.0")} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if out, _ := r.must(t, "goferry", "sdk", "list", "--json"); !strings.Contains(out, `"installed": []`) {
		t.Errorf("sdk list says %s", out)
	}
}

// heals checks that the same command once more leads to the whole tree, with its record and links, and to nothing else.
func (r *killRig) heals(t *testing.T) sdkInstalled {
	t.Helper()
	out, _ := r.must(t, "goferry", "sdk", "install", "1.98.0", "--json")
	var list []sdkInstalled
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || !toolchain.ProvedBy(list[0].Proofs) {
		t.Fatalf("sdk install says %v: %s", err, out)
	}
	if diff := gocmp.Diff(r.files, r.tree(t)); diff != "" {
		t.Error(diff)
	}
	left, err := filepath.Glob(filepath.Join(r.home.Parts(), "*"))
	if left = append(left, r.half(t)...); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if out, _ := r.must(t, toolchain.Program(r.home.Default()), "version"); !strings.Contains(out, "go1.98.0") {
		t.Errorf("the default says %s", out)
	}
	return list[0]
}

// TestInstallKilledInEachStage kills goferry sdk install while it downloads, while it unpacks, and while it puts the tree
// in the place of another. There is a whole tree or none then, and the same command heals what is left.
func TestInstallKilledInEachStage(t *testing.T) {
	r := newKillRig(t)
	again := func(what string, try func() (hit bool)) { // a quick machine may be done before the kill
		t.Helper()
		for n := range 20 {
			if try() || t.Failed() {
				t.Logf("kill %d met %s", n+1, what)
				return
			}
		}
		t.Fatalf("no kill met %s", what)
	}

	up := r.vars["GOFERRY_UPSTREAM"]
	r.vars["GOFERRY_UPSTREAM"] = r.up.Proxy("only/zip/stall/60%")
	part := filepath.Join(r.home.Parts(), r.target.Module().Version+".zip.part")
	r.killWhen(t, func() bool {
		record, err := os.ReadFile(part + ".json")
		return err == nil && strings.Contains(string(record), "places")
	}, "sdk", "install", "1.98.0")
	r.absent(t)
	r.vars["GOFERRY_UPSTREAM"] = up
	if got := r.heals(t); got.There || got.Resumed == 0 {
		t.Errorf("after the kill amid the download: there %v, %d bytes resumed", got.There, got.Resumed)
	}

	again("the unpacking", func() bool {
		if err := os.RemoveAll(r.home.Dir); err != nil {
			t.Fatal(err)
		}
		r.killWhen(t, func() bool {
			files, err := filepath.Glob(filepath.Join(r.home.SDKs(), ".tmp-*", "src", "p1", "*.go"))
			return err == nil && len(files) > 0
		}, "sdk", "install", "1.98.0")
		if r.tree(t) != nil {
			return false
		}
		if len(r.half(t)) != 1 {
			t.Errorf("half trees: %v", r.half(t))
		}
		r.absent(t)
		return true
	})
	if got := r.heals(t); got.There {
		t.Error("after the kill amid the unpacking: it was there")
	}

	again("the putting in place", func() bool {
		before, err := os.Stat(r.home.Root(r.target))
		if err != nil {
			t.Fatal(err)
		}
		r.killWhen(t, func() bool {
			now, err := os.Stat(r.home.Root(r.target))
			return err != nil || !os.SameFile(before, now)
		}, "sdk", "install", "1.98.0", "--force")
		hit := len(r.half(t)) > 0
		if tree := r.tree(t); tree != nil {
			if diff := gocmp.Diff(r.files, tree); diff != "" {
				t.Error(diff)
			}
		} else if !hit {
			t.Error("there is neither a tree nor what it was")
		}
		r.heals(t)
		return hit
	})
}
