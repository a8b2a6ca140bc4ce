//go:build darwin || freebsd

package doctor

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

func mcDiskOf(dir string) (mcDisk, bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return mcDisk{}, false
	}
	kind := unix.ByteSliceToString(st.Fstypename[:])
	return mcDisk{
		Free: mcBytes(uint64(max(st.Bavail, 0)), int64(st.Bsize)), Inodes: -1, Kind: kind, Network: slices.Contains([]string{"nfs", "smbfs", "afpfs", "webdav"}, kind),
		ReadOnly: uint64(st.Flags)&unix.MNT_RDONLY != 0, NoExec: uint64(st.Flags)&unix.MNT_NOEXEC != 0, Device: fmt.Sprint(st.Fsid),
	}, true
}

// mcLockHolder does not know.
func mcLockHolder(string) int { return 0 }
