package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/mod/module"

	"github.com/goferry/goferry/internal/goproxy"
)

// maxName is the longest name of an entry in bytes: Windows and tar have limits near it, and
// escaped module paths stay far below.
const maxName = 1000

// MaxEntries is how many entries a bundle may have. The whole public index of one day has fewer.
const MaxEntries = 1 << 19

// CheckName reports whether an entry may have this name: a file of the GOPROXY protocol, one of the
// checksum database below sumdb/NAME/, or one of goferry's own. Names are safe to unpack on
// all systems. The error has CodePlan.
func CheckName(name string) error {
	if err := checkName(name); err != nil {
		return &Error{Code: CodePlan, Detail: name, Err: err}
	}
	return nil
}

func checkName(name string) error {
	if len(name) > maxName || !fs.ValidPath(name) || name == "." {
		return errors.New("not a relative path in its shortest form")
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return errors.New("only visible ASCII letters may be in a name")
		}
	}
	// Windows: no backslash, no colon, no CON, no final dot.
	if err := module.CheckFilePath(name); err != nil {
		return err
	}
	if ours, ok := strings.CutPrefix(name, Ours); ok && ours != "" {
		return nil
	}
	if db, ok := strings.CutPrefix(name, "sumdb/"); ok {
		return checkSumDBName(db)
	}
	req, err := goproxy.ParseRequest(name)
	if err != nil {
		return err
	}
	if back, err := req.Name(); err != nil || back != name {
		return fmt.Errorf("not the name of %v", req)
	}
	return nil
}

// checkSumDBName checks what comes behind sumdb/: the database's name, and one of the files that
// https://go.dev/ref/mod#checksum-database lists.
func checkSumDBName(name string) error {
	for _, end := range []string{"/supported", "/latest"} {
		if db, ok := strings.CutSuffix(name, end); ok && db != "" {
			return nil
		}
	}
	for _, mid := range []string{"/lookup/", "/tile/"} {
		if db, rest, ok := strings.Cut(name, mid); ok && db != "" && rest != "" {
			return nil
		}
	}
	return errors.New("not a file of a checksum database")
}

// checkNames returns the first name that cannot stand beside the ones before it: twice the same, the same
// but for case, or a file where another name has a folder.
func checkNames(names func(yield func(string) bool)) (string, error) {
	folders := map[string]string{} // folded: as it is spelled
	files := map[string]bool{}     // folded
	for name := range names {
		fold := strings.ToLower(name)
		if files[fold] {
			return name, errors.New("twice, or the same but for case")
		}
		if _, ok := folders[fold]; ok {
			return name, errors.New("a file and a folder")
		}
		files[fold] = true
		for i := len(name) - 1; i > 0; i-- {
			if name[i] != '/' {
				continue
			}
			spelled, ok := folders[fold[:i]]
			if ok && spelled == name[:i] {
				break // and so are those above it
			}
			if ok || files[fold[:i]] {
				return name, errors.New("its folder is a file, or another one but for case")
			}
			folders[fold[:i]] = name[:i]
		}
	}
	return "", nil
}
