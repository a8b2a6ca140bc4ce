package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const lockSuffix = ".lock"

// A spoolPlace is the folder in which this process writes, and the locked file
// that tells other processes that its owner lives.
type spoolPlace struct {
	id   string
	lock *os.File
}

func (p spoolPlace) dir() string { return spoolDir + "/" + p.id }

// newPlace makes the spool folder of this process. s.spoolMu is held.
//
// The lock lies beside the folder and is taken before there is a folder, so
// there is no moment at which a folder exists whose owner looks dead. A sweeper
// may still be first to lock the new, unlocked file, and remove it; then either
// the lock is refused here or the file has lost its name, and another is tried.
func (s *Store) newPlace() error {
	if err := s.root.MkdirAll(spoolDir, dirPerm); err != nil {
		return err
	}
	for range 100 {
		p := spoolPlace{id: strings.ToLower(rand.Text())}
		f, err := s.root.OpenFile(p.dir()+lockSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		p.lock = f
		ok, err := tryLock(f)
		if err == nil && ok && s.stillNamed(f, p.dir()+lockSuffix) {
			if err = s.root.Mkdir(p.dir(), dirPerm); err == nil {
				s.spool = p
				return nil
			}
		}
		f.Close()
		if err != nil {
			s.root.Remove(p.dir() + lockSuffix)
			return err
		}
	}
	return fmt.Errorf("%s: no spool folder of our own in 100 tries", spoolDir)
}

// stillNamed reports whether name is still the name of f.
func (s *Store) stillNamed(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := s.root.Lstat(name)
	return err == nil && os.SameFile(a, b)
}

// renewPlace makes a new spool folder if old is still the current one. It is
// for the case that somebody cleared .goferry under a running process.
func (s *Store) renewPlace(old spoolPlace) error {
	s.spoolMu.Lock()
	defer s.spoolMu.Unlock()
	if s.closed.Load() {
		return fs.ErrClosed
	}
	if s.spool.id != old.id {
		return nil
	}
	if err := s.newPlace(); err != nil {
		return err
	}
	s.log.Warn("spool folder was removed by somebody else", "dir", s.dir)
	return old.lock.Close()
}

// place returns the current spool folder.
func (s *Store) place() (spoolPlace, error) {
	s.spoolMu.Lock()
	defer s.spoolMu.Unlock()
	if s.closed.Load() {
		return spoolPlace{}, fs.ErrClosed
	}
	return s.spool, nil
}

// dropPlace removes the spool folder of this process, then the lock: the other
// way round a sweeper would find an ownerless folder.
func (s *Store) dropPlace() error {
	p := s.spool
	if p.lock == nil {
		return nil
	}
	s.spool = spoolPlace{}
	return errors.Join(s.root.RemoveAll(p.dir()), ignoreAbsent(s.root.Remove(p.dir()+lockSuffix)), p.lock.Close())
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweep removes the spool folders of dead processes. What it cannot remove stays
// for the next one: leftovers are no reason not to start.
func (s *Store) sweep() {
	d, err := s.root.Open(spoolDir)
	if err != nil {
		s.log.Warn("spool not swept", "dir", s.dir, "err", err)
		return
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(walkBatch)
		for _, e := range entries {
			id := strings.TrimSuffix(e.Name(), lockSuffix)
			if id == s.spool.id {
				continue
			}
			if err := s.sweepOne(id); err != nil {
				s.log.Warn("leftovers of a dead process not removed", "dir", s.dir, "err", err)
			}
		}
		if err != nil {
			if err != io.EOF {
				s.log.Warn("spool not swept", "dir", s.dir, "err", err)
			}
			return
		}
	}
}

// sweepOne removes the spool folder called id if nobody holds its lock. Two
// sweepers at once do no harm: ids are never used again, so what the slower one
// removes is already gone.
func (s *Store) sweepOne(id string) error {
	lock, dir := spoolDir+"/"+id+lockSuffix, spoolDir+"/"+id
	f, err := s.root.OpenFile(lock, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		// The lock is there before the folder and after it: a folder without
		// one has no owner.
		return s.root.RemoveAll(dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	gained, err := tryLock(f)
	if err != nil || !gained {
		return err
	}
	if _, err := s.root.Lstat(dir); err == nil {
		s.log.Info("removing leftovers of a dead process", "dir", dir)
	}
	if err := s.root.RemoveAll(dir); err != nil {
		return err
	}
	return ignoreAbsent(s.root.Remove(lock))
}
