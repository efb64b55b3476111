#!/usr/bin/env bats
# The Node object and its Lease, what a node keeps of others' parts of them, what it tells of use, and volumes' finer points. A
# whole cluster, real kubectl.

load helpers

setup_file() {
    need_root
    new_cluster
    KN="$KNARR_BUILD/src/cmd/knarr"
    NODE=$(hostname | tr '[:upper:]' '[:lower:]')
    export KN NODE
    rm -rf "$DATA/store"
    inside "$KN" up --data-dir "$DATA" --detach 3>&-
    make_image "$DATA/demo.tar" knarr.local/demo:1
    inside "$KN" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$DATA"
    wait_for 20 kubectl get serviceaccount default
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$DATA" || true
    while umount -l "$DATA/shared" 2>/dev/null; do :; done
    stop_all
}

# pod NAME CONTAINER-FIELDS [SPEC-FIELDS]: as flow YAML
pod() {
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "knarr.local/demo:1", $2}]${3:+, $3}}
Y
}
SLEEP='command: [sh, -c, "trap exit TERM; sleep 100000 & wait"]'
ready() { kubectl wait --for=condition=Ready "pod/$1" --timeout=60s; }
of_node() { kubectl get node "$NODE" -o json | jq -r "$1"; }
restarts() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].restartCount}')" = "$2" ]; }

@test "the node's Lease belongs to its Node" {
    owner() { kubectl -n kube-node-lease get lease "$NODE" -o json | jq -c '.metadata.ownerReferences // [] | map([.apiVersion, .kind, .name, .uid])'; }
    owned() { [ "$(owner)" = "[[\"v1\",\"Node\",\"$NODE\",\"$(of_node .metadata.uid)\"]]" ]; }
    wait_for 40 owned
}

@test "what is on the node of an extended resource is given out, and no more" {
    has() { kubectl patch node "$NODE" --subresource=status --type=merge -p "{\"status\":{\"capacity\":{\"example.com/key\":$1}}}"; }
    given() { [ "$(of_node '.status.allocatable["example.com/key"]')" = "$1" ]; }
    has '"2"'
    wait_for 40 given 2
    for i in 1 2 3; do pod "key$i" "$SLEEP, resources: {limits: {example.com/key: 1}}"; done
    running() { [ "$(kubectl get pod key1 key2 key3 --no-headers | grep -c Running)" = 2 ]; }
    wait_for 40 running
    local waits
    waits=$(kubectl get pod key1 key2 key3 --no-headers | awk '$3 != "Running" {print $1}')
    told() { kubectl get pod "$waits" -o jsonpath='{.status.conditions[*].message}' | grep -q 'Insufficient example.com/key'; }
    wait_for 20 told
    kubectl delete pod "$(kubectl get pod key1 key2 key3 --no-headers | awk '$3 == "Running" {print $1; exit}')"
    ready "$waits"
    kubectl delete pod --ignore-not-found key1 key2 key3
    has null
    wait_for 40 given null
}

@test "a resource that somebody patched into the node's capacity is allocatable, and stays; conditions of others stay" {
    kubectl patch node "$NODE" --subresource=status --type=json -p '[{"op":"add","path":"/status/capacity/example.com~1dongle","value":"2"},
        {"op":"add","path":"/status/conditions/-","value":{"type":"Dongles","status":"True","reason":"Plugged"}}]'
    allocatable() { [ "$(of_node '.status.allocatable["example.com/dongle"]')" = "$1" ]; }
    wait_for 40 allocatable 2
    # The agent begins anew, and tells its status: what is not its own is there as before.
    local before
    before=$(pgrep -f -- "knarr-node --data-dir=$DATA ")
    kill -9 "$before"
    another() { [ -n "$(pgrep -f -- "knarr-node --data-dir=$DATA ")" ] && kubectl get --raw "/api/v1/nodes/$NODE/proxy/healthz"; }
    wait_for 30 another
    kubectl patch node "$NODE" --subresource=status --type=merge -p '{"status":{"capacity":{"example.com/dongle":"3"}}}'
    wait_for 40 allocatable 3
    [ "$(of_node '.status.conditions[] | select(.type == "Dongles").status')" = True ]
    kubectl patch node "$NODE" --subresource=status --type=merge -p '{"status":{"capacity":{"example.com/dongle":null}}}'
    wait_for 40 allocatable null
}

@test "/stats/summary: the node, its pods, their containers" {
    pod busy 'command: [sh, -c, "while true; do :; done"], resources: {limits: {cpu: 200m, memory: 32Mi}}'
    ready busy
    summary() { kubectl get --raw "/api/v1/nodes/$NODE/proxy/stats/summary$1" >"$DATA/summary"; }
    of_pod() { jq -e ".pods[] | select(.podRef.name == \"busy\" and .podRef.namespace == \"default\") | $1" "$DATA/summary"; }
    summary ""
    jq -e --arg node "$NODE" '.node | .nodeName == $node and .memory.workingSetBytes > 1e6 and .memory.availableBytes > 1e6 and
        .cpu.usageCoreNanoSeconds > 0 and .fs.capacityBytes >= .fs.availableBytes and .runtime.imageFs.inodes >= 0' "$DATA/summary"
    of_pod ".podRef.uid == \"$(kubectl get pod busy -o jsonpath='{.metadata.uid}')\""
    of_pod '.containers | length == 1 and .[0].name == "c" and (.[0].memory | .workingSetBytes > 0 and .availableBytes < 33554432)'
    of_pod '.network.name == "eth0" and .network.txBytes >= 0 and .process_stats.process_count > 1'
    burns() { summary "" && of_pod '.containers[0].cpu | .usageCoreNanoSeconds > 1e8 and .usageNanoCores > 5e7 and .usageNanoCores < 1e9'; }
    wait_for 30 burns
    summary '?only_cpu_and_memory=true'
    of_pod '(.containers[0].cpu.usageCoreNanoSeconds > 1e8) and (has("network") | not) and (.containers[0] | has("rootfs") | not)'
    run kubectl get --raw "/api/v1/nodes/$NODE/proxy/stats/container"
    [ "$status" -ne 0 ]
    kubectl delete pod busy --now
}

@test "the values of variables from Secrets are on no disk" {
    kubectl create secret generic word --from-literal=open=sesame-7316
    pod reader "$SLEEP, env: [{name: WORD, valueFrom: {secretKeyRef: {name: word, key: open}}}]"
    ready reader
    [ "$(kubectl exec reader -- sh -c 'echo $WORD')" = sesame-7316 ]
    local uid dir
    uid=$(kubectl get pod reader -o jsonpath='{.metadata.uid}')
    dir="$DATA/node/pods/$uid"
    [ "$(stat -fLc %T "$dir/apps/c.0/spec")" = tmpfs ]
    [ "$(stat -Lc %a "$dir/memory")" = 700 ]
    ! grep -r --devices=skip sesame-7316 "$dir/apps" "$dir"/[!m]* "$DATA/log/pods" || false # -r follows no links
    # A restart has a spec of its own; with the pod all go.
    kubectl exec reader -- kill 1 || true # it may be gone with the container before it has ended by itself
    wait_for 60 restarts reader 1
    ready reader
    [ "$(kubectl exec reader -- sh -c 'echo $WORD')" = sesame-7316 ]
    kubectl delete pod reader --now
    nothing() { [ ! -e "$DATA/node/memory/$uid" ] && [ ! -e "$dir" ]; }
    wait_for 20 nothing
    kubectl delete secret word
}

@test "a container with a subPath of a ConfigMap restarts after the ConfigMap has changed, and sees the new text" {
    kubectl create configmap poem --from-literal=line=first
    pod reciter "$SLEEP, volumeMounts: [{name: v, mountPath: /line, subPath: line}, {name: v, mountPath: /all}]" \
        'volumes: [{name: v, configMap: {name: poem}}]'
    ready reciter
    kubectl create configmap poem --from-literal=line=second --dry-run=client -o yaml | kubectl replace -f -
    kubectl exec reciter -- kill 1 || true # it may be gone with the container before it has ended by itself
    wait_for 60 restarts reciter 1
    ready reciter
    arrived() { [ "$(kubectl exec reciter -- cat /all/line)" = second ]; }
    wait_for 90 arrived
    kubectl exec reciter -- kill 1 || true # it may be gone with the container before it has ended by itself
    wait_for 60 restarts reciter 2
    ready reciter
    [ "$(kubectl exec reciter -- cat /line)" = second ]
    kubectl delete pod reciter --now
    kubectl delete configmap poem
}

@test "mounts go from the host into a container, and out of it, where it asks for that" {
    mkdir "$DATA/shared"
    mount -t tmpfs none "$DATA/shared"
    mount --make-shared "$DATA/shared"
    local volume="volumes: [{name: v, hostPath: {path: $DATA/shared}}]"
    pod alone "$SLEEP, volumeMounts: [{name: v, mountPath: /v}]" "$volume"
    pod looks "$SLEEP, volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]" "$volume"
    pod gives "$SLEEP, securityContext: {privileged: true}, volumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}]" "$volume"
    ready alone && ready looks && ready gives
    mkdir "$DATA/shared/from-host" "$DATA/shared/from-pod"
    mount -t tmpfs none "$DATA/shared/from-host"
    touch "$DATA/shared/from-host/seen"
    kubectl exec gives -- sh -c 'mount -t tmpfs none /v/from-pod && touch /v/from-pod/seen'
    [ -e "$DATA/shared/from-pod/seen" ]
    for what in from-host from-pod; do
        kubectl exec looks -- ls "/v/$what/seen"
        kubectl exec gives -- ls "/v/$what/seen"
        run kubectl exec alone -- ls "/v/$what/seen"
        [ "$status" -ne 0 ]
    done
    # What a container that only looks mounts is its own.
    kubectl exec looks -- sh -c '! mount -t tmpfs none /v/from-host 2>/dev/null'
    kubectl delete pod alone looks gives --now
    umount "$DATA/shared/from-host" "$DATA/shared/from-pod"
}

@test "a container that asks for the host's mounts where there are none to see is refused" {
    mount --make-private "$DATA/shared"
    pod blind "$SLEEP, volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]" \
        "volumes: [{name: v, hostPath: {path: $DATA/shared}}]"
    refused() { kubectl get pod blind -o json | jq -e '.status.containerStatuses[0].state.waiting.message | contains("is not a shared or slave mount")'; }
    wait_for 30 refused
    kubectl delete pod blind --now
    umount "$DATA/shared"
}

@test "control groups that are missing are named before anything is started" {
    run inside unshare -m sh -c 'umount -lR /sys/fs/cgroup && exec "$@"' - "$KN" up --data-dir "$DATA/none" --api-port 7443
    [ "$status" -ne 0 ]
    [[ $output == *"no control groups are mounted at /sys/fs/cgroup"* ]]
    [ -d /sys/fs/cgroup/memory ] || skip "the machine has version 2 alone"
    run inside unshare -m sh -c 'umount -l /sys/fs/cgroup/memory && exec "$@"' - "$KN" up --data-dir "$DATA/none" --api-port 7443
    [ "$status" -ne 0 ]
    [[ $output == *"no control group controller 'memory'"* ]]
}
