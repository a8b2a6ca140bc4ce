//go:build darwin || freebsd || linux

package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestModCacheLock holds a lock as the go command does, and wants it to be found, with who holds it, and to be
// left as it was.
func TestModCacheLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	f, err := os.Create(name)
	mcMust(t, err)
	defer f.Close()
	if got := mcLockHeld(name); got != No {
		t.Errorf("nobody holds it: %s", got)
	}
	mcMust(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	for range 2 {
		if got := mcLockHeld(name); got != Yes {
			t.Errorf("it is held: %s", got)
		}
	}
	if pid := mcLockHolder(name); runtime.GOOS == "linux" && pid != os.Getpid() && pid != 0 {
		t.Errorf("it is held by %d, which is not %d", pid, os.Getpid())
	}
	mcMust(t, unix.Flock(int(f.Fd()), unix.LOCK_UN))
	if got := mcLockHeld(name); got != No {
		t.Errorf("nobody holds it any more: %s", got)
	}
}

// TestModCacheMayWrite asks about folders of other rights; root may write them all.
func TestModCacheMayWrite(t *testing.T) {
	dir := t.TempDir()
	mcMust(t, os.Chmod(dir, 0o500))
	want := No
	if os.Geteuid() == 0 {
		want = Yes
	}
	if got := mcMayWrite(dir); got != want {
		t.Errorf("a folder without the right to write: %s, want %s", got, want)
	}
	if got := mcMayWrite(filepath.Join(dir, "missing")); got != Unmeasured {
		t.Errorf("a folder that is not there: %s", got)
	}
	mcMust(t, os.Chmod(dir, 0o700))
}
