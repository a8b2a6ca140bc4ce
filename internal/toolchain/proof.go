package toolchain

// A Way is a way to prove that a toolchain is what the Go project released.
type Way string

// The ways.
const (
	BySumDB   Way = "sumdb"   // the checksum database has the hash of the tree, with an inclusion proof
	ByOpenPGP Way = "openpgp" // the archive is signed by the key that signs Go releases
	BySHA256  Way = "sha256"  // a host that did not send the archive gives the same SHA-256
)

// A Verdict is what came of trying a Way.
type Verdict string

// The verdicts. Only Proved proves; only Refuted refutes.
const (
	Proved  Verdict = "proved"
	Refuted Verdict = "refuted"
	Unknown Verdict = "unknown" // could not be found out: not reached, a key that is not known, …
	None    Verdict = "none"    // the way does not exist for such a file
)

// A Reason says why a Verdict is not Proved, for texts in two languages.
type Reason string

// The reasons.
const (
	ReasonNone        Reason = ""            // Proved
	ReasonDiffers     Reason = "differs"     // Refuted: the hash is another one
	ReasonBadSig      Reason = "bad-sig"     // Refuted: the signature is not of this file
	ReasonForeignKey  Reason = "foreign-key" // Refuted: signed by a key that is not Google's and does not claim to be a sub-key
	ReasonExpired     Reason = "expired"     // Refuted: the sub-key had expired or was revoked when it signed
	ReasonUnknownKey  Reason = "unknown-key" // Unknown: signed by a sub-key that the keyring does not have
	ReasonUnreachable Reason = "unreachable" // Unknown: nobody could be asked
	ReasonNoRecord    Reason = "no-record"   // Unknown: the database has no record of it
	ReasonOff         Reason = "off"         // Unknown: the checksum database is switched off
	ReasonSameHost    Reason = "same-host"   // Unknown: only the host of the bytes itself vouches for them
	ReasonNotSigned   Reason = "not-signed"  // None: such files are not signed
	ReasonNotArchive  Reason = "not-archive" // None: module zips have no published SHA-256
	ReasonMalformed   Reason = "malformed"   // Unknown: the answer was no signature, or no hash
	ReasonClock       Reason = "clock"       // Unknown: by the clock here the signature was made in the future
	ReasonPlain       Reason = "plain-http"  // Unknown: vouched for over plain http, which whoever forges the bytes can forge as well
	ReasonDisagree    Reason = "disagree"    // Unknown: hosts give different hashes, and one of them agrees
)

// Reasons returns all reasons but ReasonNone.
func Reasons() []Reason {
	return []Reason{
		ReasonDiffers, ReasonBadSig, ReasonForeignKey, ReasonExpired, ReasonUnknownKey, ReasonUnreachable, ReasonNoRecord, ReasonOff,
		ReasonSameHost, ReasonNotSigned, ReasonNotArchive, ReasonMalformed, ReasonClock, ReasonPlain, ReasonDisagree,
	}
}

// A Proof is the result of one Way.
type Proof struct {
	Way     Way     `json:"way"`
	Verdict Verdict `json:"verdict"`
	By      string  `json:"by,omitempty"`     // who vouches: the database's name, the key's fingerprint, a host
	Reason  Reason  `json:"reason,omitempty"` // empty for Proved
	Detail  string  `json:"detail,omitempty"` // the error, the two hashes: one line
}

// ProvedBy reports whether some way proves and none refutes.
func ProvedBy(proofs []Proof) bool {
	proved := false
	for _, p := range proofs {
		if p.Verdict == Refuted {
			return false
		}
		proved = proved || p.Verdict == Proved
	}
	return proved
}
