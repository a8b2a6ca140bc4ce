package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// registered asks the service control manager with as few rights as it takes, so that every
// user may look.
func (m *Manager) registered() (State, error) {
	h, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return State{}, fmt.Errorf("service control manager: %w", err)
	}
	defer windows.CloseServiceHandle(h)
	name, err := windows.UTF16PtrFromString(m.cfg.Name)
	if err != nil {
		return State{}, fmt.Errorf("service name: %w", err)
	}
	s, err := windows.OpenService(h, name, windows.SERVICE_QUERY_CONFIG)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return State{}, nil
	} else if err != nil {
		return State{}, fmt.Errorf("service control manager: %w", err)
	}
	service := &mgr.Service{Name: m.cfg.Name, Handle: s}
	defer service.Close()
	c, err := service.Config()
	if err != nil {
		return State{}, fmt.Errorf("service control manager: %w", err)
	}
	return State{Installed: true, Ours: strings.Contains(c.Description, Mark)}, nil
}

// Run runs serve, as the service called name if the service control manager started this process:
// it ends a service that does not answer it. serve is asked to end through its context.
func Run(ctx context.Context, name string, serve func(context.Context) error) error {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return serve(ctx)
	}
	h := &handler{serve: func(stop <-chan struct{}) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- serve(ctx) }()
		select {
		case err := <-done:
			return err
		case <-stop:
			cancel()
			return <-done
		}
	}}
	if err := svc.Run(name, h); err != nil {
		return fmt.Errorf("service control manager: %w", err)
	}
	return h.err
}

// A handler speaks with the service control manager.
type handler struct {
	serve func(stop <-chan struct{}) error
	err   error // of serve, once svc.Run has returned
}

// Execute runs serve until it ends or is told to. A serve that ended with an error gives an exit
// code, so that the service is started again.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	const accepts = svc.AcceptStop | svc.AcceptShutdown
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- h.serve(stop) }()
	status <- svc.Status{State: svc.Running, Accepts: accepts}
	stopping := false
	for {
		select {
		case h.err = <-done:
			if h.err != nil && !stopping {
				return true, 1
			}
			return false, 0
		case r := <-requests:
			switch {
			case r.Cmd == svc.Interrogate:
				status <- r.CurrentStatus
			case (r.Cmd == svc.Stop || r.Cmd == svc.Shutdown) && !stopping:
				stopping = true
				status <- svc.Status{State: svc.StopPending}
				close(stop)
			}
		}
	}
}
