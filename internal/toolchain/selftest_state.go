package toolchain

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// selfState is what a run leaves in its folder, so that another can go on where it stopped: a file
// with a line for the run and one for each package that is done.
type selfState struct {
	dir     string
	lock    *os.File
	file    *os.File
	before  map[string]SelfPackage // from the run that was interrupted
	written error
}

// selfKey says what a run tests; a run goes on only with what was found out about the very same.
type selfKey struct {
	Root     string   `json:"goroot"`
	Tree     string   `json:"tree"` // changes when the toolchain is replaced
	Packages []string `json:"packages"`
	Full     bool     `json:"full"`
}

const (
	selfLockName    = "lock"
	selfResultsName = "results.jsonl"
	selfTempName    = "tmp"
	selfTempPrefix  = "goferry-"
)

// key describes the run. A repaired or replaced toolchain has other programs than before, by size
// or time.
func (s *SelfTest) key() selfKey {
	h := sha256.New()
	for _, name := range []string{"VERSION", "bin/go" + exeSuffix(runtime.GOOS), "pkg/tool"} {
		file := filepath.Join(s.Root, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintln(h, name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return selfKey{Root: s.Root, Tree: fmt.Sprintf("%x", h.Sum(nil)[:8]), Packages: append([]string{}, s.Packages...), Full: s.Full}
}

func (k selfKey) equal(o selfKey) bool {
	return k.Root == o.Root && k.Tree == o.Tree && k.Full == o.Full && slices.Equal(k.Packages, o.Packages)
}

// selfOpenState locks dir. What an interrupted run left there is kept if resume is set and key is
// its own; else all of it is taken away first.
func selfOpenState(dir string, key selfKey, resume bool) (*selfState, error) {
	lock, err := os.OpenFile(filepath.Join(dir, selfLockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &selfState{dir: dir, lock: lock, before: map[string]SelfPackage{}}
	got, err := selfLock(lock)
	if err == nil && !got {
		err = ErrSelfBusy
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.sweepTemp()
	if err := s.begin(key, resume); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// begin opens the results, with those of the run before or without.
func (s *selfState) begin(key selfKey, resume bool) error {
	name := filepath.Join(s.dir, selfResultsName)
	if resume {
		if data, err := os.ReadFile(name); err == nil {
			s.before, _ = selfReadResults(data, key)
		}
	}
	if len(s.before) == 0 {
		if err := s.clear(); err != nil {
			return err
		}
	}
	// Written anew, so that a line that was cut short is not in the way.
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	err := enc.Encode(key)
	for _, p := range s.before {
		err = errors.Join(err, enc.Encode(p))
	}
	if err == nil {
		err = writeBeside(name, lines.Bytes(), false)
	}
	if err != nil {
		return err
	}
	s.file, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o600)
	return err
}

// selfReadResults reads what a run with this key wrote, up to where it was interrupted.
func selfReadResults(data []byte, key selfKey) (map[string]SelfPackage, bool) {
	done := map[string]SelfPackage{}
	lines := bufio.NewReader(bytes.NewReader(data))
	first := true
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return done, !first // a last line without an end was not finished
		}
		if first {
			var k selfKey
			if json.Unmarshal(line, &k) != nil || !k.equal(key) {
				return map[string]SelfPackage{}, false
			}
			first = false
			continue
		}
		var p SelfPackage
		if json.Unmarshal(line, &p) != nil || p.Name == "" || p.Verdict == "" {
			return done, true
		}
		done[p.Name] = p
	}
}

// write adds a line. An error is kept for the end: it harms only a run that is interrupted.
func (s *selfState) write(v any) {
	s.written = errors.Join(s.written, json.NewEncoder(s.file).Encode(v))
}

// temp makes a folder for temporary files below dir. It has a short name: tests make sockets
// there, whose names systems limit to some 100 bytes.
func (s *selfState) temp(dir string) (string, error) {
	tmp, err := os.MkdirTemp(dir, selfTempPrefix)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(s.dir, selfTempName), []byte(tmp), 0o600); err != nil {
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	return tmp, nil
}

// sweepTemp takes away the temporary files of a run that was killed.
func (s *selfState) sweepTemp() {
	name := filepath.Join(s.dir, selfTempName)
	if data, err := os.ReadFile(name); err == nil {
		if tmp := string(data); filepath.IsAbs(tmp) && strings.HasPrefix(filepath.Base(tmp), selfTempPrefix) {
			_ = os.RemoveAll(tmp) // it is in nobody's way
		}
		_ = os.Remove(name)
	}
}

// clear takes everything away but the lock.
func (s *selfState) clear() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != selfLockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	return err
}

// close unlocks; done takes everything away.
func (s *selfState) close(done bool) error {
	err := errors.Join(s.written, s.file.Close())
	_ = os.Remove(filepath.Join(s.dir, selfTempName))
	if done {
		err = errors.Join(err, s.clear())
	}
	return errors.Join(err, s.lock.Close())
}
