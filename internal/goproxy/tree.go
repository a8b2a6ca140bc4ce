package goproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Tree returns a Source over a GOPROXY tree in fsys: a goferry store, the folder of a file://
// URL, the go command's own cache/download, a bundle. A missing file is ErrNotExist,
// any other failure of the file system ErrUnavailable. Name is for error texts.
func Tree(fsys fs.FS, name string) Source {
	return SourceFunc(func(ctx context.Context, req Request) (File, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		file, err := req.Name()
		if err != nil {
			return nil, err
		}
		f, err := openRegular(fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Source: name, Request: req, Err: ErrNotExist}
		}
		if err != nil {
			return nil, &Error{Source: name, Request: req, Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
		}
		return f, nil
	})
}

func openRegular(fsys fs.FS, name string) (File, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if sf, ok := f.(File); ok {
		return sf, nil
	}
	// Entries of a compressed archive cannot seek: read forward, and again from
	// the start to go back.
	fi := FileInfo{Base: info.Name(), Bytes: info.Size(), Mod: info.ModTime()}
	return NewStreamFile(fi, f, func(offset int64) (io.ReadCloser, error) {
		f, err := fsys.Open(name)
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, f, offset); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}), nil
}
