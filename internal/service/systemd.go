package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// unit is the unit file of systemd for spec. https://www.freedesktop.org/software/systemd/man/systemd.service.html
func unit(spec Spec) (string, error) {
	program, err := quote(spec.Program, false)
	if err != nil {
		return "", err
	}
	exec := []string{program}
	for _, arg := range spec.Args {
		q, err := quote(arg, true)
		if err != nil {
			return "", err
		}
		exec = append(exec, q)
	}
	var b strings.Builder
	b.WriteString("# " + Mark + "\n[Unit]\nDescription=goferry, a module proxy for Go\nStartLimitIntervalSec=60\nStartLimitBurst=5\n\n[Service]\n")
	b.WriteString("ExecStart=" + strings.Join(exec, " ") + "\n")
	for _, key := range slices.Sorted(maps.Keys(spec.Env)) {
		q, err := quote(key+"="+spec.Env[key], false)
		if err != nil {
			return "", err
		}
		b.WriteString("Environment=" + q + "\n")
	}
	b.WriteString("Restart=on-failure\nRestartSec=2\n")
	if s := seconds(spec.StopTimeout); s > 0 {
		fmt.Fprintf(&b, "TimeoutStopSec=%d\n", s)
	}
	b.WriteString("\n[Install]\nWantedBy=default.target\n")
	return b.String(), nil
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// quote makes one word of s in a unit file. dollars says that $ begins a variable there, as it
// does in the arguments of ExecStart. https://www.freedesktop.org/software/systemd/man/systemd.syntax.html
func quote(s string, dollars bool) (string, error) {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("service: %q cannot stand in a unit file", s)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '%', r == '$' && dollars:
			b.WriteRune(r)
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r == '{': // "{{" would be the library's
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}
