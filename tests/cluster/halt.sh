#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A leader whose disk fails says so to whoever still asks, and ends by itself with its reason; the
# clients go on with another at once, and nothing acknowledged is lost. Whether told to or by
# itself, a replica ends in peace beside others that run.

# shellcheck source=tests/cluster/faulty.sh
source "$(dirname "$0")/faulty.sh"

cluster up --size 512M >/dev/null
cluster down >/dev/null
trap 'status=$?; stop_all; (exit $status); clean_up' EXIT
for id in 1 2 3; do start "$id"; done
leader=$("$synod" status --config "$config" --until leader --timeout 20 --print leader)

lines=1000000 # a second of work, on a fast day
make_text "$lines" >"$data/text"
"$synod" submit --any-order --config "$config" --timeout 20 <"$data/text" >"$data/positions" &
load=$!
for ((i = 0; i < 2000; i++)); do # in the middle of it: as soon as something was acknowledged
	[[ ! -s $data/positions ]] || break
	sleep 0.01
done
(($(wc -l <"$data/positions") < lines)) || fail 'it was over before the disk failed'
echo fail >"$data/faults.$leader"
status=0
wait "${pids[$leader]}" || status=$?
[[ $status == 1 ]] || fail "the replica ends with $status: $(cat "$data/$leader.log")"
grep -q "stopped: .*Input/output error" "$data/$leader.log" ||
	fail "it does not say why: $(cat "$data/$leader.log")"
refused=$(sed -n 's/.*(\([0-9]*\) commands were answered HALTED.*/\1/p' "$data/$leader.log")
# How many depends on what was on its way just then; that they are told: tests/pipeline.
[[ -n $refused ]] || fail "it does not say whom it told: $(cat "$data/$leader.log")"
echo "replica $leader: $refused commands were answered HALTED"
wait "$load" || fail 'submit failed'
sort -n "$data/positions" | uniq >"$data/sorted"
seq "$lines" | cmp - "$data/sorted" || fail "the positions are not 1 to $lines"

rm "$data/faults.$leader"
start "$leader"
"$synod" status --config "$config" --until equal --timeout 30 --quiet
for id in 1 2 3; do # one after the other, beside those that run and connect again
	kill "${pids[$id]}"
	status=0
	wait "${pids[$id]}" || status=$?
	[[ $status == 0 ]] || fail "replica $id ends with $status: $(cat "$data/$id.log")"
done
"$synod" verify --config "$config"
