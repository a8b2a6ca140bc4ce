package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/store"
)

// TestCacheFault: what helps a full disk is not said of one that is read-only.
func TestCacheFault(t *testing.T) {
	cfg := &config.Config{}
	cfg.CacheDir = "/cache"
	for errno, want := range map[error]string{syscall.ENOSPC: "cache.hint.disk-full", syscall.EROFS: "hint.cache-not-writable"} {
		err := fmt.Errorf("%w: %w", store.ErrFull, &fs.PathError{Op: "mkdir", Path: "/cache/x", Err: errno})
		var f *fault
		if !errors.As(cacheFault(cfg, err), &f) || f.hint != want || f.exit != 1 {
			t.Errorf("%v: got %+v, want the hint %s", errno, f, want)
		}
	}
}
