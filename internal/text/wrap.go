package text

import (
	"strings"

	"golang.org/x/text/width"
)

// Columns is how many columns of a terminal s takes: two for each wide character, as
// Chinese has them, one for any other. Source: Unicode Standard Annex #11; characters that it
// calls ambiguous count as one.
func Columns(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

func columns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Wrap breaks s into lines of at most so many columns: at spaces, and between Chinese
// characters, but not so that a line begins with a mark that closes something or ends with one that
// opens something. What cannot be broken stands on a line of its own, however long it is.
// Line breaks in s stay; the lines are without spaces at their ends.
func Wrap(s string, limit int) []string {
	var lines []string
	for para := range strings.SplitSeq(s, "\n") {
		lines = append(lines, wrapLine(para, limit)...)
	}
	return lines
}

func wrapLine(s string, limit int) []string {
	var lines []string
	line, used := "", 0
	for _, piece := range pieces(s) {
		n := Columns(strings.TrimRight(piece, " "))
		if used > 0 && used+n > limit {
			lines = append(lines, strings.TrimRight(line, " "))
			line, used = "", 0
		}
		line += piece
		used += Columns(piece)
	}
	return append(lines, strings.TrimRight(line, " "))
}

// Marks between which and their neighbour no line may end.
const (
	closing = "，。；：、！？）》」』”’…,.;:!?)]}"
	opening = "（《「『“‘([{"
)

// pieces cuts s where a line may end; spaces belong to the piece before them.
func pieces(s string) []string {
	var out []string
	runes := []rune(s)
	start := 0
	for i := 1; i < len(runes); i++ {
		if mayBreak(runes[i-1], runes[i]) {
			out = append(out, string(runes[start:i]))
			start = i
		}
	}
	return append(out, string(runes[start:]))
}

func mayBreak(before, after rune) bool {
	if after == ' ' {
		return false
	}
	if before == ' ' {
		return true
	}
	if strings.ContainsRune(opening, before) || strings.ContainsRune(closing, after) {
		return false
	}
	return columns(before) == 2 || columns(after) == 2
}
