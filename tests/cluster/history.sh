# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# For the tests that break a real cluster under a key-value load and have the history judged: three
# replicas joined by a bridge in a network namespace, where packets can be cut one way. Sourced.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

linear=$SYNOD_BUILD/tests/linear/synod-linear
election_ms=300
election_max_ms=$((3 * election_ms)) # within which a new leader must be acknowledging
rate=1500
load=''

require_bridge() {
	local flags=(-n) tool
	((EUID == 0)) || flags=(-r -n)
	unshare "${flags[@]}" true 2>/dev/null || skip 'no network namespace to be had'
	for tool in ip ethtool nsenter nft python3; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

start_cluster() {
	require_bridge
	"$synod" config init --data "$data" --machine kv --size 192M --link door >/dev/null
	printf '\n[timing]\nelection_ms = %d\nheartbeat_ms = 30\n' "$election_ms" >>"$config"
	cluster up --bridge >/dev/null || skip 'replicas cannot be joined by a bridge here'
	cluster exec nft list tables >/dev/null 2>&1 || skip 'nft does not work here'
	cluster exec "$synod" status --config "$config" --until equal --timeout 20 --quiet
}

start_load() { # log|linearizable|stale
	# shellcheck disable=SC2016  # expanded inside
	cluster exec sh -c 'echo $$ >"$0"; exec "$@"' "$data/load.pid" \
		"$SYNOD_BUILD/bench/synod-load" --config "$config" --workload kv --keys 12 \
		--reads "$1" --outstanding 16 --rate "$rate" --seconds 170 --warmup-ms 0 \
		--deadline-ms 3000 --history "$data/history" --acked "$data/acked" \
		--json "$data/load.json" >"$data/load.out" &
	load=$!
	sleep 1
}

stop_load() {
	kill -TERM "$(cat "$data/load.pid")" || fail "the load ended early: $(cat "$data/load.out")"
	wait "$load" || fail "the load failed: $(tail -1 "$data/load.out")"
	load=''
}

# Prints members of each answering replica's status: a line each.
each() { # MEMBER…
	cluster exec "$synod" status --config "$config" --json --timeout 1 2>/dev/null |
		python3 -c '
import json, sys
for replica in json.load(sys.stdin)["replicas"]:
    if replica["answered"]:
        print(*(replica[member] for member in sys.argv[1:]))' "$@"
}

who() { # leader|follower
	cluster exec "$synod" status --config "$config" --until leader --print "$1"
}

# The leader of the highest ballot: ROUND ID.
leadership() {
	each ballot_round replica role | awk '$3 == "leader"' | sort -rn | head -1 | cut -d' ' -f1,2
}

# A leader at one ballot, or at most one other, while nothing is wrong any more.
no_churn() { # SECONDS
	local i before changes
	before=$(leadership)
	: >"$data/leaderships"
	for ((i = 0; i < $1 * 3; i++)); do
		leadership >>"$data/leaderships"
		sleep 0.15
	done
	changes=$(grep -v "^$before\$" "$data/leaderships" | sort -u | grep -c . || true)
	echo "  after the heal: $changes changes of leader"
	((changes <= 1)) || fail "leaders after the heal: $before, $(sort -u "$data/leaderships")"
}

pid_of() { # ID
	cut -d' ' -f1 "$data/$1.pid"
}

# Drops what is forwarded from one replica to another: pairs FROM>TO.
cut_links() { # FROM>TO…
	local pair rules=''
	for pair in "$@"; do
		rules+="iifname \"plug${pair%>*}\" oifname \"plug${pair#*>}\" drop; "
	done
	cluster exec nft "table bridge cut { chain forward {
		type filter hook forward priority 0; $rules }; }"
}

heal() {
	cluster exec nft delete table bridge cut
}

# After the faults: a new leader acknowledged within three election times each time, nothing
# acknowledged is lost, all replicas have one state, and the history is one that a single copy could
# have had.
judge() { # OPERATIONS-AT-LEAST [SILENCE-AT-MOST-MS]
	local gap lines gap_max=${2:-$election_max_ms}
	stop_load
	cluster exec "$synod" status --config "$config" --until equal --timeout 20 --quiet
	each state_hash position >"$data/states"
	[[ $(wc -l <"$data/states") == 3 && $(sort -u "$data/states" | wc -l) == 1 ]] ||
		fail "different states: $(cat "$data/states")"
	cluster down
	! grep -HE 'PANIC|assert' "$data"/*.log || fail 'a replica fell over'
	"$synod" verify --config "$config" --acked "$data/acked"
	! grep -E 'TOO_LARGE|BAD_COMMAND' "$data/history" || fail 'commands refused that are right'
	lines=$(grep -c '"outcome": "OK"' "$data/history")
	((lines >= $1)) || fail "only $lines operations were done"
	"$linear" "$data/history"
	gap=$(sed -n 's/.*"max_gap_ms": *\([0-9]*\).*/\1/p' "$data/load.json")
	echo "$(wc -l <"$data/history") operations, longest silence $gap ms"
	((gap <= gap_max)) || fail "nothing acknowledged for $gap ms, $gap_max at most expected"
}
