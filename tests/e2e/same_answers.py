#!/usr/bin/env python3
"""same_answers.py - asks two servers of Prometheus' HTTP API the same queries and compares the answers.

same_answers.py URL_A URL_B START END QUERIES: QUERIES has one query a line ('#' and empty lines are passed over). Each is
asked as an instant query at three times and as a range query with two steps. Numbers are the same when they differ by
less than one part in 10^9. Prints each difference and a last line "N the same, N different"; exit code 1 where any differ."""
import json
import math
import sys
import urllib.error
import urllib.parse
import urllib.request

TOLERANCE = 1e-9


def ask(url, path, **params):
    data = urllib.parse.urlencode(params).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}", data=data, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def same_number(x, y):
    if x == y:
        return True
    a, b = float(x), float(y)
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-12)


def same_samples(x, y):
    return len(x) == len(y) and all(p[0] == q[0] and same_number(p[1], q[1]) for p, q in zip(x, y))


def by_labels(result):
    return {json.dumps(series["metric"], sort_keys=True): series for series in result}


def difference(a, b):
    """What differs between two answers, in one line; empty when nothing does."""
    if a["status"] != b["status"]:
        return f"status {a['status']} and {b['status']}: {a.get('error')} / {b.get('error')}"
    if a["status"] == "error":
        return "" if a["errorType"] == b["errorType"] else f"errorType {a['errorType']} and {b['errorType']}"
    a, b = a["data"], b["data"]
    if a["resultType"] != b["resultType"]:
        return f"resultType {a['resultType']} and {b['resultType']}"
    if a["resultType"] in ("scalar", "string"):
        return "" if a["result"][1] == b["result"][1] or same_number(a["result"][1], b["result"][1]) else \
            f"{a['result']} and {b['result']}"
    x, y = by_labels(a["result"]), by_labels(b["result"])
    if x.keys() != y.keys():
        only = sorted(x.keys() ^ y.keys())
        return f"{len(x)} and {len(y)} series; only one has {only[0]}"
    for key, series in x.items():
        samples = [s.get("values") or [s["value"]] for s in (series, y[key])]
        if not same_samples(*samples):
            odd = next(((p, q) for p, q in zip(*samples) if p[0] != q[0] or not same_number(p[1], q[1])), samples)
            return f"{key}: {odd[0]} and {odd[1]}"
    return ""


def main():
    url_a, url_b, start, end, path = sys.argv[1:6]
    start, end = float(start), float(end)
    same = different = 0
    for line in open(path, encoding="utf-8"):
        query = line.strip()
        if not query or query.startswith("#"):
            continue
        calls = [("query", {"query": query, "time": start + (end - start) * part}) for part in (0.1, 0.5, 0.93)]
        calls += [("query_range", {"query": query, "start": start, "end": end, "step": step}) for step in (47, 300)]
        for call, params in calls:
            found = difference(ask(url_a, call, **params), ask(url_b, call, **params))
            if found:
                different += 1
                print(f"{call} {params}: {found}")
            else:
                same += 1
    print(f"{same} the same, {different} different")
    return 1 if different or not same else 0


sys.exit(main())
