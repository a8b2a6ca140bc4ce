// Package text turns message codes into Chinese and English.
//
// It never decides anything: it does not know when a message is due, what an
// error means, or where text goes.
//
// Messages stand in messages/en and messages/zh, in as many TOML files as there
// are topics; a code stands in exactly one file of each language. To add one,
// write the line to both folders. Data is named: {{.Addr}}. A message that
// depends on a number has the forms of go-i18n, and its data a Count:
//
//	["exec.modules"]
//	one = "{{.Count}} module"
//	other = "{{.Count}} modules"
package text

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nicksnyder/go-i18n/v2/i18n/template"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/text/language"
)

//go:embed messages
var messages embed.FS

// The languages that messages exist in.
const (
	English = "en"
	Chinese = "zh"
)

// A Printer knows the messages of one language. It may be used by many
// goroutines.
type Printer struct {
	lang      string
	localizer *i18n.Localizer
	codes     []string // sorted
	forms     map[string]map[string]string
}

// New returns the Printer for a language, as Detect returns it; for a language
// that is none of ours, the one for English.
func New(lang string) *Printer {
	if lang != Chinese {
		lang = English
	}
	p, err := load(messages, lang)
	if err != nil {
		panic(fmt.Sprintf("text: the messages built into goferry are damaged: %v", err))
	}
	return p
}

// load reads the messages of one language from the folder messages of fsys.
func load(fsys fs.FS, lang string) (*Printer, error) {
	tag, err := language.Parse(lang)
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(fsys, path.Join("messages", lang, "*.toml"))
	if err != nil {
		return nil, err
	}
	bundle := i18n.NewBundle(tag)
	p := &Printer{lang: lang, localizer: i18n.NewLocalizer(bundle, lang), forms: make(map[string]map[string]string)}
	for _, file := range files {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		list, err := bundle.ParseMessageBytes(tag, data, toml.Unmarshal)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, m := range list {
			if p.forms[m.ID] != nil {
				return nil, fmt.Errorf("%s: %s stands in another file already", file, m.ID)
			}
			p.forms[m.ID] = formsOf(m)
			p.codes = append(p.codes, m.ID)
		}
	}
	slices.Sort(p.codes)
	return p, nil
}

func formsOf(m *i18n.Message) map[string]string {
	forms := map[string]string{"zero": m.Zero, "one": m.One, "two": m.Two, "few": m.Few, "many": m.Many, "other": m.Other}
	maps.DeleteFunc(forms, func(_, text string) bool { return text == "" })
	return forms
}

// Lang returns the language: English or Chinese.
func (p *Printer) Lang() string { return p.lang }

// Codes lists all message codes, sorted.
func (p *Printer) Codes() []string { return slices.Clone(p.codes) }

// Has reports whether there is a message with this code.
func (p *Printer) Has(code string) bool {
	_, ok := slices.BinarySearch(p.codes, code)
	return ok
}

// Forms returns the message with this code before its data is filled in, by
// plural form; most have "other" alone. It is nil for an unknown code.
func (p *Printer) Forms(code string) map[string]string { return maps.Clone(p.forms[code]) }

// T returns the message with this code. args are names and values by turns, and
// stand in the message as {{.Name}}; an integer named Count selects the plural
// form. Where the code is unknown or data is missing, T returns the code in
// brackets and the data: a clumsy message is better than none, and
// texttest.Check finds the cause before a user does.
func (p *Printer) T(code string, args ...any) string {
	config := &i18n.LocalizeConfig{
		MessageID: code,
		// By default a missing name would print "<no value>".
		TemplateParser: &template.TextParser{Option: "missingkey=error"},
	}
	data := make(map[string]any, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		name := fmt.Sprint(args[i])
		data[name] = args[i+1]
		if name == "Count" && len(p.forms[code]) > 1 {
			config.PluralCount = args[i+1]
		}
	}
	config.TemplateData = data
	msg, err := p.localizer.Localize(config)
	if err != nil || len(args)%2 != 0 {
		return strings.TrimSuffix(fmt.Sprintf("[%s] %s", code, strings.TrimSuffix(fmt.Sprintln(args...), "\n")), " ")
	}
	return msg
}
