package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	// ErrListen means that the socket could not be opened; the *ListenError has the address.
	ErrListen = errors.New("cannot listen")
	// ErrPortTaken means that another process has the address.
	ErrPortTaken = errors.New("address already in use")
)

// A ListenError says which address could not be listened on. It matches
// ErrListen, and ErrPortTaken where another process has the address.
type ListenError struct {
	Addr string // as in Config.Listen
	Err  error
}

// Error names the address and the reason.
func (e *ListenError) Error() string { return fmt.Sprintf("listen on %s: %v", e.Addr, e.Err) }

// Unwrap returns ErrListen and the reason.
func (e *ListenError) Unwrap() []error { return []error{ErrListen, e.Err} }

// A CertError says which certificate files could not be used.
type CertError struct {
	CertFile, KeyFile string
	Err               error
}

// Error names the files and the reason.
func (e *CertError) Error() string {
	return fmt.Sprintf("certificate %q with key %q: %v", e.CertFile, e.KeyFile, e.Err)
}

// Unwrap returns e.Err.
func (e *CertError) Unwrap() error { return e.Err }

const unixPrefix = "unix:"

func listen(ctx context.Context, addr string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) { return nil, &ListenError{Addr: addr, Err: err} }
	network, target := "tcp", addr
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		network, target = "unix", path
		if path == "" {
			return fail(errors.New("unix: needs a path"))
		}
		if err := removeStaleSocket(ctx, path); err != nil {
			return fail(err)
		}
	} else if _, _, err := net.SplitHostPort(addr); err != nil {
		return fail(fmt.Errorf("want host:port or unix:/path: %w", err))
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, target)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the address is in the ListenError already
		}
		if addressInUse(err) {
			err = ErrPortTaken
		}
		return fail(err)
	}
	return ln, nil
}

// removeStaleSocket removes the socket that a killed server has left at path.
// A socket on which somebody answers is taken; anything that is no socket is
// left for bind to complain about.
func removeStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return ErrPortTaken
	}
	if !connectionRefused(err) {
		return err // no permission, a full queue: somebody may well be there
	}
	return os.Remove(path)
}

// certificates is a key pair that follows its files. Files are looked at in
// each handshake: two stat calls cost nothing beside the signature, and a
// renewed certificate counts at once.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	cert   *tls.Certificate
	tried  [2]fileState // of the last attempt, good or bad
	logged error
}

// fileState tells two versions of a file apart. os.Stat follows the symbolic
// links by which certificates are swapped in containers.
type fileState struct {
	mod  time.Time
	size int64
}

func loadCertificates(certFile, keyFile string, log *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, log: log}
	if certFile == "" || keyFile == "" {
		return nil, &CertError{certFile, keyFile, errors.New("TLS needs both a certificate file and a key file")}
	}
	state, err := c.state()
	if err != nil {
		return nil, &CertError{certFile, keyFile, err}
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, &CertError{certFile, keyFile, err}
	}
	c.cert, c.tried = &cert, state
	return c, nil
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

func (c *certificates) state() (s [2]fileState, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = fileState{info.ModTime(), info.Size()}
	}
	return s, nil
}

// get returns the newest usable certificate. A pair that is half written or
// broken leaves the old one in service, with one line in the log.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, err := c.state()
	if err == nil && state == c.tried {
		return c.cert, nil
	}
	var cert tls.Certificate
	if err == nil {
		c.tried = state
		cert, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	if err != nil {
		if c.logged == nil || c.logged.Error() != err.Error() {
			c.log.Warn("certificate not renewed, the old one stays in use", "err", &CertError{c.certFile, c.keyFile, err})
		}
		c.logged = err
		return c.cert, nil
	}
	c.cert, c.logged = &cert, nil
	c.log.Info("certificate renewed", "file", c.certFile)
	return c.cert, nil
}
