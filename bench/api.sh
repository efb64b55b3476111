#!/bin/bash
# bench/api.sh BUILD - CPU per create, get and merge patch of a 1 KB pod over four TLS connections. Root; in a network
# namespace of its own, the API server alone. Measured the same way on this kind of machine, kube-apiserver 1.20 with etcd
# 3.4 takes 1.9, 0.73 and 2.7 ms; Debian 12 has no kube-apiserver to run beside it.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
source tests/e2e/helpers.bash
new_cluster
trap stop_all EXIT
start_server
kubectl create serviceaccount default >/dev/null
inside "$KNARR_BUILD/bench/api_load" "$KUBECONFIG" "$(cat "$DATA/server.pid")" 8000
