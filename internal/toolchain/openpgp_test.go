package toolchain

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

const pgpDay = 24 * time.Hour

// pgpStart is when the primary keys of the tests were made.
var pgpStart = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// pgpAt is a day after pgpStart.
func pgpAt(days int) time.Time { return pgpStart.Add(time.Duration(days) * pgpDay) }

// pgpNow is the clock of the tests.
func pgpNow() time.Time { return pgpAt(3000) }

func pgpTestConfig(at time.Time, life time.Duration) *packet.Config {
	return &packet.Config{
		Time: func() time.Time { return at }, Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256,
		KeyLifetimeSecs: uint32(life / time.Second),
	}
}

// newPGPKey makes a primary key that does not expire.
func newPGPKey(t testing.TB, name string) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.test", pgpTestConfig(pgpStart, 0))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// addPGPSub makes a sub-key for signing that lives from day from, for days; 0 for ever.
func addPGPSub(t testing.TB, e *openpgp.Entity, from, days int) *packet.PrivateKey {
	t.Helper()
	if err := e.AddSigningSubkey(pgpTestConfig(pgpAt(from), time.Duration(days)*pgpDay)); err != nil {
		t.Fatal(err)
	}
	return e.Subkeys[len(e.Subkeys)-1].PrivateKey
}

func pgpExport(t testing.TB, entities ...*openpgp.Entity) []byte {
	t.Helper()
	var all bytes.Buffer
	for _, e := range entities {
		w, err := armor.Encode(&all, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Serialize(w); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all.WriteString("\n")
	}
	return all.Bytes()
}

// pgpSign signs with any key at any time, also where it should not.
func pgpSign(t testing.TB, key *packet.PrivateKey, at time.Time, data []byte, change ...func(*packet.Signature)) []byte {
	t.Helper()
	sig := &packet.Signature{
		Version: key.Version, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA256, CreationTime: at,
		IssuerKeyId: &key.KeyId, IssuerKeyVersion: uint8(key.Version), IssuerFingerprint: key.Fingerprint,
	}
	for _, c := range change {
		c(sig)
	}
	cfg := pgpTestConfig(at, 0)
	h, err := sig.PrepareSign(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.Write(data)
	if err := sig.Sign(h, key, cfg); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pgpPretend is key under the name of another one.
func pgpPretend(key *packet.PrivateKey, name *packet.PublicKey) *packet.PrivateKey {
	forged := *key
	forged.KeyId, forged.Fingerprint = name.KeyId, name.Fingerprint
	return &forged
}

// pgpArmor puts signatures into one block of ASCII armor.
func pgpArmor(t testing.TB, sigs ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Join(sigs, nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pgpOpen(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func pgpRing(t testing.TB, e *openpgp.Entity, data []byte) *Keyring {
	t.Helper()
	k, err := NewKeyring(fingerprint(e.PrimaryKey), data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSignature has one row for each way in which a signature can be good or bad.
func TestSignature(t *testing.T) {
	release := []byte("go1.99.linux-amd64.tar.gz, as it was released")
	e := newPGPKey(t, "release")
	sub := addPGPSub(t, e, 10, 1000) // day 10 to 1010
	compromised, superseded := addPGPSub(t, e, 10, 1000), addPGPSub(t, e, 10, 1000)
	for reason, at := range map[packet.ReasonForRevocation]int{packet.KeyCompromised: 2, packet.KeySuperseded: 3} {
		if err := e.Subkeys[at].Revoke(reason, "", pgpTestConfig(pgpAt(500), 0)); err != nil {
			t.Fatal(err)
		}
	}
	uncrossed := addPGPSub(t, e, 10, 1000)
	binding := e.Subkeys[4].Bindings[0].Packet
	binding.EmbeddedSignature = nil
	if err := binding.SignKey(e.Subkeys[4].PublicKey, e.PrivateKey, pgpTestConfig(pgpAt(10), 0)); err != nil {
		t.Fatal(err)
	}
	stranger := newPGPKey(t, "stranger")
	claimed := addPGPSub(t, stranger, 10, 1000)
	e.Subkeys = append(e.Subkeys, stranger.Subkeys[1]) // bound by the stranger's primary key alone
	authenticating := addPGPSub(t, e, 10, 1000)
	use := e.Subkeys[6].Bindings[0].Packet
	use.FlagSign, use.FlagAuthenticate, use.EmbeddedSignature = false, true, nil
	if err := use.SignKey(e.Subkeys[6].PublicKey, e.PrivateKey, pgpTestConfig(pgpAt(10), 0)); err != nil {
		t.Fatal(err)
	}
	small := pgpTestConfig(pgpAt(10), 0)
	small.Algorithm, small.RSABits = packet.PubKeyAlgoRSA, 1024
	if err := e.AddSigningSubkey(small); err != nil {
		t.Fatal(err)
	}
	short := e.Subkeys[7].PrivateKey
	encrypting := e.Subkeys[0].PublicKey
	late := addPGPSub(t, newPGPKey(t, "later"), 10, 0)
	other := newPGPKey(t, "other")
	otherSub := addPGPSub(t, other, 10, 0)
	ring := pgpRing(t, e, pgpExport(t, other, e))

	good := pgpSign(t, sub, pgpAt(100), release)
	sha1 := bytes.Clone(good) // the library makes none: header, length, version, type, key algorithm, hash algorithm
	if sha1[2] != 4 || sha1[5] != 8 {
		t.Fatalf("signature % x", sha1[:6])
	}
	sha1[5] = 2
	seconds := func(n uint32) func(*packet.Signature) {
		return func(s *packet.Signature) { s.SigLifetimeSecs = &n }
	}
	for name, c := range map[string]struct {
		sig     []byte
		of      []byte // what was downloaded; release if nil
		verdict Verdict
		reason  Reason
	}{
		"good, in armor":                    {sig: pgpArmor(t, good), verdict: Proved},
		"good, binary":                      {sig: good, verdict: Proved},
		"good, by the primary key":          {sig: pgpSign(t, e.PrivateKey, pgpAt(100), release), verdict: Proved},
		"on the last day":                   {sig: pgpSign(t, sub, pgpAt(1010), release), verdict: Proved},
		"one byte of the file":              {sig: good, of: append([]byte("G"), release[1:]...), verdict: Refuted, reason: ReasonBadSig},
		"one byte more":                     {sig: good, of: append(bytes.Clone(release), 0), verdict: Refuted, reason: ReasonBadSig},
		"of another file":                   {sig: pgpSign(t, sub, pgpAt(100), []byte("go1.98")), verdict: Refuted, reason: ReasonBadSig},
		"expired when it signed":            {sig: pgpSign(t, sub, pgpAt(1011), release), verdict: Refuted, reason: ReasonExpired},
		"before it was made":                {sig: pgpSign(t, sub, pgpAt(9), release), verdict: Refuted, reason: ReasonExpired},
		"before the primary key":            {sig: pgpSign(t, e.PrivateKey, pgpAt(-1), release), verdict: Refuted, reason: ReasonExpired},
		"compromised, signed before":        {sig: pgpSign(t, compromised, pgpAt(100), release), verdict: Refuted, reason: ReasonExpired},
		"compromised, signed after":         {sig: pgpSign(t, compromised, pgpAt(600), release), verdict: Refuted, reason: ReasonExpired},
		"superseded, signed before":         {sig: pgpSign(t, superseded, pgpAt(100), release), verdict: Proved},
		"superseded, signed after":          {sig: pgpSign(t, superseded, pgpAt(600), release), verdict: Refuted, reason: ReasonExpired},
		"not cross-signed":                  {sig: pgpSign(t, uncrossed, pgpAt(100), release), verdict: Refuted, reason: ReasonForeignKey},
		"a sub-key that was only put there": {sig: pgpSign(t, claimed, pgpAt(100), release), verdict: Refuted, reason: ReasonForeignKey},
		"another primary key":               {sig: pgpSign(t, other.PrivateKey, pgpAt(100), release), verdict: Refuted, reason: ReasonForeignKey},
		"a sub-key of another primary key":  {sig: pgpSign(t, otherSub, pgpAt(100), release), verdict: Refuted, reason: ReasonForeignKey},
		"a sub-key nobody knows":            {sig: pgpSign(t, late, pgpAt(100), release), verdict: Unknown, reason: ReasonUnknownKey},
		"an unknown one and a good one":     {sig: pgpArmor(t, pgpSign(t, late, pgpAt(100), release), good), verdict: Proved},
		"a bad one and an unknown one":      {sig: pgpArmor(t, pgpSign(t, sub, pgpAt(100), []byte("x")), pgpSign(t, late, pgpAt(100), release)), verdict: Refuted, reason: ReasonBadSig},
		"the name of a key it is not":       {sig: pgpSign(t, pgpPretend(late, &sub.PublicKey), pgpAt(100), release), verdict: Refuted, reason: ReasonBadSig},
		"the name of a key that encrypts":   {sig: pgpSign(t, pgpPretend(late, encrypting), pgpAt(100), release), verdict: Refuted, reason: ReasonBadSig},
		"expired itself":                    {sig: pgpSign(t, sub, pgpAt(100), release, seconds(60)), verdict: Refuted, reason: ReasonExpired},
		"not expired itself":                {sig: pgpSign(t, sub, pgpAt(100), release, seconds(4e8)), verdict: Proved},
		"a sub-key that is not for signing": {sig: pgpSign(t, authenticating, pgpAt(100), release), verdict: Refuted, reason: ReasonForeignKey},
		"a short RSA key":                   {sig: pgpSign(t, short, pgpAt(100), release), verdict: Refuted, reason: ReasonForeignKey},
		"a critical notation": {sig: pgpSign(t, sub, pgpAt(100), release, func(s *packet.Signature) {
			s.Notations = []*packet.Notation{{Name: "what@example.test", Value: []byte("x"), IsCritical: true}}
		}), verdict: Refuted, reason: ReasonBadSig},
		"from the future":       {sig: pgpSign(t, e.PrivateKey, pgpNow().Add(2*pgpDay), release), verdict: Unknown, reason: ReasonClock},
		"a little early":        {sig: pgpSign(t, e.PrivateKey, pgpNow().Add(time.Hour), release), verdict: Proved},
		"of a text, not a file": {sig: pgpSign(t, sub, pgpAt(100), release, func(s *packet.Signature) { s.SigType = packet.SigTypeText }), verdict: Unknown, reason: ReasonMalformed},
		"by SHA-1":              {sig: sha1, verdict: Unknown, reason: ReasonMalformed},
		"nothing":               {verdict: Unknown, reason: ReasonMalformed},
		"a web page":            {sig: []byte("<!DOCTYPE html><html>"), verdict: Unknown, reason: ReasonMalformed},
		"a key":                 {sig: pgpExport(t, e), verdict: Unknown, reason: ReasonMalformed},
		"cut":                   {sig: good[:len(good)-9], verdict: Unknown, reason: ReasonMalformed},
		"endless":               {sig: bytes.Repeat(good, 1000), verdict: Unknown, reason: ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one keyring for all of them
			of := c.of
			if of == nil {
				of = release
			}
			got, err := ring.Check(c.sig, pgpNow(), pgpOpen(of))
			if err != nil {
				t.Fatal(err)
			}
			if got.Way != ByOpenPGP || got.Verdict != c.verdict || got.Reason != c.reason {
				t.Errorf("%+v, want %s %s", got, c.verdict, c.reason)
			}
			if proved := got.By == fingerprint(e.PrimaryKey); got.Verdict == Proved && !proved {
				t.Errorf("vouched for by %q", got.By)
			}
		})
	}
}

// A keyring of the user's own brings sub-keys that the one of goferry lacks, and revocations.
func TestKeyringWith(t *testing.T) {
	release := []byte("a release")
	e := newPGPKey(t, "release")
	first := addPGPSub(t, e, 10, 1000)
	old := pgpRing(t, e, pgpExport(t, e))
	second := addPGPSub(t, e, 900, 1000)
	if err := e.Subkeys[1].Revoke(packet.KeyCompromised, "", pgpTestConfig(pgpAt(950), 0)); err != nil {
		t.Fatal(err)
	}
	both, err := old.With(pgpExport(t, newPGPKey(t, "before it in the file"), e))
	if err != nil {
		t.Fatal(err)
	}
	check := func(k *Keyring, sig []byte, verdict Verdict, reason Reason) {
		t.Helper()
		got, err := k.Check(sig, pgpNow(), pgpOpen(release))
		if err != nil || got.Verdict != verdict || got.Reason != reason {
			t.Errorf("%+v, %v, want %s %s", got, err, verdict, reason)
		}
	}
	bySecond, byFirst := pgpSign(t, second, pgpAt(1000), release), pgpSign(t, first, pgpAt(100), release)
	check(old, bySecond, Unknown, ReasonUnknownKey)
	check(both, bySecond, Proved, ReasonNone)
	check(old, byFirst, Proved, ReasonNone)
	check(both, byFirst, Refuted, ReasonExpired)
}

func TestKeyringRefuses(t *testing.T) {
	e := newPGPKey(t, "release")
	var binary bytes.Buffer
	if err := e.Serialize(&binary); err != nil {
		t.Fatal(err)
	}
	if k := pgpRing(t, e, binary.Bytes()); len(k.blocks) != 1 {
		t.Errorf("a binary keyring: %d blocks", len(k.blocks))
	}
	unsigned := newPGPKey(t, "release")
	for _, id := range unsigned.Identities {
		id.SelfCertifications = newPGPKey(t, "other").Identities["other <other@example.test>"].SelfCertifications
	}
	for name, c := range map[string]struct {
		pin  *openpgp.Entity
		data []byte
	}{
		"no key":            {e, nil},
		"a text":            {e, []byte("no key at all")},
		"another key":       {e, pgpExport(t, newPGPKey(t, "release"))},
		"no armor":          {e, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n")},
		"too long":          {e, make([]byte, maxKeyring+1)},
		"no self-signature": {unsigned, pgpExport(t, unsigned)},
	} {
		if _, err := NewKeyring(fingerprint(c.pin.PrimaryKey), c.data); !errors.Is(err, ErrKeyring) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The key that goferry carries is Google's, and has the sub-keys that sign Go, each for
// three years.
func TestGoogleKeyring(t *testing.T) {
	pinned, others := GoogleKeyring().parse()
	if pinned == nil || len(others) != 0 {
		t.Fatalf("pinned %v, %d others", pinned, len(others))
	}
	if got := fingerprint(pinned.PrimaryKey); got != "EB4C1BFD4F042F6DDDCCEC917721F63BD38B4796" {
		t.Errorf("the primary key is %s", got)
	}
	if _, ok := pinned.Identities["Google Inc. (Linux Packages Signing Authority) <linux-packages-keymaster@google.com>"]; !ok || len(pinned.Identities) != 1 {
		t.Errorf("it is of %v", pinned.Identities)
	}
	const day = "2006-01-02"
	var got []string
	for i := range pinned.Subkeys {
		sub := pinned.Subkeys[i]
		c := pgpCheck{sig: &packet.Signature{}, entity: pinned, key: sub.PublicKey, sub: &sub}
		born := sub.PublicKey.CreationTime
		for at, good := range map[time.Time]bool{born.Add(-time.Second): false, born: true, born.Add(3 * 365 * pgpDay): true, born.Add(3*365*pgpDay + time.Second): false} {
			if reason, err := c.valid(at); (err == nil) != good || !good && reason != ReasonExpired {
				t.Errorf("%s, signing at %s: %s %v", fingerprint(sub.PublicKey), at, reason, err)
			}
		}
		got = append(got, fingerprint(sub.PublicKey)+" "+born.UTC().Format(day))
	}
	want := []string{
		"2F528D36D67B69EDF998D85778BD65473CB3BD13 2019-07-22",
		"3E50F6D3EC278FDEB655C8CA6494C6D6997C215E 2017-01-24",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("it lacks %s; it has %s", w, strings.Join(got, ", "))
		}
	}
	if len(got) != 7 || !strings.HasSuffix(got[6], "FD533C07C264648F 2025-01-07") {
		t.Errorf("sub-keys: %s", strings.Join(got, ", "))
	}
}

// A signature that names a sub-key of Google's, but was not made by it, is no signature.
func TestGoogleKeyringForgery(t *testing.T) {
	pinned, _ := GoogleKeyring().parse()
	google := pinned.Subkeys[6].PublicKey
	forger := newPGPKey(t, "forger")
	sig := pgpSign(t, pgpPretend(forger.PrivateKey, google), pgpNow(), []byte("x"))
	got, err := GoogleKeyring().Check(sig, pgpNow(), pgpOpen([]byte("x")))
	if err != nil || got.Verdict != Refuted || got.Reason != ReasonBadSig || got.By != GoogleFingerprint {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCheckUnreadableFile(t *testing.T) {
	e := newPGPKey(t, "release")
	ring := pgpRing(t, e, pgpExport(t, e))
	_, err := ring.Check(pgpSign(t, e.PrivateKey, pgpAt(100), nil), pgpNow(), func() (io.ReadCloser, error) { return nil, os.ErrPermission })
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

// No signature but the one that was made proves a file, whatever is done to its bytes.
func FuzzSignature(f *testing.F) {
	release := []byte("a release")
	e := newPGPKey(f, "release")
	ring, err := NewKeyring(fingerprint(e.PrimaryKey), pgpExport(f, e))
	if err != nil {
		f.Fatal(err)
	}
	stranger := newPGPKey(f, "stranger")
	f.Add(pgpArmor(f, pgpSign(f, stranger.PrivateKey, pgpAt(100), release)))
	f.Add(pgpSign(f, e.PrivateKey, pgpAt(100), []byte("another")))
	f.Add([]byte("-----BEGIN PGP SIGNATURE-----\n\n"))
	f.Fuzz(func(t *testing.T, sig []byte) {
		got, err := ring.Check(sig, pgpNow(), pgpOpen(release))
		if err != nil || got.Verdict == Proved || got.Verdict == None || got.Reason == ReasonNone {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
