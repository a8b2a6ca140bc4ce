package cgo

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// PackIndexName is the name of the index of packs: the first file in a saved one, and beside the packages elsewhere.
const PackIndexName = "goferry-cc-packs.json"

// maxPackIndex is the most that an index may have, in bytes.
const maxPackIndex = 4 << 20

// A savedPacks is what the index of a file of packs says.
type savedPacks struct {
	Format int     `json:"goferry_cc_packs"` // version of the form of the file
	Packs  []*Pack `json:"packs"`            // sorted by target
}

// SavePacks writes packs, and their packages from the folders that Fetch named, as a tar file for machines without a
// network. The same packs give the same bytes.
func SavePacks(w io.Writer, packs []*Pack, dirs []string) error {
	data, err := PackIndex(packs)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := packHeader(tw, PackIndexName, int64(len(data))); err != nil {
		return err
	}
	if _, err := tw.Write(data); err != nil {
		return err
	}
	for _, f := range PackFiles(packs, dirs) {
		if err := packDeb(tw, f.Path, f.Deb); err != nil {
			return err
		}
	}
	return tw.Close()
}

// PackIndex is the index of packs; the same packs give the same text.
func PackIndex(packs []*Pack) ([]byte, error) {
	index := savedPacks{Format: 1, Packs: slices.Clone(packs)}
	slices.SortFunc(index.Packs, func(a, b *Pack) int { return strings.Compare(a.Target, b.Target) })
	data, err := json.MarshalIndent(index, "", "  ")
	return append(data, '\n'), err
}

// A PackFile is a package of one or more packs.
type PackFile struct {
	Deb
	Path string // where it lies
}

// PackFiles are the packages of packs, in the folders that Fetch named: each once, sorted.
func PackFiles(packs []*Pack, dirs []string) []PackFile {
	known := map[string]bool{}
	var files []PackFile
	for i, p := range packs {
		for _, d := range p.Debs {
			if !known[d.SHA256] {
				known[d.SHA256] = true
				files = append(files, PackFile{Deb: d, Path: filepath.Join(dirs[i], d.File)})
			}
		}
	}
	slices.SortFunc(files, func(a, b PackFile) int { return strings.Compare(a.File+a.SHA256, b.File+b.SHA256) })
	return files
}

func packHeader(tw *tar.Writer, name string, size int64) error {
	return tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatPAX})
}

// packDeb writes a package under its hash, so that two with one name do not meet.
func packDeb(tw *tar.Writer, name string, d Deb) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := checkDeb(f, d); err != nil {
		return fmt.Errorf("%s: %w", d.File, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := packHeader(tw, d.PackName(), d.Size); err != nil {
		return err
	}
	_, err = io.CopyN(tw, f, d.Size)
	return err
}

// PackName is what a package is called beside an index of packs.
func (d Deb) PackName() string { return "debs/" + d.SHA256 + ".deb" }

// ReadPackIndex says what is in a file of packs. The error is a *SetupError where it is none.
func ReadPackIndex(r io.Reader) ([]*Pack, error) {
	packs, _, err := readPackIndex(r)
	return packs, err
}

func readPackIndex(r io.Reader) ([]*Pack, *tar.Reader, error) {
	tr := tar.NewReader(r)
	h, err := tr.Next()
	if err != nil || h.Name != PackIndexName || h.Size > maxPackIndex {
		return nil, nil, &SetupError{Code: SetupNotPack, Err: err}
	}
	packs, err := parsePackIndex(tr)
	if err != nil {
		return nil, nil, &SetupError{Code: SetupNotPack, Err: err}
	}
	return packs, tr, nil
}

// parsePackIndex reads what PackIndex wrote.
func parsePackIndex(r io.Reader) ([]*Pack, error) {
	var index savedPacks
	if err := json.NewDecoder(r).Decode(&index); err != nil {
		return nil, err
	}
	if index.Format != 1 {
		return nil, fmt.Errorf("version %d of the form", index.Format)
	}
	for _, p := range index.Packs {
		if err := p.valid(); err != nil {
			return nil, err
		}
	}
	return index.Packs, nil
}

var (
	packWord = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)
	packSum  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	debFile  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+%~-]*\.deb$`)
)

// valid holds a pack from elsewhere to what Plan makes: its words become names of files and parts of scripts.
func (p *Pack) valid() error {
	t, err := ParseTarget(p.Target)
	if err != nil {
		return err
	}
	if p.Name != packName(t) || !packWord.MatchString(p.Name) || !packWord.MatchString(p.Triple) || debianTriple(p.Host) == "" ||
		!slices.Contains([]string{"native", "cross", "mingw-w64", "musl"}, p.Kind) || len(p.Debs) > 1000 {
		return fmt.Errorf("pack for %s is not as goferry makes them", p.Target)
	}
	for _, d := range p.Debs {
		if !debFile.MatchString(d.File) || !packSum.MatchString(d.SHA256) || d.Size < 0 || d.Size > maxDebBytes {
			return fmt.Errorf("pack for %s: package %q is not as goferry makes them", p.Target, d.File)
		}
	}
	return nil
}

// OpenPack brings the packages for t out of a file of packs into a folder, and checks each. Errors are a *SetupError, or
// those of reading and writing.
func (s *Setup) OpenPack(ctx context.Context, t Target, r io.Reader) (*Pack, string, error) {
	packs, tr, err := readPackIndex(r)
	if err != nil {
		return nil, "", err
	}
	p, dir, err := s.choosePack(t, packs)
	if err != nil {
		return nil, "", err
	}
	return p, dir, s.takeDebs(ctx, t, p, tr, dir)
}

// choosePack finds the pack for t, and makes the folder for its packages.
func (s *Setup) choosePack(t Target, packs []*Pack) (*Pack, string, error) {
	i := slices.IndexFunc(packs, func(p *Pack) bool { return p.Name == packName(t) })
	if i < 0 {
		return nil, "", &SetupError{Code: SetupNotIn, Target: t, What: packTargets(packs)}
	}
	p := packs[i]
	if p.Host != runtime.GOARCH || runtime.GOOS != "linux" {
		return nil, "", &SetupError{Code: SetupOtherHost, Target: t, What: "linux/" + p.Host}
	}
	dir := s.fetchDir(p)
	return p, dir, os.MkdirAll(dir, 0o777)
}

// packTargets are the targets of packs, each once, for people.
func packTargets(packs []*Pack) string {
	var have []string
	for _, p := range packs {
		have = append(have, p.Target)
	}
	slices.Sort(have)
	return strings.Join(slices.Compact(have), " ")
}

// takeDebs writes the packages of p into dir.
func (s *Setup) takeDebs(ctx context.Context, t Target, p *Pack, tr *tar.Reader, dir string) error {
	want := map[string]Deb{}
	for _, d := range p.Debs {
		want[d.PackName()] = d
	}
	total, done := p.Bytes(), int64(0)
	for ctx.Err() == nil {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &SetupError{Code: SetupDamaged, Target: t, What: "pack", Err: err}
		}
		d, ok := want[h.Name]
		if !ok {
			continue
		}
		s.tell(SetupState{Step: SetupFetch, Done: done, Total: total})
		if err := takeDeb(tr, d, filepath.Join(dir, d.File)); err != nil {
			return &SetupError{Code: SetupDamaged, Target: t, What: d.File, Err: err}
		}
		done += d.Size
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	left, err := missingDebs(dir, p.Debs)
	if err == nil && len(left) > 0 {
		return &SetupError{Code: SetupDamaged, Target: t, What: left[0].File}
	}
	return err
}

// takeDeb writes a package to a file, which is read again and checked before it is unpacked.
func takeDeb(r io.Reader, d Deb, name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, io.LimitReader(r, d.Size+1))
	if err == nil && n != d.Size {
		err = fmt.Errorf("%d bytes, want %d", n, d.Size)
	}
	return err
}

// IsDeb reports whether a file begins as a Debian package does.
func IsDeb(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only read
	magic := make([]byte, 21)
	_, err = io.ReadFull(f, magic)
	return err == nil && bytes.HasPrefix(magic, []byte("!<arch>\ndebian-binary"))
}
