package text

import "strings"

// Detect returns the language that messages should have: the explicit one
// (--lang), else GOFERRY_LANG, else the POSIX locale (the first of LC_ALL,
// LC_MESSAGES and LANG that is set), else what system says, else English.
// system may be nil; it is for systems where the language is no environment
// variable, and returns a tag such as "zh-Hans-CN".
func Detect(explicit string, env func(string) string, system func() string) string {
	for _, lang := range []string{explicit, env("GOFERRY_LANG")} {
		if lang != "" {
			return match(lang)
		}
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale := env(name); locale != "" {
			return match(locale)
		}
	}
	if system != nil {
		return match(system())
	}
	return English
}

// match maps a locale ("zh_CN.UTF-8@pinyin") or a language tag ("zh-Hans") to a
// language of ours. A locale that names another charset than UTF-8 gets
// English: goferry writes UTF-8, and a GBK terminal would show garbage.
func match(locale string) string {
	locale, _, _ = strings.Cut(strings.ToLower(locale), "@")
	locale, charset, _ := strings.Cut(locale, ".")
	lang, _, _ := strings.Cut(strings.ReplaceAll(locale, "-", "_"), "_")
	if lang == Chinese && (charset == "" || charset == "utf8" || charset == "utf-8") {
		return Chinese
	}
	return English
}
