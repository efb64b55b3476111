#!/usr/bin/env bats
# What the credential of a node may do to the API, field by field, and what a namespace lets its pods be.

load helpers

setup_file() {
    need_root
    new_cluster
    start_server
    export NODE OTHER=elsewhere
    NODE=$(hostname | tr '[:upper:]' '[:lower:]')
    kubectl create serviceaccount default
    kubectl create serviceaccount robot
    for name in named unnamed; do
        kubectl create secret generic "$name" --from-literal=a=b
        kubectl create configmap "$name"
    done
    node kubectl create -f <(node_object) --dry-run=server
    node kubectl create -f <(node_object)
    kubectl create -f <(node_object "$OTHER")
    pod mine "$NODE" | kubectl create -f -
    pod foreign "$OTHER" | kubectl create -f -
}
teardown_file() { stop_all; }

# A command with the node's own certificate.
node() { KUBECONFIG="$DATA/pki/node/kubeconfig" "$@"; }

node_object() { # [NAME [FIELDS OF METADATA [FIELDS OF SPEC]]]
    printf '{"apiVersion":"v1","kind":"Node","metadata":{"name":"%s"%s},"spec":{%s}}\n' "${1:-$NODE}" "${2:-}" "${3:-}"
}

pod() { # NAME NODE
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: web}}\n' "$1"
    printf 'spec: {nodeName: %s, serviceAccountName: robot, volumes: [{name: v, secret: {secretName: %s}}, {name: w, configMap: {name: %s}}],' \
        "$2" named named
    printf 'containers: [{name: c, image: i}]}\n'
}

# The command fails, with the text in what it says.
refused() { # TEXT COMMAND…
    local text=$1
    shift
    run "$@"
    [ "$status" -ne 0 ] || { echo "accepted: $*"; return 1; }
    [[ "$output" == *"$text"* ]] || { echo "said: $output"; return 1; }
}

node_patch() { node kubectl patch node "$NODE" --type=merge -p "$1"; }

# kubectl would read first, which it may not: PATH BODY
raw_patch() {
    inside curl -sS --fail-with-body --max-time 60 --cacert "$DATA/pki/ca.crt" --cert "$DATA/pki/node/client.crt" \
        --key "$DATA/pki/node/client.key" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$2" \
        "https://127.0.0.1:6443/api/v1/$1"
}

@test "a node reads its own node object, and no other" {
    node kubectl get node "$NODE"
    node kubectl get nodes --field-selector "metadata.name=$NODE"
    refused 'cannot get resource "nodes"' node kubectl get node "$OTHER"
    refused 'cannot list resource "nodes"' node kubectl get nodes
    refused 'cannot list resource "nodes"' node kubectl get nodes --field-selector "metadata.name=$OTHER"
    refused 'cannot delete resource "nodes"' node kubectl delete node "$NODE"
}

@test "a node reads its own pods, and what they name" {
    node kubectl get pod mine
    node kubectl get pods -A --field-selector "spec.nodeName=$NODE"
    refused 'cannot get resource "pods"' node kubectl get pod foreign
    refused 'cannot list resource "pods"' node kubectl get pods -A
    refused 'cannot list resource "pods"' node kubectl get pods -A --field-selector "spec.nodeName=$OTHER"
    refused 'cannot list resource "pods"' node kubectl get pods -A --field-selector "spec.nodeName!=$NODE"
    for kind in secret configmap; do
        node kubectl get "$kind" named
        refused "cannot get resource \"${kind}s\"" node kubectl get "$kind" unnamed
        refused "cannot list resource \"${kind}s\"" node kubectl get "$kind"
        refused "cannot delete resource \"${kind}s\"" node kubectl delete "$kind" named
    done
    node kubectl get services -A
    refused 'cannot get resource "serviceaccounts"' node kubectl get serviceaccount robot
}

@test "a node changes its own node object, and no other" {
    node_patch '{"metadata":{"annotations":{"example.com/a":"b"}}}'
    raw_patch "nodes/$NODE/status" '{"status":{"nodeInfo":{"machineID":"x"}}}'
    refused "is not allowed to modify node" raw_patch "nodes/$OTHER" '{"metadata":{"labels":{"a":"b"}}}'
    refused "is not allowed to modify node" \
        raw_patch "nodes/$OTHER/status" '{"status":{"nodeInfo":{"machineID":"x"}}}'
    refused 'is not allowed to modify node "third"' node kubectl create -f <(node_object third)
}

@test "a node gives itself no label that draws pods to it" {
    node kubectl label node "$NODE" example.com/rack=1 topology.kubernetes.io/zone=z node.kubernetes.io/a=b x.kubelet.kubernetes.io/a=b
    kubectl label node "$NODE" node-restriction.kubernetes.io/kept=1
    for label in node-restriction.kubernetes.io/a a.node-restriction.kubernetes.io/a node-role.kubernetes.io/control-plane \
        kubernetes.io/unknown example.k8s.io/a k8s.io/a; do
        refused "is not allowed to modify labels: $label" node kubectl label node "$NODE" "$label=1"
        refused "is not allowed to modify labels: $label" \
            raw_patch "nodes/$NODE/status" "{\"metadata\":{\"labels\":{\"$label\":\"1\"}}}"
    done
    refused 'is not allowed to modify labels' node kubectl label node "$NODE" node-restriction.kubernetes.io/kept-
    refused 'is not allowed to modify labels' node kubectl label --overwrite node "$NODE" node-restriction.kubernetes.io/kept=2
    kubectl delete node "$NODE"
    refused 'is not allowed to set the following labels: node-role.kubernetes.io/master' \
        node kubectl create -f <(node_object "$NODE" ',"labels":{"node-role.kubernetes.io/master":"","example.com/a":""}')
    refused 'is not allowed to modify ownerReferences' node kubectl create -f <(node_object "$NODE" \
        ',"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"y"}]')
    refused 'non-nil configSource' node kubectl create -f <(node_object "$NODE" '' \
        '"configSource":{"configMap":{"namespace":"default","name":"unnamed","kubeletConfigKey":"k"}}')
    # It may begin with a taint.
    node kubectl create -f <(node_object "$NODE" '' '"taints":[{"key":"a","effect":"NoSchedule"}]')
}

@test "a node changes neither its taints nor its owners nor its configuration's source" {
    kubectl taint node "$NODE" kept=1:NoSchedule
    refused 'is not allowed to modify taints' node_patch '{"spec":{"taints":null}}'
    refused 'is not allowed to modify taints' node kubectl taint node "$NODE" another=1:NoExecute
    refused 'is not allowed to modify ownerReferences' \
        node_patch '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"y"}]}}'
    refused 'is not allowed to update configSource' \
        node_patch '{"spec":{"configSource":{"configMap":{"namespace":"default","name":"unnamed","kubeletConfigKey":"k"}}}}'
    [ "$(kubectl get node "$NODE" -o jsonpath='{.spec.taints[?(@.key=="kept")].value}')" = 1 ]
}

@test "a node makes no pods and changes no more than its own pods' status" {
    refused 'cannot create resource "pods"' node kubectl create -f <(pod new "$NODE")
    refused 'cannot patch resource "pods"' node kubectl label pod mine a=b
    refused 'cannot patch resource "pods/ephemeralcontainers"' node kubectl debug mine --image=i --target=c
    # Not either when somebody has given nodes the right to: a mirror pod with nothing wrong in it.
    kubectl create clusterrole pod-maker --verb=create,patch,update --resource=pods,pods/ephemeralcontainers
    kubectl create clusterrolebinding pod-maker --clusterrole=pod-maker --group=system:nodes
    pod mirror "$NODE" | sed 's/labels: .*/annotations: {kubernetes.io\/config.mirror: x}}/' >"$BATS_TEST_TMPDIR/mirror"
    refused 'no node here has static pods' node kubectl create -f "$BATS_TEST_TMPDIR/mirror"
    refused 'can only create and delete mirror pods' node kubectl label pod mine a=b
    refused "only 'status' and 'eviction' are allowed" node kubectl debug mine --image=i --target=c
    kubectl delete clusterrolebinding pod-maker

    raw_patch namespaces/default/pods/mine/status '{"status":{"phase":"Running"}}'
    refused 'can only update pod status for pods with spec.nodeName set to itself' \
        raw_patch namespaces/default/pods/foreign/status '{"status":{"phase":"Failed"}}'
    refused 'cannot update labels through pod status' \
        raw_patch namespaces/default/pods/mine/status '{"metadata":{"labels":{"app":"other"}}}'
    refused 'cannot update labels through pod status' \
        raw_patch namespaces/default/pods/mine/status '{"metadata":{"labels":null}}'
    refused 'cannot update resource claim' raw_patch namespaces/default/pods/mine/status \
        '{"status":{"resourceClaimStatuses":[{"name":"a","resourceClaimName":"b"}]}}'
    # What else it sends is not looked at.
    raw_patch namespaces/default/pods/mine/status '{"spec":{"nodeName":"x"},"status":{"message":"m"}}'
    [ "$(kubectl get pod mine -o jsonpath='{.spec.nodeName} {.metadata.labels.app}')" = "$NODE web" ]
}

@test "a node gets tokens for its own pods only" {
    token() { # BOUND
        printf '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":[]%s}}' "$1" |
            node kubectl create --raw /api/v1/namespaces/default/serviceaccounts/robot/token -f -
    }
    bound() { # POD [UID]
        printf ',"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"%s"%s}' "$1" "${2:+,\"uid\":\"$2\"}"
    }
    uid() { kubectl get pod "$1" -o jsonpath='{.metadata.uid}'; }
    token "$(bound mine "$(uid mine)")"
    refused 'token not bound to a pod' token ''
    refused 'without a uid' token "$(bound mine)"
    refused 'bound to a pod scheduled on a different node' token "$(bound foreign "$(uid foreign)")"
    refused 'cannot create resource "serviceaccounts/token"' node kubectl create token default
}

@test "a node has its own lease only" {
    lease() { # NAMESPACE NAME
        printf '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"%s","namespace":"%s"},"spec":{}}' "$2" "$1"
    }
    kubectl create namespace kube-node-lease || true
    node kubectl create -f <(lease kube-node-lease "$NODE")
    node kubectl get lease -n kube-node-lease "$NODE"
    refused 'same name as the requesting node' node kubectl create -f <(lease kube-node-lease "$OTHER")
    refused 'cannot create resource "leases"' node kubectl create -f <(lease kube-system "$NODE")
    kubectl create -f <(lease kube-node-lease "$OTHER")
    refused 'cannot get resource "leases"' node kubectl get lease -n kube-node-lease "$OTHER"
    refused 'cannot list resource "leases"' node kubectl get lease -n kube-node-lease
    refused 'cannot delete resource "leases"' node kubectl delete lease -n kube-node-lease "$OTHER"
    [ "$(node kubectl auth can-i delete csinodes.storage.k8s.io/"$OTHER")" = no ]
}

@test "a node ends its own pods only" {
    refused 'can only delete pods with spec.nodeName set to itself' node kubectl delete pod foreign
    printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"foreign"}}' >"$BATS_TEST_TMPDIR/eviction"
    refused 'can only evict pods with spec.nodeName set to itself' \
        node kubectl create --raw /api/v1/namespaces/default/pods/foreign/eviction -f "$BATS_TEST_TMPDIR/eviction"
    refused 'cannot deletecollection resource "pods"' node kubectl delete --raw /api/v1/namespaces/default/pods
    kubectl get pod foreign
    node kubectl delete pod mine --grace-period=0 --force --wait=false
    refused '"mine" not found' kubectl get pod mine
}

# METHOD PATH CODE [BODY]: what the account "robot" is answered.
robot() {
    local code
    code=$(inside curl -sS --http1.1 -o "$DATA/said" -w '%{http_code}' --max-time 60 --path-as-is --cacert "$DATA/pki/ca.crt" -X "$1" \
        -H "Authorization: Bearer $(cat "$DATA/robot")" -H 'Content-Type: application/json' ${4:+-d "$4"} "https://127.0.0.1:6443$2")
    [ "$code" = "$3" ] || { echo "$1 $2: $code $(cat "$DATA/said")"; return 1; }
}

@test "a right to a name, a subresource or a watch gives nothing else" {
    local ns=/api/v1/namespaces/default method
    pod kept "$OTHER" | kubectl create -f -
    kubectl create -f - <<'Y'
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: narrow}
rules:
- {apiGroups: [""], resources: [configmaps, secrets, bindings, namespaces], resourceNames: [named], verbs: ["*"]}
- {apiGroups: ["*"], resources: ["*/status"], verbs: ["*"]}
- {apiGroups: ["*"], resources: ["*"], verbs: [watch]}
- {apiGroups: [""], resources: [events], verbs: ["*"]}
Y
    kubectl create clusterrolebinding narrow --clusterrole=narrow --serviceaccount=default:robot
    kubectl create token robot >"$DATA/robot"
    robot GET $ns/configmaps/named 200
    # Nothing is made by a right to one name.
    robot POST $ns/configmaps 403 '{"metadata":{"name":"made"}}'
    robot POST $ns/configmaps/named 405 '{"metadata":{"name":"made"}}'
    robot POST $ns/secrets/named 405 '{"metadata":{"name":"made"}}'
    robot POST /api/v1/namespaces/named 405 '{"metadata":{"name":"made"}}'
    robot POST $ns/bindings/named 405 "{\"metadata\":{\"name\":\"kept\"},\"target\":{\"kind\":\"Node\",\"name\":\"$OTHER\"}}"
    robot PUT $ns/events 405 '{}'
    robot PATCH $ns/events 405 '{}'
    # What a kind has not is nothing, and what it has takes its own verbs.
    for method in GET PUT PATCH DELETE POST; do
        robot $method $ns/secrets/unnamed/status 404 '{"metadata":{"name":"unnamed"}}'
    done
    robot GET $ns/pods/kept/status 200
    robot GET $ns/pods/kept/status/more 404
    robot DELETE $ns/pods/kept/status 405
    robot POST $ns/pods/made/status 405 '{"metadata":{"name":"made"},"spec":{"containers":[{"name":"c","image":"i"}]}}'
    # A watch reads the object alone.
    for method in POST PUT PATCH DELETE; do
        robot $method /api/v1/watch/namespaces/default/pods/kept 405 '{}'
        robot $method "/api/v1/watch/nodes/$NODE/proxy/exec" 405 '{}'
    done
    robot GET "/api/v1/watch/nodes/$NODE/proxy/healthz" 405
    robot GET /api/v1/watch/namespaces/default/pods/kept/log 405
    for kind in configmap secret pod; do refused NotFound kubectl get "$kind" made; done
    kubectl get pod kept
}

@test "a namespace's Pod Security labels are enforced, warned of, and checked" {
    kubectl create namespace guarded
    kubectl create serviceaccount default -n guarded
    plain() { printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: guarded}\nspec: {%s containers: [{name: c, image: i}]}\n' "$1" "${2:-}"; }
    plain old 'hostNetwork: true,' | kubectl create -f -
    plain old2 'hostNetwork: true,' | kubectl create -f -

    # The labels themselves, and the pods that a stricter level meets.
    refused 'must be one of privileged, baseline, restricted' kubectl label namespace guarded pod-security.kubernetes.io/enforce=strict
    refused 'must be "latest" or "v1.x"' kubectl label namespace guarded pod-security.kubernetes.io/warn-version=1.35
    run kubectl label namespace guarded pod-security.kubernetes.io/enforce=baseline
    [[ "$output" == *'Warning: existing pods in namespace "guarded" violate the new PodSecurity enforce level "baseline:latest"'* ]]
    [[ "$output" == *'Warning: old (and 1 other pod): host namespaces'* ]]

    refused 'pods "new" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)' \
        kubectl create -f <(plain new 'hostPID: true,')
    plain fine | kubectl create -f -
    # What is there may still change where the rules do not look.
    kubectl label pod old -n guarded a=b
    refused 'violates PodSecurity' kubectl patch pod old -n guarded -p '{"spec":{"containers":[{"name":"c","image":"j"}]}}'

    # Templates are warned of, by the level for warnings if there is one.
    run kubectl create deployment web -n guarded --image=i
    [[ "$output" != *Warning* ]]
    kubectl label namespace guarded pod-security.kubernetes.io/warn=restricted pod-security.kubernetes.io/warn-version=v1.24 \
        pod-security.kubernetes.io/audit=restricted
    run kubectl create deployment web2 -n guarded --image=i
    [ "$status" -eq 0 ]
    [[ "$output" == *'Warning: would violate PodSecurity "restricted:v1.24": allowPrivilegeEscalation != false'* ]]
    run kubectl create -f <(plain warned)
    [ "$status" -eq 0 ]
    [[ "$output" == *'Warning: would violate PodSecurity "restricted:v1.24"'* ]]
    grep -q 'audit: create of pods in namespace guarded would violate PodSecurity' "$DATA/log/server.log"
    kubectl label namespace guarded pod-security.kubernetes.io/enforce-
    plain new 'hostPID: true,' | kubectl create -f -
}
