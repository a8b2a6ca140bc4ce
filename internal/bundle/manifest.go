package bundle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Bounds of what a reader takes, for files made to exhaust it.
const (
	maxManifest = 64 << 20 // bytes, unpacked; 300,000 entries
	maxSBOM     = 64 << 20
	maxTokens   = 6 << 20 // of the manifest: a short text must not become a large value
	maxFile     = 1 << 40 // bytes of an entry
)

// toolJSON is a tool in JSON.
type toolJSON struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// MarshalJSON writes the tools with keys in lower case.
func (t Tools) MarshalJSON() ([]byte, error) {
	out := make([]toolJSON, len(t))
	for i, m := range t {
		out[i] = toolJSON(m)
	}
	return json.Marshal(out)
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (t *Tools) UnmarshalJSON(b []byte) error {
	var in []toolJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*t = nil
	for _, m := range in {
		*t = append(*t, module.Version(m))
	}
	return nil
}

// newManifest returns the manifest of a plan with these entries.
func newManifest(p Plan, entries []Entry) Manifest {
	m := Manifest{
		Schema: Schema, Time: p.Time.UTC().Truncate(time.Second), Level: p.Level, Base: p.Base,
		Targets:  sortedSet(p.Targets, cmp.Compare[string]),
		Tools:    sortedSet(p.Tools, compareVersions),
		Modules:  sortedSet(p.Modules, compareModules),
		Projects: sortedSet(p.Projects, compareProjects),
		Entries:  entries,
	}
	if m.Base != nil {
		m.Base = &Base{ID: m.Base.ID, Time: m.Base.Time.UTC().Truncate(time.Second)}
	}
	m.ID = ContentID(m.Entries, m.Base)
	return m
}

// sortedSet returns a sorted copy without repetition; it is never nil, for JSON's [].
func sortedSet[T comparable](in []T, compare func(a, b T) int) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, compare)
	return append([]T{}, slices.Compact(out)...)
}

func compareVersions(a, b module.Version) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version), cmp.Compare(a.Version, b.Version))
}

func compareModules(a, b Module) int {
	return cmp.Or(compareVersions(module.Version{Path: a.Path, Version: a.Version}, module.Version{Path: b.Path, Version: b.Version}),
		cmp.Compare(a.Sum, b.Sum), cmp.Compare(a.ModSum, b.ModSum), cmp.Compare(a.Source, b.Source), compareBool(a.Recorded, b.Recorded))
}

func compareBool(a, b bool) int {
	if a == b {
		return 0
	}
	if b {
		return -1
	}
	return 1
}

func compareProjects(a, b Project) int {
	return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.GoMod, b.GoMod), cmp.Compare(a.GoSum, b.GoSum), cmp.Compare(a.Go, b.Go))
}

// ContentID computes Manifest.ID: the SHA-256, in hexadecimal, over the base's ID and the hash, size and name of each entry.
func ContentID(entries []Entry, base *Base) string {
	h := sha256.New()
	h.Write([]byte("goferry bundle\n"))
	if base != nil {
		h.Write([]byte("base " + base.ID + "\n"))
	}
	writeEntries(h, entries)
	return hex.EncodeToString(h.Sum(nil))
}

func writeEntries(h hash.Hash, entries []Entry) {
	var line []byte
	for _, e := range entries {
		line = append(append(line[:0], e.SHA256...), ' ')
		line = append(strconv.AppendInt(line, e.Size, 10), ' ')
		line = append(append(line, e.Name...), '\n')
		h.Write(line)
	}
}

// parseManifest reads and checks a manifest. Errors: CodeTooNew, CodeRefused.
func parseManifest(data []byte) (Manifest, error) {
	refused := func(detail string, err error) (Manifest, error) {
		return Manifest{}, &Error{Code: CodeRefused, Detail: detail, Err: err}
	}
	if len(data) > maxManifest || tokens(data) > maxTokens {
		return refused(ManifestName, errors.New("too large"))
	}
	var schema struct {
		Version int `json:"schema_version"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		return refused(ManifestName, err)
	}
	if schema.Version > Schema {
		return Manifest{}, &Error{Code: CodeTooNew, Detail: strconv.Itoa(schema.Version)}
	}
	if schema.Version < 1 {
		return refused(ManifestName, errors.New("no schema_version"))
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return refused(ManifestName, err)
	}
	if len(m.Entries) > MaxEntries {
		return refused(ManifestName, fmt.Errorf("more than %d entries", MaxEntries))
	}
	if detail, err := checkEntries(m.Entries); err != nil {
		return refused(detail, err)
	}
	if m.Base != nil && !isHash(m.Base.ID) || m.ID != ContentID(m.Entries, m.Base) {
		return refused(ManifestName, errors.New("its ID is not that of its entries"))
	}
	return m, nil
}

// tokens returns how many values JSON text can hold at most.
func tokens(data []byte) int {
	n := 0
	for _, c := range data {
		if c == ',' || c == '{' || c == '[' {
			n++
		}
	}
	return n
}

// checkEntries checks the entries of a manifest: names that may be in a bundle, in order, sizes and hashes in their
// form. It returns the name that is at fault.
func checkEntries(entries []Entry) (string, error) {
	sbom := false
	for i, e := range entries {
		switch {
		case i > 0 && entries[i-1].Name >= e.Name:
			return e.Name, errors.New("names are not in order, or twice the same")
		case e.Name == ManifestName || e.Name == SignatureName:
			return e.Name, errors.New("not a file that a manifest lists")
		case e.Size < 0 || e.Size > maxFile:
			return e.Name, fmt.Errorf("its size is %d bytes", e.Size)
		case !isHash(e.SHA256):
			return e.Name, errors.New("not a SHA-256")
		case e.Name == SBOMName:
			sbom = true
			if e.Size > maxSBOM {
				return e.Name, errors.New("too large")
			}
		}
		if err := checkName(e.Name); err != nil {
			return e.Name, err
		}
	}
	if !sbom {
		return SBOMName, errors.New("missing in the manifest")
	}
	return checkNames(func(yield func(string) bool) {
		for _, e := range entries {
			if !yield(e.Name) {
				return
			}
		}
	})
}

func isHash(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
