package doctor

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// The rights to make files and folders in a folder, which x/sys has no names for. Source: winnt.h.
const (
	fileAddFile         = 0x2
	fileAddSubdirectory = 0x4
)

// mcMayWrite opens a folder with the rights to make files there, and makes none.
func mcMayWrite(dir string) Answer {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return Unmeasured
	}
	h, err := windows.CreateFile(name, fileAddFile|fileAddSubdirectory, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	switch {
	case err == nil:
		_ = windows.CloseHandle(h)
		return Yes
	case errors.Is(err, windows.ERROR_ACCESS_DENIED), errors.Is(err, windows.ERROR_WRITE_PROTECT):
		return No
	}
	return Unmeasured
}

// mcOwner is not asked: an owner is no number here.
func mcOwner(fs.FileInfo) int { return -1 }

func mcDiskOf(dir string) (mcDisk, bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return mcDisk{}, false
	}
	var free uint64
	if windows.GetDiskFreeSpaceEx(name, &free, nil, nil) != nil {
		return mcDisk{}, false
	}
	d := mcDisk{Free: mcBytes(free, 1), Inodes: -1, Device: strings.ToUpper(filepath.VolumeName(dir))}
	if root, err := windows.UTF16PtrFromString(filepath.VolumeName(dir) + `\`); err == nil && windows.GetDriveType(root) == windows.DRIVE_REMOTE {
		d.Kind, d.Network = "smb", true
	}
	return d, true
}

// mcLockHeld tries the lock of a file for the moment of a look, shared, as a reader would.
func mcLockHeld(file string) Answer {
	name, err := windows.UTF16PtrFromString(file)
	if err != nil {
		return Unmeasured
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) || errors.Is(err, windows.ERROR_PATH_NOT_FOUND) {
		return No
	} else if err != nil {
		return Unmeasured
	}
	defer func() { _ = windows.CloseHandle(h) }()
	var o windows.Overlapped
	err = windows.LockFileEx(h, windows.LOCKFILE_FAIL_IMMEDIATELY, 0, ^uint32(0), ^uint32(0), &o)
	switch {
	case err == nil:
		_ = windows.UnlockFileEx(h, 0, ^uint32(0), ^uint32(0), &o)
		return No
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return Yes
	}
	return Unmeasured
}

// mcLockHolder does not know.
func mcLockHolder(string) int { return 0 }
