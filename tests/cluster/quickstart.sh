#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The first command of the README, as a new user runs it, for two seconds: it ends well, what was
# acknowledged is read back, nothing is lost or there twice.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
result=$(mktemp "$SYNOD_BUILD/quickstart-test.XXXXXX")
trap 'rm -f "$result"' EXIT
"$root/tools/quickstart" --no-install --seconds 2 --json "$result"
python3 - "$result" <<'PYTHON'
import json, sys
result = json.load(open(sys.argv[1]))
wrong = [name for name, value in (("verified", True), ("lost", 0), ("duplicated", 0))
         if result[name] != value]
if result["status"] == "failed" or wrong or not result["acked"] > 0:
    sys.exit(f"FAIL: {wrong or result['status']}: {result}")
PYTHON
