#!/bin/bash
# bench/resident.sh BUILD [PODS] [WATCHERS] - resident memory of the API server, the controllers and the scheduler: idle,
# with PODS (3000) pods after 10 updates of each and WATCHERS (50) watchers, started anew with them, and after a burst of
# 10,000 more pods has been made, bound and deleted. Root; in a network namespace of its own, without a node.
set -eu
cd "$(dirname "$0")/.."
export KNARR_BUILD="$PWD/${1:-build}"
pods=${2:-3000} watchers=${3:-50}
source tests/e2e/helpers.bash
source bench/cluster.bash
new_cluster
trap 'kill $(jobs -p) 2>/dev/null; stop_all' EXIT
start_controller() { run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"; }
start_scheduler() { run_role scheduler --kubeconfig="$DATA/pki/scheduler/kubeconfig"; }
load() { inside "$KNARR_BUILD/bench/bench-pods" "$KUBECONFIG" "$@"; }
# Without the pages of programs and libraries, which the roles share.
resident() { awk '/^RssAnon/ { printf "%.1f", $2 / 1000 }' "/proc/$(cat "$DATA/$1.pid")/status"; }
# Once nothing has used processor time for two seconds.
quiet() {
    local before now
    now=$(busy)
    until [ "${before:-}" = "$now" ]; do
        sleep 2
        before=$now now=$(busy)
    done
}
busy() { for role in controller scheduler; do awk '{ print int(($14 + $15) / 10) }' "/proc/$(cat "$DATA/$role.pid")/stat"; done | tr '\n' ' '; }
line() {
    quiet
    sleep 6 # freed memory goes back a few seconds after the work
    printf '%-44s server %6s  controller %6s  scheduler %6s MB\n' "$1:" "$(resident server)" "$(resident controller)" "$(resident scheduler)"
}

start_server
start_controller
start_scheduler
wait_for 20 kubectl get serviceaccount default >/dev/null
line "idle"
client_files
for ((i = 0; i < watchers; i++)); do
    inside curl -sN -o /dev/null --cacert "$DATA/pki/ca.crt" --cert "$DATA/crt" --key "$DATA/key" \
        'https://127.0.0.1:6443/api/v1/pods?watch=1' &
done
fake_nodes $(seq -f 'node-%.0f' 0 49)
load create "$pods"
line "$pods pods"
for ((i = 0; i < 10; i++)); do load update "$pods"; done
line "after 10 updates of each, $watchers watchers"
kill_role controller
kill_role scheduler
start_controller
start_scheduler
sleep 2
line "controller and scheduler started anew"
load delete "$pods"
fake_nodes large
kubectl patch node large --subresource=status --type=merge >/dev/null -p '{"status":{"allocatable":{"cpu":"4000","memory":"8Ti","pods":"100000"},
    "conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}]}}'
all_bound() { [ "$(kubectl get pods --field-selector=spec.nodeName= -o name | wc -l)" = 0 ]; }
begin=$(date +%s%N)
load pending 10000
wait_for 120 all_bound
echo "10000 pods made and bound in $((($(date +%s%N) - begin) / 1000000)) ms"
load delete 10000
line "after 10000 pods made and deleted"
