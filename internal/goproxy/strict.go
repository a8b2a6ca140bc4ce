package goproxy

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/mod/module"
)

// Strict returns a Source that answers as the protocol demands whatever src makes of it:
//
//   - lists are clean: no pseudo-versions, no garbage, sorted, each version once;
//   - an .info or latest that the go command would refuse is ErrUnavailable;
//   - latest is answered from the list, by Go's rule, where src has none although it
//     has versions (the endpoint is optional), and so are the queries "latest", "v1" and "v1.2".
//
// It asks src for one file per request, and for a list and an .info only where an answer
// has to be derived.
func Strict(src Source) Source {
	return SourceFunc(func(ctx context.Context, req Request) (File, error) {
		switch {
		case req.Kind == List:
			data, info, err := readInfo(ctx, src, req)
			if err != nil {
				return nil, err
			}
			versions, _ := ParseList(req.Path, data)
			return newFileLike(req, FormatList(versions), info), nil
		case req.Kind == Latest:
			return strictLatest(ctx, src, req)
		case req.Kind == Info && req.Version == "latest":
			return strictLatest(ctx, src, req)
		case req.Kind == Info && isPrefix(req.Version):
			return strictPrefix(ctx, src, req)
		case req.Kind == Info:
			return strictInfo(ctx, src, req, req)
		}
		return src.Open(ctx, req)
	})
}

// strictInfo opens an Info or Latest, and refuses what the go command would refuse. The file is the
// answer to as.
func strictInfo(ctx context.Context, src Source, req, as Request) (File, error) {
	data, info, err := readInfo(ctx, src, req)
	if err != nil {
		return nil, err
	}
	if _, err := ParseInfo(req, data); err != nil {
		return nil, err
	}
	return newFileLike(as, data, info), nil
}

// readInfo is ReadFile, and tells how src came by the file.
func readInfo(ctx context.Context, src Source, req Request) ([]byte, fs.FileInfo, error) {
	f, err := src.Open(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := readAll(f, req)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	return data, info, err
}

// newFileLike returns a File with new content that was come by like another.
func newFileLike(req Request, data []byte, like fs.FileInfo) File {
	meta := MetaOf(like)
	return NewFile(req, data, like.ModTime(), &meta)
}

// strictLatest answers req, a Latest or the query "latest".
func strictLatest(ctx context.Context, src Source, req Request) (File, error) {
	f, err := strictInfo(ctx, src, Request{Path: req.Path, Kind: Latest}, req)
	if !Absent(err) {
		return f, err
	}
	data, listErr := ReadFile(ctx, src, Request{Path: req.Path, Kind: List})
	if Absent(listErr) {
		return nil, err
	}
	if listErr != nil {
		return nil, listErr
	}
	versions, pseudo := ParseList(req.Path, data)
	versions, verr := dropIncompatible(ctx, src, req.Path, versions)
	if verr != nil {
		return nil, verr
	}
	v := pickLatest(versions, pseudo)
	if v == "" {
		return nil, err
	}
	return strictInfo(ctx, src, Request{Path: req.Path, Version: v, Kind: Info}, req)
}

// strictPrefix answers v1 or v1.2 from the list, as the go command does; where nothing
// there matches, src may know the name as a branch or tag.
func strictPrefix(ctx context.Context, src Source, req Request) (File, error) {
	data, err := ReadFile(ctx, src, Request{Path: req.Path, Kind: List})
	if err == nil {
		versions, _ := ParseList(req.Path, data)
		if v := highest(matchPrefix(versions, req.Version)); v != "" {
			return strictInfo(ctx, src, Request{Path: req.Path, Version: v, Kind: Info}, req)
		}
	} else if !Absent(err) {
		return nil, err
	}
	return strictInfo(ctx, src, req, req)
}

// dropIncompatible leaves +incompatible versions out when the highest compatible version
// has a go.mod of its own: then v2 and later need a /v2 path, and the go command passes
// such tags over as well. A go.mod of one module line is what proxies make up for a
// version without one.
func dropIncompatible(ctx context.Context, src Source, path string, versions []string) ([]string, error) {
	var compatible []string
	for _, v := range versions {
		if !strings.HasSuffix(v, "+incompatible") {
			compatible = append(compatible, v)
		}
	}
	if len(compatible) == 0 || len(compatible) == len(versions) {
		return versions, nil
	}
	mod, err := ReadFile(ctx, src, Request{Path: path, Version: compatible[len(compatible)-1], Kind: Mod})
	if err != nil && !Absent(err) {
		return nil, err
	}
	if strings.TrimSpace(string(mod)) == "module "+path {
		return versions, nil
	}
	return compatible, nil
}

// CheckPath returns an ErrInvalid for what can be no module path, and nil otherwise.
func CheckPath(path string) error {
	if err := module.CheckPath(path); err != nil {
		return &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
	}
	return nil
}
