package doctor

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/gocmd"
)

// TestModCacheSameSize wants extracted files to be proved by what they hold, as builds are made of them: a change of no size
// and a file too many. What is mended needs no network.
func TestModCacheSameSize(t *testing.T) {
	template := mcTemplate(t)
	for _, tt := range []struct {
		name, file string
		damage     func(t *testing.T, at string)
	}{
		{"a byte", "m.go", func(t *testing.T, at string) {
			data, err := os.ReadFile(at)
			mcMust(t, err)
			data[0] ^= 1
			mcMust(t, os.Chmod(at, 0o600))
			setWrite(t, at, string(data))
		}},
		{"a file too many", "evil.go", func(t *testing.T, at string) { setWrite(t, at, "package m\n") }},
	} {
		x := mcExam(t, template)
		tt.damage(t, mcFile(x, "example.com/m@v1.0.0/"+tt.file))
		out := checkModCache(t.Context(), x, mcFake())
		if got := setCodes(out.Findings); !slices.Equal(got, []string{"fault modcache-altered"}) || out.Findings[0].Args["File"] != tt.file {
			t.Errorf("%s: %+v", tt.name, out.Findings)
			continue
		}
		if runtime.GOOS == "windows" {
			continue
		}
		c := out.Findings[0].Fixes[0].Command
		if res, err := (&gocmd.Runner{}).Run(t.Context(), gocmd.Cmd{Name: c[0], Args: c[1:]}); err != nil || res.ExitCode != 0 {
			t.Errorf("%s: %v: %v %s", tt.name, c, err, res.Stderr)
		}
		if !setIsFile(mcFile(x, mcDown+".zip")) {
			t.Errorf("%s: the zip is gone as well, and would be downloaded again", tt.name)
		}
		if said, code := setGo(t, x.Dir, []string{"GOPROXY=off", "GOMODCACHE=" + mcFile(x, "")}, "build", "./..."); code != 0 {
			t.Errorf("%s: after the fix, without a network: %s", tt.name, said)
		}
	}
}

// TestModCacheRecord wants a record of a hash that is wrong not to be blamed on the zip, which is right.
func TestModCacheRecord(t *testing.T) {
	x := mcExam(t, mcTemplate(t))
	setWrite(t, mcFile(x, mcDown+".ziphash"), "h1:nonsense=\n")
	f := checkModCache(t.Context(), x, mcFake()).Findings[0]
	if f.Args["File"] != "v1.0.0.ziphash" || f.Args["Have"] != "h1:nonsense=" || f.Args["Have"] == f.Args["Want"] {
		t.Errorf("%+v", f.Args)
	}
	mcMust(t, os.Truncate(mcFile(x, mcDown+".zip"), 10))
	f = checkModCache(t.Context(), x, mcFake()).Findings[0]
	if f.Args["Have"] != "" {
		t.Errorf("half a zip: %+v", f.Args)
	}
}

// TestModCacheChown wants nobody to be told to make a folder his own that lies outside of his home, least of all the root
// of the system.
func TestModCacheChown(t *testing.T) {
	for _, at := range []string{"/", "/opt/cache", "~", "~x/cache", "~/go"} {
		x := setExam(t, nil, nil)
		dir := strings.Replace(at, "~", x.Home, 1)
		mcMust(t, os.MkdirAll(filepath.Join(x.Home, "go"), 0o777))
		sys := mcFake()
		sys.owner = func(fs.FileInfo) int { return 0 }
		_, fixes := mcOwned(x, sys, dir)
		if _, err := os.Stat(dir); err != nil {
			continue // nobody owns it
		}
		if owns := at == "~/go"; (len(fixes) > 0) != owns {
			t.Errorf("%s: %v", at, fixes)
		}
	}
	// The same for the build cache of a user whose home is not there.
	x := setExam(t, map[string]string{"GOCACHE": filepath.Join(string(filepath.Separator), "nobody-has-this", "cache")}, nil)
	sys := mcFake()
	sys.may, sys.owner = func(string) Answer { return No }, func(fs.FileInfo) int { return 0 }
	for _, f := range checkDisk(t.Context(), x, sys).Findings {
		for _, fix := range f.Fixes {
			if fix.Code == fixCacheOwner && !mcBelow(x.Home, fix.Command[len(fix.Command)-1]) {
				t.Errorf("%s: %v", f.Code, fix.Command)
			}
		}
	}
}

// TestOwnFolderClosed is about a folder of the user's own that is closed for writing.
func TestOwnFolderClosed(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	x := setExam(t, nil, nil)
	mcMust(t, os.Chmod(x.Home, 0o500))
	defer func() { mcMust(t, os.Chmod(x.Home, 0o700)) }()
	sys := mcFake()
	sys.may = func(dir string) Answer {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o200 == 0 {
			return No
		}
		return Yes
	}
	out := checkModCache(t.Context(), x, sys)
	if got := setCodes(out.Findings); !slices.Equal(got, []string{"fault modcache-not-writable"}) || setFirst(out.Findings) != "chmod u+rwx "+x.Home || out.Findings[0].Args["Above"] != x.Home {
		t.Errorf("%v, mended by %q: %+v", got, setFirst(out.Findings), out.Findings)
	}
	rep := Examine(t.Context(), x, []Check{
		{ID: "modcache", Group: ModCache, Run: func(ctx context.Context, x *Exam) Outcome { return checkModCache(ctx, x, sys) }},
		{ID: "disk", Group: ModCache, Run: func(ctx context.Context, x *Exam) Outcome { return checkDisk(ctx, x, sys) }},
	}, Options{})
	if len(rep.Causes) != 1 || rep.Causes[0].Code != codeCacheReadOnly {
		t.Errorf("one closed folder is %d causes: %+v", len(rep.Causes), rep.Causes)
	}
}

// TestHomeUnset has no HOME: then go env says GOCACHE=off, which nobody has set.
func TestHomeUnset(t *testing.T) {
	x := setExam(t, nil, nil)
	x.OS, x.Home, x.Account = "linux", "", "/home/ann"
	x.GoEnv.Values["GOMODCACHE"], x.GoEnv.Values["GOPATH"], x.GoEnv.Values["GOCACHE"] = "", "", "off"
	sys := mcFake()
	rep := Examine(t.Context(), x, []Check{
		{ID: "modcache", Group: ModCache, Run: func(ctx context.Context, x *Exam) Outcome { return checkModCache(ctx, x, sys) }},
		{ID: "disk", Group: ModCache, Run: func(ctx context.Context, x *Exam) Outcome { return checkDisk(ctx, x, sys) }},
	}, Options{})
	if len(rep.Causes) != 1 || rep.Causes[0].Code != codeCacheNoFolder || len(rep.Causes[0].Follows) != 1 || rep.Causes[0].Follows[0].Code != codeCacheNowhere {
		t.Fatalf("%+v", rep.Causes)
	}
	if got := setFirst([]Finding{rep.Causes[0].Finding}); got != "export HOME=/home/ann" {
		t.Errorf("mended by %q", got)
	}
}

// TestTmpMissing is about folders for temporary files that are not there, which is one finding.
func TestTmpMissing(t *testing.T) {
	for _, key := range []string{"TMPDIR", "GOTMPDIR"} {
		x := setExam(t, nil, nil)
		x.OS = "linux"
		x.Env[key] = filepath.Join(x.Home, "gone")
		sys := mcFake()
		sys.may = func(dir string) Answer {
			if dir == x.Home {
				return No
			}
			return Yes
		}
		mcMust(t, os.MkdirAll(x.GoEnv.Values["GOCACHE"], 0o777))
		out := checkDisk(t.Context(), x, sys)
		if got := setCodes(out.Findings); !slices.Equal(got, []string{"fault gotmpdir-missing"}) || setFirst(out.Findings) != "unset "+key {
			t.Errorf("%s: %v, mended by %q", key, got, setFirst(out.Findings))
		}
	}
}
