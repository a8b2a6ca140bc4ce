#!/bin/sh
# Fetches the go.mod files of the module graphs of well-known projects, and records what the go
# command says of them; about 250 MB of scratch space, and a few minutes:
#
#	sh internal/modgraph/testdata/record.sh FOLDER
#	go test ./internal/modgraph -run TestProjects -record FOLDER
#
# The projects are lines "NAME PATH VERSION" of projects.txt beside this file. They come from the upstream of
# "go env GOPROXY", one project after the other. No module zips are fetched. Needs GNU sed.
set -eu
list=$(dirname "$0")/projects.txt
to=${1:?usage: record.sh FOLDER}
mkdir -p "$to"
to=$(cd "$to" && pwd)
export GOMODCACHE="$to/cache" GOSUMDB=off GOTOOLCHAIN=local GOWORK=off GOFLAGS='-modcacherw -mod=mod'

escape() { printf %s "$1" | sed 's/[A-Z]/!\L&/g'; }

while read -r name path version; do
	dir=$to/p/$name
	[ -e "$dir/done" ] && continue
	rm -rf "$dir" && mkdir -p "$dir"
	(cd "$to" && GOFLAGS= go list -m "$path@$version" >/dev/null)
	cp "$GOMODCACHE/cache/download/$(escape "$path")/@v/$(escape "$version").mod" "$dir/go.mod"
	chmod u+w "$dir/go.mod"
	echo "$path $version" >"$dir/version"
	(
		cd "$dir"
		cp go.mod before
		go list -m -f '{{.Path}}{{with .Version}} {{.}}{{end}}' all >list
		go mod graph >graph
		cmp go.mod before # what go.mod says is what is recorded
	)
	touch "$dir/done"
	echo "$name: $(wc -l <"$dir/list") modules"
done <"$list"
