#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A fourth replica that only learns; reads without the log, from the leader and from replicas by
# name; leadership handed over under load, by request and by priority, and nothing lost.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

counter() { # REPLICA NAME
	"$synod" status --config "$config" --replica "$1" --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["replicas"][0]["counters"][sys.argv[1]])' "$2"
}

kv() {
	"$synod" kv --config "$config" "$@"
}

leader() {
	"$synod" status --config "$config" --until leader --print leader
}

cluster up --size 1G --machine kv --replicas 4 --voters 3 >/dev/null
[[ $(kv put key one) == OK ]] || fail 'put'
[[ $(kv get key) == one ]] || fail 'a read does not see what was put before it'
first=$(leader)
[[ $first != 4 ]] || fail 'a learner leads'
(($(counter "$first" reads) == 1)) || fail 'the read did not go past the log'
position=$(kv put key two --positions | cut -f 1)
[[ $(kv get key --positions) == "$position	two" ]] ||
	fail 'a read is older than the last write'
"$synod" status --config "$config" --until equal --quiet
for id in 1 2 3 4; do
	[[ $(kv get key --stale "$id") == two ]] || fail "replica $id has another value"
	(($(counter "$id" reads_stale) >= 1)) || fail "replica $id was not the one asked"
done
complains 1 'NOT_FOUND: no key other' kv get other
complains 1 'MISMATCH' kv cas key one three
complains 2 'say get KEY' kv fetch key
complains 2 'replicas 1 to 4' kv get key --stale 5

# Handed over under load. The client follows by itself; what it was told stays true.
complains 1 'replica 4 cannot lead: it does not vote' "$synod" handover --config "$config" --to 4
complains 2 'replicas 1 to 4' "$synod" handover --config "$config" --to 5
"$SYNOD_BUILD/bench/synod-load" --config "$config" --workload kv --seconds 4 \
	--rate 3000 --outstanding 64 --json "$data/load" >/dev/null 2>"$data/load.log" &
load=$!
sleep 1
for round in 1 2 3; do
	to=$((($(leader) + round) % 3 + 1))
	"$synod" handover --config "$config" --to "$to" >/dev/null || fail "no hand-over to $to"
	[[ $(leader) == "$to" ]] || fail "$to does not lead"
	kv get key >/dev/null || fail 'a read after a hand-over'
done
wait "$load" || grep -q invalid "$data/load" || fail "load: $(cat "$data/load.log")"
"$synod" status --config "$config" --until equal --timeout 20 --quiet

# The preferred voter gets the leadership back by itself.
cluster down >/dev/null
sed -i '/^\[replica 2\]/a priority = 5' "$config"
cluster up >/dev/null
for ((i = 0; i < 100; i++)); do
	[[ $(leader) != 2 ]] || break
	sleep 0.1
done
[[ $(leader) == 2 ]] || fail 'the replica with the highest priority does not lead'
verified

# Wrong numbers are told in one line, before anything is made.
complains 2 'of which 4 vote' "$synod" config init --data "$data/x" --replicas 4
sed -i 's/^voters = 3/voters = 3\nquorum_accept = 1/' "$config"
complains 1 'do not meet' "$synod" config check "$config"
