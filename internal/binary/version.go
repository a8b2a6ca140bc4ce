package binary

import "strings"

// compareNumbers compares two versions number by number: 2.9 is lower than 2.10, and 2 equals 2.0. What is no digit
// counts as the end of a number. Numbers of any length are compared, so that no file makes one overflow.
func compareNumbers(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a = firstNumber(a)
		y, b = firstNumber(b)
		if len(x) != len(y) {
			return sign(len(x) - len(y))
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// firstNumber takes the first number off a version, without leading zeros: none and 0 are "".
func firstNumber(v string) (number, rest string) {
	i := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		return strings.TrimLeft(v, "0"), ""
	}
	return strings.TrimLeft(v[:i], "0"), v[i+1:]
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// isNumbers reports whether v is numbers with points between them.
func isNumbers(v string) bool {
	for n := range strings.SplitSeq(v, ".") {
		if n == "" || strings.Trim(n, "0123456789") != "" {
			return false
		}
	}
	return true
}
