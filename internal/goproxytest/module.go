package goproxytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A mod is one version of a module.
type mod struct {
	module.Version
	info, mod []byte
	zip       blob
	zipTag    string
	time      time.Time
	flip      int64 // in the contents of a file of the zip

	// wrong makes the other module that /wrongsum serves under the same name.
	wrong func() (*mod, error)
}

// baseTime is when modules were made that do not say.
func baseTime() time.Time { return time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC) }

// AddModule adds a version, or replaces it. files are the contents of the zip
// by name; the names ".info" and ".mod" stand for those files of the protocol, as in
// the archives of LoadFS. Without ".mod" it is go.mod, or a line with the path
// where the module has none; without ".info" it is the version with a fixed time.
func (h *Handler) AddModule(path, version string, files map[string]string) error {
	m, err := newMod(path, version, files)
	if err != nil {
		return fmt.Errorf("module %s@%s: %w", path, version, err)
	}
	files = maps.Clone(files) // the caller may go on with his
	m.wrong = func() (*mod, error) {
		other := maps.Clone(files)
		if other == nil {
			other = map[string]string{}
		}
		other["tampered.txt"] = "this file is in no checksum database\n"
		if gomod, ok := other["go.mod"]; ok {
			other["go.mod"] = tamper(gomod)
		}
		other[".mod"] = tamper(string(m.mod))
		return newMod(path, version, other)
	}
	h.add(m)
	return nil
}

func check(m module.Version) error {
	if module.CanonicalVersion(m.Version) != m.Version {
		return fmt.Errorf("%s is not a canonical version", m.Version)
	}
	return module.Check(m.Path, m.Version)
}

func tamper(gomod string) string { return strings.TrimRight(gomod, "\n") + "\n\n// tampered\n" }

func newMod(path, version string, files map[string]string) (*mod, error) {
	m := &mod{Version: module.Version{Path: path, Version: version}, time: baseTime()}
	if err := check(m.Version); err != nil {
		return nil, err
	}
	if err := m.fill(files); err != nil {
		return nil, err
	}
	data, err := makeZip(m.Version, files)
	if err != nil {
		return nil, err
	}
	m.zip = bytes.NewReader(data)
	sum := sha256.Sum256(data)
	m.zipTag = hex.EncodeToString(sum[:12])
	m.flip, err = middleOfFile(m.zip)
	return m, err
}

// fill makes .mod and .info.
func (m *mod) fill(files map[string]string) error {
	gomod, ok := files[".mod"]
	if !ok {
		if gomod, ok = files["go.mod"]; !ok {
			gomod = "module " + modfile.AutoQuote(m.Path) + "\n"
		}
	}
	m.mod = []byte(gomod)
	if module.IsPseudoVersion(m.Version.Version) {
		t, err := module.PseudoVersionTime(m.Version.Version)
		if err != nil {
			return err
		}
		m.time = t
	}
	if info, ok := files[".info"]; ok {
		m.info = []byte(info)
		var said struct{ Time time.Time }
		if err := json.Unmarshal(m.info, &said); err == nil && !said.Time.IsZero() { // a broken .info is a test's business
			m.time = said.Time
		}
		return nil
	}
	var err error
	m.info, err = json.Marshal(struct {
		Version string
		Time    time.Time
	}{m.Version.Version, m.time})
	return err
}

func (h *Handler) add(m *mod) {
	h.modMu.Lock()
	defer h.modMu.Unlock()
	if h.modules[m.Path] == nil {
		h.modules[m.Path] = map[string]*mod{}
	}
	h.modules[m.Path][m.Version.Version] = m
}

// AddQuery makes the .info of query, such as a branch or a commit, answer with
// version, which must have been added when it is asked for.
func (h *Handler) AddQuery(path, query, version string) {
	h.modMu.Lock()
	defer h.modMu.Unlock()
	h.queries[module.Version{Path: path, Version: query}] = version
}

// Remove takes a version away, as if it had been deleted upstream.
func (h *Handler) Remove(path, version string) {
	h.modMu.Lock()
	defer h.modMu.Unlock()
	delete(h.modules[path], version)
	if len(h.modules[path]) == 0 {
		delete(h.modules, path)
	}
}

// LoadFS adds the modules at the top of fsys, in the form of cmd/go's
// testdata/mod: a txtar archive rsc.io_quote_v1.5.2.txt (or .txtar), or a folder of
// that name without the ending. A slash of the module path is written "_"; a
// path that has an underscore itself is taken from the module line of .mod. Files
// of other names are errors.
func (h *Handler) LoadFS(fsys fs.FS) error {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		files, name := map[string]string{}, e.Name()
		if e.IsDir() {
			err = readDir(fsys, name, files)
		} else {
			var data []byte
			data, err = fs.ReadFile(fsys, name)
			for _, f := range txtar.Parse(data).Files {
				files[f.Name] = string(f.Data)
			}
			name = strings.TrimSuffix(strings.TrimSuffix(name, ".txt"), ".txtar")
		}
		if err != nil {
			return err
		}
		p, v, err := splitName(name, files[".mod"])
		if err == nil {
			err = h.AddModule(p, v, files)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	return nil
}

func readDir(fsys fs.FS, dir string, files map[string]string) error {
	return fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		files[strings.TrimPrefix(name, dir+"/")] = string(data)
		return err
	})
}

// splitName takes path_with_slashes_v1.2.3 apart.
func splitName(name, gomod string) (p, v string, err error) {
	i := strings.LastIndex(name, "_v")
	if i < 0 {
		return "", "", fmt.Errorf("the name has no _v before a version")
	}
	if v, err = module.UnescapeVersion(name[i+1:]); err != nil {
		return "", "", err
	}
	if p := modfile.ModulePath([]byte(gomod)); p != "" {
		if esc, err := module.EscapePath(p); err == nil && strings.ReplaceAll(esc, "/", "_") == name[:i] {
			return p, v, nil
		}
	}
	p, err = module.UnescapePath(path.Clean(strings.ReplaceAll(name[:i], "_", "/")))
	return p, v, err
}

// content finds the file that x asks for; the error matches fs.ErrNotExist.
func (h *Handler) content(x *exchange) (content, error) {
	h.modMu.Lock()
	versions := h.modules[x.path]
	var all []string
	for v := range versions {
		all = append(all, v)
	}
	version := x.version
	if v, ok := h.queries[module.Version{Path: x.path, Version: version}]; ok && x.kind == "info" {
		version = v
	}
	if x.kind == "latest" {
		version = latest(all)
	}
	m := versions[version]
	h.modMu.Unlock()
	if x.kind == "list" {
		if len(all) == 0 {
			return content{}, fmt.Errorf("module %s: %w", x.path, fs.ErrNotExist)
		}
		return changing(list(all, x.garbage)), nil
	}
	if m == nil {
		return content{}, fmt.Errorf("%s@%s: %w", x.path, x.version, fs.ErrNotExist)
	}
	return m.content(x, version == x.version)
}

// content is the file of m that x asks for.
func (m *mod) content(x *exchange, exact bool) (c content, err error) {
	if x.wrong && (x.kind == "mod" || x.kind == "zip") {
		if m, err = m.wrong(); err != nil {
			return c, err
		}
	}
	switch {
	case x.kind == "zip" && x.badZip != "":
		data, err := badZip(x.badZip, m)
		if err != nil {
			return c, err
		}
		b := bytes.NewReader(data)
		return content{blob: b, etag: m.zipTag + "-" + x.badZip, time: m.time, flip: b.Size() / 2}, nil
	case x.kind == "zip":
		return content{m.zip, m.zipTag, m.time, m.flip}, nil
	case x.kind == "mod":
		return fixed(m.mod, m.time), nil
	case exact:
		return fixed(m.info, m.time), nil
	}
	return changing(m.info), nil // latest, queries
}

func fixed(data []byte, t time.Time) content {
	sum := sha256.Sum256(data)
	return content{bytes.NewReader(data), hex.EncodeToString(sum[:12]), t, int64(len(data) / 2)}
}

func changing(data []byte) content {
	return content{blob: bytes.NewReader(data), flip: int64(len(data) / 2)}
}

// list is the answer to @v/list.
func list(versions []string, garbage bool) []byte {
	semver.Sort(versions)
	if garbage {
		slices.Reverse(versions)
		versions = append(versions, "", "garbage", "v1", "v1.2", "v0.0.0-20240102030405-0123456789ab", "not a version",
			"v1.0.0+meta", "../../etc/passwd", "v1.0.0-\x00", "\xff\xfe")
		versions = append(versions, versions[0], versions[0]+" 2024-01-02T03:04:05Z", versions[0]+"\r")
	}
	var b bytes.Buffer
	for _, v := range versions {
		if garbage || !module.IsPseudoVersion(v) {
			b.WriteString(v + "\n")
		}
	}
	return b.Bytes()
}

// latest picks as the go command does: the highest release, else the highest
// pre-release, else the newest pseudo-version.
func latest(versions []string) string {
	rank := func(v string) int {
		switch {
		case module.IsPseudoVersion(v):
			return 0
		case semver.Prerelease(v) != "":
			return 1
		}
		return 2
	}
	best := ""
	for _, v := range versions {
		switch {
		case best == "", rank(v) > rank(best):
			best = v
		case rank(v) < rank(best):
		case rank(v) == 0:
			a, _ := module.PseudoVersionTime(v) // AddModule has parsed them
			b, _ := module.PseudoVersionTime(best)
			if a.After(b) {
				best = v
			}
		case semver.Compare(v, best) > 0:
			best = v
		}
	}
	return best
}
