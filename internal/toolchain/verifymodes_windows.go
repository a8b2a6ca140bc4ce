package toolchain

// modes names nothing: on Windows the name of a file says whether it is a program.
func (*tree) modes(*reference, Target) []Change { return nil }
