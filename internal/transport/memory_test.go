package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var aWay = way{small: true, four: true, addr: netip.MustParseAddr("192.0.2.1"), source: FromDoH}

func TestMemoryOfWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, to := NewMemory(), routeTo("Up.test.", "443")
		if m.reached(to, way{}) || len(m.Hosts()) != 0 {
			t.Error("the usual way is nothing to remember")
		}
		if !m.reached(to, aWay) || m.reached(to, aWay) {
			t.Error("a way is news once")
		}
		time.Sleep(wayLife - time.Second)
		m.reached(to, aWay)
		if m.way(to) != aWay {
			t.Error("forgotten before a day")
		}
		time.Sleep(time.Second)
		if m.way(to) != (way{}) || len(m.Hosts()) != 0 {
			t.Errorf("remembered for more than a day: %+v", m.Hosts())
		}
		m.reached(to, aWay)
		if m.reached(to, way{}); m.way(to) != (way{}) {
			t.Error("remembered although the usual way worked")
		}
		m.reached(to, aWay)
		m.failed(to, &Error{Op: OpConnect, Failure: Refused}, false)
		if m.way(to) != (way{}) {
			t.Error("remembered although it failed")
		}
	})
}

func TestMemoryOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, to := NewMemory(), routeTo("up.test", "443")
		cause := errors.New("cause")
		silent := func() *Error { return &Error{Op: OpTLS, Failure: TimedOut, Host: "up.test", Err: cause} }
		for _, want := range []time.Duration{5, 10, 20, 40, 60, 60} {
			if err := m.admit(to); err != nil {
				t.Fatalf("not let through: %v", err)
			}
			// Two that were under way at the same time count as one.
			m.failed(to, silent(), true)
			m.failed(to, silent(), true)
			time.Sleep(want*time.Second - time.Millisecond)
			e := m.admit(to)
			if e == nil || e.Op != OpTLS || e.Failure != TimedOut || e.Host != "up.test" || e.Ago != want*time.Second-time.Millisecond || again(nil, e) {
				t.Fatalf("after %v s: %+v", want, e)
			}
			if !errors.Is(e, cause) {
				t.Error("the cause is lost")
			}
			time.Sleep(time.Millisecond)
		}
		// One trial, no more; then everybody is let through again, or nobody.
		if first, second := m.admit(to), m.admit(to); first != nil || second == nil {
			t.Error("not exactly one was let through")
		}
		if m.canceled(to); m.admit(to) != nil {
			t.Error("a trial that was given up keeps others out")
		}
		m.reached(to, way{})
		if first, second := m.admit(to), m.admit(to); first != nil || second != nil || len(m.Hosts()) != 0 {
			t.Errorf("remembered after a success: %+v", m.Hosts())
		}
		m.failed(to, silent(), true)
		time.Sleep(restMin)
		m.failed(to, &Error{Op: OpConnect, Failure: Refused}, false)
		if first, second := m.admit(to), m.admit(to); first != nil || second != nil {
			t.Error("a host that refuses is left alone")
		}
		if got := state(t, m); got.Failure != Refused || !got.RetryAt.IsZero() {
			t.Errorf("got %+v", got)
		}
	})
}

func TestMemoryOfHTTP2(t *testing.T) {
	bad := Attempt{Host: "up.test", Proto: "HTTP/2.0", Op: OpRead, Failure: H2Protocol, Duration: time.Millisecond}
	good := Attempt{Host: "up.test", Proto: "HTTP/2.0", Status: 200}
	one := Attempt{Host: "up.test", Proto: "HTTP/1.1", Status: 200}
	to := routeOf("up.test")
	for _, tt := range []struct {
		name  string
		seen  []Attempt
		pause time.Duration
		want  bool
	}{
		{"one", []Attempt{bad}, time.Second, false},
		{"two in a row", []Attempt{bad, bad}, time.Second, true},
		{"many at once", []Attempt{bad, bad, bad, bad}, 0, false},
		{"two", []Attempt{bad, good, bad, good}, time.Second, false},
		{"three in a minute", []Attempt{bad, good, bad, good, bad}, 14 * time.Second, true},
		{"three in an hour", []Attempt{bad, good, bad, good, bad}, 20 * time.Minute, false},
		{"another host", []Attempt{bad, {Host: "other.test", Failure: H2Protocol}}, time.Second, false},
		{"other failures", []Attempt{bad, {Host: "up.test", Proto: "HTTP/2.0", Failure: Stalled}}, time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMemory()
				for _, a := range tt.seen {
					time.Sleep(tt.pause)
					if m.observe(routeOf(a.Host), a) {
						t.Errorf("news of %+v", a)
					}
				}
				if m.http1(to) != tt.want {
					t.Errorf("HTTP/1.1 is %v", !tt.want)
				}
				if !tt.want {
					return
				}
				if !m.observe(to, one) || m.observe(to, one) {
					t.Error("that HTTP/1.1 works is news once")
				}
				if time.Sleep(http1Life - time.Second); !m.http1(to) {
					t.Error("HTTP/2 is tried again too soon")
				}
				time.Sleep(time.Second)
				if m.http1(to) || len(m.Hosts()) != 0 {
					t.Errorf("HTTP/2 is not tried again: %+v", m.Hosts())
				}
				if m.observe(to, bad); m.http1(to) {
					t.Error("one error is enough the second time")
				}
			})
		})
	}
}

func TestMemoryIsKept(t *testing.T) {
	m := NewMemory()
	m.reached(routeTo("b.test", "443"), aWay)
	m.reached(route{"a.test:443", "proxy.test:3128"}, way{small: true})
	m.failed(routeTo("2001:db8::1", "80"), &Error{Op: OpConnect, Failure: TimedOut, Err: context.DeadlineExceeded}, true)
	for range 2 {
		m.observe(routeOf("c.test"), Attempt{Failure: H2Protocol})
	}
	want := m.Hosts()
	var names []string
	for _, h := range want {
		names = append(names, h.Host)
	}
	if !slices.Equal(names, []string{"[2001:db8::1]:80", "a.test:443", "b.test:443", "c.test:443"}) {
		t.Fatalf("got hosts %q", names)
	}
	var file bytes.Buffer
	if err := m.Save(&file); err != nil {
		t.Fatal(err)
	}
	loaded := NewMemory()
	if err := loaded.Load(bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	diff := cmp.Diff(want, loaded.Hosts(), cmpopts.IgnoreFields(HostState{}, "RetryAt"), cmpopts.EquateApproxTime(0),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
	if diff != "" {
		t.Error(diff)
	}
	if loaded.way(routeTo("b.test", "443")) != aWay || !loaded.http1(routeOf("c.test")) {
		t.Error("what was loaded is of no use")
	}
	if err := loaded.admit(routeTo("2001:db8::1", "80")); err != nil {
		t.Errorf("a failure of another run counts: %v", err)
	}
	// What is known is fresher than what is loaded.
	loaded.reached(routeTo("b.test", "443"), way{four: true})
	if err := loaded.Load(&file); err != nil || loaded.way(routeTo("b.test", "443")) != (way{four: true}) {
		t.Errorf("the file won, error %v", err)
	}
}

func TestMemoryOfGarbage(t *testing.T) {
	for _, file := range []string{"", "garbage", "[]", `{"version":2,"hosts":[]}`, `{"version":1,"hosts":{}}`, `{"version":1`} {
		m := NewMemory()
		m.reached(routeTo("a.test", "443"), aWay)
		if err := m.Load(strings.NewReader(file)); err == nil {
			t.Errorf("%q: no error", file)
		}
		if len(m.Hosts()) != 1 {
			t.Errorf("%q: knows %+v", file, m.Hosts())
		}
	}
	now := time.Now()
	stamp := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339Nano) }
	file := `{"version":1,"hosts":[7,"x",{},null,
		{"host":"no port","smallHello":true,"until":"` + stamp(time.Hour) + `"},
		{"host":"UPPER.test:443","smallHello":true,"until":"` + stamp(time.Hour) + `"},
		{"host":"addr.test:443","addr":"192.0.2.1","until":"` + stamp(time.Hour) + `"},
		{"host":"src.test:443","addr":"192.0.2.1","source":"oracle","until":"` + stamp(time.Hour) + `"},
		{"host":"old.test:443","smallHello":true,"until":"` + stamp(-time.Hour) + `"},
		{"host":"future.test:443","smallHello":true,"until":"` + stamp(48*time.Hour) + `"},
		{"host":"fail.test:443","op":"connect","failure":"bad luck","failedAt":"` + stamp(-time.Hour) + `"},
		{"host":"good.test:443","smallHello":true,"until":"` + stamp(time.Hour) + `"}]}`
	m := NewMemory()
	if err := m.Load(strings.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	if got := state(t, m); got.Host != "good.test:443" || !got.SmallHello {
		t.Errorf("got %+v", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := NewMemory()
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range maxHosts {
				to := routeTo("h"+strconv.Itoa(i)+".test", strconv.Itoa(1+n))
				if m.admit(to) == nil {
					m.failed(to, &Error{Op: OpConnect, Failure: TimedOut}, true)
				}
				m.reached(to, aWay)
				m.way(to)
			}
		})
	}
	wg.Wait()
	if got := len(m.Hosts()); got > maxHosts || got < maxHosts/2 {
		t.Errorf("knows %d hosts", got)
	}
}

// Whatever is loaded can be saved and loaded again, is in order, and is never a reason not to ask a host.
func FuzzMemory(f *testing.F) {
	m := NewMemory()
	m.reached(routeTo("b.test", "443"), aWay)
	m.failed(routeTo("a.test", "443"), &Error{Op: OpTLS, Failure: TimedOut}, true)
	var file bytes.Buffer
	if err := m.Save(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(`{"version":1,"hosts":[{"host":"a:1","http1Until":"2026-01-01T00:00:00Z"},3]}`))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := NewMemory()
		if err := m.Load(bytes.NewReader(data)); err != nil {
			if len(m.Hosts()) != 0 {
				t.Fatal("an error, and hosts")
			}
			return
		}
		hosts := m.Hosts()
		for i, h := range hosts {
			if !h.valid() || i > 0 && hosts[i-1].Host > h.Host {
				t.Errorf("got %+v", h)
			}
			if m.admit(route{h.Host, h.Via}) != nil {
				t.Errorf("%s is left alone", h.Host)
			}
		}
		var out bytes.Buffer
		if err := m.Save(&out); err != nil || !json.Valid(out.Bytes()) {
			t.Fatalf("saved %q, error %v", out.Bytes(), err)
		}
		again := NewMemory()
		if err := again.Load(&out); err != nil || len(again.Hosts()) > len(hosts) {
			t.Errorf("loaded %+v of %+v, error %v", again.Hosts(), hosts, err)
		}
	})
}
