package toolchain

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var proveTarget = Target{Version: "go1.99.1", OS: "linux", Arch: "amd64"}

// proveWorld is a world with an archive, its key, and places that have neither hash nor
// signature yet.
type proveWorld struct {
	*askWorld
	prover *ArchiveProver
	bytes  *Download
	hash   string
	sig    string // good
	bad    string // of another file
	late   string // by a sub-key that the keyring lacks
}

const proveFile = "go1.99.1.linux-amd64.tar.gz"

func newProveWorld(t *testing.T) *proveWorld {
	t.Helper()
	data := []byte("the archive of go1.99.1")
	path := filepath.Join(t.TempDir(), proveFile)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	e := newPGPKey(t, "release")
	sub := addPGPSub(t, e, 10, 1000)
	ring := pgpRing(t, e, pgpExport(t, e))
	w := &proveWorld{askWorld: newAskWorld(t), hash: fmt.Sprintf("%x", sha256.Sum256(data))}
	mirror := Place{Name: "mirror", URL: "https://mirror.test/golang", Kind: Archives}
	w.prover = &ArchiveProver{HTTP: w.client, Keys: ring, Now: pgpNow, Waits: Waits{time.Minute, time.Minute}, Places: []Place{
		mirror,
		{Name: "go", URL: "https://go.test/dl", Kind: Archives, List: "https://go.test/dl/?mode=json"},
		{Name: "other", URL: "https://other.test/golang", Kind: Archives},
		{Name: "plain", URL: "http://plain.test/golang", Kind: Archives},
		{Name: "modules", URL: "https://modules.test", Kind: Modules},
	}}
	w.bytes = &Download{Path: path, Size: int64(len(data)), SHA256: sha256.Sum256(data), Places: []Place{mirror}}
	w.put("mirror.test/golang/"+proveFile, string(data))
	w.sig = string(pgpArmor(t, pgpSign(t, sub, pgpAt(100), data)))
	w.bad = string(pgpArmor(t, pgpSign(t, sub, pgpAt(100), []byte("another file"))))
	w.late = string(pgpSign(t, addPGPSub(t, e, 900, 1000), pgpAt(1000), data))
	return w
}

func (w *proveWorld) list(name, hash string) {
	w.put(name, fmt.Sprintf(`[{"version":"go1.99.1","stable":true,"files":[{"filename":%q,"os":"linux","arch":"amd64","sha256":%q,"size":5,"kind":"archive"}]}]`, proveFile, hash))
}

const wrongHash = "00000000000000000000000000000000000000000000000000000000000000aa"

// TestProve has one row for each state that the hosts of archives can be in. Each row says
// what they have, and what is to come of it.
func TestProve(t *testing.T) {
	const (
		mirror, other, plain = "mirror.test/golang/" + proveFile, "other.test/golang/" + proveFile, "http://plain.test/golang/" + proveFile
		short, long          = "go.test/dl/?mode=json", "go.test/dl/?include=all&mode=json"
	)
	for name, c := range map[string]struct {
		have    func(w *proveWorld)
		openpgp string // verdict and reason
		sha256  string // verdict, reason and who
	}{
		"the mirror alone": {func(w *proveWorld) { w.put(mirror+".asc", w.sig); w.put(mirror+".sha256", w.hash) },
			"proved", "unknown same-host mirror.test"},
		"the list of another host": {func(w *proveWorld) { w.list(short, w.hash); w.put("go.test/dl/"+proveFile+".asc", w.sig) },
			"proved", "proved go.test"},
		"an old release is in the long list": {func(w *proveWorld) {
			w.put(short, strings.ReplaceAll(testReleases, "go1.99.1", "go1.99.2"))
			w.list(long, w.hash)
		}, "unknown unreachable", "proved go.test"},
		"the list has no hash of it, the file beside the archive has": {func(w *proveWorld) {
			w.put(short, strings.ReplaceAll(testReleases, "go1.99.1", "go1.99.2"))
			w.list(long, "")
			w.put("go.test/dl/"+proveFile+".sha256", w.hash)
		}, "unknown unreachable", "proved go.test"},
		"two others": {func(w *proveWorld) { w.list(short, w.hash); w.put(other+".sha256", w.hash+"  "+proveFile+"\n") },
			"unknown unreachable", "proved go.test, other.test"},
		"pages where files should be": {func(w *proveWorld) {
			for _, name := range []string{short, mirror + ".asc", mirror + ".sha256", other + ".asc", other + ".sha256"} {
				w.page(name)
			}
		}, "unknown malformed", "unknown malformed"},
		"a page here, the file there": {func(w *proveWorld) {
			w.page(mirror + ".asc")
			w.page(short)
			w.put(other+".asc", w.sig)
			w.put(other+".sha256", w.hash)
		},
			"proved", "proved other.test"},
		"the bytes come from elsewhere, which vouches for itself": {func(w *proveWorld) {
			w.redirect(mirror, "https://other.test/golang/"+proveFile)
			w.put(other, "the archive of go1.99.1")
			w.put(other+".sha256", w.hash)
		}, "unknown unreachable", "unknown same-host other.test"},
		"another host sends those who ask to the mirror": {func(w *proveWorld) {
			w.redirect(other+".sha256", "https://"+mirror+".sha256")
			w.put(mirror+".sha256", w.hash)
		}, "unknown unreachable", "unknown same-host mirror.test"},
		"plain http": {func(w *proveWorld) { w.put(plain+".sha256", w.hash); w.put(plain+".asc", w.sig) },
			"proved", "unknown plain-http plain.test"},
		"sent on to plain http": {func(w *proveWorld) { w.redirect(other+".sha256", plain+".sha256"); w.put(plain+".sha256", w.hash) },
			"unknown unreachable", "unknown plain-http plain.test"},
		"another hash": {func(w *proveWorld) { w.put(other+".sha256", wrongHash); w.put(mirror+".sha256", w.hash) },
			"unknown unreachable", "refuted differs other.test"},
		"the mirror denies its own bytes": {func(w *proveWorld) { w.put(mirror+".sha256", wrongHash) },
			"unknown unreachable", "refuted differs mirror.test"},
		"hosts that do not agree": {func(w *proveWorld) { w.put(other+".sha256", wrongHash); w.list(short, w.hash) },
			"unknown unreachable", "unknown disagree go.test"},
		"the signature of another file": {func(w *proveWorld) { w.put(mirror+".asc", w.bad); w.list(short, w.hash) },
			"refuted bad-sig", "proved go.test"},
		"a bad signature here, the good one there": {func(w *proveWorld) { w.put(mirror+".asc", w.bad); w.put(other+".asc", w.sig) },
			"proved", "unknown unreachable"},
		"a new sub-key": {func(w *proveWorld) { w.put(mirror+".asc", w.late); w.put(other+".asc", w.late) },
			"unknown unknown-key", "unknown unreachable"},
		"nothing": {func(w *proveWorld) {}, "unknown unreachable", "unknown unreachable"},
		"no network": {func(w *proveWorld) { w.put(mirror+".asc", w.sig); w.list(short, w.hash); w.prover.HTTP = nil },
			"unknown unreachable", "unknown unreachable"},
		"the folder of the user": {func(w *proveWorld) {
			dir := t.TempDir()
			for ext, text := range map[string]string{".asc": w.sig, ".sha256": w.hash} {
				if err := os.WriteFile(filepath.Join(dir, proveFile+ext), []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			w.prover.HTTP = nil
			w.prover.Places = append(w.prover.Places, Place{Name: "stick", URL: askFileURL(dir), Kind: Archives})
		}, "proved", "proved stick"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newProveWorld(t)
			c.have(w)
			proofs := w.prover.Prove(t.Context(), proveTarget, w.bytes)
			if len(proofs) != 2 || proofs[0].Way != ByOpenPGP || proofs[1].Way != BySHA256 {
				t.Fatalf("%+v", proofs)
			}
			words := func(list ...string) string {
				return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), " ")
			}
			if got := words(string(proofs[0].Verdict), string(proofs[0].Reason)); got != c.openpgp {
				t.Errorf("OpenPGP: %s, want %s: %+v", got, c.openpgp, proofs[0])
			}
			if got := words(string(proofs[1].Verdict), string(proofs[1].Reason), proofs[1].By); got != c.sha256 {
				t.Errorf("SHA-256: %s, want %s: %+v", got, c.sha256, proofs[1])
			}
			for _, p := range proofs {
				if strings.Contains(p.Detail, "\n") || p.Reason == ReasonUnreachable && p.Detail == "" {
					t.Errorf("detail %q", p.Detail)
				}
			}
		})
	}
}

func TestProveZip(t *testing.T) {
	w := newProveWorld(t)
	windows := Target{Version: "go1.99.1", OS: "windows", Arch: "amd64"}
	w.put("other.test/golang/go1.99.1.windows-amd64.zip.sha256", w.hash)
	proofs := w.prover.Prove(t.Context(), windows, w.bytes)
	if p := proofs[0]; p.Verdict != None || p.Reason != ReasonNotSigned {
		t.Errorf("%+v", p)
	}
	if p := proofs[1]; p.Verdict != Proved || p.By != "other.test" {
		t.Errorf("%+v", p)
	}
	if w.was("GET mirror.test/golang/go1.99.1.windows-amd64.zip.asc") {
		t.Error("asked for a signature that cannot be there")
	}
}

// What the archive is read for is lost with it: that proves nothing, and refutes nothing.
func TestProveLostFile(t *testing.T) {
	w := newProveWorld(t)
	w.put("mirror.test/golang/"+proveFile+".asc", w.sig)
	if err := os.Remove(w.bytes.Path); err != nil {
		t.Fatal(err)
	}
	if p := w.prover.Prove(t.Context(), proveTarget, w.bytes)[0]; p.Verdict != Unknown || !strings.Contains(p.Detail, proveFile) {
		t.Errorf("%+v", p)
	}
}

func TestProveCanceled(t *testing.T) {
	w := newProveWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range w.prover.Prove(ctx, proveTarget, w.bytes) {
		if p.Verdict != Unknown || p.Reason != ReasonUnreachable || !strings.Contains(p.Detail, context.Canceled.Error()) {
			t.Errorf("%+v", p)
		}
	}
}

// By default the key that goferry carries is the one that counts.
func TestProveByGoogle(t *testing.T) {
	w := newProveWorld(t)
	w.prover.Keys, w.prover.Now = nil, nil
	w.put("mirror.test/golang/"+proveFile+".asc", w.sig)
	if p := w.prover.Prove(t.Context(), proveTarget, w.bytes)[0]; p.By != GoogleFingerprint || p.Reason != ReasonUnknownKey {
		t.Errorf("%+v", p)
	}
}

func TestWaitsDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_ = askAll(t.Context(), Waits{Answer: time.Minute}, 1, func(ctx context.Context, _ int) (string, error) { return askSay(ctx, time.Hour, "") },
			func(int, string, error) askResult { return askOn })
		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %v", took)
		}
	})
}
