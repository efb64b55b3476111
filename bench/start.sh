#!/bin/bash
# bench/start.sh BUILD - start of a one-node cluster to node Ready, the whole idle platform's memory, and create → Running
# of one pod with network and token. Root; in a network namespace of its own; prints one line per figure.
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

# When a watch shows each pod Running, against when its creation was sent; 40 pods, one after the other.
kubectl get pods -w --no-headers | while read -r name _ status _; do
    [ "$status" != Running ] || echo "$name $(date +%s%N)" >>"$DATA/seen"
done &
watcher=$!
touch "$DATA/seen"
for i in $(seq 40); do
    echo "p$i $(date +%s%N)" >>"$DATA/sent"
    inside curl -sS -o /dev/null --cacert "$DATA/pki/ca.crt" --cert "$DATA/admin.crt" --key "$DATA/admin.key" \
        -H 'Content-Type: application/json' https://127.0.0.1:6443/api/v1/namespaces/default/pods -d \
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p$i\"},\"spec\":{\"terminationGracePeriodSeconds\":0,\"containers\":[{\"name\":\"c\",\"image\":\"knarr.local/demo:1\",\"command\":[\"sleep\",\"1000\"]}]}}"
    wait_for 20 grep -q "^p$i " "$DATA/seen" >/dev/null
done
kill "$watcher" 2>/dev/null || true
awk 'NR == FNR { sent[$1] = $2; next } !($1 in done) { done[$1] = 1; print ($2 - sent[$1]) / 1e6 }' "$DATA/sent" "$DATA/seen" | sort -n |
    awk '{ t[NR] = $1 } END { printf "create to Running seen by a watch: p50 %.0f ms, max %.0f ms of %d (budget 100 / 250)\n", t[int((NR + 1) / 2)], t[NR], NR }'
