package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/text"
)

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "goferry.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func lookup(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func goEnv(m map[string]string) func(string) (string, error) {
	return func(name string) (string, error) { return m[name], nil }
}

// faults flattens what errors.Join made, and holds the hints to the messages.
func faults(t *testing.T, err error) []*config.Error {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("Load returned a %T, want joined errors", err)
	}
	var list []*config.Error
	for _, e := range joined.Unwrap() {
		var ce *config.Error
		if !errors.As(e, &ce) {
			t.Fatalf("a %T among the errors: %v", e, e)
		}
		list = append(list, ce)
		if ce.HintCode != "" && text.New(text.English).T(ce.HintCode, ce.HintArgs...) != ce.Hint {
			t.Errorf("the hint %q is not the message %s", ce.Hint, ce.HintCode)
		}
	}
	return list
}

func TestDefaults(t *testing.T) {
	c, err := config.Load(config.Input{Defaults: map[string]string{"cache": "/var/cache/goferry"}})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Values{
		Listen: "127.0.0.1:8046", ShutdownTimeout: 30 * time.Second,
		CacheDir: "/var/cache/goferry", CacheMaxSize: 20 << 30,
		FreshList: time.Minute, FreshLatest: time.Minute, FreshQuery: time.Minute, FreshAbsent: time.Minute,
		LinkConnectTimeout: 10 * time.Second, LinkTLSTimeout: 10 * time.Second,
		LinkFirstByteTimeout: time.Minute, LinkStallTimeout: 10 * time.Second, LinkRetries: 5,
		LinkSplit: 4 << 20, LinkConnections: 8, MirrorsHedge: 5, Prefetch: "on", PrefetchWaste: 15, WatchEvery: time.Hour,
		DirectParallel: 4, DirectTimeout: 10 * time.Minute,
		LogFormat: "text", LogAccess: true,
	}
	if diff := cmp.Diff(want, c.Values); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "listen = \":1\"\nupstream = \"https://file.test\"\n[fresh]\nlist = \"1s\"\n")
	in := config.Input{
		File:  file,
		Env:   lookup(map[string]string{"GOFERRY_LISTEN": ":2", "GOFERRY_UPSTREAM": "https://env.test", "GOFERRY_OFFLINE": ""}),
		Flags: map[string]string{"listen": ":3", "json": "true"},
		GoEnv: goEnv(map[string]string{"GOPROXY": "https://go.test", "GOSUMDB": "sum.golang.org"}),
	}
	steps := []struct {
		name     string
		listen   string
		origin   string
		upstream string
		from     string
		lower    func()
	}{
		{"all", ":3", "--listen", "https://env.test", "GOFERRY_UPSTREAM", func() { in.Flags = nil }},
		{"no flags", ":2", "GOFERRY_LISTEN", "https://env.test", "GOFERRY_UPSTREAM", func() { in.Env = nil }},
		{"no variables", ":1", file + ":1", "https://file.test", file + ":2", func() { in.File = "" }},
		{"no file", "127.0.0.1:8046", "default", "https://go.test", "go env GOPROXY", func() { in.GoEnv = nil }},
		{"nothing", "127.0.0.1:8046", "default", "", "default", func() {}},
	}
	for _, s := range steps {
		c, err := config.Load(in)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		got := []string{c.Listen, c.Origin("listen").String(), string(c.Upstream), c.Origin("upstream").String()}
		if diff := cmp.Diff([]string{s.listen, s.origin, s.upstream, s.from}, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", s.name, diff)
		}
		s.lower()
	}
}

func TestGoEnvIsAskedOnlyForWhatIsNotSet(t *testing.T) {
	var asked []string
	_, err := config.Load(config.Input{
		Flags: map[string]string{"upstream": "https://a.test", "private": ""},
		GoEnv: func(name string) (string, error) { asked = append(asked, name); return "", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(asked, "GOPROXY") || !slices.Contains(asked, "GOSUMDB") {
		t.Errorf("asked for %v, want GOSUMDB and not GOPROXY", asked)
	}
}

func TestGoEnvThatFailsFailsLoadOnce(t *testing.T) {
	broken := errors.New("go: not found")
	_, err := config.Load(config.Input{GoEnv: func(string) (string, error) { return "", broken }})
	list := faults(t, err)
	if len(list) != 1 || !errors.Is(err, broken) || list[0].Origin.String() != "go env GOPROXY" {
		t.Errorf("got %v, want one error of go env GOPROXY", err)
	}
}

func TestPrivateIsTheDefaultOfItsFollowers(t *testing.T) {
	tests := []struct {
		name   string
		goEnv  map[string]string // as "go env" says it: followers already filled
		flags  map[string]string
		want   []string // of noproxy
		origin string
	}{
		{"nothing", nil, nil, nil, "default"},
		{"GOPRIVATE", map[string]string{"GOPRIVATE": "a.test", "GONOPROXY": "a.test"}, nil, []string{"a.test"}, "go env GOPRIVATE"},
		{"own private outvotes a derived GONOPROXY", map[string]string{"GOPRIVATE": "a.test", "GONOPROXY": "a.test"},
			map[string]string{"private": "b.test, c.test"}, []string{"b.test", "c.test"}, "--private"},
		{"GONOPROXY of its own stays", map[string]string{"GOPRIVATE": "a.test", "GONOPROXY": "none"},
			map[string]string{"private": "b.test"}, []string{"none"}, "go env GONOPROXY"},
		{"empty flag means nothing", map[string]string{"GOPRIVATE": "a.test", "GONOPROXY": "a.test"},
			map[string]string{"noproxy": ""}, nil, "--noproxy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load(config.Input{GoEnv: goEnv(tt.goEnv), Flags: tt.flags})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, c.NoProxy); diff != "" {
				t.Errorf("noproxy (-want +got)\n%s", diff)
			}
			if got := c.Origin("noproxy").String(); got != tt.origin {
				t.Errorf("origin %q, want %q", got, tt.origin)
			}
		})
	}
}

func TestBadValues(t *testing.T) {
	tests := []struct {
		flag, text string
		want       string // after "--flag: "
		hint       string
	}{
		{"listen", "8046", `"8046": not host:port`, "hint.value-listen"},
		{"listen", ":99999", `":99999": no such port`, "hint.value-listen"},
		{"offline", "maybe", `"maybe": not true or false`, "hint.value-bool"},
		{"private", "a.test/[", `"a.test/[": malformed pattern "a.test/["`, "hint.value-list"},
		{"policy-block", "https://u:p@a.test", `"https://***@a.test": a URL; patterns are prefixes of module paths`, "hint.value-list"},
		{"cache-max-size", "20 XB", `"20 XB": unknown unit "XB"`, "hint.value-size"},
		{"cache-idle", "-1s", `"-1s": must not be negative`, "hint.value-duration"},
		{"cache-idle", "10", `"10": not a duration`, "hint.value-duration"},
		{"cache-idle", "200000d", `"200000d": too long`, "hint.value-duration"},
		{"link-stall-timeout", "0s", `"0s": must be more than zero`, "hint.value-duration"},
		{"link-hosts", "a.test", `"a.test": "a.test" is not NAME=ADDRESS`, "hint.value-list"},
		{"link-hosts", "a.test=b.test", `"a.test=b.test": "b.test" is not an IP address`, "hint.value-list"},
		{"link-doh", "http://192.0.2.1/q", `"http://192.0.2.1/q": "http://192.0.2.1/q" is not an https URL`, "hint.value-list"},
		{"sdk-sources", "mirror.test/golang", `"mirror.test/golang": "mirror.test/golang" is not a URL`, "hint.value-sources"},
		{"sdk-sources", "off,https://a.test", `"off,https://a.test": "off" is not a URL`, "hint.value-sources"},
		{"sdk-sources", "https://u:p@a.test,ftp://b.test", `"https://***@a.test,ftp://b.test": "ftp://b.test" is not a URL`, "hint.value-sources"},
		{"prefetch-waste", "101", `"101": more than 100 percent`, "hint.value-int"},
		{"prefetch", "metered", `"metered": not one of on, off`, "hint.value-choice"},
		{"link-retries", "-1", `"-1": must not be negative`, "hint.value-int"},
		{"link-retries", "99999999999", `"99999999999": too large`, "hint.value-int"},
		{"link-retries", "two", `"two": not a whole number`, "hint.value-int"},
		{"direct-parallel", "0", `"0": must be more than zero`, "hint.value-int"},
		{"log-format", "xml", `"xml": not one of text, json`, "hint.value-choice"},
		{"log-level", "loud", `"loud": not one of debug, info, warn, error`, "hint.value-choice"},
		{"lang", "fr", `"fr": not one of zh, en`, "hint.value-choice"},
		{"cache", "~/x", `"~/x": ~ is for shells; write the whole path`, "hint.value-string"},
		{"tls-cert", "c.pem", `set, but tls.key is not; TLS needs both`, "hint.tls-pair"},
		{"tls-key", "k.pem", `set, but tls.cert is not; TLS needs both`, "hint.tls-pair"},
	}
	for _, tt := range tests {
		_, err := config.Load(config.Input{Flags: map[string]string{tt.flag: tt.text}})
		list := faults(t, err)
		if len(list) != 1 {
			t.Errorf("--%s=%s: %d errors, want 1: %v", tt.flag, tt.text, len(list), err)
			continue
		}
		if got, want := list[0].Error(), "--"+tt.flag+": "+tt.want; got != want {
			t.Errorf("--%s=%s:\n got %s\nwant %s", tt.flag, tt.text, got, want)
		}
		if list[0].HintCode != tt.hint || (tt.hint != "") != (list[0].Hint != "") {
			t.Errorf("--%s=%s: hint %q %q, want code %q", tt.flag, tt.text, list[0].HintCode, list[0].Hint, tt.hint)
		}
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	file := write(t, "offline = 1\n[cache]\nmax-size = \"x\"\n")
	_, err := config.Load(config.Input{
		File:  file,
		Env:   lookup(map[string]string{"GOFERRY_LOG_LEVEL": "loud"}),
		Flags: map[string]string{"link-retries": "x", "log-level": "info"},
	})
	var got []string
	for _, e := range faults(t, err) {
		got = append(got, e.Origin.String())
	}
	want := []string{file + ":1", file + ":3", "--link-retries", "GOFERRY_LOG_LEVEL"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestRowsAgree holds what ties the table to the structure and to itself.
func TestRowsAgree(t *testing.T) {
	table := config.Table()
	messages := text.New(text.English)
	seen := make(map[string]string)
	for _, s := range table {
		for _, name := range []string{"key " + s.Key, "toml " + s.TOML, s.Env, "--" + s.Flag, s.Code} {
			if other, ok := seen[name]; ok {
				t.Errorf("%s and %s both have %s", s.Key, other, name)
			}
			seen[name] = s.Key
		}
		if d := messages.T(s.Code); !messages.Has(s.Code) || strings.ContainsAny(d, "\n`") || strings.HasSuffix(d, ".") || d[0] >= 'A' && d[0] <= 'Z' && d[1] >= 'a' {
			t.Errorf("%s is described %q; want the message %s: one line, lower case, no period, no back quote", s.Key, d, s.Code)
		}
		if s.TOML != s.Key && s.Key != "cache" && s.Key != "prefetch" && s.Key != "bundle" {
			t.Errorf("%s has its place in the file at %s", s.Key, s.TOML)
		}
	}
	for _, name := range []string{"GOFERRY_UPSTREAM", "GOFERRY_CACHE", "GOFERRY_LISTEN", "GOFERRY_LANG", "GOFERRY_OFFLINE", "GOFERRY_SUMDB", "GOFERRY_CACHE_MAX_SIZE", "--link-first-byte-timeout"} {
		if seen[name] == "" {
			t.Errorf("no setting has the name %s", name)
		}
	}
	if fields := reflect.TypeFor[config.Values]().NumField(); fields != len(table) {
		t.Errorf("Values has %d fields, the table %d rows", fields, len(table))
	}
}

// TestEveryRowReachesItsOwnField sets each setting alone and wants exactly one
// field of Values to change, and Explain to say the new value.
func TestEveryRowReachesItsOwnField(t *testing.T) {
	sample := map[config.Type]string{
		config.TypeString: "x", config.TypeList: "x,y", config.TypeDuration: "7m",
		config.TypeSize: "3GB", config.TypeInt: "9",
	}
	base, err := config.Load(config.Input{})
	if err != nil {
		t.Fatal(err)
	}
	changed := make(map[string]string)
	for _, s := range config.Table() {
		text := sample[s.Type]
		flags := map[string]string{}
		switch {
		case s.Type == config.TypeBool:
			text = map[string]string{"true": "false", "false": "true"}[s.Default]
		case s.Choices != nil:
			text = s.Choices[len(s.Choices)-1]
		case s.Key == "listen":
			text = ":0"
		case s.Key == "link.hosts":
			text = "a.test=192.0.2.1,b.test=2001:db8::1"
		case s.Key == "link.doh":
			text = "https://192.0.2.1/dns-query,https://dns.test/q"
		case s.Key == "sdk.sources":
			text = "https://a.test/golang,modules=https://b.test,file:///srv/go,off"
		case s.Key == "tls.cert":
			flags["tls-key"] = "" // and be told that it is missing, below
		}
		flags[s.Flag] = text
		if s.Key == "tls.cert" || s.Key == "tls.key" {
			flags = map[string]string{"tls-cert": "cert", "tls-key": "key"}
			text = strings.TrimPrefix(s.Key, "tls.")
		}
		c, err := config.Load(config.Input{Flags: flags})
		if err != nil {
			t.Fatalf("%s: %v", s.Key, err)
		}
		for _, f := range diffFields(base.Values, c.Values) {
			if s.Key == "private" && (f == "NoProxy" || f == "NoSumdb") || s.Key == "tls.cert" && f == "TLSKey" || s.Key == "tls.key" && f == "TLSCert" {
				continue
			}
			if other, ok := changed[f]; ok {
				t.Errorf("%s and %s both set %s", s.Key, other, f)
			}
			changed[f] = s.Key
		}
		i := slices.IndexFunc(c.Explain(), func(e config.Explained) bool { return e.Key == s.Key })
		if got := c.Explain()[i]; got.Value != text || got.Origin.String() != "--"+s.Flag {
			t.Errorf("%s explained as %q from %s, want %q", s.Key, got.Value, got.Origin, text)
		}
	}
	if len(changed) != len(config.Table()) {
		t.Errorf("%d fields were set by %d settings: %v", len(changed), len(config.Table()), changed)
	}
}

func diffFields(a, b config.Values) (names []string) {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			names = append(names, va.Type().Field(i).Name)
		}
	}
	return names
}

func TestExplainMasks(t *testing.T) {
	c, err := config.Load(config.Input{Flags: map[string]string{
		"upstream": "https://user:hunter2@a.test,https://b.test?sig=hunter2|direct",
		"sumdb":    "db+1+key https://user:hunter2@db.test",
		"goauth":   "netrc; git /home/x; helper --token=hunter2",
	}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(c.Explain())
	if err != nil {
		t.Fatal(err)
	}
	all := string(out) + fmt.Sprintf("%v %+v %#v", c.Values, c.Values, c.Values)
	if strings.Contains(all, "hunter2") {
		t.Errorf("leaks:\n%s", all)
	}
	for _, want := range []string{
		`"value":"https://***@a.test,https://b.test?***|direct","origin":"--upstream"`,
		`"value":"db+1+key https://***@db.test"`,
		`"value":"netrc; git ***; helper ***"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

func TestFault(t *testing.T) {
	c, err := config.Load(config.Input{GoEnv: goEnv(map[string]string{"GOPROXY": "ftp://x"})})
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("no such scheme")
	f := c.Fault("upstream", bad)
	if got := f.Error(); got != "go env GOPROXY: no such scheme" || !errors.Is(f, bad) {
		t.Errorf("got %q", got)
	}
	if name, line := f.File(); name != "" || line != 0 {
		t.Errorf("an error of go env stands in file %q line %d", name, line)
	}
}

func TestFindFile(t *testing.T) {
	dir := t.TempDir()
	usual := filepath.Join(dir, "goferry", "goferry.toml")
	env := lookup(map[string]string{"GOFERRY_CONFIG": "env.toml"})
	tests := []struct {
		flag     string
		env      func(string) string
		dir      string
		want     string
		explicit bool
	}{
		{"flag.toml", env, dir, "flag.toml", true},
		{"", env, dir, "env.toml", true},
		{"", lookup(nil), dir, usual, false},
		{"", nil, dir, usual, false},
		{"", nil, "", "", false},
	}
	for _, tt := range tests {
		if got, explicit := config.FindFile(tt.flag, tt.env, tt.dir); got != tt.want || explicit != tt.explicit {
			t.Errorf("FindFile(%q, …, %q) = %q, %v, want %q, %v", tt.flag, tt.dir, got, explicit, tt.want, tt.explicit)
		}
	}
}
