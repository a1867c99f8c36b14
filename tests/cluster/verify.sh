#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# `synod verify` catches what it is for: an acknowledgement of a command that is in no journal, one
# at another position, a journal that lacks what the others have; and is content with a sound run.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

refused() { # PATTERN ACKED
	local status=0
	"$synod" verify --config "$config" --acked "$2" >"$data/out" 2>&1 || status=$?
	[[ $status == 1 ]] || fail "exit $status, expected '$1'"
	grep -Eq "NOT VERIFIED: .*$1" "$data/out" || fail "not said '$1': $(cat "$data/out")"
}

# So little that no snapshot is taken: all of it can be seen.
cluster up --size 1G >/dev/null
"$SYNOD_BUILD/bench/synod-load" --config "$config" --seconds 1 --rate 100000 \
	--acked "$data/acked" >/dev/null
verified >/dev/null
"$synod" verify --config "$config" --acked "$data/acked"

# A record (session, number, position; 24 bytes) of a command that nobody ever sent.
cp "$data/acked" "$data/more"
printf '\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0' >>"$data/more"
refused '1 acknowledged commands are in no journal' "$data/more"

# The second record with the first one's position.
{
	head -c 40 "$data/acked"
	head -c 24 "$data/acked" | tail -c 8
} >"$data/moved"
refused '1 acknowledged commands are not at their position' "$data/moved"

# A journal that was made anew.
"$synod" format --config "$config" --id 3 --size 16M --force >/dev/null
refused 'replica 3 lacks' "$data/acked"
