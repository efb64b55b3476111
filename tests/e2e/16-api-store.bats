#!/usr/bin/env bats
# Stores that older programs left, and what lies in a store.

load helpers

setup() {
    need_root
    new_cluster
}

teardown() { stop_all; }

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
