package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What is found about disks and the folders of the go command beside the module cache.
const (
	codeDiskFull     = "disk-full"
	codeDiskLow      = "disk-low"
	codeInodesFull   = "inodes-full"
	codeDiskReadErr  = "folder-not-writable"
	codeTmpMissing   = "gotmpdir-missing"
	codeTmpNoExec    = "tmp-noexec"
	codeCacheOff     = "gocache-off"
	codeCacheNowhere = "gocache-not-set"
)

const (
	fixCleanBuild = "clean-build-cache"
	fixTmpDir     = "set-gotmpdir"
	factDiskFree  = "free-space"
	factInodes    = "free-inodes"
)

func diskCodes() []string {
	return []string{codeDiskFull, codeDiskLow, codeInodesFull, codeDiskReadErr, codeTmpMissing, codeTmpNoExec, codeCacheOff, codeCacheNowhere}
}

func diskFixCodes() []string { return []string{fixCleanBuild, fixTmpDir} }

func diskFactNames() []string { return []string{factDiskFree, factInodes} }

const (
	diskNone = 50 << 20  // bytes; less than one bigger module
	diskFew  = 500 << 20 // bytes; a download of a project, or a link, may need more
	inodesNo = 1000
)

// A diskPlace is a folder that the go command writes.
type diskPlace struct {
	key, dir string // the setting that moves it
	at       string // dir, or the nearest folder above it that exists
}

// checkDisk looks whether there is room, and whether the go command can write and run what it builds.
func checkDisk(_ context.Context, x *Exam, sys mcSystem) Outcome {
	if mcDirOf(x, "GOCACHE") == "" && mcDirOf(x, "GOMODCACHE") == "" {
		return setKept(x)
	}
	var out Outcome
	if f, missing := diskTmpMissing(x); missing {
		out.Findings = append(out.Findings, f)
	}
	if setOf(x, "GOCACHE") == "off" { // refused since Go 1.12
		f := setFinding(codeCacheOff, Fault, "GOCACHE")
		f.Facts, f.Fixes = setEvidence(x, "GOCACHE"), []Fix{setFix(x, "GOCACHE", "")}
		if setFrom(x, "GOCACHE") == setDefault { // what go env says where it finds no place
			f.Code, f.Fixes = codeCacheNowhere, mcSetHome(x)
		}
		out.Findings = append(out.Findings, f)
	}
	var seen []string
	list := diskPlaces(x)
	for _, p := range list {
		d, ok := sys.disk(p.at)
		if !ok {
			if !slices.ContainsFunc(out.Facts, func(f Fact) bool { return f.Answer == Unmeasured }) {
				out.Facts = append(out.Facts, Fact{Name: factDiskFree, Answer: Unmeasured, Value: p.at, Reason: NotHere})
			}
			continue
		}
		if !slices.Contains(seen, d.Device) {
			seen = append(seen, d.Device)
			found, facts := diskRoom(p, d, diskMakeRoom(sys, list, p, d))
			out.Findings, out.Facts = append(out.Findings, found...), append(out.Facts, facts...)
		}
		out.Findings = append(out.Findings, diskUse(x, sys, p, d)...)
	}
	return out
}

// diskPlaces are the folders. The module cache has a check of its own, but for room.
func diskPlaces(x *Exam) []diskPlace {
	tmp := setOf(x, "GOTMPDIR")
	if tmp == "" {
		tmp = x.Env["TMPDIR"]
	}
	if x.OS == "windows" && tmp == "" {
		tmp = x.Env["TEMP"]
	}
	if tmp == "" && x.OS != "windows" {
		tmp = "/tmp"
	}
	var list []diskPlace
	for _, p := range []diskPlace{{key: "GOMODCACHE", dir: mcDirOf(x, "GOMODCACHE")}, {key: "GOCACHE", dir: mcDirOf(x, "GOCACHE")}, {key: "GOTMPDIR", dir: tmp}} {
		if p.dir == "" || p.dir == "off" {
			continue
		}
		for p.at = p.dir; ; p.at = filepath.Dir(p.at) {
			if _, err := os.Stat(p.at); err == nil || !errors.Is(err, fs.ErrNotExist) || p.at == filepath.Dir(p.at) {
				break
			}
		}
		list = append(list, p)
	}
	return list
}

// diskMakeRoom empties the build cache, if that helps: it is made again by itself, at the cost of time, where the
// module cache costs the network.
func diskMakeRoom(sys mcSystem, list []diskPlace, p diskPlace, d mcDisk) Fix {
	for _, o := range list {
		if o.key != "GOCACHE" || o.at != o.dir {
			continue
		}
		if other, ok := sys.disk(o.at); ok && other.Device == d.Device {
			return Fix{Code: fixCleanBuild, Kind: RunCommand, Command: []string{"go", "clean", "-cache"}}
		}
	}
	return Fix{Code: fixCacheMove, Kind: ByHand, Args: setArgs("Setting", p.key, "Dir", p.at)}
}

// diskRoom is about space and inodes.
func diskRoom(p diskPlace, d mcDisk, fix Fix) (found []Finding, facts []Fact) {
	if d.Free >= 0 {
		facts = append(facts, Fact{Name: factDiskFree, Answer: Yes, Value: mcSize(d.Free)})
		code, severity := "", Fault
		switch {
		case d.ReadOnly: // that is another matter
		case d.Free < diskNone:
			code = codeDiskFull
		case d.Free < diskFew:
			code, severity = codeDiskLow, Warning
		}
		if code != "" {
			f := setFinding(code, severity, p.at, "Dir", p.at, "Free", mcSize(d.Free))
			f.Facts = facts
			f.Fixes = []Fix{fix}
			found = append(found, f)
		}
	}
	if d.Inodes >= 0 && d.Inodes < inodesNo && !d.ReadOnly {
		fact := Fact{Name: factInodes, Answer: Yes, Value: strconv.FormatInt(d.Inodes, 10)}
		f := setFinding(codeInodesFull, Fault, p.at, "Dir", p.at, "Count", fact.Value)
		f.Facts = []Fact{fact}
		f.Fixes = []Fix{fix}
		found = append(found, f)
	}
	return found, facts
}

// diskUse is about writing into a folder, and running what lies there.
func diskUse(x *Exam, sys mcSystem, p diskPlace, d mcDisk) []Finding {
	if p.key == "GOMODCACHE" {
		return nil
	}
	var found []Finding
	if p.key == "GOTMPDIR" && p.at != p.dir {
		return nil // it is not there, which was found
	}
	if sys.may(p.at) == No {
		f := setFinding(codeDiskReadErr, Fault, p.at, "Dir", p.at, "Key", p.key)
		owner, fixes := mcOwned(x, sys, p.at)
		if owner >= 0 && owner != sys.uid {
			f.Facts = []Fact{{Name: factCacheOwner, Answer: Yes, Value: mcUserName(owner)}}
		}
		if f.Fixes = fixes; len(fixes) == 0 {
			f.Fixes = []Fix{{Code: fixCacheMove, Kind: ByHand, Args: setArgs("Setting", p.key, "Dir", p.at)}}
		}
		found = append(found, f)
	}
	if p.key == "GOTMPDIR" && d.NoExec {
		f := setFinding(codeTmpNoExec, Warning, p.at, "Dir", p.at)
		f.Facts = []Fact{{Name: factCacheFS, Answer: Yes, Value: d.Kind}}
		dir := filepath.Join(x.Home, ".cache", "go-tmp")
		if quoted := "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"; x.Home != "" && setFrom(x, "GOTMPDIR") != setInEnv {
			f.Fixes = []Fix{{Code: fixTmpDir, Kind: RunCommand, File: x.GoEnv.File, Command: []string{"sh", "-c", "mkdir -p " + quoted + " && go env -w GOTMPDIR=" + quoted}}}
		} else {
			f.Fixes = []Fix{{Code: fixCacheMove, Kind: ByHand, Args: setArgs("Setting", p.key, "Dir", p.at)}}
		}
		found = append(found, f)
	}
	return found
}

// diskTmpMissing is about a GOTMPDIR, or where there is none a TMPDIR, that is not there: the go command makes none.
func diskTmpMissing(x *Exam) (Finding, bool) {
	key := "GOTMPDIR"
	dir := setOf(x, key)
	if dir == "" && x.OS != "windows" {
		key, dir = "TMPDIR", x.Env["TMPDIR"]
	}
	if dir == "" || setIsDir(dir) {
		return Finding{}, false
	}
	f := setFinding(codeTmpMissing, Fault, key, "Dir", dir)
	f.Facts, f.Fixes = setEvidence(x, key), []Fix{setFix(x, key, "")}
	return f, true
}
