package doctor

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
)

// Findings about the checksum database.
const (
	codeSumUnreachable = "sumdb-unreachable"
	codeSumForged      = "sumdb-forged"  // what answers does not have the database's key
	codeSumRefused     = "sumdb-refused" // an upstream answers neither yes nor no
)

// Facts about the checksum database.
const (
	factSumVia      = "sumdb-by-way-of"
	factSumVerified = "sumdb-verified"
	factSumOther    = "sumdb-elsewhere"
)

// Fixes about the checksum database.
const (
	fixSumAlias = "use-sumdb-alias"
	fixSumVia   = "use-sumdb-of-upstream"
)

func sumCodes() []string { return []string{codeSumUnreachable, codeSumForged, codeSumRefused} }

func sumFacts() []string { return []string{factSumVia, factSumVerified, factSumOther} }

func sumFixes() []string { return []string{fixSumAlias, fixSumVia} }

func sumChecks() []Check {
	return []Check{{ID: "sumdb", Group: SumDB, Run: sumCheck}}
}

// The other name of the public database.
const sumAlias = "sum.golang.google.cn"

// A sumWay is the way by which the go command asks the database.
type sumWay struct {
	base *url.URL
	via  string // the host of the upstream that carries it; empty for its own
	// stop is the answer at which the go command gives up, and who gave it.
	stop *httpAnswer
	at   Target
}

// sumFind finds the way as the go command does: the first upstream that says yes carries the database and is the only
// way then, a 404 or 410 leads to the next, anything else is the end unless "|" stands behind it; and also with that, if nobody
// behind it carries the database and the list does not end with direct.
// Source: cmd/go/internal/modfetch, dbClient.initBase and TryProxies.
func sumFind(ctx context.Context, x *Exam, db sumdb.DB, line *httpLine) sumWay {
	if db.URL != "" {
		return sumWay{base: sumURL(db)} // a database with a URL of its own is asked there alone
	}
	var stop *sumWay
	for _, up := range httpUpstreams(x) {
		if up.URL == "direct" {
			stop = nil
			continue // it ends the list
		}
		t, ok := x.sumTarget(up)
		if !ok {
			continue
		}
		base := httpJoin(x.httpBase(t), "sumdb/"+db.Name)
		a := line.ask(ctx, httpAsk{url: httpJoin(base, "supported"), limit: 1 << 10, keep: true})
		switch {
		case a.err == nil && a.status == http.StatusOK:
			return sumWay{base: base, via: cmp.Or(subjectOf(t), httpShown(t.URL))}
		case a.err == nil && (a.status == http.StatusNotFound || a.status == http.StatusGone):
			continue
		}
		stop = &sumWay{stop: &a, at: t}
		if up.Sep != goproxy.OnError || a.op == transport.OpRead && a.failure == transport.TimedOut {
			break
		}
	}
	if stop != nil {
		return *stop
	}
	return sumWay{base: sumURL(db)}
}

// sumTarget is an entry of GOPROXY that can be asked.
func (x *Exam) sumTarget(up goproxy.Upstream) (Target, bool) {
	for _, t := range x.Targets {
		if t.Role == Upstream && httpIs(up, t) {
			return t, true
		}
	}
	u, err := url.Parse(up.URL)
	if err != nil || up.URL == "off" || u.Scheme == "" {
		return Target{}, false
	}
	u.User = nil
	return Target{Role: Upstream, URL: u, Sep: byte(up.Sep)}, true
}

// sumCheck looks a module up as the go command would, and checks the proof.
func sumCheck(ctx context.Context, x *Exam) Outcome {
	db, err := sumdb.ParseDB(x.SumDB)
	if err != nil {
		return Outcome{NotRun: NotReadable, Detail: "GOSUMDB"}
	}
	if ups := httpUpstreams(x); db.Off || len(ups) > 0 && ups[0].URL == "off" { // what is not fetched is not looked up
		return Outcome{NotRun: NotNeeded}
	}
	line := httpLineOf(x, false, nil)
	defer line.Close()
	way := sumFind(ctx, x, db, line)
	if ctx.Err() != nil {
		return Outcome{NotRun: OutOfTime}
	}
	if way.stop != nil {
		return sumStopped(ctx, x, db, way)
	}
	if way.base.Scheme == "file" { // it has records of what is in the tree, and need not have others
		return Outcome{Facts: []Fact{{Name: factSumVia, Answer: Yes, Value: httpShown(way.base)}, {Name: factSumVerified, Answer: Unmeasured, Reason: NotNeeded}}}
	}
	a := line.ask(ctx, httpAsk{url: httpJoin(way.base, "latest"), limit: httpSmall, keep: true})
	if a.err == nil && a.status == http.StatusOK {
		err := sumLookup(ctx, x, db, way.base, line.tr)
		switch {
		case err == nil || goproxy.Absent(err):
			return Outcome{Facts: []Fact{{Name: factSumVia, Answer: Yes, Value: way.base.Hostname()}, {Name: factSumVerified, Answer: Yes}}}
		case ctx.Err() != nil:
			return Outcome{NotRun: OutOfTime}
		case sumdb.Forged(err):
			return Outcome{Findings: []Finding{sumForged(ctx, x, db, way)}}
		}
		a.err = err
		if e, ok := transport.Explain(err); ok {
			a.op, a.failure = e.Op, e.Failure
		}
	}
	if a.failure == transport.Canceled || ctx.Err() != nil {
		return Outcome{NotRun: OutOfTime}
	}
	f := Finding{Code: codeSumUnreachable, Severity: Fault, Subject: cmp.Or(way.via, db.Name), Op: sumOp(a), Args: map[string]string{
		"DB": db.Name, "Host": way.base.Hostname(), "Err": sumText(a)}}
	f.Facts = []Fact{{Name: factSumVia, Answer: No, Value: way.base.Hostname() + ": " + sumText(a)}}
	f.Fixes = sumWaysOut(ctx, x, db, way, &f)
	return Outcome{Findings: []Finding{f}}
}

func sumOp(a httpAnswer) transport.Op {
	if a.op == "" {
		return transport.OpRead
	}
	return a.op
}

// sumText says what came instead of an answer.
func sumText(a httpAnswer) string {
	if a.err != nil && a.failure != "" {
		return httpText(a)
	}
	if a.status != http.StatusOK {
		return strconv.Itoa(a.status) + " " + http.StatusText(a.status)
	}
	return "no answer of a checksum database"
}

// sumLookup looks a module up at base, and checks the proof.
func sumLookup(ctx context.Context, x *Exam, db sumdb.DB, base *url.URL, rt http.RoundTripper) error {
	wait := httpWait(x.Net.AnswerWait, 5*time.Second)
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	hc := &http.Client{Transport: rt, Timeout: wait}
	c, err := sumdb.New(sumdb.Config{DB: db, Store: &memStore{}, Remotes: []sumdb.Remote{sumdb.HTTPRemote{HTTP: hc, Base: base.String()}}})
	if err != nil {
		return err
	}
	defer c.Close()
	probe := mirrorProbe(goproxy.Zip)
	_, err = c.Lookup(ctx, probe.Path, probe.Version)
	if err != nil && ctx.Err() != nil {
		return context.DeadlineExceeded
	}
	return err
}

// sumStopped says that an upstream keeps the go command from the database.
func sumStopped(ctx context.Context, x *Exam, db sumdb.DB, way sumWay) Outcome {
	a := *way.stop
	f := Finding{Code: codeSumRefused, Severity: Fault, Subject: subjectOf(way.at), Op: sumOp(a), Args: map[string]string{
		"DB": db.Name, "Host": subjectOf(way.at), "Err": sumText(a)}}
	if a.status == 0 { // it cannot be asked for modules either
		f.Code = codeSumUnreachable
	}
	f.Facts = []Fact{{Name: factSumVia, Answer: No, Value: subjectOf(way.at) + ": " + sumText(a)}}
	f.Fixes = sumWaysOut(ctx, x, db, way, &f)
	return Outcome{Findings: []Finding{f}}
}

func sumForged(ctx context.Context, x *Exam, db sumdb.DB, way sumWay) Finding {
	f := Finding{Code: codeSumForged, Severity: Fault, Subject: way.base.Hostname(), Op: transport.OpRead,
		Args:  map[string]string{"DB": db.Name, "Host": way.base.Hostname()},
		Facts: []Fact{{Name: factSumVerified, Answer: No, Value: way.base.Hostname()}}}
	f.Fixes = sumWaysOut(ctx, x, db, way, &f)
	return f
}

// sumWaysOut tries the other ways to the same database, and proposes those that were seen to work.
func sumWaysOut(ctx context.Context, x *Exam, db sumdb.DB, way sumWay, f *Finding) []Fix {
	type other struct {
		base  *url.URL
		code  string
		value string
	}
	var others []other
	if db.Name == publicSumDB {
		others = append(others, other{&url.URL{Scheme: "https", Host: sumAlias}, fixSumAlias, sumAlias})
	}
	for _, t := range x.Targets {
		if t.Role != Upstream || t.URL == nil || !strings.HasPrefix(t.URL.Scheme, "http") || way.stop != nil && httpSame(t, way.at) {
			continue
		}
		base := httpJoin(x.httpBase(t), "sumdb/"+db.Name)
		key := db.Name
		if db.Name != publicSumDB {
			key = db.Key
		}
		others = append(others, other{base, fixSumVia, key + " " + httpShown(base)})
	}
	line := httpLineOf(x, false, nil)
	defer line.Close()
	oks := make([]bool, len(others))
	ferry := false
	var wg sync.WaitGroup
	for i, o := range others {
		wg.Go(func() {
			oks[i] = way.base == nil || o.base.String() != way.base.String()
			oks[i] = oks[i] && sumLookup(ctx, x, db, o.base, line.tr) == nil
		})
	}
	if x.Net.HTTP != nil && way.base != nil {
		wg.Go(func() { ferry = sumLookup(ctx, x, db, way.base, x.Net.HTTP.Transport) == nil })
	}
	wg.Wait()
	var fixes []Fix
	for i, o := range others {
		if oks[i] {
			fix := Fix{Code: o.code, Kind: SetGoEnv, Key: "GOSUMDB", Value: o.value, Args: map[string]string{"Host": o.base.Hostname()}}
			if x.Env["GOSUMDB"] != "" {
				fix.Kind = SetEnv
			}
			fixes = append(fixes, fix)
			f.Facts = append(f.Facts, Fact{Name: factSumOther, Answer: Yes, Value: o.base.Hostname()})
		}
	}
	if ferry {
		fixes = append(fixes, Fix{Code: fixGoferryOn, Kind: RunCommand, Command: []string{"goferry", "on"}})
	}
	if len(fixes) == 0 {
		fixes = []Fix{{Code: fixOtherMirror, Kind: ByHand}}
	}
	return fixes
}
