package sumdb

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
)

const otherKey = "localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6"

func TestParseDB(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want DB
		err  string
	}{
		{"off", DB{Off: true}, ""},
		{"sum.golang.org", DB{Name: publicName, Key: publicKey}, ""},
		{" sum.golang.org\t", DB{Name: publicName, Key: publicKey}, ""},
		{publicKey, DB{Name: publicName, Key: publicKey}, ""},
		{"sum.golang.google.cn", DB{Name: publicName, Key: publicKey, URL: "https://sum.golang.google.cn"}, ""},
		{"sum.golang.org https://mirror.example/sumdb/sum.golang.org", DB{Name: publicName, Key: publicKey, URL: "https://mirror.example/sumdb/sum.golang.org"}, ""},
		{otherKey, DB{Name: "localhost.localdev/sumdb", Key: otherKey}, ""},
		{otherKey + " http://127.0.0.1:8080/x", DB{Name: "localhost.localdev/sumdb", Key: otherKey, URL: "http://127.0.0.1:8080/x"}, ""},
		{"", DB{}, "empty"},
		{"  ", DB{}, "empty"},
		{"on", DB{}, "neither a known database nor a verifier key"},
		{"OFF", DB{}, "verifier key"},
		{"goproxy.cn/sumdb/sum.golang.org", DB{}, "verifier key"},
		{"https://sum.golang.org", DB{}, "verifier key"},
		{"sum.golang.google.cn https://sum.golang.google.cn", DB{}, "verifier key"},
		{"sum.golang.org a b", DB{}, "too many fields"},
		{"sum.golang.org file:///x", DB{}, "not an http"},
		{"sum.golang.org mirror.example", DB{}, "not an http"},
		{"sum.golang.org https://%zz", DB{}, "URL"},
		{"off https://x.example", DB{}, "verifier key"},
	} {
		got, err := ParseDB(tt.in)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("ParseDB(%q): error %v; want %q", tt.in, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseDB(%q): -want +got\n%s", tt.in, diff)
		}
	}
}

// No funny business in the name: it becomes a part of URLs and file names.
func TestParseDBNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"sum.example": true, "sum.example:8080": true, "sum.example/a/b": true,
		"sum.example/": false, "sum.example/../x": false, "sum.example//x": false, "..": false, ".": false, ".hidden": false,
		"sum.example?x": false, "sum.example#x": false, "u@sum.example": false, "/sum": false, `sum\x`: false, "sum.example/%41": false,
	} {
		_, key, err := note.GenerateKey(nil, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseDB(key); (err == nil) != ok {
			t.Errorf("%q: %v; want ok %v", name, err, ok)
		}
	}
}

func FuzzParseDB(f *testing.F) {
	for _, s := range []string{"off", "sum.golang.org", "sum.golang.google.cn", publicKey, otherKey, otherKey + " http://h/p?q=1", "on", "a b c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		db, err := ParseDB(s)
		if err != nil {
			if db != (DB{}) {
				t.Errorf("ParseDB(%q) = %+v with error %v", s, db, err)
			}
			return
		}
		if db.Off != (s == "off") || !db.Off && !cleanName(db.Name) {
			t.Errorf("ParseDB(%q) = %+v", s, db)
		}
		if strings.Contains(db.URL, "@") {
			return // String masks a password
		}
		again, err := ParseDB(db.String())
		if err != nil || again.Name != db.Name || again.Key != db.Key || (again.URL == "") != (db.URL == "") {
			t.Errorf("ParseDB(%q) = %+v; its String parses to %+v, %v", s, db, again, err)
		}
	})
}

func TestDBString(t *testing.T) {
	db, err := ParseDB("sum.golang.org https://me:secret@mirror.example/x")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := db.String(), "sum.golang.org https://me:xxxxx@mirror.example/x"; got != want {
		t.Errorf("String is %q; want %q", got, want)
	}
}

func TestRemotes(t *testing.T) {
	parse := func(s string) DB {
		db, err := ParseDB(s)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	proxies := []string{"https://me:secret@p.example/go/", "https://q.example"}
	for _, tt := range []struct {
		db   string
		want []string
	}{
		{"off", nil},
		{"sum.golang.org", []string{"p.example/go/sumdb/sum.golang.org", "q.example/sumdb/sum.golang.org", "sum.golang.org", "sum.golang.google.cn"}},
		{"sum.golang.google.cn", []string{"sum.golang.google.cn", "sum.golang.org"}},
		{otherKey, []string{"p.example/go/sumdb/localhost.localdev/sumdb", "q.example/sumdb/localhost.localdev/sumdb", "localhost.localdev/sumdb"}},
		{otherKey + " https://inner.example/db/", []string{"inner.example/db"}},
	} {
		var got []string
		for _, r := range Remotes(parse(tt.db), http.DefaultClient, proxies) {
			got = append(got, r.(interface{ String() string }).String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.db, diff)
		}
	}
}
