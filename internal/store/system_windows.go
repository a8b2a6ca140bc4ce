package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// isFull reports whether err says that the disk takes no more bytes.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED) || errors.Is(err, windows.ERROR_FILE_TOO_LARGE) ||
		errors.Is(err, windows.ERROR_WRITE_PROTECT)
}

// mayWrite leaves the answer to the first write: access lists are not read here.
func mayWrite(string) error { return nil }

// checkSystem refuses names that Windows gives another meaning: devices such as
// NUL, and short names, one of which is the store's own folder.
func checkSystem(name string) string {
	if _, err := filepath.Localize(name); err != nil {
		return "it is reserved on Windows"
	}
	top, _, _ := strings.Cut(name, "/")
	if strings.Contains(top, "~") {
		return "it may be the short name of another folder on Windows"
	}
	return ""
}

// atime is the access time in info, the modification time if it has none.
func atime(info fs.FileInfo) time.Time {
	if d, ok := info.Sys().(*syscall.Win32FileAttributeData); ok {
		return time.Unix(0, d.LastAccessTime.Nanoseconds())
	}
	return info.ModTime()
}

// setTimes sets the times of the spool file f. It uses the handle that wrote,
// for only then does closing it not set them again.
func (s *Store) setTimes(f *os.File, _ string, atime, mtime time.Time) error {
	a := syscall.NsecToFiletime(atime.UnixNano())
	m := syscall.NsecToFiletime(mtime.UnixNano())
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := conn.Control(func(h uintptr) { serr = syscall.SetFileTime(syscall.Handle(h), nil, &a, &m) }); err != nil {
		return err
	}
	return serr
}

// rmdir removes a folder if it is empty.
func (s *Store) rmdir(dir string) error {
	info, err := s.root.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &os.PathError{Op: "rmdir", Path: dir, Err: syscall.ENOTDIR}
	}
	return s.root.Remove(dir)
}
