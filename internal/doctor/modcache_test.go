package doctor

import (
	"archive/zip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// mcFake is a system of user 1000, in which all is well but what a test changes.
func mcFake() mcSystem {
	return mcSystem{
		uid: 1000, may: func(string) Answer { return Yes }, owner: func(fs.FileInfo) int { return 1000 },
		disk: func(dir string) (mcDisk, bool) {
			return mcDisk{Free: 50 << 30, Inodes: 1e6, Kind: "ext4", Device: "1"}, true
		},
		held: func(string) Answer { return No }, pid: func(string) int { return 0 }, now: time.Now,
	}
}

// mcTemplate is a folder with a project, in p, and a module cache, in mod, that the real go command filled for it.
func mcTemplate(t *testing.T) string {
	t.Helper()
	mirror, _ := setMirror(t)
	root := t.TempDir()
	dir, cache := filepath.Join(root, "p"), filepath.Join(root, "mod")
	setWrite(t, filepath.Join(dir, "go.mod"), "module example.com/p\n\ngo 1.24.0\n\nrequire example.com/m v1.0.0\n")
	setWrite(t, filepath.Join(dir, "p.go"), "package p\n\nimport _ \"example.com/m\"\n")
	out, code := setGo(t, dir, []string{"GOPROXY=" + mirror, "GOSUMDB=off", "GOMODCACHE=" + cache, "GOFLAGS=-mod=mod -modcacherw"}, "build", "./...")
	if code != 0 {
		t.Fatal(out)
	}
	return root
}

// mcExam is a machine with a copy of a template.
func mcExam(t *testing.T, template string) *Exam {
	t.Helper()
	x := setExam(t, nil, nil)
	mcMust(t, os.CopyFS(x.Dir, os.DirFS(filepath.Join(template, "p"))))
	mcMust(t, os.CopyFS(x.GoEnv.Values["GOMODCACHE"], os.DirFS(filepath.Join(template, "mod"))))
	return x
}

func mcFile(x *Exam, name string) string {
	return filepath.Join(x.GoEnv.Values["GOMODCACHE"], filepath.FromSlash(name))
}

const mcDown = "cache/download/example.com/m/@v/v1.0.0"

func modcacheScenarios(t *testing.T, rec *record) {
	template := mcTemplate(t)
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, x *Exam)
		code   string
	}{
		{"whole", func(*testing.T, *Exam) {}, ""},
		{"never downloaded", func(t *testing.T, x *Exam) { mcMust(t, os.RemoveAll(x.GoEnv.Values["GOMODCACHE"])) }, ""},
		{"zip taken away", func(t *testing.T, x *Exam) { mcMust(t, os.Remove(mcFile(x, mcDown+".zip"))) }, ""},
		{"not extracted", func(t *testing.T, x *Exam) { mcMust(t, os.RemoveAll(mcFile(x, "example.com/m@v1.0.0"))) }, ""},
		{"being extracted", func(t *testing.T, x *Exam) {
			mcMust(t, os.Remove(mcFile(x, "example.com/m@v1.0.0/m.go")))
			setWrite(t, mcFile(x, mcDown+".partial"), "")
		}, ""},
		{"a file beside", func(t *testing.T, x *Exam) { setWrite(t, mcFile(x, mcDown+".lock"), "") }, ""},
		{"no ziphash", func(t *testing.T, x *Exam) { mcMust(t, os.Remove(mcFile(x, mcDown+".ziphash"))) }, ""},

		{"zip cut short", func(t *testing.T, x *Exam) { mcMust(t, os.Truncate(mcFile(x, mcDown+".zip"), 100)) }, codeCacheCorrupt},
		{"zip empty", func(t *testing.T, x *Exam) { mcMust(t, os.Truncate(mcFile(x, mcDown+".zip"), 0)) }, codeCacheCorrupt},
		{"a byte of the zip", func(t *testing.T, x *Exam) {
			data, err := os.ReadFile(mcFile(x, mcDown+".zip"))
			mcMust(t, err)
			data[60] ^= 1 // within the first file
			setWrite(t, mcFile(x, mcDown+".zip"), string(data))
		}, codeCacheCorrupt},
		{"ziphash", func(t *testing.T, x *Exam) { setWrite(t, mcFile(x, mcDown+".ziphash"), "h1:nonsense=") }, codeCacheCorrupt},
		{"another zip", mcOtherZip, codeCacheOther},
		{"another go.mod", func(t *testing.T, x *Exam) {
			setWrite(t, mcFile(x, mcDown+".mod"), "module example.com/m\n\n// moved\n")
		}, codeCacheOther},
		{"an extracted file shortened", func(t *testing.T, x *Exam) { setWrite(t, mcFile(x, "example.com/m@v1.0.0/m.go"), "package m\n") }, codeCacheAltered},
		{"an extracted file lost", func(t *testing.T, x *Exam) { mcMust(t, os.Remove(mcFile(x, "example.com/m@v1.0.0/m.go"))) }, codeCacheAltered},
	} {
		x := mcExam(t, template)
		tt.damage(t, x)
		out := checkModCache(t.Context(), x, mcFake())
		var codes []string
		for _, f := range out.Findings {
			codes = append(codes, f.Code)
		}
		rec.add(tt.name, tt.code, strings.Join(codes, " "))
		if got := strings.Join(codes, " "); got != tt.code || out.NotRun != "" {
			t.Errorf("%s: %q, want %q (%s %s)", tt.name, got, tt.code, out.NotRun, out.Detail)
			continue
		}
		if tt.code == "" {
			continue
		}
		f := out.Findings[0]
		if runtime.GOOS == "windows" {
			continue
		}
		c := f.Fixes[0].Command
		res, err := (&gocmd.Runner{}).Run(t.Context(), gocmd.Cmd{Name: c[0], Args: c[1:]})
		if err != nil || res.ExitCode != 0 {
			t.Errorf("%s: %v: %v %s", tt.name, c, err, res.Stderr)
		}
		if again := checkModCache(t.Context(), x, mcFake()); len(again.Findings) > 0 {
			t.Errorf("%s: after the fix: %v", tt.name, setCodes(again.Findings))
		}
	}
}

func mcMust(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mcOtherZip is what a mirror with another history leaves: all of it whole, and not what go.sum has.
func mcOtherZip(t *testing.T, x *Exam) {
	t.Helper()
	sums := filepath.Join(x.Dir, "go.sum")
	data, err := os.ReadFile(sums)
	mcMust(t, err)
	var lines []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, "/go.mod ") {
			line = "example.com/m v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
		}
		lines = append(lines, line)
	}
	setWrite(t, sums, strings.Join(lines, ""))
}

func TestModCacheMany(t *testing.T) {
	x := setExam(t, nil, nil)
	setWrite(t, filepath.Join(x.Dir, "go.mod"), "module example.com/p\n")
	sums := ""
	for i := range 9 {
		path := fmt.Sprintf("example.com/m%d", i)
		sums += path + " v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
		setWrite(t, mcFile(x, "cache/download/"+path+"/@v/v1.0.0.zip"), "cut")
	}
	setWrite(t, filepath.Join(x.Dir, "go.sum"), sums)
	out := checkModCache(t.Context(), x, mcFake())
	if got := setCodes(out.Findings); !slices.Equal(got, []string{"fault modcache-corrupt-many"}) || setFirst(out.Findings) != "go clean -modcache" {
		t.Errorf("%v, mended by %q", got, setFirst(out.Findings))
	}
	if f := out.Facts[len(out.Facts)-1]; f.Name != factCacheVerified || f.Answer != No || f.Value != "9 of 9" {
		t.Errorf("fact %+v", f)
	}
}

// TestModCacheNoTime wants what was not looked at to be no good news.
func TestModCacheNoTime(t *testing.T) {
	x := mcExam(t, mcTemplate(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := checkModCache(ctx, x, mcFake())
	f := out.Facts[len(out.Facts)-1]
	if len(out.Findings) > 0 || f.Name != factCacheVerified || f.Answer != Unmeasured || f.Reason != OutOfTime {
		t.Errorf("%v, fact %+v", setCodes(out.Findings), f)
	}
}

func cachePlaceScenarios(t *testing.T, rec *record) {
	template := mcTemplate(t)
	foreign := func(uid int, name string) func(sys *mcSystem, x *Exam) {
		return func(sys *mcSystem, x *Exam) {
			at := mcFile(x, name)
			sys.may = func(dir string) Answer {
				if strings.HasPrefix(dir, at) {
					return No
				}
				return Yes
			}
			sys.owner = func(info fs.FileInfo) int {
				if st, err := os.Stat(at); err == nil && os.SameFile(st, info) {
					return uid
				}
				return 1000
			}
		}
	}
	for _, tt := range []struct {
		name       string
		change     func(sys *mcSystem, x *Exam)
		codes, fix string // {} is the module cache
	}{
		{"healthy", func(*mcSystem, *Exam) {}, "", ""},
		{"not there yet", func(_ *mcSystem, x *Exam) { _ = os.RemoveAll(mcFile(x, "")) }, "", ""},
		{"root, at home", func(sys *mcSystem, _ *Exam) {
			sys.uid, sys.owner = 0, func(fs.FileInfo) int { return 0 }
		}, "", ""},
		{"sudo in another home", func(sys *mcSystem, x *Exam) {
			sys.uid, sys.owner, x.Env["SUDO_UID"] = 0, func(fs.FileInfo) int { return 0 }, "1000"
		}, "", ""},
		{"cannot be asked", func(sys *mcSystem, _ *Exam) {
			sys.may = func(string) Answer { return Unmeasured }
			sys.disk = func(string) (mcDisk, bool) { return mcDisk{}, false }
		}, "", ""},

		{"of root", foreign(0, ""), "fault modcache-owner", "chown -R 1000 {}"},
		{"a folder of root", foreign(0, "cache/download/example.com"), "fault modcache-owner", "chown -R 1000 {}"},
		{"a host of root", foreign(0, "example.com"), "fault modcache-owner", "chown -R 1000 {}"},
		{"not writable", func(sys *mcSystem, _ *Exam) { sys.may = func(string) Answer { return No } }, "fault modcache-not-writable", "move-folder"},
		{"read-only disk", func(sys *mcSystem, _ *Exam) {
			sys.may, sys.owner = func(string) Answer { return No }, func(fs.FileInfo) int { return 0 }
			sys.disk = func(string) (mcDisk, bool) { return mcDisk{ReadOnly: true}, true }
		}, "fault modcache-not-writable", "move-folder"},
		{"sudo", func(sys *mcSystem, x *Exam) {
			sys.uid, x.Env["SUDO_UID"], x.Env["SUDO_USER"] = 0, "1000", "ann"
		}, "warning modcache-sudo", "no-sudo"},
		{"nfs", func(sys *mcSystem, _ *Exam) {
			sys.disk = func(string) (mcDisk, bool) {
				return mcDisk{Free: 1 << 40, Inodes: -1, Kind: "nfs", Network: true}, true
			}
		}, "warning modcache-network", "move-folder"},
		{"drive of Windows", func(sys *mcSystem, x *Exam) {
			x.Env["WSL_DISTRO_NAME"] = "Debian"
			sys.disk = func(string) (mcDisk, bool) { return mcDisk{Free: 1 << 40, Kind: "9p", WindowsByWSL: true}, true }
		}, "warning modcache-windows-drive", "move-folder"},
		{"9p elsewhere", func(sys *mcSystem, _ *Exam) {
			sys.disk = func(string) (mcDisk, bool) { return mcDisk{Free: 1 << 40, Kind: "9p", WindowsByWSL: true}, true }
		}, "", ""},
		{"a file", func(_ *mcSystem, x *Exam) {
			_ = os.RemoveAll(mcFile(x, ""))
			_ = os.WriteFile(mcFile(x, ""), nil, 0o666)
		}, "fault modcache-no-folder", "go env -u GOMODCACHE"},
		{"a file above", func(_ *mcSystem, x *Exam) {
			dir := filepath.Dir(mcFile(x, ""))
			_ = os.RemoveAll(dir)
			_ = os.WriteFile(dir, nil, 0o666)
		}, "fault modcache-no-folder", "go env -u GOMODCACHE"},
		{"not set", func(_ *mcSystem, x *Exam) { x.GoEnv.Values["GOMODCACHE"] = "" }, "fault modcache-not-set", "go env -w GOPATH=~/go"},
		{"lock held", func(sys *mcSystem, x *Exam) {
			sys.held, sys.pid = func(name string) Answer {
				if name == mcFile(x, "cache/lock") {
					return Yes
				}
				return No
			}, func(string) int { return 4711 }
		}, "note modcache-lock-held", "end-process"},
		{"git killed", func(sys *mcSystem, x *Exam) {
			_ = os.MkdirAll(mcFile(x, "cache/vcs/0123"), 0o777)
			_ = os.WriteFile(mcFile(x, "cache/vcs/0123/shallow.lock"), nil, 0o666)
			_ = os.WriteFile(mcFile(x, "cache/vcs/0123.lock"), nil, 0o666)
			sys.now = func() time.Time { return time.Now().Add(time.Hour) }
		}, "fault modcache-git-lock", "rm -f {}/cache/vcs/0123/shallow.lock"},
		{"git at work", func(sys *mcSystem, x *Exam) {
			_ = os.MkdirAll(mcFile(x, "cache/vcs/0123"), 0o777)
			_ = os.WriteFile(mcFile(x, "cache/vcs/0123/shallow.lock"), nil, 0o666)
			sys.now = func() time.Time { return time.Now().Add(time.Hour) }
			sys.held = func(name string) Answer {
				if name == mcFile(x, "cache/vcs/0123.lock") {
					return Yes
				}
				return No
			}
		}, "", ""},
		{"downloads killed", func(sys *mcSystem, x *Exam) {
			name := mcFile(x, mcDown+".zip1234.tmp")
			_ = os.WriteFile(name, nil, 0o666)
			_ = os.Truncate(name, 300<<20) // a hole
			sys.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		}, "note modcache-left-files", "find {}/cache/download -name *.tmp -mmin +60 -delete"},
		{"a download going on", func(_ *mcSystem, x *Exam) {
			name := mcFile(x, mcDown+".zip1234.tmp")
			_ = os.WriteFile(name, nil, 0o666)
			_ = os.Truncate(name, 300<<20)
		}, "", ""},
	} {
		x := mcExam(t, template)
		sys := mcFake()
		dir := mcFile(x, "")
		tt.change(&sys, x)
		out := checkModCache(t.Context(), x, sys)
		rec.add(tt.name, tt.codes, strings.Join(setCodes(out.Findings), " "))
		fix := strings.ReplaceAll(strings.ReplaceAll(setFirst(out.Findings), dir, "{}"), x.Home, "~")
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || runtime.GOOS != "windows" && fix != tt.fix {
			t.Errorf("%s: %s, mended by %q; want %s, %q", tt.name, got, fix, tt.codes, tt.fix)
		}
	}
}

func diskScenarios(t *testing.T, rec *record) {
	with := func(d mcDisk) func(*mcSystem, *Exam) {
		return func(sys *mcSystem, _ *Exam) {
			sys.disk = func(string) (mcDisk, bool) { return d, true }
		}
	}
	for _, tt := range []struct {
		name       string
		change     func(sys *mcSystem, x *Exam)
		codes, fix string // {} is the home folder
	}{
		{"healthy", func(*mcSystem, *Exam) {}, "", ""},
		{"without limit of files", with(mcDisk{Free: 1 << 40, Inodes: -1}), "", ""},
		{"just enough", with(mcDisk{Free: diskFew, Inodes: inodesNo}), "", ""},
		{"read-only, as an image", with(mcDisk{Free: 0, Inodes: 0, ReadOnly: true}), "", ""},
		{"cannot be asked", func(sys *mcSystem, _ *Exam) { sys.disk = func(string) (mcDisk, bool) { return mcDisk{}, false } }, "", ""},
		{"full", with(mcDisk{Free: 1 << 20, Inodes: -1}), "fault disk-full", "go clean -cache"},
		{"nearly full", with(mcDisk{Free: 300 << 20, Inodes: -1}), "warning disk-low", "go clean -cache"},
		{"full, with the build cache elsewhere", func(sys *mcSystem, x *Exam) {
			sys.disk = func(dir string) (mcDisk, bool) {
				if dir == x.GoEnv.Values["GOCACHE"] {
					return mcDisk{Free: 1 << 40, Inodes: -1, Device: "2"}, true
				}
				return mcDisk{Free: 1 << 20, Inodes: -1, Device: "1"}, true
			}
		}, "fault disk-full", "move-folder"},
		{"no inodes", with(mcDisk{Free: 1 << 40, Inodes: 3}), "fault inodes-full", "go clean -cache"},
		{"noexec", with(mcDisk{Free: 1 << 40, Inodes: -1, NoExec: true, Kind: "tmpfs"}), "warning tmp-noexec", "sh -c mkdir -p '{}/.cache/go-tmp' && go env -w GOTMPDIR='{}/.cache/go-tmp'"},
		{"build cache of root", func(sys *mcSystem, x *Exam) {
			_ = os.MkdirAll(x.GoEnv.Values["GOCACHE"], 0o777)
			sys.may = func(dir string) Answer {
				if dir == x.GoEnv.Values["GOCACHE"] {
					return No
				}
				return Yes
			}
			sys.owner = func(fs.FileInfo) int { return 0 }
		}, "fault folder-not-writable", "chown -R 1000 {}/.cache/go-build"},
		{"GOTMPDIR", func(_ *mcSystem, x *Exam) { x.Env["GOTMPDIR"] = filepath.Join(x.Home, "gone") }, "fault gotmpdir-missing", "unset GOTMPDIR"},
		{"GOCACHE", func(_ *mcSystem, x *Exam) { x.Env["GOCACHE"] = "off" }, "fault gocache-off", "unset GOCACHE"},
	} {
		x := setExam(t, nil, nil)
		mcMust(t, os.MkdirAll(x.GoEnv.Values["GOCACHE"], 0o777))
		sys := mcFake()
		tt.change(&sys, x)
		out := checkDisk(t.Context(), x, sys)
		rec.add(tt.name, tt.codes, strings.Join(setCodes(out.Findings), " "))
		fix := strings.ReplaceAll(setFirst(out.Findings), x.Home, "{}")
		if got := strings.Join(setCodes(out.Findings), " "); got != tt.codes || runtime.GOOS != "windows" && fix != tt.fix {
			t.Errorf("%s: %s, mended by %q; want %s, %q", tt.name, got, fix, tt.codes, tt.fix)
		}
		if strings.Contains(tt.name, "asked") && (len(out.Facts) == 0 || out.Facts[0].Answer != Unmeasured) {
			t.Errorf("%s: facts %+v", tt.name, out.Facts)
		}
	}
}

// TestDiskReal asks the real system about a folder of this test.
func TestDiskReal(t *testing.T) {
	sys, dir := mcReal(), t.TempDir()
	if got := sys.may(dir); got != Yes {
		t.Errorf("a folder of our own can be written: %s", got)
	}
	if d, ok := sys.disk(dir); ok && (d.Free <= 0 || d.ReadOnly || d.Device == "") {
		t.Errorf("its disk: %+v", d)
	} else if !ok && slices.Contains([]string{"linux", "darwin", "windows", "freebsd"}, runtime.GOOS) {
		t.Error("its disk is not known")
	}
	info, err := os.Stat(dir)
	mcMust(t, err)
	if runtime.GOOS != "windows" && sys.owner(info) != os.Geteuid() {
		t.Errorf("its owner is %d", sys.owner(info))
	}
	if got := sys.held(filepath.Join(dir, "missing")); got != No {
		t.Errorf("a lock that is not there is held: %s", got)
	}
	lock := filepath.Join(dir, "lock")
	setWrite(t, lock, "")
	if got := sys.held(lock); got != No {
		t.Errorf("a lock that nobody holds: %s", got)
	}
}

// TestModCacheMayHash wants the hash of a big zip to be left out where there is no time for it.
func TestModCacheMayHash(t *testing.T) {
	name := filepath.Join(t.TempDir(), "m.zip")
	f, err := os.Create(name)
	mcMust(t, err)
	mcMust(t, zip.NewWriter(f).Close())
	mcMust(t, f.Close())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	m := mcModule{Sum: "h1:x= ", Zip: name, Size: 10 << 30}
	if done, _, ok := m.prove(ctx); done || !ok {
		t.Errorf("10 GB within a second: done %v, ok %v", done, ok)
	}
	m.Size = 22
	if done, f, ok := m.prove(ctx); !done || ok || f.Code != codeCacheCorrupt {
		t.Errorf("another hash: done %v, ok %v, %s", done, ok, f.Code)
	}
}
