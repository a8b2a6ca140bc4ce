package prefetch

import (
	"context"
	"go/version"
	"io"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// fetch brings one file into the cache and waits until it is there: how much is on its way
// must be known. The context of the cache's fill is its own.
func (o *observer) fetch(ctx context.Context, j job) outcome {
	res := outcome{job: j}
	if j.req.Kind == goproxy.Zip {
		o.fetchZip(ctx, &res)
		return res
	}
	data, err := goproxy.ReadFile(goproxy.WithCachedOnly(ctx), o.cfg.Source, j.req)
	if res.cached = err == nil; !res.cached && j.req.Immutable() {
		data, err = goproxy.ReadFile(ctx, o.cfg.Source, j.req)
	}
	res.data, res.bytes, res.err = data, int64(len(data)), err
	return res
}

func (o *observer) fetchZip(ctx context.Context, res *outcome) {
	if f, err := o.cfg.Source.Open(goproxy.WithCachedOnly(ctx), res.req); err == nil {
		_ = f.Close() // it was only opened to see that it is there
		res.cached = true
		return
	}
	f, err := o.cfg.Source.Open(ctx, res.req)
	if err != nil {
		res.err = err
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		o.report(ctx, outcome{job: res.job, bytes: info.Size()})
	}
	res.bytes, res.err = io.Copy(io.Discard, f)
}

// needs is what a .mod file tells about what comes next.
type needs struct {
	list   []need
	pruned bool // go 1.17 or later: what it requires is all that its packages need
}

type need struct {
	module.Version
	indirect bool
}

// memoSize bounds the .mod files whose needs are remembered for all clients: some MiB.
const memoSize = 2048

// maxNeeds bounds what is taken from one .mod file. The largest of real ones have some hundreds of lines.
const maxNeeds = 2000

// read parses a .mod file; one that does not parse needs nothing.
func (o *observer) read(m module.Version, data []byte) *needs {
	n := parseNeeds(data)
	if len(o.memo) >= memoSize {
		clear(o.memo)
	}
	o.memo[m] = n
	return n
}

func parseNeeds(data []byte) *needs {
	n := &needs{}
	mf, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return n
	}
	n.pruned = mf.Go != nil && version.Compare("go"+mf.Go.Version, "go1.17") >= 0
	for _, r := range mf.Require[:min(len(mf.Require), maxNeeds)] {
		n.list = append(n.list, need{r.Mod, r.Indirect})
	}
	return n
}
