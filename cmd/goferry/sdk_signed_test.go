package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/goferry/goferry/internal/toolchain"
)

// A signer is somebody with a primary key that was made at the beginning of 2020, and sub-keys.
type signer struct {
	t   *testing.T
	key *openpgp.Entity
}

// signerDay is a day after the primary keys were made.
func signerDay(n int) time.Time { return time.Date(2020, 1, 1+n, 0, 0, 0, 0, time.UTC) }

func signerConfig(at time.Time, days int) *packet.Config {
	return &packet.Config{
		Time: func() time.Time { return at }, Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256, KeyLifetimeSecs: uint32(days * 24 * 3600),
	}
}

func newSigner(t *testing.T, name string) *signer {
	t.Helper()
	key, err := openpgp.NewEntity(name, "", name+"@example.test", signerConfig(signerDay(0), 0))
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t, key}
}

// sub makes a sub-key that lives from a day on, for so many; 0 for ever.
func (s *signer) sub(from, days int) *packet.PrivateKey {
	s.t.Helper()
	if err := s.key.AddSigningSubkey(signerConfig(signerDay(from), days)); err != nil {
		s.t.Fatal(err)
	}
	return s.key.Subkeys[len(s.key.Subkeys)-1].PrivateKey
}

// public is the key with the sub-keys that it has by now, as gpg --export --armor writes it.
func (s *signer) public() []byte {
	s.t.Helper()
	var b bytes.Buffer
	if err := s.key.Serialize(&b); err != nil {
		s.t.Fatal(err)
	}
	return s.armor(openpgp.PublicKeyType, b.Bytes())
}

func (s *signer) armor(kind string, data []byte) []byte {
	s.t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// sign signs data on a day, also on one on which the key must not.
func (s *signer) sign(key *packet.PrivateKey, day int, data []byte) []byte {
	s.t.Helper()
	cfg := signerConfig(signerDay(day), 0)
	sig := &packet.Signature{
		Version: key.Version, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA256, CreationTime: signerDay(day),
		IssuerKeyId: &key.KeyId, IssuerKeyVersion: uint8(key.Version), IssuerFingerprint: key.Fingerprint,
	}
	h, err := sig.PrepareSign(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	h.Write(data)
	var b bytes.Buffer
	if err := sig.Sign(h, key, cfg); err != nil {
		s.t.Fatal(err)
	}
	if err := sig.Serialize(&b); err != nil {
		s.t.Fatal(err)
	}
	return s.armor(openpgp.SignatureType, b.Bytes())
}

// TestSignedArchives: where the checksum database is out of reach, a signature of the key that is pinned proves an
// archive. Every other one refutes it, or, where the key is not known, says nothing; then it is not installed either.
func TestSignedArchives(t *testing.T) {
	l := newSDKLab(t)
	p, target := packings()[0], tarTarget(forgedVersion)
	release := p.pack(t, target, l.genuine(target, false))
	older := p.pack(t, target, l.genuine(tarTarget(olderVersion), false))
	forged := p.pack(t, target, append(l.genuine(target, false), forgedEntry{name: "src/fmt/evil.go", data: "package fmt\n"}))

	owner, stranger := newSigner(t, "owner"), newSigner(t, "stranger")
	key, brief, claimed := owner.sub(10, 0), owner.sub(10, 100), stranger.sub(10, 0)
	old := owner.public()
	keys, err := toolchain.NewKeyring(strings.ToUpper(hex.EncodeToString(owner.key.PrimaryKey.Fingerprint)), old)
	if err != nil {
		t.Fatal(err)
	}
	late := owner.sub(500, 0)
	pretended := *claimed // says that it is the owner's
	pretended.KeyId, pretended.Fingerprint = key.KeyId, key.Fingerprint
	rings := t.TempDir()
	newer, mixed := filepath.Join(rings, "newer.asc"), filepath.Join(rings, "mixed.asc")
	for name, data := range map[string][]byte{newer: owner.public(), mixed: append(stranger.public(), old...)} {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}

	const unproved, hint = "nothing proves go1.98.0, so it was not installed", "--sdk-keyring names a newer keyring"
	for name, c := range map[string]struct {
		archive, sig []byte
		keyring      string
		code         int    // 0: installed, proved by the signature
		say          string // on stderr
	}{
		"good":                                {archive: release, sig: owner.sign(key, 100, release)},
		"by the primary key":                  {archive: release, sig: owner.sign(owner.key.PrivateKey, 100, release)},
		"by a sub-key that has expired since": {archive: release, sig: owner.sign(brief, 100, release)},
		"by a newer sub-key, with a keyring":  {archive: release, sig: owner.sign(late, 600, release), keyring: newer},

		"by a newer sub-key":                      {release, owner.sign(late, 600, release), "", 12, hint},
		"by a key that nobody knows":              {forged, stranger.sign(claimed, 100, forged), "", 12, hint},
		"none":                                    {release, nil, "", 12, unproved},
		"a web page":                              {release, []byte("<!DOCTYPE html>"), "", 12, unproved},
		"of another file":                         {forged, owner.sign(key, 100, release), "", 13, "the signature is not of this file"},
		"by a key that takes the owner's name":    {forged, stranger.sign(&pretended, 100, forged), "", 13, "the signature is not of this file"},
		"right, by another key of the keyring":    {forged, stranger.sign(claimed, 100, forged), mixed, 13, "signed with a key that is not the Go project's"},
		"by the primary key of somebody else":     {forged, stranger.sign(stranger.key.PrivateKey, 100, forged), mixed, 13, "signed with a key that is not the Go project's"},
		"by a sub-key that had expired":           {forged, owner.sign(brief, 111, forged), "", 13, "the key had expired or was revoked when it signed"},
		"by a sub-key before it was made":         {forged, owner.sign(key, 9, forged), "", 13, "the key had expired or was revoked when it signed"},
		"an older release with its own signature": {older, owner.sign(key, 100, older), "", 13, `its VERSION is "go1.97.0"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := l.put("signed/"+strings.ReplaceAll(strings.ReplaceAll(name, ",", ""), " ", "-"), p.file(target), c.archive)
			place := strings.TrimPrefix(bad, l.host.URL+"/")
			if c.sig != nil {
				l.put(place, p.file(target)+".asc", c.sig)
			}
			try := &sdkTry{target: target, sources: []string{bad}, noSums: true, keys: keys}
			if c.keyring != "" {
				try.args = []string{"--sdk-keyring=" + c.keyring}
			}
			l.install(t, try)
			if c.code == 0 {
				try.installed(t, bad, toolchain.ByOpenPGP)
				return
			}
			try.refused(t, c.code, c.say)
			if c.code != 13 {
				if strings.Contains(try.stderr, "is not go1.98.0") {
					t.Errorf("it calls forged what it cannot tell:\n%s", try.stderr)
				}
				return
			}
			if !strings.Contains(try.stderr, "goferry: "+bad+" left aside: what it sent is not what was released") {
				t.Errorf("it does not name the place:\n%s", try.stderr)
			}
			good := l.put("signed-good", p.file(target), release)
			l.put("signed-good", p.file(target)+".asc", owner.sign(key, 100, release))
			try.sources = append(try.sources, good)
			l.install(t, try)
			try.installed(t, good, toolchain.ByOpenPGP)
			if tr := try.got.Troubles; len(tr) != 1 || tr[0].Place != bad {
				t.Errorf("troubles %+v", tr)
			}
		})
	}
}

// TestVouchedArchives: a SHA-256 proves an archive where neither database nor signature do, if it comes from another
// host than the bytes. 127.0.0.1 and localhost are two hosts here, and a folder of the user's is a third.
func TestVouchedArchives(t *testing.T) {
	l := newSDKLab(t)
	p, target := packings()[1], zipTarget(forgedVersion)
	file := p.file(target)
	release, older := p.pack(t, target, l.genuine(target, false)), p.pack(t, target, l.genuine(zipTarget(olderVersion), false))
	forged := p.pack(t, target, append(l.genuine(target, false), forgedEntry{name: "src/fmt/evil.go", data: "package fmt\n"}))
	sum := func(data []byte) []byte { return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(data), file) }
	elsewhere := func(place string) string { return strings.Replace(place, "127.0.0.1", "localhost", 1) }
	folder := func(data []byte) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file+".sha256"), data, 0o666); err != nil {
			t.Fatal(err)
		}
		return "file://" + filepath.ToSlash(dir)
	}

	genuine := l.put("has-the-release", file, release)
	bad := l.put("has-a-forged-one", file, forged)
	liar := l.put("vouches-for-a-forged-one", file, forged)
	l.put("vouches-for-a-forged-one", file+".sha256", sum(forged))
	replay := l.put("has-an-older-one", file, older)
	says := elsewhere(l.put("vouches", file+".sha256", sum(release)))
	sameHost := l.put("vouches", file+".sha256", sum(release))
	saysOlder := elsewhere(l.put("vouches-for-the-older", file+".sha256", sum(older)))
	page := elsewhere(l.put("page", file+".sha256", nil))

	for name, c := range map[string]struct {
		sources []string
		code    int
		say     string
	}{
		"another host":                    {sources: []string{genuine, says}},
		"a folder of the user's":          {sources: []string{genuine, folder(sum(release))}},
		"a page here, the hash there":     {sources: []string{genuine, page, folder(sum(release))}},
		"the forged one is left":          {sources: []string{bad, genuine, says}},
		"the host of the bytes":           {[]string{genuine, sameHost}, 12, "only the host that sent the file vouches for it"},
		"the liar vouches for itself":     {[]string{liar}, 12, "only the host that sent the file vouches for it"},
		"nobody":                          {[]string{genuine}, 12, "nobody could be asked"},
		"a web page":                      {[]string{genuine, page}, 12, "the answer made no sense"},
		"another hash":                    {[]string{bad, says}, 13, "the hash is another one"},
		"another hash than that of liars": {[]string{liar, says}, 13, "the hash is another one"},
		"an older release":                {[]string{replay, saysOlder}, 13, `its VERSION is "go1.97.0"`},
	} {
		t.Run(name, func(t *testing.T) {
			try := &sdkTry{target: target, sources: c.sources, noSums: true}
			l.install(t, try)
			if c.code == 0 {
				try.installed(t, genuine, toolchain.BySHA256)
				return
			}
			try.refused(t, c.code, c.say)
			if named := strings.Contains(try.stderr, "goferry: "+c.sources[0]+" left aside: what it sent is not"); named != (c.code == 13) {
				t.Errorf("it blames the place: %v\n%s", named, try.stderr)
			}
		})
	}
}
