#!/usr/bin/env bats
# Controllers whose work shows in objects alone: no node, no scheduler.

load helpers

setup_file() {
    need_root
    [ -x "${KUBECTL:-$TOOLS/kubectl-1.35}" ] || skip "no kubectl 1.35: set KUBECTL"
    new_cluster
    start_server
    run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"
    wait_for 10 kubectl get serviceaccount default
}
teardown_file() { stop_all; }

slices_of() { kubectl get endpointslices -l "kubernetes.io/service-name=$1" -o json; }
mirrored() { # SERVICE JQ: whether the slices that mirror the Service's Endpoints fulfil the condition
    slices_of "$1" | jq -e "[.items[] | select(.metadata.labels[\"endpointslice.kubernetes.io/managed-by\"] ==
        \"endpointslicemirroring-controller.k8s.io\")] | $2" >/dev/null
}

external_service() { # NAME
    kubectl apply -f - <<Y
apiVersion: v1
kind: Service
metadata: {name: $1}
spec: {ports: [{name: web, port: 80}, {name: tls, port: 443}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: $1, labels: {mine: "yes"}, annotations: {note: kept}}
subsets:
- {addresses: [{ip: 192.0.2.1, hostname: one}], notReadyAddresses: [{ip: 192.0.2.2}], ports: [{name: web, port: 8080}]}
- {addresses: [{ip: 192.0.2.3}, {ip: "fd00::3"}], ports: [{name: tls, port: 8443}]}
Y
}

@test "endpoints of a service without a selector are mirrored to slices, and followed" {
    external_service outside
    wait_for 20 mirrored outside 'length == 3'
    mirrored outside 'all(.metadata.labels.mine == "yes" and .metadata.annotations == {note: "kept"} and .metadata.ownerReferences[0].kind == "Endpoints")'
    mirrored outside 'map(select(.ports == [{name: "web", port: 8080, protocol: "TCP"}])) | length == 1 and .[0].addressType == "IPv4" and
        ([.[0].endpoints[] | [.addresses[0], .conditions.ready, .hostname]] == [["192.0.2.1", true, "one"], ["192.0.2.2", false, null]])'
    mirrored outside 'map(select(.addressType == "IPv6")) | length == 1 and .[0].endpoints[0].addresses == ["fd00::3"] and .[0].ports[0].port == 8443'
    kubectl patch endpoints outside --type=merge -p '{"metadata":{"labels":{"mine":"still"}},"subsets":[{"addresses":[{"ip":"192.0.2.9"}],"ports":[{"name":"web","port":8080}]}]}'
    wait_for 20 mirrored outside 'length == 1 and .[0].endpoints[0].addresses == ["192.0.2.9"] and .[0].metadata.labels.mine == "still"'
    kubectl label endpoints outside endpointslice.kubernetes.io/skip-mirror=true
    wait_for 20 mirrored outside 'length == 0'
    kubectl label endpoints outside endpointslice.kubernetes.io/skip-mirror-
    wait_for 20 mirrored outside 'length == 1'
    kubectl annotate endpoints outside control-plane.alpha.kubernetes.io/leader=me
    wait_for 20 mirrored outside 'length == 0'
    kubectl annotate endpoints outside control-plane.alpha.kubernetes.io/leader-
    wait_for 20 mirrored outside 'length == 1'
    kubectl patch service outside --type=merge -p '{"spec":{"selector":{"app":"x"}}}'
    wait_for 20 mirrored outside 'length == 0'
    kubectl delete service outside
}

@test "mirrored slices go with their endpoints, and with their service" {
    external_service first
    external_service second
    wait_for 20 mirrored first 'length == 3'
    wait_for 20 mirrored second 'length == 3'
    kubectl delete endpoints first
    wait_for 20 mirrored first 'length == 0'
    kubectl delete service second
    wait_for 20 mirrored second 'length == 0'
}

@test "no more than a thousand addresses of a subset are mirrored, and an event says so" {
    kubectl create service clusterip many --tcp=80
    kubectl patch service many --type=merge -p '{"spec":{"selector":null}}'
    python3 -c 'import json; print(json.dumps({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "many"}, "subsets": [{
        "addresses": [{"ip": "198.18.%d.%d" % (i // 250, 1 + i % 250)} for i in range(1005)], "ports": [{"port": 80}]}]}))' |
        kubectl replace --force -f - || kubectl get endpoints many
    wait_for 20 mirrored many 'length == 1 and (.[0].endpoints | length) == 1000'
    wait_for 20 eval 'kubectl get events --field-selector reason=TooManyAddressesToMirror -o jsonpath="{.items[*].message}" | grep -q "5 addresses were skipped"'
    # The cluster's own Endpoints are not mirrored: their slice is there already.
    [ "$(slices_of kubernetes | jq '.items | length')" = 1 ]
}

@test "labels of a service reach its slices" {
    kubectl create service clusterip labelled --tcp=80
    wait_for 20 eval '[ "$(slices_of labelled | jq -r ".items[0].metadata.labels.app")" = labelled ]'
    kubectl label service labelled team=red
    wait_for 20 eval '[ "$(slices_of labelled | jq -r ".items[0].metadata.labels.team")" = red ]'
    kubectl label service labelled team-
    wait_for 20 eval '[ "$(slices_of labelled | jq -r ".items[0].metadata.labels.team")" = null ]'
    [ "$(slices_of labelled | jq -r '.items[0].metadata.labels["endpointslice.kubernetes.io/managed-by"]')" = endpointslice-controller.k8s.io ]
    # Endpoints have them, too; the label of headless Services follows from the Service alone.
    kubectl label service labelled team=blue service.kubernetes.io/headless=
    wait_for 20 eval 'kubectl get endpoints labelled -o json | jq -e ".metadata.labels == {app: \"labelled\", team: \"blue\", \"endpoints.kubernetes.io/managed-by\": \"endpoint-controller\"}"'
    wait_for 20 eval '[ "$(slices_of labelled | jq -r ".items[0].metadata.labels.team")" = blue ]'
    [ "$(slices_of labelled | jq -r '.items[0].metadata.labels["service.kubernetes.io/headless"]')" = null ]
    kubectl create service clusterip bare --clusterip=None
    wait_for 20 eval '[ "$(slices_of bare | jq -r ".items[0].metadata.labels[\"service.kubernetes.io/headless\"]")" = "" ]'
    wait_for 20 eval 'kubectl get endpoints bare -o json | jq -e ".metadata.labels[\"service.kubernetes.io/headless\"] == \"\""'
}

@test "token secrets go with their account" {
    kubectl create serviceaccount robot
    kubectl create serviceaccount other
    for name in robot other; do
        kubectl apply -f - <<Y
apiVersion: v1
kind: Secret
metadata: {name: $name-token, annotations: {kubernetes.io/service-account.name: $name}}
type: kubernetes.io/service-account-token
Y
    done
    kubectl delete serviceaccount robot
    kubectl create serviceaccount robot # another account of that name
    wait_for 20 eval '! kubectl get secret robot-token 2>/dev/null'
    kubectl get secret other-token
    kubectl annotate --overwrite secret other-token kubernetes.io/service-account.uid=b7a6
    wait_for 20 eval '! kubectl get secret other-token 2>/dev/null'
}

@test "an owner in another namespace is named in an event before its dependent goes" {
    local uid
    kubectl create namespace elsewhere
    kubectl create configmap owner -n elsewhere
    uid=$(kubectl get configmap owner -n elsewhere -o jsonpath='{.metadata.uid}')
    kubectl apply -f - <<Y
apiVersion: v1
kind: ConfigMap
metadata: {name: lost, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: $uid}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: owned, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: $uid}]}
Y
    wait_for 30 eval '! kubectl get configmap lost 2>/dev/null'
    event_of() { kubectl get events -A -o json | jq -e ".items[] | select(.reason == \"OwnerRefInvalidNamespace\" and .type == \"Warning\" and
        .involvedObject.name == \"$1\" and .source.component == \"garbage-collector-controller\") | .message" 2>/dev/null; }
    wait_for 20 event_of lost
    [ "$(event_of lost)" = "\"ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: $uid] does not exist in namespace \\\"default\\\"\"" ]
    wait_for 20 event_of owned
    kubectl get clusterrole owned
}

held_up() { # NAMESPACE TYPE MESSAGE: a condition that is True, with its reason and message
    kubectl get namespace "$1" -o json | jq -e --arg t "$2" --arg m "$3" \
        '[.status.conditions[] | select(.type == $t and .status == "True" and .message == $m)] | length == 1' >/dev/null
}
is_fine() { # NAMESPACE TYPE REASON
    kubectl get namespace "$1" -o json | jq -e --arg t "$2" --arg r "$3" \
        '[.status.conditions[] | select(.type == $t and .status == "False" and .reason == $r)] | length == 1' >/dev/null
}
namespace_is_gone() { ! kubectl get namespace "$1"; }

@test "a namespace's pods go before the rest, and its conditions say what holds it up" {
    kubectl create namespace ending
    wait_for 10 kubectl get configmap -n ending kube-root-ca.crt
    kubectl apply -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: held, namespace: ending, finalizers: [example.com/hold]}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: held, namespace: ending, finalizers: [example.com/hold, example.com/more]}
---
apiVersion: v1
kind: Secret
metadata: {name: free, namespace: ending}
Y
    kubectl delete namespace ending --wait=false
    wait_for 20 held_up ending NamespaceContentRemaining "Some resources are remaining: pods. has 1 resource instances"
    held_up ending NamespaceFinalizersRemaining \
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    is_fine ending NamespaceDeletionDiscoveryFailure ResourcesDiscovered
    is_fine ending NamespaceDeletionGroupVersionParsingFailure ParsedGroupVersions
    is_fine ending NamespaceDeletionContentFailure ContentDeleted
    kubectl get secret -n ending free # what pods use stays until they have gone
    [ -z "$(kubectl get configmap -n ending held -o 'jsonpath={.metadata.deletionTimestamp}')" ]

    kubectl patch pod -n ending held --type merge -p '{"metadata":{"finalizers":null}}'
    wait_for 20 held_up ending NamespaceContentRemaining "Some resources are remaining: configmaps. has 1 resource instances"
    held_up ending NamespaceFinalizersRemaining "Some content in the namespace has finalizers remaining: \
example.com/hold in 1 resource instances, example.com/more in 1 resource instances"
    ! kubectl get secret -n ending free || false

    kubectl patch configmap -n ending held --type merge -p '{"metadata":{"finalizers":null}}'
    wait_for 20 namespace_is_gone ending
}

@test "a namespace with more objects than a page counts them all, and ends" {
    kubectl create namespace crowd
    for i in $(seq 600); do
        printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d, namespace: crowd, finalizers: [example.com/hold]}\n---\n' "$i"
    done | kubectl create -f - >/dev/null
    kubectl delete namespace crowd --wait=false
    wait_for 30 held_up crowd NamespaceContentRemaining "Some resources are remaining: configmaps. has 600 resource instances"
    kubectl get configmap -n crowd -o json | jq 'del(.items[].metadata.finalizers)' | kubectl replace -f - >/dev/null
    wait_for 60 namespace_is_gone crowd
}
