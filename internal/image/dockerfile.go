package image

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Deps says where the build in a Dockerfile gets its modules.
type Deps string

// The ways.
const (
	FromProxy  Deps = "proxy"  // go mod download in a stage of its own, the only step with a network
	FromVendor Deps = "vendor" // the vendor folder
	FromBundle Deps = "bundle" // a bundle of goferry in the build context
)

// Libc says what a program with cgo finds in the last stage.
type Libc string

// The ways.
const (
	LibcNone   Libc = ""       // no cgo
	LibcCopy   Libc = "copy"   // the libraries it was linked with, from the build stage
	LibcStatic Libc = "static" // all within the program
)

// DockerOptions is what a Dockerfile is made from, beside the project.
type DockerOptions struct {
	GoImage   string // reference of the image of the build stage, best with @sha256:
	Deps      Deps
	Bundle    string // file of the bundle, from the root of the context
	BundleSHA string // its SHA-256, hex
	Libc      Libc
	Packages  []string // Debian packages for the build stage
	Port      int      // the program serves HTTP there; 0 for none
	Health    string   // path that answers 200 while all is well; empty means "/"
	// Comment gives the comment of a step in the reader's language, one line or several; its keys are Comments.
	Comment func(key string) string
}

// Comments lists the keys that DockerOptions.Comment is asked for.
func Comments() []string {
	return []string{
		"head", "unpinned", "go-image", "packages", "deps-proxy", "deps-vendor", "deps-bundle", "bundle-unpack", "bundle-env", "source",
		"build-none", "build-copy", "build-static", "health-build", "libs", "final", "ca", "tz", "user", "program", "port", "health", "ignore",
	}
}

// ErrOption says that what a Dockerfile is to be made from makes no sense.
var ErrOption = errors.New("unusable")

var (
	imageRef = regexp.MustCompile(`^[a-z0-9A-Z][a-zA-Z0-9._/:@-]*$`)
	debName  = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?$`)
	tagList  = regexp.MustCompile(`^[\p{L}\p{N}_.,]+$`)
	plainArg = regexp.MustCompile(`^[A-Za-z0-9_./@%+=:,~-]+$`)
)

// check wants nothing in o and p that could end a line or a word of the Dockerfile.
func (o DockerOptions) check(p Project) error {
	bad := func(what, value string) error { return fmt.Errorf("%w: %s %q", ErrOption, what, value) }
	if !imageRef.MatchString(o.GoImage) {
		return bad("image", o.GoImage)
	}
	for _, d := range o.Packages {
		if !debName.MatchString(d) {
			return bad("package", d)
		}
	}
	if o.Deps == FromBundle && (!plainArg.MatchString(o.Bundle) || path.IsAbs(o.Bundle) || strings.HasPrefix(path.Clean(o.Bundle), "../")) {
		return bad("bundle", o.Bundle)
	}
	if o.Health != "" && (!plainArg.MatchString(o.Health) || o.Health[0] != '/') {
		return bad("path", o.Health)
	}
	if o.Port < 0 || o.Port > 65535 {
		return bad("port", fmt.Sprint(o.Port))
	}
	if p.Tags != "" && !tagList.MatchString(p.Tags) {
		return bad("tags", p.Tags)
	}
	for _, m := range p.Mains {
		if !plainArg.MatchString(m.Package) || !plainArg.MatchString(m.Name) {
			return bad("package", m.Package)
		}
	}
	for _, f := range p.ModFiles {
		if strings.ContainsAny(f, "\n\r\"\\$*?[") { // COPY takes variables and patterns
			return bad("file", f)
		}
	}
	return o.reach(p)
}

// An OutsideError says that the build reads folders that are not in the build context.
type OutsideError struct {
	Root string
	Dirs []string
}

// Error names the folders.
func (e *OutsideError) Error() string { return strings.Join(e.Dirs, ", ") + ": outside of " + e.Root }

// reach wants all that is built from below the root of the context.
func (o DockerOptions) reach(p Project) error {
	var dirs []string
	for _, out := range p.Outside {
		if out.Use || o.Deps != FromVendor {
			dirs = append(dirs, out.Dir)
		}
	}
	if len(dirs) > 0 {
		return &OutsideError{Root: p.Root, Dirs: dirs}
	}
	return nil
}

// Pinned reports whether an image reference names its content.
func Pinned(ref string) bool {
	_, digest, ok := strings.Cut(ref, "@sha256:")
	return ok && len(digest) == 64 && strings.Trim(digest, "0123456789abcdef") == ""
}

// dockerfile writes the steps.
type dockerfile struct {
	strings.Builder
	p Project
	o DockerOptions
}

// Dockerfile writes a Dockerfile that builds the programs of p with no network in any step but, with
// FromProxy, the one that brings the modules. The last stage has no shell, no package manager, and no root.
func Dockerfile(p Project, o DockerOptions) (string, error) {
	if err := o.check(p); err != nil {
		return "", err
	}
	d := &dockerfile{p: p, o: o}
	d.comment("head") // and no syntax line: BuildKit would fetch a parser, by a tag. That of Docker 23 knows heredocs and RUN --network

	d.build()
	d.final()
	return strings.TrimLeft(d.String(), "\n"), nil
}

func (d *dockerfile) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// comment writes the comment of a step, with an empty line above.
func (d *dockerfile) comment(key string) {
	d.line("")
	for l := range strings.Lines(d.o.Comment(key)) {
		d.line("# %s", strings.TrimRight(l, "\r\n"))
	}
}

// build writes the stage that compiles.
func (d *dockerfile) build() {
	d.comment("go-image")
	if !Pinned(d.o.GoImage) {
		d.line("#")
		for l := range strings.Lines(d.o.Comment("unpinned")) {
			d.line("# %s", strings.TrimRight(l, "\r\n"))
		}
	}
	d.line("FROM %s AS build", d.o.GoImage)
	if len(d.o.Packages) > 0 {
		d.comment("packages")
		d.line("RUN apt-get update && apt-get install -y --no-install-recommends %s && rm -rf /var/lib/apt/lists/*", strings.Join(d.o.Packages, " "))
	}
	d.line("WORKDIR /src")
	d.deps()
	d.comment("source")
	d.line("COPY . .")
	d.compile()
	if d.o.Port > 0 {
		d.healthProgram()
	}
	d.root()
}

// deps writes the layer of the modules, which only go.mod, go.sum and their like make invalid.
func (d *dockerfile) deps() {
	switch d.o.Deps {
	case FromVendor:
		d.comment("deps-vendor")
		d.copyMods()
		d.line("COPY vendor/ vendor/")
		d.line("ENV GOFLAGS=-mod=vendor GOPROXY=off GOTOOLCHAIN=local")
	case FromBundle:
		d.comment("bundle-unpack")
		d.line("COPY %s /bundle.zip", d.o.Bundle)
		d.line("COPY <<'END' /unpack/main.go")
		d.WriteString(unpackProgram)
		d.line("END")
		d.line("RUN --network=none GOTOOLCHAIN=local GOPROXY=off go run /unpack/main.go /bundle.zip %s /proxy", d.o.BundleSHA)
		d.comment("bundle-env")
		d.line("ENV GOPROXY=file:///proxy,off GOTOOLCHAIN=go%s", d.p.Go)
		d.comment("deps-bundle")
		d.copyMods()
		d.line("RUN --network=none go mod download")
	default:
		d.comment("deps-proxy")
		d.line("ARG GOPROXY")
		d.line("ARG GOSUMDB")
		d.copyMods()
		d.line("ENV GOTOOLCHAIN=go%s", d.p.Go)
		d.line("RUN go mod download")
		d.line("ENV GOPROXY=off")
	}
}

// copyMods copies go.mod and its like to the folders where they belong, one step for each folder.
func (d *dockerfile) copyMods() {
	byDir := map[string][]string{}
	var dirs []string
	for _, f := range d.p.ModFiles {
		dir := path.Dir(f)
		if byDir[dir] == nil {
			dirs = append(dirs, dir)
		}
		byDir[dir] = append(byDir[dir], f)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		d.line(`COPY ["%s", "%s/"]`, strings.Join(byDir[dir], `", "`), dir)
	}
}

func (d *dockerfile) compile() {
	var packages []string
	for _, m := range d.p.Mains {
		packages = append(packages, m.Package)
	}
	tags := d.p.Tags
	ldflags, env := "-s -w", "CGO_ENABLED=0"
	key := "build-none"
	switch d.o.Libc {
	case LibcCopy:
		env, key = "CGO_ENABLED=1", "build-copy"
	case LibcStatic:
		env, key = "CGO_ENABLED=1", "build-static"
		ldflags += " -linkmode external -extldflags -static"
		tags = strings.Trim(tags+",netgo,osusergo", ",")
	}
	flags := "-trimpath"
	if tags != "" {
		flags += " -tags " + tags
	}
	flags += " -ldflags='" + ldflags + "'"
	d.comment(key)
	d.line("RUN --network=none --mount=type=cache,target=/root/.cache/go-build \\\n    mkdir -p /out/root/app && %s go build %s -o /out/root/app/ %s", env, flags, strings.Join(packages, " "))
}

// healthProgram compiles what HEALTHCHECK runs: the last stage has no shell and no curl.
func (d *dockerfile) healthProgram() {
	d.comment("health-build")
	d.line("COPY <<'END' /health/main.go")
	d.WriteString(strings.NewReplacer("PORT", fmt.Sprint(d.o.Port), "PATH", d.health()).Replace(healthSource))
	d.line("END")
	d.line("RUN --network=none --mount=type=cache,target=/root/.cache/go-build \\\n    CGO_ENABLED=0 GOFLAGS= go build -trimpath -ldflags='-s -w' -o /out/root/app/.health /health/main.go")
}

func (d *dockerfile) health() string {
	if d.o.Health == "" {
		return "/"
	}
	return d.o.Health
}

// root puts together what the last stage is made of.
func (d *dockerfile) root() {
	d.comment("ca")
	d.line("RUN --network=none mkdir -p /out/root/etc/ssl/certs /out/root/tmp && chmod 1777 /out/root/tmp && \\\n    cp -L /etc/ssl/certs/ca-certificates.crt /out/root/etc/ssl/certs/")
	d.comment("tz")
	d.line(`RUN --network=none cp "$(go env GOROOT)/lib/time/zoneinfo.zip" /out/root/app/.zoneinfo.zip`)
	d.comment("user")
	d.line("RUN --network=none echo 'app:x:65532:65532:app:/:/sbin/nologin' > /out/root/etc/passwd && echo 'app:x:65532:' > /out/root/etc/group")
	if d.o.Libc == LibcCopy {
		d.comment("libs")
		d.line(`RUN --network=none for f in /out/root/app/*; do ldd "$f" || true; done | grep -o '/[^ ]*' | sort -u | while read -r l; do \
      mkdir -p "/out/root$(dirname "$l")" && cp -L "$l" "/out/root$l"; \
    done`)
	}
}

// final writes the last stage.
func (d *dockerfile) final() {
	d.comment("final")
	d.line("FROM scratch")
	d.line("COPY --from=build /out/root/ /")
	d.line("ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt ZONEINFO=/app/.zoneinfo.zip PATH=/app")
	d.line("USER 65532:65532")
	if d.o.Port > 0 {
		d.comment("port")
		d.line("EXPOSE %d", d.o.Port)
		d.comment("health")
		d.line(`HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/app/.health"]`)
	}
	d.comment("program")
	d.line(`ENTRYPOINT ["/app/%s"]`, d.p.Mains[0].Name)
}

// DockerIgnore writes the .dockerignore for a Dockerfile of p and o: what the build does not read and would make its
// layers invalid, or should not leave the machine.
func DockerIgnore(p Project, o DockerOptions) string {
	var b strings.Builder
	for l := range strings.Lines(o.Comment("ignore")) {
		fmt.Fprintf(&b, "# %s\n", strings.TrimRight(l, "\r\n"))
	}
	b.WriteString(strings.Join(ignoreLines(p, o), "\n") + "\n")
	if o.Deps == FromBundle {
		fmt.Fprintf(&b, "!%s\n", o.Bundle)
	}
	return b.String()
}

// ignoreLines are the patterns, and behind them what the programs are compiled from nevertheless: a package in a folder bin,
// certificates that are embedded. Folders stand before files, so that a folder that is wanted brings no key along.
func ignoreLines(p Project, o DockerOptions) []string {
	folders := []string{".git", ".hg", ".svn", ".github", ".gitlab", ".idea", ".vscode", "bin/", "dist/", "**/node_modules/"}
	files := []string{"Dockerfile*", ".dockerignore", "**/*.test", "**/*.prof", "**/.DS_Store", "**/.env", "**/.env.*", "**/.netrc", "**/id_rsa*", "**/*.pem", "**/*.key", "*.tar"}
	if o.Deps != FromVendor {
		folders = append(folders, "vendor/")
	}
	keepFolders, keepFiles := map[string]bool{}, map[string]bool{}
	for _, file := range p.Files {
		if o.Deps != FromVendor && strings.HasPrefix(file, "vendor/") || strings.ContainsAny(file, "\r\n") {
			continue
		}
		for _, pattern := range folders {
			if matches(pattern, path.Dir(file)) {
				keepFolders["!"+escapeGlob.Replace(path.Dir(file))] = true
			}
		}
		for _, pattern := range files {
			if matches(pattern, file) {
				keepFiles["!"+escapeGlob.Replace(file)] = true
			}
		}
	}
	return slices.Concat(folders, slices.Sorted(maps.Keys(keepFolders)), files, slices.Sorted(maps.Keys(keepFiles)))
}

// escapeGlob makes a name a pattern of .dockerignore.
var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// matches reports whether a pattern of ignoreLines, which is one element, perhaps in any folder, names file or a folder that it stands in.
func matches(pattern, file string) bool {
	pattern, anywhere := strings.CutPrefix(strings.TrimSuffix(pattern, "/"), "**/")
	for i, elem := range strings.Split(file, "/") {
		if ok, err := path.Match(pattern, elem); ok && err == nil && (i == 0 || anywhere) {
			return true
		}
	}
	return false
}
