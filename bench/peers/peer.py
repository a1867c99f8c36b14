# SPDX-License-Identifier: BSD-3-Clause
"""What the peers' `run` scripts share: arguments, processes, a measurement, its proof, the result.

A peer is a subclass of Peer that says which packages it needs, how its members are started, who
leads, and how much each member holds. `measure` does the rest, in this order:

    start the members, wait for a leader
    prepare (a peer whose code must warm up gets a load of its own, not counted)
    the load: 1 s of warm-up, then the measured seconds, then the answers still due
    the members must hold at least what was acknowledged
    a second, short load under strace, which counts the members' syncs: it slows them down, so it is
    never the measured one
    stop all by pid, remove the data

Everything that is started dies with this process, even when that is killed.
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
BUILD = os.path.realpath(os.environ.get('SYNOD_BUILD', os.path.join(ROOT, 'build')))
HOST = '127.0.0.1'
PAYLOAD_MAX = 32768       # as in peer_load.h
OUTSTANDING_MAX = 16384
START_SECONDS = 60
EQUAL_SECONDS = 20
TRACE_SECONDS = 1
TRACE_ATTACH_SECONDS = 0.5
WARMUP_SECONDS = 1
GENERATOR_BUSY = 0.9      # of a core for each of its threads: then it may be what is measured
PR_SET_PDEATHSIG = 1


class Invalid(Exception):
    """The run measured nothing that can be trusted; its text is the reason."""


class Missing(Exception):
    """Its text says what is not installed."""


def whole(first, last):
    def parse(text):
        if not re.fullmatch('[0-9]{1,9}', text) or not first <= int(text) <= last:
            raise argparse.ArgumentTypeError(f'{text!r} is not a number of {first} to {last}')
        return int(text)
    return parse


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f'{self.prog}: {message}\n')


def arguments(name, text, argv):
    parser = Parser(prog=f'bench/peers/{name}/run', description=text, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--payload', type=whole(1, PAYLOAD_MAX), required=True, metavar='BYTES')
    parser.add_argument('--outstanding', type=whole(1, OUTSTANDING_MAX), required=True,
                        metavar='N', help='writes under way')
    parser.add_argument('--seconds', type=whole(1, 3600), required=True, metavar='S',
                        help='measured, after 1 s of warm-up')
    parser.add_argument('--data', required=True, metavar='DIR',
                        help='the members write into a folder in it, removed at the end')
    parser.add_argument('--json', required=True, metavar='FILE', help='the result')
    parser.add_argument('--members', type=whole(1, 7), default=3, metavar='N')
    parser.add_argument('--lanes', type=whole(1, 64), metavar='N',
                        help='connections of the load generator, where the peer has them')
    args = parser.parse_args(argv)
    if not os.path.isdir(args.data):
        parser.error(f'--data {args.data}: no such folder')
    if not os.path.isdir(os.path.dirname(os.path.abspath(args.json))):
        parser.error(f'--json {args.json}: its folder does not exist')
    return args


def installed(package):
    done = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Status} ${Version}', package],
                          capture_output=True, text=True)
    status, _, version = done.stdout.partition(' ')
    return version if status == 'installed' else None


def free_ports(count, kind=socket.SOCK_STREAM):
    """Free now; all are held until all are known, so they differ."""
    held = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for one in held:
        one.bind((HOST, 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as stream:
        fields = stream.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Peer:
    name = ''
    packages = ()           # Debian's; the first one's version is the peer's
    programs = ()           # of the build
    syncs = ('fdatasync', 'fsync', 'pwritev2')  # what makes its writes durable
    settings = ()           # what differs from the peer's defaults, and why
    prepare_seconds = 0
    lanes_default = 1

    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        self.members = []
        self.lanes = min(args.lanes or self.lanes_default, args.outstanding)

    # ---- what a peer says of itself

    def start(self):
        """Starts the members, by self.spawn."""
        raise NotImplementedError

    def leader(self):
        """The index of the leader once all members serve; None before."""
        raise NotImplementedError

    def load_address(self, index):
        """HOST:PORT of a member, for the load generator."""
        raise NotImplementedError

    def held(self, index):
        """A number that grows by at least one with each write that the member has taken."""
        raise NotImplementedError

    def prepare(self, leader):
        """Before the measurement."""

    def check_durable(self):
        """Raises Invalid if what the system calls are applied to is not durable."""

    # ---- processes

    def spawn(self, index, command, environment=None):
        with open(os.path.join(self.folder, f'{index}.log'), 'wb') as log:
            # pylint: disable=subprocess-popen-preexec-fn
            self.members.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env={**os.environ, **(environment or {})}, start_new_session=True,
                preexec_fn=die_with_parent))

    def check_alive(self):
        for index, member in enumerate(self.members):
            if member.poll() is not None:
                with open(os.path.join(self.folder, f'{index}.log'), encoding='utf-8',
                          errors='replace') as log:
                    lines = log.read().strip().split('\n')
                raise Invalid(f'member {index + 1} ended ({member.returncode}): {lines[-1][:200]}')

    def stop(self):
        for member in self.members:
            if member.poll() is None:
                member.kill()  # nothing of it is kept
        for member in self.members:
            member.wait()

    def wait_for_leader(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                index = self.leader()
            except OSError:
                index = None
            if index is not None:
                return index
            time.sleep(0.1)
        raise Invalid(f'no leader within {START_SECONDS} s')

    def load(self, leader, seconds, warmup, outstanding=None):
        command = [os.path.join(BUILD, 'bench/peers', self.programs[-1]),
                   '--servers', self.load_address(leader),
                   '--payload', str(self.args.payload),
                   '--outstanding', str(outstanding or self.args.outstanding),
                   '--seconds', str(seconds), '--warmup', str(warmup),
                   '--lanes', str(self.lanes)]
        # pylint: disable=subprocess-popen-preexec-fn
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              preexec_fn=die_with_parent) as load:
            try:
                out, err = load.communicate(timeout=seconds + warmup + START_SECONDS)
            except BaseException:
                load.kill()
                raise
        if load.returncode != 0:
            self.check_alive()
            raise Invalid('the load generator failed: '
                          f'{(err.strip() or "nothing was acknowledged")[-200:]}')
        return json.loads(out)

    # ---- the proof

    def wait_until_held(self, before, acked):
        deadline = time.monotonic() + EQUAL_SECONDS
        while True:
            self.check_alive()
            grown = [self.held(i) - before[i] for i in range(len(self.members))]
            if min(grown) >= acked:
                return
            if time.monotonic() > deadline:
                raise Invalid(f'{acked} writes were acknowledged, a member holds {min(grown)}')
            time.sleep(0.1)

    def trace(self, leader):
        """A short load while strace counts each member's syncs: (what was seen, why nothing)."""
        if not shutil.which('strace'):
            return None, 'strace is not installed'
        tracers, counts = [], []
        files = [os.path.join(self.folder, f'{i}.strace') for i in range(len(self.members))]
        try:
            for member, file in zip(self.members, files):
                # pylint: disable=subprocess-popen-preexec-fn
                tracers.append(subprocess.Popen(
                    ['strace', '-f', '-c', '-U', 'calls,name', '-e',
                     'trace=' + ','.join(self.syncs), '-o', file, '-p', str(member.pid)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, preexec_fn=die_with_parent))
            time.sleep(TRACE_ATTACH_SECONDS)
            load = self.load(leader, TRACE_SECONDS, 0)
            for tracer in tracers:
                tracer.send_signal(signal.SIGINT)
            for tracer in tracers:
                tracer.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return None, 'strace did not let go'
        finally:
            for tracer in tracers:
                if tracer.poll() is None:
                    tracer.kill()
                    tracer.wait()
        for file in files:
            with open(file, encoding='ascii') as stream:
                rows = re.findall(r'^\s*(\d+)\s+(\w+)\s*$', stream.read(), re.M)
            counts.append(sum(int(n) for n, name in rows if name in self.syncs))
        if not any(counts) and tracers[0].returncode not in (0, -signal.SIGINT):
            return None, 'strace could not attach'
        return {'syncs_by_member': counts, 'writes': load['acked'], 'seconds': TRACE_SECONDS}, None

    # ---- all of it

    def measure(self, result):
        reasons = result['reasons']
        self.start()
        leader = self.wait_for_leader()
        self.prepare(leader)
        before = [self.held(i) for i in range(len(self.members))]
        cpu, began = [cpu_seconds(m.pid) for m in self.members], time.monotonic()
        load = self.load(leader, self.args.seconds, WARMUP_SECONDS)
        elapsed = time.monotonic() - began
        self.check_alive()
        cpu = [cpu_seconds(m.pid) - used for m, used in zip(self.members, cpu)]
        result.update({key: load[key] for key in ('ops_per_s', 'p50_us', 'p99_us', 'max_us')})
        result['lanes'] = load['lanes']
        result['cpu_cores'] = {'members': round(sum(cpu) / elapsed, 3),
                               'leader': round(cpu[leader] / elapsed, 3),
                               'generator': load['cpu_cores']}
        for key in ('failed', 'unanswered', 'resent'):
            if load[key]:
                reasons.append(f'{load[key]} writes were {key}')
        if load['cpu_cores'] > GENERATOR_BUSY * load['lanes']:
            reasons.append(f'the load generator used {load["cpu_cores"]} cores: '
                           'it may be the limit')
        self.wait_until_held(before, load['acked'])
        self.check_durable()
        if self.leader() != leader:
            reasons.append('the leader changed')
        traced, result['syncs_reason'] = self.trace(leader)
        if traced:
            result['syncs_per_s'] = sum(traced['syncs_by_member']) / traced['seconds']
            result['traced'] = traced
            if min(traced['syncs_by_member']) == 0:
                reasons.append('a member that was sent writes synced nothing: not durable')


def check_installed(peer):
    wanted = [name for name in peer.packages if not installed(name)]
    if wanted:
        raise Missing(f'{" ".join(wanted)} missing: run tools/deps peers, '
                      f'meson setup --reconfigure build and ninja -C build')
    for name in peer.programs:
        if not os.path.exists(os.path.join(BUILD, 'bench/peers', name)):
            raise Missing(f'{name} is not built in {BUILD}: run meson setup --reconfigure build '
                          'and ninja -C build')


def end_by_signal(number, _):
    raise SystemExit(128 + number)


def main(kind, argv=None):
    args = arguments(kind.name, sys.modules[kind.__module__].__doc__, argv)
    try:
        check_installed(kind)
    except Missing as missing:
        print(f'bench/peers/{kind.name}/run: {missing}', file=sys.stderr)
        return 77
    result = {
        'name': kind.name, 'version': installed(kind.packages[0]), 'status': 'invalid',
        'reasons': [], 'ops_per_s': None, 'p50_us': None, 'p99_us': None, 'max_us': None,
        'outstanding': args.outstanding, 'payload_bytes': args.payload, 'members': args.members,
        'seconds': args.seconds, 'syncs_per_s': None, 'syncs_reason': None, 'traced': None,
        'lanes': None, 'cpu_cores': None, 'settings': list(kind.settings),
    }
    folder = tempfile.mkdtemp(prefix=f'{kind.name}.', dir=os.path.realpath(args.data))
    peer = kind(args, folder)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end_by_signal)
        peer.measure(result)
    except Invalid as invalid:
        result['reasons'].append(str(invalid))
    except OSError as error:
        result['reasons'].append(f'a member did not answer: {error}')
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if not result['reasons']:
        result['status'] = 'valid'
    with open(args.json, 'w', encoding='utf-8') as stream:
        json.dump(result, stream, indent=2)
        stream.write('\n')
    print(f'{kind.name}: {result["status"]}'
          + (f', {result["ops_per_s"]:.0f} writes/s, p50 {result["p50_us"]:.0f} us, '
             f'p99 {result["p99_us"]:.0f} us' if result['ops_per_s'] else '')
          + ''.join(f'; {reason}' for reason in result['reasons']))
    return 0 if result['ops_per_s'] else 1
