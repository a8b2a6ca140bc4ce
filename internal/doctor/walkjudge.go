package doctor

import (
	"cmp"
	"context"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/sumdb"
	"github.com/goferry/goferry/internal/transport"
)

// Findings of a walk.
const (
	codeWalkAbsent  = "module-not-found"  // all who are asked say so
	codeWalkOff     = "module-proxy-off"  // GOPROXY=off, or a list that ends with it
	codeWalkGit     = "module-git-failed" // version control says no
	codeWalkGitAuth = "module-git-auth"   // version control wants a log-in
	codeWalkPrivate = "module-private"    // the checksum database has no record of it, and cannot have one
	codeWalkFailed  = "module-failed"     // an upstream fails, and the go command stops there
)

// Facts of a walk.
const (
	factWalkElsewhere = "served-elsewhere"
	factWalkGit       = "git-says"
)

// Fixes of a walk.
const (
	fixGoPrivate = "set-goprivate"
	fixModuleGit = "module-git-login"
	fixSpellPath = "module-spelling"
	fixAddDirect = "add-direct"
)

func walkCodes() []string {
	return []string{codeWalkAbsent, codeWalkOff, codeWalkGit, codeWalkGitAuth, codeWalkPrivate, codeWalkFailed}
}

func walkFacts() []string { return []string{factWalkElsewhere, factWalkGit} }

func walkFixes() []string { return []string{fixGoPrivate, fixModuleGit, fixSpellPath, fixAddDirect} }

// judge makes findings of how the walk ended.
func (wk *walker) judge(ctx context.Context) {
	w := wk.w
	args := map[string]string{"Module": w.Module, "Version": cmp.Or(w.Version, w.Query)}
	switch last, ok := wk.last(); {
	case len(wk.findings) > 0: // a mismatch
	case w.State == WalkServed:
		wk.judgeDatabase(ctx, args)
	case w.State == WalkOff:
		wk.add(Finding{Code: codeWalkOff, Severity: Fault, Subject: "GOPROXY", Args: args, Fixes: wk.elsewhere()})
	case w.State == WalkAbsent:
		wk.judgeAbsent(args)
	case ok && (w.State == WalkFailed || w.State == WalkSilent):
		wk.judgeStop(ctx, last, args)
	}
	// An entry that failed on the way costs time each time, or will be the last one day.
	for _, stop := range w.Stops {
		if stop.Asked && w.State == WalkServed && (stop.State == WalkFailed || stop.State == WalkSilent) && stop.target.Role == Upstream {
			before := len(wk.findings)
			wk.judgeStop(ctx, stop, map[string]string{"Module": w.Module, "Version": cmp.Or(w.Version, w.Query)})
			for i := before; i < len(wk.findings); i++ {
				wk.findings[i].Severity = Warning
			}
		}
	}
}

func (wk *walker) add(f Finding) { wk.findings = append(wk.findings, f) }

// last is the entry at which the go command ended.
func (wk *walker) last() (WalkStop, bool) {
	for _, stop := range slices.Backward(wk.w.Stops) {
		if stop.Asked {
			return stop, true
		}
	}
	return WalkStop{}, false
}

// elsewhere looks for an entry of GOPROXY that has what the go command did not get, and makes a way to it: "|" where an
// error came, and the list without the entry where none comes.
func (wk *walker) elsewhere() []Fix {
	end := -1
	for i, stop := range wk.w.Stops {
		if stop.Asked {
			end = i
		}
	}
	ups := httpUpstreams(wk.x)
	for i, stop := range wk.w.Stops {
		if stop.Asked || stop.State != WalkServed || i >= len(ups) || end < 0 || i <= end {
			continue
		}
		if name := wk.w.Stops[end].Name; wk.w.Stops[end].State == WalkSilent || wk.w.Stops[end].State == WalkOff {
			return []Fix{httpSetGOPROXY(wk.x, fixDropProxy, slices.Delete(ups, end, end+1), map[string]string{"Host": name})}
		}
		for j := end; j < i; j++ {
			ups[j].Sep = goproxy.OnError
		}
		return []Fix{httpSetGOPROXY(wk.x, fixPipe, ups, map[string]string{"Host": wk.w.Stops[end].Name})}
	}
	return nil
}

// judgeStop says why the go command ended at stop.
func (wk *walker) judgeStop(ctx context.Context, stop WalkStop, args map[string]string) {
	step := WalkStep{}
	if n := len(stop.Steps); n > 0 {
		step = stop.Steps[n-1]
	}
	if step.What == "git" {
		wk.judgeGit(ctx, stop, step, args)
		return
	}
	fixes := wk.elsewhere()
	host := stop.Name
	if stop.target.URL != nil {
		host = subjectOf(stop.target)
	}
	args["Host"], args["Err"], args["Addr"] = host, walkError(step), step.Addr
	f := Finding{Code: codeWalkFailed, Severity: Fault, Subject: host, Op: step.Op, Args: args, Fixes: fixes}
	a := step.answer
	switch {
	case stop.target.URL != nil && a.unreached() && a.op != transport.OpProxy && len(a.hops) == 0:
		if r := wk.x.Reach(ctx, stop.target); !r.Works() && r.Verdict != VerdictUnknown && r.Op != transport.OpProxy {
			for _, g := range wk.x.networkFindings(r, Fault) {
				g.Fixes = append(g.Fixes, fixes...)
				wk.add(g)
			}
			return
		}
	case a.unreached() && len(a.hops) > 0:
		f.Code, args["Other"] = codeRedirectBroken, a.url.Hostname()
		f.Fixes = append(f.Fixes, Fix{Code: fixAllowHost, Kind: ByHand, Args: map[string]string{"Host": a.url.Hostname()}})
		for _, g := range wk.x.redirectWhy(ctx, stop.target, a, f) {
			wk.add(g)
		}
	case a.op == transport.OpProxy || a.via != nil && a.unreached():
		try := &proxyTry{t: stop.target, proxy: stop.target.Proxy, through: a}
		if try.proxy != nil {
			try.direct = proxyAsk(ctx, wk.x, stop.target, nil)
			for _, g := range try.judge(ctx, wk.x) {
				wk.add(g)
			}
			return
		}
	case stop.State == WalkSilent:
		f.Code = codeHTTPStalled
	case a.status == http.StatusUnauthorized:
		f.Code = codeHTTPLogin
		f.Fixes = append([]Fix{{Code: fixNetrc, Kind: ByHand, Args: map[string]string{"Host": host}}}, fixes...)
	case a.status == http.StatusOK:
		f.Code = codeHTTPNoProxy
	}
	args["Status"], args["Text"] = strconv.Itoa(a.status), http.StatusText(a.status)
	wk.add(f)
}

// walkError is what came of a step, in words.
func walkError(s WalkStep) string {
	if s.Error != "" {
		return s.Error
	}
	if s.Status == 0 {
		return "no answer"
	}
	text := fmt.Sprintf("%d %s", s.Status, http.StatusText(s.Status))
	// What a proxy says as plain text is what the go command shows.
	if kind, _, _ := mime.ParseMediaType(s.answer.header.Get("Content-Type")); kind == "text/plain" {
		said := strings.ToValidUTF8(strings.Join(strings.Fields(string(s.answer.body[:min(len(s.answer.body), 300)])), " "), "")
		if said != "" && !strings.EqualFold(said, http.StatusText(s.Status)) {
			text += " (" + said + ")"
		}
	}
	return text
}

// judgeGit tells a log-in that is missing from other trouble. Hosts say "not found" of what they hide.
func (wk *walker) judgeGit(ctx context.Context, stop WalkStop, step WalkStep, args map[string]string) {
	args["Repo"], args["Err"] = step.URL, walkError(step)
	f := Finding{Code: codeWalkGit, Severity: Fault, Subject: step.URL, Op: step.Op, Args: args,
		Facts: []Fact{{Name: factWalkGit, Answer: Yes, Value: walkError(step)}}}
	lower := strings.ToLower(step.Error)
	for _, sign := range []string{"could not read username", "could not read password", "authentication failed", "terminal prompts disabled",
		"permission denied", "repository not found", "repository does not exist", "access denied", "host key verification failed"} {
		if strings.Contains(lower, sign) {
			f.Code = codeWalkGitAuth
			f.Fixes = []Fix{{Code: fixModuleGit, Kind: ByHand, Args: map[string]string{"Repo": step.URL}}}
			if _, asked := walkCovered(wk.x, wk.w.Module); asked { // with a log-in, the database is what fails next
				f.Fixes = append(f.Fixes, wk.privateByHand())
			}
			break
		}
	}
	f.Fixes = append(f.Fixes, wk.elsewhere()...)
	if f.Code == codeWalkGit && stop.target.URL != nil && strings.HasPrefix(step.URL, "https://"+stop.target.URL.Host) {
		// It may be the way to the host, of which git says little.
		if r := wk.x.Reach(ctx, stop.target); !r.Works() && r.Verdict != VerdictUnknown && r.Op != transport.OpProxy {
			for _, g := range wk.x.networkFindings(r, Fault) {
				wk.add(g)
			}
		}
	}
	wk.add(f)
}

// judgeAbsent says that nobody has the module. Where version control was not asked, it may.
func (wk *walker) judgeAbsent(args map[string]string) {
	w := wk.w
	f := Finding{Code: codeWalkAbsent, Severity: Fault, Subject: w.Module, Args: args}
	direct := slices.ContainsFunc(w.Stops, func(s WalkStop) bool { return s.Name == "direct" && s.Asked })
	if ups := httpUpstreams(wk.x); !direct && len(ups) > 0 {
		ups[len(ups)-1].Sep = goproxy.OnAbsent
		list := append(ups, goproxy.Upstream{URL: "direct"})
		f.Fixes = append(f.Fixes, httpSetGOPROXY(wk.x, fixAddDirect, list, nil))
	}
	f.Fixes = append(f.Fixes, Fix{Code: fixSpellPath, Kind: ByHand, Args: map[string]string{"Module": w.Module, "Version": w.Query}})
	wk.add(f)
}

// judgeDatabase judges what the checksum database said of what was served.
func (wk *walker) judgeDatabase(ctx context.Context, args map[string]string) {
	w := wk.w
	if len(w.Stops) == 0 {
		return
	}
	stop := w.Stops[len(w.Stops)-1]
	if len(stop.Steps) == 0 || stop.Steps[0].What != "lookup" && stop.Steps[0].What != "supported" || stop.State == WalkServed {
		return
	}
	w.State = stop.State
	if w.State == WalkAbsent && stop.target.URL.Scheme != "file" { // files have the records that somebody brought
		w.State = WalkFailed
		args["DB"] = stop.Name
		wk.add(Finding{Code: codeWalkPrivate, Severity: Fault, Subject: w.Module, Args: args, Fixes: []Fix{wk.private()}})
		return
	}
	switch w.State {
	case WalkUnmeasured:
		return
	case WalkAbsent:
		w.State = WalkFailed
	}
	step := stop.Steps[0]
	f := Finding{Code: codeSumUnreachable, Severity: Fault, Subject: stop.Name, Op: step.Op, Args: map[string]string{
		"DB": stop.Name, "Host": cmp.Or(stop.target.URL.Hostname(), httpShown(stop.target.URL)), "Err": walkError(step)}}
	if step.What == "supported" {
		f.Subject = subjectOf(stop.target)
		if step.Status != 0 {
			f.Code = codeSumRefused
		}
	}
	if db, err := sumdb.ParseDB(wk.x.SumDB); err == nil {
		way := sumWay{base: stop.target.URL}
		if step.What == "supported" {
			way = sumWay{stop: &step.answer, at: stop.target}
		}
		f.Fixes = sumWaysOut(ctx, wk.x, db, way, &f)
	}
	wk.add(f)
}

// private is GOPRIVATE with the module's owner in it.
func (wk *walker) private() Fix {
	parts := strings.SplitN(wk.w.Module, "/", 3)
	pattern := strings.Join(parts[:min(len(parts), 2)], "/")
	list := pattern
	if had := wk.x.GoEnv.Values["GOPRIVATE"]; had != "" {
		list = had + "," + pattern
	}
	f := Fix{Code: fixGoPrivate, Kind: SetGoEnv, Key: "GOPRIVATE", Value: list, Args: map[string]string{"Pattern": pattern}}
	if wk.x.Env["GOPRIVATE"] != "" {
		f.Kind = SetEnv
	}
	return f
}

// privateByHand is private as an advice, where nothing shows yet that the module is private: it may not exist.
func (wk *walker) privateByHand() Fix {
	f := wk.private()
	if f.Kind == SetGoEnv {
		f.Kind, f.Command = ByHand, []string{"go", "env", "-w", f.Key + "=" + f.Value}
		f.Key, f.Value = "", ""
	}
	return f
}

// walkCovered reports whether the go command asks the checksum database about a module.
func walkCovered(x *Exam, path string) (sumdb.DB, bool) {
	db, err := sumdb.ParseDB(x.SumDB)
	if err != nil || db.Off {
		return db, false
	}
	patterns := x.GoEnv.Values["GONOSUMDB"]
	if patterns == "" {
		patterns = x.GoEnv.Values["GOPRIVATE"]
	}
	return db, !module.MatchPrefixPatterns(patterns, path)
}

func walkMismatch(x *Exam, w *Walk, db, want, got string) Finding {
	host := w.By
	f := Finding{Code: codeMirrorLies, Severity: Fault, Subject: hostOf(host), Op: transport.OpRead,
		Args:  map[string]string{"Host": hostOf(host), "Module": w.Module, "Version": w.Version, "DB": db},
		Facts: []Fact{{Name: factHashWant, Answer: Yes, Value: want}, {Name: factHashGot, Answer: Yes, Value: got}}}
	for _, t := range x.Targets {
		if t.Role == Upstream && t.URL != nil && t.URL.Hostname() == hostOf(host) {
			f.Fixes = (&httpLook{t: t}).otherWays(x)
		}
	}
	return f
}
