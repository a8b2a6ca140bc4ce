//go:build !linux

package toolchain

// syncTree leaves the tree to the operating system: there is no call that is not thousands of calls. What a
// power cut breaks, verifying names and repairing heals.
func syncTree(string) error { return nil }
