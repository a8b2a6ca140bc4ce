package toolchain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// goEnv is the file that distributors edit: it has the go command's settings where nobody
// says otherwise. Official images write GOTOOLCHAIN=local into it, some distributions
// GOPROXY=direct as well.
const goEnv = "go.env"

// releasedGoEnv is the SHA-256 of the go.env of all releases since go1.21.0. One that has
// another is still found, by its text or by what a mirror has.
const releasedGoEnv = "98fcab78e155e9fa0c36b18874add30724d04c2452078117c78618107ebfbc9e"

// maxGoEnv bounds what is read of a go.env, in bytes; a released one has 505.
const maxGoEnv = 64 << 10

// proxyInComment finds the URL that the comment above GOPROXY names, which is that of its value.
var proxyInComment = regexp.MustCompile(`https?://\S+`)

// originalGoEnvs guesses what an edited go.env was like, the least change first.
func originalGoEnvs(edited []byte) (guesses [][]byte) {
	add := func(lines []string) {
		text := []byte(strings.Join(lines, "\n") + "\n")
		if !bytes.Equal(text, edited) && !slices.ContainsFunc(guesses, func(g []byte) bool { return bytes.Equal(g, text) }) {
			guesses = append(guesses, text)
		}
	}
	text := strings.ReplaceAll(string(edited), "\r\n", "\n")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	add(lines)
	set := slices.Clone(lines)
	for i, line := range set {
		if strings.HasPrefix(line, "GOTOOLCHAIN=") {
			set[i] = "GOTOOLCHAIN=auto"
		}
	}
	add(set)
	add(append(slices.Clone(lines), "GOTOOLCHAIN=auto"))
	add(rebuildGoEnv(lines))
	return guesses
}

// rebuildGoEnv takes away all settings and puts those of releases below their comments.
func rebuildGoEnv(lines []string) (out []string) {
	proxy := ""
	for _, line := range lines {
		if line != "" && !strings.HasPrefix(line, "#") {
			continue
		}
		out = append(out, line)
		switch {
		case !strings.HasSuffix(line, " for details."):
		case proxy == "":
			proxy = proxyInComment.FindString(line)
			out = append(out, "GOPROXY="+proxy+",direct", "GOSUMDB=sum.golang.org")
		default:
			return append(out, "GOTOOLCHAIN=auto")
		}
	}
	return out
}

// releasedGoEnvSum is releasedGoEnv in bytes.
func releasedGoEnvSum() (sum [sha256.Size]byte) {
	_, _ = hex.Decode(sum[:], []byte(releasedGoEnv)) // a constant
	return sum
}

// lineChanges are the lines that differ, those of from with "-" before them, then those of
// to with "+".
func lineChanges(from, to []byte) (changes []string) {
	old, now := strings.Split(string(from), "\n"), strings.Split(string(to), "\n")
	left := map[string]int{}
	for _, line := range now {
		left[line]++
	}
	for _, line := range old {
		if left[line]--; left[line] < 0 {
			changes = append(changes, "-"+line)
		}
	}
	clear(left)
	for _, line := range old {
		left[line]++
	}
	for _, line := range now {
		if left[line]--; left[line] < 0 {
			changes = append(changes, "+"+line)
		}
	}
	return changes
}

// byDistributor reports whether changed lines of a go.env are what distributors do: they
// switch toolchains, the proxy and the database off, or to what they were anyway.
func byDistributor(changes []string) bool {
	for _, line := range changes {
		sign, line := line[0], strings.TrimSuffix(line[1:], "\r")
		if sign == '-' || line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		switch line {
		case "GOTOOLCHAIN=local", "GOTOOLCHAIN=auto", "GOTOOLCHAIN=path", "GOPROXY=direct", "GOSUMDB=off":
		default:
			return false
		}
	}
	return len(changes) > 0
}
