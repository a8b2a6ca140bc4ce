//go:build unix

package shellenv

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

// TestOwnerIsKept: who works as the administrator on the files of a user leaves them the user's.
// Others can only find their own files, and must keep those.
func TestOwnerIsKept(t *testing.T) {
	m := machine(t, map[string]string{"SHELL": "sh"})
	file := write(t, m.home(".profile"), "a\n")
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 23456
		if err := os.Chown(file, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	p, err := m.Write([]Shell{Sh}, goEntries(m))
	apply(t, m, p, err)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("owner %d:%d, want %d:%d", st.Uid, st.Gid, uid, gid)
	}
	left, err := os.ReadDir(m.Home)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestUnreachable: a file that cannot be written is named, and nothing lies beside it.
func TestUnreachable(t *testing.T) {
	m := machine(t, map[string]string{"SHELL": "sh"})
	write(t, m.home(".config", "fish"), "a file where a folder should be")
	p, err := m.Write([]Shell{Fish}, goEntries(m))
	if err != nil || len(p.Failed) != 1 || p.Failed[0].File != m.home(".config", "fish", "conf.d", "goferry.fish") {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := os.Symlink(".profile", m.home(".profile")); err != nil {
		t.Fatal(err)
	}
	if p, err = m.Write([]Shell{Sh}, goEntries(m)); err != nil || len(p.Failed) != 1 || !errors.Is(p.Failed[0], syscall.ELOOP) {
		t.Errorf("a link to itself: %+v, %v", p, err)
	}
	if err := os.Mkdir(m.home(".zshrc"), 0o755); err != nil {
		t.Fatal(err)
	}
	var pe *fs.PathError
	if p, err = m.Write([]Shell{Zsh}, goEntries(m)); err != nil || len(p.Failed) != 1 || !errors.As(p.Failed[0], &pe) {
		t.Errorf("a folder: %+v, %v", p, err)
	}
}
