//go:build !windows

package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/goferry/goferry/internal/bundle"
)

func systemRole(role string) func(file string) error {
	if role == "full" {
		return beFull
	}
	return nil
}

// beFull meets the end of what a file may have.
func beFull(file string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	set(&limit.Cur, 2_000_000)
	set(&limit.Max, 2_000_000)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, err := bundle.Create(context.Background(), file, killPlan(), bundle.CreateOptions{})
	var e *bundle.Error
	if !errors.As(err, &e) || e.Code != bundle.CodeFileLimit || e.Detail == "" {
		return fmt.Errorf("error %w, want code %s", err, bundle.CodeFileLimit)
	}
	_, err = bundle.Create(context.Background(), file, killPlan(), bundle.CreateOptions{Split: 1_900_000})
	return err
}

// set exists because the systems do not agree on the type of a limit.
func set[T int64 | uint64](to *T, n int) { *to = T(n) }

// TestFull: where a file cannot grow any more, what is written stays for the next run, and parts help.
func TestFull(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.bundle")
	out, err := child(t, "full", file, 0).Output()
	if err != nil || string(out) != "ok\n" {
		t.Fatalf("%q, %v", out, err)
	}
	r := open(t, file)
	if rep, err := r.Verify(t.Context(), nil, nil); err != nil || !strings.HasSuffix(r.Files()[0], ".001") {
		t.Errorf("%v, %+v, %v", r.Files(), rep, err)
	}
	got, err := bundle.Create(t.Context(), file, killPlan(), bundle.CreateOptions{})
	if err != nil || !bytes.Equal(read(t, file), read(t, create(t, killPlan(), bundle.CreateOptions{}))) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestFullCode: a full disk has its own code, with what is needed.
func TestFullCode(t *testing.T) {
	for _, errno := range []error{unix.ENOSPC, unix.EDQUOT} {
		if e := wantCode(t, bundle.WriteError("x", 77, errno), bundle.CodeDiskFull); e.Detail != "77" || !errors.Is(e, errno) {
			t.Error(e)
		}
	}
	wantCode(t, bundle.WriteError("x", 77, unix.EIO), bundle.CodeWrite)
}
