#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/compare.py sees what is worse in each kind of result, and what is no result.

    test_compare.py COMPARE
"""

import json
import os
import subprocess
import sys
import tempfile

MICRO = {'benchmarks': [{'name': 'a', 'run_type': 'iteration', 'cpu_time': 10.0, 'time_unit': 'ns'},
                        {'name': 'b', 'run_type': 'iteration', 'cpu_time': 2.0, 'time_unit': 'us'}]}
COUNTS = {'build': 'x', 'cases': [{'case': 8, 'instructions': {'leader': {'order': 100.0}}}]}
RUN = {'status': 'valid', 'reasons': [],
       'sizes': {'64': {'ops_per_s': 1000.0, 'p50_one_us': 100.0, 'disk_share': None}}}


def changed(result, old, new):
    return json.loads(json.dumps(result).replace(old, new))


def main(compare):
    cases = (
        # what is old, what is new, words more, exit status, what is printed
        (MICRO, MICRO, ('--worse', '5'), 0, 'a, ns'),
        (MICRO, changed(MICRO, '10.0', '10.6'), ('--worse', '5'), 1, '+6.0 %'),
        (MICRO, changed(MICRO, '10.0', '10.6'), (), 0, '+6.0 %'),
        (MICRO, changed(MICRO, '10.0', '5.0'), ('--worse', '5'), 0, '-50.0 %'),
        (MICRO, changed(MICRO, '2.0', '3.0'), ('--worse', '5'), 1, '3,000.00'),
        (COUNTS, changed(COUNTS, '100.0', '106.0'), ('--worse', '5'), 1, 'leader, order'),
        (RUN, changed(RUN, '1000.0', '900.0'), ('--worse', '5'), 1, 'ops_per_s'),
        (RUN, changed(RUN, '1000.0', '1900.0'), ('--worse', '5'), 0, '+90.0 %'),
        (RUN, changed(RUN, '100.0', '120.0'), ('--worse', '5'), 1, 'p50_one_us'),
        (RUN, MICRO, (), 2, ''),
        ({'other': 1}, MICRO, (), 2, ''),
        ([1], MICRO, (), 2, ''),
        (MICRO, MICRO, ('--bogus',), 2, ''),
    )
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, name) for name in ('old.json', 'new.json')]
        for old, new, words, status, printed in cases:
            for path, result in zip(paths, (old, new)):
                with open(path, 'w', encoding='utf-8') as file:
                    json.dump(result, file)
            done = subprocess.run([sys.executable, compare, *paths, *words], capture_output=True,
                                  text=True, check=False)
            if done.returncode != status or printed not in done.stdout:
                print(f'failed: {old} {new} {words}: exit {done.returncode}\n{done.stdout}'
                      f'{done.stderr}')
                return 1
            if status == 2 and len(done.stderr.splitlines()) != 1:
                print(f'failed: not one line: {done.stderr}')
                return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
