#!/usr/bin/env python3
"""starts.py COUNT IMAGE CA CERT KEY - creates pods one after the other at the API server at 127.0.0.1:6443, and waits until a
watch shows each Running. Prints p50, p99 and the largest of all, then where the time goes: until the create
was answered, until the pod had its node, and from there to Running.

The client is this one process with two connections that are open already, so that its own start is in no figure."""
import http.client
import json
import ssl
import sys
import threading
import time

COUNT, IMAGE, CA, CERT, KEY = int(sys.argv[1]), *sys.argv[2:6]
PODS = "/api/v1/namespaces/default/pods"
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)
seen = {}  # (pod, stage) to the time it was first seen
news = threading.Condition()


def connect():
    return http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=60)


def note(event, now):
    pod = event["object"]
    status = pod.get("status", {})
    with news:
        name = pod["metadata"]["name"]
        if pod["spec"].get("nodeName"):
            seen.setdefault((name, "bound"), now)
        if status.get("phase") == "Running":
            seen.setdefault((name, "running"), now)
        news.notify()


def watch(connection):
    answer = connection.getresponse()
    while line := answer.readline():
        now = time.monotonic()
        note(json.loads(line), now)


def start(client, name):
    """Milliseconds from the request to: its answer, bound, Running."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "100000"]}]}}
    begin = time.monotonic()
    client.request("POST", PODS, json.dumps(pod), {"Content-Type": "application/json"})
    answer = client.getresponse()
    text = answer.read()
    answered = time.monotonic()
    if answer.status != 201:
        sys.exit(f"create {name}: {answer.status} {text.decode()[:300]}")
    with news:
        if not news.wait_for(lambda: (name, "running") in seen, timeout=60):
            sys.exit(f"{name} does not run after a minute")
    return [1e3 * (t - begin) for t in (answered, seen[name, "bound"], seen[name, "running"])]


def at(part, values):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


client, connection = connect(), connect()
client.request("GET", PODS)
first = json.loads(client.getresponse().read())
connection.request("GET", f"{PODS}?watch=1&resourceVersion={first['metadata']['resourceVersion']}")
threading.Thread(target=watch, args=(connection,), daemon=True).start()
starts = [start(client, f"p{i}") for i in range(COUNT)]
total = [s[-1] for s in starts]
print(f"create to Running seen by a watch: p50 {at(.5, total):.0f} ms, p99 {at(.99, total):.0f} ms, max {max(total):.0f} ms"
      f" of {COUNT} (budget 60 / 95)")
parts = [(s[0], s[1], s[2] - s[1]) for s in starts]
print("  p50 of its parts: create answered after {:.1f} ms, on its node {:.1f} ms, from there to Running {:.1f} ms".format(
    *(at(.5, column) for column in zip(*parts))))
