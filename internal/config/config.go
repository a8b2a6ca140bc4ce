// Package config reads settings from flags, environment and file, and remembers
// where each came from.
//
// It knows no type of another room, reads the environment only through the
// function it is given, runs nothing, and does not act on what it reads:
// whether an upstream list or a checksum database key makes sense is for the
// room that uses it to say.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Input is everything settings are read from. The order of precedence is
// Flags, Env, File, GoEnv, Defaults.
type Input struct {
	// File is the path of the configuration file; empty for none. Without
	// FileExplicit a file that does not exist is no error. See FindFile.
	File         string
	FileExplicit bool

	// Env looks up an environment variable; nil for none. An empty variable
	// counts as not set, as it does for the go command.
	Env func(name string) string

	// Flags holds the flags that the user gave, by name without dashes, as
	// text; lists are separated by commas. Names that belong to no setting are
	// ignored: they are the command's own.
	Flags map[string]string

	// GoEnv returns what "go env NAME" says; nil for nothing. It is asked only
	// for settings that no flag, variable or file sets. Its error fails Load:
	// not knowing GOPRIVATE must not become asking the world for private names.
	GoEnv func(name string) (string, error)

	// Defaults replaces defaults that depend on the machine, by key.
	Defaults map[string]string
}

// A Config holds the values of all settings and where each came from.
// It does not change after Load.
type Config struct {
	Values
	origins map[string]Origin
}

// FindFile says which configuration file to read: the one that the flag
// --config names, else GOFERRY_CONFIG, else goferry/goferry.toml in the user's
// configuration folder (os.UserConfigDir; empty if unknown). Only the first two
// are explicit, that is, must exist.
func FindFile(flag string, env func(string) string, userConfigDir string) (file string, explicit bool) {
	if flag != "" {
		return flag, true
	}
	if env != nil {
		if name := env(envPrefix + "CONFIG"); name != "" {
			return name, true
		}
	}
	if userConfigDir == "" {
		return "", false
	}
	return filepath.Join(userConfigDir, "goferry", "goferry.toml"), false
}

// Load reads all settings. Its error joins one *Error for each thing that is
// wrong, also in values that a layer above would have replaced: a bad value is
// never passed over in silence.
func Load(in Input) (*Config, error) {
	l := loader{in: in, table: Table(), cfg: &Config{origins: make(map[string]Origin)}}
	l.defaults()
	l.file()
	for _, s := range l.table {
		if in.Env != nil {
			if text := in.Env(s.Env); text != "" {
				l.set(s, text, Origin{Kind: FromEnv, Name: s.Env})
			}
		}
		if text, ok := in.Flags[s.Flag]; ok {
			l.set(s, text, Origin{Kind: FromFlag, Name: s.Flag})
		}
	}
	l.goEnv()
	l.derive()
	l.check()
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	return l.cfg, nil
}

type loader struct {
	in    Input
	table []Setting
	cfg   *Config
	errs  []error
}

func (l *loader) set(s Setting, text string, from Origin) {
	if err := s.parse(&l.cfg.Values, text, from); err != nil {
		l.errs = append(l.errs, s.fault(from, err))
	}
	l.cfg.origins[s.Key] = from
}

func (l *loader) defaults() {
	for _, s := range l.table {
		text := s.Default
		if d, ok := l.in.Defaults[s.Key]; ok {
			text = d
		}
		l.set(s, text, Origin{})
	}
}

func (l *loader) file() {
	values, errs := readFile(l.in.File, l.in.FileExplicit, l.table)
	l.errs = append(l.errs, errs...)
	l.fileValues(l.in.File, values)
}

func (l *loader) fileValues(name string, values map[string]fileValue) {
	for _, s := range l.table {
		v, ok := values[s.Key]
		if !ok {
			continue
		}
		from := Origin{Kind: FromFile, Name: name, Line: v.line}
		text, err := s.fileText(v.raw)
		if err != nil {
			l.errs = append(l.errs, s.fault(from, err))
			continue
		}
		l.set(s, text, from)
	}
}

// goEnv fills what nothing above the go command's own settings has said.
func (l *loader) goEnv() {
	if l.in.GoEnv == nil {
		return
	}
	for _, s := range l.table {
		if s.GoEnv == "" || l.cfg.origins[s.Key].Kind != FromDefault {
			continue
		}
		from := Origin{Kind: FromGoEnv, Name: s.GoEnv}
		text, err := l.goEnvText(s)
		if err != nil {
			// One is enough: the others would say the same.
			l.errs = append(l.errs, &Error{Key: s.Key, Origin: from, Err: err})
			return
		}
		if text != "" {
			l.set(s, text, from)
		}
	}
}

// goEnvText is what "go env" says about s. For GONOPROXY and GONOSUMDB it says
// GOPRIVATE where they are not set; that is no statement of their own, and must
// not outvote a "private" that was set for goferry.
func (l *loader) goEnvText(s Setting) (string, error) {
	text, err := l.in.GoEnv(s.GoEnv)
	if err != nil || !s.followsPrivate() {
		return text, err
	}
	private, err := l.in.GoEnv("GOPRIVATE")
	if text == private {
		text = ""
	}
	return text, err
}

// derive applies the rule of https://go.dev/ref/mod#private-modules: GOPRIVATE
// is the default of GONOPROXY and GONOSUMDB.
func (l *loader) derive() {
	c := l.cfg
	private := c.origins["private"]
	if c.origins["noproxy"].Kind == FromDefault {
		c.NoProxy, c.origins["noproxy"] = slices.Clone(c.Private), private
	}
	if c.origins["nosumdb"].Kind == FromDefault {
		c.NoSumdb, c.origins["nosumdb"] = slices.Clone(c.Private), private
	}
}

// check holds the rules that join two settings.
func (l *loader) check() {
	c := l.cfg
	if (c.TLSCert == "") == (c.TLSKey == "") {
		return
	}
	set, missing := "tls.cert", "tls.key"
	if c.TLSCert == "" {
		set, missing = missing, set
	}
	l.errs = append(l.errs, withHint(c.Fault(set, fmt.Errorf("set, but %s is not; TLS needs both", missing)), "hint.tls-pair"))
}

// Origin says where the value of the setting with this key came from. It is
// the zero Origin, "default", for a key that is none.
func (c *Config) Origin(key string) Origin { return c.origins[key] }

// Fault wraps what another room found wrong with the value of a setting, so
// that the error says which flag, variable or line holds it.
func (c *Config) Fault(key string, err error) *Error {
	return &Error{Key: key, Origin: c.origins[key], Err: err}
}

// An Explained setting is one line of "goferry config -v".
type Explained struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // secrets and the userinfo of URLs are masked
	Origin Origin `json:"origin"`
}

// Explain lists all settings in the order of Table.
func (c *Config) Explain() []Explained {
	var list []Explained
	for _, s := range Table() {
		list = append(list, Explained{Key: s.Key, Value: s.shown(&c.Values), Origin: c.origins[s.Key]})
	}
	return list
}

// An OriginKind is a layer of settings; a higher one wins.
type OriginKind uint8

// The layers, lowest first.
const (
	FromDefault OriginKind = iota
	FromGoEnv              // the go command's own settings
	FromFile
	FromEnv
	FromFlag
)

// An Origin says where a value came from.
type Origin struct {
	Kind OriginKind
	Name string // of the flag (without dashes), the variable or the file
	Line int    // in the file, from 1; 0 if unknown
}

// String names the origin as the user would: "--upstream", "GOFERRY_UPSTREAM",
// "/etc/goferry.toml:3", "go env GOPROXY", "default".
func (o Origin) String() string {
	switch o.Kind {
	case FromGoEnv:
		return "go env " + o.Name
	case FromFile:
		if o.Line > 0 {
			return fmt.Sprintf("%s:%d", o.Name, o.Line)
		}
		return o.Name
	case FromEnv:
		return o.Name
	case FromFlag:
		return "--" + o.Name
	}
	return "default"
}

// MarshalText returns String.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// readFile reads and parses the configuration file.
func readFile(name string, explicit bool, table []Setting) (map[string]fileValue, []error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !explicit {
		return nil, nil
	}
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path stands in the origin already
		}
		return nil, []error{withHint(&Error{Origin: Origin{Kind: FromFile, Name: name}, Err: err}, "hint.config-missing")}
	}
	return parseFile(name, data, table)
}

// resolve makes a path from the file absolute, seen from the file's folder:
// what a file says must not depend on where goferry is started.
func resolve(path string, from Origin) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") || strings.HasPrefix(path, `~\`) {
		return "", fmt.Errorf("%q: ~ is for shells; write the whole path", path)
	}
	if path == "" || from.Kind != FromFile || filepath.IsAbs(path) {
		return path, nil
	}
	return filepath.Abs(filepath.Join(filepath.Dir(from.Name), path))
}
