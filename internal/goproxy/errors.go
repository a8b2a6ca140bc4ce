package goproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The meanings an error can have. Unknown is never "not found": a source that
// could not find out says ErrUnavailable. ErrNotExist needs positive evidence.
var (
	ErrNotExist    = errors.New("not found")         // this source does not have it
	ErrGone        = errors.New("gone")              // withdrawn
	ErrInvalid     = errors.New("invalid name")      // no such name can exist
	ErrBlocked     = errors.New("blocked")           // policy forbids it here
	ErrUnavailable = errors.New("unavailable")       // could not find out
	ErrMismatch    = errors.New("checksum mismatch") // not what the checksum database recorded, or no valid module file at all
)

// An Error says which source failed, at what, and what would help.
type Error struct {
	Source     string        // the source that failed, for people, without credentials; may be empty
	Request    Request       // what was asked; zero if the error is not about one file
	Err        error         // the reason; wraps one of the sentinels where the meaning is known
	Hint       string        // a way out, one line; may be empty
	HintCode   string        // message code of the hint, for translation; may be empty
	RetryAfter time.Duration // how long the source asked to be left alone; 0 if it did not say
}

// Error puts the subject first: request, source, reason.
func (e *Error) Error() string {
	s := ""
	if e.Request != (Request{}) {
		s = e.Request.String() + ": "
	}
	if e.Source != "" {
		s += e.Source + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Absent reports whether err means that the thing is positively not there:
// ErrNotExist, ErrGone or ErrInvalid. These are the errors after which a
// GOPROXY list goes on behind a comma. An error that says something else as well,
// such as ErrUnavailable, is not absent: whoever could not find out does not know.
func Absent(err error) bool {
	status, _ := Status(err)
	return status == http.StatusNotFound || status == http.StatusGone
}

// Timeout reports whether err ended with a deadline: ours, the context's or the network's.
func Timeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// FromStatus classifies the status of an upstream's answer: nil for 200 and
// 206, else an error that wraps one of the sentinels. Statuses that a GOPROXY
// must not send (1xx, 2xx, 3xx) are ErrUnavailable.
func FromStatus(status int) error {
	reason := func(err error) error {
		return fmt.Errorf("%w: %d %s", err, status, http.StatusText(status))
	}
	switch status {
	case http.StatusOK, http.StatusPartialContent:
		return nil
	case http.StatusNotFound:
		return reason(ErrNotExist)
	case http.StatusGone:
		return reason(ErrGone)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return reason(ErrBlocked)
	}
	return reason(ErrUnavailable)
}

// statusLeft is what servers write down for an asker who left; nobody is there to read it.
const statusLeft = 499

// Status is the HTTP status with which a handler answers err, and the Retry-After
// in seconds that goes with it (0 for none). For context.Canceled that is 499,
// which is no status of HTTP: it keeps those who left apart from faults of our own.
func Status(err error) (status, retryAfter int) {
	switch {
	case err == nil:
		return http.StatusOK, 0
	case errors.Is(err, context.Canceled):
		return statusLeft, 0
	case errors.Is(err, ErrMismatch):
		return http.StatusBadGateway, 0
	case errors.Is(err, ErrBlocked):
		return http.StatusForbidden, 0
	case errors.Is(err, ErrUnavailable), Timeout(err):
		status = http.StatusServiceUnavailable
		if Timeout(err) {
			status = http.StatusGatewayTimeout
		}
		return status, retrySeconds(err)
	case errors.Is(err, ErrGone):
		return http.StatusGone, 0
	case errors.Is(err, ErrNotExist), errors.Is(err, ErrInvalid):
		return http.StatusNotFound, 0
	}
	return http.StatusInternalServerError, 0
}

const defaultRetryAfter = 10 // seconds; long enough for a link to come back, short enough for a person

func retrySeconds(err error) int {
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		return int((e.RetryAfter + time.Second - 1) / time.Second)
	}
	return defaultRetryAfter
}

// ExitCode is the exit code of a command that ended with err.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return 130
	case errors.Is(err, ErrMismatch):
		return 13
	case errors.Is(err, ErrBlocked):
		return 11
	case errors.Is(err, ErrUnavailable), Timeout(err):
		return 12
	case errors.Is(err, ErrNotExist), errors.Is(err, ErrGone):
		return 10
	case errors.Is(err, ErrInvalid):
		return 2
	}
	return 1
}
