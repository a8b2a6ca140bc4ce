package transport

import (
	"fmt"
	"net/http"
	"testing"
)

func TestParseContentRange(t *testing.T) {
	none := contentRange{}
	for _, tt := range []struct {
		value string
		want  contentRange // none for an error
	}{
		{"bytes 0-0/1", contentRange{0, 1, 1, false}},
		{"bytes 5-9/10", contentRange{5, 10, 10, false}},
		{"Bytes 5-9/*", contentRange{5, 10, -1, false}},
		{"bytes */10", contentRange{total: 10, unsatisfied: true}},
		{"bytes */*", none},
		{"bytes 5-10/10", none},
		{"bytes 5-4/10", none},
		{"bytes -5-9/10", none},
		{"bytes +5-9/10", none},
		{"bytes 5-9", none},
		{"bytes 5/10", none},
		{"bytes=5-9/10", none},
		{"bytes  5-9/10", none},
		{"items 5-9/10", none},
		{"bytes 5-9/10/10", none},
		{"bytes 0-9223372036854775807/*", none},
		{"bytes 0-99999999999999999/999999999999999999", contentRange{0, 1e17, 999999999999999999, false}},
		{"", none},
	} {
		got, err := parseContentRange(tt.value)
		if got != tt.want || (err != nil) != (tt.want == none) {
			t.Errorf("%q: got %+v, error %v, want %+v", tt.value, got, err, tt.want)
		}
	}
}

// What is accepted lies within the file, and says the same when it is written down again.
func FuzzParseContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */10", "bytes 00-01/2", "bytes 5-4/10", "bytes 0-18446744073709551615/*", "x 1-2/3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r, err := parseContentRange(value)
		if err != nil {
			if r != (contentRange{}) {
				t.Fatalf("%q: error %v and %+v", value, err, r)
			}
			return
		}
		total := "*"
		if r.total >= 0 {
			total = fmt.Sprint(r.total)
		}
		again := "bytes */" + total
		if !r.unsatisfied {
			if r.from < 0 || r.to <= r.from || r.total >= 0 && r.to > r.total {
				t.Fatalf("%q: got %+v", value, r)
			}
			again = fmt.Sprintf("bytes %d-%d/%s", r.from, r.to-1, total)
		}
		if back, err := parseContentRange(again); err != nil || back != r {
			t.Fatalf("%q: got %+v, and of %q %+v, error %v", value, r, again, back, err)
		}
	})
}

func TestIdentify(t *testing.T) {
	const early, late = "Fri, 02 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 03:04:06 GMT"
	for _, tt := range []struct {
		etag, modified, date string
		ifRange              string
	}{
		{`"a"`, early, late, `"a"`},
		{`W/"a"`, early, late, ""}, // RFC 9110 forbids the date then
		{"", early, late, early},
		{"", early, early, ""}, // it may have changed within the second
		{"", late, early, ""},
		{"", early, "", ""},
		{"", "yesterday", late, ""},
		{`"`, "", late, ""},
	} {
		h := http.Header{}
		for name, value := range map[string]string{"Etag": tt.etag, "Last-Modified": tt.modified, "Date": tt.date} {
			if value != "" {
				h.Set(name, value)
			}
		}
		if got := identify(&http.Response{Header: h}); got.ifRange != tt.ifRange {
			t.Errorf("%+v: If-Range is %q", tt, got.ifRange)
		}
	}
}

func TestRanges(t *testing.T) {
	for value, want := range map[string]bool{"bytes": true, "none": false, "": false, "items, Bytes": true, "bytesx": false} {
		if got := ranges(http.Header{"Accept-Ranges": {value}}); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}
