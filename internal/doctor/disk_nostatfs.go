//go:build !darwin && !freebsd && !linux && !windows

package doctor

func mcDiskOf(string) (mcDisk, bool) { return mcDisk{}, false }

// mcLockHolder does not know.
func mcLockHolder(string) int { return 0 }
