package sumdb

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/goferry/goferry/internal/goproxy"
)

var errClosed = errors.New("checksum database client is closed")

// The hints of this room, and their message codes.
const (
	codeUnreachable = "sumdb.hint.unreachable"
	hintUnreachable = "GOSUMDB=sum.golang.google.cn may be reachable; private modules belong in GONOSUMDB; --sumdb=off gives up the check"

	codePrivate = "sumdb.hint.private"
	hintPrivate = "if the module is private, name it in GONOSUMDB or GOPRIVATE"

	codeForged = "sumdb.hint.forged"
	hintForged = "something between here and the checksum database changes its answers, or the kept copies are damaged; see which with another network or GOSUMDB=sum.golang.google.cn"

	codeMismatch = "sumdb.hint.mismatch"
	hintMismatch = "the file was changed after its version was published, by its author, its mirror or on its way; it is not kept"

	codeFork = "sumdb.hint.fork"
	hintFork = "two signed states of the checksum database contradict each other; do not trust new modules until this is explained"

	codeOff = "sumdb.hint.off"
	hintOff = "set GOSUMDB to switch the check on"
)

// A NewerError says that the asker knows a newer tree of the database than anybody who can be asked
// here, and that what links the two is not here.
type NewerError struct {
	DB   string // name of the database
	Want int64  // records that the asker's tree has at least
	Have int64  // records in the newest tree known here
	Err  error  // why nobody else had an answer; it matches goproxy.ErrUnavailable
}

// Error says how far the trees are apart.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the asker has seen a tree of at least %d records, the newest one here has %d: %v", e.Want, e.Have, e.Err)
}

// Unwrap returns the reason.
func (e *NewerError) Unwrap() error { return e.Err }

// A MismatchError says that a file is not the one the database recorded.
type MismatchError struct {
	Request goproxy.Request
	Want    string // recorded, "h1:…"
	Got     string // of the file at hand, "h1:…"
	DB      string // name of the database
}

// Error shows both hashes.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%v: got %s, but %s recorded %s", goproxy.ErrMismatch, e.Got, e.DB, e.Want)
}

// Unwrap returns goproxy.ErrMismatch.
func (e *MismatchError) Unwrap() error { return goproxy.ErrMismatch }

// A ForkError says that the database signed two trees of which neither contains
// the other: it, or whoever has its key, shows different people different hashes.
type ForkError struct {
	DB     string // name of the database
	Report string // both signed tree heads and the proof, many lines
}

// Error is one line; the proof is in Report.
func (e *ForkError) Error() string {
	return fmt.Sprintf("%s: %v: the database contradicts what it signed before", e.DB, goproxy.ErrMismatch)
}

// Unwrap returns goproxy.ErrMismatch.
func (e *ForkError) Unwrap() error { return goproxy.ErrMismatch }

// errForged is what does not add up: a record or a tile that is not in the
// signed tree, a wrong signature, a record of another module.
var errForged = errors.New("answer is not authentic")

// Forged reports whether err says that what came is not the database's word: it does not add up, or contradicts what
// was signed before. Who cannot be asked at all forges nothing.
func Forged(err error) bool {
	var fork *ForkError
	var signed *note.InvalidSignatureError
	var stranger *note.UnverifiedNoteError // a tree head, by another key
	return isForged(err) || errors.As(err, &fork) || errors.As(err, &signed) || errors.As(err, &stranger)
}

// isForged reports whether err is about the content of answers, so that another
// remote may do better.
func isForged(err error) bool { return errors.Is(err, errForged) }

// explain gives err a source, and a hint where it has none yet.
func (c *Client) explain(err error) error {
	var ge *goproxy.Error
	if errors.As(err, &ge) && ge.Hint != "" {
		return err
	}
	e := &goproxy.Error{Source: c.db.Name, Err: err}
	if errors.As(err, &ge) {
		e.RetryAfter = ge.RetryAfter
	}
	var fork *ForkError
	switch {
	case errors.As(err, &fork):
		e.Source, e.Hint, e.HintCode = "", hintFork, codeFork
	case isForged(err):
		e.Hint, e.HintCode = hintForged, codeForged
	case goproxy.Absent(err):
		e.Hint, e.HintCode = hintPrivate, codePrivate
	case errors.Is(err, goproxy.ErrUnavailable):
		e.Hint, e.HintCode = hintUnreachable, codeUnreachable
	default:
		return err
	}
	return e
}
