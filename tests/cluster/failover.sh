#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of the leader: another acknowledges well before an election time is over, since its links
# tell of its death. The shortest of a few is judged: a busy machine delays any of them.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

limit_ms=100 # two thirds of election_ms, the least that a silence takes
kills=5

cluster up >/dev/null
for ((kill = 1; kill <= kills; kill++)); do
	"$synod" status --config "$config" --until equal --timeout 60 --quiet
	leader=$("$synod" status --config "$config" --print leader)
	"$SYNOD_BUILD/bench/synod-load" --config "$config" --seconds 3 --rate 2000 --progress \
		--json "$data/load.json" >/dev/null 2>"$data/progress" &
	load=$!
	until grep -q ' s *[1-9][0-9]* ops/s' "$data/progress" || ! kill -0 "$load"; do
		sleep 0.1
	done
	sleep 1
	kill -0 "$load" || fail 'the load was over before the leader was killed'
	cluster kill "$leader"
	wait "$load"
	ms=$(sed -n 's/.*"max_gap_ms": *\([0-9]*\).*/\1/p' "$data/load.json")
	now=0 # of those that run: what the killed one had counted is gone
	for id in 1 2 3; do
		[[ $id == "$leader" ]] || now=$((now + $(status_of "$id" leaders_lost)))
	done
	echo "replica $leader killed: $ms ms without an acknowledgement"
	((now > 0)) || fail 'nobody noticed that a link to the leader went'
	echo "$ms" >>"$data/gaps"
	cluster restart "$leader"
done
best=$(sort -n "$data/gaps" | head -n 1)
((best < limit_ms)) || fail "$best ms at best"
verified
