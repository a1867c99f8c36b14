#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A byte flipped in a stopped journal is reported: by `synod log`, by `synod verify`, and by the
# replica itself, which does not serve what it cannot read as if it were not there.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

cluster up --size 64M >/dev/null
make_text 20000 >"$data/text"
"$synod" submit --config "$config" <"$data/text" >/dev/null
verified >/dev/null
"$synod" log --config "$config" --id 2 --verify >"$data/before"
grep -q 'every group verified' "$data/before" || fail "$(cat "$data/before")"

# In the first MiB of the log: many groups behind it say it was durable.
flip_in_log 2 534471
status=0
"$synod" log --config "$config" --id 2 --verify >"$data/out" 2>"$data/complaint" || status=$?
[[ $status == 1 ]] || fail "synod log takes a flipped byte: exit $status"
"$synod" log --config "$config" --id 1 --verify --groups >"$data/groups"
grep -q '^group 1 turn 0 at byte .* durable through group 0' "$data/groups" ||
	fail "synod log --groups does not explain: $(head -3 "$data/groups")"
grep -q '^all records are marked durable' "$data/groups" ||
	fail "a journal that was closed is not marked durable to its end"
grep -q 'CORRUPT at byte' "$data/out" || fail "synod log does not say where: $(cat "$data/out")"
status=0
"$synod" verify --config "$config" >"$data/out" 2>&1 || status=$?
[[ $status == 1 ]] || fail "synod verify takes a flipped byte: exit $status"
grep -q 'replica 2' "$data/out" || fail "synod verify does not say whose: $(cat "$data/out")"

# Alone it waits for others to repair its slots from (mend_serving.sh), and stops when told to.
"$synodd" --config "$config" --id 2 2>"$data/2.log" &
alone=$!
for _ in $(seq 300); do
	! grep -q 'slots of the journal are corrupt: it votes for nothing' "$data/2.log" || break
	sleep 0.1
done
kill "$alone"
wait "$alone" || fail "a replica that mends does not stop when told to: $(cat "$data/2.log")"
grep -q 'slots of the journal are corrupt: it votes for nothing' "$data/2.log" ||
	fail "a corrupt journal is not told: $(cat "$data/2.log")"
! grep -q 'repaired from replica' "$data/2.log" || fail "who repaired that?"

# Repaired from the others' journals, it has the whole sequence again, and serves.
complains 1 'not corrupt' "$synod" repair --config "$config" --id 1 --from 3
complains 2 'name another' "$synod" repair --config "$config" --id 2 --from 2
complains 2 'numbers of replicas' "$synod" repair --config "$config" --id 2 --from 3,x
"$synod" repair --config "$config" --id 2 --from 3,1 >"$data/repair"
grep -Eq '^slot [0-9]+ repaired from replica [31]$' "$data/repair" ||
	fail "synod repair does not say which slot from whom: $(cat "$data/repair")"
"$synod" log --config "$config" --id 2 --verify >/dev/null
"$synod" verify --config "$config" >/dev/null
cluster up >/dev/null
"$synod" status --config "$config" --until equal --quiet
tails_equal "$data/text"
cluster down >/dev/null

# The others still have everything, and say so.
"$synod" log --config "$config" --id 1 --verify >/dev/null
"$synod" log --config "$config" --id 3 --verify >/dev/null

# What is not a journal, or another replica's, is refused in one line.
cp "$data/1.journal" "$data/2.journal"
complains 1 'replica' "$synodd" --config "$config" --id 2
head -c 1000000 /dev/urandom >"$data/2.journal"
complains 1 '2.journal' "$synodd" --config "$config" --id 2
rm "$data/2.journal"
complains 1 'format' "$synodd" --config "$config" --id 2
