package doctor

import (
	"context"
	"errors"
	"testing"

	"github.com/goferry/goferry/internal/toolchain"
)

// TestSDKNoRecord has a checksum database of a company, which knows no Gos: that is no fault of anybody, as long as it
// says so. The public one knows them all.
func TestSDKNoRecord(t *testing.T) {
	root := sdkTree(t, t.TempDir(), "go1.26.8", "")
	target := toolchain.Target{Version: "go1.26.8", OS: "linux", Arch: "amd64"}
	for _, tt := range []struct {
		name, faults, db string
		want             Reason
	}{
		{name: "it has no record", want: NotHere},
		{name: "it does not answer", faults: "/sumdb-503", want: NotReadable},
		{name: "the public one is said to have none", db: publicSumDB, want: NotReadable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newHTTPLab(t)
			l.https("a.example.com", l.at(tt.faults), true)
			up := l.exam("https://a.example.com")
			x := sdkExam(t, "go1.26.8", root)
			x.Net, x.Targets, x.SumDB, x.GoEnv.Values["GOPROXY"] = up.Net, up.Targets, up.SumDB, "https://a.example.com"
			if tt.db != "" {
				x.SumDB = tt.db
			}
			x.Verify = func(context.Context, string) (toolchain.Report, error) {
				return toolchain.Report{State: toolchain.StateUnknown, Target: target, Err: errors.New("a relay says that there is none")}, nil
			}
			o := sdkCheckFiles(t.Context(), x)
			if o.NotRun != tt.want || len(o.Findings) != 0 || o.Detail == "" || sdkFact(o, factSDKProved) != Unmeasured {
				t.Errorf("found %+v, want %s", o, tt.want)
			}
			if rep := reportOf(x, []Result{{Check: "sdk", Group: SDK, State: NotSure, Reason: o.NotRun}}, 0, Secrets{}); rep.Complete != (tt.want == NotHere) {
				t.Errorf("complete: %t", rep.Complete)
			}
		})
	}
}
