package binary

import "testing"

func TestCompareNumbers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"2.9", "2.10", -1}, {"2.10", "2.9", 1}, {"2", "2.0", 0}, {"2.34", "2.34", 0}, {"", "0", 0}, {"", "1", -1}, {"3.4.30", "3.4", 1},
		{"1.99999999999999999999999999", "1.100000000000000000000000000", -1}, {"002.1", "2.1", 0},
	} {
		if got, back := compareNumbers(c.a, c.b), compareNumbers(c.b, c.a); got != c.want || back != -c.want {
			t.Errorf("%q and %q: %d, the other way %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}

func TestVersionSet(t *testing.T) {
	for name, want := range map[string][2]string{
		"GLIBC_2.34": {"glibc", "2.34"}, "GLIBCXX_3.4.30": {"libstdc++", "3.4.30"}, "GCC_4.2.0": {"libgcc", "4.2.0"}, "CXXABI_1.3": {"CXXABI", "1.3"},
		"GLIBC_ABI_DT_RELR": {"glibc", "2.36"}, "OPENSSL_3.0.0": {"OPENSSL", "3.0.0"},
		"GLIBC_PRIVATE": {"GLIBC_PRIVATE", ""}, "CXXABI_FLOAT128": {}, "LIBC": {}, "_2.3": {}, "GLIBC_2.": {}, "": {},
	} {
		set, version, ok := versionSet(name)
		if set != want[0] || version != want[1] || ok != (want[0] != "") {
			t.Errorf("%q: %q %q %v", name, set, version, ok)
		}
	}
}

func TestMuslSince(t *testing.T) {
	for name, want := range map[string]string{
		"__clock_gettime64": "1.2.0", "__stat_time64": "1.2.0", "__localtime64_r": "1.2.0", "__pthread_cond_timedwait_time64": "1.2.0",
		"gettid": "1.2.2", "qsort_r": "1.2.3", "statx": "1.2.5", "time": "", "printf": "", "__strtoll64": "", "timer_settime": "",
	} {
		if got := muslSince(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestPackageOf: the names are those that linkers write.
func TestPackageOf(t *testing.T) {
	for name, want := range map[string]string{
		"main.main": "main", "net/http.(*Client).Do": "net/http", "gopkg.in/yaml%2ev3.Node.Decode": "gopkg.in/yaml.v3", "example.com/a.b/c.F.func1": "example.com/a.b/c",
		"slices.SortFunc[go.shape.[]example.com/x.T,go.shape.int]": "slices", "type:.eq.net/http.Header": packageOwn, "type..hash.[2]string": packageOwn, "go:textfipsstart": packageOwn,
		"go.uber.org/zap.New": "go.uber.org/zap", "_cgo_topofstack": packageC, "sqlite3_open.part.0": packageC, "main.(*T[...]).M": "main",
	} {
		if got := new(lines).packageOf(name, false); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := new(lines).packageOf("memeqbody", true); got != "runtime" {
		t.Errorf("without C: %q", got)
	}
}
