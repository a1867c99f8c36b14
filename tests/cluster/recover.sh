#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A replica that lost its disk does not vote under its old name (I12): a journal formatted again is
# refused by the others, `synod recover` lets it join as a new incarnation, also when it is killed
# in the middle of joining, and what was acknowledged meanwhile is there on all.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

cluster up --size 256M >/dev/null
make_text 2000000 >"$data/text"
"$synod" submit --config "$config" --timeout 20 < <(paced "$data/text") \
	>"$data/positions" 2>"$data/errors" &
load=$!
sleep 1
journal=$data/3.journal

# A journal that is there and whole is not replaced, nor that of a replica that runs.
complains 1 'replica 3 runs' "$synod" recover --config "$config" --id 3
cluster kill 3
complains 1 'is a whole journal' "$synod" recover --config "$config" --id 3

# Wiped, and formatted again: the others remember that this name has voted.
mv "$journal" "$data/lost"
"$synod" format --config "$config" --id 3 >/dev/null
cluster restart 3 >/dev/null || true
until_over 3
grep -q 'life 0, but the cluster has seen incarnation 1 life' "$data/3.log" ||
	fail 'replica 3 was not refused'
grep -q 'synod recover' "$data/3.log" || fail 'no remedy was named'

# Both others must be there to be asked: who else knows what it promised?
cluster kill 2
complains 1 '1 of the other voters answered; 2 must' \
	"$synod" recover --config "$config" --id 3 --timeout 1
cluster restart 2 >/dev/null
"$synod" recover --config "$config" --id 3 >"$data/recovered" || fail 'it was not recovered'
grep -q 'incarnation 2' "$data/recovered" || fail "recover says: $(cat "$data/recovered")"

# Both others have to answer: with one of them away it joins, and does not vote.
follower=$("$synod" status --config "$config" --until leader --print leader)
other=$((3 - follower))
cluster kill "$other"
cluster restart 3 >/dev/null
until_stands 3 joining
cluster kill 3
cluster restart 3 >/dev/null
until_stands 3 joining
sleep 0.5
[[ $(status_of 3 standing) == joining ]] || fail 'it votes, and one has not answered'
cluster restart "$other" >/dev/null
for delay in 0.05 0.1 0.2; do
	sleep "$delay"
	cluster kill 3
	cluster restart 3 >/dev/null
done
until_stands 3 votes
[[ $(status_of 3 incarnation) == 2 ]] || fail 'replica 3 is not of incarnation 2'
acknowledged=$(wc -l <"$data/positions")
echo "joined, $acknowledged acknowledged by then"

# Its vote counts: with one of the others away the two go on.
cluster kill "$other"
sleep 3
((acknowledged < $(wc -l <"$data/positions"))) || fail 'nothing was acknowledged with its vote'
cluster restart "$other" >/dev/null
sleep 1

# The old disk comes back: it is of a former incarnation.
cluster kill 3
cp "$journal" "$data/new"
cp "$data/lost" "$journal"
cluster restart 3 >/dev/null || true
until_over 3
grep -q 'incarnation 1 life [0-9]*, but the cluster has seen incarnation 2' "$data/3.log" ||
	fail 'the former disk was not refused'
cp "$data/new" "$journal"
cluster restart 3 >/dev/null
until_stands 3 votes

kill -TERM "$load" 2>/dev/null || fail "submit ended by itself: $(cat "$data/errors")"
wait "$load" || true
grep -v '^-' "$data/positions" >"$data/acknowledged" || true
lines=$(wc -l <"$data/acknowledged")
echo "$lines acknowledged in all"
seq "$lines" | cmp - "$data/acknowledged" || fail "positions are not 1 to $lines"
head -n "$lines" "$data/text" >"$data/expected"
tails_equal "$data/expected"
verified
