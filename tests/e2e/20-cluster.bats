#!/usr/bin/env bats
# A whole cluster, started by `knarr up`, with real pods and packets.

load helpers

setup_file() {
    need_root
    new_cluster
    KN="$KNARR_BUILD/src/cmd/knarr"
    export KN
    rm -rf "$DATA/store"
    inside "$KN" up --data-dir "$DATA" --detach 3>&-
    make_image "$DATA/demo.tar" knarr.local/demo:1
    inside "$KN" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$DATA"
    wait_for 20 kubectl get serviceaccount default
    kubectl apply -f "$E2E_DIR/../../examples/hello.yaml"
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$DATA" || true
    stop_all
}

vip() { kubectl get service hello -o jsonpath='{.spec.clusterIP}'; }
page() { inside curl -fsS --max-time 20 "$1"; }

@test "a Deployment rolls out and serves through ClusterIP and NodePort" {
    kubectl rollout status deployment/hello --timeout=60s
    wait_for 10 page "http://$(vip)/"
    [ "$(page "http://$(vip)/")" = "Hello from knarr: fewer hands, less wood, more ocean." ]
    ip=$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}')
    page "http://$ip:30080/"
}

@test "the node bears the control plane's role, and says how much room there is for pods' files" {
    local node want
    node=$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')
    [ "$(kubectl get node "$node" --no-headers | awk '{ print $3 }')" = control-plane ]
    want=$(stat -f -c '%b %S' "$DATA" | awk '{ print int($1 * $2 / 1024) }')
    [ "$(kubectl get node "$node" -o jsonpath='{.status.capacity.ephemeral-storage}')" = "${want}Ki" ]
    kubectl run roomy --image=knarr.local/demo:1 --overrides="{\"spec\":{\"containers\":[{\"name\":\"roomy\",\"image\":\"knarr.local/demo:1\",\"command\":[\"sleep\",\"1000\"],
        \"resources\":{\"requests\":{\"ephemeral-storage\":\"$((want / 10))Ki\"}}}]}}"
    kubectl run vast --image=knarr.local/demo:1 --overrides="{\"spec\":{\"containers\":[{\"name\":\"vast\",\"image\":\"knarr.local/demo:1\",
        \"resources\":{\"requests\":{\"ephemeral-storage\":\"${want}Ki\"}}}]}}"
    kubectl wait --for=condition=Ready pod/roomy --timeout=30s
    wait_for 20 eval 'kubectl get pod vast -o jsonpath="{.status.conditions[0].message}" | grep -q "1 Insufficient ephemeral-storage"'
    kubectl describe node "$node" | grep -E "^ +ephemeral-storage +[1-9].* \(1[01]%\)"
    kubectl delete pod roomy vast --wait=false
}

@test "a pod reaches the Service by its DNS name" {
    kubectl run visitor --image=knarr.local/demo:1 --restart=Never --command -- sh -c \
        'ip=$(nslookup -type=a hello.default.svc.cluster.local | sed -n "s/^Address: //p" | tail -n 1); printf "GET / HTTP/1.0\r\n\r\n" | nc -w 5 "$ip" 80'
    kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/visitor --timeout=30s
    kubectl logs visitor | grep -q 'Hello from knarr'
    kubectl delete pod visitor --wait=false
}

@test "a Service with the label of another proxy, or of none, is left alone" {
    for label in service-proxy-name=other headless=; do
        kubectl label service hello "service.kubernetes.io/$label"
        refused() { ! inside curl -fsS --max-time 1 "http://$(vip)/"; }
        wait_for 20 refused
        kubectl label service hello "service.kubernetes.io/${label%=*}-"
        wait_for 20 page "http://$(vip)/"
    done
}

@test "logs and exec, with both kubectl versions" {
    pod=$(kubectl get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
    [ "$(kubectl exec "$pod" -- cat /www/index.html)" = "Hello from knarr: fewer hands, less wood, more ocean." ]
    [ "$(kubectl120 exec "$pod" -- id -u)" = 65534 ]
    run kubectl exec "$pod" -- sh -c 'exit 7'
    [ "$status" -eq 7 ]
    [ "$(echo through | kubectl exec -i "$pod" -- cat)" = through ]
    page "http://$(vip)/" >/dev/null
    kubectl logs -l app=hello | grep -q 'response:200'
}

@test "a rolling update, its history, and back" {
    kubectl set env deployment/hello STEP=2
    kubectl rollout status deployment/hello --timeout=60s
    [ "$(kubectl get deployment hello -o jsonpath='{.metadata.annotations.deployment\.kubernetes\.io/revision}')" = 2 ]
    kubectl rollout undo deployment/hello
    kubectl rollout status deployment/hello --timeout=60s
    [ -z "$(kubectl get deployment hello -o jsonpath='{.spec.template.spec.containers[0].env}')" ]
}

@test "a pod that keeps failing says why" {
    cat <<Y | kubectl apply -f -
apiVersion: v1
kind: Pod
metadata: {name: crash}
spec: {containers: [{name: c, image: "knarr.local/demo:1", command: [sh, -c, "exit 3"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: noimage}
spec: {containers: [{name: c, image: "nowhere:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: nocommand}
spec: {containers: [{name: c, image: "knarr.local/demo:1", command: [/no/such]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: unsupported}
spec: {hostUsers: false, containers: [{name: c, image: "knarr.local/demo:1"}]}
Y
    shows() { kubectl get pod "$1" --no-headers | grep -qE "$2"; }
    wait_for 30 shows crash 'CrashLoopBackOff'
    wait_for 30 shows noimage 'ErrImagePull|ImagePullBackOff'
    wait_for 30 shows nocommand 'StartError|CrashLoopBackOff|RunContainerError'
    wait_for 30 shows unsupported 'CreateContainerConfigError'
    [ "$(kubectl get pod crash -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode}')" = 3 ]
    kubectl get events | grep -q 'spec.hostUsers is not supported'
    kubectl delete pod crash noimage nocommand unsupported --grace-period=0 --force
}

@test "a container killed for memory says OOMKilled" {
    cat <<Y | kubectl apply -f -
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: knarr.local/demo:1
    command: [sh, -c, "dd if=/dev/zero of=/dev/shm/x bs=1M count=60"]
    resources: {limits: {memory: 16Mi}}
Y
    oom() { [ "$(kubectl get pod hungry -o jsonpath='{.status.containerStatuses[0].state.terminated.reason}')" = OOMKilled ]; }
    wait_for 30 oom
    kubectl delete pod hungry --wait=false
}

@test "killed roles come back, and pods never notice" {
    pods() { kubectl get pods -l app=hello -o jsonpath='{.items[*].metadata.uid} {.items[*].status.containerStatuses[*].containerID}'; }
    before=$(pods)
    up=$(jq .supervisor "$DATA/cluster.json")
    for role in node server controller scheduler; do
        pid=$(pgrep -P "$up" -f "knarr-$role " | head -n 1)
        kill -9 "$pid"
    done
    wait_for 30 kubectl get --raw /readyz
    ready() { kubectl get nodes --no-headers | grep -qw Ready && kubectl scale deployment hello --replicas=3; }
    wait_for 30 ready
    wait_for 20 page "http://$(vip)/"
    [ "$(pods)" = "$before" ]
}

@test "a second cluster in the same data directory is refused" {
    run inside "$KN" up --data-dir "$DATA"
    [ "$status" -eq 1 ]
    [[ "$output" == *'in use by a running cluster'* ]]
}

@test "down leaves nothing behind, and up brings the pods back" {
    inside "$KN" down --data-dir "$DATA"
    ! pgrep -f "$DATA" >/dev/null || false
    ! grep -q "$DATA" /proc/self/mounts || false
    ! ip -n "$NS" -br link | grep -q '^kn' || false
    inside "$KN" up --data-dir "$DATA" --detach 3>&-
    wait_for 30 page "http://$(vip)/"
}

@test "down in the middle of a start is a start that can be repeated" {
    for pause in 0 0.1 0.3; do
        inside "$KN" down --data-dir "$DATA"
        inside "$KN" up --data-dir "$DATA" --detach 3>&-
        sleep "$pause" # wherever in the pods' start that is
    done
    wait_for 30 page "http://$(vip)/"
    all_run() { [ "$(kubectl get pods -l app=hello --field-selector status.phase=Running -o name | wc -l)" = 3 ]; }
    wait_for 30 all_run
}
