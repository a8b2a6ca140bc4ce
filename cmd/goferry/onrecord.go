package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// An onRecord is what `goferry on` changed, for `goferry off` to undo: on.json in goferry's folder
// of the user's settings.
type onRecord struct {
	Time    time.Time `json:"time"` // of the first on
	URL     string    `json:"url"`  // where goferry answers
	Program string    `json:"program,omitempty"`
	Service string    `json:"service,omitempty"` // name; empty if none was installed
	Go      *goRecord `json:"go,omitempty"`      // nil if GOPROXY was not written
}

// A goRecord is what was changed in the go command's own settings.
type goRecord struct {
	File    string  `json:"file"`    // as go env GOENV says
	Written string  `json:"written"` // GOPROXY
	Behind  string  `json:"behind"`  // what stands behind goferry in it
	Before  *string `json:"before"`  // GOPROXY as the file had it; null: it had none
	Content []byte  `json:"content"` // of the file before; null: there was no file
	After   string  `json:"after"`   // SHA-256 of the file when it was written; empty if it had changed in between
}

func recordFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "goferry", "on.json"), nil
}

// loadRecord reads the record; nil if there is none.
func loadRecord() (*onRecord, error) {
	name, err := recordFile()
	if err != nil {
		return nil, nil // without a folder for settings nothing was ever kept
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	r := new(onRecord)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, &fault{code: "error.on-record", args: []any{"File", name, "Err", err}, hint: "hint.on-record", exit: 1, err: err}
	}
	return r, nil
}

// save keeps the record. GOPROXY may hold passwords, so it is the user's alone.
func (r *onRecord) save() error {
	name, err := recordFile()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return replaceFile(name, func(f *os.File) error {
		_, err := f.Write(append(data, '\n'))
		return errors.Join(err, f.Sync())
	})
}

func removeRecord() error {
	name, err := recordFile()
	if err == nil {
		err = os.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// A goEnvFile is the go command's settings file as it is now.
type goEnvFile struct {
	content []byte // nil: there is none
	value   *string
}

// readGoEnvFile reads it as the go command does: the last GOPROXY counts.
func readGoEnvFile(name string) (goEnvFile, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return goEnvFile{}, nil
	} else if err != nil {
		return goEnvFile{}, err
	}
	f := goEnvFile{content: append([]byte{}, data...)} // not nil: an empty file is one
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "GOPROXY="); ok {
			f.value = &v
		}
	}
	return f, nil
}

func (f goEnvFile) sum() string {
	sum := sha256.Sum256(f.content)
	return hex.EncodeToString(sum[:])
}

func (f goEnvFile) has(value string) bool { return f.value != nil && *f.value == value }

// writeGoEnv runs go env -w or -u on the settings file called name. Standing in the
// environment, GOPROXY would only make the go command warn.
func (a *app) writeGoEnv(ctx context.Context, name string, args ...string) error {
	dir, err := gocmd.NeutralDir()
	if err != nil {
		return err
	}
	cmd := gocmd.Cmd{Name: "go", Args: append([]string{"env"}, args...), Dir: dir, Env: []string{"GOENV=" + name, "GOTOOLCHAIN=local", "GOWORK=off"}}
	res, err := a.runner.Run(ctx, cmd)
	if err == nil && res.ExitCode != 0 {
		said := string(res.Stderr)
		if at := strings.LastIndex(said, "go: "); at >= 0 { // warnings stand before it
			said = said[at+len("go: "):]
		}
		err = fmt.Errorf("go env %s: %s", args[0], oneLine(said, 300))
	}
	return err
}

// point writes GOPROXY, and into r what it was. r.Go is kept where it still tells what stood
// there before goferry.
func (a *app) point(ctx context.Context, r *onRecord, file, want, behind string) error {
	now, err := readGoEnvFile(file)
	if err != nil {
		return err
	}
	g := r.Go
	whole := g != nil && now.sum() == g.After
	if g == nil || g.File != file || !now.has(g.Written) {
		g, whole = &goRecord{File: file, Before: now.value, Content: now.content}, true
	}
	// First the record: what is not recorded could not be undone.
	r.Go = &goRecord{File: file, Written: want, Behind: behind, Before: g.Before, Content: g.Content}
	if err := r.save(); err != nil {
		return err
	}
	if err := a.writeGoEnv(ctx, file, "-w", "GOPROXY="+want); err != nil {
		return err
	}
	if now, err = readGoEnvFile(file); err != nil {
		return err
	}
	if whole {
		r.Go.After = now.sum()
	}
	return r.save()
}

// restore puts back what g says, and reports whether GOPROXY was still goferry's.
func (a *app) restore(ctx context.Context, g *goRecord) (bool, error) {
	now, err := readGoEnvFile(g.File)
	if err != nil {
		return false, err
	}
	switch {
	case !now.has(g.Written):
		return false, nil
	case now.sum() == g.After && g.Content == nil:
		return true, os.Remove(g.File)
	case now.sum() == g.After:
		// In place, as the go command does it: the file may be a link to somewhere else.
		return true, os.WriteFile(g.File, g.Content, 0o666)
	case g.Before == nil:
		return true, a.writeGoEnv(ctx, g.File, "-u", "GOPROXY")
	}
	return true, a.writeGoEnv(ctx, g.File, "-w", "GOPROXY="+*g.Before)
}
