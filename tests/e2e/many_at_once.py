"""Connections that write, read, watch and change rights at the same time, on every loop of the server.

usage: many_at_once.py CA CERT KEY ROUNDS
Each of twelve threads has a connection of its own and does its part ROUNDS times. What must hold is checked; the first
that does not ends the program with a sentence. Prints "fine: N answers, M events".
"""

import http.client
import json
import os
import ssl
import sys
import threading
import traceback

CA, CERT, KEY = sys.argv[1:4]
ROUNDS = int(sys.argv[4])
JSON, MERGE = {"Content-Type": "application/json"}, {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
CORE = "/api/v1/namespaces/default"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
RIGHTS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)
lock = threading.Lock()
over = threading.Event()
answers = events = 0


class Connection:
    """One connection; each request says which answers are right."""

    def __init__(self):
        self.http = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=120)

    def ask(self, verb, path, body=None, headers=JSON, right=(200, 201)):
        global answers
        self.http.request(verb, path, json.dumps(body) if body is not None else None, headers)
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status not in right:
            raise RuntimeError(f"{verb} {path}: {answer.status} {text[:300]!r}")
        with lock:
            answers += 1
        return json.loads(text) if answer.headers.get("Content-Encoding") is None and text[:1] == b"{" else None


def write(nr, c):
    for i in range(ROUNDS):
        name = f"w{nr}-{os.getpid()}-{i}"
        c.ask("POST", f"{CORE}/configmaps", {"metadata": {"name": name, "labels": {"by": f"w{nr}"}}, "data": {"a": "1"}})
        c.ask("PATCH", f"{CORE}/configmaps/{name}", {"data": {"b": str(i)}}, MERGE)
        c.ask("PATCH", f"{CORE}/configmaps/shared?fieldManager=m{nr}&force=true",
              {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {f"k{nr}": str(i)}}, APPLY)
        seen = c.ask("GET", f"{CORE}/configmaps/{name}")["data"]["b"]
        if seen != str(i):
            raise RuntimeError(f"{name} has {seen}, not {i}")
        if i % 8 == 7:
            c.ask("DELETE", f"{CORE}/configmaps?labelSelector=by%3Dw{nr}")


def serve(nr, c):
    for i in range(ROUNDS):
        c.ask("POST", f"{CORE}/services", {"metadata": {"name": f"s{nr}"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})
        c.ask("DELETE", f"{CORE}/services/s{nr}")


def write_large(nr, c):
    name = f"large{nr}-{os.getpid()}"
    body = {"metadata": {"name": name}, "data": {"a": "x" * 300000}}
    c.ask("POST", f"{CORE}/configmaps", body)
    for i in range(ROUNDS // 4 + 1):
        body["data"]["n"] = str(i)
        c.ask("PUT", f"{CORE}/configmaps/{name}", body)


def read(nr, c):
    paths = [f"{CORE}/configmaps", "/api/v1/services", "/openapi/v3", "/openapi/v2", "/apis", "/metrics", "/readyz?verbose"]
    forms = [{}, {"Accept-Encoding": "gzip"}, {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}]
    for i in range(ROUNDS):
        path = paths[(i + nr) % len(paths)]
        c.ask("GET", path, headers=forms[i % 3] if path.startswith("/api/v1") else forms[i % 2])


def watch(nr, c):
    """From now to the end: what a watch says has the order of revisions."""
    global events
    rev = c.ask("GET", f"{CORE}/configmaps?limit=1")["metadata"]["resourceVersion"]
    while not over.is_set():
        c.http.request("GET", f"{CORE}/configmaps?watch=1&timeoutSeconds=2&resourceVersion={rev}")
        answer = c.http.getresponse()
        for line in answer:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise RuntimeError(str(event))
            new = event["object"]["metadata"]["resourceVersion"]
            if int(new) < int(rev):
                raise RuntimeError(f"revision {new} after {rev}")
            rev = new
            with lock:
                events += 1


def change_rights(nr, c):
    """A right holds for the very next question, whichever loop is asked."""
    other = Connection()
    name, user = f"r{nr}-{os.getpid()}", f"u{nr}"
    question = {"spec": {"user": user, "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}}}
    c.ask("POST", f"{RBAC}/roles", {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]})
    for i in range(ROUNDS):
        for wanted in (True, False):
            if wanted:
                c.ask("POST", f"{RBAC}/rolebindings", {
                    "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
            else:
                c.ask("DELETE", f"{RBAC}/rolebindings/{name}")
            for asked in (other, c):
                if asked.ask("POST", RIGHTS, question)["status"].get("allowed", False) != wanted:
                    raise RuntimeError(f"round {i}: the right is not {wanted}")


def reconnect(nr, c):
    """New connections, with whatever certificate the server has by now."""
    for i in range(ROUNDS):
        one = Connection()
        one.ask("GET", "/version")
        one.http.close()


def run(part, nr, c):
    try:
        part(nr, c)
    except Exception:
        traceback.print_exc()
        os._exit(1)


parts = [watch, watch, write, write, serve, serve, write_large, read, read, change_rights, change_rights, reconnect]
threads = [threading.Thread(target=run, args=(part, nr, Connection())) for nr, part in enumerate(parts)]
for t in threads:
    t.start()
for t in threads[2:]:
    t.join()
over.set()
for t in threads[:2]:
    t.join()
print(f"fine: {answers} answers, {events} events")
