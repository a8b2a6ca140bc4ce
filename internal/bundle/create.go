package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"sync"
)

// CreateOptions are the options of Create; the zero value is ready.
type CreateOptions struct {
	Sign     *PrivateKey    // nil leaves the bundle unsigned
	Split    int64          // bytes of a part; 0 for one file
	Progress func(Progress) // called now and then, from one goroutine at a time; may be nil
}

// Progress says how far a piece of work is.
type Progress struct {
	Phase string // "hash" or "write" of Create, "verify" of Verify
	Done  int64  // bytes
	Total int64  // bytes
}

// Created says what Create wrote.
type Created struct {
	Manifest Manifest
	Files    []string // the bundle, or its parts and their sums, in order
	Bytes    int64    // of the bundle
	Reused   int64    // bytes of it that were there already: of an interrupted run, or of the same bundle
}

// Create writes what p says to file: a zip whose bytes depend on p and o alone. It reads each
// File twice, first to hash it; one that is not the same the second time has CodeChanged.
//
// It writes to file.partial (with Split: to file.001.partial and so on) and renames at the end,
// replacing an older bundle of that name in either form. A run that is cancelled or killed, or whose
// disk is full (CodeDiskFull), leaves what it has written; the next run with the same input goes on
// there. Several bundles may be made at once, the same file may not (CodeBusy).
func Create(ctx context.Context, file string, p Plan, o CreateOptions) (Created, error) {
	if ctx.Err() != nil {
		return Created{}, context.Cause(ctx)
	}
	files, err := checkPlan(p)
	if err != nil {
		return Created{}, err
	}
	if o.Split < 0 {
		return Created{}, &Error{Code: CodeSplit, File: file, Detail: "1", Err: errors.New("the size is negative")}
	}
	out, err := openOutput(file)
	if err != nil {
		return Created{}, err
	}
	defer out.abandon()
	d, err := draft(ctx, p, files, o)
	if err != nil {
		return Created{}, err
	}
	if err := out.plan(d.layout.total(), o.Split); err != nil {
		return Created{}, err
	}
	if err := d.write(ctx, out, o.Progress); err != nil {
		return Created{}, err
	}
	if err := out.finish(); err != nil {
		return Created{}, err
	}
	return Created{Manifest: d.manifest, Files: out.files(), Bytes: d.layout.total(), Reused: out.reused()}, nil
}

// checkPlan returns the files in the order of their names.
func checkPlan(p Plan) ([]File, error) {
	if p.Base != nil && !isHash(p.Base.ID) {
		return nil, &Error{Code: CodePlan, Detail: p.Base.ID, Err: errors.New("not the ID of a bundle")}
	}
	if len(p.Files) >= MaxEntries {
		return nil, &Error{Code: CodePlan, Detail: ManifestName, Err: fmt.Errorf("more than %d entries", MaxEntries)}
	}
	files := slices.Clone(p.Files)
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	own := []string{ManifestName, SignatureName, SBOMName}
	for _, f := range files {
		if err := CheckName(f.Name); err != nil {
			return nil, err
		}
		if slices.Contains(own, f.Name) || f.Size < 0 || f.Size > maxFile {
			return nil, &Error{Code: CodePlan, Detail: f.Name, Err: fmt.Errorf("written by goferry itself, or of an impossible size (%d bytes)", f.Size)}
		}
	}
	bad, err := checkNames(func(yield func(string) bool) {
		for _, name := range own {
			if !yield(name) {
				return
			}
		}
		for _, f := range files {
			if !yield(f.Name) {
				return
			}
		}
	})
	if err != nil {
		return nil, &Error{Code: CodePlan, Detail: bad, Err: err}
	}
	return files, nil
}

// A draftBundle is a bundle before it is written: all but the bytes of the files.
type draftBundle struct {
	manifest Manifest
	layout   *layout
	packed   [][]byte // of goferry's own items, the first of the layout
	files    []File   // of the other items
	hashes   []hashed // of files
}

func draft(ctx context.Context, p Plan, files []File, o CreateOptions) (*draftBundle, error) {
	m := &meter{tell: o.Progress, phase: "hash"}
	for _, f := range files {
		m.total += f.Size
	}
	hashes, err := hashFiles(ctx, files, m)
	if err != nil {
		return nil, err
	}
	return assemble(p, files, hashes, o)
}

// assemble makes goferry's own entries, and lays out all of them.
func assemble(p Plan, files []File, hashes []hashed, o CreateOptions) (*draftBundle, error) {
	d := &draftBundle{files: files, hashes: hashes, layout: newLayout(p.Time)}
	var entries []Entry
	for i, f := range files {
		entries = append(entries, Entry{Name: f.Name, Size: f.Size, SHA256: hashes[i].sha256})
	}
	sbom, err := sbomOf(newManifest(p, entries), p.Edges, p.Debs)
	if err != nil {
		return nil, err
	}
	entries = append(entries, Entry{Name: SBOMName, Size: int64(len(sbom)), SHA256: hashOf(sbom)})
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	d.manifest = newManifest(p, entries)
	raw, err := json.Marshal(d.manifest)
	if err != nil {
		return nil, err
	}
	if _, err := parseManifest(raw); err != nil { // what the far side would refuse is not worth the journey
		return nil, &Error{Code: CodePlan, Detail: ManifestName, Err: err}
	}
	if err := d.own(raw, sbom, o.Sign); err != nil {
		return nil, err
	}
	for i, f := range files {
		d.layout.add(item{name: f.Name, crc: hashes[i].crc, packed: f.Size, size: f.Size})
	}
	return d, nil
}

// own lays out goferry's own entries.
func (d *draftBundle) own(manifest, sbom []byte, key *PrivateKey) error {
	add := func(it item, data []byte) {
		d.layout.add(it)
		d.packed = append(d.packed, data)
		d.layout.head = d.layout.directory()
	}
	it, data, err := deflate(ManifestName, manifest)
	if err != nil {
		return err
	}
	add(it, data)
	if key != nil {
		sig := sign(*key, manifest, d.manifest.ID)
		n := int64(len(sig))
		add(item{name: SignatureName, crc: crc32.ChecksumIEEE(sig), packed: n, size: n}, sig)
	}
	it, data, err = deflate(SBOMName, sbom)
	if err != nil {
		return err
	}
	add(it, data)
	return nil
}

// write writes the bundle.
func (d *draftBundle) write(ctx context.Context, out *output, tell func(Progress)) error {
	m := &meter{tell: tell, phase: "write", total: d.layout.total()}
	put := func(p []byte) error {
		m.add(len(p))
		return out.write(p)
	}
	head := sha256.New()
	for i, data := range d.packed {
		for _, p := range [][]byte{d.layout.local(&d.layout.items[i]), data} {
			head.Write(p)
			if err := put(p); err != nil {
				return err
			}
		}
	}
	buf := make([]byte, copyBuffer)
	for i, f := range d.files {
		it := &d.layout.items[len(d.packed)+i]
		if err := put(d.layout.local(it)); err != nil {
			return err
		}
		h := sha256.New()
		var hashing sync.WaitGroup
		err := readFile(ctx, f, buf, func(p []byte) error {
			hashing.Go(func() { h.Write(p) })
			defer hashing.Wait()
			return put(p)
		})
		if err != nil {
			return err
		}
		if hexSum(h) != d.hashes[i].sha256 {
			return &Error{Code: CodeChanged, Detail: f.Name, Err: errHash}
		}
	}
	buf = buf[:0]
	for i := range d.layout.items {
		buf = d.layout.central(buf, &d.layout.items[i])
	}
	return put(append(buf, d.layout.tail([32]byte(head.Sum(nil)))...))
}

// partsFor returns how many parts a bundle of total bytes has, at most maxParts.
func partsFor(total, split int64) (int, error) {
	n := (total + split - 1) / split
	if n > maxParts {
		return 0, &Error{Code: CodeSplit, Detail: strconv.FormatInt((total+maxParts-1)/maxParts, 10)}
	}
	return int(n), nil
}
