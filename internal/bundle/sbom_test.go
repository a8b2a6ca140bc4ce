package bundle_test

import (
	"bytes"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/bundle"
)

// TestSBOM: the SBOM is CycloneDX 1.6, lists what is in the bundle and nothing else, and refers only to what it lists.
func TestSBOM(t *testing.T) {
	p := samplePlan(6, 500)
	p.Modules = append(p.Modules,
		bundle.Module{Path: "example.com/not/here", Version: "v1.0.0"},
		bundle.Module{Path: "example.com/Big", Version: "v2.0.0+incompatible", ModSum: "h1:x"},
		bundle.Module{Path: "golang.org/toolchain", Version: "v0.0.1-go1.26.8.linux-amd64"})
	p.Files = append(p.Files, fileOf("example.com/!big/@v/v2.0.0+incompatible.mod", []byte("module example.com/Big\n")),
		fileOf("golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-amd64.zip", []byte("zip")))
	p.Edges = append(p.Edges, bundle.Edge{From: module.Version{Path: "example.com/app"}, To: module.Version{Path: "example.com/not/here", Version: "v1.0.0"}},
		bundle.Edge{From: module.Version{Path: "example.com/app"}, To: module.Version{Path: "example.com/Big", Version: "v2.0.0+incompatible"}})
	p.Files = append(p.Files, fileOf(bundle.CCFolder+"debs/1.deb", []byte("a package")))
	p.Debs = []bundle.Deb{
		{Name: "gcc", Version: "4:12.2.0-3+x~1", Arch: "amd64", Distro: "debian 12", Entry: bundle.CCFolder + "debs/1.deb"},
		{Name: "gcc", Version: "4:12.2.0-3+x~1", Arch: "amd64", Distro: "debian 12", Entry: bundle.CCFolder + "debs/1.deb"}, // of another target
		{Name: "binutils", Version: "2.40", Arch: "amd64", Distro: "debian 12", Entry: bundle.CCFolder + "debs/2.deb"},      // the older bundle has it
	}
	r := open(t, create(t, p, bundle.CreateOptions{}))
	data, err := fs.ReadFile(r.FS(), bundle.SBOMName)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(data), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cdx.SpecVersion1_6 || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-9a-f][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(bom.SerialNumber) {
		t.Errorf("%v %s", bom.SpecVersion, bom.SerialNumber)
	}
	if bom.Metadata.Timestamp != "2026-03-04T05:06:07Z" || (*bom.Metadata.Component.Components)[0].Name != "example.com/app" {
		t.Errorf("%+v", bom.Metadata)
	}
	refs := map[string]cdx.Component{"pkg:golang/example.com/app": {}}
	for _, c := range *bom.Components {
		if _, twice := refs[c.BOMRef]; twice {
			t.Errorf("%s twice", c.BOMRef)
		}
		refs[c.BOMRef] = c
	}
	if len(refs) != 10 {
		t.Errorf("%d components", len(refs))
	}
	big := refs["pkg:golang/example.com/Big@v2.0.0%2Bincompatible"]
	if big.Name != "example.com/Big" || big.Hashes != nil || big.Scope != cdx.ScopeExcluded {
		t.Errorf("%+v", big)
	}
	m0 := refs["pkg:golang/example.com/Azure/m0@v1.0.0"]
	i := slices.IndexFunc(r.Manifest().Entries, func(e bundle.Entry) bool { return e.Name == "example.com/!azure/m0/@v/v1.0.0.zip" })
	if (*m0.Hashes)[0].Value != r.Manifest().Entries[i].SHA256 || (*m0.Properties)[0] != (cdx.Property{Name: "goferry:h1", Value: "h1:zip0"}) {
		t.Errorf("%+v", m0)
	}
	if c := refs["pkg:golang/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64"]; c.Type != cdx.ComponentTypeApplication {
		t.Errorf("%+v", c)
	}
	gcc := refs["pkg:deb/debian/gcc@4:12.2.0-3%2Bx~1?arch=amd64&distro=debian-12"]
	if gcc.Type != cdx.ComponentTypeApplication || gcc.Name != "gcc" || len(*gcc.Hashes) != 1 {
		t.Errorf("%+v", gcc)
	}
	deps := *bom.Dependencies
	if len(deps) != 1 || deps[0].Ref != "pkg:golang/example.com/app" || len(*deps[0].Dependencies) != 7 {
		t.Errorf("%+v", deps)
	}
	for _, ref := range *deps[0].Dependencies {
		if _, ok := refs[ref]; !ok {
			t.Errorf("%s is not listed", ref)
		}
	}
	// Another bundle has another serial number, the same one the same.
	serial := func(p bundle.Plan) string {
		data, err := fs.ReadFile(open(t, create(t, p, bundle.CreateOptions{})).FS(), bundle.SBOMName)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), "urn:uuid:")
		return rest[:36]
	}
	q := p
	q.Files = q.Files[1:]
	if serial(p) != serial(shuffled(p, 1)) || serial(p) == serial(q) {
		t.Error("serial numbers")
	}
}
