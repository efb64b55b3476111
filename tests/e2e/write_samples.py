#!/usr/bin/env python3
"""write_samples.py - fills a Prometheus over remote write 1.0 with the samples generate_queries.py asks about.

write_samples.py URL START: four hours from START (seconds) on, the same at each run: counters that restart, gauges (some
with NaN and infinities), gaps with and without a staleness marker, series that begin late or come seldom, a label that
changes its value, classic histograms; three instances, each with its own milliseconds, none of them on a whole second."""
import random
import struct
import sys
import urllib.request

HOURS, INTERVAL_MS, REQUEST_MS = 4, 15000, 10 * 60 * 1000
INSTANCES = ("a:80", "b:80", "c:80")
BUCKETS = ("0.1", "0.25", "1", "5", "+Inf")


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def literal_snappy(data):
    """A valid snappy block that compresses nothing."""
    out = bytearray(varint(len(data)))
    for i in range(0, len(data), 60000):
        part = data[i:i + 60000]
        out += b"\xf4" + struct.pack("<H", len(part) - 1) + part
    return bytes(out)


def send(url, series):
    body = bytearray()
    for labels, samples in series:
        pairs = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in sorted(labels.items()))
        points = b"".join(field(2, b"\x09" + v + b"\x10" + varint(t)) for t, v in samples)
        body += field(1, pairs + points)
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
               "X-Prometheus-Remote-Write-Version": "0.1.0"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/write", literal_snappy(bytes(body)), headers), timeout=30)


def bits(value):
    return struct.pack("<d", value)


def stale():
    return struct.pack("<Q", 0x7FF0000000000002)


class Data:
    """Samples of all series: (labels, [(t, eight bytes)])."""

    def __init__(self, start):
        self.random = random.Random(42)
        self.start = start * 1000
        self.steps = HOURS * 3600 * 1000 // INTERVAL_MS
        self.series = []

    def time(self, instance, i):
        return self.start + 250 + 37 * INSTANCES.index(instance) + i * INTERVAL_MS

    def add(self, instance, values, **labels):
        """`values`: one a step; None: no sample, "stale": the marker."""
        name = labels.pop("name")
        full = {"__name__": name, "job": "app", "instance": instance, **labels}
        samples = [(self.time(instance, i), stale() if v == "stale" else bits(v))
                   for i, v in enumerate(values) if v is not None]
        self.series.append((full, samples))

    def counter(self, mean, restarts):
        """Begins high: how a rate is extrapolated to a counter's zero has changed in 3.0."""
        at = {self.random.randrange(self.steps) for _ in range(restarts)}
        value, out = mean * self.random.uniform(1000, 2000), []
        for i in range(self.steps):
            value = 0.0 if i in at else value + self.random.expovariate(1 / mean)
            out.append(round(value, 3))
        return out

    def walk(self, value, step):
        out = []
        for _ in range(self.steps):
            value += self.random.gauss(0, step)
            out.append(round(value, 4))
        return out

    def gap(self, values, first, last, marked):
        values[first:last] = [None] * (last - first)
        if marked:
            values[first] = "stale"
        return values

    def of_instance(self, n, instance):
        for code in ("200", "404", "500"):
            for path in ("/", "/api"):
                values = self.counter(3 + 5 * n, 3)
                if n:
                    self.gap(values, 300 + 10 * n, 330 + 40 * n, n == 1)
                self.add(instance, values, name="req_total", code=code, path=path)
        for zone in ("east", "west"):
            values = self.walk(20 - 15 * n, 0.8)
            if zone == "west":
                values[100 + 40 * n] = float("nan")
            self.add(instance, values, name="temp_celsius", zone=zone)
        self.add(instance, [(1.5, float("inf"), float("-inf"), float("nan"))[(i // 40 + n) % 4] for i in range(self.steps)],
                 name="extreme")
        queue = [float(max(0, self.random.randrange(-5, 40))) for _ in range(self.steps)]
        self.add(instance, self.gap(queue, 640, 644, n == 2), name="queue_length")
        self.add(instance, [None] * (400 + 50 * n) + self.counter(1e6, 1)[:300], name="late_bytes_total", mode="slow")
        self.add(instance, [v if i % 6 == n else None for i, v in enumerate(self.walk(5, 2))], name="seldom")
        half = self.steps // 2
        self.add(instance, [1.0] * half + ["stale"], name="build_info", version="1.0")
        self.add(instance, [None] * half + [1.0] * half, name="build_info", version="1.1")
        self.histogram(instance, n)

    def histogram(self, instance, n):
        for path in ("/", "/api"):
            counts, total, rows = [3000 + 1000 * b for b in range(len(BUCKETS))], 5000.0, []
            for _ in range(self.steps):
                for _ in range(self.random.randrange(6)):
                    seconds = self.random.expovariate(1 / (0.3 + n))
                    total += seconds
                    for b, le in enumerate(BUCKETS):
                        counts[b] += seconds <= float(le)
                rows.append((*counts, round(total, 4)))
            for b, le in enumerate(BUCKETS):
                self.add(instance, [float(row[b]) for row in rows], name="req_seconds_bucket", le=le, path=path)
            self.add(instance, [float(row[-2]) for row in rows], name="req_seconds_count", path=path)
            self.add(instance, [row[-1] for row in rows], name="req_seconds_sum", path=path)


def main():
    url, data = sys.argv[1], Data(int(sys.argv[2]))
    for n, instance in enumerate(INSTANCES):
        data.of_instance(n, instance)
    end = data.start + HOURS * 3600 * 1000 + INTERVAL_MS
    for begin in range(data.start, end, REQUEST_MS):
        part = [(labels, [s for s in samples if begin <= s[0] < begin + REQUEST_MS]) for labels, samples in data.series]
        send(url, [(labels, samples) for labels, samples in part if samples])


main()
