package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// ErrNotInstalled says that a toolchain is not in a Home.
var ErrNotInstalled = errors.New("not installed")

// ErrInTheWay says that something stands where a link belongs that goferry did not make; it is never replaced.
var ErrInTheWay = errors.New("in the way, and not made by goferry")

// ErrForeign says that a toolchain is for another system than this one and cannot run here.
var ErrForeign = errors.New("for another system")

// Program is the path of the go command in the toolchain at root.
func Program(root string) string { return filepath.Join(root, "bin", "go"+exeSuffix(runtime.GOOS)) }

// exeSuffix is what names of programs end with on a system.
func exeSuffix(goos string) string {
	if goos == "windows" {
		return ".exe"
	}
	return ""
}

// RunsHere reports whether the programs of t can run on this system: the own one, and what the systems
// themselves translate (Rosetta, the emulation of Windows on Arm, 32-bit x86).
func (t Target) RunsHere() bool { return t.runsOn(runtime.GOOS, runtime.GOARCH) }

func (t Target) runsOn(goos, goarch string) bool {
	switch {
	case t.OS != goos:
		return false
	case t.Arch == goarch:
		return true
	case goarch == "amd64":
		return t.Arch == "386" && (goos == "windows" || goos == "linux")
	case goarch == "arm64":
		return t.Arch == "amd64" && (goos == "windows" || goos == "darwin")
	}
	return false
}

// Has reports whether t is installed in h: its tree has a go command.
func (h Home) Has(t Target) bool {
	info, err := os.Stat(filepath.Join(h.Root(t), "bin", "go"+exeSuffix(t.OS)))
	return err == nil && !info.IsDir()
}

// Use makes t the toolchain that h.Default leads to. Errors match ErrNotInstalled, ErrForeign, ErrInTheWay where
// the link's place is taken, or are those of the file system. A go command that runs meanwhile goes on with the
// toolchain that it began with.
func (h Home) Use(t Target) error {
	switch {
	case !h.Has(t):
		return fmt.Errorf("%s: %w", t, ErrNotInstalled)
	case !t.RunsHere():
		return fmt.Errorf("%s: %w", t, ErrForeign)
	}
	if _, err := h.link(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceDirLink(filepath.Join("sdk", dirName(t)), h.Default())
}

// link reads the link to the default and returns the absolute path that it leads to. The error matches
// fs.ErrNotExist where there is none, ErrInTheWay where something else stands there.
func (h Home) link() (string, error) {
	info, err := os.Lstat(h.Default())
	if err != nil {
		return "", err
	}
	to, err := readDirLink(h.Default(), info)
	if err != nil {
		return "", fmt.Errorf("%s: %w", h.Default(), ErrInTheWay)
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(h.Dir, to)
	}
	return to, nil
}

// InUse returns the toolchain that h.Default leads to; false where there is none, or the link leads elsewhere
// or nowhere.
func (h Home) InUse() (Target, bool) {
	to, err := h.link()
	if err != nil {
		return Target{}, false
	}
	t, ok := h.TargetAt(to)
	return t, ok && h.Has(t)
}

// Unuse takes the link to the default away. It is no error if there is none; the error matches ErrInTheWay where
// something else stands there.
func (h Home) Unuse() error {
	if _, err := h.link(); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Remove(h.Default())
}

// TargetAt returns which toolchain of h the folder root is, by its name alone; root may be written through links.
func (h Home) TargetAt(root string) (Target, bool) {
	if sameDir(filepath.Dir(root), h.SDKs()) {
		return targetOf(filepath.Base(root))
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil || !sameDir(filepath.Dir(real), h.SDKs()) {
		return Target{}, false
	}
	return targetOf(filepath.Base(real))
}

// sameDir reports whether two paths name one folder that exists, or are equal.
func sameDir(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// LinkVersions brings the links of h.Bin in line with what is installed: one named goX.Y.Z for each toolchain of
// this system, which the go command finds by GOTOOLCHAIN (https://go.dev/doc/toolchain#select) once the folder is in
// PATH. Links to toolchains that are gone are taken away; whatever else lies there is left alone, and named in an
// error that matches ErrInTheWay if it has such a name.
func (h Home) LinkVersions() error {
	recs, err := h.Installed()
	if err != nil {
		return err
	}
	want := map[string]Target{}
	for _, r := range recs {
		if r.Target == Here(r.Version) && h.Has(r.Target) {
			want[string(r.Version)] = r.Target
		}
	}
	entries, err := os.ReadDir(h.Bin())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), programLinkSuffix(e.Name())); h.ownLink(e.Name()) && want[name] == (Target{}) {
			errs = append(errs, os.Remove(filepath.Join(h.Bin(), e.Name())))
		}
	}
	if len(want) > 0 {
		errs = append(errs, os.MkdirAll(h.Bin(), 0o755))
	}
	for _, r := range slices.Backward(recs) {
		if t := want[string(r.Version)]; t == r.Target && t != (Target{}) {
			errs = append(errs, h.linkVersion(t))
		}
	}
	return errors.Join(errs...)
}

// linkVersion makes the link of t in h.Bin, unless it is there.
func (h Home) linkVersion(t Target) error {
	for _, suffix := range []string{"", ".exe", ".cmd"} {
		name := string(t.Version) + suffix
		if _, err := os.Lstat(filepath.Join(h.Bin(), name)); err != nil {
			continue
		}
		if h.ownLink(name) {
			return nil // its text follows from its name
		}
		if suffix != "" || runtime.GOOS != "windows" {
			return fmt.Errorf("%s: %w", filepath.Join(h.Bin(), name), ErrInTheWay)
		}
	}
	to := filepath.Join("..", "sdk", dirName(t), "bin", "go"+exeSuffix(t.OS))
	return makeProgramLink(to, filepath.Join(h.Bin(), string(t.Version)))
}

// ownLink reports whether the file name of h.Bin is a link that linkVersion made.
func (h Home) ownLink(name string) bool {
	version := strings.TrimSuffix(name, programLinkSuffix(name))
	v, err := ParseVersion(version)
	if err != nil || string(v) != version {
		return false
	}
	to, err := readProgramLink(filepath.Join(h.Bin(), name))
	return err == nil && filepath.Clean(to) == filepath.Join("..", "sdk", version, "bin", "go"+exeSuffix(runtime.GOOS))
}

// programLinkSuffix is the part of name, a file in Home.Bin, that is not the version.
func programLinkSuffix(name string) string {
	for _, suffix := range []string{".exe", ".cmd"} {
		if runtime.GOOS == "windows" && strings.HasSuffix(name, suffix) {
			return suffix
		}
	}
	return ""
}
