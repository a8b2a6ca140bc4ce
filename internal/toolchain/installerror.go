package toolchain

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/goferry/goferry/internal/goproxy"
)

// A ProofError says that a download was thrown away because it is not what the Go project
// released, or because nothing could prove that it is.
type ProofError struct {
	Target Target
	Proofs []Proof // every way that was tried
	Places []Place // that gave bytes
}

// Refuted reports whether something says that the download is forged or damaged. If not,
// nobody could say.
func (e *ProofError) Refuted() bool {
	for _, p := range e.Proofs {
		if p.Verdict == Refuted {
			return true
		}
	}
	return false
}

// Error names the place and every way that did not prove.
func (e *ProofError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", e.Target)
	for n, p := range e.Places {
		sep := ", "
		if n == 0 {
			sep = " from "
		}
		b.WriteString(sep + p.Name)
	}
	if e.Refuted() {
		fmt.Fprintf(&b, ": %v", goproxy.ErrMismatch)
	} else {
		b.WriteString(": nothing proves it")
	}
	for _, p := range e.Proofs {
		if p.Verdict == Proved || p.Verdict == None || e.Refuted() && p.Verdict != Refuted {
			continue
		}
		fmt.Fprintf(&b, ": %s: %s", p.Way, p.Reason)
		if p.Detail != "" {
			fmt.Fprintf(&b, " (%s)", p.Detail)
		}
	}
	return b.String()
}

// Unwrap returns goproxy.ErrMismatch if the download is refuted, else goproxy.ErrUnavailable.
func (e *ProofError) Unwrap() error {
	if e.Refuted() {
		return goproxy.ErrMismatch
	}
	return goproxy.ErrUnavailable
}

// An InstallError says why a toolchain could not be installed: one error for each way to
// come by it, best way first.
type InstallError struct {
	Target Target
	Errs   []error
}

// Error is one line.
func (e *InstallError) Error() string {
	if len(e.Errs) == 0 {
		return fmt.Sprintf("%s: %v", e.Target, errNoOffer)
	}
	return e.Target.String() + ": " + (&errorList{e.Errs}).Error()
}

// Unwrap returns the errors. What they mean together is for goproxy.Status to say: only if
// every place says that there is no such release is there none.
func (e *InstallError) Unwrap() []error { return e.Errs }

// reduce leaves out what is there twice: that the database could not be asked stops both
// modules and archives.
func (e *InstallError) reduce() error {
	if len(e.Errs) == 0 {
		e.Errs = []error{fmt.Errorf("%w: %w", goproxy.ErrUnavailable, errNoOffer)}
	}
	var kept []error
	for n, err := range e.Errs {
		again := false
		for _, before := range e.Errs[:n] {
			again = again || err == before
		}
		if !again {
			kept = append(kept, err)
		}
	}
	e.Errs = kept
	return e
}

// errorList is errors.Join on one line.
type errorList struct{ errs []error }

func (l *errorList) Error() string {
	texts := make([]string, len(l.errs))
	for n, err := range l.errs {
		texts[n] = oneLine(err)
	}
	return strings.Join(texts, "; ")
}

func (l *errorList) Unwrap() []error { return l.errs }

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// blamesPlace reports whether err is about what a place sent, so that another may do better.
func blamesPlace(err error) bool {
	var proof *ProofError
	return errors.As(err, &proof) || errors.Is(err, goproxy.ErrMismatch)
}

// anotherMayHelp reports whether what another place sends could be proved. It cannot where
// nobody can be asked about it, and downloading it would be of no use.
func anotherMayHelp(err error) bool {
	var proof *ProofError
	if !errors.As(err, &proof) || proof.Refuted() {
		return true
	}
	for _, p := range proof.Proofs {
		if p.Reason == ReasonSameHost || p.Reason == ReasonDisagree {
			return true
		}
	}
	return false
}

// isLocal reports whether err is a fault of this machine's disk.
func isLocal(err error) bool {
	var path *fs.PathError
	return errors.Is(err, ErrDiskFull) || errors.As(err, &path) && !blamesPlace(err) && !goproxy.Absent(err) && !errors.Is(err, goproxy.ErrUnavailable)
}

// sourceName is the URL of a place without what must not be written down.
func sourceName(p Place) string {
	if p.URL == "" {
		return p.Name
	}
	return goproxy.RedactURL(p.URL)
}

// A seekReaderAt makes an io.ReaderAt of a file that can only seek.
type seekReaderAt struct {
	mu sync.Mutex
	f  io.ReadSeeker
}

// ReadAt implements io.ReaderAt.
func (s *seekReaderAt) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.f.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.f, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
