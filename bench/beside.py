#!/usr/bin/env python3
"""beside.py SERVER_PID CA CERT KEY [COUNT] - what a create, get and merge patch of a 1 KB pod cost the API server at
127.0.0.1:6443 (user and system time of SERVER_PID), asked for by four threads, each with a TLS connection of its own and one
request under way; then how long a LIST of all pods takes, the client's reading included."""
import http.client
import json
import os
import ssl
import sys
import threading
import time

PID, CA, CERT, KEY = sys.argv[1:5]
COUNT, CLIENTS = int(sys.argv[5]) if len(sys.argv) > 5 else 4000, 4
PODS = "/api/v1/namespaces/default/pods"
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)


def connect():
    return http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=120)


def pod(number):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"beside-{number}", "labels": {"app": "beside", "number": str(number)}},
            "spec": {"nodeName": f"node-{number % 50}", "terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": "registry.example/load:1", "command": ["sleep", "1000"],
                 "env": [{"name": f"KEY_{i}", "value": "x" * 40} for i in range(8)],
                 "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}}


def cpu_ms():
    with open(f"/proc/{PID}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def work(client, first, request):
    for number in range(first, COUNT, CLIENTS):
        method, path, body, kind = request(number)
        client.request(method, path, body, {"Content-Type": kind})
        answer = client.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            sys.exit(f"{method} {path}: {answer.status} {text.decode()[:300]}")


def phase(name, request):
    clients = [connect() for _ in range(CLIENTS)]
    for client in clients:
        client.connect()
    threads = [threading.Thread(target=work, args=(clients[i], i, request)) for i in range(CLIENTS)]
    before, begin = cpu_ms(), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    print(f"{name:<12} {(cpu_ms() - before) / COUNT:.3f} ms CPU per request, {COUNT / seconds:.0f} requests/s")


def lists():
    client, times, size = connect(), [], 0
    for _ in range(20):
        begin = time.monotonic()
        client.request("GET", "/api/v1/pods")
        size = len(client.getresponse().read())
        times.append((time.monotonic() - begin) * 1000)
    times.sort()
    print(f"LIST of {size / 1e6:.1f} MB: {times[len(times) // 2]:.1f} ms (best {times[0]:.1f})")


lists()
phase("create", lambda n: ("POST", PODS, json.dumps(pod(n)), "application/json"))
phase("get", lambda n: ("GET", f"{PODS}/beside-{n}", None, "application/json"))
phase("merge patch", lambda n: ("PATCH", f"{PODS}/beside-{n}", json.dumps({"metadata": {"labels": {"round": str(n)}}}),
                                "application/merge-patch+json"))
