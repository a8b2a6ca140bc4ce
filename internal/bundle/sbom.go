package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// sbomOf returns the SBOM of a bundle: CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/).
// It lists the module versions of which the bundle has the zip or at least the go.mod, and the Debian packages in it. It
// follows from the plan's content alone: its serial number is made of the entries' hashes.
func sbomOf(m Manifest, edges []Edge, debs []Deb) ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(m)
	components, known := sbomComponents(m)
	components = append(components, sbomDebs(m, debs)...)
	projects, roots := sbomProjects(m)
	for ref := range roots {
		known[ref] = true
	}
	bundle := cdx.Component{BOMRef: "bundle", Type: cdx.ComponentTypeFile, Name: "goferry bundle"}
	if len(projects) > 0 {
		bundle.Components = &projects
	}
	bom.Metadata = &cdx.Metadata{
		Timestamp: m.Time.Format(time.RFC3339),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "goferry"}}},
		Component: &bundle,
	}
	bom.Components = &components
	if deps := sbomEdges(edges, known); len(deps) > 0 {
		bom.Dependencies = &deps
	}
	var b bytes.Buffer
	err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return b.Bytes(), err
}

// serial makes a UUID (version 8, RFC 9562) of what is in the bundle.
func serial(m Manifest) string {
	h := sha256.New()
	h.Write([]byte("goferry sbom\n"))
	writeEntries(h, m.Entries)
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// sbomComponents returns the components, and which references they have.
func sbomComponents(m Manifest) ([]cdx.Component, map[string]bool) {
	entries := make(map[string]Entry, len(m.Entries))
	for _, e := range m.Entries {
		entries[e.Name] = e
	}
	tools := map[module.Version]bool{}
	components, known := []cdx.Component{}, map[string]bool{}
	for _, t := range m.Tools {
		tools[t] = true
	}
	for _, mod := range m.Modules {
		zip, hasZip := entries[fileOf(mod, goproxy.Zip)]
		_, hasMod := entries[fileOf(mod, goproxy.Mod)]
		ref := purl(mod.Path, mod.Version)
		if !hasZip && !hasMod || known[ref] {
			continue
		}
		known[ref] = true
		c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: mod.Path, Version: mod.Version, PackageURL: ref}
		if mod.Path == "golang.org/toolchain" || tools[module.Version{Path: mod.Path, Version: mod.Version}] {
			c.Type = cdx.ComponentTypeApplication
		}
		c.Scope = cdx.ScopeRequired
		if hasZip {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: zip.SHA256}}
		} else {
			c.Scope = cdx.ScopeExcluded // its go.mod is there to select versions; its code is not
		}
		if props := sbomProperties(mod); len(props) > 0 {
			c.Properties = &props
		}
		components = append(components, c)
	}
	return components, known
}

// sbomDebs returns the components for the Debian packages that are in the bundle, each once.
func sbomDebs(m Manifest, debs []Deb) []cdx.Component {
	hashes := map[string]string{}
	for _, e := range m.Entries {
		hashes[e.Name] = e.SHA256
	}
	var components []cdx.Component
	known := map[string]bool{}
	debs = slices.Clone(debs)
	slices.SortFunc(debs, func(a, b Deb) int {
		return cmp.Or(strings.Compare(debPurl(a), debPurl(b)), strings.Compare(a.Entry, b.Entry))
	})
	for _, d := range debs {
		ref := debPurl(d)
		if hashes[d.Entry] == "" || known[ref] {
			continue
		}
		known[ref] = true
		components = append(components, cdx.Component{
			BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: d.Name, Version: d.Version, PackageURL: ref, Scope: cdx.ScopeRequired,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hashes[d.Entry]}},
		})
	}
	return components
}

// debPurl is the package URL of a Debian package (https://github.com/package-url/purl-spec, type deb).
func debPurl(d Deb) string {
	vendor, release, _ := strings.Cut(d.Distro, " ")
	ref := "pkg:deb/" + purlEscape(cmp.Or(vendor, "debian")) + "/" + purlEscape(strings.ToLower(d.Name)) + "@" + purlEscape(d.Version) + "?arch=" + purlEscape(d.Arch)
	if release != "" {
		ref += "&distro=" + purlEscape(vendor+"-"+release)
	}
	return ref
}

func fileOf(m Module, k goproxy.Kind) string {
	name, _ := goproxy.Request{Path: m.Path, Version: m.Version, Kind: k}.Name()
	return name
}

// sbomProperties are what CycloneDX has no field for: the checksum database's hashes, and where a module came from.
func sbomProperties(m Module) []cdx.Property {
	var props []cdx.Property
	for _, p := range []cdx.Property{
		{Name: "goferry:h1", Value: m.Sum}, {Name: "goferry:h1:go.mod", Value: m.ModSum}, {Name: "goferry:source", Value: m.Source},
	} {
		if p.Value != "" {
			props = append(props, p)
		}
	}
	return append(props, cdx.Property{Name: "goferry:checksum-database", Value: fmt.Sprint(m.Recorded)})
}

// sbomProjects returns what the bundle was made for.
func sbomProjects(m Manifest) ([]cdx.Component, map[string]bool) {
	var projects []cdx.Component
	refs := map[string]bool{}
	for _, p := range m.Projects {
		ref := purl(p.Module, "")
		if refs[ref] {
			continue
		}
		refs[ref] = true
		projects = append(projects, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: p.Module, PackageURL: ref})
	}
	return projects, refs
}

// sbomEdges returns the dependencies among what the SBOM lists.
func sbomEdges(edges []Edge, known map[string]bool) []cdx.Dependency {
	on := map[string][]string{}
	for _, e := range edges {
		from, to := purl(e.From.Path, e.From.Version), purl(e.To.Path, e.To.Version)
		if known[from] && known[to] {
			on[from] = append(on[from], to)
		}
	}
	var deps []cdx.Dependency
	for from, to := range on {
		slices.Sort(to)
		to = slices.Compact(to)
		deps = append(deps, cdx.Dependency{Ref: from, Dependencies: &to})
	}
	slices.SortFunc(deps, func(a, b cdx.Dependency) int { return strings.Compare(a.Ref, b.Ref) })
	return deps
}

// purl returns the package URL of a module version (https://github.com/package-url/purl-spec). The case of
// module paths is kept, against that text and with the tools that write SBOMs of Go: paths that
// differ in case are different modules.
func purl(path, version string) string {
	var b strings.Builder
	b.WriteString("pkg:golang")
	for elem := range strings.SplitSeq(path, "/") {
		b.WriteString("/" + purlEscape(elem))
	}
	if version != "" {
		b.WriteString("@" + purlEscape(version))
	}
	return b.String()
}

func purlEscape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%3A", ":")
}
