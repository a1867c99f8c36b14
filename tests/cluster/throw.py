#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Throws random and malformed datagrams at replicas: throw.py IP… PORT SECONDS CLUSTER.

Kinds: noise of any length; a right header of the wrong cluster, version, checksum or length;
a right header with random fields and a right checksum, which is judged by what it says. The
layout is that of engine/wire/wire.h.
"""

import random
import socket
import struct
import sys
import time

HEADER = struct.Struct("<IBBHQIHHQQQQII16s")
MAGIC = 0x444E5953


def make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def datagram(rng, cluster, boot=0, version=1, size=None, good_checksum=True):
    body = rng.randbytes(rng.choice((0, 8, 24, 32, 64, 200)))
    kind = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 32, 32, 32, 33, 34, 36, rng.randrange(256)))
    fields = [
        MAGIC, version, kind, rng.choice((0, 1, 2, 0xFFFF)), cluster, 0,
        rng.choice((0, 1, 2, 3, 9)), rng.choice((0, 1, 2, 3, 9)),
        rng.getrandbits(rng.choice((8, 16, 64))), rng.getrandbits(rng.choice((1, 8, 64))),
        rng.getrandbits(64), rng.getrandbits(64),
        len(body) if size is None else size, boot, bytes(16),
    ]
    head = HEADER.pack(*fields)
    crc = crc32c(head[:64] + body) if good_checksum else rng.getrandbits(32)
    return head[:64] + struct.pack("<I12x", crc) + body


def throw(rng, cluster, boot):
    kind = rng.randrange(7)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 1400))
    if kind == 1:
        return datagram(rng, rng.getrandbits(64))
    if kind == 2:
        return datagram(rng, cluster, version=rng.randrange(2, 256))
    if kind == 3:
        return datagram(rng, cluster, good_checksum=False)
    if kind == 4:
        return datagram(rng, cluster, size=rng.getrandbits(32))
    if kind == 5:
        whole = datagram(rng, cluster)
        return whole[: rng.randrange(len(whole))]
    return datagram(rng, cluster, rng.choice((0, boot, boot, boot)))


def learn_boots(sock, boots):
    """Notes whose life the answers speak of: without it a request is not looked at."""
    try:
        while True:
            answer, (address, _) = sock.recvfrom(2048, socket.MSG_DONTWAIT)
            if len(answer) >= HEADER.size:
                boots[address] = HEADER.unpack_from(answer)[13]
    except OSError:  # no more, or a replica said no
        pass


def main():
    *targets, port, seconds, cluster = sys.argv[1:]
    seed = int.from_bytes(random.SystemRandom().randbytes(4), "little")
    print(f"throw.py: seed {seed}")
    rng = random.Random(seed)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end = time.monotonic() + float(seconds)
    count = 0
    boots = {}
    while time.monotonic() < end:
        try:
            target = rng.choice(targets)
            out.sendto(throw(rng, int(cluster, 0), boots.get(target, 0)), (target, int(port)))
        except OSError:  # the interface's queue is full, or a replica said no: go on
            pass
        count += 1
        if count % 64 == 0:
            learn_boots(out, boots)
            time.sleep(0.001)
    print(f"throw.py: {count} thrown")
    return 0


if __name__ == "__main__":
    sys.exit(main())
