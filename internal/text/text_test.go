package text

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

func TestT(t *testing.T) {
	fsys := fstest.MapFS{
		"messages/en/a.toml": {Data: []byte("\"x.plain\" = 'plain'\n\"x.named\" = '{{.Who}} & {{.What}}'\n[\"x.count\"]\none = '{{.Count}} file'\nother = '{{.Count}} files'\n")},
		"messages/en/b.toml": {Data: []byte("\"x.other\" = 'other'\n\"x.count-alone\" = 'some of {{.All}}'\n")},
		"messages/zh/a.toml": {Data: []byte("\"x.count\" = '{{.Count}} 个文件'\n")},
	}
	en, err := load(fsys, English)
	if err != nil {
		t.Fatal(err)
	}
	zh, err := load(fsys, Chinese)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		p    *Printer
		code string
		args []any
		want string
	}{
		{en, "x.plain", nil, "plain"},
		{en, "x.other", nil, "other"},
		{en, "x.named", []any{"Who", "a<b>", "What", 3}, "a<b> & 3"},
		{en, "x.named", []any{"Who", "a", "What", time.Second, "More", 1}, "a & 1s"},
		{en, "x.count", []any{"Count", 1}, "1 file"},
		{en, "x.count", []any{"Count", int64(2)}, "2 files"},
		{en, "x.count-alone", []any{"Count", 1, "All", 9}, "some of 9"},
		{zh, "x.count", []any{"Count", 1}, "1 个文件"},
		{zh, "x.count", []any{"Count", "many"}, "many 个文件"},
		{en, "x.none", nil, "[x.none]"},
		{en, "x.none", []any{"Who", "a"}, "[x.none] Who a"},
		{en, "x.named", []any{"Who", "a"}, "[x.named] Who a"},
		{en, "x.plain", []any{"Who"}, "[x.plain] Who"},
		{en, "x.count", []any{"Count", "many"}, "[x.count] Count many"},
		{zh, "x.plain", nil, "[x.plain]"},
	}
	for _, tt := range tests {
		if got := tt.p.T(tt.code, tt.args...); got != tt.want {
			t.Errorf("%s: T(%q, %v) = %q, want %q", tt.p.Lang(), tt.code, tt.args, got, tt.want)
		}
	}
	if got := fmt.Sprint(en.Codes()); got != "[x.count x.count-alone x.named x.other x.plain]" {
		t.Errorf("codes %s", got)
	}
	if !en.Has("x.plain") || en.Has("x.none") || zh.Has("x.plain") {
		t.Error("Has is wrong about x.plain or x.none")
	}
	if got := fmt.Sprint(en.Forms("x.count")); got != "map[one:{{.Count}} file other:{{.Count}} files]" || en.Forms("x.none") != nil {
		t.Errorf("forms %s", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"one code in two files": {"messages/en/a.toml": {Data: []byte("\"x\" = '1'")}, "messages/en/b.toml": {Data: []byte("\"x\" = '2'")}},
		"no TOML":               {"messages/en/a.toml": {Data: []byte("x = ")}},
		"a number":              {"messages/en/a.toml": {Data: []byte("x = 1")}},
	} {
		if _, err := load(fsys, English); err == nil || !strings.Contains(err.Error(), "messages/en/") {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
	}
}

func TestNew(t *testing.T) {
	for lang, want := range map[string]string{"zh": Chinese, "en": English, "": English, "fr": English} {
		if p := New(lang); p.Lang() != want || len(p.Codes()) == 0 {
			t.Errorf("New(%q) speaks %s and knows %d codes", lang, p.Lang(), len(p.Codes()))
		}
	}
	if en, zh := New(English).T("hint.value-bool"), New(Chinese).T("hint.value-bool"); en != "write true or false" || zh != "请写 true 或 false" {
		t.Errorf("got %q and %q", en, zh)
	}
}

func TestPrinterIsSafeForMany(t *testing.T) {
	p := New(Chinese)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, code := range p.Codes() {
				p.T(code, "Addr", ":1", "Dir", "d", "Near", "n", "Choices", "c", "Key", "k")
			}
		})
	}
	wg.Wait()
}

func TestDetect(t *testing.T) {
	system := func() string { return "zh-Hans-CN" }
	tests := []struct {
		explicit string
		env      string // NAME=value, separated by spaces
		system   func() string
		want     string
	}{
		{"zh", "GOFERRY_LANG=en LC_ALL=en_US.UTF-8", nil, Chinese},
		{"en", "GOFERRY_LANG=zh LANG=zh_CN.UTF-8", system, English},
		{"", "GOFERRY_LANG=zh LC_ALL=C", nil, Chinese},
		{"", "LC_ALL=zh_CN.UTF-8 LANG=en_US.UTF-8", nil, Chinese},
		{"", "LC_ALL=C LANG=zh_CN.UTF-8", system, English},
		{"", "LC_MESSAGES=zh_CN.utf8 LANG=en_US.UTF-8", nil, Chinese},
		{"", "LC_MESSAGES=en_US LANG=zh_CN.UTF-8", nil, English},
		{"", "LANG=zh_TW.UTF-8", nil, Chinese},
		{"", "LANG=zh_CN", nil, Chinese},
		{"", "LANG=zh_CN.UTF-8@pinyin", nil, Chinese},
		{"", "LANG=zh-Hant-HK", nil, Chinese},
		{"", "LANG=zh_CN.GB18030", nil, English},
		{"", "LANG=zha_CN.UTF-8", nil, English},
		{"", "LANG=de_DE.UTF-8", system, English},
		{"", "LANG=POSIX", system, English},
		{"", "", nil, English},
		{"", "", system, Chinese},
		{"", "", func() string { return "" }, English},
	}
	for _, tt := range tests {
		env := make(map[string]string)
		for pair := range strings.FieldsSeq(tt.env) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		if got := Detect(tt.explicit, func(n string) string { return env[n] }, tt.system); got != tt.want {
			t.Errorf("Detect(%q, %v) = %q, want %q", tt.explicit, maps.Collect(maps.All(env)), got, tt.want)
		}
	}
}
