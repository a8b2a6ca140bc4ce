package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/goproxytest"
)

// TestSumdbAlias shows that the public checksum database is served under its other name too, to
// clients that know it as GOSUMDB=sum.golang.google.cn and to those who do not, and that any
// other database has no such name.
func TestSumdbAlias(t *testing.T) {
	const alias = "/sumdb/sum.golang.google.cn/"
	add := func(up *goproxytest.Server) *goproxytest.Server {
		up.AddModule("example.com/m", "v1.0.0", map[string]string{"m.go": "package m\n"})
		return up
	}
	hc := client(t)
	status := func(url string) int {
		resp, err := hc.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}

	public, _ := serveInProcess(t, add(goproxytest.NewWith(t, goproxytest.Options{SumDB: "sum.golang.org"})))
	for _, name := range []string{alias, "/sumdb/sum.golang.org/"} {
		if got := status(public + name + "supported"); got != http.StatusOK {
			t.Errorf("%ssupported: %d", name, got)
		}
		for _, file := range []string{"lookup/example.com/m@v1.0.0", "latest", "tile/8/0/000.p/1"} {
			if got := mustGet(t, hc, public+name+file); len(got) == 0 {
				t.Errorf("%s%s is empty", name, file)
			}
		}
	}
	if got := string(mustGet(t, hc, public+alias+"lookup/example.com/m@v1.0.0")); !strings.Contains(got, "example.com/m v1.0.0 h1:") {
		t.Errorf("lookup under the other name: %s", got)
	}

	other, _ := serveInProcess(t, add(goproxytest.New(t)))
	if got := status(other + alias + "supported"); got != http.StatusNotFound {
		t.Errorf("another database under the public one's other name: %d", got)
	}
}
