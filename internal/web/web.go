// Package web serves the UI and its JSON API.
//
// It has no business rules: what it shows it is given.
package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/goferry/goferry/internal/text"
)

//go:embed home.html
var homePage string

// Home returns the page at "/": what this server is, and the lines that make the go command use
// it. It speaks the language that the browser asks for, else that of p. url is used where the
// request does not say how the server was reached.
func Home(p *text.Printer, url string) http.Handler {
	page := template.Must(template.New("home").Parse(homePage))
	en, zh := text.New("en"), text.New("zh")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		p := p
		switch accept := r.Header.Get("Accept-Language"); {
		case strings.HasPrefix(accept, "zh"):
			p = zh
		case strings.HasPrefix(accept, "en"):
			p = en
		}
		var b bytes.Buffer
		err := page.Execute(&b, map[string]any{
			"T":   func(code string) string { return p.T(code) },
			"URL": reached(r, url), "Lang": p.Lang(),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Vary", "Accept-Language")
		_, _ = w.Write(b.Bytes())
	})
}

// reached is the URL under which the client sees this server.
func reached(r *http.Request, url string) string {
	if r.Host == "" {
		return url
	}
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
