#!/usr/bin/env python3
"""scrape-target.py PORT - a target for scrape tests: each path has its own body.

/plain text 0.0.4; /labels a series with its own instance and job; /times a sample with a time; /none no Content-Type;
/once answers with a sample with a time once, then without it; /native a native histogram over protobuf; /classic a classic histogram."""
import http.server
import struct
import sys
import time

TEXT = "text/plain; version=0.0.4"
PROTO = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def double(field, v):
    return varint(field << 3 | 1) + struct.pack("<d", v)


def message(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def native():
    """Ten buckets of one observation each, of schema 3 (each 9 % wider)."""
    deltas = b"".join(number(13, n) for n in [2] + [0] * 9)
    histogram = number(1, 10) + double(2, 55.0) + number(5, 6) + double(6, 0.001) + number(7, 0)
    histogram += message(12, number(1, 0) + number(2, 10)) + deltas
    family = message(1, b"sizes") + message(2, b"help") + number(3, 4) + message(4, message(7, histogram))
    return varint(len(family)) + family


class Target(http.server.BaseHTTPRequestHandler):
    times_left = 3

    def body(self):
        if self.path == "/native":
            return native(), PROTO
        if self.path == "/labels":
            return b'own{instance="mine",job="mine",exported_job="taken"} 1\n', TEXT
        if self.path == "/times":
            return b"timed 1 %d\n" % ((int(time.time()) - 60) * 1000), TEXT
        if self.path == "/once":
            Target.times_left -= 1
            return b"timed 1 %d\n" % (time.time() * 1000) if Target.times_left >= 0 else b"", TEXT
        if self.path == "/classic":
            return b'# TYPE c histogram\nc_bucket{le="1"} 2\nc_bucket{le="+Inf"} 3\nc_sum 4\nc_count 3\n', TEXT
        return b'a{x="1"} 1\nb 2\nlonger_name{label_with_a_name="value-of-some-length"} 3\n', \
            "" if self.path == "/none" else TEXT

    def do_GET(self):
        data, kind = self.body()
        self.send_response(200)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Target).serve_forever()
