package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestBusy waits for all answers that are under way, and for none that began after the last of them.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b busy
		if err := b.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.begin()
		b.begin()
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- b.wait(t.Context()) }()
		}
		synctest.Wait()
		b.end()
		synctest.Wait()
		if len(done) != 0 {
			t.Error("it did not wait for the second answer")
		}
		b.end()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		b.begin()
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		if err := b.wait(ctx); !errors.Is(err, gone) {
			t.Errorf("a waiter that leaves gets %v", err)
		}
		b.end()
	})
}
