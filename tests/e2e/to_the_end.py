"""Writers on many connections until the server ends: each writes down what it asked for and what was answered.

usage: to_the_end.py CA CERT KEY PREFIX
Prints a line "NAME STATUS" for each ConfigMap that it asked to be made; STATUS 0: the connection ended without an answer,
-1: in the middle of one. Prints "begun" on standard error when every writer has had an answer.
"""

import http.client
import json
import os
import ssl
import sys
import threading

CA, CERT, KEY, PREFIX = sys.argv[1:5]
WRITERS = 12
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)
begun = threading.Barrier(WRITERS)


def write(nr):
    c = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=120)
    i, status = 0, 201
    while status == 201:
        i, status = i + 1, 0
        name = f"{PREFIX}-{nr}-{i}"
        body = {"metadata": {"name": name}, "data": {"a": "x" * 2000}}
        try:
            c.request("POST", "/api/v1/namespaces/default/configmaps", json.dumps(body), {"Content-Type": "application/json"})
            answer = c.getresponse()
            status = -1
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            pass
        os.write(1, f"{name} {status}\n".encode())  # a line at once, from many threads
        if i == 1 and begun.wait() == 0:
            print("begun", file=sys.stderr, flush=True)


for each in [threading.Thread(target=write, args=(nr,)) for nr in range(WRITERS)]:
    each.start()
