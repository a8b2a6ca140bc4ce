package bundle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/bundle"
)

// FuzzManifest: what is taken for a manifest can be written again, and all its names are ones that a bundle may have.
func FuzzManifest(f *testing.F) {
	r := open(f, create(f, samplePlan(2, 50), bundle.CreateOptions{}))
	f.Add(r.RawManifest())
	f.Add([]byte(`{"schema_version":1,"entries":[{"name":"../x","size":1,"sha256":""}]}`))
	f.Add([]byte(`{"schema_version":2}`))
	f.Add([]byte(`{"schema_version":1,"base":{"id":"x"},"entries":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := bundle.ParseManifest(data)
		if err != nil {
			var e *bundle.Error
			if !errors.As(err, &e) || e.Code != bundle.CodeRefused && e.Code != bundle.CodeTooNew {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, e := range m.Entries {
			if err := bundle.CheckName(e.Name); err != nil || e.Size < 0 || !fs.ValidPath(e.Name) {
				t.Fatalf("%+v: %v", e, err)
			}
		}
		again, err := json.Marshal(m)
		if err != nil {
			return // a time of a year beyond 9999
		}
		back, err := bundle.ParseManifest(again)
		if diff := cmp.Diff(m.Entries, back.Entries); err != nil || diff != "" || back.ID != m.ID {
			t.Fatalf("%v %s", err, diff)
		}
	})
}

// FuzzOpen: a bundle that somebody has changed anywhere is refused, or every file of it that can be read to its end is
// what was put in. Data replaces what stands at the offset.
func FuzzOpen(f *testing.F) {
	_, priv := key(f)
	file := create(f, samplePlan(2, 400_000), bundle.CreateOptions{Sign: &priv})
	good := read(f, file)
	want := contents(f, open(f, file).FS())
	f.Add(uint32(0), []byte("PK"), uint32(0))
	f.Add(uint32(14), []byte{1, 2, 3, 4, 5, 6, 7, 8}, uint32(10))
	f.Add(uint32(len(good)-100), []byte("x"), uint32(50))
	f.Add(uint32(1000), bytes.Repeat([]byte{0xff}, 3000), uint32(0))
	f.Fuzz(func(t *testing.T, at uint32, data []byte, cut uint32) {
		b := bytes.Clone(good)
		i := int(at) % len(b)
		copy(b[i:], data)
		b = b[:len(b)-int(cut)%len(b)]
		name := filepath.Join(t.TempDir(), "x.bundle")
		write(t, name, b)
		r, err := bundle.OpenDamaged(name)
		if err != nil {
			return
		}
		defer r.Close()
		rep, err := r.Verify(t.Context(), nil, nil)
		if (err == nil) != bytes.Equal(b, good) || (err == nil) != (rep.Damaged == 0) {
			t.Fatalf("%+v, %v", rep, err)
		}
		for name, data := range want {
			if got, err := fs.ReadFile(r.FS(), name); err == nil && !bytes.Equal(got, data) {
				t.Fatalf("%s: other bytes", name)
			}
		}
	})
}

// FuzzArbitrary: whatever a file holds, it is opened or refused with a code.
func FuzzArbitrary(f *testing.F) {
	file := create(f, samplePlan(1, 30), bundle.CreateOptions{})
	f.Add(read(f, file))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "x.bundle")
		write(t, name, data)
		r, err := bundle.Open(name)
		if err != nil {
			var e *bundle.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			return
		}
		r.Close()
	})
}

// FuzzSums: a list that is taken is one that can be written again.
func FuzzSums(f *testing.F) {
	f.Add(bundle.FormatSums("x", []string{sha(nil), sha([]byte("a"))}))
	f.Add([]byte(sha(nil) + " *y.001\r\n\r\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := bundle.ParseSums(data)
		if err != nil {
			return
		}
		back, err := bundle.ParseSums(bundle.FormatSums("x", sums))
		if err != nil || !cmp.Equal(sums, back) {
			t.Fatalf("%v, %v", back, err)
		}
	})
}

// FuzzPublicKey: a key that is taken is written as one that is the same.
func FuzzPublicKey(f *testing.F) {
	pub, _ := key(f)
	text, _ := pub.MarshalText()
	f.Add(text)
	f.Add([]byte(pub.String()))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := bundle.ParsePublicKey(data)
		if err != nil {
			return
		}
		text, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{text, []byte(k.String())} {
			if back, err := bundle.ParsePublicKey(form); err != nil || !back.Equal(k) {
				t.Fatalf("%s: %v", form, err)
			}
		}
	})
}

// FuzzPrivateKey: a key that is taken without a password is written as one that is the same. One with a password is
// not tried: guessing is made slow.
func FuzzPrivateKey(f *testing.F) {
	_, priv := key(f)
	text, err := bundle.MarshalPrivateKey(priv, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(read(f, "testdata/password.key"))
	none := errors.New("no password")
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := bundle.ParsePrivateKey(data, func() (string, error) { return "", none })
		if err != nil {
			return
		}
		text, err := bundle.MarshalPrivateKey(k, "")
		if err != nil {
			t.Fatal(err)
		}
		if back, err := bundle.ParsePrivateKey(text, nil); err != nil || !back.Public().Equal(k.Public()) {
			t.Fatalf("%v", err)
		}
	})
}
