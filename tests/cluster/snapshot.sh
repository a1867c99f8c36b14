#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Room: a log of 16 MiB that takes many times as much. Snapshots are taken while it serves; a
# replica that was away until nobody had its slots any more is sent one; kills strike in the middle
# of taking, sending and receiving them. In the end all hold the same sequence and state, and no
# acknowledged command that can still be seen is missing.
#
# snapshot.sh [SECONDS of kills]

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

seconds=${1:-15}
load=$SYNOD_BUILD/bench/synod-load
log_bytes=$((16 * 1024 * 1024))
installed=0

# A number of a replica's status; 0 if it does not answer.
number() { # ID NAME
	"$synod" status --config "$config" --json 2>/dev/null |
		python3 -c 'import json, sys
found = [0]
def look(at, of):
    if isinstance(at, dict):
        of = at.get("replica", of)
        for name, value in at.items():
            if name == sys.argv[2] and of == int(sys.argv[1]) and isinstance(value, int):
                found.append(value)
            look(value, of)
    elif isinstance(at, list):
        for item in at:
            look(item, of)
look(json.load(sys.stdin), 0)
print(found[-1])' "$1" "$2"
}

# Values of many keys: an image of several MiB, which takes a while to write and to send.
drive() { # SECONDS FILE
	"$load" --config "$config" --seconds "$1" --workload kv --keys 6000 --payload 1000 \
		--mix 5,85,5,5 --outstanding 256 --deadline-ms 60000 --acked "$2" >"$2.out" 2>&1
}

written() { # ID → how many times its log was written
	echo $(($(number "$1" journal_bytes) / log_bytes))
}

cluster up --machine kv --size 16M >/dev/null
echo "one is left behind"
"$load" --config "$config" --seconds 1 --workload kv --keys 100 --payload 100 >/dev/null
cluster kill 3
drive 6 "$data/acked.1"
turns=$(written 1)
echo "  the log of replica 1 was written $turns times, snapshots taken: $(number 1 snapshots_taken)"
((turns >= 3)) || fail 'too little was written for this test'
complains 1 'no longer has position 1: its log begins at [0-9]+' \
	"$synod" tail --config "$config" --replica 1 --from 1 --count 1
"$synod" tail --config "$config" --replica 1 --oldest --count 3 >"$data/oldest"
[[ -s $data/oldest ]] || fail 'the oldest commands that are kept cannot be read'

echo "it comes back, is sent a snapshot, and catches up"
cluster restart 3
"$synod" status --config "$config" --until equal --timeout 30 --quiet
(($(number 3 snapshots_installed) == 1)) || fail 'replica 3 installed no snapshot'
complains 1 'no longer has position 1: its log begins at [0-9]+' \
	"$synod" tail --config "$config" --replica 3 --from 1 --count 1

echo "kill -9 of any, while snapshots are taken, sent and received, for $seconds s"
drive "$((seconds + 2))" "$data/acked.2" &
running=$!
end=$((SECONDS + seconds))
for ((round = 0; SECONDS < end; round++)); do
	id=$((round % 3 + 1))
	installed=$((installed + $(number "$id" snapshots_installed)))
	cluster kill "$id"
	sleep "$((round % 2 * 2)).3" # after 2.3 s everybody's log was written over
	cluster restart "$id"
	sleep "0.$((round % 4))" # where the next one is of the same: it was receiving
	if ((round % 3 == 0)); then
		cluster kill "$id"
		cluster restart "$id"
	fi
	sleep 0.5
done
wait "$running" || fail "the load failed: $(tail -1 "$data/acked.2.out")"
cat "$data/acked.2.out"
for id in 1 2 3; do installed=$((installed + $(number $id snapshots_installed))); done
echo "  $installed snapshots installed"

echo "kill -9 of all"
for id in 1 2 3; do cluster kill "$id"; done
for id in 1 2 3; do cluster restart "$id"; done
"$synod" status --config "$config" --until equal --timeout 60 --quiet
drive 1 "$data/acked.3"
"$synod" status --config "$config" --until equal --timeout 60 --quiet
for id in 1 2 3; do
	echo "  replica $id: $(number $id snapshots_taken) taken since," \
		"$(number $id snapshots_installed) installed," \
		"longest pause $(number $id snapshot_pause_us) us"
done
cluster down
! grep -HE 'PANIC|assert' "$data"/*.log || fail 'a replica fell over'
cat "$data"/acked.[123] >"$data/acked"
"$synod" verify --config "$config" --acked "$data/acked"
