// Command c starts threads in C that call back into Go.
package main

// #cgo !darwin LDFLAGS: -pthread
// #include "threads.h"
import "C"

import (
	"runtime"
	"sync/atomic"
)

var sum atomic.Int64

//export add
func add(n C.int) { sum.Add(int64(n)) }

func main() {
	started := C.run_threads(4, 100)
	C.say(C.CString(runtime.GOOS+"/"+runtime.GOARCH), started, C.longlong(sum.Load()))
	if started != 4 || sum.Load() != 4*100*101/2 {
		panic("lost calls")
	}
}
