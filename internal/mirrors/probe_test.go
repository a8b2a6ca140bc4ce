package mirrors_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/transport"
)

func TestGood(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	r := mirrors.Probe(t.Context(), mirrors.Target{Name: "m", URL: up.URL + "/", InUse: true}, options(t, up))
	if diff := cmp.Diff(allYes(nil), states(r)); diff != "" {
		t.Errorf("steps (-want +got)\n%s", diff)
	}
	if r.Verdict != mirrors.Good || len(r.Notes) != 0 || r.Name != "m" || !r.InUse || r.URL != up.URL+"/" {
		t.Errorf("got %+v", r)
	}
	if r.Latency <= 0 || r.Speed <= 0 || r.Module <= 0 {
		t.Errorf("latency %v, speed %v, estimate %v", r.Latency, r.Speed, r.Module)
	}
	if r.Link.Address != strings.TrimPrefix(up.URL, "http://") || r.Link.Connect <= 0 || r.Link.HTTP != "HTTP/1.1" || r.Link.TLS != "" {
		t.Errorf("link %+v", r.Link)
	}
	if diff := cmp.Diff(&mirrors.List{Versions: 3, Highest: "v1.1.0", Best: "v1.1.0"}, r.List); diff != "" {
		t.Errorf("list (-want +got)\n%s", diff)
	}
	if n := up.Count(toolchain + ".zip"); n != 0 {
		t.Errorf("the zip of a toolchain was asked for %d times", n)
	}
}

// TestFaults has one mirror for each thing that a mirror can lack or do wrong.
func TestFaults(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	type m = map[mirrors.Ask]mirrors.State
	type n = mirrors.Note
	tests := []struct {
		fault   string
		verdict mirrors.Verdict
		states  m // that differ from yes
		reason  mirrors.Reason
		of      mirrors.Ask // the step with that reason
		notes   []mirrors.Note
	}{
		{"nolatest", mirrors.Partial, m{mirrors.AskLatest: mirrors.No}, mirrors.Status, mirrors.AskLatest, nil},
		{"nosumdb", mirrors.Partial, m{mirrors.AskSumdb: mirrors.No}, mirrors.Status, mirrors.AskSumdb, nil},
		{"sumdb-503", mirrors.Partial, m{mirrors.AskSumdb: mirrors.Unknown}, mirrors.Status, mirrors.AskSumdb, []n{{Code: mirrors.NoteUnsure, Ask: mirrors.AskSumdb}}},
		{"only/latest/503", mirrors.Partial, m{mirrors.AskLatest: mirrors.Unknown}, mirrors.Status, mirrors.AskLatest, []n{{Code: mirrors.NoteUnsure, Ask: mirrors.AskLatest}}},
		{"only/latest/short/50%", mirrors.Partial, m{mirrors.AskLatest: mirrors.Unknown}, mirrors.Malformed, mirrors.AskLatest, []n{{Code: mirrors.NoteUnsure, Ask: mirrors.AskLatest}}},
		{"norange", mirrors.Partial, m{mirrors.AskRanges: mirrors.No}, mirrors.NoRange, mirrors.AskRanges, nil},
		{"only/list/404", mirrors.Partial, m{mirrors.AskList: mirrors.No, mirrors.AskToolchainList: mirrors.No}, mirrors.Status, mirrors.AskList,
			[]n{{Code: mirrors.NoteNoToolchainList}}},
		{"only/list/html", mirrors.Partial, m{mirrors.AskList: mirrors.Unknown, mirrors.AskToolchainList: mirrors.Unknown}, mirrors.WebPage, mirrors.AskList,
			[]n{{Code: mirrors.NoteUnsure, Ask: mirrors.AskList}}},
		{"only/list/endless", mirrors.Partial, m{mirrors.AskList: mirrors.Unknown}, mirrors.TooLarge, mirrors.AskList,
			[]n{{Code: mirrors.NoteUnsure, Ask: mirrors.AskList}}},
		{"redirecthost", mirrors.Good, nil, "", mirrors.AskInfo, []n{{Code: mirrors.NoteRedirect, Value: "localhost:" + port(up)}}},
		{"only/zip/corrupt", mirrors.Forged, m{mirrors.AskChecked: mirrors.No}, mirrors.Mismatch, mirrors.AskChecked, []n{{Code: mirrors.NoteFailed, Ask: mirrors.AskChecked}}},
		{"wrongsum", mirrors.Forged, m{mirrors.AskChecked: mirrors.No}, mirrors.Mismatch, mirrors.AskChecked, nil},
		{"only/zip/badzip/notzip", mirrors.Forged, m{mirrors.AskChecked: mirrors.No}, mirrors.Mismatch, mirrors.AskChecked, []n{{Code: mirrors.NoteFailed, Ask: mirrors.AskChecked}}},
		{"only/zip/cut/50%", mirrors.Failing, m{mirrors.AskZip: mirrors.Unknown, mirrors.AskRanges: mirrors.Skipped}, mirrors.Reason(transport.EOF), mirrors.AskZip,
			[]n{{Code: mirrors.NoteFailed, Ask: mirrors.AskZip}}},
		{"only/zip/404", mirrors.Lacking, m{mirrors.AskZip: mirrors.No, mirrors.AskRanges: mirrors.Skipped}, mirrors.Status, mirrors.AskZip,
			[]n{{Code: mirrors.NoteFailed, Ask: mirrors.AskZip}}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.fault, "/", "_"), func(t *testing.T) {
			r := mirrors.Probe(t.Context(), target(up, tt.fault), o)
			if r.Verdict != tt.verdict {
				t.Errorf("verdict %s, want %s: %+v", r.Verdict, tt.verdict, r.Steps)
			}
			want := allYes(tt.states)
			if tt.fault == "wrongsum" { // its toolchain is another one, too
				want[mirrors.AskToolchain] = r.Steps[mirrors.AskToolchain].State
			}
			if diff := cmp.Diff(want, states(r)); diff != "" {
				t.Errorf("states (-want +got)\n%s", diff)
			}
			if got := r.Steps[tt.of].Reason; got != tt.reason {
				t.Errorf("reason for %s is %q, want %q", tt.of, got, tt.reason)
			}
			if diff := cmp.Diff(append([]n{}, tt.notes...), r.Notes); diff != "" && tt.fault != "wrongsum" {
				t.Errorf("notes (-want +got)\n%s", diff)
			}
			if usable := r.Verdict.Usable(); usable != (r.Module > 0) {
				t.Errorf("usable %v, estimate %v", usable, r.Module)
			}
		})
	}
}

func port(up *goproxytest.Server) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(up.URL, "http://"))
	return port
}

// TestUseless has mirrors that do not even give the first file.
func TestUseless(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	tests := []struct {
		fault   string
		verdict mirrors.Verdict
		reason  mirrors.Reason
		status  int
		list    mirrors.State
	}{
		{"404", mirrors.Lacking, mirrors.Status, 404, mirrors.No},
		{"410", mirrors.Lacking, mirrors.Status, 410, mirrors.No},
		{"403", mirrors.Forbidden, mirrors.Status, 403, mirrors.Unknown},
		{"auth", mirrors.Forbidden, mirrors.Status, 401, mirrors.Unknown},
		{"503", mirrors.Failing, mirrors.Status, 503, mirrors.Unknown},
		{"html", mirrors.Failing, mirrors.WebPage, 200, mirrors.Unknown},
		{"only/info/short/50%", mirrors.Failing, mirrors.Malformed, 200, mirrors.Yes},
		{"redirect/20", mirrors.Failing, mirrors.Reason(transport.TooManyRedirects), 0, mirrors.Skipped},
		{"reset", mirrors.Failing, mirrors.Reason(transport.Reset), 0, mirrors.Skipped},
		{"eof", mirrors.Failing, mirrors.Reason(transport.EOF), 0, mirrors.Skipped},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.fault, "/", "_"), func(t *testing.T) {
			r := mirrors.Probe(t.Context(), target(up, tt.fault), o)
			s := r.Steps[mirrors.AskInfo]
			if r.Verdict != tt.verdict || s.Reason != tt.reason || s.Status != tt.status {
				t.Errorf("verdict %s, %+v", r.Verdict, s)
			}
			if got := r.Steps[mirrors.AskList].State; got != tt.list {
				t.Errorf("list %s, want %s", got, tt.list)
			}
			if diff := cmp.Diff([]mirrors.Note{{Code: mirrors.NoteFailed, Ask: mirrors.AskInfo}}, r.Notes); diff != "" {
				t.Errorf("notes (-want +got)\n%s", diff)
			}
			if r.Module != 0 {
				t.Errorf("estimate %v of a mirror that is not usable", r.Module)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	secure := upstream(t, goproxytest.Options{TLS: true})
	gone := upstream(t, goproxytest.Options{})
	gone.Down()
	tests := []struct {
		name, url string
		op        transport.Op
		failure   transport.Failure
	}{
		{"refused", gone.URL, transport.OpConnect, transport.Refused},
		{"unknown authority", secure.URL, transport.OpTLS, transport.UnknownAuthority},
		{"no TLS", strings.Replace(up.URL, "http:", "https:", 1), transport.OpTLS, transport.TLSProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := mirrors.Probe(t.Context(), mirrors.Target{Name: "m", URL: tt.url}, o)
			if s := r.Steps[mirrors.AskInfo]; r.Verdict != mirrors.Unreachable || s.Op != tt.op || s.Reason != mirrors.Reason(tt.failure) {
				t.Errorf("verdict %s, %+v", r.Verdict, s)
			}
			if tt.failure == transport.UnknownAuthority {
				want := []mirrors.Note{{Code: mirrors.NoteFailed, Ask: mirrors.AskInfo}, {Code: mirrors.NoteIssuer, Value: r.Link.Issuer}}
				if diff := cmp.Diff(want, r.Notes); diff != "" || r.Link.Issuer == "" || r.Link.Address == "" {
					t.Errorf("link %+v, notes (-want +got)\n%s", r.Link, diff)
				}
			}
		})
	}
	for _, bad := range []string{"", "file:///x", "http://", "://", "http://a b/"} {
		if r := mirrors.Probe(t.Context(), mirrors.Target{URL: bad}, o); r.Verdict != mirrors.Failing || r.Steps[mirrors.AskInfo].Reason != mirrors.Malformed {
			t.Errorf("%q: %s, %+v", bad, r.Verdict, r.Steps[mirrors.AskInfo])
		}
	}
}

func TestTLS(t *testing.T) {
	up := upstream(t, goproxytest.Options{TLS: true})
	o := options(t, up)
	o.HTTP = up.Client() // trusts it, and is not of transport
	r := mirrors.Probe(t.Context(), target(up), o)
	if r.Verdict != mirrors.Good || r.Link.HTTP != "HTTP/2.0" || r.Link.TLS != "TLS 1.3" || r.Link.Issuer == "" || r.Link.Handshake <= 0 {
		t.Errorf("verdict %s, link %+v, notes %+v", r.Verdict, r.Link, r.Notes)
	}
}

func TestUnverified(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	say := func(err error) func(context.Context, goproxy.Request, io.ReaderAt, int64) error {
		return func(context.Context, goproxy.Request, io.ReaderAt, int64) error { return err }
	}
	for _, tt := range []struct {
		check  func(context.Context, goproxy.Request, io.ReaderAt, int64) error
		reason mirrors.Reason
	}{
		{nil, mirrors.Unchecked},
		{say(goproxy.ErrUnavailable), mirrors.Unchecked},
		{say(goproxy.ErrBlocked), mirrors.NoRecord},
		{say(errors.New("disk on fire")), mirrors.Unchecked},
	} {
		o.Check = tt.check
		r := mirrors.Probe(t.Context(), target(up), o)
		if s := r.Steps[mirrors.AskChecked]; r.Verdict != mirrors.Unverified || s.Reason != tt.reason || s.State != mirrors.Unknown {
			t.Errorf("%s: verdict %s, %+v", tt.reason, r.Verdict, s)
		}
	}
}

// TestLists compares lists with those of the other mirrors, but not with what nobody vouches for.
func TestLists(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	newer := upstream(t, goproxytest.Options{})
	newer.AddModule(hello.Path, "v1.3.0", map[string]string{"go.mod": "module example.com/hello\n"})
	liar := upstream(t, goproxytest.Options{})
	liar.AddModule(hello.Path, "v1.9.0", map[string]string{"go.mod": "module example.com/hello\n"})

	list := mirrors.ProbeAll(t.Context(), []mirrors.Target{
		target(up), target(newer), target(liar, "only/zip/corrupt"), target(up, "garbagelist"), target(up, "only/list/short/0"),
	}, o)
	var got []mirrors.State
	for _, r := range list {
		got = append(got, r.Steps[mirrors.AskList].State)
		if r.List == nil || r.List.Best != "v1.3.0" {
			t.Errorf("%s: list %+v, want the best v1.3.0; %+v", r.URL, r.List, r.Steps)
		}
	}
	if diff := cmp.Diff([]mirrors.State{mirrors.No, mirrors.Yes, mirrors.Yes, mirrors.No, mirrors.No}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if list[0].Verdict != mirrors.Partial || list[1].Verdict != mirrors.Good {
		t.Errorf("verdicts %s, %s", list[0].Verdict, list[1].Verdict)
	}
	if diff := cmp.Diff([]mirrors.Note{{Code: mirrors.NoteBehind, Value: "v1.1.0"}}, list[0].Notes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if g := list[3].List; g.Versions != 3 || g.Pseudo == 0 || g.Garbage == 0 || g.Highest != "v1.1.0" {
		t.Errorf("garbage: %+v", g)
	}
	if diff := cmp.Diff([]mirrors.Note{{Code: mirrors.NoteEmpty}}, list[4].Notes[:1]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Alone, a list is compared with the version that was asked for.
	if r := mirrors.Probe(t.Context(), target(up, "only/list/short/0"), o); r.Steps[mirrors.AskList].Reason != mirrors.Behind {
		t.Errorf("an empty list: %+v", r.Steps[mirrors.AskList])
	}
}

// TestPart wants the very bytes that were asked for.
func TestPart(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	o.HTTP = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		part := req.Header.Get("Range") != ""
		if part {
			req = req.Clone(req.Context())
			req.Header.Set("Range", "bytes=0-9")
		}
		return up.Client().Transport.RoundTrip(req)
	})}
	r := mirrors.Probe(t.Context(), target(up), o)
	if s := r.Steps[mirrors.AskRanges]; s.State != mirrors.No || s.Reason != mirrors.WrongPart || s.Status != http.StatusPartialContent {
		t.Errorf("%+v", s)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestDead has mirrors that do not answer among others: a dead one costs its own deadline, once, and
// the others do not wait for it. Time is that of the bubble.
func TestDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, err := goproxytest.NewHandler(goproxytest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := up.AddModule(hello.Path, hello.Version, map[string]string{"go.mod": "module example.com/hello\n"}); err != nil {
			t.Fatal(err)
		}
		if err := up.AddModule("golang.org/toolchain", toolchain, map[string]string{"go.mod": "module golang.org/toolchain\n"}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var last atomic.Int64 // when the good mirror was asked last
		ps := pipes{make(chan net.Conn)}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "good.example" {
				last.Store(int64(time.Since(start)))
			}
			up.ServeHTTP(w, r)
		})}
		served := make(chan error)
		go func() { served <- srv.Serve(ps) }()
		tr := &http.Transport{DialContext: ps.dial}
		o := mirrors.Options{HTTP: &http.Client{Transport: tr}}
		o.Check = func(context.Context, goproxy.Request, io.ReaderAt, int64) error { return nil }
		o.Module, o.Toolchain, o.SumDB = hello, toolchain, up.SumDBName()
		list := mirrors.ProbeAll(t.Context(), []mirrors.Target{
			{Name: "dead", URL: "http://dead.example/hang"},
			{Name: "good", URL: "http://good.example/slow/100ms"},
			{Name: "latest", URL: "http://latest.example/only/latest/hang"},
			{Name: "zip", URL: "http://zip.example/only/zip/hang"},
		}, o)
		var got []mirrors.Verdict
		for _, r := range list {
			got = append(got, r.Verdict)
		}
		if diff := cmp.Diff([]mirrors.Verdict{mirrors.Failing, mirrors.Good, mirrors.Partial, mirrors.Failing}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if s := list[0].Steps[mirrors.AskInfo]; s.Reason != mirrors.Reason(transport.TimedOut) || time.Duration(s.Took) != 10*time.Second {
			t.Errorf("dead: %+v", s)
		}
		if l := time.Duration(list[1].Latency); l != 100*time.Millisecond {
			t.Errorf("latency %v, want 100ms", l)
		}
		// good may wait for the zip of the two others, of which one hangs for a step.
		if d := time.Duration(last.Load()); d > 11*time.Second {
			t.Errorf("the good mirror was asked last after %v", d)
		}
		if d := time.Since(start); d > 31*time.Second {
			t.Errorf("all took %v", d)
		}
		tr.CloseIdleConnections()
		close(ps.conns)
		srv.Close()
		<-served
	})
}

// A pipes carries connections without sockets, as synctest wants them.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// TestOutOfTime gives a mirror less time than its steps would take.
func TestOutOfTime(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	o.StepTimeout, o.Timeout = 50*time.Millisecond, 50*time.Millisecond
	r := mirrors.Probe(t.Context(), target(up, "only/mod/hang"), o)
	if s := r.Steps[mirrors.AskMod]; r.Verdict != mirrors.Failing || s.Reason != mirrors.Reason(transport.TimedOut) {
		t.Errorf("verdict %s, mod %+v", r.Verdict, s)
	}
	for _, ask := range []mirrors.Ask{mirrors.AskZip, mirrors.AskList, mirrors.AskSumdb, mirrors.AskToolchain} {
		if s := r.Steps[ask]; s.State != mirrors.Unknown || s.Reason != mirrors.OutOfTime {
			t.Errorf("%s: %+v", ask, s)
		}
	}
}

// TestCanceled returns when the asker leaves.
func TestCanceled(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	o.StepTimeout, o.Timeout = time.Hour, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []mirrors.Result)
	go func() {
		done <- mirrors.ProbeAll(ctx, []mirrors.Target{target(up, "hang"), target(up, "only/zip/hang"), target(up, "only/zip/hang")}, o)
	}()
	up.Wait(t.Context(), "/hang", 2)
	cancel()
	for _, r := range <-done {
		if r.Verdict.Usable() {
			t.Errorf("%s is %s", r.URL, r.Verdict)
		}
	}
}

// TestPrivacy wants no credentials in what a Result shows.
func TestPrivacy(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	o := options(t, up)
	hc, err := transport.New(transport.Config{Retries: -1, Proxy: http.ProxyURL(nil), Insecure: func(string, string) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	o.HTTP = hc
	with := strings.Replace(up.URL, "http://", "http://"+goproxytest.User+":"+goproxytest.Password+"@", 1) + "/auth"
	list := mirrors.ProbeAll(t.Context(), []mirrors.Target{mirrors.Targets([]string{with})[0], {Name: "x", URL: with + "/503"}}, o)
	if list[0].Verdict != mirrors.Good {
		t.Errorf("verdict %s: %+v", list[0].Verdict, list[0].Steps)
	}
	out, err := json.Marshal(list)
	if err != nil || strings.Contains(string(out), goproxytest.Password) || !strings.Contains(string(out), `"verdict":"good"`) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPseudo(t *testing.T) {
	up := upstream(t, goproxytest.Options{})
	up.AddModule("example.com/p", "v0.0.0-20240102030405-0123456789ab", map[string]string{"go.mod": "module example.com/p\n"})
	o := options(t, up)
	o.Module = module.Version{Path: "example.com/p", Version: "v0.0.0-20240102030405-0123456789ab"}
	r := mirrors.Probe(t.Context(), target(up), o)
	if s := r.Steps[mirrors.AskList]; s.State != mirrors.Yes || r.List.Versions != 0 {
		t.Errorf("%s: %+v %+v", r.Verdict, s, r.List)
	}
}
