// Command cxx asks C++ for what takes its run-time library: threads, an exception, a string.
package main

// #include "work.h"
import "C"

import "runtime"

func main() {
	if C.work(C.CString(runtime.GOOS+"/"+runtime.GOARCH)) != 0 {
		panic("C++ did not do its work")
	}
}
