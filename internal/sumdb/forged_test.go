package sumdb

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/goferry/goferry/internal/goproxy"
)

func TestForged(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("%w: %w", goproxy.ErrUnavailable, errForged), true},
		{fmt.Errorf("head: %w", &note.UnverifiedNoteError{}), true},
		{fmt.Errorf("head: %w", &note.InvalidSignatureError{}), true},
		{&ForkError{}, true},
		{fmt.Errorf("%w: 503", goproxy.ErrUnavailable), false},
		{goproxy.ErrNotExist, false},
		{context.DeadlineExceeded, false},
		{errors.New("no route"), false},
		{nil, false},
	} {
		if got := Forged(tt.err); got != tt.want {
			t.Errorf("Forged(%v) = %t", tt.err, got)
		}
	}
}
