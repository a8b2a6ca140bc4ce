package weaklink_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/weaklink"
)

// client is one that keeps no connection and follows the certificate of l.
func client(t *testing.T, l *weaklink.Link) *http.Client {
	pool := x509.NewCertPool()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	if strings.HasPrefix(l.URL(), "https") && !pool.AppendCertsFromPEM(l.CertPEM()) {
		t.Fatal("no certificate")
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func bodyOf(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	return data
}

func serve(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

func start(t *testing.T, cfg weaklink.Config, h http.Handler) *weaklink.Link {
	l := weaklink.Start(cfg, h)
	t.Cleanup(l.Close)
	return l
}

func fetch(hc *http.Client, url string) ([]byte, int, error) {
	resp, err := hc.Get(url)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return data, resp.StatusCode, err
}

// Bytes cannot be faster than the link; that they are slower is the machine's affair.
func TestNeverFaster(t *testing.T) {
	const size = 256 << 10
	data := bodyOf(size)
	for _, secure := range []bool{false, true} {
		for _, tt := range []struct {
			name  string
			cfg   weaklink.Config
			conns int
			least time.Duration // of all bodies, one beside the other
		}{
			{"round trips", weaklink.Config{RTT: 50 * time.Millisecond}, 1, 100 * time.Millisecond},
			{"shared", weaklink.Config{Rate: 2 << 20}, 4, 450 * time.Millisecond},
			{"per connection", weaklink.Config{PerConn: 1 << 20}, 4, 220 * time.Millisecond},
		} {
			t.Run(fmt.Sprint(tt.name, " tls ", secure), func(t *testing.T) {
				tt.cfg.TLS = secure
				l := start(t, tt.cfg, serve(data))
				begin := time.Now()
				var wg sync.WaitGroup
				for range tt.conns {
					wg.Go(func() {
						if got, _, err := fetch(client(t, l), l.URL()); err != nil || !bytes.Equal(got, data) {
							t.Errorf("%d bytes, %v", len(got), err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(begin); took < tt.least {
					t.Errorf("took %v; the link needs %v", took, tt.least)
				}
				st := l.Stats()
				if want := int64(tt.conns * size); st.Down < want || st.Down > want*11/10 || st.Conns != int64(tt.conns) || st.Requests != int64(tt.conns) || st.Up == 0 {
					t.Errorf("stats: %+v", st)
				}
			})
		}
	}
}

func TestFaults(t *testing.T) {
	data := bodyOf(100 << 10)
	for _, secure := range []bool{false, true} {
		for name, f := range map[string]weaklink.Faults{
			"cut": {Cut: 1}, "stall": {Stall: 1}, "reset": {Reset: 1}, "503": {Unavailable: 1, RetryAfter: 2 * time.Second},
		} {
			t.Run(fmt.Sprint(name, " tls ", secure), func(t *testing.T) {
				f.FirstOnly = true
				l := start(t, weaklink.Config{TLS: secure, Faults: f}, serve(data))
				hc := client(t, l)
				hc.Timeout = 300 * time.Millisecond // for the stall
				got, status, err := fetch(hc, l.URL()+"/a")
				if name == "503" {
					if status != 503 || err != nil {
						t.Errorf("status %d, %v", status, err)
					}
				} else if err == nil || len(got) >= len(data) {
					t.Errorf("%d bytes and %v", len(got), err)
				}
				hc.Timeout = 0
				if got, _, err := fetch(hc, l.URL()+"/a"); err != nil || !bytes.Equal(got, data) {
					t.Errorf("second try: %d bytes, %v", len(got), err)
				}
				if st := l.Stats(); st.Faults != 1 || l.Count("/a") < 2 {
					t.Errorf("stats: %+v, %d", st, l.Count("/a"))
				}
			})
		}
	}
}

// The same seed spoils the same answers in whatever order they are asked for.
func TestSeed(t *testing.T) {
	faults := func(seed uint64, backwards bool) string {
		l := start(t, weaklink.Config{Faults: weaklink.Faults{Seed: seed, Unavailable: 0.3}}, serve([]byte("x")))
		hc := client(t, l)
		out := make([]string, 100)
		for i := range out {
			if backwards {
				i = len(out) - 1 - i
			}
			_, status, err := fetch(hc, fmt.Sprint(l.URL(), "/", i))
			if err != nil {
				t.Fatal(err)
			}
			out[i] = fmt.Sprint(status)
		}
		return strings.Join(out, " ")
	}
	one, same, other := faults(1, false), faults(1, true), faults(2, false)
	if one != same || one == other {
		t.Errorf("seeds do not decide:\n%s\n%s\n%s", one, same, other)
	}
	if n := strings.Count(one, "503"); n < 15 || n > 45 {
		t.Errorf("%d of 100 spoiled, want about 30", n)
	}
}

// A link that is cut breaks what is under way, and takes new connections.
func TestCut(t *testing.T) {
	data := bodyOf(1 << 20)
	l := start(t, weaklink.Config{Rate: 1 << 20}, serve(data))
	resp, err := client(t, l).Get(l.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
		t.Fatal(err)
	}
	l.Cut()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes came after the cut", n)
	}
	l.Reset()
	if _, status, err := fetch(client(t, l), l.URL()+"/none"); status != 200 || err != nil {
		t.Errorf("after the cut: %d %v", status, err)
	}
}

// A link that loses long greetings has what a client sends after one disappear as well.
func TestMaxHello(t *testing.T) {
	l := start(t, weaklink.Config{TLS: true, MaxHello: 1000}, serve([]byte("x")))
	for _, tt := range []struct {
		name   string
		curves []tls.CurveID
		ok     bool
	}{
		{"with a post-quantum key share", []tls.CurveID{tls.X25519MLKEM768, tls.X25519}, false},
		{"without", []tls.CurveID{tls.X25519}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hc := client(t, l)
			hc.Transport.(*http.Transport).TLSClientConfig.CurvePreferences = tt.curves
			if !tt.ok {
				hc.Timeout = 300 * time.Millisecond
			}
			_, _, err := fetch(hc, l.URL())
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A made-up name stands in the URL and in the certificate.
func TestHost(t *testing.T) {
	l := start(t, weaklink.Config{TLS: true, Host: "mirror.test"}, serve([]byte("x")))
	if want := "https://mirror.test:"; !strings.HasPrefix(l.URL(), want) {
		t.Fatalf("URL %s", l.URL())
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(l.URL(), "https://"), ":")
	hc := client(t, l)
	hc.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	if _, status, err := fetch(hc, l.URL()); err != nil || status != 200 {
		t.Errorf("status %d, %v", status, err)
	}
	if _, _, err := fetch(hc, "https://other.test:"+port); err == nil {
		t.Error("the certificate is good for another name")
	}
}

// Faults change while the link lives; those of HTTP/2 befall HTTP/2 alone.
func TestSetFaults(t *testing.T) {
	l := start(t, weaklink.Config{TLS: true, Faults: weaklink.Faults{Unavailable: 1}}, serve([]byte("x")))
	two, one := client(t, l), client(t, l)
	one.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	if _, status, err := fetch(two, l.URL()); err != nil || status != 503 {
		t.Errorf("status %d, %v", status, err)
	}
	l.SetFaults(weaklink.Faults{HTTP2: 1})
	if _, _, err := fetch(two, l.URL()); err == nil {
		t.Error("the stream was not reset")
	}
	if _, status, err := fetch(one, l.URL()); err != nil || status != 200 {
		t.Errorf("HTTP/1.1: status %d, %v", status, err)
	}
	l.SetFaults(weaklink.Faults{})
	if _, status, err := fetch(two, l.URL()); err != nil || status != 200 {
		t.Errorf("status %d, %v", status, err)
	}
}
