#!/usr/bin/env python3
"""Writes a remote write request to standard output: remote-write.py 1|2 'NAME{label=value,…} VALUE TIME_MS'…
A VALUE of "nN" is a native histogram of N observations of 1. "TIME_MS/START_MS" says when counting began (2.0 only).

Snappy needs no library: a block may consist of literals alone."""
import re
import struct
import sys


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def times(number, time, start_number):
    """The time as a field, and what may stand behind its slash as another."""
    at, _, start = time.partition("/")
    return varint(number << 3) + varint(int(at)) + (varint(start_number << 3) + varint(int(start)) if start else b"")


def sample(value, time):
    return varint(1 << 3 | 1) + struct.pack("<d", float(value)) + times(2, time, 3)


def histogram(count, time):
    """One positive bucket: integers, a schema of 0."""
    number = lambda n, v: varint(n << 3) + varint(v)
    double = lambda n, v: varint(n << 3 | 1) + struct.pack("<d", v)
    return (number(1, count) + double(3, count) + double(5, 0.001) + field(11, number(2, 1))
            + field(12, varint(2 * count)) + times(15, time, 17))


def points(value, time, sample_field, histogram_field):
    if value.startswith("n"):
        return field(histogram_field, histogram(int(value[1:]), time))
    return field(sample_field, sample(value, time))


def labels_of(text):
    name, rest = re.fullmatch(r"([^{]*)(?:\{(.*)\})?", text).groups()
    pairs = [("__name__", name)] if name else []
    return pairs + [tuple(p.split("=", 1)) for p in (rest or "").split(",") if p]


def version_1(series):
    return b"".join(
        field(1, b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in labels)
              + points(value, time, 2, 4)) for labels, value, time in series)


def version_2(series):
    symbols = [""]
    out = b""
    for labels, value, time in series:
        refs = b""
        for text in (t for pair in labels for t in pair):
            if text not in symbols:
                symbols.append(text)
            refs += varint(symbols.index(text))
        out += field(5, field(1, refs) + points(value, time, 2, 3))
    return b"".join(field(4, s.encode()) for s in symbols) + out


def snappy(data):
    out = varint(len(data))
    for at in range(0, len(data), 60):
        piece = data[at:at + 60]
        out += bytes([len(piece) - 1 << 2]) + piece
    return out


series = []
for arg in sys.argv[2:]:
    head, value, time = arg.rsplit(" ", 2)
    series.append((labels_of(head), value, time))
sys.stdout.buffer.write(snappy((version_1 if sys.argv[1] == "1" else version_2)(series)))
