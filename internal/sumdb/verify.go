package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/goferry/goferry/internal/goproxy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// toolchainMod is the whole go.mod file of every golang.org/toolchain version.
const toolchainMod = "module golang.org/toolchain\n"

// Verify checks the file of req, which r gives in size bytes.
//
// A go.mod file may have 16 MiB. A zip must be a module zip by the rules of
// golang.org/x/mod/zip, decompress to what it declares, and fit CheckZip's
// limits; that holds for exempt modules and with the database off, too. Then the
// hash must be the one the database recorded. Other kinds of file are not recorded: nil.
//
// Errors: a *MismatchError, or another ErrMismatch where the file is no valid
// module file; *ForkError; ErrBlocked if the database has no record of the version;
// ErrUnavailable if it could not be asked; ErrInvalid if req names no possible file; r's own.
func (c *Client) Verify(ctx context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
	if req.Kind != goproxy.Mod && req.Kind != goproxy.Zip {
		return nil
	}
	if _, err := req.Name(); err != nil {
		return err
	}
	err := c.verify(ctx, req, r, size)
	if err == nil || ctx.Err() != nil {
		return err
	}
	out := &goproxy.Error{Request: req, Err: err}
	var ge *goproxy.Error
	var me *MismatchError
	switch {
	case errors.As(err, &ge):
		out.Hint, out.HintCode, out.RetryAfter = ge.Hint, ge.HintCode, ge.RetryAfter
	case errors.As(err, &me):
		out.Hint, out.HintCode = hintMismatch, codeMismatch
	}
	return out
}

func (c *Client) verify(ctx context.Context, req goproxy.Request, r io.ReaderAt, size int64) error {
	if !c.Covers(req.Path) {
		_, err := c.hash(ctx, req, r, size)
		return err
	}
	// The question and the hashing take turns to be the slow one.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		sums Sums
		err  error
	}
	asked := make(chan result, 1)
	go func() {
		sums, err := c.Lookup(ctx, req.Path, req.Version)
		asked <- result{sums, err}
	}()
	got, err := c.hash(ctx, req, r, size)
	if err != nil {
		cancel()
		<-asked // Lookup returns at once when its context ends
		return err
	}
	res := <-asked
	if res.err != nil {
		return c.refused(res.err)
	}
	want := res.sums.Zip
	if req.Kind == goproxy.Mod {
		want = res.sums.Mod
	}
	switch {
	case want == got:
		return nil
	case want != "":
		return &MismatchError{Request: req, Want: want, Got: got, DB: c.db.Name}
	case req.Kind == goproxy.Mod && req.Path == toolchainPath && got == hashMod([]byte(toolchainMod)):
		return nil // the one content it can have, recorded or not
	}
	return c.explain(fmt.Errorf("%w: %w: the record of %s lacks the hash of its %s", goproxy.ErrUnavailable, errForged, req.Path+"@"+req.Version, req.Kind))
}

// refused turns "no such record" into a refusal: absence of the record is not
// absence of the file, and must not send the go command to the next proxy.
func (c *Client) refused(err error) error {
	if !goproxy.Absent(err) || errors.Is(err, goproxy.ErrInvalid) {
		return err
	}
	return &goproxy.Error{
		Source:   c.db.Name,
		Err:      fmt.Errorf("%w: no record of this version, so it cannot be checked: %v", goproxy.ErrBlocked, errors.Unwrap(err)),
		Hint:     hintPrivate,
		HintCode: codePrivate,
	}
}

// hash checks the form of the file and returns its "h1:" hash.
func (c *Client) hash(ctx context.Context, req goproxy.Request, r io.ReaderAt, size int64) (string, error) {
	if req.Kind == goproxy.Mod {
		if size > modzip.MaxGoMod {
			return "", fmt.Errorf("%w: go.mod has %d bytes, limit is %d", goproxy.ErrMismatch, size, modzip.MaxGoMod)
		}
		data := make([]byte, size)
		if n, err := r.ReadAt(data, 0); n < len(data) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", fmt.Errorf("read go.mod: %w", err)
		}
		return hashMod(data), nil
	}
	select {
	case c.zips <- struct{}{}:
		defer func() { <-c.zips }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return hashZip(ctx, module.Version{Path: req.Path, Version: req.Version}, r, size)
}

// hashMod is the hash of a lone go.mod file. Source: cmd/go/internal/modfetch, goModSum.
func hashMod(data []byte) string {
	h, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	if err != nil {
		return "" // only names and readers can fail, and these cannot
	}
	return h
}
