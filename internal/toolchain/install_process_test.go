package toolchain

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// instVar tells a helper process what to do: JSON of an instRole.
const instVar = "GOFERRY_TEST_INSTALL"

type instRole struct {
	Dir, URL, H1 string
	Limit        int // of the size of files, in bytes; 0 for none
}

// TestInstallProcess is the helper process; by itself it tests nothing.
func TestInstallProcess(t *testing.T) {
	var role instRole
	if json.Unmarshal([]byte(os.Getenv(instVar)), &role) != nil {
		return
	}
	if role.Limit > 0 {
		if err := instLimit(role.Limit); err != nil {
			t.Fatal(err)
		}
	}
	i := instInstaller(role.Dir, map[Target]string{instTarget: role.H1}, Place{Name: "there", URL: role.URL, Kind: Modules})
	i.Parallel = 2
	_, _, err := i.Install(t.Context(), instTarget)
	fmt.Printf("installed %v full %v: %v\n", err == nil, errors.Is(err, ErrDiskFull), err)
}

func instStart(t *testing.T, role instRole) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	arg, err := json.Marshal(role)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInstallProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), instVar+"="+string(arg))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestInstallKilled kills a process that installs, again and again, at random moments. After each kill the tree is whole or
// absent; at the end two processes at once install it, and nothing of the others is left.
func TestInstallKilled(t *testing.T) {
	const kills = 24
	var more []string
	for n := range 500 {
		more = append(more, fmt.Sprintf("src/more%d/file%d.go", n%20, n))
	}
	r := newInstRelease(t, instTarget, more...)
	p := newInstPlace(t, Modules, map[string][]byte{r.moduleFile: r.module})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	i := newInstaller(t, map[Target]string{instTarget: r.h1})
	role := instRole{Dir: i.Home.Dir, URL: p.URL, H1: r.h1}
	leftovers, whole := 0, 0
	for n := range kills {
		cmd, out := instStart(t, role)
		files := random.IntN(len(r.tree) + 20) // more than there are: when it is done
		for instTempFiles(i.Home) < files {
			if _, err := os.Stat(i.Home.Root(instTarget)); err == nil {
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		for out.Scan() {
		}
		_ = cmd.Wait()
		if instTempFiles(i.Home) > 0 {
			leftovers++
		}
		if _, err := os.Stat(i.Home.Root(instTarget)); err != nil {
			continue
		}
		whole++
		if diff := gocmp.Diff(r.tree, instTree(t, i.Home.Root(instTarget))); diff != "" {
			t.Fatalf("kill %d: half a tree: %s", n, diff)
		}
		if _, err := i.Home.Record(instTarget); err != nil {
			t.Errorf("kill %d: %v", n, err)
		}
		if err := os.RemoveAll(i.Home.Root(instTarget)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d leftovers, %d whole", kills, leftovers, whole)
	if leftovers < kills/4 {
		t.Errorf("%d kills met %d half trees: the test has lost its teeth", kills, leftovers)
	}
	p.asked.Store(0)
	cmdA, outA := instStart(t, role)
	cmdB, outB := instStart(t, role)
	for _, out := range []*bufio.Scanner{outA, outB} {
		out.Scan()
		if !strings.HasPrefix(out.Text(), "installed true") {
			t.Error(out.Text())
		}
		for out.Scan() {
		}
	}
	if err := errors.Join(cmdA.Wait(), cmdB.Wait()); err != nil {
		t.Error(err)
	}
	if p.asked.Load() > 1 {
		t.Errorf("two processes made %d requests", p.asked.Load())
	}
	wantInstalled(t, i, instTarget, r)
}

// instTempFiles counts the files in trees that are not finished.
func instTempFiles(h Home) int {
	dirs, _ := filepath.Glob(filepath.Join(h.SDKs(), tempPrefix(instTarget)+"*"))
	n := 0
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return nil
		})
	}
	return n
}
