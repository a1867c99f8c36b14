#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two results of the bench beside each other: what became better, what worse.

    bench/compare.py OLD.json NEW.json [--worse PERCENT]

Reads what three programs write, and tells them apart:
    synod-micro --benchmark_format=json     time of each (cpu_time; the median, if repeated)
    bench/instructions --json               instructions a command, by batch, role and stage
    bench/run --json                        the figures of each payload

With --worse, exit status 1 if something is worse by more than that. Without it nothing is judged:
times of a shared machine differ by themselves; give it two runs of one build first, to see by how
much. Exit status 2: not two results of the same kind.
"""

import argparse
import json
import sys

# Of bench/run: which way is better. What is missing here is not compared.
HIGHER = ('ops_per_s', 'disk_share')
LOWER = ('p50_one_us', 'latency_ratio', 'p99_half_us', 'p99_ratio', 'cpu_us_per_command')
NANOSECONDS = {'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9}


class Unknown(Exception):
    pass


def of_micro(result):
    rows = [row for row in result['benchmarks'] if row.get('run_type') != 'aggregate']
    medians = [row for row in result['benchmarks'] if row.get('aggregate_name') == 'median']
    for row in medians or rows:
        name = row.get('run_name', row['name'])
        yield f'{name}, ns', row['cpu_time'] * NANOSECONDS[row['time_unit']], -1


def of_instructions(result):
    for case in result['cases']:
        for role, stages in case['instructions'].items():
            where = f'batches of {case["case"]}, {role}'
            yield f'{where}, all', sum(stages.values()), -1
            for stage, cost in stages.items():
                yield f'{where}, {stage}', cost, -1


def of_run(result):
    for size, row in result['sizes'].items():
        for names, direction in ((HIGHER, 1), (LOWER, -1)):
            for name in names:
                if row.get(name):
                    yield f'{size} bytes, {name}', row[name], direction


KINDS = (('benchmarks', of_micro), ('cases', of_instructions), ('sizes', of_run))


def read(path):
    """Returns the kind, and {name: (value, direction)}."""
    try:
        with open(path, encoding='utf-8') as file:
            result = json.load(file)
        for key, rows in KINDS:
            if key in result:
                if result.get('status') == 'invalid':
                    print(f'{path} is invalid: {"; ".join(result["reasons"])}', file=sys.stderr)
                return key, {name: (value, way) for name, value, way in rows(result)}
    except OSError as error:
        raise Unknown(f'{path}: {error.strerror}') from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise Unknown(f'{path} is no result of synod-micro, bench/instructions or bench/run')


def compare(old, new, worse_percent):
    """Prints a line each; returns how many are worse by more than that."""
    width = max((len(name) for name in old), default=0) + 2
    failed = 0
    print(f'{"":{width}}{"old":>14}{"new":>14}{"change":>10}')
    for name, (before, way) in old.items():
        if name not in new:
            print(f'{name:{width}}{before:14,.2f}{"-":>14}')
            continue
        now = new[name][0]
        change = 100 * (now / before - 1) if before else 0.0
        # How much more it takes now: of what should be high, how much more it took to do it before.
        cost = change if way < 0 else 100 * (before / now - 1) if now else float('inf')
        judged = worse_percent is not None and cost > worse_percent
        failed += judged
        print(f'{name:{width}}{before:14,.2f}{now:14,.2f}{change:+9.1f} %'
              f'{"  worse" if judged else ""}')
    for name in new:
        if name not in old:
            print(f'{name:{width}}{"-":>14}{new[name][0]:14,.2f}')
    return failed


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f'bench/compare.py: {message}; see bench/compare.py --help\n')


def main(argv):
    parser = Parser(prog='bench/compare.py', description=__doc__, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('old')
    parser.add_argument('new')
    parser.add_argument('--worse', type=float, metavar='PERCENT')
    options = parser.parse_args(argv)
    try:
        (old_kind, old), (new_kind, new) = read(options.old), read(options.new)
        if old_kind != new_kind:
            raise Unknown(f'{options.old} and {options.new} are results of different programs')
    except Unknown as error:
        print(f'bench/compare.py: {error}', file=sys.stderr)
        return 2
    failed = compare(old, new, options.worse)
    if failed:
        print(f'{failed} worse by more than {options.worse:g} %')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
