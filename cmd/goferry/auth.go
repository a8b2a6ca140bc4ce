package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/goferry/goferry/internal/gocmd"
)

// runAuth runs a command of GOAUTH.
func (a *app) runAuth(ctx context.Context, dir string, argv []string, stdin []byte) ([]byte, error) {
	res, err := a.runner.Run(ctx, gocmd.Cmd{Name: argv[0], Args: argv[1:], Dir: dir, Stdin: bytes.NewReader(stdin)})
	if err == nil && res.ExitCode != 0 {
		err = fmt.Errorf("%s: exit code %d", argv[0], res.ExitCode)
	}
	return res.Stdout, err
}
