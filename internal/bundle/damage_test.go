package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
)

// contents reads what a bundle holds, by name.
func contents(t testing.TB, fsys fs.FS) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		out[name], err = fs.ReadFile(fsys, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// judge opens a bundle that is damaged at a place, and fails unless the damage is found there and no
// wrong file is ever read to its end, in whichever way.
func judge(t *testing.T, file string, place int64, want map[string][]byte) {
	t.Helper()
	r, err := bundle.OpenDamaged(file)
	if err != nil {
		e := wantCode(t, err, bundle.CodeDamaged)
		holds(t, place, *e.Damage)
		if !errors.Is(err, goproxy.ErrMismatch) {
			t.Errorf("place %d: %v is no mismatch", place, err)
		}
		return
	}
	defer r.Close()
	var found []bundle.Damage
	rep, err := r.Verify(t.Context(), func(d bundle.Damage) { found = append(found, d) }, nil)
	if wantCode(t, err, bundle.CodeDamaged); rep.Damaged != len(found) {
		t.Errorf("place %d: %d found, %d reported", place, len(found), rep.Damaged)
	}
	holds(t, place, found...)
	fresh, err := bundle.OpenDamaged(file)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	for name, data := range want {
		bad := slices.Contains(rep.Bad, name)
		for way, read := range ways() {
			got, err := read(fresh.FS(), name)
			if bad != (err != nil) || err == nil && !bytes.Equal(got, data) || err != nil && len(got) >= len(data) && len(data) > 0 {
				t.Errorf("place %d: %s %s: %d bytes of %d, %v; bad is %v", place, way, name, len(got), len(data), err, bad)
			}
		}
	}
}

// holds fails unless one of the damages is where the place is.
func holds(t *testing.T, place int64, found ...bundle.Damage) {
	t.Helper()
	for _, d := range found {
		if place >= d.Offset && place < d.Offset+d.Length && len(d.Parts) > 0 {
			return
		}
	}
	t.Errorf("place %d is in none of %+v", place, found)
}

// ways are the ways to read a file.
func ways() map[string]func(fsys fs.FS, name string) ([]byte, error) {
	return map[string]func(fsys fs.FS, name string) ([]byte, error){
		"in order": fs.ReadFile,
		"anywhere": func(fsys fs.FS, name string) ([]byte, error) {
			f, err := fsys.Open(name)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return nil, err
			}
			b := make([]byte, info.Size())
			n, err := f.(io.ReaderAt).ReadAt(b, 0)
			if err == io.EOF || err == nil && n == 0 {
				_, err = f.Read(make([]byte, 1)) // an empty file: is it one?
				if err == io.EOF || n > 0 {
					err = nil
				}
			}
			return b[:n], err
		},
		"from the middle, then from the start": func(fsys fs.FS, name string) ([]byte, error) {
			f, err := fsys.Open(name)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			s := f.(io.ReadSeeker)
			end, err := s.Seek(0, io.SeekEnd)
			if err != nil {
				return nil, err
			}
			if _, err := s.Seek(end/2, io.SeekStart); err != nil {
				return nil, err
			}
			tail, err := io.ReadAll(s)
			if err != nil {
				return nil, err
			}
			if _, err := s.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
			head := make([]byte, end/2)
			_, err = io.ReadFull(s, head)
			return append(head, tail...), err
		},
	}
}

// TestFlippedBits: a bundle with one flipped bit is refused, and the place is named, wherever it is: half of the places
// are in headers, manifest, signature, SBOM, directory.
func TestFlippedBits(t *testing.T) {
	_, priv := key(t)
	file := create(t, samplePlan(6, 300_000), bundle.CreateOptions{Sign: &priv})
	good := read(t, file)
	want := contents(t, open(t, file).FS())
	content := map[int]bool{} // places within a zip of a module
	for name, data := range want {
		if len(data) > 1000 && strings.HasSuffix(name, ".zip") {
			at := bytes.Index(good, data)
			for i := range data {
				content[at+i] = true
			}
		}
	}
	var structure []int
	for i := range good {
		if !content[i] {
			structure = append(structure, i)
		}
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d: %d bytes, %d of them structure", seed, len(good), len(structure))
	bad := filepath.Join(t.TempDir(), "x.bundle")
	places := 240
	if testing.Short() {
		places = 80
	}
	for i := range places {
		place := rnd.IntN(len(good))
		if i%2 == 0 {
			place = structure[rnd.IntN(len(structure))]
		}
		b := bytes.Clone(good)
		b[place] ^= 1 << rnd.IntN(8)
		write(t, bad, b)
		judge(t, bad, int64(place), want)
	}
}

// TestEveryByte: of a small bundle, a bit of every byte.
func TestEveryByte(t *testing.T) {
	_, priv := key(t)
	p := samplePlan(1, 40)
	p.Files = p.Files[:3]
	file := create(t, p, bundle.CreateOptions{Sign: &priv})
	good := read(t, file)
	bad := filepath.Join(t.TempDir(), "x.bundle")
	write(t, bad, good)
	f, err := os.OpenFile(bad, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, c := range good {
		if _, err := f.WriteAt([]byte{c ^ 1<<rand.IntN(8)}, int64(i)); err != nil {
			t.Fatal(err)
		}
		r, err := bundle.Open(bad)
		if err == nil {
			_, err = r.Verify(t.Context(), nil, nil)
			r.Close()
		}
		holds(t, int64(i), *wantCode(t, err, bundle.CodeDamaged).Damage)
		if _, err := f.WriteAt([]byte{c}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCut: of a bundle that ends too early, what is missing is named and the rest can be read.
func TestCut(t *testing.T) {
	file := create(t, samplePlan(6, 100_000), bundle.CreateOptions{})
	good := read(t, file)
	want := contents(t, open(t, file).FS())
	cut := filepath.Join(t.TempDir(), "x.bundle")
	for _, n := range []int{len(good) - 1, len(good) - 100, len(good) - 3000, len(good) / 2, len(good) / 5, 3000, 60} {
		write(t, cut, good[:n])
		if _, err := bundle.Open(cut); wantCode(t, err, bundle.CodeDamaged).Damage.Code != bundle.DamageCut {
			t.Errorf("cut at %d: %v", n, err)
		}
		judge(t, cut, int64(n), want)
	}
	for _, n := range []int{0, 10, 29} {
		write(t, cut, good[:n])
		_, err := bundle.Open(cut)
		wantCode(t, err, bundle.CodeNotBundle)
	}
	write(t, cut, append(bytes.Clone(good), "and more"...))
	_, err := bundle.Open(cut)
	if d := wantCode(t, err, bundle.CodeDamaged).Damage; d.Code != bundle.DamageTail || d.Offset != int64(len(good)) || d.Length != 8 {
		t.Errorf("%+v", d)
	}
	judge(t, cut, int64(len(good)), want)
}

// TestNotBundle: what is something else is not called damaged.
func TestNotBundle(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"empty": nil, "text": bytes.Repeat([]byte("hello\n"), 50), "zip": append([]byte("PK\x03\x04"), bytesOf("zip", 500)...)} {
		write(t, filepath.Join(dir, name), data)
		_, err := bundle.Open(filepath.Join(dir, name))
		wantCode(t, err, bundle.CodeNotBundle)
	}
	_, err := bundle.Open(dir)
	wantCode(t, err, bundle.CodeNotBundle)
	_, err = bundle.Open(filepath.Join(dir, "none"))
	if wantCode(t, err, bundle.CodeMissing); !errors.Is(err, goproxy.ErrNotExist) {
		t.Error(err)
	}
}

// TestParts: whatever a stick does to one of the parts, that part is named, and no other.
func TestParts(t *testing.T) {
	p := samplePlan(6, 100_000)
	for _, sums := range []bool{true, false} {
		for _, split := range []int64{60_000, 250_000} { // seven parts, two parts
			file := create(t, p, bundle.CreateOptions{Split: split})
			r := open(t, file)
			want, parts := contents(t, r.FS()), r.Files()
			if !sums {
				if err := os.Remove(file + ".sha256"); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{file, parts[0], parts[1]} {
				wantContent(t, open(t, name).FS(), p)
			}
			for n, part := range parts {
				good := read(t, part)
				at := int64(n)*split + int64(len(good)/2)
				for what, hurt := range map[string]func() error{
					"flipped": func() error {
						b := bytes.Clone(good)
						b[len(b)/2] ^= 4
						return os.WriteFile(part, b, 0o666)
					},
					"missing": func() error { return os.Remove(part) },
					"cut":     func() error { return os.Truncate(part, int64(len(good)/2)) },
					"longer":  func() error { return os.WriteFile(part, append(bytes.Clone(good), 0), 0o666) },
				} {
					if err := hurt(); err != nil {
						t.Fatal(err)
					}
					judgePart(t, what, file, part, at, len(parts), sums, want)
					write(t, part, good)
				}
			}
		}
	}
}

func judgePart(t *testing.T, what, file, part string, at int64, parts int, sums bool, want map[string][]byte) {
	t.Helper()
	r, err := bundle.OpenDamaged(file)
	var found []bundle.Damage
	if err == nil {
		_, err = r.Verify(t.Context(), func(d bundle.Damage) { found = append(found, d) }, nil)
		r.Close()
	} else if e := wantCode(t, err, bundle.CodeDamaged); e.Damage != nil {
		found = append(found, *e.Damage)
	}
	wantCode(t, err, bundle.CodeDamaged)
	named := map[string]bool{}
	for _, d := range found {
		for _, p := range d.Parts {
			named[p] = true
		}
	}
	if !named[part] {
		t.Errorf("%s %s is not named in %+v", what, part, found)
	}
	if sums && (len(named) != 1) {
		t.Errorf("%s %s: with the sums, named are %v in %+v", what, part, named, found)
	}
	if parts > 2 && what != "longer" && !strings.HasSuffix(part, ".001") {
		judge(t, file, at, want)
	}
}

// TestBadSums: a list of parts that is wrong itself does not stand in the way, and is named.
func TestBadSums(t *testing.T) {
	p := samplePlan(4, 50_000)
	file := create(t, p, bundle.CreateOptions{Split: 40_000})
	good := read(t, file+".sha256")
	flipped := bytes.Clone(good)
	flipped[3] = map[bool]byte{true: '0', false: '1'}[flipped[3] == '1']
	for what, text := range map[string][]byte{"no list": []byte("hello"), "another hash": flipped} {
		write(t, file+".sha256", text)
		r := open(t, file)
		wantContent(t, r.FS(), p)
		rep, err := r.Verify(t.Context(), nil, nil)
		d := wantCode(t, err, bundle.CodeDamaged).Damage
		if d.Code != bundle.DamageSums || !slices.Equal(d.Parts, []string{file + ".sha256"}) || len(rep.Bad) != 0 || rep.Damaged != 1 {
			t.Errorf("%s: %+v, %+v", what, d, rep)
		}
	}
	// Parts may be renamed, and mail may change the ends of lines.
	dir := t.TempDir()
	for _, n := range names(t, filepath.Dir(file)) {
		write(t, filepath.Join(dir, strings.Replace(n, "x.bundle", "y", 1)), read(t, filepath.Join(filepath.Dir(file), n)))
	}
	write(t, filepath.Join(dir, "y.sha256"), bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	r := open(t, filepath.Join(dir, "y"))
	if rep, err := r.Verify(t.Context(), nil, nil); err != nil {
		t.Errorf("renamed: %+v, %v", rep, err)
	}
}

// TestVerifyProgress: it never goes back, and ends at the end.
func TestVerifyProgress(t *testing.T) {
	r := open(t, create(t, samplePlan(5, 3<<20), bundle.CreateOptions{}))
	var last bundle.Progress
	if _, err := r.Verify(t.Context(), nil, func(p bundle.Progress) {
		if p.Done < last.Done || p.Phase != "verify" {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}); err != nil || last.Done != last.Total || last.Total == 0 {
		t.Errorf("%+v, %v", last, err)
	}
}

// TestVerifyCancel: who stops waiting gets no verdict.
func TestVerifyCancel(t *testing.T) {
	r := open(t, create(t, samplePlan(5, 3<<20), bundle.CreateOptions{}))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := r.Verify(ctx, nil, func(bundle.Progress) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestUnreadableDisk: bytes that the disk cannot read are named, and are no reason to stop looking.
func TestUnreadableDisk(t *testing.T) {
	p := samplePlan(3, 400_000)
	r := open(t, create(t, p, bundle.CreateOptions{}))
	f, err := r.FS().Open("example.com/!azure/m2/@v/v1.2.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	r.Close() // now every read fails
	var codes []bundle.DamageCode
	rep, err := r.Verify(t.Context(), func(d bundle.Damage) { codes = append(codes, d.Code) }, nil)
	if wantCode(t, err, bundle.CodeDamaged); len(codes) < len(p.Files) || slices.Contains(codes, bundle.DamageEntry) || !slices.Contains(codes, bundle.DamageRead) || len(rep.Bad) < len(p.Files)-1 {
		t.Errorf("%v %+v", codes, rep)
	}
	_, err = io.ReadAll(f)
	if d := wantCode(t, err, bundle.CodeDamaged).Damage; d.Code != bundle.DamageRead || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%+v", d)
	}
}

// TestManyReaders: a Reader is used by many at once.
func TestManyReaders(t *testing.T) {
	p := samplePlan(6, 900_000)
	r := open(t, create(t, p, bundle.CreateOptions{}))
	want := contents(t, open(t, r.Name()).FS())
	var wg sync.WaitGroup
	for range 4 {
		for _, way := range ways() {
			wg.Go(func() {
				for name, data := range want {
					if got, err := way(r.FS(), name); err != nil || !bytes.Equal(got, data) {
						t.Errorf("%s: %d bytes, %v", name, len(got), err)
					}
				}
			})
		}
	}
	wg.Go(func() {
		if _, err := r.Verify(t.Context(), nil, nil); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}
