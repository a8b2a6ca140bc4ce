//go:build !linux

package goproxytest

// keepPort does nothing: elsewhere a port that is let go may be gone.
func keepPort(string) (release func()) { return func() {} }
