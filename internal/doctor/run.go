package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// checkWait is how long a check may look. The whole takes that long and little more, so that
// even on a dead network nobody waits for 15 s.
const checkWait = 12 * time.Second

// checkGrace is how long a check may take to notice that its time is over.
const checkGrace = time.Second

// Options say how an examination goes. The zero value is a good one.
type Options struct {
	Wait  time.Duration // for each check; 0 is 12 s
	Begun func(Check)   // told of each check as it begins; may be nil
	Done  func(Result)  // told of each check as it ends, before causes are sought; may be nil
}

// Examine lets checks look at x, side by side, and returns what they found. It returns no later than
// Options.Wait and a second after it was called, or soon after ctx ends: who hangs in the system's
// hands (a network file system, say) is left behind. Options.Begun and Options.Done are called by one goroutine.
//
// The report holds no secret that is known or can be told by its form; see Secrets.
func Examine(ctx context.Context, x *Exam, checks []Check, o Options) Report {
	start := time.Now()
	if o.Wait <= 0 {
		o.Wait = checkWait
	}
	type ended struct {
		i int
		r Result
	}
	x = x.Sharing()
	results := make([]Result, len(checks))
	done := make(chan ended, len(checks))
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	var begun sync.WaitGroup // else a deadline could be over before the last one has begun
	for i, c := range checks {
		results[i] = Result{Check: c.ID, Group: c.Group}
		if o.Begun != nil {
			o.Begun(c)
		}
		begun.Add(1)
		go func() {
			begun.Done()
			done <- ended{i, runCheck(ctx, x, c)}
		}()
	}
	begun.Wait()
	over := time.NewTimer(o.Wait + checkGrace)
	defer over.Stop()
	left := ctx.Done()
	secrets := SecretsOf(x)
	for pending := len(checks); pending > 0; {
		select {
		case e := <-done:
			pending--
			results[e.i] = e.r
			if o.Done != nil {
				o.Done(secrets.result(e.r))
			}
			continue
		case <-left: // nobody waits any more, or the time is over
			left = nil
			over.Reset(checkGrace)
			continue
		case <-over.C:
		}
		for i := range results {
			if results[i].State == "" {
				results[i].take(Outcome{NotRun: OutOfTime}, time.Since(start))
			}
		}
		pending = 0
	}
	return reportOf(x, results, time.Since(start), secrets)
}

// runCheck runs one check, and makes of a panic what it is: a check that could not look.
func runCheck(ctx context.Context, x *Exam, c Check) (r Result) {
	start := time.Now()
	r = Result{Check: c.ID, Group: c.Group}
	defer func() {
		if p := recover(); p != nil {
			r.take(Outcome{NotRun: Broken, Detail: fmt.Sprint(p)}, time.Since(start))
		}
	}()
	o := c.Run(ctx, x)
	if o.NotRun == "" && ctx.Err() != nil {
		o.NotRun = OutOfTime // what it had no time to look at may be bad
	}
	r.take(o, time.Since(start))
	return r
}

// take makes r what came of a check.
func (r *Result) take(o Outcome, took time.Duration) {
	r.Took, r.Facts, r.Findings, r.Reason, r.Detail = took, o.Facts, o.Findings, o.NotRun, o.Detail
	r.State = Healthy
	if r.Reason != "" {
		r.State = NotSure
	}
	for _, f := range r.Findings {
		r.State = worse(r.State, stateOf(f.Severity))
	}
}

func stateOf(s Severity) State {
	switch s {
	case Fault:
		return Faulty
	case Warning:
		return Warned
	}
	return Healthy
}

// States lists the states, from good to bad.
func States() []State { return []State{Healthy, NotSure, Warned, Faulty} }

func worse(a, b State) State {
	all := States()
	return all[max(slices.Index(all, a), slices.Index(all, b))]
}

// reportOf puts the report together. What is shown of it is without secrets.
func reportOf(x *Exam, results []Result, took time.Duration, secrets Secrets) Report {
	rank := Groups()
	slices.SortStableFunc(results, func(a, b Result) int { return slices.Index(rank, a.Group) - slices.Index(rank, b.Group) })
	r := Report{SchemaVersion: SchemaVersion, Healthy: true, Complete: true, Took: took, Causes: causesOf(x, results), Results: []Result{},
		Trace: x.Trace.ran(secrets)}
	for _, c := range r.Causes {
		for _, f := range append([]Finding{c.Finding}, c.Follows...) {
			r.Healthy = r.Healthy && f.Severity != Fault && f.Severity != Warning
		}
	}
	for _, res := range results {
		r.Results = append(r.Results, secrets.result(res))
	}
	r.Complete = r.Unlooked() == 0
	for i, c := range r.Causes {
		r.Causes[i].Finding = secrets.finding(c.Finding)
		r.Causes[i].Follows = secrets.findings(c.Follows)
	}
	return r
}

// Unlooked counts the checks that were kept from looking at what counts. That a tool is missing counts where no finding says what
// that leads to.
func (r Report) Unlooked() int {
	n := 0
	for _, res := range r.Results {
		if !res.Reason.harmless() || res.Reason == NoTool && r.Healthy {
			n++
		}
	}
	return n
}

// harmless reports whether what was not looked at for that reason cannot be what is wrong.
func (r Reason) harmless() bool {
	switch r {
	case "", NotNeeded, NotHere, NoTool: // a tool that is needed is a finding of its own
		return true
	}
	return false
}

// Of returns what a group comes to: the worst of its checks, the reason of those that could not look, and whether
// the group was looked at or asked for at all. Where every check of it was left out, that is NotSure with their reason;
// where some looked, those that were not needed do not count.
func (r Report) Of(g Group) (s State, why Reason, ok bool) {
	looked := false
	s = Healthy
	for _, res := range r.Results {
		if res.Group != g {
			continue
		}
		ok = true
		if res.Reason != "" && (why == "" || why.harmless()) {
			why = res.Reason
		}
		if res.Reason.harmless() && res.State == NotSure {
			continue
		}
		looked = true
		s = worse(s, res.State)
	}
	if ok && !looked {
		return NotSure, why, true
	}
	return s, why, ok
}
