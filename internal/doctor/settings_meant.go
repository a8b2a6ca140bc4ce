package doctor

import (
	"regexp"
	"strings"
)

// What people write into GOPROXY in place of a list: separators and quotes of other programs and of
// Chinese keyboards, schemes with a letter too many or a slash too few, words.
var (
	setListSeps = regexp.MustCompile(`[,|;，；、｜\s]+`)
	setScheme   = regexp.MustCompile(`(?i)^(h?t{1,3}ps?|https?|file)(:|：)[/\\]*`)
	// What url.Parse takes for a host called https.
	setSchemeAlone = regexp.MustCompile(`(?i)^h?t{1,3}ps?/+`)
	setNameOf      = regexp.MustCompile(`(?i)^(export\s+|set\s+|go\s+env\s+-w\s+)?GOPROXY\s*[=＝]\s*`)
)

const setQuotes = "\"'`“”‘’«»<>()（）"

// setWord is the word of the go command that was meant by another; "" for none.
func setWord(s string) string {
	switch strings.ToLower(s) {
	case "direct", "dirct", "drect", "direc", "direkt", "derect", "diretc", "driect", "none", "no", "false", "noproxy":
		return "direct"
	case "off", "disable", "disabled":
		return "off"
	}
	return ""
}

// setMeantProxies guesses which list was meant; "" is the default, also where nothing can be guessed.
// What it would guess once more at is no good guess.
func setMeantProxies(value string) string {
	meant := setMeantOnce(value)
	if setMeantOnce(meant) != meant {
		return ""
	}
	return meant
}

func setMeantOnce(value string) string {
	value = strings.Trim(strings.TrimSpace(value), setQuotes)
	value = strings.Trim(setNameOf.ReplaceAllString(value, ""), setQuotes)
	ends := setListSeps.FindAllStringIndex(value, -1)
	ends = append(ends, []int{len(value), len(value)})
	var list []setProxy
	start := 0
	for _, at := range ends {
		entry := setMeantEntry(strings.Trim(value[start:at[0]], setQuotes))
		sep := byte(',')
		if strings.ContainsAny(value[at[0]:at[1]], "|｜") {
			sep = '|'
		}
		start = at[1]
		if entry == "" {
			continue
		}
		p := setParseProxy(entry)
		if p.Bad {
			return ""
		}
		p.Sep = sep
		if list = append(list, p); p.word() {
			break
		}
	}
	return setJoin(list)
}

// setHTTP is the beginning of a URL that was meant by a scheme with something wrong.
func setHTTP(scheme string) string {
	if strings.HasSuffix(strings.ToLower(strings.TrimRight(scheme, `:：/\`)), "s") {
		return "https://"
	}
	return "http://"
}

// setMeantEntry guesses what one entry was meant to be. What it does not know it returns as it is.
func setMeantEntry(s string) string {
	if word := setWord(s); word != "" {
		return word
	}
	if m := setScheme.FindString(s); m != "" {
		rest := s[len(m):]
		switch scheme := strings.ToLower(strings.TrimRight(m, `:：/\`)); {
		case scheme == "file":
			return "file:///" + strings.TrimLeft(rest, "/")
		case strings.HasSuffix(scheme, "s"):
			return "https://" + rest
		}
		return "http://" + s[len(m):]
	}
	if m := setSchemeAlone.FindString(s); m != "" {
		return setHTTP(m) + s[len(m):]
	}
	if rest := strings.TrimLeft(s, ":/"); rest != s && strings.Contains(rest, ".") && !setIsDir(s) {
		return "https://" + rest
	}
	if strings.HasPrefix(s, "/") && setIsDir(s) {
		return "file://" + s
	}
	return s
}
