package main

import (
	"testing"

	"github.com/goferry/goferry/internal/image"
	"github.com/goferry/goferry/internal/text"
)

// TestDockerfileComments wants a text for every comment that a Dockerfile can have, in both languages.
func TestDockerfileComments(t *testing.T) {
	for _, lang := range []string{text.English, text.Chinese} {
		p := text.New(lang)
		for _, key := range image.Comments() {
			code := "dockerfile.comment." + key
			if !p.Has(code) {
				t.Errorf("%s: no text for %s", lang, code)
			}
		}
	}
}
