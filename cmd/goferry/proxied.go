package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/goferry/goferry/internal/config"
	"github.com/goferry/goferry/internal/server"
)

// proxied runs work while a module proxy of its own answers at url, a loopback port, over the user's cache.
// The proxy lives as long as work, also when ctx ends before: programs that work runs are told of signals
// themselves. The context that work gets ends with the proxy. setUp, if it is not nil, changes what is wired before anybody is served.
func (a *app) proxied(ctx context.Context, cfg *config.Config, log *slog.Logger, t *tally, setUp func(*ferry), work func(serving context.Context, f *ferry, url string) error) (err error) {
	f, err := a.wire(cfg, log, nil, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	srv, err := server.Listen(ctx, server.Config{Listen: "127.0.0.1:0", ShutdownTimeout: cfg.ShutdownTimeout, Logger: log})
	if err != nil {
		return listenFault(cfg, err)
	}
	if setUp != nil {
		setUp(f)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served, kept := make(chan error, 1), make(chan error, 1)
	go func() { served <- srv.Serve(serving, a.mux(f, srv.URL())) }()
	go func() { kept <- f.store.Run(serving) }()
	err = work(serving, f, srv.URL())
	stop()
	return errors.Join(err, <-served, <-kept)
}

// terminalLevel is the level of the log where the terminal belongs to somebody else: errors alone,
// unless somebody has set one.
func terminalLevel(cfg *config.Config) slog.Level {
	if cfg.Origin("log.level").Kind != config.FromDefault {
		return cfg.LogLevel
	}
	return max(cfg.LogLevel, slog.LevelWarn)
}
