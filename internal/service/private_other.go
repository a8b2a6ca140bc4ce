//go:build !unix

package service

// privately runs f. What Windows keeps about a service stands in the registry, where every user
// of the machine can read it.
func privately(f func() error) error { return f() }
