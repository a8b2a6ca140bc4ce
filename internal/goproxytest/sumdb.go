package goproxytest

import (
	"archive/zip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// A sumVariant is one of the databases that a server can be.
type sumVariant int

const (
	rightSums sumVariant = iota
	wrongSums            // other hashes, right key
	badKey               // right hashes, another key of the same name
	sumVariants
)

// sumDB is a checksum database that learns a module when it is first looked up.
type sumDB struct {
	name, verifier string
	servers        [sumVariants]http.Handler
}

func newSumDB(name string, h *Handler) (*sumDB, error) {
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, err
	}
	if _, err := note.NewVerifier(vkey); err != nil {
		return nil, fmt.Errorf("checksum database %q: %w", name, err)
	}
	other, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, err
	}
	db := &sumDB{name: name, verifier: vkey}
	for v, key := range []string{rightSums: skey, wrongSums: skey, badKey: other} {
		ops := sumdb.NewTestServer(key, func(path, version string) ([]byte, error) {
			return h.goSum(path, version, sumVariant(v) == wrongSums)
		})
		db.servers[v] = sumdb.NewServer(ops)
	}
	return db, nil
}

// SumDBName is the name of the checksum database.
func (h *Handler) SumDBName() string { return h.sums.name }

// GOSUMDB is a value for GOSUMDB: name+hash+key.
func (h *Handler) GOSUMDB() string { return h.sums.verifier }

// goSum is the record of a module: its lines of go.sum.
func (h *Handler) goSum(path, version string, wrong bool) ([]byte, error) {
	h.modMu.Lock()
	m := h.modules[path][version]
	h.modMu.Unlock()
	if m == nil {
		return nil, fs.ErrNotExist // x/mod/sumdb does not unwrap
	}
	zipSum, err := hashZip(m.zip)
	if err != nil {
		return nil, err
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(m.mod))), nil
	})
	if err != nil {
		return nil, err
	}
	if wrong {
		zipSum, modSum = otherSum(zipSum), otherSum(modSum)
	}
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zipSum, path, version, modSum), nil
}

func hashZip(b blob) (string, error) {
	zr, err := zip.NewReader(b, b.Size())
	if err != nil {
		return "", err
	}
	files := map[string]*zip.File{}
	var names []string
	for _, f := range zr.File {
		files[f.Name] = f
		names = append(names, f.Name)
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return files[name].Open() })
}

// otherSum is a well-formed hash that is not h.
func otherSum(h string) string {
	sum := sha256.Sum256([]byte(h))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// serve answers /sumdb/NAME/….
func (db *sumDB) serve(x *exchange) {
	rest, ok := strings.CutPrefix(x.rest, "/sumdb/"+db.name+"/")
	if !ok {
		x.notFound("no such checksum database")
		return
	}
	if rest == "supported" {
		x.w.WriteHeader(http.StatusOK)
		return
	}
	r := x.r.Clone(x.r.Context())
	r.URL.Path = "/" + rest
	defer func() {
		// The server of x/mod panics where it is asked for more of a tile than there is, as clients
		// do for which the part did not come.
		switch e := recover(); e {
		case nil:
		case http.ErrAbortHandler: // a fault
			panic(e)
		default:
			x.notFound("no such tile")
		}
	}()
	db.servers[x.sums].ServeHTTP(x.w, r)
}
