//go:build unix

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/cache"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/store"
)

func systemRole(name string) func(dir string) error {
	if name == "full" {
		return beFull
	}
	return nil
}

// TestFullDisk: a disk that takes no more does not keep anybody from a file.
func TestFullDisk(t *testing.T) {
	out, err := child(t, "full", t.TempDir(), 0).Output()
	if err != nil || string(out) != "ok\n" {
		t.Errorf("the process said %q, %v", out, err)
	}
}

// set exists because the systems do not agree on the type of a limit.
func set[T int64 | uint64](to *T, n int) { *to = T(n) }

// beFull runs a cache whose disk takes files up to 100,000 bytes.
func beFull(dir string) error {
	const fileLimit = 100_000
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	set(&limit.Cur, fileLimit)
	set(&limit.Max, fileLimit)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	up := newUpstream()
	for _, size := range []int{1000, fileLimit, fileLimit + 1, 300_000, 1_000_000, 3_000_000} {
		name := fmt.Sprintf("example.com/m/@v/v1.%d.0.zip", size)
		up.files[name] = zipBytes(name, size)
		name = strings.Replace(name, ".zip", ".mod", 1)
		up.files[name] = zipBytes(name, size)
	}
	var l logs
	c := cache.New(cache.Config{Store: st, Source: up, MemoryLimit: 2 << 20, Logger: l.logger(), Check: func(_ context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
		name, _ := req.Name()
		if got, err := io.ReadAll(io.NewSectionReader(r, 0, size)); err != nil || string(got) != string(up.files[name]) {
			return fmt.Errorf("%s: the check sees %d of %d bytes, %w", name, len(got), size, err)
		}
		return nil
	}})
	defer c.Close()
	for range 3 { // memory comes back
		for name, content := range up.files {
			l.has("")
			got, meta, err := readCtx(context.Background(), c, mustName(name))
			for end := time.Now().Add(time.Minute); len(content) <= 2<<20 && errors.Is(err, store.ErrFull) && time.Now().Before(end); {
				// The one before has all its bytes; its fill may not have given the memory back yet.
				time.Sleep(time.Millisecond)
				got, meta, err = readCtx(context.Background(), c, mustName(name))
			}
			switch size := len(content); {
			case size > 2<<20:
				var e *goproxy.Error
				if !errors.Is(err, goproxy.ErrUnavailable) || !errors.Is(err, store.ErrFull) || !errors.As(err, &e) || e.HintCode != "cache.hint.disk-full" || e.Request != mustName(name) || len(got) == size {
					return fmt.Errorf("%s, too large: %d bytes, %w", name, len(got), err)
				}
			case err != nil || got != string(content):
				return fmt.Errorf("%s: %d of %d bytes, %w", name, len(got), size, err)
			case size <= fileLimit && meta.Warning != "":
				return fmt.Errorf("%s: warned of %q", name, meta.Warning)
			case size > fileLimit && (!strings.HasPrefix(meta.Warning, "199 ") || meta.Result != "miss" || !l.has("WARN answered, but not kept")):
				return fmt.Errorf("%s: no warning in %+v or in the log", name, meta)
			}
			if b, err := st.Stat(name); (err == nil) != (len(content) <= fileLimit) {
				return fmt.Errorf("%s: in the store: %+v, %w", name, b, err)
			}
		}
	}
	return nil
}

func mustName(name string) goproxy.Request {
	req, err := goproxy.ParseRequest(name)
	if err != nil {
		panic(err)
	}
	return req
}
