package toolchain

import (
	"bytes"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

func containsSecret(data []byte) bool { return bytes.Contains(data, []byte("hunter2")) }

func TestKnown(t *testing.T) {
	kinds := map[Kind]int{}
	for _, p := range Known() {
		kinds[p.Kind]++
		if p.Own || strings.HasSuffix(p.URL, "/") || p.List != "" && p.Kind != Archives {
			t.Errorf("%+v", p)
		}
	}
	if kinds[Modules] == 0 || kinds[Archives] < 5 {
		t.Errorf("kinds are %v", kinds)
	}
	for name, data := range map[string]string{
		"http":      `[{"name":"a","kind":"archives","url":"http://a.test"}]`,
		"kind":      `[{"name":"a","kind":"tapes","url":"https://a.test"}]`,
		"twice":     `[{"name":"a","kind":"archives","url":"https://a.test"},{"name":"a","kind":"archives","url":"https://b.test"}]`,
		"no name":   `[{"kind":"archives","url":"https://a.test"}]`,
		"new field": `[{"name":"a","kind":"archives","url":"https://a.test","speed":1}]`,
		"no list":   `{}`,
	} {
		if list, err := parsePlaces([]byte(data)); err == nil {
			t.Errorf("%s: got %v", name, list)
		}
	}
}

func TestOffer(t *testing.T) {
	win, arm := Target{"go1.26rc2", "windows", "arm64"}, Target{"go1.25.7", "linux", "arm"}
	for _, tt := range []struct {
		place Place
		t     Target
		want  string
	}{
		{Place{URL: "https://p.test/", Kind: Modules}, arm, "https://p.test/golang.org/toolchain/@v/v0.0.1-go1.25.7.linux-arm.zip"},
		{Place{URL: "https://u:p@p.test/a/b?k=v", Kind: Modules}, win, "https://u:p@p.test/a/b/golang.org/toolchain/@v/v0.0.1-go1.26rc2.windows-arm64.zip?k=v"},
		{Place{URL: "https://p.test/go", Kind: Modules, Flat: true}, arm, "https://p.test/go/v0.0.1-go1.25.7.linux-arm.zip"},
		{Place{URL: "https://a.test/golang/", Kind: Archives}, arm, "https://a.test/golang/go1.25.7.linux-armv6l.tar.gz"},
		{Place{URL: "https://a.test", Kind: Archives}, win, "https://a.test/go1.26rc2.windows-arm64.zip"},
		{Place{URL: "file:///srv/go", Kind: Archives}, win, "file:///srv/go/go1.26rc2.windows-arm64.zip"},
	} {
		if got := tt.place.Offer(tt.t).URL; got != tt.want {
			t.Errorf("%+v offers %s, want %s", tt.place, got, tt.want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	for s, want := range map[string]Place{
		"https://a.test/golang/":              {Name: "https://a.test/golang", URL: "https://a.test/golang/", Kind: Archives, Own: true},
		"archives=http://a.test":              {Name: "http://a.test", URL: "http://a.test", Kind: Archives, Own: true},
		"modules=https://u:hunter2@p.test/go": {Name: "https://p.test/go", URL: "https://u:hunter2@p.test/go", Kind: Modules, Own: true},
		"https://a.test/x?key=value":          {Name: "https://a.test/x", URL: "https://a.test/x?key=value", Kind: Archives, Own: true},
		"file:///srv/go":                      {Name: "file:///srv/go", URL: "file:///srv/go", Kind: Archives, Own: true},
	} {
		got, err := ParsePlace(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		wantEqual(t, s, got, want)
	}
	for _, s := range []string{"", "a.test", "ftp://a.test", "tapes=https://a.test", "https://", "mailto:x@a.test", "https://a.test/#x", "file:", "https://u:hunter2@[::1", "modules="} {
		if got, err := ParsePlace(s); !errors.Is(err, ErrPlace) || containsSecret([]byte(err.Error())) {
			t.Errorf("%q: got %+v, error %v", s, got, err)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"https://a.test/x", "modules=https://u:secretpw@h.test", "file:///C:/x", "archives=http://[::1]:80/", "http://u:secretpw@h.test?a=secretpw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlace(s)
		if err != nil {
			if !errors.Is(err, ErrPlace) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParsePlace(string(p.Kind) + "=" + p.URL)
		if err != nil || again != p {
			t.Fatalf("%q: %+v is read as %+v, %v", s, p, again, err)
		}
		if u, err := url.Parse(p.Name); err != nil || u.User != nil || u.RawQuery != "" {
			t.Fatalf("%q is named %q, %v", s, p.Name, err)
		}
		o := p.Offer(fetchTarget)
		if base, _, _ := strings.Cut(o.URL, "?"); !strings.HasSuffix(base, p.FileName(fetchTarget)) {
			t.Fatalf("%q offers %q", s, o.URL)
		}
	})
}

func TestPathOfURL(t *testing.T) {
	want := map[string]string{"file:///srv/a%20b/x": "/srv/a b/x", "file://localhost/srv": "/srv"}
	if filepath.Separator == '\\' {
		want = map[string]string{"file:///C:/a%20b/x": `C:\a b\x`, "file://server/share/x": `\\server\share\x`, "file://localhost/C:/x": `C:\x`}
	}
	for raw, path := range want {
		if got, err := pathOfURL(raw); err != nil || got != path {
			t.Errorf("%s is %s, error %v, want %s", raw, got, err, path)
		}
	}
	for _, raw := range []string{"file:", "file:x", "file://[::1", "file://srv"} {
		if got, err := pathOfURL(raw); err == nil {
			t.Errorf("%s is %s", raw, got)
		}
	}
}
