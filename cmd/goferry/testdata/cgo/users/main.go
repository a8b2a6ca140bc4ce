// Command users asks the system for the user and an address, as the C library or Go has it.
package main

// static int one(void) { return 1; }
import "C"

import (
	"net"
	"os"
	"os/user"
	"runtime"
)

func main() {
	u, err := user.LookupId("0")
	name := "nobody knows"
	if err == nil {
		name = u.Username
	}
	addrs, err := net.LookupHost("localhost")
	found := "found"
	if err != nil || len(addrs) == 0 {
		found = "unknown"
	}
	os.Stdout.WriteString(runtime.GOOS + "/" + runtime.GOARCH + ": user 0 is " + name + ", localhost is " + found + "\n")
	os.Exit(int(C.one()) - 1)
}
