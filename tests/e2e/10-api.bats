#!/usr/bin/env bats
# The API server alone, with real kubectl 1.35 and 1.20 over TLS.

load helpers

setup_file() {
    need_root
    new_cluster
    start_server
    kubectl create serviceaccount default
}
teardown_file() { stop_all; }

@test "both kubectl versions list namespaces" {
    for k in kubectl kubectl120; do
        run $k get namespaces
        [ "$status" -eq 0 ]
        [[ "$output" == *kube-system*Active* ]]
    done
}

@test "the system's priority classes are objects with the values that their pods get" {
    local name
    kubectl create serviceaccount default -n kube-system
    [ "$(kubectl get priorityclasses -o jsonpath='{range .items[*]}{.metadata.name}={.value} {end}')" = "system-cluster-critical=2000000000 system-node-critical=2000001000 " ]
    for name in system-cluster-critical system-node-critical; do
        kubectl run critical -n kube-system --image=x --overrides="{\"spec\":{\"priorityClassName\":\"$name\"}}" --dry-run=client -o yaml >"$BATS_TEST_TMPDIR/pod"
        kubectl create -f "$BATS_TEST_TMPDIR/pod"
        [ "$(kubectl get pod critical -n kube-system -o jsonpath='{.spec.priority}')" = "$(kubectl get priorityclass "$name" -o jsonpath='{.value}')" ]
        kubectl delete pod critical -n kube-system --force --grace-period=0
    done
}

@test "version is a Kubernetes 1.35" {
    run kubectl version
    [[ "$output" == *"Server Version: v1.35.0+knarr"* ]]
}

@test "apply creates, then changes nothing, then changes" {
    cat >"$BATS_TEST_TMPDIR/cm.yaml" <<Y
apiVersion: v1
kind: ConfigMap
metadata: {name: one, labels: {app: x}}
data: {a: "1"}
Y
    kubectl apply -f "$BATS_TEST_TMPDIR/cm.yaml" | grep -q created
    kubectl apply -f "$BATS_TEST_TMPDIR/cm.yaml" | grep -q unchanged
    sed -i 's/"1"/"2"/' "$BATS_TEST_TMPDIR/cm.yaml"
    kubectl120 apply -f "$BATS_TEST_TMPDIR/cm.yaml" | grep -q configured
    [ "$(kubectl get cm one -o jsonpath='{.data.a}')" = 2 ]
    [ "$(kubectl get cm -l app=x -o name)" = configmap/one ]
    [ -z "$(kubectl get cm -l app=y -o name)" ]
}

@test "create, get and delete of secrets, accounts and roles" {
    kubectl create secret generic s --from-literal=k=v
    [ "$(kubectl get secret s -o jsonpath='{.data.k}' | base64 -d)" = v ]
    kubectl create serviceaccount robot
    kubectl create role reader --verb=get,list --resource=configmaps
    kubectl create rolebinding robot --role=reader --serviceaccount=default:robot
    kubectl delete secret s
    run kubectl get secret s
    [ "$status" -ne 0 ]
    [[ "$output" == *'secrets "s" not found'* ]]
}

@test "a bound token has the rights of its account and no more" {
    token=$(kubectl create token robot)
    server=$(kubectl config view -o jsonpath='{.clusters[0].cluster.server}')
    printf 'apiVersion: v1\nkind: Config\n' >"$BATS_TEST_TMPDIR/empty"
    as_robot() { inside "$TOOLS/kubectl-1.35" --kubeconfig "$BATS_TEST_TMPDIR/empty" --server "$server" \
        --certificate-authority "$DATA/pki/ca.crt" --token "$token" "$@"; }
    as_robot get configmaps
    run as_robot get secrets
    [ "$status" -ne 0 ]
    [[ "$output" == *'User "system:serviceaccount:default:robot" cannot list resource "secrets" in API group "" in the namespace "default"'* ]]
    [ "$(as_robot auth can-i list configmaps)" = yes ]
    run as_robot auth can-i delete configmaps
    [[ "$output" == no* ]]
    kubectl delete serviceaccount robot
    run as_robot get configmaps
    [[ "$output" == *Unauthorized* ]] || [[ "$output" == *"must be logged in"* ]]
}

@test "explain reads the schema in both versions" {
    kubectl explain pod.spec.containers | grep -q 'image'
    kubectl120 explain deployment.spec | grep -q 'replicas'
}

@test "unknown and wrong fields are refused in Kubernetes' words" {
    cat >"$BATS_TEST_TMPDIR/d.yaml" <<Y
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  replicas: -1
  foo: 3
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: c, image: i}]}
Y
    run kubectl apply -f "$BATS_TEST_TMPDIR/d.yaml"
    echo "$output"
    [[ "$output" == *'strict decoding error: unknown field "spec.foo"'* ]]
    run kubectl apply --validate=ignore -f "$BATS_TEST_TMPDIR/d.yaml"
    [[ "$output" == *'spec.replicas: Invalid value: -1: must be greater than or equal to 0'* ]]
    [[ "$output" == *'`selector` does not match template `labels`'* ]]
    sed -i 's/-1/"many"/; /foo/d' "$BATS_TEST_TMPDIR/d.yaml"
    run kubectl apply --validate=ignore -f "$BATS_TEST_TMPDIR/d.yaml"
    [[ "$output" == *'cannot unmarshal string into Go struct field'*'replicas'* ]]
}

raw() { # METHOD PATH BODY…
    inside curl -sS --cacert "$DATA/pki/ca.crt" --cert "$DATA/admin.crt" --key "$DATA/admin.key" -X "$1" \
        -H 'Content-Type: application/json' --data-binary "$3" "https://127.0.0.1:6443$2"
}
admin_files() {
    kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$DATA/admin.crt"
    kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$DATA/admin.key"
}

@test "malformed, deep and large bodies get a Status" {
    admin_files
    raw POST /api/v1/namespaces '{"a":' | jq -e '.kind == "Status" and .code == 400'
    raw POST /api/v1/namespaces "$(printf '[%.0s' $(seq 200))" | jq -e '.kind == "Status" and .code == 400'
    head -c 3200000 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/big"
    inside curl -sS --http1.1 --cacert "$DATA/pki/ca.crt" --cert "$DATA/admin.crt" --key "$DATA/admin.key" \
        -H 'Content-Type: application/json' --data-binary "@$BATS_TEST_TMPDIR/big" \
        https://127.0.0.1:6443/api/v1/namespaces | jq -e '.code == 413'
    raw POST /api/v1/namespaces/default/configmaps '{"metadata":{"name":"dup"},"data":{"a":"1","a":"2"}}' | jq -e '.kind == "ConfigMap"'
}

@test "nobody gets in without credentials" {
    run inside curl -sS -o /dev/null -w '%{http_code}' --cacert "$DATA/pki/ca.crt" https://127.0.0.1:6443/api/v1/namespaces
    [ "$output" = 403 ]
    run inside curl -sS -o /dev/null -w '%{http_code}' --cacert "$DATA/pki/ca.crt" -H 'Authorization: Bearer x.y.z' https://127.0.0.1:6443/api
    [ "$output" = 401 ]
}

@test "an update of an old version is a conflict" {
    kubectl create configmap race --from-literal=a=1
    kubectl get cm race -o json >"$BATS_TEST_TMPDIR/old.json"
    kubectl patch cm race -p '{"data":{"a":"2"}}'
    run kubectl replace -f "$BATS_TEST_TMPDIR/old.json"
    [ "$status" -ne 0 ]
    [[ "$output" == *'the object has been modified'* ]]
}

@test "the three patches" {
    kubectl create deployment web --image=x --replicas=1
    kubectl patch deployment web --type=json -p '[{"op":"replace","path":"/spec/replicas","value":2}]'
    kubectl patch deployment web --type=merge -p '{"spec":{"replicas":3}}'
    kubectl patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"y"}]}}}}'
    [ "$(kubectl get deployment web -o jsonpath='{.spec.replicas} {.spec.template.spec.containers[*].name}')" = '3 side x' ]
    kubectl scale deployment web --replicas=5
    [ "$(kubectl get deployment web -o jsonpath='{.spec.replicas}')" = 5 ]
}

@test "server-side apply: owners, conflicts, force, and what is no longer declared" {
    cat >"$BATS_TEST_TMPDIR/ssa.yaml" <<Y
apiVersion: v1
kind: ConfigMap
metadata: {name: ssa}
data: {a: "1", b: "1"}
Y
    kubectl apply --server-side --field-manager=one -f "$BATS_TEST_TMPDIR/ssa.yaml" | grep -q serverside-applied
    kubectl patch cm ssa -p '{"data":{"a":"2","c":"3"}}'
    run kubectl apply --server-side --field-manager=one -f "$BATS_TEST_TMPDIR/ssa.yaml"
    [ "$status" -ne 0 ]
    [[ "$output" == *'conflict with "kubectl-patch" using v1: .data.a'* ]]
    [ "$(kubectl get cm ssa -o jsonpath='{.data.a}')" = 2 ]
    sed -i 's/, b: "1"//' "$BATS_TEST_TMPDIR/ssa.yaml"
    kubectl apply --server-side --field-manager=one --force-conflicts -f "$BATS_TEST_TMPDIR/ssa.yaml"
    [ "$(kubectl get cm ssa -o jsonpath='{.data}')" = '{"a":"1","c":"3"}' ]
    [ "$(kubectl get cm ssa --show-managed-fields -o jsonpath='{.metadata.managedFields[*].manager}')" = "one kubectl-patch" ]
    rv=$(kubectl get cm ssa -o jsonpath='{.metadata.resourceVersion}')
    kubectl apply --server-side --field-manager=one -f "$BATS_TEST_TMPDIR/ssa.yaml"
    [ "$(kubectl get cm ssa -o jsonpath='{.metadata.resourceVersion}')" = "$rv" ]
}

@test "an object of kubectl apply goes over to server-side apply" {
    kubectl create cm moved --from-literal=a=1 --dry-run=client -o yaml >"$BATS_TEST_TMPDIR/moved.yaml"
    kubectl apply -f "$BATS_TEST_TMPDIR/moved.yaml"
    kubectl apply --server-side -f "$BATS_TEST_TMPDIR/moved.yaml"
    managers=$(kubectl get cm moved --show-managed-fields -o jsonpath='{.metadata.managedFields[*].manager}')
    [[ "$managers" != *client-side* ]]
}

@test "helm 4 installs, upgrades and removes a chart" {
    chart="$BATS_TEST_TMPDIR/chart"
    mkdir -p "$chart/templates"
    printf 'apiVersion: v2\nname: demo\nversion: 0.1.0\n' >"$chart/Chart.yaml"
    cat >"$chart/templates/cm.yaml" <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-cm"}
data: {a: "{{ .Values.a | default 1 }}"}
Y
    helm() { inside "$TOOLS/helm-4" "$@"; }
    helm install rel "$chart"
    helm upgrade rel "$chart" --set a=2
    [ "$(kubectl get cm rel-cm -o jsonpath='{.data.a}')" = 2 ]
    helm rollback rel 1
    [ "$(kubectl get cm rel-cm -o jsonpath='{.data.a}')" = 1 ]
    helm uninstall rel
    run kubectl get cm rel-cm
    [ "$status" -ne 0 ]
}

@test "impersonation takes rights, and gives only those of the other" {
    run kubectl auth can-i get configmaps --as=nobody
    [ "$output" = no ]
    [ "$(kubectl auth whoami --as=ann --as-group=dev -o jsonpath='{.status.userInfo.groups}')" = '["dev","system:authenticated"]' ]
    kubectl get cm --as=ann --as-group=system:masters
    run kubectl get cm --as=ann
    [ "$status" -ne 0 ]
    [[ "$output" == *'User "ann" cannot list resource "configmaps"'* ]]
    token=$(kubectl create token default)
    run inside "$TOOLS/kubectl-1.35" --kubeconfig /dev/null --server "$(kubectl config view -o jsonpath='{.clusters[0].cluster.server}')" \
        --certificate-authority "$DATA/pki/ca.crt" --token "$token" get cm --as=root
    [ "$status" -ne 0 ]
    [[ "$output" == *'cannot impersonate resource "users"'* ]]
}

@test "what is stored but not acted on says so" {
    run kubectl create quota q --hard=pods=2
    [ "$status" -eq 0 ]
    [[ "$output" == *"Warning: this ResourceQuota is stored, but is not enforced by this version"* ]]
    run kubectl create job j --image=x
    [[ "$output" == *"Warning: this Job is stored, but gets no pods by this version"* ]]
    run kubectl create cm quiet
    [[ "$output" != *Warning* ]]
}

@test "limit and continue show one state" {
    for i in 1 2 3 4 5; do kubectl create configmap "page-$i" >/dev/null; done
    [ "$(kubectl get cm --chunk-size=2 -o name | grep -c page-)" = 5 ]
    kubectl get --raw '/api/v1/namespaces/default/configmaps?limit=2' >"$BATS_TEST_TMPDIR/first"
    token=$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/first")
    kubectl delete cm page-5
    kubectl get --raw "/api/v1/namespaces/default/configmaps?limit=50&continue=$token" | jq -e '[.items[].metadata.name] | index("page-5")'
    run kubectl get --raw '/api/v1/namespaces/default/configmaps?limit=2&continue=bm8'
    [[ "$output" == *"continue"* ]]
}

@test "a watch sees what happens, and wait returns" {
    kubectl create configmap before
    kubectl get cm -w --output-watch-events >"$BATS_TEST_TMPDIR/watch" 3>&- &
    pid=$!
    wait_for 10 grep -q before "$BATS_TEST_TMPDIR/watch"
    kubectl create configmap watched
    kubectl delete configmap watched
    wait_for 10 grep -q 'DELETED.*watched' "$BATS_TEST_TMPDIR/watch"
    kill "$pid"
    kubectl create configmap gone-soon
    kubectl delete configmap gone-soon --wait=false
    kubectl wait --for=delete cm/gone-soon --timeout=10s
}

@test "services get addresses and node ports of their own" {
    kubectl create service clusterip a --tcp=80
    kubectl create service nodeport b --tcp=80
    ip=$(kubectl get svc a -o jsonpath='{.spec.clusterIP}')
    [[ "$ip" == 10.96.* ]]
    port=$(kubectl get svc b -o jsonpath='{.spec.ports[0].nodePort}')
    [ "$port" -ge 30000 ] && [ "$port" -le 32767 ]
    run kubectl create service clusterip c --tcp=80 --clusterip="$ip"
    [ "$status" -ne 0 ]
    [[ "$output" == *'provided IP is already allocated'* ]]
}

@test "nobody grants what they do not hold" {
    kubectl create clusterrole binder --verb=create,get --resource=rolebindings,roles
    kubectl create serviceaccount climber
    kubectl create clusterrolebinding climber --clusterrole=binder --serviceaccount=default:climber
    token=$(kubectl create token climber)
    printf 'apiVersion: v1\nkind: Config\n' >"$BATS_TEST_TMPDIR/empty"
    run inside "$TOOLS/kubectl-1.35" --kubeconfig "$BATS_TEST_TMPDIR/empty" --server https://127.0.0.1:6443 \
        --certificate-authority "$DATA/pki/ca.crt" --token "$token" create role all --verb='*' --resource=secrets
    [ "$status" -ne 0 ]
    [[ "$output" == *'attempting to grant RBAC permissions not currently held'* ]]
}

@test "a namespace's end forbids new content" {
    kubectl create namespace ending
    kubectl delete namespace ending --wait=false
    run kubectl create configmap late -n ending
    [ "$status" -ne 0 ]
    [[ "$output" == *'because it is being terminated'* ]]
}

@test "SIGKILL under writes loses nothing acknowledged" {
    for round in 1 2 3; do
        : >"$BATS_TEST_TMPDIR/acked"
        (i=0; while kubectl create configmap "kill-$round-$i" -o name >>"$BATS_TEST_TMPDIR/acked" 2>/dev/null; do i=$((i + 1)); done) 3>&- &
        writer=$!
        wait_for 20 test -s "$BATS_TEST_TMPDIR/acked"
        kill_role server KILL
        wait "$writer" || true
        start_server
        for name in $(cat "$BATS_TEST_TMPDIR/acked"); do kubectl get "$name" >/dev/null; done
    done
}

@test "a second server on the same store refuses to start" {
    run inside "$BIN/knarr-server" --store="$DATA/store" --secure-port=6999 --tls-cert-file="$DATA/pki/server/serving.crt" \
        --tls-private-key-file="$DATA/pki/server/serving.key" --client-ca-file="$DATA/pki/ca.crt" \
        --service-account-signing-key-file="$DATA/pki/server/sa.key"
    [ "$status" -eq 1 ]
    [[ "$output" == *'in use by another process'* ]]
}

@test "a name in a URL that no object can have is refused before any use" {
    for path in api/v1/namespaces/kube-public%00 api/v1/namespaces/kube-public%00x/configmaps \
        api/v1/namespaces/default/configmaps/a%00b api/v1/namespaces/default/configmaps/a%25b api/v1/namespaces/default/configmaps/a%0Ab; do
        run kubectl delete --raw "/$path"
        [ "$status" -ne 0 ]
    done
    kubectl get namespace kube-public
    # Nor by the body: a role's name may hold nearly anything, but no NUL.
    printf '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"view\\u0000x"},"rules":[]}' >"$BATS_TEST_TMPDIR/role"
    run kubectl create --raw /apis/rbac.authorization.k8s.io/v1/clusterroles -f "$BATS_TEST_TMPDIR/role"
    [[ "$output" == *"may not contain control characters"* ]]
    # Each kind by its own rule.
    kubectl create clusterrole 'a:B_c' --verb=get --resource=pods
    kubectl delete clusterrole 'a:B_c'
    run kubectl get configmap 'a:B_c'
    [[ "$output" == *'configmaps "a:B_c" not found'* ]]
    run kubectl get --raw /api/v1/namespaces/Kube:System/configmaps/a
    [[ "$output" == *NotFound* ]]
}

@test "a query's boolean is false for 0 and false alone, as Kubernetes reads it" {
    run kubectl get --raw '/api/v1/namespaces/default/configmaps?watch=FALSE&limit=1'
    [[ "$output" == *ConfigMapList* ]]
    run kubectl get --raw '/api/v1/namespaces?watch=True&timeoutSeconds=1'
    [[ "$output" == *'"type":"ADDED"'* ]]
}

@test "a binding to a role that does not exist needs the right to bind it" {
    kubectl create role binder --verb=create --resource=rolebindings.rbac.authorization.k8s.io
    kubectl create rolebinding binder --role=binder --user=binder
    run kubectl create rolebinding later --clusterrole=made-later --user=binder --as=binder
    [ "$status" -ne 0 ]
    [[ "$output" == *'clusterroles.rbac.authorization.k8s.io "made-later" not found'* ]]
    run kubectl create rolebinding later --role=made-later --user=binder --as=binder
    [[ "$output" == *'roles.rbac.authorization.k8s.io "made-later" not found'* ]]
    run kubectl create rolebinding later --clusterrole=cluster-admin --user=binder --as=binder
    [[ "$output" == *"not currently held"* ]]
    kubectl create rolebinding later --clusterrole=made-later --user=binder # an administrator may, as charts do
}

@test "a role's name may hold spaces and colons, as in Kubernetes" {
    kubectl create clusterrole 'team a:reader' --verb=get --resource=pods
    kubectl get clusterrole 'team a:reader'
    kubectl delete clusterrole 'team a:reader'
}
