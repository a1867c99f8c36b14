# SPDX-License-Identifier: BSD-3-Clause
"""A cluster for bench/run, and synod-load against it: what it did, what the replicas did meanwhile.

Everything is started and stopped through tools/cluster, which stops only what it started.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from machine import Failed, Processors, cpu_seconds, resident_mib, run

REPLICAS = 3
PERF_HZ = 997  # a prime: not in step with anything
# A sample belongs to the first of these in its stack, from the outermost frame on.
STAGES = (('synod_ingress_poll', 'ingress'), ('synod_order_poll', 'order'),
          ('synod_journal_stage_poll', 'journal'), ('synod_apply_stage_poll', 'apply'),
          ('synod_egress_poll', 'egress'))
WAITING = ('sched_yield', 'nanosleep')


def stage_of(frames):
    """frames: (address, symbol, library), innermost first. A kernel's address is in the upper half.

    A library without frame pointers may break the stack: then what is known is the library.
    """
    in_kernel = frames and frames[0][0] >= 1 << 63
    names = [name for _, name, _ in frames]
    for name in reversed(names):
        for function, stage in STAGES:
            if name.startswith(function):
                return f'{stage}, kernel' if in_kernel and stage == 'journal' else stage
    if any(waiting in name for name in names for waiting in WAITING):
        return 'waiting (yield, sleep)'
    if any('memif' in library for _, _, library in frames):
        return 'memif, either way'
    return 'loop'


def samples_of(text):
    """Of `perf script -F comm,ip,sym,dso`: (command, frames) of each sample."""
    line = re.compile(r'\s*([0-9a-f]+) (.*) \((.*)\)$')
    for sample in text.strip().split('\n\n'):
        head, *lines = sample.splitlines()
        found = [match for match in map(line.match, lines) if match]
        yield head.strip(), [(int(match.group(1), 16), *match.group(2, 3)) for match in found]


class Cluster:
    def __init__(self, root, build, parent, durability):
        self.root = root
        self.build = build
        self.data = tempfile.mkdtemp(prefix='bench.', dir=parent)
        self.config = os.path.join(self.data, 'cluster.ini')
        self.durability = durability
        self.number = 0
        self.last = None  # status, as the last run left it: nothing happens in between

    def cluster(self, verb, *words):
        return run([os.path.join(self.root, 'tools', 'cluster'), verb, *words, '--data', self.data,
                    '--no-build'], 120, env=dict(os.environ, SYNOD_BUILD=self.build))

    def up(self):
        self.cluster('up', '--size', '1G', '--durability', self.durability)
        run([self.tool('tools/synod'), 'status', '--config', self.config, '--until', 'leader',
             '--quiet'], 60)

    def down(self):
        try:
            if os.path.exists(self.config):
                self.cluster('down')
        finally:
            shutil.rmtree(self.data, ignore_errors=True)

    def tool(self, name):
        return os.path.join(self.build, name)

    def pids(self):
        found = []
        for replica in range(1, REPLICAS + 1):
            with open(os.path.join(self.data, f'{replica}.pid'), encoding='utf-8') as file:
                found.append(int(file.read().split()[0]))
        return found

    def status(self):
        text = run([self.tool('tools/synod'), 'status', '--config', self.config, '--json'], 60)
        return json.loads(text)

    def command(self, json_file, payload, seconds, outstanding, rate):
        command = [self.tool('bench/synod-load'), '--config', self.config, '--payload',
                   str(payload), '--seconds', str(seconds), '--outstanding', str(outstanding),
                   '--warmup-ms', '500', '--json', json_file]
        return command + (['--rate', str(max(1, int(rate)))] if rate else [])

    @staticmethod
    def generator(command, errors):
        """Each in a session of its own, as the replicas are.

        Linux shares processors by session (autogroups). One session that never ends its work and
        has threads that sleep and wake ten thousand times a second was seen, on 6.18, to keep
        those of other sessions, ready to run, from a processor for up to half a second, even the
        kernel's: three generators in one took the leader's lead.
        """
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, text=True,
                                start_new_session=True)

    def drive(self, payload, seconds, outstanding, rate=None, generators=1):
        """One run of so many generators. Returns a dict; Failed if nothing was measured."""
        self.number += 1
        files = [os.path.join(self.data, f'load.{self.number}.{which}.json')
                 for which in range(generators)]
        pids = self.pids()
        before = self.last or self.status()
        processors = Processors(pids)
        cpu_before = [cpu_seconds(pid) for pid in pids]
        children_before = os.times()
        running = [self.generator(
            self.command(file, payload, seconds, outstanding, rate and rate / generators),
            subprocess.PIPE) for file in files]
        try:
            errors = [one.communicate(timeout=seconds + 90)[1] for one in running]
        except subprocess.TimeoutExpired:
            raise Failed('synod-load did not end') from None
        finally:
            for one in running:
                if one.poll() is None:
                    one.kill()
                    one.wait()
        cpu = [cpu_seconds(pid) - was for pid, was in zip(pids, cpu_before)]
        children = os.times()
        generator_cpu = (children.children_user + children.children_system -
                         children_before.children_user - children_before.children_system)
        shares = processors.shares(generator_cpu)
        loads = []
        for file, error in zip(files, errors):
            if not os.path.exists(file):
                raise Failed(f'synod-load measured nothing: {error.strip()[-200:]}')
            with open(file, encoding='utf-8') as text:
                loads.append(json.load(text))
            os.unlink(file)
        self.last = self.status()
        return self.result(loads, before, self.last,
                           {'replicas': cpu, 'generator': generator_cpu, 'shares': shares})

    @staticmethod
    def result(loads, before, after, cpu):
        def counted(name, replica=None):
            return sum(now['counters'][name] - was['counters'][name]
                       for was, now in zip(before['replicas'], after['replicas'])
                       if replica in (None, now['replica']))

        leader = after['leader'] or 1
        acked = sum(load['acked'] for load in loads)
        batches = counted('batches', leader)
        sums = [now['batch_commands_sum'] - was['batch_commands_sum']
                for was, now in zip(before['replicas'], after['replicas'])]
        writes = counted('journal_writes')
        ops = sum(load['ops_per_s'] for load in loads)
        latency = max(loads, key=lambda load: (load['latency_us'] or {}).get('p99', 0))
        return {
            'ops_per_s': ops,
            'latency_us': latency['latency_us'] or {},
            'reasons': [reason for load in loads for reason in load['reasons']],
            'lag_p999_us': max(((load['lag_us'] or {}).get('p999', 0) for load in loads)),
            'acked': acked,
            'refused_busy': sum(load['client']['refused_busy'] for load in loads),
            'silences': sum(load['client']['silences'] for load in loads),
            'repeated': sum(load['client']['commands_repeated'] for load in loads),
            'max_gap_ms': max(load['max_gap_ms'] for load in loads),
            'batch_commands': sum(sums) / batches if batches else None,
            'write_bytes': counted('journal_bytes') / writes if writes else None,
            'write_depth': counted('journal_depth') / writes if writes else None,
            'writes_per_s': writes / REPLICAS / acked * ops if acked else 0.0,
            # Warm-up and drain write like the rest: bytes a command, times commands a second.
            'bytes_per_s': counted('journal_bytes') / acked * ops if acked else 0.0,
            'leader_changed': before['leader'] != after['leader'],
            'cpu_us': {
                'leader': 1e6 * cpu['replicas'][leader - 1] / acked if acked else None,
                'replicas': 1e6 * sum(cpu['replicas']) / acked if acked else None,
                'generator': 1e6 * cpu['generator'] / acked if acked else None,
            },
            'steal': cpu['shares']['steal'],
            'others': cpu['shares']['others'],
        }

    def resident_mib(self):
        return sum(resident_mib(pid) for pid in self.pids())

    def stages(self, payload, outstanding, seconds=3):
        """Shares of the replicas' processor time by stage, at saturation: perf, by stack."""
        data = os.path.join(self.data, 'perf.data')
        pids = ','.join(str(pid) for pid in self.pids())
        file = os.path.join(self.data, 'load.stages.json')
        load = self.generator(self.command(file, payload, seconds, outstanding, None),
                              subprocess.DEVNULL)
        try:
            time.sleep(1)
            run(['perf', 'record', '-e', 'cpu-clock', '-F', str(PERF_HZ), '-g', '-p', pids, '-o',
                 data, '--', 'sleep', str(seconds - 1)], seconds + 60)
        finally:
            load.wait(timeout=seconds + 90)
            self.last = None
        text = run(['perf', 'script', '-i', data, '-F', 'comm,ip,sym,dso'], 120)
        counts = {}
        total = 0
        for name, frames in samples_of(text):
            stage = stage_of(frames) if name.startswith('synodd') else 'other threads'
            counts[stage] = counts.get(stage, 0) + 1
            total += 1
        if not total:
            raise Failed('perf took no samples')
        return {stage: count / total for stage, count in sorted(counts.items())}
