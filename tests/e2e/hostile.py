#!/usr/bin/env python3
"""hostile.py PORT - metrics endpoints that no scraper should trust, one for each path; /good is a proper one."""
import gzip
import http.server
import sys
import time
import zlib

TEXT = b"text/plain; version=0.0.4"
PROTO = b"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def head(ctype=TEXT, extra=b"", status=b"200 OK"):
    return b"HTTP/1.1 " + status + b"\r\nContent-Type: " + ctype + b"\r\nConnection: close\r\n" + extra + b"\r\n"


def bomb():
    """1 GB of zeros as about 1 MB of gzip."""
    z = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 24)
    out = b"".join(z.compress(block) for _ in range(64))
    return out + z.flush()


BOMB = bomb()
MILLION = b"".join(b'm%d{a="%d",b="x"} 1\n' % (i % 1000, i) for i in range(1000000))


def drip(send):
    send(head())
    while True:
        send(b"a")
        time.sleep(0.1)


def flood(send):
    send(head())
    block = b"# " + b"x" * 65533 + b"\n"
    while True:
        send(block)


def flood_samples(send):
    send(head())
    n = 0
    while True:
        send(b"".join(b'f{n="%d"} 1\n' % i for i in range(n, n + 2000)))
        n += 2000


def long_line(send):
    send(head(extra=b"Content-Length: %d\r\n" % (100 << 20)))
    for _ in range(100):
        send(b"x" * (1 << 20))


def long_value(send):
    body = b'm{a="' + b"v" * (10 << 20) + b'"} 1\n'
    send(head(extra=b"Content-Length: %d\r\n" % len(body)) + body)


def garbage(send):
    body = bytes((i * 7919) & 255 for i in range(1 << 20))
    send(head(extra=b"Content-Length: %d\r\n" % len(body)) + body)


def slow_headers(send):
    send(b"HTTP/1.1 200 OK\r\n")
    for i in range(10000):
        send(b"X-%d: y\r\n" % i)
        time.sleep(0.1)


def many_headers(send):
    send(b"HTTP/1.1 200 OK\r\n")
    while True:
        send(b"X-Header: " + b"y" * 1000 + b"\r\n")


def short_body(send):
    send(head(extra=b"Content-Length: 1000\r\n") + b"a 1\n")


def mid_close(send):
    send(head(extra=b"Transfer-Encoding: chunked\r\n") + b"1000\r\na 1\n")


def bad_length(send):
    send(head(extra=b"Content-Length: -5\r\n") + b"a 1\n")


def redirect(send):
    send(head(extra=b"Location: /redirect\r\nContent-Length: 0\r\n", status=b"302 Found"))


def gzip_bomb(send):
    send(head(extra=b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(BOMB)) + BOMB)


def gzip_garbage(send):
    send(head(extra=b"Content-Encoding: gzip\r\nContent-Length: 8\r\n") + b"\x1f\x8bxxxxxx")


def gzip_torn(send):
    body = gzip.compress(b"a 1\n" * 10000)[:-20]
    send(head(extra=b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(body)) + body)


def million(send):
    send(head(extra=b"Content-Length: %d\r\n" % len(MILLION)))
    send(MILLION)


def proto_length(send):
    body = b"\xff\xff\xff\xff\x0f" + b"x" * 100
    send(head(PROTO, b"Content-Length: %d\r\n" % len(body)) + body)


def proto_nested(send):
    body = b"\x05\x0a\xff\xff\xff\x7f"
    send(head(PROTO, b"Content-Length: %d\r\n" % len(body)) + body)


def good(send):
    body = b"good_total %d\n" % int(time.time() * 1000)
    send(head(extra=b"Content-Length: %d\r\n" % len(body)) + body)


PATHS = {f.__name__: f for f in (drip, flood, flood_samples, long_line, long_value, garbage, slow_headers, many_headers,
                                 short_body, mid_close, bad_length, redirect, gzip_bomb, gzip_garbage, gzip_torn,
                                 million, proto_length, proto_nested, good)}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.close_connection = True
        answer = PATHS.get(self.path.strip("/"))
        try:
            if answer:
                self.connection.settimeout(20)
                answer(self.connection.sendall)
            else:
                self.send_error(404)
        except OSError:
            pass

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
