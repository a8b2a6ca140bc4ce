package goproxy_test

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

const (
	pseudoOld = "v0.0.0-20200102030405-0123456789ab"
	pseudoNew = "v0.0.0-20240102030405-ba9876543210"
)

// TestStrict: what is asked, what the upstream says, what goferry answers, and what
// it asked the upstream for.
func TestStrict(t *testing.T) {
	const m = "example.com/m"
	type files = map[string]string
	info := func(v string) string { return `{"Version":"` + v + `"}` }
	tests := []struct {
		name  string
		src   *tree
		more  files
		ask   string
		want  string // content
		err   error
		asked []string // beside ask itself
	}{
		{name: "list is cleaned", src: infos(m, "v1.2.0", "v1.10.0", "garbage", pseudoNew, "v1.2.0", "v1.3.0-rc.1"), ask: "@v/list", want: "v1.2.0\nv1.3.0-rc.1\nv1.10.0\n"},
		{name: "empty list", src: infos(m), ask: "@v/list", want: ""},
		{name: "list of pseudo-versions", src: infos(m, pseudoNew), ask: "@v/list", want: ""},
		{name: "no list", src: &tree{}, ask: "@v/list", err: goproxy.ErrNotExist},

		{name: "latest is passed on", src: infos(m, "v1.0.0", "v1.1.0"), more: files{"@latest": `{"Version":"v1.0.0","Origin":{"VCS":"git"}}`}, ask: "@latest", want: `{"Version":"v1.0.0","Origin":{"VCS":"git"}}`},
		{name: "latest: highest release", src: infos(m, "v1.2.0", "v1.10.0", "v1.11.0-rc.1", pseudoNew), ask: "@latest", want: info("v1.10.0"), asked: []string{"@v/list", "@v/v1.10.0.info"}},
		{name: "latest: highest pre-release", src: infos(m, "v1.0.0-alpha", "v1.0.0-rc.1", "v1.0.0-rc.0", pseudoNew), ask: "@latest", want: info("v1.0.0-rc.1"), asked: []string{"@v/list", "@v/v1.0.0-rc.1.info"}},
		{name: "latest: newest pseudo-version", src: infos(m, "v0.1.1-0.20200102030405-0123456789ab", pseudoNew, pseudoOld), ask: "@latest", want: info(pseudoNew), asked: []string{"@v/list", "@v/" + pseudoNew + ".info"}},
		{name: "latest: empty list", src: infos(m), ask: "@latest", err: goproxy.ErrNotExist, asked: []string{"@v/list"}},
		{name: "latest: no list", src: &tree{}, ask: "@latest", err: goproxy.ErrNotExist, asked: []string{"@v/list"}},
		{name: "latest: list not to be had", src: &tree{errs: map[string]error{m + "/@v/list": goproxy.ErrUnavailable}}, ask: "@latest", err: goproxy.ErrUnavailable, asked: []string{"@v/list"}},
		{name: "latest: not to be had", src: &tree{files: infos(m, "v1.0.0").files, errs: map[string]error{m + "/@latest": goproxy.ErrUnavailable}}, ask: "@latest", err: goproxy.ErrUnavailable},
		{name: "latest: blocked", src: &tree{files: infos(m, "v1.0.0").files, errs: map[string]error{m + "/@latest": goproxy.ErrBlocked}}, ask: "@latest", err: goproxy.ErrBlocked},
		{name: "latest: gone, as the list", src: &tree{errs: map[string]error{m + "/@latest": goproxy.ErrGone}}, ask: "@latest", err: goproxy.ErrGone, asked: []string{"@v/list"}},
		{name: "latest: no canonical version", src: infos(m, "v1.0.0"), more: files{"@latest": `{"Version":"v1"}`}, ask: "@latest", err: goproxy.ErrUnavailable},
		{name: "query latest", src: infos(m, "v1.0.0"), more: files{"@latest": info("v1.0.0")}, ask: "@v/latest.info", want: info("v1.0.0"), asked: []string{"@latest", "-"}},
		{name: "query latest, from the list", src: infos(m, "v1.0.0"), ask: "@v/latest.info", want: info("v1.0.0"), asked: []string{"@latest", "@v/list", "@v/v1.0.0.info", "-"}},

		{name: "incompatible, and no go.mod", src: infos(m, "v1.0.0", "v2.0.0+incompatible"), more: files{"@v/v1.0.0.mod": "module example.com/m\n"}, ask: "@latest",
			want: info("v2.0.0+incompatible"), asked: []string{"@v/list", "@v/v1.0.0.mod", "@v/v2.0.0+incompatible.info"}},
		{name: "incompatible, but there is a go.mod", src: infos(m, "v1.0.0", "v2.0.0+incompatible"), more: files{"@v/v1.0.0.mod": "module example.com/m\n\ngo 1.20\n"}, ask: "@latest",
			want: info("v1.0.0"), asked: []string{"@v/list", "@v/v1.0.0.mod", "@v/v1.0.0.info"}},
		{name: "incompatible, and the go.mod is not to be had", src: &tree{files: infos(m, "v1.0.0", "v2.0.0+incompatible").files, errs: map[string]error{m + "/@v/v1.0.0.mod": goproxy.ErrUnavailable}},
			ask: "@latest", err: goproxy.ErrUnavailable, asked: []string{"@v/list", "@v/v1.0.0.mod"}},
		{name: "incompatible alone", src: infos(m, "v2.0.0+incompatible", "v3.0.0+incompatible"), ask: "@latest", want: info("v3.0.0+incompatible"), asked: []string{"@v/list", "@v/v3.0.0+incompatible.info"}},

		{name: "prefix v1", src: infos(m, "v1.2.0", "v1.10.1", "v1.11.0-rc.1", "v0.9.0"), ask: "@v/v1.info", want: info("v1.10.1"), asked: []string{"@v/list", "@v/v1.10.1.info", "-"}},
		{name: "prefix v1.2", src: infos(m, "v1.2.0", "v1.2.3", "v1.20.0"), ask: "@v/v1.2.info", want: info("v1.2.3"), asked: []string{"@v/list", "@v/v1.2.3.info", "-"}},
		{name: "prefix of pre-releases", src: infos(m, "v1.2.0-a", "v1.2.0-b", "v1.1.0"), ask: "@v/v1.2.info", want: info("v1.2.0-b"), asked: []string{"@v/list", "@v/v1.2.0-b.info", "-"}},
		{name: "prefix that is a branch", src: infos(m, "v0.1.0"), more: files{"@v/v1.info": info("v0.1.0")}, ask: "@v/v1.info", want: info("v0.1.0"), asked: []string{"@v/list"}},
		{name: "prefix of nothing", src: infos(m, "v0.1.0"), ask: "@v/v1.info", err: goproxy.ErrNotExist, asked: []string{"@v/list"}},
		{name: "prefix, and no list to be had", src: &tree{errs: map[string]error{m + "/@v/list": goproxy.ErrBlocked}}, ask: "@v/v1.info", err: goproxy.ErrBlocked, asked: []string{"@v/list", "-"}},

		{name: "branch", src: infos(m), more: files{"@v/main.info": info("v1.2.3")}, ask: "@v/main.info", want: info("v1.2.3")},
		{name: "info of another version", src: infos(m), more: files{"@v/v1.0.0.info": info("v1.0.1")}, ask: "@v/v1.0.0.info", err: goproxy.ErrUnavailable},
		{name: "info that is a web page", src: infos(m), more: files{"@v/v1.0.0.info": "<html>"}, ask: "@v/v1.0.0.info", err: goproxy.ErrUnavailable},
		{name: "no such version", src: infos(m, "v1.0.0"), ask: "@v/v1.0.1.info", err: goproxy.ErrNotExist},
		{name: "mod is passed on", src: infos(m), more: files{"@v/v1.0.0.mod": "anything"}, ask: "@v/v1.0.0.mod", want: "anything"},
		{name: "zip is passed on", src: infos(m), more: files{"@v/v1.0.0.zip": "anything"}, ask: "@v/v1.0.0.zip", want: "anything"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, content := range tt.more {
				tt.src.files[m+"/"+name] = content
			}
			got, err := goproxy.ReadFile(t.Context(), goproxy.Strict(tt.src), mustParse(t, m+"/"+tt.ask))
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
			// One file for one request, and what is needed to derive an answer; "-": all but the file itself.
			want := []string{m + "/" + tt.ask}
			for _, name := range tt.asked {
				if name == "-" {
					want = want[1:]
					continue
				}
				want = append(want, m+"/"+name)
			}
			asked := tt.src.took()
			slices.Sort(asked)
			slices.Sort(want)
			if d := cmp.Diff(want, asked); d != "" {
				t.Errorf("asked the upstream for (-want +got):\n%s", d)
			}
		})
	}
}

// TestStrictKeepsMeta: how old an answer is does not get lost.
func TestStrictKeepsMeta(t *testing.T) {
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	src := infos("example.com/m", "v1.0.0")
	src.mod, src.meta = at, &goproxy.Meta{Result: "stale", Age: time.Minute, Warning: "old"}
	for _, name := range []string{"@v/list", "@latest", "@v/v1.info", "@v/v1.0.0.info"} {
		f, err := goproxy.Strict(src).Open(t.Context(), mustParse(t, "example.com/m/"+name))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil || goproxy.MetaOf(info) != *src.meta || !info.ModTime().Equal(at) || info.Name() != path.Base(name) {
			t.Errorf("%s: %+v, %v, %v", name, goproxy.MetaOf(info), info.ModTime(), err)
		}
	}
}

// TestStrictBounds: a list without an end is refused when it is longer than any can be.
func TestStrictBounds(t *testing.T) {
	endless := goproxy.SourceFunc(func(_ context.Context, req goproxy.Request) (goproxy.File, error) {
		return goproxy.NewStreamFile(goproxy.FileInfo{Bytes: -1}, io.NopCloser(forever("v1.0.0\n")), nil), nil
	})
	for _, name := range []string{"example.com/m/@v/list", "example.com/m/@latest", "example.com/m/@v/v1.info", "example.com/m/@v/v1.0.0.info"} {
		_, err := goproxy.Strict(endless).Open(t.Context(), mustParse(t, name))
		if !errors.Is(err, goproxy.ErrUnavailable) || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
