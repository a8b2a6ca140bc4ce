package main

import (
	"sync"
	"time"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/text"
)

// A bundleShow shows how far it is with a bundle.
type bundleShow struct {
	*display
	code string // of the message

	mu   sync.Mutex
	file string
	at   bundle.Progress
}

func (a *app) showBundle(code string) *bundleShow {
	s := &bundleShow{code: code}
	s.display = a.show(s, nil)
	return s
}

// next begins with another bundle.
func (s *bundleShow) next(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.at = file, bundle.Progress{}
}

func (s *bundleShow) progress(p bundle.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = p
}

func (s *bundleShow) status(p *text.Printer, _ time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.Total == 0 {
		return ""
	}
	return p.T(s.code, "File", s.file, "Done", human(s.at.Done), "Total", human(s.at.Total))
}

func (s *bundleShow) total(p *text.Printer, width int, now time.Time) string {
	s.mu.Lock()
	share := float64(s.at.Done) / float64(max(s.at.Total, 1))
	s.mu.Unlock()
	return clip(withBar(s.status(p, now), share, width, 30), width-1)
}
