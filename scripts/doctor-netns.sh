#!/bin/sh
# Tests of the doctor over real routes: one network namespace is the machine, another one is the rest of the world, with a veth
# between them. Needs Linux, root, unshare and ip; touches no network of the machine.
#
# usage: sh scripts/doctor-netns.sh [flags of the test binary]
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${GO:-go}" test -c -tags netns -o "$dir/doctor.test" "${DOCTOR_PACKAGE:-./internal/doctor}"
export DOCTOR_TEST="$dir/doctor.test"
unshare -n sh -eu -c '
ip link set lo up
unshare -n sleep 600 &
WORLD_PID=$!
export WORLD_PID
trap "kill $WORLD_PID" EXIT
while [ "$(readlink /proc/$WORLD_PID/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
world() { nsenter -t "$WORLD_PID" -n "$@"; }

# The first veth is the usual one. The second one loses packets of more than 1300 bytes and tells nobody: its far end takes no
# more, and promises more.
ip link add c0 type veth peer name s0
ip link add c1 type veth peer name s1
ip link add c2 type veth peer name s2 # as the second one, but it is what comes from the world that is lost
ip link set s0 netns "$WORLD_PID"
ip link set s2 netns "$WORLD_PID"
ip link set s1 netns "$WORLD_PID"
ip addr add 10.77.0.1/24 dev c0
ip addr add 10.78.0.1/24 dev c1
ip -6 addr add 2a00:77::1/64 dev c0 nodad
ip -6 addr add 2a00:78::1/64 dev c1 nodad
ip link set c0 up
ip link set c1 gso_max_segs 1 up
ip addr add 10.79.0.1/24 dev c2
ip link set c2 mtu 1300 up
world ip link set lo up
world ip addr add 10.77.0.2/24 dev s0
world ip -6 addr add 2a00:77::2/64 dev s0 nodad
world ip addr add 10.78.0.2/24 dev s1
world ip -6 addr add 2a00:78::2/64 dev s1 nodad
world ip addr add 10.79.0.2/24 dev s2
world ip link set s0 up
world ip link set s2 gso_max_segs 1 up
world ip link set s1 mtu 1300 up
world ip route replace 10.78.0.0/24 dev s1 advmss 1460
world ip -6 route add 2a00:78::/64 dev s1 metric 10 advmss 1440

# What is not an address of the world, and has no route there, is dropped.
for a in 45.77.0.53 45.77.1.10 45.77.1.11 45.77.1.20 45.77.8.1 45.77.9.1 93.184.1.1 8.8.4.4 223.5.5.5 9.9.9.9; do world ip addr add "$a/32" dev lo; done
for a in 2a00:1450::10 2a00:1450::81; do world ip -6 addr add "$a/128" dev lo nodad; done
world sh -c "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
world ip route add blackhole 45.77.1.66/32
world ip route add blackhole 45.77.1.67/32
world ip -6 route add blackhole 2a00:1450::66/128
world ip -6 route add unreachable 2a00:1450:2::/48
world ip -6 route add prohibit 2a00:1450:3::/48
world ip route add unreachable 45.77.2.0/24
world ip route add prohibit 45.77.3.0/24
for p in 45.77.0.0/16 93.184.1.1/32 8.8.4.4/32 223.5.5.5/32 9.9.9.9/32; do ip route add "$p" via 10.77.0.2; done
ip route add 45.77.8.1/32 via 10.78.0.2 src 10.78.0.1
ip route add 45.77.9.1/32 via 10.79.0.2 src 10.79.0.1 advmss 1460
ip -6 route add 2a00::/16 via 2a00:77::2
ip -6 route add 2a00:1450::81/128 via 2a00:78::2 src 2a00:78::1

"$DOCTOR_TEST" -test.run "^TestReal" "$@"
' sh "$@"
