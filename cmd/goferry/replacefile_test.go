package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestReplaceFile wants the old file where the new one cannot be written, the new one else, and nothing beside it.
func TestReplaceFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	full := errors.New("no room")
	write := func(text string, err error) error {
		return replaceFile(name, func(f *os.File) error {
			_, werr := f.WriteString(text)
			return errors.Join(werr, err)
		})
	}
	for _, step := range []struct {
		text string
		err  error
		want string
	}{{"one", nil, "one"}, {"tw", full, "one"}, {"three", nil, "three"}} {
		if err := write(step.text, step.err); !errors.Is(err, step.err) {
			t.Errorf("%s: %v", step.text, err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != step.want {
			t.Errorf("after %s: %q, %v", step.text, got, err)
		}
		if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
			t.Errorf("after %s there are %v, %v", step.text, left, err)
		}
	}
}
