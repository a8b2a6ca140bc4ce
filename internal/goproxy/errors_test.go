package goproxy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
)

// TestErrorTable holds the table of what errors mean, row by row.
func TestErrorTable(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		status  int
		retry   int
		exit    int
		absent  bool
		timeout bool
	}{
		{"none", nil, 200, 0, 0, false, false},
		{"not exist", goproxy.ErrNotExist, 404, 0, 10, true, false},
		{"gone", goproxy.ErrGone, 410, 0, 10, true, false},
		{"invalid", goproxy.ErrInvalid, 404, 0, 2, true, false},
		{"blocked", goproxy.ErrBlocked, 403, 0, 11, false, false},
		{"unavailable", goproxy.ErrUnavailable, 503, 10, 12, false, false},
		{"unavailable, ended by a deadline", fmt.Errorf("%w: %w", goproxy.ErrUnavailable, context.DeadlineExceeded), 504, 10, 12, false, true},
		{"unavailable, ended by the network's deadline", fmt.Errorf("%w: %w", goproxy.ErrUnavailable, os.ErrDeadlineExceeded), 504, 10, 12, false, true},
		{"a deadline", context.DeadlineExceeded, 504, 10, 12, false, true},
		{"a timeout of the resolver", &net.DNSError{IsTimeout: true}, 504, 10, 12, false, true},
		{"mismatch", goproxy.ErrMismatch, 502, 0, 13, false, false},
		{"the asker left", context.Canceled, 499, 0, 130, false, false},
		{"anything else", errors.New("disk on fire"), 500, 0, 1, false, false},
		// Unknown is never "not found", whatever else an error says.
		{"unavailable because of not exist", fmt.Errorf("%w: %w", goproxy.ErrUnavailable, goproxy.ErrNotExist), 503, 10, 12, false, false},
		{"not exist because of unavailable", fmt.Errorf("%w: %w", goproxy.ErrNotExist, goproxy.ErrUnavailable), 503, 10, 12, false, false},
		{"gone, and blocked", errors.Join(goproxy.ErrGone, goproxy.ErrBlocked), 403, 0, 11, false, false},
		{"not exist, and mismatch", errors.Join(goproxy.ErrNotExist, goproxy.ErrMismatch), 502, 0, 13, false, false},
		{"unavailable, and mismatch", errors.Join(goproxy.ErrUnavailable, goproxy.ErrMismatch), 502, 0, 13, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			errs := []error{tt.err}
			if tt.err != nil {
				errs = append(errs, &goproxy.Error{Source: "somewhere", Err: fmt.Errorf("wrapped: %w", tt.err)})
			}
			for _, err := range errs {
				if status, retry := goproxy.Status(err); status != tt.status || retry != tt.retry {
					t.Errorf("%v: Status is %d and %d s, want %d and %d s", err, status, retry, tt.status, tt.retry)
				}
				if got := goproxy.ExitCode(err); got != tt.exit {
					t.Errorf("%v: ExitCode is %d, want %d", err, got, tt.exit)
				}
				if got := goproxy.Absent(err); got != tt.absent {
					t.Errorf("%v: Absent is %v", err, got)
				}
				if got := goproxy.Timeout(err); got != tt.timeout {
					t.Errorf("%v: Timeout is %v", err, got)
				}
			}
		})
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	for wait, want := range map[time.Duration]int{0: 10, time.Nanosecond: 1, 1500 * time.Millisecond: 2, time.Hour: 3600} {
		err := fmt.Errorf("x: %w", &goproxy.Error{Err: goproxy.ErrUnavailable, RetryAfter: wait})
		if _, got := goproxy.Status(err); got != want {
			t.Errorf("RetryAfter %v: %d s, want %d s", wait, got, want)
		}
	}
}

func TestFromStatus(t *testing.T) {
	want := map[int]error{404: goproxy.ErrNotExist, 410: goproxy.ErrGone, 401: goproxy.ErrBlocked, 403: goproxy.ErrBlocked, 451: goproxy.ErrBlocked}
	for status := 100; status < 600; status++ {
		err := goproxy.FromStatus(status)
		if status == 200 || status == 206 {
			if err != nil {
				t.Errorf("%d: %v", status, err)
			}
			continue
		}
		meaning := want[status]
		if meaning == nil {
			meaning = goproxy.ErrUnavailable // could not find out
		}
		if !errors.Is(err, meaning) {
			t.Errorf("%d: got %v, want %v", status, err, meaning)
			continue
		}
		for name, other := range sentinels() {
			if other != meaning && errors.Is(err, other) {
				t.Errorf("%d: is also %s", status, name)
			}
		}
		if !strings.Contains(err.Error(), fmt.Sprint(status)) || !strings.Contains(err.Error(), http.StatusText(status)) {
			t.Errorf("%d: text is %q", status, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	req := goproxy.Request{Path: "example.com/m", Version: "v1.0.0", Kind: goproxy.Mod}
	for want, err := range map[string]*goproxy.Error{
		"not found":                                              {Err: goproxy.ErrNotExist},
		"example.com/m@v1.0.0.mod: not found":                    {Request: req, Err: goproxy.ErrNotExist},
		"https://a.example: not found":                           {Source: "https://a.example", Err: goproxy.ErrNotExist},
		"example.com/m@v1.0.0.mod: https://a.example: not found": {Source: "https://a.example", Request: req, Err: goproxy.ErrNotExist, Hint: "no part of the text"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
