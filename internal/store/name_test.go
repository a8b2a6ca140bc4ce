package store_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/store"
)

// FuzzNames: a name is refused with fs.ErrInvalid and leaves no trace, or it is
// a file within the folder that Walk finds under the same name.
func FuzzNames(f *testing.F) {
	for _, name := range []string{
		"github.com/!azure/x/@v/v1.0.0.zip", "sumdb/sum.golang.org/tile/8/0/x001/234", "a/@latest",
		"", ".", "..", "../x", "a/../../x", "/etc/passwd", ".goferry/usage.json", "./.goferry/x", ".GOFERRY/x",
		"a\x00b", `a\..\b`, "c:/x", "a//b", "a/", "a/b.", "con", "NUL.txt", "GOFERR~1/x", "é/ü", "\xff",
		strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("ab/", 350) + "c",
	} {
		f.Add(name)
	}
	tmp := f.TempDir()
	dir := filepath.Join(tmp, "store")
	st := open(f, dir, store.Options{})
	f.Fuzz(func(t *testing.T, name string) {
		err := st.Put(t.Context(), name, strings.NewReader(name), time.Time{})
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		} else {
			wantInside(t, st, name)
			if err := st.Remove(name); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		for d, want := range map[string]string{tmp: "store", dir: ".goferry"} {
			list, err := os.ReadDir(d)
			if err != nil || len(list) != 1 || list[0].Name() != want {
				t.Fatalf("%q: %s holds %v, %v; want %s alone", name, d, list, err, want)
			}
		}
	})
}

func wantInside(t *testing.T, st *store.Store, name string) {
	t.Helper()
	if got := names(t, st); len(got) != 1 || got[0] != name {
		t.Errorf("%q came back as %q", name, got)
	}
	data, err := os.ReadFile(filepath.Join(st.Dir(), filepath.FromSlash(name)))
	if err != nil || string(data) != name {
		t.Errorf("%q: file holds %q, %v", name, data, err)
	}
	f, err := st.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if data, err := io.ReadAll(f); err != nil || string(data) != name {
		t.Errorf("%q: blob holds %q, %v", name, data, err)
	}
}
