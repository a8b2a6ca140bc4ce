package cgo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/binary"
	"github.com/goferry/goferry/internal/gocmd"
)

// look inspects what a build left: what it is, whether it keeps what was promised, where it runs.
func (r *buildRun) look(ctx context.Context, res *BuildResult) *BuildFailure {
	entries, err := os.ReadDir(res.dir)
	if err != nil {
		return diskFailure(r.o.Out, err)
	}
	promises, failure := r.promises(res)
	if failure != nil {
		return failure
	}
	for _, e := range entries {
		out, err := look(filepath.Join(res.dir, e.Name()), res.target, promises)
		if err != nil {
			return err
		}
		out.Package = packageOf(res.load.mains, e.Name(), len(entries) == 1)
		out.File = path.Join(targetDir(res.target), e.Name())
		if r.o.Run {
			out.Run = r.start(ctx, res.target, &out)
		}
		res.Outputs = append(res.Outputs, out)
	}
	return nil
}

// packageOf finds the package of the program in a file.
func packageOf(mains []string, file string, only bool) string {
	name := strings.TrimSuffix(file, ".exe")
	if i := slices.IndexFunc(mains, func(m string) bool { return programName(m) == name }); i >= 0 {
		return mains[i]
	}
	if only && len(mains) == 1 {
		return mains[0] // named after a file: go build x.go
	}
	return ""
}

// look inspects one file, which was built for t.
func look(file string, t Target, promises []binary.Requirement) (BuildOutput, *BuildFailure) {
	out := BuildOutput{path: file, Libraries: []string{}, Floors: []string{}, RunsOn: []string{}, RunsNotOn: []string{}}
	f, err := os.Open(file)
	if err != nil {
		return out, diskFailure(file, err)
	}
	defer f.Close() // only read
	sum := sha256.New()
	if out.Size, err = io.Copy(sum, f); err != nil {
		return out, diskFailure(file, err)
	}
	out.SHA256 = hex.EncodeToString(sum.Sum(nil))
	info, err := binary.Read(f, out.Size)
	switch {
	case errors.Is(err, binary.ErrNotBinary): // WebAssembly, Plan 9, AIX: nothing is known of them
		for _, p := range promises {
			out.Promises = append(out.Promises, binary.Outcome{Requirement: p.String(), Met: binary.MetNone})
		}
		return out, nil
	case err != nil:
		return out, &BuildFailure{Code: FailDamaged, Name: filepath.Base(file), Lines: []string{err.Error()}, Err: err}
	}
	out.describe(info)
	for _, p := range promises {
		out.Promises = append(out.Promises, p.Check(info))
	}
	if p, ok := cpuPromise(t, info); ok {
		out.Promises = append(out.Promises, p)
	}
	return out, nil
}

// UnmetCPU is the code of an Outcome: the machine code asks for a newer processor than the variant of the target, which is
// Detail. What Go compiles keeps to the variant; a C library is as its makers have it.
const UnmetCPU = "asks-cpu"

// cpuPromise holds a program to the variant of its target; false if there is nothing to be seen.
func cpuPromise(t Target, i *binary.Info) (binary.Outcome, bool) {
	p := binary.Outcome{Requirement: "cpu<=" + cpuLevel(t), Met: binary.MetYes}
	if newerCPU(t, i.CPU) {
		p.Met, p.Code, p.Detail = binary.MetNo, UnmetCPU, i.CPU
	}
	return p, i.Arch == t.Arch && i.CPU != "" && cpuLevel(t) != ""
}

// cpuLevel is the processor that t names: v6 of v6+softfloat; "" if it names none that files tell of.
func cpuLevel(t Target) string {
	if t.Arch != "arm" && t.Arch != "amd64" {
		return ""
	}
	level, _, _ := strings.Cut(t.Variant, "+")
	return level
}

// newerCPU says whether a processor, as room binary names it, is newer than that of t.
func newerCPU(t Target, cpu string) bool {
	level := cpuLevel(t)
	return level != "" && cpu != "" && compareVersions(cpu[1:], level[1:]) > 0
}

// describe takes what is to be said of a program.
func (o *BuildOutput) describe(i *binary.Info) {
	o.Info, o.Static, o.Libc, o.BuildInfo = i, i.Static, i.Libc, i.Go
	for _, l := range i.Libraries {
		o.Libraries = append(o.Libraries, l.Name)
	}
	for _, f := range i.Floors {
		o.Floors = append(o.Floors, f.Name+" "+f.Version)
	}
	o.Verdicts = binary.Judge(i)
	var yes, no []binary.Verdict
	for _, v := range o.Verdicts {
		switch v.Runs {
		case binary.Runs:
			yes = append(yes, v)
		case binary.RunsNot:
			no = append(no, v)
		}
	}
	o.RunsOn = append(o.RunsOn, binary.PlatformNames(yes, true)...)
	o.RunsNotOn = append(o.RunsNotOn, binary.PlatformNames(no, false)...)
}

// promises are what the outputs for a target are held to: what the user wants of them, and what the target says.
func (r *buildRun) promises(res *BuildResult) ([]binary.Requirement, *BuildFailure) {
	t := res.target
	list := slices.Clone(r.o.Require)
	var texts []string
	if slices.Contains([]string{"linux", "windows", "darwin"}, t.OS) { // the others have no field for it, or are not read
		texts = append(texts, "os="+t.OS, "arch="+t.Arch)
	}
	if r.o.Static != "" && t.OS != "js" && t.OS != "wasip1" {
		texts = append(texts, "static")
	}
	if r.o.Static == StaticPIE && t.OS == "linux" {
		texts = append(texts, "pie")
	}
	if t.Floor != "" {
		texts = append(texts, "glibc<="+t.Floor)
	}
	if t.Libc == "musl" && t.OS == "linux" {
		texts = append(texts, "musl")
	}
	for _, text := range texts {
		p, err := binary.ParseRequirement(text)
		if err != nil {
			return nil, &BuildFailure{Code: FailOther, Lines: []string{err.Error()}, Err: err}
		}
		if !slices.ContainsFunc(list, func(q binary.Requirement) bool { return q.String() == p.String() }) {
			list = append(list, p)
		}
	}
	return list, nil
}

// runTime is how long a program that was started may run: one that has not ended then is a server, and runs.
const runTime = 10 * time.Second

// wineTime is what wine may take to make its folder, which it does when it is started for the first time.
const wineTime = 50 * time.Second

// oldWine reports whether wine lacks the DLL that every Go program loads on Windows since Go 1.21 (wine 8, of Debian 12, does): it can start none of them.
func oldWine(e Emulator, stderr string) bool {
	return e.Name == "wine" && strings.Contains(stderr, "fatal error: bcryptprimitives.dll not found")
}

// errRanLong is why a program is stopped.
var errRanLong = errors.New("it runs")

// interpreterHere says whether the interpreter of a program is where e has it looked for: with qemu below a root, where
// one is told. Of what was not read nothing is known.
func interpreterHere(e Emulator, i *binary.Info) bool {
	if i == nil || i.Interpreter == "" || i.Format != binary.ELF {
		return true
	}
	places := []string{i.Interpreter}
	if at := slices.Index(e.Argv, "-L"); at >= 0 && at+1 < len(e.Argv) {
		places = append(places, filepath.Join(e.Argv[at+1], i.Interpreter))
	}
	return slices.ContainsFunc(places, func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	})
}

// start starts a program, where something here can, in an empty folder.
func (r *buildRun) start(ctx context.Context, t Target, out *BuildOutput) *BuildRun {
	e, ok := r.Finder.Emulator(ctx, t)
	if !ok {
		return &BuildRun{Why: RunNoEmulator}
	}
	if r.Finder.env("QEMU_LD_PREFIX") == "" && !interpreterHere(e, out.Info) {
		return &BuildRun{Why: RunNoInterpreter, Needs: out.Info.Interpreter}
	}
	run := &BuildRun{By: e.Name}
	dir, err := os.MkdirTemp("", "goferry-run-")
	if err != nil {
		run.Said, run.ExitCode = err.Error(), -1
		return run
	}
	defer os.RemoveAll(dir) // a folder for temporary files that stays is the system's to remove
	limit := runTime
	if e.Name == "wine" {
		limit += wineTime
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errRanLong)
	defer cancel()
	argv := append(append(slices.Clone(e.Argv), out.path), r.o.RunArgs...)
	res, err := r.Runner.Run(ctx, gocmd.Cmd{Name: argv[0], Args: argv[1:], Dir: dir, Env: e.Env})
	run.ExitCode = res.ExitCode
	switch {
	case errors.Is(err, errRanLong), errors.Is(err, gocmd.ErrTooMuchOutput):
		run.OK, run.Stopped, run.ExitCode = true, true, 0
	case err != nil:
		run.Said, run.ExitCode = err.Error(), -1
	case oldWine(e, string(res.Stderr)):
		return &BuildRun{Why: RunOldWine}
	default:
		run.OK = res.ExitCode == 0
	}
	if !run.OK && run.Said == "" {
		lines := telling(string(res.Stderr))
		run.Said = lines[len(lines)-1]
	}
	return run
}
