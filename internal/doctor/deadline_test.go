package doctor

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A pipeNet is a network of pipes, for tests in which no real time passes. It is as silent as the test has it.
type pipeNet struct {
	t       *testing.T
	conns   *simListener // connections that get as far as a TLS server
	resolve bool         // the resolver answers
	connect bool
	shake   bool
	proxy   bool // connections are to a proxy, which lets nothing through
}

func (n *pipeNet) lookup(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if !n.resolve {
		<-ctx.Done()
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}
	list, ok := pipeHosts()[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs("2a00:1450::"+list, "45.77.1."+list), nil // IPv6 is swallowed
}

// pipeHosts are the ends of addresses.
func pipeHosts() map[string]string {
	return map[string]string{simHost: "10", simSecond: "30", simControl: "40", publicSumDB: "50", labSumDB: "50"}
}

func (n *pipeNet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "tcp" && (!n.connect || strings.HasPrefix(addr, "[")) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	mine, theirs := net.Pipe()
	if network == "tcp" && n.shake {
		go func() {
			select {
			case n.conns.conns <- theirs:
			case <-n.conns.over:
			}
		}()
	} else {
		go io.Copy(io.Discard, theirs)
	}
	return mine, nil
}

// exam is a machine behind the network, which serves h, with the waits that users have.
func (n *pipeNet) exam(h http.Handler) *Exam {
	ca := newSimCA(n.t, "Test Root", "Trusted Authority")
	cert := ca.issue(time.Now(), slices.Sorted(maps.Keys(pipeHosts()))...)
	n.conns = &simListener{conns: make(chan net.Conn), over: make(chan struct{})}
	n.conns.Listener = &net.TCPListener{}
	srv := &http.Server{Handler: h, ErrorLog: quietLog(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}}
	go srv.ServeTLS(pipeListener{n.conns}, "", "")
	n.t.Cleanup(func() { close(n.conns.over); srv.Close() })
	x := &Exam{OS: "linux", Arch: "amd64", Env: map[string]string{}, SumDB: publicSumDB,
		GoEnv: GoEnv{Version: "go1.26.8", Values: map[string]string{"GOPROXY": simPiped}},
		Net: Net{Lookup: n.lookup, Dial: n.dial, Roots: ca.pool, Control: simControl, Whoami: simWhoami, Resolvers: []string{simUDP1, simUDP2},
			DoH: []string{"https://9.9.9.9/dns-query"}, Now: time.Now}}
	for _, t := range []Target{{Role: Upstream, URL: mustURL("https://" + simHost), Sep: '|'}, {Role: Upstream, URL: mustURL("https://" + simSecond), Sep: ','},
		{Role: Database, URL: mustURL("https://" + publicSumDB)}} {
		if n.proxy {
			x.Env["HTTPS_PROXY"] = "http://45.77.9.9:3128"
			t.Proxy = &url.URL{Scheme: "http", Host: "45.77.9.9:3128"}
		}
		x.Targets = append(x.Targets, t)
	}
	return x
}

// pipeListener has an address that can be asked for.
type pipeListener struct{ *simListener }

func (pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
func (pipeListener) Close() error   { return nil }

// TestDeadlines wants every examination to be over in time wherever the network falls silent, with the waits that users have,
// and to say by then what is wrong.
func TestDeadlines(t *testing.T) {
	const most = 15 * time.Second // of the whole, with what comes before and after it
	if checkWait+checkGrace > most-2*time.Second {
		t.Errorf("checks may take %s and %s", checkWait, checkGrace)
	}
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	begun := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		w.Write(make([]byte, 100))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	for _, tt := range []struct {
		name string
		net  pipeNet
		h    http.Handler
		root string
	}{
		{"nothing answers", pipeNet{}, silent, codeOffline},
		{"nothing connects", pipeNet{resolve: true}, silent, codeOffline},
		{"no handshake is answered", pipeNet{resolve: true, connect: true}, silent, string(VerdictTLSTimeout)},
		{"a silent proxy", pipeNet{resolve: true, connect: true, proxy: true}, silent, codeProxyBroken},
		{"no request is answered", pipeNet{resolve: true, connect: true, shake: true}, silent, codeHTTPStalled},
		{"no answer comes to its end", pipeNet{resolve: true, connect: true, shake: true}, begun, codeHTTPStalled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := tt.net
				n.t = t
				checks, _ := Select(Checks(), []string{string(Network), string(Proxies), string(Mirrors), string(SumDB)})
				r := Examine(t.Context(), n.exam(tt.h), checks, Options{})
				t.Logf("%s after %s", family(r.Causes), r.Took)
				if r.Took > checkWait+checkGrace {
					t.Errorf("took %s", r.Took)
				}
				if len(r.Causes) == 0 || r.Causes[0].Code != tt.root || r.Causes[0].Severity != Fault {
					t.Errorf("found %q, want %s", family(r.Causes), tt.root)
				}
			})
		})
	}
}

// TestHealthySoon wants a healthy network to be known for one soon, though IPv6 is swallowed. What the machine itself needs comes on top.
func TestHealthySoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHTTPLab(t)
		n := pipeNet{t: t, resolve: true, connect: true, shake: true}
		x := n.exam(l.up)
		x.SumDB = l.up.GOSUMDB()
		checks, _ := Select(Checks(), []string{string(Network), string(Proxies), string(Mirrors), string(SumDB)})
		r := Examine(t.Context(), x, checks, Options{})
		t.Logf("%s after %s", family(r.Causes), r.Took)
		if !r.Healthy || !r.Complete || r.Took > 2500*time.Millisecond {
			t.Errorf("healthy %t, complete %t after %s: %q", r.Healthy, r.Complete, r.Took, family(r.Causes))
		}
	})
}
