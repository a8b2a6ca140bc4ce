package cgo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ReadPackFolder says which packs a folder has: an index, and packages beside it. The error is fs.ErrNotExist where it
// has no index, a *SetupError where that is none, or that of reading.
func ReadPackFolder(fsys fs.FS) (packs []*Pack, err error) {
	f, err := fsys.Open(PackIndexName)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err == nil && info.Size() > maxPackIndex {
		err = fmt.Errorf("%d bytes", info.Size())
	}
	if err == nil {
		packs, err = parsePackIndex(f)
	}
	if err == nil { // whoever reads to the end has seen all of it checked
		_, err = io.Copy(io.Discard, f)
	}
	if err != nil {
		return nil, &SetupError{Code: SetupNotPack, Err: err}
	}
	return packs, nil
}

// OpenPackFolders brings the packages for t out of folders into one of its own, and checks each. The first folder whose
// index has t says which they are; each may lie in any of the folders. Errors are a *SetupError (SetupLacking where a
// package is in none of them), or those of reading and writing.
func (s *Setup) OpenPackFolders(ctx context.Context, t Target, folders []fs.FS) (*Pack, string, error) {
	var all []*Pack
	for _, fsys := range folders {
		packs, err := ReadPackFolder(fsys)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		all = append(all, packs...)
	}
	p, dir, err := s.choosePack(t, all)
	if err != nil {
		return nil, "", err
	}
	left, err := missingDebs(dir, p.Debs)
	if err != nil {
		return nil, "", err
	}
	total, done := p.Bytes(), p.Bytes()
	for _, d := range left {
		done -= d.Size
	}
	for _, d := range left {
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		s.tell(SetupState{Step: SetupFetch, Done: done, Total: total})
		if err := takeFrom(folders, t, d, filepath.Join(dir, d.File)); err != nil {
			return nil, "", err
		}
		done += d.Size
	}
	return p, dir, nil
}

// takeFrom copies a package out of the first folder that has it.
func takeFrom(folders []fs.FS, t Target, d Deb, name string) error {
	for _, fsys := range folders {
		f, err := fsys.Open(d.PackName())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(takeDeb(f, d, name), f.Close())
		}
		if err != nil {
			return &SetupError{Code: SetupDamaged, Target: t, What: d.File, Err: err}
		}
		return nil
	}
	return &SetupError{Code: SetupLacking, Target: t, What: d.File}
}

// DebTime is when a package was built, as its archive says; zero where it does not. Source: deb(5), ar(5).
func DebTime(file string) (at time.Time, err error) {
	f, err := os.Open(file)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, 8+60)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:8]) != "!<arch>\n" {
		return at, errDeb
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(head[8+16:8+28])), 10, 64)
	if err != nil || seconds <= 0 {
		return at, nil
	}
	return time.Unix(seconds, 0), nil
}
