#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# synod-linear says by its exit status what a history is: 0 linearizable, 1 not, 2 cannot be judged.
# usage: exit.sh SYNOD-LINEAR
set -euo pipefail
linear=$1

# expect STATUS TEXT: the history on standard input ends so and the first line holds the text.
expect() {
	local status=0 said
	said=$("$linear" - 2>&1) || status=$?
	if [ "$status" != "$1" ] || [[ "$(head -n 1 <<<"$said")" != *"$2"* ]]; then
		printf 'expected exit status %s and "%s", got %s:\n%s\n' "$1" "$2" "$status" "$said"
		exit 1
	fi
}

put='{"client":1,"operation":"put","key":"k","value":"a","invoked":10,"answered":20,"outcome":"OK"}'
get='{"operation":"get","key":"k","value":null,"invoked":30,"answered":40,"outcome":"NOT_FOUND"}'

printf '%s\n' "$put" | expect 0 linearizable
: | expect 0 linearizable
printf '%s\n' "$put" "$get" | expect 1 'not linearizable: key k, from 10 to 40 ns'
printf '%s\n' "$put" "${get/\}/,\"read\":\"stale\"\}}" | expect 0 linearizable
printf '%s\n' "$put" 'nonsense' | expect 2 'line 2: not JSON'
status=0
"$linear" /nowhere/at/all 2>/dev/null || status=$?
[ "$status" = 2 ]
