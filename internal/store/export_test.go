package store

// DisableOpenat2 makes s open blobs as it does on kernels without openat2.
func (s *Store) DisableOpenat2() { s.quirk.Store(true) }
