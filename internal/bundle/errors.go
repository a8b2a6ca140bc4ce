package bundle

import (
	"fmt"
	"strings"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Code says what is the matter; the command has a text for each in two languages.
type Code string

// The codes of an Error. What each matches with errors.Is is behind it.
const (
	CodeDamaged    Code = "damaged"     // bytes are not what they were: see Error.Damage (goproxy.ErrMismatch)
	CodeNotBundle  Code = "not-bundle"  // the file is something else (goproxy.ErrInvalid)
	CodeMissing    Code = "missing"     // neither the file nor parts of it are there; Detail is the name (goproxy.ErrNotExist)
	CodeTooNew     Code = "too-new"     // Detail is the schema of the file (goproxy.ErrInvalid)
	CodeRefused    Code = "refused"     // the manifest asks for what no bundle may have; Detail is the entry (goproxy.ErrMismatch)
	CodeUnsigned   Code = "unsigned"    // a signature is demanded and there is none (goproxy.ErrBlocked)
	CodeUnknownKey Code = "unknown-key" // signed by a key that is not trusted; Detail is its ID (goproxy.ErrBlocked)
	CodeSignature  Code = "signature"   // the signature is not one of these bytes; Detail is the key's ID (goproxy.ErrMismatch)
	CodeBase       Code = "base"        // the bundle adds to another one that is not there; Detail is its ID (goproxy.ErrNotExist)
	CodeKey        Code = "key"         // not a key (goproxy.ErrInvalid)
	CodePassword   Code = "password"    // the password does not open the key (goproxy.ErrBlocked)
	CodePlan       Code = "plan"        // what is to be written cannot be in a bundle; Detail is the entry (goproxy.ErrInvalid)
	CodeSplit      Code = "split"       // the size of parts gives too many of them; Detail is the smallest that does not (goproxy.ErrInvalid)
	CodeChanged    Code = "changed"     // a file changed while it was read; Detail is the entry (goproxy.ErrMismatch)
	CodeDiskFull   Code = "disk-full"   // FILE.partial is kept, the same command goes on; Detail is the bytes that the whole needs
	CodeFileLimit  Code = "file-limit"  // the file system has no files as large (FAT: 4 GiB less one byte): make parts; Detail as for CodeDiskFull
	CodeBusy       Code = "busy"        // another process writes the same file (goproxy.ErrUnavailable)
	CodeWrite      Code = "write"       // writing failed otherwise; FILE.partial is kept
)

// An Error of this package.
type Error struct {
	Code   Code
	File   string  // the bundle or key, as it was named; may be empty
	Detail string  // what the code says it is; may be empty
	Damage *Damage // for CodeDamaged: the first place found
	Err    error   // the reason; may be nil
}

// Error puts the subject first.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Damage != nil {
		b.WriteString(e.Damage.Error())
		return b.String()
	}
	b.WriteString(e.phrase())
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the meaning of the code, and the reason.
func (e *Error) Unwrap() []error {
	var errs []error
	if m := e.Code.meaning(); m != nil {
		errs = append(errs, m)
	}
	if e.Damage != nil {
		errs = append(errs, e.Damage)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// meaning returns what a code matches with errors.Is, nil for a fault of the machine.
func (c Code) meaning() error {
	switch c {
	case CodeDamaged, CodeRefused, CodeSignature, CodeChanged:
		return goproxy.ErrMismatch
	case CodeNotBundle, CodeTooNew, CodeKey, CodePlan, CodeSplit:
		return goproxy.ErrInvalid
	case CodeMissing, CodeBase:
		return goproxy.ErrNotExist
	case CodeUnsigned, CodeUnknownKey, CodePassword:
		return goproxy.ErrBlocked
	case CodeBusy:
		return goproxy.ErrUnavailable
	}
	return nil
}

// phrase says in English what a code means.
func (e *Error) phrase() string {
	switch e.Code {
	case CodeNotBundle:
		return "not a goferry bundle"
	case CodeMissing:
		return "no such file, nor parts of it"
	case CodeTooNew:
		return "its schema " + e.Detail + " is newer than this goferry"
	case CodeRefused:
		return fmt.Sprintf("no bundle may have %q", e.Detail)
	case CodeUnsigned:
		return "not signed"
	case CodeUnknownKey:
		return "signed by key " + e.Detail + ", which is not trusted"
	case CodeSignature:
		return "the signature by key " + e.Detail + " does not fit the manifest"
	case CodeBase:
		return "adds to the bundle " + e.Detail + ", which is not here"
	case CodeKey:
		return "not a minisign key"
	case CodePassword:
		return "the password does not open the key"
	case CodePlan:
		return fmt.Sprintf("%q cannot be in a bundle", e.Detail)
	case CodeSplit:
		return "parts too small; they need at least " + e.Detail + " bytes"
	case CodeChanged:
		return e.Detail + " changed while it was read"
	case CodeDiskFull:
		return "no space left for a bundle of " + e.Detail + " bytes; what is written is kept"
	case CodeFileLimit:
		return "the file system has no files of " + e.Detail + " bytes; what is written is kept"
	case CodeBusy:
		return "another process is writing it"
	case CodeWrite:
		return "not written"
	}
	return string(e.Code)
}

// A DamageCode says which part of a bundle is damaged.
type DamageCode string

// The kinds of damage.
const (
	DamageEntry     DamageCode = "entry"     // the bytes of an entry do not have its hash
	DamageHeader    DamageCode = "header"    // the zip header before an entry
	DamageManifest  DamageCode = "manifest"  // the manifest or its signature or the SBOM, or the headers before them: nothing can be said about the rest
	DamageDirectory DamageCode = "directory" // the zip directory at the end
	DamageCut       DamageCode = "cut"       // the file ends too early; the range is what is missing
	DamageTail      DamageCode = "tail"      // the file goes on behind its end
	DamagePart      DamageCode = "part"      // a part is not there or has the wrong length
	DamageSums      DamageCode = "sums"      // FILE.sha256 is not a list of the parts
	DamageRead      DamageCode = "read"      // the disk or stick cannot read these bytes
)

// A Damage is a place of a bundle that is not what it was when it was made.
type Damage struct {
	Code   DamageCode `json:"code"`
	Entry  string     `json:"entry,omitempty"`  // the entry it belongs to, or that the damage begins in
	Offset int64      `json:"offset"`           // of the first byte of the range that holds it, in the whole bundle
	Length int64      `json:"length"`           // of that range in bytes
	Parts  []string   `json:"parts,omitempty"`  // the files to copy again, with the folder they are in: those that hold the range, fewer where FILE.sha256 tells them apart
	Reason string     `json:"reason,omitempty"` // for people, in English
	Err    error      `json:"-"`                // of the operating system, for DamageRead and DamagePart
}

// Error says what and where.
func (d *Damage) Error() string {
	s := string(d.Code) + " damaged"
	switch d.Code {
	case DamageCut:
		s = "the end is missing"
	case DamageTail:
		s = "bytes behind the end"
	case DamageRead:
		s = "unreadable"
	}
	if d.Entry != "" {
		s = d.Entry + ": " + s
	}
	if d.Length > 0 {
		s += fmt.Sprintf(" (bytes %d to %d)", d.Offset, d.Offset+d.Length-1)
	}
	if len(d.Parts) > 0 {
		s += " in " + strings.Join(d.Parts, ", ")
	}
	if d.Reason != "" {
		s += ": " + d.Reason
	}
	return s
}

// Unwrap returns d.Err.
func (d *Damage) Unwrap() error { return d.Err }
