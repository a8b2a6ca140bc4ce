package shellenv

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shells run a script and print the PATH that it leaves, one entry a line.
var shells = []struct {
	sh    Shell
	args  []string
	print string
}{
	{Sh, []string{"dash", "-c"}, `printf '%s\n' "$PATH" | /usr/bin/tr : '\n'`},
	{Bash, []string{"bash", "--norc", "-c"}, `printf '%s\n' "${PATH//:/$'\n'}"`},
	{Bash, []string{"bash", "--norc", "--posix", "-c"}, `printf '%s\n' "${PATH//:/$'\n'}"`},
	{Zsh, []string{"zsh", "-f", "-c"}, `print -rl -- $path`},
	{Zsh, []string{"zsh", "-f", "-o", "sh_word_split", "-o", "ksh_arrays", "-o", "err_exit", "-o", "no_unset", "-c"}, `print -rl -- "${path[@]}"`},
	{Fish, []string{"fish", "--no-config", "-c"}, `printf '%s\n' $PATH`},
}

// TestRealShells runs the lines for folders with names that shells have other ideas about.
func TestRealShells(t *testing.T) {
	names := []string{"plain", "two words", "it's", `"quoted"`, "$HOME", "`date`", `back\slash`, "*", "[a-z]?", "~", "!x", "a;b&c|d", "中文", "#", "-n", "%s", "{a,b}"}
	for _, tt := range shells {
		if _, err := exec.LookPath(tt.args[0]); err != nil {
			t.Errorf("scripts/test-deps.sh installs it: %v", err)
			continue
		}
		m := &Machine{OS: "linux", Home: "/home/li"}
		for _, name := range names {
			entries := []Entry{{Dir: "/home/li/" + name + "/bin"}, {Dir: "/opt/" + name}, {Dir: "/home/li/" + name, Last: true}}
			lines, err := m.Lines(tt.sh, entries)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{entries[0].Dir, entries[1].Dir, "/usr/bin", "/bin", entries[2].Dir}
			for what, script := range map[string]string{"once": lines, "twice": lines + lines} {
				if diff := cmp.Diff(want, runShell(t, tt.args, script+tt.print, "/usr/bin:/bin")); diff != "" {
					t.Errorf("%v, %q, %s (-want +got):\n%s", tt.args, name, what, diff)
				}
			}
		}
	}
}

func runShell(t *testing.T, args []string, script, path string) []string {
	t.Helper()
	program, err := exec.LookPath(args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append(args[1:], script)...)
	cmd.Env = []string{"HOME=/home/li", "PATH=" + path}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%v: %v\n%s\n%s", args, err, errs.String(), script)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestSimilarPath shows that only the very folder counts as being there, and that it keeps its place.
func TestSimilarPath(t *testing.T) {
	m := &Machine{OS: "linux", Home: "/home/li"}
	for _, tt := range shells {
		lines, err := m.Lines(tt.sh, []Entry{{Dir: "/home/li/.goferry/go/bin"}})
		if err != nil {
			t.Fatal(err)
		}
		similar := []string{"/home/li/.goferry/go/bin2", "/home/li/.goferry/go", "/x/home/li/.goferry/go/bin", "/home/li/.goferry/go/bin/sub", "/usr/bin"}
		got := runShell(t, tt.args, lines+tt.print, strings.Join(similar, ":"))
		if diff := cmp.Diff(append([]string{"/home/li/.goferry/go/bin"}, similar...), got); diff != "" {
			t.Errorf("%v: a similar path (-want +got):\n%s", tt.args, diff)
		}
		there := []string{"/a", "/home/li/.goferry/go/bin", "/usr/bin"}
		if diff := cmp.Diff(there, runShell(t, tt.args, lines+tt.print, strings.Join(there, ":"))); diff != "" {
			t.Errorf("%v: there already (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestEmptyPath(t *testing.T) {
	m := &Machine{OS: "linux", Home: "/home/li"}
	for _, tt := range shells {
		none := "PATH=\n"
		if tt.sh == Fish {
			none = "set PATH\n"
		}
		lines, err := m.Lines(tt.sh, []Entry{{Dir: "/a"}, {Dir: "/z", Last: true}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"/a", "/z"}, runShell(t, tt.args, none+lines+tt.print, "/usr/bin")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestLinesText(t *testing.T) {
	unix := []Entry{{Dir: "/home/li/.goferry/go/bin"}, {Dir: "/home/li/.goferry/bin"}, {Dir: "/srv/it’s", Last: true}}
	windows := []Entry{{Dir: `C:\Users\O'Hara\go\bin`}, {Dir: `C:\b`}, {Dir: `C:\z`, Last: true}}
	tests := []struct {
		os      string
		sh      Shell
		entries []Entry
		want    string
	}{
		{"linux", Nushell, unix, `$env.PATH = ($env.PATH? | default [] | split row (char esep))
if "/home/li/.goferry/bin" not-in $env.PATH { $env.PATH = ($env.PATH | prepend "/home/li/.goferry/bin") }
if "/home/li/.goferry/go/bin" not-in $env.PATH { $env.PATH = ($env.PATH | prepend "/home/li/.goferry/go/bin") }
if "/srv/it’s" not-in $env.PATH { $env.PATH = ($env.PATH | append "/srv/it’s") }
`},
		{"linux", PowerShell, unix, `& {
    $sep = [IO.Path]::PathSeparator
    foreach ($dir in '/home/li/.goferry/bin', '/home/li/.goferry/go/bin') {
        if (($env:PATH -split $sep) -cnotcontains $dir) { $env:PATH = (@($dir, $env:PATH) -ne $null -ne '') -join $sep }
    }
    foreach ($dir in '/srv/it’’s') {
        if (($env:PATH -split $sep) -cnotcontains $dir) { $env:PATH = (@($env:PATH, $dir) -ne $null -ne '') -join $sep }
    }
}
`},
		{"windows", PowerShell, windows[:2], `& {
    $sep = [IO.Path]::PathSeparator
    foreach ($dir in 'C:\b', 'C:\Users\O''Hara\go\bin') {
        if (($env:PATH -split $sep) -notcontains $dir) { $env:PATH = (@($dir, $env:PATH) -ne $null -ne '') -join $sep }
    }
}
`},
		{"windows", Cmd, windows, `set "PATH=C:\Users\O'Hara\go\bin;C:\b;%PATH%;C:\z"` + "\r\n"},
	}
	for _, tt := range tests {
		m := &Machine{OS: tt.os, Home: "/home/li"}
		got, err := m.Lines(tt.sh, tt.entries)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", tt.sh, tt.os, diff)
		}
	}
}

func TestHomeInLines(t *testing.T) {
	for dir, want := range map[string]string{
		"/home/li/go/bin": `"$HOME/go/bin"`,
		"/home/li":        `"$HOME"`,
		"/home/lisa/bin":  `"/home/lisa/bin"`,
		"/opt/go":         `"/opt/go"`,
	} {
		if got := word(Bash, dir, "/home/li/"); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
		if got := word(Bash, dir, ""); got != `"`+dir+`"` {
			t.Errorf("%s in full: %s", dir, got)
		}
	}
}

func TestFoldersThatNoPathCanName(t *testing.T) {
	for _, tt := range []struct{ os, dir string }{
		{"linux", "go/bin"}, {"linux", ""}, {"linux", "/a:b"}, {"linux", "/a\nb"}, {"linux", "/a\x1bb"},
		{"windows", `go\bin`}, {"windows", `C:go`}, {"windows", `C:\a;b`}, {"windows", `C:\100%\bin`}, {"windows", `\go`},
	} {
		m := &Machine{OS: tt.os, Home: "/home/li"}
		if _, err := m.Lines(PowerShell, []Entry{{Dir: tt.dir}}); !errors.Is(err, ErrFolder) {
			t.Errorf("%s, %q: %v", tt.os, tt.dir, err)
		}
		if _, err := m.Write([]Shell{PowerShell}, []Entry{{Dir: tt.dir}}); !errors.Is(err, ErrFolder) {
			t.Errorf("write on %s, %q: %v", tt.os, tt.dir, err)
		}
	}
	m := &Machine{OS: "windows"}
	if _, err := m.Lines(PowerShell, []Entry{{Dir: `\\server\share\go`}, {Dir: `D:/go/bin`}}); err != nil {
		t.Error(err)
	}
}

func TestParseShell(t *testing.T) {
	for name, want := range map[string]Shell{
		"bash": Bash, "/bin/bash": Bash, "-zsh": Zsh, "/opt/homebrew/bin/fish": Fish, "nu": Nushell, "dash": Sh, "ksh": Sh, "profile": Sh,
		`C:\Program Files\PowerShell\7\pwsh.exe`: PowerShell, "PowerShell": PowerShell, "cmd.exe": Cmd, "windows": Windows, "registry": Windows,
	} {
		if got, err := ParseShell(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "tcsh", "/bin/false", "bash2"} {
		if got, err := ParseShell(name); !errors.Is(err, ErrShell) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
