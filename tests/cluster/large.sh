#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Commands larger than a datagram: submitted over memif and over the kernel-UDP door, read back over
# both, with small ones between them, and with a kill -9 of the leader in the middle of one; every
# replica's sequence is what was submitted, byte for byte.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

flags=(-n)
((EUID == 0)) || flags=(-r -n)
unshare "${flags[@]}" true 2>/dev/null || skip 'no network namespace to be had'
for tool in ip ethtool nsenter; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done
cluster up --door --size 256M >/dev/null || skip 'doors cannot be made here'

# A line of that many bytes, any but the newline.
line() { # BYTES
	head -c "$1" /dev/urandom | LC_ALL=C tr '\n' n
	printf '\n'
}

lines() {
	local size
	for size in 1 8832 8833 1368 1369 100000 2 1048576 0; do line "$size"; done
}

# From a position on, the sequence of each replica is the file; by memif, or by UDP.
same() { # FILE FROM [--udp]
	local id count
	count=$(wc -l <"$1")
	for id in 1 2 3; do
		cluster exec "$synod" tail "${@:3}" --config "$config" --replica "$id" --from "$2" \
			--count "$count" --timeout 20 >"$data/tail.$id"
		cmp "$1" "$data/tail.$id" || fail "replica $id's sequence is not the file ${*:3}"
	done
}

lines >"$data/text"
cluster exec "$synod" submit --config "$config" <"$data/text" >"$data/positions"
same "$data/text" 1 --udp

lines >"$data/more"
cluster exec "$synod" submit --udp --config "$config" <"$data/more" >>"$data/positions"
same "$data/more" 10
cat "$data/more" >>"$data/text"

# The leader dies in the middle of large commands, again and again.
for _ in $(seq 9); do
	line 100000
	line 10
	line 1048576
done >"$data/more"
who() {
	cluster exec "$synod" status --config "$config" --until leader --print leader
}
leader=$(who)
cluster exec "$synod" submit --udp --timeout 60 --config "$config" <"$data/more" \
	>"$data/late" 2>"$data/errors" &
load=$!
for _ in 1 2; do
	sleep 0.3
	cluster kill "$leader"
	echo "killed $leader when $(wc -l <"$data/late") of 27 were acknowledged"
	sleep 0.3
	cluster restart "$leader"
	leader=$(who)
done
wait "$load" || fail "submit: $(cat "$data/errors")"
cat "$data/late" >>"$data/positions"
cat "$data/more" >>"$data/text"
seq "$(wc -l <"$data/text")" | cmp - "$data/positions" || fail 'a position is missing'
same "$data/text" 1

# A line too long is told before anything of it is sent; the next one goes on.
{
	line 1048577
	echo behind
} >"$data/more"
status=0
cluster exec "$synod" submit --config "$config" <"$data/more" >"$data/late" 2>"$data/errors" ||
	status=$?
[[ $status == 1 ]] || fail "a line too long: exit $status"
grep -q 'line 1: 1048577 bytes, a command has at most 1048576' "$data/errors" ||
	fail "not told: $(cat "$data/errors")"
echo behind >"$data/more"
same "$data/more" "$(($(wc -l <"$data/text") + 1))"

cluster exec "$synod" status --config "$config" --until equal --timeout 20 --quiet
cluster down
! grep -HE 'PANIC|assert' "$data"/*.log || fail 'a replica fell over'
"$synod" verify --config "$config"
