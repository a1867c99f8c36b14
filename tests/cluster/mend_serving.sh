#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A replica whose journal is corrupt repairs its faulty slots from the others while these serve: a
# line a slot, counted, and then it is a replica like any. What nobody can give it, it says.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

# Three bytes, far from each other, in the first MiB of its log.
flip() { # ID
	flip_in_log "$1" 134471 534471 934471
}

repairs() { # ID
	grep -Ec '^synodd [0-9]+: slot [0-9]+ repaired from replica [0-9]+$' "$data/$1.log" || true
}

declare -a pids
cluster up --size 64M >/dev/null
make_text 20000 >"$data/text"
"$synod" submit --config "$config" <"$data/text" >/dev/null
"$synod" status --config "$config" --until equal --timeout 20 --quiet
cluster kill 2 >/dev/null
until_over 2
flip 2
faulty=$(awk '/^CORRUPT/ { sub(",", "", $NF); print $(NF - 2), $NF }' "$data/log.2")
[[ $faulty ]] || fail "nothing is corrupt: $(cat "$data/log.2")"

# While the others take commands.
make_text 30000 | tail -n 10000 >"$data/more"
"$synod" submit --config "$config" <"$data/more" >/dev/null &
submit=$!
: >"$data/2.log"
cluster restart 2 >/dev/null
until_said 2 'the journal is mended'
until_stands 2 votes
wait "$submit" || fail "commands were refused while a journal was mended"

grep -Eq 'slots of the journal are corrupt: it votes for nothing' "$data/2.log" ||
	fail "it does not say that its journal is corrupt: $(cat "$data/2.log")"
while read -r first last; do
	for ((slot = first; slot <= last; slot++)); do
		grep -Eq "^synodd 2: slot $slot repaired from replica [13]$" "$data/2.log" ||
			fail "slot $slot is not said to be repaired: $(head -5 "$data/2.log")"
	done
done <<<"$faulty"
said=$(repairs 2)
[[ $(status_of 2 slots_faulty) == "$said" && $(status_of 2 slots_repaired) == "$said" ]] ||
	fail "$said are said to be repaired, $(status_of 2 slots_repaired) are counted"
[[ $(status_of 1 slots_faulty) == 0 ]] || fail "replica 1 counts faulty slots"

# The journal says all of it again, by itself, and to whoever asks; and stays so.
cat "$data/text" "$data/more" >"$data/all"
tails_equal "$data/all"
verified >/dev/null
"$synod" log --config "$config" --id 2 --verify >"$data/log"
grep -q 'mended: every slot stands' "$data/log" || fail "synod log: $(cat "$data/log")"

# Another one, which waits while it is alone. What was mended is not mended again.
flip 1
: >"$data/1.log"
: >"$data/2.log"
cluster restart 1 >/dev/null
until_said 1 'it votes for nothing'
until_stands 1 mending
[[ $(repairs 1) == 0 ]] || fail "who gave it that?"
cluster up >/dev/null
until_said 1 'the journal is mended'
"$synod" status --config "$config" --until equal --timeout 20 --quiet
[[ $(repairs 2) == 0 ]] || fail "what is mended is mended again"
cluster down >/dev/null

# One slot that is corrupt everywhere: each says which, and none serves.
for id in 1 2 3; do
	"$synod" log --config "$config" --id "$id" --verify --groups >"$data/groups"
	sed -n 's/^group .* at byte \([0-9]*\).* slots \([0-9]*\) to \([0-9]*\)[,;].*/\1 \2 \3/p' \
		"$data/groups" | awk '$2 <= 200 && 200 <= $3 { print $1 }' >"$data/places"
	[[ -s $data/places ]] || fail "slot 200 is not in journal $id: $(head -3 "$data/groups")"
	while read -r at; do
		printf '\252' | dd of="$data/$id.journal" bs=1 seek=$((at + 600)) conv=notrunc \
			status=none
	done <"$data/places"
done
for id in 1 2 3; do
	"$synodd" --config "$config" --id "$id" 2>"$data/$id.log" &
	pids[id]=$!
done
for id in 1 2 3; do
	status=0
	wait "${pids[id]}" || status=$?
	[[ $status == 1 ]] || fail "replica $id exits $status: $(cat "$data/$id.log")"
	grep -Eq 'stopped: .*corrupt: slot 200, which all other replicas have corrupt too' \
		"$data/$id.log" || fail "replica $id does not say which: $(cat "$data/$id.log")"
done
