package doctor

import (
	"cmp"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// mask stands for a secret.
const mask = "***"

// Secrets knows what must not be shown: the passwords and tokens of one machine by their values, and
// those that are known by their form. The zero value knows the forms alone.
type Secrets struct {
	values []string // the longest first
}

// SecretsOf collects what x holds of secrets: the values of variables that are called so, and the
// passwords of URLs wherever they stand. extra are further secrets, as x.Secrets are.
func SecretsOf(x *Exam, extra ...string) Secrets {
	found := map[string]bool{}
	add := func(v string) {
		if len(v) >= minSecret {
			found[v] = true
		}
	}
	for _, vars := range []map[string]string{x.Env, x.GoEnv.Values, x.GoEnv.Written} {
		for name, value := range vars {
			if secretName.MatchString(name) && !harmlessName.MatchString(name) && secretValue(value) {
				add(value)
			}
			for _, m := range userinfo.FindAllStringSubmatch(value, -1) {
				user, password, two := strings.Cut(strings.TrimSuffix(m[2], "@"), ":")
				if !two {
					password = user // a token alone
				}
				add(password)
				if plain, err := url.PathUnescape(password); err == nil {
					add(plain)
				}
			}
		}
	}
	for _, v := range slices.Concat(x.Secrets, extra) {
		add(v)
	}
	values := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	return Secrets{values}
}

// minSecret is how long a value must be to be searched for: shorter ones stand in half of all words.
const minSecret = 6

var (
	secretName   = regexp.MustCompile(`(?i)token|passw|passphrase|secret|api_?key|access_?key|credential|private_?key|(^|_)auth($|_)|(^|_)pat$`)
	harmlessName = regexp.MustCompile(`(?i)sock|file|path|dir|askpass|^GO|manager|helper|method|type|enabled|_id$`)
	// userinfo is that of a URL, as far as the last @ before what can only be its path.
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s"'/,|<>]*@)`)
)

// secretValue reports whether value can be a secret: no file, no URL, no switch.
func secretValue(value string) bool {
	return len(value) >= minSecret && !strings.ContainsAny(value, " \t\n") && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "~") &&
		!strings.Contains(value, "://") && !strings.Contains(value, `:\`)
}

// A form is how a kind of secret looks.
type form struct {
	name string
	re   *regexp.Regexp
	with string
	not  *regexp.Regexp // what matches this as well is left; may be nil
}

// mask replaces what is of that form.
func (f form) mask(text string) string {
	if f.not == nil {
		return f.re.ReplaceAllString(text, f.with)
	}
	return f.re.ReplaceAllStringFunc(text, func(m string) string {
		if f.not.MatchString(m) {
			return m
		}
		return f.re.ReplaceAllString(m, f.with)
	})
}

// gitUser is the user of ssh addresses, the same for everybody.
var gitUser = regexp.MustCompile(`^(?i:ssh|git\+ssh|git)://git@$`)

var (
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)
	loosePair  = regexp.MustCompile(`(^|[\s,|="'(])[^\s:/@,|"'=()\\]+:[^\s/@,|"'()\\]+@`)
	queryOfURL = regexp.MustCompile(`((?:https?|socks5h?|git|ssh)://[^\s"'?,|<>]*)\?[^\s"'|<>]+`)
	authHeader = regexp.MustCompile(`(?i)((?:proxy-)?authorization"?\s*[:=]\s*"?)[^\r\n"]+`)
	bearer     = regexp.MustCompile(`(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}`)
	netrcLine  = regexp.MustCompile(`(?i)\b(machine\s+\S+\s+login\s+\S+\s+password\s+)\S+`)
	// Options of helpers, what the linker is told to write into a program, and macros that are called so.
	optionValue = regexp.MustCompile(`(?i)((?:^|[\s"'])--?[a-z0-9-]*(?:token|passw|passphrase|secret|api-?key)[a-z0-9-]*(?:=|\s+))[^\s"'\\,]+`)
	linkedValue = regexp.MustCompile(`(-X[=\s]['"]?[\w./-]+=)[^\s"'\\,]+`)
	macroValue  = regexp.MustCompile(`(?i)(-D\s?\w*(?:token|passw|passphrase|secret|key)\w*=)[^\s"'\\,]+`)
	knownTokens = regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|` +
		`AKIA[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)`)
)

// secretForms are replaced in this order. What one puts there is the same for itself and for the others.
func secretForms() []form {
	return []form{
		{"private key", privateKey, mask, nil},
		{"password in a URL", userinfo, "${1}" + mask + "@", gitUser},
		{"password before a host", loosePair, "${1}" + mask + "@", nil},
		{"query of a URL", queryOfURL, "${1}?" + mask, nil},
		{"authorization header", authHeader, "${1}" + mask, nil},
		{"bearer token", bearer, "${1}" + mask, nil},
		{"netrc password", netrcLine, "${1}" + mask, nil},
		{"value of an option", optionValue, "${1}" + mask, nil},
		{"value in a program", linkedValue, "${1}" + mask, nil},
		{"value of a macro", macroValue, "${1}" + mask, nil},
		{"token", knownTokens, mask, nil},
	}
}

// Mask returns text with every secret replaced by ***.
func (s Secrets) Mask(text string) string {
	if text == "" {
		return ""
	}
	for _, v := range s.values {
		text = strings.ReplaceAll(text, v, mask)
	}
	for _, f := range secretForms() {
		text = f.mask(text)
	}
	return text
}

// Found names the kinds of secrets that are in text, each once, and never a secret itself. It is empty for
// what Mask returned.
func (s Secrets) Found(text string) []string {
	var kinds []string
	for _, v := range s.values {
		if strings.Contains(text, v) {
			kinds = append(kinds, "value of a variable")
			break
		}
	}
	for _, f := range secretForms() {
		if f.mask(text) != text {
			kinds = append(kinds, f.name)
		}
	}
	return kinds
}

func (s Secrets) result(r Result) Result {
	r.Facts, r.Detail, r.Findings = s.facts(r.Facts), s.Mask(r.Detail), s.findings(r.Findings)
	return r
}

func (s Secrets) findings(list []Finding) []Finding {
	var out []Finding
	for _, f := range list {
		out = append(out, s.finding(f))
	}
	return out
}

func (s Secrets) finding(f Finding) Finding {
	f.Subject, f.Args, f.Facts = s.Mask(f.Subject), s.args(f.Args), s.facts(f.Facts)
	fixes := f.Fixes
	f.Fixes = nil
	for _, fix := range fixes {
		f.Fixes = append(f.Fixes, s.fix(fix))
	}
	return f
}

func (s Secrets) facts(list []Fact) []Fact {
	out := slices.Clone(list)
	for i := range out {
		out[i].Value = s.Mask(out[i].Value)
	}
	return out
}

func (s Secrets) args(m map[string]string) map[string]string {
	out := maps.Clone(m)
	for k, v := range out {
		out[k] = s.Mask(v)
	}
	return out
}

// fix keeps the fix as it was where something of it was taken out.
func (s Secrets) fix(f Fix) Fix {
	was := f
	if f.Exact != nil {
		was = *f.Exact
	}
	f.Exact = nil
	f.Args, f.Value, f.Old, f.New, f.File = s.args(f.Args), s.Mask(f.Value), s.Mask(f.Old), s.Mask(f.New), s.Mask(f.File)
	f.Command = slices.Clone(f.Command)
	for i, word := range f.Command {
		f.Command[i] = s.Mask(word)
	}
	if !reflect.DeepEqual(f, was) {
		f.Exact = &was
	}
	return f
}
