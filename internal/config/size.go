package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, never negative.
type Size int64

type unit struct {
	name  string
	bytes int64
}

// units lists the units, bytes first. "K", "M" and "G" are none: half of the
// world means 1000 by them, the other half 1024.
func units() []unit {
	list := []unit{{"B", 1}}
	binary, decimal := int64(1), int64(1)
	for _, prefix := range []string{"K", "M", "G", "T", "P"} {
		binary *= 1024
		decimal *= 1000
		list = append(list, unit{prefix + "iB", binary}, unit{prefix + "B", decimal})
	}
	return list
}

// ParseSize parses "20GiB" (1024s), "500MB" (1000s), or a number of bytes. The
// number is whole; capitals in units do not matter; a space before the unit is
// allowed.
func ParseSize(text string) (Size, error) {
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	name := strings.TrimPrefix(text[digits:], " ")
	if digits == 0 || strings.HasPrefix(name, ".") {
		return 0, fmt.Errorf("%q: not a whole number with a unit", text)
	}
	factor := int64(0)
	for _, u := range units() {
		if strings.EqualFold(name, u.name) || digits == len(text) {
			factor = u.bytes
			break
		}
	}
	if factor == 0 {
		return 0, fmt.Errorf("%q: unknown unit %q", text, name)
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q: too large", text)
	}
	return Size(n * factor), nil
}

// String writes s exactly, in the unit that makes it shortest: ParseSize of it
// is s.
func (s Size) String() string {
	best := strconv.FormatInt(int64(s), 10) + "B"
	if s == 0 {
		return best
	}
	for _, u := range units() {
		if int64(s)%u.bytes != 0 {
			continue
		}
		if text := strconv.FormatInt(int64(s)/u.bytes, 10) + u.name; len(text) < len(best) {
			best = text
		}
	}
	return best
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}
