//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// sleepingCC is a C compiler that says what it compiles for, as the real one, and then compiles for ever. It and what it starts hold
// a named pipe open.
const sleepingCC = `#!/bin/sh
case "$*" in *-P*|*-###*|*--version*) exec gcc "$@" ;; esac
exec 9> "$STARTED"
echo >&9
sleep 1000
`

// TestBuildInterrupted ends a build by real signals while the C compiler is at work. Nothing that was started lives on, what was in
// the folder for outputs is as it was, and a folder that was made for it is gone, as are temporary files.
func TestBuildInterrupted(t *testing.T) {
	r := newRig(t)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(r.work, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	write("app/go.mod", "module example.com/app\n\ngo 1.21\n")
	write("app/main.go", "package main\n\nimport \"C\"\n\nfunc main() {}\n")
	write("cc", sleepingCC)
	write("old/linux-amd64/app", "an older build\n")
	write("tmp/x", "")
	started, tmp := filepath.Join(r.work, "started"), filepath.Join(r.work, "tmp")
	if err := syscall.Mkfifo(started, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		signal os.Signal
		out    string
	}{{os.Interrupt, "new/dist"}, {syscall.SIGTERM, "old"}} {
		before := builtFiles(t, r.work)
		cmd := r.command("goferry", "build", "--cgo", "on", "-o", filepath.Join(r.work, c.out), ".")
		cmd.Dir = filepath.Join(r.work, "app")
		cmd.Env = r.environ("CC_FOR_"+runtime.GOOS+"_"+runtime.GOARCH+"="+filepath.Join(r.work, "cc"), "STARTED="+started, "TMPDIR="+tmp, "GOFERRY_OFFLINE=true")
		endsBy(t, cmd, started, c.signal)
		if after := builtFiles(t, r.work); !slices.Equal(before, after) {
			t.Errorf("%v: before\n%s\nafter\n%s", c.signal, strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
	}
}

// endsBy starts a build and sends it a signal when its compiler writes into a named pipe. When goferry is gone, which ends as what
// was interrupted and says nothing, nobody has that pipe open any more.
func endsBy(t *testing.T, cmd *exec.Cmd, pipe string, sig os.Signal) {
	t.Helper()
	errs := newLogBook()
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code is looked at
		close(ended)
	}()
	compiling := make(chan *os.File)
	go func() {
		f, err := os.Open(pipe) // waits for who writes
		if err == nil {
			_, err = f.Read(make([]byte, 1))
		}
		if err != nil {
			t.Error(err)
		}
		compiling <- f
	}()
	select {
	case <-ended:
		t.Fatalf("it ended by itself: %s", errs.all())
	case f := <-compiling:
		defer f.Close()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		<-ended
		raw, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Read(func(fd uintptr) bool {
			if n, err := syscall.Read(int(fd), make([]byte, 1)); n != 0 || err != nil { // the end, if there is no writer
				t.Errorf("%v: the compiler, or what it started, is alive: %d, %v", sig, n, err)
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 || errs.all() != "" {
		t.Errorf("%v: exit code %d\n%s", sig, code, errs.all())
	}
}

// builtFiles lists the files below a folder, without goferry's cache and modules.
func builtFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, part := range []string{"app", "old", "new", "tmp"} {
		err := filepath.WalkDir(filepath.Join(dir, part), func(name string, _ os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			names = append(names, name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
