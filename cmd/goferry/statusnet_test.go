package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goferry/goferry/internal/goproxy"
	"github.com/goferry/goferry/internal/prefetch"
	"github.com/goferry/goferry/internal/text"
	"github.com/goferry/goferry/internal/transport"
)

// What goferry status says of the network, in both languages, from what the rooms know.
func TestStatusLines(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	out := soon.Format("01-02 15:04:05")
	mirrors := mirrorParts([]goproxy.MirrorState{
		{Name: "https://a.example", Latency: 120300 * time.Microsecond, Throughput: 3_200_000, Requests: 45, Failures: 2},
		{Name: "https://b.example", Latency: 40 * time.Microsecond, OutUntil: time.Now().Add(-time.Hour), Why: "long ago"},
		{Name: "https://longer.example/path", Requests: 1, Failures: 1, OutUntil: soon, Why: "unavailable: read:\n  stalled"},
		{Name: "https://c.example", Latency: time.Millisecond, Requests: 1, Refused: 1, OutUntil: soon, Why: "checksum mismatch"},
		{Name: "https://d.example", Latency: time.Millisecond, Requests: 2, Refused: 1},
	})
	hosts := hostParts([]transport.HostState{
		{Host: "a.example:443", SmallHello: true, IPv4Only: true},
		{Host: "b.example:443", Via: "proxy.example:3128", HTTP1Until: at},
		{Host: "c.example:443", Addr: netip.MustParseAddr("192.0.2.1"), Source: transport.FromDoH},
		{Host: "d.example:443", Addr: netip.MustParseAddr("192.0.2.2"), Source: transport.FromSystem, Op: transport.OpConnect, Failure: transport.TimedOut, FailedAt: at},
	})
	ahead := prefetchPartOf(prefetch.Stats{Fetched: 12_300_000, Used: 11_000_000, Wasted: 300_000, Outstanding: 1_000_000, Files: 45, Failed: 1})
	watch := func(p prefetch.Progress) watchPart { p.NextRun = at; return watchPartOf(p) }
	lines := func(lang string) string {
		a := &app{p: text.New(lang)}
		var all []string
		all = append(all, a.mirrorLines(mirrors)...)
		all = append(all, a.hostLines(hosts)...)
		all = append(all, a.prefetchLines(ahead)...)
		all = append(all, a.prefetchLines(prefetchPart{})...)
		for _, p := range []prefetch.Progress{
			{},
			{Running: true, Due: 20, Done: 3},
			{Due: 20, Done: 3},
			{Due: 1, Done: 1, Failing: 1, LastRun: at, Versions: 2, Bytes: 5000},
		} {
			all = append(all, a.watchLines(watch(p))...)
		}
		return strings.Join(all, "\n") + "\n"
	}
	en := `https://a.example            120 ms, 3.2 MB/s, 45 requests, 2 failed
https://b.example            1 ms, not asked yet
https://longer.example/path  1 request, 1 failed
  left alone until ` + out + `: read: stalled
https://c.example            1 ms, 1 request, 1 FORGED file refused, not asked any more
https://d.example            1 ms, 2 requests, 1 FORGED file refused
a.example:443                        needs a small TLS ClientHello, IPv6 stalls, IPv4 works
b.example:443 by proxy.example:3128  HTTP/2 breaks, HTTP/1.1 works
c.example:443                        works at 192.0.2.1, found by DNS over HTTPS
d.example:443                        works at 192.0.2.2 alone, does not answer (connect timeout, 03-04 05:06:07)
12.3 MB in 45 files, 11.0 MB used, 300.0 kB wasted, 1.0 MB not asked for yet, 1 file could not be had
nothing since the server started
begins at 03-04 05:06:07
0 new versions, 0 B fetched since the server started
looks at 20 modules, 3 done
0 new versions, 0 B fetched since the server started
3 of 20 modules done, goes on at 03-04 05:06:07
0 new versions, 0 B fetched since the server started
1 module looked at, again at 03-04 05:06:07, 1 module could not be looked at
2 new versions, 5.0 kB fetched since the server started
`
	zh := `https://a.example            120 ms，3.2 MB/s，45 次请求，失败 2 次
https://b.example            1 ms，尚未请求过
https://longer.example/path  1 次请求，失败 1 次
  ` + out + ` 之前暂不使用：read: stalled
https://c.example            1 ms，1 次请求，拒绝了 1 个伪造文件，不再使用
https://d.example            1 ms，2 次请求，拒绝了 1 个伪造文件
a.example:443                           需要较小的 TLS ClientHello，IPv6 会卡住，IPv4 可用
b.example:443（经 proxy.example:3128）  HTTP/2 会中断，HTTP/1.1 可用
c.example:443                           192.0.2.1 可用，由 DNS over HTTPS 查得
d.example:443                           只有 192.0.2.2 可用，没有应答（connect timeout，03-04 05:06:07）
12.3 MB，45 个文件，已用 11.0 MB，浪费 300.0 kB，1.0 MB 尚未被请求，1 个文件未能取到
服务器启动以来没有预取
03-04 05:06:07 开始
服务器启动以来取回 0 个新版本，共 0 B
正在检查 20 个模块，已完成 3 个
服务器启动以来取回 0 个新版本，共 0 B
20 个模块已完成 3 个，03-04 05:06:07 继续
服务器启动以来取回 0 个新版本，共 0 B
已检查 1 个模块，03-04 05:06:07 再次检查，1 个模块无法检查
服务器启动以来取回 2 个新版本，共 5.0 kB
`
	if diff := cmp.Diff(en, lines(text.English)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(zh, lines(text.Chinese)); diff != "" {
		t.Error(diff)
	}
}
