# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# For the tests of this folder: a cluster in a directory of its own beside the build (where the disk
# is real), and its end by tools/cluster, which stops only what it started. Sourced.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export SYNOD_BUILD=${SYNOD_BUILD:-$root/build}
data=$(mktemp -d "$SYNOD_BUILD/cluster-test.XXXXXX")
config=$data/cluster.ini
synod=$SYNOD_BUILD/tools/synod
export synodd=$SYNOD_BUILD/tools/synodd

cluster() { # VERB [WORDS]
	local verb=$1
	shift
	if [[ $verb == exec ]]; then
		"$root/tools/cluster" exec --data "$data" "$@"
	else
		"$root/tools/cluster" "$verb" "$@" --data "$data" --no-build
	fi
}

clean_up() {
	local status=$?
	trap - EXIT
	if [[ -f $config ]]; then
		cluster down >/dev/null 2>&1 || true
		if ((status != 0 && status != 77)); then
			tail -n 5 "$data"/*.log >&2 || true
		fi
	fi
	umount "$data/disk" 2>/dev/null || true # of full_disk.sh
	rm -rf "$data"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

# Runs a command that must fail with this status and exactly one line of complaint, which must
# match.
complains() { # STATUS PATTERN CMD…
	local want=$1 pattern=$2 status=0
	shift 2
	"$@" >"$data/out" 2>"$data/complaint" </dev/null || status=$?
	[[ $status == "$want" ]] || fail "'$*' exits $status, not $want: $(cat "$data/complaint")"
	[[ $(wc -l <"$data/complaint") == 1 ]] ||
		fail "'$*' complains in $(wc -l <"$data/complaint") lines: $(cat "$data/complaint")"
	grep -Eq -- "$pattern" "$data/complaint" ||
		fail "'$*' does not say '$pattern': $(cat "$data/complaint")"
}

# One word of a replica's status; nothing if it does not answer.
status_of() { # REPLICA WORD
	"$synod" status --config "$config" --replica "$1" --json 2>/dev/null |
		sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1
}

until_stands() { # REPLICA WORD
	local i
	for ((i = 0; i < 200; i++)); do
		[[ $(status_of "$1" standing) == "$2" ]] && return
		sleep 0.1
	done
	fail "replica $1 does not come to '$2': $("$synod" status --config "$config" 2>&1)"
}

# Until it answers no more.
until_over() { # REPLICA
	local i
	for ((i = 0; i < 100; i++)); do
		[[ $(status_of "$1" standing) ]] || return 0
		sleep 0.1
	done
	fail "replica $1 did not stop"
}

# Of a replica's log, from when its file was emptied last.
until_said() { # REPLICA PATTERN
	local i
	for ((i = 0; i < 200; i++)); do
		! grep -Eq "$2" "$data/$1.log" || return 0
		sleep 0.1
	done
	fail "replica $1 does not say '$2': $(tail -3 "$data/$1.log")"
}

# Bytes of a stopped replica's journal, at offsets from the beginning of its log. What `synod log`
# says of it then is in log.REPLICA.
flip_in_log() { # REPLICA OFFSET…
	local id=$1 log_begin at
	shift
	log_begin=$("$synod" log --config "$config" --id "$id" --json |
		sed -n 's/.*"log_begin": \([0-9]*\).*/\1/p')
	for at in "$@"; do
		printf '\252' | dd of="$data/$id.journal" bs=1 seek=$((log_begin + at)) \
			conv=notrunc status=none
	done
	if "$synod" log --config "$config" --id "$id" --verify >"$data/log.$id" 2>/dev/null; then
		fail "the bytes that were flipped are not missed"
	fi
}

# A text of that many lines, no two alike.
make_text() { # LINES
	awk -v lines="$1" 'BEGIN {
		for (i = 1; i <= lines; i++)
			printf "%d the quick brown fox%*s over the lazy dog\n", i, i % 61, "."
	}'
}

# Lines of a text at a pace at which a journal of 256M keeps them all for minutes.
paced() { # FILE
	awk '{ print } NR % 2000 == 0 { fflush(); system("sleep 0.2") }' "$1"
}

# Every replica's sequence is the file.
tails_equal() { # FILE
	local id
	for id in 1 2 3; do
		"$synod" tail --config "$config" --replica "$id" --from 1 --count "$(wc -l <"$1")" \
			--timeout 20 >"$data/tail.$id"
		cmp "$1" "$data/tail.$id" || fail "replica $id's sequence is not the file"
	done
}

verified() {
	"$synod" status --config "$config" --until equal --timeout 20 --quiet
	cluster down
	! grep -HE 'PANIC|assert' "$data"/*.log || fail 'a replica fell over'
	"$synod" verify --config "$config"
}
