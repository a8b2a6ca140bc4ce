package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/doctor"
)

// A doctorUndo is what one doctor --fix changed, for --undo: a file in the folder undo of goferry's home. It may hold
// passwords, since settings do, so it is the user's alone.
type doctorUndo struct {
	Time  time.Time    `json:"time"`
	Steps []doctorStep `json:"steps"`
	file  string
}

// A doctorStep is one fix.
type doctorStep struct {
	Fix   string          `json:"fix"`  // code
	Line  string          `json:"line"` // as it was shown
	Files []doctorFileWas `json:"files"`
	// Inverse is the command that takes back what the fix ran, where there is one.
	Inverse []string `json:"inverse,omitempty"`
	Ran     bool     `json:"ran"` // the fix came to its end
}

// inverseOf is the command that takes back another one; nil where there is none.
func inverseOf(f doctor.Fix) []string {
	if f.Kind == doctor.RunCommand && slices.Equal(f.Command, []string{"goferry", "on"}) {
		return []string{"goferry", "off"}
	}
	return nil
}

// A doctorFileWas is a file as it was.
type doctorFileWas struct {
	File    string      `json:"file"`
	Mode    fs.FileMode `json:"mode"`
	Content []byte      `json:"content"` // null: there was no file
	After   string      `json:"after"`   // SHA-256 of what the fix made of it; empty if it was not there
	Wrote   bool        `json:"wrote"`   // After is known
}

// undoDir is where the records lie.
func (r *doctorRun) undoDir() (string, error) {
	home, err := homeOf(r.cfg)
	if err != nil {
		return "", err
	}
	return filepath.Join(home.Dir, "undo"), nil
}

// applyRecorded applies a fix, and writes down first what it is about to change: what is not recorded could not be undone.
func (r *doctorRun) applyRecorded(u *doctorUndo, shown, exact doctor.Fix, files []string) error {
	step := doctorStep{Fix: shown.Code, Line: strings.Join(doctorFixLines(shown, r.exam.OS, true), "\n"), Inverse: inverseOf(exact)}
	for _, name := range files {
		was, err := fileWas(name)
		if err != nil {
			return recordFault(err)
		}
		step.Files = append(step.Files, was)
	}
	u.Steps = append(u.Steps, step)
	if err := r.saveUndo(u); err != nil {
		return recordFault(err)
	}
	err := r.apply(exact)
	last := &u.Steps[len(u.Steps)-1]
	last.Ran = err == nil
	changed := false
	for i := range last.Files {
		now, sumErr := fileWas(last.Files[i].File)
		if sumErr == nil {
			last.Files[i].After, last.Files[i].Wrote = now.sum(), true
			changed = changed || now.sum() != last.Files[i].sum()
		}
	}
	if err != nil && !changed {
		u.Steps = u.Steps[:len(u.Steps)-1]
	}
	return errors.Join(err, r.saveUndo(u))
}

func recordFault(err error) error {
	return &fault{code: "doctor.error.record", args: []any{"Err", oneLine(err.Error(), 300)}, hint: "doctor.hint.record", exit: 1, err: err}
}

// fileWas is the file as it is now.
func fileWas(name string) (doctorFileWas, error) {
	w := doctorFileWas{File: name}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	} else if err != nil {
		return w, err
	}
	w.Mode = info.Mode().Perm()
	data, err := os.ReadFile(name)
	w.Content = append([]byte{}, data...) // not nil: an empty file is one
	return w, err
}

// sum is empty for a file that is not there.
func (w doctorFileWas) sum() string {
	if w.Content == nil {
		return ""
	}
	sum := sha256.Sum256(w.Content)
	return hex.EncodeToString(sum[:])
}

// saveUndo writes the record; one without steps is taken away.
func (r *doctorRun) saveUndo(u *doctorUndo) error {
	dir, err := r.undoDir()
	if err != nil {
		return err
	}
	if u.file == "" {
		u.Time = time.Now().UTC()
		u.file = filepath.Join(dir, u.Time.Format("20060102T150405.000000000Z")+".json")
	}
	if len(u.Steps) == 0 {
		err := os.Remove(u.file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	data, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "undo-*.tmp") // of mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), u.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// doctorUndone is what doctor --undo --json prints.
type doctorUndone struct {
	Restored []string `json:"restored"` // files
	Left     []string `json:"left"`     // files that have changed since, or could not be restored
	Commands []string `json:"commands"` // that nobody can take back
}

// undo takes back what the last --fix did, the last step first.
func (r *doctorRun) undo() error {
	u, err := r.lastUndo()
	if err != nil {
		return err
	}
	out := doctorUndone{Restored: []string{}, Left: []string{}, Commands: []string{}}
	if u == nil {
		if asJSON(r.cmd) {
			return r.json(out)
		}
		fmt.Fprintln(r.stdout, r.p.T("doctor.undo.none"))
		return nil
	}
	for _, step := range slices.Backward(u.Steps) {
		switch {
		case step.Inverse != nil && step.Ran:
			if err := r.command(step.Inverse); err != nil {
				return err
			}
		case len(step.Files) == 0:
			out.Commands = append(out.Commands, step.Line)
			r.tell(r.p.T("doctor.undo.command", "Line", step.Line) + "\n")
		}
		for _, w := range slices.Backward(step.Files) {
			if r.restoreFile(w, u.file) {
				out.Restored = append(out.Restored, w.File)
			} else {
				out.Left = append(out.Left, w.File)
			}
		}
	}
	if len(out.Left) > 0 {
		r.exit = 3 // the record stays: it is the only copy
	} else if err := os.Remove(u.file); err != nil {
		return err
	}
	if asJSON(r.cmd) {
		return r.json(out)
	}
	return nil
}

// lastUndo reads the newest record; nil if there is none.
func (r *doctorRun) lastUndo() (*doctorUndo, error) {
	dir, err := r.undoDir()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, nil // no pattern of ours is bad; without a folder nothing was kept
	}
	u := &doctorUndo{file: slices.Max(files)}
	data, err := os.ReadFile(u.file)
	if err == nil {
		err = json.Unmarshal(data, u)
	}
	if err != nil {
		return nil, &fault{code: "doctor.error.undo", args: []any{"File", u.file, "Err", oneLine(plain(err).Error(), 200)}, hint: "doctor.hint.undo", exit: 1, err: err}
	}
	return u, nil
}

// restoreFile puts a file back, byte for byte, if it is still what the fix made of it, and says what came of it.
func (r *doctorRun) restoreFile(w doctorFileWas, record string) bool {
	now, err := fileWas(w.File)
	switch {
	case err != nil:
	case now.sum() == w.sum(): // it was never changed, or somebody was faster
	case !w.Wrote || now.sum() != w.After: // by somebody else, or by a fix that was killed: nobody can tell
		r.tell(r.p.T("doctor.undo.changed", "File", w.File, "Kept", record) + "\n")
		return false
	case w.Content == nil:
		if err = os.Remove(w.File); err == nil {
			r.tell(r.p.T("doctor.undo.removed", "File", w.File) + "\n")
			return true
		}
	default:
		err = putBack(w)
	}
	if err != nil {
		r.tell(r.p.T("doctor.undo.failed", "File", w.File, "Err", oneLine(plain(err).Error(), 200)) + "\n")
		return false
	}
	r.tell(r.p.T("doctor.undo.done", "File", w.File) + "\n")
	return true
}

// putBack writes in place, as the fix did: the file may be a link to somewhere else.
func putBack(w doctorFileWas) error {
	if err := os.WriteFile(w.File, w.Content, w.Mode); err != nil {
		return err
	}
	return os.Chmod(w.File, w.Mode)
}
