package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	sumsExt  = ".sha256"
	maxParts = 999 // three digits
	maxSums  = 1 << 20
)

// partName is the name of part n, from 1 on.
func partName(file string, n int) string { return fmt.Sprintf("%s.%03d", file, n) }

// partNumber returns n for "x.bundle.007", and what the parts are the parts of.
func partNumber(name string) (file string, n int, ok bool) {
	i := len(name) - 4
	if i < 1 || name[i] != '.' {
		return name, 0, false
	}
	n, err := strconv.Atoi(name[i+1:])
	if err != nil || n < 1 || strings.ContainsAny(name[i+1:], "+-") {
		return name, 0, false
	}
	return name[:i], n, true
}

// partNumbers returns the numbers of the parts of file in its folder, and of parts that are being written, sorted.
func partNumbers(file string) ([]int, error) {
	dir, base := filepath.Split(file)
	if dir == "" {
		dir = "."
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range list {
		if of, n, ok := partNumber(strings.TrimSuffix(e.Name(), partial)); ok && of == base {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// formatSums writes the list of parts as sha256sum does.
func formatSums(file string, sums []string) []byte {
	var b bytes.Buffer
	for i, s := range sums {
		fmt.Fprintf(&b, "%s  %s\n", s, filepath.Base(partName(file, i+1)))
	}
	return b.Bytes()
}

// parseSums is the inverse of formatSums: part n has hash n-1. Only the numbers of the names
// count, so that parts can be renamed; what mail and Windows do to lines is taken too.
func parseSums(text []byte) ([]string, error) {
	if len(text) > maxSums {
		return nil, errors.New("too large")
	}
	var sums []string
	for line := range bytes.Lines(text) {
		s := strings.TrimRight(string(line), " \t\r\n")
		if s == "" {
			continue
		}
		sum, name, ok := strings.Cut(s, " ")
		if !ok || !isHash(strings.ToLower(sum)) || len(name) < 2 || name[0] != ' ' && name[0] != '*' {
			return nil, fmt.Errorf("line %d is not one of sha256sum", len(sums)+1)
		}
		if _, n, ok := partNumber(name[1:]); !ok || n != len(sums)+1 {
			return nil, fmt.Errorf("line %d is not about part %d", len(sums)+1, len(sums)+1)
		}
		sums = append(sums, strings.ToLower(sum))
	}
	if len(sums) == 0 || len(sums) > maxParts {
		return nil, fmt.Errorf("it lists %d parts", len(sums))
	}
	return sums, nil
}

// A part is one file of a bundle, or the bundle.
type part struct {
	name string
	f    *os.File // nil where it is missing or cannot be opened
	err  error    // why
	size int64    // bytes it has

	mu    sync.Mutex
	sum   string // hex; empty while it is unknown
	tried bool   // and it cannot be known
}

// gone is the damage of a part that cannot be opened.
func (p *part) gone(offset, length int64) Damage {
	d := Damage{Code: DamagePart, Offset: offset, Length: length, Parts: []string{p.name}, Reason: "missing", Err: p.err}
	if !errors.Is(p.err, fs.ErrNotExist) {
		d.Code, d.Reason = DamageRead, p.err.Error()
	}
	return d
}

// hash returns the SHA-256 of what the file has, empty where it cannot be read; it is computed
// once. It ends early when done is closed, and tells add of its progress; both may be nil.
func (p *part) hash(done <-chan struct{}, add func(n int)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tried || p.f == nil {
		return p.sum
	}
	h, buf, in := sha256.New(), make([]byte, copyBuffer), io.NewSectionReader(p.f, 0, p.size)
	for {
		n, err := in.Read(buf)
		h.Write(buf[:n])
		if add != nil {
			add(n)
		}
		if err != nil {
			p.tried = true
			if err == io.EOF {
				p.sum = hexSum(h)
			}
			return p.sum
		}
		select {
		case <-done:
			return ""
		default:
		}
	}
}

// A body is a bundle's bytes: one file, or parts in a row. Where a part is missing or too short there is a hole, and
// what follows stays in its place.
type body struct {
	file  string // without the number of a part
	parts []*part
	split int64    // bytes of each part but the last; for one file what it has
	whole bool     // one file, no parts
	total int64    // as the manifest says; 0 before it is read
	sums  []string // of FILE.sha256; nil without it
	bad   error    // FILE.sha256 cannot be used
}

// errHole is the reason of a read that meets a missing part or the missing end of one.
var errHole = errors.New("not there")

// openBody finds the files of a bundle.
func openBody(file string) (*body, error) {
	info, err := os.Stat(file)
	base, _, numbered := partNumber(file)
	if err == nil && !numbered {
		if !info.Mode().IsRegular() {
			return nil, &Error{Code: CodeNotBundle, File: file, Err: errors.New("not a regular file")}
		}
		return openWhole(file, file)
	}
	if !numbered {
		base = file
	}
	b := &body{file: base}
	b.readSums()
	numbers, lerr := partNumbers(base)
	if lerr != nil && !errors.Is(lerr, fs.ErrNotExist) {
		return nil, lerr
	}
	numbers = slices.DeleteFunc(numbers, func(n int) bool {
		info, err := os.Stat(partName(base, n))
		return err != nil || !info.Mode().IsRegular()
	})
	if len(numbers) == 0 && b.sums == nil {
		return nil, &Error{Code: CodeMissing, File: file, Err: err}
	}
	if numbered && len(numbers) == 1 && numbers[0] > 1 && b.sums == nil && err == nil {
		// A bundle that is only named like a part, or the one part that somebody has: its head decides.
		if head := make([]byte, 4); readAt(file, head) == nil && string(head) == "PK\x03\x04" {
			return openWhole(file, file)
		}
	}
	b.openParts(numbers)
	return b, nil
}

func readAt(file string, p []byte) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, p)
	return err
}

func openWhole(file, name string) (*body, error) {
	p := openPart(name)
	if p.err != nil {
		return nil, p.err // it is there: os.Stat has seen it
	}
	return &body{file: file, parts: []*part{p}, split: p.size, whole: true}, nil
}

func openPart(name string) *part {
	p := &part{name: name}
	p.f, p.err = os.Open(name)
	if p.err != nil {
		return p
	}
	info, err := p.f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		p.f.Close()
		p.f, p.err = nil, err
		return p
	}
	p.size = info.Size()
	return p
}

func (b *body) readSums() {
	text, err := readSumsFile(b.file + sumsExt)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		b.sums, err = parseSums(text)
	}
	b.bad = err
}

func readSumsFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSums+1))
}

// openParts opens the parts with these numbers, and those that FILE.sha256 lists.
func (b *body) openParts(numbers []int) {
	count := len(b.sums)
	if count == 0 {
		count = numbers[len(numbers)-1]
	}
	for n := 1; n <= count; n++ {
		b.parts = append(b.parts, openPart(partName(b.file, n)))
	}
	b.split = commonSize(b.parts)
}

// commonSize returns the bytes of all parts but the last: what most of them have, the larger number
// where there is no majority, since files are rather cut than grown.
func commonSize(parts []*part) int64 {
	votes := map[int64]int{}
	var size int64
	if len(parts) == 1 {
		return parts[0].size
	}
	for _, p := range parts[:len(parts)-1] {
		if p.f == nil {
			continue
		}
		votes[p.size]++
		if votes[p.size] > votes[size] || votes[p.size] == votes[size] && p.size > size {
			size = p.size
		}
	}
	if last := parts[len(parts)-1]; last.size > size {
		size = last.size // no last part is larger than the others
	}
	return size
}

// size returns how many bytes there are, holes included; a missing last part has none.
func (b *body) size() int64 {
	last := b.parts[len(b.parts)-1]
	return b.split*int64(len(b.parts)-1) + min(last.size, b.split)
}

// ReadAt reads across parts. A hole is errHole, what cannot be read the system's error, the end io.EOF.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		i := 0
		if b.split > 0 {
			i = int(off / b.split)
		}
		if i >= len(b.parts) {
			return n, io.EOF
		}
		part, at := b.parts[i], off-int64(i)*b.split
		room := min(int64(len(p)-n), b.split-at)
		if part.f == nil {
			return n, errHole
		}
		k, err := part.f.ReadAt(p[n:n+int(room)], at)
		n += k
		off += int64(k)
		if int64(k) == room {
			continue
		}
		if err == io.EOF && i < len(b.parts)-1 {
			err = errHole
		}
		return n, err
	}
	return n, nil
}

func (b *body) Close() error {
	var errs []error
	for _, p := range b.parts {
		if p.f != nil {
			errs = append(errs, p.f.Close())
		}
	}
	return errors.Join(errs...)
}

// names returns the files.
func (b *body) names() []string {
	var names []string
	for _, p := range b.parts {
		names = append(names, p.name)
	}
	return names
}

// holding returns the files that hold a range; parts behind the last that is known are named as they would be.
// Where there are several and FILE.sha256 tells, those that are not damaged are left out.
func (b *body) holding(offset, length int64) []string {
	if b.whole {
		return []string{b.parts[0].name}
	}
	if b.split <= 0 {
		return b.names()
	}
	first, last := int(offset/b.split), int((offset+max(length, 1)-1)/b.split)
	var all, wrong []string
	for i := first; i <= min(last, maxParts-1); i++ {
		name := partName(b.file, i+1)
		all = append(all, name)
		if i >= len(b.parts) || first != last && i < len(b.sums) && b.parts[i].hash(nil, nil) != b.sums[i] {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	return all
}

// expect fixes the length of the bundle. Of two parts of which one has the wrong length, the end
// of the second tells which.
func (b *body) expect(total int64) {
	b.total = total
	if b.whole || len(b.parts) != 2 || b.size() == total {
		return
	}
	if last := b.parts[1].size; total-last >= last && b.ends() {
		b.split = total - last
	}
}

// ends reports whether the last file ends as a bundle does.
func (b *body) ends() bool {
	last, end := b.parts[len(b.parts)-1], make([]byte, len(tailComment([32]byte{})))
	if last.f == nil || last.size < int64(len(end)) {
		return false
	}
	if _, err := last.f.ReadAt(end, last.size-int64(len(end))); err != nil {
		return false
	}
	_, ok := parseTailComment(string(end))
	return ok
}

// damage returns what is the matter with the files themselves, as far as can be said without reading them.
func (b *body) damage() []Damage {
	if b.whole {
		return nil
	}
	var found []Damage
	if b.bad != nil {
		found = append(found, Damage{Code: DamageSums, Parts: []string{b.file + sumsExt}, Reason: b.bad.Error(), Err: b.bad})
	}
	for i, p := range b.parts {
		at := int64(i) * b.split
		want := max(min(b.split, b.total-at), 0)
		switch {
		case p.f == nil:
			found = append(found, p.gone(at, want))
		case p.size != want:
			found = append(found, Damage{Code: DamagePart, Offset: at + min(p.size, want), Length: max(want-p.size, 0), Parts: []string{p.name},
				Reason: fmt.Sprintf("it has %d bytes of %d", p.size, want)})
		}
	}
	return found
}
