package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/goferry/goferry/internal/config"
)

const line = "upstream = 'https://a.example=https://b.example,direct'\n"

const value = "https://a.example=https://b.example,direct"

func TestSetInFile(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	tests := []struct{ name, before, after string }{
		{"empty", "", line},
		{"comments alone", "# mine\n", "# mine\n" + line},
		{"no newline at the end", "# mine", "# mine\n" + line},
		{"replaced", "# mine\nupstream = \"https://old.example\" # why\nlisten = ':1'\n",
			"# mine\nupstream = 'https://a.example=https://b.example,direct' # why\nlisten = ':1'\n"},
		{"quoted key, spaces", "  \"upstream\"='x'", "  \"upstream\"='https://a.example=https://b.example,direct'"},
		{"lines of text", "upstream = '''\nx\n'''\nlisten = ':1'\n", line + "listen = ':1'\n"},
		{"after the last", "listen = ':1' # a\n\n# of the table\n[cache]\ndir = '/x'\n",
			"listen = ':1' # a\n" + line + "\n# of the table\n[cache]\ndir = '/x'\n"},
		{"after an array", "private = [\n 'a', # b\n]\n[cache]\n", "private = [\n 'a', # b\n]\n" + line + "[cache]\n"},
		{"above the first table", "# mine\n\n# of the table\n  # more\n[cache]\ndir = '/x'\n",
			"# mine\n\n" + line + "\n# of the table\n  # more\n[cache]\ndir = '/x'\n"},
		{"table first", "[cache]\ndir = '/x'", line + "\n[cache]\ndir = '/x'"},
		{"beside the template's", "# all upstreams\n#upstream = ''\n\n# listen = ''\nlisten = ':1'\n",
			"# all upstreams\n#upstream = ''\n" + line + "\n# listen = ''\nlisten = ':1'\n"},
		{"not within a text", "lang = '''\n# upstream = 1\n'''\n[cache]\n", "lang = '''\n# upstream = 1\n'''\n" + line + "[cache]\n"},
		{"not in a table", "[x]\nupstream = 'y'\n# upstream = 'z'\n", line + "\n[x]\nupstream = 'y'\n# upstream = 'z'\n"},
		{"dotted, other", "cache.upstream = 'x'\n", "cache.upstream = 'x'\n" + line},
		{"CRLF", crlf("# mine\nlisten = ':1'\n\n[cache]\n"), crlf("# mine\nlisten = ':1'\n" + line + "\n[cache]\n")},
		{"byte order mark", "\ufefflisten = ':1'\n", "\ufefflisten = ':1'\n" + line},
		{"byte order mark, table", "\ufeff[cache]\n", "\ufeff" + line + "\n[cache]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, tt.before)
			if err := config.SetInFile(file, "upstream", value); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.after, read(t, file)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestUnsetInFile(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"only", line, ""},
		{"among others", "# a\nupstream = 'x' # b\n# c\nlisten = ':1'\n", "# a\n# c\nlisten = ':1'\n"},
		{"lines of text", "lang = 'en'\nupstream = \"\"\"\nx\"\"\"", "lang = 'en'\n"},
		{"absent", "[x]\nupstream = 'y'\n", "[x]\nupstream = 'y'\n"},
		{"CRLF", "upstream = 'x'\r\nlang = 'en'\r\n", "lang = 'en'\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, tt.before)
			changed, err := config.UnsetInFile(file, "upstream")
			if err != nil || changed != (tt.before != tt.after) {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if diff := cmp.Diff(tt.after, read(t, file)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSetInFileRefuses(t *testing.T) {
	for before, want := range map[string]string{
		"listen = \n":                ":1: toml: ",
		"upstream = [ 'a' ]\n":       "upstream: an array where a string belongs",
		"upstream = 3\n":             "upstream: an integer where a string belongs",
		"[upstream]\nx = 1\n":        "upstream: a table where a string belongs",
		"upstream = 1\nupstream=2\n": "toml: ",
	} {
		file := write(t, before)
		err := config.SetInFile(file, "upstream", value)
		var ce *config.Error
		if !errors.As(err, &ce) || ce.Hint == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", before, err, want)
		}
		if got := read(t, file); got != before {
			t.Errorf("%q became %q", before, got)
		}
	}
	if err := config.SetInFile(t.TempDir(), "upstream", value); err == nil {
		t.Error("a folder was written")
	}
}

// TestSetInFileOnDisk makes folders, keeps the mode, follows links and leaves nothing behind.
func TestSetInFileOnDisk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a", "b", "goferry.toml")
	if changed, err := config.UnsetInFile(file, "upstream"); changed || err != nil {
		t.Errorf("of no file: %v, %v", changed, err)
	}
	if err := config.SetInFile(file, "upstream", value); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(names) != 1 || read(t, file) != line {
		t.Errorf("%v, %v, %q", names, err, read(t, file))
	}
	if runtime.GOOS == "windows" {
		return // no modes, and links are for administrators
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	link := filepath.Join(dir, "link.toml")
	if err := errors.Join(os.Chmod(file, 0o640), os.Symlink(file, link), config.SetInFile(link, "upstream", "x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(file); err != nil || info.Mode() != 0o640 || read(t, file) != "upstream = 'x'\n" {
		t.Errorf("%v, %v, %q", info.Mode(), err, read(t, file))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// FuzzSetInFile edits any document, and finds every other key as it was, and all of them after undoing it.
func FuzzSetInFile(f *testing.F) {
	for _, s := range []string{"", "# a", line, "a = 1\r\n[b]\r\nc = 2", "upstream = '''\nx'''", "[[a]]\n# b\n[c]", "a.b = 1\n\"upstream\" = \"\\\"\" # x", "\ufeff[a]",
		"x = '''\n# upstream = 1\n'''", "a = [ #\n 1 ]\n", "\"up\\u0073tream\" = 'x'"} {
		f.Add(s, value)
	}
	f.Fuzz(func(t *testing.T, before, value string) {
		tree := func(data string) map[string]any {
			got := map[string]any{}
			if err := toml.Unmarshal([]byte(strings.TrimPrefix(data, "\ufeff")), &got); err != nil {
				return nil
			}
			return got
		}
		want := tree(before)
		file := write(t, before)
		err := config.SetInFile(file, "upstream", value)
		if want == nil && err == nil {
			t.Fatalf("%q is no TOML, and was edited", before)
		}
		after := read(t, file)
		if err != nil {
			if after != before {
				t.Fatalf("%v, and yet it became %q", err, after)
			}
			return
		}
		want["upstream"] = value
		got := tree(after)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got)\n%s", after, diff)
		}
		if _, err := config.UnsetInFile(file, "upstream"); err != nil {
			t.Fatal(err)
		}
		delete(want, "upstream")
		if diff := cmp.Diff(want, tree(read(t, file))); diff != "" {
			t.Fatalf("%q (-want +got)\n%s", read(t, file), diff)
		}
	})
}
