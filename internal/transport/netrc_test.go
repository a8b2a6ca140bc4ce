package transport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseNetrc(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		want       []netrcEntry
	}{
		{"empty", "", nil},
		{"one line", "machine a.test login u password p", []netrcEntry{{"a.test", "u", "p"}}},
		{"lines", "machine a.test\n\tlogin u\r\n\tpassword p\nmachine\nb.test password q login v\n",
			[]netrcEntry{{"a.test", "u", "p"}, {"b.test", "v", "q"}}},
		{"default", "machine a.test login u password p\ndefault login anonymous password x",
			[]netrcEntry{{"a.test", "u", "p"}, {"", "anonymous", "x"}}},
		{"incomplete", "machine a.test login u\nmachine b.test password p\nmachine c.test login u password p",
			[]netrcEntry{{"c.test", "u", "p"}}},
		{"account", "machine a.test login u account x password p", []netrcEntry{{"a.test", "u", "p"}}},
		{"macro", "macdef init\nmachine x.test login no password no\n\nmachine a.test login u password p",
			[]netrcEntry{{"a.test", "u", "p"}}},
		{"macro within", "machine a.test login u password p macdef init\r\nlogin no\r\n\r\nmachine b.test login v password q",
			[]netrcEntry{{"a.test", "u", "p"}, {"b.test", "v", "q"}}},
		{"macro to the end", "machine a.test login u password p\nmacdef m\npassword no", []netrcEntry{{"a.test", "u", "p"}}},
		{"words as values", "machine machine login login password default", []netrcEntry{{"machine", "login", "default"}}},
		{"values before a machine", "login u password p", nil},
		{"cut short", "machine a.test login u password", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parseNetrc(tt.data)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	e := netrcEntry{"a.test", "u", "hunter2"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, e); strings.Contains(got, "hunter2") {
			t.Errorf("%s prints %s", format, got)
		}
	}
	if got := e.Password.LogValue().String(); got != "***" {
		t.Errorf("logs %s", got)
	}
}

func FuzzParseNetrc(f *testing.F) {
	f.Add("machine a.test login u password p\ndefault login x password y\n")
	f.Add("macdef init\nmachine x\n\nmachine a.test\nlogin u\npassword p")
	f.Add("machine machine login default password macdef default default")
	f.Fuzz(func(t *testing.T, data string) {
		entries := parseNetrc(data)
		var again strings.Builder
		for _, e := range entries {
			if e.Login == "" || e.Password == "" || strings.ContainsAny(e.Machine+e.Login+string(e.Password), " \t\r\n") {
				t.Fatalf("impossible entry %#v of %q", e, data)
			}
			if !strings.Contains(data, string(e.Password)) {
				t.Fatalf("password out of nowhere in %q", data)
			}
			if e.Machine == "" {
				fmt.Fprintf(&again, "default login %s password %s\n", e.Login, string(e.Password))
			} else {
				fmt.Fprintf(&again, "machine %s login %s password %s\n", e.Machine, e.Login, string(e.Password))
			}
		}
		if diff := cmp.Diff(entries, parseNetrc(again.String())); diff != "" {
			t.Fatalf("written and read again: %s", diff)
		}
	})
}
