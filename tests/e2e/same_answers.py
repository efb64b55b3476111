#!/usr/bin/env python3
"""same_answers.py - asks two servers of Prometheus' HTTP API the same queries and compares the answers.

same_answers.py URL_A URL_B START END QUERIES: QUERIES has one query a line ('#' and empty lines are passed over). Each is
asked as an instant query at three times and as a range query with two steps. Numbers are the same when they differ by
less than one part in 10^9. What VERSION_CHANGES names is passed over. Prints each difference and a last line "N the same, N different"; exit code 1 where any differ."""
import json
import math
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

TOLERANCE = 1e-9

# What has changed between 2.42 and the version that is followed: (of the query, of what is found, why).
VERSION_CHANGES = [(re.compile(query), re.compile(found), why) for query, found, why in (
    (r" offset( \d+)?$", r'unexpected (number "5"|end of input) in offset, expected duration$', "a number is a duration, too, since 3.0"),
    (" @ ", '"<Item [0-9]+>" <op:@>', "2.42 has no name for it in a message"),
    (r"predict_linear\(.*\[[\w:]+\][^,]* @ ", "", "2.42 moves the window that @ has fixed along with the steps"),
    (r"\[5y500q\]", "bad number or duration syntax", "the same, in the message"),
    (r"timestamp\(.* offset .* @ |timestamp\(.* @ .* offset ", "", "Prometheus forgets the offset beside @ under timestamp()"),
    (r"\batan2\b", r'only one has {"__name__"', "atan2 drops the metric's name, as the other operators do"),
    (r"\bstd(var|dev)\b", r": \[\S+ 'NaN'\] and \[", "of one value that is infinite or no number: it was 0"),
    (r"\b(day|days|hour|minute|month|year)(_\w+)?\(", r": \[\S+ '-?NaN'\] and \[",
     "of what is no time: Prometheus converts it to an integer, with a result that depends on the processor"),
)]


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


def message(text):
    """What must be the same of an error: not which series it names first, nor the words of the regular expressions' library."""
    return re.sub(r'^invalid parameter "query": |(?<=error parsing regexp).*|: \[{.*', "", text)


def difference(a, b):
    """What differs between two answers, in one line; empty when nothing does."""
    if a["status"] != b["status"]:
        return f"status {a['status']} and {b['status']}: {a.get('error')} / {b.get('error')}"
    if a["status"] == "error":
        x, y = [(answer["errorType"], message(answer["error"])) for answer in (a, b)]
        return "" if x == y else f"{' '.join(x)} and {' '.join(y)}"
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


def changed(query, found):
    return any(in_query.search(query) and in_found.search(found) for in_query, in_found, _ in VERSION_CHANGES)


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
            if found and not changed(query, found):
                different += 1
                print(f"{call} {params}: {found}")
            else:
                same += 1
    print(f"{same} the same, {different} different")
    return 1 if different or not same else 0


sys.exit(main())
