//go:build !windows

package toolchain

import (
	"path/filepath"
	"strings"
)

// modes names the programs that may not be run. A toolchain of the module cache that was
// never used has none that may: the go command sees to that when it first runs it.
func (t *tree) modes(ref *reference, target Target) (changes []Change) {
	if target.OS == "windows" {
		return nil
	}
	first := t.files["bin/go"]
	if first != nil && first.mode&0o111 == 0 && strings.HasPrefix(filepath.Base(t.root), "toolchain@") {
		return nil
	}
	for name, f := range t.files {
		if _, ok := ref.sums[name]; ok && executable(name) && f.mode&0o111 == 0 {
			changes = append(changes, Change{Name: f.disk, Kind: Mode})
		}
	}
	return changes
}
