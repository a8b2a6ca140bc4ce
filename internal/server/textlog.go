package server

import (
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// NewTextHandler returns a handler that writes slog's text format to w, from level on.
//
// AccessLog knows it: it writes its lines, which are most of the log of a busy server and
// always the same, without the detour by slog's records. They are what slog would
// write, to the byte.
func NewTextHandler(w *LogWriter, level slog.Leveler) slog.Handler {
	return &textHandler{
		TextHandler: slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}),
		w:           w,
		bufs:        sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }},
	}
}

// A textHandler with attributes or groups is slog's again: its methods for them are those
// of the handler inside.
type textHandler struct {
	*slog.TextHandler
	w      *LogWriter
	bufs   sync.Pool
	second atomic.Pointer[secondText]
}

// write writes the line of e. It reports false where that takes slog.
func (h *textHandler) write(e *entry) bool {
	if !e.simple() {
		return false
	}
	p := h.bufs.Get().(*[]byte)
	*p = h.append((*p)[:0], e)
	_, _ = h.w.write(*p, e.now) // nowhere to tell that the log is broken
	h.bufs.Put(p)
	return true
}

// append is slog's text format of e.record.
func (h *textHandler) append(b []byte, e *entry) []byte {
	b = h.appendTime(append(b, "time="...), e.now)
	b = append(append(b, " level="...), e.level.String()...)
	b = append(b, " msg="+entryMessage...)
	b = appendText(append(b, " method="...), e.method)
	b = appendText(append(b, " path="...), e.path)
	b = strconv.AppendInt(append(b, " status="...), int64(e.status), 10)
	b = strconv.AppendInt(append(b, " bytes="...), e.bytes, 10)
	b = append(append(b, " dur="...), e.dur.String()...)
	b = appendText(append(b, " req="...), e.id)
	b = appendText(append(b, " proto="...), e.proto)
	b = appendText(append(b, " remote="...), e.remote)
	b = appendText(append(b, " agent="...), e.agent)
	if e.aborted {
		b = append(b, " aborted=true"...)
	}
	for _, a := range e.attrs {
		b = append(appendText(append(b, ' '), a.Key), '=')
		if a.Value.Kind() == slog.KindString {
			b = appendText(b, a.Value.String())
		} else {
			b = append(b, a.Value.String()...)
		}
	}
	return append(b, '\n')
}

// simple reports whether append knows how the attributes of e are written.
func (e *entry) simple() bool {
	for _, a := range e.attrs {
		switch a.Value.Kind() {
		case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindBool, slog.KindDuration:
		default:
			return false
		}
	}
	return true
}

// secondText is how the time of one second is written but for its milliseconds.
type secondText struct {
	unix       int64
	head, zone string
}

func (h *textHandler) appendTime(b []byte, t time.Time) []byte {
	s := h.second.Load()
	if s == nil || s.unix != t.Unix() {
		s = &secondText{unix: t.Unix(), head: t.Format("2006-01-02T15:04:05."), zone: t.Format("Z07:00")}
		h.second.Store(s)
	}
	ms := t.Nanosecond() / 1e6
	b = append(b, s.head...)
	b = append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	return append(b, s.zone...)
}

// appendText appends s, quoted where slog quotes.
func appendText(b []byte, s string) []byte {
	if quoted(s) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

// quoted is slog's rule: what is empty, would end the value or the line, or cannot be seen.
func quoted(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case '=' < c && c < utf8.RuneSelf, '"' < c && c < '=', c == '!': // nearly all there is, so first
		case c >= utf8.RuneSelf:
			return quotedRunes(s[i:])
		default:
			return true
		}
	}
	return s == ""
}

func quotedRunes(s string) bool {
	for _, r := range s {
		switch {
		case r <= ' ', r == '"', r == '=', r == utf8.RuneError:
			return true
		case r >= utf8.RuneSelf && (unicode.IsSpace(r) || !unicode.IsPrint(r)):
			return true
		}
	}
	return false
}
