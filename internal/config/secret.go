package config

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
)

const mask = "***"

// A Secret is a string that prints as *** wherever Go prints things: fmt with
// any verb, slog, JSON. The conversion string(s) gives it away, and so does
// go-toml, which writes every kind of string as it is.
type Secret string

// String returns "***", or "" for an empty Secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format implements fmt.Formatter: a String method alone would not be asked for
// %d, which prints the value in its complaint.
func (s Secret) Format(f fmt.State, verb rune) { io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Masked is a string that may hold URLs. It prints like Redact of it
// wherever a Secret prints ***; string(m) is the whole.
type Masked string

// String returns Redact of m.
func (m Masked) String() string { return Redact(string(m)) }

// Format implements fmt.Formatter; see Secret.Format.
func (m Masked) Format(f fmt.State, verb rune) { io.WriteString(f, m.String()) }

// LogValue implements slog.LogValuer.
func (m Masked) LogValue() slog.Value { return slog.StringValue(m.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON.
func (m Masked) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// urlStart finds where a URL of a list may begin.
var urlStart = regexp.MustCompile(`(^|[,|=\s])[A-Za-z][A-Za-z0-9+.-]*://`)

// urlStarts finds where the URLs of a list begin. Behind a "?" the "=" belongs to a query.
func urlStarts(list string) (starts [][]int) {
	query := 0
	for _, start := range urlStart.FindAllStringIndex(list, -1) {
		if list[start[0]] == '=' && strings.Contains(list[query:start[0]], "?") {
			continue
		}
		starts, query = append(starts, start), start[1]
	}
	return starts
}

// Redact masks the userinfo and the query of every URL in a list of URLs.
// A list that is no good must not leak either (it ends in an error message), so
// URLs are not parsed: all between "://" and the last "@" that could end it
// goes. Rather too much is masked than too little.
func Redact(list string) string {
	starts := urlStarts(list)
	starts = append(starts, []int{len(list), len(list)})
	head := list[:starts[0][0]]
	// "user:password@host", with the scheme forgotten or misspelt.
	if at := strings.LastIndexByte(head, '@'); at >= 0 && strings.ContainsRune(head[:at], ':') {
		head = mask + head[at:]
	}
	var b strings.Builder
	b.WriteString(head)
	for i, start := range starts[:len(starts)-1] {
		b.WriteString(list[start[0]:start[1]])
		b.WriteString(redactURL(list[start[1]:starts[i+1][0]]))
	}
	return b.String()
}

// redactURL masks what follows the "://" of one URL.
func redactURL(url string) string {
	if at := strings.LastIndexByte(url, '@'); at >= 0 {
		return redactQuery(mask + url[at:])
	}
	// A password with a comma was cut in two, and its "@" is not here: what
	// stands for the port is no number.
	end := strings.IndexAny(url, "/?#,| \t")
	if end < 0 {
		end = len(url)
	}
	if _, port, ok := strings.Cut(url[:end], ":"); ok && !strings.HasPrefix(url, "[") && strings.Trim(port, "0123456789") != "" {
		url = mask + url[end:]
	}
	return redactQuery(url)
}

func redactQuery(part string) string {
	question := strings.IndexByte(part, '?')
	if question < 0 {
		return part
	}
	rest := part[question+1:]
	end := strings.IndexAny(rest, ",| \t")
	if end < 0 {
		end = len(rest)
	}
	return part[:question+1] + mask + rest[end:]
}

// redactCommands masks the arguments in a GOAUTH list ("netrc; git DIR; helper
// ARGS"): which helper is asked may be shown, what it is told may be a token.
func redactCommands(list string) string {
	var shown []string
	for command := range strings.SplitSeq(list, ";") {
		words := strings.Fields(command)
		if len(words) > 1 {
			words = []string{words[0], mask}
		}
		if len(words) > 0 {
			shown = append(shown, Redact(strings.Join(words, " ")))
		}
	}
	return strings.Join(shown, "; ")
}
