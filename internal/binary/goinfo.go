package binary

import (
	"bytes"
	"encoding/binary"
	"runtime/debug"
	"strings"
)

// A span is n bytes of a file at off.
type span struct{ off, n uint64 }

// parts are the places of a program that Go's information may be in, as each format finds them.
type parts struct {
	*image
	fileOffset func(addr uint64) (off, n uint64, ok bool) // of an address in memory
	buildInfo  []span                                     // where the build information is, if there is a place for it
	scanInfo   []span                                     // where else to look for it
	lineTable  span                                       // pclntab
	scanLines  []span                                     // where else to look for it
	code       uint64                                     // bytes of code in the whole file
	maybeGo    bool                                       // there are traces of Go
}

const (
	infoMagic   = "\xff Go buildinf:"
	infoAlign   = 16
	infoHeader  = 32
	maxInfo     = 4 << 20   // bytes of build information; thousands of modules have 300 KiB
	maxScan     = 512 << 20 // bytes that are searched
	maxSettings = 256
)

// read finds out what Go says. It returns no errors: a program that cannot be read this way runs nevertheless, and so
// does one that Go did not make.
func (p parts) read() (*GoInfo, []Package) {
	version, mod := p.info()
	table, found := p.findLines()
	if version == "" && !found && !p.maybeGo {
		return nil, nil
	}
	g := parseInfo(version, mod)
	if !found {
		return g, nil
	}
	return g, table.packages(p.code, g.Cgo != nil && !*g.Cgo)
}

// info returns the version of Go and the text that describes the build, both "" if they are not there.
func (p parts) info() (version, mod string) {
	for _, list := range [][]span{p.buildInfo, p.scanInfo} {
		for _, s := range list {
			if at, ok := p.find(s, []byte(infoMagic), infoAlign, nil); ok {
				return p.infoAt(at, s.off+s.n)
			}
		}
	}
	return "", ""
}

// find looks for magic at multiples of align in s, where check, if there is one, agrees.
func (p parts) find(s span, magic []byte, align uint64, check func(off uint64) bool) (off uint64, ok bool) {
	end := s.off + min(s.n, maxScan)
	for at := s.off; at < end; {
		page, err := p.page(at / pageSize)
		if err != nil {
			return 0, false
		}
		next := min((at/pageSize+1)*pageSize, end)
		if p.scan -= int64(next - at); p.scan < 0 { // thousands of segments can be the same part of a file
			return 0, false
		}
		in := page[at%pageSize : next-(at/pageSize)*pageSize]
		for i := 0; ; {
			j := bytes.Index(in[i:], magic)
			if j < 0 {
				break
			}
			i += j
			found := at + uint64(i)
			if found%align == 0 && (check == nil || check(found)) {
				return found, true
			}
			if i++; check != nil {
				if page, err = p.page(at / pageSize); err != nil { // check may have thrown it out
					return 0, false
				}
				in = page[at%pageSize : next-(at/pageSize)*pageSize]
			}
		}
		at = next
	}
	return 0, false
}

// infoAt reads the build information (cmd/link's buildinfo: magic, width, flags, then the texts, or before Go 1.18
// pointers to them).
func (p parts) infoAt(off, end uint64) (version, mod string) {
	b, err := p.bytes(off, infoHeader)
	if err != nil {
		return "", ""
	}
	const inline, big = 2, 1
	if b[15]&inline != 0 {
		var next uint64
		if version, next = p.counted(off+infoHeader, end); version != "" {
			mod, _ = p.counted(next, end)
		}
		return version, framed(mod)
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if b[15]&big != 0 {
		order = binary.BigEndian
	}
	r, wide := record{b, order}, b[14] == 8
	if !wide {
		return p.pointed(r.word(16, false), order, false), framed(p.pointed(r.word(20, false), order, false))
	}
	return p.pointed(r.word(16, true), order, true), framed(p.pointed(r.word(24, true), order, true))
}

// counted reads a text with its length before it.
func (p parts) counted(off, end uint64) (s string, next uint64) {
	if off >= end {
		return "", 0
	}
	b, err := p.bytes(off, min(binary.MaxVarintLen64, end-off))
	if err != nil {
		return "", 0
	}
	n, used := binary.Uvarint(b)
	if used <= 0 || n > maxInfo || n > end-off {
		return "", 0
	}
	off += uint64(used)
	if b, err = p.bytes(off, n); err != nil {
		return "", 0
	}
	return string(b), off + n
}

// pointed reads the Go string that stands at an address in memory.
func (p parts) pointed(addr uint64, order binary.ByteOrder, wide bool) string {
	off, n, ok := p.fileOffset(addr)
	if !ok || n < 16 {
		return ""
	}
	b, err := p.bytes(off, 16)
	if err != nil {
		return ""
	}
	half := 4
	if wide {
		half = 8
	}
	r := record{b, order}
	length := r.word(half, wide)
	off, n, ok = p.fileOffset(r.word(0, wide))
	if !ok || length > n || length > maxInfo {
		return ""
	}
	if b, err = p.bytes(off, length); err != nil {
		return ""
	}
	return string(b)
}

// framed takes the marks around the text that describes the build away (cmd/go's modload.infoStart and infoEnd).
func framed(mod string) string {
	if len(mod) >= 33 && mod[len(mod)-17] == '\n' {
		return mod[16 : len(mod)-16]
	}
	return ""
}

// parseInfo reads the text that describes the build. What it cannot read is left out.
func parseInfo(version, mod string) *GoInfo {
	g := &GoInfo{Version: printable(version), Settings: map[string]string{}, VCS: map[string]string{}}
	b, err := debug.ParseBuildInfo(mod)
	if err != nil || b == nil {
		return g
	}
	g.Path, g.Module, g.Modules = printable(b.Path), printable(b.Main.Path), len(b.Deps)
	if v := b.Main.Version; v != "" && v != "(devel)" {
		g.Module += "@" + printable(v)
	}
	for _, s := range b.Settings {
		if len(g.Settings) == maxSettings {
			break
		}
		g.set(printable(s.Key), printable(s.Value))
	}
	return g
}

func (g *GoInfo) set(key, value string) {
	g.Settings[key] = value
	switch {
	case key == "CGO_ENABLED" && (value == "0" || value == "1"):
		g.Cgo = new(value == "1")
	case key == "-tags":
		g.Tags = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	case key == "-ldflags":
		g.LDFlags = value
	case key == "vcs" || strings.HasPrefix(key, "vcs."):
		g.VCS[strings.TrimPrefix(key, "vcs.")] = value
	}
}

// variant is the variant of an architecture that Go was told to build for, as targets write it; "" if it does not say.
func (g *GoInfo) variant(arch string) string {
	if g == nil {
		return ""
	}
	key := "GO" + strings.ToUpper(strings.TrimSuffix(arch, "le"))
	value := g.Settings[key]
	switch arch {
	case "arm":
		if value == "" {
			return ""
		}
		version, float, _ := strings.Cut(value, ",")
		if float == "softfloat" && version != "5" || float == "hardfloat" && version == "5" { // else the default of the version
			return "v" + version + "," + float
		}
		return "v" + version
	case "mips", "mipsle", "mips64", "mips64le", "386", "amd64", "arm64", "ppc64", "ppc64le", "riscv64":
		return value
	}
	return ""
}
