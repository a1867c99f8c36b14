#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Debian's own python, as bench/run: python3-matplotlib belongs to that one.
"""bench/run measures everything it says, in the words that its readers expect.

    test_run.py BENCH_RUN BUILD

The quick mode: one round of a second, 64 bytes, no peers. How fast it was is not looked at, and a
noisy machine is no failure. Exit 77 where a tool is missing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

KEYS = ('status', 'reasons', 'machine', 'commit', 'durability', 'authentication', 'poll', 'cores',
        'sizes')
FIGURES = ('ops_per_s', 'disk_share', 'fio_bytes_per_s', 'p50_one_us', 'fio_p50_one_us',
           'packet_rtt_us', 'latency_ratio', 'p99_half_us', 'fio_p99_half_us', 'p99_ratio',
           'cpu_us_per_command', 'batch_commands', 'write_bytes', 'write_depth')
# What a machine that others use may bring. Anything else is a bench that does not work.
FORGIVEN = ('noisy machine', 'generator lag', 'the leader changed', 'unknown', 'refused or failed')
WRONG = (('--sizes', 'many'), ('--sizes', '0'), ('--peers', 'nobody'), ('--seconds', '0'),
         ('--seconds', 'x'), ('--durability', 'some'), ('--json', '/'), ('--bogus',),
         ('--build', '/nonexistent'))


def check(holds, what):
    if not holds:
        print(f'failed: {what}')
        sys.exit(1)


def skip_where_missing():
    for tool in ('fio', 'dpdk-testpmd', 'cyclictest'):
        if not shutil.which(tool):
            print(f'{tool} is not installed: tools/deps bench')
            sys.exit(77)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print('python3-matplotlib is not installed: tools/deps bench')
        sys.exit(77)


def wrong_arguments_get_one_line(bench, build):
    for words in WRONG:
        done = subprocess.run([bench, '--build', build, *words], capture_output=True, text=True,
                              check=False)
        lines = done.stderr.splitlines()
        check(done.returncode == 2 and len(lines) == 1,
              f'{words}: exit {done.returncode}, {len(lines)} lines: {done.stderr!r}')
        check(lines[0].startswith('bench/run: ') and '--help' in lines[0], lines[0])


def everything_is_measured(result):
    check(all(key in result for key in KEYS), f'of {KEYS} there are {sorted(result)}')
    check(result['status'] in ('valid', 'invalid'), result['status'])
    check((result['status'] == 'valid') == (result['reasons'] == []), result['reasons'])
    for reason in result['reasons']:
        check(any(words in reason for words in FORGIVEN), f'reason: {reason}')
    check(list(result['sizes']) == ['64'], list(result['sizes']))
    row = result['sizes']['64']
    for name in FIGURES:
        check(isinstance(row[name], (int, float)) and row[name] > 0, f'{name} is {row[name]}')
    check(row['peers'] == {}, 'peers without being asked')
    check(row['curve'] and row['curve'][0]['goodput_per_s'] > 0, f'curve {row["curve"]}')
    check(row['overload']['goodput_ratio'] > 0, f'overload {row["overload"]}')
    ratio = row['p50_one_us'] / (row['fio_p50_one_us'] + 2 * row['packet_rtt_us'])
    check(abs(row['latency_ratio'] / ratio - 1) < 0.01, 'latency_ratio is another one')
    check(result['testpmd_packets_per_s']['64'] > 0, 'testpmd')


def report_is_one_page(directory):
    with open(os.path.join(directory, 'index.html'), encoding='utf-8') as file:
        page = file.read()
    for name in ('curve', 'percentiles', 'cpu', 'comparison'):
        with open(os.path.join(directory, f'{name}.png'), 'rb') as file:
            check(file.read(8) == b'\x89PNG\r\n\x1a\n', f'{name}.png is none')
    check(page.count('src="data:image/png;base64,') == 4, 'images are not in the page')
    check('src="http' not in page and 'href=' not in page, 'the page needs something else')


def main(bench, build):
    skip_where_missing()
    wrong_arguments_get_one_line(bench, build)
    with tempfile.TemporaryDirectory(dir=build, prefix='bench-test.') as directory:
        file = os.path.join(directory, 'result.json')
        done = subprocess.run([bench, '--quick', '--build', build, '--data', directory, '--json',
                               file, '--report', os.path.join(directory, 'report')],
                              capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        check(done.returncode == 0, f'bench/run: exit {done.returncode}')
        with open(file, encoding='utf-8') as text:
            everything_is_measured(json.load(text))
        report_is_one_page(os.path.join(directory, 'report'))
        left = sorted(os.listdir(directory))
        check(left == ['report', 'result.json'], f'it left {left} behind')


if __name__ == '__main__':
    main(*sys.argv[1:])
