// Package server runs an HTTP server: listeners, middleware, health, metrics, graceful stop.
//
// It never knows what the handlers do: it reads no module path, keeps nothing on
// disk and asks no upstream. What it counts and reports is handed to it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Defaults of Config. There is no limit on the time that a whole answer may
// take: a zip of 500 MiB on a slow link takes hours and is all right.
const (
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultIdleTimeout       = 2 * time.Minute
	DefaultShutdownTimeout   = 30 * time.Second
	DefaultStallTimeout      = 2 * time.Minute
	DefaultMaxHeaderBytes    = 64 << 10
)

// ErrCutOff is returned by Serve when answers were still running at the end of
// ShutdownTimeout and had to be cut off.
var ErrCutOff = errors.New("answers cut off at shutdown")

// A Config says where and how to serve. Zero durations and sizes mean the defaults.
type Config struct {
	Listen   string // host:port, or unix:/path
	CertFile string // PEM chain; with KeyFile it turns on TLS and HTTP/2, and is read again when the file changes
	KeyFile  string // PEM private key of CertFile

	ReadHeaderTimeout time.Duration // from the first byte of a request to the end of its header
	IdleTimeout       time.Duration // how long a connection without a request is kept
	ShutdownTimeout   time.Duration // how long running answers may go on after the end of Serve's context
	StallTimeout      time.Duration // a client that takes not one byte for so long is dropped; also the wait for a request body
	MaxHeaderBytes    int

	Logger    *slog.Logger // nil discards
	AccessLog bool         // one line for each request
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	def(&c.IdleTimeout, DefaultIdleTimeout)
	def(&c.ShutdownTimeout, DefaultShutdownTimeout)
	def(&c.StallTimeout, DefaultStallTimeout)
	if c.MaxHeaderBytes <= 0 {
		c.MaxHeaderBytes = DefaultMaxHeaderBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Server is a listening socket and the way to serve it. Connections queue up
// from Listen on; they are answered once Serve runs.
type Server struct {
	cfg    Config
	ln     net.Listener
	certs  *certificates // nil without TLS
	served atomic.Bool
}

// Listen opens the socket of cfg and reads its certificate. Errors are
// *ListenError (which matches ErrListen, and ErrPortTaken where that is why) and
// *CertError.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		certs, err := loadCertificates(cfg.CertFile, cfg.KeyFile, cfg.Logger)
		if err != nil {
			return nil, err
		}
		s.certs = certs
	}
	ln, err := listen(ctx, cfg.Listen)
	if err != nil {
		return nil, err
	}
	s.ln = &progressListener{Listener: ln, stall: cfg.StallTimeout, bufs: newBufPool()}
	return s, nil
}

// Addr is the address listened on, with the port that was really taken:
// "127.0.0.1:8046", or "unix:/path".
func (s *Server) Addr() string {
	if s.ln.Addr().Network() == "unix" {
		return unixPrefix + s.ln.Addr().String()
	}
	return s.ln.Addr().String()
}

// URL is how a client on this machine reaches the server, without a trailing
// slash: the host name of Config.Listen if there is one, the loopback address
// where the server listens on every address. For a unix socket it is Addr.
func (s *Server) URL() string {
	tcp, ok := s.ln.Addr().(*net.TCPAddr)
	if !ok {
		return s.Addr()
	}
	host, _, _ := net.SplitHostPort(s.cfg.Listen) // listen has accepted it
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "localhost" // [::] may have been made IPv6-only by the system
		}
	}
	scheme := "http"
	if s.certs != nil {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}

// Close closes the socket of a server that is not to be served after all.
func (s *Server) Close() error { return s.ln.Close() }

// Serve answers with h until ctx ends. Then it stops accepting, lets running
// answers finish within ShutdownTimeout and returns nil; answers that are still
// running are cut off then, and the error matches ErrCutOff. Requests do not
// inherit the end of ctx, only its values.
//
// h is wrapped in RequestID, AccessLog (if the Config asks for it) and Recover.
// Serve can be called once.
func (s *Server) Serve(ctx context.Context, h http.Handler) error {
	if s.served.Swap(true) {
		return errors.New("server: Serve called twice")
	}
	base, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	srv := s.httpServer(base, h)
	failed := make(chan error, 1)
	go func() { failed <- s.accept(srv) }()
	select {
	case err := <-failed: // the socket broke; nothing is left to wait for
		return errors.Join(fmt.Errorf("serve %s: %w", s.Addr(), err), srv.Close())
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(base, s.cfg.ShutdownTimeout)
	defer stop()
	err := srv.Shutdown(grace)
	if err != nil {
		cutOff() // handlers see the end before their connections go
		err = fmt.Errorf("serve %s: %w after %s", s.Addr(), ErrCutOff, s.cfg.ShutdownTimeout)
		_ = srv.Close() // the sockets go one way or the other
	}
	<-failed
	return err
}

func (s *Server) accept(srv *http.Server) error {
	if s.certs != nil {
		return srv.ServeTLS(s.ln, "", "")
	}
	return srv.Serve(s.ln)
}

func (s *Server) httpServer(base context.Context, h http.Handler) *http.Server {
	log := s.cfg.Logger
	stack := []func(http.Handler) http.Handler{RequestID()}
	if s.cfg.AccessLog {
		stack = append(stack, AccessLog(log))
	}
	stack = append(stack, Recover(log))
	srv := &http.Server{
		Handler:           guardProgress(s.cfg.StallTimeout, Wrap(h, stack...)),
		ReadHeaderTimeout: s.cfg.ReadHeaderTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    s.cfg.MaxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			host, _, err := net.SplitHostPort(c.RemoteAddr().String())
			if err != nil {
				return ctx // a unix socket tells nobody apart
			}
			return context.WithValue(ctx, clientKey{}, host)
		},
		// Handshake errors of port scanners and the like: not worth a warning.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
	if s.certs != nil {
		srv.TLSConfig = s.certs.config()
	}
	return srv
}

// Wrap puts middleware around h, the first outermost.
func Wrap(h http.Handler, middleware ...func(http.Handler) http.Handler) http.Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		h = middleware[i](h)
	}
	return h
}

type clientKey struct{}

// ClientFrom returns the address, without a port, of whoever sent the request that ctx
// belongs to; empty if it is not known. Those behind one proxy or NAT are one.
func ClientFrom(ctx context.Context) string {
	host, _ := ctx.Value(clientKey{}).(string)
	return host
}
