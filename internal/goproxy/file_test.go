package goproxy_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

// TestHandlerAgain: a file that is kept in memory and opened again is answered as one that was made
// for the answer, whichever names it goes by, and each reader has an offset of its own.
func TestHandlerAgain(t *testing.T) {
	mod := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, at := range []time.Time{mod, {}} {
		fresh := goproxy.SourceFunc(func(_ context.Context, req goproxy.Request) (goproxy.File, error) {
			return goproxy.NewFile(req, []byte("0123456789"), at, nil), nil
		})
		kept := goproxy.NewFile(goproxy.Request{}, []byte("0123456789"), at, nil)
		again := goproxy.SourceFunc(func(context.Context, goproxy.Request) (goproxy.File, error) { return kept.Again(), nil })
		freshSrv, againSrv := serve(t, &goproxy.Handler{Source: fresh}), serve(t, &goproxy.Handler{Source: again})
		for range 2 {
			for _, name := range []string{"@v/v1.0.0.mod", "@v/v1.0.0.mod", "@v/v1.0.0.zip", "@v/list", "@v/v1.0.0.info", "@v/main.info"} {
				for _, method := range []string{"GET", "HEAD"} {
					want, wantBody := do(t, method, freshSrv.URL+"/example.com/m/"+name)
					got, body := do(t, method, againSrv.URL+"/example.com/m/"+name)
					want.Header.Del("Date")
					got.Header.Del("Date")
					if d := cmp.Diff(want.Header, got.Header); d != "" || got.StatusCode != want.StatusCode || body != wantBody {
						t.Errorf("%s %s: %d %q, header (-want +got):\n%s", method, name, got.StatusCode, body, d)
					}
				}
			}
		}
		one, two := kept.Again(), kept.Again()
		if _, err := one.Seek(7, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		for f, want := range map[*goproxy.MemFile]string{one: "789", two: "0123456789"} {
			if got, err := io.ReadAll(f); err != nil || string(got) != want {
				t.Errorf("read %q, %v; want %q", got, err, want)
			}
		}
	}
}
