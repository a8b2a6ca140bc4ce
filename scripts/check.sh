#!/bin/sh
# Formatting and linters. govulncheck needs its database, which not every network reaches.
set -eu
GO=${GO:-go}

unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	echo "check: gofmt would change:" "$unformatted" >&2
	exit 1
fi
echo "check: go vet"
"$GO" vet ./...
"$GO" vet -tags live ./...
"$GO" vet -tags weak ./...
GOOS=linux "$GO" vet -tags netns ./internal/doctor
GOOS=windows "$GO" vet ./...
GOOS=darwin "$GO" vet ./...
echo "check: go mod tidy -diff"
"$GO" mod tidy -diff
echo "check: staticcheck"
"$GO" tool staticcheck ./...
echo "check: govulncheck"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
if timeout 300 "$GO" tool govulncheck ./... >"$out" 2>&1; then
	tail -n 3 "$out"
elif grep -qE 'fetching vulnerabilities|dial tcp|no such host|connection refused|403|i/o timeout' "$out"; then
	echo "check: govulncheck could not reach its database; not run:"
	tail -n 2 "$out"
else
	cat "$out"
	exit 1
fi
