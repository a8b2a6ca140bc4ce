package store_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

// The tests run this binary as other processes that share a store. What they do
// is their role; they say what they did on stdout, a line for each step.
const (
	roleVar = "GOFERRY_STORE_TEST_ROLE"
	dirVar  = "GOFERRY_STORE_TEST_DIR"
	tagVar  = "GOFERRY_STORE_TEST_TAG"
)

func role(name string) func(dir string) error {
	if name == "fill" {
		return fill
	}
	return systemRole(name)
}

// A helper is a running process with a role.
type helper struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Scanner
}

func start(t *testing.T, role, dir, tag string) *helper {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir, tagVar+"="+tag)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &helper{cmd: cmd, stdin: in, out: bufio.NewScanner(out)}
}

// line is the next step that the process tells of, "" at its end.
func (h *helper) line(t *testing.T) string {
	t.Helper()
	if !h.out.Scan() {
		return ""
	}
	if strings.HasPrefix(h.out.Text(), "error") {
		t.Errorf("helper: %s", h.out.Text())
	}
	return h.out.Text()
}

// stop asks the process to end, and returns the steps that were not read yet.
func (h *helper) stop(t *testing.T) (rest []string) {
	t.Helper()
	h.stdin.Close()
	for l := h.line(t); l != ""; l = h.line(t) {
		rest = append(rest, l)
	}
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("helper: %v", err)
	}
	return rest
}

// kill ends the process at once.
func (h *helper) kill(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	for h.out.Scan() { // what it said before
	}
	if err := h.cmd.Wait(); err == nil {
		t.Error("helper ended by itself")
	}
}

// fill keeps writing blobs, eight at a time, until stdin ends. Names begin with
// the tag, contents follow from the names. Steps: "wrote" for a piece of a blob,
// "kept NAME" for a blob.
func fill(dir string) error {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	say := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(step)
	}
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%s/g%d/n%d", os.Getenv(tagVar), g, i)
				if i%4 == 3 {
					name = fmt.Sprintf("shared/g%d", g) // replaced again and again
				}
				if err := fillOne(st, name, say); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	if err := st.Close(); err != nil {
		return err
	}
	return first
}

func fillOne(st *store.Store, name string, say func(string)) error {
	sp, err := st.Create()
	if err != nil {
		return err
	}
	defer sp.Close()
	for rest := content(name); len(rest) > 0; {
		n, err := sp.Write(rest[:min(len(rest), 20_011)])
		if err != nil {
			return err
		}
		rest = rest[n:]
		say("wrote")
	}
	if err := sp.Commit(name, time.Time{}); err != nil {
		return err
	}
	say("kept " + name)
	return nil
}

// wantWhole checks that every blob with the prefix holds what its name says, and
// returns their names.
func wantWhole(t *testing.T, st *store.Store, prefix string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	err := st.Walk(t.Context(), prefix, func(b store.Blob) error {
		f, err := st.Open(b.Name)
		if err != nil {
			return err
		}
		defer f.Close()
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, content(b.Name)) {
			t.Errorf("%s is not whole: %d bytes, %v", b.Name, len(got), err)
		}
		found[b.Name] = true
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return found
}
