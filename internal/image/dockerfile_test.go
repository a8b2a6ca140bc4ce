package image

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func options() DockerOptions {
	return DockerOptions{GoImage: "golang:1.26.8@sha256:" + strings.Repeat("a", 64), Comment: func(key string) string { return "about " + key + "\nand more" }}
}

func app() Project {
	return Project{Root: "/src", Module: "example.com/app", Go: "1.26.8", ModFiles: []string{"go.mod", "go.sum", "sub dir/go.mod"}, Mains: []Main{{"./cmd/app", "app"}}}
}

// TestDockerfile wants the network in no step but the one that may have it, nothing installed or fetched in the
// last stage, and a comment on every part.
func TestDockerfile(t *testing.T) {
	for name, change := range map[string]func(*Project, *DockerOptions){
		"proxy":  func(*Project, *DockerOptions) {},
		"vendor": func(_ *Project, o *DockerOptions) { o.Deps = FromVendor },
		"bundle": func(_ *Project, o *DockerOptions) {
			o.Deps, o.Bundle, o.BundleSHA = FromBundle, "app.bundle", strings.Repeat("b", 64)
		},
		"copy":   func(_ *Project, o *DockerOptions) { o.Libc, o.Packages = LibcCopy, []string{"libsqlite3-dev"} },
		"static": func(_ *Project, o *DockerOptions) { o.Libc = LibcStatic },
		"serves": func(_ *Project, o *DockerOptions) { o.Port, o.Health = 8080, "/healthz" },
	} {
		t.Run(name, func(t *testing.T) {
			p, o := app(), options()
			change(&p, &o)
			text, err := Dockerfile(p, o)
			if err != nil {
				t.Fatal(err)
			}
			build, last, ok := strings.Cut(text, "\nFROM scratch\n")
			if !ok {
				t.Fatalf("no last stage:\n%s", text)
			}
			for _, bad := range []string{"RUN", "apk", "apt", "curl", "ADD", "http"} {
				if strings.Contains(last, "\n"+bad) {
					t.Errorf("the last stage has %s:\n%s", bad, last)
				}
			}
			var online []string
			for line := range strings.Lines(build) {
				if strings.HasPrefix(line, "RUN ") && !strings.Contains(line, "--network=none") {
					online = append(online, strings.TrimSpace(line))
				}
			}
			want := []string(nil)
			if len(o.Packages) > 0 {
				want = append(want, "RUN apt-get update && apt-get install -y --no-install-recommends libsqlite3-dev && rm -rf /var/lib/apt/lists/*")
			}
			if o.Deps == "" {
				want = append(want, "RUN go mod download")
			}
			if !slices.Equal(online, want) {
				t.Errorf("steps with a network: %q, want %q", online, want)
			}
			if strings.Contains(text, "syntax=") {
				t.Error("BuildKit would fetch a parser")
			}
			if strings.Contains(text, "about unpinned") {
				t.Error("a pinned image is called unpinned")
			}
			if !strings.Contains(text, `COPY ["sub dir/go.mod", "sub dir/"]`) || !strings.Contains(last, "USER 65532:65532") {
				t.Errorf("missing steps in:\n%s", text)
			}
			if has := strings.Contains(last, "HEALTHCHECK"); has != (o.Port > 0) {
				t.Errorf("HEALTHCHECK: %v", has)
			}
		})
	}
}

// TestComments wants every key to be asked for by some Dockerfile, and no other.
func TestComments(t *testing.T) {
	asked := map[string]bool{}
	for _, deps := range []Deps{FromProxy, FromVendor, FromBundle} {
		for _, libc := range []Libc{LibcNone, LibcCopy, LibcStatic} {
			o := options()
			o.Deps, o.Libc, o.Port, o.Packages, o.Bundle = deps, libc, 80, []string{"gcc"}, "b"
			o.GoImage = "golang"
			o.Comment = func(key string) string { asked[key] = true; return key }
			if _, err := Dockerfile(app(), o); err != nil {
				t.Fatal(err)
			}
			DockerIgnore(app(), o)
		}
	}
	for _, key := range Comments() {
		if !asked[key] {
			t.Errorf("nobody asks for %q", key)
		}
		delete(asked, key)
	}
	if len(asked) > 0 {
		t.Errorf("not listed: %v", asked)
	}
}

// TestRefuses wants nothing of what it is given to become a step.
func TestRefuses(t *testing.T) {
	for name, change := range map[string]func(*Project, *DockerOptions){
		"image":   func(_ *Project, o *DockerOptions) { o.GoImage = "golang\nRUN evil" },
		"flag":    func(_ *Project, o *DockerOptions) { o.GoImage = "--platform=x golang" },
		"none":    func(_ *Project, o *DockerOptions) { o.GoImage = "" },
		"package": func(_ *Project, o *DockerOptions) { o.Packages = []string{"gcc; evil"} },
		"bundle":  func(_ *Project, o *DockerOptions) { o.Deps, o.Bundle = FromBundle, "../outside" },
		"health":  func(_ *Project, o *DockerOptions) { o.Port, o.Health = 80, `/"); evil(` },
		"port":    func(_ *Project, o *DockerOptions) { o.Port = 70000 },
		"main":    func(p *Project, _ *DockerOptions) { p.Mains[0].Package = "./a b" },
		"tags":    func(p *Project, _ *DockerOptions) { p.Tags = "a' evil '" },
		"glob":    func(p *Project, _ *DockerOptions) { p.ModFiles = []string{"x[y]/go.mod"} },
		"file":    func(p *Project, _ *DockerOptions) { p.ModFiles = []string{"x\"/go.mod"} },
	} {
		p, o := app(), options()
		change(&p, &o)
		if text, err := Dockerfile(p, o); !errors.Is(err, ErrOption) {
			t.Errorf("%s: %v, want ErrOption:\n%s", name, err, text)
		}
	}
}

func TestPinned(t *testing.T) {
	for ref, want := range map[string]bool{
		"golang": false, "golang:1.26": false, "golang@sha256:" + strings.Repeat("0", 64): true, "golang@sha256:12": false,
		"golang@sha256:" + strings.Repeat("G", 64): false, "golang:1@sha256:" + strings.Repeat("0f", 32): true,
	} {
		if Pinned(ref) != want {
			t.Errorf("Pinned(%q) is not %v", ref, want)
		}
	}
}

// TestPorts finds the ports that people write down, and takes nothing else for one.
func TestPorts(t *testing.T) {
	dir := t.TempDir()
	source := `package main

func main() {
	http.ListenAndServe(":8080", nil)
	s := &http.Server{Addr: "127.0.0.1:9090"}
	net.Listen("tcp", "localhost:7070")
	r.Run(":6060")
	fmt.Println(":1111")
	http.ListenAndServe(addr, nil)
	dial(":2222")
	x := T{Name: ":3333", Addr: "nowhere"}
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	got := ports(dir, []string{"main.go", "absent.go"})
	slices.Sort(got)
	if want := []int{6060, 7070, 8080, 9090}; !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
}

// TestTags wants the programs built as GOFLAGS builds them here.
func TestTags(t *testing.T) {
	p, o := app(), options()
	p.Tags = "one,two"
	for libc, want := range map[Libc]string{LibcNone: " -tags one,two ", LibcCopy: " -tags one,two ", LibcStatic: " -tags one,two,netgo,osusergo "} {
		o.Libc = libc
		if text, err := Dockerfile(p, o); err != nil || !strings.Contains(text, want) {
			t.Errorf("%q: %v, no %q in\n%s", libc, err, want, text)
		}
	}
}

// TestOutside wants no Dockerfile that cannot be built: docker reads nothing outside of the context.
func TestOutside(t *testing.T) {
	for _, c := range []struct {
		out  Outside
		deps Deps
		ok   bool
	}{
		{Outside{"/lib", false}, FromProxy, false},
		{Outside{"/lib", false}, FromVendor, true},
		{Outside{"/lib", true}, FromVendor, false},
	} {
		p, o := app(), options()
		p.Outside, o.Deps = []Outside{c.out}, c.deps
		_, err := Dockerfile(p, o)
		var out *OutsideError
		if (err == nil) != c.ok || err != nil && !errors.As(err, &out) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestDockerIgnore wants nothing left behind that the programs are compiled from.
func TestDockerIgnore(t *testing.T) {
	p, o := app(), options()
	p.Files = []string{"main.go", "bin/tool/tool.go", "ui/dist/app.js", "dist/app[1].js", "certs/root.pem", "web/node_modules/x/x.js", "vendor/a.b/c/c.go", "vendor/a.b/c/roots.pem"}
	keeps := func() (keeps []string) {
		for line := range strings.Lines(DockerIgnore(p, o)) {
			if line[0] == '!' {
				keeps = append(keeps, strings.TrimSpace(line))
			}
		}
		return keeps
	}
	if got, want := keeps(), []string{"!bin/tool", "!dist", "!web/node_modules/x", "!certs/root.pem"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	o.Deps = FromVendor
	if got, want := keeps(), []string{"!bin/tool", "!dist", "!web/node_modules/x", "!certs/root.pem", "!vendor/a.b/c/roots.pem"}; !slices.Equal(got, want) {
		t.Errorf("with a vendor folder: got %q, want %q", got, want)
	}
	text := DockerIgnore(p, o)
	if strings.Index(text, "!dist\n") > strings.Index(text, "**/*.key\n") {
		t.Error("a key in a folder that is wanted would come along")
	}
}

func TestProgramName(t *testing.T) {
	for path, want := range map[string]string{
		"example.com/app": "app", "example.com/app/v2": "app", "example.com/app/v1": "v1", "example.com/app/v0": "v0", "example.com/app/v10": "app", "example.com/app/vx": "vx", "v2": "v2",
	} {
		if got := programName(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
