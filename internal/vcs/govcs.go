package vcs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// settings are what the go command has been told, in the environment or by go env -w.
type settings struct {
	govcs, private, insecure, goVersion string
}

func (s *Source) settings(ctx context.Context) (settings, error) {
	env, err := s.run.GoEnv(ctx, "GOVCS", "GOPRIVATE", "GOINSECURE", "GOVERSION")
	if err != nil {
		return settings{}, toolError(err)
	}
	return settings{env["GOVCS"], env["GOPRIVATE"], env["GOINSECURE"], env["GOVERSION"]}, nil
}

// defaultGOVCS applies where GOVCS says nothing.
const defaultGOVCS = "private:all,public:git|hg"

// mayUse returns an error that matches ErrBlocked if GOVCS forbids the version control system of r. It is asked
// before any is started: what the go command would not touch, we do not touch to find out why.
// https://go.dev/ref/mod#vcs-govcs
func (set settings) mayUse(r root) error {
	if r.vcs == "mod" || allows(set.govcs+","+defaultGOVCS, r.prefix, module.MatchPrefixPatterns(set.private, r.prefix), r.vcs) {
		return nil
	}
	return withHint(hintGOVCS, fmt.Errorf("%w: GOVCS forbids %s for %s", goproxy.ErrBlocked, r.vcs, r.prefix))
}

// allows evaluates rules such as "example.com:git,private:all,public:git|hg": the first that matches decides.
func allows(govcs, path string, private bool, vcs string) bool {
	for rule := range strings.SplitSeq(govcs, ",") {
		pattern, list, _ := strings.Cut(rule, ":")
		pattern = strings.TrimSpace(pattern)
		match := false
		switch pattern {
		case "private":
			match = private
		case "public":
			match = !private
		default:
			match = module.MatchPrefixPatterns(pattern, path)
		}
		if match {
			allowed := strings.Split(list, "|")
			return slices.ContainsFunc(allowed, func(a string) bool { a = strings.TrimSpace(a); return a == vcs || a == "all" })
		}
	}
	return false
}
