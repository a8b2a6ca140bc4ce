//go:build unix

package gocmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// playUnix plays the parts that stay.
func playUnix(part string) int {
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", os.Getenv(helperAddr))
		if err != nil {
			panic(err)
		}
		return conn
	}
	again := func(part string) *exec.Cmd {
		exe, err := os.Executable()
		if err != nil {
			panic(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), helper+"="+part)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd
	}
	switch part {
	case "stubborn": // does not end when asked; echoes until the other side hangs up
		signal.Ignore(syscall.SIGTERM)
		conn := dial()
		_, _ = io.Copy(conn, conn)
		return 0
	case "tidy": // takes its lock file away when asked to end
		sigs := make(chan os.Signal, 1)
		signal.Notify(sigs, syscall.SIGTERM)
		if err := os.WriteFile(os.Getenv("LOCK"), nil, 0o644); err != nil {
			panic(err)
		}
		dial()
		<-sigs
		if err := os.Remove(os.Getenv("LOCK")); err != nil {
			panic(err)
		}
		return 0
	case "parent of stubborn", "parent of tidy":
		if err := again(part[len("parent of "):]).Run(); err != nil {
			return 1
		}
		return 0
	case "parent of daemon":
		if err := again("stubborn").Start(); err != nil {
			panic(err)
		}
		return 3
	case "session":
		sid, err := unix.Getsid(0)
		fmt.Print(err == nil && sid == os.Getpid())
		return 0
	case "signals": // says which signals come, ends when told
		return listSignals(dial())
	case "exec": // what goferry exec does
		exe, _ := os.Executable()
		code, err := new(Runner).Exec(context.Background(), ExecCmd{Argv: []string{exe}, Env: []string{helper + "=signals"}, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
		if err != nil {
			panic(err)
		}
		return code
	}
	panic("no such part: " + part)
}

func listSignals(conn net.Conn) int {
	sigs := make(chan os.Signal, 16)
	signal.Notify(sigs, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	fmt.Fprintln(conn, "ready")
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _ = bufio.NewReader(conn).ReadString('\n')
	}()
	for {
		select {
		case sig := <-sigs:
			fmt.Fprintln(conn, sig)
		case <-told:
			return 5
		}
	}
}

func TestRunKillsTheWholeGroup(t *testing.T) {
	for _, part := range []string{"stubborn", "parent of stubborn"} {
		t.Run(part, func(t *testing.T) {
			d := newDesk(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := (&Runner{Grace: short}).Run(ctx, self(t, part, d.env()))
				done <- err
			}()
			v := d.accept(t)
			why := errors.New("the asker left")
			cancel(why)
			if err := <-done; !errors.Is(err, why) {
				t.Errorf("got %v, want the cause", err)
			}
			if said := v.line(t); said != "" {
				t.Errorf("it is alive and says %q", said)
			}
		})
	}
}

func TestRunAsksBeforeItKills(t *testing.T) {
	for _, part := range []string{"tidy", "parent of tidy"} {
		t.Run(part, func(t *testing.T) {
			d := newDesk(t)
			lock := filepath.Join(t.TempDir(), "lock")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := (&Runner{Grace: time.Minute}).Run(ctx, self(t, part, d.env(), "LOCK="+lock))
				done <- err
			}()
			v := d.accept(t)
			cancel()
			<-done
			if said := v.line(t); said != "" {
				t.Errorf("it is alive and says %q", said)
			}
			if _, err := os.Stat(lock); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the lock file is still there: %v", err)
			}
		})
	}
}

// A program may leave something running, as git does with its credential cache: it ends like any other, and
// what it left lives.
func TestRunLeavesDaemonsAlone(t *testing.T) {
	d := newDesk(t)
	res, err := (&Runner{Grace: short}).Run(t.Context(), self(t, "parent of daemon", d.env()))
	if err != nil || res.ExitCode != 3 {
		t.Errorf("got exit code %d, %v, want 3", res.ExitCode, err)
	}
	v := d.accept(t)
	fmt.Fprintln(v, "are you there?")
	if said := v.line(t); said != "are you there?" {
		t.Errorf("got the answer %q", said)
	}
}

func TestRunHasNoTerminal(t *testing.T) {
	res, err := new(Runner).Run(t.Context(), self(t, "session"))
	if err != nil || string(res.Stdout) != "true" {
		t.Errorf("leads its own session: %s, %v", res.Stdout, err)
	}
}

func TestExecKilledBySignal(t *testing.T) {
	code, err := new(Runner).Exec(t.Context(), ExecCmd{Argv: []string{"sh", "-c", "kill -TERM $$"}})
	if err != nil || code != 128+15 {
		t.Errorf("got %d, %v, want 143", code, err)
	}
}

func TestExecContextEnds(t *testing.T) {
	d := newDesk(t)
	c := self(t, "signals", d.env())
	ctx, cancel := context.WithCancel(t.Context())
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := (&Runner{Grace: time.Minute}).Exec(ctx, ExecCmd{Argv: []string{c.Name}, Env: c.Env})
		done <- result{code, err}
	}()
	v := d.accept(t)
	v.line(t) // ready
	cancel()
	if said := v.line(t); said != "terminated" {
		t.Errorf("it was told %q, want SIGTERM", said)
	}
	fmt.Fprintln(v, "end")
	if got := <-done; got.code != 5 || !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %d, %v, want 5 and context.Canceled", got.code, got.err)
	}
}

// Each signal that is sent to us alone reaches the program once.
func TestExecPassesSignalsOn(t *testing.T) {
	d := newDesk(t)
	c := self(t, "exec", d.env())
	cmd := exec.Command(c.Name)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := d.accept(t)
	v.line(t) // ready
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if said := v.line(t); said != sig.String() {
			t.Errorf("sent %v, the program got %v", sig, said)
		}
	}
	fmt.Fprintln(v, "end")
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Errorf("got %v, want the program's exit code 5", err)
	}
}
