package doctor

import (
	"archive/zip"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// An mcModule is a module version that go.sum names, with its files in the cache.
type mcModule struct {
	module.Version
	Sum, ModSum         string // of the zip, and of go.mod; one of them may be empty
	Zip, Hash, Mod, Dir string // names of files, there or not
	Size                int64  // of the zip; 0 where there is none
}

// name is what people call it.
func (m mcModule) name() string { return m.Path + "@" + m.Version.Version }

// mcEntries compares what the cache has of the project's modules with go.sum. First what costs little,
// for all of them; then the whole zips, the smallest first, as long as there is time.
func mcEntries(ctx context.Context, x *Exam, dir string) (out Outcome) {
	list, err := mcSums(x, dir)
	if err != nil {
		return Outcome{NotRun: NotReadable, Detail: setOneLine(err.Error())}
	}
	if len(list) == 0 {
		return out
	}
	bad := map[string]Finding{}
	looked, here := 0, 0
	for _, m := range list {
		if m.Size > 0 {
			here++
		}
		if ctx.Err() != nil {
			continue
		}
		f, ok := m.look()
		if !ok {
			bad[m.name()] = f
		}
	}
	slices.SortStableFunc(list, func(a, b mcModule) int { return cmp.Compare(a.Size, b.Size) })
	for _, m := range list {
		if _, known := bad[m.name()]; known || m.Size == 0 {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		done, f, ok := m.prove(ctx)
		if !ok {
			bad[m.name()] = f
		}
		if done {
			looked++
		}
	}
	if here > 0 {
		fact := Fact{Name: factCacheVerified, Answer: Yes, Value: fmt.Sprintf("%d of %d", looked+len(bad), here)}
		if looked+len(bad) < here {
			fact.Answer, fact.Reason = Unmeasured, OutOfTime
		} else if len(bad) > 0 {
			fact.Answer = No
		}
		out.Facts = []Fact{fact}
	}
	out.Findings = mcReport(x, list, bad)
	return out
}

// mcMost is how many damaged modules are told apart.
const mcMost = 4

// mcReport adds to each finding how to get rid of the files.
func mcReport(x *Exam, list []mcModule, bad map[string]Finding) []Finding {
	clean := Fix{Code: fixCacheClean, Kind: RunCommand, Command: []string{"go", "clean", "-modcache"}}
	var found []Finding
	var names []string
	for _, m := range list {
		f, is := bad[m.name()]
		if !is {
			continue
		}
		names = append(names, m.name())
		f.Fixes = []Fix{{Code: fixCacheRemove, Kind: RunCommand, Command: mcRemove(x, m.Dir, m.Zip, m.Hash, m.Mod), Args: setArgs("Module", m.name())}}
		if f.Code == codeCacheAltered { // what lies beside is whole, and need not come over the network again
			f.Fixes = []Fix{{Code: fixCacheUnpack, Kind: RunCommand, Command: mcRemove(x, m.Dir), Args: setArgs("Module", m.name())}}
		}
		found = append(found, f)
	}
	if len(found) <= mcMost {
		return found
	}
	f := setFinding(codeCacheMany, Fault, setOf(x, "GOMODCACHE"), "Count", strconv.Itoa(len(found)), "Modules", strings.Join(names[:3], ", "))
	f.Fixes = []Fix{clean}
	return []Finding{f}
}

// mcRemove removes an extracted module, whose folders are read-only, and files beside.
func mcRemove(x *Exam, dir string, files ...string) []string {
	var quoted []string
	for _, f := range append([]string{dir}, files...) {
		quoted = append(quoted, mcQuote(x, f))
	}
	if x.OS == "windows" {
		return []string{"powershell", "-NoProfile", "-Command", "Remove-Item -Recurse -Force -ErrorAction SilentlyContinue -LiteralPath " + strings.Join(quoted, ",")}
	}
	remove := "rm -rf " + strings.Join(quoted, " ")
	if setIsDir(dir) {
		remove = "chmod -R u+w " + quoted[0] + "; " + remove
	}
	return []string{"sh", "-c", remove}
}

// mcQuote is the name of a file as a shell wants it: in quotes only where it must be.
func mcQuote(x *Exam, name string) string {
	if x.OS == "windows" {
		return "'" + strings.ReplaceAll(name, "'", "''") + "'"
	}
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@,=", r))
	}
	if !strings.ContainsFunc(name, odd) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// mcSums reads the go.sum file of the project, and looks for the files that it names.
func mcSums(x *Exam, cache string) ([]mcModule, error) {
	dir := goModOf(x)
	if dir == "" || setOf(x, "GO111MODULE") == "off" {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	byName := map[string]*mcModule{}
	var names []string
	for line := range strings.Lines(string(data)) {
		w := strings.Fields(line)
		if len(w) != 3 || !strings.HasPrefix(w[2], "h1:") {
			continue
		}
		v, isMod := strings.CutSuffix(w[1], "/go.mod")
		name := w[0] + "@" + v
		m := byName[name]
		if m == nil {
			if m = mcFiles(cache, w[0], v); m == nil {
				continue
			}
			byName[name] = m
			names = append(names, name)
		}
		// Two lines for one file: the go command takes either.
		if isMod {
			m.ModSum += w[2] + " "
		} else {
			m.Sum += w[2] + " "
		}
	}
	var list []mcModule
	for _, n := range names {
		list = append(list, *byName[n])
	}
	return list, nil
}

func mcFiles(cache, path, version string) *mcModule {
	p, err := module.EscapePath(path)
	if err != nil {
		return nil
	}
	v, err := module.EscapeVersion(version)
	if err != nil {
		return nil
	}
	base := filepath.Join(cache, "cache", "download", filepath.FromSlash(p), "@v", v)
	m := &mcModule{Version: module.Version{Path: path, Version: version}, Zip: base + ".zip", Hash: base + ".ziphash", Mod: base + ".mod", Dir: filepath.Join(cache, filepath.FromSlash(p)+"@"+v)}
	if info, err := os.Stat(m.Zip); err == nil {
		m.Size = max(info.Size(), 1)
	}
	return m
}

// has reports whether sums, which end with a space each, have sum.
func mcHas(sums, sum string) bool { return strings.Contains(sums, sum+" ") }

// look compares what is quick to compare: go.mod, the recorded hash, names and sizes of the extracted files.
func (m mcModule) look() (Finding, bool) {
	if data, err := os.ReadFile(m.Mod); err == nil && m.ModSum != "" {
		sum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(string(data))), nil
		})
		if err == nil && !mcHas(m.ModSum, sum) {
			return m.finding(codeCacheOther, filepath.Base(m.Mod), sum), false
		}
	}
	if m.Size == 0 || m.Sum == "" {
		return Finding{}, true
	}
	if data, err := os.ReadFile(m.Hash); err == nil {
		if sum := strings.TrimSpace(string(data)); !mcHas(m.Sum, sum) {
			return m.judge(sum), false
		}
	}
	return m.lookExtracted()
}

// judge tells a damaged cache from one that has something else than go.sum says: then the zip is
// what its hash says.
func (m mcModule) judge(recorded string) Finding {
	sum, err := dirhash.HashZip(m.Zip, dirhash.Hash1)
	switch {
	case err != nil:
		return m.finding(codeCacheCorrupt, filepath.Base(m.Zip), "")
	case sum == recorded:
		return m.finding(codeCacheOther, filepath.Base(m.Zip), sum)
	case mcHas(m.Sum, sum): // the zip is right
		return m.finding(codeCacheCorrupt, filepath.Base(m.Hash), setOneLine(recorded))
	}
	return m.finding(codeCacheCorrupt, filepath.Base(m.Zip), sum)
}

func (m mcModule) finding(code, file, sum string) Finding {
	want := strings.TrimSpace(m.Sum)
	if strings.HasSuffix(file, ".mod") {
		want = strings.TrimSpace(m.ModSum)
	}
	return setFinding(code, Fault, m.name(), "Module", m.name(), "File", file, "Have", sum, "Want", want)
}

// lookExtracted compares names and sizes of the extracted files with those in the zip.
func (m mcModule) lookExtracted() (Finding, bool) {
	z, err := zip.OpenReader(m.Zip)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return Finding{}, true // who may not read it, cannot say that it is damaged
		}
		return m.finding(codeCacheCorrupt, filepath.Base(m.Zip), ""), false
	}
	defer z.Close()
	if !setIsDir(m.Dir) {
		return Finding{}, true
	}
	// Being extracted, or to be extracted again: the go command will not take it.
	if setIsFile(m.partial()) {
		return Finding{}, true
	}
	prefix := m.name() + "/"
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || strings.HasSuffix(name, "/") || name == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(m.Dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return m.altered(name), false
		case err != nil:
			continue
		case info.Size() != int64(f.UncompressedSize64):
			return m.altered(name), false
		}
	}
	return Finding{}, true
}

func (m mcModule) altered(file string) Finding {
	return setFinding(codeCacheAltered, Fault, m.name(), "Module", m.name(), "File", file, "Dir", m.Dir)
}

// prove computes the hash of the whole zip; done is false where there was no time for it.
func (m mcModule) prove(ctx context.Context) (done bool, f Finding, ok bool) {
	if m.Sum == "" {
		return true, f, true
	}
	// HashZip knows no end: what would take longer than there is time is left out. 100 MB a second is what
	// small machines make of compressed files.
	if end, has := ctx.Deadline(); has && float64(m.Size)/(100<<20) > time.Until(end).Seconds() {
		return false, f, true
	}
	sum, err := dirhash.HashZip(m.Zip, dirhash.Hash1)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return false, f, true
	case err != nil:
		return true, m.finding(codeCacheCorrupt, filepath.Base(m.Zip), ""), false
	case !mcHas(m.Sum, sum):
		return true, m.finding(codeCacheCorrupt, filepath.Base(m.Zip), sum), false
	}
	return m.proveExtracted(ctx)
}

// proveExtracted computes the hash of the extracted files, of which builds are made; see go mod verify.
func (m mcModule) proveExtracted(ctx context.Context) (done bool, f Finding, ok bool) {
	if !setIsDir(m.Dir) || setIsFile(m.partial()) {
		return true, f, true
	}
	if ctx.Err() != nil {
		return false, f, true
	}
	sum, err := dirhash.HashDir(m.Dir, m.name(), dirhash.Hash1)
	switch {
	case err != nil:
		return false, f, true
	case !mcHas(m.Sum, sum):
		return true, m.altered(m.differs()), false
	}
	return true, f, true
}

// differs is a file that is extracted otherwise than it is in the zip, or is not in the zip.
func (m mcModule) differs() string {
	z, err := zip.OpenReader(m.Zip)
	if err != nil {
		return "-"
	}
	defer z.Close()
	known := map[string]bool{}
	for _, f := range z.File {
		name := strings.TrimPrefix(f.Name, m.name()+"/")
		known[name] = true
		if data, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(name))); err != nil || crc32.ChecksumIEEE(data) != f.CRC32 {
			return name
		}
	}
	files, err := dirhash.DirFiles(m.Dir, "")
	if i := slices.IndexFunc(files, func(name string) bool { return !known[strings.TrimPrefix(name, "/")] }); err == nil && i >= 0 {
		return strings.TrimPrefix(files[i], "/")
	}
	return "-"
}

// partial is there while the module is being extracted, or where that was interrupted.
func (m mcModule) partial() string { return strings.TrimSuffix(m.Zip, ".zip") + ".partial" }
