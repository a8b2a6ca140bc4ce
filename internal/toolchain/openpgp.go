package toolchain

import (
	"bytes"
	"crypto"
	_ "embed" // the key
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// GoogleFingerprint is the fingerprint of the primary key whose sub-keys sign the archives
// of Go: "Google Inc. (Linux Packages Signing Authority)". Sub-keys come about once a year
// and live for three; the primary key stays. Source: https://www.google.com/linuxrepositories/.
const GoogleFingerprint = "EB4C1BFD4F042F6DDDCCEC917721F63BD38B4796"

// ErrKeyring says that a file holds no usable OpenPGP key with the fingerprint that is pinned.
var ErrKeyring = errors.New("no keyring of the key that signs Go releases")

const (
	maxKeyring   = 1 << 20  // bytes; Google's has 17,000
	maxSignature = 64 << 10 // bytes; one of RSA 4096 has 900 in ASCII armor
	// clockSkew is how far the clock here may be behind that of the signer.
	clockSkew = 24 * time.Hour
)

//go:embed google-linux-signing-key.pub
var googleKey []byte

// A Keyring is a primary key that is pinned by its fingerprint, with the sub-keys that it
// signed. Whatever else was read with it counts for nothing, except for saying that a
// signature was made by such a key. A Keyring does not change and may be used by many
// goroutines.
type Keyring struct {
	primary string   // fingerprint, in upper case hexadecimal
	blocks  [][]byte // binary OpenPGP packets
}

// GoogleKeyring returns the keyring that goferry carries with it. It knows the sub-keys up
// to the one of January 2025; With takes later ones.
func GoogleKeyring() *Keyring {
	k, err := NewKeyring(GoogleFingerprint, googleKey)
	if err != nil {
		panic(fmt.Sprintf("toolchain: the keyring built into goferry is damaged: %v", err))
	}
	return k
}

// NewKeyring returns a keyring that pins another primary key, by its fingerprint in upper
// case hexadecimal. The error is that of With.
func NewKeyring(fingerprint string, data []byte) (*Keyring, error) {
	return (&Keyring{primary: fingerprint}).With(data)
}

// With returns a keyring of the keys of k and those in data, in ASCII armor or binary, as
// gpg --export writes them and https://dl.google.com/linux/linux_signing_key.pub has them.
// A revocation in either counts. The error matches ErrKeyring where data does not hold the
// pinned primary key, with a self-signature that is valid.
func (k *Keyring) With(data []byte) (*Keyring, error) {
	if len(data) > maxKeyring {
		return nil, fmt.Errorf("%w: the file is longer than %d bytes", ErrKeyring, maxKeyring)
	}
	blocks, err := keyBlocks(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyring, err)
	}
	pinned, _ := (&Keyring{primary: k.primary, blocks: blocks}).parse()
	if pinned == nil {
		return nil, fmt.Errorf("%w: the file lacks %s", ErrKeyring, k.primary)
	}
	if _, err := pinned.PrimarySelfSignature(time.Time{}, pgpConfig()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyring, err)
	}
	all := append([][]byte(nil), k.blocks...)
	return &Keyring{primary: k.primary, blocks: append(all, blocks...)}, nil
}

// keyBlocks splits data into its blocks: Google's file has one for each primary key, and the
// library stops after the first.
func keyBlocks(data []byte) ([][]byte, error) {
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	if !bytes.Contains(data, []byte(begin)) {
		return [][]byte{data}, nil
	}
	var blocks [][]byte
	for i, part := range strings.Split(string(data), begin) {
		if i == 0 {
			continue // what stands before the first block
		}
		block, err := armor.Decode(strings.NewReader(begin + part))
		if err != nil {
			return nil, err
		}
		packets, err := io.ReadAll(block.Body)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, packets)
	}
	return blocks, nil
}

// parse returns the pinned key, nil where there is none, and the other ones. It parses anew
// each time, because the library keeps in its keys what it found when it last checked them,
// for the date of that check and without a lock.
func (k *Keyring) parse() (pinned *openpgp.Entity, others []*openpgp.Entity) {
	for _, block := range k.blocks {
		entities, err := openpgp.ReadKeyRing(bytes.NewReader(block))
		if err != nil {
			continue
		}
		for _, e := range entities {
			switch {
			case fingerprint(e.PrimaryKey) != k.primary:
				others = append(others, e)
			case pinned == nil:
				pinned = e
			default:
				mergeKeys(pinned, e)
			}
		}
	}
	return pinned, others
}

// mergeKeys adds to e what another copy of the same key says.
func mergeKeys(e, more *openpgp.Entity) {
	e.Revocations = append(e.Revocations, more.Revocations...)
	e.DirectSignatures = append(e.DirectSignatures, more.DirectSignatures...)
	for name, id := range more.Identities {
		mine, ok := e.Identities[name]
		if !ok {
			id.Primary = e
			e.Identities[name] = id
			continue
		}
		mine.SelfCertifications = append(mine.SelfCertifications, id.SelfCertifications...)
		mine.Revocations = append(mine.Revocations, id.Revocations...)
	}
next:
	for _, sub := range more.Subkeys {
		for i := range e.Subkeys {
			if mine := &e.Subkeys[i]; bytes.Equal(mine.PublicKey.Fingerprint, sub.PublicKey.Fingerprint) {
				mine.Bindings = append(mine.Bindings, sub.Bindings...)
				mine.Revocations = append(mine.Revocations, sub.Revocations...)
				continue next
			}
		}
		sub.Primary = e
		e.Subkeys = append(e.Subkeys, sub)
	}
}

// pgpConfig refuses what nobody should sign with any more: SHA-1 in what the primary key
// says of its sub-keys, and short RSA keys.
func pgpConfig() *packet.Config {
	return &packet.Config{
		RejectHashAlgorithms: map[crypto.Hash]bool{crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true},
		MinRSABits:           2048,
	}
}

func fingerprint(key *packet.PublicKey) string {
	return strings.ToUpper(hex.EncodeToString(key.Fingerprint))
}

// A signedBy is what a signature says about a file.
type signedBy struct {
	verdict Verdict
	reason  Reason
	detail  string
}

// Check says whether signature, in ASCII armor or binary, is one of the file that open
// reads, by the pinned key or a sub-key of it that was good when it was made. Where there
// are several signatures one that proves is enough. By is the fingerprint of the primary
// key. The file is read once, and only if some key is known. The error is one of reading it.
//
// now is the time by the clock here; a signature from the future is not believed, but is
// not refuted either: mostly it is this clock that is wrong.
func (k *Keyring) Check(signature []byte, now time.Time, open func() (io.ReadCloser, error)) (Proof, error) {
	sigs, err := readSignatures(signature)
	if err != nil {
		return Proof{Way: ByOpenPGP, Verdict: Unknown, Reason: ReasonMalformed, Detail: err.Error()}, nil
	}
	pinned, others := k.parse()
	checks := make([]pgpCheck, len(sigs))
	var hashes []io.Writer
	for i, sig := range sigs {
		checks[i] = startCheck(sig, pinned, others)
		if checks[i].hash != nil {
			hashes = append(hashes, checks[i].hash)
		}
	}
	if len(hashes) > 0 {
		if err := readInto(io.MultiWriter(hashes...), open); err != nil {
			return Proof{}, err
		}
	}
	var best signedBy
	for i := range checks {
		if got := checks[i].finish(now); i == 0 || rank(got.verdict) > rank(best.verdict) {
			best = got
		}
	}
	return Proof{Way: ByOpenPGP, Verdict: best.verdict, By: k.primary, Reason: best.reason, Detail: best.detail}, nil
}

// rank orders verdicts of several signatures of one file: one that proves is enough.
func rank(v Verdict) int {
	switch v {
	case Proved:
		return 2
	case Refuted:
		return 1
	}
	return 0
}

func readInto(w io.Writer, open func() (io.ReadCloser, error)) error {
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, 256<<10))
	return err
}

// readSignatures returns the signatures in data, at least one.
func readSignatures(data []byte) ([]*packet.Signature, error) {
	if len(data) > maxSignature {
		return nil, errors.New("too long for a signature")
	}
	var r io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN ")) {
		block, err := armor.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("no signature: %w", err)
		}
		if block.Type != openpgp.SignatureType {
			return nil, errors.New("no signature: the armor says otherwise")
		}
		r = block.Body
	}
	var sigs []*packet.Signature
	for packets := packet.NewReader(r); ; {
		p, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("no signature: %w", err)
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return nil, errors.New("no signature: other OpenPGP data")
		}
		sigs = append(sigs, sig)
	}
	if len(sigs) == 0 {
		return nil, errors.New("no signature that is understood")
	}
	return sigs, nil
}

// A pgpCheck is a signature that is being checked.
type pgpCheck struct {
	sig    *packet.Signature
	entity *openpgp.Entity
	key    *packet.PublicKey // nil: not known
	sub    *openpgp.Subkey   // nil: the primary key itself
	own    bool              // entity is the pinned one
	hash   hash.Hash         // of what is signed; nil where there is nothing to check
	early  signedBy          // the result where hash is nil
}

func startCheck(sig *packet.Signature, pinned *openpgp.Entity, others []*openpgp.Entity) pgpCheck {
	c := pgpCheck{sig: sig}
	unknown := func(reason Reason, format string, args ...any) pgpCheck {
		c.early = signedBy{verdict: Unknown, reason: reason, detail: fmt.Sprintf(format, args...)}
		return c
	}
	if sig.SigType != packet.SigTypeBinary {
		return unknown(ReasonMalformed, "a signature of type 0x%02x, not of a file", byte(sig.SigType))
	}
	if pinned != nil && c.find(pinned) {
		c.own = true
	} else {
		for _, e := range others {
			if c.find(e) {
				break
			}
		}
	}
	if c.key == nil {
		return unknown(ReasonUnknownKey, "signed by key %s", issuer(sig))
	}
	if pgpConfig().RejectMessageHashAlgorithm(sig.Hash) {
		return unknown(ReasonMalformed, "signed with the weak hash %s", sig.Hash)
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return unknown(ReasonMalformed, "%v", err)
	}
	c.hash = h
	return c
}

// find looks in e for the key that made the signature.
func (c *pgpCheck) find(e *openpgp.Entity) bool {
	if c.sig.CheckKeyIdOrFingerprint(e.PrimaryKey) {
		c.entity, c.key = e, e.PrimaryKey
		return true
	}
	for i := range e.Subkeys {
		if sub := &e.Subkeys[i]; c.sig.CheckKeyIdOrFingerprint(sub.PublicKey) {
			c.entity, c.key, c.sub = e, sub.PublicKey, sub
			return true
		}
	}
	return false
}

// issuer is how the signature names its key.
func issuer(sig *packet.Signature) string {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return strings.ToUpper(hex.EncodeToString(sig.IssuerFingerprint))
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return "without a name"
}

// finish is to be called when the whole file has been written to c.hash.
func (c *pgpCheck) finish(now time.Time) signedBy {
	if c.hash == nil {
		return c.early
	}
	made := c.sig.CreationTime
	say := func(v Verdict, reason Reason, format string, args ...any) signedBy {
		text := fmt.Sprintf("key %s, %s", fingerprint(c.key), made.UTC().Format(time.RFC3339))
		if format != "" {
			text += ": " + fmt.Sprintf(format, args...)
		}
		return signedBy{verdict: v, reason: reason, detail: text}
	}
	// The signature first: only one that this key made can say something about this key.
	if err := c.key.VerifySignature(c.hash, c.sig); err != nil {
		return say(Refuted, ReasonBadSig, "%v", err)
	}
	if !c.own {
		return say(Refuted, ReasonForeignKey, "a key of %s", fingerprint(c.entity.PrimaryKey))
	}
	if reason, err := c.valid(made); err != nil {
		return say(Refuted, reason, "%v", err)
	}
	if life := c.sig.SigLifetimeSecs; life != nil && *life > 0 && now.After(made.Add(time.Duration(*life)*time.Second)) {
		return say(Refuted, ReasonExpired, "%v", pgperrors.ErrSignatureExpired)
	}
	if made.After(now.Add(clockSkew)) {
		return say(Unknown, ReasonClock, "the clock here says %s", now.UTC().Format(time.RFC3339))
	}
	return say(Proved, ReasonNone, "")
}

// valid checks that the key could sign at the time made. Not checked is whether the key is
// still good today: what a key signed while it was good stays signed, unless it was revoked
// as compromised or without a reason.
func (c *pgpCheck) valid(made time.Time) (Reason, error) {
	cfg := pgpConfig()
	for _, n := range c.sig.Notations {
		if n.IsCritical {
			return ReasonBadSig, fmt.Errorf("notation %q is critical and not known", n.Name)
		}
	}
	// Without a date first: is there any self-signature? Then with it: was it good then?
	if _, err := c.entity.PrimarySelfSignature(time.Time{}, cfg); err != nil {
		return ReasonForeignKey, err
	}
	self, err := c.entity.VerifyPrimaryKey(made, cfg)
	if err != nil {
		return ReasonExpired, fmt.Errorf("the primary key: %w", err)
	}
	if c.sub != nil {
		if _, err := c.sub.LatestValidBindingSignature(time.Time{}, cfg); err != nil {
			return ReasonForeignKey, fmt.Errorf("not a sub-key: %w", err)
		}
		if self, err = c.sub.Verify(made, cfg); err != nil {
			return ReasonExpired, err
		}
	}
	if !self.FlagsValid || !self.FlagSign {
		return ReasonForeignKey, errors.New("the key is not one for signing")
	}
	if made.Before(c.key.CreationTime) {
		return ReasonExpired, pgperrors.ErrSignatureOlderThanKey
	}
	if bits, err := c.key.BitLength(); err == nil && isRSA(c.key) && bits < cfg.MinRSABits {
		return ReasonForeignKey, fmt.Errorf("an RSA key of %d bits", bits)
	}
	return ReasonNone, nil
}

func isRSA(key *packet.PublicKey) bool {
	return key.PubKeyAlgo == packet.PubKeyAlgoRSA || key.PubKeyAlgo == packet.PubKeyAlgoRSASignOnly
}
