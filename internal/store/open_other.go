//go:build !linux

package store

import "os"

// openRead opens name for reading without leaving the store's folder. On Windows
// os.Root opens with FILE_SHARE_DELETE, so that a commit can replace and GC can
// remove what is being read, as everywhere else.
func (s *Store) openRead(name string) (*os.File, error) { return s.root.Open(name) }
