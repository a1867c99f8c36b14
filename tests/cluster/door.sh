#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Random and malformed datagrams at the kernel-UDP door while replicas serve: each is dropped and
# counted, nobody falls over, and the sequence is what was submitted.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

flags=(-n)
((EUID == 0)) || flags=(-r -n)
unshare "${flags[@]}" true 2>/dev/null || skip 'no network namespace to be had'
for tool in ip ethtool nsenter python3; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done
cluster up --door --size 128M >/dev/null || skip 'doors cannot be made here'

make_text 30000 >"$data/text"
cluster exec python3 "$root/tests/cluster/throw.py" 10.91.0.1 10.91.0.2 10.91.0.3 7400 12 \
	"$(sed -n 's/^id = //p' "$config")" &
thrower=$!
cluster exec "$synod" submit --udp --config "$config" <"$data/text" >"$data/positions"
seq 30000 | cmp - "$data/positions" || fail 'positions are not 1 to 30000'
wait "$thrower" || fail 'the thrower failed'

for id in 1 2 3; do
	cluster exec "$synod" tail --udp --config "$config" --replica "$id" --count 30000 \
		>"$data/tail"
	cmp "$data/text" "$data/tail" || fail "replica $id's sequence is not the file"
done
cluster exec "$synod" status --config "$config" --json >"$data/status"
for counter in drop_magic drop_short drop_checksum drop_version drop_cluster; do
	grep -Eq "\"$counter\": [1-9]" "$data/status" || fail "nobody counted $counter"
done
cluster exec "$synod" status --config "$config" --until equal --quiet
cluster down
"$synod" verify --config "$config"
