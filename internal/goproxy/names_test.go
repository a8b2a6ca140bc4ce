package goproxy_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/goferry/goferry/internal/goproxy"
)

// TestNames: the memory answers as the functions do, also where it overflows.
func TestNames(t *testing.T) {
	var names goproxy.Names
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := range 10_000 {
				want := fmt.Sprintf("example.com/!m%d/@v/v1.0.0.mod", i%6000)
				req, err := names.Parse(want)
				if err != nil || req.Path != fmt.Sprintf("example.com/M%d", i%6000) {
					t.Errorf("%s: %+v, %v", want, req, err)
				}
				if name, err := names.Name(req); err != nil || name != want {
					t.Errorf("%+v: %s, %v", req, name, err)
				}
			}
		})
	}
	wg.Wait()
	long := "example.com/" + strings.Repeat("x", 1000) + "/@v/list"
	for range 2 {
		req, err := names.Parse(long)
		if name, nerr := names.Name(req); err != nil || nerr != nil || name != long {
			t.Errorf("a long name: %v, %v", err, nerr)
		}
		if _, err := names.Parse("example.com/M/@v/list"); !errors.Is(err, goproxy.ErrInvalid) {
			t.Errorf("an invalid name: %v", err)
		}
		if _, err := names.Name(goproxy.Request{}); !errors.Is(err, goproxy.ErrInvalid) {
			t.Errorf("an invalid request: %v", err)
		}
	}
}
