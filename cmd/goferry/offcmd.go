package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/service"
)

// off undoes what on did, and nothing else: GOPROXY first, so that no go command asks a
// service that is going away.
func (a *app) off(ctx context.Context) error {
	record, err := loadRecord()
	if err != nil {
		return err
	}
	m, err := a.serviceManager()
	if err != nil {
		return err
	}
	st, err := m.State(ctx)
	if err != nil {
		return err
	}
	if record == nil && !st.Ours {
		_, err := fmt.Fprintln(a.stdout, a.p.T("off.nothing"))
		return err
	}
	if record != nil && record.Go != nil {
		if err := a.offGo(ctx, record); err != nil {
			return err
		}
	}
	if st.Installed {
		if err := a.offService(ctx, m, st.File); err != nil {
			return err
		}
	}
	if err := removeRecord(); err != nil {
		return err
	}
	if record != nil && record.URL != "" {
		a.warnStillPointed(ctx, record.URL)
	}
	return nil
}

// offGo puts GOPROXY back, and says so.
func (a *app) offGo(ctx context.Context, record *onRecord) error {
	g := record.Go
	ours, err := a.restore(ctx, g)
	if err != nil {
		return cmp.Or(noCommand(err), err)
	}
	line := a.p.T("off.unset")
	switch {
	case !ours:
		line = a.p.T("off.changed", "File", g.File)
	case g.Before != nil:
		line = a.p.T("off.restored", "Value", config.Redact(*g.Before))
	}
	if _, err := fmt.Fprintln(a.stdout, line); err != nil {
		return err
	}
	record.Go = nil // were the service not to go, the next off should not look here again
	return record.save()
}

// offService removes the service, which is described in file, and says so.
func (a *app) offService(ctx context.Context, m *service.Manager, file string) error {
	removed, err := m.Remove(ctx)
	switch {
	case errors.Is(err, service.ErrForeign):
		a.say(a.p.T("error.off-foreign", "Name", serviceName, "File", file))
		a.exit = 3
		return nil
	case errors.Is(err, service.ErrDenied):
		return &fault{code: "error.on-denied", args: []any{"Err", err}, hint: "hint.on-denied", exit: 1, err: err}
	case err != nil:
		return &fault{code: "error.off-service", args: []any{"Err", err}, hint: "hint.off-service", exit: 1, err: err}
	case removed:
		_, err = fmt.Fprintln(a.stdout, a.p.T("off.service", "Name", serviceName))
	}
	return err
}

// warnStillPointed says when the go command would still ask goferry first, by what on did not write.
func (a *app) warnStillPointed(ctx context.Context, url string) {
	env, err := a.runner.GoEnv(ctx, "GOPROXY")
	if err != nil {
		return // there is no go command that could
	}
	ups, err := goproxy.ParseUpstreams(env["GOPROXY"])
	if err == nil && isSelf(ups[0].URL, url) {
		a.say(a.p.T("off.still", "Value", config.Redact(env["GOPROXY"])))
	}
}
