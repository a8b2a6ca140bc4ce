#!/bin/sh
# Runs each fuzz target of the tree for FUZZTIME, as many side by side as there are cores. Each room is built once for all of its targets; for 5 seconds or more
# with the coverage that guides a fuzzer.
set -eu
GO="${GO:-go}"
FUZZTIME="${FUZZTIME:-10s}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export GO FUZZTIME dir
# In a few seconds guidance by coverage finds nothing that chance does not, and a tree that is built for it takes longer than that.
guided="-fuzz ."
case "$FUZZTIME" in [1-4]s) guided= ;; esac
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

git ls-files '*_test.go' | xargs grep -lE '^func Fuzz' | xargs -n 1 dirname | sort -u >"$dir/rooms"
while read -r room; do
	# shellcheck disable=SC2086
	"$GO" test -c $guided -o "$dir/$(echo "$room" | tr / _)" "./$room"
	grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$room"/*_test.go | while read -r _ target; do echo "$room $target"; done
done <"$dir/rooms" >"$dir/targets"
[ -s "$dir/targets" ]
xargs -n 2 -P "$cores" sh -c '
	bin=$dir/$(echo "$1" | tr / _)
	cd "$1"
	out=$("$bin" -test.run "^\$" -test.fuzz "^$2\$" -test.fuzztime "$FUZZTIME" -test.parallel 1 -test.fuzzcachedir "$dir/cache/$1" 2>&1) && {
		echo "fuzz: $1 $2: $(echo "$out" | grep -oE "execs: [0-9]+" | tail -n 1)"
		exit 0
	}
	# Before Go 1.27 a target that is amid an input when its time is up may end so (golang/go#75804). A real failure leaves its input.
	if echo "$out" | grep -qx "    context deadline exceeded" && ! echo "$out" | grep -q "Failing input"; then
		echo "fuzz: $1 $2: out of time amid an input: $(echo "$out" | grep -oE "execs: [0-9]+" | tail -n 1)"
		exit 0
	fi
	echo "fuzz: $1 $2 fails:"
	echo "$out"
	exit 1
' sh <"$dir/targets"
