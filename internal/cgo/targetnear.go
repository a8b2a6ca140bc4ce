package cgo

import (
	"slices"
	"strings"
)

// otherNames are what systems, architectures and libraries are called elsewhere: by uname, by Docker, in the names of
// compilers, in talk.
func otherNames(word string) string {
	switch word {
	case "macos", "mac", "osx", "macosx", "apple":
		return "darwin"
	case "win", "win32", "win64", "w64", "mingw", "mingw32", "mingw64", "windows-gnu":
		return "windows"
	case "x86_64", "x64", "x86-64", "amd", "intel", "intel64":
		return "amd64"
	case "i386", "i486", "i586", "i686", "x86", "ia32":
		return "386"
	case "aarch64", "armv8", "arm64v8", "apple-silicon":
		return "arm64"
	case "armhf", "armv7l", "armv7", "armel", "armv6l", "armv6", "armv5", "armv5l", "arm32", "arm32v7", "arm32v6":
		return "arm"
	case "powerpc64le", "ppc64el", "power", "powerpc64el":
		return "ppc64le"
	case "loongarch64", "loong", "loongarch":
		return "loong64"
	case "mipsel":
		return "mipsle"
	case "mips64el":
		return "mips64le"
	case "riscv":
		return "riscv64"
	case "glibc", "gnueabihf", "gnueabi", "libc":
		return GNU
	case "musleabihf", "musleabi", "alpine", "muslc":
		return Musl
	}
	return word
}

// armVariant is the variant that another name of arm tells.
func armVariant(word string) string {
	switch word {
	case "armhf", "armv7l", "armv7", "arm32v7", "7":
		return "v7"
	case "armv6l", "armv6", "arm32v6", "6":
		return "v6"
	case "armel", "armv5", "armv5l", "5":
		return "v5"
	}
	return ""
}

// near lists the targets that text may mean, at most four: what it says in other words if that is one, else those
// with the fewest letters to be changed.
func near(text string) []string {
	if t, ok := inOtherWords(strings.ToLower(strings.TrimSpace(text))); ok {
		return []string{t.String()}
	}
	base := strings.ToLower(text)
	if parts := strings.Split(base, "/"); len(parts) > 2 {
		base = parts[0] + "/" + parts[1]
	}
	type scored struct {
		name string
		far  int
	}
	var all []scored
	for _, p := range platforms() {
		name := p.goos + "/" + p.goarch
		far := distance(base, name)
		if goos, _, _ := strings.Cut(base, "/"); otherNames(goos) == p.goos {
			// The same system: an architecture that it has.
			all = append(all, scored{name, min(far, 4)})
		} else if far <= 3 {
			all = append(all, scored{name, far})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.far - b.far })
	var names []string
	for _, s := range all[:min(len(all), 4)] {
		names = append(names, s.name)
	}
	return names
}

// inOtherWords reads a target whose parts stand in another order, have other names, or are a triple as compilers
// write it: x86_64-linux-musl, macos/arm64, linux/musl/aarch64, arm64.
func inOtherWords(text string) (Target, bool) {
	// x86_64 and gnu.2.17 stay whole.
	words := strings.FieldsFunc(text, func(r rune) bool { return r == '/' || r == '-' || r == ':' || r == ' ' || r == ',' })
	var t Target
	var unknown int
	for _, w := range words {
		if v := armVariant(w); v != "" && (t.Arch == "" || t.Arch == "arm") {
			t.Variant = v
			if len(w) == 1 {
				continue
			}
		}
		libc, floor, _ := strings.Cut(w, ".")
		name := otherNames(w)
		_, values := variants(t.Arch)
		switch {
		case t.OS == "" && isOS(name):
			t.OS = name
		case t.Arch == "" && isArch(name):
			t.Arch = name
		case t.Libc == "" && (otherNames(libc) == GNU || otherNames(libc) == Musl):
			t.Libc = otherNames(libc)
			if isFloor(floor) && t.Libc == GNU {
				t.Floor = floor
			}
		case slices.Contains(values, w):
			t.Variant = w
		case w == "unknown" || w == "pc" || w == "none" || w == "w64" || w == "mingw32" || w == "gcc": // of triples
		default:
			unknown++
		}
	}
	if t.OS == "" && t.Arch != "" { // musl and gnu are of linux; so is most of what is built for others
		t.OS = "linux"
	}
	if t.OS == "windows" {
		t.Libc, t.Floor = "", ""
	}
	if unknown > 0 {
		return Target{}, false
	}
	got, kind, _ := parseTarget(t.String())
	return got, kind == ""
}

func isOS(name string) bool {
	return slices.ContainsFunc(platforms(), func(p platform) bool { return p.goos == name })
}

func isArch(name string) bool {
	return slices.ContainsFunc(platforms(), func(p platform) bool { return p.goarch == name })
}

// distance counts the letters that must be put in, taken out, changed or swapped with the next to make b of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
