package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxytest"
	"github.com/goferry/goferry/internal/toolchain"
)

// An sdkLab is a world in which archives are forged: a checksum database with a release and an older one of it, a
// module proxy that has them, and hosts that send whatever is put there. The command line runs in this process.
type sdkLab struct {
	up   *goproxytest.Server
	host *httptest.Server
	mu   sync.Mutex
	have map[string][]byte // by the path of the URL
	// Of the releases, by their names in a module zip. They are made before PATH loses the go command.
	files map[toolchain.Target]map[string]string
}

const (
	forgedVersion = "1.98.0"
	olderVersion  = "1.97.0"
)

func newSDKLab(t *testing.T) *sdkLab {
	t.Helper()
	home := t.TempDir()
	noTelemetry(t, home)
	for _, name := range []string{"HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(name, home)
	}
	t.Setenv("GOENV", "off")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // what wants to leave the machine is refused
	l := &sdkLab{up: goproxytest.New(t), have: map[string][]byte{}, files: map[toolchain.Target]map[string]string{}}
	l.host = httptest.NewServer(l)
	t.Cleanup(l.host.Close)
	for _, target := range []toolchain.Target{tarTarget(forgedVersion), zipTarget(forgedVersion), tarTarget(olderVersion), zipTarget(olderVersion)} {
		m := target.Module()
		l.files[target] = sdkFiles(must{t}, target, 0)
		l.up.AddModule(m.Path, m.Version, l.files[target])
	}
	t.Setenv("PATH", t.TempDir()) // who installs a first SDK has no go command
	return l
}

// tarTarget and zipTarget are toolchains whose archives are a tar.gz and a zip, on whatever system the tests run.
func tarTarget(v string) toolchain.Target {
	return toolchain.Target{Version: toolchain.Version("go" + v), OS: "linux", Arch: "amd64"}
}

func zipTarget(v string) toolchain.Target {
	return toolchain.Target{Version: toolchain.Version("go" + v), OS: "windows", Arch: "amd64"}
}

// put makes the host send data for the file name of a place, and returns the URL of the place.
func (l *sdkLab) put(place, name string, data []byte) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.have["/"+place+"/"+name] = data
	return l.host.URL + "/" + place
}

// ServeHTTP sends what was put, as the first element of the path says: a page, half of it, … Other names say nothing.
func (l *sdkLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	data, ok := l.have[r.URL.Path]
	l.mu.Unlock()
	fault := strings.Split(r.URL.Path, "/")[1]
	w.Header().Set("Content-Type", "application/octet-stream")
	switch {
	case fault == "page":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fallthrough
	case fault == "masked":
		io.WriteString(w, "<!DOCTYPE html><title>Log in</title>")
	case fault == "busy":
		w.WriteHeader(http.StatusServiceUnavailable)
	case !ok:
		http.NotFound(w, r)
	case fault == "huge":
		w.Header().Set("Content-Length", fmt.Sprint(2<<30))
		w.Write(data)
	case fault == "cut" || fault == "stall":
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		if fault == "stall" {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// An sdkTry is one installation of the lab, in folders of its own.
type sdkTry struct {
	target   toolchain.Target
	sources  []string // hosts of archives
	upstream string   // module proxies; empty for none
	noSums   bool     // the checksum database is out of reach
	keys     *toolchain.Keyring
	args     []string

	files                map[string]string // of the release
	work, stdout, stderr string
	code                 int
	got                  sdkInstalled
}

func (try *sdkTry) home() string { return filepath.Join(try.work, "far", "down", "home") }
func (try *sdkTry) tree() string { return toolchain.Home{Dir: try.home()}.Root(try.target) }

// install runs goferry sdk install.
func (l *sdkLab) install(t *testing.T, try *sdkTry) {
	t.Helper()
	try.work, try.files = t.TempDir(), l.files[try.target]
	gosumdb := l.up.GOSUMDBWithURL()
	if try.noSums {
		gosumdb = l.up.GOSUMDB() + " http://127.0.0.1:1"
	}
	args := append([]string{"sdk", "install", try.target.Version.Number(), "--os=" + try.target.OS, "--arch=" + try.target.Arch, "--json",
		"--sdk-dir=" + try.home(), "--cache=" + filepath.Join(try.work, "cache"), "--upstream=" + cmp.Or(try.upstream, "off"),
		"--sdk-sources=" + strings.Join(append(slices.Clone(try.sources), "off"), ","), "--sumdb=" + gosumdb, "--private=", "--lang=en",
		"--link-retries=0"}, try.args...)
	var out, errs bytes.Buffer
	w := world{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: func(string) string { return "" }, keys: try.keys}
	try.code = run(t.Context(), args, w)
	try.stdout, try.stderr = out.String(), errs.String()
	if try.code != 0 {
		return
	}
	var list []sdkInstalled
	if err := json.Unmarshal(out.Bytes(), &list); err != nil || len(list) != 1 {
		t.Fatalf("sdk install says %v\n%s%s", err, try.stdout, try.stderr)
	}
	try.got = list[0]
}

// left lists all files and links that there are, but for the cache, the locks and what was learned of places.
func (try *sdkTry) left(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(try.work, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(try.work, name)
		rel = filepath.ToSlash(rel)
		known := strings.HasPrefix(rel, "cache/") && !strings.Contains(rel, "evil") || strings.HasPrefix(rel, "far/down/home/sdk/.lock/") ||
			rel == "far/down/home/sdk/.places.json"
		if !known && (!d.IsDir() || strings.HasPrefix(d.Name(), ".tmp-")) {
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// refused checks that the installation ended with a code, told of why, and left nothing.
func (try *sdkTry) refused(t *testing.T, code int, why ...string) {
	t.Helper()
	if try.code != code {
		t.Errorf("exit code %d, want %d", try.code, code)
	}
	for _, words := range why {
		if !strings.Contains(try.stderr, words) {
			t.Errorf("it does not say %q", words)
		}
	}
	if left := try.left(t); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if try.stdout != "" {
		t.Errorf("stdout: %s", try.stdout)
	}
	if t.Failed() {
		t.Fatalf("stderr:\n%s", try.stderr)
	}
}

// installed checks that the tree is the release, byte for byte, came from a place and was proved in a way.
func (try *sdkTry) installed(t *testing.T, source string, way toolchain.Way) {
	t.Helper()
	if try.code != 0 {
		t.Fatalf("exit code %d\n%s", try.code, try.stderr)
	}
	want := map[string]string{}
	for name, text := range try.files {
		want[strings.ReplaceAll(name, "_go.mod", "go.mod")] = text
	}
	tree := map[string]string{}
	for _, name := range try.left(t) {
		rel, ok := strings.CutPrefix(filepath.Join(try.work, name), try.tree()+string(filepath.Separator))
		switch name := filepath.Join(try.work, name); {
		case ok:
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			tree[filepath.ToSlash(rel)] = string(data)
		case name != try.tree()+".json" && name != try.tree()+".sums" && filepath.Dir(name) != filepath.Join(try.home(), "bin") && name != filepath.Join(try.home(), "go"):
			t.Errorf("%s was left", name)
		}
	}
	if diff := gocmp.Diff(want, tree); diff != "" {
		t.Error(diff)
	}
	if try.got.Source != source {
		t.Errorf("it came from %s, want %s", try.got.Source, source)
	}
	if p := try.proof(way); p.Verdict != toolchain.Proved || !toolchain.ProvedBy(try.got.Proofs) {
		t.Errorf("proofs %+v", try.got.Proofs)
	}
	if t.Failed() {
		t.Fatalf("stderr:\n%s", try.stderr)
	}
}

func (try *sdkTry) proof(way toolchain.Way) toolchain.Proof {
	for _, p := range try.got.Proofs {
		if p.Way == way {
			return p
		}
	}
	return toolchain.Proof{}
}

// A forgedEntry is an entry of an archive as somebody wrote it who wants harm.
type forgedEntry struct {
	name string // in the folder of the archive; as it is with "!" in front
	data string
	mode fs.FileMode
	size int64 // declared; 0 for what data has
	kind byte  // of a tar; 0 for a file
	link string
}

func (e forgedEntry) path(folder string) string {
	if plain, ok := strings.CutPrefix(e.name, "!"); ok {
		return plain
	}
	return folder + e.name
}

func (e forgedEntry) declared() int64 { return cmp.Or(e.size, int64(len(e.data))) }

// genuine are the entries of a release as its archives have them, or its module zip.
func (l *sdkLab) genuine(target toolchain.Target, module bool) []forgedEntry {
	files := l.files[target]
	var list []forgedEntry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if !module {
			name = strings.TrimPrefix(archiveName(name), "go/")
		}
		list = append(list, forgedEntry{name: name, data: text})
	}
	return list
}

// packTar packs entries as they are, sizes that are not theirs included.
func packTar(t *testing.T, entries []forgedEntry, behind string) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.path("go/"), Typeflag: cmp.Or(e.kind, byte(tar.TypeReg)), Linkname: e.link, Mode: int64(cmp.Or(e.mode.Perm(), 0o644)), Size: e.declared()}
		if e.mode&fs.ModeSetuid != 0 {
			h.Mode |= 0o4000
		}
		if e.link != "" {
			h.Size = 0
		}
		if err := tar.NewWriter(gz).WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.link == "" {
			io.WriteString(gz, e.data+strings.Repeat("\x00", -len(e.data)&511))
		}
	}
	io.WriteString(gz, strings.Repeat("\x00", 1024)+behind)
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// packZip packs entries as they are.
func packZip(t *testing.T, folder string, entries []forgedEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		var packed bytes.Buffer
		fw, err := flate.NewWriter(&packed, flate.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(fw, cmp.Or(e.link, e.data))
		fw.Close()
		h := &zip.FileHeader{
			Name: e.path(folder), Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(cmp.Or(e.link, e.data))),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(cmp.Or(e.size, int64(len(cmp.Or(e.link, e.data))))),
		}
		h.SetMode(cmp.Or(e.mode, 0o644))
		out, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(packed.Bytes())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A packing is a kind of file that carries a toolchain.
type packing struct {
	name   string
	target func(version string) toolchain.Target
	module bool
	pack   func(t *testing.T, target toolchain.Target, entries []forgedEntry) []byte
}

func packings() []packing {
	return []packing{
		{"tar.gz", tarTarget, false, func(t *testing.T, _ toolchain.Target, list []forgedEntry) []byte { return packTar(t, list, "") }},
		{"zip", zipTarget, false, func(t *testing.T, _ toolchain.Target, list []forgedEntry) []byte { return packZip(t, "go/", list) }},
		{"module", tarTarget, true, func(t *testing.T, target toolchain.Target, list []forgedEntry) []byte {
			return packZip(t, target.Module().String()+"/", list)
		}},
	}
}

// file is the name under which a place has a target in this packing.
func (p packing) file(target toolchain.Target) string {
	if p.module {
		return toolchain.ModulePath + "/@v/" + target.Module().Version + ".zip"
	}
	return target.Archive()
}

// from makes try ask these places for this packing.
func (p packing) from(try *sdkTry, places ...string) *sdkTry {
	if p.module {
		try.upstream = strings.Join(places, "|")
	} else {
		try.sources = places
	}
	return try
}

// A forgery makes an archive of a release into something else.
type forgery struct {
	change func(list []forgedEntry) []forgedEntry
	whole  func(data []byte) []byte // of the packed file; nil for as it is
	say    map[string]string        // what is said of it, by packing; "" is for the others; none means that there is no such thing
}

func with(more ...forgedEntry) func([]forgedEntry) []forgedEntry {
	return func(list []forgedEntry) []forgedEntry { return append(list, more...) }
}

// flip changes a bit of the content of a file of a zip, or of the middle of a tar.gz.
func flip(data []byte) []byte {
	const name = "src/fmt/scan.go"
	at := len(data) / 2
	if i := bytes.Index(data, []byte(name)); i >= 0 {
		at = i + len(name) + 4
	}
	data[at] ^= 4
	return data
}

func forgeries(outside string) map[string]forgery {
	alter := func(name string, change func(e *forgedEntry)) func([]forgedEntry) []forgedEntry {
		return func(list []forgedEntry) []forgedEntry {
			for i := range list {
				if list[i].name == name {
					change(&list[i])
				}
			}
			return list
		}
	}
	const differs, leads, huge = "refuted by the checksum database", "leads out of the folder", "is larger than any release"
	return map[string]forgery{
		"another byte in a file": {change: alter("src/fmt/scan.go", func(e *forgedEntry) { e.data = strings.Replace(e.data, "Scan", "Scam", 1) }),
			say: map[string]string{"": differs}},
		"a file more": {change: with(forgedEntry{name: "src/fmt/evil.go", data: "package fmt\n"}), say: map[string]string{"": differs}},
		"a file less": {change: func(list []forgedEntry) []forgedEntry {
			return slices.DeleteFunc(list, func(e forgedEntry) bool { return e.name == "lib/README" })
		}, say: map[string]string{"": differs}},
		"another byte of the archive": {whole: flip, say: map[string]string{"": "not an archive of a release"}},
		"the first half":              {whole: func(data []byte) []byte { return data[:len(data)/2] }, say: map[string]string{"tar.gz": "unexpected EOF", "": "not a valid zip file"}},
		"a name that leads upwards":   {change: with(forgedEntry{name: "../../../evil", data: "x"}), say: map[string]string{"": leads, "module": "malformed file path"}},
		"upwards from a folder":       {change: with(forgedEntry{name: "src/../../../evil", data: "x"}), say: map[string]string{"": leads, "module": "name is not clean"}},
		"upwards, and left out":       {change: with(forgedEntry{name: "test/../../../evil", data: "x"}), say: map[string]string{"": leads, "module": "name is not clean"}},
		"a whole path":                {change: with(forgedEntry{name: "!" + outside + "/evil", data: "x"}), say: map[string]string{"": "is not in the folder go/", "module": "name does not begin with"}},
		"a path of Windows":           {change: with(forgedEntry{name: `src\..\..\..\evil`, data: "x"}), say: map[string]string{"": leads, "module": "malformed file path"}},
		"a link that leads out, and a file behind it": {change: with(
			forgedEntry{name: "src/evil", mode: fs.ModeSymlink | 0o777, kind: tar.TypeSymlink, link: outside}, forgedEntry{name: "src/evil/x", data: "x"}),
			say: map[string]string{"": "is a link", "module": "both a file and a folder"}},
		"a link": {change: with(forgedEntry{name: "src/evil", mode: fs.ModeSymlink | 0o777, kind: tar.TypeSymlink, link: "/etc/passwd"}),
			say: map[string]string{"": "is a link"}},
		"a hard link": {change: with(forgedEntry{name: "src/evil", kind: tar.TypeLink, link: outside + "/secret"}), say: map[string]string{"tar.gz": "is a link"}},
		"a pipe": {change: with(forgedEntry{name: "src/evil", mode: fs.ModeNamedPipe | 0o644, kind: tar.TypeFifo}),
			say: map[string]string{"tar.gz": "neither a file nor a folder", "": "is not a file"}},
		"the rights of its owner": {change: with(forgedEntry{name: "bin/evil", mode: fs.ModeSetuid | 0o755, data: "x"}),
			say: map[string]string{"": "wants the rights of somebody else"}},
		"it declares too much": {change: with(forgedEntry{name: "src/evil", size: 3 << 30}), say: map[string]string{"": huge, "module": "content is larger than"}},
		"more than it declares": {change: alter("lib/README", func(e *forgedEntry) { e.data, e.size = strings.Repeat("x", 1<<20), 4 }),
			say: map[string]string{"zip": "has more bytes than it declares", "module": "has more bytes than it declares"}},
		"the same name twice": {change: with(forgedEntry{name: "src/fmt/print.go", data: "package fmt // evil\n"}),
			say: map[string]string{"": "is there twice"}},
		"a name in another case": {change: with(forgedEntry{name: "src/fmt/Print.go", data: "package fmt\n"}),
			say: map[string]string{"": "where case does not count"}},
		"a file that is a folder": {change: with(forgedEntry{name: "src/fmt", data: "x"}), say: map[string]string{"": "both a file and a folder"}},
	}
}

// TestForgedArchives: whatever an archive or a module zip is that is not the release, it is refused with the code for
// wrong bytes, the place and the reason are named, nothing of it is left anywhere, and the next place is asked.
func TestForgedArchives(t *testing.T) {
	l := newSDKLab(t)
	outside := filepath.ToSlash(t.TempDir())
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, p := range packings() {
		t.Run(p.name, func(t *testing.T) { l.wantForged(t, p, outside) })
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("the folder beside has %v, %v", entries, err)
	}
}

// wantForged installs from each forgery alone, and then from a host that has the release after all of them.
func (l *sdkLab) wantForged(t *testing.T, p packing, outside string) {
	target, older := p.target(forgedVersion), p.target(olderVersion)
	var places []string
	refused := func(name string, data []byte, say string) {
		t.Run(name, func(t *testing.T) {
			bad := l.put(fmt.Sprintf("bad-%s-%d", p.name, len(places)), p.file(target), data)
			places = append(places, bad)
			try := p.from(&sdkTry{target: target}, bad)
			l.install(t, try)
			try.refused(t, 13, "is not go1.98.0", "nothing of it was kept", say, "goferry: "+bad+" left aside: what it sent is not what was released")
		})
	}
	all := forgeries(outside)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f, entries := all[name], l.genuine(target, p.module)
		say := cmp.Or(f.say[p.name], f.say[""])
		if say == "" {
			continue // such a thing cannot be written in this packing
		}
		if f.change != nil {
			entries = f.change(entries)
		}
		data := p.pack(t, target, entries)
		if f.whole != nil {
			data = f.whole(data)
		}
		refused(name, data, say)
	}
	refused("an older release under this name", p.pack(t, target, l.genuine(older, p.module)), "refuted by the checksum database")
	switch p.name {
	case "module":
		refused("an older release as it was", p.pack(t, older, l.genuine(older, true)), "name does not begin with")
	case "tar.gz":
		refused("zeros without end behind it", packTar(t, l.genuine(target, false), strings.Repeat("\x00", 2<<20)), "is larger than any release")
	}

	good := l.put("good-"+p.name, p.file(target), p.pack(t, target, l.genuine(target, p.module)))
	try := p.from(&sdkTry{target: target}, append(places, good)...)
	l.install(t, try)
	try.installed(t, good, toolchain.BySumDB)
	var left []string
	for _, tr := range try.got.Troubles {
		left = append(left, tr.Place)
	}
	if diff := gocmp.Diff(places, left); diff != "" || len(places) < 18 {
		t.Errorf("%d places, left for the next: %s", len(places), diff)
	}
}

// TestFaultyArchiveHosts: hosts of archives that send a page, break off, stall, are busy, or lack the release are left
// for the next, and it is said why.
func TestFaultyArchiveHosts(t *testing.T) {
	l := newSDKLab(t)
	for _, p := range packings() {
		t.Run(p.name, func(t *testing.T) {
			target := p.target(forgedVersion)
			data := p.pack(t, target, l.genuine(target, p.module))
			why := []struct{ fault, says string }{
				{"page", "it answers with a web page"}, {"masked", "it answers with a web page"}, {"lacks", "it does not have it"}, {"busy", "it answers with an error"},
				{"huge", "its file is larger than any release"}, {"cut", "it broke off"}, {"stall", "no more bytes came"},
			}
			var places []string
			for _, w := range why {
				place := l.host.URL + "/" + w.fault
				if w.fault != "lacks" {
					place = l.put(w.fault, p.file(target), data)
				}
				places = append(places, place)
			}
			bad := p.from(&sdkTry{target: target, args: []string{"--link-stall-timeout=300ms"}}, places...)
			l.install(t, bad)
			if bad.code != 12 {
				t.Errorf("exit code %d", bad.code)
			}
			good := l.put("good", p.file(target), data)
			try := p.from(&sdkTry{target: target, args: bad.args}, append(places, good)...)
			l.install(t, try)
			try.installed(t, good, toolchain.BySumDB)
			for i, w := range why {
				for _, said := range []string{bad.stderr, try.stderr} {
					if line := "goferry: " + places[i] + " left aside: " + w.says; !strings.Contains(said, line) {
						t.Errorf("it does not say %q\n%s", line, said)
					}
				}
			}
		})
	}
}
