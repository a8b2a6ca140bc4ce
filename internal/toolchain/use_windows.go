package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
)

// replaceDirLink makes link lead to the folder to, which is relative to the folder of link. It is a junction:
// those need no right that a user lacks. A junction cannot be replaced in one step, so the new one is whole before
// the old one goes, and the gap between is two calls long.
func replaceDirLink(to, link string) error {
	target := filepath.Join(filepath.Dir(link), to)
	tmp := fmt.Sprintf("%s.new-%d", link, os.Getpid())
	if err := makeJunction(target, tmp); err != nil {
		return errors.Join(err, ignoreAbsent(os.Remove(tmp)))
	}
	err := retryBusy(func() error {
		if err := ignoreAbsent(os.Remove(link)); err != nil { // removes the junction, not what it leads to
			return err
		}
		return os.Rename(tmp, link)
	})
	if err != nil {
		return errors.Join(err, ignoreAbsent(os.Remove(tmp)))
	}
	return nil
}

// retryBusy calls do until it works, for about two seconds: a virus scanner or an indexer holds on to what is new.
func retryBusy(do func() error) error {
	wait := 10 * time.Millisecond
	for {
		err := do()
		busy := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_DIR_NOT_EMPTY)
		if !busy || wait > time.Second {
			return err
		}
		time.Sleep(wait)
		wait *= 2
	}
}

// makeJunction makes the folder link a junction to target, an absolute path.
func makeJunction(target, link string) error {
	if err := os.Mkdir(link, 0o755); err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(link)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return &fs.PathError{Op: "junction", Path: link, Err: err}
	}
	defer windows.CloseHandle(h)
	buf := junctionData(target)
	var n uint32
	if err := windows.DeviceIoControl(h, windows.FSCTL_SET_REPARSE_POINT, &buf[0], uint32(len(buf)), nil, 0, &n, nil); err != nil {
		return &fs.PathError{Op: "junction", Path: link, Err: err}
	}
	return nil
}

// readDirLink is where link leads to. info is what Lstat says of it: an ordinary folder is no link.
func readDirLink(link string, info fs.FileInfo) (string, error) {
	if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) == 0 { // junctions are irregular
		return "", ErrInTheWay
	}
	return os.Readlink(link)
}

// cmdLink is what a program link says: a symbolic link needs a right that users seldom have.
const cmdLink = "@\"%%~dp0%s\" %%*\r\n"

// makeProgramLink makes a link with the suffix .exe, or where that is not allowed a command file, which the go
// command finds as well.
func makeProgramLink(to, link string) error {
	if err := os.Symlink(to, link+".exe"); err == nil {
		return nil
	}
	return os.WriteFile(link+".cmd", fmt.Appendf(nil, cmdLink, to), 0o755)
}

func readProgramLink(link string) (string, error) {
	if !strings.HasSuffix(link, ".cmd") {
		return os.Readlink(link)
	}
	data, err := os.ReadFile(link)
	if err != nil {
		return "", err
	}
	to, ok := strings.CutPrefix(string(data), `@"%~dp0`)
	to, tail := strings.CutSuffix(to, "\" %*\r\n")
	if !ok || !tail {
		return "", ErrInTheWay
	}
	return to, nil
}
