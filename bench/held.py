#!/usr/bin/env python3
"""held.py CA CERT KEY PROBE… - how long a loop of the API server at 127.0.0.1:6443 is held by requests of 3 MB.

PROBE… is the command of bench-loops' probe, which asks small things on every loop all the time. One row: the request, its
status, and the longest that a small one had to wait meanwhile. Each request is sent ROUNDS times, and the least of its
rows counts: what others do on the machine only adds. Exits with 1 when that is more than 50 ms."""
import http.client
import json
import ssl
import subprocess
import sys

CA, CERT, KEY = sys.argv[1:4]
LARGE, ROUNDS, BAR_MS = 2_900_000, 4, 50
CORE, RBAC = "/api/v1/namespaces/default", "/apis/rbac.authorization.k8s.io/v1"
PATCH = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json",
         "json": "application/json-patch+json", "apply": "application/apply-patch+yaml"}
http.client._MAXHEADERS = 100_000  # warnings
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)
connection = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=300)
prober = subprocess.Popen(sys.argv[4:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def longest():
    prober.stdin.write("\n")
    prober.stdin.flush()
    return float(prober.stdout.readline())


def call(verb, path, text=None, headers=None):
    connection.request(verb, path, text, {"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def text_of(value):
    return json.dumps(value, separators=(",", ":"))


def names(size, each, form):
    return [form % n for n in range(size // each)]


def config_map(name, data):
    return text_of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def keys(size):
    return {k: "" for k in names(size, 13, "d%07d")}


def rules(size, verb="get"):
    return [{"apiGroups": [""], "resources": [n], "verbs": [verb]} for n in names(size, 65, "r%07d")]


def watch(query):
    """The present state, until its last object has come."""
    one = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=300)
    one.request("GET", f"{CORE}/configmaps?watch=1&timeoutSeconds=3&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
                f"allowWatchBookmarks=true{query}")
    answer = one.getresponse()
    while b"initial-events-end" not in answer.readline():
        pass
    one.close()
    return answer.status


def as_user(name):
    return {"Impersonate-User": name, "Impersonate-Group": "system:authenticated"}


big, many = config_map("big", {"a": "x" * 1_000_000}), text_of({"data": keys(1_000_000)})
REQUESTS = {
    "create, one large value": lambda: call("POST", f"{CORE}/configmaps", config_map("c", {"a": "x" * 1_000_000})),
    "create, many keys": lambda: call("POST", f"{CORE}/configmaps", config_map("c", keys(1_000_000))),
    "create, 3 MB of annotations": lambda: call("POST", f"{CORE}/configmaps", text_of(
        {"metadata": {"name": "c", "annotations": {k: "" for k in names(LARGE, 14, "a%07d")}}})),
    "create, 3 MB that no field has": lambda: call("POST", f"{CORE}/configmaps", text_of(
        {"metadata": {"name": "c"}, **{k: {} for k in names(LARGE, 14, "u%07d")}})),
    "create, pod of 3 MB": lambda: call("POST", f"{CORE}/pods", text_of(
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "env": [
            {"name": n, "value": "v"} for n in names(LARGE, 33, "E%07d")]}]}})),
    "create as YAML": lambda: call("POST", f"{CORE}/configmaps", "metadata: {name: c}\ndata:\n" + "".join(
        f"  {k}: ''\n" for k in keys(1_000_000)), {"Content-Type": "application/yaml"}),
    "update, many keys": lambda: call("PUT", f"{CORE}/configmaps/big", config_map("big", keys(1_000_000))),
    "merge patch": lambda: call("PATCH", f"{CORE}/configmaps/big", many, {"Content-Type": PATCH["merge"]}),
    "strategic patch": lambda: call("PATCH", f"{CORE}/configmaps/big", many, {"Content-Type": PATCH["strategic"]}),
    "JSON patch of many steps": lambda: call("PATCH", f"{CORE}/configmaps/big", text_of(
        [{"op": "add", "path": f"/data/{k}", "value": ""} for k in names(470_000, 47, "d%07d")]), {"Content-Type": PATCH["json"]}),
    "apply": lambda: call("PATCH", f"{CORE}/configmaps/applied?fieldManager=held", config_map("applied", keys(700_000)),
                          {"Content-Type": PATCH["apply"]}),
    "small patch of a large object": lambda: call("PATCH", f"{CORE}/configmaps/big", '{"metadata":{"labels":{"a":"b"}}}',
                                                  {"Content-Type": PATCH["merge"]}),
    "role, 3 MB of rules": lambda: call("POST", f"{RBAC}/clusterroles", text_of(
        {"metadata": {"name": "c"}, "rules": rules(LARGE)})),
    "role, 1 MB of rules": lambda: call("POST", f"{RBAC}/clusterroles", text_of(
        {"metadata": {"name": "c"}, "rules": rules(1_000_000)})),
    "role, by who holds each rule": lambda: call("POST", f"{RBAC}/namespaces/default/roles", text_of(
        {"metadata": {"name": "c"}, "rules": rules(700_000)}), as_user("holder")),
    "binding, by who holds each rule": lambda: call("POST", f"{RBAC}/namespaces/default/rolebindings", text_of(
        {"metadata": {"name": "c"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "wide"},
         "subjects": []}), as_user("holder")),
    "binding of 3 MB": lambda: call("POST", f"{RBAC}/clusterrolebindings", text_of(
        {"metadata": {"name": "c"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
         "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": n} for n in names(LARGE, 75, "s%07d")]})),
    "first question behind 3 MB of rules": lambda: (
        call("POST", f"{RBAC}/clusterroles", text_of({"metadata": {"name": "c"}, "rules": rules(LARGE)})), longest(),
        call("GET", f"{CORE}/configmaps?limit=1", None, as_user("holder")))[2],
    "role of few words and many rights": lambda: call("POST", f"{RBAC}/namespaces/default/roles", text_of(
        {"metadata": {"name": "c"}, "rules": [{"apiGroups": [""], "resources": ["r%07d" % 5000], "verbs": ["get"],
                                               "resourceNames": names(900_000, 10, "%07d")}] * 3}), as_user("holder")),
    "deletion of a large object": lambda: (
        call("POST", f"{CORE}/configmaps", config_map("c", keys(1_000_000))), longest(),
        call("DELETE", f"{CORE}/configmaps/c"))[2],
    "first question after a change of RBAC": lambda: (
        call("PATCH", f"{RBAC}/clusterroles/small", '{"metadata":{"labels":{"a":"%s"}}}' % prober.poll(), {"Content-Type": PATCH["merge"]}),
        call("GET", f"{CORE}/configmaps?limit=1", None, as_user("holder")))[1],
    "review of 3 MB": lambda: call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", text_of(
        {"spec": {"user": "u", "groups": names(LARGE, 11, "g%07d"), "resourceAttributes": {"verb": "get", "resource": "pods"}}})),
    "rules review": lambda: call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                                 '{"spec":{"namespace":"default"}}', as_user("holder")),
    "token review of 3 MB": lambda: call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", text_of(
        {"spec": {"token": "x" * LARGE}})),
    "binding of a pod, 3 MB": lambda: call("POST", f"{CORE}/pods/p0/binding", text_of(
        {"metadata": {"name": "p0", "annotations": {k: "" for k in names(LARGE, 14, "a%07d")}}, "target": {"kind": "Node", "name": "n"}})),
    "eviction of 3 MB": lambda: call("POST", f"{CORE}/pods/p0/eviction", text_of(
        {"metadata": {"name": "p0", "annotations": {k: "" for k in names(LARGE, 14, "a%07d")}}})),
    "deletion with 3 MB of options": lambda: call("DELETE", f"{CORE}/configmaps/none", text_of(
        {"preconditions": {k: "" for k in names(LARGE, 14, "a%07d")}})),
    "deletecollection with 3 MB of options": lambda: call("DELETE", f"{CORE}/secrets", text_of(
        {"preconditions": {k: "" for k in names(LARGE, 14, "a%07d")}})),
    "deletecollection of large objects": lambda: (
        [call("POST", f"{CORE}/configmaps", text_of({"metadata": {"name": f"d{i}", "labels": {"gone": "y"}}, "data": keys(1_000_000)}))
         for i in range(4)], longest(), call("DELETE", f"{CORE}/configmaps?labelSelector=gone%3Dy"))[2],
    "get": lambda: call("GET", f"{CORE}/configmaps/wide"),
    "get as Table": lambda: call("GET", f"{CORE}/configmaps/wide", None, {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
    "get as YAML": lambda: call("GET", f"{CORE}/configmaps/wide", None, {"Accept": "application/yaml"}),
    "get as protobuf": lambda: call("GET", f"{CORE}/configmaps/wide", None, {"Accept": "application/vnd.kubernetes.protobuf"}),
    "get, gzip": lambda: call("GET", f"{CORE}/configmaps/wide", None, {"Accept-Encoding": "gzip"}),
    "LIST": lambda: call("GET", f"{CORE}/configmaps"),
    "LIST, gzip": lambda: call("GET", f"{CORE}/configmaps", None, {"Accept-Encoding": "gzip"}),
    "LIST as Table": lambda: call("GET", f"{CORE}/configmaps", None, {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
    "LIST as Table with objects": lambda: call("GET", f"{CORE}/configmaps?includeObject=Object", None,
                                               {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
    "LIST as YAML": lambda: call("GET", f"{CORE}/configmaps?labelSelector=one", None, {"Accept": "application/yaml"}),
    "LIST as protobuf": lambda: call("GET", f"{CORE}/configmaps", None, {"Accept": "application/vnd.kubernetes.protobuf"}),
    "LIST with a selector": lambda: call("GET", f"{CORE}/configmaps?labelSelector=l0001234%3Dv"),
    "watch from the present state": lambda: watch(""),
    "watch with a selector": lambda: watch("&labelSelector=l0001234%3Dv"),
    "watch as Table": lambda: call("GET", f"{CORE}/configmaps?watch=1&timeoutSeconds=1", None,
                                   {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
}


def prepare():
    call("POST", f"{CORE}/configmaps", big)
    call("POST", f"{CORE}/configmaps", config_map("wide", keys(1_000_000)))
    call("POST", f"{CORE}/configmaps", text_of(
        {"metadata": {"name": "labelled", "labels": {"one": "", **{k: "v" for k in names(1_400_000, 17, "l%07d")}}}}))
    for i in range(8):
        call("POST", f"{CORE}/configmaps", config_map(f"more{i}", keys(1_000_000)))
    call("POST", f"{CORE}/pods", text_of({"metadata": {"name": "p0"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}))
    call("POST", f"{RBAC}/clusterroles", text_of({"metadata": {"name": "small"}, "rules": rules(100)}))
    call("POST", f"{RBAC}/clusterroles", text_of({"metadata": {"name": "wide"}, "rules": rules(700_000) + [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]}))
    call("POST", f"{RBAC}/clusterrolebindings", text_of(
        {"metadata": {"name": "holder"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "wide"},
         "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "holder"}]}))


def clean():
    for path in [f"{CORE}/configmaps/c", f"{CORE}/configmaps/applied", f"{CORE}/pods/p?gracePeriodSeconds=0", f"{RBAC}/clusterroles/c",
                 f"{RBAC}/namespaces/default/roles/c", f"{RBAC}/namespaces/default/rolebindings/c", f"{RBAC}/clusterrolebindings/c"]:
        call("DELETE", path)


def measure(request):
    longest()
    status = request()
    held = longest()
    clean()
    return held, status


prepare()
held_long = 0
for what, request in REQUESTS.items():
    held, status = min(measure(request) for _ in range(ROUNDS))
    held_long += held > BAR_MS
    print(f"{what:40} {status} {held:8.1f} ms{'  over the bar' if held > BAR_MS else ''}", flush=True)
prober.stdin.close()
sys.exit(1 if held_long else 0)
