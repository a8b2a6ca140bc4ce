package storetest

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/store"
)

func mustPut(t *testing.T, st Store, name, body string) {
	t.Helper()
	if err := st.Put(t.Context(), name, strings.NewReader(body), time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func mustCreate(t *testing.T, st Store, body string) Spool {
	t.Helper()
	sp, err := st.Create()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sp.Write([]byte(body)); n != len(body) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	return sp
}

func wantIs(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: error is %v, want %v", what, err, target)
	}
}

func wantBlob(t *testing.T, st Store, name, body string) {
	t.Helper()
	f, err := st.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || string(got) != body {
		t.Errorf("%s holds %d bytes (%v), want %d", name, len(got), err, len(body))
	}
}

func wantNames(t *testing.T, st Store, prefix string, want ...string) {
	t.Helper()
	var got []string
	err := st.Walk(t.Context(), prefix, func(b store.Blob) error {
		got = append(got, b.Name)
		return nil
	})
	if err != nil {
		t.Errorf("Walk %q: %v", prefix, err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Walk %q (-want +got):\n%s", prefix, d)
	}
}
