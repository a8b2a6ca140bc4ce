package main

import (
	"context"
	"net"
	"net/url"
	"slices"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
)

// withoutSelf takes the server's own address out of its upstreams. `go env -w GOPROXY=` of a
// running goferry is how the go command is made to use it; started again, goferry would
// read its own address there and wait for itself. What the go command would use
// without that setting stands in then.
func (a *app) withoutSelf(ctx context.Context, cfg *config.Config, self string) (*config.Config, error) {
	ups, err := goproxy.ParseUpstreams(string(cfg.Upstream))
	if err != nil || !slices.ContainsFunc(ups, func(u goproxy.Upstream) bool { return isSelf(u.URL, self) }) {
		return cfg, nil // what is wrong with the list is said where it is used
	}
	others := slices.DeleteFunc(ups, func(u goproxy.Upstream) bool { return isSelf(u.URL, self) })
	if len(others) > 0 && others[0].URL != "direct" && others[0].URL != "off" {
		cfg.Upstream = config.Masked(goproxy.FormatUpstreams(others))
		return cfg, nil
	}
	if cfg.Origin("upstream").Kind == config.FromGoEnv {
		if list := a.goDefault(ctx); list != "" {
			cfg.Upstream = config.Masked(list)
			return cfg, nil
		}
	}
	return nil, &fault{code: "error.upstream-self", args: []any{"URL", self}, hint: "hint.no-upstream", exit: 2}
}

// goDefault is the GOPROXY that the go command has from its distribution.
func (a *app) goDefault(ctx context.Context) string {
	bare := *a.runner
	bare.Env = append(bare.Environ(), "GOENV=off", "GOPROXY=")
	env, err := bare.GoEnv(ctx, "GOPROXY")
	if err != nil {
		return ""
	}
	return env["GOPROXY"]
}

// isSelf reports whether upstream leads to the port that self, a URL of ours, listens on.
func isSelf(upstream, self string) bool {
	u, err := url.Parse(upstream)
	s, serr := url.Parse(self)
	if err != nil || serr != nil || u.Port() == "" || u.Port() != s.Port() {
		return false
	}
	if u.Hostname() == s.Hostname() || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	if ip == nil {
		return false
	}
	addrs, err := net.InterfaceAddrs()
	return ip.IsLoopback() || err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}
