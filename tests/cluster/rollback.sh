#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# An older copy of a journal does not vote (I12): it is refused by whoever knows of a later life,
# however often it is started and whoever has restarted meanwhile; `synod recover` heals it.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

refused() { # how often by now
	local line='life 1, but the cluster has seen incarnation 1 life 2' i
	for ((i = 0; i < 20; i++)); do # the process before it may take a while to go
		cluster restart 3 >/dev/null 2>&1 || true
		until_over 3
		sleep 0.5
		(($(grep -c "$line" "$data/3.log") >= $1)) && return
	done
	fail "replica 3 was not refused, or not with the line, the $1. time"
}

cluster up --size 256M >/dev/null
make_text 2000000 >"$data/text"
"$synod" submit --config "$config" --timeout 20 < <(paced "$data/text") \
	>"$data/positions" 2>"$data/errors" &
load=$!
until_stands 3 votes
sleep 0.3
cluster kill 3
cp "$data/3.journal" "$data/copy"
cluster restart 3 >/dev/null
until_stands 3 votes
sleep 0.3

# The copy comes back.
cluster kill 3
mv "$data/3.journal" "$data/latest"
cp "$data/copy" "$data/3.journal"
refused 1
refused 2
before=$(wc -l <"$data/positions")
for id in 1 2; do
	cluster kill "$id"
	cluster restart "$id" >/dev/null
	until_stands "$id" votes
done
refused 3
"$synod" status --config "$config" --until leader --quiet
sleep 1
((before < $(wc -l <"$data/positions"))) || fail 'the others did not go on'

# The latest is no older copy of itself; and a new incarnation needs no --force over an older one.
cp "$data/latest" "$data/3.journal"
cluster restart 3 >/dev/null
until_stands 3 votes
cluster kill 3
cp "$data/copy" "$data/3.journal"
"$synod" recover --config "$config" --id 3 >/dev/null || fail 'recover refused an older copy'
cluster restart 3 >/dev/null
until_stands 3 votes

kill -TERM "$load" 2>/dev/null || fail "submit ended by itself: $(cat "$data/errors")"
wait "$load" || true
grep -v '^-' "$data/positions" >"$data/acknowledged" || true
lines=$(wc -l <"$data/acknowledged")
echo "$lines acknowledged in all"
((lines > 1000)) || fail "only $lines were acknowledged: $(cat "$data/errors")"
seq "$lines" | cmp - "$data/acknowledged" || fail "positions are not 1 to $lines"
verified
