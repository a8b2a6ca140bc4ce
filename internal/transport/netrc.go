package transport

import (
	"log/slog"
	"strings"
)

// A secret prints as ***.
type secret string

// String hides s.
func (s secret) String() string { return "***" }

// GoString hides s.
func (s secret) GoString() string { return "***" }

// LogValue hides s.
func (s secret) LogValue() slog.Value { return slog.StringValue("***") }

// A netrcEntry is a machine of a .netrc file with its login and password. The
// machine is empty for the file's default entry. The fields are exported because
// fmt hides a secret only where it can call its methods.
type netrcEntry struct {
	Machine  string
	Login    string
	Password secret
}

// parseNetrc reads the .netrc format as the GNU inetutils manual describes it: words, of
// which "machine" and "default" begin an entry, and "macdef", which goes on
// to the next empty line. Like cmd/go it leaves out entries without login or
// password. Unknown words are skipped: other programs have their own.
func parseNetrc(data string) []netrcEntry {
	var entries []netrcEntry
	var e *netrcEntry // the entry that is being read; nil before the first
	flush := func() {
		if e != nil && e.Login != "" && e.Password != "" {
			entries = append(entries, *e)
		}
		e = nil
	}
	for words := (netrcWords{rest: data}); ; {
		switch word := words.next(); word {
		case "":
			flush()
			return entries
		case "machine":
			flush()
			if name := words.next(); name != "" {
				e = &netrcEntry{Machine: name}
			}
		case "default":
			flush()
			e = &netrcEntry{}
		case "macdef":
			words.skipMacro()
		case "login", "password", "account":
			value := words.next()
			switch {
			case e == nil:
			case word == "login":
				e.Login = value
			case word == "password":
				e.Password = secret(value)
			}
		}
	}
}

// netrcWords cuts a .netrc file into words.
type netrcWords struct{ rest string }

// next returns the next word, empty at the end.
func (w *netrcWords) next() string {
	w.rest = strings.TrimLeft(w.rest, " \t\r\n")
	end := strings.IndexAny(w.rest, " \t\r\n")
	if end < 0 {
		end = len(w.rest)
	}
	word := w.rest[:end]
	w.rest = w.rest[end:]
	return word
}

// skipMacro goes behind the next empty line, or to the end.
func (w *netrcWords) skipMacro() {
	_, w.rest, _ = strings.Cut(w.rest, "\n") // the macro's name
	for w.rest != "" {
		var line string
		line, w.rest, _ = strings.Cut(w.rest, "\n")
		if strings.TrimRight(line, "\r") == "" {
			return
		}
	}
}
