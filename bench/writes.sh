#!/bin/bash
# bench/writes.sh BUILD - what each verb and kind of patch costs at 300 kB and at 3 MB, and their ratio; 10 is linear. CPU of
# the whole server, and of its loop's thread alone: nobody else is served meanwhile. Root; in a network namespace of its own.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
source tests/e2e/helpers.bash
new_cluster
trap stop_all EXIT
start_server --serving-threads=1 # its thread is the loop
kubectl create serviceaccount default >/dev/null
for part in certificate key; do
    kubectl config view --raw -o jsonpath="{.users[0].user.client-$part-data}" | base64 -d >"$DATA/client.$part"
done
inside python3 bench/writes.py "$(cat "$DATA/server.pid")" "$DATA/pki/ca.crt" "$DATA/client.certificate" "$DATA/client.key"
