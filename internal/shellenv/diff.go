package shellenv

import (
	"fmt"
	"strings"
)

// diffContext is how many lines that stay are shown around those that do not.
const diffContext = 3

// Diff is the change as a unified diff; "" where nothing changes.
func (c *Change) Diff() string {
	if c.Same() {
		return ""
	}
	from, to := c.File, c.File
	if !c.Exists {
		from = "/dev/null"
	}
	if !c.Remains {
		to = "/dev/null"
	}
	return "--- " + from + "\n+++ " + to + "\n" + hunks(splitLines(c.Before), splitLines(c.After))
}

func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.SplitAfter(strings.TrimSuffix(text, "\n")+"\n", "\n")[:strings.Count(strings.TrimSuffix(text, "\n"), "\n")+1]
}

// An edit is one line of a diff: ' ' stays, '-' goes, '+' comes.
type edit struct {
	op   byte
	line string
}

// edits compares by the longest common subsequence. The ends that are equal, nearly all of a
// start-up file, are taken off first.
func edits(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var list []edit
	add := func(op byte, lines []string) {
		for _, l := range lines {
			list = append(list, edit{op, l})
		}
	}
	add(' ', a[:head])
	midA, midB := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(midA)*len(midB) > 1<<20 {
		add('-', midA)
		add('+', midB)
	} else {
		list = append(list, lcs(midA, midB)...)
	}
	add(' ', a[len(a)-tail:])
	return list
}

func lcs(a, b []string) (list []edit) {
	length := make([][]int, len(a)+1) // of what is common to a[i:] and b[j:]
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			list = append(list, edit{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && length[i+1][j] >= length[i][j+1]:
			list = append(list, edit{'-', a[i]})
			i++
		default:
			list = append(list, edit{'+', b[j]})
			j++
		}
	}
	return list
}

// hunks writes the lines that change, each with its neighbours.
func hunks(a, b []string) string {
	list := edits(a, b)
	var out strings.Builder
	lineA, lineB := 1, 1
	for i := 0; i < len(list); {
		if list[i].op == ' ' {
			i, lineA, lineB = i+1, lineA+1, lineB+1
			continue
		}
		start := max(0, i-diffContext)
		end, quiet := i, 0
		for end < len(list) && quiet <= 2*diffContext {
			if list[end].op == ' ' {
				quiet++
			} else {
				quiet = 0
			}
			end++
		}
		end -= max(0, quiet-diffContext)
		fromA, fromB := lineA-(i-start), lineB-(i-start)
		var countA, countB int
		var body strings.Builder
		for _, e := range list[start:end] {
			if e.op != '+' {
				countA++
			}
			if e.op != '-' {
				countB++
			}
			fmt.Fprintf(&body, "%c%s\n", e.op, strings.TrimRight(e.line, "\r\n"))
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n%s", span(fromA, countA), span(fromB, countB), body.String())
		lineA, lineB, i = fromA+countA, fromB+countB, end
	}
	return out.String()
}

// span is how a unified diff names lines: an empty one by the line before it.
func span(from, count int) string {
	if count == 0 {
		from--
	}
	return fmt.Sprintf("%d,%d", from, count)
}
