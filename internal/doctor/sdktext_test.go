package doctor

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

var sdkPlaceholder = regexp.MustCompile(`{{\.(\w+)}}`)

// sdkTexts reads the English messages about doctors.
func sdkTexts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../text/messages/en/doctor*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no messages", err)
	}
	texts := map[string]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := toml.Unmarshal(data, &m); err != nil {
			t.Fatal(name, err)
		}
		for code, v := range m {
			switch v := v.(type) {
			case string:
				texts[code] = v
			case map[string]any:
				texts[code], _ = v["other"].(string)
			}
		}
	}
	return texts
}

// sdkSaid holds that each finding and fix has a text, and the data that it names.
func sdkSaid(t *testing.T, texts map[string]string, findings []Finding) {
	t.Helper()
	holds := func(code string, args map[string]string, more ...string) {
		text, ok := texts[code]
		if !ok {
			t.Errorf("%s has no text", code)
		}
		for _, m := range sdkPlaceholder.FindAllStringSubmatch(text, -1) {
			if args[m[1]] == "" && !slices.Contains(more, m[1]) {
				t.Errorf("the text of %s wants %s: %v", code, m[1], args)
			}
		}
	}
	for _, f := range findings {
		if f.Subject == "" {
			t.Errorf("%s is about nothing", f.Code)
		}
		holds("doctor.finding."+f.Code, f.Args, "Subject")
		for _, fact := range f.Facts {
			holds("doctor.fact."+fact.Name, nil, "Value")
		}
		for _, fix := range f.Fixes {
			holds("doctor.fix."+fix.Code, fix.Args)
			done := map[FixKind]bool{
				SetGoEnv: fix.Key != "", SetEnv: fix.Key != "", RunCommand: len(fix.Command) > 0, EditFile: fix.File != "" && fix.Old != "", ByHand: true,
			}
			if !done[fix.Kind] {
				t.Errorf("%s of %s does not say what is to be done: %+v", fix.Code, f.Code, fix)
			}
		}
	}
}

func TestSDKTexts(t *testing.T) {
	texts := sdkTexts(t)
	for kind, codes := range map[string][]string{
		"finding": slices.Concat(sdkCodes(), ccCodes()), "fact": slices.Concat(sdkFactNames(), ccFactNames()), "fix": slices.Concat(sdkFixCodes(), ccFixCodes()), "message": MessageCodes(),
	} {
		for _, code := range codes {
			if texts["doctor."+kind+"."+code] == "" {
				t.Errorf("doctor.%s.%s has no text", kind, code)
			}
		}
	}
	lines, _ := explainSamples(t)
	known := explainMessages()
	for _, line := range lines {
		for _, m := range explainOne(known, line) {
			for _, name := range sdkPlaceholder.FindAllStringSubmatch(texts["doctor.message."+m.Code], -1) {
				if m.Args[name[1]] == "" {
					t.Errorf("the text of %s wants %s: %v", m.Code, name[1], m.Args)
				}
			}
		}
	}
}
