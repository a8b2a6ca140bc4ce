package gocmd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// onlyZombies reports whether all members of a process group are dead, and only wait for a parent that
// does not ask for them: many containers have a process 1 that never does, or late.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // gone in the meantime
		}
		// "pid (name) state parent group …", and the name may hold anything: proc_pid_stat(5).
		_, rest, _ := strings.Cut(string(data[max(0, strings.LastIndexByte(string(data), ')')):]), " ")
		f := strings.Fields(rest)
		if len(f) > 2 && f[2] == strconv.Itoa(group) && f[0] != "Z" && f[0] != "X" {
			return false
		}
	}
	return true
}
