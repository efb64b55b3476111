#!/usr/bin/env bats
# What the node agent does around containers: hooks, probes, logs and their rotation, signals. A whole cluster, real
# kubectl.

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
spec: {containers: [{name: c, image: "knarr.local/demo:1", $2}]${3:+, $3}}
Y
}
is_phase() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.phase}')" = "$2" ]; }
gone() { ! kubectl get pod "$1"; }
event() { # POD REASON TEXT
    kubectl get events --field-selector "involvedObject.name=$1,reason=$2" -o jsonpath='{.items[*].message}' | grep -qF "$3"
}
log_has() { kubectl logs "$1" | grep -q "$2"; }
logs_of() { ls -d "$DATA"/log/pods/default_"$1"_*; }

@test "postStart runs before the container counts as running; a failing one ends it" {
    pod post 'command: [sh, -c, "echo main; exec sleep 1000"], lifecycle: {postStart: {exec: {command: [sh, -c, "while ! [ -e /go ]; do sleep 0.1; done; touch /done"]}}}'
    wait_for 10 log_has post main
    [ "$(kubectl get pod post -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}')" = ContainerCreating ]
    kubectl exec post -- touch /go
    kubectl wait --for=condition=Ready pod/post --timeout=15s
    kubectl exec post -- test -e /done
    kubectl delete pod post --grace-period=1

    pod badpost 'command: [sleep, "1000"], lifecycle: {postStart: {exec: {command: [sh, -c, "exit 3"]}}}' 'restartPolicy: Never, terminationGracePeriodSeconds: 1'
    wait_for 15 event badpost FailedPostStartHook "PostStartHook failed"
    wait_for 15 is_phase badpost Failed
    kubectl delete pod badpost
}

@test "a restart of the node agent takes no ready pod out of its Service" {
    pod keeps 'command: [sh, -c, "touch /ok; exec sleep 1000"], startupProbe: {exec: {command: [test, -e, /ok]}, initialDelaySeconds: 3, periodSeconds: 1}, readinessProbe: {exec: {command: [test, -e, /ok]}, initialDelaySeconds: 3, periodSeconds: 1}'
    kubectl wait --for=condition=Ready pod/keeps --timeout=30s
    kubectl get pod keeps -w -o jsonpath='{.status.conditions[?(@.type=="Ready")].status} {.status.containerStatuses[0].started}{"\n"}' >"$DATA/seen" 3>&- &
    local watcher=$!
    wait_for 10 grep -q True "$DATA/seen"
    kill "$(pgrep -f -- "knarr-node --data-dir=$DATA ")"
    wait_for 30 kubectl exec keeps -- rm /ok # it is back; and probes work on: this is seen
    unready() { [ "$(kubectl get pod keeps -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = False ]; }
    wait_for 30 unready
    # The first change after the restart is the probe's own, with the container still counted as started.
    kill "$watcher"
    cat "$DATA/seen"
    [ "$(grep -c false "$DATA/seen")" -eq 0 ]
    kubectl delete pod keeps --grace-period=1
}

@test "resolv.conf is the machine's, the cluster's and the pod's own settings, each thing once" {
    local config='dnsConfig: {nameservers: [192.0.2.9], searches: [my.example, corp.example], options: [{name: ndots, value: "2"}, {name: edns0}]}'
    pod cluster 'command: [sleep, "1000"]' "$config"
    pod none 'command: [sleep, "1000"]' "dnsPolicy: None, $config"
    kubectl wait --for=condition=Ready pod/cluster pod/none --timeout=30s
    kubectl exec cluster -- cat /etc/resolv.conf
    [ "$(kubectl exec cluster -- grep ^options /etc/resolv.conf)" = 'options ndots:2 edns0' ]
    [[ "$(kubectl exec cluster -- grep ^search /etc/resolv.conf)" == 'search default.svc.cluster.local svc.cluster.local cluster.local '*'my.example'* ]]
    [ "$(kubectl exec cluster -- grep -c '^nameserver' /etc/resolv.conf)" -eq 2 ]
    [ "$(kubectl exec none -- cat /etc/resolv.conf)" = $'nameserver 192.0.2.9\nsearch my.example corp.example\noptions ndots:2 edns0' ]
    kubectl delete pod cluster none --grace-period=1
}

@test "whoever asks again, with less time, does not wait for the first grace period" {
    local stubborn='command: [sh, -c, "trap : TERM; echo up; while :; do sleep 0.1; done"]' long='terminationGracePeriodSeconds: 300'
    pod plain "$stubborn" "$long"
    pod hooked "$stubborn, lifecycle: {preStop: {exec: {command: [sleep, '300']}}}" "$long"
    pod late "$stubborn" "$long, activeDeadlineSeconds: 2, restartPolicy: Never"
    wait_for 20 log_has plain up
    wait_for 20 log_has hooked up
    wait_for 20 is_phase late Failed
    kubectl delete pod plain hooked --wait=false
    supervisors() { pgrep -f "knarr-stage1 --sealed $DATA/node/pods"; }
    [ "$(supervisors | wc -l)" -ge 3 ]
    kubectl delete pod plain hooked --grace-period=1 --timeout=30s
    kubectl delete pod late --timeout=30s # the API forgets at once one that has failed
    none() { ! supervisors; }
    wait_for 30 none
}

@test "preStop runs before the signal and within the grace period" {
    mkdir -p "$DATA/shared" && chmod 777 "$DATA/shared"
    pod pre 'command: [sh, -c, "trap \"echo term >>/s/order; exit 0\" TERM; echo up; while :; do sleep 0.1; done"], volumeMounts: [{name: s, mountPath: /s}], lifecycle: {preStop: {exec: {command: [sh, -c, "sleep 1; echo hook >>/s/order"]}}}' \
        "volumes: [{name: s, hostPath: {path: $DATA/shared}}]"
    wait_for 10 log_has pre up
    kubectl delete pod pre
    [ "$(tr '\n' ' ' <"$DATA/shared/order")" = "hook term " ]
}

@test "a preStop hook that takes too long is cut off by the grace period" {
    pod slow 'command: [sh, -c, "trap \"exit 0\" TERM; echo up; while :; do sleep 0.1; done"], lifecycle: {preStop: {sleep: {seconds: 60}}}' 'terminationGracePeriodSeconds: 60'
    pod slowexec 'command: [sh, -c, "trap \"exit 0\" TERM; echo up; while :; do sleep 0.1; done"], lifecycle: {preStop: {exec: {command: [sleep, "60"]}}}'
    wait_for 10 log_has slow up
    wait_for 10 log_has slowexec up
    begin=$SECONDS
    kubectl delete pod slow slowexec --grace-period=2
    [ $((SECONDS - begin)) -lt 20 ]
    wait_for 10 event slowexec FailedPreStopHook "PreStopHook failed"
}

@test "hooks by HTTP and TCP; a liveness failure runs preStop too" {
    pod web 'command: [sh, -c, "mkdir /www; echo ok >/www/index.html; exec httpd -f -vv -p 8080 -h /www"], ports: [{name: http, containerPort: 8080}],
        readinessProbe: {httpGet: {port: http, path: /}, periodSeconds: 1}'
    kubectl wait --for=condition=Ready pod/web --timeout=15s
    ip=$(kubectl get pod web -o jsonpath='{.status.podIP}')
    pod caller "command: [sh, -c, \"trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done\"],
        lifecycle: {postStart: {httpGet: {host: $ip, port: 8080, path: /started}}, preStop: {httpGet: {host: $ip, port: 8080, path: /stopping}}},
        livenessProbe: {exec: {command: [test, '!', -e, /sick]}, periodSeconds: 1, failureThreshold: 1}"
    kubectl wait --for=condition=Ready pod/caller --timeout=15s
    wait_for 5 log_has web '/started'
    kubectl exec caller -- touch /sick
    wait_for 15 log_has web '/stopping'
    wait_for 15 restarted caller
    pod tcp "command: [sleep, '1000'], lifecycle: {postStart: {tcpSocket: {host: $ip, port: 8080}}}" 'terminationGracePeriodSeconds: 0'
    kubectl wait --for=condition=Ready pod/tcp --timeout=15s
    kubectl delete pod web caller tcp --grace-period=1
}
restarted() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].restartCount}')" -ge 1 ]; }

@test "a probe by HTTP follows a redirect on the same host; one to elsewhere is a success that an event warns of" {
    mkdir -p "$DATA/cgi"
    cat >"$DATA/cgi/away" <<'S'
#!/bin/sh
printf 'HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 5\r\n\r\nmoved'
S
    chmod 755 "$DATA/cgi/away"
    pod moves 'command: [sh, -c, "mkdir /www/there; echo ok >/www/there/index.html; exec httpd -f -vv -p 8080 -h /www"],
        volumeMounts: [{name: cgi, mountPath: /www/cgi-bin}],
        startupProbe: {httpGet: {port: 8080, path: /there}, periodSeconds: 1},
        readinessProbe: {httpGet: {port: 8080, path: /cgi-bin/away}, periodSeconds: 1}' \
        "terminationGracePeriodSeconds: 0, volumes: [{name: cgi, hostPath: {path: $DATA/cgi}}]"
    kubectl wait --for=condition=Ready pod/moves --timeout=20s
    log_has moves '/there/'
    wait_for 10 event moves ProbeWarning "Readiness probe warning: Probe terminated redirects, Response body: moved"
    kubectl delete pod moves
}

@test "a gRPC probe says what it finds" {
    pod grpc 'command: [sleep, "1000"], readinessProbe: {grpc: {port: 9}, periodSeconds: 1}' 'terminationGracePeriodSeconds: 0'
    wait_for 15 event grpc Unhealthy "Readiness probe failed: error: health rpc probe failed"
    kubectl delete pod grpc
}

@test "subPathExpr takes the container's variables" {
    pod sub 'command: [sh, -c, "echo here >/data/file; exec sleep 1000"], env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}], volumeMounts: [{name: s, mountPath: /data, subPathExpr: "logs/$(POD)"}]' \
        "terminationGracePeriodSeconds: 0, volumes: [{name: s, hostPath: {path: $DATA/shared}}]"
    kubectl wait --for=condition=Ready pod/sub --timeout=15s
    wait_for 10 test -s "$DATA/shared/logs/sub/file"
    kubectl delete pod sub
    pod badsub 'command: [sleep, "1000"], volumeMounts: [{name: s, mountPath: /data, subPathExpr: "$(NO)"}]' \
        "terminationGracePeriodSeconds: 0, volumes: [{name: s, hostPath: {path: $DATA/shared}}]"
    wait_for 10 waits_for badsub CreateContainerConfigError
    kubectl delete pod badsub
}
waits_for() { [ "$(kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}')" = "$2" ]; }

@test "the container's own stop signal" {
    pod signal 'command: [sh, -c, "trap \"echo usr1; exit 0\" USR1; trap \"echo term; exit 1\" TERM; echo up; while :; do sleep 0.1; done"],
        livenessProbe: {exec: {command: [test, "!", -e, /sick]}, periodSeconds: 1, failureThreshold: 1}, lifecycle: {stopSignal: SIGUSR1}' 'os: {name: linux}, restartPolicy: OnFailure'
    wait_for 10 log_has signal up
    kubectl exec signal -- touch /sick
    wait_for 15 is_phase signal Succeeded
    log_has signal usr1
    kubectl delete pod signal
}

@test "a log is rotated at 10 MiB, five files are kept, and following goes on" {
    pod loud 'command: [sh, -c, "i=0; while :; do while ! [ -e /go$i ]; do sleep 0.1; done; head -c 11000000 /dev/zero | tr \"\\\\0\" x | fold -w 1000; echo \"end of $i\"; i=$((i+1)); done"]' 'terminationGracePeriodSeconds: 0'
    kubectl wait --for=condition=Ready pod/loud --timeout=15s
    kubectl logs -f loud >"$DATA/followed" 3>&- &
    follower=$!
    for i in 0 1 2 3 4 5; do
        kubectl exec loud -- touch "/go$i"
        wait_for 20 grep -q "end of $i" "$DATA/followed"
        wait_for 25 log_is_small loud
    done
    [ "$(ls "$(logs_of loud)/c" | wc -l)" -eq 5 ]
    kubectl exec loud -- sh -c 'echo last >/proc/1/fd/1'
    wait_for 10 grep -q '^last$' "$DATA/followed"
    [ "$(grep -c '^x' "$DATA/followed")" -eq 66000 ]
    kubectl delete pod loud
    wait "$follower"
    wait_for 15 no_logs_of loud
}
no_logs_of() { ! logs_of "$1"; }
log_is_small() { [ "$(stat -c %s "$(logs_of "$1")/c/0.log")" -le 10600000 ]; }

@test "a log is rotated while it is written, however fast" {
    pod flood 'command: [sh, -c, "head -c 300000000 /dev/zero | tr \\\\0 x | fold -w 4000; echo; echo end of the flood; exec sleep 1000"]' 'terminationGracePeriodSeconds: 0'
    most=0
    flooded() {
        now=$(du -s --apparent-size -B1 "$(logs_of flood)/c" | cut -f1)
        [ "$now" -le "$most" ] || most=$now
        tail -n 1 "$(logs_of flood)/c/0.log" | grep -q "end of the flood"
    }
    kubectl wait --for=condition=Ready pod/flood --timeout=15s
    deadline=$((SECONDS + 60))
    until flooded; do [ "$SECONDS" -lt "$deadline" ]; sleep 0.1; done
    echo "at most $most bytes"
    [ "$most" -le 56000000 ]
    [ "$(ls "$(logs_of flood)/c" | wc -l)" -eq 5 ]
    kubectl delete pod flood
}

@test "logs: previous, tail, since, timestamps" {
    pod talk 'command: [sh, -c, "if [ -e /v/second ]; then echo two; exec sleep 1000; fi; touch /v/second; for i in 1 2 3 4 5; do echo line $i; done; exit 1"], volumeMounts: [{name: v, mountPath: /v}]' \
        'terminationGracePeriodSeconds: 0, volumes: [{name: v, emptyDir: {}}]'
    wait_for 20 log_has talk two
    [ "$(kubectl logs --previous talk | tail -n 1)" = "line 5" ]
    [ "$(kubectl logs --previous --tail=2 talk)" = "line 4
line 5" ]
    kubectl logs --previous --timestamps --tail=1 talk | grep -Eq '^20[0-9]{2}-[0-9-]+T[0-9:.]+Z line 5$'
    [ "$(kubectl logs --previous --since=1h talk | wc -l)" -eq 5 ]
    [ -z "$(kubectl logs --previous --since-time=2999-01-01T00:00:00Z talk)" ]
    [ "$(kubectl logs --limit-bytes=3 --previous talk)" = lin ]
    kubectl delete pod talk
}

@test "the last lines of a failed container become its message where it asks for that" {
    pod fall 'command: [sh, -c, "echo the reason is this; exit 2"], terminationMessagePolicy: FallbackToLogsOnError' 'restartPolicy: Never'
    wait_for 15 is_phase fall Failed
    [ "$(kubectl get pod fall -o jsonpath='{.status.containerStatuses[0].state.terminated.message}')" = "the reason is this" ]
    kubectl delete pod fall
}

@test "a host port leads to the pod, and is free again after it" {
    pod port 'command: [sh, -c, "mkdir /w; echo by port >/w/index.html; exec httpd -f -p 8080 -h /w"], ports: [{containerPort: 8080, hostPort: 18080}]' 'terminationGracePeriodSeconds: 0'
    kubectl wait --for=condition=Ready pod/port --timeout=15s
    ip=$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}')
    wait_for 10 inside curl -fsS --max-time 20 "http://$ip:18080/"
    [ "$(inside curl -fsS --max-time 20 http://127.0.0.1:18080/)" = "by port" ]
    kubectl delete pod port
    wait_for 15 port_is_free "$ip"
}
@test "ports that the node listens on are given neither to pods nor to Services; an event says so" {
    pod thief 'command: [sleep, "1000"], ports: [{containerPort: 80, hostPort: 6443}]' 'terminationGracePeriodSeconds: 0'
    says_so() { kubectl get events --field-selector "involvedObject.name=$1" -o jsonpath='{.items[*].message}' | grep -q "$2"; }
    wait_for 20 says_so thief "port 6443/TCP of the host"
    [ "$(kubectl get pod thief -o jsonpath='{.status.phase}')" = Pending ]
    kubectl delete pod thief
    nsenter --net="/run/netns/$NS" python3 -m http.server 31999 >/dev/null 2>&1 3>&- &
    listener=$!
    echo "$listener" >>"$PIDS"
    wait_for 20 is_the_process
    kubectl create service nodeport shy --tcp=80:80 --node-port=31999
    wait_for 20 says_so shy "node port 31999: a process of the node listens on it"
    is_the_process
    kill "$listener"
    kubectl delete service shy
}
is_the_process() { inside curl -fsSI --max-time 20 http://127.0.0.1:31999/ | grep -q SimpleHTTP; }
port_is_free() { ! inside curl -fsS --max-time 20 "http://$1:18080/"; }

@test "an agent that is told to end in the middle of pods' starts ends in order; the next one goes on" {
    kubectl create deployment many --image=knarr.local/demo:1 --replicas=12 -- sleep 1000
    up=$(jq .supervisor "$DATA/cluster.json")
    some_pod_is_begun() { compgen -G "$DATA/node/pods/*" >/dev/null; }
    for _ in 1 2 3; do
        node=$(pgrep -P "$up" -f "knarr-node " | head -n 1)
        wait_for 20 some_pod_is_begun
        kill -TERM "$node"
        wait_for 20 pid_is_gone "$node"
        wait_for 20 pgrep -P "$up" -f "knarr-node "
        kubectl delete pods -l app=many --wait=false >/dev/null
    done
    grep -h "node ended" "$DATA"/log/*.log # three times, and in order each time
    [ "$(grep -h "node ended" "$DATA"/log/*.log | grep -vc "(exit code 0)")" = 0 ]
    kubectl rollout status deployment many --timeout=60s
    kubectl delete deployment many
}
