package bundle_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

// minisign runs the tool of that name, the judge of keys and signatures.
func minisign(t *testing.T, dir, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("minisign", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// saveKeys writes FILE.key and FILE.pub as keygen does.
func saveKeys(t *testing.T, dir, password string, pub bundle.PublicKey, priv bundle.PrivateKey) {
	t.Helper()
	text, err := pub.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "k.pub"), text)
	if text, err = bundle.MarshalPrivateKey(priv, password); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "k.key"), text)
}

func noPassword(t *testing.T) func() (string, error) {
	return func() (string, error) { t.Error("asked for a password"); return "", nil }
}

// TestSignature: what Create signs, minisign accepts; and not when a byte is another one.
func TestSignature(t *testing.T) {
	pub, priv := key(t)
	other, _ := key(t)
	r := open(t, create(t, samplePlan(2, 100), bundle.CreateOptions{Sign: &priv}))
	dir := t.TempDir()
	saveKeys(t, dir, "", pub, priv)
	m := filepath.Join(dir, "manifest.json")
	write(t, m, r.RawManifest())
	write(t, m+".minisig", r.Signature())
	out, err := minisign(t, dir, "", "-V", "-H", "-p", "k.pub", "-m", "manifest.json")
	if err != nil || !strings.Contains(out, "Trusted comment: goferry bundle "+r.Manifest().ID) {
		t.Errorf("minisign: %v\n%s", err, out)
	}
	if out, err = minisign(t, dir, "", "-V", "-P", pub.String(), "-m", "manifest.json"); err != nil {
		t.Errorf("minisign: %v\n%s", err, out)
	}
	write(t, m, append(r.RawManifest(), ' '))
	if out, err = minisign(t, dir, "", "-V", "-p", "k.pub", "-m", "manifest.json"); err == nil {
		t.Errorf("minisign takes other bytes: %s", out)
	}
	if id, ok := r.Signer(); !ok || id != pub.ID() || id != priv.ID() || len(id) != 16 {
		t.Errorf("signer %q", id)
	}
	if got, err := r.CheckSignature([]bundle.PublicKey{other, pub}); err != nil || !got.Equal(pub) || got.Equal(other) {
		t.Errorf("%v, %v", got, err)
	}
	for _, keys := range [][]bundle.PublicKey{nil, {other}} {
		_, err := r.CheckSignature(keys)
		if e := wantCode(t, err, bundle.CodeUnknownKey); e.Detail != pub.ID() || !errors.Is(err, goproxy.ErrBlocked) {
			t.Errorf("%v", err)
		}
	}
	_, err = open(t, create(t, samplePlan(2, 100), bundle.CreateOptions{})).CheckSignature([]bundle.PublicKey{pub})
	if wantCode(t, err, bundle.CodeUnsigned); !errors.Is(err, goproxy.ErrBlocked) {
		t.Error(err)
	}
}

// TestForeignSignature: keys and signatures that minisign makes, of both kinds, are taken; a signature of another manifest is not.
func TestForeignSignature(t *testing.T) {
	dir := t.TempDir()
	if out, err := minisign(t, dir, "", "-G", "-W", "-p", "k.pub", "-s", "k.key"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pub, err := bundle.PublicKeyFrom(filepath.Join(dir, "k.pub"))
	if err != nil {
		t.Fatal(err)
	}
	priv, err := bundle.ReadPrivateKey(filepath.Join(dir, "k.key"), noPassword(t))
	if err != nil || !priv.Public().Equal(pub) {
		t.Fatalf("%v, %v", priv.Public(), err)
	}
	if line, err := bundle.PublicKeyFrom(pub.String()); err != nil || !line.Equal(pub) {
		t.Errorf("%v, %v", line, err)
	}
	if _, err := open(t, create(t, samplePlan(1, 9), bundle.CreateOptions{Sign: &priv})).CheckSignature([]bundle.PublicKey{pub}); err != nil {
		t.Error(err)
	}
	sbom := []byte("{}")
	m := manifestOf(bundle.Entry{Name: bundle.SBOMName, Size: 2, SHA256: sha(sbom)})
	file := filepath.Join(t.TempDir(), "x.bundle")
	write(t, file, forge(t, m, sbom))
	write(t, filepath.Join(dir, "m"), open(t, file).RawManifest())
	for _, args := range [][]string{{}, {"-l"}} {
		if out, err := minisign(t, dir, "", append([]string{"-S", "-W", "-s", "k.key", "-m", "m"}, args...)...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		write(t, file, forge(t, m, sbom, [2]string{bundle.SignatureName, string(read(t, filepath.Join(dir, "m.minisig")))}))
		if got, err := open(t, file).CheckSignature([]bundle.PublicKey{pub}); err != nil || !got.Equal(pub) {
			t.Errorf("%v: %v", args, err)
		}
		m := m
		m.Level = bundle.All
		write(t, file, forge(t, m, sbom, [2]string{bundle.SignatureName, string(read(t, filepath.Join(dir, "m.minisig")))}))
		_, err := open(t, file).CheckSignature([]bundle.PublicKey{pub})
		if e := wantCode(t, err, bundle.CodeSignature); e.Detail != pub.ID() || !errors.Is(err, goproxy.ErrMismatch) {
			t.Errorf("%v", err)
		}
	}
	write(t, file, forge(t, m, sbom, [2]string{bundle.SignatureName, "no signature"}))
	_, err = open(t, file).CheckSignature([]bundle.PublicKey{pub})
	wantCode(t, err, bundle.CodeSignature)
}

// TestEncrypt: a key that is written with a password is one that minisign opens with it. It takes seconds
// and 1 GiB, as it does for those who guess.
func TestEncrypt(t *testing.T) {
	if testing.Short() {
		return // TestPassword reads such a key, made for less
	}
	pub, priv := key(t)
	dir := t.TempDir()
	saveKeys(t, dir, "correct horse", pub, priv)
	write(t, filepath.Join(dir, "m"), []byte("text"))
	if out, err := minisign(t, dir, "correct horse\n", "-S", "-s", "k.key", "-m", "m"); err != nil {
		t.Fatalf("minisign: %v\n%s", err, out)
	}
	if out, err := minisign(t, dir, "", "-V", "-p", "k.pub", "-m", "m"); err != nil {
		t.Errorf("minisign: %v\n%s", err, out)
	}
}

// TestPassword: a key with a password opens with that one, and with no other.
func TestPassword(t *testing.T) {
	const file = "testdata/password.key"
	pub, err := bundle.PublicKeyFrom("testdata/password.pub")
	if err != nil {
		t.Fatal(err)
	}
	got, err := bundle.ReadPrivateKey(file, func() (string, error) { return "correct horse", nil })
	if err != nil || !got.Public().Equal(pub) {
		t.Errorf("%v, %v", got.Public(), err)
	}
	_, err = bundle.ReadPrivateKey(file, func() (string, error) { return "wrong horse", nil })
	if e := wantCode(t, err, bundle.CodePassword); e.File != file {
		t.Error(err)
	}
	nobody := errors.New("no terminal")
	if _, err = bundle.ReadPrivateKey(file, func() (string, error) { return "", nobody }); !errors.Is(err, nobody) {
		t.Error(err)
	}
}

// TestKeyFiles: what is no key is said to be none.
func TestKeyFiles(t *testing.T) {
	pub, priv := key(t)
	dir := t.TempDir()
	saveKeys(t, dir, "", pub, priv)
	text := read(t, filepath.Join(dir, "k.pub"))
	for _, ok := range [][]byte{text, []byte(pub.String()), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), []byte("\n " + pub.String() + " \n\n")} {
		if got, err := bundle.ParsePublicKey(ok); err != nil || !got.Equal(pub) {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "RW", pub.String() + "\n" + pub.String(), pub.String()[:50], "untrusted comment: x\n", strings.Repeat("R", 9000), string(read(t, filepath.Join(dir, "k.key")))} {
		_, err := bundle.ParsePublicKey([]byte(bad))
		if wantCode(t, err, bundle.CodeKey); !errors.Is(err, goproxy.ErrInvalid) {
			t.Error(err)
		}
	}
	_, err := bundle.ParsePrivateKey(text, noPassword(t))
	wantCode(t, err, bundle.CodeKey)
	_, err = bundle.PublicKeyFrom(filepath.Join(dir, "none"))
	if wantCode(t, err, bundle.CodeMissing); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	_, err = bundle.PublicKeyFrom(dir)
	wantCode(t, err, bundle.CodeKey)
	named := filepath.Join(dir, "RWfile")
	if err := os.Rename(filepath.Join(dir, "k.pub"), named); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if got, err := bundle.PublicKeyFrom("RWfile"); err != nil || !got.Equal(pub) {
		t.Errorf("a file that is named like a key: %v", err)
	}
}
