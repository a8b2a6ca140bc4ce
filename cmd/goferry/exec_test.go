package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// execChild is a command that says which signals it gets, and ends with 7 when its input ends.
func execChild() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	lines := make(chan string)
	go func() {
		sc := bufio.NewScanner(os.Stdin)
		for sc.Scan() {
			lines <- sc.Text()
		}
		close(lines)
	}()
	fmt.Println("ready")
	for {
		select {
		case sig := <-signals:
			fmt.Println(sig)
		case line, ok := <-lines:
			if !ok {
				os.Exit(7)
			}
			fmt.Println("read", line)
		}
	}
}

// manyModules adds n modules with zips of 1 to 30 kB and returns the go.mod that wants them all.
func manyModules(r *rig, n int) string {
	var b strings.Builder
	b.WriteString("module example.com/app\n\ngo 1.21\n\n")
	for i := range n {
		path := fmt.Sprintf("example.com/many%03d", i)
		r.up.AddRandom(path, "v1.0.0", int64(1000+i*29000/n))
		fmt.Fprintf(&b, "require %s v1.0.0\n", path)
	}
	return b.String()
}

// TestSharedCache runs two execs and a server over one cache folder at once, all asked for the
// same modules by a real go command.
func TestSharedCache(t *testing.T) {
	r := newRig(t)
	mod := manyModules(r, 80)
	serve := r.serve(t)
	var wg sync.WaitGroup
	outs := make([]string, 3)
	for i := range outs {
		dir := filepath.Join(r.work, fmt.Sprint("app", i))
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o666); err != nil {
			t.Fatal(err)
		}
		cmd := r.command("goferry", "exec", "--", "go", "mod", "download")
		if i == 2 {
			cmd = r.command("go", "mod", "download")
		}
		cmd.Dir = dir
		cmd.Env = r.environ("GOMODCACHE="+filepath.Join(dir, "modcache"), "GOPROXY="+serve.url)
		wg.Go(func() {
			out, errs, code := finish(t, cmd)
			if outs[i] = out + errs; code != 0 {
				t.Errorf("%v: exit code %d\n%s", cmd.Args, code, outs[i])
			}
		})
	}
	wg.Wait()
	for _, out := range outs[:2] {
		if !strings.Contains(out, "goferry: 80 module versions, ") || strings.Contains(out, "failed") || strings.Contains(out, "level=") {
			t.Errorf("exec says %s", out)
		}
	}
	if out, _ := r.must(t, "goferry", "cache", "verify"); !strings.HasPrefix(out, "160 files (") || !strings.Contains(out, ": 160 good, 0 bad,") {
		t.Errorf("verify beside the running server says %s", out)
	}
	serve.quit(t)
	sums := func(i int) string {
		data, err := os.ReadFile(filepath.Join(r.work, fmt.Sprint("app", i), "go.sum"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if sums(0) == "" || sums(0) != sums(1) || sums(0) != sums(2) {
		t.Error("the three have different go.sum files")
	}
	if out, _ := r.must(t, "goferry", "cache", "stat"); !strings.Contains(out, "80 zip, 80 mod, 80 info") {
		t.Errorf("stat says %s", out)
	}
}
