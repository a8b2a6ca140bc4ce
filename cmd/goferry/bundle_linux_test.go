package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/bundle"
)

// fullDisk runs goferry in a mount namespace whose folder full is a file system of a few MiB.
const fullDisk = `mount -t tmpfs -o size=2m none "$0" || exit 99
"$@"
code=$?
mkdir -p "$0.left" && cp -r "$0/." "$0.left"
exit $code`

// TestBundleImportFull imports into a disk that is too small: that is said, with what helps, and what was imported before is whole.
func TestBundleImportFull(t *testing.T) {
	r := newRig(t)
	var modules []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		r.up.AddRandom("example.com/"+name, "v1.0.0", 500_000)
		modules = append(modules, "example.com/"+name+"@v1.0.0")
	}
	file, full := filepath.Join(r.work, "big.bundle"), filepath.Join(r.work, "full")
	bundleFrom(t, r, file, modules)
	r.up.Down()
	if err := os.Mkdir(full, 0o777); err != nil {
		t.Fatal(err)
	}
	goferry, err := exec.LookPath("goferry")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-m", "sh", "-c", fullDisk, full, goferry, "bundle", "import", "--cache", full, file}
	if os.Getuid() != 0 {
		args = append([]string{"-r"}, args...)
	}
	out, errs, code := finish(t, r.command("unshare", args...))
	if code != 1 || !strings.Contains(errs, "no space left in "+full+"; the files of "+file+" need 4.") || !strings.Contains(errs, "it takes the rest") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	n := sameAsBundle(t, b, full+".left")
	if n == 0 || n == 3*len(modules) {
		t.Errorf("%d files were imported", n)
	}
	r.must(t, "goferry", "bundle", "import", "--cache", full+".left", file)
	if n := sameAsBundle(t, b, full+".left"); n != 3*len(modules) {
		t.Errorf("%d files at the end", n)
	}
}
