#!/usr/bin/env bats
# A disk without room, a real one: the cluster's folder is a file system of its own. What fails says so, what makes room
# goes on, and a start works.

load helpers

setup_file() {
    need_root
    new_up_place
    mkdir -m 755 "$CLUSTER"
    mount -t tmpfs -o size=160m,mode=755 knarr-test "$CLUSTER"
    start_up
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    rm -f "$CLUSTER/filling"
    inside "$KN" down --data-dir "$CLUSTER" || true
    umount "$CLUSTER" || true
    stop_all
}

fill() { dd if=/dev/zero of="$CLUSTER/filling" bs=64k oflag=append conv=notrunc 2>/dev/null || dd if=/dev/zero of="$CLUSTER/filling" bs=4k oflag=append conv=notrunc 2>/dev/null || true; }
free_kb() { df --output=avail -k "$CLUSTER" | tail -n 1; }
# Until the log has no room left either.
fill_until_refused() {
    for _ in $(seq 200); do
        fill
        kubectl create configmap "fill-$RANDOM$RANDOM" --from-literal=a="$(head -c 60000 /dev/zero | tr '\0' x)" >/dev/null 2>"$DATA/refusal" || return 0
    done
    echo "the disk is never full: $(free_kb) kB"
    return 1
}
store_kb() { du -k --total "$CLUSTER"/store/* | awk 'END { print $1 }'; }

@test "a disk that is nearly full is a condition of the node, and no pods come until there is room" {
    pressure() { [ "$(kubectl get nodes -o jsonpath='{.items[0].status.conditions[?(@.type=="DiskPressure")].status}')" = "$1" ]; }
    pressure False
    head -c $((($(free_kb) - 5000) * 1024)) /dev/zero >"$CLUSTER/filling"
    wait_for 60 pressure True
    tainted() { kubectl get nodes -o jsonpath='{.items[0].spec.taints[*].key}' | grep -q node.kubernetes.io/disk-pressure; }
    wait_for 30 tainted
    kubectl run early --image=knarr.local/demo:1 --restart=Never --command -- sleep 1000
    refused() { kubectl get pod early -o jsonpath='{.status.conditions[?(@.type=="PodScheduled")].message}' | grep -q 'untolerated taint'; }
    wait_for 30 refused
    rm "$CLUSTER/filling"
    wait_for 60 pressure False
    kubectl wait --for=condition=Ready pod/early --timeout=60s
    kubectl delete pod early --now
}

@test "on a full disk writes are refused in words, and reads go on" {
    kubectl create deployment many --image=knarr.local/demo:1 --replicas=3 -- sleep 1000
    kubectl rollout status deployment/many --timeout=60s
    for i in $(seq 30); do
        kubectl create configmap "old-$i" --from-literal=a="$(head -c 50000 /dev/zero | tr '\0' x)"
    done
    fill_until_refused
    cat "$DATA/refusal"
    grep -qi 'no space left\|full' "$DATA/refusal"
    [ "$(kubectl get configmaps -o name | grep -c old-)" = 30 ]
    kubectl get pods
}

@test "on a full disk objects and pods are deleted, gracefully too" {
    kubectl delete configmap $(seq -f 'old-%g' 10)
    kubectl delete deployment many --timeout=60s
    none() { [ -z "$(kubectl get pods -o name)" ]; }
    wait_for 60 none
    [ "$(kubectl get configmaps -o name | grep -c old-)" = 20 ]
}

@test "a start works on a full disk, and stops and starts again do" {
    for _ in 1 2; do
        fill
        inside "$KN" down --data-dir "$CLUSTER"
        fill
        inside "$KN" up --data-dir "$CLUSTER" --detach 3>&- || { tail -n 5 "$CLUSTER/log/server.log"; ls -la "$CLUSTER/store"; free_kb; false; }
        "$KN" status --data-dir "$CLUSTER"
        kubectl delete pod "pod-$RANDOM" --ignore-not-found
        [ "$(kubectl get configmaps -o name | grep -c old-)" = 20 ]
    done
    kubectl delete configmap $(seq -f 'old-%g' 11 15)
}

@test "with room again everything works, and the store has given back what it does not need" {
    rm "$CLUSTER/filling"
    kubectl delete configmaps --all || { tail -qn 12 "$CLUSTER"/log/server.log "$CLUSTER"/log/up.log; false; }
    works() { kubectl create configmap fresh --from-literal=a=b; }
    wait_for 30 works
    [ -s "$CLUSTER/store/reserve" ]
    kubectl create deployment again --image=knarr.local/demo:1 -- sleep 1000
    kubectl rollout status deployment/again --timeout=60s
    shrunk() { echo "$(store_kb) kB"; [ "$(store_kb)" -lt 14000 ]; }
    wait_for 60 shrunk
    ! grep -E 'damaged|corrupt' "$CLUSTER"/log/server.log || false
}
