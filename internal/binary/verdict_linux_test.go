package binary_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"

	"github.com/goferry/goferry/internal/binary"
)

// here is the platform of this machine by /etc/os-release, and false where the table does not have it.
func here(t *testing.T) (binary.Platform, bool) {
	t.Helper()
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	get := func(key string) string {
		if m := regexp.MustCompile(`(?m)^` + key + `="?([^"\n]*)"?$`).FindSubmatch(data); m != nil {
			return string(m[1])
		}
		return ""
	}
	r, err := binary.ParseRequirement("runs-on=" + get("ID") + "-" + get("VERSION_ID"))
	if err != nil {
		return binary.Platform{}, false
	}
	// The requirement takes the names that people use; its verdict says which platform it means.
	old := &binary.Info{Format: binary.ELF, Kind: binary.Executable, OS: "linux", Arch: runtime.GOARCH, Libc: "gnu", Interpreter: "/none", Libraries: []binary.Library{{Name: "x"}}}
	detail := r.Check(old).Detail
	for _, p := range binary.Platforms() {
		if len(detail) > len(p.Name) && detail[:len(p.Name)+1] == p.Name+":" {
			return p, true
		}
	}
	return binary.Platform{}, false
}

// TestThisSystem: what is installed on a machine runs on its system, so no program there may be judged not to; and the
// figures of the table are those of its libraries.
func TestThisSystem(t *testing.T) {
	p, ok := here(t)
	if !ok || p.Libc != "gnu" {
		t.Log("this system is not in the table, or without glibc")
		return
	}
	t.Log(p.Name)
	files, err := filepath.Glob("/usr/bin/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	judged := 0
	for n := 0; n < len(files) && judged < 150; n++ {
		judged += judgedHere(t, p, files[n])
	}
	if judged < 20 {
		t.Errorf("only %d programs were judged", judged)
	}
	for _, lib := range []struct{ file, prefix, version string }{{"libc.so.6", "GLIBC_", p.Version}, {"libstdc++.so.6", "GLIBCXX_", ""}} {
		have := newest(t, lib.file, lib.prefix)
		if have == "" {
			continue // it is not installed
		}
		if lib.version == "" { // the table has it through GCC: the newest that it asks for still runs, a newer one does not
			i := linux("gnu", []string{"libstdc++.so.6"}, "libstdc++ "+have)
			i.Arch = runtime.GOARCH
			if v := verdictOn(i, p); v.Runs != binary.Runs {
				t.Errorf("%s has %s%s, and %s", p.Name, lib.prefix, have, v.Detail)
			}
			continue
		}
		if have != lib.version {
			t.Errorf("%s has %s%s, the table %s", p.Name, lib.prefix, have, lib.version)
		}
	}
}

// judgedHere judges one file; it counts if it is a program for this machine's system.
func judgedHere(t *testing.T, p binary.Platform, file string) int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > 8<<20 {
		return 0
	}
	i, err := binary.Read(f, st.Size())
	if err != nil || i.OS != "linux" || i.Arch != runtime.GOARCH || i.Kind != binary.Executable {
		return 0
	}
	if v := verdictOn(i, p); v.Runs == binary.RunsNot {
		t.Errorf("%s does not run on %s, which has it: %s %s", file, p.Name, v.Reason, v.Detail)
	}
	return 1
}

func verdictOn(i *binary.Info, p binary.Platform) binary.Verdict {
	list := binary.Judge(i)
	n := slices.IndexFunc(list, func(v binary.Verdict) bool { return v.Platform.Name == p.Name })
	if n < 0 {
		return binary.Verdict{}
	}
	return list[n]
}

// newest is the newest version with a prefix that a library of the system has; "" where there is no such library.
func newest(t *testing.T, name, prefix string) string {
	t.Helper()
	files, _ := filepath.Glob("/usr/lib/*-linux-gnu*/" + name)
	more, _ := filepath.Glob("/lib*/" + name)
	best := ""
	for _, file := range append(files, more...) {
		data, err := os.ReadFile(file)
		if err != nil || !bytes.HasPrefix(data, []byte("\x7fELF")) {
			continue
		}
		for _, m := range regexp.MustCompile(regexp.QuoteMeta(prefix)+`([0-9.]+)\x00`).FindAllSubmatch(data, -1) {
			if v := string(m[1]); binary.CompareVersions(v, best) > 0 {
				best = v
			}
		}
	}
	return best
}
