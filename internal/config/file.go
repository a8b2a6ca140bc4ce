package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A fileValue is what the file says for one setting.
type fileValue struct {
	raw  any // as go-toml decodes it into an any
	line int
}

// parseFile returns the values in a configuration file by the key of their
// setting, and everything in it that is no setting.
func parseFile(name string, data []byte, table []Setting) (map[string]fileValue, []error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows editors write it
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, []error{syntaxError(name, err)}
	}
	w := walker{name: name, table: table, at: positions(data), values: make(map[string]fileValue)}
	w.walk(nil, tree)
	slices.SortStableFunc(w.errs, func(a, b *Error) int { return a.Origin.Line - b.Origin.Line })
	var errs []error
	for _, e := range w.errs {
		errs = append(errs, e)
	}
	return w.values, errs
}

type walker struct {
	name   string
	table  []Setting
	at     []position
	values map[string]fileValue
	errs   []*Error
}

func (w *walker) walk(path []string, tree map[string]any) {
	for _, part := range sortedKeys(tree) {
		key := append(slices.Clip(path), part)
		name := joinKey(key)
		if i := slices.IndexFunc(w.table, func(s Setting) bool { return s.TOML == name }); i >= 0 {
			w.values[w.table[i].Key] = fileValue{raw: tree[part], line: w.line(key)}
			continue
		}
		sub, isTable := tree[part].(map[string]any)
		switch mustBeTable := slices.Contains(tableNames(w.table), name); {
		case mustBeTable && isTable:
			w.walk(key, sub)
		case mustBeTable:
			w.errs = append(w.errs, w.notTable(key))
		default:
			w.errs = append(w.errs, w.unknown(key))
		}
	}
}

// notTable is the error for a plain value where a table belongs, such as
// cache = "/var/cache".
func (w *walker) notTable(key []string) *Error {
	name := joinKey(key)
	e := &Error{
		Key:    name,
		Origin: Origin{Kind: FromFile, Name: w.name, Line: w.line(key)},
		Err:    errors.New("a table, not a value"),
	}
	for _, s := range w.table {
		if s.Key == name {
			return withHint(e, "hint.unknown-key", "Near", s.TOML)
		}
	}
	return withHint(e, "hint.known-keys")
}

func (w *walker) unknown(key []string) *Error {
	name := joinKey(key)
	names := tableNames(w.table)
	for _, s := range w.table {
		names = append(names, s.TOML)
	}
	e := &Error{
		Key:    name,
		Origin: Origin{Kind: FromFile, Name: w.name, Line: w.line(key)},
		Err:    ErrUnknownKey,
	}
	if n := Near(name, names); n != "" {
		return withHint(e, "hint.unknown-key", "Near", n)
	}
	return withHint(e, "hint.known-keys")
}

// line returns where key, or the first key below it, stands.
func (w *walker) line(key []string) int {
	for _, p := range w.at {
		if len(p.key) >= len(key) && slices.Equal(p.key[:len(key)], key) {
			return p.line
		}
	}
	return 0
}

type position struct {
	key  []string
	line int
}

// positions lists the tables and keys of a valid document with their lines, in
// the order of the document. The stable part of go-toml gives lines for errors
// only, and those of its strict mode lack the table where it is an inline one.
func positions(data []byte) []position {
	var (
		p     unstable.Parser
		list  []position
		visit func(prefix []string, n *unstable.Node) []string
	)
	visit = func(prefix []string, n *unstable.Node) []string {
		key := slices.Clone(prefix)
		line := 0
		for parts := n.Key(); parts.Next(); {
			if line == 0 {
				line = p.Shape(parts.Node().Raw).Start.Line
			}
			key = append(key, string(parts.Node().Data))
		}
		list = append(list, position{key, line})
		if n.Kind == unstable.KeyValue && n.Value().Kind == unstable.InlineTable {
			for items := n.Value().Children(); items.Next(); {
				visit(key, items.Node())
			}
		}
		return key
	}
	var table []string
	for p.Reset(data); p.NextExpression(); {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = visit(nil, e)
		case unstable.KeyValue:
			visit(table, e)
		}
	}
	return list
}

// syntaxError is the error for a file that is no TOML.
func syntaxError(name string, err error) error {
	e := &Error{Origin: Origin{Kind: FromFile, Name: name}, Err: err}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		e.Origin.Line, _ = de.Position()
	}
	return withHint(e, "hint.config-file")
}

// fileText turns a value of the file into the text that a flag would have.
func (s Setting) fileText(raw any) (string, error) {
	switch v := raw.(type) {
	case string:
		if s.Type == TypeBool || s.Type == TypeInt {
			break
		}
		return v, nil
	case bool:
		if s.Type == TypeBool {
			return strconv.FormatBool(v), nil
		}
	case int64:
		if s.Type == TypeInt || s.Type == TypeSize || s.Type == TypeDuration && v == 0 {
			return strconv.FormatInt(v, 10), nil
		}
		if s.Type == TypeDuration {
			return "", fmt.Errorf("%d: a duration without unit", v)
		}
	case []any:
		if s.Type == TypeList {
			return listText(v)
		}
	}
	return "", fmt.Errorf("%s where %s belongs", kindOf(raw), s.Type.noun())
}

func listText(items []any) (string, error) {
	var list []string
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return "", fmt.Errorf("not a list of strings: it holds %s", kindOf(item))
		}
		if strings.Contains(text, ",") {
			return "", fmt.Errorf("%q: a comma within an item; write two items", Redact(text))
		}
		list = append(list, text)
	}
	return strings.Join(list, ","), nil
}

func kindOf(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

// tableNames lists the tables of the file, in the order of table.
func tableNames(table []Setting) []string {
	var names []string
	for _, s := range table {
		if name, _, ok := strings.Cut(s.TOML, "."); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// joinKey writes a key as TOML does, with quotes where they matter:
// "a.b" in quotes is not b in table a.
func joinKey(parts []string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if bare(part) {
			b.WriteString(part)
		} else {
			b.WriteString(strconv.Quote(part))
		}
	}
	return b.String()
}

func bare(part string) bool {
	for _, c := range part {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return part != ""
}

func sortedKeys(tree map[string]any) []string {
	var keys []string
	for k := range tree {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Template returns a configuration file that says what every setting is and
// has all of them commented out at their defaults. describe turns the message
// code of a setting into its one-line description.
func Template(describe func(code string) string) ([]byte, error) {
	var v Values
	table := Table()
	for _, s := range table {
		if err := s.parse(&v, s.Default, Origin{}); err != nil {
			return nil, s.fault(Origin{}, err)
		}
	}
	var b bytes.Buffer
	section := ""
	for _, s := range table {
		name, key, nested := strings.Cut(s.TOML, ".")
		if !nested {
			name, key = "", s.TOML
		}
		if name != section {
			fmt.Fprintf(&b, "\n[%s]\n", name)
			section = name
		}
		line, err := s.fileLine(key, &v)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "# %s\n# %s", describe(s.Code), line)
	}
	return b.Bytes(), nil
}

// fileLine writes the setting as a line of the file, ending with a newline.
func (s Setting) fileLine(key string, v *Values) ([]byte, error) {
	var value any = s.text(v)
	switch p := s.field(v).(type) {
	case *bool:
		value = *p
	case *int:
		value = *p
	case *[]string:
		value = append([]string{}, *p...)
	}
	return toml.Marshal(map[string]any{key: value})
}
