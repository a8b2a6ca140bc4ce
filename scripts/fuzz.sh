#!/bin/sh
# Runs each fuzz target of the tree for FUZZTIME.
set -eu
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-10s}

grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
	dir=$(dirname "$file")
	for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
		echo "fuzz: $dir $target"
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$dir" || exit 1
	done
done
