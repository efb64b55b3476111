#!/bin/bash
# bench/burst.sh [BUILD [PODS [AT_ONCE]]] - what a burst leaves: a one-node cluster runs 1000 pods, each deleted as soon as it
# runs, up to 80 at one time. Memory (PSS) of each role before, and when the pods' Events have been deleted and the server has
# forgotten the history of its objects, five minutes later; and how many pods a second. Root; in a network namespace of its own.
set -eu
cd "$(dirname "$0")/.."
KNARR_BUILD=$(realpath "${1:-build}")
export KNARR_BUILD
pods=${2:-1000} at_once=${3:-80}
source tests/e2e/helpers.bash
new_cluster
knarr=$KNARR_BUILD/src/cmd/knarr
trap 'inside "$knarr" down --data-dir "$DATA" >/dev/null; stop_all' EXIT
rm -rf "$DATA/store"
inside "$knarr" up --data-dir "$DATA" --detach >/dev/null
make_image "$DATA/demo.tar" knarr.local/demo:1
inside "$knarr" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$DATA" >/dev/null
wait_for 20 kubectl get serviceaccount default
for part in certificate key; do
    kubectl config view --raw -o jsonpath="{.users[0].user.client-$part-data}" | base64 -d >"$DATA/client.$part"
done
roles="server controller scheduler node dns"

# pss: "ROLE kB" of each role.
pss() {
    local role pid
    for role in $roles; do
        pid=$(pgrep -f -- "knarr-$role .*$DATA")
        awk -v role="$role" '/^Pss:/ { print role, $2 }' "/proc/$pid/smaps_rollup"
    done
}

sleep 20
pss >"$DATA/before"
inside python3 bench/burst.py "$pods" "$at_once" knarr.local/demo:1 "$DATA/pki/ca.crt" "$DATA/client.certificate" \
    "$DATA/client.key"
sleep 330
pss >"$DATA/after"
paste -d' ' "$DATA/before" "$DATA/after" | awk '
    { printf "%-10s idle %5.1f MB, after %5.1f MB, ratio %.2f (budget 1.50)\n", $1, $2 / 1000, $4 / 1000, $4 / $2 }'
