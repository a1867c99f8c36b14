#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Half a snapshot: a replica that lags is killed with -9 while it receives one of some 15 MB, and
# started again. It goes on where it was, and is sent only what was missing.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

load=$SYNOD_BUILD/bench/synod-load
piece=8192
step=$((4 * 1024 * 1024)) # SYNOD_PARTIAL_STEP

# A counter of replica 3; 0 if it does not answer.
counter() { # NAME
	local value
	value=$(status_of 3 "$1")
	echo "${value:-0}"
}

# Of replica 3's journal, while it is down.
of_journal() { # NAME
	"$synod" log --config "$config" --id 3 --verify --json |
		sed -n "s/^  \"$1\": \([^,]*\),\{0,1\}$/\1/p"
}

# Values of many keys.
drive() { # SECONDS FILE
	"$load" --config "$config" --seconds "$1" --workload kv --keys 15000 --payload 1000 \
		--mix 5,90,5,0 --outstanding 256 --deadline-ms 60000 --acked "$2" >"$2.out" 2>&1 ||
		fail "the load failed: $(tail -1 "$2.out")"
}

# The pace of a snapshot is four pieces each sixty-fourth of retransmit_ms: 5 MB/s here, and a
# second is long enough to be in the middle of it.
"$synod" config init --data "$data" --machine kv --size 16M >/dev/null
printf '\n[timing]\nelection_ms = 1200\nheartbeat_ms = 30\nretransmit_ms = 400\n' >>"$config"
cluster up >/dev/null
drive 1 "$data/acked.1"
cluster kill 3
echo "replica 3 is left behind"
drive 5 "$data/acked.2"
sleep 0.5 # a snapshot that is due is taken now, and no other before the end

echo "it comes back, and is killed while it receives a snapshot"
cluster restart 3
for ((i = 0; i < 150; i++)); do
	(($(counter pieces_taken) * piece < step + step / 4)) || break
	sleep 0.05
done
cluster kill 3
slot=$(of_journal partial_slot)
received=$(of_journal partial_received)
total=$(of_journal partial_total)
echo "  of the snapshot of slot $slot $received bytes of $total are on its disk"
((received >= step && received < total)) || fail 'it was not in the middle of a snapshot'
[[ $(of_journal partial_verified) == true ]] || fail 'what is on its disk is not what was sent'
"$synod" log --config "$config" --id 3 --verify >"$data/log" 2>/dev/null
grep -q "slot $slot, from a peer: $received of $total bytes at .*: verified" "$data/log" ||
	fail "synod log does not say so: $(cat "$data/log")"

echo "it goes on"
cluster restart 3
"$synod" status --config "$config" --until equal --timeout 30 --quiet
missing=$(((total - received + piece - 1) / piece))
echo "  $(counter pieces_taken) pieces taken, of $missing that were missing and" \
	"$(((total + piece - 1) / piece)) of the whole"
grep -q "slot $slot is here: goes on at byte $received of $total" "$data/3.log" ||
	fail 'its log does not say that it goes on'
(($(counter snapshots_resumed) == 1)) || fail 'it began anew'
(($(counter snapshots_installed) == 1)) || fail 'it installed no snapshot'
(($(counter pieces_taken) == missing)) || fail 'it was sent other pieces than were missing'
drive 1 "$data/acked.3"
"$synod" status --config "$config" --until equal --timeout 30 --quiet
cluster down
! grep -HE 'PANIC|assert' "$data"/*.log || fail 'a replica fell over'
cat "$data"/acked.[123] >"$data/acked"
"$synod" verify --config "$config" --acked "$data/acked"
