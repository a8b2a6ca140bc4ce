package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// failureOf finds the Failure in the typed errors of the standard library.
// It is Other for what has no type to go by; texts are never looked at.
func failureOf(err error) Failure {
	if f := certificateFailure(err); f != "" {
		return f
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dnsFailure(dns)
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if f := errnoFailure(errno); f != Other {
			return f
		}
	}
	if _, ok := errors.AsType[streamError](err); ok {
		return H2Protocol
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return EOF
	}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return TimedOut
	}
	return Other
}

// dnsFailure does not take IsNotFound for NXDOMAIN where the resolver also says
// that asking again may help: it never got an answer then.
func dnsFailure(err *net.DNSError) Failure {
	switch {
	case err.IsTimeout:
		return TimedOut
	case err.IsNotFound && !err.IsTemporary:
		return NXDomain
	}
	return DNSTemporary
}

// certificateFailure is empty if err is not about a certificate or a TLS record.
func certificateFailure(err error) Failure {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return BadHostname
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired { // also: not yet valid
			return CertExpired
		}
		return Other
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return UnknownAuthority
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return UnknownAuthority
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return TLSProtocol
	}
	return ""
}

// tlsFailure is failureOf for an error of a TLS handshake, where whatever has
// no type of its own (alerts have none) is about TLS.
func tlsFailure(err error) Failure {
	f := failureOf(err)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok && f == Other {
		return TLSProtocol
	}
	return f
}

// certificateText is what TLS said, without the layers around it.
func certificateText(err error) string {
	if err == nil {
		return ""
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return clip(verify.Err.Error(), 300)
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(record.RecordHeader[:]) == "HTTP/" {
			return "plain http on an https port"
		}
		return record.Msg
	}
	return clip(err.Error(), 300)
}

// streamError is what errors.As turns an HTTP/2 stream error of net/http into:
// the bundled type is not exported, but converts to any struct with its fields
// (net/http, h2_error.go).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("HTTP/2 stream error, code %d", e.Code) }

// proxyStatus is a proxy's answer to CONNECT other than 200, or a refusal of
// another kind of proxy.
type proxyStatus struct {
	code      int    // the HTTP status; 0 for SOCKS
	reason    string // for SOCKS
	temporary bool   // the proxy may answer otherwise soon
}

func (e *proxyStatus) Error() string {
	if e.code != 0 {
		return fmt.Sprintf("%d %s", e.code, http.StatusText(e.code))
	}
	return e.reason
}
