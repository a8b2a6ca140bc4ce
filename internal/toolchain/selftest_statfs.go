//go:build darwin || freebsd || linux

package toolchain

import "golang.org/x/sys/unix"

// selfFree is the free space at dir, in bytes; negative where it is unknown.
func selfFree(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}
