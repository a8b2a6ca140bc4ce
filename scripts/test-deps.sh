#!/bin/sh
# Installs what the tests need beside Go: git, Mercurial, a C compiler (for the
# race detector) and the shells that goferry env writes for. Where that takes
# rights it does not have, it says the line. Nushell is in npm and not in Debian:
# where there is no npm, its script is left out.
set -eu

missing=
need() { # command package
	if ! command -v "$1" >/dev/null 2>&1; then missing="$missing $2"; fi
}
need git git
need hg mercurial
need gcc gcc
need bash bash
need dash dash
need zsh zsh
need fish fish
need script bsdutils
need minisign minisign
need unzip unzip
need ip iproute2
need python3 python3
need chromium chromium
need chromedriver chromium-driver
if ! command -v nu >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
	echo "test-deps: npm install --global nushell@0.108.0"
	npm install --global --no-audit --no-fund nushell@0.108.0 >/dev/null 2>&1 || echo "test-deps: npm could not; its script is not run"
fi
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
