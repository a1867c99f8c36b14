#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A disk too small for the journal: `synod format` says so in one line and leaves nothing behind.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

# A disk of 24 MiB, in a mount namespace that ends with the test.
if [[ -z ${SYNOD_TEST_INSIDE:-} ]]; then
	flags=(-m)
	((EUID == 0)) || flags=(-r -m)
	unshare "${flags[@]}" true 2>/dev/null || skip 'no mount namespace to be had'
	SYNOD_TEST_INSIDE=1 unshare "${flags[@]}" "$0"
	exit
fi
mkdir "$data/disk"
mount -t tmpfs -o size=24m none "$data/disk" || skip 'a small disk cannot be mounted'

"$synod" config init --data "$data/disk" --size 64M >/dev/null
complains 1 'disk|space' "$synod" format --config "$data/disk/cluster.ini" --id 1
cat "$data/complaint"
[[ ! -e $data/disk/1.journal ]] || fail 'half a journal was left behind'
