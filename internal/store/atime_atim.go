//go:build linux || dragonfly || openbsd

package store

import (
	"io/fs"
	"syscall"
	"time"
)

// atime is the access time in info, the modification time if it has none.
func atime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Atim.Unix())
	}
	return info.ModTime()
}
