package cgo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// named is c as the go command is told of it: what goferry brings itself, zig behind goferry and the compilers of its own folder, by
// names in a folder that PATH gets instead of by paths. The go command counts the words of CC among what a package is made of, and
// the program's build ID would tell where goferry and the user's home are: other bytes on each machine.
//
// Where there are no links, as on a Windows that gives users no right to make some, it is c as it is.
func (r *buildRun) named(c Compiler) Compiler {
	if c.zigWords() < 2 && c.From != "goferry" {
		return c
	}
	told := c
	for _, words := range []*[]string{&told.CC, &told.CXX, &told.AR} {
		*words = slices.Clone(*words)
		for i, w := range *words {
			path, zig := strings.CutPrefix(w, "--zig=")
			if i > 0 && !zig || !filepath.IsAbs(path) {
				continue
			}
			name := filepath.Base(path)
			if c.Family == Zig { // whatever the files are called
				name = "goferry"
				if zig || words == &told.AR {
					name = "zig"
				}
			}
			if !r.link(path, name) {
				return c
			}
			if (*words)[i] = name; zig {
				(*words)[i] = "--zig=" + name
			}
		}
	}
	path := append([]string{r.links()}, r.Finder.path()...)
	told.Env = append(slices.Clone(c.Env), "PATH="+strings.Join(path, string(os.PathListSeparator)))
	return told
}

// links is the folder with the names of compilers.
func (r *buildRun) links() string { return filepath.Join(r.tmp, "cc") }

// link gives a program a name in the folder of links, and reports whether it has it: of two of the same name the first does.
func (r *buildRun) link(path, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := filepath.Join(r.links(), name)
	if to, err := os.Readlink(at); err == nil {
		return to == path
	}
	return os.MkdirAll(r.links(), 0o777) == nil && os.Symlink(path, at) == nil
}
