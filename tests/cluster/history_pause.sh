#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Replicas stopped and continued (SIGSTOP, SIGCONT) under a key-value load, shorter and longer than
# an election time, one after the other and two at once: a leader that wakes up does not answer as
# if it still led, and what clients saw is linearizable.

# shellcheck source=tests/cluster/history.sh
source "$(dirname "$0")/history.sh"

pause() { # SECONDS ID…
	local seconds=$1 id
	shift
	for id in "$@"; do kill -STOP "$(pid_of "$id")"; done
	sleep "$seconds"
	for id in "$@"; do kill -CONT "$(pid_of "$id")"; done
}

start_cluster
start_load linearizable
pause 0.1 "$(who leader)"
pause 0.1 "$(who follower)"
for round in 1 2 3; do
	leader=$(who leader)
	pause 1.5 "$leader"
	echo "round $round: replica $leader paused"
	no_churn 1
done
leader=$(who leader)
pause 1 "$((leader % 3 + 1))"
# Two of three: nothing can be acknowledged meanwhile, and nothing wrong may be.
pause 0.4 1 2
pause 0.4 2 3
no_churn 1
judge 10000 $((election_max_ms + 400))
