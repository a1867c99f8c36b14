#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A second of the libraft peer: the result is valid, the writes were durable by the members' own
# system calls, and nothing is left; the same when it is told to end in the middle.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
data=$(mktemp -d "$SYNOD_BUILD/peers.XXXXXX")
trap 'rm -rf "$data"' EXIT
mkdir "$data/members"

fail() {
	echo "$*"
	exit 1
}

run() { # SECONDS
	exec "$root/bench/peers/libraft/run" --payload 64 --outstanding 16 --seconds "$1" \
		--data "$data/members" --json "$data/result.json"
}

status=0
(run 1) >"$data/log" 2>&1 || status=$?
if ((status == 77)); then
	tail -n 1 "$data/log"
	exit 77
fi
((status == 0)) || fail "exit $status: $(cat "$data/log")"
python3 - "$data/result.json" <<'PYTHON' || fail "$(cat "$data/result.json")"
import json, sys
result = json.load(open(sys.argv[1]))
assert result['status'] == 'valid', result['reasons']
assert result['ops_per_s'] > 0 and 0 < result['p50_us'] <= result['p99_us']
assert (result['name'], result['outstanding'], result['payload_bytes'], result['members']) \
    == ('libraft', 16, 64, 3)
# A group of at most 16 writes is synced by each member: by two at least before it is answered.
traced = result['traced']
if traced:
    assert sorted(traced['syncs_by_member'])[1] * 16 >= traced['writes'], traced
else:
    assert result['syncs_reason']
PYTHON
[[ -z $(ls "$data/members") ]] || fail 'data was left'

(run 60) >"$data/log" 2>&1 &
pid=$!
for ((i = 0; i < 200; i++)); do
	mapfile -t members < <(pgrep -P "$pid" -f synod-peer-libraft-member)
	((${#members[@]} == 3)) && break
	sleep 0.05
done
((${#members[@]} == 3)) || fail "three members did not start: $(cat "$data/log")"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
((status == 143)) || fail "exit $status after SIGTERM: $(cat "$data/log")"
for member in "${members[@]}"; do
	! kill -0 "$member" 2>/dev/null || fail "member $member still runs"
done
[[ -z $(ls "$data/members") ]] || fail 'data was left after SIGTERM'
