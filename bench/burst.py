#!/usr/bin/env python3
"""burst.py COUNT AT_ONCE IMAGE CA CERT KEY - runs COUNT pods at the API server at 127.0.0.1:6443, at most AT_ONCE at one time:
each is deleted when a watch shows it Running, and makes room for another when it is gone. Then deletes their Events.
Prints how many went by a second."""
import http.client
import json
import ssl
import sys
import time

COUNT, AT_ONCE, IMAGE, CA, CERT, KEY = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:7]
PODS = "/api/v1/namespaces/default/pods"
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)


def connect():
    return http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=120)


def call(verb, path, body=None):
    client.request(verb, path, body, {"Content-Type": "application/json"})
    answer = client.getresponse()
    return answer.status, answer.read()


def create(number):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"b{number}"}, "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "100000"]}]}}
    status, text = call("POST", PODS, json.dumps(pod))
    if status != 201:
        sys.exit(f"create b{number}: {status} {text.decode()[:300]}")


client, events = connect(), connect()
revision = json.loads(call("GET", PODS)[1])["metadata"]["resourceVersion"]
events.request("GET", f"{PODS}?watch=1&resourceVersion={revision}")
watch = events.getresponse()
begin = time.monotonic()
made = gone = 0
deleted = set()
while gone < COUNT:
    while made < COUNT and made - gone < AT_ONCE:
        create(made)
        made += 1
    event = json.loads(watch.readline())
    name = event["object"]["metadata"]["name"]
    if event["type"] == "DELETED":
        deleted.discard(name)
        gone += 1
    elif name not in deleted and event["object"].get("status", {}).get("phase") == "Running":
        deleted.add(name)
        call("DELETE", f"{PODS}/{name}")
seconds = time.monotonic() - begin
call("DELETE", PODS.replace("pods", "events"))
print(f"{COUNT} pods begun, run and deleted in {seconds:.0f} s: {COUNT / seconds:.1f} pods/s, {AT_ONCE} at one time")
