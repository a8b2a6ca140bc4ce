package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parse reads text into the field of s. Its errors quote the text without what
// looks like credentials; settings that are meant to hold some are not parsed.
func (s Setting) parse(v *Values, text string, from Origin) error {
	if s.Type != TypeString && s.Type != TypeList || s.Choices != nil {
		text = strings.TrimSpace(text)
	}
	if s.Choices != nil && text != "" && !slices.Contains(s.Choices, text) {
		return fmt.Errorf("%q: not one of %s", Redact(text), strings.Join(s.Choices, ", "))
	}
	// What the go command's own settings may say is the go command's to judge:
	// it passes over a malformed pattern, and would go on working.
	if s.valid != nil && from.Kind != FromGoEnv {
		if err := s.valid(text); err != nil {
			return fmt.Errorf("%q: %w", Redact(text), err)
		}
	}
	return s.assign(s.field(v), text, from)
}

func (s Setting) assign(field any, text string, from Origin) (err error) {
	switch p := field.(type) {
	case *string:
		if s.path {
			text, err = resolve(text, from)
		}
		*p = text
	case *Masked:
		*p = Masked(strings.TrimSpace(text))
	case *Secret:
		*p = Secret(text)
	case *[]string:
		*p, err = s.parseList(text, from)
	case *slog.Level:
		err = p.UnmarshalText([]byte(text))
	case *bool:
		if *p, err = strconv.ParseBool(text); err != nil {
			err = fmt.Errorf("%q: not true or false", text)
		}
	case *time.Duration:
		if *p, err = parseDuration(text); err == nil && s.positive && *p == 0 {
			err = fmt.Errorf("%q: must be more than zero", text)
		}
	case *Size:
		*p, err = ParseSize(text)
	case *int:
		*p, err = s.parseInt(text)
	default:
		err = fmt.Errorf("a setting cannot be a %T", field)
	}
	return err
}

func (s Setting) parseInt(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q: too large", text)
	case err != nil:
		return 0, fmt.Errorf("%q: not a whole number", text)
	case n < 0:
		return 0, fmt.Errorf("%q: must not be negative", text)
	case n == 0 && s.positive:
		return 0, fmt.Errorf("%q: must be more than zero", text)
	}
	return int(n), nil
}

// parseList splits text at commas; items that are empty do not count, as in
// the go command's own lists. An empty list is nil.
func (s Setting) parseList(text string, from Origin) (list []string, err error) {
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if s.path {
			if item, err = resolve(item, from); err != nil {
				return nil, err
			}
		}
		list = append(list, item)
	}
	return list, nil
}

const day = 24 * time.Hour

// parseDuration is time.ParseDuration for durations that are not negative, and
// knows whole days: nobody counts idle time in hours.
func parseDuration(text string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(text, "d"); ok {
		if days, err := strconv.ParseUint(n, 10, 32); err == nil {
			if days > uint64(math.MaxInt64/day) {
				return 0, fmt.Errorf("%q: too long", text)
			}
			return time.Duration(days) * day, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q: not a duration", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q: must not be negative", text)
	}
	return d, nil
}

// formatDuration writes d without the zero units of time.Duration.String:
// "1h", not "1h0m0s".
func formatDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// text is the inverse of parse: the value as a flag would say it.
func (s Setting) text(v *Values) string {
	switch p := s.field(v).(type) {
	case *string:
		return *p
	case *Masked:
		return string(*p)
	case *Secret:
		return string(*p)
	case *[]string:
		return strings.Join(*p, ",")
	case *slog.Level:
		return strings.ToLower(p.String())
	case *bool:
		return strconv.FormatBool(*p)
	case *time.Duration:
		return formatDuration(*p)
	case *Size:
		return p.String()
	case *int:
		return strconv.Itoa(*p)
	}
	return ""
}

// shown is text, fit for other eyes.
func (s Setting) shown(v *Values) string {
	text := s.text(v)
	switch s.field(v).(type) {
	case *Secret:
		return redactCommands(text)
	case *Masked:
		return Redact(text)
	}
	return text
}

// validListen wants host:port. The port may be 0 for any free one.
func validListen(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("not host:port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("no such port")
	}
	return nil
}

// validPatterns wants a list of patterns as module.MatchPrefixPatterns takes
// them. That function passes over malformed ones; here they would be private
// names that leak, or blocked modules that pass.
func validPatterns(text string) error {
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if _, err := path.Match(item, ""); err != nil {
			return fmt.Errorf("malformed pattern %q", Redact(item))
		}
		if strings.Contains(item, "://") {
			return errors.New("a URL; patterns are prefixes of module paths")
		}
	}
	return nil
}

func validPercent(text string) error {
	if n, err := strconv.Atoi(text); err == nil && n > 100 {
		return errors.New("more than 100 percent")
	}
	return nil // what is no number is found elsewhere
}

// validHosts wants NAME=ADDRESS items; a name may come more than once.
func validHosts(text string) error {
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		name, addr, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || name == "" || strings.ContainsAny(name, "/: ") {
			return fmt.Errorf("%q is not NAME=ADDRESS", Redact(item))
		}
		if _, err := netip.ParseAddr(strings.TrimSpace(addr)); err != nil {
			return fmt.Errorf("%q is not an IP address", Redact(addr))
		}
	}
	return nil
}

// validHTTPS wants URLs of resolvers: an answer that anybody may change on the way is worth nothing.
func validHTTPS(text string) error {
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(item))
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q is not an https URL", Redact(item))
		}
	}
	return nil
}

// validSources wants URLs of folders of archives, or behind "modules=" of module proxies; a last "off" keeps the
// places that goferry knows by itself from being asked.
func validSources(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		item = strings.TrimSpace(item)
		if item == "off" && i == len(items)-1 {
			continue
		}
		u, err := url.Parse(strings.TrimPrefix(strings.TrimPrefix(item, "modules="), "archives="))
		if err != nil || u.Host == "" && u.Scheme != "file" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" {
			return fmt.Errorf("%q is not a URL", Redact(item))
		}
	}
	return nil
}
