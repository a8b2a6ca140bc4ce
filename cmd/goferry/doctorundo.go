package main

import (
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
	"github.com/goferry/goferry/internal/toolchain"
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
	if f.Kind != doctor.RunCommand {
		return nil
	}
	switch strings.Join(f.Command, " ") {
	case "goferry on":
		return []string{"goferry", "off"}
	case "sysctl -w net.ipv6.conf.all.disable_ipv6=1":
		return []string{"sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=0"}
	}
	if len(f.Command) == 3 && slices.Equal(f.Command[:2], []string{"chmod", "u+rwx"}) {
		if info, err := os.Stat(f.Command[2]); err == nil {
			return []string{"chmod", fmt.Sprintf("%04o", info.Mode().Perm()), f.Command[2]}
		}
	}
	return nil
}

// installs reports whether the fix installs an SDK, which goferry can remove.
func installs(f doctor.Fix) bool {
	return f.Kind == doctor.RunCommand && len(f.Command) > 3 && slices.Equal(f.Command[:3], []string{"goferry", "sdk", "install"})
}

// undoDir is where the records lie.
func (r *doctorRun) undoDir() (string, error) {
	home, err := homeOf(r.cfg)
	if err != nil {
		return "", err
	}
	return filepath.Join(home.Dir, "undo"), nil
}

// installed are the SDKs that goferry has.
func (r *doctorRun) installed() (list []toolchain.Target) {
	home, err := homeOf(r.cfg)
	if err != nil {
		return nil
	}
	records, _ := home.Installed() // what cannot be read is not removed
	for _, rec := range records {
		list = append(list, rec.Target)
	}
	return list
}

// applyRecorded applies a fix, and writes down first what it is about to change: what is not recorded could not be
// undone. A fix that fails leaves the files as they were.
func (r *doctorRun) applyRecorded(u *doctorUndo, shown, exact doctor.Fix, files []string) error {
	step := doctorStep{Fix: shown.Code, Line: strings.Join(doctorFixLines(shown, r.exam.OS, true), "\n"), Inverse: inverseOf(exact), Files: []doctorFileWas{}}
	for _, name := range files {
		was, err := fileWas(name)
		if err != nil {
			return recordFault(err)
		}
		step.Files = append(step.Files, was)
	}
	r.predict(exact, step.Files)
	u.Steps = append(u.Steps, step)
	if err := r.saveUndo(u); err != nil {
		u.Steps = u.Steps[:len(u.Steps)-1]
		return recordFault(err)
	}
	before := r.installed()
	err := r.apply(exact)
	if step.Inverse != nil && err != nil {
		u.Steps[len(u.Steps)-1].Inverse = nil // it takes back after itself
	}
	last := &u.Steps[len(u.Steps)-1]
	last.Ran = err == nil
	if installs(exact) {
		last.Inverse = removal(before, r.installed())
	}
	sure := true // the record knows already what the fix made of each file
	for i := range last.Files {
		w := &last.Files[i]
		now, sumErr := fileWas(w.File)
		sure = sure && sumErr == nil && w.Wrote && w.After == now.sum()
		w.After, w.Wrote = now.sum(), sumErr == nil
	}
	if err == nil {
		if err = r.saveUndo(u); err == nil || sure && last.Inverse == nil {
			return nil
		}
		err = recordFault(err)
	}
	back := last.Inverse == nil || r.command(last.Inverse) == nil
	if putBackAll(last.Files) && back {
		u.Steps = u.Steps[:len(u.Steps)-1]
	}
	return errors.Join(err, r.saveUndo(u))
}

// removal is the command that removes the SDKs that have come; nil where none has.
func removal(before, after []toolchain.Target) []string {
	var names []string
	for _, t := range after {
		if !slices.Contains(before, t) {
			names = append(names, sdkName(t))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return append([]string{"goferry", "sdk", "remove", "--force"}, names...)
}

func recordFault(err error) error {
	return &fault{code: "doctor.error.record", args: []any{"Err", oneLine(plain(err).Error(), 300)}, hint: "doctor.hint.record", exit: 1, err: err}
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
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = os.Remove(dir) // if it is empty
		return nil
	}
	data, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return replaceFile(u.file, func(f *os.File) error { // of mode 0600
		_, err := f.Write(append(data, '\n'))
		return errors.Join(err, f.Sync())
	})
}

// doctorUndone is what doctor --undo --json prints.
type doctorUndone struct {
	SchemaVersion int      `json:"schema_version"`
	Restored      []string `json:"restored"` // files
	Left          []string `json:"left"`     // files that have changed since, or could not be restored
	Commands      []string `json:"commands"` // that nobody can take back, or that could not be
}

// undo takes back what the last --fix did, the last step first.
func (r *doctorRun) undo() error {
	r.sweepTries()
	u, err := r.lastUndo()
	if err != nil {
		return err
	}
	out := doctorUndone{SchemaVersion: doctor.SchemaVersion, Restored: []string{}, Left: []string{}, Commands: []string{}}
	if u == nil {
		if asJSON(r.cmd) {
			return r.json(out)
		}
		fmt.Fprintln(r.stdout, r.p.T("doctor.undo.none"))
		return nil
	}
	told := map[string]bool{} // several steps may be about one file
	var left []doctorStep     // with the last one first
	for _, step := range slices.Backward(u.Steps) {
		if rest := r.undoStep(step, u.file, told, &out); len(rest.Files) > 0 || rest.Inverse != nil {
			left = append(left, rest)
		}
	}
	slices.Reverse(left)
	if u.Steps = left; len(left) > 0 {
		r.exit = 3 // what is left stays in the record: it is the only copy
	}
	// A file of which an earlier change was left is not as it was.
	out.Restored = slices.DeleteFunc(out.Restored, func(name string) bool { return slices.Contains(out.Left, name) })
	if err := r.saveUndo(u); err != nil {
		return err
	}
	if asJSON(r.cmd) {
		return r.json(out)
	}
	return nil
}

// undoStep takes back one step, and returns what is left of it. What was told is not told again.
func (r *doctorRun) undoStep(step doctorStep, record string, told map[string]bool, out *doctorUndone) doctorStep {
	rest := doctorStep{Fix: step.Fix, Line: step.Line, Ran: step.Ran, Files: []doctorFileWas{}}
	if !r.undoCommand(step, out) {
		rest.Inverse = step.Inverse
	}
	for _, w := range slices.Backward(step.Files) {
		ok, line := r.restoreFile(w, record)
		if !told[line] {
			r.tell(line + "\n")
		}
		told[line] = true
		list := &out.Left
		if ok {
			list = &out.Restored
		} else {
			rest.Files = append([]doctorFileWas{w}, rest.Files...)
		}
		if !slices.Contains(*list, w.File) {
			*list = append(*list, w.File)
		}
	}
	return rest
}

// sweepTries removes copies that a --fix which was killed has left.
func (r *doctorRun) sweepTries() {
	dir, err := r.undoDir()
	if err != nil {
		return
	}
	names, _ := filepath.Glob(filepath.Join(dir, ".try-*"))
	for _, name := range names {
		_ = os.RemoveAll(name) // in a folder that cannot be written the record cannot be removed either, which is said
	}
}

// undoCommand takes back what a step ran, or says that nobody can. It is false where it could be tried again.
func (r *doctorRun) undoCommand(step doctorStep, out *doctorUndone) bool {
	switch {
	case step.Inverse != nil && step.Ran:
		err := r.command(step.Inverse)
		if err == nil {
			return true
		}
		out.Commands = append(out.Commands, step.Line)
		r.tell(r.p.T("doctor.undo.command-failed", "Line", step.Line, "Err", r.shownError(err)) + "\n")
		return false
	case len(step.Files) == 0:
		out.Commands = append(out.Commands, step.Line)
		r.tell(r.p.T("doctor.undo.command", "Line", step.Line) + "\n")
	}
	return true
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
func (r *doctorRun) restoreFile(w doctorFileWas, record string) (ok bool, line string) {
	now, err := fileWas(w.File)
	switch {
	case err != nil:
	case now.sum() == w.sum() && now.Link == w.Link: // it was never changed, or somebody was faster
		err = w.putBack() // its rights, perhaps
	case !w.Wrote || now.sum() != w.After: // by somebody else, or by a fix that was killed: nobody can tell
		return false, r.p.T("doctor.undo.changed", "File", w.File, "Kept", record)
	default:
		err = w.putBack()
	}
	switch {
	case err != nil:
		return false, r.p.T("doctor.undo.failed", "File", w.File, "Err", oneLine(plain(err).Error(), 200))
	case w.Content == nil:
		return true, r.p.T("doctor.undo.removed", "File", w.File)
	}
	return true, r.p.T("doctor.undo.done", "File", w.File)
}
