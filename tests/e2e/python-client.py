#!/usr/bin/python3
"""python-client.py POD: what Python's users of Kubernetes do with a pod, by Debian's python3-kubernetes: watch, exec, logs
that are followed, and port-forward. Says "ok NAME" for each."""
import sys
from kubernetes import client, config, watch
from kubernetes.stream import portforward, stream

config.load_kube_config()
core, name, ns = client.CoreV1Api(), sys.argv[1], "default"


def ok(what, fine):
    print("ok" if fine else "not ok", what, flush=True)


# watch=True, with a capital
seen = []
w = watch.Watch()
core.create_namespaced_config_map(ns, {"metadata": {"name": "seen-by-python"}})
for event in w.stream(core.list_namespaced_config_map, ns, timeout_seconds=20):
    if event["object"].metadata.name == "seen-by-python":
        seen.append(event["type"])
        if event["type"] == "ADDED":
            core.delete_namespaced_config_map("seen-by-python", ns)
        else:
            w.stop()
ok("watch", seen == ["ADDED", "DELETED"])

said = stream(core.connect_get_namespaced_pod_exec, name, ns, command=["sh", "-c", "echo out; echo err >&2"], stderr=True, stdin=False,
              stdout=True, tty=False)
ok("exec", "out" in said and "err" in said)

shell = stream(core.connect_get_namespaced_pod_exec, name, ns, command=["sh"], stderr=True, stdin=True, stdout=True, tty=False,
               _preload_content=False)
shell.write_stdin("echo hello; exit 3\n")
ok("exec with input", shell.readline_stdout(timeout=20) == "hello")
shell.run_forever(timeout=20)
ok("exit code", shell.returncode == 3)

lines = []
for line in watch.Watch().stream(core.read_namespaced_pod_log, name, ns, tail_lines=3):
    lines.append(line)
    if len(lines) == 5:
        break
numbers = [int(line) for line in lines]
ok("log follow", numbers == list(range(numbers[0], numbers[0] + 5)))

forward = portforward(core.connect_get_namespaced_pod_portforward, name, ns, ports="8080")
http = forward.socket(8080)
http.setblocking(True)
http.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
answer = b""
while piece := http.recv(65536):
    answer += piece
ok("port_forward", b"from the pod" in answer and forward.error(8080) is None)

page = core.connect_get_namespaced_pod_proxy_with_path(name + ":8080", ns, "index.html")
ok("proxy", "from the pod" in page)
