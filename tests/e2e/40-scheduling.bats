#!/usr/bin/env bats
# The scheduler against a real API server and three nodes that exist as objects only: where pods are bound, what is said
# of those that are not, and who has to go for whom.

load helpers

setup_file() {
    need_root
    [ -x "${KUBECTL:-$TOOLS/kubectl-1.35}" ] || skip "no kubectl 1.35: set KUBECTL"
    new_cluster
    start_server
    run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"
    run_role scheduler --kubeconfig "$DATA/pki/scheduler/kubeconfig"
    wait_for 40 kubectl get serviceaccount default
    fake_node n1 a
    fake_node n2 a
    fake_node n3 b
    for n in n1 n2 n3; do wait_for 20 untainted "$n"; done
    kubectl apply -f - <<Y
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: low}
value: 1
Y
}
teardown_file() { stop_all; }
teardown() { kubectl delete pods --all --force --grace-period=0 >/dev/null 2>&1 || true; }

now() { date -u +%FT%TZ; }
untainted() { [ -z "$(kubectl get node "$1" -o jsonpath='{.spec.taints}')" ]; }

fake_node() { # NAME ZONE
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Node
metadata: {name: $1, labels: {kubernetes.io/hostname: $1, zone: $2}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: $1, namespace: kube-node-lease}
spec: {holderIdentity: $1, leaseDurationSeconds: 3600, renewTime: "$(date -u +%FT%T.000000Z)"}
Y
    kubectl patch node "$1" --subresource=status --type=merge >/dev/null -p "{\"status\":{
        \"capacity\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},
        \"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\",\"lastHeartbeatTime\":\"$(now)\",\"lastTransitionTime\":\"$(now)\"}]}}"
}

# pod NAME LABELS SPEC: as flow YAML
pod() {
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {$2}}
spec: {containers: [{name: c, image: "knarr.local/demo:1", resources: {requests: {cpu: "${CPU:-100m}"}}}], $3}
Y
}
node_of() { kubectl get pod "$1" -o jsonpath='{.spec.nodeName}'; }
bound() { [ -n "$(node_of "$1")" ]; }
says() { # POD TEXT: the condition's message
    kubectl get pod "$1" -o jsonpath='{.status.conditions[?(@.type=="PodScheduled")].message}' | grep -qF "$2"
}
event() { # POD REASON TEXT
    kubectl get events --field-selector "involvedObject.name=$1,reason=$2" -o jsonpath='{.items[*].message}' | grep -qF "$3"
}

ANTI='affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}]}}'

@test "pods that shun each other take one node each; the fourth is told why it has none" {
    for i in 1 2 3; do pod "web-$i" "app: web" "$ANTI"; done
    for i in 1 2 3; do wait_for 40 bound "web-$i"; done
    [ "$(for i in 1 2 3; do node_of "web-$i"; echo; done | sort -u | wc -l)" = 3 ]
    pod web-4 "app: web" "$ANTI"
    wait_for 40 says web-4 "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
    wait_for 40 event web-4 FailedScheduling "didn't match pod anti-affinity rules"
    pod web-5 "app: web" "nodeName: ''"
    wait_for 40 says web-5 "3 node(s) didn't satisfy existing pods anti-affinity rules"
    kubectl delete pod web-2 --force --grace-period=0
    wait_for 40 bound web-4
}

@test "a pod follows another into its zone" {
    pod db "app: db" "nodeSelector: {kubernetes.io/hostname: n3}"
    wait_for 40 bound db
    pod near "" "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: db}}}]}}"
    wait_for 40 bound near
    [ "$(node_of near)" = n3 ]
    pod lost "" "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: late}}}]}}"
    wait_for 40 says lost "3 node(s) didn't match pod affinity rules. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    pod late "app: late" ""
    wait_for 40 bound lost
}

@test "a Deployment is spread over zones" {
    kubectl apply -f - <<Y
apiVersion: apps/v1
kind: Deployment
metadata: {name: spread}
spec:
  replicas: 6
  selector: {matchLabels: {app: spread}}
  template:
    metadata: {labels: {app: spread}}
    spec:
      containers: [{name: c, image: "knarr.local/demo:1"}]
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: spread}}, matchLabelKeys: [pod-template-hash]}
Y
    wait_for 20 all_spread
    [ "$(kubectl get pods -l app=spread -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | grep -c n3)" = 3 ]
    kubectl delete deployment spread
}
all_spread() { [ "$(kubectl get pods -l app=spread -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | grep -c n)" = 6 ]; }

@test "resources, selectors and cordons are counted by reason" {
    kubectl cordon n2
    CPU=5 pod big "" "nodeSelector: {zone: a}"
    wait_for 40 says big "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable."
    kubectl uncordon n2
}

@test "the more important pod makes room for itself, where it costs the least" {
    for i in 1 2 3; do CPU=3 pod "old-$i" "app: old" "priorityClassName: low, nodeSelector: {kubernetes.io/hostname: n$i}"; done
    for i in 1 2 3; do wait_for 40 bound "old-$i"; done
    kubectl apply -f - <<Y
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guard}
spec: {minAvailable: 3, selector: {matchLabels: {guarded: "yes"}}}
Y
    kubectl label pod old-1 old-3 guarded=yes
    CPU=3 pod new "" "priorityClassName: high"
    wait_for 40 nominated new n2
    wait_for 40 event old-2 Preempted "on node n2"
    [ -n "$(kubectl get pod old-2 -o jsonpath='{.metadata.deletionTimestamp}')" ]
    [ "$(kubectl get pod old-2 -o jsonpath='{.status.conditions[?(@.type=="DisruptionTarget")].reason}')" = PreemptionByScheduler ]
    [ -z "$(kubectl get pod old-1 old-3 -o jsonpath='{.items[*].metadata.deletionTimestamp}')" ]
    # What is less important does not slip into the room that is being made.
    CPU=2 pod thief "" "priorityClassName: low"
    wait_for 40 says thief "3 Insufficient cpu"
    kubectl delete pod old-2 --force --grace-period=0
    wait_for 40 bound new
    [ "$(node_of new)" = n2 ]
    run bound thief
    [ "$status" -ne 0 ]
    kubectl delete pdb guard
}
nominated() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.nominatedNodeName}')" = "$2" ]; }

@test "a pod that must not preempt waits" {
    kubectl apply -f - <<Y
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: polite}
value: 500
preemptionPolicy: Never
Y
    for i in 1 2 3; do CPU=3 pod "old-$i" "" "priorityClassName: low, nodeSelector: {kubernetes.io/hostname: n$i}"; done
    for i in 1 2 3; do wait_for 40 bound "old-$i"; done
    CPU=3 pod new "" "priorityClassName: polite"
    wait_for 40 says new "preemption: not eligible due to preemptionPolicy=Never."
    [ -z "$(kubectl get pods -o jsonpath='{.items[*].metadata.deletionTimestamp}')" ]
}

gives() { # NODE RESOURCE AMOUNT: what the node has to give beside the usual
    kubectl patch node "$1" --subresource=status --type=merge >/dev/null \
        -p "{\"status\":{\"capacity\":{\"$2\":\"$3\"},\"allocatable\":{\"$2\":\"$3\"}}}"
}
asks() { # NAME RESOURCE AMOUNT
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec: {containers: [{name: c, image: "knarr.local/demo:1", resources: {requests: {$2: "$3", cpu: 10m}, limits: {$2: "$3", cpu: 10m}}}]}
Y
}

@test "extended resources and huge pages are given out as far as they go" {
    asks early example.com/foo 2
    wait_for 40 says early "0/3 nodes are available: 3 Insufficient example.com/foo."
    gives n2 example.com/foo 3
    gives n3 hugepages-2Mi 64Mi
    wait_for 40 bound early # it comes back when a node has some
    [ "$(node_of early)" = n2 ]
    asks late example.com/foo 2
    wait_for 40 says late "0/3 nodes are available: 3 Insufficient example.com/foo."
    asks pages hugepages-2Mi 64Mi
    wait_for 40 bound pages
    [ "$(node_of pages)" = n3 ]
    asks more hugepages-2Mi 2Mi
    wait_for 40 says more "0/3 nodes are available: 3 Insufficient hugepages-2Mi."
    kubectl delete pod early --force --grace-period=0
    wait_for 40 bound late
    gives n3 hugepages-2Mi 66Mi
    wait_for 40 bound more
}
