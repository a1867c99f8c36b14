# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# For tests whose disks fail on demand: replicas that read their faults from a file (tests/faults).
# Sourced, with all of common.sh.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

faulty=$SYNOD_BUILD/tests/faults/synodd-faulty
declare -A pids

start() { # ID
	SYNOD_FAULTS=$data/faults.$1 "$faulty" --config "$config" --id "$1" 2>"$data/$1.log" &
	pids[$1]=$!
}

stop_all() {
	kill "${pids[@]}" 2>/dev/null || true
	wait "${pids[@]}" 2>/dev/null || true
}
