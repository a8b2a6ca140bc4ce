//go:build dragonfly || netbsd || openbsd

package toolchain

// selfFree is not known here: each of these systems has a call of its own for it.
func selfFree(string) int64 { return -1 }
