#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Partitions under a key-value load: both ways, one way, and between two of three only. Clients
# still reach every replica, the one that is cut off too. There is a new leader within three
# election times, the old one steps down, leadership changes at most once after the heal, and what
# clients saw is linearizable.

# shellcheck source=tests/cluster/history.sh
source "$(dirname "$0")/history.sh"

# Leader and the two others, afresh.
roles() {
	leader=$(who leader)
	one=$((leader % 3 + 1))
	other=$((one % 3 + 1))
}

surprises=0 # changes of leader that nothing asked for

partition() { # WHAT NEW-LEADER? FROM>TO…
	local what=$1 new=$2 now
	shift 2
	cut_links "$@"
	sleep 1
	now=$(leadership | cut -d' ' -f2)
	echo "$what: replica $leader led, $now leads"
	[[ $new == no || $now != "$leader" ]] || fail "$what: there is no new leader"
	[[ $new == yes || $now == "$leader" ]] || surprises=$((surprises + 1))
	heal
	no_churn 1
	roles
}

start_cluster
start_load linearizable
roles
partition 'the leader alone' yes "$leader>$one" "$one>$leader" "$leader>$other" "$other>$leader"
partition 'a follower alone' no "$leader>$one" "$one>$leader" "$one>$other" "$other>$one"
partition 'the leader mute' yes "$leader>$one" "$leader>$other"
partition 'the leader deaf' yes "$one>$leader" "$other>$leader"
partition 'a follower deaf' no "$leader>$one" "$other>$one"
partition 'leader and one follower apart' no "$leader>$one" "$one>$leader"
partition 'followers apart' no "$one>$other" "$other>$one"
# On a busy machine a leader may miss its time once.
((surprises <= 1)) || fail "$surprises leaders were deposed by a cut that left them a quorum"
judge 10000
