package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/text"
)

// A bundleFile is one file of a bundle.
type bundleFile struct {
	name string
	data string
}

// bundle looks, and writes a zip for asking others.
func (r *doctorRun) bundle(checks []doctor.Check) error {
	r.log = &doctorLog{}
	if err := r.prepare(); err != nil { // once more, with the log
		return err
	}
	rep, err := r.examine(checks)
	if err != nil {
		return err
	}
	files, err := r.bundleFiles(rep)
	if err != nil {
		return err
	}
	data, err := r.pack(files)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.flags.bundle, data, 0o600); err != nil {
		return &fault{code: "doctor.error.bundle", args: []any{"File", r.flags.bundle, "Err", oneLine(plain(err).Error(), 200)},
			hint: "doctor.hint.bundle", exit: 1, err: err}
	}
	if err := r.show(rep); err != nil {
		return err
	}
	r.say(r.p.T("doctor.bundle.done", "File", r.flags.bundle, "Bytes", human(int64(len(data)))))
	return nil
}

// bundleFiles are the report in both languages and as JSON, the settings of go, versions, and the log.
func (r *doctorRun) bundleFiles(rep doctor.Report) ([]bundleFile, error) {
	data, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return nil, err
	}
	files := []bundleFile{{"report.json", string(data) + "\n"}}
	for _, lang := range []string{text.English, text.Chinese} {
		page := r.page(rep)
		page.p, page.colour, page.verbose, page.columns = text.New(lang), false, true, 0
		files = append(files, bundleFile{"report." + lang + ".txt", page.String()})
	}
	var env strings.Builder
	for _, key := range slices.Sorted(maps.Keys(r.exam.GoEnv.Values)) {
		fmt.Fprintf(&env, "%s=%s\n", key, r.exam.GoEnv.Values[key])
	}
	if r.exam.GoEnv.Err != nil {
		fmt.Fprintf(&env, "# %s\n", oneLine(r.exam.GoEnv.Err.Error(), 1000))
	}
	b := build()
	versions := fmt.Sprintf("goferry %s (%s)\nbuilt with %s\n%s/%s\ngo %s\n%s\n", b.Version, b.Revision, b.Go, r.exam.OS, r.exam.Arch,
		r.exam.GoEnv.Version, time.Now().UTC().Format(time.RFC3339))
	return append(files, bundleFile{"go-env.txt", env.String()}, bundleFile{"go-env-written.txt", written(r.exam.GoEnv.Written)},
		bundleFile{"versions.txt", versions}, bundleFile{"log.txt", r.log.String()}), nil
}

func written(m map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%s\n", key, m[key])
	}
	return b.String()
}

// pack masks what is secret, searches once more for secrets, and makes the zip. The names of the home folder's owner do
// not leave, either.
func (r *doctorRun) pack(files []bundleFile) ([]byte, error) {
	secrets := doctor.SecretsOf(r.exam)
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range files {
		data := secrets.Mask(r.homeless(f.data))
		if kinds := secrets.Found(data); len(kinds) > 0 {
			return nil, &fault{code: "doctor.error.bundle-secret", args: []any{"Name", f.name, "Kind", strings.Join(kinds, ", "), "File", r.flags.bundle},
				hint: "doctor.hint.bundle-secret", exit: 1}
		}
		if f.name == "report.json" && !json.Valid([]byte(data)) {
			return nil, fmt.Errorf("%s: what is left after masking is no JSON", f.name)
		}
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: time.Now().UTC()}
		h.SetMode(0o600)
		file, err := w.CreateHeader(h)
		if err == nil {
			_, err = file.Write([]byte(data))
		}
		if err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// homeless writes ~ for the home folder, whose name is often that of a person.
func (r *doctorRun) homeless(s string) string {
	home := r.exam.Home
	if len(home) < 3 || home == "/root" {
		return s
	}
	quoted, err := json.Marshal(home)
	if err == nil {
		s = strings.ReplaceAll(s, strings.Trim(string(quoted), `"`), "~")
	}
	return strings.ReplaceAll(s, home, "~")
}

// fileSecrets are the passwords that stand in netrc files, and in those of git's helper "store". Source: git-credential-store(1).
func (r *doctorRun) fileSecrets(home string) []string {
	var found []string
	for _, name := range r.netrcFiles() {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			continue
		}
		words := strings.Fields(string(data))
		for i, w := range words {
			if w == "password" && i+1 < len(words) {
				found = append(found, words[i+1])
			}
		}
	}
	if home == "" {
		return found
	}
	for _, name := range []string{".git-credentials", ".config/git/credentials"} {
		data, err := os.ReadFile(filepath.Join(home, filepath.FromSlash(name)))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if u, err := url.Parse(strings.TrimSpace(line)); err == nil {
				if password, ok := u.User.Password(); ok {
					found = append(found, password)
				}
			}
		}
	}
	return found
}
