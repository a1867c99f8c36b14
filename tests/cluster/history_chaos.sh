#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Everything at once, at random, under a key-value load: cuts of any directed links, kill -9,
# SIGSTOP, one on top of the other. What clients saw is linearizable, and nothing acknowledged is
# lost.
#
#   history_chaos.sh [SEED [SECONDS [log|linearizable|stale]]]
#
# The seed repeats the actions, not the run: clocks and processes are real.

# shellcheck source=tests/cluster/history.sh
source "$(dirname "$0")/history.sh"

seed=${1:-$((RANDOM * 32768 + RANDOM))}
seconds=${2:-25}
cut='' down='' stopped=''

change_cut() {
	local pair pairs=()
	[[ -z $cut ]] || heal
	for pair in '1>2' '2>1' '1>3' '3>1' '2>3' '3>2'; do
		((RANDOM % 3)) || pairs+=("$pair")
	done
	cut=${pairs[*]}
	echo "  cut: ${cut:-nothing}"
	[[ -z $cut ]] || cut_links "${pairs[@]}"
}

kill_or_restart() {
	if [[ -n $down ]]; then
		echo "  restart $down"
		cluster restart "$down"
		down=''
		return
	fi
	down=$((RANDOM % 3 + 1))
	if [[ $down == "$stopped" ]]; then
		down=''
		return
	fi
	echo "  kill $down"
	cluster kill "$down"
}

stop_or_continue() {
	if [[ -n $stopped ]]; then
		echo "  continue $stopped"
		kill -CONT "$(pid_of "$stopped")"
		stopped=''
		return
	fi
	stopped=$((RANDOM % 3 + 1))
	if [[ $stopped == "$down" ]]; then
		stopped=''
		return
	fi
	echo "  stop $stopped"
	kill -STOP "$(pid_of "$stopped")"
}

end_all() {
	[[ -z $stopped ]] || stop_or_continue
	[[ -z $down ]] || kill_or_restart
	[[ -z $cut ]] || heal
	cut=''
}

RANDOM=$seed
echo "seed $seed"
start_cluster
start_load "${3:-linearizable}"
end=$((SECONDS + seconds))
while ((SECONDS < end)); do
	case $((RANDOM % 8)) in
	0 | 1 | 2) change_cut ;;
	3) kill_or_restart ;;
	4) stop_or_continue ;;
	5) end_all ;;
	*) ;;
	esac
	sleep "0.$((RANDOM % 9))"
done
end_all
sleep 2
judge 1000 $((seconds * 1000 + 5000))
