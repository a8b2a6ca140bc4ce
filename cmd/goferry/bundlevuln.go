package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/bundle"
	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/transport"
)

// Limits of the vulnerability database: a hundred times what it has in 2026.
const (
	maxVulnZip   = 256 << 20 // bytes
	maxVulnFile  = 64 << 20  // bytes, unpacked
	maxVulnFiles = 200_000
)

// vuln adds govulncheck's database: the files of vulndb.zip, as they are, so that -db file:///… works on what was unpacked.
// Source: https://go.dev/doc/security/vuln/database#api.
func (c *creation) vuln(ctx context.Context) error {
	c.show.asking(c.job.vuln)
	data, err := c.vulnZip(ctx, strings.TrimSuffix(c.job.vuln, "/"))
	if err == nil {
		err = c.unpackVuln(data)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &fault{code: "bundlecreate.error.vuln", args: []any{"URL", goproxy.RedactURL(c.job.vuln), "Err", errLine(err)}, hint: "bundlecreate.hint.vuln", exit: goproxy.ExitCode(err), err: err}
}

// vulnZip fetches the database, or reads it from a file:// folder.
func (c *creation) vulnZip(ctx context.Context, base string) ([]byte, error) {
	if strings.HasPrefix(base, "file:") {
		dir, err := fileDir(base)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(dir, "vulndb.zip"))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", goproxy.ErrNotExist, err)
		}
		return data, err
	}
	if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: not an http, https or file URL", goproxy.ErrInvalid)
	}
	if c.f.offline() {
		return nil, fmt.Errorf("%w: offline", goproxy.ErrUnavailable)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/vulndb.zip", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.f.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", goproxy.ErrUnavailable, transport.Clean(err))
	}
	defer resp.Body.Close()
	if err := goproxy.FromStatus(resp.StatusCode); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxVulnZip+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", goproxy.ErrUnavailable, transport.Clean(err))
	}
	if len(data) > maxVulnZip {
		return nil, fmt.Errorf("%w: vulndb.zip has more than %d bytes", goproxy.ErrMismatch, maxVulnZip)
	}
	return data, nil
}

// unpackVuln makes entries of the files. What they say of the time counts for the bundle's.
func (c *creation) unpackVuln(data []byte) error {
	bad := func(err error) error { return fmt.Errorf("%w: vulndb.zip: %w", goproxy.ErrMismatch, err) }
	zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return bad(err)
	}
	if len(zr.File) > maxVulnFiles {
		return bad(fmt.Errorf("%d files", len(zr.File)))
	}
	index := false
	for _, zf := range zr.File {
		if strings.HasSuffix(zf.Name, "/") {
			continue
		}
		name := bundle.VulnFolder + zf.Name
		if err := bundle.CheckName(name); err != nil {
			return bad(err)
		}
		text, err := readVuln(zf)
		if err != nil {
			return bad(err)
		}
		c.files = append(c.files, bundle.FileOf(name, text))
		if zf.Name == "index/db.json" {
			var db struct{ Modified time.Time }
			if err := json.Unmarshal(text, &db); err != nil {
				return bad(err)
			}
			if index = true; db.Modified.After(c.plan.Time) {
				c.plan.Time = db.Modified
			}
		}
	}
	if !index {
		return bad(errors.New("no index/db.json"))
	}
	return nil
}

func readVuln(zf *zip.File) ([]byte, error) {
	r, err := zf.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxVulnFile+1))
	if err == nil && len(text) > maxVulnFile {
		err = fmt.Errorf("%s has more than %d bytes", zf.Name, maxVulnFile)
	}
	return text, err
}
