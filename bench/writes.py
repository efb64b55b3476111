#!/usr/bin/env python3
"""writes.py PID CA CERT KEY - sends each verb and kind of patch with bodies of 300 kB and 3 MB to the API server at
127.0.0.1:6443 and prints what it cost. One row: what the body is full of, the verb, the CPU at both sizes, the ratio, and
how much of the larger one the loop's thread took. Exits with 1 when a ratio passes 12, or
the loop is held for more than 50 ms."""
import glob
import http.client
import json
import ssl
import sys

PID, CA, CERT, KEY = sys.argv[1:5]
SMALL, LARGE = 300_000, 2_900_000
PATCH = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json",
         "json": "application/json-patch+json", "apply": "application/apply-patch+yaml"}
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)
connection = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=300)


def cpu(task="*"):
    return sum(int(open(path).read().split()[0]) for path in glob.glob(f"/proc/{PID}/task/{task}/schedstat")) / 1e6


def call(verb, path, body, kind="application/json"):
    """Status, CPU of the server and of its loop in ms."""
    text = json.dumps(body, separators=(",", ":")) if body is not None else None
    before, loop = cpu(), cpu(PID)
    connection.request(verb, path, text, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status, cpu() - before, cpu(PID) - loop


def names(size, each, form):
    return [form % n for n in range(size // each)]


def labels(size):
    return {"metadata": {"labels": {k: "v" for k in names(size, 17, "l%07d")}}}


def annotations(size):
    return {"metadata": {"annotations": {k: "" for k in names(size, 13, "a%07d")}}}


def data(size):
    return {"data": {k: "" for k in names(min(size, 1_000_000 if size > 1_000_000 else 100_000), 13, "d%07d")}}


def finalizers(size):
    return {"metadata": {"finalizers": names(size, 15, "a.b/f%07d")}}


def owners(size):
    return {"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": u} for u in names(size, 61, "u%07d")]}}


def env(size):
    return {"spec": {"containers": [{"name": "c", "image": "i", "env": [
        {"name": n, "value": "v"} for n in names(size, 33, "E%07d")]}]}}


def containers(size):
    return {"spec": {"containers": [{"name": n, "image": "i"} for n in names(size, 33, "c%07d")]}}


def volumes(size):
    mounts = names(size, 94, "v%07d")
    return {"spec": {"volumes": [{"name": n, "emptyDir": {}} for n in mounts], "containers": [
        {"name": "c", "image": "i", "volumeMounts": [{"name": n, "mountPath": "/" + n} for n in mounts]}]}}


def ports(size):
    return {"spec": {"selector": {"a": "b"}, "ports": [
        {"name": n, "port": 1 + i % 65535} for i, n in enumerate(names(size, 30, "p%07d"))]}}


def managed(size):
    return {"metadata": {"managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1", "time":
            "2024-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {
                f"f:{k}": {} for k in reversed(names(size, 17, "k%07d"))}}}]}}


BODIES = {"labels": ("configmaps", labels), "annotations": ("configmaps", annotations), "data keys": ("configmaps", data),
          "finalizers": ("configmaps", finalizers), "owners": ("configmaps", owners), "managed fields": ("configmaps", managed),
          "env": ("pods", env), "containers": ("pods", containers), "volumes": ("pods", volumes), "ports": ("services", ports)}
KINDS = {"configmaps": "ConfigMap", "pods": "Pod", "services": "Service"}
BASE = {"configmaps": {}, "pods": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
        "services": {"spec": {"selector": {"a": "b"}, "ports": [{"name": "first", "port": 1}]}}}


def whole(plural, name, part):
    out = {"apiVersion": "v1", "kind": KINDS[plural], **json.loads(json.dumps(part))}
    out.setdefault("metadata", {})["name"] = name
    return out


def json_patch(part):
    return [{"op": "add", "path": f"/{top}/{key}", "value": value} if top != "data" else
            {"op": "add", "path": "/data", "value": part["data"]} for top in part for key, value in
            (part[top].items() if top != "data" else [("", None)])]


def measure(verb, plural, make, size, name):
    path, part = f"/api/v1/namespaces/default/{plural}", make(size)
    one = f"{path}/{name}"
    if verb == "create":
        result = call("POST", path, whole(plural, name, part))
    elif verb == "apply":
        result = call("PATCH", one + "?fieldManager=bench", whole(plural, name, part), PATCH[verb])
        if result[0] < 300:  # and again, onto what is there
            result = call("PATCH", one + "?fieldManager=bench", whole(plural, name, part), PATCH[verb])
    else:
        call("POST", path, whole(plural, name, BASE[plural]))
        if verb == "update":
            result = call("PUT", one, whole(plural, name, part))
        else:
            body = json_patch(part) if verb == "json" else part
            result = call("PATCH", one, body, PATCH[verb])
            if result[0] < 300 and verb != "json":
                result = call("PATCH", one, part, PATCH[verb])
    call("PATCH", one, {"metadata": {"finalizers": None}}, PATCH["merge"])
    call("DELETE", one + "?gracePeriodSeconds=0", None)
    return result


def main():
    bad = 0
    print(f"{'full of':15} {'verb':10} {'300 kB':>15} {'3 MB':>15} {'ratio':>6} {'loop at 3 MB':>13}")
    for full_of, (plural, make) in BODIES.items():
        for verb in ["create", "update", "merge", "strategic", "json", "apply"]:
            small = min((measure(verb, plural, make, SMALL, f"s{i}") for i in range(3)), key=lambda r: r[1])
            large = measure(verb, plural, make, LARGE, "large")
            ratio = large[1] / small[1]
            bad += ratio > 12 or large[2] > 50
            print(f"{full_of:15} {verb:10} {small[1]:8.1f} ms {small[0]} {large[1]:8.1f} ms {large[0]} {ratio:6.1f}"
                  f" {large[2]:10.1f} ms", flush=True)
    return 1 if bad else 0


sys.exit(main())
