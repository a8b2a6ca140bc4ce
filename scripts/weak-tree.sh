#!/bin/sh
# Fetches the modules that the benchmarks of weak links are made of into .bench/weak, once, from the
# upstream of `go env GOPROXY`: about 260 MB. What is there is not fetched again.
set -eu
GO=${GO:-go}
root=$(pwd)/.bench/weak
[ -e "$root/done" ] && exit 0
echo "weak-tree: fetching about 260 MB of modules into .bench/weak, once"
mkdir -p "$root/projects/cli" "$root/projects/graph" "$root/projects/small" "$root/projects/empty"
export GOMODCACHE="$root/mod" GOFLAGS="-modcacherw -mod=mod" GOTOOLCHAIN=local

cd "$root/projects/empty"
printf 'module example.com/empty\n\ngo 1.21\n' >go.mod
GOTOOLCHAIN=go1.25.7 "$GO" version # as in bench_weak_test.go
# The go command asks for the zip alone; module proxies have the rest as well.
toolchain="$root/mod/cache/download/golang.org/toolchain/@v/v0.0.1-go1.25.7.linux-amd64"
echo 'module golang.org/toolchain' >"$toolchain.mod"
echo '{"Version":"v0.0.1-go1.25.7.linux-amd64","Time":"2026-01-15T00:00:00Z"}' >"$toolchain.info"

cd "$root/projects/cli"
"$GO" mod download github.com/cli/cli/v2@v2.62.0
cp "$root/mod/github.com/cli/cli/v2@v2.62.0/go.mod" "$root/mod/github.com/cli/cli/v2@v2.62.0/go.sum" .
chmod u+w go.mod go.sum
"$GO" mod download

cd "$root/projects/graph" # 572 modules
cat >go.mod <<'MOD'
module example.com/graph

go 1.23

require (
	github.com/cli/cli/v2 v2.62.0
	github.com/grafana/loki/v3 v3.2.1
	github.com/prometheus/prometheus v0.55.1
	github.com/sigstore/cosign/v2 v2.4.1
)
MOD
"$GO" list -m all >/dev/null

cd "$root/projects/small"
cat >go.mod <<'MOD'
module example.com/small

go 1.21

require (
	github.com/google/go-cmp v0.6.0
	github.com/spf13/cobra v1.8.1
	golang.org/x/mod v0.20.0
	golang.org/x/text v0.17.0
)
MOD
"$GO" mod download
"$GO" mod download golang.org/x/mod@v0.19.0
rm -f go.sum
"$GO" mod download all
touch "$root/done"
