package bundle_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/goproxytest"
)

// selectFrom selects from an upstream with faults.
func selectFrom(t *testing.T, up *goproxytest.Server, s bundle.Selector, asked ...goproxy.Request) (bundle.Selected, map[string]string) {
	t.Helper()
	c, err := goproxy.NewClient(up.URL, up.Client())
	if err != nil {
		t.Fatal(err)
	}
	if s.Source == nil {
		s.Source = c
	}
	got, err := s.Select(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range got.Files {
		r, err := f.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != f.Size {
			t.Fatalf("%s: %d bytes, not %d: %v", f.Name, len(data), f.Size, err)
		}
		r.Close()
		files[f.Name] = string(data)
	}
	return got, files
}

func newSelectUpstream(t *testing.T) *goproxytest.Server {
	up := goproxytest.New(t)
	for _, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0-rc.1", "v2.0.0+incompatible"} {
		up.AddModule("example.com/m", v, map[string]string{"m.go": "package m\n"})
	}
	return up
}

// TestSelectLists wants lists that name what is there, and the newest version of each kind with .info and .mod.
func TestSelectLists(t *testing.T) {
	up := newSelectUpstream(t)
	zip := goproxy.Request{Path: "example.com/m", Version: "v1.0.0", Kind: goproxy.Zip}
	got, files := selectFrom(t, up, bundle.Selector{Lists: true}, zip)
	if len(got.Missing) > 0 {
		t.Errorf("missing: %v", got.Missing)
	}
	if want := "v1.0.0\nv1.2.0\nv2.0.0+incompatible\n"; files["example.com/m/@v/list"] != want {
		t.Errorf("list %q, want %q", files["example.com/m/@v/list"], want)
	}
	for name, want := range map[string]bool{
		"v1.0.0.zip": true, "v1.0.0.mod": true, "v1.0.0.info": true, "v1.2.0.mod": true, "v1.2.0.info": true, "v1.2.0.zip": false, "v1.1.0.mod": false, "v1.3.0-rc.1.mod": false,
	} {
		if _, ok := files["example.com/m/@v/"+name]; ok != want {
			t.Errorf("%s: %v, want %v", name, ok, want)
		}
	}
	var sums []string
	for _, m := range got.Modules {
		if m.Sum != "" {
			sums = append(sums, m.Version)
		}
		if m.ModSum == "" {
			t.Errorf("%s: no hash of its go.mod", m.Version)
		}
	}
	if diff := cmp.Diff([]string{"v1.0.0"}, sums); diff != "" {
		t.Errorf("zips (-want +got):\n%s", diff)
	}
	_, files = selectFrom(t, up, bundle.Selector{}, zip)
	if len(files) != 3 {
		t.Errorf("without lists: %d files, want .info, .mod, .zip", len(files))
	}
}

// TestSelectQuery wants the answer of a version query, and the version that it means.
func TestSelectQuery(t *testing.T) {
	up := newSelectUpstream(t)
	up.AddQuery("example.com/m", "main", "v1.1.0")
	_, files := selectFrom(t, up, bundle.Selector{}, goproxy.Request{Path: "example.com/m", Version: "main", Kind: goproxy.Info})
	for _, name := range []string{"main.info", "v1.1.0.info", "v1.1.0.mod"} {
		if files["example.com/m/@v/"+name] == "" {
			t.Errorf("no %s in %v", name, files)
		}
	}
}

// TestSelectMissing wants what is missing named with its meaning, and the rest; a list that an upstream refuses is made of
// what there is, one that could not be asked for is missing.
func TestSelectMissing(t *testing.T) {
	up := newSelectUpstream(t)
	real, err := goproxy.NewClient(up.URL, up.Client())
	if err != nil {
		t.Fatal(err)
	}
	zip := goproxy.Request{Path: "example.com/m", Version: "v1.0.0", Kind: goproxy.Zip}
	for _, tt := range []struct {
		kind    goproxy.Kind
		err     error
		offline bool
		missing int
	}{
		{goproxy.Zip, goproxy.ErrNotExist, false, 1},
		{goproxy.Info, goproxy.ErrUnavailable, false, 3}, // of the version and of the two that are newest
		{goproxy.List, goproxy.ErrUnavailable, false, 1},
		{goproxy.List, goproxy.ErrUnavailable, true, 0},
		{goproxy.List, goproxy.ErrBlocked, false, 0},
		{goproxy.List, goproxy.ErrNotExist, false, 0},
	} {
		src := goproxy.SourceFunc(func(ctx context.Context, req goproxy.Request) (goproxy.File, error) {
			if req.Kind == tt.kind {
				return nil, &goproxy.Error{Request: req, Err: tt.err}
			}
			return real.Open(ctx, req)
		})
		got, files := selectFrom(t, up, bundle.Selector{Source: src, Lists: true, Offline: tt.offline}, zip)
		if len(got.Missing) != tt.missing {
			t.Errorf("%v %v: missing %v, want %d", tt.kind, tt.err, got.Missing, tt.missing)
		}
		for _, m := range got.Missing {
			if !errors.Is(m.Err, tt.err) {
				t.Errorf("%v: %v, want %v", m.Request, m.Err, tt.err)
			}
		}
		if files["example.com/m/@v/v1.0.0.mod"] == "" {
			t.Errorf("%v %v: no .mod", tt.kind, tt.err)
		}
	}
}

// TestMergeLists wants the lists of a delta to name what the older bundle names as well.
func TestMergeLists(t *testing.T) {
	up := newSelectUpstream(t)
	old, _ := selectFrom(t, up, bundle.Selector{Lists: true}, goproxy.Request{Path: "example.com/m", Version: "v1.0.0", Kind: goproxy.Zip})
	file := t.TempDir() + "/old.bundle"
	if _, err := bundle.Create(t.Context(), file, bundle.Plan{Modules: old.Modules, Files: old.Files, Level: bundle.Editor, Time: old.Youngest}, bundle.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	now, _ := selectFrom(t, up, bundle.Selector{Lists: true}, goproxy.Request{Path: "example.com/m", Version: "v1.1.0", Kind: goproxy.Zip})
	merged, err := bundle.MergeLists(t.Context(), now.Files, r.FS())
	if err != nil {
		t.Fatal(err)
	}
	delta, err := bundle.Lacking(t.Context(), merged, r.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range delta {
		names = append(names, f.Name)
		if f.Name == "example.com/m/@v/list" {
			rc, err := f.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(rc)
			if want := "v1.0.0\nv1.1.0\nv1.2.0\nv2.0.0+incompatible\n"; err != nil || string(data) != want {
				t.Errorf("list %q, want %q (%v)", data, want, err)
			}
		}
	}
	want := []string{"example.com/m/@v/list", "example.com/m/@v/v1.1.0.info", "example.com/m/@v/v1.1.0.mod", "example.com/m/@v/v1.1.0.zip"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("delta (-want +got):\n%s", diff)
	}
}
