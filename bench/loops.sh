#!/bin/bash
# bench/loops.sh BUILD [PODS] [SECONDS] - what a second loop brings, with PODS (3000) pods: gzip LISTs of them all per second over
# 8 connections, CPU of a get, and how long gets take beside two such LISTs. One loop and two take turns, ROUNDS (3) times, and
# the best of each counts, since what others do on the machine only takes away. Server and client share the processors: the
# client only reads, has precedence (nice) so that its own waiting is not measured, and what it used is printed beside what
# the server got (`cores`). With two processors the server can get 2 less the client's part, so the ratio of LISTs cannot
# reach 2. Gets come over 16 connections: with few, a single loop finds several requests at each wake-up and two loops one
# each, and what is compared is the cost of waking up. Root; in a network namespace of its own.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
[ ! -w /proc/self/autogroup ] || echo -20 >/proc/self/autogroup # before other sessions of the machine
pods=${2:-3000} seconds=${3:-5}
source tests/e2e/helpers.bash
new_cluster
trap stop_all EXIT
bench() { inside nice -n -10 "$KNARR_BUILD/bench/bench-loops" "$KUBECONFIG" "$(cat "$DATA/server.pid")" "$@"; }
start_server
kubectl create serviceaccount default >/dev/null
inside "$KNARR_BUILD/bench/bench-pods" "$KUBECONFIG" create "$pods" >/dev/null
for _ in $(seq "${ROUNDS:-3}"); do
    for loops in 1 2; do
        kill_role server TERM
        start_server --serving-threads=$loops >/dev/null
        for what in "lists 8" "gets 16" "beside 2"; do
            # shellcheck disable=SC2086
            echo "loops=$loops what=${what% *} $(bench $what "$seconds")" | tee -a "$DATA/results" >&2
        done
    done
done
# The best line of each; then the figures.
python3 - "$DATA/results" <<'P'
import sys
rows = [dict(word.split("=") for word in line.split()) for line in open(sys.argv[1])]
def best(loops, what, key, pick):
    return pick(float(r[key]) for r in rows if r["loops"] == loops and r["what"] == what)
lists = [best(n, "lists", "per_second", max) for n in "12"]
gets = [best(n, "gets", "cpu_ms", min) for n in "12"]
print(f"gzip LIST: {lists[0]:.1f} requests/s with one loop, {lists[1]:.1f} with two: {lists[1] / lists[0]:.2f} x (bar: 1.6)")
print(f"get: {gets[0]:.4f} ms CPU with one loop, {gets[1]:.4f} with two: {gets[1] / gets[0]:.2f} x (bar: 1.1)")
for n in "12":
    print(f"gets beside two gzip LISTs, {n} loop(s): p50 {best(n, 'beside', 'p50', min):.2f} ms, p99 {best(n, 'beside', 'p99', min):.2f} ms"
          + (" (bar: 5)" if n == "2" else ""))
P
