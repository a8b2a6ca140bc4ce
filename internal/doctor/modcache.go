package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// What is found about the module cache.
const (
	codeCacheNoFolder = "modcache-not-set"
	codeCacheNotADir  = "modcache-no-folder"
	codeCacheReadOnly = "modcache-not-writable"
	codeCacheOwner    = "modcache-owner"
	codeCacheSudo     = "modcache-sudo"
	codeCacheNetwork  = "modcache-network"
	codeCacheDrive    = "modcache-windows-drive"
	codeCacheHeld     = "modcache-lock-held"
	codeCacheGitLock  = "modcache-git-lock"
	codeCacheLeft     = "modcache-left-files"
	codeCacheCorrupt  = "modcache-corrupt"
	codeCacheOther    = "modcache-other-content"
	codeCacheAltered  = "modcache-altered"
	codeCacheMany     = "modcache-corrupt-many"
)

const (
	fixCacheOwner   = "chown"
	fixCacheRemove  = "remove-module"
	fixCacheUnpack  = "unpack-again"
	fixCacheClean   = "clean-modcache"
	fixCacheGitLock = "remove-git-lock"
	fixCacheLeft    = "remove-left-files"
	fixCacheNoSudo  = "no-sudo"
	fixCacheMove    = "move-folder"
	fixCacheLock    = "end-process"
	fixCacheRights  = "make-writable"
	fixHome         = "set-home"
)

const (
	factCacheDir      = "modcache"
	factCacheWritable = "modcache-writable"
	factCacheFS       = "file-system"
	factCacheVerified = "modules-verified"
	factCacheHolder   = "lock-holder"
	factCacheOwner    = "owner"
)

func modcacheCodes() []string {
	return []string{codeCacheNoFolder, codeCacheNotADir, codeCacheReadOnly, codeCacheOwner, codeCacheSudo, codeCacheNetwork, codeCacheDrive, codeCacheHeld,
		codeCacheGitLock, codeCacheLeft, codeCacheCorrupt, codeCacheOther, codeCacheAltered, codeCacheMany}
}

func modcacheFixCodes() []string {
	return []string{fixCacheOwner, fixCacheRemove, fixCacheClean, fixCacheGitLock, fixCacheLeft, fixCacheNoSudo, fixCacheMove, fixCacheLock, fixCacheUnpack, fixCacheRights, fixHome}
}

func modcacheFactNames() []string {
	return []string{factCacheDir, factCacheWritable, factCacheFS, factCacheVerified, factCacheHolder, factCacheOwner}
}

// modcacheChecks lists the checks of this topic: of the module cache and the disk.
func modcacheChecks() []Check {
	return []Check{
		{ID: "modcache", Group: ModCache, Run: func(ctx context.Context, x *Exam) Outcome { return checkModCache(ctx, x, mcReal()) }},
		{ID: "disk", Group: ModCache, Run: func(ctx context.Context, x *Exam) Outcome { return checkDisk(ctx, x, mcReal()) }},
	}
}

// An mcSystem is what the checks of folders ask the system. A test gives other answers.
type mcSystem struct {
	uid   int                             // of this process; -1 where there is no such thing
	may   func(dir string) Answer         // whether files can be made in dir
	owner func(info fs.FileInfo) int      // -1 where there is no such thing
	disk  func(dir string) (mcDisk, bool) // false where it cannot be asked
	held  func(file string) Answer        // whether somebody holds the lock of file
	pid   func(file string) int           // who; 0 where it is not known
	now   func() time.Time
}

func mcReal() mcSystem {
	return mcSystem{uid: os.Geteuid(), may: mcMayWrite, owner: mcOwner, disk: mcDiskOf, held: mcLockHeld, pid: mcLockHolder, now: time.Now}
}

// An mcDisk is what holds a folder.
type mcDisk struct {
	Free         int64  // bytes, for this user; -1 where it is not known
	Inodes       int64  // free ones; -1 where they have no limit or it is not known
	Kind         string // of file system; empty where it is not known
	Network      bool
	ReadOnly     bool
	NoExec       bool
	WindowsByWSL bool   // a drive of Windows below Linux
	Device       string // the same for folders of one disk
}

// mcBudget is how long the files are looked at, so that a healthy machine has its answer soon.
const mcBudget = 1500 * time.Millisecond

// checkModCache looks at the folder, and at what is in it for the project.
func checkModCache(ctx context.Context, x *Exam, sys mcSystem) Outcome {
	dir := mcDirOf(x, "GOMODCACHE")
	if dir == "" {
		if x.GoEnv.Err != nil {
			return setKept(x)
		}
		f := setFinding(codeCacheNoFolder, Fault, "GOMODCACHE")
		if x.Home != "" {
			f.Fixes = []Fix{setFix(x, "GOPATH", filepath.Join(x.Home, "go"))}
		} else {
			f.Fixes = mcSetHome(x)
		}
		return Outcome{Findings: []Finding{f}}
	}
	out := Outcome{Facts: []Fact{{Name: factCacheDir, Answer: Yes, Value: dir}}}
	ctx, cancel := context.WithTimeout(ctx, mcBudget)
	defer cancel()
	exists, place := mcPlace(x, sys, dir)
	out.Findings, out.Facts = append(out.Findings, place.Findings...), append(out.Facts, place.Facts...)
	if !exists {
		return out
	}
	if len(out.Findings) == 0 {
		out.Findings = mcWalk(ctx, x, sys, dir)
	}
	out.Findings = append(out.Findings, mcLocks(x, sys, dir)...)
	entries := mcEntries(ctx, x, dir)
	out.Findings, out.Facts = append(out.Findings, entries.Findings...), append(out.Facts, entries.Facts...)
	out.NotRun, out.Detail = entries.NotRun, entries.Detail
	return out
}

// mcSetHome gives the user the home folder that the system knows, where HOME does not say it.
func mcSetHome(x *Exam) []Fix {
	if x.Account == "" || x.OS == "windows" || x.OS == "plan9" {
		return nil
	}
	return []Fix{{Code: fixHome, Kind: SetEnv, Key: "HOME", Value: x.Account, Args: setArgs("Key", "HOME")}}
}

// mcDirOf is a folder of the go command: as go env says, or where that fails, perhaps for this very folder, as
// the go command finds it. Source: cmd/go/internal/cfg, cmd/go/internal/cache.
func mcDirOf(x *Exam, key string) string {
	if dir := setOf(x, key); dir != "" || x.GoEnv.Err == nil || errors.Is(x.GoEnv.Err, gocmd.ErrNoTool) || x.Home == "" {
		return dir
	}
	if key == "GOMODCACHE" {
		gopath := filepath.Join(x.Home, "go")
		if list := filepath.SplitList(setOf(x, "GOPATH")); len(list) > 0 && list[0] != "" {
			gopath = list[0]
		}
		return filepath.Join(gopath, "pkg", "mod")
	}
	cache := x.Env["XDG_CACHE_HOME"]
	switch x.OS {
	case "windows":
		cache = x.Env["LocalAppData"]
	case "darwin":
		cache = filepath.Join(x.Home, "Library", "Caches")
	}
	if cache == "" {
		cache = filepath.Join(x.Home, ".cache")
	}
	return filepath.Join(cache, "go-build")
}

// mcPlace judges the folder as a whole: there or to be made, writable, on what kind of disk.
func mcPlace(x *Exam, sys mcSystem, dir string) (exists bool, out Outcome) {
	info, err := os.Stat(dir)
	exists = err == nil
	switch {
	case exists && !info.IsDir():
		f := setFinding(codeCacheNotADir, Fault, dir)
		f.Facts, f.Fixes = setEvidence(x, "GOMODCACHE"), []Fix{setFix(x, "GOMODCACHE", "")}
		out.Findings = []Finding{f}
		return false, out
	case errors.Is(err, fs.ErrPermission):
		at := dir
		for at != filepath.Dir(at) { // whose rights forbid even to look
			if _, err := os.Stat(at); err == nil {
				break
			}
			at = filepath.Dir(at)
		}
		out.Findings = []Finding{mcNotWritable(x, sys, dir, at)}
		return false, out
	}
	at := dir
	for !exists { // the go command makes it
		if at = filepath.Dir(at); at == filepath.Dir(at) {
			break
		}
		if info, err := os.Stat(at); err == nil {
			if !info.IsDir() {
				f := setFinding(codeCacheNotADir, Fault, at)
				f.Facts, f.Fixes = setEvidence(x, "GOMODCACHE"), []Fix{setFix(x, "GOMODCACHE", "")}
				out.Findings = []Finding{f}
				return false, out
			}
			break
		}
	}
	may := sys.may(at)
	fact := Fact{Name: factCacheWritable, Answer: may}
	if may == Unmeasured {
		fact.Reason = NotHere
	}
	out.Facts = append(out.Facts, fact)
	if may == No {
		out.Findings = append(out.Findings, mcNotWritable(x, sys, dir, at))
	}
	disk := mcOnNetwork(x, sys, at)
	out.Findings, out.Facts = append(out.Findings, disk.Findings...), append(out.Facts, disk.Facts...)
	if f, bad := mcSudo(x, sys, at); bad {
		out.Findings = append(out.Findings, f)
	}
	return exists, out
}

// mcNotWritable is about a folder in which this user can make no files: of another user, or on a disk
// that is read alone.
func mcNotWritable(x *Exam, sys mcSystem, dir, at string) Finding {
	f := setFinding(codeCacheReadOnly, Fault, at, "Dir", dir)
	if at != dir {
		f.Args["Above"] = at
	}
	owner, fixes := mcOwned(x, sys, at)
	f.Fixes = fixes
	if owner >= 0 && owner != sys.uid {
		f.Facts = []Fact{{Name: factCacheOwner, Answer: Yes, Value: mcUserName(owner)}}
		if len(fixes) > 0 { // in the home of the user it should not be so
			f.Code, f.Args["Owner"], f.Args["Dir"] = codeCacheOwner, mcUserName(owner), at
		}
	}
	if len(f.Fixes) == 0 && !setIsDir(x.Home) && setIsDir(x.Account) {
		f.Fixes = mcSetHome(x)
	}
	if len(f.Fixes) == 0 && x.Home != "" {
		if want := filepath.Join(x.Home, "go", "pkg", "mod"); want != dir && sys.may(x.Home) == Yes {
			f.Fixes = append(f.Fixes, setFix(x, "GOMODCACHE", want))
		} else {
			f.Fixes = append(f.Fixes, Fix{Code: fixCacheMove, Kind: ByHand, Args: setArgs("Setting", "GOMODCACHE", "Dir", at)})
		}
	}
	return f
}

// mcOwned is the owner of a folder in which this user cannot write, -1 if that is not known or not why, and what gives the user
// the right to: in the own home, below which nobody else has anything, the folder itself; and what is the user's already.
func mcOwned(x *Exam, sys mcSystem, at string) (owner int, fixes []Fix) {
	info, err := os.Stat(at)
	if d, ok := sys.disk(at); err != nil || ok && d.ReadOnly || sys.uid <= 0 {
		return -1, nil
	}
	owner = sys.owner(info)
	switch {
	case owner < 0:
	case owner == sys.uid:
		if info.Mode().Perm()&0o300 != 0o300 {
			fixes = []Fix{{Code: fixCacheRights, Kind: RunCommand, Command: []string{"chmod", "u+rwx", at}, Args: setArgs("Dir", at)}}
		}
	case mcBelow(x.Home, at):
		fixes = []Fix{mcChown(sys, at)}
	}
	return owner, fixes
}

// mcBelow reports whether name lies in dir, and is not dir itself.
func mcBelow(dir, name string) bool {
	rel, err := filepath.Rel(dir, name)
	return dir != "" && err == nil && rel != "." && filepath.IsLocal(rel)
}

func mcUserName(uid int) string {
	if uid == 0 {
		return "root"
	}
	return strconv.Itoa(uid)
}

// mcChown gives a folder to this user.
func mcChown(sys mcSystem, dir string) Fix {
	return Fix{Code: fixCacheOwner, Kind: RunCommand, Root: true, Command: []string{"chown", "-R", strconv.Itoa(sys.uid), dir}, Args: setArgs("Dir", dir)}
}

// mcSudo is about root at work in the home of a user, who can then not write there any more.
func mcSudo(x *Exam, sys mcSystem, at string) (Finding, bool) {
	user, err := strconv.Atoi(x.Env["SUDO_UID"])
	if sys.uid != 0 || err != nil || user == 0 {
		return Finding{}, false
	}
	info, err := os.Stat(at)
	if err != nil || sys.owner(info) != user {
		return Finding{}, false
	}
	f := setFinding(codeCacheSudo, Warning, at, "User", x.Env["SUDO_USER"])
	f.Fixes = []Fix{{Code: fixCacheNoSudo, Kind: ByHand}}
	return f, true
}

// mcOnNetwork is about disks on which locks are no locks, or everything is slow.
func mcOnNetwork(x *Exam, sys mcSystem, at string) (out Outcome) {
	d, ok := sys.disk(at)
	if !ok {
		out.Facts = []Fact{{Name: factCacheFS, Answer: Unmeasured, Reason: NotHere}}
		return out
	}
	if d.Kind != "" {
		out.Facts = []Fact{{Name: factCacheFS, Answer: Yes, Value: d.Kind}}
	}
	code := ""
	switch {
	case d.Network:
		code = codeCacheNetwork
	case d.WindowsByWSL && x.Env["WSL_DISTRO_NAME"] != "":
		code = codeCacheDrive
	default:
		return out
	}
	f := setFinding(code, Warning, at, "Kind", d.Kind)
	f.Facts = out.Facts
	f.Fixes = []Fix{{Code: fixCacheMove, Kind: ByHand, Args: setArgs("Setting", "GOMODCACHE", "Dir", at)}}
	out.Findings = []Finding{f}
	return out
}

// mcWalk looks for folders in which this user cannot write, and for files that downloads left when
// they were killed.
func mcWalk(ctx context.Context, x *Exam, sys mcSystem, dir string) []Finding {
	w := mcWalker{sys: sys}
	w.walk(ctx, filepath.Join(dir, "cache"), 12, false)
	w.walk(ctx, dir, 4, true)
	var found []Finding
	if w.foreign > 0 {
		f := setFinding(codeCacheOwner, Fault, w.first, "Dir", w.first, "Owner", mcUserName(w.owner), "Count", strconv.Itoa(w.foreign))
		f.Facts = []Fact{{Name: factCacheOwner, Answer: Yes, Value: mcUserName(w.owner)}}
		if f.Fixes = []Fix{mcChown(sys, dir)}; !mcBelow(x.Home, dir) { // others may use it
			f.Fixes = []Fix{{Code: fixCacheMove, Kind: ByHand, Args: setArgs("Setting", "GOMODCACHE", "Dir", dir)}}
		}
		found = append(found, f)
	}
	if w.left >= mcLeftMin {
		f := setFinding(codeCacheLeft, Note, dir, "Count", strconv.Itoa(w.leftFiles), "Size", mcSize(w.left))
		if x.OS != "windows" {
			f.Fixes = []Fix{{Code: fixCacheLeft, Kind: RunCommand, Command: []string{"find", filepath.Join(dir, "cache", "download"), "-name", "*.tmp", "-mmin", "+60", "-delete"}}}
		}
		found = append(found, f)
	}
	return found
}

const (
	mcLeftMin = 200 << 20 // bytes of leftovers that are worth a word
	mcLeftAge = time.Hour // no download goes on for so long without a byte
)

type mcWalker struct {
	sys       mcSystem
	foreign   int
	owner     int
	first     string
	left      int64
	leftFiles int
}

// walk visits folders down to depth. Those of extracted modules are read-only by design; plain leaves them out.
func (w *mcWalker) walk(ctx context.Context, dir string, depth int, plain bool) {
	if ctx.Err() != nil {
		return
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !e.IsDir() {
			w.file(e)
			continue
		}
		if plain && (strings.Contains(e.Name(), "@") || e.Name() == "cache") || depth == 0 {
			continue
		}
		w.folder(name, e)
		w.walk(ctx, name, depth-1, plain)
	}
	if errors.Is(err, fs.ErrPermission) {
		w.note(dir, -1)
	}
}

func (w *mcWalker) folder(name string, e fs.DirEntry) {
	info, err := e.Info()
	if err != nil || w.sys.uid <= 0 {
		return
	}
	if owner := w.sys.owner(info); owner >= 0 && owner != w.sys.uid && w.sys.may(name) == No {
		w.note(name, owner)
	}
}

func (w *mcWalker) note(name string, owner int) {
	if w.foreign++; w.foreign == 1 {
		w.first, w.owner = name, owner
	}
	if owner >= 0 {
		w.owner = owner
	}
}

func (w *mcWalker) file(e fs.DirEntry) {
	if !strings.HasSuffix(e.Name(), ".tmp") {
		return
	}
	if info, err := e.Info(); err == nil && w.sys.now().Sub(info.ModTime()) > mcLeftAge {
		w.left += info.Size()
		w.leftFiles++
	}
}

// mcSize writes a number of bytes for people.
func mcSize(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d kB", n>>10)
}

// mcLocks looks who holds the lock of the cache, and what locks a killed git has left. The lock
// files of the go command itself are always there and mean nothing.
func mcLocks(x *Exam, sys mcSystem, dir string) []Finding {
	var found []Finding
	lock := filepath.Join(dir, "cache", "lock")
	if sys.held(lock) == Yes {
		f := setFinding(codeCacheHeld, Note, lock)
		if pid := sys.pid(lock); pid > 0 {
			f.Facts = []Fact{{Name: factCacheHolder, Answer: Yes, Value: strconv.Itoa(pid)}}
			f.Fixes = []Fix{{Code: fixCacheLock, Kind: ByHand, Args: setArgs("Process", strconv.Itoa(pid))}}
		}
		found = append(found, f)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "cache", "vcs", "*", "*.lock"))
	for _, name := range names {
		info, err := os.Stat(name)
		repo := filepath.Dir(name)
		// While the go command works on a repository it holds the lock beside it.
		if err != nil || sys.now().Sub(info.ModTime()) < time.Minute || sys.held(repo+".lock") == Yes {
			continue
		}
		f := setFinding(codeCacheGitLock, Fault, name)
		command := []string{"rm", "-f", name}
		if x.OS == "windows" {
			command = []string{"powershell", "-NoProfile", "-Command", "Remove-Item -Force -LiteralPath '" + strings.ReplaceAll(name, "'", "''") + "'"}
		}
		f.Fixes = []Fix{{Code: fixCacheGitLock, Kind: RunCommand, Command: command, File: name}}
		if found = append(found, f); len(found) > 5 {
			break
		}
	}
	return found
}

// mcBytes multiplies, and stays within what there can be.
func mcBytes(blocks uint64, size int64) int64 {
	if size <= 0 || blocks > uint64(math.MaxInt64)/uint64(size) {
		return math.MaxInt64
	}
	return int64(blocks) * size
}
