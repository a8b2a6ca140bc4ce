package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/goferry/goferry/internal/doctor"
)

// shownOtherwise are the fixes that a script shows without mends, since a mount has to stand around it.
func shownOtherwise() map[string]string {
	return map[string]string{
		"clean-build-cache": `go clean -cache`,
		"set-gotmpdir":      `GOTMPDIR=`,
	}
}

// notByGoferry are the fixes that goferry does not apply, each with the reason.
func notByGoferry() map[string]string {
	const (
		shell  = "a variable of the user's shell"
		words  = "words: something beside this machine, or a choice, is the user's"
		other  = "a program of a system on which no script runs; applied as install-cc is"
		system = "a change of the whole machine, which no test makes; applied as install-cc is"
		signed = "only the public checksum database can sign what proves it; it is a go-env line as use-sumdb-of-upstream is"
		others = "chown is for who is not root, and takes root's rights: the user runs it with sudo"
		walk   = "only the walk of one module proposes it, and --fix takes no module; it is a go-env line as go-env-set is"
	)
	return map[string]string{
		"add-to-path": shell, "path-first": shell, "env-set": shell, "env-unset": shell, "use-cc": shell, "no-http2": shell, "small-hello": shell,
		"no-proxy-add": shell, "no-proxy-drop": shell, "set-proxy": shell, "unset-proxy": shell, "proxy-password": shell,
		"allow-host": words, "install-cc-by-hand": words, "build-cross": words, "end-process": words, "move-folder": words, "no-sudo": words,
		"certificate-name": words, "renew-certificate": words, "correct-goproxy": words, "fake-ip": words, "hosts-line": words, "upstream-inside": words,
		"log-in-portal": words, "lower-mtu": words, "gomod-go-there": words, "gomod-merge": words, "gomod-move": words, "module-git-login": words,
		"add-netrc": words, "nix-shell-gcc": words, "other-mirror": words, "other-resolver": words, "mend-pattern": words, "get-online": words,
		"proxy-helper": words, "ssh-accept-key": words, "start-server": words, "module-spelling": words, "host-spelling": words, "start-proxy": words,
		"trust-authority": words, "upstream-with-toolchains": words,
		"msys2-gcc": other, "winget-gcc": other, "xcode-select": other, "xcode-license": other, "centos-vault": other,
		"complete-chain": words, "git-config-line": words, "set-home": shell,
		"no-ipv6": system, "set-clock": system, "use-sumdb-alias": signed, "chown": others, "add-direct": walk, "set-goprivate": walk,
	}
}

// TestEveryFixMends wants every fix that goferry applies to be shown by a script from the fault to the mended state and
// back, and a reason for each of the others.
func TestEveryFixMends(t *testing.T) {
	files, err := filepath.Glob("testdata/script/doctor*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	shown := map[string]bool{}
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
		for _, m := range regexp.MustCompile(`(?m)^(?:\[root\] )?mends (?:-no \d+ |-forever )*(\S+) `).FindAllSubmatch(data, -1) {
			shown[string(m[1])] = true
		}
	}
	for code, line := range shownOtherwise() {
		if !bytes.Contains(all, []byte(line)) {
			t.Errorf("no script shows %s: %s", code, line)
		}
		shown[code] = true
	}
	codes, reasons := doctor.FixCodes(), notByGoferry()
	for _, code := range codes {
		if why := reasons[code]; shown[code] == (why != "") {
			t.Errorf("%s: shown by a script: %t, reason why not: %q", code, shown[code], why)
		}
	}
	for code := range shown {
		if !slices.Contains(codes, code) {
			t.Errorf("a script mends %s, and there is no such fix", code)
		}
	}
	for code := range reasons {
		if !slices.Contains(codes, code) {
			t.Errorf("there is a reason for %s, and no such fix", code)
		}
	}
}

// TestPutBack wants a file to be what it was, whatever a fix made of it.
func TestPutBack(t *testing.T) {
	tests := []struct {
		name   string
		before func(t *testing.T, dir string)
		change func(t *testing.T, file string)
	}{
		{"content and rights", func(t *testing.T, dir string) { write(t, dir+"/f", "a\r\nb", 0o640) }, func(t *testing.T, file string) {
			write(t, file, "longer than before", 0o600)
		}},
		{"shorter", func(t *testing.T, dir string) { write(t, dir+"/f", "long", 0o400) }, func(t *testing.T, file string) {
			remove(t, file)
			write(t, file, "", 0o644)
		}},
		{"no file, and no folder", func(*testing.T, string) {}, func(t *testing.T, file string) {
			write(t, file, "a", 0o644)
		}},
		{"removed", func(t *testing.T, dir string) { write(t, dir+"/f", "a", 0o600) }, remove},
		{"a link", func(t *testing.T, dir string) {
			write(t, dir+"/real/f", "a", 0o644)
			symlink(t, "real/f", dir+"/f")
		}, func(t *testing.T, file string) { write(t, file, "b", 0o644) }},
		{"a link to a link, replaced by a file", func(t *testing.T, dir string) {
			write(t, dir+"/real/f", "a", 0o644)
			symlink(t, "real/f", dir+"/g")
			symlink(t, filepath.Join(dir, "g"), dir+"/f")
		}, func(t *testing.T, file string) {
			remove(t, file)
			write(t, file, "b", 0o644)
		}},
		{"a link to nothing", func(t *testing.T, dir string) { symlink(t, "deep/real", dir+"/f") }, func(t *testing.T, file string) {
			write(t, filepath.Join(filepath.Dir(file), "deep", "real"), "a", 0o644)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			sub := filepath.Join(dir, "sub")
			file := filepath.Join(sub, "f")
			if tt.name != "no file, and no folder" {
				mkdir(t, sub)
			}
			tt.before(t, sub)
			before := lay(t, dir)
			was, err := fileWas(file)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, file)
			if slices.Equal(lay(t, dir), before) {
				t.Fatal("nothing was changed")
			}
			if err := was.putBack(); err != nil {
				t.Fatal(err)
			}
			if after := lay(t, dir); !slices.Equal(after, before) {
				t.Errorf("before %q\nafter  %q", before, after)
			}
		})
	}
}

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	mkdir(t, filepath.Dir(name))
	if err := errors.Join(os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, name string) {
	t.Helper()
	mkdir(t, filepath.Dir(name))
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// lay lists what lies in a folder: names, rights, times of what nobody wrote, contents.
func lay(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		link, _ := os.Readlink(name)
		data := []byte{}
		if d.Type().IsRegular() {
			if data, err = os.ReadFile(name); err != nil {
				return err
			}
		}
		list = append(list, name+" "+info.Mode().String()+" "+link+" "+string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPutBackRemoved wants a file that a fix has removed to be as old as before.
func TestPutBackRemoved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index.lock")
	write(t, file, "", 0o644)
	old := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	was, err := fileWas(file)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, file)
	if err := was.putBack(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("%v, %v", info, err)
	}
}
