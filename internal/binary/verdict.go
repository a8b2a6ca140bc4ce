package binary

// A Platform is a system that programs run on, by name and release.
type Platform struct {
	Name    string // "Debian 12", "RHEL 7", "Alpine 3.20", "distroless/static", "Windows 10", "macOS 12"
	OS      string // as GOOS
	Libc    string // linux: gnu, musl, none
	Version string // of its libc, or of the system itself where there is none (macOS)
}

// A Verdict says whether a program runs on a platform, and why not.
type Verdict struct {
	Platform Platform `json:"platform"`
	Runs     string   `json:"runs"`             // yes, no, or unknown: not all can be told from the file
	Reason   string   `json:"reason,omitempty"` // a code for the texts: glibc-too-old, wrong-libc, library-missing, dll-missing, os-too-old, interpreter-missing
	Detail   string   `json:"detail,omitempty"` // what the code is about: GLIBC_2.34, libwinpthread-1.dll
}

// Judge says of each known platform of the program's system whether it runs there.
func Judge(i *Info) []Verdict { return nil }

// A Requirement is a promise that a program can be held to: static, glibc<=2.28, windows-plain and so on.
type Requirement struct{ Name, Op, Version string }

// ParseRequirement reads one; see Requirements for all.
func ParseRequirement(text string) (Requirement, error) { return Requirement{}, nil }

// Unmet says why i does not keep the promise; "" if it does.
func (r Requirement) Unmet(i *Info) string { return "" }
