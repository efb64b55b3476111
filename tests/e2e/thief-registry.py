#!/usr/bin/env python3
"""A registry of somebody who knows an image's digests: thief-registry.py DIR PORT, DIR being the image as skopeo's "dir:".

The repository says what he has: "bare" the manifest alone, "config" the configuration too, "bytes" that, and layers of his
own bytes under a manifest that says so; "all" has all of it.

thief-registry.py DIR layer: the image gets a layer that no other one has.
"""
import gzip
import hashlib
import http.server
import io
import json
import os
import sys
import tarfile

DIR = sys.argv[1]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read(name):
    with open(os.path.join(DIR, name), "rb") as f:
        return f.read()


def write(data):
    with open(os.path.join(DIR, digest(data).split(":")[1]), "wb") as f:
        f.write(data)
    return {"digest": digest(data), "size": len(data)}


def add_layer(image):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        data = os.urandom(20)
        info = tarfile.TarInfo("only-here")
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    about = json.loads(read(image["config"]["digest"].split(":")[1]))
    about["rootfs"]["diff_ids"].append(digest(out.getvalue()))
    about.pop("history", None)
    image["config"].update(write(json.dumps(about).encode()))
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip" if "docker" in image["mediaType"] else "application/vnd.oci.image.layer.v1.tar+gzip"
    image["layers"].append(dict(write(gzip.compress(out.getvalue())), mediaType=kind))
    with open(os.path.join(DIR, "manifest.json"), "w") as f:
        json.dump(image, f)


manifest = read("manifest.json")
doc = json.loads(manifest)
if sys.argv[2] == "layer":
    add_layer(doc)
    sys.exit()
config = read(doc["config"]["digest"].split(":")[1])
layers = [read(x["digest"].split(":")[1]) for x in doc["layers"]]
own = [b"bytes %d" % i for i in range(len(layers))]
swapped = json.dumps(dict(doc, layers=[dict(x, digest=digest(o), size=len(o)) for x, o in zip(doc["layers"], own)])).encode()
HAS = {"bare": (manifest, []), "config": (manifest, [config]), "bytes": (swapped, [config, *own]), "all": (manifest, [config, *layers])}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        body, kind, status = b"{}", "application/json", 404
        parts = self.path.split("/")  # /v2/HOW/app/KIND/WHAT
        if self.path == "/v2/":
            status = 200
        elif len(parts) == 6 and parts[2] in HAS:
            have, blobs = HAS[parts[2]]
            by = {digest(b): b for b in blobs}
            if parts[4] == "manifests":
                body, kind, status = have, doc["mediaType"], 200
            elif parts[5] in by:
                body, kind, status = by[parts[5]], "application/octet-stream", 200
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
