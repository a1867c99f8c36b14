#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Captures what replicas are sent, and sends it again. Run where the cluster's bridge is.

    packets.py capture FILE IDS…        until SIGTERM: every frame that leaves towards these
                                        replicas (bridge ports plug1 …), as a pcap file
    packets.py replay FILE RATE [ROUNDS]  sends them in their order, RATE a second

Replay goes by the frame's destination 10.91.0.N through plugN to the MAC that doorN has now, as
if its sender had sent it.
"""

import fcntl
import select
import signal
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SIOCGIFHWADDR = 0x8927
PACKET_OUTGOING = 4
FILE_HEADER = struct.Struct("<IHHiIII")
RECORD_HEADER = struct.Struct("<IIII")


def packet_socket(interface, protocol):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    sock.bind((interface, protocol))
    return sock


def mac_of(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, SIOCGIFHWADDR, struct.pack("256s", interface.encode()))
    return answer[18:24]


def capture(path, ids):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    sockets = [packet_socket(f"plug{number}", ETH_P_ALL) for number in ids]
    count = 0
    with open(path, "wb") as out:
        out.write(FILE_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        print("capturing", flush=True)
        while not stop:
            for sock in select.select(sockets, [], [], 0.1)[0]:
                frame, address = sock.recvfrom(65535)
                if address[2] != PACKET_OUTGOING:
                    continue
                now = time.time_ns()
                out.write(RECORD_HEADER.pack(now // 10**9, now % 10**9 // 1000, len(frame),
                                             len(frame)))
                out.write(frame)
                count += 1
    print(f"{count} frames captured")


def frames(path):
    with open(path, "rb") as file:
        file.read(FILE_HEADER.size)
        while header := file.read(RECORD_HEADER.size):
            yield file.read(RECORD_HEADER.unpack(header)[2])


def replay(path, rate, rounds):
    sockets = {}
    sent = skipped = 0
    begin = time.monotonic()
    for _ in range(rounds):
        for frame in frames(path):
            if frame[12:14] != b"\x08\x00" or frame[30:33] != bytes((10, 91, 0)) or frame[33] > 7:
                skipped += 1  # ARP, and what goes to the kernel
                continue
            number = frame[33]
            if number not in sockets:
                sockets[number] = (packet_socket(f"plug{number}", 0), mac_of(f"door{number}"))
            sock, mac = sockets[number]
            try:
                sock.send(mac + frame[6:])
                sent += 1
            except OSError:
                skipped += 1
            ahead = sent / rate - (time.monotonic() - begin)
            if ahead > 0.002:
                time.sleep(ahead)
    print(f"{sent} frames replayed, {skipped} not")


def main():
    if sys.argv[1] == "capture":
        capture(sys.argv[2], sys.argv[3:])
    else:
        replay(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1)


if __name__ == "__main__":
    main()
