package shellenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLook(t *testing.T) {
	const goDir, old = "HOME/.goferry/go/bin", "HOME/old/bin"
	tests := []struct {
		name    string
		path    string
		env     map[string]string
		have    map[string]string
		written []Shell // have goferry's lines
		more    map[string]string
		want    []Note
	}{
		{name: "all is well", path: goDir + ":HOME/go/bin:" + old, written: []Shell{Bash}},
		{name: "before anything was written", path: old + ":HOME/go/bin"},
		{name: "go install's folder is missing", path: "/bin", want: []Note{{Kind: KindMissing, Dir: "HOME/go/bin"}}},
		{name: "written, not here yet", path: old + ":HOME/go/bin", written: []Shell{Bash}, want: []Note{{Kind: KindPending}}},
		{name: "an old Go comes first, nobody knows why", path: old + ":" + goDir + ":HOME/go/bin", written: []Shell{Bash}, want: []Note{{Kind: KindFirst, Dir: old}}},
		{name: "an old Go comes first, by this line", path: old + ":" + goDir + ":HOME/go/bin", written: []Shell{Bash},
			have: map[string]string{".bashrc": "# PATH=~/old/bin:$PATH\nPATH=$PATH:~/old/bin\nPATH=~/older/bin:$PATH\nexport PATH=\"$HOME/old/bin:$PATH\"\n"},
			want: []Note{{Kind: KindFirst, Dir: old, File: ".bashrc", Line: 4}}},
		{name: "a line behind goferry's will put it first", path: old + ":HOME/go/bin", written: []Shell{Bash}, more: map[string]string{".bashrc": "PATH=~/old/bin:$PATH\n"},
			want: []Note{{Kind: KindFirst, Dir: old, File: ".bashrc", Line: 17}, {Kind: KindPending}}},
		{name: "a line before goferry's will not", path: old + ":HOME/go/bin", have: map[string]string{".bashrc": "PATH=~/old/bin:$PATH\n"}, written: []Shell{Bash}, want: []Note{{Kind: KindPending}}},
		{name: "GOROOT", path: goDir + ":HOME/go/bin", env: map[string]string{"GOROOT": "HOME/old"}, want: []Note{{Kind: KindGoroot, Dir: "HOME/old"}}},
		{name: "GOROOT, by this line", path: goDir + ":HOME/go/bin", env: map[string]string{"GOROOT": "HOME/old"},
			have: map[string]string{".bashrc": "# export GOROOT=no\nexport MY_GOROOT=no\nexport GOROOT=$HOME/old\n"},
			want: []Note{{Kind: KindGoroot, Dir: "HOME/old", File: ".bashrc", Line: 3}}},
		{name: "bash does not read .profile any more", path: goDir + ":HOME/go/bin", written: []Shell{Sh}, have: map[string]string{".bashrc": ""},
			more: map[string]string{".bash_profile": "# made later\n"}, want: []Note{{Kind: KindUnread, Shell: Bash, File: ".bash_profile", Other: ".profile"}}},
		{name: "the login shell is another", path: goDir + ":HOME/go/bin", env: map[string]string{"SHELL": "/bin/zsh"}, written: []Shell{Bash},
			want: []Note{{Kind: KindLoginShell, Shell: Zsh, File: ".zshrc"}}},
		{name: "bashrc ends in another shell", path: goDir + ":HOME/go/bin", have: map[string]string{".bashrc": "a\n[ -t 0 ] || :\nexec /usr/bin/fish\n"}, written: []Shell{Bash},
			want: []Note{{Kind: KindLeaves, Shell: Bash, File: ".bashrc", Line: 3}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := machine(t, nil)
			full := func(s string) string { return strings.ReplaceAll(s, "HOME", m.Home) }
			env := map[string]string{"SHELL": "/bin/bash", "PATH": tt.path}
			for k, v := range tt.env {
				env[k] = v
			}
			m.Env = func(k string) string { return full(env[k]) }
			for _, dir := range []string{goDir, old} {
				write(t, filepath.Join(full(dir), "go"), "")
			}
			for name, text := range tt.have {
				write(t, m.home(name), text)
			}
			if tt.written != nil {
				p, err := m.Write(tt.written, []Entry{{Dir: full(goDir)}, {Dir: m.home(".goferry", "bin")}, {Dir: m.home("go", "bin"), Last: true}})
				apply(t, m, p, err)
			}
			for name, text := range tt.more {
				data, _ := os.ReadFile(m.home(name))
				write(t, m.home(name), string(data)+text)
			}
			var want []Note
			for _, n := range tt.want {
				n.Dir = full(n.Dir)
				for _, f := range []*string{&n.File, &n.Other} {
					if *f != "" {
						*f = m.home(*f)
					}
				}
				want = append(want, n)
			}
			got := m.Look([]Shell{Bash}, full(goDir), m.home("go", "bin"))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, content(t, m.home(".bashrc")))
			}
		})
	}
}

func TestLinesThatPut(t *testing.T) {
	m := &Machine{OS: "linux", Home: "/home/li", Env: func(k string) string { return map[string]string{"GOROOT": "/usr/local/go"}[k] }}
	const dir = "/usr/local/go/bin"
	for line, want := range map[string]bool{
		"export PATH=/usr/local/go/bin:$PATH":                   true,
		`PATH="/usr/local/go/bin/:${PATH}"`:                     true,
		"export PATH=$GOROOT/bin:$PATH":                         true,
		"path=(/usr/local/go/bin $path)":                        true,
		"/usr/local/go/bin":                                     true,
		"fish_add_path /usr/local/go/bin":                       true,
		"set -gx PATH /usr/local/go/bin $PATH":                  true,
		"$env.PATH = ($env.PATH | prepend '/usr/local/go/bin')": true,
		"export PATH=$PATH:/usr/local/go/bin":                   false,
		"fish_add_path --append /usr/local/go/bin":              false,
		"# export PATH=/usr/local/go/bin:$PATH":                 false,
		"export PATH=/usr/local/go/bin2:$PATH":                  false,
		"export PATH=/usr/local/go/bin/x:$PATH":                 false,
		"export PATH=/opt/usr/local/go/bin:$PATH":               false,
		"ls /usr/local/go/bin":                                  false,
		"set -gx PATH $PATH /usr/local/go/bin":                  false,
	} {
		if got := m.puts(line, dir); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestPrivate(t *testing.T) {
	m := machine(t, nil)
	closed := m.home("closed")
	if err := os.MkdirAll(filepath.Join(closed, "sdk"), 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := m.Home; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			break // not the test's own
		}
	}
	if got := m.Private(filepath.Join(closed, "sdk", "none")); got != "" {
		t.Errorf("open: %q", got)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := m.Private(filepath.Join(closed, "sdk")); got != closed {
		t.Errorf("got %q, want %q", got, closed)
	}
}
