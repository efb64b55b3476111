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
