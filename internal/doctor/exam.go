package doctor

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
	"github.com/goferry/goferry/internal/toolchain"
)

// An Exam is what the checks look at: one machine, one user, one folder, one network. All of
// it is given, so that a test can give another one. Checks share it and change nothing of it.
type Exam struct {
	OS, Arch string
	Home     string // of the user, as HOME says it
	Account  string // the home folder that the system has for the user; empty where it is not known
	Dir      string // the folder where the user stands
	// OSRelease is the text of /etc/os-release, or of /usr/lib/os-release; empty where there is none.
	OSRelease string
	Env       map[string]string
	Secrets   []string // further ones, as those of a netrc file, which must not be shown; see SecretsOf
	GoEnv     GoEnv
	Runner    *gocmd.Runner // of the user's environment
	Targets   []Target      // what the go command would ask, in its order, then the SDK hosts
	SumDB     string        // GOSUMDB as it is in force
	Mirrors   []string      // URLs of the public module proxies that goferry knows, to tell them from private ones
	Net       Net
	Hosts     HostsFile                                                        // by which the system knows hosts without asking
	SDKs      toolchain.Finder                                                 // where Gos may be
	Verify    func(ctx context.Context, root string) (toolchain.Report, error) // of a Go, without a download; nil for nobody
	Trace     *Trace                                                           // what the kernel sees of connections; nil where nobody wants to know

	memo *memo // see Sharing; nil for none
}

// A GoEnv is what `go env` says, and where each value comes from.
type GoEnv struct {
	Values  map[string]string // in force
	File    string            // that go env -w writes
	Written map[string]string // what stands in File
	Version string            // of the go command in use: "go1.26.8"; empty if there is none
	Err     error             // of `go env`
}

// A Role is what a target is for.
type Role string

// The roles.
const (
	Upstream Role = "upstream" // an entry of GOPROXY
	Database Role = "sumdb"    // the checksum database's own host, asked where no upstream carries it
	SDKHost  Role = "sdk"      // an archive host
	Origin   Role = "origin"   // a host of version control, for direct
)

// A Target is a server that the go command would ask.
type Target struct {
	Role  Role
	URL   *url.URL // without credentials
	Proxy *url.URL // the proxy between, nil for none
	Sep   byte     // ',' or '|': what follows it in GOPROXY; 0 for the last
}

// Host is its name and port.
func (t Target) Host() string {
	port := t.URL.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[t.URL.Scheme]
	}
	return net.JoinHostPort(t.URL.Hostname(), port)
}

// A Net is the network as the checks reach it. The zero value of each wait is its default.
type Net struct {
	// Lookup asks the system's resolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Resolvers are public resolvers asked over UDP for comparison, as address and port.
	Resolvers []string
	// DoH are resolvers asked over HTTPS for comparison.
	DoH []string
	// Dial makes connections and UDP sockets, to addresses alone.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialNarrow makes connections whose packets are small in both directions, to tell whether large ones are lost;
	// nil where the system cannot.
	DialNarrow func(ctx context.Context, network, addr string) (net.Conn, error)
	// Roots are the authorities that are trusted; nil for the system's.
	Roots *x509.CertPool
	// Control is a host name that nobody has a reason to block, for comparison.
	Control string
	// Whoami is a name whose address is that of the resolver that asks for it; empty for none.
	Whoami string
	// HTTP is goferry's own client, with all its ways around obstacles: what it can reach
	// while the go command cannot is a fix.
	HTTP *http.Client
	Now  func() time.Time

	ResolveWait time.Duration // 4 s for each resolver
	LateWait    time.Duration // 500 ms for a second, different answer
	ConnectWait time.Duration // 4 s for each address
	TLSWait     time.Duration // 4 s for each handshake
	AnswerWait  time.Duration // 5 s until an answer begins
	StallWait   time.Duration // 3 s without a byte
}
