//go:build unix

package service

import "syscall"

// privately runs f, whose files and folders will be the user's alone. It changes the umask of the
// process for that long: the library chooses the mode of its file itself.
func privately(f func() error) error {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	return f()
}
