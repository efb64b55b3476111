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
    [[ "$output" == *"the namespace of the object (kube-system) does not match the namespace on the request (default)"* ]]
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

claims() { kubectl get ipaddresses -o name | sort | tr '\n' ' '; }

@test "addresses and node ports are claimed with the Service, and go with it" {
    kubectl create service nodeport taken --tcp=80 --node-port=30123
    ip=$(kubectl get service taken -o jsonpath='{.spec.clusterIP}')
    [ "$(kubectl get ipaddress "$ip" -o jsonpath='{.spec.parentRef.resource} {.spec.parentRef.namespace}/{.spec.parentRef.name}')" = "services default/taken" ]
    kubectl get ipaddresses -l ipaddress.kubernetes.io/managed-by=ipallocator.k8s.io -o name | grep -q "/$ip\$"
    run kubectl create service nodeport other --tcp=80 --node-port=30123
    [[ "$output" == *"provided port is already allocated"* ]]
    run kubectl create service clusterip other --tcp=80 --clusterip="$ip"
    [[ "$output" == *"provided IP is already allocated"* ]]
    kubectl delete service taken
    run kubectl get ipaddress "$ip"
    [ "$status" -ne 0 ]
    kubectl create service nodeport again --tcp=80 --node-port=30123
    kubectl create service clusterip again2 --tcp=80 --clusterip="$ip"
    kubectl delete service again again2
}

@test "a dry run, a diff and a refusal claim nothing" {
    before=$(claims)
    kubectl create service nodeport dry --tcp=80 --node-port=30124 --dry-run=server
    kubectl create service clusterip refused --tcp=80 -o json --dry-run=client |
        sed 's/"refused"/"Not a name"/' >"$BATS_TEST_TMPDIR/bad.json"
    run kubectl create -f "$BATS_TEST_TMPDIR/bad.json"
    [ "$status" -ne 0 ]
    kubectl create service nodeport diffed --tcp=80 --node-port=30124 -o yaml --dry-run=client >"$BATS_TEST_TMPDIR/svc.yaml"
    kubectl diff -f "$BATS_TEST_TMPDIR/svc.yaml" || true
    [ "$(claims)" = "$before" ]
    kubectl create -f "$BATS_TEST_TMPDIR/svc.yaml"
    kubectl delete -f "$BATS_TEST_TMPDIR/svc.yaml"
    [ "$(claims)" = "$before" ]
}

@test "many Services at once get addresses of their own" {
    for n in $(seq 30); do
        printf -- '---\napiVersion: v1\nkind: Service\nmetadata: {name: many%s, labels: {many: x}}\nspec: {type: NodePort, ports: [{port: 80}, {port: 81, name: b}]}\n' "$n" |
            sed 's/{port: 80}/{port: 80, name: a}/' >>"$BATS_TEST_TMPDIR/many.yaml"
    done
    kubectl create -f "$BATS_TEST_TMPDIR/many.yaml" >/dev/null
    [ "$(kubectl get services -l many=x -o jsonpath='{range .items[*]}{.spec.clusterIP}{"\n"}{end}' | sort -u | wc -l)" -eq 30 ]
    [ "$(kubectl get services -l many=x -o jsonpath='{range .items[*]}{range .spec.ports[*]}{.nodePort}{"\n"}{end}{end}' | sort -u | wc -l)" -eq 60 ]
    kubectl delete services -l many=x
    [ "$(kubectl get ipaddresses -o json | grep -c '"name": "many')" -eq 0 ]
}

@test "a Service changes its type, and what came with the old one goes" {
    kubectl create service nodeport turn --tcp=80 --node-port=30125
    kubectl patch service turn -p '{"spec":{"type":"ClusterIP"}}'
    [ -z "$(kubectl get service turn -o jsonpath='{.spec.ports[0].nodePort}{.spec.externalTrafficPolicy}')" ]
    kubectl create service nodeport next --tcp=80 --node-port=30125
    ip=$(kubectl get service turn -o jsonpath='{.spec.clusterIP}')
    kubectl patch service turn -p '{"spec":{"type":"ExternalName","externalName":"example.com"}}'
    [ -z "$(kubectl get service turn -o jsonpath='{.spec.clusterIP}{.spec.ipFamilies}')" ]
    run kubectl get ipaddress "$ip"
    [ "$status" -ne 0 ]
    kubectl patch service turn -p '{"spec":{"type":"LoadBalancer","externalName":null}}'
    [ -n "$(kubectl get service turn -o jsonpath='{.spec.ports[0].nodePort}')" ]
    kubectl patch service turn -p '{"spec":{"type":"ClusterIP"}}'
    # What the client itself asks for is still refused.
    run kubectl patch service turn --type=merge -p '{"spec":{"ports":[{"port":80,"nodePort":30999}]}}'
    [[ "$output" == *"may not be used when"* ]]
}

@test "a collection is deleted whole, and says what could not be" {
    kubectl create namespace full
    for n in $(seq 300); do
        printf -- '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%s, namespace: full}\n' "$n"
    done >"$BATS_TEST_TMPDIR/full.yaml"
    kubectl create -f "$BATS_TEST_TMPDIR/full.yaml" >/dev/null
    run api DELETE '/api/v1/namespaces/full/configmaps?dryRun=All'
    [[ "$output" == *'"status":"Success"'* ]]
    [ "$(kubectl get configmaps -n full -o name | wc -l)" -ge 300 ]
    run api DELETE /api/v1/namespaces/full/configmaps
    [[ "$output" == *'"status":"Success"'* ]]
    [ -z "$(kubectl get configmaps -n full -o name)" ]
    run api DELETE '/api/v1/namespaces?labelSelector=kubernetes.io%2Fmetadata.name%3Dkube-public'
    [[ "$output" == *'"code":403'* || "$output" == *'"code":405'* ]]
    kubectl get namespace kube-public
}

@test "a store without claims gets them at the start" {
    kubectl create service clusterip older --tcp=80
    ip=$(kubectl get service older -o jsonpath='{.spec.clusterIP}')
    kubectl delete ipaddress "$ip"
    kill_role server
    start_server
    kubectl get ipaddress "$ip"
    [ "$(kubectl get ipaddress 10.96.0.1 -o jsonpath='{.spec.parentRef.name}')" = kubernetes ]
}

@test "ephemeral containers are added, and nothing else comes in by that door" {
    kubectl create -f <(pod debugged)
    patch='{"metadata":{"labels":{"sneaked":"in"}},"spec":{"containers":[{"name":"c","image":"evil"}],"serviceAccountName":"other","ephemeralContainers":[{"name":"debug","image":"d"}]}}'
    kubectl patch pod debugged --subresource=ephemeralcontainers -p "$patch" ||
        api PATCH /api/v1/namespaces/default/pods/debugged/ephemeralcontainers -d "$patch"
    run kubectl get pod debugged -o jsonpath='{.metadata.labels.sneaked}{.spec.containers[0].image} {.spec.serviceAccountName} {.spec.ephemeralContainers[0].name}'
    [ "$output" = "i default debug" ]
    run api PATCH /api/v1/namespaces/default/pods/debugged/ephemeralcontainers -d '{"spec":{"ephemeralContainers":[{"name":"debug","image":"x"}]}}'
    [[ "$output" == *"may not be changed"* ]]
    run api PATCH /api/v1/namespaces/default/pods/debugged/ephemeralcontainers -d '{"spec":{"ephemeralContainers":null}}'
    [[ "$output" == *"may not be removed"* ]]
}

@test "who gathers the rules of other roles has to hold everything" {
    kubectl create clusterrole role-maker --verb=create,update,patch --resource=clusterroles.rbac.authorization.k8s.io
    kubectl create clusterrolebinding role-maker --clusterrole=role-maker --user=maker
    printf 'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: gathered}\naggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}\n' >"$BATS_TEST_TMPDIR/role.yaml"
    run kubectl create --as=maker -f "$BATS_TEST_TMPDIR/role.yaml"
    [[ "$output" == *"must have cluster-admin privileges to use the aggregationRule"* ]]
    kubectl create -f "$BATS_TEST_TMPDIR/role.yaml"
}

@test "a token request says what it gives, and is for the account of its path" {
    run api POST /api/v1/namespaces/default/serviceaccounts/default/token -d '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":400000}}'
    [[ "$output" == *'"expirationSeconds":86400'* ]]
    run api POST /api/v1/namespaces/default/serviceaccounts/default/token -d '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":{"name":"other"},"spec":{}}'
    [[ "$output" == *'"code":400'* ]]
    run api POST /api/v1/namespaces/default/serviceaccounts/default/token -d '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":{"namespace":"kube-system"},"spec":{}}'
    [[ "$output" == *'"code":400'* ]]
}

@test "a write of the status changes the metadata that the kind's strategy allows" {
    kubectl create deployment d --image=i
    kubectl create -f <(pod labelled)
    for path in apis/apps/v1/namespaces/default/deployments/d api/v1/namespaces/default/pods/labelled; do
        api PATCH "/$path/status" -d '{"metadata":{"labels":{"new":"x"},"annotations":{"new":"x"}}}' >/dev/null
    done
    [ "$(kubectl get deployment d -o jsonpath='{.metadata.labels.new}{.metadata.annotations.new}')" = x ]
    [ "$(kubectl get pod labelled -o jsonpath='{.metadata.labels.new}{.metadata.annotations.new}')" = xx ]
}

@test "a Service cannot take an address that belongs to a node, to pods or to Services" {
    cat <<Y | kubectl create -f -
apiVersion: v1
kind: Node
metadata: {name: far}
spec: {podCIDR: 10.99.0.0/24, podCIDRs: [10.99.0.0/24]}
Y
    kubectl patch node far --subresource=status --type=merge \
        -p '{"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.77"}]}}'
    svc() { printf 'apiVersion: v1\nkind: Service\nmetadata: {name: taker}\nspec: {ports: [{port: 443}], externalIPs: [%s]}\n' "$1"; }
    for pair in "192.0.2.77:is the address of a node" "10.99.0.5:is in the range of pods" \
        "10.96.0.1:is in the range of Services" "127.0.0.1:may not be in the loopback range" \
        "169.254.169.254:may not be in the link-local range"; do
        run kubectl create -f <(svc "${pair%%:*}")
        [ "$status" -ne 0 ]
        [[ "$output" == *"spec.externalIPs[0]: Invalid value: \"${pair%%:*}\": ${pair#*:}"* ]]
    done
    svc 198.51.100.7 | kubectl create -f -
    # What was there before may stay.
    kubectl patch node far --subresource=status --type=merge \
        -p '{"status": {"addresses": [{"type": "InternalIP", "address": "198.51.100.7"}]}}'
    kubectl label service taker a=b
    run kubectl patch service taker --subresource=status --type=merge \
        -p '{"status": {"loadBalancer": {"ingress": [{"ip": "10.96.0.1"}]}}}'
    [ "$status" -ne 0 ]
    [[ "$output" == *"status.loadBalancer.ingress[0].ip: Invalid value"* ]]
    kubectl delete service taker
    kubectl delete node far
}

@test "what a request may look at is bounded: rights of a role, members under a JSON patch" {
    jq -n '[range(350)] as $n | {apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: {name: "wide"},
        rules: [{verbs: ($n | map("v\(.)")), apiGroups: ($n | map("g\(.)")), resources: ($n | map("r\(.)"))}]}' \
        >"$BATS_TEST_TMPDIR/role.json"
    kubectl create serviceaccount small
    kubectl create rolebinding small --clusterrole=admin --serviceaccount=default:small
    run kubectl --as system:serviceaccount:default:small create -f "$BATS_TEST_TMPDIR/role.json"
    [ "$status" -ne 0 ]
    [[ "$output" == *Forbidden* ]]
    kubectl create -f "$BATS_TEST_TMPDIR/role.json" # who holds everything may
    kubectl delete role wide
    kubectl create configmap wide
    jq -n '[{op: "add", path: "/metadata/zz", value: ([range(50000) | {key: "k\(.)", value: 0}] | from_entries)}] +
        [range(9900) | {op: "test", path: "/metadata/zz/k49999", value: 0}] + [{op: "remove", path: "/metadata/zz"}]' \
        >"$BATS_TEST_TMPDIR/patch.json"
    run kubectl patch configmap wide --type=json --patch-file "$BATS_TEST_TMPDIR/patch.json"
    [ "$status" -ne 0 ]
    [[ "$output" == *"too many operations on maps and lists as large as these"* ]]
}

@test "tenants do not write Endpoints" {
    [ "$(kubectl auth can-i create endpoints --as system:serviceaccount:default:small || true)" = no ]
    [ "$(kubectl auth can-i get endpoints --as system:serviceaccount:default:small)" = yes ]
}

@test "large writes, many at once, are each answered rightly, and small reads meanwhile" {
    run inside python3 "$BATS_TEST_DIRNAME/large_writes.py" "$DATA/pki/ca.crt" "$BATS_FILE_TMPDIR/crt" "$BATS_FILE_TMPDIR/key" answered
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == "{200: 48, 400: 24, 413: 24, 422: 24} reads "* ]]
    [ "${output##* }" -gt 24 ]
}

@test "who goes away during a large write, or stops the server, breaks nothing" {
    large() { nsenter --net="/run/netns/$NS" python3 "$BATS_TEST_DIRNAME/large_writes.py" "$DATA/pki/ca.crt" "$BATS_FILE_TMPDIR/crt" "$BATS_FILE_TMPDIR/key" "$1" 3>&- & }
    large left
    wait $!
    kubectl get configmap large-0 -o jsonpath='{.data.k0000000}' | grep -qx w
    large answered 2>/dev/null
    writer=$!
    sleep 1
    kill_role server TERM
    wait "$writer" || true
    ! grep -E 'AddressSanitizer|ThreadSanitizer|runtime error' "$DATA/log/server.log" || false
    start_server
    kubectl get configmap large-0
}

@test "what is allowed in a pod, and hardly meant, is warned of" {
    warned() { printf '%s\n' "$output" | grep -qF "$1"; }
    local containers='[{name: c, image: i, env: [{name: A, value: "1"}, {name: A, value: "2"}], ports: [{containerPort: 80}, {containerPort: 80}, {containerPort: 80, protocol: UDP}]}]'
    run kubectl apply -f - <<Y
{apiVersion: v1, kind: Pod, metadata: {name: odd}, spec: {containers: $containers}}
Y
    [ "$status" = 0 ]
    warned 'Warning: spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'
    warned 'Warning: spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]'
    [ "$(printf '%s\n' "$output" | grep -c Warning)" = 2 ]
    run kubectl apply -f - <<Y
{apiVersion: apps/v1, kind: Deployment, metadata: {name: odd}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: $containers}}}}
Y
    warned 'Warning: spec.template.spec.containers[0].env[1]: hides previous definition of "A"'
    run kubectl scale deployment odd --replicas=2
    [ "$(printf '%s\n' "$output" | grep -c Warning)" = 0 ]
    run kubectl label deployment odd x=y # its template is as it was
    [ "$(printf '%s\n' "$output" | grep -c Warning)" = 0 ]
    kubectl delete deployment/odd
    kubectl delete pod/odd --force --grace-period=0
}

@test "patches, one behind the other, nest no deeper than what everybody can read" {
    pod deep | kubectl apply -f -
    local deep i
    deep() { printf '{"f:a":%.0s' $(seq "$1") && printf '{}' && printf '}%.0s' $(seq "$1"); }
    [ "$(api PATCH /api/v1/namespaces/default/pods/deep -d "{\"metadata\":{\"managedFields\":[{\"manager\":\"m\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":$(deep 80)}]}}" -o /dev/null -w '%{http_code}')" = 200 ]
    path=/metadata/managedFields/0/fieldsV1$(printf '/f:a%.0s' $(seq 80))
    inside curl -sS --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/crt" --key "$BATS_FILE_TMPDIR/key" -X PATCH \
        -H 'Content-Type: application/json-patch+json' https://127.0.0.1:6443/api/v1/namespaces/default/pods/deep \
        -d "[{\"op\":\"add\",\"path\":\"$path\",\"value\":$(deep 80)}]" -o "$BATS_TEST_TMPDIR/answer" -w '%{http_code}' >"$BATS_TEST_TMPDIR/code"
    [ "$(cat "$BATS_TEST_TMPDIR/code")" != 200 ] || [ "$(kubectl get pod deep --show-managed-fields -o json | jq '[.. | objects | select(has("f:a"))] | length')" -lt 120 ]
    kubectl create -f - <<'Y'
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: deep}
revision: 1
data: {a: {}}
Y
    path=/data/a
    for i in 1 2; do
        inside curl -sS --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/crt" --key "$BATS_FILE_TMPDIR/key" -X PATCH \
            -H 'Content-Type: application/json-patch+json' https://127.0.0.1:6443/apis/apps/v1/namespaces/default/controllerrevisions/deep \
            -d "[{\"op\":\"add\",\"path\":\"$path\",\"value\":$(deep 70)}]" >"$BATS_TEST_TMPDIR/answer$i"
        path=$path$(printf '/f:a%.0s' $(seq 70))
    done
    jq -e '.kind == "ControllerRevision"' "$BATS_TEST_TMPDIR/answer1"
    jq -e '.code == 413 and (.message | test("max depth of 120"))' "$BATS_TEST_TMPDIR/answer2"
    kubectl get controllerrevisions,pods -A
    kubectl delete controllerrevision/deep
    kubectl delete pod/deep --force --grace-period=0
}

@test "what an autoscaler's annotations say of version 2 is held to it, and says nothing of the status" {
    local note=autoscaling.alpha.kubernetes.io
    hpa() { # NAME ANNOTATION VALUE
        jq -n --arg n "$1" --arg k "$note/$2" --arg v "$3" '{apiVersion: "autoscaling/v1", kind: "HorizontalPodAutoscaler", metadata: {name: $n, annotations: {($k): $v}}, spec: {scaleTargetRef: {kind: "Deployment", name: "d"}, maxReplicas: 3}}'
    }
    for i in 'metrics|[{"type":5}]|cannot unmarshal' 'behavior|{"scaleUp":5}|cannot unmarshal' 'metrics|[{"type":"Bogus"}]|Unsupported value' \
        'metrics|[{"type":"Resource","resource":{"name":"cpu","targetAverageUtilization":-5}},{"type":"Pods"}]|must be greater than 0'; do
        hpa bad "${i%%|*}" "$(echo "$i" | cut -d'|' -f2)" >"$BATS_TEST_TMPDIR/bad.json"
        run api POST /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers -d @"$BATS_TEST_TMPDIR/bad.json"
        [[ $output == *"${i##*|}"* ]]
    done
    deep() { printf '{"a":%.0s' $(seq "$1") && printf '1' && printf '}%.0s' $(seq "$1"); }
    hpa nested behavior "$(deep 240)" >"$BATS_TEST_TMPDIR/nested.json"
    api POST /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers -d @"$BATS_TEST_TMPDIR/nested.json" >/dev/null
    hpa forged conditions '[{"type":"AbleToScale","status":"True"}]' >"$BATS_TEST_TMPDIR/forged.json"
    api POST /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers -d @"$BATS_TEST_TMPDIR/forged.json" >/dev/null
    [ "$(kubectl get hpa forged -o json | jq '.status.conditions // [] | length')" = 0 ]
    kubectl patch hpa forged --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"AbleToScale","status":"False","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}'
    api PATCH /apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/forged \
        -d "{\"metadata\":{\"annotations\":{\"$note/conditions\":\"[]\",\"mine\":\"x\"}}}" >/dev/null
    [ "$(kubectl get hpa forged -o json | jq -r '.status.conditions[0].status, .metadata.annotations.mine' | tr '\n' ' ')" = 'False x ' ]
    kubectl get hpa -A
    kubectl get --raw /apis/autoscaling/v1/horizontalpodautoscalers | jq -e '.items | length >= 1'
    kubectl delete hpa --all
}
