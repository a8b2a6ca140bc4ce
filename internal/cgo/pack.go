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

// packIndex is the name of the first file in a saved pack.
const packIndex = "goferry-cc-packs.json"

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
	index := savedPacks{Format: 1, Packs: slices.Clone(packs)}
	slices.SortFunc(index.Packs, func(a, b *Pack) int { return strings.Compare(a.Target, b.Target) })
	data, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := packHeader(tw, packIndex, int64(len(data)+1)); err != nil {
		return err
	}
	if _, err := tw.Write(append(data, '\n')); err != nil {
		return err
	}
	files := map[string]string{}
	debs := map[string]Deb{}
	for i, p := range packs {
		for _, d := range p.Debs {
			files[d.SHA256], debs[d.SHA256] = filepath.Join(dirs[i], d.File), d
		}
	}
	var order []string
	for sum := range files {
		order = append(order, sum)
	}
	slices.SortFunc(order, func(a, b string) int { return strings.Compare(debs[a].File+a, debs[b].File+b) })
	for _, sum := range order {
		if err := packDeb(tw, files[sum], debs[sum]); err != nil {
			return err
		}
	}
	return tw.Close()
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
	if err := packHeader(tw, packMember(d), d.Size); err != nil {
		return err
	}
	_, err = io.CopyN(tw, f, d.Size)
	return err
}

func packMember(d Deb) string { return "debs/" + d.SHA256 + ".deb" }

// ReadPackIndex says what is in a file of packs. The error is a *SetupError where it is none.
func ReadPackIndex(r io.Reader) ([]*Pack, error) {
	packs, _, err := readPackIndex(r)
	return packs, err
}

func readPackIndex(r io.Reader) ([]*Pack, *tar.Reader, error) {
	tr := tar.NewReader(r)
	h, err := tr.Next()
	if err != nil || h.Name != packIndex || h.Size > maxPackIndex {
		return nil, nil, &SetupError{Code: SetupNotPack, Err: err}
	}
	var index savedPacks
	dec := json.NewDecoder(tr)
	if err := dec.Decode(&index); err != nil {
		return nil, nil, &SetupError{Code: SetupNotPack, Err: err}
	}
	if index.Format != 1 {
		return nil, nil, &SetupError{Code: SetupNotPack, Err: fmt.Errorf("version %d of the form", index.Format)}
	}
	for _, p := range index.Packs {
		if err := p.valid(); err != nil {
			return nil, nil, &SetupError{Code: SetupNotPack, Err: err}
		}
	}
	return index.Packs, tr, nil
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
	i := slices.IndexFunc(packs, func(p *Pack) bool { return p.Name == packName(t) })
	if i < 0 {
		var have []string
		for _, p := range packs {
			have = append(have, p.Target)
		}
		return nil, "", &SetupError{Code: SetupNotIn, Target: t, What: strings.Join(have, " ")}
	}
	p := packs[i]
	if p.Host != runtime.GOARCH || runtime.GOOS != "linux" {
		return nil, "", &SetupError{Code: SetupOtherHost, Target: t, What: "linux/" + p.Host}
	}
	dir := s.fetchDir(p)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, "", err
	}
	return p, dir, s.takeDebs(ctx, t, p, tr, dir)
}

// takeDebs writes the packages of p into dir.
func (s *Setup) takeDebs(ctx context.Context, t Target, p *Pack, tr *tar.Reader, dir string) error {
	want := map[string]Deb{}
	for _, d := range p.Debs {
		want[packMember(d)] = d
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
