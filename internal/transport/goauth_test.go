package transport

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseGOAUTH(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		list string
		want []method
	}{
		{"", []method{{kind: "netrc"}}},
		{"off", nil},
		{"netrc; git " + dir, []method{{kind: "netrc"}, {kind: "git", dir: dir}}},
		{`helper -x "a b" 'c;d'`, nil}, // the semicolon separates even there, as in cmd/go
		{`'my helper' --flag "a b" c"d`, []method{{kind: "command", argv: []string{"my helper", "--flag", "a b", `c"d`}}}},
	} {
		got, err := parseGOAUTH(tt.list)
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(method{})); diff != "" {
			t.Errorf("%s: %v %s", tt.list, err, diff)
		}
		if wantErr := strings.Contains(tt.list, ";d"); (err != nil) != wantErr {
			t.Errorf("%s: got error %v", tt.list, err)
		}
	}
	for _, list := range []string{";", "git", "git a b", `""`, "off;off"} {
		if _, err := parseGOAUTH(list); err == nil {
			t.Errorf("%s: no error", list)
		}
	}
}

func TestParseGOAUTHOutput(t *testing.T) {
	basic := http.Header{"Authorization": {"Basic abc"}}
	for _, tt := range []struct {
		name, data string
		want       map[string]http.Header
	}{
		{"empty", "", map[string]http.Header{}},
		{"one", "https://a.test\n\nAuthorization: Basic abc\n\n", map[string]http.Header{"a.test": basic}},
		{"help goauth", "https://a.test\nhttps://B.test/api/\n\nAuthorization: Basic abc\n\nhttps://c.test/\n\nExample: Data\nexample: more\n\n",
			map[string]http.Header{"a.test": basic, "b.test/api": basic, "c.test": {"Example": {"Data", "more"}}}},
		{"no headers", "https://a.test\n\n\n", map[string]http.Header{"a.test": {}}},
		{"CRLF", "https://a.test\r\n\r\nAuthorization: Basic abc\r\n\r\n", map[string]http.Header{"a.test": basic}},
		{"no end of URLs", "https://a.test\n", nil},
		{"no end of headers", "https://a.test\n\nAuthorization: Basic abc\n", nil},
		{"not https", "http://a.test\n\nAuthorization: Basic abc\n\n", nil},
		{"no URL", "a.test\n\nAuthorization: Basic abc\n\n", nil},
		{"no header", "https://a.test\n\nBasic abc\n\n", nil},
		{"bad name", "https://a.test\n\nAuthori zation: Basic abc\n\n", nil},
		{"bad value", "https://a.test\n\nAuthorization: Basic\x00abc\n\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseGOAUTHOutput(tt.data)
			if (err == nil) != (tt.want != nil) {
				t.Fatalf("got error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if err != nil && strings.Contains(err.Error(), "abc") {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func FuzzParseGOAUTHOutput(f *testing.F) {
	f.Add("https://a.test\nhttps://b.test/api/\n\nAuthorization: Basic abc\n\nhttps://c.test\n\nExample: Data\n\n")
	f.Add("https://a.test\r\n\r\n\r\n")
	f.Add("https://a.test/%2f?x#y\n\nA: \n\n")
	f.Fuzz(func(t *testing.T, data string) {
		found, err := parseGOAUTHOutput(data)
		if err != nil {
			return
		}
		// What was found is a sendable header for a URL, and reads the same when written again.
		var again strings.Builder
		for _, prefix := range slices.Sorted(maps.Keys(found)) {
			u, err := url.Parse("https://" + prefix)
			if err != nil || prefixOf(u) != prefix {
				return // userinfo and the like: no request can match it
			}
			fmt.Fprintf(&again, "https://%s\n\n", prefix)
			for name, values := range found[prefix] {
				for _, v := range values {
					if strings.ContainsAny(name+v, "\r\n\x00") {
						t.Fatalf("header %q: %q of %q", name, v, data)
					}
					fmt.Fprintf(&again, "%s: %s\n", name, v)
				}
			}
			again.WriteString("\n")
		}
		got, err := parseGOAUTHOutput(again.String())
		if diff := cmp.Diff(found, got); err != nil || diff != "" {
			t.Fatalf("written and read again: %v %s", err, diff)
		}
	})
}

func TestParseGitCredential(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "a.test", Path: "/org/repo/@v/list"}
	for _, tt := range []struct{ name, data, prefix string }{
		{"host", "protocol=https\nhost=a.test\nusername=u\npassword=p=q\n", "a.test"},
		{"path", "protocol=https\nhost=a.test\npath=org\nusername=u\npassword=p=q\n", "a.test/org"},
		{"url", "url=https://x:y@a.test/org\nusername=u\npassword=p=q\n", "a.test/org"},
		{"no credentials", "protocol=https\nhost=a.test\n", ""},
		{"other host", "protocol=https\nhost=b.test\nusername=u\npassword=p=q\n", ""},
		{"other path", "protocol=https\nhost=a.test\npath=or\nusername=u\npassword=p=q\n", ""},
		{"beginning of the host", "protocol=https\nhost=a.te\nusername=u\npassword=p=q\n", ""},
		{"other scheme", "protocol=http\nhost=a.test\nusername=u\npassword=p=q\n", ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			prefix, h, err := parseGitCredential(tt.data, u)
			if prefix != tt.prefix || (err == nil) != (tt.prefix != "") {
				t.Fatalf("got prefix %q, error %v", prefix, err)
			}
			user, password, _ := (&http.Request{Header: h}).BasicAuth()
			if err == nil && (user != "u" || password != "p=q") {
				t.Errorf("got %q %q", user, password)
			}
		})
	}
}
