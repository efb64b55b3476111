#!/usr/bin/env bats
# What a pod can do to its node: nothing. Paths that it changes while the node follows them, limits that hold for all
# pods together, fields that are acted upon or refused. A whole cluster, real kubectl.

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
    mkdir -p "$DATA/tools"
    ${CC:-gcc} -O1 -static -o "$DATA/tools/swap" "$E2E_DIR/swap.c"
    chmod -R 755 "$DATA/tools"
    wait_for 20 kubectl get serviceaccount default
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$DATA" || true
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
is_phase() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.phase}')" = "$2" ]; }
log_has() { kubectl logs "$1" | grep -q "$2"; }
logs_of() { ls -d "$DATA"/log/pods/default_"$1"_*; }

# One pod that exchanges a folder and a link to "/" in its volume, and ten containers that mount that name as subPath:
# racers NAME
racers() {
    local i list=
    for i in 0 1 2 3 4 5 6 7 8 9; do
        list="$list, {name: c$i, image: 'knarr.local/demo:1', command: [sh, -c, 'if [ -e /m$DATA/cluster.json ]; then echo ESCAPED; else echo inside; fi'],
            volumeMounts: [{name: v, mountPath: /m, subPath: a}]}"
    done
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: racer}}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  volumes: [{name: v, emptyDir: {}}, {name: tools, hostPath: {path: $DATA/tools}}]
  initContainers:
  - {name: swap, image: 'knarr.local/demo:1', restartPolicy: Always, command: [sh, -c, 'mkdir -p /v/a; ln -s / /v/b; exec /tools/swap /v/a /v/b'],
      volumeMounts: [{name: v, mountPath: /v}, {name: tools, mountPath: /tools, readOnly: true}]}
  containers: [${list#, }]
Y
}
ended() { # all ten of pod $1
    [ "$(kubectl get pod "$1" -o json | jq '[.status.containerStatuses[] | select(.state.terminated)] | length')" = 10 ]
}

@test "race: a subPath that is exchanged with a link never leads out of its volume" {
    local until=$((SECONDS + ${KNARR_SOAK:+30} + 4)) n=0 tries=0 log i
    while [ "$SECONDS" -lt "$until" ] || [ "$n" -lt 2 ]; do
        racers "racer$n"
        wait_for 60 ended "racer$n"
        for i in 0 1 2 3 4 5 6 7 8 9; do
            log=$(kubectl logs "racer$n" -c "c$i") || continue
            case $log in ESCAPED) echo "racer$n/c$i saw the host"; return 1 ;; inside) tries=$((tries + 1)) ;; esac
        done
        kubectl delete pod "racer$n" --wait=false >/dev/null
        n=$((n + 1))
    done
    echo "$tries mounts in $n pods"
    [ "$tries" -ge 10 ]
}

@test "a subPath through a link stays in its volume, and a missing one has the volume's rights" {
    pod sub 'command: [sh, -c, "id -u; touch /m/own && ls -A /n; exec sleep 1000"], securityContext: {runAsUser: 1000},
        volumeMounts: [{name: v, mountPath: /m, subPath: made/here}, {name: v, mountPath: /n, subPath: link}]' \
        "initContainers: [{name: i, image: 'knarr.local/demo:1', command: [sh, -c, 'ln -s / /v/link; touch /v/of-the-volume'], volumeMounts: [{name: v, mountPath: /v}]}],
         volumes: [{name: v, emptyDir: {}}]"
    wait_for 15 log_has sub '^of-the-volume$'
    kubectl delete pod sub
}

@test "a mount onto a link goes where the link leads in the container, there or not" {
    kubectl create configmap links --from-literal=k=mounted
    pod links 'command: [sh, -c, "exec sleep 1000"], volumeMounts: [{name: v, mountPath: /v}, {name: c, mountPath: /v/link/file, subPath: k}]' \
        "initContainers: [{name: i, image: 'knarr.local/demo:1', command: [ln, -s, /made/here, /v/link], volumeMounts: [{name: v, mountPath: /v}]}],
         volumes: [{name: v, emptyDir: {}}, {name: c, configMap: {name: links}}]"
    kubectl wait --for=condition=Ready pod/links --timeout=15s
    [ "$(kubectl exec links -- cat /made/here/file)" = mounted ]
    [ ! -e /made/here ]
    kubectl delete pod/links configmap/links
}

@test "what a log collector puts in the place of a log is not followed" {
    pod talk 'command: [sh, -c, "echo said; exec sleep 1000"]'
    wait_for 15 log_has talk said
    dir=$(logs_of talk)/c
    mv "$dir/0.log" "$dir/kept"
    echo "2026-01-01T00:00:00Z stdout F secret of the host" >"$DATA/secret"
    ln -s "$DATA/secret" "$dir/0.log"
    run kubectl logs talk
    [[ $output != *secret* ]]
    rm "$dir/0.log"
    mv "$dir" "$dir.kept"
    mkdir "$DATA/elsewhere"
    cp "$DATA/secret" "$DATA/elsewhere/0.log"
    ln -s "$DATA/elsewhere" "$dir"
    run kubectl logs talk
    [[ $output != *secret* ]]
    rm "$dir"
    mv "$dir.kept" "$dir"
    kubectl delete pod talk
}

@test "a command is not given what its app put in the place of /dev/null" {
    pod nonull 'command: [sh, -c, "rm /dev/null; ln -s /proc/self/exe /dev/null; echo up; exec sleep 1000"]'
    wait_for 15 log_has nonull up
    run kubectl exec nonull -- true
    [ "$status" -ne 0 ]
    [[ $output == *"/dev/null"* ]]
    kubectl delete pod nonull
}

@test "safe sysctls are set, all others are refused by name" {
    pod safe 'command: [sh, -c, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; exec sleep 1000"]' \
        'securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "77"}, {name: kernel/shm_rmid_forced, value: "1"}]}'
    wait_for 15 log_has safe '^77$'
    log_has safe '^1$'
    kubectl delete pod safe
    for name in kernel.msgmax vm.swappiness kernel/../vm.swappiness net.ipv4.ip_forward; do
        kubectl apply -f - <<Y || continue # the API server refuses what is no name at all
apiVersion: v1
kind: Pod
metadata: {name: unsafe}
spec: {containers: [{name: c, image: "knarr.local/demo:1"}], securityContext: {sysctls: [{name: $name, value: "1"}]}}
Y
        wait_for 10 is_phase unsafe Failed
        [ "$(kubectl get pod unsafe -o jsonpath='{.status.reason}')" = SysctlForbidden ]
        kubectl get pod unsafe -o jsonpath='{.status.message}' | grep -F 'not allowlisted (spec.securityContext.sysctls[0].name)'
        kubectl delete pod unsafe
    done
    pod hostnet 'command: [sleep, "1000"]' 'hostNetwork: true, securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: "1"}]}'
    wait_for 10 is_phase hostnet Failed
    kubectl get pod hostnet -o jsonpath='{.status.message}' | grep -F 'not allowed with host net enabled'
    kubectl delete pod hostnet
}

cgroup_file() { # FILE-OF-V1 FILE-OF-V2 PATH: what it says
    local dir
    for dir in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/memory /sys/fs/cgroup/pids; do
        [ ! -f "$dir$3/$1" ] || { cat "$dir$3/$1"; return; }
        [ ! -f "$dir$3/$2" ] || { cat "$dir$3/$2"; return; }
    done
    return 1
}

@test "a pod has a bounded number of processes, and all pods together the memory that the node offers" {
    pod many 'command: [sleep, "1000"]'
    kubectl wait --for=condition=Ready pod/many --timeout=15s
    uid=$(kubectl get pod many -o jsonpath='{.metadata.uid}')
    instance=$(pgrep -P "$(jq .supervisor "$DATA/cluster.json")" -af "knarr-node " | sed -n "s/.*--instance=\([^ ]*\).*/\1/p")
    [ "$(cgroup_file pids.max pids.max "/$instance/pods/besteffort/pod$uid")" = 4096 ]
    allocatable=$(kubectl get nodes -o jsonpath='{.items[0].status.allocatable.memory}')
    capacity=$(kubectl get nodes -o jsonpath='{.items[0].status.capacity.memory}')
    [ "$((${capacity%Ki} - ${allocatable%Ki}))" = 102400 ]
    limit=$(cgroup_file memory.limit_in_bytes memory.max "/$instance/pods")
    [ "$((limit / 4096))" = "$((${allocatable%Ki} / 4))" ]
    kubectl delete pod many
}

adj() { cat "/proc/$1/oom_score_adj"; }

@test "the OOM killer takes apps before their supervisors, and those before the platform" {
    pod first 'command: [sleep, "1000"]'
    pod last 'command: [sleep, "1000"], resources: {limits: {cpu: 100m, memory: 32Mi}}'
    kubectl wait --for=condition=Ready pod/first pod/last --timeout=15s
    best=$(cat "$DATA/node/pods/$(kubectl get pod first -o jsonpath='{.metadata.uid}')/apps/c.0/pid")
    guaranteed=$(cat "$DATA/node/pods/$(kubectl get pod last -o jsonpath='{.metadata.uid}')/apps/c.0/pid")
    stage1=$(awk '/^PPid:/ {print $2}' "/proc/$guaranteed/status")
    [ "$(tr '\0' ' ' <"/proc/$stage1/cmdline" | grep -c stage1)" = 1 ]
    up=$(jq .supervisor "$DATA/cluster.json")
    for role in "$up" $(pgrep -P "$up"); do [ "$(adj "$role")" -lt "$(adj "$stage1")" ]; done
    [ "$(adj "$stage1")" -lt "$(adj "$guaranteed")" ]
    [ "$(adj "$guaranteed")" -lt "$(adj "$best")" ]
    kubectl delete pod first last
}

@test "privileged and add ALL give what this machine has" {
    pod all 'command: [sh, -c, "grep CapEff /proc/self/status; exec sleep 1000"], securityContext: {capabilities: {add: [ALL]}}'
    pod priv 'command: [sh, -c, "grep CapEff /proc/self/status; exec sleep 1000"], securityContext: {privileged: true}'
    own=$(awk '/^CapPrm:/ {print $2}' "/proc/self/status")
    wait_for 15 log_has all "$own"
    wait_for 15 log_has priv "$own"
    kubectl delete pod all priv
}
