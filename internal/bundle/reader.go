package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"aead.dev/minisign"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Reader reads a bundle. It may be used by many goroutines.
type Reader struct {
	file      string
	body      *body
	manifest  Manifest
	raw       []byte // of the manifest
	signature []byte
	layout    *layout
	entries   map[string]int  // index in layout.items
	hashes    []string        // of items, hex
	verified  []atomic.Bool   // items whose bytes have been seen to be right
	known     []bool          // items whose checksum the directory tells
	found     []Damage        // by OpenDamaged
	tree      func() *folders // of FS
}

// Open opens a bundle: file may be the bundle, its first part, or what its parts have in common
// ("x.bundle" for x.bundle.001 …). It reads the manifest and the zip directory, and refuses what is
// not exactly what Create writes for that manifest: more than the manifest lists, entries that
// overlap, other sizes, other ways to pack. The content of entries is checked when it is
// read, and by Verify. Errors are *Error: CodeMissing, CodeNotBundle, CodeTooNew,
// CodeRefused, CodeDamaged.
func Open(file string) (*Reader, error) {
	r, err := OpenDamaged(file)
	if err != nil {
		return nil, err
	}
	for _, d := range r.found {
		if d.Code != DamageSums { // the hashes of the manifest say more than those of the parts
			r.Close()
			return nil, r.damaged(d)
		}
	}
	return r, nil
}

// OpenDamaged is Open for a bundle whose beginning (manifest, signature, SBOM) is whole and whose rest
// need not be: cut, with parts missing, or with a damaged directory. What FS gives is verified
// all the same, and Verify says what there is of it.
func OpenDamaged(file string) (*Reader, error) {
	b, err := openBody(file)
	if err != nil {
		return nil, err
	}
	r := &Reader{file: file, body: b}
	if err := r.open(); err != nil {
		b.Close()
		return nil, err
	}
	return r, nil
}

// Close closes the files.
func (r *Reader) Close() error { return r.body.Close() }

// Name returns the file as Open was told.
func (r *Reader) Name() string { return r.file }

// Files returns the bundle, or its parts in order, missing ones too.
func (r *Reader) Files() []string { return r.body.names() }

// Size returns the bytes of the bundle as its manifest says; a damaged file may have fewer.
func (r *Reader) Size() int64 { return r.layout.total() }

// Manifest returns the manifest. Its slices are shared: do not write to them.
func (r *Reader) Manifest() Manifest { return r.manifest }

// RawManifest returns the bytes that are signed.
func (r *Reader) RawManifest() []byte { return bytes.Clone(r.raw) }

// Signature returns the signature as minisign writes it, nil if the bundle has none.
func (r *Reader) Signature() []byte { return bytes.Clone(r.signature) }

// Signer returns the ID of the key that the bundle says it is signed by. It proves
// nothing: see CheckSignature.
func (r *Reader) Signer() (id string, ok bool) {
	if r.signature == nil {
		return "", false
	}
	id, err := signedBy(r.signature)
	return id, err == nil
}

// CheckSignature returns the one of keys that the bundle is signed by. Errors: CodeUnsigned,
// CodeUnknownKey, CodeSignature.
func (r *Reader) CheckSignature(keys []PublicKey) (PublicKey, error) {
	if r.signature == nil {
		return PublicKey{}, &Error{Code: CodeUnsigned, File: r.file}
	}
	id, err := signedBy(r.signature)
	if err != nil {
		return PublicKey{}, &Error{Code: CodeSignature, File: r.file, Detail: "?", Err: err}
	}
	code := CodeUnknownKey
	for _, k := range keys {
		if minisign.Verify(k.key, r.raw, r.signature) {
			return k, nil
		}
		if k.ID() == id {
			code = CodeSignature
		}
	}
	return PublicKey{}, &Error{Code: code, File: r.file, Detail: id}
}

// FS returns the entries as files: the GOPROXY tree and goferry's own. No file that is not what the
// manifest says is ever read to its end: what is read is hashed, and the last bytes are held back
// until the hash is right; the error has CodeDamaged. Files are io.Seeker and io.ReaderAt; the
// first read that is out of order verifies the whole file before it returns a byte. What has been
// verified once is remembered.
func (r *Reader) FS() fs.FS { return fileSystem{r} }

// Source returns the GOPROXY tree as a Source: goproxy.Tree of FS.
func (r *Reader) Source() goproxy.Source { return goproxy.Tree(r.FS(), filepath.Base(r.file)) }

// damaged makes an error of a damage.
func (r *Reader) damaged(d Damage) error {
	return &Error{Code: CodeDamaged, File: r.file, Damage: &d}
}

// place completes a damage with the files that hold it.
func (r *Reader) place(d Damage) Damage {
	if d.Parts == nil {
		d.Parts = r.body.holding(d.Offset, d.Length)
	}
	return d
}

// open reads all but the content.
func (r *Reader) open() error {
	if err := r.openHead(); err != nil {
		return err
	}
	r.body.expect(r.layout.total())
	r.entries = make(map[string]int, len(r.layout.items))
	for i, it := range r.layout.items {
		r.entries[it.name] = i
	}
	r.verified = make([]atomic.Bool, len(r.layout.items))
	r.known = make([]bool, len(r.layout.items))
	r.tree = sync.OnceValue(r.folders)
	for _, d := range slices.Concat(r.body.damage(), r.lengths(), r.openDirectory()) {
		r.found = append(r.found, r.place(d))
	}
	return nil
}

// openHead reads manifest, signature and SBOM's header, and lays out the rest.
func (r *Reader) openHead() error {
	h := &headReader{r: r, layout: newLayout(r.manifest.Time)}
	it, data, err := h.next(ManifestName, maxManifest)
	if err != nil {
		return err
	}
	if r.raw, err = inflate(bytes.NewReader(data), it); err != nil {
		return h.damaged(0, h.at, ManifestName, err.Error())
	}
	if r.manifest, err = parseManifest(r.raw); err != nil {
		return inFile(err, r.file)
	}
	l := newLayout(r.manifest.Time)
	if l.date != h.date || l.clock != h.clock {
		return h.damaged(0, lenLocal, ManifestName, "another time than the manifest's")
	}
	h.layout.date, h.layout.clock = l.date, l.clock
	if name, err := h.peek(); err != nil {
		return err
	} else if len(name) == len(SignatureName) {
		if _, r.signature, err = h.next(SignatureName, maxSignature); err != nil {
			return err
		}
	}
	if err := h.sbom(); err != nil {
		return err
	}
	r.layout = h.layout
	r.layout.head = r.layout.directory()
	for _, e := range r.manifest.Entries {
		if e.Name != SBOMName {
			r.layout.add(item{name: e.Name, packed: e.Size, size: e.Size})
			r.hashes = append(r.hashes, e.SHA256)
		}
	}
	return nil
}

// sbom reads the SBOM to see that it is the manifest's. Nobody keeps it; but its length in the zip, which only its
// header tells, is where everything else begins.
func (h *headReader) sbom() error {
	start, m := h.at, &h.r.manifest
	it, data, err := h.next(SBOMName, maxSBOM)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(m.Entries, func(e Entry) bool { return e.Name == SBOMName }) // parseManifest demands one
	sbom, err := inflate(bytes.NewReader(data), it)
	if err == nil && hashOf(sbom) != m.Entries[i].SHA256 {
		err = errHash
	}
	if err != nil {
		return h.damaged(start, h.at, SBOMName, err.Error())
	}
	h.r.hashes = append(h.r.hashes, hashOf(h.r.raw))
	if h.r.signature != nil {
		h.r.hashes = append(h.r.hashes, hashOf(h.r.signature))
	}
	h.r.hashes = append(h.r.hashes, m.Entries[i].SHA256)
	return nil
}

// A headReader reads goferry's own entries at the beginning, whose lengths no manifest tells.
type headReader struct {
	r           *Reader
	layout      *layout
	at          int64 // behind what has been read
	date, clock uint16
}

// damaged says that a range of the head is damaged, or that the file is no bundle at all.
func (h *headReader) damaged(from, to int64, name, why string) error {
	return h.r.damaged(h.r.place(Damage{Code: DamageManifest, Entry: name, Offset: from, Length: to - from, Reason: why}))
}

// read reads n bytes at h.at.
func (h *headReader) read(n int64, name string) ([]byte, error) {
	if have := h.r.body.size() - h.at; n > have {
		return nil, h.r.damaged(h.r.place(Damage{Code: DamageCut, Entry: name, Offset: h.at + have, Length: n - have}))
	}
	b := make([]byte, n)
	if _, err := h.r.body.ReadAt(b, h.at); err != nil {
		return nil, h.r.damaged(h.r.place(Damage{Code: readCode(err), Entry: name, Offset: h.at, Length: n, Err: err, Reason: err.Error()}))
	}
	return b, nil
}

func readCode(err error) DamageCode {
	switch {
	case errors.Is(err, errHole):
		return DamagePart
	case errors.Is(err, io.EOF):
		return DamageCut
	}
	return DamageRead
}

// peek returns as many bytes as the name of the next entry is said to have.
func (h *headReader) peek() ([]byte, error) {
	b, err := h.read(lenLocal, SBOMName)
	if err != nil {
		return nil, err
	}
	return make([]byte, binary.LittleEndian.Uint16(b[26:])), nil
}

// next reads an entry of goferry's own: its header, whose lengths and checksum are taken from it, and its bytes as they are.
func (h *headReader) next(name string, limit int64) (item, []byte, error) {
	start := h.at
	n := int64(lenLocal + len(name))
	if start == 0 {
		if err := h.looksRight(name); err != nil {
			return item{}, nil, err
		}
	}
	b, err := h.read(n, name)
	if err != nil {
		return item{}, nil, err
	}
	le := binary.LittleEndian
	it := item{name: name, method: methodDeflate, crc: le.Uint32(b[14:]), packed: int64(le.Uint32(b[18:])), size: int64(le.Uint32(b[22:]))}
	if name == SignatureName {
		it.method = methodStore
	}
	if start == 0 {
		h.clock, h.date = le.Uint16(b[10:]), le.Uint16(b[12:])
		h.layout.clock, h.layout.date = h.clock, h.date
	}
	if !bytes.Equal(b, h.layout.local(&it)) || it.size > limit || it.packed > limit+limit/1000+64 || it.method == methodStore && it.packed != it.size {
		return item{}, nil, h.damaged(start, start+n, name, "not the header that stands here")
	}
	h.at += n
	if h.at+it.packed > h.r.body.size() && h.r.body.ends() {
		return item{}, nil, h.damaged(start, start+n, name, "longer than the bundle")
	}
	data, err := h.read(it.packed, name)
	if err != nil {
		return item{}, nil, err
	}
	h.at += it.packed
	h.layout.add(it)
	if it.method == methodStore && crc32.ChecksumIEEE(data) != it.crc {
		return item{}, nil, h.damaged(start, h.at, name, "not the bytes of its checksum")
	}
	return it, data, nil
}

// looksRight tells a damaged bundle from another file: few of the bytes that all bundles begin with are wrong.
func (h *headReader) looksRight(name string) error {
	notBundle := &Error{Code: CodeNotBundle, File: h.r.file}
	n := int64(lenLocal + len(name))
	if p := h.r.body.parts[0]; p.f == nil {
		return h.r.damaged(p.gone(0, h.r.body.split))
	}
	if h.r.body.size() < n {
		return notBundle
	}
	b, err := h.read(n, name)
	if err != nil {
		return err
	}
	want := h.layout.local(&item{name: name, method: methodDeflate})
	wrong := 0
	for i := range want {
		if (i < 10 || i >= 26) && b[i] != want[i] {
			wrong++
		}
	}
	if wrong > 8 {
		return notBundle
	}
	return nil
}

// lengths compares the length of the bundle with what it should be.
func (r *Reader) lengths() []Damage {
	have, want := r.body.size(), r.layout.total()
	switch {
	case !r.body.whole && r.body.split*int64(len(r.body.parts)) >= want:
		return nil // the parts are all there, or known to be missing; body.damage compares each
	case have < want:
		d := Damage{Code: DamageCut, Offset: have, Length: want - have}
		if i := r.itemAt(have); i >= 0 {
			d.Entry = r.layout.items[i].name
		}
		return []Damage{d}
	case have > want:
		return []Damage{{Code: DamageTail, Offset: want, Length: have - want}}
	}
	return nil
}

// itemAt returns the index of the item that holds a byte, -1 for the directory.
func (r *Reader) itemAt(offset int64) int {
	i, _ := slices.BinarySearchFunc(r.layout.items, offset, func(it item, at int64) int {
		if it.offset > at {
			return 1
		}
		return -1
	})
	if i == len(r.layout.items) && offset >= r.layout.directory() {
		return -1
	}
	return i - 1
}

// openDirectory compares the directory with what it should be, and takes the checksums from it.
func (r *Reader) openDirectory() []Damage {
	at, size := r.layout.directory(), r.layout.centralAll()
	tail := int64(len(r.layout.tail([32]byte{})))
	if r.body.size() < at+size+tail {
		return nil // the damage is known: cut
	}
	b := make([]byte, size+tail)
	if _, err := r.body.ReadAt(b, at); errors.Is(err, errHole) {
		return nil // known as well
	} else if err != nil {
		return []Damage{{Code: readCode(err), Offset: at, Length: size + tail, Reason: err.Error(), Err: err}}
	}
	var found []Damage
	wrong := func(offset, length int64, entry, why string) {
		found = append(found, Damage{Code: DamageDirectory, Entry: entry, Offset: at + offset, Length: length, Reason: why})
	}
	offset := int64(0)
	var want []byte
	for i := range r.layout.items {
		it := &r.layout.items[i]
		n := r.layout.centralLen(it)
		line := b[offset : offset+n]
		crc := binary.LittleEndian.Uint32(line[16:])
		if i < r.own() {
			crc = it.crc
		}
		was := it.crc
		it.crc = crc
		want = r.layout.central(want[:0], it)
		if r.known[i] = bytes.Equal(line, want); !r.known[i] {
			it.crc = was
			wrong(offset, n, it.name, "not the line that stands here")
		}
		offset += n
	}
	return append(found, r.openTail(b[size:], at+size)...)
}

// own is the number of goferry's own entries at the beginning.
func (r *Reader) own() int {
	if r.signature != nil {
		return 3
	}
	return 2
}

// openTail checks the end of the directory, and with the hash in it every bit of the head.
func (r *Reader) openTail(tail []byte, at int64) []Damage {
	bad := func(why string) []Damage {
		return []Damage{{Code: DamageDirectory, Offset: at, Length: int64(len(tail)), Reason: why}}
	}
	sum, ok := parseTailComment(string(tail[len(tail)-len(tailComment([32]byte{})):]))
	if !ok {
		return bad("not the end of a bundle")
	}
	if !bytes.Equal(tail, r.layout.tail(sum)) {
		return bad("not the end that belongs here")
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r.body, 0, r.layout.head)); errors.Is(err, errHole) {
		return nil
	} else if err != nil {
		return []Damage{{Code: readCode(err), Offset: 0, Length: r.layout.head, Reason: err.Error(), Err: err}}
	}
	if [32]byte(h.Sum(nil)) != sum {
		return []Damage{{Code: DamageManifest, Entry: ManifestName, Offset: 0, Length: r.layout.head, Reason: "manifest, signature or SBOM: not the bytes that were written"}}
	}
	return nil
}

// content reads all of a small item; the bytes are what the manifest says.
func (r *Reader) content(i int) ([]byte, error) {
	it := &r.layout.items[i]
	switch {
	case i == 0:
		return r.raw, nil
	case it.name == SignatureName:
		return r.signature, nil
	}
	b := make([]byte, it.packed)
	if _, err := r.body.ReadAt(b, r.layout.data(i)); err != nil {
		return nil, r.unreadable(i, err)
	}
	if it.method == methodDeflate {
		var err error
		if b, err = inflate(bytes.NewReader(b), *it); err != nil {
			return nil, r.wrong(i, err.Error())
		}
	}
	if hashOf(b) != r.hashes[i] {
		return nil, r.wrong(i, "")
	}
	r.verified[i].Store(true)
	return b, nil
}

// wrong is the error of an item whose bytes are not those of the manifest.
func (r *Reader) wrong(i int, why string) error {
	return r.damaged(r.place(Damage{Code: DamageEntry, Entry: r.layout.items[i].name, Offset: r.layout.data(i), Length: r.layout.items[i].packed,
		Reason: cmp.Or(why, "not the bytes of its SHA-256")}))
}

// unreadable is the error of an item that cannot be read to its end.
func (r *Reader) unreadable(i int, err error) error {
	return r.damaged(r.place(Damage{Code: readCode(err), Entry: r.layout.items[i].name, Offset: r.layout.data(i), Length: r.layout.items[i].packed,
		Reason: err.Error(), Err: err}))
}
