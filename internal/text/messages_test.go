package text_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/text/texttest"
)

// sameInBoth lists the codes whose Chinese is rightly the same as the English.
func sameInBoth() []string { return nil }

func TestMessages(t *testing.T) {
	en, zh := text.New(text.English), text.New(text.Chinese)
	if diff := cmp.Diff(en.Codes(), zh.Codes()); diff != "" {
		t.Fatalf("codes differ (-en +zh)\n%s", diff)
	}
	for _, code := range en.Codes() {
		for _, problem := range faults(code, en.Forms(code), zh.Forms(code)) {
			t.Errorf("%s: %s", code, problem)
		}
	}
}

// faults says what is wrong with a message and its translation.
func faults(code string, en, zh map[string]string) (list []string) {
	if !regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`).MatchString(code) {
		list = append(list, "the code is not lower case words with dots")
	}
	if diff := cmp.Diff(texttest.Placeholders(en), texttest.Placeholders(zh)); diff != "" {
		list = append(list, "the data differs (-en +zh)\n"+diff)
	}
	if _, other := en["other"]; !other || len(en) > 1 && en["one"] == "" || len(en) > 2 {
		list = append(list, "English has the forms one and other, or other alone")
	}
	if _, other := zh["other"]; !other || len(zh) != 1 {
		list = append(list, "Chinese has the form other alone")
	}
	if strings.HasSuffix(code, ".example") {
		return list // command lines are the same everywhere
	}
	for _, form := range en {
		list = append(list, englishFaults(code, form)...)
	}
	for _, form := range zh {
		list = append(list, chineseFaults(code, form)...)
		// Examples are command lines, which both languages share.
		if form == en["other"] && !slices.Contains(sameInBoth(), code) && !strings.HasSuffix(code, ".example") {
			list = append(list, "not translated")
		}
	}
	return list
}

// action matches what a template fills in; a word stands there, for the rules
// about what stands beside it.
var action = regexp.MustCompile(`{{[^}]*}}`)

// terse are the messages that follow a subject on a line of their own.
var terse = regexp.MustCompile(`^(.+\.)?(hint|error)\.`)

func englishFaults(code, msg string) (list []string) {
	if strings.TrimSpace(msg) == "" {
		list = append(list, "empty")
	}
	if strings.ContainsFunc(msg, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		list = append(list, "Chinese in the English message")
	}
	if !terse.MatchString(code) {
		return list
	}
	if strings.HasSuffix(msg, ".") {
		list = append(list, "ends with a period")
	}
	if strings.Contains(msg, "\n") || strings.TrimSpace(msg) != msg {
		list = append(list, "more than one line, or spaces at an end")
	}
	// PATH and TLS may stand first; Path may not. Go and Mercurial are names.
	first, _, _ := strings.Cut(msg, " ")
	if len(first) > 0 && unicode.IsUpper(rune(first[0])) && strings.ToUpper(first) != first && first != "Go" {
		list = append(list, "begins with a capital")
	}
	return list
}

var (
	halfWidth = regexp.MustCompile(`\p{Han} ?[,;!?()]|\p{Han} ?:(?:[^0-9]|$)|[,;:!?)]\p{Han}|\p{Han}\.(?:\s|$)|\p{Han}["']|["']\p{Han}`)
	noSpace   = regexp.MustCompile(`\p{Han}[A-Za-z0-9-]|[A-Za-z0-9]\p{Han}`)
)

func chineseFaults(code, msg string) (list []string) {
	if strings.TrimSpace(msg) == "" {
		list = append(list, "empty")
	}
	if terse.MatchString(code) && (strings.HasSuffix(msg, "。") || strings.TrimSpace(msg) != msg || strings.Contains(msg, "\n")) {
		list = append(list, "ends with a full stop, spaces, or in another line")
	}
	plain := action.ReplaceAllString(msg, "x")
	if at := halfWidth.FindString(plain); at != "" {
		list = append(list, "half-width punctuation in Chinese: "+at)
	}
	if at := noSpace.FindString(plain); at != "" {
		list = append(list, "no space between Chinese and Latin: "+at)
	}
	return list
}

// TestFaultsAreFound shows that each rule about messages can fail.
func TestFaultsAreFound(t *testing.T) {
	one := func(s string) map[string]string { return map[string]string{"other": s} }
	tests := []struct {
		code   string
		en, zh map[string]string
		want   string // in one of the faults; empty for a good message
	}{
		{"hint.x", one("use {{.A}}"), one("请用 {{.A}}，或 {{.A}}"), ""},
		{"hint.x", one("PATH lacks it (see {{.A}})"), one("PATH 中没有（见 {{.A}}）"), ""},
		{"hint.x", one("such as :80"), one("例如 :80"), ""},
		{"hint.x", one("a"), one("甲 : 乙"), "half-width"},
		{"x.head", one("Listening on {{.A}}."), one("监听 {{.A}}"), ""},
		{"x.n", map[string]string{"one": "{{.Count}} file", "other": "{{.Count}} files"}, one("{{.Count}} 个文件"), ""},
		{"Hint.x", one("a"), one("甲"), "lower case words"},
		{"hint", one("a"), one("甲"), "lower case words"},
		{"hint.x", one("use {{.A}}"), one("请用 {{.B}}"), "data differs"},
		{"hint.x", one("use {{.A}}"), one("请用"), "data differs"},
		{"x.n", map[string]string{"one": "a"}, one("甲"), "forms one and other"},
		{"x.n", one("a"), map[string]string{"one": "甲", "other": "乙"}, "other alone"},
		{"x.head", one("Two.\nLines."), one("两行。\n真的。"), ""},
		{"cmd.example", one("  goferry x"), one("  goferry x"), ""},
		{"x.n", one(" "), one("甲"), "empty"},
		{"x.n", one("a"), one("\n"), "empty"},
		{"hint.x", one(" a"), one("甲"), "spaces at an end"},
		{"hint.x", one("a"), one("甲 "), "spaces"},
		{"hint.x", one("a"), one("甲\n乙"), "another line"},
		{"x.n", one("甲"), one("甲甲"), "Chinese in the English"},
		{"a.hint.x", one("do it."), one("做"), "period"},
		{"error.x", one("do\nit"), one("做"), "one line"},
		{"error.x", one("Do it"), one("做"), "capital"},
		{"hint.x", one("use it"), one("use it"), "not translated"},
		{"hint.x", one("a"), one("甲,乙"), "half-width"},
		{"hint.x", one("a"), one("甲 (乙"), "half-width"},
		{"hint.x", one("a"), one("x:乙"), "half-width"},
		{"hint.x", one("a"), one("甲."), "half-width"},
		{"hint.x", one("a"), one("甲\"x"), "half-width"},
		{"hint.x", one("a"), one("甲。"), "full stop"},
		{"hint.x", one("use {{.A}}"), one("请用{{.A}}"), "no space"},
		{"hint.x", one("a"), one("甲A"), "no space"},
		{"hint.x", one("a"), one("A甲"), "no space"},
	}
	for _, tt := range tests {
		all := strings.Join(faults(tt.code, tt.en, tt.zh), "\n")
		if tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
			t.Errorf("%s %v %v: found %q, want %q", tt.code, tt.en, tt.zh, all, tt.want)
		}
	}
}
