#!/usr/bin/env bats
# What clients are shown and asked for by the API server alone: tables, forms of answers, times.

load helpers

setup_file() {
    need_root
    new_cluster
    start_server
    kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$DATA/admin.crt"
    kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$DATA/admin.key"
    kubectl create serviceaccount default
}
teardown_file() { stop_all; }

# curl as the administrator: METHOD PATH ACCEPT [ARGS…]; prints the body and, on a last line, the code.
api() {
    local method=$1 path=$2 accept=$3
    shift 3
    inside curl -sS --max-time 60 --cacert "$DATA/pki/ca.crt" --cert "$DATA/admin.crt" --key "$DATA/admin.key" \
        -X "$method" -H "Accept: $accept" -H "Content-Type: ${TYPE:-application/json}" -w '\n%{http_code}' "$@" "https://127.0.0.1:6443$path"
}
TABLE='application/json;as=Table;v=v1;g=meta.k8s.io'

@test "get shows Kubernetes' columns, in wide output all of them" {
    kubectl apply -f - <<Y
apiVersion: v1
kind: Pod
metadata: {name: gated}
spec: {schedulingGates: [{name: a/b}], readinessGates: [{conditionType: x/y}], containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guard}
spec: {podSelector: {matchLabels: {app: x}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: example.com/disk
Y
    [ "$(kubectl get pod gated -o wide --no-headers | awk '{ print $2, $3, $4, $6, $7, $8, $9 }')" = "0/1 SchedulingGated 0 <none> <none> <none> 0/1" ]
    [ "$(kubectl get netpol guard --no-headers | awk '{ print $1, $2 }')" = "guard app=x" ]
    [ "$(kubectl get sc fast --no-headers | awk '{ print $1, $2, $3, $4, $5, $6 }')" = "fast (default) example.com/disk Delete Immediate false" ]
    [ "$(kubectl get serviceaccounts | head -n 1 | xargs)" = "NAME AGE" ]
}

@test "a scale is a table, too" {
    kubectl create deployment web --image=i --replicas=3
    [ "$(kubectl get deployment web --subresource=scale --no-headers | awk '{ print $1, $2, $3 }')" = "web 3 0" ]
}

@test "a table of what cannot be one is not acceptable" {
    local review='{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}'
    local path=/apis/authorization.k8s.io/v1/selfsubjectaccessreviews
    [ "$(api POST $path "$TABLE" -d "$review" | tail -n 1)" = 406 ]
    api POST $path "$TABLE,application/json" -d "$review" | grep -q '"allowed":true'
    [ "$(api GET /apis "$TABLE" | tail -n 1)" = 406 ]
    [ "$(api GET /api/v1 "$TABLE" | tail -n 1)" = 406 ]
    [ "$(api GET /apis "$TABLE,application/json" | tail -n 1)" = 200 ]
    api GET /api/v1/namespaces/default/pods/none "$TABLE" | grep -q '"kind":"Status"'
    api GET /api/v1/namespaces/default "$TABLE" | grep -q '"kind":"Table"'
}

@test "times of any year are kept, and zero ones are none" {
    local lease
    for lease in old:0001-01-01T00:00:02Z:0001-01-01T00:00:02.000000Z far:9999-12-31T23:59:59Z:9999-12-31T23:59:59.000000Z \
        zero:0001-01-01T00:00:00Z: ; do
        kubectl apply -f - <<Y
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: ${lease%%:*}}
spec: {renewTime: "$(echo "$lease" | cut -d: -f2-4)"}
Y
        [ "$(kubectl get lease "${lease%%:*}" -o jsonpath='{.spec.renewTime}')" = "$(echo "$lease" | cut -d: -f5-)" ]
    done
}

@test "the version names its commit" {
    kubectl get --raw /version | jq -re .gitCommit | grep -qE '^[0-9a-f]{40}$'
}

token_secret() { # NAME ACCOUNT [NAMESPACE]
    cat <<Y
apiVersion: v1
kind: Secret
metadata: {name: $1, namespace: ${3:-default}, annotations: {kubernetes.io/service-account.name: $2}}
type: kubernetes.io/service-account-token
Y
}
token_of() { kubectl get secret "$1" -o jsonpath='{.data.token}' | base64 -d; }
whoami_code() { # TOKEN: how a review of who it is gets answered
    inside curl -sS -o "$DATA/whoami" -w '%{http_code}' --cacert "$DATA/pki/ca.crt" -H "Authorization: Bearer $1" -H 'Content-Type: application/json' \
        -d '{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}' https://127.0.0.1:6443/apis/authentication.k8s.io/v1/selfsubjectreviews
}

@test "a token Secret is filled when it is made, and its token says who asks" {
    local token
    kubectl create serviceaccount robot
    token_secret robot-token robot | kubectl apply -f -
    token=$(token_of robot-token)
    [ "$(kubectl get secret robot-token -o jsonpath='{.data.ca\.crt}' | base64 -d)" = "$(cat "$DATA/pki/ca.crt")" ]
    [ "$(kubectl get secret robot-token -o jsonpath='{.data.namespace}' | base64 -d)" = default ]
    [ "$(kubectl get secret robot-token -o jsonpath='{.metadata.annotations.kubernetes\.io/service-account\.uid}')" = "$(kubectl get sa robot -o jsonpath='{.metadata.uid}')" ]
    echo "$token" | cut -d. -f2 | python3 -c 'import base64, json, sys; c = json.loads(base64.urlsafe_b64decode(sys.stdin.read().strip() + "==")); k = "kubernetes.io/serviceaccount/"
assert c["iss"] == "kubernetes/serviceaccount" and c[k + "secret.name"] == "robot-token" and c[k + "namespace"] == "default", c
assert c["sub"] == "system:serviceaccount:default:robot" and c[k + "service-account.name"] == "robot" and "exp" not in c, c'
    [ "$(whoami_code "$token")" = 201 ]
    grep -q '"username":"system:serviceaccount:default:robot"' "$DATA/whoami"
    # Neither another apply nor a change of labels makes another token.
    token_secret robot-token robot | kubectl apply -f - | grep -q unchanged
    token_secret robot-token robot | kubectl apply --server-side --force-conflicts -f -
    token_secret robot-token robot | kubectl apply --server-side -f -
    kubectl label secret robot-token a=b
    [ "$(token_of robot-token)" = "$token" ]
}

@test "who may make a Secret does not read the token in it by that" {
    local accept secrets=/api/v1/namespaces/default/secrets
    kubectl create serviceaccount strong
    kubectl create role maker --verb=create,patch --resource=secrets
    kubectl create rolebinding maker --role=maker --user=maker
    for accept in application/json "$TABLE" 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io'; do
        token_secret strong-token strong | TYPE=application/yaml api POST "$secrets?includeObject=Object" "$accept" -H 'Impersonate-User: maker' \
            --data-binary @- >"$DATA/made"
        [ "$(whoami_code "$(token_of strong-token)")" = 201 ]
        TYPE=application/merge-patch+json api PATCH "$secrets/strong-token?includeObject=Object" "$accept" -H 'Impersonate-User: maker' \
            -d '{"data":{"token":null}}' >"$DATA/patched"
        [ "$(whoami_code "$(token_of strong-token)")" = 201 ]
        [ "$(tail -n 1 "$DATA/made") $(tail -n 1 "$DATA/patched")" = '201 200' ]
        grep -q '"name":"strong-token"' "$DATA/made"
        grep -q '"name":"strong-token"' "$DATA/patched"
        run grep -hE '"token":' "$DATA/made" "$DATA/patched"
        [ "$status" -eq 1 ] || { echo "$accept: $output"; false; }
        kubectl delete secret strong-token
    done
}

@test "a token ends with its Secret, with its value there, and with its account" {
    local token
    kubectl create serviceaccount short
    token_secret short-token short | kubectl create -f -
    token=$(token_of short-token)
    [ "$(whoami_code "$token")" = 201 ]
    kubectl patch secret short-token --type=merge -p '{"data":{"token":null}}'
    [ "$(whoami_code "$token")" = 401 ]
    [ "$(whoami_code "$(token_of short-token)")" = 201 ] # a new one took its place
    token=$(token_of short-token)
    kubectl patch secret short-token --type=merge -p '{"metadata":{"finalizers":["a.b/c"]}}'
    kubectl delete secret short-token --wait=false
    [ "$(whoami_code "$token")" = 401 ]
    kubectl patch secret short-token --type=merge -p '{"metadata":{"finalizers":null}}'
    token_secret short-token short | kubectl create -f -
    [ "$(whoami_code "$token")" = 401 ]
    token=$(token_of short-token)
    kubectl delete serviceaccount short
    kubectl create serviceaccount short
    [ "$(whoami_code "$token")" = 401 ]
    run kubectl label secret short-token a=b # what has lost its account can still be changed
    [ "$status" -eq 0 ]
}

@test "a token Secret gives nobody another namespace's account" {
    kubectl create namespace other
    kubectl create serviceaccount boss -n other
    run kubectl create -f <(token_secret stolen boss)
    [ "$status" -ne 0 ]
    [[ "$output" == *'secrets "stolen" is forbidden: error looking up service account default/boss: serviceaccount "boss" not found'* ]]
    run kubectl create -f <(token_secret stolen 'other/boss')
    [ "$status" -ne 0 ]
    run kubectl get secret stolen
    [ "$status" -ne 0 ]
    # The name of another account, written into a Secret that has a token, changes nothing of it.
    kubectl create serviceaccount one
    kubectl create serviceaccount two
    token_secret moved one | kubectl create -f -
    kubectl annotate --overwrite secret moved kubernetes.io/service-account.name=two
    [ "$(whoami_code "$(token_of moved)")" = 201 ]
    grep -q '"username":"system:serviceaccount:default:one"' "$DATA/whoami"
    # A token of one's own making is none; a dry run makes none.
    token_secret mine one | sed '$a data: {token: eC55Lno=}' | kubectl create -f -
    [ "$(whoami_code x.y.z)" = 401 ]
    [ -z "$(token_secret dry one | kubectl create --dry-run=server -o jsonpath='{.data.token}' -f -)" ]
}

@test "the store's files are their owner's alone, in a folder that others may read" {
    [ "$(stat -c %a "$DATA/store")" = 755 ]
    [ -s "$DATA/store/state.db" ]
    [ -z "$(find "$DATA/store" -type f -perm /077)" ]
}

@test "lists of objects can be applied, typed ones too" {
    cat >"$BATS_TEST_TMPDIR/lists" <<Y
apiVersion: v1
kind: ConfigMapList
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: first}, data: {a: "1"}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: second}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBindingList
items:
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: viewers}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
  subjects: [{kind: User, name: ann, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: third}}
Y
    for k in kubectl kubectl120; do
        $k apply -f "$BATS_TEST_TMPDIR/lists"
        kubectl get configmap first second third
        kubectl get rolebinding viewers
        kubectl delete -f "$BATS_TEST_TMPDIR/lists"
    done
    kubectl apply --server-side -f "$BATS_TEST_TMPDIR/lists"
    kubectl get --raw /apis/apiextensions.k8s.io/v1/customresourcedefinitions | jq -e '.kind == "CustomResourceDefinitionList" and .items == []'
    run kubectl get --raw /apis
    [[ "$output" != *apiextensions* ]]
    run kubectl get --raw /apis/apiextensions.k8s.io/v1/customresourcedefinitions --as=nobody
    [ "$status" -ne 0 ]
}

@test "health is told as a whole, check by check, and without some" {
    local endpoint
    for endpoint in healthz livez readyz; do
        [ "$(kubectl get --raw "/$endpoint")" = ok ]
        [ "$(kubectl get --raw "/$endpoint/ping")" = ok ]
        [ "$(kubectl get --raw "/$endpoint?exclude=ping")" = ok ]
        [ "$(kubectl get --raw "/$endpoint?verbose")" = "$(printf '[+]ping ok\n[+]etcd ok\n%s check passed' "$endpoint")" ]
        [ "$(kubectl get --raw "/$endpoint?verbose=1&exclude=etcd&exclude=x&exclude=y")" = "$(printf '[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for "x", "y"\n%s check passed' "$endpoint")" ]
        run kubectl get --raw "/$endpoint/nothing"
        [ "$status" -ne 0 ]
    done
    [ "$(api GET /readyz text/plain | tail -n 1)" = 200 ]
    [ "$(inside curl -sS --cacert "$DATA/pki/ca.crt" https://127.0.0.1:6443/readyz?verbose | tail -n 1)" = "readyz check passed" ]
}

@test "a token that is bound to a Secret or a Node ends with it" {
    local token
    kubectl create serviceaccount bound
    kubectl create secret generic anchor
    kubectl apply -f - <<Y
apiVersion: v1
kind: Node
metadata: {name: harbour}
Y
    token=$(kubectl create token bound --bound-object-kind Secret --bound-object-name anchor)
    [ "$(whoami_code "$token")" = 201 ]
    kubectl delete secret anchor
    kubectl create secret generic anchor # another object of that name
    [ "$(whoami_code "$token")" = 401 ]
    run kubectl create token bound --bound-object-kind Secret --bound-object-name anchor --bound-object-uid 11111111-2222-3333-4444-555555555555
    [ "$status" -ne 0 ]
    [[ "$output" == *"does not match the UID in record"* ]]
    run kubectl create token bound --bound-object-kind Secret --bound-object-name none
    [[ "$output" == *'secrets "none" not found'* ]]
    token=$(kubectl create token bound --bound-object-kind Node --bound-object-name harbour)
    [ "$(whoami_code "$token")" = 201 ]
    kubectl delete node harbour
    [ "$(whoami_code "$token")" = 401 ]
    run kubectl create token bound --duration=1200000h
    [ "$status" -ne 0 ]
    [[ "$output" == *"spec.expirationSeconds: Invalid value: 4320000000: may not specify a duration larger than 2^32 seconds"* ]]
}

@test "the initial events of a watch do not come as a table" {
    local path='/api/v1/namespaces?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1'
    [ "$(api GET "$path" "$TABLE" | tail -n 1)" = 406 ]
    api GET "$path" "$TABLE,application/json" | grep -q '"kind":"Namespace"'
    api GET '/api/v1/namespaces?watch=true&resourceVersion=0&timeoutSeconds=1' "$TABLE" | grep -q '"kind":"Table"'
}

@test "events have the names of the group that asks, however they were written" {
    local core=/api/v1/namespaces/default/events new=/apis/events.k8s.io/v1/namespaces/default/events
    api POST $new application/json -d '{"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{"name":"new"},
        "regarding":{"kind":"Pod","name":"p","namespace":"default"},"note":"written as new","action":"Do","reason":"Test","type":"Normal",
        "eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"tester","reportingInstance":"one"}' | tail -n 1 | grep -qx 201
    api POST $core application/json -d '{"kind":"Event","apiVersion":"v1","metadata":{"name":"old"},"count":3,"type":"Normal",
        "involvedObject":{"kind":"Pod","name":"q","namespace":"default"},"message":"written as old","reason":"Test","source":{"component":"tester"}}' | tail -n 1 | grep -qx 201
    seen() { [ "$(kubectl get --raw "$1" | jq -r "$2" | xargs)" = "$3" ]; } # PATH FILTER EXPECTED
    seen $core/new '.involvedObject.name, .message, .reportingComponent, .note' 'p written as new tester null'
    seen $new/old '.regarding.name, .note, .deprecatedCount, .deprecatedSource.component, .message' 'q written as old 3 tester null'
    # Lists, their selectors, tables with the object, watches.
    seen "$core?fieldSelector=source=tester" '.items[] | .metadata.name, .message' 'new written as new old written as old'
    seen "$new?fieldSelector=reportingController=tester" '.items[] | .metadata.name, .note' 'new written as new'
    seen "$new?fieldSelector=regarding.name=q,reason=Test" '.items[] | .note' 'written as old'
    api GET "$new/old?includeObject=Object" "$TABLE" | grep -q '"note":"written as old"'
    seen "$new?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=regarding.name=q" '.object.note' 'written as old'
    # A patch by the name of one group changes the field that the other shows. The newer group changes series alone.
    kubectl patch events.v1. old --type=merge -p '{"message": "changed"}'
    seen $new/old '.note, .message' 'changed null'
    run kubectl patch events.events.k8s.io old --type=merge -p '{"note": "again"}'
    [[ $output = *'message: Invalid value: "again": field is immutable'* ]]
    kubectl patch events.events.k8s.io new --type=merge -p '{"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01Z"}}'
    seen $core/new '.series.count, .note' '2 null'
    kubectl patch events.v1. new -p '{"message": "changed too"}'
    seen $new/new '.note, .message' 'changed too null'
    kubectl get events.events.k8s.io | grep -q 'changed too'
    kubectl delete events.events.k8s.io --all
    seen $core '.items | length' 0
}
