package goproxy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestParseRequest(t *testing.T) {
	type req = goproxy.Request
	tests := []struct {
		name      string
		want      req
		query     bool
		immutable bool
	}{
		{"golang.org/x/mod/@v/list", req{"golang.org/x/mod", "", goproxy.List}, false, false},
		{"golang.org/x/mod/@latest", req{"golang.org/x/mod", "", goproxy.Latest}, false, false},
		{"golang.org/x/mod/@v/v0.4.0.info", req{"golang.org/x/mod", "v0.4.0", goproxy.Info}, false, true},
		{"golang.org/x/mod/@v/v0.4.0.mod", req{"golang.org/x/mod", "v0.4.0", goproxy.Mod}, false, true},
		{"golang.org/x/mod/@v/v0.4.0.zip", req{"golang.org/x/mod", "v0.4.0", goproxy.Zip}, false, true},
		{"github.com/!azure/!a!b/@v/v1.0.0.mod", req{"github.com/Azure/AB", "v1.0.0", goproxy.Mod}, false, true},
		{"example.com/m/@v/v1.0.0-!r!c1.zip", req{"example.com/m", "v1.0.0-RC1", goproxy.Zip}, false, true},
		{"example.com/m/v2/@v/v2.0.0.zip", req{"example.com/m/v2", "v2.0.0", goproxy.Zip}, false, true},
		{"example.com/m/@v/v2.0.0+incompatible.zip", req{"example.com/m", "v2.0.0+incompatible", goproxy.Zip}, false, true},
		{"example.com/m/@v/v0.0.0-20240102030405-0123456789ab.mod", req{"example.com/m", "v0.0.0-20240102030405-0123456789ab", goproxy.Mod}, false, true},
		{"gopkg.in/yaml.v3/@v/v3.0.1.mod", req{"gopkg.in/yaml.v3", "v3.0.1", goproxy.Mod}, false, true},
		{"golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.zip", req{"golang.org/toolchain", "v0.0.1-go1.26.8.linux-amd64", goproxy.Zip}, false, true},
		// Queries.
		{"example.com/m/@v/main.info", req{"example.com/m", "main", goproxy.Info}, true, false},
		{"example.com/m/@v/!main.info", req{"example.com/m", "Main", goproxy.Info}, true, false},
		{"example.com/m/@v/v1.info", req{"example.com/m", "v1", goproxy.Info}, true, false},
		{"example.com/m/@v/v1.2.info", req{"example.com/m", "v1.2", goproxy.Info}, true, false},
		{"example.com/m/@v/latest.info", req{"example.com/m", "latest", goproxy.Info}, true, false},
		{"example.com/m/@v/0123456789ab.info", req{"example.com/m", "0123456789ab", goproxy.Info}, true, false},
		{"example.com/m/@v/v1.0.0+meta.info", req{"example.com/m", "v1.0.0+meta", goproxy.Info}, true, false},
		{"example.com/m/@v/v2.0.0.info", req{"example.com/m", "v2.0.0", goproxy.Info}, true, false},
		{"example.com/m/@v/release.x.info", req{"example.com/m", "release.x", goproxy.Info}, true, false},
	}
	for _, tt := range tests {
		got, err := goproxy.ParseRequest(tt.name)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v", tt.name, got, err)
			continue
		}
		if got.Query() != tt.query || got.Immutable() != tt.immutable {
			t.Errorf("%s: Query %v, Immutable %v", tt.name, got.Query(), got.Immutable())
		}
		if name, err := got.Name(); err != nil || name != tt.name {
			t.Errorf("%s: Name is %s, %v", tt.name, name, err)
		}
	}
}

func TestParseRequestInvalid(t *testing.T) {
	for _, name := range []string{
		"", "/", "index.html", "favicon.ico", "robots.txt", "golang.org/x/mod",
		"/golang.org/x/mod/@v/list", "@v/list", "/@v/list", "/@latest", "@latest",
		"golang.org/x/mod/@v/", "golang.org/x/mod/@v/.info", "golang.org/x/mod/@v/v1.0.0", "golang.org/x/mod/@v/v1.0.0.ziphash",
		"golang.org/x/mod/@v/list/", "golang.org/x/mod/@latest/", "golang.org/x/mod/@v/LIST",
		"github.com/Azure/x/@v/v1.0.0.mod", "github.com/Azure/x/@v/list", "github.com/Azure/x/@latest", // unescaped capitals
		"github.com/azure/x/@v/v1.0.0-RC1.mod", "github.com/azure/x/@v/Main.info",
		"github.com/!Azure/x/@v/list", "github.com/!!azure/x/@v/list", "github.com/azure!/x/@v/list", "github.com/!1/x/@v/list",
		"example.com/m/@v/v1.mod", "example.com/m/@v/v1.0.mod", "example.com/m/@v/main.mod", "example.com/m/@v/main.zip", "example.com/m/@v/latest.zip",
		"example.com/m/@v/v2.0.0.mod", "example.com/m/@v/v2.0.0.zip", // needs /v2 or +incompatible
		"example.com/m/v2/@v/v1.0.0.mod", "example.com/m/v2/@v/v2.0.0+incompatible.zip", "example.com/m/@v/v1.0.0+incompatible.mod",
		"example.com/m/@v/v1.0.0+meta.mod", "example.com/m/@v/v1.0.0+meta.zip",
		"gopkg.in/yaml.v3/@v/v2.0.0.mod", "gopkg.in/yaml/@v/v1.0.0.mod",
		"example.com/m/@v/../v1.0.0.mod", "example.com/m/@v/a/b.info", "example.com/../m/@v/list", "./example.com/m/@v/list",
		"example.com//m/@v/list", "example.com/m//@v/list", "example.com/m/./@v/list", "example.com/.git/@v/list", "example.com/m./@v/list",
		"nodots/m/@v/list", "absent/x/@v/list", ".goferry/spool/@v/list", "-/@v/list", "sumdb/sum.golang.org/supported",
		"example.com/con/@v/list", "example.com/a b/@v/list", "example.com/a\\b/@v/list", "example.com/a\x00/@v/list", "example.com/ü/@v/list", "example.com/\xff/@v/list",
		"example.com/m/@v/v1.0.0\n.mod",
	} {
		got, err := goproxy.ParseRequest(name)
		if !errors.Is(err, goproxy.ErrInvalid) || got != (goproxy.Request{}) {
			t.Errorf("%q: got %+v, %v", name, got, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), `"`) || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: error text %q", name, err)
		}
	}
	long := strings.Repeat("x", 10_000)
	if _, err := goproxy.ParseRequest(long); err == nil || len(err.Error()) > 400 {
		t.Errorf("error for a long name: %v", err)
	}
}

func TestNameInvalid(t *testing.T) {
	for _, req := range []goproxy.Request{
		{},
		{Kind: goproxy.List},
		{Path: "example.com/m"},
		{Path: "example.com/m", Kind: 99},
		{Path: "example.com/m", Kind: goproxy.Info},
		{Path: "example.com/m", Version: "a/b", Kind: goproxy.Info},
		{Path: "example.com/m", Version: "a!b", Kind: goproxy.Info},
		{Path: "example.com/m!n", Kind: goproxy.List},
		{Path: "example.com/m", Version: "main", Kind: goproxy.Mod},
		{Path: "example.com/m", Version: "v2.0.0", Kind: goproxy.Zip},
		{Path: "example.com/m", Version: "", Kind: goproxy.Zip},
	} {
		if name, err := req.Name(); !errors.Is(err, goproxy.ErrInvalid) || name != "" {
			t.Errorf("%+v: got %q, %v", req, name, err)
		}
	}
}

func TestRequestString(t *testing.T) {
	for want, req := range map[string]goproxy.Request{
		"example.com/M@list":       {Path: "example.com/M", Kind: goproxy.List},
		"example.com/M@latest":     {Path: "example.com/M", Kind: goproxy.Latest},
		"example.com/M@main.info":  {Path: "example.com/M", Version: "main", Kind: goproxy.Info},
		"example.com/M@v1.0.0.mod": {Path: "example.com/M", Version: "v1.0.0", Kind: goproxy.Mod},
		"example.com/M@v1.0.0.zip": {Path: "example.com/M", Version: "v1.0.0", Kind: goproxy.Zip},
		"example.com/M":            {Path: "example.com/M"},
	} {
		if got := req.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := goproxy.Kind(77).String(); got != "kind(77)" {
		t.Errorf("an unknown kind is %s", got)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		"golang.org/x/mod/@v/list", "golang.org/x/mod/@latest", "github.com/!azure/x/@v/v1.0.0.mod", "example.com/m/@v/main.info",
		"example.com/m/@v/v2.0.0+incompatible.zip", "gopkg.in/yaml.v3/@v/v3.0.1.info", "example.com/m/@v/v1.0.0-!r!c.zip",
		"example.com/@v/list/@latest", "a.b/@v/@v/x.info", "a.b/@v/.info.info", "a.b/@v/~.info", "a.b/%21c/@v/list", "a.b/@v/list.info",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		req, err := goproxy.ParseRequest(name)
		if err != nil {
			if !errors.Is(err, goproxy.ErrInvalid) || req != (goproxy.Request{}) {
				t.Fatalf("%q: %+v, %v", name, req, err)
			}
			return
		}
		if back, err := req.Name(); err != nil || back != name {
			t.Fatalf("%q parses to %+v, whose name is %q, %v", name, req, back, err)
		}
		if req.Query() && (req.Kind != goproxy.Info || req.Immutable()) {
			t.Fatalf("%q: a query of kind %v, immutable %v", name, req.Kind, req.Immutable())
		}
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/") || strings.Contains(name, "/../") || strings.ContainsAny(name, "\\\x00\n") {
			t.Fatalf("%q is no safe name", name)
		}
		if !strings.Contains(strings.SplitN(name, "/", 2)[0], ".") {
			t.Fatalf("%q: its first element has no dot, so it may be something of ours", name)
		}
	})
}
