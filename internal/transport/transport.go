// Package transport builds the HTTP client that every outbound request uses,
// keeps it moving on a bad link, and says why a request failed.
//
// The body of a GET that breaks off is continued by a Range request, and a large one
// comes over several connections where that is faster; who reads it does not notice.
// Bytes of two versions of a file never meet in one body.
//
// It knows no module paths, reads no settings of its own beyond its Config,
// starts no processes, keeps no body, and repeats none that cannot be told from another.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// A Config says how a client behaves. The zero value is a good client for a
// slow link. Durations of zero mean the default; negative ones are an error.
type Config struct {
	// ConnectTimeout bounds each wait before a connection stands: the look-up of a
	// name, the connection to one address, and a proxy's answer. Default 10 s.
	ConnectTimeout time.Duration
	// TLSTimeout bounds a TLS handshake. Default 10 s.
	TLSTimeout time.Duration
	// FallbackDelay is how long a TLS handshake, or the last address that could be tried,
	// may be silent before another way is tried beside it: another ClientHello, other
	// addresses, DNS over HTTPS. The first handshake that succeeds wins. Default 3 s, in
	// which a lost packet is repeated even where a round trip takes 500 ms.
	FallbackDelay time.Duration
	// FirstByteTimeout bounds the time from a request to the end of the
	// answer's header. Default 60 s: upstreams fetch on demand.
	FirstByteTimeout time.Duration
	// StallTimeout is how long a body may bring no byte while it is being read;
	// a reader that takes its time costs nothing. Default 10 s.
	StallTimeout time.Duration

	// Retries is how many further tries a GET or HEAD gets. The body of a GET that breaks
	// off is continued as often before it has brought another 256 KiB. Default 4; negative for none, and bodies are not continued.
	Retries int
	// RetryWait is the longest wait before the first further try; each one after
	// it waits up to twice as long. Default 500 ms.
	RetryWait time.Duration
	// RetryBudget bounds the waits between the tries of one request, added up, or
	// of a body before it has brought another 256 KiB. Default 30 s.
	RetryBudget time.Duration

	// SplitSize is the length in bytes from which a body may come over several
	// connections at once. It must have a strong ETag, its server must take ranges, and it
	// does so only as long as more connections bring more bytes. Default 4 MiB;
	// negative for never. MaxConnsPerHost and negative Retries rule it out.
	SplitSize int64
	// SplitParts is how many connections one body may use. Default 8; 1 for no splitting.
	SplitParts int
	// SplitMemory bounds the bytes of all split bodies of the client that wait in memory for
	// their turn. A body for which nothing is left comes over one connection. Default 32 MiB.
	SplitMemory int64

	// RootFiles are PEM files whose certificates are trusted beside the system's.
	RootFiles []string
	// Proxy says which proxy a request goes through, nil URL for none. Its answer
	// may depend on the scheme and the host of the request, not on more. The
	// schemes are http, https, socks5 and socks5h (both let the proxy look names
	// up). Default http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Insecure says for which host (without port) and URL path the user gave up
	// certificate checks and https, as GOINSECURE does. Nil for none.
	Insecure func(host, path string) bool
	// Credentials are what requests are authenticated with.
	Credentials Credentials
	// Lookup finds the addresses of a host name. Default the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Hosts are the addresses of host names for which nobody is to be asked.
	Hosts map[string][]netip.Addr
	// DoH are the URLs of resolvers that speak DNS over HTTPS (RFC 8484), such as
	// https://223.5.5.5/dns-query. They are asked, all at once, for a host whose addresses
	// Lookup does not find, or finds and none of them does: for https none completes a
	// TLS handshake with a certificate of the host, for http none connects. Nil for none.
	DoH []string
	// Memory keeps which way to a host worked, and which host does not answer. Nil for
	// one of the client's own.
	Memory *Memory

	// UserAgent is sent where a request has none. Default "goferry".
	UserAgent string
	// MaxConnsPerHost bounds the connections to one host; 0 for no bound.
	MaxConnsPerHost int
	// Logger gets a line for each further try, each unusable credential and each way around
	// an obstacle that was found to work; nil discards.
	Logger *slog.Logger
	// Observe is called once for each attempt, when its body has ended or it has
	// failed, on the goroutine that made it end; for several at once where they end at
	// once. Nil for nobody.
	Observe func(Attempt)
}

const (
	maxRedirects   = 10
	maxHeaderBytes = 1 << 20
	readBuffer     = 64 << 10 // as large as a TLS connection can make use of
)

// New returns a client that follows cfg. It has no overall timeout: every wait
// has a deadline on progress instead. Bodies come as they were sent, never
// unpacked. An error that Do returns is a *url.Error, whose text holds the whole
// URL: pass it through Clean, or take it apart with Explain.
//
// An error of New names the file or setting that is no good.
func New(cfg Config) (*http.Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(cfg.RootFiles)
	if err != nil {
		return nil, err
	}
	auth, err := newAuthenticator(cfg.Credentials, cfg.Logger)
	if err != nil {
		return nil, err
	}
	d := newDialer(&cfg, roots)
	if d.names.doh, err = newDoH(cfg.DoH, d, roots); err != nil {
		return nil, err
	}
	cfg.Observe = watchHTTP2(&cfg)
	check := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	// The user asked for it, host by host; see Config.Insecure.
	noCheck := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	rt := &roundTripper{
		cfg:            cfg,
		auth:           auth,
		checked:        newBase(&cfg, d, check, true),
		unchecked:      newBase(&cfg, d, noCheck, true),
		checkedHTTP1:   newBase(&cfg, d, check, false),
		uncheckedHTTP1: newBase(&cfg, d, noCheck, false),
	}
	rt.split.init(&rt.cfg)
	return &http.Client{Transport: rt, CheckRedirect: rt.checkRedirect}, nil
}

func (cfg Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"ConnectTimeout", &cfg.ConnectTimeout, 10 * time.Second},
		{"TLSTimeout", &cfg.TLSTimeout, 10 * time.Second},
		{"FallbackDelay", &cfg.FallbackDelay, 3 * time.Second},
		{"FirstByteTimeout", &cfg.FirstByteTimeout, 60 * time.Second},
		{"StallTimeout", &cfg.StallTimeout, 10 * time.Second},
		{"RetryWait", &cfg.RetryWait, 500 * time.Millisecond},
		{"RetryBudget", &cfg.RetryBudget, 30 * time.Second},
	} {
		if *d.value < 0 {
			return cfg, fmt.Errorf("%s: %v is negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if cfg.Retries == 0 {
		cfg.Retries = 4
	}
	cfg.splitDefaults()
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	if cfg.Insecure == nil {
		cfg.Insecure = func(host, path string) bool { return false }
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Memory == nil {
		cfg.Memory = NewMemory()
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "goferry"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// newBase returns the transport that carries single attempts.
func newBase(cfg *Config, d *dialer, conf *tls.Config, http2 bool) *http.Transport {
	conf = conf.Clone()
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	base := &http.Transport{
		Proxy:       requestProxy,
		DialContext: d.DialContext,
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return d.tls(ctx, addr, conf, true)
		},
		DisableCompression:     true, // lengths and ranges must be those of the file
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    32,
		MaxConnsPerHost:        cfg.MaxConnsPerHost,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ReadBufferSize:         readBuffer,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			// Without pings a connection that a NAT forgot eats every request sent
			// on it until FirstByteTimeout.
			SendPingTimeout: cfg.StallTimeout,
			PingTimeout:     cfg.StallTimeout,
		},
	}
	base.Protocols.SetHTTP1(true)
	base.Protocols.SetHTTP2(http2)
	conf.NextProtos = nextProtos(base)
	return base
}

// nextProtos are the protocols that a TLS handshake for base may agree on: HTTP/2 only where
// base has it, which GODEBUG may forbid.
func nextProtos(base *http.Transport) []string {
	base.CloseIdleConnections() // makes base set itself up
	if _, ok := base.TLSNextProto["h2"]; ok {
		return []string{"h2", "http/1.1"}
	}
	return []string{"http/1.1"}
}

// A RootsError says which file of Config.RootFiles could not be used.
type RootsError struct {
	File string
	Err  error
}

// Error names the file and the reason.
func (e *RootsError) Error() string { return fmt.Sprintf("root certificates %s: %v", e.File, e.Err) }

// Unwrap returns e.Err.
func (e *RootsError) Unwrap() error { return e.Err }

// loadRoots returns the system's certificates and those of files; nil, which
// crypto/tls takes for the system's, if there are no files.
func loadRoots(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificates: %w", err)
	}
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return nil, &RootsError{File: file, Err: err}
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &RootsError{File: file, Err: errors.New("no PEM certificate in it")}
		}
	}
	return pool, nil
}

// checkRedirect holds the rules of cmd/go's internal/web: a request that began
// with https stays there unless its first URL is insecure by the user's word.
func (t *roundTripper) checkRedirect(req *http.Request, via []*http.Request) error {
	refuse := func(f Failure, reason string) error {
		return &Error{Op: OpRedirect, Failure: f, Host: req.URL.Hostname(), Err: errors.New(reason)}
	}
	if len(via) > maxRedirects {
		return refuse(TooManyRedirects, fmt.Sprintf("more than %d redirects", maxRedirects))
	}
	first := via[0].URL
	for _, v := range via {
		if v.URL.Scheme == "https" && req.URL.Scheme != "https" && !t.insecure(first) {
			return refuse(InsecureRedirect, "redirect from https to "+req.URL.Scheme)
		}
	}
	// The path of a private module is nobody else's business.
	req.Header.Del("Referer")
	if !sameHost(req.URL, first) {
		// net/http keeps these for subdomains.
		for _, h := range []string{"Authorization", "Cookie", "Www-Authenticate"} {
			req.Header.Del(h)
		}
	}
	return nil
}

func (t *roundTripper) insecure(u *url.URL) bool { return t.cfg.Insecure(u.Hostname(), u.Path) }
