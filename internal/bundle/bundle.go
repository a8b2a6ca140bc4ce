// Package bundle selects sets of module versions and copies them between sources,
// stores and archives; it never uses the network.
//
// What it is given to read from may: it does not know.
package bundle

import (
	"context"
	"io"
	"time"

	"golang.org/x/mod/module"
)

// Ours is the folder of a bundle for what is goferry's; everything beside it is a
// GOPROXY tree, with the checksum database's files below sumdb/.
const Ours = ".goferry/"

// Names of goferry's own entries.
const (
	ManifestName  = Ours + "manifest.json"
	SignatureName = ManifestName + ".minisig"
	SBOMName      = Ours + "sbom.cdx.json"
)

// VulnFolder holds govulncheck's database, where a bundle has one.
const VulnFolder = Ours + "vuln/"

// CCFolder holds Debian packages of C compilers and an index of them, where a bundle has some.
const CCFolder = Ours + "cc/"

// A Plan is what goes into a bundle. The order of its slices does not matter.
type Plan struct {
	Modules  []Module
	Files    []File // every entry but goferry's own; Create sorts them by name
	Projects []Project
	Tools    []module.Version // that can be installed by go install path@version
	Targets  []string         // "linux/amd64": what it was computed for
	Level    Level
	Time     time.Time // of the youngest thing in it; there is no other date in a bundle
	Base     *Base     // nil for a bundle that stands alone
	Edges    []Edge    // for the SBOM: who requires whom; may be empty
	Debs     []Deb     // for the SBOM; may be empty
}

// A Deb is a Debian package among the files of a plan.
type Deb struct {
	Name    string
	Version string
	Arch    string // of Debian: amd64
	Distro  string // that it is from: "debian 12"
	Entry   string // name of its File
}

// An Edge of the module graph: From requires To. The version of a project's main module is empty.
type Edge struct{ From, To module.Version }

// A Level says what the far side can do with a bundle.
type Level string

// The levels; each has what the one before it has.
const (
	Build  Level = "build"  // build, vet and test for the targets
	Tidy   Level = "tidy"   // also tidy and vendor, which look at all systems and the tests of dependencies
	Editor Level = "editor" // the default: also list -m all, mod graph, queries of versions, retractions
	All    Level = "all"    // the zips of the whole build list, as go mod download all
)

// A Module is a module version in a bundle. Sum and ModSum are "h1:" hashes.
type Module struct {
	Path     string `json:"path"`
	Version  string `json:"version"`
	Sum      string `json:"sum,omitempty"`     // of the zip; empty where the bundle has no zip
	ModSum   string `json:"mod_sum,omitempty"` // of the go.mod
	Source   string `json:"source,omitempty"`  // where it came from, without credentials
	Recorded bool   `json:"recorded"`          // the checksum database has it; false for private ones
}

// A Project is what a bundle was made for.
type Project struct {
	Module string `json:"module"` // of its go.mod, or the folder's name for a workspace
	GoMod  string `json:"go_mod"` // SHA-256 of the go.mod or go.work, hex
	GoSum  string `json:"go_sum,omitempty"`
	Go     string `json:"go,omitempty"` // its go line
}

// A File is an entry of a bundle. Open may be called many times, by many goroutines.
type File struct {
	Name string // as a path in the zip
	Size int64
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// A Base is the older bundle that a delta adds to.
type Base struct {
	ID   string    `json:"id"` // its Manifest.ID
	Time time.Time `json:"time"`
}

// A Manifest says what is in a bundle. It is the entry ManifestName, the first of the zip.
type Manifest struct {
	Schema   int       `json:"schema_version"` // Schema
	ID       string    `json:"id"`             // see ContentID: the same content has the same
	Time     time.Time `json:"time"`
	Level    Level     `json:"level"`
	Targets  []string  `json:"targets"`
	Projects []Project `json:"projects"`
	Tools    Tools     `json:"tools,omitempty"`
	Base     *Base     `json:"base,omitempty"`
	Modules  []Module  `json:"modules"`
	Entries  []Entry   `json:"entries"`
}

// Schema is the version of the manifest and of the layout of the file that this goferry
// writes. It reads this one and older ones.
const Schema = 1

// An Entry is a file in the zip. All but the manifest and its signature are listed, the SBOM too.
type Entry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// Tools are the tools of a Manifest; in JSON their keys are lower case as all the others.
type Tools []module.Version
