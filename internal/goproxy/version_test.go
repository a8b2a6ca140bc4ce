package goproxy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestParseInfo(t *testing.T) {
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name string
		data string
		want goproxy.Rev
		bad  string // what the error says
	}{
		{"m/@v/v1.0.0.info", `{"Version":"v1.0.0","Time":"2024-01-02T03:04:05Z","Origin":{"VCS":"git"},"New":1}`, goproxy.Rev{Version: "v1.0.0", Time: at}, ""},
		{"m/@v/v1.0.0.info", `{"Version":"v1.0.0"}`, goproxy.Rev{Version: "v1.0.0"}, ""},
		{"m/@v/v1.0.0.info", `{"Version":"v1.0.0","Time":null}`, goproxy.Rev{Version: "v1.0.0"}, ""},
		{"m/@v/main.info", `{"Version":"v1.2.3"}`, goproxy.Rev{Version: "v1.2.3"}, ""},
		{"m/@v/v1.info", `{"Version":"v1.2.3"}`, goproxy.Rev{Version: "v1.2.3"}, ""},
		{"m/@latest", `{"Version":"v2.0.0+incompatible"}`, goproxy.Rev{Version: "v2.0.0+incompatible"}, ""},
		{"m/@v/v1.0.0.info", `{"Version":"v1.0.1"}`, goproxy.Rev{}, "it is about v1.0.1"},
		{"m/@v/v1.0.0.info", `{"Version":"v1"}`, goproxy.Rev{}, `"v1" is not a canonical version`},
		{"m/@v/main.info", `{"Version":"v2.0.0"}`, goproxy.Rev{}, `"v2.0.0" is not a canonical version`},
		{"m/@v/main.info", `{"Version":"main"}`, goproxy.Rev{}, `"main" is not a canonical version`},
		{"m/@latest", `{"Version":"v1.0.0+meta"}`, goproxy.Rev{}, "not a canonical version"},
		{"m/@latest", `{}`, goproxy.Rev{}, "names no version"},
		{"m/@latest", `{"Origin":null,"Name":"","Short":"","Version":""}`, goproxy.Rev{}, "names no version"},
		{"m/@latest", `not found`, goproxy.Rev{}, "no valid .info"},
		{"m/@latest", ``, goproxy.Rev{}, "no valid .info"},
		{"m/@latest", `{"Version":"v1.0.0"} {"Version":"v1.0.0"}`, goproxy.Rev{}, "no valid .info"},
		{"m/@latest", `{"Version":1}`, goproxy.Rev{}, "no valid .info"},
		{"m/@latest", `{"Version":"v1.0.0","Time":"yesterday"}`, goproxy.Rev{}, "no valid .info"},
	}
	for _, tt := range tests {
		got, err := goproxy.ParseInfo(mustParse(t, "example.com/"+tt.name), []byte(tt.data))
		switch {
		case tt.bad == "" && (err != nil || !cmp.Equal(got, tt.want)):
			t.Errorf("%s %s: got %+v, %v", tt.name, tt.data, got, err)
		case tt.bad != "" && (!errors.Is(err, goproxy.ErrUnavailable) || goproxy.Absent(err) || !strings.Contains(err.Error(), tt.bad) || got != tt.want):
			t.Errorf("%s %s: got %+v, %v; want that %s", tt.name, tt.data, got, err, tt.bad)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add("example.com/m/@v/v1.0.0.info", []byte(`{"Version":"v1.0.0","Time":"2024-01-02T03:04:05Z"}`))
	f.Add("example.com/m/@v/main.info", []byte(`{"Version":"v1.0.0"}`))
	f.Add("example.com/m/@latest", []byte(`{"Version":"v2.0.0+incompatible"}`))
	f.Add("example.com/m/v2/@latest", []byte(`{"version":"v2.0.0","VERSION":"v2.0.1"}`))
	f.Add("example.com/m/@latest", []byte(`{"Version":"v1.0.0\n"}`))
	f.Add("example.com/m/@latest", []byte(`<html>`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		req, err := goproxy.ParseRequest(name)
		if err != nil {
			return
		}
		rev, err := goproxy.ParseInfo(req, data)
		if err != nil {
			if !errors.Is(err, goproxy.ErrUnavailable) || rev != (goproxy.Rev{}) {
				t.Fatalf("%+v, %v", rev, err)
			}
			return
		}
		// What is accepted can be asked for.
		for _, kind := range []goproxy.Kind{goproxy.Info, goproxy.Mod, goproxy.Zip} {
			r := goproxy.Request{Path: req.Path, Version: rev.Version, Kind: kind}
			if _, err := r.Name(); err != nil || !r.Immutable() {
				t.Fatalf("%q: accepted %q, which has no files: %v", data, rev.Version, err)
			}
		}
		if req.Kind == goproxy.Info && req.Immutable() && rev.Version != req.Version {
			t.Fatalf("asked for %s, accepted %s", req.Version, rev.Version)
		}
	})
}

func TestParseList(t *testing.T) {
	const list = "v1.10.0\r\nv1.2.0 2024-01-02T03:04:05Z\n\nv1.2.0\n  v0.1.0  \nv1.2\nv2.0.0\nv3.0.0+incompatible\nv1.0.0+incompatible\n" +
		"v1.0.0-rc.1\ngarbage\nv0.0.0-20240102030405-0123456789ab\nv1.0.0+meta\n<html>\nv1.2.1-0.20240102030405-0123456789ab\n\xff\nV1.0.0\nv1.0.0"
	versions, pseudo := goproxy.ParseList("example.com/m", []byte(list))
	if d := cmp.Diff([]string{"v0.1.0", "v1.0.0-rc.1", "v1.0.0", "v1.2.0", "v1.10.0", "v3.0.0+incompatible"}, versions); d != "" {
		t.Errorf("versions (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"v0.0.0-20240102030405-0123456789ab", "v1.2.1-0.20240102030405-0123456789ab"}, pseudo); d != "" {
		t.Errorf("pseudo-versions (-want +got):\n%s", d)
	}
	if versions, _ := goproxy.ParseList("example.com/m/v2", []byte("v1.0.0\nv2.0.0\nv2.0.0+incompatible\nv3.0.0\n")); !slices.Equal(versions, []string{"v2.0.0"}) {
		t.Errorf("of a /v2 path: %v", versions)
	}
	if got := goproxy.FormatList(nil); len(got) != 0 {
		t.Errorf("a list of nothing is %q", got)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("example.com/m", []byte("v1.0.0\nv0.1.0\nv1.0.0 2024-01-02T03:04:05Z\nv0.0.0-20240102030405-0123456789ab\n"))
	f.Add("example.com/m/v2", []byte("v2.0.0\r\nv2.0.0-rc\nv2\n"))
	f.Add("gopkg.in/yaml.v3", []byte("v3.0.1\nv2.0.0\n"))
	f.Add("example.com/m", []byte("v2.0.0+incompatible\nv1.0.0\n\xff\x00v1"))
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		versions, pseudo := goproxy.ParseList(path, data)
		for _, list := range [][]string{versions, pseudo} {
			for i, v := range list {
				if i > 0 && (semver.Compare(list[i-1], v) > 0 || list[i-1] == v) {
					t.Fatalf("not sorted or not unique: %q", list)
				}
				if !strings.Contains(string(data), v) {
					t.Fatalf("%q is made up", v)
				}
				if _, err := (goproxy.Request{Path: path, Version: v, Kind: goproxy.Zip}).Name(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if slices.ContainsFunc(versions, module.IsPseudoVersion) || !slices.Equal(pseudo, slices.DeleteFunc(slices.Clone(pseudo), func(v string) bool { return !module.IsPseudoVersion(v) })) {
			t.Fatalf("pseudo-versions are not apart: %q %q", versions, pseudo)
		}
		again, none := goproxy.ParseList(path, goproxy.FormatList(versions))
		if !slices.Equal(again, versions) || len(none) != 0 {
			t.Fatalf("%q becomes %q", versions, again)
		}
	})
}

func TestVersionsAndStat(t *testing.T) {
	src := infos("example.com/m", "v1.1.0", "v1.0.0", "v0.0.0-20240102030405-0123456789ab")
	src.files["example.com/m/@latest"] = `{"Version":"v1.1.0"}`
	got, err := goproxy.Versions(t.Context(), src, "example.com/m")
	if err != nil || !slices.Equal(got, []string{"v1.0.0", "v1.1.0"}) {
		t.Errorf("Versions: %v, %v", got, err)
	}
	for query, want := range map[string]string{"latest": "v1.1.0", "v1.0.0": "v1.0.0"} {
		rev, err := goproxy.Stat(t.Context(), src, "example.com/m", query)
		if err != nil || rev.Version != want {
			t.Errorf("%s: %v, %v", query, rev, err)
		}
	}
	if _, err := goproxy.Versions(t.Context(), src, "example.com/other"); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("versions of a module that is not there: %v", err)
	}
	if _, err := goproxy.Stat(t.Context(), src, "example.com/m", "main"); !errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("a branch that is not there: %v", err)
	}
	if err := goproxy.CheckPath("example.com/m"); err != nil {
		t.Error(err)
	}
	if err := goproxy.CheckPath("example"); !errors.Is(err, goproxy.ErrInvalid) {
		t.Errorf("CheckPath: %v", err)
	}
}
