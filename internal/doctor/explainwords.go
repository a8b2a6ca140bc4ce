package doctor

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// explainWords returns words of which a line must hold one, in lower case, if the expression matches it; nil where no
// such words are known. Logs are long, and a line that holds none of them need not be matched.
func explainWords(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return explainWordsOf(re.Simplify())
}

func explainWordsOf(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{strings.ToLower(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus:
		return explainWordsOf(re.Sub[0])
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if words := explainWordsOf(sub); explainShortest(words) > explainShortest(best) {
				best = words
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			words := explainWordsOf(sub)
			if words == nil {
				return nil
			}
			all = append(all, words...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	return nil // what may be missing, or be one of many
}

// explainShortest is the length of the shortest of words; the longer it is, the fewer lines hold one.
func explainShortest(words []string) int {
	shortest := 0
	for i, w := range words {
		if i == 0 || len(w) < shortest {
			shortest = len(w)
		}
	}
	return shortest
}

// explainMay reports whether a line, in lower case, may hold the message.
func (m explainMessage) explainMay(lower string) bool {
	return m.words == nil || slices.ContainsFunc(m.words, func(w string) bool { return strings.Contains(lower, w) })
}
