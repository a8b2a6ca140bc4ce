package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
)

// A Report says what Verify found.
type Report struct {
	Entries int      `json:"entries"` // that were checked: all of the zip
	Bytes   int64    `json:"bytes"`   // of the bundle
	Damaged int      `json:"damaged"` // places
	Bad     []string `json:"bad"`     // names of the entries whose content is not whole, sorted
}

// Verify reads everything, on all cores, and calls found for each place that is damaged, one at a
// time, in no order; found and progress may be nil. The error is nil where there is no damage, else the one that comes first
// in the file, with CodeDamaged; or that of ctx. An entry that is not in Report.Bad can be
// read whole, whatever else is damaged.
func (r *Reader) Verify(ctx context.Context, found func(Damage), progress func(Progress)) (Report, error) {
	v := &verifier{r: r, found: found, bad: map[string]bool{}, named: map[string]bool{}}
	v.meter = &meter{tell: progress, phase: "verify"}
	for _, d := range r.found {
		v.emit(d)
	}
	tasks := v.tasks()
	err := parallel(ctx, len(tasks), func(ctx context.Context, i int, buf []byte) error { return tasks[i](ctx, buf) })
	if err == nil {
		v.checkSums()
	}
	v.report.Entries, v.report.Bytes, v.report.Bad = len(r.layout.items), r.layout.total(), []string{}
	for name := range v.bad {
		v.report.Bad = append(v.report.Bad, name)
	}
	slices.Sort(v.report.Bad)
	if err == nil && v.first != nil {
		err = r.damaged(*v.first)
	}
	return v.report, err
}

type verifier struct {
	r     *Reader
	meter *meter

	mu     sync.Mutex
	found  func(Damage)
	first  *Damage
	report Report
	bad    map[string]bool
	named  map[string]bool // files that a damage names
}

// emit hands a damage on.
func (v *verifier) emit(d Damage) {
	d = v.r.place(d)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Damaged++
	if v.first == nil || d.Offset < v.first.Offset {
		v.first = &d
	}
	for _, p := range d.Parts {
		v.named[p] = true
	}
	if v.found != nil {
		v.found(d)
	}
}

func (v *verifier) notWhole(i int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad[v.r.layout.items[i].name] = true
}

// tasks are the entries, and the parts whose sums are known, as they lie in the file: what two tasks
// read at about the same time comes from the disk once.
func (v *verifier) tasks() []func(ctx context.Context, buf []byte) error {
	var tasks []func(ctx context.Context, buf []byte) error
	b := v.r.body
	next := 0
	parts := func(upTo int64) {
		for ; next < min(len(b.sums), len(b.parts)) && int64(next)*b.split <= upTo; next++ {
			p := b.parts[next]
			v.meter.total += p.size
			tasks = append(tasks, func(ctx context.Context, buf []byte) error { return v.part(ctx, p) })
		}
	}
	for i := range v.r.layout.items {
		it := &v.r.layout.items[i]
		parts(it.offset)
		v.meter.total += it.packed
		tasks = append(tasks, func(ctx context.Context, buf []byte) error { return v.item(ctx, i, buf) })
	}
	parts(v.r.layout.total())
	return tasks
}

// part hashes a part.
func (v *verifier) part(ctx context.Context, p *part) error {
	p.hash(ctx.Done(), v.meter.add)
	return context.Cause(ctx)
}

// checkSums names FILE.sha256 if all that it says is wrong is right.
func (v *verifier) checkSums() {
	b := v.r.body
	for i := range min(len(b.sums), len(b.parts)) {
		if p := b.parts[i]; p.f != nil && !v.named[p.name] && p.hash(nil, nil) != b.sums[i] {
			v.emit(Damage{Code: DamageSums, Parts: []string{b.file + sumsExt}, Reason: fmt.Sprintf("the hash of part %d is another one, and everything in that part is whole", i+1)})
			return
		}
	}
}

// item checks an entry: its header, its bytes, and what the directory says of them.
func (v *verifier) item(ctx context.Context, i int, buf []byte) error {
	r := v.r
	it := r.layout.items[i]
	header := make([]byte, r.layout.data(i)-it.offset)
	_, herr := r.body.ReadAt(header, it.offset)
	right, crc, err := v.content(ctx, i, buf)
	if err != nil {
		return err
	}
	if herr != nil { // what comes behind it may be whole for all that
		v.unreadable(i, it.offset, int64(len(header)), herr)
		return nil
	}
	taken := binary.LittleEndian.Uint32(header[14:])
	if it.crc = taken; right {
		it.crc = crc
	}
	if !bytes.Equal(header, r.layout.local(&it)) {
		v.emit(Damage{Code: DamageHeader, Entry: it.name, Offset: it.offset, Length: int64(len(header)), Reason: "not the header that stands here"})
	}
	if right && r.known[i] && r.layout.items[i].crc != crc {
		at := r.layout.directory()
		for j := range i {
			at += r.layout.centralLen(&r.layout.items[j])
		}
		v.emit(Damage{Code: DamageDirectory, Entry: it.name, Offset: at, Length: r.layout.centralLen(&r.layout.items[i]), Reason: "another checksum than the entry's"})
	}
	return nil
}

// content reads the bytes of an entry, and reports whether they are right.
func (v *verifier) content(ctx context.Context, i int, buf []byte) (right bool, crc uint32, err error) {
	r := v.r
	it := &r.layout.items[i]
	if i < r.own() { // small, packed or in memory
		_, err := r.content(i)
		v.meter.add(int(it.packed))
		var e *Error
		if errors.As(err, &e) {
			v.notWhole(i)
			v.emit(*e.Damage)
		}
		return err == nil, it.crc, nil
	}
	h, sum := sha256.New(), crc32.NewIEEE()
	at, left := r.layout.data(i), it.packed
	for left > 0 {
		if ctx.Err() != nil {
			return false, 0, context.Cause(ctx)
		}
		p := buf[:min(left, int64(len(buf)))]
		if _, err := r.body.ReadAt(p, at); err != nil {
			v.notWhole(i)
			v.unreadable(i, at, left, err)
			return false, 0, nil
		}
		h.Write(p)
		sum.Write(p)
		v.meter.add(len(p))
		at, left = at+int64(len(p)), left-int64(len(p))
	}
	if hexSum(h) != r.hashes[i] {
		v.notWhole(i)
		v.emit(Damage{Code: DamageEntry, Entry: it.name, Offset: r.layout.data(i), Length: it.packed, Reason: "not the bytes of its SHA-256"})
		return false, 0, nil
	}
	r.verified[i].Store(true)
	return true, sum.Sum32(), nil
}

// unreadable is about bytes that are not there: of a part or an end that is missing, which
// has been told, or that the disk cannot read.
func (v *verifier) unreadable(i int, at, length int64, err error) {
	if !errors.Is(err, errHole) && !errors.Is(err, io.EOF) {
		v.emit(Damage{Code: DamageRead, Entry: v.r.layout.items[i].name, Offset: at, Length: length, Reason: err.Error(), Err: err})
	}
}
