package arch

const mainRoom = "cmd/goferry"

// A Room is one row of the table.
type Room struct {
	Name     string   // folder under internal; cmd/goferry for the command
	Layer    int      // 0 to 4
	Sentence string   // what it does; opens its package comment
	Imports  []string // rooms it may import; the command may import all
}

// Rooms is the table of rooms. A new room is a new row here.
func Rooms() []Room {
	return []Room{
		{"goproxy", 0, "defines the GOPROXY protocol as Go: requests, sources, errors, and the client and handler that carry them over HTTP", nil},
		{"transport", 0, "builds the HTTP client that every outbound request uses, keeps it moving on a bad link, and says why a request failed", nil},
		{"store", 0, "keeps named, immutable blobs on disk", nil},
		{"flight", 0, "runs a piece of work once for all who ask for it at the same time", nil},
		{"gocmd", 0, "runs the go command and the tools it needs; the only room that starts processes", nil},
		{"config", 0, "reads settings from flags, environment and file, and remembers where each came from", nil},
		{"server", 0, "runs an HTTP server: listeners, middleware, health, metrics, graceful stop", nil},
		{"service", 0, "installs goferry as a service of the user and takes it away again", nil},
		{"shellenv", 0, "writes and takes away the lines of shell start-up files that put Go on the PATH, and on Windows the entries of the user's environment in the registry that do", nil},
		{"tcptrace", 0, "counts what goes wrong on TCP connections to given addresses, as the Linux kernel sees it, by eBPF", nil},
		{"text", 0, "turns message codes into Chinese and English", nil},
		{"draw", 0, "draws a graph of named nodes as SVG, DOT, and one self-contained HTML page", nil},
		{"binary", 0, "reads programs, ELF, PE and Mach-O, and judges where they run", nil},
		{"sumdb", 1, "checks files against the checksum database and proxies it, online or from a store", []string{"goproxy", "store", "flight"}},
		{"cache", 1, "puts a store in front of a source: fills, freshness, eviction", []string{"goproxy", "store"}},
		{"vcs", 1, "answers the protocol from version control, as GOPROXY=direct does", []string{"goproxy", "gocmd", "flight"}},
		{"modgraph", 1, "loads the module graph of a build and selects versions (MVS)", []string{"goproxy"}},
		{"toolchain", 1, "lists, downloads, verifies, installs, selects and repairs Go toolchains", []string{"goproxy", "transport", "gocmd", "sumdb"}},
		{"cgo", 1, "finds and installs C compilers, says what a project needs of cgo, and drives builds for many targets", []string{"gocmd", "binary"}},
		{"mirrors", 2, "knows public mirrors, probes and ranks them", []string{"goproxy", "transport", "sumdb"}},
		{"prefetch", 2, "asks ahead of the client for what it will ask next, and counts what was wasted", []string{"goproxy", "modgraph"}},
		{"bundle", 2, "selects sets of module versions and copies them between sources, stores and archives", []string{"goproxy", "store", "modgraph"}},
		{"image", 1, "writes Dockerfiles and OCI images of Go projects that need no network, no daemon and no rights", []string{"goproxy", "gocmd"}},
		{"vendoring", 1, "completes what go mod vendor leaves out, and proves that the vendor folder builds", []string{"goproxy", "gocmd"}},
		{"doctor", 2, "checks the network and the Go set-up and returns findings with fixes", []string{"goproxy", "transport", "gocmd", "sumdb", "toolchain", "cgo"}},
		{"web", 3, "serves the UI and its JSON API", []string{"goproxy", "modgraph", "doctor", "text"}},
		{mainRoom, 4, "reads the command line and wires the rooms", nil},
		{"arch", 0, "holds the agreement on rooms: who may import whom, who owns what, and what no room may do", nil},
	}
}

// A Helper is a package for tests alone. Only test files and other helpers may
// import it; it is bound by the documentation rules and no others. It stands
// under internal or in the folder of the room it helps.
type Helper struct {
	Name    string   // last element of its folder
	Room    string   // the room it helps
	Imports []string // rooms it may import
}

// Helpers lists the packages for tests.
func Helpers() []Helper {
	return []Helper{
		{"goproxytest", "goproxy", []string{"goproxy"}},
		{"storetest", "store", []string{"store"}},
		{"texttest", "text", []string{"text"}},
		{"weaklink", "transport", []string{"goproxy"}},
	}
}

// An owner is a package that only some rooms may use.
type owner struct {
	path  string
	rooms []string
	rule  string
}

// owners lists import paths that belong to a room. sumdb/dirhash is not among
// them: it computes hashes and decides nothing.
func owners() []owner {
	return []owner{
		{"os/exec", []string{"gocmd"}, "owner"},
		{"golang.org/x/mod/sumdb", []string{"sumdb"}, "owner"},
		{"golang.org/x/mod/sumdb/note", []string{"sumdb"}, "owner"},
		{"golang.org/x/mod/sumdb/tlog", []string{"sumdb"}, "owner"},
		{"github.com/ProtonMail/go-crypto/openpgp", []string{"toolchain"}, "owner"},
		{"github.com/kardianos/service", []string{"service"}, "owner"}, // runs systemctl and launchctl
		{"github.com/cilium/ebpf", []string{"tcptrace"}, "owner"},
		{"github.com/cilium/ebpf/link", []string{"tcptrace"}, "owner"},
		{"flag", []string{mainRoom}, "flag"},
		{"github.com/spf13/pflag", []string{mainRoom}, "flag"},
		{"github.com/spf13/cobra", []string{mainRoom}, "flag"},
	}
}

// A ban is a function or variable of another package that only some rooms may use.
type ban struct {
	path  string
	names []string
	rooms []string // that may; nil for none
	rule  string
	why   string
}

func bans() []ban {
	main := []string{mainRoom}
	return []ban{
		{"os", []string{"StartProcess"}, []string{"gocmd"}, "owner", "only gocmd starts processes"},
		{"syscall", []string{"StartProcess", "ForkExec", "Exec"}, []string{"gocmd"}, "owner", "only gocmd starts processes"},
		{"os", []string{"Exit"}, main, "exit", "return an error; the command turns it into an exit code"},
		{"log", []string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"}, nil, "fatal", "return an error"},
		{"context", []string{"Background", "TODO"}, main, "context", "take the context as an argument"},
		{"log/slog", []string{"Default", "SetDefault", "Debug", "Info", "Warn", "Error", "Log", "LogAttrs", "With",
			"DebugContext", "InfoContext", "WarnContext", "ErrorContext"}, nil, "slog", "a logger is a field; nil discards"},
		{"os", []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv"},
			[]string{"config", "gocmd", mainRoom}, "env", "a setting is a field of the room's own type"},
	}
}
