package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/goferry/goferry/internal/goproxy"
)

// A Verifier proves installed toolchains, whoever installed them, and repairs them.
//
// The checksum database has one hash for all files of a toolchain. Where that of a tree is
// another, the files that differ are named by what adds up to the right hash: the hashes
// that were kept when goferry installed it, what a mirror's zip has, or the
// released text of a go.env that a distributor edited. None of them is believed by itself.
type Verifier struct {
	Sums Sumdb // nil means that it is switched off
	Home Home  // whose kept hashes may help, and its trees to repair; the zero Home for none

	// Where the zip of a toolchain may be had, to name what differs and to repair it.
	Cached  goproxy.Source // asked first, with goproxy.WithCachedOnly; may be nil
	HTTP    *http.Client   // reads only the parts that are needed; may be nil
	Places  []Place        // in this order; only those with modules count
	Fetcher *Fetcher       // fetches whole zips where parts do not do; may be nil

	Target   Target // what the tree should be; the zero Target means that the tree says
	Parallel int    // files read at a time; 0 means one for each processor
	Prune    bool   // Repair removes what was added, too
	// Keep says which changes Repair leaves as they are, such as the go.env of a distributor; nil for none.
	Keep func(Change) bool

	Progress func(Progress) // may be nil; never called by two goroutines at once
	Trouble  func(Trouble)  // may be nil; called for each place that was left for the next
	Logger   *slog.Logger   // nil discards
}

// A State is what came of verifying a tree.
type State string

// The states.
const (
	StateProved  State = "proved"  // all that the database covers is what it recorded, and nothing is added
	StateAltered State = "altered" // something is altered, missing or added
	StateUnknown State = "unknown" // the database could not be asked
)

// A ChangeKind says how a file differs from the release.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Missing ChangeKind = "missing"
	Altered ChangeKind = "altered"
	Mode    ChangeKind = "mode" // a program that may not be run
)

// A ChangeWhat says more about a change.
type ChangeWhat string

// What is known of changes.
const (
	WhatNothing     ChangeWhat = ""
	WhatDistributor ChangeWhat = "distributor-go-env" // the go.env of a distribution or an image
	WhatGoEnv       ChangeWhat = "go-env"             // another edit of go.env, or one whose lines are not known
	WhatBreaks      ChangeWhat = "breaks-build"       // added to a package of the release: every build compiles it
	WhatJunk        ChangeWhat = "junk"               // what desktops, editors and scripts leave
	WhatBuilt       ChangeWhat = "build-output"       // what a build of Go itself, or of an old go command, leaves
	WhatUnreadable  ChangeWhat = "unreadable"         // there, but it cannot be read: no right to, or a bad disk
	WhatCopy        ChangeWhat = "go-mod-copy"        // the go.mod that the go command made of a _go.mod
)

// A Change is a file that is not as it was released.
type Change struct {
	Name  string     `json:"name"` // below the root, with slashes
	Kind  ChangeKind `json:"kind"`
	What  ChangeWhat `json:"what,omitempty"`
	Lines []string   `json:"lines,omitempty"` // of a go.env: "-GOTOOLCHAIN=auto", "+GOTOOLCHAIN=local"
}

// Against says what the changes were found by.
type Against string

// What changes can be found by.
const (
	AgainstNothing Against = ""        // they were not found: it is only known that something differs
	AgainstHash    Against = "hash"    // the database's hash alone sufficed
	AgainstKept    Against = "kept"    // the hashes that were kept at installation, which add up to the database's
	AgainstZip     Against = "zip"     // a module zip, which adds up to the database's hash
	AgainstRecord  Against = "install" // the hashes that were kept at installation; the database could not be asked
)

// A Report says what came of verifying a tree.
type Report struct {
	Root    string   `json:"root"` // without symbolic links
	Target  Target   `json:"target"`
	Others  []string `json:"others,omitempty"` // further systems whose tools are in the tree
	State   State    `json:"state"`
	Want    string   `json:"want,omitempty"` // the database's hash
	Got     string   `json:"got"`            // of the tree
	Proof   Proof    `json:"proof"`
	Against Against  `json:"against,omitempty"`
	Source  string   `json:"source,omitempty"` // for AgainstZip: the place of the zip
	Changes []Change `json:"changes"`          // by name
	Extras  []Extra  `json:"extras,omitempty"` // what the hash does not cover, and links
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`

	// Err is why State is StateUnknown, or why an altered tree's changes have no names.
	Err error `json:"-"`

	ref *reference // what the tree should be; nil if unknown
}

// Named reports whether the changes are known one by one.
func (r Report) Named() bool { return r.State != StateAltered || r.Against != AgainstNothing }

// NotCovered are the folders that the checksum database says nothing about: those that
// archives have and module zips have not.
func (r Report) NotCovered() (names []string) {
	for _, e := range r.Extras {
		if e.Why == ExtraNotCovered {
			names = append(names, e.Name)
		}
	}
	return names
}

// Harmless reports whether every change is of a kind that alters no build: an edit of a
// distributor, or files that nothing reads.
func (r Report) Harmless() bool {
	for _, c := range r.Changes {
		if c.What != WhatDistributor && c.What != WhatJunk && c.What != WhatBuilt {
			return false
		}
	}
	return r.Named() && r.State != StateUnknown
}

// A reference is what a tree should be.
type reference struct {
	sums    Sums
	same    bool              // the files of the tree are those of sums
	content map[string][]byte // small files whose content is known already
	against Against
	source  string
	zip     *zipDir // of a server, where the content may be had; nil for none
}

// maxKept bounds the content of one file, and maxKeptAll that of all, which a reference keeps.
const (
	maxKept    = 4 << 20
	maxKeptAll = 16 << 20
)

// Verify proves the toolchain at root, or names what differs. Its error is about root:
// ErrTree if there is no toolchain, else what keeps it from being read, or the cause of
// ctx. That the database could not be asked is StateUnknown; one that contradicts itself
// is an error that matches goproxy.ErrMismatch.
func (v *Verifier) Verify(ctx context.Context, root string) (Report, error) {
	real, err := realRoot(root)
	if err != nil {
		return Report{}, err
	}
	t := &tree{root: real}
	targets := []Target{v.Target}
	if v.Target == (Target{}) {
		if targets, err = treeTargets(t.root); err != nil {
			return Report{}, err
		}
	}
	askCtx, stop := context.WithCancel(ctx)
	defer stop()
	asked := v.askFirst(askCtx, targets[0])
	err = t.read(ctx, v.Parallel, v.hashing(targets[0]))
	if err != nil {
		stop()
		<-asked
		return Report{}, err
	}
	first := v.answer(asked, targets[0])
	r, w, err := v.judge(ctx, t, targets, first)
	if err != nil {
		return Report{}, err
	}
	r.Root, r.Extras, r.Files, r.Bytes = t.root, t.extras, len(t.files)+len(t.copies), t.bytes
	r.others(t.root)
	r.Proof, r.Changes = w.judge(r.Got), []Change{}
	if r.Proof.Verdict == Unknown && r.Err == nil {
		r.Err = w.err
	}
	if r.ref != nil {
		r.Changes = t.changes(r.ref, r.Target)
		r.Against, r.Source = r.ref.against, r.ref.source
	}
	r.State = r.state()
	return r, nil
}

// state is what the hashes and the changes of r come to.
func (r *Report) state() State {
	switch {
	case len(r.Changes) > 0 || r.Want != "" && r.Want != r.Got:
		return StateAltered
	case r.Want == "":
		return StateUnknown
	}
	return StateProved
}

// askFirst asks the database while the tree is being read.
func (v *Verifier) askFirst(ctx context.Context, t Target) <-chan *wanted {
	asked := make(chan *wanted, 1)
	go func() { asked <- askSums(ctx, v.Sums, t) }()
	return asked
}

// answer waits for what the database says, which was asked by askFirst.
func (v *Verifier) answer(asked <-chan *wanted, t Target) *wanted {
	select {
	case w := <-asked:
		return w
	default:
		v.progress(Progress{Target: t, Stage: Asking, Total: -1})
		return <-asked
	}
}

// judge finds out which of targets the tree is, and by what to name its changes.
func (v *Verifier) judge(ctx context.Context, t *tree, targets []Target, first *wanted) (Report, *wanted, error) {
	sums := t.sums()
	var best *wanted
	for i, target := range targets {
		w := first
		if i > 0 {
			v.progress(Progress{Target: target, Stage: Asking, Total: -1})
			w = askSums(ctx, v.Sums, target)
		}
		if err := context.Cause(ctx); err != nil {
			return Report{}, nil, err
		}
		if w.fatal != nil {
			return Report{}, nil, w.fatal
		}
		if best == nil || best.h1 == "" && w.h1 != "" {
			best = w
		}
		if w.h1 == "" {
			continue
		}
		got := sums.H1(target)
		if ref := v.nearby(t, sums, got, w); ref != nil {
			return Report{Target: target, Want: w.h1, Got: got, ref: ref}, w, nil
		}
	}
	r := Report{Target: best.target, Want: best.h1, Got: sums.H1(best.target)}
	if best.h1 == "" {
		r.ref = v.recorded(t, best.target)
		return r, best, nil
	}
	r.ref, r.Err = v.fromZips(ctx, t, best)
	if err := context.Cause(ctx); err != nil {
		return Report{}, nil, err
	}
	return r, best, nil
}

// nearby finds the reference without the network.
func (v *Verifier) nearby(t *tree, sums Sums, got string, w *wanted) *reference {
	if got == w.h1 {
		return &reference{sums: sums, against: AgainstHash, same: true}
	}
	env, _ := v.goEnv(t)
	if s := guessSums(t, sums, originalGoEnvs(env), w); s != nil {
		return knowGoEnv(&reference{sums: s, against: AgainstHash}, env)
	}
	if v.Home.Dir == "" {
		return nil
	}
	if s, err := v.Home.Sums(w.target, w.h1); err == nil {
		return knowGoEnv(&reference{sums: s, against: AgainstKept}, env)
	}
	return nil
}

// recorded is what was installed here, where the database cannot be asked about it.
func (v *Verifier) recorded(t *tree, target Target) *reference {
	if v.Home.Dir == "" || !sameDir(v.Home.Root(target), t.root) {
		return nil
	}
	rec, err := v.Home.Record(target)
	if err != nil {
		return nil
	}
	s, err := v.Home.Sums(target, rec.H1)
	if err != nil {
		return nil
	}
	env, _ := v.goEnv(t)
	return knowGoEnv(&reference{sums: s, against: AgainstRecord}, env)
}

// guessSums tries what commonly happens to a tree: files that no release has, and an
// edited go.env. What adds up to the database's hash is the truth.
func guessSums(t *tree, sums Sums, envs [][]byte, w *wanted) Sums {
	all := func(string) bool { return true }
	for i, keep := range []func(string) bool{all, shipped(w.target, false), shipped(w.target, true)} {
		s := make(Sums, len(sums)+1)
		for name, sum := range sums {
			if keep(name) {
				s[name] = sum
			}
		}
		if i > 0 && len(s) == len(sums) {
			continue // nothing was left out
		}
		if i > 0 && s.H1(w.target) == w.h1 {
			return s
		}
		s[goEnv] = releasedGoEnvSum()
		if s.H1(w.target) == w.h1 {
			return s
		}
		for _, env := range envs {
			if s[goEnv] = sumOf(env); s.H1(w.target) == w.h1 {
				return s
			}
		}
	}
	return nil
}

// shipped says which files a release may have. With few, only the tools that releases since
// go1.25 have. Source: cmd/distpack.
func shipped(t Target, few bool) func(name string) bool {
	tools := "pkg/tool/" + t.OS + "_" + t.Arch + "/"
	return func(name string) bool {
		if isJunk(name) {
			return false
		}
		if strings.HasPrefix(name, "bin/") && strings.Count(name, "/") > 1 {
			return false
		}
		if !strings.HasPrefix(name, "pkg/") || strings.HasPrefix(name, "pkg/include/") {
			return true
		}
		tool, ok := strings.CutPrefix(name, tools)
		if !ok || !few {
			return ok
		}
		switch strings.TrimSuffix(tool, ".exe") {
		case "asm", "cgo", "compile", "cover", "fix", "link", "preprofile", "vet":
			return true
		}
		return false
	}
}

// isJunk reports whether name is a file that no Go release has, and nothing reads.
func isJunk(name string) bool {
	switch base := path.Base(name); strings.ToLower(base) {
	case ".ds_store", "thumbs.db", "desktop.ini", ".directory":
		return true
	default:
		return strings.HasSuffix(base, "~") || strings.HasSuffix(base, ".pyc") || strings.HasPrefix(base, "._") || strings.HasSuffix(base, ".swp") || name == "VERSION.cache"
	}
}

// goEnv reads the go.env of the tree; nil if there is none.
func (v *Verifier) goEnv(t *tree) ([]byte, error) { return readSmall(t.path(goEnv), maxGoEnv) }

// knowGoEnv adds the released text of go.env to ref where the edited one gives it away.
func knowGoEnv(ref *reference, edited []byte) *reference {
	want, ok := ref.sums[goEnv]
	for _, text := range originalGoEnvs(edited) {
		if ok && sumOf(text) == want {
			ref.keep(goEnv, text)
		}
	}
	return ref
}

// keep remembers the content of a small file.
func (r *reference) keep(name string, data []byte) {
	total := len(data)
	for _, d := range r.content {
		total += len(d)
	}
	if len(data) > maxKept || total > maxKeptAll {
		return
	}
	if r.content == nil {
		r.content = map[string][]byte{}
	}
	r.content[name] = data
}

// changes compares t with what it should be.
func (t *tree) changes(ref *reference, target Target) []Change {
	changes := []Change{}
	if !ref.same {
		changes = t.compare(ref, target)
	}
	for name, c := range t.copies {
		switch want, ok := ref.sums[name]; {
		case !ok:
			changes = append(changes, Change{Name: c.disk, Kind: Added})
		case c.err != nil || c.sum != want:
			changes = append(changes, Change{Name: c.disk, Kind: Altered, What: WhatCopy})
		}
	}
	changes = append(changes, t.modes(ref, target)...)
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return changes
}

// compare compares the files of t that have a name in the module.
func (t *tree) compare(ref *reference, target Target) []Change {
	changes := []Change{}
	add := func(name string, kind ChangeKind, what ChangeWhat) {
		changes = append(changes, Change{Name: name, Kind: kind, What: what})
	}
	folders := map[string]bool{}
	for name, want := range ref.sums {
		folders[path.Dir(name)] = true
		f, c := t.files[name], t.copies[name]
		switch {
		case f == nil:
			add(rootName(name), Missing, WhatNothing)
		case f.err != nil:
			add(f.disk, Altered, WhatUnreadable)
		case f.sum == want:
		case name == goEnv:
			changes = append(changes, goEnvChange(t, ref))
		case c != nil && c.err == nil && c.sum == want:
			add(f.disk, Added, WhatNothing) // a _go.mod beside a good go.mod
		default:
			add(f.disk, Altered, WhatNothing)
		}
	}
	for name, f := range t.files {
		if _, ok := ref.sums[name]; !ok {
			add(f.disk, Added, addedWhat(name, target, folders))
		}
	}
	return changes
}

// addedWhat says what an added file is.
func addedWhat(name string, t Target, folders map[string]bool) ChangeWhat {
	switch {
	case isJunk(name):
		return WhatJunk
	case !shipped(t, false)(name):
		return WhatBuilt
	case strings.HasPrefix(name, "src/") && folders[path.Dir(name)] && compiled(path.Base(name)):
		return WhatBreaks
	}
	return WhatNothing
}

// compiled reports whether the go command builds a file of that name into its package, on
// some system at least. Source: go/build.
func compiled(base string) bool {
	if strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") || strings.HasSuffix(base, "_test.go") {
		return false
	}
	switch path.Ext(base) {
	case ".go", ".s", ".S", ".sx", ".c", ".cc", ".cpp", ".cxx", ".m", ".h", ".hh", ".hpp", ".hxx", ".f", ".F", ".for", ".f90", ".syso", ".swig", ".swigcxx":
		return true
	}
	return false
}

// goEnvChange says what was edited in go.env.
func goEnvChange(t *tree, ref *reference) Change {
	c := Change{Name: goEnv, Kind: Altered, What: WhatGoEnv}
	want, known := ref.content[goEnv]
	if got, err := readSmall(t.path(goEnv), maxGoEnv); err == nil && known {
		if c.Lines = lineChanges(want, got); byDistributor(c.Lines) {
			c.What = WhatDistributor
		}
	}
	return c
}

// others notes the further systems whose tools are in the tree.
func (r *Report) others(root string) {
	for _, p := range treePlatforms(root) {
		if p.Platform() != r.Target.Platform() {
			r.Others = append(r.Others, p.Platform())
		}
	}
}

// hashing tells Progress how far the reading of the tree is.
func (v *Verifier) hashing(t Target) func(int64) {
	if v.Progress == nil {
		return nil
	}
	total := int64(-1)
	if rec, err := v.Home.Record(t); v.Home.Dir != "" && err == nil && rec.Bytes > 0 {
		total = rec.Bytes
	}
	return func(n int64) {
		v.Progress(Progress{Target: t, Stage: Proving, Done: n, Total: total})
	}
}

func (v *Verifier) progress(p Progress) {
	if v.Progress != nil {
		v.Progress(p)
	}
}

// trouble tells that a place was left.
func (v *Verifier) trouble(place string, err error) {
	v.log().Warn("toolchain: next place", "source", place, "err", err)
	if v.Trouble != nil {
		v.Trouble(Trouble{Place: place, Err: err})
	}
}

func (v *Verifier) log() *slog.Logger { return orDiscard(v.Logger) }

// errNoZip says that there is no place to compare with.
var errNoZip = fmt.Errorf("%w: there is no place to compare with", goproxy.ErrUnavailable)

// noZip is why no zip could be compared with.
func noZip(errs []error) error {
	if len(errs) == 0 {
		return errNoZip
	}
	return joinErrs(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, errNoZip) }))
}
