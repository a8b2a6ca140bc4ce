package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/goferry/goferry/internal/weaklink"
)

type linksKey struct{}

// links are the weak links of a script, by name.
type links map[string]*weaklink.Link

func (l links) close() {
	for _, link := range l {
		link.Close()
	}
}

// cmdLink starts a link to the script's upstream, or looks at one:
//
//	link NAME [rtt=20ms] [rate=4000000] [per=1000000] [tls] [host=mirror.test] [hello=1000] [silent]
//	          [cut=0.5] [stall=0.5] [reset=0.5] [503=0.5] [h2=0.5] [retry-after=1s] [seed=7] [first]
//	link NAME bytes MAX       fails if more bytes came over it
//	link NAME requests        prints what came over it
//	link NAME break           cuts every connection
func cmdLink(ts *testscript.TestScript, neg bool, args []string) {
	all := ts.Value(linksKey{}).(links)
	if neg || len(args) == 0 {
		ts.Fatalf("link: see testdata/script/README")
	}
	name := args[0]
	link := all[name]
	if link == nil {
		cfg, silent := linkConfig(ts, args[1:])
		var h http.Handler = upstreamOf(ts).Handler
		if silent {
			h = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}
		link = weaklink.Start(cfg, h)
		all[name] = link
		ts.Setenv(name, link.URL())
		if cfg.TLS {
			file := filepath.Join(ts.Getenv("WORK"), name+".pem")
			ts.Check(os.WriteFile(file, link.CertPEM(), 0o666))
		}
		return
	}
	st := link.Stats()
	switch {
	case len(args) == 3 && args[1] == "bytes":
		limit, err := strconv.ParseInt(args[2], 10, 64)
		ts.Check(err)
		if st.Down > limit {
			ts.Fatalf("%d bytes came over the link %s, more than %d: %+v", st.Down, name, limit, st)
		}
	case len(args) == 2 && args[1] == "requests":
		fmt.Fprintf(ts.Stdout(), "%+v\n", st)
	case len(args) == 2 && args[1] == "break":
		link.Cut()
	default:
		ts.Fatalf("link %s: see testdata/script/README", strings.Join(args, " "))
	}
}

// cmdLeave asks for a URL and leaves when so many bytes of its body have come: leave BYTES URL.
func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: leave BYTES URL")
	}
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(args[1])
	ts.Check(err)
	defer resp.Body.Close()
	if got, err := io.CopyN(io.Discard, resp.Body, n); err != nil {
		ts.Fatalf("leave: %s: %s, %d bytes of the body, %v", args[1], resp.Status, got, err)
	}
}

// cmdResolver starts a resolver that speaks DNS over HTTPS and knows the IPv4 address of one name:
// resolver NAME HOST=ADDRESS. It sets NAME to its URL, and its root is $WORK/NAME.pem.
func cmdResolver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: resolver NAME HOST=ADDRESS")
	}
	host, addr, _ := strings.Cut(args[1], "=")
	ip, err := netip.ParseAddr(addr)
	ts.Check(err)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		var q dns.Msg
		if err != nil || q.Unpack(data) != nil || len(q.Question) != 1 {
			http.Error(w, "not a question", http.StatusBadRequest)
			return
		}
		var a dns.Msg
		a.SetReply(&q)
		if ask := q.Question[0]; strings.TrimSuffix(ask.Name, ".") == host && ask.Qtype == dns.TypeA {
			a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: ask.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: ip.AsSlice()}}
		}
		data, err = a.Pack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write(data)
	}))
	ts.Defer(srv.Close)
	ts.Setenv(args[0], srv.URL+"/dns-query")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), args[0]+".pem"), block, 0o666))
}

func linkConfig(ts *testscript.TestScript, args []string) (cfg weaklink.Config, silent bool) {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		number := func(to *int64) { *to, err = strconv.ParseInt(value, 10, 64) }
		part := func(to *float64) { *to, err = strconv.ParseFloat(value, 64) }
		switch key {
		case "rtt":
			cfg.RTT, err = time.ParseDuration(value)
		case "rate":
			number(&cfg.Rate)
		case "per":
			number(&cfg.PerConn)
		case "tls":
			cfg.TLS = true
		case "host":
			cfg.Host = value
		case "hello":
			cfg.MaxHello, err = strconv.Atoi(value)
		case "silent":
			silent = true
		case "cut":
			part(&cfg.Faults.Cut)
		case "stall":
			part(&cfg.Faults.Stall)
		case "reset":
			part(&cfg.Faults.Reset)
		case "503":
			part(&cfg.Faults.Unavailable)
		case "h2":
			part(&cfg.Faults.HTTP2)
		case "retry-after":
			cfg.Faults.RetryAfter, err = time.ParseDuration(value)
		case "seed":
			cfg.Faults.Seed, err = strconv.ParseUint(value, 10, 64)
		case "first":
			cfg.Faults.FirstOnly = true
		default:
			ts.Fatalf("link: %q: see testdata/script/README", arg)
		}
		if err != nil {
			ts.Fatalf("link: %s: %v", arg, err)
		}
	}
	return cfg, silent
}
