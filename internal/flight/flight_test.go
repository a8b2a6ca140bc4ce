package flight

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errClosed = errors.New("closed")

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Group[[]byte]{Closed: errClosed}
		var calls atomic.Int32
		cancelled := make(chan error, 1)
		slow := func(ctx context.Context) ([]byte, error) {
			calls.Add(1)
			select {
			case <-time.After(10 * time.Second):
				return []byte("done"), nil
			case <-ctx.Done():
				cancelled <- context.Cause(ctx)
				return nil, context.Cause(ctx)
			}
		}
		keep := func(error) time.Duration { return 5 * time.Second }

		// The leader leaves at once; the follower gets the result of the same call.
		leader, leave := context.WithCancel(t.Context())
		led := make(chan error, 1)
		go func() { _, err := f.Do(leader, "k", keep, slow); led <- err }()
		synctest.Wait()
		if n := f.Waiters("k"); n != 1 {
			t.Errorf("%d wait, want the leader", n)
		}
		followed := make(chan string, 1)
		go func() { data, err := f.Do(t.Context(), "k", keep, slow); followed <- fmt.Sprint(string(data), err) }()
		synctest.Wait()
		began := time.Now()
		leave()
		if err := <-led; !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("leader: %v after %v", err, time.Since(began))
		}
		if got := <-followed; got != "done<nil>" || calls.Load() != 1 {
			t.Errorf("follower: %s, %d calls", got, calls.Load())
		}

		// The result lingers, for its time.
		time.Sleep(5 * time.Second)
		if _, err := f.Do(t.Context(), "k", keep, slow); err != nil || calls.Load() != 1 {
			t.Errorf("lingering: %v, %d calls", err, calls.Load())
		}
		time.Sleep(time.Nanosecond)
		if _, err := f.Do(t.Context(), "k", nil, slow); err != nil || calls.Load() != 2 {
			t.Errorf("after its time: %v, %d calls", err, calls.Load())
		}

		// When all have left, the call is given up, and the next asker starts anew.
		only, giveUp := context.WithCancelCause(t.Context())
		go f.Do(only, "k", nil, slow)
		synctest.Wait()
		cause := errors.New("nobody waits")
		giveUp(cause)
		if err := <-cancelled; err != cause {
			t.Errorf("call ended with %v", err)
		}
		if data, err := f.Do(t.Context(), "k", nil, slow); err != nil || string(data) != "done" {
			t.Errorf("anew: %q, %v", data, err)
		}

		// close ends what is under way.
		go f.Do(t.Context(), "k", nil, slow)
		synctest.Wait()
		f.Close()
		if err := <-cancelled; err != errClosed {
			t.Errorf("close: call ended with %v", err)
		}
		if _, err := f.Do(t.Context(), "k", nil, slow); err != errClosed {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestGroupTrim(t *testing.T) {
	f := Group[[]byte]{Closed: errClosed}
	for i := range 3 * maxLinger {
		_, err := f.Do(t.Context(), fmt.Sprint(i), func(error) time.Duration { return time.Hour }, func(context.Context) ([]byte, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if len(f.m) > maxLinger {
		t.Errorf("%d results linger", len(f.m))
	}
}

// TestGroupZero: the zero value runs, shares nothing that is over, and says that it is closed.
func TestGroupZero(t *testing.T) {
	var g Group[int]
	calls := 0
	for want := 1; want <= 2; want++ {
		if got, err := g.Do(t.Context(), "k", nil, func(context.Context) (int, error) { calls++; return calls, nil }); err != nil || got != want {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
	if n := g.Waiters("k"); n != 0 {
		t.Errorf("%d wait for nothing", n)
	}
	g.Close()
	if _, err := g.Do(t.Context(), "k", nil, func(context.Context) (int, error) { return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: %v", err)
	}
	gone, leave := context.WithCancelCause(t.Context())
	cause := errors.New("gone before")
	leave(cause)
	if _, err := new(Group[int]).Do(gone, "k", nil, nil); err != cause {
		t.Errorf("asker who has left: %v", err)
	}
}
