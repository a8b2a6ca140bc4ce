package gocmd

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoModule says that a folder lies in no module and no workspace.
var ErrNoModule = errors.New("no go.mod or go.work here or in a folder above")

// A GoError is a go command that failed, with what it said.
type GoError struct {
	Args   []string // of go
	Stderr string
}

// Error is the command and the first line that it said which is no heading.
func (e *GoError) Error() string {
	for line := range strings.Lines(e.Stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return fmt.Sprintf("go %s: %s", e.Args[0], line)
		}
	}
	return fmt.Sprintf("go %s failed", e.Args[0])
}
