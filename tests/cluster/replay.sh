#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every datagram of a former session, between replicas and from clients, sent again: at the running
# cluster after leadership changed, after all replicas were restarted, and at a cluster that was
# made anew under the same id. It changes nothing: no command is executed twice, position and state
# stay what they were.

# shellcheck source=tests/cluster/history.sh
source "$(dirname "$0")/history.sh"

packets=$root/tests/cluster/packets.py

start_capture() {
	# shellcheck disable=SC2016  # expanded inside
	cluster exec sh -c 'echo $$ >"$0"; exec "$@"' "$data/capture.pid" \
		python3 "$packets" capture "$data/capture" 1 2 3 >"$data/capture.out" &
	capture=$!
	for _ in $(seq 50); do
		! grep -q capturing "$data/capture.out" || return 0
		sleep 0.1
	done
	fail "no capture: $(cat "$data/capture.out")"
}

stop_capture() {
	kill -TERM "$(cat "$data/capture.pid")"
	wait "$capture"
	tail -1 "$data/capture.out"
}

settled() {
	cluster exec "$synod" status --config "$config" --until equal --timeout 20 --quiet
}

replayed_without_effect() { # WHEN
	settled
	each replica position state_hash sessions >"$data/before"
	cluster exec python3 "$packets" replay "$data/capture" 20000
	settled
	each replica position state_hash sessions >"$data/after"
	cmp "$data/before" "$data/after" ||
		fail "$1: $(cat "$data/before") became $(cat "$data/after")"
	echo "$1: nothing changed"
}

start_cluster
start_capture
start_load log
sleep 1
leader=$(who leader)
cluster kill "$leader"
sleep 1
cluster restart "$leader"
sleep 1
stop_load
stop_capture
leader=$(who leader)
cluster kill "$leader"
sleep 1
cluster restart "$leader"
replayed_without_effect 'after another change of leader'
for id in 1 2 3; do cluster restart "$id"; done
replayed_without_effect 'after a restart of all'

# The same configuration, other journals: here the old log could be taken for this one's.
cluster down
for id in 1 2 3; do "$synod" format --config "$config" --id "$id" --force >/dev/null; done
cluster up >/dev/null
replayed_without_effect 'in another cluster under the same id, empty'
each counters >"$data/counters"
grep -Eq "'drop_boot': [1-9]" "$data/counters" || fail 'nobody counted drop_boot'
grep -Eq "'refused_boot': [1-9]" "$data/counters" || fail 'nobody counted refused_boot'
start_load stale
stop_load
"$linear" "$data/history"
replayed_without_effect 'in another cluster under the same id, begun'
