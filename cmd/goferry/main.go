// Command goferry reads the command line and wires the rooms.
//
// It carries Go modules over networks that do not want to let them through, and has no logic worth a unit test
// that is not in a room. One file per command; wire.go knows how the rooms fit together.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(process()) }

// process runs the command line of this process and returns its exit code. The first Ctrl-C asks
// for an end in good order; the second one is not caught any more.
func process() int {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // before anybody hears of the first one, or the second could be lost
		cancel()
	}()
	defer cancel()
	return run(ctx, os.Args[1:], system())
}
