package goproxytest

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A faultSpec is what a name in the path stands for.
type faultSpec struct {
	arg   bool                             // one more segment belongs to it
	check func(arg string) error           // nil if any argument will do
	apply func(x *exchange, f *fault) bool // reports whether the request is answered
}

// A fault is one of a path.
type fault struct {
	name, arg string
	only      []string // kinds
	times     []int
	from, at  int // in the path: where its conditions begin, and where it does itself
	to        int // behind it
}

// String is the fault as it stood in the path, with its conditions normalised.
func (f fault) String() string {
	var b strings.Builder
	for _, k := range f.only {
		b.WriteString("/only/" + k)
	}
	for _, n := range f.times {
		fmt.Fprintf(&b, "/times/%d", n)
	}
	b.WriteString("/" + f.name)
	if f.arg != "" {
		b.WriteString("/" + f.arg)
	}
	return b.String()
}

const (
	onlyName  = "only"
	timesName = "times"
	sumdbKind = "sumdb"
)

func isKind(s string) bool {
	switch s {
	case "list", "latest", "info", "mod", "zip", sumdbKind:
		return true
	}
	return false
}

// parseFaults takes the faults off the front of path, which begins with a
// slash. rest is the path of the protocol, with its slash.
func (h *Handler) parseFaults(path string) (faults []fault, rest string, err error) {
	pos := 0
	next := func() (string, bool) {
		if pos >= len(path) || path[pos] != '/' {
			return "", false
		}
		seg, _, _ := strings.Cut(path[pos+1:], "/")
		pos += 1 + len(seg)
		return seg, true
	}
	f := fault{}
	for {
		at := pos
		name, ok := next()
		if !ok {
			break
		}
		if name == onlyName || name == timesName {
			arg, _ := next()
			if err := f.condition(name, arg); err != nil {
				return nil, "", err
			}
			continue
		}
		spec, ok := h.lookup(name)
		if !ok {
			if at != f.from {
				return nil, "", fmt.Errorf("no fault behind %s", path[f.from:at])
			}
			if !strings.Contains(name, ".") && name != sumdbKind {
				return nil, "", fmt.Errorf("no such fault as %q", name)
			}
			return faults, path[at:], nil
		}
		f.name, f.at = name, at
		if spec.arg {
			f.arg, _ = next()
		}
		if spec.check != nil {
			if err := spec.check(f.arg); err != nil {
				return nil, "", fmt.Errorf("%s: %w", name, err)
			}
		}
		f.to = pos
		faults = append(faults, f)
		f = fault{from: pos}
	}
	return faults, "", nil
}

func (f *fault) condition(name, arg string) error {
	if name == onlyName {
		if !isKind(arg) {
			return fmt.Errorf("only: no such kind as %q", arg)
		}
		f.only = append(f.only, arg)
		return nil
	}
	n, err := strconv.Atoi(arg)
	if err != nil || n < 0 {
		return fmt.Errorf("times: %q is no number", arg)
	}
	f.times = append(f.times, n)
	return nil
}

// lookup finds the fault of a segment; statuses are too many for a table.
func (h *Handler) lookup(name string) (faultSpec, bool) {
	if status, retry, ok := parseStatus(name); ok {
		return faultSpec{apply: func(x *exchange, _ *fault) bool { return x.status(status, retry) }}, true
	}
	if code, ok := strings.CutPrefix(name, "sumdb-"); ok {
		if status, retry, ok := parseStatus(code); ok {
			return faultSpec{apply: func(x *exchange, _ *fault) bool { return x.kind == sumdbKind && x.status(status, retry) }}, true
		}
	}
	spec, ok := h.faults[name]
	return spec, ok
}

// parseStatus parses 4xx and 5xx, with -N for Retry-After.
func parseStatus(s string) (status int, retry string, ok bool) {
	code, retry, has := strings.Cut(s, "-")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 400 || status > 599 {
		return 0, "", false
	}
	if _, err := strconv.ParseUint(retry, 10, 31); has && err != nil {
		return 0, "", false
	}
	return status, retry, true
}

// applies reports whether the conditions of f hold, and counts the request.
func (f *fault) applies(x *exchange, i int) bool {
	for _, k := range f.only {
		if k != x.kind {
			return false
		}
	}
	for j, n := range f.times {
		if !x.h.first(n, fmt.Sprintf("%s %d %d", x.r.URL.Path, i, j)) {
			return false
		}
	}
	return true
}

// amount is a number of bytes, or a share of a body.
type amount struct {
	bytes   int64
	percent float64
	share   bool
}

func (a amount) of(total int64) int64 {
	if !a.share {
		return a.bytes
	}
	return int64(float64(max(total, 0)) * a.percent / 100) // of an unknown length: nothing
}

func parseAmount(s string) (a amount, err error) {
	num, pct := strings.CutSuffix(s, "%")
	if !pct {
		num, pct = strings.CutSuffix(s, "pct") // needs no escaping in a URL
	}
	if pct {
		a.share = true
		a.percent, err = strconv.ParseFloat(num, 64)
		if err != nil || !(a.percent >= 0 && a.percent <= 100) {
			return a, fmt.Errorf("%q is no share of 0%% to 100%%", s)
		}
		return a, nil
	}
	a.bytes, err = strconv.ParseInt(s, 10, 64)
	if err != nil || a.bytes < 0 {
		return a, fmt.Errorf("%q is no number of bytes and no percentage", s)
	}
	return a, nil
}

// parseRate parses bytes per second.
func parseRate(s string) (int64, error) {
	num, unit := s, int64(1)
	for _, u := range []struct {
		suffix string
		n      int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"KB", 1e3}, {"MB", 1e6}, {"B", 1}} {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			num, unit = n, u.n
			break
		}
	}
	n, err := strconv.ParseInt(num, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no rate such as 15MB", s)
	}
	return n * unit, nil
}

func checkAmount(s string) error { _, err := parseAmount(s); return err }
func checkRate(s string) error   { _, err := parseRate(s); return err }

func checkDuration(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < 0 {
		return fmt.Errorf("%q is no duration such as 2s", s)
	}
	return nil
}

func checkCount(s string) error {
	if _, err := strconv.ParseUint(s, 10, 16); err != nil {
		return fmt.Errorf("%q is no number", s)
	}
	return nil
}

func checkBadZip(s string) error {
	if !slices.Contains(BadZips(), s) {
		return fmt.Errorf("no such zip as %q; there are %s", s, strings.Join(BadZips(), " "))
	}
	return nil
}

// faultTable has the faults but for statuses.
func faultTable() map[string]faultSpec {
	set := func(f func(x *exchange)) faultSpec {
		return faultSpec{apply: func(x *exchange, _ *fault) bool { f(x); return false }}
	}
	sized := func(f func(x *exchange, a amount)) faultSpec {
		return faultSpec{true, checkAmount, func(x *exchange, f1 *fault) bool {
			a, _ := parseAmount(f1.arg) // checked
			f(x, a)
			return false
		}}
	}
	return map[string]faultSpec{
		"hang":  {apply: func(x *exchange, _ *fault) bool { <-x.r.Context().Done(); return true }},
		"eof":   {apply: func(*exchange, *fault) bool { panic(http.ErrAbortHandler) }},
		"reset": {apply: func(x *exchange, _ *fault) bool { x.reset(); return true }},
		"html":  {apply: func(x *exchange, _ *fault) bool { return x.html() }},
		"auth":  {apply: func(x *exchange, _ *fault) bool { return x.auth() }},

		"redirect":     {true, checkCount, func(x *exchange, f *fault) bool { return x.redirect(f) }},
		"redirecthost": {apply: func(x *exchange, f *fault) bool { return x.redirectTo(f, otherHost(x.r.Host), "") }},
		"redirecthttp": {apply: func(x *exchange, f *fault) bool { return x.redirectTo(f, x.r.Host, "http") }},

		"slow": {true, checkDuration, func(x *exchange, f *fault) bool {
			d, _ := time.ParseDuration(f.arg)
			return !sleep(x.r.Context(), d)
		}},
		"drip": {true, checkRate, func(x *exchange, f *fault) bool { x.w.rate, _ = parseRate(f.arg); return false }},
		"stall": sized(func(x *exchange, a amount) {
			x.w.stopAt(a, func() { <-x.r.Context().Done(); panic(http.ErrAbortHandler) })
		}),
		"cut":   sized(func(x *exchange, a amount) { x.w.stopAt(a, func() { panic(http.ErrAbortHandler) }) }),
		"short": sized(func(x *exchange, a amount) { x.short = &a }),

		"corrupt":     set(func(x *exchange) { x.corrupt = true }),
		"wrongsum":    set(func(x *exchange) { x.wrong = true }),
		"endless":     set(func(x *exchange) { x.endless = true }),
		"garbagelist": set(func(x *exchange) { x.garbage = true }),
		"norange":     set(func(x *exchange) { x.noRange = true }),
		"noetag":      set(func(x *exchange) { x.noETag = true }),
		"newetag":     set(func(x *exchange) { x.newETag = true }),
		"nolength":    set(func(x *exchange) { x.w.noLength = true }),

		"badzip": {true, checkBadZip, func(x *exchange, f *fault) bool { x.badZip = f.arg; return false }},
		"hugelist": {true, checkCount, func(x *exchange, f *fault) bool {
			n, _ := strconv.ParseInt(f.arg, 10, 64)
			x.lines = n * 1e6
			return false
		}},
		"nolatest":     {apply: func(x *exchange, _ *fault) bool { return x.kind == "latest" && x.status(http.StatusNotFound, "") }},
		"nosumdb":      {apply: func(x *exchange, _ *fault) bool { return x.kind == sumdbKind && x.status(http.StatusNotFound, "") }},
		"sumdb-wrong":  set(func(x *exchange) { x.sums = wrongSums }),
		"sumdb-badkey": set(func(x *exchange) { x.sums = badKey }),
	}
}

// otherHost is another name of the loopback interface, with the same port.
func otherHost(hostport string) string {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return net.JoinHostPort("localhost", port)
}

// redirect counts one down.
func (x *exchange) redirect(f *fault) bool {
	n, _ := strconv.Atoi(f.arg) // checked
	if n == 0 {
		return false
	}
	p := x.r.URL.Path
	to := p[:f.from] + p[f.to:]
	if n > 1 {
		to = fmt.Sprintf("%s/redirect/%d%s", p[:f.at], n-1, p[f.to:])
	}
	return x.location((&url.URL{Path: to}).EscapedPath())
}

// redirectTo goes to another host, where the fault is no more.
func (x *exchange) redirectTo(f *fault, host, scheme string) bool {
	if scheme == "" {
		scheme = "http"
		if x.r.TLS != nil {
			scheme = "https"
		}
	}
	p := x.r.URL.Path
	return x.location((&url.URL{Scheme: scheme, Host: host, Path: p[:f.from] + p[f.to:]}).String())
}

func (x *exchange) location(to string) bool {
	x.w.Header().Set("Location", to)
	x.w.WriteHeader(http.StatusFound)
	return true
}
