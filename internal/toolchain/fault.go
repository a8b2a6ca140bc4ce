package toolchain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// A Fault says what was wrong with a place, from a closed list, for texts in two languages.
type Fault string

// The faults.
const (
	FaultAbsent     Fault = "absent"      // it lacks the file: 404 or 410, or no such file
	FaultRefused    Fault = "refused"     // 401, 403 or 451
	FaultStatus     Fault = "status"      // another status
	FaultLink       Fault = "link"        // it was not reached, or did not answer
	FaultCut        Fault = "cut"         // it broke off
	FaultStalled    Fault = "stalled"     // no more bytes came
	FaultSlow       Fault = "slow"        // another place is known, or has yet to be tried
	FaultWebPage    Fault = "web-page"    // a log-in page, or a gateway
	FaultNotArchive Fault = "not-archive" // the first bytes are of no such file
	FaultNoLength   Fault = "no-length"   // it does not say how long the file is
	FaultLength     Fault = "length"      // another length than elsewhere
	FaultDiffers    Fault = "differs"     // other bytes than those that are there already
	FaultNoRange    Fault = "no-range"    // the whole file instead of its rest
	FaultRange      Fault = "range"       // another part than was asked for
	FaultTooLarge   Fault = "too-large"   // no toolchain is
	FaultURL        Fault = "url"         // its URL is no good
	FaultFile       Fault = "file"        // the local file cannot be read
)

// Faults lists every Fault.
func Faults() []Fault {
	return []Fault{FaultAbsent, FaultRefused, FaultStatus, FaultLink, FaultCut, FaultStalled, FaultSlow, FaultWebPage,
		FaultNotArchive, FaultNoLength, FaultLength, FaultDiffers, FaultNoRange, FaultRange, FaultTooLarge, FaultURL, FaultFile}
}

// A PlaceError says why a place did not bring a file. It names neither: the Trouble that
// carries it does.
type PlaceError struct {
	Fault Fault
	Err   error // wraps a sentinel of package goproxy; its text holds no URL and no credentials
}

// Error is e.Err's text.
func (e *PlaceError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *PlaceError) Unwrap() error { return e.Err }

// faulty makes a PlaceError of what could not be found out.
func faulty(f Fault, format string, args ...any) *PlaceError {
	return &PlaceError{Fault: f, Err: fmt.Errorf("%w: "+format, append([]any{goproxy.ErrUnavailable}, args...)...)}
}

// linkFault makes one of an error of the transport: while is the Fault where it is not known better.
func linkFault(while Fault, err error) *PlaceError {
	if e, ok := transport.Explain(err); ok && e.Failure == transport.Stalled {
		while = FaultStalled
	}
	return faulty(while, "%w", transport.Clean(err))
}

// statusFault makes one of the status of an answer.
func statusFault(status int) *PlaceError {
	err := goproxy.FromStatus(status)
	f := FaultStatus
	switch {
	case goproxy.Absent(err):
		f = FaultAbsent
	case errors.Is(err, goproxy.ErrBlocked):
		f = FaultRefused
	}
	return &PlaceError{Fault: f, Err: err}
}

// again reports whether another try may end otherwise.
func (e *PlaceError) again() bool {
	switch e.Fault {
	case FaultAbsent, FaultRefused, FaultWebPage, FaultNotArchive, FaultTooLarge, FaultURL, FaultFile:
		return false
	}
	t, ok := transport.Explain(e)
	if !ok {
		return true
	}
	switch t.Failure {
	case transport.NXDomain, transport.UnknownAuthority, transport.BadHostname, transport.CertExpired, transport.TLSProtocol,
		transport.InsecureRedirect, transport.TooManyRedirects, transport.InsecureCredentials, transport.CaptivePortal, transport.ProxyAuth:
		return false
	}
	return true
}

// softer reports whether what was refused may be taken where nothing better is to be had.
func (f Fault) softer() bool {
	switch f {
	case FaultSlow, FaultNoLength:
		return true
	}
	return f.wantsWhole()
}

// wantsWhole reports whether the place can only bring the file from its beginning.
func (f Fault) wantsWhole() bool {
	switch f {
	case FaultLength, FaultDiffers, FaultNoRange, FaultRange:
		return true
	}
	return false
}

// A FetchError says that no place brought a file. It matches goproxy.ErrNotExist where
// every place lacks it, goproxy.ErrBlocked where every place refused it, else goproxy.ErrUnavailable.
type FetchError struct {
	Target   Target
	File     string
	Troubles []Trouble // the last one of each place, in the order in which they were asked; empty where there was none to ask
}

// Error names the file, the places and their reasons.
func (e *FetchError) Error() string {
	s := e.File + ": " + e.Unwrap().Error()
	var why []string
	for _, t := range e.Troubles {
		why = append(why, t.Place+": "+strings.TrimPrefix(t.Err.Error(), goproxy.ErrUnavailable.Error()+": "))
	}
	if len(why) == 0 {
		return s + ": there is no place to ask"
	}
	return s + ": " + strings.Join(why, "; ")
}

// Unwrap returns the meaning.
func (e *FetchError) Unwrap() error {
	absent, blocked := len(e.Troubles) > 0, len(e.Troubles) > 0
	for _, t := range e.Troubles {
		absent = absent && goproxy.Absent(t.Err)
		blocked = blocked && errors.Is(t.Err, goproxy.ErrBlocked)
	}
	switch {
	case absent:
		return goproxy.ErrNotExist
	case blocked:
		return goproxy.ErrBlocked
	}
	return goproxy.ErrUnavailable
}

// Hint returns the way out of the first trouble that has one; empty strings for none.
func (e *FetchError) Hint() (code, text string) {
	for _, t := range e.Troubles {
		if te, ok := transport.Explain(t.Err); ok {
			return te.Hint()
		}
	}
	return "", ""
}
