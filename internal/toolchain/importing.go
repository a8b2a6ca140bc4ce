package toolchain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// An Importer takes toolchains into a Home that something else installed: it copies them, proves the copy as an
// Installer proves what it unpacks, and fetches the few files that differ from the release. What it takes from is
// only read.
type Importer struct {
	Home     Home
	Verifier *Verifier // proves the copy and repairs it; Target, Prune and Keep are set by the Importer
	Parallel int       // files copied at a time; 0 means one for each processor

	Progress func(Progress) // may be nil; never called by two goroutines at once
}

// An Imported is what came of an import.
type Imported struct {
	Record
	There   bool     `json:"there"`   // it was installed already, and nothing was done
	Changes []Change `json:"changes"` // what differed from the release in the tree it was taken from, and was put right
}

// Import installs the toolchain at root. It is installed only if the checksum database proves it: the error is a
// *ProofError where it could not be asked, or where what differs could not be had. It matches ErrTree where root
// is no toolchain of a release.
func (im *Importer) Import(ctx context.Context, root string) (Imported, error) {
	if _, err := Identify(root); err != nil { // before all of a folder is read that is no toolchain, but somebody's home
		return Imported{}, err
	}
	from, err := scanTree(root)
	if err != nil {
		return Imported{}, err
	}
	targets, err := treeTargets(from.root)
	if err != nil {
		return Imported{}, err
	}
	t := targets[0]
	inst := &Installer{Home: im.Home}
	if rec, ok := inst.installed(t); ok {
		return Imported{Record: rec, There: true}, nil
	}
	im.progress(Progress{Target: t, Stage: Waiting, Total: -1})
	unlock, err := im.Home.lock(ctx, t)
	if err != nil {
		return Imported{}, err
	}
	defer unlock()
	if rec, ok := inst.installed(t); ok { // by whoever had the lock
		return Imported{Record: rec, There: true}, nil
	}
	if err := im.Home.sweep(t); err != nil {
		return Imported{}, err
	}
	return im.take(ctx, t, from)
}

// take copies from beside, proves the copy and puts it in place; or leaves nothing behind. The lock is held.
func (im *Importer) take(ctx context.Context, t Target, from *tree) (got Imported, err error) {
	verifier := *im.Verifier
	verifier.Target, verifier.Prune, verifier.Keep = t, true, nil
	asked := verifier.askFirst(ctx, t)
	tmp, err := im.Home.tempTree(t)
	if err != nil {
		<-asked
		return Imported{}, err
	}
	defer func() { err = cmp.Or(asDiskFull(err), removeTree(tmp)) }()
	u := newUnpacking(t, tmp, im.Parallel, func(done, total int64) {
		im.progress(Progress{Target: t, Stage: Unpacking, Place: from.root, Done: done, Total: total})
	})
	err = u.copyTree(ctx, from)
	want := verifier.answer(asked, t)
	switch {
	case err != nil:
		return Imported{}, err
	case want.fatal != nil:
		return Imported{}, want.fatal
	case want.h1 == "":
		return Imported{}, &ProofError{Target: t, Proofs: []Proof{want.proof}}
	}
	if u.sums.H1(t) != want.h1 {
		if got.Changes, u.sums, err = importRepair(ctx, &verifier, tmp, want); err != nil {
			return Imported{}, err
		}
	}
	if err := checkTree(tmp, t); err != nil {
		return Imported{}, err
	}
	now, err := scanTree(tmp) // a repair may have changed its size
	if err != nil {
		return Imported{}, err
	}
	got.Record = Record{
		Target: t, H1: want.h1, Source: from.root, Bytes: now.bytes, Proofs: []Proof{want.judge(u.sums.H1(t))}, Installed: time.Now().UTC().Truncate(time.Second),
	}
	return got, im.Home.commit(ctx, tmp, got.Record, u.sums)
}

// importRepair makes the copy at tmp what was released, and returns what had to be done and the hashes of its files,
// which add up to the database's.
func importRepair(ctx context.Context, v *Verifier, tmp string, want *wanted) ([]Change, Sums, error) {
	refuted := &ProofError{Target: want.target, Proofs: []Proof{want.judge("")}}
	rep, err := v.Verify(ctx, tmp)
	if err != nil {
		return nil, nil, err
	}
	changes := rep.Changes
	if rep.State != StateProved {
		if !rep.Named() {
			refuted.Proofs[0] = want.judge(rep.Got)
			return nil, nil, cmp.Or(importBeside(refuted, rep.Err), error(refuted))
		}
		if rep, err = v.Repair(ctx, tmp, rep); err != nil {
			return nil, nil, err
		}
	}
	sums, _, err := HashTree(ctx, tmp, v.Parallel)
	if err != nil {
		return nil, nil, err
	}
	if sums.H1(want.target) != want.h1 {
		refuted.Proofs[0] = want.judge(sums.H1(want.target))
		return nil, nil, refuted
	}
	return changes, sums, nil
}

// importBeside is the proof that failed and why it could not be mended; nil without the latter.
func importBeside(refuted *ProofError, err error) error {
	if err == nil {
		return nil
	}
	return &InstallError{Target: refuted.Target, Errs: []error{refuted, err}}
}

func (im *Importer) progress(p Progress) {
	if im.Progress != nil {
		im.Progress(p)
	}
}

// An importJob is a file to copy.
type importJob struct {
	name string // in the GOROOT
	from *treeFile
}

func (j importJob) file() (string, int64) { return j.name, j.from.size }

// planCopy lists the files of from that the database covers, and makes their folders.
func (u *unpacking) planCopy(from *tree) ([]importJob, error) {
	jobs := make([]importJob, 0, len(from.files))
	for name, f := range from.files {
		jobs = append(jobs, importJob{rootName(name), f})
	}
	slices.SortFunc(jobs, func(a, b importJob) int { return strings.Compare(a.name, b.name) })
	dirs := treeDirs{root: u.dir}
	u.total = 0
	for _, j := range jobs {
		if err := u.plan.add(j.name, j.from.size); err != nil {
			return nil, fmt.Errorf("%s: %s: %w: %w", from.root, j.name, ErrTree, err)
		}
		u.total += j.from.size
		if err := dirs.mkdir(j.name); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// copyTree copies the files of from that the database covers, several at a time.
func (u *unpacking) copyTree(ctx context.Context, from *tree) error {
	jobs, err := u.planCopy(from)
	if err != nil {
		return err
	}
	return writeAll(ctx, u, jobs, func() func(context.Context, importJob) ([sha256.Size]byte, error) {
		buf := make([]byte, unpackPiece)
		return func(ctx context.Context, j importJob) ([sha256.Size]byte, error) {
			return u.copyFile(ctx, from.path(j.from.disk), j, buf)
		}
	})
}

// copyFile copies one file and returns its hash.
func (u *unpacking) copyFile(ctx context.Context, from string, j importJob, buf []byte) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(from)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return u.write(ctx, j.name, j.from.size, -1, buf, f)
}
