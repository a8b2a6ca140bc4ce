package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/mirrors"
	"github.com/goferry/goferry/internal/text"
)

// TestMirrorWords wants a message in both languages for all that a probe can find out.
func TestMirrorWords(t *testing.T) {
	for _, lang := range []string{text.English, text.Chinese} {
		a := &app{p: text.New(lang)}
		var codes []string
		for _, v := range mirrors.Verdicts() {
			codes = append(codes, "mirrors.verdict-"+string(v))
		}
		for _, r := range mirrors.Reasons() {
			codes = append(codes, "mirrors.why-"+string(r))
		}
		for _, n := range mirrors.NoteCodes() {
			if n != mirrors.NoteFailed && n != mirrors.NoteUnsure { // they speak of a step
				codes = append(codes, "mirrors.note-"+string(n))
			}
		}
		for _, code := range codes {
			if !a.p.Has(code) {
				t.Errorf("%s: no message %s", lang, code)
			}
		}
		for _, ask := range mirrors.Asks() {
			note := a.stepNote(ask, mirrors.Step{State: mirrors.Unknown, Reason: mirrors.Status, Status: 503})
			if !strings.Contains(note, "503") || strings.Contains(note, "[") {
				t.Errorf("%s: %s", ask, note)
			}
		}
	}
}

func TestPrintColumns(t *testing.T) {
	var b bytes.Buffer
	printColumns(&b, [][]string{{"名称", "n", "说明"}, {"a", "1.5 ms", ""}, {"镜像站", "–", "x"}}, 1)
	want := "名称         n  说明\na       1.5 ms\n镜像站       –  x\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	printColumns(&b, nil)
}
