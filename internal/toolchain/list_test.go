package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
)

// listVersions are what a module proxy has of linux-amd64, and others of other systems.
var listVersions = []string{"go1.20", "go1.20.14", "go1.21.0", "go1.21.13", "go1.97.0", "go1.97.2", "go1.98.0", "go1.98.4", "go1.98.5",
	"go1.99rc1", "go1.99.0", "go1.99.1", "go1.100rc1", "go1.100rc2"}

// newListWorld is a module proxy at proxy.test, one that is a known place at modules.test,
// and hosts of archives with lists at go.test and cn.test.
func newListWorld(t *testing.T) (*askWorld, *Lister) {
	t.Helper()
	w := newAskWorld(t)
	var list strings.Builder
	for _, v := range listVersions {
		for _, system := range []string{"linux-amd64", "windows-amd64", "linux-arm64"} {
			fmt.Fprintf(&list, "v0.0.1-%s.%s\n", v, system)
		}
	}
	list.WriteString("v0.0.1-go1.99.9-custom.linux-amd64\nv0.0.1-go1.99.9.windows-amd64\nv9.9.9\n")
	for _, host := range []string{"proxy.test", "modules.test"} {
		w.put(host+"/golang.org/toolchain/@v/list", list.String())
		w.put(host+"/golang.org/toolchain/@v/v0.0.1-go1.99.1.linux-amd64.info", `{"Version":"v0.0.1-go1.99.1.linux-amd64","Time":"2026-03-04T05:06:07Z"}`)
	}
	short := listJSON("go1.99.1", "go1.98.5")
	for _, host := range []string{"go.test", "cn.test"} {
		w.put(host+"/dl/?mode=json", short)
		w.put(host+"/dl/?include=all&mode=json", listJSON("go1.100rc2", "go1.99.1", "go1.98.5", "go1.98.4", "go1.20.14", "go1.4"))
	}
	w.put("modules.test/golang.org/toolchain/@v/v0.0.1-go1.97.2.linux-amd64.zip", "a zip of 17 bytes")
	client, err := goproxy.NewClient("https://proxy.test", w.client)
	if err != nil {
		t.Fatal(err)
	}
	return w, &Lister{Source: client, Name: "proxy", HTTP: w.client, OS: "linux", Arch: "amd64", Waits: Waits{time.Minute, time.Minute}, Places: []Place{
		{Name: "modules", URL: "https://modules.test", Kind: Modules},
		{Name: "flat", URL: "https://flat.test", Kind: Modules, Flat: true},
		{Name: "go", URL: "https://go.test/dl", Kind: Archives, List: "https://go.test/dl/"},
		{Name: "cn", URL: "https://cn.test/dl", Kind: Archives, List: "https://cn.test/dl/?mode=json"},
		{Name: "other", URL: "https://other.test", Kind: Archives},
	}}
}

// listJSON is a list of releases of linux-amd64, each of 1000 bytes.
func listJSON(versions ...string) string {
	var list []string
	for _, v := range versions {
		list = append(list, fmt.Sprintf(`{"version":%q,"stable":true,"files":[{"filename":"%s.linux-amd64.tar.gz","os":"linux","arch":"amd64","size":1000,"kind":"archive"}]}`, v, v))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// listLine is a Release on one line.
func listLine(r Release) string {
	s := fmt.Sprintf("%s %d", r.Version, r.Size)
	if !r.Time.IsZero() {
		s += " " + r.Time.Format(time.DateOnly)
	}
	if r.Stable {
		s += " stable"
	}
	if r.Supported {
		s += " supported"
	}
	if r.Superseded != "" {
		s += " <" + string(r.Superseded)
	}
	return s + " " + strings.Join(r.From, ",")
}

func listLines(releases []Release) []string {
	var lines []string
	for _, r := range releases {
		lines = append(lines, listLine(r))
	}
	return lines
}

func TestList(t *testing.T) {
	_, l := newListWorld(t)
	got, troubles, err := l.List(t.Context(), false)
	if err != nil || len(troubles) != 0 {
		t.Fatalf("%v, %v", troubles, err)
	}
	want := []string{
		"go1.100rc2 0 modules,proxy",
		"go1.99.1 1000 2026-03-04 stable supported cn,go,modules,proxy",
		"go1.98.5 1000 stable supported cn,go,modules,proxy",
		"go1.97.2 17 stable modules,proxy",
		"go1.21.13 0 stable modules,proxy",
	}
	if d := cmp.Diff(want, listLines(got)); d != "" {
		t.Errorf("short list (-want +got)\n%s", d)
	}
	for _, r := range got {
		if r.OS != "linux" || r.Arch != "amd64" {
			t.Errorf("of another system: %s", r.Target)
		}
	}
}

func TestListAll(t *testing.T) {
	w, l := newListWorld(t)
	got, troubles, err := l.List(t.Context(), true)
	if err != nil || len(troubles) != 0 {
		t.Fatalf("%v, %v", troubles, err)
	}
	want := []string{
		"go1.100rc2 1000 cn,go,modules,proxy",
		"go1.100rc1 0 <go1.100rc2 modules,proxy",
		"go1.99.1 1000 stable supported cn,go,modules,proxy",
		"go1.99.0 0 stable supported <go1.99.1 modules,proxy",
		"go1.99rc1 0 supported <go1.99.1 modules,proxy",
		"go1.98.5 1000 stable supported cn,go,modules,proxy",
		"go1.98.4 1000 stable supported <go1.98.5 cn,go,modules,proxy",
		"go1.98.0 0 stable supported <go1.98.5 modules,proxy",
		"go1.97.2 0 stable modules,proxy",
		"go1.97.0 0 stable <go1.97.2 modules,proxy",
		"go1.21.13 0 stable modules,proxy",
		"go1.21.0 0 stable <go1.21.13 modules,proxy",
		"go1.20.14 1000 stable cn,go,modules,proxy",
		"go1.20 0 stable <go1.20.14 modules,proxy",
		"go1.4 1000 stable cn,go",
	}
	if d := cmp.Diff(want, listLines(got)); d != "" {
		t.Errorf("long list (-want +got)\n%s", d)
	}
	if w.was("GET modules.test/golang.org/toolchain/@v/v0.0.1-go1.99.1.linux-amd64.info") {
		t.Error("asked for details of a long list")
	}
}

// A list that does not come leaves a trouble; the others make the answer.
func TestListTroubles(t *testing.T) {
	w, l := newListWorld(t)
	w.page("go.test/dl/?mode=json")
	w.put("cn.test/dl/?mode=json", "[]")
	delete(w.files, "proxy.test/golang.org/toolchain/@v/list")
	got, troubles, err := l.List(t.Context(), false)
	if err != nil || len(got) != 5 || !slices.Equal(got[1].From, []string{"modules"}) {
		t.Errorf("%v, %v", listLines(got), err)
	}
	var names []string
	for _, trouble := range troubles {
		names = append(names, trouble.Place)
		var fault *PlaceError
		switch is := errors.As(trouble.Err, &fault); trouble.Place {
		case "cn":
			if !is || fault.Fault != FaultNotArchive {
				t.Errorf("cn: %v", trouble.Err)
			}
		case "go":
			if !is || fault.Fault != FaultWebPage {
				t.Errorf("go: %v", trouble.Err)
			}
		case "proxy":
			if !errors.Is(trouble.Err, goproxy.ErrNotExist) {
				t.Errorf("proxy: %v", trouble.Err)
			}
		}
	}
	if d := cmp.Diff([]string{"cn", "go", "proxy"}, names); d != "" {
		t.Error(d)
	}
}

// A host that is silent costs no more than the grace, once another one has answered.
func TestListSilentHost(t *testing.T) {
	w, l := newListWorld(t)
	w.files["go.test/dl/?mode=json"] = func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	l.Waits = Waits{Answer: time.Hour, Grace: time.Millisecond}
	l.Places = l.Places[2:3] // it alone beside the module proxy
	got, troubles, err := l.List(t.Context(), false)
	if err != nil || len(got) != 5 {
		t.Errorf("%v, %v", listLines(got), err)
	}
	var fault *PlaceError
	if i := slices.IndexFunc(troubles, func(tr Trouble) bool { return tr.Place == "go" }); i < 0 || !errors.As(troubles[i].Err, &fault) || fault.Fault != FaultSlow {
		t.Errorf("troubles %v", troubles)
	}
}

func TestListNothing(t *testing.T) {
	w, l := newListWorld(t)
	clear(w.files)
	_, troubles, err := l.List(t.Context(), false)
	var list *ListError
	if !errors.As(err, &list) || !errors.Is(err, goproxy.ErrNotExist) || len(troubles) != 4 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, %v", troubles, err)
	}
	w.page("go.test/dl/?mode=json")
	if _, _, err := l.List(t.Context(), false); !errors.Is(err, goproxy.ErrUnavailable) || errors.Is(err, goproxy.ErrNotExist) {
		t.Errorf("a page among them: %v", err)
	}
	if _, _, err := (&Lister{OS: "linux", Arch: "amd64"}).List(t.Context(), false); !errors.As(err, &list) || !errors.Is(err, goproxy.ErrUnavailable) {
		t.Errorf("nobody to ask: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.List(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// Without a module proxy the hosts of archives are enough, also for a short list.
func TestListArchivesAlone(t *testing.T) {
	_, l := newListWorld(t)
	l.Source, l.Places = nil, l.Places[2:3]
	got, _, err := l.List(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"go1.100rc2 1000 go", "go1.99.1 1000 stable supported go", "go1.98.5 1000 stable supported go"} // not those before Go 1.21
	if d := cmp.Diff(want, listLines(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Details that do not come leave holes, and nothing worse.
func TestListFill(t *testing.T) {
	w, l := newListWorld(t)
	here := Target{Version: "go1.21.13", OS: "linux", Arch: "amd64"}
	flat := "flat.test/v0.0.1-go1.21.13.linux-amd64"
	w.put(flat+".info", `{"Version":"v0.0.1-go1.21.13.linux-amd64","Time":"2024-08-06T01:02:03Z"}`)
	w.put(flat+".zip", "12345")
	w.page("modules.test/golang.org/toolchain/@v/v0.0.1-go1.21.13.linux-amd64.zip")
	w.put("modules.test/golang.org/toolchain/@v/v0.0.1-go1.21.13.linux-amd64.info", `{"Version":"v0.0.1-go1.21.99.linux-amd64"}`)
	w.files["proxy.test/golang.org/toolchain/@v/v0.0.1-go1.21.13.linux-amd64.info"] = func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(rw, "no")
	}
	releases := []Release{{Target: here}, {Target: Target{Version: "go1.21.99", OS: "linux", Arch: "amd64"}}}
	if err := l.Fill(t.Context(), releases); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"go1.21.13 5 2024-08-06 ", "go1.21.99 0 "}, listLines(releases)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestVersions(t *testing.T) {
	got := Versions([]Release{
		{Target: Target{Version: "go1.99.1", OS: "linux"}}, {Target: Target{Version: "go1.98.0"}}, {Target: Target{Version: "go1.99.1", OS: "darwin"}},
	})
	if !slices.Equal(got, []Version{"go1.99.1", "go1.98.0"}) {
		t.Errorf("versions %v", got)
	}
}

// A folder of this machine that is laid out as a module proxy is a list as well.
func TestListFolder(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "golang.org", "toolchain", "@v")
	if err := os.MkdirAll(at, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list": "v0.0.1-go1.99.1.linux-amd64\n", "v0.0.1-go1.99.1.linux-amd64.zip": "a zip of 17 bytes",
		"v0.0.1-go1.99.1.linux-amd64.info": `{"Version":"v0.0.1-go1.99.1.linux-amd64","Time":"2026-03-04T05:06:07Z"}`,
	} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	l := &Lister{OS: "linux", Arch: "amd64", Places: []Place{{Name: "stick", URL: askFileURL(dir), Kind: Modules}}}
	got, troubles, err := l.List(t.Context(), false)
	if err != nil || len(troubles) != 0 {
		t.Fatalf("%v, %v", troubles, err)
	}
	if d := cmp.Diff([]string{"go1.99.1 17 2026-03-04 stable supported stick"}, listLines(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
