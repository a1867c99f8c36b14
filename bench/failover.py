#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What results of synod-load (--bucket-ms) say of a leader's death: see bench/failover.

bench/failover.py --signal NAME PID                         says that it is ready, sends it at the
                                                            first line of its input; prints when,
                                                            monotonic, ns
bench/failover.py --name TEXT --kill NS [--status FILE] RESULT   a line of the one result, with the
                                                            steps of the new leader; adds "kill_ns"
bench/failover.py [--json FILE] RESULT...                   the summary of all

Exit status 1: some run never came back to 90 % of its throughput, or had no load when it died.
"""
import argparse
import json
import os
import signal
import statistics
import sys
import time

SHARE = 0.9
BEFORE_NS = 500_000_000
HOLDS_NS = 50_000_000
SOON_NS = 20_000_000  # a silence of the leader's death begins within this


def load(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def silence_of(result):
    """The longest silence that began when the leader died; None: none was long enough to note."""
    kill = result['kill_ns']
    return max((gap for gap in result['gaps']
                if gap['end_ns'] > kill and gap['begin_ns'] <= kill + SOON_NS),
               key=lambda gap: gap['end_ns'] - gap['begin_ns'], default=None)


def back_ns(buckets, kill, gap):
    """When throughput was back, on the clock of the gap; None: it never was."""
    begin, size, acked = buckets['begin_ns'], buckets['bucket_ns'], buckets['acked']
    last = (kill - begin) // size  # the one in which the leader died
    before = acked[max(0, last - BEFORE_NS // size):last]
    if not before:
        return None
    wanted = SHARE * statistics.mean(before)
    holds = HOLDS_NS // size
    for i in range((gap['end_ns'] - begin) // size, len(acked) - holds + 1):
        if acked[i] >= wanted and statistics.mean(acked[i:i + holds]) >= wanted:
            return begin + (i + 1) * size
    return None


def check_load(result):
    """The leader died in the middle of the load: else nothing was measured."""
    buckets = result['buckets']
    at = (result['kill_ns'] - buckets['begin_ns']) // buckets['bucket_ns']
    if not 0 < at <= len(buckets['acked']) - HOLDS_NS // buckets['bucket_ns']:
        sys.exit('bench/failover: the leader died before or after the load, not during it: '
                 'nothing was measured; is the machine busy?')


def judge(result):
    """(ms from the kill to the first acknowledgement, ms until throughput was back or None)."""
    check_load(result)
    kill = result['kill_ns']
    gap = silence_of(result)
    if gap is None:  # shorter than what is listed
        return 0.0, 0.0
    back = back_ns(result['buckets'], kill, gap)
    return (gap['end_ns'] - kill) / 1e6, None if back is None else (back - kill) / 1e6


def steps(status, kill):
    """When who leads now took each step, in ms since the kill."""
    leader = next((one for one in status['replicas'] if one.get('role') == 'leader'), None)
    parts = [f"{name.removesuffix('_ns')} {(at - kill) / 1e6:.1f}"
             for name, at in (leader['rise'].items() if leader else ()) if at >= kill]
    return f" ({', '.join(parts)})" if parts else ''


def quantiles(values):
    ordered = sorted(values)
    return {'median': statistics.median(ordered),
            'p90': ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))],
            'least': ordered[0], 'most': ordered[-1]}


def line(name, values):
    return (f"{name}: median {values['median']:.1f} ms, p90 {values['p90']:.1f}, "
            f"least {values['least']:.1f}, most {values['most']:.1f}")


def tell(options):
    path = options.results[0]
    result = load(path)
    result['kill_ns'] = options.kill
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(result, file)
    first, back = judge(result)
    text = 'never' if back is None else f'{back:.1f} ms'
    took = steps(load(options.status), options.kill) if options.status else ''
    print(f'{options.name}: first acknowledgement {first:.1f} ms, throughput {text}{took}')
    return 0


def summarize(options):
    judged = [judge(load(path)) for path in options.results]
    lost = sum(back is None for _, back in judged)
    summary = {'kills': len(judged),
               'first_ms': quantiles([first for first, _ in judged]),
               'throughput_ms': quantiles([back for _, back in judged if back is not None]
                                          or [float('nan')]),
               'never_back': lost}
    print(line(f'{len(judged)} kills: first acknowledgement', summary['first_ms']))
    print(line(f'throughput back to {SHARE:.0%}', summary['throughput_ms']) +
          (f'; {lost} never' if lost else ''))
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump(summary, file, indent=2)
    return 1 if lost else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--signal')
    parser.add_argument('--kill', type=int)
    parser.add_argument('--name')
    parser.add_argument('--status')
    parser.add_argument('--json')
    parser.add_argument('results', nargs='+')
    options = parser.parse_args()
    if options.signal:
        pid, number = int(options.results[0]), signal.Signals[options.signal]
        print('ready', flush=True)
        sys.stdin.readline()
        print(time.monotonic_ns(), flush=True)
        os.kill(pid, number)
        time.sleep(0.5)  # to end is work, on a core that the survivors need now
        return 0
    return tell(options) if options.name else summarize(options)


if __name__ == '__main__':
    sys.exit(main())
