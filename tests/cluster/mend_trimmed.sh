#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A replica whose journal is corrupt in slots that nobody's log holds any more: the others went on
# without it until their logs were written over. It takes a snapshot in their place, and votes.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

load=$SYNOD_BUILD/bench/synod-load

cluster up --size 16M >/dev/null
make_text 20000 >"$data/text"
"$synod" submit --config "$config" <"$data/text" >/dev/null
"$synod" status --config "$config" --until equal --timeout 20 --quiet
cluster kill 3 >/dev/null
until_over 3
flip_in_log 3 134471 534471

echo "the others go on without it"
"$load" --config "$config" --seconds 5 --payload 1000 --outstanding 256 >"$data/load.out" 2>&1 ||
	fail "the load failed: $(tail -1 "$data/load.out")"
complains 1 'no longer has position 1: its log begins at [0-9]+' \
	"$synod" tail --config "$config" --replica 1 --from 1 --count 1

echo "it comes back"
: >"$data/3.log"
cluster restart 3 >/dev/null
until_said 3 'slots of the journal are corrupt: it votes for nothing'
until_said 3 'the journal is mended'
grep -Eq '^synodd 3: [0-9]+ of them, .*, by a snapshot of replica [12]$' "$data/3.log" ||
	fail "it does not say what a snapshot stands for: $(cat "$data/3.log")"
"$synod" status --config "$config" --until equal --timeout 20 --quiet
until_stands 3 votes
faulty=$(status_of 3 slots_faulty)
((faulty > 0)) || fail 'no slot was faulty'
[[ $(status_of 3 slots_repaired) == "$faulty" ]] ||
	fail "$faulty slots were faulty, $(status_of 3 slots_repaired) are repaired"
sed 's/^/  /' "$data/3.log"

# It counts again: with it, one of the others may be away.
cluster kill 1 >/dev/null
make_text 21000 | tail -n 1000 >"$data/more"
"$synod" submit --config "$config" <"$data/more" >/dev/null
cluster restart 1 >/dev/null
"$synod" status --config "$config" --until equal --timeout 20 --quiet

# And after a start of its own, with nothing to mend.
: >"$data/3.log"
cluster restart 3 >/dev/null
until_stands 3 votes
! grep -q 'corrupt' "$data/3.log" || fail "it is corrupt again: $(cat "$data/3.log")"
"$synod" status --config "$config" --until equal --timeout 20 --quiet
verified >/dev/null
