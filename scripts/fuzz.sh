#!/bin/sh
# Runs each fuzz target of the tree for FUZZTIME, as many side by side as there are cores.
set -eu
export GO="${GO:-go}" FUZZTIME="${FUZZTIME:-10s}"
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
	sed -nE "s|^func (Fuzz[A-Za-z0-9_]*)\(.*|$(dirname "$file") \1|p" "$file"
done | xargs -n 2 -P "$cores" sh -c '
	out=$("$GO" test -run "^\$" -fuzz "^$2\$" -fuzztime "$FUZZTIME" -parallel 1 "$1" 2>&1) && {
		echo "fuzz: $1 $2: $(echo "$out" | grep -oE "execs: [0-9]+" | tail -n 1)"
		exit 0
	}
	echo "fuzz: $1 $2 fails:"
	echo "$out"
	exit 1
' sh
