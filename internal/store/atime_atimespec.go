//go:build darwin || freebsd || netbsd

package store

import (
	"io/fs"
	"syscall"
	"time"
)

// atime is the access time in info, the modification time if it has none.
func atime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Atimespec.Unix())
	}
	return info.ModTime()
}
