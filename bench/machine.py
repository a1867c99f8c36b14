# SPDX-License-Identifier: BSD-3-Clause
"""What the machine is, and what it can do alone: the disk by fio, memif by net-ping and testpmd.

Limits are measured by tools that nobody here wrote, fio, testpmd and cyclictest; only the round
trip of a packet is our own program's, since testpmd has none. All of it beside the runs they are
held against, on the same file system and over the same kind of device.
"""

import json
import os
import re
import statistics
import subprocess
import tempfile
import time

BLOCK = 4096
TICKS = os.sysconf('SC_CLK_TCK')
FIO_WRITERS = 3
FIO_FILE_MIB = 128
STALL_US = 1000  # a thread of the highest priority that wakes up so late had no processor
STALL_US_MAX = 200000  # longer ones count as so long


class Failed(Exception):
    """What was to be measured could not be; its text is the reason."""


def run(command, seconds, **more):
    """Runs a program that ends by itself. Returns what it printed; or Failed, and why."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False,
                              **more)
    except FileNotFoundError:
        raise Failed(f'{command[0]} is not installed: tools/deps bench') from None
    except subprocess.TimeoutExpired:
        raise Failed(f'{command[0]} did not end within {seconds} s') from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or 'without a word').splitlines()[-1]
        raise Failed(f'{os.path.basename(command[0])} failed: {last}')
    return done.stdout


def describe():
    model = ''
    with open('/proc/cpuinfo', encoding='utf-8') as lines:
        for line in lines:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    with open('/proc/meminfo', encoding='utf-8') as lines:
        found = dict(line.split(':', 1) for line in lines)
    memory = int(found['MemTotal'].split()[0]) / (1 << 20)
    pages = int(found.get('HugePages_Total', '0').split()[0])
    return (f'{model or os.uname().machine}, {os.cpu_count()} cores, {memory:.0f} GiB, '
            f'Linux {os.uname().release}, {"no" if not pages else pages} hugepages')


class Processors:
    """What the processors did since it was made: /proc/stat, and our processes' own share."""

    def __init__(self, pids=()):
        self.pids = pids
        self.all = self.read()
        self.own = sum(cpu_seconds(pid) for pid in pids)
        self.began = time.monotonic()

    @staticmethod
    def read():
        with open('/proc/stat', encoding='utf-8') as lines:
            words = [int(word) / TICKS for word in lines.readline().split()[1:9]]
        return dict(zip(('user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'),
                        words))

    def shares(self, own_elsewhere=0.0):
        """{'steal', 'others'}: of all processors' time. own_elsewhere: of processes that ended."""
        now = self.read()
        delta = {name: now[name] - self.all[name] for name in now}
        total = sum(delta.values()) or 1.0
        busy = delta['user'] + delta['nice'] + delta['system']
        own = sum(cpu_seconds(pid) for pid in self.pids) - self.own + own_elsewhere
        return {'steal': delta['steal'] / total, 'others': max(0.0, busy - own) / total}


class Stalls:
    """For how long the host had the processors elsewhere: cyclictest, which nothing here delays.

    A virtual machine may be stopped for milliseconds that /proc/stat counts as nobody's. A thread
    of real-time priority on each core asks to be woken up each millisecond, and notes how late it
    was. Where that priority may not be had, it says nothing.
    """

    def __init__(self, directory, seconds):
        self.seconds = seconds
        self.file = os.path.join(directory, 'cyclictest.json')
        try:
            self.running = subprocess.Popen(
                ['cyclictest', '--smp', '--mlockall', '--quiet', '--priority=90',
                 '--interval=1000', '--distance=0', f'--duration={seconds}',
                 f'--histogram={STALL_US_MAX}', f'--json={self.file}'], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise Failed('cyclictest is not installed: tools/deps bench') from None

    def result(self):
        """{'max_us', 'share'}, the share of all processors' time; or None."""
        try:
            failed = self.running.wait(timeout=self.seconds + 30)
        except subprocess.TimeoutExpired:
            raise Failed('cyclictest did not end') from None
        finally:
            if self.running.poll() is None:
                self.running.kill()
                self.running.wait()
        if failed:
            return None
        with open(self.file, encoding='utf-8') as file:
            threads = json.load(file)['thread'].values()
        os.unlink(self.file)
        late = sum(int(us) * count for thread in threads
                   for us, count in (thread.get('histogram') or {}).items() if int(us) >= STALL_US)
        return {'max_us': max(thread['max'] for thread in threads),
                'share': late / 1e6 / self.seconds / len(threads)}


def cpu_seconds(pid):
    """User and system time of a process, all its threads."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
            words = file.read().rsplit(')', 1)[1].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / TICKS


def resident_mib(pid):
    try:
        with open(f'/proc/{pid}/statm', encoding='utf-8') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / (1 << 20)
    except OSError:
        return 0.0


class Fio:
    """fio's writers, each into a file of its own, written once before: as a journal is."""

    def __init__(self, directory, seconds):
        self.seconds = seconds
        self.files = [os.path.join(directory, f'fio.{number}') for number in range(FIO_WRITERS)]
        for path in self.files:
            run(['fio', '--name=lay', f'--filename={path}', '--rw=write', '--bs=1M', '--direct=1',
                 f'--size={FIO_FILE_MIB}M', '--end_fsync=1'], 120)

    def measure(self, write_size, depth, writers, writes_per_s=None):
        """Sequential durable writes. Returns {'bytes_per_s', 'p50_us', 'p99_us', …}.

        As fast as they go, or so many a second of each writer, at random times (Poisson).
        """
        command = ['fio', '--output-format=json', '--ioengine=io_uring', '--direct=1',
                   '--sync=dsync', '--rw=write', f'--bs={write_size}', f'--iodepth={depth}',
                   f'--size={FIO_FILE_MIB}M', '--overwrite=1', '--time_based', '--ramp_time=200ms',
                   f'--runtime={self.seconds}', '--lat_percentiles=1', '--group_reporting']
        if writes_per_s:
            command += [f'--rate_iops={max(1, round(writes_per_s))}', '--rate_process=poisson']
        for number in range(writers):
            command += [f'--name=writer{number}', f'--filename={self.files[number]}']
        text = run(command, self.seconds + 60)
        write = json.loads(text[text.index('{'):])['jobs'][0]['write']
        percentile = write['lat_ns']['percentile']
        return {'bytes_per_s': write['bw_bytes'], 'writes_per_s': write['iops'],
                'write_bytes': write_size, 'depth': depth, 'writers': writers,
                'p50_us': percentile['50.000000'] / 1e3, 'p99_us': percentile['99.000000'] / 1e3}


def packet_round_trip(build, frame_size):
    """A frame there and back over memif, two processes that do nothing else: us, p50."""
    text = run([os.path.join(build, 'tests', 'net', 'net-ping'), str(frame_size), '1'], 60)
    return float(re.search(r'p50 ([0-9.]+) us', text).group(1))


def testpmd(number, role, mode, frame_size, socket_name):
    # One core each: what two pinned processes give, as with replicas.
    core = number % (os.cpu_count() or 1)
    vdev = f'net_memif0,role={role},id=0,socket=@{socket_name}'
    return ['dpdk-testpmd', '--no-huge', '-m', '192', '--no-pci',
            f'--file-prefix={socket_name}-{number}', f'--lcores=0@{core},1@{core}',
            f'--vdev={vdev}', '--', f'--forward-mode={mode}', '--total-num-mbufs=8192',
            f'--txpkts={frame_size}', '--stats-period=1', '--no-mlockall', '--port-topology=loop']


def seen_rates(file):
    file.seek(0)
    return [int(rate) for rate in re.findall(r'Rx-pps:\s+(\d+)', file.read()) if int(rate)]


def packet_rate(frame_size, samples=3, patience_s=30):
    """testpmd's frames a second one way over memif, its median second."""
    name = f'synod-bench-{os.getpid()}'
    ends = []
    with tempfile.TemporaryFile('w+') as received, tempfile.TemporaryFile('w+') as sent:
        try:
            for number, (role, mode, output) in enumerate((('server', 'rxonly', received),
                                                           ('client', 'txonly', sent))):
                ends.append(subprocess.Popen(
                    testpmd(number, role, mode, frame_size, name), stdin=subprocess.DEVNULL,
                    stdout=output, stderr=subprocess.STDOUT))
                time.sleep(0.5)
            deadline = time.monotonic() + patience_s
            # The first second is not a whole one.
            while len(seen_rates(received)) < samples + 1 and time.monotonic() < deadline:
                if any(end.poll() is not None for end in ends):
                    break
                time.sleep(0.2)
            rates = seen_rates(received)[1:samples + 1]
            for end in reversed(ends):
                end.terminate()
            for end in ends:
                end.wait(timeout=15)
        except FileNotFoundError:
            raise Failed('dpdk-testpmd is not installed: tools/deps bench') from None
        except subprocess.TimeoutExpired:
            pass  # it has said what was asked
        finally:
            for end in ends:
                if end.poll() is None:
                    end.kill()
                    end.wait()
    if not rates:
        raise Failed('testpmd received nothing over memif')
    return statistics.median(rates)


def blocks(size):
    return max(1, -(-int(round(size)) // BLOCK)) * BLOCK
