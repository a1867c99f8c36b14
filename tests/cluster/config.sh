#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Wrong configuration files and wrong arguments: one line that says where, what and the remedy,
# and an exit status; from every program.

# shellcheck source=tests/cluster/common.sh
source "$(dirname "$0")/common.sh"

bad=$data/bad.ini
good=$'[cluster]\nid = 0x1234\nreplicas = 1\n[replica 1]\njournal = 1.journal\njournal_size = 16M\n'

wrong() { # LINE PATTERN TEXT
	printf '%s' "$3" >"$bad"
	complains 1 "^$bad:$1: .*$2" "$synod" config check "$bad"
	complains 1 "$bad:$1: .*$2" "$synodd" --config "$bad" --id 1
	complains 1 "^$bad:$1: .*$2" "$synod" submit --config "$bad"
}

wrong 7 "unknown key 'speed'" "${good}speed = 9"$'\n'
wrong 1 'unknown section \[clutser\]' $'[clutser]\nid = 1\n'
wrong 7 'twice' "${good}journal = x"$'\n'
wrong 2 'other than zero' "${good/0x1234/zero}"
wrong 3 'an even number adds no safety' "${good/replicas = 1/replicas = 4}"
wrong 6 'is missing' "${good/replicas = 1/replicas = 3}"
wrong 5 'one of|missing|empty' "${good/1.journal/}"
wrong 1 'neither|longer' "$(head -c 3000 /dev/urandom | base64 -w0)"
complains 1 'No such file' "$synod" config check "$data/nowhere.ini"
complains 1 'No such file' "$synodd" --config "$data/nowhere.ini" --id 1
complains 1 'directory' "$synod" config check "$data"

printf '%s' "$good" >"$bad"
"$synod" config check "$bad"
"$synod" config print "$bad" >"$data/printed.ini"
"$synod" config print "$data/printed.ini" | cmp - "$data/printed.ini" || fail 'print is not stable'

complains 1 'format' "$synodd" --config "$bad" --id 1
"$synod" format --config "$bad" --id 1 >/dev/null
complains 1 'exists' "$synod" format --config "$bad" --id 1
complains 2 'replicas 1 to 1' "$synod" format --config "$bad" --id 2
complains 2 'missing' "$synod" tail
complains 2 'not a number' "$synod" tail --config "$bad" --from x
complains 2 'unknown option' "$synod" status --config "$bad" --nonsense
complains 2 'no command' "$synod" nonsense
complains 2 'no command' "$synod"
complains 1 'no replica leads' "$synod" status --config "$bad" --until leader --timeout 1
