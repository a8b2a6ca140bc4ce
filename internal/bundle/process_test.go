package bundle_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/bundle"
)

// The tests run this binary as another process that makes a bundle; its role says how.
const (
	roleVar  = "GOFERRY_BUNDLE_TEST_ROLE"
	fileVar  = "GOFERRY_BUNDLE_TEST_FILE"
	splitVar = "GOFERRY_BUNDLE_TEST_SPLIT"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	run := systemRole(role)
	if role == "create" {
		run = createOnce
	}
	if run == nil {
		log.Fatalf("no such role: %s", role)
	}
	if err := run(os.Getenv(fileVar)); err != nil {
		log.Fatalf("%s: %v", role, err)
	}
	fmt.Println("ok")
}

func child(t *testing.T, role, file string, split int64) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, fileVar+"="+file, fmt.Sprintf("%s=%d", splitVar, split))
	cmd.Stderr = os.Stderr
	return cmd
}

// killPlan is what the process that is killed makes.
func killPlan() bundle.Plan { return samplePlan(8, 3<<19) }

// createOnce makes the bundle, and says how much of it was there.
func createOnce(file string) error {
	var o bundle.CreateOptions
	if _, err := fmt.Sscan(os.Getenv(splitVar), &o.Split); err != nil {
		return err
	}
	p := killPlan()
	fmt.Println("begin")
	got, err := bundle.Create(context.Background(), file, p, o)
	if err != nil {
		return err
	}
	fmt.Println("reused", got.Reused)
	return nil
}

// TestKill kills a process that makes a bundle, at 100 random moments. What it leaves is the beginning of the bundle, the
// next run takes all of it, and the bundle that comes out is the same to the byte.
func TestKill(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 25
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	want := read(t, create(t, killPlan(), bundle.CreateOptions{}))
	killed, whole, resumed := 0, 0, 0
	// Kills come within a window that is about as long as a run takes here.
	_, window, ok := runKilled(t, child(t, "create", filepath.Join(t.TempDir(), "x.bundle"), 0), time.Hour)
	if !ok {
		t.Fatal("killed")
	}
	for killed < kills {
		file := filepath.Join(t.TempDir(), "x.bundle")
		split := []int64{0, 1 << 20}[whole%2]
		for done := false; !done; {
			there := left(t, file, split, want)
			out, took, ok := runKilled(t, child(t, "create", file, split), time.Duration(rnd.Int64N(int64(window))))
			if done = ok; !ok {
				killed++
				window += window / 8 // or none gets to its end
				continue
			}
			window = max(took*3/2, time.Millisecond)
			var reused int64
			if _, err := fmt.Sscanf(out, "reused %d", &reused); err != nil || reused != there {
				t.Fatalf("the process said %q; %d bytes were there", out, there)
			}
			if there > 0 {
				resumed++
			}
		}
		whole++
		var all []byte
		r := open(t, file)
		for _, name := range r.Files() {
			all = append(all, read(t, name)...)
		}
		r.Close()
		if !bytes.Equal(all, want) {
			t.Fatal("other bytes")
		}
		for _, name := range names(t, filepath.Dir(file)) {
			if strings.HasSuffix(name, ".partial") {
				t.Errorf("left behind: %s", name)
			}
		}
	}
	t.Logf("%d kills for %d bundles; %d of them went on from what was there", killed, whole, resumed)
	if resumed < kills/10 || whole < 2 {
		t.Error("the test has lost its teeth")
	}
}

// runKilled runs cmd and kills it a while after it has begun. It reports whether it was quicker, what it
// said, and how long it took.
func runKilled(t *testing.T, cmd *exec.Cmd, after time.Duration) (string, time.Duration, bool) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, len("begin\n"))
	if _, err := io.ReadFull(out, begin); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() }) // the moment of the kill
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	timer.Stop()
	took := time.Since(begun)
	err = cmd.Wait()
	if !strings.HasSuffix(string(rest), "ok\n") || err != nil {
		if cmd.ProcessState.Exited() {
			t.Fatalf("the process failed by itself: %q, %v", rest, err)
		}
		return "", 0, false
	}
	return string(rest), took, true
}

// left returns how many bytes of the bundle are there, and fails if they are not its bytes.
func left(t *testing.T, file string, split int64, want []byte) int64 {
	t.Helper()
	there := func(name string, want []byte) int64 {
		for _, n := range []string{name + ".partial", name} {
			b, err := os.ReadFile(n)
			if err == nil && len(b) > 0 {
				if len(b) > len(want) || !bytes.Equal(b, want[:len(b)]) {
					t.Fatalf("%s is not the beginning of what it should be", n)
				}
				return int64(len(b))
			}
		}
		return 0
	}
	if split == 0 {
		return there(file, want)
	}
	var n int64
	for i := int64(0); i*split < int64(len(want)); i++ {
		n += there(fmt.Sprintf("%s.%03d", file, i+1), want[i*split:min((i+1)*split, int64(len(want)))])
	}
	return n
}
