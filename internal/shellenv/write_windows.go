package shellenv

import (
	"io/fs"
	"os"
)

// keepOwner has nothing to do: a file in a user's folder inherits who may do what.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
