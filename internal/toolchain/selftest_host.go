package toolchain

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// SelfHost is what a SelfTest knows of the machine.
type SelfHost struct {
	CPUs     int   `json:"cpus"`
	Root     bool  `json:"root"`       // runs as root, whom no file permission stops
	Services bool  `json:"services"`   // knows the names of ports (/etc/services)
	IPv4     bool  `json:"ipv4"`       // on the loopback interface
	IPv6     bool  `json:"ipv6"`       // on the loopback interface
	Free     int64 `json:"free_bytes"` // where the test puts its files; negative is unknown
	Online   *bool `json:"online"`     // reaches the internet; null was not asked
}

// selfNeeds is about what a test of the whole standard library writes: the build cache, and the
// test programs that exist at one time.
const selfNeeds = 2 << 30

// machine looks at what tests need of a machine, and some do not have.
func (r *selfRun) machine(ctx context.Context) ([]SelfFinding, error) {
	h := SelfHost{CPUs: runtime.NumCPU(), Root: os.Geteuid() == 0, Services: selfServices("/etc/services"), IPv4: selfLoops(ctx, "127.0.0.1"), IPv6: selfLoops(ctx, "::1"), Free: selfFree(r.Dir)}
	r.report.Machine = h
	var found []SelfFinding
	note := func(is bool, code string, severity SelfState) {
		if is {
			found = append(found, SelfFinding{Code: code, Severity: severity})
		}
	}
	note(h.Root, "root", SelfNote)
	note(!h.Services, "no-services", SelfNote)
	note(!h.IPv4, "no-ipv4", SelfWarning)
	note(!h.IPv6, "no-ipv6", SelfNote)
	if h.Free >= 0 && h.Free < selfNeeds {
		found = append(found, SelfFinding{Code: "disk-low", Severity: SelfWarning, Value: fmt.Sprintf("%d MB", h.Free/1e6), Want: fmt.Sprintf("%d MB", int64(selfNeeds)/1e6), Detail: r.Dir})
	}
	return found, nil
}

// selfServices reports whether names of ports can be looked up. Windows keeps them elsewhere.
func selfServices(file string) bool {
	if runtime.GOOS == "windows" {
		return true
	}
	data, err := os.ReadFile(file)
	return err == nil && strings.Contains(string(data), "domain")
}

// selfLoops reports whether programs can talk to each other over a loopback address. Where the
// interface is down one can listen, and nobody gets there.
func selfLoops(ctx context.Context, ip string) bool {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return false
	}
	defer ln.Close()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// reachable asks Online, once.
func (r *selfRun) reachable(ctx context.Context) (is, known bool) {
	if r.online == nil && r.Online != nil {
		is := r.Online(ctx) == nil
		r.online, r.report.Machine.Online = &is, &is
	}
	if r.online == nil {
		return false, false
	}
	return *r.online, true
}

// selfFile is what a snapshot knows of a file; its bytes are for Verify to read.
type selfFile struct {
	mode fs.FileMode
	size int64
	time int64
}

// selfSnapshot is the state of a tree. Links below root to folders are followed once: some
// distributions put src and pkg elsewhere.
func selfSnapshot(root string) (map[string]selfFile, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	files := map[string]selfFile{}
	walk := func(dir string) error {
		return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			f := selfFile{mode: info.Mode(), size: info.Size(), time: info.ModTime().UnixNano()}
			if d.IsDir() {
				f.size = 0 // the size of a folder is a matter of its file system
			}
			files[name] = f
			return nil
		})
	}
	top, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range top {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		if dir, err := filepath.EvalSymlinks(filepath.Join(root, e.Name())); err == nil {
			if err := walk(dir); err != nil {
				return nil, err
			}
		}
	}
	return files, walk(root)
}

// selfShown is how many names of a list a finding repeats.
const selfShown = 20

// selfTouched finds what has changed in a tree since before.
func selfTouched(root string, before map[string]selfFile) ([]SelfFinding, error) {
	after, err := selfSnapshot(root)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, f := range after {
		old, there := before[name]
		// A folder that looks different has files that do, which are named.
		if there && f.mode.IsDir() && old.mode == f.mode {
			continue
		}
		if !there || old != f {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	count := fmt.Sprint(len(names))
	return []SelfFinding{{Code: "touched", Severity: SelfWarning, Value: count, Detail: strings.Join(names[:min(len(names), selfShown)], "\n")}}, nil
}
