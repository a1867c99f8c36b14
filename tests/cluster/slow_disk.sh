#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Disks that are slow, stand still, fail or write too little, under a running cluster. A slow disk
# under a follower costs nobody anything: p99 stays within 1.2 of healthy. Under a leader it costs
# the lead, within a second. A disk that never answers ends its replica with one line; the others go
# on. The faults: tests/faults.

# shellcheck source=tests/cluster/faulty.sh
source "$(dirname "$0")/faulty.sh"

leader() {
	"$synod" status --config "$config" --until leader --timeout 20 --print leader
}

milliseconds() {
	date +%s%3N
}

# p99 in microseconds of a few seconds at a moderate rate.
p99() {
	"$SYNOD_BUILD/bench/synod-load" --config "$config" --seconds 2 --rate 1000 \
		--outstanding 512 --json "$data/load" >"$data/load.log" 2>&1 ||
		fail "load: $(cat "$data/load.log")"
	python3 -c '
import json, sys
print(int(json.load(open(sys.argv[1]))["latency_us"]["p99"]))' "$data/load"
}

counter() { # REPLICA NAME
	"$synod" status --config "$config" --replica "$1" --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["replicas"][0]["counters"][sys.argv[1]])' "$2"
}

# A fault for a replica, whole at once.
fault() { # ID WORDS
	echo "${@:2}" >"$data/faults.new"
	mv "$data/faults.new" "$data/faults.$1"
}

ends_with() { # ID PATTERN
	local status=0
	wait "${pids[$1]}" || status=$?
	[[ $status == 1 ]] || fail "replica $1 ends with $status: $(cat "$data/$1.log")"
	grep -Eq "stopped: $data/$1.journal: $2" "$data/$1.log" ||
		fail "it does not say '$2': $(cat "$data/$1.log")"
	grep -o "stopped: .*" "$data/$1.log" | sed "s|$data/||"
	rm -f "$data/faults.$1"
}

cluster up --size 512M >/dev/null
cluster down >/dev/null
printf '\n[timing]\njournal_timeout_ms = 1500\n' >>"$config"
trap 'status=$?; stop_all; (exit $status); clean_up' EXIT
for id in 1 2 3; do start "$id"; done
first=$(leader)
follower=$((first % 3 + 1))

# In turn. One p99 of two seconds strays by half on a machine that does other things too, so the two
# are compared as samples (Mann-Whitney): of all 25 pairs at least 23 over 1.2 would come by chance
# once in sixty times if the ratio were just 1.2, and far more rarely at the 1.0 it should be. A
# leader that waited for the slow disk shows a hundredfold in all 25.
healthy=() slow=()
for _ in 1 2 3 4 5; do
	healthy+=("$(p99)")
	fault "$follower" delay 100
	slow+=("$(p99)")
	rm "$data/faults.$follower"
	"$synod" status --config "$config" --until equal --timeout 20 --quiet
done
[[ $(leader) == "$first" ]] || fail 'a slow follower cost the leader the lead'
echo "p99 us, healthy: ${healthy[*]}; one follower's disk 100 ms late: ${slow[*]}"
over=0
for with in "${slow[@]}"; do
	for without in "${healthy[@]}"; do
		((with * 10 <= without * 12)) || over=$((over + 1))
	done
done
((over < 23)) || fail "a slow follower made everybody slow: $over of 25 pairs over 1.2"

# The leader's. The load does not end by itself, however fast the machine is.
make_text 200000 >"$data/text"
feed() {
	while cat "$data/text" 2>/dev/null; do :; done
}
feed | "$synod" submit --any-order --config "$config" --timeout 20 >"$data/positions" &
load=$!
sleep 0.5
fault "$first" delay 100
begin=$(milliseconds)
for ((i = 0; i < 200; i++)); do
	second=$(leader)
	[[ $second == "$first" ]] || break
done
took=$(($(milliseconds) - begin))
[[ $second != "$first" ]] || fail 'the leader with the slow disk still leads'
echo "the leader with the slow disk handed over within $took ms"
((took <= 1000)) || fail "it took $took ms"
(($(counter "$first" slow_disk) == 1)) || fail 'it was not for the disk'
rm "$data/faults.$first"

# One that stands still, under a follower and then under the leader; one that fails, one that cuts.
third=$((6 - first - second))
fault "$third" stuck
ends_with "$third" 'no completion of a write within 1500 ms at offset [0-9]+ '
start "$third"
"$synod" status --config "$config" --until leader --timeout 20 --quiet
kill -TERM "$load" 2>/dev/null || true
wait "$load" || true
for word in stuck fail short; do
	"$synod" status --config "$config" --until equal --timeout 30 --quiet
	last=$(leader)
	feed | "$synod" submit --any-order --config "$config" --timeout 20 >"$data/more" &
	load=$!
	sleep 0.3
	fault "$last" "$word"
	case $word in
	stuck) ends_with "$last" 'no completion of a write within 1500 ms' ;;
	fail) ends_with "$last" 'write failed at offset .*Input/output error' ;;
	short) ends_with "$last" 'short write at offset' ;;
	esac
	lines=$(wc -l <"$data/more")
	for ((i = 0; i < 100; i++)); do
		(($(wc -l <"$data/more") <= lines)) || break
		sleep 0.1
	done
	(($(wc -l <"$data/more") > lines)) || fail "the others do not go on after $word"
	start "$last"
	kill -TERM "$load" 2>/dev/null || true
	wait "$load" || true
done
"$synod" status --config "$config" --until equal --timeout 30 --quiet
stop_all
! grep -HE 'PANIC|assert' "$data"/*.log || fail 'a replica fell over'
"$synod" verify --config "$config"
