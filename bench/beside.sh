#!/bin/bash
# bench/beside.sh BUILD [PODS] [COUNT] - what requests cost the API server while controllers, scheduler and a node run beside it and
# PODS (3000) pods are there; and the time of a LIST of all these. Root; in a network namespace of its own. Measured the same way on
# this kind of machine, kube-apiserver 1.20 with etcd 3.4 takes 2.24, 0.83 and 2.53 ms, without anything beside it.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
source tests/e2e/helpers.bash
source bench/cluster.bash
new_cluster
trap stop_all EXIT
start_roles
fake_nodes $(seq -f 'node-%.0f' 0 49)
inside "$KNARR_BUILD/bench/bench-pods" "$KUBECONFIG" create "${2:-3000}"
sleep 3
inside bench/beside.py "$(cat "$DATA/server.pid")" "$DATA/pki/ca.crt" "$DATA/crt" "$DATA/key" "${3:-4000}"
