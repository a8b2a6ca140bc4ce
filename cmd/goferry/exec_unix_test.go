//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"syscall"
	"testing"
)

// TestExecSignals sends signals to goferry exec, without a terminal: each reaches the command
// once, and the command decides how to end.
func TestExecSignals(t *testing.T) {
	r := newRig(t)
	cmd := r.command("goferry", "exec", "--", "exec-child")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // away from the terminal of the test, if it has one
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs := newLogBook()
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !said.Scan() || said.Text() != want {
			t.Fatalf("the command says %q, want %q", said.Text(), want)
		}
	}
	expect("ready")
	for range 2 {
		for sig, name := range map[os.Signal]string{os.Interrupt: "interrupt", syscall.SIGTERM: "terminated"} {
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			expect(name)
		}
		// What is typed reaches the command; and a signal that came twice would be heard now.
		if _, err := io.WriteString(in, "line\n"); err != nil {
			t.Fatal(err)
		}
		expect("read line")
	}
	in.Close()
	if said.Scan() {
		t.Errorf("the command says %q more", said.Text())
	}
	_ = cmd.Wait() // the exit code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d, want the command's, 7\n%s", code, errs.all())
	}
	errs.wait(t, `(?m)^goferry: the command asked for no modules$`)
}

// TestSecondInterrupt interrupts a server twice: the second time it does not wait for answers.
func TestSecondInterrupt(t *testing.T) {
	up, _, release := bigUpstream(t)
	defer release()
	r := rigFor(t, up)
	s := r.serve(t)
	body, _, err := open(t.Context(), client(t), s.url+bigZip)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	s.interrupt(t)
	s.says(t, `(?m)^goferry: stopping; running answers have 30s `)
	s.interrupt(t)
	<-s.ended
	if ws, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("the server ended with %v, want the signal", s.cmd.ProcessState)
	}
	if _, err := io.ReadAll(body); err == nil {
		t.Error("the answer ends as if it were whole")
	}
}

// TestExecKilledBySignal ends the command by a signal that it does not catch: 128 and the number.
func TestExecKilledBySignal(t *testing.T) {
	r := newRig(t)
	for sig, want := range map[string]int{"TERM": 143, "INT": 130, "KILL": 137} {
		if _, errs, code := r.run(t, "goferry", "exec", "--", "sh", "-c", "kill -"+sig+" $$"); code != want {
			t.Errorf("SIG%s: exit code %d, want %d\n%s", sig, code, want, errs)
		}
	}
}
