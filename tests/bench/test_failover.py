#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench/failover.py sees how long nothing was acknowledged, and when throughput was back.

    test_failover.py FAILOVER
"""

import json
import os
import subprocess
import sys
import tempfile

MS = 1_000_000
STEADY = [100] * 200  # a second of 5 ms
# What the new leader says of its rise; a step of an earlier one is left out.
STATUS = {'replicas': [{'replica': 1, 'answered': False},
                       {'replica': 2, 'role': 'leader',
                        'rise': {'lost_ns': 1013 * MS, 'canvassed_ns': 5 * MS,
                                 'led_ns': int(1017.5 * MS)}}]}


def result(acked, *gaps):
    """Of a load whose buckets begin at 10 ms; gaps in ms from there."""
    return {'kill_ns': 1011 * MS,
            'gaps': [{'begin_ns': int((10 + begin) * MS), 'end_ns': int((10 + end) * MS)}
                     for begin, end in gaps],
            'buckets': {'begin_ns': 10 * MS, 'bucket_ns': 5 * MS, 'acked': acked}}


def main(failover):
    cases = (
        # acknowledgements, silences, words more, exit status, what is printed
        # The leader dies a millisecond after the last acknowledgement. The backlog comes with the
        # first new one: back at the end of that 5 ms.
        (STEADY + [0, 0, 300] + STEADY, [(1000, 1012)], (), 0,
         ('acknowledgement: median 11.0 ms', 'back to 90%: median 14.0')),
        # It trickles first, and falters once more.
        (STEADY + [0, 0, 20, 40, 95, 10, 10, 10] + [90] * 200, [(1000, 1012)], (), 0,
         ('median 11.0 ms', 'median 44.0 ms')),
        # Other silences, before and long after, are not of the leader's death.
        (STEADY + [0, 0, 300] + STEADY, [(400, 506), (1000, 1012), (1700, 1799)],
         ('--name', 'kill 1', '--kill', str(1011 * MS)), 0,
         ('kill 1: first acknowledgement 11.0 ms, throughput 14.0 ms (lost 2.0, led 6.5)',)),
        # Half of what it was is not enough.
        (STEADY + [0, 0, 50] + [50] * 200, [(1000, 1012)], (), 1, ('; 1 never',)),
        # No silence worth a line.
        (STEADY + STEADY, [], (), 0, ('acknowledgement: median 0.0 ms',)),
        # It was killed when the load was over: no figure, and above all not zero.
        (STEADY, [(400, 506)], (), 1, ('nothing was measured',)),
    )
    for acked, gaps, words, status, texts in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'load.json')
            with open(path, 'w', encoding='utf-8') as file:
                json.dump(result(acked, *gaps), file)
            if words:
                words += ('--status', os.path.join(folder, 'status.json'))
                with open(words[-1], 'w', encoding='utf-8') as file:
                    json.dump(STATUS, file)
            done = subprocess.run([sys.executable, failover, *words, path], text=True,
                                  capture_output=True, check=False)
        assert done.returncode == status, (done.returncode, status, done.stdout, done.stderr)
        for text in texts:
            assert text in done.stdout + done.stderr, (text, done.stdout, done.stderr)


main(sys.argv[1])
