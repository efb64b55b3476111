#!/usr/bin/env python3
"""Writes an ExportMetricsServiceRequest to standard output: otlp.py TIME_MS TEMPORALITY [EXEMPLAR_TIME_MS [bare]]

A counter "http.requests" (unit {request}), a histogram "took" (s), an exponential one "size" (By) and a gauge "used"
(1), of the service "shop"; bare: without units and descriptions."""
import struct
import sys

TIME, TEMPORALITY = int(sys.argv[1]) * 1000000, int(sys.argv[2])
EXEMPLAR_TIME = int(sys.argv[3]) * 1000000 if len(sys.argv) > 3 else TIME
BARE = sys.argv[4:] == ["bare"]


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(n, value):
    return varint(n << 3) + varint(value)


def fixed(n, value):
    return varint(n << 3 | 1) + struct.pack("<Q", value)


def double(n, value):
    return varint(n << 3 | 1) + struct.pack("<d", value)


def attribute(n, key, value):
    return field(n, field(1, key) + field(2, field(1, value)))


def metric(name, unit, kind, points):
    sum_only = number(3, 1) if kind == 7 else b""
    about = b"" if BARE else field(2, f"what {name} is") + field(3, unit)
    return field(2, field(1, name) + about
                 + field(kind, field(1, points) + number(2, TEMPORALITY) + sum_only))


exemplar = field(5, bytes(range(16))) + double(3, 0.3) + fixed(2, EXEMPLAR_TIME)
counter = fixed(3, TIME) + fixed(6, 42) + attribute(7, "http.method", "GET") + field(5, exemplar)
took = (fixed(3, TIME) + fixed(4, 6) + double(5, 9.5) + field(6, struct.pack("<3Q", 1, 2, 3))
        + field(7, struct.pack("<2d", 0.1, 1)) + attribute(9, "kind", "slow") + field(8, exemplar))
size = (fixed(3, TIME) + fixed(4, 10) + double(5, 3) + number(6, 2) + fixed(7, 0)
        + field(8, number(1, 0) + field(2, b"\4\3\2\1")))
used = fixed(3, TIME) + double(4, 0.5)
metrics = (metric("http.requests", "{request}", 7, counter) + metric("took", "s", 9, took)
           + metric("size", "By", 10, size) + metric("used", "1", 5, used))
resource = attribute(1, "service.name", "shop") + attribute(1, "service.instance.id", "i1") + attribute(1, "host.name", "h")
sys.stdout.buffer.write(field(1, field(1, resource) + field(2, field(1, field(1, "lib")) + metrics)))
