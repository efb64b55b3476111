#!/usr/bin/env python3
"""proxied.py [tls:]PORT=TEXT…: servers behind the API server's proxy, in a pod.

/            TEXT as a page          /echo…   the request as JSON       /sink     length and hash of the body
/redirect    to /there               /zipped  TEXT as a packed page     /endless  bytes until the client goes
/forged      204, and another answer as its body
/ws          switches protocols, then echoes; /ws-no answers 404 and goes on with HTTP
/streams     how many of /endless are being written"""
import gzip, hashlib, json, socketserver, ssl, sys, threading
from http.server import BaseHTTPRequestHandler

streams = 0
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, kind="text/plain", status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pieces(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while n := int(self.rfile.readline(), 16):
                yield self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                piece = self.rfile.read(min(left, 65536))
                left -= len(piece)
                yield piece

    def endless(self):
        global streams
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with lock:
            streams += 1
        try:
            while True:
                self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass
        with lock:
            streams -= 1
        self.close_connection = True

    def switch(self):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello ")
        while data := self.connection.recv(65536):
            self.connection.sendall(data)
        self.close_connection = True

    def any(self):
        path = self.path.split("?")[0]
        text = self.server.text.encode()
        if path == "/sink":
            total, digest = 0, hashlib.sha256()
            for piece in self.pieces():
                total += len(piece)
                digest.update(piece)
            self.answer(f"{total} {digest.hexdigest()}".encode())
        elif path.startswith("/echo"):
            body = b"".join(self.pieces()).decode()
            said = {"method": self.command, "path": self.path, "body": body,
                    "headers": {k.lower(): v for k, v in self.headers.items()}}
            self.answer(json.dumps(said).encode(), "application/json")
        elif path == "/redirect":
            self.answer(b"", status=302, Location="/there?x=1")
        elif path == "/zipped":
            self.answer(gzip.compress(text * 20000), "text/html; charset=utf-8", Content_Encoding="gzip")
        elif path == "/endless":
            self.endless()
        elif path == "/forged":
            body = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
            self.wfile.write(b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.close_connection = True
        elif path == "/ws":
            self.switch()
        elif path == "/ws-no":
            self.answer(b"no such thing\n", status=404)
        elif path == "/streams":
            self.answer(str(streams).encode())
        elif path == "/missing":
            self.answer(b"not here", status=404)
        else:
            b"".join(self.pieces())
            self.answer(text, "text/html")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = any

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingTCPServer):  # http.server's own asks the DNS for the host's name
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64


def serve(port, text, tls):
    server = Server(("", port), Handler)
    server.text = text
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls + "/crt", tls + "/key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()


for argument in sys.argv[2:]:
    where, text = argument.split("=", 1)
    serve(int(where.split(":")[-1]), text, sys.argv[1] if where.startswith("tls:") else None)
