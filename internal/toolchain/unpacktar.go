package toolchain

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxTarBytes bounds what a tar.gz may decompress to: the files, a header of 512 bytes and
// padding for each, and room for long names.
const maxTarBytes = maxTreeBytes + 2048*maxTreeFiles

// tarGz unpacks the archive of a release. The error matches goproxy.ErrMismatch if it is
// not what a release can be. A tar has no directory, so this is one file after the other.
func (u *unpacking) tarGz(ctx context.Context, r io.Reader) error {
	src := &faultReader{r: stopping(ctx, r)}
	gz, err := gzip.NewReader(bufio.NewReaderSize(src, 256<<10))
	if err != nil {
		return tarFault(src, err)
	}
	capped := &tarCap{r: gz, left: maxTarBytes}
	tr := tar.NewReader(capped)
	w := &tarUnpacker{u: u, src: src, dirs: treeDirs{root: u.dir}, buf: make([]byte, unpackPiece)}
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return tarFault(src, err)
		}
		if err := w.entry(ctx, hdr, tr); err != nil {
			return err
		}
	}
	// To the end: only there is the checksum of the whole.
	capped.left = unpackPiece
	if _, err := io.Copy(io.Discard, capped); err != nil {
		return tarFault(src, err)
	}
	return nil
}

// A tarUnpacker writes the files of a tar.
type tarUnpacker struct {
	u    *unpacking
	src  *faultReader
	dirs treeDirs
	buf  []byte
}

// entry checks one entry and writes it if it belongs to the toolchain.
func (w *tarUnpacker) entry(ctx context.Context, hdr *tar.Header, data io.Reader) error {
	name, inside := strings.CutPrefix(hdr.Name, archiveFolder)
	switch hdr.Typeflag {
	case tar.TypeDir:
		if !inside {
			return badArchive(hdr.Name, errOutside)
		}
		if err := w.u.plan.addDir(strings.TrimSuffix(name, "/")); err != nil {
			return badArchive(hdr.Name, err)
		}
		return nil
	case tar.TypeReg:
	case tar.TypeSymlink, tar.TypeLink:
		return badArchive(hdr.Name, errors.New("is a link"))
	default:
		return badArchive(hdr.Name, fmt.Errorf("is neither a file nor a folder but of type %q", hdr.Typeflag))
	}
	err := checkMode(hdr.FileInfo().Mode())
	switch {
	case err != nil:
	case !inside:
		err = errOutside
	case rootName(name) != name:
		err = errModName
	default:
		err = w.u.plan.add(name, hdr.Size)
	}
	if err != nil {
		return badArchive(hdr.Name, err)
	}
	if !inModule(name) {
		return nil
	}
	if err := w.dirs.mkdir(name); err != nil {
		return err
	}
	sum, err := w.u.write(ctx, name, hdr.Size, -1, w.buf, &tarData{r: data, src: w.src})
	if err != nil {
		return err
	}
	w.u.sums[moduleName(name)] = sum
	return nil
}

// tarData marks the faults of the archive in the content of a file.
type tarData struct {
	r   io.Reader
	src *faultReader
}

// Read implements io.Reader.
func (d *tarData) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && err != io.EOF {
		err = tarFault(d.src, err)
	}
	return n, err
}

// tarFault tells faults of what the archive is read from, src, from faults of the archive.
func tarFault(src *faultReader, err error) error {
	if src.err != nil {
		return src.err
	}
	return badArchive("", err)
}

// tarCap fails where more than left bytes come.
type tarCap struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (c *tarCap) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
