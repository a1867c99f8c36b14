#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The lines of a file, submitted, are the sequence of each replica, byte for byte and in order; a
# line that is too long is told by its number and is the only one missing.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

cluster up --size 128M >/dev/null

{
	make_text 20000
	printf '\n\n'                              # empty commands
	printf 'nul \0 byte, \377\376 no text\r\n' # any bytes but the newline
	head -c 8832 /dev/zero | tr '\0' x         # the longest that a datagram holds
	printf '\n'
	make_text 20000
	printf 'the last one\n'
} >"$data/text"
lines=$(wc -l <"$data/text")

"$synod" submit --config "$config" <"$data/text" >"$data/positions"
seq "$lines" | cmp - "$data/positions" || fail "positions are not 1 to $lines"
tails_equal "$data/text"

# A part of it, from the middle.
"$synod" tail --config "$config" --replica 2 --from 1001 --count 7 >"$data/part"
sed -n '1001,1007p' "$data/text" | cmp - "$data/part" || fail "the middle is not the middle"

# A line too long: told, left out, its place kept; without a newline at the end.
{
	echo before
	head -c 1048577 /dev/zero | tr '\0' y
	printf '\nbehind'
} >"$data/long"
status=0
"$synod" submit --config "$config" <"$data/long" >"$data/positions" 2>"$data/complaint" || status=$?
[[ $status == 1 ]] || fail "a line too long: exit $status"
grep -q 'line 2: 1048577 bytes' "$data/complaint" || fail "not told: $(cat "$data/complaint")"
printf '%s\n-\n%s\n' $((lines + 1)) $((lines + 2)) | cmp - "$data/positions" ||
	fail "its place is not kept"
printf 'before\nbehind\n' >>"$data/text"
tails_equal "$data/text"

# Slow input is not held back until a datagram is full.
{
	echo one
	for _ in $(seq 100); do
		[[ ! -s $data/slow ]] || break
		sleep 0.1
	done
	[[ -s $data/slow ]] || echo 'waited in vain'
} | "$synod" submit --config "$config" >"$data/slow"
[[ $(cat "$data/slow") == $((lines + 3)) ]] || fail "slow input was held back"
echo one >>"$data/text"

complains 1 'has only positions up to' "$synod" tail --config "$config" --from 1 --count 10000000 \
	--timeout 1
tails_equal "$data/text"
verified
