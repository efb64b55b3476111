#!/usr/bin/env python3
"""A registry that misbehaves on demand: registry-peer.py DIR

The first part of a repository's name says how ("127.0.0.1:PORT/busy/app:1"); MODES below lists them. A second port of the
same program is "another host". Writes DIR/port and DIR/other when it listens, and each request as a line to DIR/log:
PORT METHOD PATH RANGE AUTHORIZATION. A file DIR/open-gate lets what mode `gate` holds back go on; a file DIR/TAG ("sha256-….sig")
with the lines PAYLOAD and SIGNATURE is a signature of cosign's form.
"""
import base64
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

DIR = sys.argv[1]
USER, PASSWORD, IDENTITY = "user", "secret", "an-identity-token"
OCI = "application/vnd.oci.image."
MODES = """plain token basic redirect loop downgrade busy forever fail broken norange badrange garbage html wrong short long silent stall
schema1 urls index liar huge elsewhere zstd escape gate mirrored refused drip terminal""".split()
BIG = hashlib.shake_256(b"big").digest(3_000_000)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                info.type, info.linkname = tarfile.SYMTYPE, data[0]
                t.addfile(info)
            else:
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    return out.getvalue()


@functools.cache
def gz(data):
    return gzip.compress(data, 1, mtime=0)


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


class Image:
    """Manifest, configuration and layers, as blobs by digest."""

    def __init__(self, files, arch="amd64", pack=gz, kind="tar+gzip", urls=None):
        plain = [tar(f) for f in files]
        packed = [pack(p) for p in plain]
        config = json.dumps({"os": "linux", "architecture": arch, "config": {"Cmd": ["/hello"]},
                             "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in plain]}}).encode()
        layers = [{"mediaType": OCI + "layer.v1." + kind, "digest": digest(p), "size": len(p)} for p in packed]
        if urls:
            layers[-1]["urls"] = urls
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "layers": layers,
            "config": {"mediaType": OCI + "config.v1+json", "digest": digest(config), "size": len(config)}}).encode()
        self.blobs = {digest(b): b for b in packed + [config]}
        self.first, self.big = digest(packed[0]), digest(packed[-1])


def images():
    made = {m: Image([{"hello": b"hello of " + m.encode()}, {"big": BIG}]) for m in MODES}
    made["zstd"] = Image([{"hello": b"hello"}, {"big": BIG}], pack=zstd, kind="tar+zstd")
    made["urls"] = Image([{"hello": b"h"}], urls=["http://127.0.0.1:1/layer"])
    made["escape"] = Image([{"hello": b"hello"}, {"../../escaped": b"out"}])
    made["mirrored"] = made["plain"]
    return made


IMAGES = images()
ARM = Image([{"hello": b"hello of arm"}], arch="arm64")
INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [
    {"mediaType": OCI + "manifest.v1+json", "digest": digest(i.manifest), "size": len(i.manifest),
     "platform": {"os": "linux", "architecture": a}} for i, a in ((ARM, "arm64"), (IMAGES["index"], "amd64"))]}).encode()
IMAGES["index"].blobs.update(ARM.blobs)
SCHEMA1 = json.dumps({"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []}).encode()

seen, lock, uploads = {}, threading.Lock(), {}


def times(key):
    with lock:
        seen[key] = seen.get(key, 0) + 1
        return seen[key]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self):
        with lock, open(DIR + "/log", "a") as f:
            print(self.server.server_port, self.command, self.path, self.headers.get("Range", "-"),
                  self.headers.get("Authorization", "-").replace(" ", "_"), file=f)

    def answer(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, **headers):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), **headers)

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        self.note()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/token":
            form = dict(urllib.parse.parse_qsl(body.decode()))
            if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != IDENTITY:
                return self.error(401, "UNAUTHORIZED")
            return self.answer(200, json.dumps({"access_token": "tok:" + form["scope"], "expires_in": 300}).encode())
        self.do_GET(noted=True)

    def do_GET(self, noted=False):
        if not noted:
            self.note()
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/token":
            return self.token(urllib.parse.parse_qs(url.query))
        if url.path.startswith("/store/"):
            return self.blob(url.path.split("/")[2], url.path.split("/")[3])
        parts = url.path.split("/")  # /v2/MODE/app/KIND/WHAT
        if len(parts) < 6 or parts[1] != "v2" or parts[2] not in IMAGES:
            return self.error(404, "NAME_UNKNOWN")
        mode, kind, what = parts[2], parts[4], parts[5]
        if not self.authorized(mode, parts):
            return
        if mode == "refused":
            return self.error(403, "DENIED")
        if mode == "busy" and times(self.path) == 1:
            return self.error(429, "TOOMANYREQUESTS", Retry_After="1")
        if mode == "forever":
            return self.error(429, "TOOMANYREQUESTS", Retry_After="9999")
        if mode == "fail" and times(self.path) < 3:
            return self.error(500 if times(self.path + "!") == 1 else 502, "UNKNOWN")
        if kind == "manifests":
            return self.named(mode, what)
        if kind == "blobs":
            return self.blob(mode, what)
        self.error(404, "UNSUPPORTED")

    def token(self, query):
        want = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != want:
            return self.error(401, "UNAUTHORIZED")
        self.answer(200, json.dumps({"token": "tok:" + " ".join(query["scope"])}).encode())

    def authorized(self, mode, parts):
        port = self.server.server_port
        have = self.headers.get("Authorization", "")
        if mode == "basic" and have != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            self.error(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="a registry"')
        elif mode == "elsewhere" and not have:
            self.error(401, "UNAUTHORIZED", WWW_Authenticate='Bearer realm="http://localhost:%d/token",service="s"' % other.server_port)
        elif mode in ("token", "redirect") and have != "Bearer tok:repository:%s/app:pull" % mode:
            self.error(401, "UNAUTHORIZED", WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/token",service="s",scope="repository:%s/app:pull"' % (port, mode))
        else:
            return True
        return False

    def named(self, mode, what):
        if what.endswith(".sig"):
            return self.signature(mode, what)
        body = IMAGES[mode].manifest
        kind = OCI + "manifest.v1+json"
        if mode == "index":
            by = {digest(i.manifest): i.manifest for i in (ARM, IMAGES["index"])}
            body = by.get(what, INDEX)
            kind = kind if what in by else OCI + "index.v1+json"
        if mode == "garbage":
            body = bytes(range(256)) * 8
        if mode == "html":
            body, kind = b"<html>Please log in</html>", "text/html"
        if mode == "schema1":
            body, kind = SCHEMA1, "application/vnd.docker.distribution.manifest.v1+prettyjws"
        if mode == "terminal":
            body = json.dumps({"schemaVersion": 2, "mediaType": "\x1b]0;owned\x07\nknarr image: all is well"}).encode()
        if mode == "huge":
            body = body + b" " * (5 << 20)
        if mode == "silent":
            time.sleep(3600)
        said = digest(body) if mode != "liar" else digest(b"")
        self.answer(200, body, kind, Docker_Content_Digest=said)

    def signature(self, mode, what):
        try:
            with open(f"{DIR}/{what}") as f:
                payload, signed = f.read().splitlines()
        except FileNotFoundError:
            return self.error(404, "MANIFEST_UNKNOWN")
        payload = payload.encode()
        IMAGES[mode].blobs[digest(payload)] = payload
        body = {"schemaVersion": 2, "config": {"digest": digest(b"{}"), "size": 2}, "layers": [{
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": digest(payload), "size": len(payload),
            "annotations": {"dev.cosignproject.cosign/signature": signed}}]}
        self.answer(200, json.dumps(body).encode(), OCI + "manifest.v1+json")

    def blob(self, mode, what):
        image = IMAGES[mode]
        data = image.blobs.get(what)
        if data is None or (mode == "urls" and what == image.big):
            return self.error(404, "BLOB_UNKNOWN")
        if what != image.big:
            return self.answer(200, data, "application/octet-stream")
        if self.path.startswith("/v2/"):
            if mode == "redirect":
                return self.answer(307, Location="http://localhost:%d/store/%s/%s?signature=abc" % (other.server_port, mode, what))
            if mode == "loop":
                return self.answer(302, Location=self.path + "x" if times("loop") < 0 else self.path)
        self.big(mode, data)

    def big(self, mode, data):
        begin = 0
        asked = self.headers.get("Range")
        if asked and mode != "norange":
            begin = int(asked.removeprefix("bytes=").split("-")[0])
        if mode == "wrong":
            data = bytes(len(data))
        if mode == "short":
            data = data[: len(data) // 2]
        if mode == "long":
            data = data + bytes(1 << 20)
        if mode == "gate":
            while not os.path.exists(DIR + "/open-gate"):
                time.sleep(0.05)
        stop = len(data)
        if mode == "broken":
            stop = min(stop, begin + 700_000)
        if mode in ("norange", "badrange", "stall") and times(mode) == 1:
            stop = 500_000
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            at = 0 if mode == "badrange" else begin
            self.send_header("Content-Range", "bytes %d-%d/%d" % (at, len(data) - 1, len(data)))
        self.end_headers()
        if mode == "drip":
            for i in range(begin, len(data)):
                self.wfile.write(data[i : i + 1])
                time.sleep(0.2)
        self.wfile.write(data[begin:stop])
        if stop < len(data):
            self.wfile.flush()
            if mode == "stall":
                time.sleep(3600)
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


server, other = Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)
threading.Thread(target=other.serve_forever, daemon=True).start()
for name, s in (("other", other), ("port", server)):
    with open(f"{DIR}/{name}.tmp", "w") as f:
        f.write(str(s.server_port))
    os.rename(f"{DIR}/{name}.tmp", f"{DIR}/{name}")
server.serve_forever()
