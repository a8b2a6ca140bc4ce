package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/tcptrace"
	"github.com/goferry/goferry/internal/text"
)

// cutter is a server that cuts off every connection as soon as something is said.
func cutter(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestDoctorTrace asks the real kernel for its view of connections that are cut off. Where it may not be asked, the report has to say so, and
// all else is the same.
func TestDoctorTrace(t *testing.T) {
	addr := cutter(t)
	x := &doctor.Exam{OS: "linux", GoEnv: doctor.GoEnv{Version: "go1.26.8"}, Net: doctor.Net{Dial: new(net.Dialer).DialContext},
		Targets: []doctor.Target{{Role: doctor.Upstream, URL: &url.URL{Scheme: "https", Host: addr}}}}
	checks := slices.DeleteFunc(doctor.Checks(), func(c doctor.Check) bool { return c.ID != "network" })
	plain := doctor.Examine(t.Context(), x, checks, doctor.Options{})
	if plain.Trace != nil || len(plain.Causes) != 1 {
		t.Fatalf("without a trace: %+v", plain)
	}
	r := &doctorRun{app: &app{p: text.New(text.English)}, flags: doctorFlags{trace: true}}
	r.traced(x)
	t.Cleanup(func() { r.trace.end() })
	rep := doctor.Examine(t.Context(), x, checks, doctor.Options{})
	if len(rep.Causes) != 1 || rep.Causes[0].Code != plain.Causes[0].Code || rep.Causes[0].Op != plain.Causes[0].Op {
		t.Fatalf("found %+v, without a trace %+v", rep.Causes, plain.Causes)
	}
	facts := map[string]doctor.Fact{}
	for _, f := range rep.Causes[0].Facts {
		facts[f.Name] = f
	}
	got, ran := facts["resets-received"], rep.Trace
	page := (&doctorPage{p: r.p, rep: rep, os: "linux"}).String()
	if r.trace.err == nil {
		if got.Answer != doctor.Yes || !strings.HasPrefix(got.Value, addr+" ") || ran == nil || ran.Answer != doctor.Yes || facts["retransmits"].Answer == doctor.Unmeasured {
			t.Errorf("the kernel saw %v, and the trace %v", facts, ran)
		}
		if !strings.Contains(page, "the kernel watched the TCP connections (eBPF): yes") || !strings.Contains(page, "the kernel received resets: yes ("+addr) {
			t.Errorf("the report says\n%s", page)
		}
		return
	}
	t.Logf("asserting what is said where there is no trace: %v", r.trace.err)
	why := doctor.NotHere
	if errors.Is(r.trace.err, tcptrace.ErrNoRights) {
		why = doctor.NoRights
	} else if !errors.Is(r.trace.err, tcptrace.ErrNotHere) {
		t.Error(r.trace.err)
	}
	for _, name := range []string{"retransmits", "resets-received", "resets-sent"} {
		if want := (doctor.Fact{Name: name, Answer: doctor.Unmeasured, Reason: why}); facts[name] != want {
			t.Errorf("%+v, want %+v", facts[name], want)
		}
	}
	if ran == nil || ran.Answer != doctor.Unmeasured || ran.Reason != why || !strings.Contains(page, "the kernel watched the TCP connections (eBPF): not measured (") {
		t.Errorf("the trace %v, the report\n%s", ran, page)
	}
}

// TestDoctorTraceWhy holds which reason is given for which error, in both languages.
func TestDoctorTraceWhy(t *testing.T) {
	for _, tt := range []struct {
		err    error
		want   doctor.Trace
		en, zh string
	}{
		{fmt.Errorf("%w: operation not permitted", tcptrace.ErrNoRights), doctor.Trace{NotRun: doctor.NoRights},
			"(eBPF): not measured (could not look: this user may not)", "（eBPF）：未测（无法检查：当前用户没有权限）"},
		{tcptrace.ErrNotHere, doctor.Trace{NotRun: doctor.NotHere, Detail: tcptrace.ErrNotHere.Error()},
			"(eBPF): not measured (there is no such thing on this system", "（eBPF）：未测（这个系统上没有这种东西"},
		{tcptrace.ErrAltered, doctor.Trace{NotRun: doctor.Broken, Detail: tcptrace.ErrAltered.Error()},
			"which is a fault of goferry", "这是 goferry 的缺陷"},
	} {
		d := &doctorTrace{err: tt.err}
		got := d.exam()
		if diff := cmp.Diff(tt.want, *got, cmp.Comparer(func(a, b doctor.Trace) bool { return a.NotRun == b.NotRun && a.Detail == b.Detail })); diff != "" || got.Events != nil {
			t.Errorf("%v (-want +got)\n%s", tt.err, diff)
		}
		rep := doctor.Examine(t.Context(), &doctor.Exam{Trace: got}, nil, doctor.Options{})
		for lang, want := range map[string]string{text.English: tt.en, text.Chinese: tt.zh} {
			page := (&doctorPage{p: text.New(lang), rep: rep, os: "linux"}).String()
			if !strings.Contains(strings.Join(strings.Fields(page), " "), want) {
				t.Errorf("want %q in\n%s", want, page)
			}
		}
	}
}
