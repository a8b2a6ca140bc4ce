package toolchain

// A Kind says what a Place has.
type Kind string

// The kinds of places.
const (
	Modules  Kind = "modules"  // a module proxy: toolchains are zips of the module golang.org/toolchain
	Archives Kind = "archives" // a host of release archives: go1.25.7.linux-amd64.tar.gz
)

// A Place is where toolchains can be had.
type Place struct {
	Name string `json:"name"` // for people
	URL  string `json:"url"`  // http, https or file; the base of a module proxy, or the folder of the archives
	Kind Kind   `json:"kind"`

	// Flat says that a place of Modules is no module proxy: its folder holds the zips of
	// toolchains under their versions, v0.0.1-go1.25.7.linux-amd64.zip. It has no list.
	Flat bool `json:"flat,omitempty"`
	// List is the URL of the list of releases in the JSON of go.dev/dl; empty for a place
	// that has none. For archive hosts alone.
	List string `json:"list,omitempty"`
	// UserAgent is sent to places that send programs away that say what they are.
	UserAgent string `json:"userAgent,omitempty"`
	// Own says that the user named the place; such places come before the known ones.
	Own bool `json:"-"`
}

// A Stage is what an installation is doing.
type Stage string

// The stages, in their order.
const (
	Waiting     Stage = "wait" // for another goferry that is at work on the same
	Asking      Stage = "ask"  // the checksum database
	Downloading Stage = "download"
	Unpacking   Stage = "unpack" // and hashing
	Proving     Stage = "prove"
)

// A Progress says how far an installation is.
type Progress struct {
	Target  Target
	Stage   Stage
	Place   string // its name; for Downloading
	Done    int64  // bytes; of files for Unpacking
	Total   int64  // -1 while unknown
	Resumed int64  // how many of Done an earlier run had brought
}

// A Trouble says why a place was left for the next one.
type Trouble struct {
	Place string
	Err   error // with the meaning of package goproxy, or of package transport
}
