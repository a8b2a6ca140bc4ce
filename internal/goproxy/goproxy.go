// Package goproxy defines the GOPROXY protocol as Go: requests, sources, errors,
// and the client and handler that carry them over HTTP.
//
// It knows no disk layout, reads no environment and never retries.
package goproxy

import (
	"context"
	"io"
	"io/fs"
)

// A Source opens files of the protocol.
//
// Open returns an error that matches one of the sentinels of this package
// (ErrNotExist, ErrBlocked, …) whenever the source knows which applies; an error
// that matches none is a fault of goferry or of the machine it runs on.
// The returned File must be closed. A Source may be used by many goroutines.
type Source interface {
	Open(ctx context.Context, req Request) (File, error)
}

// A File is an opened file of the protocol; *os.File is one.
//
// A File never lies about its end: reading it gives the whole file or an error,
// never a short file with a clean io.EOF. It may still be arriving: Read waits
// for bytes, and Stat().Size() is negative while the length is unknown.
type File interface {
	fs.File
	io.Seeker
}

// A Sink keeps files of the protocol: all of r, or nothing.
type Sink interface {
	Put(ctx context.Context, req Request, r io.Reader) error
}

// SourceFunc makes a Source of a function.
type SourceFunc func(ctx context.Context, req Request) (File, error)

// Open calls f.
func (f SourceFunc) Open(ctx context.Context, req Request) (File, error) { return f(ctx, req) }

type cachedOnlyKey struct{}

// WithCachedOnly returns a context in which a caching Source answers from what
// it already has and asks nobody. A miss is ErrNotExist. It carries the request
// header "Disable-Module-Fetch: true" of the official proxy, and lets HEAD look
// without fetching.
func WithCachedOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, cachedOnlyKey{}, true)
}

// IsCachedOnly reports whether ctx comes from WithCachedOnly.
func IsCachedOnly(ctx context.Context) bool {
	v, _ := ctx.Value(cachedOnlyKey{}).(bool)
	return v
}
