package doctor

import "golang.org/x/sys/windows"

func connRefused() error { return windows.WSAECONNREFUSED }
