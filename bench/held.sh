#!/bin/bash
# bench/held.sh BUILD - for how long a loop of the API server is held by requests of 3 MB: what a small request on the same loop waits
# at most, for every verb and form. The bar is 50 ms. Root; in a network namespace of its own.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
source tests/e2e/helpers.bash
new_cluster
trap stop_all EXIT
[ ! -w /proc/self/autogroup ] || echo -20 >/proc/self/autogroup # before other sessions of the machine
start_server --serving-threads=1
kubectl create serviceaccount default >/dev/null
client_files
inside python3 bench/held.py "$DATA/pki/ca.crt" "$DATA/crt" "$DATA/key" \
    nice -n -10 "$KNARR_BUILD/bench/bench-loops" "$KUBECONFIG" "$(cat "$DATA/server.pid")" probe 1
