"""Watches of ConfigMaps whose clients do not read while many are made, and then read everything.

usage: watchers.py CA CERT KEY WATCHERS OBJECTS BYTES [state]
With "state" the watches begin after the objects are made and ask for them (sendInitialEvents).
Prints the objects that each watch has told of; fails when one is missing, doubled or out of order.
"""

import http.client
import json
import re
import socket
import ssl
import sys

HOST, PORT, PATH = "127.0.0.1", 6443, "/api/v1/namespaces/default/configmaps"
EVENT = re.compile(rb'^\{"type":"ADDED".*?"name":"w-(\d+)"')


def connect(tls):
    sock = socket.create_connection((HOST, PORT))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    conn = http.client.HTTPSConnection(HOST, PORT, context=tls)
    conn.sock = tls.wrap_socket(sock, server_hostname=HOST)
    return conn


def call(conn, method, path, body=None):
    conn.request(method, path, body, {"Content-Type": "application/json"})
    answer = conn.getresponse()
    text = answer.read()
    assert answer.status < 300, (method, path, answer.status, text[:300])
    return json.loads(text)


def watch(tls, query):
    conn = connect(tls)
    conn.request("GET", f"{PATH}?watch=1&timeoutSeconds=600&{query}")
    return conn.getresponse()


def make(conn, objects, size):
    data = "x" * size
    for i in range(objects):
        body = {"metadata": {"name": f"w-{i}"}, "data": {"a": data}}
        call(conn, "POST", PATH, json.dumps(body))


def told(stream, objects):
    numbers = []
    while len(numbers) < objects:
        line = stream.readline()
        assert line, f"the watch ended after {len(numbers)} of {objects}"
        found = EVENT.match(line[:4096])
        assert found, line[:300]
        numbers.append(int(found.group(1)))
    return numbers


def main():
    ca, cert, key = sys.argv[1:4]
    watchers, objects, size = map(int, sys.argv[4:7])
    tls = ssl.create_default_context(cafile=ca)
    tls.load_cert_chain(cert, key)
    conn = connect(tls)
    state = "state" in sys.argv
    if state:
        make(conn, objects, size)
        query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    else:
        query = "resourceVersion=" + call(conn, "GET", PATH + "?limit=1")["metadata"]["resourceVersion"]
    streams = [watch(tls, query) for _ in range(watchers)]
    if not state:
        make(conn, objects, size)
    call(conn, "GET", "/version")  # others are served meanwhile
    for stream in streams:
        numbers = told(stream, objects)
        assert (sorted(numbers) if state else numbers) == list(range(objects)), numbers[:20]
        if state:
            assert b"initial-events-end" in stream.readline()
        print(len(numbers), flush=True)
    call(connect(tls), "DELETE", PATH + "?labelSelector=!keep")


main()
