#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of the leader, of followers and of all at once, under load, several times, with restarts:
# every line that was acknowledged is there once, in order, on every replica.
#
#   tests/cluster/kill.sh            a few kills, as tests
#   tests/cluster/kill.sh SECONDS    for that long storms in which any replica, or all, is killed
#                                    every 100 ms, and pauses in which something is acknowledged

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

storm_s=${1:-0}
patience_s=$((storm_s ? 120 : 20)) # longer than a storm on a machine that does much else

supply() { # at a pace at which the journals keep all of it
	if ((storm_s)); then paced "$data/text"; else cat "$data/text"; fi
}

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

pid_of() { # ID
	local pid
	read -r pid _ 2>/dev/null <"$data/$1.pid" &&
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) == synodd* ]] && echo "$pid"
}

keep_up() { # ID, while the storm lasts
	while [[ -f $data/storm ]]; do
		[[ $(pid_of "$1") ]] || cluster restart "$1" >/dev/null 2>&1 || true
		sleep 0.02
	done
}

# Two seconds of it; whoever was killed is started at once, and perhaps killed while it starts.
storm() {
	local i id ids pid killed=() keepers=()
	: >"$data/storm"
	for id in 1 2 3; do
		keep_up "$id" &
		keepers+=($!)
	done
	for ((i = 0; i < 20; i++)); do
		ids=($((RANDOM % 3 + 1)))
		((RANDOM % 8)) || ids=(1 2 3)
		for id in "${ids[@]}"; do
			pid=$(pid_of "$id") && kill -9 "$pid" 2>/dev/null && killed+=("$pid")
		done
		sleep 0.1
	done
	kills=$((kills + ${#killed[@]}))
	for pid in "${killed[@]}"; do # a process that goes looks like one that runs
		for ((i = 0; i < 100; i++)); do
			[[ -d /proc/$pid ]] || break
			sleep 0.05
		done
	done
	rm "$data/storm"
	wait "${keepers[@]}"
	for id in 1 2 3; do
		[[ $(pid_of "$id") ]] || cluster restart "$id" >/dev/null
	done
	"$synod" status --config "$config" --until leader --quiet
}

storms() { # SECONDS
	local end=$((SECONDS + $1)) kills=0 before
	while ((SECONDS < end)); do
		before=$(wc -l <"$data/positions")
		storm
		sleep 2
		echo "$kills kills: $(wc -l <"$data/positions") acknowledged"
		((before < $(wc -l <"$data/positions"))) || fail 'nothing is acknowledged'
	done
}

# All of it must be there at the end: no turn of the ring.
cluster up --size "$((storm_s ? 2 : 1))G" >/dev/null
make_text 4000000 >"$data/text"

: >"$data/positions"
# An endless supply, cut off when the kills are over: what was acknowledged by then must be there.
"$synod" submit --config "$config" --timeout "$patience_s" < <(supply) \
	>"$data/positions" 2>"$data/errors" &
load=$!
((storm_s == 0)) || storms "$storm_s"
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
