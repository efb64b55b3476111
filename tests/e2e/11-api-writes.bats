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

# A ConfigMap whose body is a Python expression: post EXPRESSION
post() {
    python3 -c "print($1)" >"$BATS_TEST_TMPDIR/body"
    api POST /api/v1/namespaces/default/configmaps --data-binary @"$BATS_TEST_TMPDIR/body" "${@:2}"
}

@test "a body of nothing but doubled fields is answered, with bounded warnings" {
    run post '"{\"metadata\":{\"name\":\"doubled\"}" + ",\"data\":{}" * 280000 + "}"' -D "$BATS_TEST_TMPDIR/head"
    [[ "$output" == *'"name":"doubled"'* ]]
    [ "$(grep -ic '^warning:' "$BATS_TEST_TMPDIR/head")" -gt 10 ]
    [ "$(grep -i '^warning:' "$BATS_TEST_TMPDIR/head" | wc -c)" -lt 12000 ]
    run post '"{\"metadata\":{\"name\":\"unknown\"}" + "".join(",\"u%d\":1" % n for n in range(200000)) + "}"'
    [[ "$output" == *'"name":"unknown"'* ]]
}

@test "a request that needs more memory than it may have is told so, and nothing of it is kept" {
    run post '"{\"metadata\":{\"name\":\"wide\",\"labels\":{" + ",".join("\"l%d\":\"\"" % n for n in range(200000)) + "}}}"'
    [[ "$output" == *'"reason":"RequestEntityTooLarge"'*'"code":413'* ]]
    run kubectl get configmap wide
    [ "$status" -ne 0 ]
    python3 -c 'print("{\"spec\":{\"user\":\"u\",\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\"},\"extra\":{" + ",".join("\"k%d\":[]" % n for n in range(250000)) + "}}}")' >"$BATS_TEST_TMPDIR/review"
    run api POST /apis/authorization.k8s.io/v1/subjectaccessreviews --data-binary @"$BATS_TEST_TMPDIR/review"
    [[ "$output" == *'"status":{"allowed":'* || "$output" == *'"code":413'* ]]
    kubectl get --raw /readyz
}

@test "headless ports may lead elsewhere, and a StatefulSet may mount its claims" {
    kubectl create -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {a: b}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: claims}
spec:
  serviceName: headless
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: i, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
Y
    run kubectl patch statefulset claims --type=json \
        -p '[{"op":"replace","path":"/spec/template/spec/containers/0/volumeMounts/0/name","value":"other"}]'
    [[ "$output" == *'volumeMounts[0].name: Not found: "other"'* ]]
}
