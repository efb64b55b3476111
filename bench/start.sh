#!/bin/bash
# bench/start.sh [BUILD [PODS]] - start of a one-node cluster to node Ready, the whole idle platform's memory, and create →
# Running of a pod with network and token, of 100 pods one after the other. Root; in a network namespace of its own.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
source tests/e2e/helpers.bash
new_cluster
trap 'inside "$KNARR_BUILD/src/cmd/knarr" down --data-dir "$DATA" >/dev/null; stop_all' EXIT
rm -rf "$DATA/store"
begin=$(date +%s%N)
inside "$KNARR_BUILD/src/cmd/knarr" up --data-dir "$DATA" --detach >/dev/null
echo "start to node Ready: $((($(date +%s%N) - begin) / 1000000)) ms (budget 1000)"
make_image "$DATA/demo.tar" knarr.local/demo:1
inside "$KNARR_BUILD/src/cmd/knarr" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$DATA" >/dev/null
wait_for 20 kubectl get serviceaccount default
inside "$KNARR_BUILD/src/cmd/knarr" status --data-dir "$DATA" | sed -n 's/^up .* \([0-9.]* MB\) in all/idle platform, PSS: \1 (budget 64 MB)/p'
kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$DATA/admin.crt"
kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$DATA/admin.key"

inside python3 bench/starts.py "${2:-100}" knarr.local/demo:1 "$DATA/pki/ca.crt" "$DATA/admin.crt" "$DATA/admin.key"
