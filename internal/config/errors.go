package config

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownKey is what an Error about a key of the file that is no setting wraps.
var ErrUnknownKey = errors.New("unknown key")

// An Error says which flag, variable or line of the file holds what is wrong.
type Error struct {
	Key    string // the setting, or the key in the file that is none; empty if the file as a whole is meant
	Origin Origin // where the value stands
	Err    error  // what is wrong with it; secrets are masked

	Hint     string // a way out, one line; may be empty
	HintCode string // message code of Hint, for translation
	HintArgs []any  // names and values that the message of HintCode takes
}

// Error puts the subject first: origin, key, reason. The key is left out where
// the origin spells it.
func (e *Error) Error() string {
	s := e.Origin.String() + ": "
	if e.Key != "" && (e.Origin.Kind == FromFile || e.Origin.Kind == FromDefault) {
		s += e.Key + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// File returns the file and line that hold the value; "" and 0 if no file does.
func (e *Error) File() (name string, line int) {
	if e.Origin.Kind != FromFile {
		return "", 0
	}
	return e.Origin.Name, e.Origin.Line
}

// fault is the error for a value that s cannot have.
func (s Setting) fault(from Origin, err error) *Error {
	e := &Error{Key: s.Key, Origin: from, Err: err}
	if from.Kind == FromFile {
		e.Key = s.TOML
	}
	switch {
	case s.Choices != nil:
		return withHint(e, "hint.value-choice", "Choices", strings.Join(s.Choices, ", "))
	case s.Type == TypeBool:
		return withHint(e, "hint.value-bool")
	case s.Type == TypeDuration:
		return withHint(e, "hint.value-duration")
	case s.Type == TypeSize:
		return withHint(e, "hint.value-size")
	case s.Type == TypeInt:
		return withHint(e, "hint.value-int")
	case s.Key == "listen":
		return withHint(e, "hint.value-listen")
	case s.Key == "sdk.sources":
		return withHint(e, "hint.value-sources")
	case s.Type == TypeList:
		return withHint(e, "hint.value-list", "Key", s.Key)
	}
	return withHint(e, "hint.value-string", "Key", s.Key)
}

// withHint fills the hint of e. The English texts are those of the message
// files; a test holds the two together, since rooms of one layer cannot.
func withHint(e *Error, code string, args ...any) *Error {
	e.HintCode, e.HintArgs = code, args
	e.Hint = hintText(code)
	for i := 0; i+1 < len(args); i += 2 {
		e.Hint = strings.ReplaceAll(e.Hint, fmt.Sprintf("{{.%s}}", args[i]), fmt.Sprint(args[i+1]))
	}
	return e
}

func hintText(code string) string {
	switch code {
	case "hint.config-file":
		return "correct the line; in TOML a Windows path stands between single quotes"
	case "hint.config-missing":
		return "--config and GOFERRY_CONFIG must name a file that can be read"
	case "hint.config-by-hand":
		return "write {{.Key}} into the file by hand"
	case "hint.unknown-key":
		return "did you mean {{.Near}}?"
	case "hint.known-keys":
		return "goferry config -v lists the keys there are"
	case "hint.tls-pair":
		return "set both --tls-cert and --tls-key, or neither"
	case "hint.value-choice":
		return "write one of: {{.Choices}}"
	case "hint.value-bool":
		return "write true or false"
	case "hint.value-duration":
		return "write a number with a unit: 10s, 5m, 1h30m, 30d"
	case "hint.value-size":
		return "write a whole number with a unit: 500MB, 20GiB"
	case "hint.value-int":
		return "write a whole number, such as 4"
	case "hint.value-listen":
		return "write an address and a port, such as 127.0.0.1:8046 or :8046"
	case "hint.value-sources":
		return "write URLs, separated by commas: https://HOST/FOLDER for release archives, modules=https://HOST for a module proxy; perhaps off as the last"
	case "hint.value-list":
		return `write a list: in a file {{.Key}} = ["a", "b"], elsewhere a,b`
	case "hint.value-string":
		return `write a text: in a file {{.Key}} = "…"`
	}
	return ""
}

// Near returns the one of names that key was probably meant to be, or "".
func Near(key string, names []string) string {
	norm := strings.ReplaceAll(strings.ToLower(key), "_", "-")
	best, least := "", 1+max(1, len(norm)/4)
	for _, name := range names {
		if d := distance(norm, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return best
	}
	// In the wrong table, or in none: "max-size", "proxy.upstream".
	last := norm[strings.LastIndexByte(norm, '.')+1:]
	for _, name := range names {
		if name == last || strings.HasSuffix(name, "."+last) {
			return name
		}
	}
	return ""
}

// distance counts the letters to insert, remove, replace or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
