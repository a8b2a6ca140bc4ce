package service

import (
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// agent is the property list of launchd for spec. https://www.manpagez.com/man/5/launchd.plist/
func agent(cfg Config, spec Spec) (string, error) {
	p := &plist{}
	p.line("<!-- " + Mark + " -->")
	p.line(`<plist version="1.0">`)
	p.line("<dict>")
	p.key("Label")
	p.text(cfg.Name)
	p.key("ProgramArguments")
	p.line("<array>")
	p.text(spec.Program)
	for _, arg := range spec.Args {
		p.text(arg)
	}
	p.line("</array>")
	if len(spec.Env) > 0 {
		p.key("EnvironmentVariables")
		p.line("<dict>")
		for _, key := range slices.Sorted(maps.Keys(spec.Env)) {
			p.key(key)
			p.text(spec.Env[key])
		}
		p.line("</dict>")
	}
	p.key("RunAtLoad")
	p.line("<true/>")
	p.key("KeepAlive") // start it again when it failed, not when it was asked to end
	p.line("<dict>")
	p.key("SuccessfulExit")
	p.line("<false/>")
	p.line("</dict>")
	if s := seconds(spec.StopTimeout); s > 0 {
		p.key("ExitTimeOut")
		p.line(fmt.Sprintf("<integer>%d</integer>", s))
	}
	if cfg.LogFile != "" {
		p.key("StandardOutPath")
		p.text(cfg.LogFile)
		p.key("StandardErrorPath")
		p.text(cfg.LogFile)
	}
	p.line("</dict>")
	p.line("</plist>")
	return plistHead + p.b.String(), p.err
}

const plistHead = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
`

// A plist is a property list in the making; err is the first one.
type plist struct {
	b   strings.Builder
	err error
}

func (p *plist) line(s string) { p.b.WriteString(s + "\n") }
func (p *plist) key(s string)  { p.element("key", s) }
func (p *plist) text(s string) { p.element("string", s) }

func (p *plist) element(name, s string) {
	var b strings.Builder
	bad := !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff // not in XML
	})
	if err := xml.EscapeText(&b, []byte(s)); (err != nil || bad) && p.err == nil {
		p.err = fmt.Errorf("service: %q cannot stand in a property list", s)
	}
	// "{{" would be the library's.
	p.line("<" + name + ">" + strings.ReplaceAll(b.String(), "{", "&#123;") + "</" + name + ">")
}
