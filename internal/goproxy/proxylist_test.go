package goproxy_test

import (
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestParseUpstreams(t *testing.T) {
	type ups = []goproxy.Upstream
	const a, b = "https://a.example", "https://b.example"
	tests := []struct {
		list string
		want ups
	}{
		{"direct", ups{{"direct", 0}}},
		{"off", ups{{"off", 0}}},
		{a, ups{{a, 0}}},
		{a + "," + b, ups{{a, ','}, {b, 0}}},
		{a + "|" + b, ups{{a, '|'}, {b, 0}}},
		{a + "," + b + "|direct", ups{{a, ','}, {b, '|'}, {"direct", 0}}},
		{a + ",direct," + b, ups{{a, ','}, {"direct", 0}}}, // direct and off end the list
		{a + "|off," + b, ups{{a, '|'}, {"off", 0}}},
		{" " + a + " , direct ", ups{{a, ','}, {"direct", 0}}},
		{",|," + a + ",,|", ups{{a, 0}}}, // empty entries
		{a + ",|" + b, ups{{a, ','}, {b, 0}}},
		{"a.example", ups{{a, 0}}},
		{"a.example:8080/x", ups{{a + ":8080/x", 0}}},
		{"localhost:8080", ups{{"https://localhost:8080", 0}}},
		{"user:secret@a.example/x", ups{{"https://user:secret@a.example/x", 0}}},
		{"http://a.example/x?y=z", ups{{"http://a.example/x?y=z", 0}}},
		{"file:///srv/tree", ups{{"file:///srv/tree", 0}}},
		{"file:///C:/tree", ups{{"file:///C:/tree", 0}}},
		{"file:///srv/a%20b", ups{{"file:///srv/a%20b", 0}}},
		// Ours: mirrors.
		{a + "=" + b, ups{{a, '='}, {b, 0}}},
		{a + " = " + b + ",direct", ups{{a, '='}, {b, ','}, {"direct", 0}}},
		{"a.example=" + b + "=http://c.example|file:///x=file:///y", ups{{a, '='}, {b, '='}, {"http://c.example", '|'}, {"file:///x", '='}, {"file:///y", 0}}},
	}
	for _, tt := range tests {
		got, err := goproxy.ParseUpstreams(tt.list)
		if err != nil {
			t.Errorf("%q: %v", tt.list, err)
		} else if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", tt.list, d)
		}
	}
}

func TestParseUpstreamsInvalid(t *testing.T) {
	for list, want := range map[string]string{
		"":                                    "no entries",
		" , |":                                "no entries",
		"nonsense":                            "no URL",
		"https://a.example,nonsense":          "nonsense",
		"ftp://u:secret@a.example":            `scheme "ftp"`,
		"https://":                            "no host",
		"https:///x":                          "no host",
		"https://u:secret@:0:0/x":             "invalid",
		"https://u:sec%zzret@a.example":       "invalid",
		"u:secret@a.example:port":             "invalid",
		"https://a.example/#frag":             "fragment",
		"file://host/x":                       "file:///folder",
		"file:relative":                       "invalid", // as for cmd/go, a host and a port
		"file:/rooted":                        "file:///folder",
		"file://":                             "file:///folder",
		"file:///x?secret":                    "file:///folder",
		"/srv/tree":                           "no URL",
		"direct=https://a.example":            "direct",
		"=https://a.example":                  "no URL",
		"https://a.example=https://":          "no host",
		"https://u:se\x7fcret@a.example/\x7f": "invalid",
	} {
		got, err := goproxy.ParseUpstreams(list)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, error %v; want an error that says %q", list, got, err, want)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%q: the error gives the password away: %v", list, err)
		}
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example/x":                   "https://a.example/x",
		"https://user:secret@a.example/x":       "https://a.example/x",
		"https://secret@a.example":              "https://a.example",
		"https://a.example/x?token=secret#sec":  "https://a.example/x",
		"user:secret@a.example":                 "a.example",
		"secret@a.example/x":                    "a.example/x",
		"//user:secret@a.example/x":             "//a.example/x",
		"https://user:s%zzecret@a.example/x":    "a.example/x",
		"https://user:secret?more@a.example":    "(not shown)",
		"https://a.example:port/x?token=secret": "https://a.example:port/x",
		"https://a:b:c/?token=sec@ret":          "(not shown)",
		"a.example/x?token=secret":              "a.example/x",
		"file:///srv/a@b":                       "file:///srv/a@b",
		"nonsense":                              "nonsense",
		"":                                      "",
	} {
		if got := goproxy.RedactURL(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// goList is what cmd/go's proxyList makes of a GOPROXY that has no mirrors, by its documentation:
// entries, and whether the next one is tried after any error.
func goList(list string) (entries []string, onError []bool, ok bool) {
	for rest, more := list, true; more; {
		entry := rest
		i := strings.IndexAny(rest, ",|")
		if more = i >= 0; more {
			entry, rest = rest[:i], rest[i+1:]
		}
		fallBack := more && list[len(list)-len(rest)-1] == '|'
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if entry == "off" || entry == "direct" {
			return append(entries, entry), append(onError, false), true
		}
		if strings.ContainsAny(entry, ".:/") && !strings.Contains(entry, ":/") && !filepath.IsAbs(entry) && !path.IsAbs(entry) {
			entry = "https://" + entry
		}
		u, err := url.Parse(entry)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" {
			return nil, nil, false
		}
		if u.Scheme == "file" && *u != (url.URL{Scheme: u.Scheme, Path: u.Path, RawPath: u.RawPath}) {
			return nil, nil, false
		}
		entries, onError = append(entries, entry), append(onError, fallBack)
	}
	return entries, onError, len(entries) > 0
}

func FuzzParseUpstreams(f *testing.F) {
	for _, s := range []string{
		"direct", "off", "https://a.example,direct", "a.example|b.example,off", "file:///srv/tree,direct", " , a.example ,",
		"https://a.example=https://b.example|direct", "https://u:p@a.example/x?y=z", "=,=", "a.b=http://c=http://d", "localhost:80", "https://a=,b.c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		ups, err := goproxy.ParseUpstreams(list)
		entries, onError, ok := goList(list)
		if err != nil {
			return // stricter than cmd/go: hosts and fragments
		}
		formatted := goproxy.FormatUpstreams(ups)
		again, err := goproxy.ParseUpstreams(formatted)
		if err != nil || !cmp.Equal(ups, again) {
			t.Fatalf("%q parses to %v, which formats to %q, which parses to %v, %v", list, ups, formatted, again, err)
		}
		for i, u := range ups {
			if last := i == len(ups)-1; last != (u.Sep == 0) {
				t.Fatalf("%q: %v has a separator in the wrong place", list, ups)
			}
			if u.Sep == goproxy.OnMirror {
				return // cmd/go knows none
			}
			if (u.URL == "direct" || u.URL == "off") && i != len(ups)-1 {
				t.Fatalf("%q: the list goes on behind %s", list, u.URL)
			}
		}
		if !ok || len(entries) != len(ups) {
			t.Fatalf("%q: got %v, cmd/go has %v, %v", list, ups, entries, ok)
		}
		for i, u := range ups {
			if u.URL != entries[i] || i < len(ups)-1 && (u.Sep == goproxy.OnError) != onError[i] {
				t.Fatalf("%q: entry %d is %v, cmd/go has %q, %v", list, i, u, entries[i], onError[i])
			}
		}
	})
}

func FuzzRedactURL(f *testing.F) {
	for _, s := range []string{"a.example/x", "a.example:8080", "[::1]:80/", "a.example?q", "x y", "%zz", "a@b", "#"} {
		f.Add("https", "user", s)
		f.Add("", "us?er", s)
	}
	f.Fuzz(func(t *testing.T, scheme, user, rest string) {
		const password = "correct-horse-battery"
		if strings.ContainsAny(scheme, "@") {
			return
		}
		s := user + ":" + password + "@" + rest
		if scheme != "" {
			s = scheme + "://" + s
		}
		if strings.HasPrefix(scheme, "file") || strings.Contains(user, "/") {
			return // a path, then, and no credentials
		}
		if got := goproxy.RedactURL(s); strings.Contains(got, password) {
			t.Fatalf("%q: %q gives the password away", s, got)
		}
	})
}
