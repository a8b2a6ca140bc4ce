package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goferry/goferry/internal/doctor"
	"github.com/goferry/goferry/internal/text"
)

// pageOf examines nothing but those findings.
func pageOf(t *testing.T, lang string, o doctor.Outcome) *doctorPage {
	t.Helper()
	check := doctor.Check{ID: "goenv", Group: doctor.Settings, Run: func(context.Context, *doctor.Exam) doctor.Outcome { return o }}
	rep := doctor.Examine(t.Context(), &doctor.Exam{OS: "linux"}, []doctor.Check{check}, doctor.Options{})
	return &doctorPage{p: text.New(lang), rep: rep, os: "linux"}
}

// TestDoctorNumbers wants a group to lead to no number that is not shown.
func TestDoctorNumbers(t *testing.T) {
	page := pageOf(t, text.English, doctor.Outcome{Findings: []doctor.Finding{
		{Code: "ignored-variable", Severity: doctor.Warning, Subject: "GONOSUMCHECK", Args: map[string]string{"Meant": "GONOSUMDB"}},
		{Code: "gomod-missing", Severity: doctor.Note, Subject: "/home/ann"},
	}})
	if got := page.String(); !strings.Contains(got, "see 1\n") || strings.Contains(got, "2 i") {
		t.Errorf("a note that nobody has to act upon is hidden, and so is its number:\n%s", got)
	}
	page.verbose = true
	if got := page.String(); !strings.Contains(got, "see 1, 2\n") || !strings.Contains(got, "\n2 i") {
		t.Errorf("with --verbose both are shown:\n%s", got)
	}
}

// TestDoctorNarrow wants a report to fit into a narrow terminal: what is broken by the terminal itself cannot be read.
func TestDoctorNarrow(t *testing.T) {
	x, rep := sampleReport(t)
	for _, lang := range []string{text.English, text.Chinese} {
		page := &doctorPage{p: text.New(lang), rep: rep, os: x.OS, columns: 60}
		for line := range strings.Lines(page.String()) {
			if n := text.Columns(strings.TrimSuffix(line, "\n")); n > 60 && strings.Contains(strings.TrimSpace(line), " ") && !strings.HasPrefix(line, "        ") {
				t.Errorf("%s: %d columns: %s", lang, n, line)
			}
		}
	}
}

// TestDoctorShellLines wants a line of a shell to be shown as one types it, and sudo to get a shell for it.
func TestDoctorShellLines(t *testing.T) {
	f := doctor.Fix{Kind: doctor.RunCommand, Root: true, Command: []string{"sh", "-c", "apt-get update && apt-get install -y gcc"}}
	if got := strings.Join(doctorFixLines(f, "linux", true), "\n"); got != "apt-get update && apt-get install -y gcc" {
		t.Errorf("for root: %s", got)
	}
	if got := strings.Join(doctorFixLines(f, "linux", false), "\n"); got != "sudo sh -c 'apt-get update && apt-get install -y gcc'" {
		t.Errorf("for others: %s", got)
	}
}

// TestExplainPage wants messages without a host to be sentences all the same, to come with what installs what is missing, and
// the last line not to call a build that failed well.
func TestExplainPage(t *testing.T) {
	list, err := doctor.Explain(strings.NewReader("net/http: TLS handshake timeout\ngcc: error: unrecognized command-line option '-mthreads'\n"))
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	x := &doctor.Exam{OS: "linux", Arch: "amd64", OSRelease: "ID=debian\n"}
	for lang, want := range map[string]string{text.English: "the server took the connection", text.Chinese: "对方服务器"} {
		page := pageOf(t, lang, doctor.Outcome{})
		doctor.Mend(x, list, page.rep)
		page.rep.Messages = list
		got := page.String()
		if !strings.Contains(got, want) || strings.Contains(got, ". - ") || !strings.Contains(got, "apt-get install -y gcc-mingw-w64-x86-64") {
			t.Errorf("%s:\n%s", lang, got)
		}
		if strings.Contains(got, page.p.T("doctor.healthy", "Time", doctorTime(page.rep.Took))) {
			t.Errorf("%s: a build failed, and all is well:\n%s", lang, got)
		}
	}
}

// TestFileSecrets finds the passwords of a netrc file and of git's helper "store".
func TestFileSecrets(t *testing.T) {
	home := t.TempDir()
	for name, data := range map[string]string{
		".netrc": "machine git.corp.example login ann password netrcpass1\n", ".git-credentials": "https://ann:storepass1@git.corp.example\nhttps://bob@git.corp.example\n",
		".config/git/credentials": "https://ann:st%40repass2@git.corp.example\n",
	} {
		name = filepath.Join(home, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &doctorRun{app: &app{world: world{env: func(name string) string { return map[string]string{"NETRC": filepath.Join(home, ".netrc")}[name] }}}}
	got := strings.Join(r.fileSecrets(home), " ")
	for _, want := range []string{"netrcpass1", "storepass1", "st@repass2"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among %q", want, got)
		}
	}
}
