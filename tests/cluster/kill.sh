#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of the leader, of followers and of all at once, under load, several times, with restarts:
# every line that was acknowledged is there once, in order, on every replica.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

who() { # leader|follower
	"$synod" status --config "$config" --until leader --print "$1"
}

kill_and_restart() { # ID…
	local id
	for id in "$@"; do cluster kill "$id"; done
	sleep 0.4
	for id in "$@"; do cluster restart "$id"; done
	"$synod" status --config "$config" --until leader --quiet
}

cluster up --size 1G >/dev/null # all of it must be there at the end: no turn of the ring
make_text 4000000 >"$data/text"

# An endless supply, cut off when the kills are over: what was acknowledged by then must be there.
"$synod" submit --config "$config" --timeout 20 <"$data/text" >"$data/positions" 2>"$data/errors" &
load=$!
for round in 1 2; do
	kill_and_restart "$(who leader)"
	kill_and_restart "$(who follower)"
	echo "round $round: $(wc -l <"$data/positions") acknowledged"
done
kill_and_restart 1 2 3
sleep 1
kill -TERM "$load" 2>/dev/null || fail "submit ended by itself: $(cat "$data/errors")"
wait "$load" || true
grep -v '^-' "$data/positions" >"$data/acknowledged" || true
lines=$(wc -l <"$data/acknowledged")
echo "$lines acknowledged in all"
((lines > 1000)) || fail "only $lines were acknowledged: $(cat "$data/errors")"
seq "$lines" | cmp - "$data/acknowledged" || fail "positions are not 1 to $lines"

head -n "$lines" "$data/text" >"$data/expected"
tails_equal "$data/expected"
verified
