package goproxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

const (
	// A mirror is late when it is slower than its usual time by three mean deviations, within bounds.
	leastPatience = 300 * time.Millisecond
	mostPatience  = 10 * time.Second
	// newPatience is for one that has never answered: name, connection, TLS and answer take
	// four round trips or more. nextPatience is for one that is asked
	// while others are late, so that two bad ones cost less than two seconds together.
	newPatience  = 1200 * time.Millisecond
	nextPatience = 400 * time.Millisecond
	// leastOverdue is how late is too late whatever the budget says.
	leastOverdue = 3 * time.Second

	maxInRow  = 2 // failures
	maxSilent = 3 // times that others had to answer in its place

	firstOut   = 10 * time.Second
	maxOut     = 5 * time.Minute
	convictOut = time.Hour
)

// An average follows a quantity: the last eight values or so count.
type average struct {
	mean, dev float64
	n         int
}

func (a *average) add(x float64) {
	if a.n == 0 {
		*a = average{mean: x, dev: x / 2, n: 1}
		return
	}
	a.n = min(a.n+1, 8)
	diff := x - a.mean
	a.mean += diff / float64(a.n)
	a.dev += (max(diff, -diff) - a.dev) * max(0.25, 1/float64(a.n))
}

// A mirror is one of a set, with what is known of it. All of it is guarded by the mu of the set.
type mirror struct {
	Mirror
	index int

	answered bool    // it is known to work, from this run or an earlier one
	latency  average // seconds
	rate     average // bytes per second of large bodies
	measured time.Time
	requests int64
	failures int64
	inRow    int // failures since the last answer
	missed   int // times since the last answer that others had to answer in its place
	refused  int64

	until     time.Time     // out until then, and then until a probe is answered; zero if in service
	why       string        // it is out
	span      time.Duration // how long it was out the last time, jitter apart
	back      time.Time     // when it came back
	prober    *race         // finds out whether it is back; nil for nobody
	convicted bool          // out for the life of the set
	crime     Request       // the file for which it was

	waiting map[*attempt]struct{} // requests that are to be told when it goes out
	overdue int                   // requests for which others were asked beyond the budget
}

// restore takes up what an earlier run knew. How long a mirror is out is bounded: the clock may
// have been wrong.
func (m *mirror) restore(s MirrorState, now time.Time) {
	if s.Latency > 0 {
		m.answered = true
		m.latency = average{mean: s.Latency.Seconds(), dev: max(s.Deviation, 0).Seconds(), n: 1}
	}
	if s.Throughput > 0 {
		m.rate = average{mean: float64(s.Throughput), n: 1}
	}
	if s.OutUntil.After(now) {
		m.until, m.why, m.span = s.OutUntil, s.Why, firstOut
		if latest := now.Add(convictOut); m.until.After(latest) {
			m.until = latest
		}
	}
}

func (m *mirror) state() MirrorState {
	return MirrorState{
		Name: m.Name, Latency: seconds(m.latency.mean), Deviation: seconds(m.latency.dev), Throughput: int64(m.rate.mean),
		Requests: m.requests, Failures: m.failures, InRow: m.inRow, Refused: m.refused, OutUntil: m.until, Why: m.why,
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (m *mirror) out() bool { return !m.until.IsZero() }

// patience is how long its answer may take before it is late.
func (m *mirror) patience() time.Duration {
	if !m.answered {
		return newPatience
	}
	return min(max(seconds(m.latency.mean+3*m.latency.dev), leastPatience), mostPatience)
}

func (a *attempt) overdueAfter() time.Duration { return max(3*a.own, leastOverdue) }

// release is called once when a has ended or is given up.
func (a *attempt) release() {
	delete(a.m.waiting, a)
	if a.overdue {
		a.m.overdue--
	}
}

// account learns from the answer of a. A denial proves that the mirror works, but little about its speed:
// some look for what they lack before they say so.
func (s *Mirrors) account(a *attempt, now time.Time) {
	m := a.m
	if a.err != nil && !denies(a.err) {
		s.failed(m, now, a.err)
		return
	}
	if a.err == nil || m.latency.n == 0 {
		m.latency.add(now.Sub(a.start).Seconds())
		m.measured = now
	}
	m.answered, m.inRow, m.missed = true, 0, 0
	if a.probe && m.out() && !m.convicted { // an answer to an earlier request is old news
		m.until, m.why, m.back = time.Time{}, "", now
		s.say(m, MirrorBack, nil, func() { s.log.Info("mirror answers again", "source", m.Name) })
	}
}

// silent learns from a that it had not answered when others had.
func (s *Mirrors) silent(a *attempt, now time.Time) {
	m, waited := a.m, now.Sub(a.start)
	why := fmt.Errorf("%w: no answer in %v, when another had one", ErrUnavailable, waited.Round(time.Millisecond))
	switch {
	case a.probe:
		s.leave(m, now, why)
		return
	case waited < a.patience:
		return
	}
	if m.answered && waited.Seconds() > m.latency.mean {
		m.latency.add(waited.Seconds()) // at least
		m.measured = now
	}
	m.missed++
	if !m.answered && waited >= a.own || m.missed >= maxSilent || waited >= a.overdueAfter() {
		s.leave(m, now, why)
	}
}

// failed learns that m did not deliver.
func (s *Mirrors) failed(m *mirror, now time.Time, err error) {
	m.failures++
	m.inRow++
	var e *Error
	switch {
	case errors.As(err, &e) && e.RetryAfter > 0:
		if until := now.Add(min(e.RetryAfter, maxOut)); until.After(m.until) && !m.convicted {
			s.rest(m, until, err)
		}
	case m.inRow >= maxInRow, unreached(err):
		s.leave(m, now, err)
	}
}

// unreached reports whether err says that there is nobody, rather than that somebody failed.
func unreached(err error) bool {
	var (
		op   *net.OpError
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		rec  tls.RecordHeaderError
		al   tls.AlertError
	)
	return Timeout(err) || errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) ||
		errors.As(err, &cert) || errors.As(err, &rec) || errors.As(err, &al)
}

// leave puts m out for a while: twice as long as the last time if that helped little. Clients
// that lost it together must not come back together.
func (s *Mirrors) leave(m *mirror, now time.Time, why error) {
	if m.convicted || now.Before(m.until) {
		return
	}
	if m.span > 0 && (m.out() || now.Sub(m.back) < 2*m.span) {
		m.span = min(2*m.span, maxOut)
	} else {
		m.span = firstOut
	}
	s.rest(m, now.Add(m.span*3/4+rand.N(m.span/2)), why)
}

func (s *Mirrors) rest(m *mirror, until time.Time, why error) {
	m.putOut(until, why)
	s.say(m, MirrorOut, why, func() {
		s.log.Warn("mirror is left alone for a while", "source", m.Name, "until", until.Round(time.Second), "err", why)
	})
}

// putOut also tells those who wait for m, so that they ask another.
func (m *mirror) putOut(until time.Time, why error) {
	m.until, m.why = until, reason(why)
	for a := range m.waiting {
		a.lost = true
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	clear(m.waiting)
}

// reason is the text of err without the file that was asked for and the name of the mirror.
func reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return err.Error()
}

// forged puts m out for good: the checksum database refuses what it served for req.
func (s *Mirrors) forged(m *mirror, req Request, err error) {
	s.change(func(now time.Time) {
		m.refused++
		first := !m.convicted
		m.convicted, m.crime = true, req
		if !first {
			s.say(m, MirrorRefused, err, nil)
			return
		}
		m.putOut(now.Add(convictOut), err)
		s.say(m, MirrorRefused, err, func() {
			s.log.Error("mirror is put out: the checksum database refuses its bytes", "source", m.Name,
				"module", req.Path, "version", req.Version, "file", req.Kind.String(), "err", err)
		})
	})
}

// acquit takes back those that were put out for req: independent mirrors serve other bytes than the
// checksum database recorded, and nobody serves those, so it is the module that changed.
func (s *Mirrors) acquit(ms []*mirror, req Request) {
	s.change(func(now time.Time) {
		for _, m := range ms {
			if m.convicted && m.crime == req {
				m.convicted, m.until, m.why, m.back = false, time.Time{}, "", now
				s.say(m, MirrorBack, nil, func() {
					s.log.Warn("mirror is taken back: no other mirror has bytes that the checksum database accepts", "source", m.Name,
						"module", req.Path, "version", req.Version, "file", req.Kind.String())
				})
			}
		}
	})
}
