package doctor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"
)

// explainSamples reads testdata/messages.txt: lines of builds, each with the codes of what it is.
func explainSamples(t *testing.T) (lines []string, codes [][]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		want, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " | ")
		if !ok {
			t.Fatalf("no bar in %q", line)
		}
		lines = append(lines, text)
		codes = append(codes, strings.Fields(want))
	}
	return lines, codes
}

func TestExplain(t *testing.T) {
	lines, codes := explainSamples(t)
	seen := map[string]bool{}
	known := explainMessages()
	for i, line := range lines {
		got := explainCodes(t, known, line)
		want := slices.Clone(codes[i])
		slices.Sort(want)
		if !slices.Equal(want, got) {
			t.Errorf("%s\n\tis %v, want %v", line, got, want)
		}
		for _, c := range got {
			seen[c] = true
		}
	}
	for _, code := range MessageCodes() {
		if !seen[code] {
			t.Errorf("no sample for %s", code)
		}
	}
	if n := len(MessageCodes()); n < 60 {
		t.Errorf("%d messages", n)
	}
}

// explainCodes are the sorted codes of what is found in text.
func explainCodes(t *testing.T, known []explainMessage, text string) (codes []string) {
	t.Helper()
	list, err := explainText(known, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		codes = append(codes, m.Code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// TestExplainOrder holds that messages come in the order of the lines, each once for each thing, and that nothing secret
// is repeated.
func TestExplainOrder(t *testing.T) {
	text := `#7 [build 3/5] RUN go build
#7 0.512 go: example.com/a@v1.0.0: Get "https://me:s3cret@one.example/a?token=t0ken": net/http: TLS handshake timeout
#7 0.513 go: example.com/b@v1.0.0: Get "https://two.example/b": net/http: TLS handshake timeout

` + "\x1b[31m" + `go: example.com/c@v1.0.0: Get "https://one.example/c": net/http: TLS handshake timeout` + "\x1b[0m" + `
` + strings.Repeat("x", 3*maxExplainLine) + `
C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH`
	list, err := Explain(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, fmt.Sprint(m.Code, " ", m.Line, " ", m.Count, " ", m.Args))
		if strings.Contains(m.Text, "s3cret") || strings.Contains(m.Text, "t0ken") || strings.Contains(m.Text, "\x1b") || strings.HasPrefix(m.Text, "#7") {
			t.Errorf("shows %q", m.Text)
		}
	}
	want := []string{"tls-timeout 2 2 map[Host:one.example]", "tls-timeout 3 1 map[Host:two.example]", "cc-not-found 7 1 map[Name:gcc]"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	all := []Check{{ID: "git"}, {ID: "cc"}, {ID: "network"}}
	if checks := BearOn(list, all); len(checks) != 2 || checks[0].ID != "cc" || checks[1].ID != "network" {
		t.Errorf("bear on it: %v", checks)
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} { // of PowerShell
		var data []byte
		for _, u := range utf16.Encode([]rune("\ufeff构建\r\nbash: ./x: cannot execute binary file: Exec format error\r\n")) {
			data = order.AppendUint16(data, u)
		}
		if list, err := Explain(bytes.NewReader(data)); err != nil || len(list) != 1 || list[0].Code != "wrong-arch" || list[0].Line != 2 {
			t.Errorf("in UTF-16: %v %v", list, err)
		}
	}
	broken := io.MultiReader(strings.NewReader("exec format error\n"), iotest.ErrReader(io.ErrClosedPipe))
	if list, err = Explain(broken); !errors.Is(err, io.ErrClosedPipe) || len(list) != 1 {
		t.Errorf("of a pipe that breaks: %v %v", list, err)
	}
}

// TestExplainWords holds that no message is passed over for want of its words, and that all have some.
func TestExplainWords(t *testing.T) {
	lines, _ := explainSamples(t)
	for _, m := range explainMessages() {
		if explainShortest(m.words) < 3 {
			t.Errorf("%s is sought in nearly each line: %q", m.code, m.words)
		}
		for _, line := range lines {
			if line = explainClean(line); m.text.MatchString(line) && !m.explainMay(strings.ToLower(line)) {
				t.Errorf("%s is passed over in %q", m.code, line)
			}
		}
	}
	for expr, want := range map[string]string{
		"abc": "abc", "a+bcd|EFG": "bcd efg", "(?i:Abc)x?": "abc", "x?(yz|.*)": "", "[ab]cd": "cd", "(?P<N>abc)+d": "abc",
	} {
		if got := strings.Join(explainWords(expr), " "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// TestExplainChecks holds that the checks of messages are checks.
func TestExplainChecks(t *testing.T) {
	known := map[string]bool{}
	for _, c := range Checks() {
		known[c.ID] = true
	}
	for _, m := range explainMessages() {
		for _, id := range strings.Fields(m.checks) {
			if !known[id] {
				t.Errorf("%s bears on %s, which is no check", m.code, id)
			}
		}
	}
}

func FuzzExplain(f *testing.F) {
	data, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f.Add(line)
	}
	f.Add("\x1b[31m\xff\xfe\r\n\n\nGet \"https://a:b@c/d?e=f\": EOF")
	known := explainMessages()
	f.Fuzz(func(t *testing.T, text string) {
		list, err := explainText(known, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		for _, m := range list {
			if m.Line < last || m.Count < 1 || m.Line > strings.Count(text, "\n")+1 && utf8.ValidString(text) || len([]rune(m.Text)) > 300 || m.Text == "" {
				t.Errorf("%+v of %q", m, text)
			}
			if explainSecret.MatchString(m.Text) {
				t.Errorf("shows a password: %q", m.Text)
			}
			for name, value := range m.Args {
				if value == "" {
					t.Errorf("%s has no %s", m.Code, name)
				}
			}
			last = m.Line
		}
	})
}

// BenchmarkExplain reads the log of a large build, of which nothing is known.
func BenchmarkExplain(b *testing.B) {
	log := strings.Repeat("#12 34.567 go: downloading github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.6.7\nok  \tgithub.com/example/project/internal/some/package\t0.123s\n", 500)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if list, err := Explain(strings.NewReader(log)); err != nil || len(list) > 0 {
			b.Fatal(list, err)
		}
	}
}
