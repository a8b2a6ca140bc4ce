package cgo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/gocmd"
)

// Plan asks apt which packages make a compiler for t, with all that they need, whatever is installed here. whole packs
// bring a compiler even where only a wrapper of the system's own is needed (musl), so that they work on other machines.
//
// Where the machine has no lists of packages, or they know none, lists of the user's own are fetched. Errors are a
// *SetupError, or the cause of ctx.
func (s *Setup) Plan(ctx context.Context, t Target, whole bool) (*Pack, error) {
	p, names, err := recipe(t)
	if err != nil {
		return nil, err
	}
	for _, tool := range []string{"apt-get", "apt-cache"} {
		if _, err := s.runner().FindTool(tool); err != nil {
			return nil, &SetupError{Code: SetupNoApt, Target: t, What: strings.Join(names, " "), Err: err}
		}
	}
	id, version := releaseOf(s.Release)
	p.Release = strings.TrimSpace(strings.SplitN(id+" ", " ", 2)[0] + " " + version)
	s.tell(SetupState{Step: SetupResolve})
	if err := s.resolve(ctx, t, p, names); err != nil {
		return nil, err
	}
	p.Whole = true
	if _, err := s.runner().FindTool(p.Triple + "-gcc"); err == nil && p.Kind == "musl" && !whole {
		p.Whole = false
		p.Debs = slices.DeleteFunc(p.Debs, func(d Deb) bool { return !strings.HasPrefix(d.Name, "musl") })
	}
	slices.SortFunc(p.Debs, func(a, b Deb) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return p, nil
}

// resolve asks apt, with the machine's lists first.
func (s *Setup) resolve(ctx context.Context, t Target, p *Pack, names []string) error {
	for _, try := range s.attempts(p, names) {
		if try.own {
			if err := s.updateOwn(ctx, t); err != nil {
				return err
			}
		}
		debs, err := s.closure(ctx, try)
		if err != nil {
			return err
		}
		if debs != nil {
			p.Debs = debs
			return s.describe(ctx, t, try, p)
		}
	}
	return &SetupError{Code: SetupUnknown, Target: t, What: strings.Join(names, " ")}
}

// An attempt is one way to ask apt.
type attempt struct {
	own   bool // the user's own lists of packages
	names []string
}

// attempts are the names as they are, and as older releases have them, each with the lists of the machine and then with
// those of the user.
func (s *Setup) attempts(p *Pack, names []string) []attempt {
	old := slices.Clone(names)
	for i := range old {
		old[i] = strings.TrimSuffix(old[i], "-posix")
	}
	list := []attempt{{names: names}}
	if p.Kind == "mingw-w64" && !slices.Equal(old, names) {
		list = append(list, attempt{names: old})
	}
	for _, a := range slices.Clone(list) {
		list = append(list, attempt{own: true, names: a.names})
	}
	return list
}

// aptArgs are the options of apt for lists of the user's own.
func (s *Setup) aptArgs(own bool) []string {
	if !own {
		return nil
	}
	dir := filepath.Join(s.Home, ".apt")
	return []string{"-o", "Dir::State::Lists=" + filepath.Join(dir, "lists"), "-o", "Dir::Cache=" + filepath.Join(dir, "cache"), "-o", "APT::Sandbox::User=root"}
}

// updateOwn fetches lists of packages into the user's folder, once in an hour.
func (s *Setup) updateOwn(ctx context.Context, t Target) error {
	lists := filepath.Join(s.Home, ".apt", "lists")
	fresh := filepath.Join(s.Home, ".apt", "fresh")
	if info, err := os.Stat(fresh); err == nil && time.Since(info.ModTime()) < time.Hour {
		return nil
	}
	for _, dir := range []string{filepath.Join(lists, "partial"), filepath.Join(s.Home, ".apt", "cache", "archives", "partial")} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	s.tell(SetupState{Step: SetupUpdate})
	res, err := s.runner().Run(ctx, gocmd.Cmd{Name: "apt-get", Args: append(s.aptArgs(true), "update", "-qq"), Env: plainOutput()})
	if err != nil {
		return err
	}
	if said := aptSaid(res.Stderr); res.ExitCode != 0 || strings.Contains(said, "W: Failed to fetch") {
		return &SetupError{Code: SetupOffline, Target: t, What: "apt-get update", Said: said}
	}
	return os.WriteFile(fresh, nil, 0o666)
}

// plainOutput makes the tools of Debian say what they say in a form that programs read.
func plainOutput() []string { return []string{"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"} }

// aptURI is a line of apt-get --print-uris.
var aptURI = regexp.MustCompile(`(?m)^'[^'\n]*' ([^ \n]+)_([^_ \n]+)_([^_ \n]+)\.deb (\d+)`)

// closure is what apt would install where nothing is installed; nil if it does not know the names.
func (s *Setup) closure(ctx context.Context, try attempt) ([]Deb, error) {
	args := append(s.aptArgs(try.own), "-o", "Dir::State::status="+os.DevNull, "-o", "APT::Get::Show-User-Simulation-Note=0", "-qq", "--yes", "--no-install-recommends", "--print-uris", "install", "--")
	res, err := s.runner().Run(ctx, gocmd.Cmd{Name: "apt-get", Args: append(args, try.names...), Env: plainOutput()})
	if err != nil || res.ExitCode != 0 {
		return nil, err
	}
	var debs []Deb
	for _, m := range aptURI.FindAllStringSubmatch(string(res.Stdout), -1) {
		size, err := strconv.ParseInt(m[4], 10, 64)
		if err != nil {
			return nil, err
		}
		debs = append(debs, Deb{Name: m[1], Version: strings.ReplaceAll(m[2], "%3a", ":"), Arch: m[3], File: fmt.Sprintf("%s_%s_%s.deb", m[1], m[2], m[3]), Size: size})
	}
	return debs, nil
}

// key names a package as apt does.
func (d Deb) key() string {
	if d.Arch == "all" {
		return d.Name + "=" + d.Version
	}
	return d.Name + ":" + d.Arch + "=" + d.Version
}

// describe fills in the hashes, which apt has from the signed index.
func (s *Setup) describe(ctx context.Context, t Target, try attempt, p *Pack) error {
	args := append(s.aptArgs(try.own), "show", "--")
	for _, d := range p.Debs {
		args = append(args, d.key())
	}
	res, err := s.runner().Run(ctx, gocmd.Cmd{Name: "apt-cache", Args: args, Env: plainOutput()})
	if err != nil {
		return err
	}
	known := map[string]map[string]string{}
	for stanza := range bytes.SplitSeq(res.Stdout, []byte("\n\n")) {
		f := stanzaFields(stanza)
		key := Deb{Name: f["Package"], Version: f["Version"], Arch: f["Architecture"]}.key()
		if known[key] == nil { // the first is the one that apt takes
			known[key] = f
		}
	}
	for i := range p.Debs {
		d := &p.Debs[i]
		f := known[d.key()]
		if d.SHA256 = f["SHA256"]; len(d.SHA256) != 64 || f["Size"] != strconv.FormatInt(d.Size, 10) {
			return &SetupError{Code: SetupUnknown, Target: t, What: d.Name, Said: aptSaid(res.Stderr)}
		}
	}
	return nil
}

// stanzaFields are the one-line fields of a package's description. Source: deb-control(5).
func stanzaFields(stanza []byte) map[string]string {
	f := map[string]string{}
	for line := range bytes.Lines(stanza) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && !strings.HasPrefix(key, " ") {
			f[key] = strings.TrimSpace(value)
		}
	}
	return f
}

// Fetch brings the packages of p into a folder and returns it. Those that are there already, whole, are not fetched
// again; DropFetched takes the folder away. Errors are a *SetupError, or the cause of ctx.
func (s *Setup) Fetch(ctx context.Context, t Target, p *Pack) (string, error) {
	dir := s.fetchDir(p)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	total := p.Bytes()
	left, err := missingDebs(dir, p.Debs)
	for _, own := range []bool{false, true} {
		if len(left) == 0 || err != nil {
			break
		}
		if own { // the machine's lists name what is no longer there, or it has none
			if err := s.updateOwn(ctx, t); err != nil {
				return "", err
			}
		}
		var said string
		if said, err = s.download(ctx, dir, own, left, total); err != nil {
			break
		}
		if left, err = missingDebs(dir, p.Debs); own && len(left) > 0 {
			return "", &SetupError{Code: SetupOffline, Target: t, What: left[0].Name, Said: said}
		}
	}
	s.tell(SetupState{Step: SetupFetch, Done: total, Total: total})
	return dir, err
}

// DropFetched takes the fetched packages of p away.
func (s *Setup) DropFetched(p *Pack) error {
	if err := os.RemoveAll(s.fetchDir(p)); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(s.fetchDir(p))) // stays while others use it
	return nil
}

func (s *Setup) fetchDir(p *Pack) string { return filepath.Join(s.Home, ".fetch", p.Name) }

// download lets apt fetch packages into dir, which checks what it knows about them. What apt said is for people: what
// counts is what is there afterwards.
func (s *Setup) download(ctx context.Context, dir string, own bool, debs []Deb, total int64) (said string, err error) {
	args := append(s.aptArgs(own), "-qq", "download")
	for _, d := range debs {
		args = append(args, d.key())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watchFolder(ctx, dir, total)
	}()
	res, err := s.runner().Run(ctx, gocmd.Cmd{Name: "apt-get", Args: args, Dir: dir, Env: plainOutput()})
	cancel()
	<-watched
	return aptSaid(res.Stderr), err
}

// watchFolder tells how much is in a folder until ctx ends.
func (s *Setup) watchFolder(ctx context.Context, dir string, total int64) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int64
		entries, _ := os.ReadDir(dir) // nothing to tell
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		s.tell(SetupState{Step: SetupFetch, Done: min(n, total), Total: total})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// missingDebs are those that are not whole in dir. A file that is not what it should be is taken away.
func missingDebs(dir string, debs []Deb) (left []Deb, err error) {
	for _, d := range debs {
		name := filepath.Join(dir, d.File)
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			left = append(left, d)
			continue
		}
		if err != nil {
			return nil, err
		}
		bad := checkDeb(f, d)
		if err := f.Close(); err != nil {
			return nil, err
		}
		if info, err := os.Stat(name); bad != nil && err == nil {
			if left = append(left, d); info.Size() >= d.Size { // a part is what apt goes on from
				if err := os.Remove(name); err != nil {
					return nil, err
				}
			}
		}
	}
	return left, nil
}

// aptSaid is what helps of what apt or dpkg said.
func aptSaid(stderr []byte) string {
	var lines []string
	for line := range strings.Lines(string(stderr)) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "unsandboxed") && !strings.HasPrefix(line, "N:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// FromDebs makes a pack of packages that the user has, and returns the folder that they are in.
func (s *Setup) FromDebs(t Target, files []string) (*Pack, string, error) {
	p, _, err := recipe(t)
	if err != nil {
		return nil, "", err
	}
	dir := s.fetchDir(p)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, "", err
	}
	p.Whole = p.Kind != "musl"
	for _, file := range files {
		d, err := copyDeb(file, dir)
		if err != nil {
			return nil, "", err
		}
		p.Whole = p.Whole || strings.HasPrefix(d.Name, "gcc-")
		p.Debs = append(p.Debs, d)
	}
	slices.SortFunc(p.Debs, func(a, b Deb) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return p, dir, nil
}

// copyDeb copies a package into dir. What it is called says what it is: NAME_VERSION_ARCH.deb.
func copyDeb(file, dir string) (d Deb, err error) {
	in, err := os.Open(file)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	d.File = filepath.Base(file)
	parts := strings.Split(strings.TrimSuffix(d.File, ".deb"), "_")
	d.Name = parts[0]
	if len(parts) == 3 {
		d.Version, d.Arch = strings.ReplaceAll(parts[1], "%3a", ":"), parts[2]
	}
	out, err := os.Create(filepath.Join(dir, d.File))
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	if d.Size, err = io.Copy(io.MultiWriter(out, sum), in); err != nil {
		return d, err
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return d, nil
}
