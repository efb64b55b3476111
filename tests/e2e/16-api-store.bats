#!/usr/bin/env bats
# Stores that older programs left, and what lies in a store.

load helpers

setup() {
    need_root
    new_cluster
}

teardown() { stop_all; }

# What a watch of PATH sees goes to DATA/NAME.seen. It begins with a bookmark, and has begun when that is there.
watch() { # PATH NAME
    nsenter --net="/run/netns/$NS" "$TOOLS/kubectl-1.35" get --raw \
        "$1?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true" \
        >"$DATA/$2.seen" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 10 grep -q BOOKMARK "$DATA/$2.seen"
}

@test "a store of format 3 is served, and its objects say their kind and version from then on" {
    cp "$E2E_DIR"/../unit/store/format-3/* "$DATA/store/"
    start_server
    [ "$(kubectl get configmap a -o jsonpath='{.kind} {.apiVersion} {.data.v} {.metadata.uid}')" = 'ConfigMap v1 2 5f0f9d3e-0000-4000-8000-000000000001' ]
    [ "$(kubectl get deployment d -o jsonpath='{.kind} {.apiVersion} {.spec.replicas}')" = 'Deployment apps/v1 1' ]
    [ "$(kubectl get events.v1.events.k8s.io e -o jsonpath='{.kind} {.apiVersion} {.note}')" = 'Event events.k8s.io/v1 m' ]
    run kubectl get configmap b
    [[ $output == *NotFound* ]]
    kubectl patch configmap a --type=merge -p '{"data":{"v":"3"}}'
    kill "$(cat "$DATA/server.pid")"
    wait_for 10 test ! -e "$DATA/store/state.db-wal" || wait_for 10 test ! -s "$DATA/store/state.db-wal"
    grep -qaF '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"' "$DATA/store/state.db"
    grep -qaF '{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"' "$DATA/store/state.db"
    grep -qaF '{"kind":"Event","apiVersion":"v1","metadata":{"name":"e"' "$DATA/store/state.db"
}

@test "an autoscaler is written, patched, watched and read in both versions" {
    start_server
    kubectl create serviceaccount default
    kubectl create deployment d --image=demo >/dev/null
    watch /apis/autoscaling/v1/horizontalpodautoscalers v1
    watch /apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers v2
    kubectl apply -f - <<'Y' 2>"$DATA/warnings"
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: h}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 4, targetCPUUtilizationPercentage: 60}
Y
    grep -q 'HorizontalPodAutoscaler is stored, but scales nothing' "$DATA/warnings"
    wait_for 10 grep -q 'ADDED.*autoscaling/v1.*"targetCPUUtilizationPercentage":60' "$DATA/v1.seen"
    wait_for 10 grep -q 'ADDED.*autoscaling/v2.*"averageUtilization":60' "$DATA/v2.seen"
    inside kubectl get hpa.v2.autoscaling h -o json >"$DATA/v2"
    jq -e '.apiVersion == "autoscaling/v2" and .spec.minReplicas == 1 and .spec.metrics[0].resource.target.averageUtilization == 60' "$DATA/v2"
    [ "$(kubectl get hpa h --no-headers | awk '{print $2, $3, $4, $5, $6, $7}')" = 'Deployment/d cpu: <unknown>/60% 1 4 0' ]
    [ "$(kubectl get horizontalpodautoscalers.v1.autoscaling h --no-headers | awk '{print $2}')" = Deployment/d ]
    run kubectl patch hpa h --type=merge -p '{"spec":{"maxReplicas":0}}'
    [[ $output == *'spec.maxReplicas: Invalid value: 0: must be greater than 0'* ]]
    kubectl patch horizontalpodautoscalers.v1.autoscaling h --type=merge -p '{"spec":{"targetCPUUtilizationPercentage":70}}'
    [ "$(kubectl get hpa h -o jsonpath='{.spec.metrics[0].resource.target.averageUtilization}')" = 70 ]
    kubectl patch hpa h --type=merge -p '{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":30}}}}'
    kubectl get horizontalpodautoscalers.v1.autoscaling h -o json >"$DATA/v1"
    jq -e '.spec.targetCPUUtilizationPercentage == 70' "$DATA/v1"
    jq -e '.metadata.annotations["autoscaling.alpha.kubernetes.io/behavior"] | fromjson | .scaleDown.stabilizationWindowSeconds == 30 and .scaleUp.policies[0].value == 4' "$DATA/v1"
    kubectl replace -f "$DATA/v1" # there and back
    kubectl get hpa h -o json >"$DATA/v2"
    jq -e '.spec.behavior.scaleDown.stabilizationWindowSeconds == 30 and (.metadata.annotations // {} | has("autoscaling.alpha.kubernetes.io/behavior") | not)' "$DATA/v2"
}

@test "events are watched under the names of either group" {
    start_server
    watch /api/v1/events core
    watch /apis/events.k8s.io/v1/namespaces/default/events other
    kubectl create -f - <<'Y'
apiVersion: v1
kind: Event
metadata: {name: one, namespace: default}
involvedObject: {kind: Pod, name: p, namespace: default}
message: said
reason: Told
type: Normal
Y
    wait_for 10 grep -q 'ADDED.*"apiVersion":"v1".*"message":"said"' "$DATA/core.seen"
    wait_for 10 grep -q 'ADDED.*"apiVersion":"events.k8s.io/v1".*"note":"said"' "$DATA/other.seen"
}

@test "a whole cluster goes on with a store of format 3 that has a long history" {
    stop_all
    new_up_place
    start_up
    inside "$KN" down --data-dir "$CLUSTER"
    rm "$CLUSTER"/store/*
    cp "$E2E_DIR"/../unit/store/format-3/state.db* "$CLUSTER/store/"
    sqlite3 "$CLUSTER/store/state.db" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT OR REPLACE INTO history(seq, at, key, val) SELECT i, 1700000000, 'k', randomblob(1000) FROM n"
    chown --reference="$CLUSTER/store" "$CLUSTER"/store/*
    start_up # its server may write nowhere but in its store
    [ "$(kubectl get configmap a -o jsonpath='{.data.v}')" = 2 ]
    inside "$KN" down --data-dir "$CLUSTER"
}
