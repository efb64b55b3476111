#!/usr/bin/env bats
# Controllers and scheduler against a real API server, with a node that exists as an object only: the test plays its
# kubelet and says through the pods' status that they run and have ended.

load helpers

setup_file() {
    need_root
    [ -x "${KUBECTL:-$TOOLS/kubectl-1.35}" ] || skip "no kubectl 1.35: set KUBECTL"
    new_cluster
    start_server
    run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"
    run_role scheduler --kubeconfig "$DATA/pki/scheduler/kubeconfig"
    wait_for 10 kubectl get serviceaccount default
    fake_node one
}
teardown_file() { stop_all; }

now() { date -u +%FT%TZ; }

renew() { # a node's Lease, as its kubelet would
    kubectl apply -f - >/dev/null <<Y
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: $1, namespace: kube-node-lease}
spec: {holderIdentity: $1, leaseDurationSeconds: 3600, renewTime: "$(date -u +%FT%T.000000Z)"}
Y
}

fake_node() {
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Node
metadata: {name: $1, labels: {kubernetes.io/hostname: $1}}
Y
    renew "$1"
    kubectl patch node "$1" --subresource=status --type=merge >/dev/null -p "{\"status\":{
        \"capacity\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},
        \"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\",\"lastHeartbeatTime\":\"$(now)\",\"lastTransitionTime\":\"$(now)\"}]}}"
}

# One turn of the fake kubelet: what is bound runs, what is being deleted is gone.
kubelet() {
    local ns name node ip deleted
    renew one
    kubectl get pods -A -o json | jq -r '.items[] | [.metadata.namespace, .metadata.name, .spec.nodeName // "-",
        .status.podIP // "-", .metadata.deletionTimestamp // "-"] | join(" ")' |
        while read -r ns name node ip deleted; do
            if [ "$deleted" != - ]; then
                kubectl -n "$ns" delete pod "$name" --force --grace-period=0 --wait=false >/dev/null 2>&1 || true
            elif [ "$node" != - ] && [ "$ip" = - ]; then
                ip="10.244.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))"
                kubectl -n "$ns" patch pod "$name" --subresource=status --type=merge >/dev/null -p "{\"status\":{
                    \"phase\":\"Running\",\"podIP\":\"$ip\",\"podIPs\":[{\"ip\":\"$ip\"}],
                    \"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\"},{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"$(now)\"}]}}" || true
            fi
        done
}

# wait_for, with the kubelet at work; LIMIT in seconds.
eventually() {
    local deadline=$((SECONDS + ${LIMIT:-15})) out
    until kubelet; out=$("$@" 2>&1); do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "not in time: $*: $out"
            kubectl get deployments,replicasets,pods
            return 1
        fi
        sleep 0.1
    done
}

field() { # OBJECT JSONPATH WANTED
    local have
    have=$(kubectl get "$1" -o jsonpath="$2") && [ "$have" = "$3" ] || { echo "$1 $2: '$have', not '$3'"; return 1; }
}
rolled_out() { kubectl rollout status "$1" --timeout=1s; }
absent() { ! kubectl get "$@" >/dev/null 2>&1; }
count() { # WANTED ARGS…
    local n
    n=$(kubectl get "${@:2}" --no-headers 2>/dev/null | wc -l) && [ "$n" = "$1" ] || { echo "$n, not $1"; return 1; }
}

@test "every namespace has its account and the authority" {
    kubectl create namespace fresh
    wait_for 10 kubectl -n fresh get serviceaccount default
    wait_for 10 kubectl -n fresh get configmap kube-root-ca.crt
    [ "$(kubectl -n fresh get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}')" = "$(cat "$DATA/pki/ca.crt")" ]
    kubectl -n fresh delete serviceaccount default
    kubectl -n fresh delete configmap kube-root-ca.crt
    wait_for 10 kubectl -n fresh get serviceaccount default
    wait_for 10 kubectl -n fresh get configmap kube-root-ca.crt
}

@test "a deployment's pods are made, bound and counted" {
    kubectl create deployment web --image=web:1 --replicas=3
    eventually rolled_out deployment/web
    [ "$(kubectl get deployment web --no-headers | awk '{print $2, $3, $4}')" = "3/3 3 3" ]
    [ "$(kubectl get pods -l app=web -o jsonpath='{.items[*].spec.nodeName}')" = "one one one" ]
    kubectl get events | grep -q 'Scaled up replica set web-[a-z0-9]* from 0 to 3'
    kubectl get events | grep -q 'Created pod: web-'
    kubectl get events | grep -q 'Successfully assigned default/web-.* to one'
    field deployment/web '{.metadata.annotations.deployment\.kubernetes\.io/revision}' 1
}

@test "a deleted pod is replaced" {
    pod=$(kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}')
    kubectl delete pod "$pod" --wait=false
    eventually absent pod "$pod"
    eventually field deployment/web '{.status.readyReplicas}' 3
}

@test "scaling up and down" {
    kubectl scale deployment web --replicas=5
    eventually field deployment/web '{.status.readyReplicas}' 5
    kubectl scale deployment web --replicas=2
    eventually count 2 pods -l app=web
    field deployment/web '{.status.conditions[?(@.type=="Available")].status}' True
}

@test "a rolling update never has too few pods, and history works" {
    kubectl scale deployment web --replicas=4
    eventually field deployment/web '{.status.readyReplicas}' 4
    kubectl set image deployment/web web=web:2
    eventually rolled_out deployment/web
    eventually count 4 pods -l app=web
    [ "$(kubectl get pods -l app=web -o jsonpath='{.items[*].spec.containers[0].image}')" = "web:2 web:2 web:2 web:2" ]
    [ "$(kubectl rollout history deployment/web | grep -c '<none>')" = 2 ]
    kubectl rollout undo deployment/web
    eventually rolled_out deployment/web
    field deployment/web '{.spec.template.spec.containers[0].image}' web:1
    field deployment/web '{.metadata.annotations.deployment\.kubernetes\.io/revision}' 3
    [ "$(kubectl rollout history deployment/web | awk '/<none>/ {print $1}' | tr '\n' ' ')" = "2 3 " ]
}

@test "a paused deployment waits" {
    kubectl rollout pause deployment/web
    kubectl set image deployment/web web=web:3
    wait_for 10 field deployment/web '{.status.conditions[?(@.type=="Progressing")].reason}' DeploymentPaused
    eventually count 4 pods -l app=web
    [ "$(kubectl get pods -l app=web -o jsonpath='{.items[*].spec.containers[0].image}' | tr ' ' '\n' | sort -u)" = web:1 ]
    kubectl rollout resume deployment/web
    eventually rolled_out deployment/web
    eventually field deployment/web '{.status.updatedReplicas}' 4
    kubectl rollout restart deployment/web
    eventually rolled_out deployment/web
}

@test "recreate has no pod of two templates at once" {
    kubectl apply -f - <<Y
apiVersion: apps/v1
kind: Deployment
metadata: {name: again}
spec:
  replicas: 2
  strategy: {type: Recreate}
  selector: {matchLabels: {app: again}}
  template: {metadata: {labels: {app: again}}, spec: {containers: [{name: c, image: "c:1"}]}}
Y
    eventually rolled_out deployment/again
    kubectl set image deployment/again c=c:2
    wait_for 10 field deployment/again '{.status.replicas}' ''
    [ "$(kubectl get pods -l app=again -o jsonpath='{.items[*].spec.containers[0].image}')" = "c:1 c:1" ]
    eventually rolled_out deployment/again
    kubectl delete deployment again
}

@test "a rollout that stands still is reported" {
    kubectl apply -f - <<Y
apiVersion: apps/v1
kind: Deployment
metadata: {name: stuck}
spec:
  progressDeadlineSeconds: 1
  selector: {matchLabels: {app: stuck}}
  template: {metadata: {labels: {app: stuck}}, spec: {containers: [{name: c, image: c}], nodeSelector: {disk: none}}}
Y
    wait_for 15 field deployment/stuck '{.status.conditions[?(@.type=="Progressing")].reason}' ProgressDeadlineExceeded
    run kubectl rollout status deployment/stuck --timeout=3s
    [[ "$output" == *"exceeded its progress deadline"* ]]
    kubectl delete deployment stuck
}

@test "what does not fit says why, and is bound when it fits" {
    kubectl run huge --image=x --overrides='{"spec":{"containers":[{"name":"huge","image":"x","resources":{"requests":{"cpu":"64"}}}]}}'
    wait_for 10 field pod/huge '{.status.conditions[?(@.type=="PodScheduled")].reason}' Unschedulable
    [[ "$(kubectl get pod huge -o jsonpath='{.status.conditions[0].message}')" == "0/1 nodes are available: 1 Insufficient cpu."* ]]
    wait_for 10 eval 'kubectl get events | grep -q "FailedScheduling.*pod/huge"'
    kubectl patch node one --subresource=status --type=merge -p '{"status":{"allocatable":{"cpu":"100"}}}'
    wait_for 10 field pod/huge '{.spec.nodeName}' one
    kubectl delete pod huge --force --grace-period=0
    kubectl cordon one
    kubectl run later --image=x
    wait_for 10 field pod/later '{.status.conditions[?(@.type=="PodScheduled")].status}' False
    kubectl uncordon one
    wait_for 10 field pod/later '{.spec.nodeName}' one
    kubectl delete pod later --force --grace-period=0
}

@test "a service's slices and endpoints follow its pods" {
    kubectl expose deployment web --port=80 --target-port=8080
    wait_for 10 eval '[ "$(kubectl get endpointslices -l kubernetes.io/service-name=web -o json | jq "[.items[].endpoints[]?] | length")" = 4 ]'
    kubectl get endpointslices -l kubernetes.io/service-name=web -o json >"$BATS_TEST_TMPDIR/slices"
    jq -e '.items | length == 1' "$BATS_TEST_TMPDIR/slices"
    jq -e '.items[0] | .ports == [{"name":"","port":8080,"protocol":"TCP"}] and .addressType == "IPv4"' "$BATS_TEST_TMPDIR/slices"
    jq -e '.items[0].metadata.ownerReferences[0] | .kind == "Service" and .controller' "$BATS_TEST_TMPDIR/slices"
    jq -e '[.items[0].endpoints[].conditions] | unique == [{"ready":true,"serving":true,"terminating":false}]' "$BATS_TEST_TMPDIR/slices"
    kubectl120 get endpoints web -o json | jq -e '.subsets[0].addresses | length == 4'
    pod=$(kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}')
    kubectl patch pod "$pod" --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"False"}]}}'
    wait_for 10 eval 'kubectl get endpoints web -o json | jq -e ".subsets[0].notReadyAddresses | length == 1"'
    kubectl delete pod "$pod" --wait=false
    eventually absent pod "$pod"
    eventually rolled_out deployment/web
    kubectl delete service web
    wait_for 10 count 0 endpointslices -l kubernetes.io/service-name=web
    wait_for 10 absent endpoints web
}

port_pod() { # NAME WEB ADMIN: a pod whose ports of these names are so
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: named}}
spec: {containers: [{name: c, image: c, ports: [{name: web, containerPort: $2}, {name: admin, containerPort: $3}]}]}
Y
}

@test "named ports that differ from pod to pod have a subset and a slice each" {
    port_pod named-a 8080 9000
    port_pod named-b 8081 9000
    port_pod named-c 8080 9000
    kubectl apply -f - <<Y
apiVersion: v1
kind: Service
metadata: {name: named}
spec:
  selector: {app: named}
  ports: [{name: web, port: 80, targetPort: web}, {name: admin, port: 90, targetPort: admin}]
Y
    slices() {
        kubectl get endpointslices -l kubernetes.io/service-name=named -o json |
            jq -c '[.items[] | [[.endpoints[]?.targetRef.name], [.ports[]?.port]]] | sort'
    }
    subsets() { kubectl get endpoints named -o json | jq -c '[.subsets[] | [[.addresses[].targetRef.name], [.ports[].port]]] | sort'; }
    same() { [ "$("$1")" = "$2" ] || { "$1"; return 1; }; }
    eventually same slices '[[["named-a","named-c"],[8080,9000]],[["named-b"],[8081,9000]]]'
    eventually same subsets '[[["named-a","named-b","named-c"],[9000]],[["named-a","named-c"],[8080]],[["named-b"],[8081]]]'
    kubectl delete pod named-b --force --grace-period=0
    eventually same slices '[[["named-a","named-c"],[8080,9000]]]'
    eventually same subsets '[[["named-a","named-c"],[8080,9000]]]'
    # On its way out a pod that passes its readiness serves, but is not ready.
    kubectl delete pod named-a --wait=false
    conditions() {
        kubectl get endpointslices -l kubernetes.io/service-name=named -o json |
            jq -c '.items[].endpoints[] | select(.targetRef.name == "named-a") | .conditions | [.ready, .serving, .terminating]'
    }
    wait_for 10 same conditions '[false,true,true]'
    wait_for 10 same subsets '[[["named-c"],[8080,9000]]]'
    kubectl delete service named
    eventually absent pod named-a
    kubectl delete pod named-c --force --grace-period=0
}

@test "deleting an owner deletes what it owned, or leaves it as orphans" {
    kubectl create deployment tree --image=x --replicas=2
    eventually rolled_out deployment/tree
    set=$(kubectl get replicasets -l app=tree -o name)
    kubectl delete deployment tree --cascade=orphan
    kubectl get "$set"
    wait_for 10 field "$set" '{.metadata.ownerReferences[*].kind}' ''
    kubectl delete "$set" --cascade=foreground --wait=false
    eventually absent "$set"
    count 0 pods -l app=tree
    kubectl create deployment tree --image=x --replicas=2
    eventually rolled_out deployment/tree
    kubectl delete deployment tree
    eventually count 0 replicasets,pods -l app=tree
}

@test "a ReplicationController or Job deleted without a word leaves its pods, other kinds do not" {
    delete() { # PATH [OPTIONS]: as a client that says no more than this
        nsenter --net="/run/netns/$NS" "$TOOLS/kubectl-1.35" proxy --unix-socket="$DATA/proxy.sock" >/dev/null 3>&- &
        local proxy=$!
        echo "$proxy" >>"$PIDS"
        wait_for 10 test -S "$DATA/proxy.sock"
        curl -fsS -D - --unix-socket "$DATA/proxy.sock" -X DELETE -H 'Content-Type: application/json' "http://localhost$1" ${2:+-d "$2"}
        kill "$proxy"
        rm -f "$DATA/proxy.sock"
    }
    local path=/api/v1/namespaces/default/replicationcontrollers/old
    for how in '' '{"orphanDependents":false}'; do
        kubectl apply -f - <<Y
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec: {replicas: 1, selector: {app: old}, template: {metadata: {labels: {app: old}}, spec: {containers: [{name: c, image: x}]}}}
Y
        wait_for 10 count 1 pods -l app=old
        delete $path "$how"
        eventually absent replicationcontroller old
        if [ -z "$how" ]; then
            [ -z "$(kubectl get pods -l app=old -o jsonpath='{.items[*].metadata.ownerReferences}')" ]
            count 1 pods -l app=old
        else
            eventually count 0 pods -l app=old
        fi
    done
    kubectl create job once --image=x
    delete /apis/batch/v1/namespaces/default/jobs/once | grep -qi '^warning: 299 .*child pods are preserved by default'
    eventually absent job once
}

@test "whatever names a dead owner is collected" {
    kubectl create configmap owner
    uid=$(kubectl get configmap owner -o jsonpath='{.metadata.uid}')
    kubectl create secret generic owned
    kubectl patch secret owned --type=merge -p "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"owner\",\"uid\":\"$uid\"}]}}"
    kubectl delete configmap owner
    wait_for 10 absent secret owned
}

@test "an orphan that matches is adopted, one that does not match any more is let go" {
    kubectl apply -f - <<Y
apiVersion: v1
kind: Pod
metadata: {name: stray, labels: {app: set}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: set}
spec:
  replicas: 2
  selector: {matchLabels: {app: set}}
  template: {metadata: {labels: {app: set}}, spec: {containers: [{name: c, image: c}]}}
Y
    eventually field replicaset/set '{.status.readyReplicas}' 2
    eventually field pod/stray '{.metadata.ownerReferences[0].name}' set
    kubectl label pod stray app=free --overwrite
    eventually field pod/stray '{.metadata.ownerReferences[*].kind}' ''
    eventually field replicaset/set '{.status.readyReplicas}' 2
    kubectl delete replicaset set
    kubectl delete pod stray --force --grace-period=0
}

@test "replication controllers keep their pods too" {
    kubectl apply -f - <<Y
apiVersion: v1
kind: ReplicationController
metadata: {name: rc}
spec:
  replicas: 2
  selector: {app: rc}
  template: {metadata: {labels: {app: rc}}, spec: {containers: [{name: c, image: c}]}}
Y
    eventually field rc/rc '{.status.readyReplicas}' 2
    kubectl delete rc rc
    eventually count 0 pods -l app=rc
}

@test "a deleted namespace is emptied and goes" {
    kubectl -n fresh create configmap content
    kubectl -n fresh create deployment inside --image=x
    kubectl delete namespace fresh --wait=false
    eventually absent namespace fresh
}

@test "a silent node is tainted, its pods are evicted, and those of a deleted node are collected" {
    fake_node two
    kubectl cordon one
    kubectl run brief --image=x --overrides='{"spec":{"tolerations":[{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":1}]}}'
    kubectl run loyal --image=x --overrides='{"spec":{"tolerations":[{"operator":"Exists"}]}}'
    eventually field pod/loyal '{.status.phase}' Running
    kubectl uncordon one
    kubectl patch lease -n kube-node-lease two --type=merge -p '{"spec":{"renewTime":"2020-01-01T00:00:00.000000Z"}}'
    LIMIT=60 eventually field node/two '{.status.conditions[?(@.type=="Ready")].status}' Unknown
    wait_for 10 eval 'kubectl get node two -o jsonpath="{.spec.taints[*].key}" | grep -q node.kubernetes.io/unreachable'
    eventually absent pod brief
    kubectl get pod loyal
    kubectl delete node two
    LIMIT=60 eventually absent pod loyal
}

@test "controllers and scheduler end in order and go on where they stopped" {
    kill_role controller
    kill_role scheduler KILL
    kubectl create deployment late --image=x --replicas=2
    run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"
    run_role scheduler --kubeconfig "$DATA/pki/scheduler/kubeconfig"
    eventually rolled_out deployment/late
    kill_role server KILL
    start_server
    kubectl scale deployment late --replicas=3
    eventually field deployment/late '{.status.readyReplicas}' 3
}

refuse() { # SELECTOR: fails each of its pods at once, as a kubelet that refuses them does, until it is killed
    local name
    while true; do
        for name in $(kubectl get pods -l "$1" --field-selector=status.phase=Pending -o name 2>/dev/null); do
            kubectl patch "$name" --subresource=status --type=merge >/dev/null 2>&1 \
                -p '{"status":{"phase":"Failed","reason":"UnexpectedAdmissionError","message":"no"}}' || true
        done
        sleep 0.05
    done
}

@test "pods that fail at once are replaced more and more slowly, and all are made when one is taken" {
    local kubelet
    refuse app=refused 3>&- &
    kubelet=$!
    kubectl create deployment refused --image=x
    wait_for 20 eval '[ "$(kubectl get pods -l app=refused --field-selector=status.phase=Failed -o name | wc -l)" -ge 3 ]'
    # 1, 2 and 4 seconds between them: the fourth is at least 4 s younger than the third.
    wait_for 30 eval '[ "$(kubectl get pods -l app=refused --field-selector=status.phase=Failed -o name | wc -l)" -ge 4 ]'
    kubectl get pods -l app=refused -o json | jq -e '[.items[].metadata.creationTimestamp | fromdate] | sort |
        [.[1] - .[0], .[2] - .[1], .[3] - .[2]] | .[0] >= 1 and .[1] >= 2 and .[2] >= 4'
    kubectl scale deployment refused --replicas=5
    # One at a time, still.
    wait_for 30 eval '[ "$(kubectl get pods -l app=refused -o name | wc -l)" -ge 5 ]'
    [ "$(kubectl get pods -l app=refused -o name | wc -l)" -eq 5 ]
    kill "$kubelet"
    wait "$kubelet" || true
    LIMIT=60 eventually field deployment/refused '{.status.readyReplicas}' 5
    kubectl delete deployment refused
    eventually count 0 pods -l app=refused
}

@test "a deployment adopts the replica sets that it selects, and lets go of those that it does not" {
    local set
    kubectl create deployment kept --image=x --replicas=2
    eventually rolled_out deployment/kept
    set=$(kubectl get replicasets -l app=kept -o name)
    kubectl get deployment kept -o json | jq 'del(.metadata.uid, .metadata.resourceVersion, .status)' >"$BATS_TEST_TMPDIR/kept"
    kubectl delete deployment kept --cascade=orphan
    wait_for 10 field "$set" '{.metadata.ownerReferences[*].kind}' ''
    kubectl create -f "$BATS_TEST_TMPDIR/kept"
    eventually field "$set" '{.metadata.ownerReferences[0].kind}' Deployment
    eventually rolled_out deployment/kept
    [ "$(kubectl get replicasets -l app=kept -o name)" = "$set" ]
    [ "$(kubectl get "$set" -o jsonpath='{.metadata.ownerReferences[0].uid}')" = "$(kubectl get deployment kept -o jsonpath='{.metadata.uid}')" ]
    kubectl label "$set" app=free --overwrite
    eventually field "$set" '{.metadata.ownerReferences[*].kind}' ''
    kubectl delete deployment kept
    kubectl delete "$set"
    eventually count 0 pods -l app=kept
}

pod_in_circle() { # NAME OWNER UID: NAME gets OWNER as an owner that waits for it
    kubectl patch pod "$1" --type=merge >/dev/null -p "{\"metadata\":{\"ownerReferences\":[
        {\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"$2\",\"uid\":\"$3\",\"blockOwnerDeletion\":true}]}}"
}

@test "pods that own each other go when one is deleted in the foreground, and the controller stays awake" {
    local name
    for name in ring-a ring-b ring-c; do
        kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $name}
spec: {nodeName: nowhere, terminationGracePeriodSeconds: 0, containers: [{name: c, image: x}]}
Y
    done
    uid() { kubectl get pod "$1" -o jsonpath='{.metadata.uid}'; }
    pod_in_circle ring-b ring-a "$(uid ring-a)"
    pod_in_circle ring-c ring-b "$(uid ring-b)"
    pod_in_circle ring-a ring-c "$(uid ring-c)"
    kubectl delete pod ring-a --cascade=foreground --wait=false
    gone() { [ -z "$(kubectl get pods -o name | grep ring- || true)" ]; }
    LIMIT=60 eventually gone
}
