package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
)

// TestFailureOfStep wants errors of others to be told apart as our own are.
func TestFailureOfStep(t *testing.T) {
	strange := errors.New("strange")
	for _, tt := range []struct {
		op   Op
		err  error
		want Failure
	}{
		{OpResolve, &net.DNSError{IsNotFound: true}, NXDomain},
		{OpResolve, &net.DNSError{IsTemporary: true}, DNSTemporary},
		{OpRead, fmt.Errorf("body: %w", io.ErrUnexpectedEOF), EOF},
		{OpRead, context.DeadlineExceeded, TimedOut},
		{OpRead, strange, Other},
		{OpTLS, strange, TLSProtocol}, // alerts have no type
		{OpRead, fmt.Errorf("told before: %w", &Error{Op: OpConnect, Failure: Refused}), Refused},
	} {
		if got := FailureOf(tt.op, tt.err); got != tt.want {
			t.Errorf("FailureOf(%s, %v) = %s, want %s", tt.op, tt.err, got, tt.want)
		}
	}
}
