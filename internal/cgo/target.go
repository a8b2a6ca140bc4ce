package cgo

// A Target is what a program is built for. The zero Variant, Libc and Floor mean: as the compiler has it.
//
// It is written OS/ARCH[/VARIANT][/LIBC], as in linux/amd64, linux/arm/v7, linux/arm64/musl, linux/amd64/gnu.2.17, windows/386.
type Target struct {
	OS, Arch string // as GOOS and GOARCH
	Variant  string // of arm: v5 v6 v7 (GOARM); amd64: v1…v4 (GOAMD64); 386: sse2, softfloat; mips: hardfloat, softfloat; ppc64: power8…; riscv64: rva20u64…; arm64: v8.0…
	Libc     string // linux: gnu or musl; windows: gnu (msvcrt) or ucrt; else ""
	Floor    string // of gnu: the lowest version of glibc that the program may ask for, as 2.17
}

// ParseTarget reads a target. The error names what is not known and the targets that are near.
func ParseTarget(text string) (Target, error) { return Target{}, nil }

// String writes t as ParseTarget reads it.
func (t Target) String() string { return "" }

// Env is what the go command is told of t: GOOS, GOARCH, and GOARM and its kin where there is a variant.
func (t Target) Env() []string { return nil }

// Targets are all that goferry knows, sorted: those of the issue with cgo, and those of the go command without.
func Targets() []Target { return nil }
