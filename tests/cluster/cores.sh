#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Any mapping of stages to cores serves alike: all on one, or spread, with rings crossed both ways.
# (More cores than the machine has cannot be tried on it.)

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

(($(nproc) >= 2)) || skip "one core: there is nothing to map"

"$synod" config init --data "$data" --size 64M >/dev/null
sed -i '/^cores/d' "$config"
sed -i 's/^\[replica 1\]$/&\ncores = ingress@0 order@1 journal@0 apply@1 egress@0/
	s/^\[replica 2\]$/&\ncores = ingress@1 order@1 journal@0 apply@0 egress@0/
	s/^\[replica 3\]$/&\ncores = 1/' "$config"
cluster up --size 64M >/dev/null
grep -q "^cores = ingress@1" "$config" || fail "the mapping was not kept"
make_text 20000 >"$data/text"
"$synod" submit --config "$config" <"$data/text" >/dev/null
tails_equal "$data/text"
cluster kill 1
cluster restart 1
"$synod" status --config "$config" --until equal --quiet
tails_equal "$data/text"
verified
