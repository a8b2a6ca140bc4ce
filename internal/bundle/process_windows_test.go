package bundle_test

func systemRole(string) func(file string) error { return nil }
