#!/usr/bin/env python3
"""A peer of remote storages, for tests: remote-peer.py PORT FOLDER UPSTREAM

GET /metrics is a target with exemplars, in OpenMetrics. POST is passed on to UPSTREAM, unless FOLDER/answer holds
a status: then that is the answer. One line for each POST goes to FOLDER/posts: status, and some headers; and the
address that it reached to FOLDER/reached. While FOLDER/close is there, connections end with each answer."""
import http.client
import http.server
import os
import sys
import time

PORT, FOLDER, UPSTREAM = int(sys.argv[1]), sys.argv[2], sys.argv[3]
SHOWN = ("Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version", "Retry-Attempt", "X-Own", "Authorization")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        n = int(time.time() * 100)
        body = f"""# TYPE jobs counter
jobs_total{{kind="a"}} {n} # {{trace_id="t{n}"}} 1 {time.time():.3f}
# TYPE took histogram
took_bucket{{le="0.1"}} {n // 3}
took_bucket{{le="1.0"}} {n // 2}
took_bucket{{le="+Inf"}} {n}
took_sum {n / 7}
took_count {n}
# EOF
"""
        self.answer(200, body.encode(), [("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        forced = ""
        if os.path.exists(f"{FOLDER}/answer"):
            forced = open(f"{FOLDER}/answer").read().strip()
        if forced:
            status, answer, headers = int(forced), b"as the test wants it\n", []
        else:
            host, path = UPSTREAM.removeprefix("http://").split("/", 1)
            upstream = http.client.HTTPConnection(host, timeout=10)
            try:
                upstream.request("POST", "/" + path, body, {k: v for k, v in self.headers.items() if k != "Host"})
                response = upstream.getresponse()
                status, answer = response.status, response.read()
                headers = [(k, v) for k, v in response.getheaders() if k.lower().startswith("x-prometheus")]
            except OSError as e:
                status, answer, headers = 502, str(e).encode(), []
        with open(f"{FOLDER}/posts", "a") as posts:
            print(status, *(f"{k}={self.headers[k]}" for k in SHOWN if k in self.headers), file=posts)
        with open(f"{FOLDER}/reached", "a") as reached:
            print(self.connection.getsockname()[0], file=reached)
        if os.path.exists(f"{FOLDER}/close"):
            headers.append(("Connection", "close"))
        if status == 429:
            headers.append(("Retry-After", "1"))
        self.answer(status, answer, headers)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("", PORT), Handler).serve_forever()
