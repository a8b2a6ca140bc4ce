package config_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/config"
)

func TestFileForms(t *testing.T) {
	tests := []struct{ name, text, key, value, at string }{
		{"table", "# a comment\n[cache]\n\nmax-size = '1GB'\n", "cache.max-size", "1GB", ":4"},
		{"dotted", "cache.max-size = '1GB'\n", "cache.max-size", "1GB", ":1"},
		{"inline table", "\ncache = { idle = '1h', max-size = '1GB' }\n", "cache.max-size", "1GB", ":2"},
		{"bytes", "[cache]\nmax-size = 1073741824\n", "cache.max-size", "1GiB", ":2"},
		{"byte order mark", "\ufefflisten = ':1'\n", "listen", ":1", ":1"},
		{"CRLF", "\r\nlisten = ':1'\r\n", "listen", ":1", ":2"},
		{"array", "private = [\n 'a.test',\n 'b.test', # why\n]\n", "private", "a.test,b.test", ":1"},
		{"list as text", "private = 'a.test, b.test'\n", "private", "a.test,b.test", ":1"},
		{"bool", "offline = true\n", "offline", "true", ":1"},
		{"int", "link.retries = 0\n", "link.retries", "0", ":1"},
		{"zero duration", "cache.idle = 0\n", "cache.idle", "0s", ":1"},
		{"days", "cache.idle = '30d'\n", "cache.idle", "30d", ":1"},
		{"empty file", "", "listen", "127.0.0.1:8046", ""},
		{"empty table", "[cache]\n", "listen", "127.0.0.1:8046", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, tt.text)
			c, err := config.Load(config.Input{File: file, FileExplicit: true})
			if err != nil {
				t.Fatal(err)
			}
			origin := "default"
			if tt.at != "" {
				origin = file + tt.at
			}
			for _, e := range c.Explain() {
				if e.Key == tt.key && (e.Value != tt.value || e.Origin.String() != origin) {
					t.Errorf("%s = %q from %s, want %q from %s", e.Key, e.Value, e.Origin, tt.value, origin)
				}
			}
		})
	}
}

func TestFilePathsAreSeenFromTheFile(t *testing.T) {
	file := write(t, "cache.dir = 'store'\n[tls]\nroots = ['a.pem', '../b.pem']\n")
	c, err := config.Load(config.Input{File: file, Flags: map[string]string{"tls-cert": "c.pem", "tls-key": "k.pem"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	if want := filepath.Join(dir, "store"); c.CacheDir != want {
		t.Errorf("cache %s, want %s", c.CacheDir, want)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, "a.pem"), filepath.Join(filepath.Dir(dir), "b.pem")}, c.TLSRoots); diff != "" {
		t.Errorf("roots (-want +got)\n%s", diff)
	}
	if c.TLSCert != "c.pem" {
		t.Errorf("a path of a flag became %s", c.TLSCert)
	}
}

func TestFileErrors(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // "line: key: reason | hint", one for each error
	}{
		{"unknown key, near", "listen = ':1'\nlisten-adress = ':2'\nupstreem = 'x'\n",
			[]string{"2: listen-adress: unknown key | hint.known-keys", "3: upstreem: unknown key | hint.unknown-key upstream"}},
		{"unknown in a table", "[cache]\nmaxsize = 1\n", []string{"2: cache.maxsize: unknown key | hint.unknown-key cache.max-size"}},
		{"underscore", "cache.max_size = 1\n", []string{"1: cache.max_size: unknown key | hint.unknown-key cache.max-size"}},
		{"capitals", "[Cache]\nmax-size = 1\n", []string{"1: Cache: unknown key | hint.unknown-key cache"}},
		{"without its table", "max-size = 1\n", []string{"1: max-size: unknown key | hint.unknown-key cache.max-size"}},
		{"unknown table", "\n[chache]\nmax-size = 1\n[zzz]\n", []string{"2: chache: unknown key | hint.unknown-key cache", "4: zzz: unknown key | hint.known-keys"}},
		{"unknown dotted", "zzz.yyy = 1\n", []string{"1: zzz: unknown key | hint.known-keys"}},
		{"quoted dot", "\"cache.max-size\" = 1\n", []string{`1: "cache.max-size": unknown key | hint.unknown-key cache.max-size`}},
		{"key of the table, not of the file", "cache = '/var/cache'\n", []string{"1: cache: a table, not a value | hint.unknown-key cache.dir"}},
		{"value for a table", "log = 'text'\n", []string{"1: log: a table, not a value | hint.known-keys"}},
		{"table for a value", "[listen]\nport = 1\n", []string{"1: listen: a table where a string belongs | hint.value-listen"}},
		{"wrong type", "offline = 'true'\nlisten = 1\nprivate = [1]\n[link]\nretries = 1.5\nstall-timeout = 10\n[cache]\nmax-size = 2001-01-01\n",
			[]string{
				"2: listen: an integer where a string belongs | hint.value-listen",
				"1: offline: a string where true or false belongs | hint.value-bool",
				"3: private: not a list of strings: it holds an integer | hint.value-list",
				"8: cache.max-size: a date or time where a size belongs | hint.value-size",
				"6: link.stall-timeout: 10: a duration without unit | hint.value-duration",
				"5: link.retries: a float where an integer belongs | hint.value-int",
			}},
		{"comma in an item", "private = ['a,b']\n", []string{`1: private: "a,b": a comma within an item; write two items | hint.value-list`}},
		{"no TOML", "listen = ':1'\nupstream = https://a\n", []string{"2: toml: *| hint.config-file"}},
		{"twice", "listen = ':1'\nlisten = ':2'\n", []string{"2: toml: *| hint.config-file"}},
		{"windows path", "[cache]\ndir = \"D:\\goferry\"\n", []string{"2: toml: *| hint.config-file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, tt.text)
			_, err := config.Load(config.Input{File: file})
			list := faults(t, err)
			if len(list) != len(tt.want) {
				t.Fatalf("%d errors, want %d:\n%v", len(list), len(tt.want), err)
			}
			for i, e := range list {
				name, line := e.File()
				if name != file || line == 0 {
					t.Errorf("error %d stands in %q line %d", i, name, line)
				}
				got := strings.TrimPrefix(e.Error(), file+":") + " | " + e.HintCode
				if e.HintCode == "hint.unknown-key" {
					got += " " + e.HintArgs[1].(string)
				}
				head, tail, any := strings.Cut(tt.want[i], "*")
				if any && (!strings.HasPrefix(got, head) || !strings.HasSuffix(got, tail)) || !any && got != head {
					t.Errorf("error %d\n got %s\nwant %s", i, got, tt.want[i])
				}
			}
		})
	}
}

func TestFileMissingOrUnreadable(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.toml")
	if _, err := config.Load(config.Input{File: missing}); err != nil {
		t.Errorf("a file that nobody named may be missing: %v", err)
	}
	for _, in := range []config.Input{{File: missing, FileExplicit: true}, {File: t.TempDir()}} {
		_, err := config.Load(in)
		list := faults(t, err)
		if len(list) != 1 || list[0].HintCode != "hint.config-missing" || !strings.HasPrefix(list[0].Error(), in.File+": ") {
			t.Errorf("%s: got %v", in.File, err)
		}
	}
}

// TestTemplate wants the template to be a valid file, as it is and with every
// setting switched on, and to change nothing.
func TestTemplate(t *testing.T) {
	text, err := config.Template(func(code string) string { return "about " + code })
	if err != nil {
		t.Fatal(err)
	}
	plain, err := config.Load(config.Input{})
	if err != nil {
		t.Fatal(err)
	}
	var on bytes.Buffer
	for line := range strings.Lines(string(text)) {
		on.WriteString(strings.TrimPrefix(line, "# "))
	}
	lines := strings.Split(on.String(), "\n")
	lines = deleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "about ") })
	for name, doc := range map[string]string{"as it is": string(text), "switched on": strings.Join(lines, "\n")} {
		c, err := config.Load(config.Input{File: write(t, doc)})
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
		if diff := cmp.Diff(plain.Values, c.Values); diff != "" {
			t.Errorf("%s changes values (-default +template)\n%s", name, diff)
		}
		if set := c.Origin("log.access").Kind == config.FromFile; set != (name == "switched on") {
			t.Errorf("%s: log.access from %s", name, c.Origin("log.access"))
		}
	}
	for _, s := range config.Table() {
		if !strings.Contains(string(text), "# about "+s.Code+"\n") {
			t.Errorf("%s is not described", s.Key)
		}
	}
}

func deleteFunc(lines []string, drop func(string) bool) (kept []string) {
	for _, l := range lines {
		if !drop(l) {
			kept = append(kept, l)
		}
	}
	return kept
}
