#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# I14: a replica that serves takes no memory. Once links are up, neither the allocator's calls nor
# the resident size of any replica grow, however many commands pass. (calloc is not counted: glibc's
# own dlsym calls it; everything else is.)

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

counter=$SYNOD_BUILD/tests/cluster/libcount-allocations.so
load=$SYNOD_BUILD/bench/synod-load
declare -A pids

start() { # ID
	SYNOD_COUNT_ALLOCATIONS=$data/count.$1 LD_PRELOAD=$counter \
		"$synodd" --config "$config" --id "$1" 2>"$data/$1.log" &
	pids[$1]=$!
}

stop_all() {
	kill "${pids[@]}" 2>/dev/null || true
	wait "${pids[@]}" 2>/dev/null || true
}

count() { # ID
	od -An -t u8 -N 8 "$data/count.$1" | tr -d ' '
}

resident() { # ID → KiB
	awk '$1 == "VmRSS:" { print $2 }' "/proc/${pids[$1]}/status"
}

cluster up --size 1G >/dev/null
cluster down >/dev/null
trap 'status=$?; stop_all; (exit $status); clean_up' EXIT
for id in 1 2 3; do start "$id"; done
"$synod" status --config "$config" --until leader --timeout 20 --quiet

# The load's links come up, every ring and buffer has been used.
"$load" --config "$config" --seconds 8 --outstanding 512 >"$data/load.out" &
running=$!
sleep 4
for id in 1 2 3; do
	before[id]=$(count "$id")
	size[id]=$(resident "$id")
	((before[id] > 0)) || fail "replica $id: the counter counts nothing"
done
sleep 3
for id in 1 2 3; do
	now=$(count "$id")
	grown=$(($(resident "$id") - size[id]))
	echo "replica $id: ${before[id]} allocations to start," \
		"$((now - before[id])) while serving," \
		"${size[id]} KiB resident, $grown KiB more"
	((now == before[id])) || fail "replica $id allocated while it served"
	((grown <= 512)) || fail "replica $id grew by $grown KiB"
done
wait "$running" || fail "the load failed: $(tail -1 "$data/load.out")"
