package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// SetInFile writes one setting, which must be a text and stand in no table, into a configuration
// file, and makes the file and its folder if there are none. Every other byte of the
// file stays as it is. The file is replaced at once or not at all; a symbolic link is followed.
//
// The error is an *Error if the file is no TOML or cannot be edited so, else one of the file system.
func SetInFile(name, key, value string) error {
	_, err := editFile(name, key, &value)
	return err
}

// UnsetInFile removes the line of one setting as SetInFile writes it, and reports whether there was one.
func UnsetInFile(name, key string) (bool, error) { return editFile(name, key, nil) }

func editFile(name, key string, value *string) (changed bool, err error) {
	before, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	after, err := edited(before, key, value)
	var de *toml.DecodeError
	switch {
	case errors.As(err, &de):
		return false, syntaxError(name, err)
	case err != nil:
		return false, withHint(&Error{Key: key, Origin: Origin{Kind: FromFile, Name: name}, Err: err}, "hint.config-by-hand", "Key", key)
	case bytes.Equal(before, after):
		return false, nil
	}
	return true, replaceFile(name, after)
}

var errNotEditable = errors.New("goferry cannot edit this file without touching more than one setting")

// edited returns data with key set to value, or without it where value is nil. That
// nothing else changes is not hoped for but looked up: of the places where the line could
// go the first is taken that makes no difference to any other key.
func edited(data []byte, key string, value *string) ([]byte, error) {
	bom := []byte("\ufeff")
	body, marked := bytes.CutPrefix(data, bom)
	var want map[string]any
	if err := toml.Unmarshal(body, &want); err != nil {
		return nil, err
	}
	old, exists := want[key]
	if _, isText := old.(string); exists && !isText {
		return nil, fmt.Errorf("%s where a string belongs", kindOf(old))
	}
	if value == nil && !exists {
		return data, nil
	}
	if delete(want, key); value != nil {
		if want == nil {
			want = map[string]any{}
		}
		want[key] = *value
	}
	edits, err := places(body, key, value)
	if err != nil {
		return nil, err
	}
	for _, e := range edits {
		after := bytes.Join([][]byte{body[:e.from], e.with, body[e.to:]}, nil)
		var got map[string]any
		if toml.Unmarshal(after, &got) == nil && (reflect.DeepEqual(got, want) || len(got)+len(want) == 0) {
			if marked {
				after = append(bom, after...)
			}
			return after, nil
		}
	}
	return nil, errNotEditable
}

// An edit puts with in place of the bytes from up to to.
type edit struct {
	from, to int
	with     []byte
}

// places lists the edits that may set key to value, or remove it, best first.
func places(body []byte, key string, value *string) ([]edit, error) {
	o := outlineOf(body, key)
	if value == nil {
		return []edit{{lineStart(body, o.key), lineEnd(body, o.end), nil}}, nil
	}
	line, err := toml.Marshal(map[string]any{key: *value})
	if err != nil {
		return nil, err
	}
	if o.found {
		_, text, _ := bytes.Cut(line, []byte("= "))
		return []edit{{o.value, o.end, bytes.TrimSpace(text)}}, nil
	}
	eol := []byte("\n")
	if bytes.Contains(body, []byte("\r\n")) {
		eol = []byte("\r\n")
	}
	line = append(bytes.TrimSpace(line), eol...)
	insert := func(at int, line []byte) edit {
		if at > 0 && body[at-1] != '\n' {
			line = append(bytes.Clone(eol), line...)
		}
		return edit{at, at, line}
	}
	var list []edit
	// Beside the commented line of a template.
	comment := regexp.MustCompile(`(?m)^[ \t]*#[ \t]*` + regexp.QuoteMeta(key) + `[ \t]*=.*$`)
	for _, m := range comment.FindAllIndex(body[:o.table], -1) {
		list = append(list, insert(lineEnd(body, m[1]), line))
	}
	if o.last > 0 {
		list = append(list, insert(lineEnd(body, o.last), line))
	}
	if o.table < len(body) {
		list = append(list, insert(aboveComments(body, o.table), append(line, eol...)))
	}
	return append(list, insert(len(body), line)), nil
}

// An outline says where the things are that an edit goes by, as offsets.
type outline struct {
	found           bool
	key, value, end int // of the setting that is to be edited: of its key, of its value, behind that
	last            int // behind the last setting that stands in no table; 0 if there is none
	table           int // start of the line with the first table; the length of the file if there is none
}

func outlineOf(body []byte, key string) outline {
	var p unstable.Parser
	o := outline{table: len(body)}
	for p.Reset(body); p.NextExpression(); {
		e := p.Expression()
		keys := e.Key()
		if !keys.Next() {
			continue
		}
		first := keys.Node()
		if e.Kind != unstable.KeyValue {
			o.table = lineStart(body, int(first.Raw.Offset))
			return o
		}
		o.last = int(e.Raw.Offset + e.Raw.Length)
		if string(first.Data) == key && keys.IsLast() {
			o.found = true
			o.key, o.value, o.end = int(e.Raw.Offset), int(e.Value().Raw.Offset), o.last
		}
	}
	return o
}

// aboveComments is the start of the block of comment lines that stands right above the line at.
func aboveComments(body []byte, at int) int {
	for at > 0 {
		above := lineStart(body, at-1)
		if !bytes.HasPrefix(bytes.TrimLeft(body[above:at], " \t"), []byte("#")) {
			break
		}
		at = above
	}
	return at
}

func lineStart(body []byte, at int) int { return bytes.LastIndexByte(body[:at], '\n') + 1 }

// lineEnd is the start of the line after at.
func lineEnd(body []byte, at int) int {
	if i := bytes.IndexByte(body[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(body)
}

// replaceFile writes a file beside name, and puts it in its place. A new one is for its
// owner alone: URLs may hold passwords.
func replaceFile(name string, data []byte) (err error) {
	mode := fs.FileMode(0o600)
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	if info, err := os.Stat(name); err == nil {
		mode = info.Mode().Perm()
	}
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".goferry-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
