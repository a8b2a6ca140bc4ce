package store_test

func systemRole(string) func(string) error { return nil }
