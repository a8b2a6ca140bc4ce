package doctor

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func fields(s string) []string { return strings.Fields(s) }

func secretExam() *Exam {
	return &Exam{
		Env: map[string]string{
			"GITHUB_TOKEN": "abcdef123456", "HTTPS_PROXY": "http://jane:p%40ss-w0rd@gate.test:8080", "SSH_AUTH_SOCK": "/run/agent.sock",
			"MY_API_KEY": "k-998877", "GIT_ASKPASS": "/usr/bin/askpass", "LANG": "en_US.UTF-8", "DB_PASSWORD": "hunter22", "USE_TOKEN": "yes",
		},
		GoEnv: GoEnv{
			Values:  map[string]string{"GOPROXY": "https://tok-en-value@a.test,https://b.test|direct", "GOAUTH": "netrc"},
			Written: map[string]string{"GOPROXY": "https://x:writtenpass@c.test"},
		},
	}
}

func TestMask(t *testing.T) {
	s := SecretsOf(secretExam(), "from-netrc")
	tests := []struct{ in, want string }{
		{"", ""},
		{"GOPROXY is https://b.test,direct", "GOPROXY is https://b.test,direct"},
		{"https://u:p@a.test/x@v1.2.3", "https://***@a.test/x@v1.2.3"},
		{"https://b.test/m/@v/list", "https://b.test/m/@v/list"},
		{"golang.org/x/text@v0.14.0: unrecognized import path", "golang.org/x/text@v0.14.0: unrecognized import path"},
		{"https://a:b@c@d.test|https://e.test", "https://***@d.test|https://e.test"},
		{"the token tok-en-value alone", "the token *** alone"},
		{"p%40ss-w0rd and p@ss-w0rd", "*** and ***"},
		{"k-998877 hunter22 abcdef123456 writtenpass from-netrc", "*** *** *** *** ***"},
		{"user:password@host.test,direct", "***@host.test,direct"},
		{"git@github.com:owner/repo", "git@github.com:owner/repo"},
		{"https://a.test/x?sig=1234&b=2 end", "https://a.test/x?*** end"},
		{"Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"},
		{`{"authorization":"Bearer x"}`, `{"authorization":"***"}`},
		{"bearer abcdefghijkl", "bearer ***"},
		{"machine a.test login joe password s3", "machine a.test login joe password ***"},
		{"key ghp_0123456789abcdefABCDEF end", "key *** end"},
		{"GOAUTH=netrc; helper --token abcd --user joe", "GOAUTH=netrc; helper --token *** --user joe"},
		{`{"value": "helper -api-key=abcd"}`, `{"value": "helper -api-key=***"}`},
		{"GOFLAGS=-trimpath -ldflags=-X=main.key=abcd -tags=a", "GOFLAGS=-trimpath -ldflags=-X=main.key=*** -tags=a"},
		{`{"value": "'-ldflags=-s -X example.com/m/p.key=abcd'"}`, `{"value": "'-ldflags=-s -X example.com/m/p.key=***'"}`},
		{"CGO_CFLAGS=-O2 -DAPI_KEY=abcd -D_FILE_OFFSET_BITS=64", "CGO_CFLAGS=-O2 -DAPI_KEY=*** -D_FILE_OFFSET_BITS=64"},
		{"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\nafter", "***\nafter"},
		{"/run/agent.sock /usr/bin/askpass en_US.UTF-8 yes netrc", "/run/agent.sock /usr/bin/askpass en_US.UTF-8 yes netrc"},
	}
	for _, tt := range tests {
		got := s.Mask(tt.in)
		if got != tt.want {
			t.Errorf("Mask(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if kinds := s.Found(got); len(kinds) > 0 {
			t.Errorf("%q is found to hold a %v", got, kinds)
		}
		if kinds := s.Found(tt.in); (len(kinds) > 0) != (tt.in != tt.want) {
			t.Errorf("%q: found %v", tt.in, kinds)
		}
	}
}

// TestReportHasNoSecrets plants secrets in every field that a check can fill.
func TestReportHasNoSecrets(t *testing.T) {
	const planted = "https://u:planted-1@a.test abcdef123456"
	fact := Fact{Name: "a", Answer: Yes, Value: planted}
	fix := Fix{Code: "f", Kind: SetGoEnv, Key: "GOPROXY", Args: map[string]string{"X": planted}, Value: planted, Command: []string{"a", planted}, File: planted, Old: planted, New: planted}
	finding := func(code string) Finding {
		return Finding{Code: code, Severity: Fault, Subject: planted, Args: map[string]string{"Value": planted}, Facts: []Fact{fact}, Fixes: []Fix{fix}}
	}
	checks := []Check{
		outcome("one", Network, Outcome{Findings: []Finding{finding("a"), finding("b")}, Facts: []Fact{fact}, NotRun: NotReadable, Detail: planted}),
		{ID: "two", Group: SDK, Run: nil}, // panics
	}
	var done []Result
	rep := Examine(t.Context(), secretExam(), checks, Options{Done: func(r Result) { done = append(done, r) }})
	data, err := json.Marshal(struct {
		Report   Report
		Done     []Result
		Findings []Finding
	}{rep, done, rep.Results[0].Findings})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"planted-1", "abcdef123456"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("%s is in the report", secret)
		}
	}
	got := rep.Causes[0].Fixes[0]
	if got.Exact == nil || got.Exact.Value != planted || !slices.Equal(got.Exact.Command, fix.Command) {
		t.Errorf("who applies the fix does not get it as it was: %+v", got.Exact)
	}
	if strings.Contains(got.Value, "planted") || got.Key != "GOPROXY" {
		t.Errorf("the fix as shown is %+v", got)
	}
	plain := Examine(t.Context(), &Exam{}, []Check{outcome("x", CC, Outcome{Findings: []Finding{{Code: "c", Severity: Fault, Fixes: []Fix{{Code: "f", Kind: ByHand}}}}})}, Options{})
	if plain.Causes[0].Fixes[0].Exact != nil {
		t.Error("a fix without secrets has another one behind it")
	}
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{"https://u:p@h", "a:b@c", "?x", "https://h?q@x", "bearer abcdefghijk", "authorization: x", "hunter22", "https://a:b@c?d=e|https://f@g", "user:pw@host:x@y"} {
		f.Add(s)
	}
	s := SecretsOf(secretExam())
	f.Fuzz(func(t *testing.T, in string) {
		once := s.Mask(in)
		if kinds := s.Found(once); len(kinds) > 0 {
			t.Fatalf("Mask(%q) = %q, in which there is still a %v", in, once, kinds)
		}
		if strings.Contains(once, "hunter22") {
			t.Fatalf("Mask(%q) = %q holds a secret", in, once)
		}
	})
}
