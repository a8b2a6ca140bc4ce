package shellenv

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	tests := []struct {
		name          string
		before, after string
		gone, made    bool
		want          string
	}{
		{name: "same", before: "a\n", after: "a\n", want: ""},
		{name: "made", after: "a\nb\n", made: true, want: "--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{name: "gone", before: "a\n", gone: true, want: "--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n"},
		{name: "at the end", before: "1\n2\n3\n4\n5\n", after: "1\n2\n3\n4\n5\n6\n", want: "--- f\n+++ f\n@@ -3,3 +3,4 @@\n 3\n 4\n 5\n+6\n"},
		{name: "two places", before: "1\n2\n3\n4\n5\n6\n7\n8\n9\n", after: "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n",
			want: "--- f\n+++ f\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -7,3 +8,4 @@\n 7\n 8\n 9\n+10\n"},
		{name: "near places", before: "1\n2\n3\n", after: "0\n1\n2\n3\n4\n", want: "--- f\n+++ f\n@@ -1,3 +1,5 @@\n+0\n 1\n 2\n 3\n+4\n"},
		{name: "replaced", before: "a\nx\nb\n", after: "a\ny\nz\nb\n", want: "--- f\n+++ f\n@@ -1,3 +1,4 @@\n a\n-x\n+y\n+z\n b\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Change{File: "f", Before: tt.before, After: tt.after, Exists: !tt.made, Remains: !tt.gone}
			if diff := cmp.Diff(tt.want, c.Diff()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzEdits wants the old text of what stays and goes, and the new one of what stays and comes.
func FuzzEdits(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\nd\n")
	f.Add("", "x\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		a, b := splitLines(before), splitLines(after)
		if len(a) > 100 || len(b) > 100 {
			return
		}
		var was, is []string
		for _, e := range edits(a, b) {
			if e.op != '+' {
				was = append(was, e.line)
			}
			if e.op != '-' {
				is = append(is, e.line)
			}
		}
		if strings.Join(was, "") != strings.Join(a, "") || strings.Join(is, "") != strings.Join(b, "") {
			t.Fatalf("%q and %q become %q and %q", a, b, was, is)
		}
	})
}
