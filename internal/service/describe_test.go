package service

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func spec() Spec {
	return Spec{
		Program: filepath.Join(string(filepath.Separator), "opt", "my tools", "goferry"), Args: []string{"serve", "--config", "/home/u/50% $HOME.toml"},
		Env:         map[string]string{"PATH": "/usr/bin:/bin", "GOFERRY_UPSTREAM": `https://u:p%40"{{x}}\@proxy.example|direct`},
		StopTimeout: 44500 * time.Millisecond,
	}
}

func TestUnit(t *testing.T) {
	s := spec()
	s.Program = "/opt/my tools/$goferry"
	got, err := unit(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written by goferry on; goferry off takes it away.
[Unit]
Description=goferry, a module proxy for Go
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
ExecStart="/opt/my tools/$goferry" "serve" "--config" "/home/u/50%% $$HOME.toml"
Environment="GOFERRY_UPSTREAM=https://u:p%%40\"\x7b\x7bx}}\\@proxy.example|direct"
Environment="PATH=/usr/bin:/bin"
Restart=on-failure
RestartSec=2
TimeoutStopSec=45

[Install]
WantedBy=default.target
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for _, s := range []Spec{
		{Program: "/bin/goferry\x00"},
		{Program: "/bin/goferry", Args: []string{"\xff"}},
		{Program: "/bin/goferry", Env: map[string]string{"A": "\x00"}},
	} {
		if text, err := unit(s); err == nil {
			t.Errorf("unit file with %+v:\n%s", s, text)
		}
		if text, err := agent(Config{Name: "goferry"}, s); err == nil {
			t.Errorf("property list with %+v:\n%s", s, text)
		}
	}
	m := &Manager{kind: Systemd}
	if _, err := m.describe(Spec{Program: "goferry"}); err == nil {
		t.Error("a service without the whole path of its program was accepted")
	}
}

// unquote reads one quoted word as systemd does: C escapes, "%%" for a percent sign and, with
// dollars, "$$" for a dollar sign.
func unquote(word string, dollars bool) (string, error) {
	body, ok := strings.CutPrefix(word, `"`)
	body, ok2 := strings.CutSuffix(body, `"`)
	if !ok || !ok2 {
		return "", errors.New("not quoted")
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case c == '\\' && i+3 < len(body) && body[i+1] == 'x':
			n, err := strconv.ParseUint(body[i+2:i+4], 16, 8)
			if err != nil {
				return "", err
			}
			b.WriteByte(byte(n))
			i += 3
		case c == '\\' && i+1 < len(body):
			b.WriteByte(body[i+1])
			i++
		case c == '%' || c == '$' && dollars:
			if i+1 >= len(body) || body[i+1] != c {
				return "", errors.New("a specifier or variable: " + body[i:])
			}
			b.WriteByte(c)
			i++
		case c == '"', c < ' ':
			return "", errors.New("the word ends early: " + body[i:])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// FuzzQuote holds quote to its promise: systemd reads what was meant, and the library finds no
// template in it.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a b", `\`, `"`, "100%", "$HOME", "${x}", "{{Path}}", "a\nExecStart=b", "路径", "\x7f\x00"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, dollars bool) {
		word, err := quote(s, dollars)
		if err != nil {
			return
		}
		got, err := unquote(word, dollars)
		if err != nil || got != s {
			t.Errorf("%q is written as %s, which is %q, %v", s, word, got, err)
		}
		if strings.Contains(word, "{{") || strings.ContainsAny(word, "\n\r") {
			t.Errorf("%q is written as %q", s, word)
		}
	})
}

// strs are the texts of all elements with this name.
func strs(t *testing.T, doc, name string) []string {
	t.Helper()
	var list []string
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if se, ok := tok.(xml.StartElement); ok && se.Name.Local == name {
			var s string
			if err := d.DecodeElement(&s, &se); err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
	}
}

func TestAgent(t *testing.T) {
	got, err := agent(Config{Name: "goferry", LogFile: "/home/u/Library/Logs/goferry.log"}, spec())
	if err != nil {
		t.Fatal(err)
	}
	wantKeys := []string{"Label", "ProgramArguments", "EnvironmentVariables", "GOFERRY_UPSTREAM", "PATH", "RunAtLoad", "KeepAlive", "SuccessfulExit",
		"ExitTimeOut", "StandardOutPath", "StandardErrorPath"}
	if diff := cmp.Diff(wantKeys, strs(t, got, "key")); diff != "" {
		t.Errorf("keys (-want +got)\n%s", diff)
	}
	s := spec()
	want := []string{"goferry", s.Program, "serve", "--config", s.Args[2], s.Env["GOFERRY_UPSTREAM"], s.Env["PATH"], "/home/u/Library/Logs/goferry.log", "/home/u/Library/Logs/goferry.log"}
	if diff := cmp.Diff(want, strs(t, got, "string")); diff != "" {
		t.Errorf("texts (-want +got)\n%s", diff)
	}
	if !strings.Contains(got, Mark) || strings.Contains(got, "{{") || !strings.Contains(got, "<integer>45</integer>") {
		t.Errorf("mark, template or time:\n%s", got)
	}
}

// FuzzAgent wants every argument back as it was.
func FuzzAgent(f *testing.F) {
	for _, s := range []string{"", "a & b", "<true/>", "]]>", "{{Path}}", "a\r\nb\tc", "路径", "\x01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc, err := agent(Config{Name: "goferry"}, Spec{Program: "/bin/goferry", Args: []string{s}})
		if err != nil {
			return
		}
		if got := strs(t, doc, "string"); len(got) != 3 || got[2] != s {
			t.Errorf("%q became %q in\n%s", s, got, doc)
		}
	})
}
