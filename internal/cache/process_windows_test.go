package cache_test

func systemRole(string) func(dir string) error { return nil }
