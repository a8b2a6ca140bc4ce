package toolchain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// Limits against bombs. A release has some 15,000 files of 300 MB.
const (
	maxTreeBytes = 2 << 30
	maxTreeFiles = 1 << 18
)

// archiveFolder is the folder in which archives have everything.
const archiveFolder = "go/"

var (
	errTooLarge = fmt.Errorf("is larger than any release: the limits are %d bytes and %d files", maxTreeBytes, maxTreeFiles)
	errOutside  = errors.New("is not in the folder " + archiveFolder)
	errModName  = errors.New("_go.mod stands in module zips alone")
)

// badArchive says that a download is no release: goproxy.ErrMismatch, because a place
// that sends such a thing is as wrong as one that sends other bytes.
func badArchive(name string, why error) error {
	if name == "" {
		return fmt.Errorf("%w: not an archive of a release: %w", goproxy.ErrMismatch, why)
	}
	return fmt.Errorf("%w: not an archive of a release: %.200q: %w", goproxy.ErrMismatch, name, why)
}

// checkMode refuses what is neither a plain file nor harmless.
func checkMode(mode fs.FileMode) error {
	if mode&fs.ModeSymlink != 0 {
		return errors.New("is a link")
	}
	if !mode.IsRegular() {
		return errors.New("is not a file")
	}
	if mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		return errors.New("wants the rights of somebody else")
	}
	return nil
}

// An unpackPlan collects the names of a tree and refuses those that cannot stand beside
// each other on every system, or not below a folder at all. The zero value is ready.
type unpackPlan struct {
	seen  map[string]string // by folded name: the name, with a slash behind a folder
	bytes int64
}

// add adds a file of size bytes.
func (p *unpackPlan) add(name string, size int64) error {
	if size < 0 || size > maxTreeBytes-p.bytes {
		return errTooLarge
	}
	p.bytes += size
	return p.name(name, false)
}

// addDir adds a folder; "" is the root.
func (p *unpackPlan) addDir(name string) error {
	if name == "" {
		return nil
	}
	return p.name(name, true)
}

func (p *unpackPlan) name(name string, isDir bool) error {
	if !cleanName(name) {
		return errors.New("name leads out of the folder, or is not clean")
	}
	if err := module.CheckFilePath(name); err != nil && inModule(name) {
		return err
	}
	if p.seen == nil {
		p.seen = map[string]string{}
	}
	for {
		want := name
		if isDir {
			want += "/"
		}
		// Upper and then lower case: "ſ" is "S" and "s" is "S".
		key := strings.ToLower(strings.ToUpper(name))
		switch have, ok := p.seen[key]; {
		case !ok && len(p.seen) >= maxTreeFiles:
			return errTooLarge
		case !ok:
			p.seen[key] = want
		case have == want && isDir:
			return nil // a known folder; so are its parents
		case have == want:
			return errors.New("is there twice")
		case strings.TrimSuffix(have, "/") == name:
			return fmt.Errorf("%.200q is both a file and a folder", name)
		default:
			return fmt.Errorf("collides with %.200q where case does not count", have)
		}
		if name, isDir = path.Dir(name), true; name == "." {
			return nil
		}
	}
}

// treeDirs makes folders of a tree, each once.
type treeDirs struct {
	root string
	made map[string]bool // with slashes
	last string
}

// mkdir makes the folder of the file name.
func (d *treeDirs) mkdir(name string) error {
	dir := path.Dir(name)
	if dir == "." || dir == d.last || d.made[dir] {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(d.root, filepath.FromSlash(dir)), 0o777); err != nil {
		return err
	}
	if d.made == nil {
		d.made = map[string]bool{}
	}
	d.made[dir], d.last = true, dir
	return nil
}

// createFile makes a new file: never one that is there, and never through a link.
func createFile(name string, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}
