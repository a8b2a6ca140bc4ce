package doctor

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// codeHostsPinned is a line of the hosts file that keeps a host at an address where it is not.
const codeHostsPinned = "hosts-pinned"

// factHostsFile says that the system's answer stands in the hosts file, and in which line.
const factHostsFile = "from-hosts-file"

const fixHostsDrop = "hosts-drop"

// A HostsFile is the one by which a system knows hosts without asking anybody: /etc/hosts, or on Windows
// %SystemRoot%\System32\drivers\etc\hosts.
type HostsFile struct {
	Path string
	Text string // as it stands there; empty for none
}

// A hostsLine is a line that names an address for a host.
type hostsLine struct {
	number int    // from 1
	text   string // with its end
	addr   netip.Addr
	file   string
}

// lines are those that name an address for host.
func (h HostsFile) lines(host string) []hostsLine {
	var list []hostsLine
	n := 0
	for text := range strings.Lines(h.Text) {
		n++
		words := hostsWords(text)
		if len(words) < 2 || !slices.ContainsFunc(words[1:], func(name string) bool { return hostsSame(name, host) }) {
			continue
		}
		if addr, err := netip.ParseAddr(words[0]); err == nil {
			list = append(list, hostsLine{n, text, addr.Unmap(), h.Path})
		}
	}
	return list
}

func hostsWords(line string) []string {
	line, _, _ = strings.Cut(line, "#")
	return strings.Fields(line)
}

func hostsSame(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// pinned are the lines of the hosts file that an answer of the system's resolver comes from, nil if it comes from elsewhere.
func (x *Exam) pinned(n Names) []hostsLine {
	lines := slices.DeleteFunc(x.Hosts.lines(n.Host), func(l hostsLine) bool { return !slices.Contains(n.System.Addrs, l.addr) })
	for _, a := range n.System.Addrs {
		if !slices.ContainsFunc(lines, func(l hostsLine) bool { return l.addr == a }) {
			return nil
		}
	}
	return lines
}

// pinnedWrong reports whether it is proved that the hosts file leads away from the host: it is seen to be elsewhere.
func (r *Reached) pinnedWrong() bool {
	return len(r.pinned) > 0 && !r.Works() && !r.Flaky() && r.Op != "" && r.provedElsewhere()
}

// hostsFixes take the host out of the hosts file, and leave the others that stand in the same line.
func (x *Exam) hostsFixes(r Reached) []Fix {
	var fixes []Fix
	for _, l := range r.pinned {
		f := Fix{Code: fixHostsDrop, Kind: EditFile, Root: true, File: x.Hosts.Path, Old: l.text, New: hostsWithout(l.text, r.Names.Host),
			Args: map[string]string{"Host": r.Names.Host, "Line": strconv.Itoa(l.number), "File": x.Hosts.Path}}
		if strings.Count(x.Hosts.Text, l.text) != 1 { // what is to be changed cannot be told from the rest
			f = Fix{Code: fixHostsDrop, Kind: ByHand, Args: f.Args}
		}
		fixes = append(fixes, f)
	}
	return fixes
}

// hostsWithout is a line of the hosts file without a host; empty if no other is left.
func hostsWithout(line, host string) string {
	body, comment, commented := strings.Cut(line, "#")
	words := strings.Fields(body)
	kept := slices.DeleteFunc(words[1:], func(name string) bool { return hostsSame(name, host) })
	if len(kept) == 0 {
		return ""
	}
	end := line[len(strings.TrimRight(line, "\r\n")):]
	text := words[0] + " " + strings.Join(kept, " ")
	if commented {
		text += " #" + strings.TrimRight(comment, "\r\n")
	}
	return text + end
}

// hostsFact says where the answer stands.
func (r *Reached) hostsFact(e *evidencer) {
	if len(r.pinned) == 0 {
		return
	}
	var numbers []string
	for _, l := range r.pinned {
		numbers = append(numbers, strconv.Itoa(l.number))
	}
	e.add(factHostsFile, Yes, r.pinned[0].file+":"+strings.Join(numbers, ","))
}
