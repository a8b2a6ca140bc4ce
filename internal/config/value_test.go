package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSize(t *testing.T) {
	tests := []struct {
		text string
		want Size
		out  string // what String makes of it
	}{
		{"0", 0, "0B"},
		{"1", 1, "1B"},
		{"1023B", 1023, "1023B"},
		{"1KiB", 1 << 10, "1KiB"},
		{"1000", 1000, "1KB"},
		{"20GiB", 20 << 30, "20GiB"},
		{"20 gib", 20 << 30, "20GiB"},
		{"20GB", 20e9, "20GB"},
		{"1536MiB", 1536 << 20, "1536MiB"},
		{"3TB", 3e12, "3TB"},
		{"8191PiB", 8191 << 50, "8191PiB"},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807B"},
	}
	for _, tt := range tests {
		got, err := ParseSize(tt.text)
		if err != nil || got != tt.want || got.String() != tt.out {
			t.Errorf("ParseSize(%q) = %d (%s), %v, want %d (%s)", tt.text, int64(got), got, err, int64(tt.want), tt.out)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "+1", "1.5GiB", "1 KB ", "1K", "1G", "1XB", "1  GB", "8192PiB", "9223372036854775808", "99999999999999999999GB", "1e3"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %s, want an error", text, got)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"20GiB", "1.5GB", "9223372036854775807", "8388608TiB", "0b", "7 mib"} {
		f.Add(s, int64(len(s))<<40)
	}
	f.Fuzz(func(t *testing.T, text string, n int64) {
		if s, err := ParseSize(text); err == nil {
			if s < 0 {
				t.Fatalf("ParseSize(%q) = %d, negative", text, int64(s))
			}
			if again, err := ParseSize(s.String()); err != nil || again != s {
				t.Fatalf("%q is %s is %s, %v", text, s, again, err)
			}
		}
		if n >= 0 {
			if back, err := ParseSize(Size(n).String()); err != nil || back != Size(n) {
				t.Fatalf("Size(%d) prints %s, which reads as %d, %v", n, Size(n), int64(back), err)
			}
		}
	})
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		time.Hour + 10*time.Second: "1h0m10s", 100 * time.Minute: "1h40m", 24 * time.Hour: "1d",
		36 * time.Hour: "36h", 1500 * time.Millisecond: "1.5s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	} {
		got := formatDuration(d)
		if back, err := parseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%v prints %s, want %s; it reads as %v, %v", int64(d), got, want, back, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	type holder struct {
		S Secret
		P *Secret
		M Masked
	}
	s := Secret("hunter2")
	h := holder{s, &s, "https://me:hunter2@a.test"}
	var all strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08.3f"} {
		fmt.Fprintf(&all, verb+verb+verb+verb+"\n", h.S, h.M, h, []Secret{s})
	}
	slog.New(slog.NewTextHandler(&all, nil)).Info("x", "s", h.S, "m", h.M, "h", h)
	slog.New(slog.NewJSONHandler(&all, nil)).Info("x", "s", h.S, "m", h.M, "h", h)
	out, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	all.Write(out)
	all.WriteString(fmt.Errorf("bad %v", s).Error())
	for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
		if strings.Contains(all.String(), leak) {
			t.Errorf("leaks %s:\n%s", leak, all.String())
		}
	}
	if got := fmt.Sprintf("%s %s %s", Secret(""), s, h.M); got != " *** https://***@a.test" {
		t.Errorf("prints %q", got)
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"direct":                      "direct",
		"off":                         "off",
		"https://a.test/x":            "https://a.test/x",
		"https://u@a.test":            "https://***@a.test",
		"https://u:p@a.test/x,direct": "https://***@a.test/x,direct",
		"https://u:p@a.test|https://v:q@b.test/y":   "https://***@a.test|https://***@b.test/y",
		"https://a.test,https://v:q@b.test":         "https://a.test,https://***@b.test",
		"https://a.test/go/=https://u:p@b.test|off": "https://a.test/go/=https://***@b.test|off",
		"https://a.test?x=https://s/t=http://u":     "https://a.test?***",
		"https://u:p/w@a.test":                      "https://***@a.test",
		"https://u:p,w@a.test":                      "https://***@a.test",
		"https://u:p@w@a.test":                      "https://***@a.test",
		"https://a.test/x?token=s,direct":           "https://a.test/x?***,direct",
		"u:p@a.test":                                "***@a.test",
		"https:/u:p@a.test":                         "***@a.test",
		"sum.golang.org+033de0ae+Ac4zctda0e5eza+HJ": "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJ",
		"https://u:p,https://w@a.test":              "https://***,https://***@a.test",
		"https://u:p://w@a.test":                    "https://***@a.test",
		"https://a.test:8443,https://[::1]:80/":     "https://a.test:8443,https://[::1]:80/",
		"://u:p@a.test":                             "***@a.test",
		"file:///srv/proxy":                         "file:///srv/proxy",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzRedact builds lists around a password and wants it gone.
func FuzzRedact(f *testing.F) {
	f.Add("https", "user", "pass", "a.test/x", ",direct", "https://b.test|")
	f.Add("http", "u:v", "p@w", "a.test", "|https://x:y@b.test?q=1", "")
	f.Add("", "u", "p/w?x#y", "a.test", "", "off,")
	f.Add("ssh", "", "a,b|c d", "", "", "")
	f.Add("https", "u", "p://w", "a.test", "", "")
	f.Fuzz(func(t *testing.T, scheme, user, password, host, after, before string) {
		// A marker that stands in nothing else finds the password again.
		const marker = "\x00secret\x00"
		for _, s := range []string{scheme, user, password, host, after, before} {
			if strings.ContainsRune(s, 0) {
				return
			}
		}
		if urlStart.MatchString(password) && strings.Contains(password, "://") {
			return // two entries of a list; nobody can tell
		}
		list := before + scheme + "://" + user + ":" + marker + password + "@" + host + after
		out := Redact(list)
		if strings.Contains(out, marker) {
			t.Fatalf("Redact(%q) = %q, which shows the password", list, out)
		}
		if !strings.Contains(out, mask) {
			t.Fatalf("Redact(%q) = %q, which hides that something was masked", list, out)
		}
		if again := Redact(out); strings.Contains(again, marker) {
			t.Fatalf("Redact(%q) = %q", out, again)
		}
		if m := fmt.Sprintf("%d%+v", Masked(list), Masked(list)); strings.Contains(m, marker) {
			t.Fatalf("Masked(%q) prints %q", list, m)
		}
		if shown := redactCommands("netrc; helper " + marker + password); strings.Contains(shown, marker) {
			t.Fatalf("redactCommands shows %q", shown)
		}
	})
}

// FuzzFile wants that no file makes Load panic, that every error names a line
// of it, and that an accepted file says the same after it was written anew.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "listen = ':1'\n", "[cache]\nmax-size = '1GB'\nidle = 0\n", "cache = { dir = '/x' }\n",
		"private = ['a.test', 'b.test/*']\npolicy.block = 'c'\n", "[[cache]]\n", "cache = 1\n", "x = 1979-05-27T07:32:00Z\n",
		"upstream = \"https://u:p@a.test,direct\"\ngoauth = 'netrc; git /x'\n", "[link]\nretries = 9223372036854775807\n",
		"\"\" = 1\n", "[a.b]\nc = {d = [{e = 1}]}\n", "offline = true\n[log]\nlevel = 'debug'\naccess = false\n", "[tls]\nroots = ['a', '../b']\n",
		"lang = ''\nprivate = ''\n[fresh]\nlist = '1h2m3s'\n",
	} {
		f.Add(text)
	}
	file := filepath.Join(f.TempDir(), "goferry.toml")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := loadText(file, []byte(text))
		if err != nil {
			checkErrors(t, file, text, err)
			return
		}
		again, err := loadText(file, rewrite(t, c))
		if err != nil {
			t.Fatalf("written anew it is refused: %v\n%s\n--\n%s", err, text, rewrite(t, c))
		}
		if diff := cmp.Diff(c.Values, again.Values, cmp.Comparer(func(a, b Secret) bool { return a == b }), cmp.Comparer(func(a, b Masked) bool { return a == b })); diff != "" {
			t.Fatalf("written anew it says otherwise:\n%s", diff)
		}
	})
}

// loadText is Load without the disk.
func loadText(name string, data []byte) (*Config, error) {
	l := loader{table: Table(), cfg: &Config{origins: make(map[string]Origin)}}
	l.defaults()
	values, errs := parseFile(name, data, l.table)
	l.errs = errs
	l.fileValues(name, values)
	l.derive()
	l.check()
	return l.cfg, errors.Join(l.errs...)
}

// rewrite makes a file of all that did not come from a default.
func rewrite(t *testing.T, c *Config) []byte {
	var b bytes.Buffer
	for _, s := range Table() {
		if c.Origin(s.Key).Kind == FromDefault {
			continue
		}
		table, key, nested := strings.Cut(s.TOML, ".")
		if !nested {
			table, key = "", s.TOML
		}
		line, err := s.fileLine(key, &c.Values)
		if err != nil {
			t.Fatal(err)
		}
		if table != "" {
			b.WriteString(table + ".")
		}
		b.Write(line)
	}
	return b.Bytes()
}

func checkErrors(t *testing.T, file, text string, err error) {
	lines := strings.Count(text, "\n") + 1
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ce *Error
		if !errors.As(e, &ce) {
			t.Fatalf("a %T among the errors", e)
		}
		if name, line := ce.File(); name != file || line < 1 || line > lines {
			t.Fatalf("%v: stands in line %d of %s, which has %d", e, line, name, lines)
		}
	}
}

func TestHintsHaveTexts(t *testing.T) {
	for _, s := range Table() {
		if e := s.fault(Origin{}, os.ErrInvalid); e.Hint == "" || strings.Contains(e.Hint, "{{") {
			t.Errorf("%s: the hint %s reads %q", s.Key, e.HintCode, e.Hint)
		}
	}
}
