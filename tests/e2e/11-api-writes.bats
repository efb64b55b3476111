#!/usr/bin/env bats
# Writes to the API server alone: what they wait for, what they answer, and what they may change.

load helpers

setup_file() {
    need_root
    new_cluster
    start_server
    kubectl create serviceaccount default
}
teardown_file() { stop_all; }

pod() { # NAME [NAMESPACE]
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s}\nspec: {containers: [{name: c, image: i}]}\n' \
        "$1" "${2:-default}"
}

# curl as the administrator: METHOD PATH [ARGS…]
api() {
    local method=$1 path=$2 type=application/json
    shift 2
    [ "$method" != PATCH ] || type=application/merge-patch+json
    inside curl -sS --max-time 60 --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/crt" --key "$BATS_FILE_TMPDIR/key" \
        -X "$method" -H "Content-Type: $type" "$@" "https://127.0.0.1:6443$path"
}

setup() {
    [ -s "$BATS_FILE_TMPDIR/key" ] && return
    kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$BATS_FILE_TMPDIR/crt"
    kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$BATS_FILE_TMPDIR/key"
}

@test "a pod waits for its namespace's default account, and the server does not" {
    kubectl create namespace young
    pod web young | kubectl create -f - 3>&- &
    creator=$!
    kubectl get --raw /version
    kubectl create serviceaccount default -n young
    wait "$creator"
    [ "$(kubectl get pod web -n young -o jsonpath='{.spec.serviceAccountName}')" = default ]
}

@test "an account that never comes is an error, as is a missing one with a name" {
    kubectl create namespace empty
    run kubectl create -f <(pod web empty)
    [ "$status" -ne 0 ]
    [[ "$output" == *'serviceaccount "default" not found'* ]]
    # A client that leaves while it waits takes nothing down.
    pod gone empty | kubectl create -f - -o json --dry-run=client >"$BATS_TEST_TMPDIR/pod.json"
    run api POST /api/v1/namespaces/empty/pods --data-binary @"$BATS_TEST_TMPDIR/pod.json" --max-time 0.3
    [ "$status" -ne 0 ]
    kubectl get --raw /readyz
}

@test "a write that takes the last finalizer away answers the object" {
    for verb in PATCH PUT; do
        kubectl create configmap held
        kubectl patch configmap held --type=merge -p '{"metadata":{"finalizers":["example.com/held"]}}'
        kubectl delete configmap held --wait=false
        if [ "$verb" = PATCH ]; then
            body='{"metadata":{"finalizers":null}}'
        else
            body=$(kubectl get configmap held -o json | python3 -c 'import json, sys; o = json.load(sys.stdin); del o["metadata"]["finalizers"]; print(json.dumps(o))')
        fi
        run api "$verb" /api/v1/namespaces/default/configmaps/held -d "$body"
        [[ "$output" == *'"kind":"ConfigMap"'*'"name":"held"'* ]]
        run kubectl get configmap held
        [[ "$output" == *'"held" not found'* ]]
    done
}

@test "a patch cannot move an object" {
    kubectl create configmap fixed
    run api PATCH /api/v1/namespaces/default/configmaps/fixed -d '{"metadata":{"namespace":"kube-system"}}'
    [[ "$output" == *'"code":400'* ]]
    [[ "$output" == *"does not match the namespace sent on the request"* ]]
    run api PATCH /api/v1/namespaces/default/configmaps/fixed -d '{"metadata":{"name":"other"}}'
    [[ "$output" == *'"code":400'* ]]
}

@test "a binding keeps the pod's other conditions" {
    kubectl create -f <(pod bound)
    kubectl patch pod bound --subresource=status --type=merge \
        -p '{"status":{"conditions":[{"type":"example.com/Gate","status":"True"},{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}}'
    api POST /api/v1/namespaces/default/pods/bound/binding \
        -d '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"bound"},"target":{"kind":"Node","name":"n"}}'
    run kubectl get pod bound -o jsonpath='{.spec.nodeName} {range .status.conditions[*]}{.type}={.status}{" "}{end}'
    [ "$output" = "n example.com/Gate=True PodScheduled=True " ]
}
