#!/bin/sh
# Installs what the tests need beside Go: git, Mercurial and a C compiler (for
# the race detector). Where that takes rights it does not have, it says the line.
set -eu

missing=
need() { # command package
	if ! command -v "$1" >/dev/null 2>&1; then missing="$missing $2"; fi
}
need git git
need hg mercurial
need gcc gcc
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
	echo "test-deps: installing$missing with apt-get"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "test-deps: the tests need$missing; install them, on Debian with" >&2
echo "    sudo apt-get install$missing" >&2
exit 1
