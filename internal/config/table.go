package config

import (
	"log/slog"
	"strings"
	"time"
)

const envPrefix = "GOFERRY_"

// Values are the values of all settings, one field for each row of Table.
type Values struct {
	Listen          string        // host:port
	Upstream        Masked        // a GOPROXY list; empty if nothing names one
	Offline         bool          // answer from the cache alone
	Sumdb           Masked        // as GOSUMDB: "off", a name, or a key and an URL; empty for the default
	Private         []string      // module patterns, as in GOPRIVATE
	NoProxy         []string      // module patterns, as in GONOPROXY; Private where not set
	NoSumdb         []string      // module patterns, as in GONOSUMDB; Private where not set
	Insecure        []string      // module patterns, as in GOINSECURE
	GoAuth          Secret        // as GOAUTH
	ShutdownTimeout time.Duration // how long a stop waits for answers under way
	Lang            string        // "zh", "en", or "" for what the locale says

	CacheDir     string        // folder of the store
	CacheMaxSize Size          // 0 for no limit
	CacheIdle    time.Duration // evict what nobody asked for this long; 0 for never

	FreshList   time.Duration // how long a version list is good
	FreshLatest time.Duration // how long an answer to @latest is good
	FreshQuery  time.Duration // how long an answer to a version query is good
	FreshAbsent time.Duration // how long "not found" is good

	TLSCert  string   // PEM file; empty for plain HTTP
	TLSKey   string   // PEM file
	TLSRoots []string // PEM files of roots to trust beside the system's

	LinkConnectTimeout   time.Duration // of one TCP connection
	LinkTLSTimeout       time.Duration // of one TLS handshake
	LinkFirstByteTimeout time.Duration // from request to the answer's header
	LinkStallTimeout     time.Duration // longest silence within a body
	LinkRetries          int           // attempts after the first
	LinkSplit            Size          // bodies from this size may come over several connections; 0 for never
	LinkConnections      int           // connections that one body may come over
	LinkHosts            []string      // NAME=ADDRESS: addresses that are used instead of a look-up
	LinkDoH              []string      // URLs of DNS over HTTPS resolvers

	MirrorsHedge int // percent of requests that a second mirror may be asked; 0 for none

	Prefetch      string // "on" or "off"
	PrefetchWaste int    // percent of the bytes served to a client

	WatchModules []string      // module patterns, or "all" for what was served; empty for none
	WatchEvery   time.Duration // between two rounds
	WatchWindow  string        // HH:MM-HH:MM, local time; empty for always
	WatchRate    Size          // bytes per second; 0 for no limit

	SDKDir     string // folder of the installed SDKs and the links to them
	SDKSources Masked // where SDKs come from beside the upstream, see validSources; empty for the known places alone
	SDKKeyring string // file with OpenPGP keys beside the built-in one; empty for none

	Bundle      []string // files of bundles that modules come from, and from nowhere else; empty for none
	BundleTrust []string // minisign public keys, or files that hold one; empty to ask for no signature

	DirectParallel int           // version control processes at a time
	DirectTimeout  time.Duration // for one answer from version control

	LogFormat string     // "text" or "json"
	LogLevel  slog.Level // least level that is logged
	LogAccess bool       // one line for each request

	PolicyAllow []string // module patterns; empty allows all
	PolicyBlock []string // module patterns; wins over PolicyAllow
}

// A Type says how the text of a setting is written.
type Type uint8

// The types of setting.
const (
	TypeString   Type = iota + 1
	TypeList          // of strings, separated by commas; an array in the file
	TypeBool          // true, false
	TypeDuration      // 10s, 5m, 1h30m, 30d
	TypeSize          // 20GiB, 500MB, or a number of bytes
	TypeInt
)

// String returns the word for t that help texts use.
func (t Type) String() string {
	switch t {
	case TypeString:
		return "string"
	case TypeList:
		return "list"
	case TypeBool:
		return "bool"
	case TypeDuration:
		return "duration"
	case TypeSize:
		return "size"
	case TypeInt:
		return "int"
	}
	return "unknown"
}

// noun is String with its article, as errors say it.
func (t Type) noun() string {
	switch t {
	case TypeBool:
		return "true or false"
	case TypeInt:
		return "an integer"
	}
	return "a " + t.String()
}

// A Setting is one row of Table.
type Setting struct {
	Key     string   // "cache.max-size"
	TOML    string   // place in the file; that of "cache" is "cache.dir", since [cache] is a table
	Env     string   // "GOFERRY_CACHE_MAX_SIZE"
	Flag    string   // "cache-max-size"
	GoEnv   string   // the variable of the go command that stands in where this is not set; may be empty
	Type    Type     // how the text is written
	Default string   // as text; empty also where the machine decides (cache)
	Choices []string // what the value must be one of; nil for anything
	Secret  bool     // the value is never shown in full
	Code    string   // message code of the description: "config.cache.max-size"

	path     bool                    // names files or folders
	positive bool                    // zero makes no sense
	valid    func(text string) error // what else the text must obey; may be nil
	field    func(*Values) any       // pointer to the value
}

// Path reports whether the value names a file or folder, or is a list of them.
func (s Setting) Path() bool { return s.path }

func (s Setting) followsPrivate() bool { return s.Key == "noproxy" || s.Key == "nosumdb" }

// Table lists all settings: the single truth from which flags, variables, file,
// documentation and "config -v" are made. Settings without a table of their own
// in the file come first, as TOML wants them.
func Table() []Setting {
	rows := topRows()
	rows = append(rows, cacheRows()...)
	rows = append(rows, linkRows()...)
	rows = append(rows, aheadRows()...)
	rows = append(rows, sdkRows()...)
	rows = append(rows, bundleRows()...)
	rows = append(rows, otherRows()...)
	for i := range rows {
		s := &rows[i]
		if s.TOML == "" {
			s.TOML = s.Key
		}
		s.Env = envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.Key))
		if s.Flag == "" {
			s.Flag = strings.ReplaceAll(s.Key, ".", "-")
		}
		s.Code = "config." + s.Key
	}
	return rows
}

func topRows() []Setting {
	return []Setting{
		{Key: "listen", Type: TypeString, Default: "127.0.0.1:8046", valid: validListen, field: func(v *Values) any { return &v.Listen }},
		{Key: "upstream", Type: TypeString, GoEnv: "GOPROXY", field: func(v *Values) any { return &v.Upstream }},
		{Key: "offline", Type: TypeBool, Default: "false", field: func(v *Values) any { return &v.Offline }},
		{Key: "sumdb", Type: TypeString, GoEnv: "GOSUMDB", field: func(v *Values) any { return &v.Sumdb }},
		{Key: "private", Type: TypeList, GoEnv: "GOPRIVATE", valid: validPatterns, field: func(v *Values) any { return &v.Private }},
		{Key: "noproxy", Type: TypeList, GoEnv: "GONOPROXY", valid: validPatterns, field: func(v *Values) any { return &v.NoProxy }},
		{Key: "nosumdb", Type: TypeList, GoEnv: "GONOSUMDB", valid: validPatterns, field: func(v *Values) any { return &v.NoSumdb }},
		{Key: "insecure", Type: TypeList, GoEnv: "GOINSECURE", valid: validPatterns, field: func(v *Values) any { return &v.Insecure }},
		{Key: "goauth", Type: TypeString, GoEnv: "GOAUTH", Secret: true, field: func(v *Values) any { return &v.GoAuth }},
		{Key: "shutdown-timeout", Type: TypeDuration, Default: "30s", field: func(v *Values) any { return &v.ShutdownTimeout }},
		{Key: "lang", Type: TypeString, Choices: []string{"zh", "en"}, field: func(v *Values) any { return &v.Lang }},
	}
}

func cacheRows() []Setting {
	return []Setting{
		{Key: "cache", TOML: "cache.dir", Type: TypeString, path: true, field: func(v *Values) any { return &v.CacheDir }},
		{Key: "cache.max-size", Type: TypeSize, Default: "20GiB", field: func(v *Values) any { return &v.CacheMaxSize }},
		{Key: "cache.idle", Type: TypeDuration, Default: "0s", field: func(v *Values) any { return &v.CacheIdle }},
		{Key: "fresh.list", Type: TypeDuration, Default: "1m", field: func(v *Values) any { return &v.FreshList }},
		{Key: "fresh.latest", Type: TypeDuration, Default: "1m", field: func(v *Values) any { return &v.FreshLatest }},
		{Key: "fresh.query", Type: TypeDuration, Default: "1m", field: func(v *Values) any { return &v.FreshQuery }},
		{Key: "fresh.absent", Type: TypeDuration, Default: "1m", field: func(v *Values) any { return &v.FreshAbsent }},
	}
}

func linkRows() []Setting {
	return []Setting{
		{Key: "tls.cert", Type: TypeString, path: true, field: func(v *Values) any { return &v.TLSCert }},
		{Key: "tls.key", Type: TypeString, path: true, field: func(v *Values) any { return &v.TLSKey }},
		{Key: "tls.roots", Type: TypeList, path: true, field: func(v *Values) any { return &v.TLSRoots }},
		{Key: "link.connect-timeout", Type: TypeDuration, Default: "10s", positive: true, field: func(v *Values) any { return &v.LinkConnectTimeout }},
		{Key: "link.tls-timeout", Type: TypeDuration, Default: "10s", positive: true, field: func(v *Values) any { return &v.LinkTLSTimeout }},
		{Key: "link.first-byte-timeout", Type: TypeDuration, Default: "1m", positive: true, field: func(v *Values) any { return &v.LinkFirstByteTimeout }},
		{Key: "link.stall-timeout", Type: TypeDuration, Default: "10s", positive: true, field: func(v *Values) any { return &v.LinkStallTimeout }},
		{Key: "link.retries", Type: TypeInt, Default: "5", field: func(v *Values) any { return &v.LinkRetries }},
		{Key: "link.split", Type: TypeSize, Default: "4MiB", field: func(v *Values) any { return &v.LinkSplit }},
		{Key: "link.connections", Type: TypeInt, Default: "8", positive: true, field: func(v *Values) any { return &v.LinkConnections }},
		{Key: "link.hosts", Type: TypeList, valid: validHosts, field: func(v *Values) any { return &v.LinkHosts }},
		{Key: "link.doh", Type: TypeList, valid: validHTTPS, field: func(v *Values) any { return &v.LinkDoH }},
	}
}

func aheadRows() []Setting {
	return []Setting{
		{Key: "mirrors.hedge", Type: TypeInt, Default: "5", valid: validPercent, field: func(v *Values) any { return &v.MirrorsHedge }},
		{Key: "prefetch", TOML: "prefetch.mode", Type: TypeString, Default: "on", Choices: []string{"on", "off"}, field: func(v *Values) any { return &v.Prefetch }},
		{Key: "prefetch.waste", Type: TypeInt, Default: "15", valid: validPercent, field: func(v *Values) any { return &v.PrefetchWaste }},
		{Key: "watch.modules", Type: TypeList, valid: validPatterns, field: func(v *Values) any { return &v.WatchModules }},
		{Key: "watch.every", Type: TypeDuration, Default: "1h", positive: true, field: func(v *Values) any { return &v.WatchEvery }},
		{Key: "watch.window", Type: TypeString, field: func(v *Values) any { return &v.WatchWindow }},
		{Key: "watch.rate", Type: TypeSize, Default: "0", field: func(v *Values) any { return &v.WatchRate }},
	}
}

func sdkRows() []Setting {
	return []Setting{
		{Key: "sdk.dir", Type: TypeString, path: true, field: func(v *Values) any { return &v.SDKDir }},
		{Key: "sdk.sources", Type: TypeString, valid: validSources, field: func(v *Values) any { return &v.SDKSources }},
		{Key: "sdk.keyring", Type: TypeString, path: true, field: func(v *Values) any { return &v.SDKKeyring }},
	}
}

func bundleRows() []Setting {
	return []Setting{
		{Key: "bundle", TOML: "bundle.files", Type: TypeList, path: true, field: func(v *Values) any { return &v.Bundle }},
		{Key: "bundle.trust", Flag: "trust", Type: TypeList, field: func(v *Values) any { return &v.BundleTrust }},
	}
}

func otherRows() []Setting {
	return []Setting{
		{Key: "direct.parallel", Type: TypeInt, Default: "4", positive: true, field: func(v *Values) any { return &v.DirectParallel }},
		{Key: "direct.timeout", Type: TypeDuration, Default: "10m", positive: true, field: func(v *Values) any { return &v.DirectTimeout }},
		{Key: "log.format", Type: TypeString, Default: "text", Choices: []string{"text", "json"}, field: func(v *Values) any { return &v.LogFormat }},
		{Key: "log.level", Type: TypeString, Default: "info", Choices: []string{"debug", "info", "warn", "error"}, field: func(v *Values) any { return &v.LogLevel }},
		{Key: "log.access", Type: TypeBool, Default: "true", field: func(v *Values) any { return &v.LogAccess }},
		{Key: "policy.allow", Type: TypeList, valid: validPatterns, field: func(v *Values) any { return &v.PolicyAllow }},
		{Key: "policy.block", Type: TypeList, valid: validPatterns, field: func(v *Values) any { return &v.PolicyBlock }},
	}
}
