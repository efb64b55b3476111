"""Large writes, many at once.

usage: large_writes.py CA CERT KEY answered|left
answered: 24 clients write large objects; prints how often which answer came, and how many small reads were answered
meanwhile. left: 30 clients go away once they have sent theirs.
"""

import collections
import http.client
import json
import ssl
import sys
import threading

CA, CERT, KEY, MODE = sys.argv[1:5]
MERGE = {"Content-Type": "application/merge-patch+json"}
PATH = "/api/v1/namespaces/default/configmaps"
context = ssl.create_default_context(cafile=CA)
context.load_cert_chain(CERT, KEY)
answers = collections.Counter()
lock = threading.Lock()
over = threading.Event()
reads = 0


def connect():
    return http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=300)


def labels(n, value):
    return json.dumps({"metadata": {"labels": {f"l{i:07}": value for i in range(n)}}})


def data(n, value):
    return json.dumps({"data": {f"k{i:07}": value for i in range(n)}})


def call(connection, verb, path, body=None, headers={}):
    connection.request(verb, path, body, headers)
    answer = connection.getresponse()
    tree = json.loads(answer.read())
    assert tree["kind"] == ("ConfigMap" if answer.status < 300 else "Status"), tree
    assert answer.status < 300 or tree["code"] == answer.status, tree
    return answer.status, tree


def write(n):
    connection = connect()
    name = f"large-{n}"
    call(connection, "POST", PATH, json.dumps({"metadata": {"name": name}}), {"Content-Type": "application/json"})
    for body, wanted in [(data(20000, "v"), 200), (labels(170000, "v"), 413), (data(20000, "w"), 200),
                         (labels(4000, "?"), 422), ("{" * 100000, 400)]:
        status, tree = call(connection, "PATCH", f"{PATH}/{name}", body, MERGE)
        with lock:
            answers[status] += 1
        assert status == wanted, (status, wanted, tree.get("message", "")[:300])
    status, tree = call(connection, "GET", f"{PATH}/{name}")
    assert tree["data"]["k0019999"] == "w" and len(tree["data"]) == 20000


def read():
    global reads
    connection = connect()
    while not over.is_set():
        connection.request("GET", "/readyz")
        assert connection.getresponse().read() == b"ok"
        reads += 1


def run(target, n):
    failed = []

    def guarded(i):
        try:
            target(i)
        except BaseException as e:  # noqa: a thread's end is not the program's
            failed.append(e)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed[0]


def leave(n):
    connection = connect()
    connection.request("PATCH", f"{PATH}/large-0", labels(150000, "v"), MERGE)
    connection.sock.close()


if MODE == "left":
    run(leave, 30)
else:
    reader = threading.Thread(target=read)
    reader.start()
    try:
        run(write, 24)
    finally:
        over.set()
        reader.join()
    print(dict(sorted(answers.items())), "reads", reads)
