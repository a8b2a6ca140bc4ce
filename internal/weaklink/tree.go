package weaklink

import (
	"crypto/rand"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"

	"github.com/goferry/goferry/internal/goproxy"
)

// Tree serves the cache/download folder of a module cache as a module proxy, with validators and
// ranges, and with a checksum database of its own, for which gosumdb is a value of GOSUMDB.
// Its records are made of the hashes that the go command left beside the zips.
func Tree(dir string) (h http.Handler, gosumdb string, err error) {
	const name = "sum.weaklink.test"
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, "", err
	}
	db := sumdb.NewServer(sumdb.NewTestServer(skey, func(path, version string) ([]byte, error) {
		return goSum(dir, path, version)
	}))
	prefix := "/sumdb/" + name
	files := &goproxy.Handler{Source: goproxy.Tree(os.DirFS(dir), "tree")}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.Path, prefix)
		switch {
		case !ok:
			files.ServeHTTP(w, r)
		case rest == "/supported":
		default:
			defer func() {
				// x/mod's server panics where it is asked for more of a tile than there is, as
				// clients do for which the part did not come.
				switch e := recover(); e {
				case nil:
				case http.ErrAbortHandler: // a fault of the link
					panic(e)
				default:
					http.Error(w, "no such tile", http.StatusNotFound)
				}
			}()
			http.StripPrefix(prefix, db).ServeHTTP(w, r)
		}
	}), vkey, nil
}

// goSum is the record of a module version: its lines of go.sum.
func goSum(dir, modPath, version string) ([]byte, error) {
	esc, err := module.EscapePath(modPath)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, filepath.FromSlash(esc), "@v", version)
	id, out := modPath+" "+version, ""
	if zip, err := os.ReadFile(base + ".ziphash"); err == nil {
		out = id + " " + strings.TrimSpace(string(zip)) + "\n"
	}
	hash, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return os.Open(base + ".mod") })
	if err == nil { // the go command keeps none of a toolchain
		out += id + "/go.mod " + hash + "\n"
	}
	if out == "" {
		return nil, fs.ErrNotExist // the server of x/mod wants just this
	}
	return []byte(out), nil
}
