package doctor

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Numbers of file systems that x/sys has no names for. Source: linux/magic.h, and the files of each.
const (
	magicCIFS = 0xFF534D42
	magicSMB2 = 0xFE534D42
	magicNFS  = 0x6969
	magicSMB  = 0x517B
	magicAFS  = 0x5346414F
	magicCeph = 0x00C36400
	magic9P   = 0x01021997
	magicZFS  = 0x2FC12FC1
	magicVbox = 0x786F4256
)

// mcKinds are the kinds that people know; network are those of other machines.
func mcKinds() map[uint32]struct {
	name    string
	network bool
} {
	type kind = struct {
		name    string
		network bool
	}
	return map[uint32]kind{
		magicNFS: {"nfs", true}, magicSMB: {"smb", true}, magicCIFS: {"cifs", true}, magicSMB2: {"smb2", true}, magicAFS: {"afs", true}, magicCeph: {"ceph", true},
		magic9P: {"9p", false}, magicZFS: {"zfs", false}, magicVbox: {"vboxsf", false}, unix.EXT4_SUPER_MAGIC: {"ext4", false}, unix.XFS_SUPER_MAGIC: {"xfs", false},
		unix.BTRFS_SUPER_MAGIC: {"btrfs", false}, unix.TMPFS_MAGIC: {"tmpfs", false}, unix.OVERLAYFS_SUPER_MAGIC: {"overlay", false}, unix.F2FS_SUPER_MAGIC: {"f2fs", false},
		unix.FUSE_SUPER_MAGIC: {"fuse", false}, unix.ECRYPTFS_SUPER_MAGIC: {"ecryptfs", false}, unix.MSDOS_SUPER_MAGIC: {"vfat", false},
	}
}

func mcDiskOf(dir string) (mcDisk, bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return mcDisk{}, false
	}
	kind := mcKinds()[uint32(st.Type)]
	d := mcDisk{
		Free: mcBytes(st.Bavail, int64(st.Bsize)), Inodes: -1, Kind: kind.name, Network: kind.network,
		ReadOnly: st.Flags&unix.ST_RDONLY != 0, NoExec: st.Flags&unix.ST_NOEXEC != 0, WindowsByWSL: uint32(st.Type) == magic9P,
	}
	if st.Files > 0 { // btrfs and others make them as they go
		d.Inodes = int64(min(st.Ffree, math.MaxInt64))
	}
	var s unix.Stat_t
	if unix.Stat(dir, &s) == nil {
		d.Device = fmt.Sprint(s.Dev)
	}
	return d, true
}

// mcLockHolder finds the process that holds the lock of file in /proc/locks.
func mcLockHolder(file string) int {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	data, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		// 1: FLOCK  ADVISORY  WRITE 708 00:13:264 0 EOF
		w := strings.Fields(line)
		if len(w) < 6 || w[1] != "FLOCK" || w[3] != "WRITE" {
			continue
		}
		part := strings.Split(w[5], ":")
		if inode, err := strconv.ParseUint(part[len(part)-1], 10, 64); err == nil && inode == st.Ino {
			pid, _ := strconv.Atoi(w[4])
			return pid
		}
	}
	return 0
}
