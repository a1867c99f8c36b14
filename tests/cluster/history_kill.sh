#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of the leader, again and again, under a key-value load, and restarts: the history of what
# clients saw is linearizable, and nothing acknowledged is lost.

# shellcheck source=tests/cluster/history.sh
source "$(dirname "$0")/history.sh"

start_cluster
start_load log
for round in 1 2 3 4 5; do
	leader=$(who leader)
	cluster kill "$leader"
	sleep 1
	cluster restart "$leader"
	sleep 1
	echo "round $round: replica $leader killed; now $(leadership)"
done
judge 10000
