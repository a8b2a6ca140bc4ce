package text_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/text"
)

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    string
		limit int
		want  []string
	}{
		{"empty", "", 10, []string{""}},
		{"short", "as it is", 10, []string{"as it is"}},
		{"at spaces", "one two three four", 9, []string{"one two", "three", "four"}},
		{"exactly", "one two three", 7, []string{"one two", "three"}},
		{"its own breaks", "one\n\ntwo", 9, []string{"one", "", "two"}},
		{"what is too long", "a https://example.com/long b", 8, []string{"a", "https://example.com/long", "b"}},
		{"chinese", "从不卡死从不出错", 8, []string{"从不卡死", "从不出错"}},
		{"no mark begins a line", "从不卡死，从不出错。", 8, []string{"从不卡", "死，从不", "出错。"}},
		{"no mark ends a line", "从不（卡死）", 6, []string{"从不", "（卡", "死）"}},
		{"mixed", "用 go env 的值", 8, []string{"用 go", "env 的值"}},
	} {
		if diff := cmp.Diff(tt.want, text.Wrap(tt.in, tt.limit)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func FuzzWrap(f *testing.F) {
	for _, s := range []string{"", "a b", "从不，a（b）", "  x\n y "} {
		f.Add(s, 10)
	}
	bare := strings.NewReplacer(" ", "", "\n", "")
	f.Fuzz(func(t *testing.T, s string, limit int) {
		s = strings.ToValidUTF8(s, "?")
		lines := text.Wrap(s, limit)
		if got := strings.Join(lines, ""); bare.Replace(got) != bare.Replace(s) {
			t.Errorf("Wrap(%q, %d) = %q: not the same text", s, limit, lines)
		}
		for _, line := range lines {
			if text.Columns(line) > limit && len(text.Wrap(line, limit)) != 1 {
				t.Errorf("Wrap(%q, %d): %q is too long and could be broken", s, limit, line)
			}
		}
	})
}
