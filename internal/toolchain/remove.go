package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Remove removes t from h, with its record. It goes away at once, by a rename: a killed
// run leaves no half of it. Links to it are left to the caller, and so is the
// question whether it is in use. The error matches ErrNotInstalled if t is not there.
func Remove(ctx context.Context, h Home, t Target) error {
	if _, err := os.Lstat(h.SDKs()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", t, ErrNotInstalled)
	}
	unlock, err := h.lock(ctx, t)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := h.setAside(ctx, t)
	if err != nil {
		return err
	}
	for _, name := range []string{h.RecordFile(t), h.SumsFile(t)} {
		if err := ignoreAbsent(os.Remove(name)); err != nil {
			return err
		}
	}
	if err := h.sweep(t); err != nil {
		return err
	}
	if old == "" { // what a killed run left is gone all the same
		return fmt.Errorf("%s: %w", t, ErrNotInstalled)
	}
	return nil
}
