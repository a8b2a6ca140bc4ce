#!/bin/sh
# Runs the tests of the doctor over real routes (scripts/doctor-netns.sh) where this machine lets it make network namespaces with a
# veth and IPv6 in them. Elsewhere it says why they are not run.
set -eu
cd "$(dirname "$0")/.."

why=
if [ "$(uname)" != Linux ]; then
	why="only Linux has network namespaces"
elif [ "$(id -u)" != 0 ]; then
	why="only root may make network namespaces"
fi
for tool in ip unshare nsenter; do
	if [ -z "$why" ] && ! command -v "$tool" >/dev/null 2>&1; then why="there is no $tool"; fi
done
try() { # reason, commands in a namespace of their own
	if [ -z "$why" ] && ! unshare -n sh -euc "$2" >/dev/null 2>&1; then why=$1; fi
}
try "this machine makes no network namespaces" ":"
try "there is no veth in network namespaces here" "ip link add c0 type veth peer name s0"
try "there is no IPv6 in network namespaces here" "ip link set lo up; ip -6 addr add 2a00:77::1/64 dev lo nodad; ip -6 route get 2a00:77::1"
if [ -n "$why" ]; then
	echo "netns: the tests over real routes are not run: $why"
	exit 0
fi
exec sh scripts/doctor-netns.sh "$@"
