//go:build !windows

package service

import "context"

// Run runs serve, as a service of the name that Config has if a service manager started this
// process. Only Windows wants that said: elsewhere it is a process like any other.
func Run(ctx context.Context, _ string, serve func(context.Context) error) error { return serve(ctx) }

// registered is for Windows; elsewhere services are files.
func (m *Manager) registered() (State, error) { return State{}, nil }
