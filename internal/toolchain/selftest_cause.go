package toolchain

import (
	"path/filepath"
	"regexp"
	"strings"
)

// A selfCause is what is likely behind a failure.
type selfCause struct {
	code    string
	machine bool // it is the machine that lacks something, not the toolchain
}

// selfClue leads from what a test wrote to a cause.
type selfClue struct {
	cause selfCause
	text  *regexp.Regexp
	// when is what must be true of the machine beside; nil: the words say enough.
	when func(SelfHost) bool
}

// selfClues are tried in this order: those that say what happened before those that say what it
// looked like.
var selfClues = []selfClue{
	{selfCause{"disk-full", true}, regexp.MustCompile(`(?i)no space left on device|disk quota exceeded|not enough space on the disk`), nil},
	{selfCause{"memory", true}, regexp.MustCompile(`(?i)cannot allocate memory|out of memory|signal: killed|pthread_create failed|resource temporarily unavailable`), nil},
	{selfCause{"open-files", true}, regexp.MustCompile(`(?i)too many open files`), nil},
	{selfCause{"mixed", false}, regexp.MustCompile(`does not match go tool version|object is \[[^]]*\] expected \[`), nil},
	{selfCause{"cpu", true}, regexp.MustCompile(`(?i)SIGILL|illegal instruction|only be run on processors with`), nil},
	{selfCause{"crash", false}, regexp.MustCompile(`fatal error: (unexpected signal|fault|found bad pointer|runtime: |sweep|invalid|morestack)|unexpected fault address|SIGBUS|internal compiler error`), nil},
	{selfCause{"no-services", true}, regexp.MustCompile(`(?i)unknown port|unknown network service|servname not supported|LookupPort`), func(h SelfHost) bool { return !h.Services }},
	{selfCause{"no-ipv4", true}, regexp.MustCompile(`(?i)127\.0\.0\.1|ipv4|tcp4|udp4|cannot assign requested address|network is unreachable|\(\*(TCP|UDP|IP)Conn\)|\bnet\.(Dial|Listen|Test)`), func(h SelfHost) bool { return !h.IPv4 }},
	{selfCause{"no-ipv6", true}, regexp.MustCompile(`(?i)\[?::1\]?|ipv6|tcp6|udp6|ip6|cannot assign requested address|address family not supported`), func(h SelfHost) bool { return !h.IPv6 }},
	// Releases carry certificates for their tests, and those of older ones have expired.
	{selfCause{"expired", true}, regexp.MustCompile(`x509: certificate has expired or is not yet valid|remote error: tls: (bad|expired) certificate`), nil},
	{selfCause{"tzdata", true}, regexp.MustCompile(`unknown time zone`), nil},
	{selfCause{"noexec", true}, regexp.MustCompile(`fork/exec [^\n]*: permission denied`), nil},
	{selfCause{"not-permitted", true}, regexp.MustCompile(`(?i)operation not permitted|seccomp|\bEPERM\b`), nil},
	{selfCause{"timeout", false}, regexp.MustCompile(`panic: test timed out after|test killed with quit`), nil},
	{selfCause{"root", true}, regexp.MustCompile(`(?i)permission|unwritable|unreadable|read-only|\b(as|by|is) root\b|uid 0`), func(h SelfHost) bool { return h.Root }},
	{selfCause{"no-network", true}, regexp.MustCompile(`(?i)no such host|server misbehaving|network is unreachable|no route to host|i/o timeout|TLS handshake timeout|temporary failure in name resolution|dial (tcp|udp)\S* [a-z]`), nil},
}

// selfCauseOf finds what is likely behind a failure with this output.
func selfCauseOf(output string, h SelfHost, root string) selfCause {
	if c := selfMissing(output, root); c.code != "" {
		return c
	}
	for _, clue := range selfClues {
		if clue.text.MatchString(output) && (clue.when == nil || clue.when(h)) {
			return clue.cause
		}
	}
	return selfCause{}
}

// selfGone matches what a program says of a file that is not there.
var selfGone = regexp.MustCompile(`(?:open|stat|lstat|chdir|readdirent|fork/exec) ([^\n]+?): (?:no such file or directory|The system cannot find the (?:file|path) specified)`)

// selfMissing is the cause of a failure for want of a file of the toolchain. Those that the module
// of a toolchain leaves out are missed by nothing but tests of Go itself.
func selfMissing(output, root string) selfCause {
	for _, m := range selfGone.FindAllStringSubmatch(output, -1) {
		name, ok := strings.CutPrefix(filepath.ToSlash(m[1]), strings.TrimSuffix(filepath.ToSlash(root), "/")+"/")
		switch {
		case !ok:
		case !inModule(name):
			return selfCause{"left-out", true}
		default:
			return selfCause{"files-missing", false}
		}
	}
	return selfCause{}
}
