package doctor

import (
	"regexp"
	"slices"
)

// explainMessages are the messages that are known. Of one layer those that say more stand before those that say less.
// Sources: cmd/go, net, net/http, crypto/x509, git, gcc, clang, ld and Docker; where a program runs everywhere the
// tests have it say its words itself. They are compiled when they are wanted: goferry has other things to do at its
// start.
func explainMessages() []explainMessage {
	return slices.Concat(
		explainNetMessages(), explainHTTPMessages(), explainSumMessages(), explainToolchainMessages(), explainModuleMessages(), explainProjectMessages(),
		explainGitMessages(), explainMachineMessages(), explainCCMessages(), explainLinkMessages(), explainRunMessages(), explainDockerMessages(),
	)
}

// explainAt makes an explainMessage.
func explainAt(layer explainLayer, code, checks, text string) explainMessage {
	return explainMessage{code: code, layer: layer, checks: checks, text: regexp.MustCompile(text), words: explainWords(text)}
}

// explainNetMessages are those about the way to a host.
func explainNetMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainNet, "dns-no-such-host", "network proxies", `(?:lookup (?P<Host>[^\s:]+)(?: on \S+)?: no such host)|(?i:could not resolve host(?:name)?:? (?P<Host>[^\s:;,()]+))|getaddrinfow?: .*No such host is known|Name or service not known`),
		explainAt(explainNet, "dns-misbehaving", "network", `lookup (?P<Host>[^\s:]+)(?: on \S+)?: server misbehaving`),
		explainAt(explainNet, "dns-timeout", "network", `lookup (?P<Host>[^\s:]+)(?: on \S+)?: (?:(?:read|dial|write) \S+ .*)?(?:i/o timeout|connection refused|connection timed out)|Temporary failure in name resolution`),
		// Proxies.
		explainAt(explainNet, "proxy-auth", "proxies", `Proxy Authentication Required|HTTP code 407 from proxy|response 407`),
		explainAt(explainNet, "proxy-unreachable", "proxies", `proxyconnect tcp: (?P<Error>.*)|socks connect \S+ (?P<Error>.*)|Failed to connect to (?P<Error>\S+ port \d+) via proxy`),
		// Connections.
		explainAt(explainNet, "connect-refused", "network proxies", `dial tcp \S+: (?:connect: connection refused|connectex: (?:No connection could be made|由于目标计算机积极拒绝))|[Ff]ailed to connect to (?P<Host>\S+) port \d+.*(?:[Cc]onnection refused|Couldn't connect to server)|connect to host (?P<Host>\S+) port \d+: Connection refused`),
		explainAt(explainNet, "connect-timeout", "network proxies", `dial tcp \S+: (?:i/o timeout|connect: connection timed out|connectex: A connection attempt failed)|[Ff]ailed to connect to (?P<Host>\S+) port \d+.*[Tt]imed out|connect to host (?P<Host>\S+) port \d+: (?:Connection|Operation) timed out`),
		explainAt(explainNet, "network-unreachable", "network", `connect: (?:network is unreachable|no route to host|cannot assign requested address)|Network is unreachable|No route to host`),
		explainAt(explainNet, "connection-reset", "network http", `(?:read|write|recv|send)?:? ?connection reset by peer|wsarecv: An existing connection was forcibly closed|Connection reset by peer|Connection was reset`),
		// TLS.
		explainAt(explainNet, "tls-timeout", "network", `TLS handshake timeout`),
		explainAt(explainNet, "tls-unknown-authority", "network proxies", `x509: certificate signed by unknown authority|x509: .{0,80}certificate is not trusted|unable to get local issuer certificate|[Ss]elf[- ]signed certificate|server certificate verification failed`),
		explainAt(explainNet, "tls-wrong-name", "network", `x509: (?:certificate is (?:valid for|not valid for any names)|cannot validate certificate for).*|no alternative certificate subject name matches target host name '?(?P<Host>[^\s']+)`),
		explainAt(explainNet, "tls-expired", "network", `x509: certificate has expired or is not yet valid|certificate has expired|certificate is not yet valid`),
		explainAt(explainNet, "tls-no-roots", "network", `x509: failed to load system roots|error setting certificate (?:verify locations|file)`),
		explainAt(explainNet, "not-tls", "network proxies", `server gave HTTP response to HTTPS client|first record does not look like a TLS handshake|SSL routines.*wrong version number`),
		explainAt(explainNet, "tls-broken", "network http", `tls: bad record MAC|remote error: tls: |tls: protocol version not supported|gnutls_handshake\(\) failed|SSL_ERROR_SYSCALL|SSL_connect: `),
	}
}

// explainHTTPMessages are those of servers, and of what is between.
func explainHTTPMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainNet, "h2-error", "http", `stream error: stream ID \d+; (?P<Error>\w+)|http2: (?P<Error>server sent GOAWAY|client connection lost|Transport: .*|timeout awaiting response headers)|HTTP/2 stream \d+ was not closed cleanly|(?:Error|error) in the HTTP2 framing layer`),
		explainAt(explainNet, "http-timeout", "network http", `context deadline exceeded|Client\.Timeout(?: or context cancellation)? exceeded|timeout awaiting response headers|Operation too slow|Operation timed out after`),
		explainAt(explainNet, "http-cut", "http network", `unexpected EOF|": EOF$|transfer closed with \d+ bytes remaining|server closed idle connection`),
		explainAt(explainNet, "http-forbidden", "proxies mirrors", `(?:: |error: |status:? )(?:403 Forbidden|451 Unavailable For Legal Reasons)|The requested URL returned error: (?:403|451)`),
		explainAt(explainNet, "http-too-many", "mirrors", `: 429 Too Many Requests|toomanyrequests: |The requested URL returned error: 429`),
		explainAt(explainNet, "http-server-error", "mirrors goproxy", `: 5\d\d (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Timeout|Gateway Time-out)|The requested URL returned error: 5\d\d`),
		explainAt(explainNet, "http-auth", "goprivate git", `: 401 Unauthorized|The requested URL returned error: 401`),
	}
}

// explainSumMessages are those about the checksum database and go.sum.
func explainSumMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainMod, "gosumdb-invalid", "gosumdb", `invalid GOSUMDB(?: URL)?: (?P<Error>.*)`),
		explainAt(explainMod, "sumdb-off-toolchain", "gosumdb", `checksum database disabled by (?P<Setting>\S+)`),
		explainAt(explainMod, "checksum-mismatch", "mirrors sumdb modcache", `verifying (?P<Module>\S+?): checksum mismatch`),
		explainAt(explainMod, "sumdb-missing-line", "mirrors sumdb", `checksum missing from sumdb response`),
		explainAt(explainMod, "sumdb-forged", "sumdb go", `go\.sum database server misbehavior|misbehaving server|malformed note|note has no verifiable signatures|invalid signature for key`),
		explainAt(explainMod, "sumdb-unreachable", "sumdb network gosumdb", `verifying (?P<Module>\S+?)(?:/go\.mod)?: .*(?:/lookup/|/tile/|/latest|/supported|sum\.golang\.|initializing sumdb)`),
		explainAt(explainMod, "gosum-missing", "gomod", `missing go\.sum entry(?: needed to verify contents)?(?: for (?:go\.mod file|module providing package) ?(?P<Module>[^\s;:()]*))?|(?P<Module>[^\s:]+@[^\s:]+): missing go\.sum entry`),
	}
}

// explainToolchainMessages are those about which Go it is.
func explainToolchainMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainMod, "toolchain-language", "go gomod", `(?P<Name>go[\d.]+) is a language version but not a toolchain version`),
		explainAt(explainMod, "toolchain-not-available", "go network goproxy", `download (?P<Name>go\S+) for \S+: toolchain not available`),
		explainAt(explainMod, "toolchain-download", "go network sumdb", `download (?P<Name>go1\S+)(?: for \S+)?: |downloading (?P<Name>go1\S+) \(\S+\): `),
		explainAt(explainMod, "toolchain-not-in-path", "go", `cannot find "(?P<Name>go1[^"]*)" in PATH`),
		explainAt(explainMod, "toolchain-invalid", "go gomod", `invalid (?:GOTOOLCHAIN|toolchain)(?: version)?:? "?(?P<Name>[^\s":]+)|invalid minimum toolchain in GOTOOLCHAIN="?(?P<Name>[^\s":]+)`),
		explainAt(explainMod, "go-too-old", "go", `requires go >= (?P<Want>\S+) \(running go (?P<Have>[^;)\s]+)`),
		explainAt(explainMod, "go-too-old-note", "go", `module requires Go (?P<Want>[\d.]+)|compiled with .*requires newer Go version go?(?P<Want>[\d.]+)|requires newer Go version go?(?P<Want>[\w.]+)`),
		explainAt(explainMod, "go-line-unknown", "go gomod", `invalid go version '(?P<Want>[^']*)': must match format|unknown directive: (?P<Want>toolchain|tool|godebug|ignore)\b`),
		explainAt(explainMod, "goroot-mixed", "go sdk", `version "(?P<There>go[^"]*)" does not match go tool version "(?P<Version>go[^"]*)"|object is \[(?P<There>[^\]]*)\] expected \[(?P<Version>[^\]]*)\]`),
		explainAt(explainMod, "goroot-missing", "go", `cannot find GOROOT directory: (?P<Dir>\S+)|go: no such tool "(?P<Dir>[^"]*)"`),
	}
}

// explainModuleMessages are those about GOPROXY, modules and versions.
func explainModuleMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainMod, "goproxy-off", "goproxy", `(?:module lookup )?disabled by GOPROXY=off`),
		explainAt(explainMod, "goproxy-invalid", "goproxy", `invalid proxy URL (?:missing scheme|scheme \([^)]*\)): (?P<Value>\S+)|GOPROXY list is not the empty string, but contains no (?P<Value>entries)|invalid proxy URL (?P<Value>\S+)`),
		explainAt(explainMod, "module-path-differs", "gomod", `module declares its path as: (?P<Module>\S+)`),
		explainAt(explainMod, "major-version", "gomod", `module contains a go\.mod file, so module path must match major version|should be (?:~?v0 or v1|v\d+), not v\d+|invalid version: go\.mod has (?:non-\.\.\.|post-)\S*.* module path`),
		explainAt(explainMod, "unknown-revision", "goproxy git", `unknown revision (?P<Version>\S+)|(?P<Version>)invalid version: unknown revision|couldn't find remote ref (?P<Version>\S+)`),
		explainAt(explainMod, "no-matching-versions", "goproxy gomod", `no matching versions for query "?(?P<Version>[^"\s]+)`),
		explainAt(explainMod, "module-not-found", "goproxy goprivate", `(?:reading|Get) "?https?://(?P<Host>[^/\s"]+)\S*: (?:404 Not Found|410 Gone)|server response: not found`),
		explainAt(explainMod, "no-go-import", "goprivate goproxy", `unrecognized import path "(?P<Module>[^"]+)": (?:parse|reading) .*|unrecognized import path "(?P<Module>[^"]+)".*no go-import meta tags`),
		explainAt(explainMod, "vanity-unreachable", "network goproxy", `unrecognized import path "(?P<Module>[^"]+)": (?:https fetch|http/https fetch)`),
		explainAt(explainMod, "vcs-not-allowed", "goprivate", `GOVCS disallows using (?P<VCS>\w+) for`),
		explainAt(explainMod, "bad-zip", "mirrors modcache", `zip: not a valid zip file|zip: checksum error|zip: unsupported compression`),
	}
}

// explainProjectMessages are those about the project.
func explainProjectMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainMod, "no-go-mod", "gomod", `go\.mod file not found in current directory or any parent directory|cannot find main module|go: no modules specified`),
		explainAt(explainMod, "modules-off", "gomod goflags", `modules disabled by GO111MODULE=off|GO111MODULE=off`),
		explainAt(explainMod, "not-in-workspace", "gomod", `is not one of the workspace modules listed in go\.work|no modules were found in the current workspace|contained in a module that is not one of the workspace modules`),
		explainAt(explainMod, "vendor-inconsistent", "gomod goflags", `inconsistent vendoring|is explicitly required in go\.mod, but not marked as explicit in vendor/modules\.txt`),
		explainAt(explainMod, "vendor-missing", "goflags gomod", `cannot (?:query module|find module providing package) .*(?:-mod=vendor|import lookup disabled)|import lookup disabled by -mod=vendor|can't compute '\S+' using the vendor directory`),
		explainAt(explainMod, "goflags-refused", "goflags", `parsing \$GOFLAGS: (?P<Value>.+)`),
		explainAt(explainMod, "mod-flag", "goflags", `-mod may only be set to readonly or vendor|build flag -mod=(?P<Value>\S+) only valid when using modules|-mod may only be set to`),
		explainAt(explainMod, "go-mod-outdated", "gomod goflags", `updates to go\.(?:mod|work|sum) needed|go\.mod file indicates .*, but`),
		explainAt(explainMod, "not-required", "gomod", `no required module provides package (?P<Package>[^\s;:]+)|cannot find module providing package (?P<Package>[^\s;:]+)|cannot find package "(?P<Package>[^"]+)"`),
		explainAt(explainMod, "ambiguous-import", "gomod", `ambiguous import: found package (?P<Package>\S+) in multiple modules`),
		explainAt(explainMod, "not-in-std", "go gomod", `package (?P<Package>\S+) is not in (?:std|GOROOT)`),
		explainAt(explainMod, "constraints", "cc go", `build constraints exclude all Go files in (?P<Dir>\S+)`),
	}
}

// explainGitMessages are those of git and ssh.
func explainGitMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainTool, "git-missing", "git", `missing (?P<Name>Git|Mercurial|Subversion|Bazaar|Fossil) command\.|exec: "(?P<Name>git|hg|svn|bzr|fossil)": executable file not found|"?(?P<Name>git|hg|svn|bzr|fossil)"?: (?:command )?not found`),
		explainAt(explainTool, "git-password", "git goprivate", `terminal prompts disabled|终端提示被禁用|could not read (?:Username|Password) for '(?P<Host>[^']*)'`),
		explainAt(explainTool, "git-auth", "git goprivate", `Authentication failed for '(?P<Host>[^']*)'|HTTP Basic: Access denied|Support for password authentication was removed`),
		explainAt(explainTool, "git-host-key", "git", `Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No (?:\w+ )?host key is known for`),
		explainAt(explainTool, "git-ssh-key", "git", `Permission denied \(publickey`),
		explainAt(explainTool, "git-no-repository", "git goprivate", `remote: (?:Repository|The project you were looking for could) not (?:be )?found|fatal: repository '(?P<Host>[^']*)' not found|ERROR: Repository not found|does not appear to be a git repository`),
		explainAt(explainTool, "vcs-status", "git", `detected dubious ownership in repository|error obtaining VCS status: `),
		explainAt(explainTool, "git-cut", "network git", `RPC failed; |early EOF|the remote end hung up unexpectedly|fetch-pack: unexpected disconnect|index-pack failed`),
	}
}

// explainMachineMessages are those of the system.
func explainMachineMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainTool, "disk-full", "disk modcache", `(?i)no space left on device|disk quota exceeded|not enough space on the disk|设备上没有空间|磁盘空间不足`),
		explainAt(explainTool, "read-only", "disk modcache", `(?i)read-only file system`),
		explainAt(explainTool, "no-home", "disk modcache", `GOCACHE is not defined and neither|module cache not found: neither GOMODCACHE nor GOPATH|build cache is (?:required|disabled)`),
		explainAt(explainTool, "cache-rights", "modcache disk", `(?:open|mkdir|chmod|rename|could not create module cache|RLock|Lock) (?P<File>\S*(?:pkg/mod|pkg\\mod|go-build|/\.cache)\S*?):? .*(?:permission denied|Access is denied|operation not permitted)|could not create module cache: (?P<File>.*)|failed to initialize build cache at (?P<File>\S+):`),
		explainAt(explainTool, "windows-locked", "modcache sdk", `rename (?P<File>\S+) .*(?:Access is denied|being used by another process)`),
		explainAt(explainTool, "lock-unsupported", "modcache disk", `R?Lock (?P<File>\S+): (?:no locks available|function not implemented|operation not supported|not supported)`),
		explainAt(explainTool, "open-files", "", `(?i)too many open files`),
		explainAt(explainTool, "noexec", "disk", `fork/exec (?P<File>\S+): permission denied`),
		explainAt(explainTool, "killed", "", `signal: killed|fatal error: runtime: (?:cannot allocate memory|out of memory)|[Cc]annot allocate memory|cc1(?:plus)?: out of memory|exit code: 137`),
		explainAt(explainTool, "pthread-denied", "", `pthread_create failed: (?:Operation not permitted|Resource temporarily unavailable)|failed to create new OS thread`),
	}
}

// explainCCMessages are those of C compilers.
func explainCCMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainTool, "xcode-missing", "cc", `xcrun: error: invalid active developer path|no developer tools were found`),
		explainAt(explainTool, "xcode-license", "cc", `agreed to the Xcode license`),
		explainAt(explainTool, "pkg-config-missing", "cc", `(?:exec: "?|fork/exec )(?P<Name>[^\s":]*pkg-?conf(?:ig)?)"?: (?:executable file not found|no such file)|pkg-config: command not found(?P<Name>)`),
		explainAt(explainTool, "pc-missing", "cc", `Package '?(?P<Name>[^\s',]+)'?,? (?:required by '[^']*', )?(?:was )?not found(?: in the pkg-config search path)?|No package '(?P<Name>[^']+)' found`),
		explainAt(explainTool, "cc-not-found", "cc", `C compiler "(?P<Name>[^"]+)" not found|exec: "(?P<Name>(?:\S*[-/])?(?:gcc|clang|cc|g\+\+|clang\+\+|c\+\+|zig)(?:\.exe)?)": executable file not found|cgo: exec (?P<Name>\S+): .*executable file not found`),
		explainAt(explainTool, "cc-for-windows", "cc", `(?:unrecognized command[- ]line option|unknown argument:|unsupported option|(?:无法识别|不支持)的命令行选项) ?['‘“]?-mthreads`),
		explainAt(explainTool, "cc-for-arm64", "cc", "no such instruction: [`']?(?:stp|ldp|mrs|adrp)\\b|gcc_arm64\\.S: Error"),
		explainAt(explainTool, "cc-32-bit", "cc", `64-bit mode not compiled in|CPU you selected does not support x86-64`),
		explainAt(explainTool, "cc-no-m32", "cc", `(?:bits/libc-header-start|gnu/stubs-32)\.h[:：] ?(?:No such file|没有那个文件)|unrecognized command[- ]line option ['‘]?-m(?:32|64|arm)\b`),
		explainAt(explainTool, "libc-headers", "cc", `(?:fatal error: '?|error: '?|致命错误：)(?P<Name>(?:stdlib|stdio|errno|stdint|stddef|string|pthread|sys/types|limits)\.h)'?(?: file not found|: No such file or directory|：没有那个文件或目录)`),
		explainAt(explainTool, "header-missing", "cc", `(?:fatal error: '?|致命错误：)(?P<Name>[^\s':：]+\.(?:h|hpp|hh))'?(?: file not found|: No such file or directory|：没有那个文件或目录)`),
	}
}

// explainLinkMessages are those of linkers, and of cgo beside.
func explainLinkMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainTool, "linker-missing", "cc", `collect2: fatal error: cannot find ['‘](?P<Name>[^'’]*)['’]|error: invalid linker name in (?:argument )?'?(?P<Name>[^\s']*)|unable to execute command: .*"?(?P<Name>ld|ld\.\w+)"?`),
		explainAt(explainTool, "crt-missing", "cc", `cannot find (?:\S*crt[1in]\.o|crtbegin\S*\.o|-lgcc(?:_s)?\b|-lc\b|-lpthread\b)(?:: No such file or directory)?`),
		explainAt(explainTool, "lib-missing", "cc", `(?:cannot find|找不到) -l(?P<Name>[^\s:：]+)|library not found for -l(?P<Name>\S+)|library '(?P<Name>[^']+)' not found|unable to find library -l(?P<Name>\S+)`),
		explainAt(explainTool, "lib-other-arch", "cc", `skipping incompatible (?P<Name>\S+)|building for '?\S+'? but (?:attempting to link with|linking in) (?:file|object file|dylib)|file in wrong format|is incompatible with \S+:\S+ output`),
		explainAt(explainTool, "static-glibc", "", "Using '(?P<Name>\\w+)' in statically linked applications requires at runtime"),
		explainAt(explainTool, "not-pic", "cc", `relocation R_\w+ against .*(?:can not|cannot) be used when making a (?:PIE|shared) object`),
		explainAt(explainTool, "undefined-reference", "cc", "undefined reference to [`'‘](?P<Name>[^'’]+)|Undefined symbols for architecture (?P<Name>\\w+)|undefined symbol: (?P<Name>\\S+)|对['`‘“](?P<Name>[^'’”]+)['’”]未定义的引用|unresolved external symbol (?P<Name>\\S+)|relocation target (?P<Name>\\S+) not defined"),
		explainAt(explainTool, "cgo-flag", "", `invalid flag in (?:#cgo|pkg-config --\w+) ?\w*:? (?P<Name>\S+)`),
		explainAt(explainTool, "c-without-cgo", "cc", `C source files not allowed when not using cgo`),
		explainAt(explainTool, "race-needs-cgo", "cc", `-(?P<Name>race|msan|asan) requires cgo`),
		explainAt(explainTool, "race-unsupported", "", `-(?P<Name>race|msan|asan) is (?:not supported|only supported) on `),
		explainAt(explainTool, "sqlite-stub", "cc", `go-sqlite3 requires cgo to work`),
	}
}

// explainRunMessages are those of programs that were built, and do not run.
func explainRunMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainTool, "glibc-too-old", "cc", "version [`'](?P<Name>GLIBC(?:XX)?_[\\d.]+)'? not found"),
		explainAt(explainTool, "musl-symbols", "cc", `Error relocating (?P<Name>\S+?):|libc\.musl-\S+: cannot open shared object|ld-linux\S*: No such file`),
		explainAt(explainTool, "shared-lib-missing", "", `error while loading shared libraries: (?P<Name>[^\s:]+)`),
		explainAt(explainTool, "wrong-arch", "go cc", `(?i:exec format error)|[Cc]annot execute binary file|[Bb]ad CPU type in executable|not compatible with the version of Windows|is not a valid Win32 application`),
		explainAt(explainTool, "loader-missing", "", `exec (?P<Name>/\S+): no such file or directory|(?:sh|bash|ash): (?:\d+: |line \d+: )?(?P<Name>\.?/\S+): not found|exec: "(?P<Name>/[^"]+)": stat \S+: no such file`),
	}
}

// explainDockerMessages are those of Docker.
func explainDockerMessages() []explainMessage {
	return []explainMessage{
		explainAt(explainTool, "docker-no-file", "", `failed to compute cache key: .*"(?P<Name>[^"]+)": not found|COPY failed: (?:file not found in build context or excluded by \.dockerignore: stat |stat )(?P<Name>\S+?):`),
		explainAt(explainTool, "docker-registry", "network", `failed to resolve source metadata for (?P<Name>[^\s:]+)|failed to do request: Head "?https://(?P<Name>[^/"]+)|Error response from daemon: Get "?https://(?P<Name>[^/"]+)`),
		explainAt(explainTool, "docker-daemon", "", `Cannot connect to the Docker daemon`),
		explainAt(explainTool, "docker-tag", "", `docker\.io/(?P<Name>\S+): not found|manifest for (?P<Name>\S+) not found|no match for platform in manifest`),
	}
}
