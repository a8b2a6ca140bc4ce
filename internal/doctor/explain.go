package doctor

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// A Recognized is a known message in what a build has written.
type Recognized struct {
	Code   string            `json:"code"`             // of a closed list, see MessageCodes; its text is doctor.message.CODE
	Line   int               `json:"line"`             // where it stands first, from 1
	Count  int               `json:"count"`            // how often it stands there, about the same thing
	Text   string            `json:"text"`             // that line, without passwords
	Args   map[string]string `json:"args,omitempty"`   // for the text: the host, the file
	Checks []string          `json:"checks,omitempty"` // those that find out what is behind it here
	Fixes  []Fix             `json:"fixes,omitempty"`  // see Mend
}

// maxExplained bounds the known messages of one text, and maxExplainLine the bytes of a line that are looked at.
const (
	maxExplained   = 50
	maxExplainLine = 8 << 10
)

// MessageCodes lists the codes of messages.
func MessageCodes() []string {
	var codes []string
	for _, m := range explainMessages() {
		codes = append(codes, m.code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// Explain finds the messages of go, git, C compilers, linkers and Docker that it knows in the output of a build, in
// their order, each once for each thing that it is about. The error is that of r; what was found until then is
// returned beside it.
func Explain(r io.Reader) ([]Recognized, error) { return explainText(explainMessages(), r) }

func explainText(known []explainMessage, r io.Reader) ([]Recognized, error) {
	lines := bufio.NewReaderSize(r, maxExplainLine)
	if mark, err := lines.Peek(2); err == nil && (string(mark) == "\xff\xfe" || string(mark) == "\xfe\xff") {
		data, err := io.ReadAll(lines)
		if err != nil {
			return nil, err
		}
		lines = bufio.NewReaderSize(strings.NewReader(explainUTF16(data)), maxExplainLine)
	}
	var list []Recognized
	for n := 1; ; n++ {
		line, err := explainLine(lines)
		if err != nil && line == "" {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return list, err
		}
		for _, got := range explainOne(known, line) {
			got.Line = n
			i := slices.IndexFunc(list, func(o Recognized) bool { return o.Code == got.Code && explainSame(o.Args, got.Args) })
			switch {
			case i >= 0:
				list[i].Count++
			case len(list) < maxExplained:
				list = append(list, got)
			}
		}
	}
}

// explainUTF16 is a text in UTF-16 with a mark of its order, as PowerShell writes what is sent into a file.
func explainUTF16(data []byte) string {
	order := binary.ByteOrder(binary.LittleEndian)
	if data[0] == 0xfe {
		order = binary.BigEndian
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return string(utf16.Decode(units))
}

// BearOn lists the checks that bear on the messages, each once, in the order of all; see Select.
func BearOn(list []Recognized, all []Check) []Check {
	var names []string
	for _, m := range list {
		for _, id := range m.Checks {
			if slices.ContainsFunc(all, func(c Check) bool { return c.ID == id }) {
				names = append(names, id)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	checks, _ := Select(all, names) // they are all known
	return checks
}

// explainLine reads a line of any length, and keeps its beginning.
func explainLine(r *bufio.Reader) (string, error) {
	line, more, err := r.ReadLine()
	text := string(line)
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	if err == nil && text == "" {
		text = " " // an empty line is no end
	}
	return text, err
}

func explainSame(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

var (
	explainColour = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
	// explainPrefix is what builders put before each line: "#12 3.456 ", "12:34:56 ", a date of CI.
	explainPrefix = regexp.MustCompile(`^(?:#\d+ (?:\d+\.\d+ )?|\[[^\]]{1,40}\] |\d{4}-\d\d-\d\dT[0-9:.]+Z ?| > \[[^\]]*\] )+`)
	explainSecret = regexp.MustCompile(`(://)[^/\s"'@]*@`)
	explainQuery  = regexp.MustCompile(`(https?://[^\s"'?]*)\?[^\s"']*`)
)

// explainClean takes away what is not of the message, or nobody else's business.
func explainClean(line string) string {
	line = explainColour.ReplaceAllString(line, "")
	line = explainPrefix.ReplaceAllString(strings.TrimSpace(line), "")
	line = explainSecret.ReplaceAllString(line, "$1")
	return explainQuery.ReplaceAllString(line, "$1")
}

// explainOne finds the messages of a line: the first of each layer, since a line may say what failed and why.
func explainOne(known []explainMessage, line string) []Recognized {
	line = explainClean(line)
	if line == "" {
		return nil
	}
	var list []Recognized
	lower := strings.ToLower(line)
	seen := map[explainLayer]bool{}
	for _, m := range known {
		if seen[m.layer] || !m.explainMay(lower) {
			continue
		}
		got := m.text.FindStringSubmatch(line)
		if got == nil {
			continue
		}
		seen[m.layer] = true
		list = append(list, Recognized{Code: m.code, Count: 1, Text: explainShort(line), Args: m.args(got, line), Checks: strings.Fields(m.checks)})
	}
	return list
}

// explainShort bounds the line that is shown, in runes.
func explainShort(line string) string {
	if runes := []rune(line); len(runes) > 300 {
		return string(runes[:299]) + "…"
	}
	return line
}

// An explainLayer is what a message is about. Of one layer a line has one message.
type explainLayer int

const (
	explainNet  explainLayer = iota // why bytes do not come
	explainMod                      // modules, versions, checksums, toolchains
	explainTool                     // git, compilers, linkers, Docker, the system
)

// An explainMessage is a message that is known. The names of its groups are those of Args.
type explainMessage struct {
	code   string
	layer  explainLayer
	checks string // ids of checks, with spaces between
	text   *regexp.Regexp
	words  []string // see explainWords
}

// args are what the groups caught. What is about a network is about a Host: one that is not caught is that of the first
// URL of the line. Texts always have what they name; "-" stands where nothing was caught.
func (m explainMessage) args(got []string, line string) map[string]string {
	args := map[string]string{}
	if m.layer == explainNet {
		args["Host"] = ""
	}
	for i, name := range m.text.SubexpNames() {
		if name != "" && (got[i] != "" || args[name] == "") {
			args[name] = got[i]
		}
	}
	for name, value := range args {
		if value == "" && name == "Host" {
			value = explainHost(line)
		}
		args[name] = sdkOr(value, "-")
	}
	return args
}

var explainURL = regexp.MustCompile(`https?://[^\s"'<>]+`)

// explainHost is the host of the first URL of a line.
func explainHost(line string) string {
	u, err := url.Parse(strings.TrimRight(explainURL.FindString(line), ":,.;)"))
	if err != nil {
		return ""
	}
	return u.Host
}
