package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
)

func TestFailureOf(t *testing.T) {
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tt := range []struct {
		err  error
		want Failure
	}{
		{verify(x509.UnknownAuthorityError{}), UnknownAuthority},
		{verify(x509.SystemRootsError{Err: os.ErrNotExist}), UnknownAuthority},
		{verify(x509.CertificateInvalidError{Reason: x509.Expired}), CertExpired},
		{verify(x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}), Other},
		{&net.DNSError{IsNotFound: true}, NXDomain},
		{&net.DNSError{IsNotFound: true, IsTemporary: true}, DNSTemporary},
		{&net.DNSError{IsNotFound: true, IsTimeout: true}, TimedOut},
		{&net.DNSError{IsTemporary: true}, DNSTemporary},
		{&net.DNSError{}, DNSTemporary},
		{fmt.Errorf("wrapped: %w", io.ErrUnexpectedEOF), EOF},
		{context.DeadlineExceeded, TimedOut},
		{os.ErrDeadlineExceeded, TimedOut},
		{net.ErrClosed, Other},
		{errors.New("connection refused"), Other}, // a text is no evidence
	} {
		if got := failureOf(tt.err); got != tt.want {
			t.Errorf("%#v: got %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestProxyAddr(t *testing.T) {
	for proxy, want := range map[string]string{
		"http://p.test":         "p.test:80",
		"https://p.test":        "p.test:443",
		"socks5://p.test":       "p.test:1080",
		"socks5h://[::1]":       "[::1]:1080",
		"http://u:p@p.test:123": "p.test:123",
	} {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		if got := proxyAddr(u); got != want {
			t.Errorf("%s: got %s, want %s", proxy, got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  Error
		want string
	}{
		{Error{Op: OpConnect, Failure: Refused, Host: "a.test"}, "connect a.test: connection refused"},
		{Error{Op: OpConnect, Failure: Other}, "connect: unexpected failure"},
		{Error{Op: OpTLS, Failure: BadHostname, Host: "a.test"}, "tls a.test: certificate of another host"},
		{Error{Op: OpProxy, Failure: Other, Host: "a.test", Err: errors.New("hunter2")}, "proxy a.test: unexpected failure"},
		{Error{Op: OpRead, Failure: Other, Err: errors.New(strings.Repeat("é", 200))}, "read: " + strings.Repeat("é", 100) + "…"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
