package image

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Types of what is said of an image.
const (
	inToto        = types.MediaType("application/vnd.in-toto+json")
	statementType = "https://in-toto.io/Statement/v1"
	cycloneDX     = "https://cyclonedx.org/bom"
	slsa          = "https://slsa.dev/provenance/v1"
	buildType     = "https://github.com/goferry/goferry/image/v1"
)

// A statement is an in-toto statement: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     any       `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// A provenance is a SLSA provenance: https://slsa.dev/spec/v1.0/provenance.
type provenance struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		ExternalParameters   map[string]any `json:"externalParameters"`
		InternalParameters   map[string]any `json:"internalParameters"`
		ResolvedDependencies []resolved     `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

type resolved struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

// attest says what is in an image and how it was made, in the way of BuildKit: a manifest beside the image's in the index, for
// no platform (https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md).
func (b Builder) attest(p Project, img PlatformImage) (mutate.IndexAddendum, error) {
	digest, err := img.Image.Digest()
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	about := []subject{{Name: p.Mains[0].Name, Digest: map[string]string{"sha256": digest.Hex}}}
	bom, err := b.sbom(p, img, digest)
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	said := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, s := range []statement{{statementType, about, cycloneDX, json.RawMessage(bom)}, {statementType, about, slsa, b.provenance(p, img)}} {
		data, err := json.Marshal(s)
		if err != nil {
			return mutate.IndexAddendum{}, err
		}
		said, err = mutate.Append(said, mutate.Addendum{
			Layer: static.NewLayer(data, inToto), MediaType: inToto, Annotations: map[string]string{"in-toto.io/predicate-type": s.PredicateType},
		})
		if err != nil {
			return mutate.IndexAddendum{}, err
		}
	}
	cf, err := said.ConfigFile()
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.History = "unknown", "unknown", nil
	if said, err = mutate.ConfigFile(said, cf); err != nil {
		return mutate.IndexAddendum{}, err
	}
	return mutate.IndexAddendum{Add: said, Descriptor: v1.Descriptor{
		Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest.String()},
	}}, nil
}

// sbom lists the modules that are linked into the programs, as the programs themselves say.
func (b Builder) sbom(p Project, img PlatformImage, digest v1.Hash) ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + uuid(digest)
	bom.Metadata = &cdx.Metadata{
		Timestamp: b.when().Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: "image", Type: cdx.ComponentTypeContainer, Name: p.Mains[0].Name, Version: digest.String()},
	}
	std := "pkg:golang/std@" + strings.TrimPrefix(img.Programs[0].Info.GoVersion, "go")
	components := []cdx.Component{{BOMRef: std, PackageURL: std, Type: cdx.ComponentTypeLibrary, Name: "std", Version: img.Programs[0].Info.GoVersion}}
	seen := map[string]bool{}
	for _, prog := range img.Programs {
		components = append(components, cdx.Component{
			BOMRef: "file:/app/" + prog.Name, Type: cdx.ComponentTypeApplication, Name: prog.Info.Path, Version: prog.Info.Main.Version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: prog.SHA256}},
		})
		for _, d := range prog.Info.Deps {
			d = linked(d)
			ref := modulePURL(d)
			if !seen[ref] {
				seen[ref] = true
				components = append(components, cdx.Component{BOMRef: ref, PackageURL: ref, Type: cdx.ComponentTypeLibrary, Name: d.Path, Version: d.Version, Properties: sumProperty(d)})
			}
		}
	}
	bom.Components = &components
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

// linked is the module that stands in the program for m: its replacement, but where that is a folder, which has no name
// that others know and no hash.
func linked(m *debug.Module) *debug.Module {
	switch {
	case m.Replace == nil:
		return m
	case m.Replace.Version == "":
		return &debug.Module{Path: m.Path, Version: m.Version}
	}
	return m.Replace
}

// sumProperty is the hash of go.sum, if there is one.
func sumProperty(m *debug.Module) *[]cdx.Property {
	if m.Sum == "" {
		return nil
	}
	return &[]cdx.Property{{Name: "goferry:h1", Value: m.Sum}}
}

// uuid makes a UUID (version 8, RFC 9562) of a digest.
func uuid(h v1.Hash) string {
	u, err := hex.DecodeString(h.Hex)
	if err != nil || len(u) < 16 {
		u = make([]byte, 16)
	}
	u = u[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	s := hex.EncodeToString(u)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

func modulePURL(m *debug.Module) string {
	var parts []string
	for elem := range strings.SplitSeq(m.Path, "/") {
		parts = append(parts, url.PathEscape(elem))
	}
	ref := "pkg:golang/" + strings.Join(parts, "/")
	if m.Version != "" {
		ref += "@" + strings.ReplaceAll(url.PathEscape(m.Version), "+", "%2B")
	}
	return ref
}

// provenance says how the programs were made. It has no time of day, which would make each build another one.
func (b Builder) provenance(p Project, img PlatformImage) provenance {
	var s provenance
	var packages []string
	for _, m := range p.Mains {
		packages = append(packages, m.Package)
	}
	d := &s.BuildDefinition
	d.BuildType = buildType
	d.ExternalParameters = map[string]any{"module": p.Module, "packages": packages, "platform": img.Platform.String(), "ldflags": b.LDFlags}
	settings := map[string]string{}
	d.ResolvedDependencies = []resolved{{URI: "pkg:golang/std@" + strings.TrimPrefix(img.Programs[0].Info.GoVersion, "go")}}
	seen := map[string]bool{}
	for _, prog := range img.Programs {
		for _, kv := range prog.Info.Settings {
			settings[kv.Key] = kv.Value
		}
		for _, m := range prog.Info.Deps {
			m = linked(m)
			if ref := modulePURL(m); !seen[ref] {
				seen[ref] = true
				d.ResolvedDependencies = append(d.ResolvedDependencies, resolved{URI: ref, Digest: h1(m.Sum)})
			}
		}
	}
	d.InternalParameters = map[string]any{"build_settings": settings}
	s.RunDetails.Builder.ID = "https://github.com/goferry/goferry"
	return s
}

// h1 is a hash of go.sum as a digest of a name of its own (dirHash, hex), as in-toto lists them.
func h1(sum string) map[string]string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	if err != nil || len(raw) == 0 {
		return nil
	}
	return map[string]string{"dirHash1": hex.EncodeToString(raw)}
}
