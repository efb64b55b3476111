#!/usr/bin/env bats
# Fields of a pod that the node acts upon or refuses, and what its status says. A whole cluster, real kubectl.

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
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "knarr.local/demo:1", $2}]${3:+, $3}}
Y
}
field() { kubectl get pod "$1" -o jsonpath="{$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; } # POD PATH VALUE
log_has() { kubectl logs "$1" | grep -q "$2"; }
uid_of() { field "$1" .metadata.uid; }

@test "what the node cannot do keeps one pod pending, and says so by the field's name" {
    kubectl apply -f - >/dev/null <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: cannot}
spec:
  selector: {matchLabels: {app: cannot}}
  template:
    metadata: {labels: {app: cannot}}
    spec: {hostUsers: false, containers: [{name: c, image: "knarr.local/demo:1", command: [sleep, "1000"]}]}
Y
    one_waits() { kubectl get pods -l app=cannot -o json | jq -e '[.items[].status.containerStatuses[0].state.waiting.reason] == ["CreateContainerConfigError"]'; }
    wait_for 15 one_waits
    name=$(kubectl get pods -l app=cannot -o jsonpath='{.items[*].metadata.name}')
    is "$name" .status.phase Pending
    field "$name" '.status.conditions[?(@.type=="PodReadyToStartContainers")].message' | grep -F 'spec.hostUsers is not supported by this node'
    kubectl get events --field-selector "involvedObject.name=$name,reason=UnsupportedField" -o name | grep -q event
    kubectl scale deployment cannot --replicas=2
    two_wait() { [ "$(kubectl get pods -l app=cannot --no-headers | grep -c CreateContainerConfigError)" = 2 ]; }
    wait_for 15 two_wait
    [ "$(kubectl get pods -l app=cannot --no-headers | wc -l)" = 2 ]
    kubectl delete deployment cannot
    none() { [ -z "$(kubectl get pods -l app=cannot -o name)" ]; }
    wait_for 15 none
}

@test "huge pages that the node does not have are refused by name, extended resources are the scheduler's" {
    node=$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')
    pod gpu 'command: [sleep, "1000"], resources: {limits: {example.com/gpu: 1}}' "nodeName: $node" # as Kubernetes: nobody counted
    kubectl wait --for=condition=Ready pod/gpu --timeout=15s
    pod huge 'command: [sleep, "1000"], resources: {limits: {hugepages-2Mi: 2Mi, memory: 32Mi, cpu: 100m}}' "nodeName: $node"
    wait_for 15 is huge '.status.containerStatuses[0].state.waiting.message' 'spec.containers[0].resources.limits[hugepages-2Mi]: this node has none'
    kubectl delete pod gpu huge
}

@test "seLinuxOptions and windowsOptions are ignored where a kubelet ignores them" {
    [ ! -e /sys/fs/selinux/enforce ] || skip "this machine has SELinux"
    pod selinux 'command: [sleep, "1000"], securityContext: {seLinuxOptions: {level: "s0:c1,c2"}}' 'securityContext: {seLinuxOptions: {type: container_t}}'
    kubectl wait --for=condition=Ready pod/selinux --timeout=15s
    kubectl delete pod selinux
}

@test "activeDeadlineSeconds ends a pod" {
    pod short 'command: [sleep, "1000"]' 'activeDeadlineSeconds: 2'
    kubectl wait --for=condition=Ready pod/short --timeout=15s
    wait_for 15 is short .status.phase Failed
    is short .status.reason DeadlineExceeded
    is short .status.message "Pod was active on the node longer than the specified deadline"
    ended() { is short '.status.containerStatuses[0].state.terminated.exitCode' 137 || is short '.status.containerStatuses[0].state.terminated.exitCode' 143; }
    wait_for 15 ended
    kubectl delete pod short
}

@test "host names: subdomain, setHostnameAsFQDN, hostnameOverride, the node's hosts" {
    pod plain 'command: [sleep, "1000"]' 'hostname: web, subdomain: db'
    pod fqdn 'command: [sleep, "1000"]' 'hostname: web, subdomain: db, setHostnameAsFQDN: true'
    pod net 'command: [sleep, "1000"]' 'hostNetwork: true, hostAliases: [{ip: 192.0.2.1, hostnames: [alias]}]'
    kubectl wait --for=condition=Ready pod/plain pod/fqdn pod/net --timeout=20s
    [ "$(kubectl exec plain -- hostname)" = web ]
    [ "$(kubectl exec plain -- cat /etc/hostname)" = web ]
    kubectl exec plain -- grep -q "$(field plain .status.podIP)	web.db.default.svc.cluster.local	web" /etc/hosts
    [ "$(kubectl exec fqdn -- hostname)" = web.db.default.svc.cluster.local ]
    kubectl exec net -- cat /etc/hosts | grep -vF "# Kubernetes-managed" | head -n "$(wc -l </etc/hosts)" | diff - /etc/hosts
    kubectl exec net -- grep -q "192.0.2.1	alias" /etc/hosts
    kubectl delete pod plain fqdn net
}

@test "app containers wait with PodInitializing while init containers run" {
    pod init 'command: [sleep, "1000"]' 'initContainers: [{name: i, image: "knarr.local/demo:1", command: [sh, -c, "while ! [ -e /go ]; do sleep 0.1; done"]}]'
    running() { [ -n "$(field init '.status.initContainerStatuses[0].state.running.startedAt')" ]; }
    wait_for 15 running
    is init '.status.containerStatuses[0].state.waiting.reason' PodInitializing
    kubectl exec init -c i -- touch /go
    kubectl wait --for=condition=Ready pod/init --timeout=15s
    kubectl delete pod init
}

@test "a condition that is false says what it waits for, and how a pod ended" {
    said() { # POD TYPE STATUS/REASON/MESSAGE
        field "$1" ".status.conditions[?(@.type==\"$2\")]['status','reason','message']" | tee /dev/stderr | grep -qFx -- "$3"
    }
    pod gated 'command: [sleep, "1000"]' 'readinessGates: [{conditionType: a/b}, {conditionType: c/d}],
        initContainers: [{name: one, image: "knarr.local/demo:1", command: [sh, -c, "while ! [ -e /go ]; do sleep 0.1; done"]}, {name: two, image: "knarr.local/demo:1", command: ["true"]}]'
    running() { [ -n "$(field gated '.status.initContainerStatuses[0].state.running.startedAt')" ]; }
    wait_for 15 running
    said gated Initialized 'False ContainersNotInitialized containers with incomplete status: [one two]'
    said gated Ready 'False ContainersNotReady containers with unready status: [c]'
    kubectl exec gated -c one -- touch /go
    wait_for 15 said gated ContainersReady True
    said gated Initialized True
    said gated Ready 'False ReadinessGatesNotReady corresponding condition of pod readiness gate "a/b" does not exist., corresponding condition of pod readiness gate "c/d" does not exist.'
    gate() { kubectl patch pod gated --subresource=status -p "{\"status\": {\"conditions\": [{\"type\": \"$1\", \"status\": \"$2\"}]}}"; }
    gate a/b True
    gate c/d Unknown
    wait_for 10 said gated Ready 'False ReadinessGatesNotReady the status of pod readiness gate "c/d" is not "True", but Unknown'
    gate c/d True
    wait_for 10 said gated Ready True

    pod good 'command: ["true"]' 'restartPolicy: Never'
    pod bad 'command: ["false"]' 'restartPolicy: Never'
    wait_for 15 is good .status.phase Succeeded
    wait_for 15 is bad .status.phase Failed
    said good Initialized 'True PodCompleted'
    said bad Initialized True
    for type in Ready ContainersReady; do
        said good "$type" 'False PodCompleted'
        said bad "$type" 'False PodFailed'
    done
    kubectl delete pod gated good bad
}

@test "a pod that is deleted has told its end before it goes" {
    last_phase() { # NAME CONTAINER-FIELDS EXPECTED
        pod "$1" "$2"
        kubectl wait --for=condition=Ready "pod/$1" --timeout=15s
        kubectl get pod "$1" -w --output-watch-events -o jsonpath='{.type} {.object.status.phase}{"\n"}' >"$DATA/$1.watch" 3>&- &
        seen() { [ -s "$DATA/$1.watch" ]; }
        wait_for 10 seen "$1"
        kubectl delete pod "$1" --grace-period=5
        gone() { grep -q ^DELETED "$DATA/$1.watch"; }
        wait_for 10 gone "$1"
        kill %1
        cat "$DATA/$1.watch"
        [ "$(grep ^DELETED "$DATA/$1.watch")" = "DELETED $3" ]
    }
    last_phase polite 'command: [sh, -c, "trap \"exit 0\" TERM; while :; do sleep 0.1; done"]' Succeeded
    last_phase killed 'command: [sh, -c, "trap \"exit 3\" TERM; while :; do sleep 0.1; done"]' Failed
}

@test "a restart counts when it begins, and a pod whose container cannot be started is Running" {
    pod crash 'command: [sh, -c, "exit 1"]'
    backing_off() { is crash '.status.containerStatuses[0].state.waiting.reason' CrashLoopBackOff; }
    wait_for 20 backing_off
    is crash '.status.containerStatuses[0].restartCount' 1
    pod cannot 'command: [/no/such/program]'
    waits() { is cannot '.status.containerStatuses[0].state.waiting.reason' CrashLoopBackOff; }
    wait_for 20 waits
    is cannot .status.phase Running
    kubectl delete pod crash cannot
}

@test "a pod whose sidecar was killed at its end is Completed" {
    pod side 'command: [sleep, "1"]' 'restartPolicy: Never, initContainers: [{name: s, image: "knarr.local/demo:1", restartPolicy: Always, command: [sleep, "1000"]}]'
    wait_for 20 is side .status.phase Succeeded
    ended() { [ -n "$(field side '.status.initContainerStatuses[0].state.terminated.finishedAt')" ]; }
    wait_for 20 ended
    is side '.status.conditions[?(@.type=="Initialized")].status' True
    wait_for 5 status_of side Completed
    kubectl delete pod side
}
status_of() { [ "$(kubectl get pod "$1" --no-headers | awk '{print $3}')" = "$2" ]; }

@test "a container's own restart policy" {
    pod own 'command: [sh, -c, "exit 3"], restartPolicy: Never' 'restartPolicy: Always'
    wait_for 15 is own .status.phase Failed
    kubectl delete pod own
}

@test "a pod that ends stays ready while its preStop hook runs and its probe passes" {
    pod leaving 'command: [sleep, "1000"], readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1},
        lifecycle: {preStop: {exec: {command: [sh, -c, "while ! [ -e /go ]; do sleep 0.1; done"]}}}'
    kubectl wait --for=condition=Ready pod/leaving --timeout=15s
    kubectl delete pod leaving --grace-period=30 --wait=false
    deleting() { [ -n "$(field leaving .metadata.deletionTimestamp)" ]; }
    wait_for 5 deleting
    hooked() { kubectl exec leaving -- sh -c 'ps | grep -q "[-]e /go"'; }
    wait_for 10 hooked
    is leaving '.status.conditions[?(@.type=="Ready")].status' True
    is leaving '.status.containerStatuses[0].ready' true
    kubectl exec leaving -- touch /go
    gone() { ! kubectl get pod leaving; }
    wait_for 40 gone
}

@test "keys and modes of a volume that change are seen, and an optional object that is deleted leaves it" {
    kubectl create configmap cm --from-literal=a=1 --from-literal=b=2
    kubectl create secret generic opt --from-literal=s=hidden
    pod vol 'command: [sleep, "1000"], volumeMounts: [{name: v, mountPath: /v}, {name: o, mountPath: /o}, {name: p, mountPath: /p}]' \
        'volumes: [{name: v, configMap: {name: cm}}, {name: o, secret: {secretName: opt, optional: true}}, {name: p, projected: {sources: [{secret: {name: opt, optional: true}}]}}]'
    kubectl wait --for=condition=Ready pod/vol --timeout=15s
    [ "$(kubectl exec vol -- cat /v/b /o/s /p/s)" = 2hiddenhidden ]
    uid=$(uid_of vol)
    # Secrets are in memory alone.
    ! grep -rqa hidden "$DATA/node/pods/$uid/volumes" || false
    grep -q " $DATA/node/memory tmpfs " /proc/mounts
    kubectl delete secret opt
    kubectl patch configmap cm --type=merge -p '{"data":{"b":null}}'
    chmod 600 "$DATA/node/pods/$uid/volumes/v/..data/a"
    left() { [ "$(kubectl exec vol -- sh -c 'ls /v /o /p; stat -L -c %a /v/a' | tr '\n' ' ')" = "/o:  /p:  /v: a 644 " ]; }
    wait_for 90 left
    kubectl delete pod/vol configmap/cm
    none() { [ ! -e "$DATA/node/memory/$uid" ]; }
    wait_for 10 none
}

@test "a token is its user's or group's alone where the pod names one, and everybody's else" {
    local dir=/var/run/secrets/kubernetes.io/serviceaccount
    rights() { # NAME CONTAINER-FIELDS SPEC-FIELDS MODE/UID/GID
        pod "$1" "command: [sh, -c, 'stat -L -c \"%a %u %g\" $dir/token && cat $dir/token >/dev/null && echo read']${2:+, $2}" "restartPolicy: Never${3:+, $3}"
        wait_for 15 is "$1" .status.phase Succeeded
        kubectl logs "$1" | tee /dev/stderr | head -n 1 | grep -qFx "$4"
        kubectl delete pod "$1"
    }
    rights all '' '' '644 0 0'
    rights user '' 'securityContext: {runAsUser: 1000}' '600 1000 0'
    rights own 'securityContext: {runAsUser: 1000}' '' '600 1000 0'
    rights group '' 'securityContext: {fsGroup: 2000}' '640 0 2000'
    rights both 'securityContext: {runAsUser: 1000}' 'securityContext: {runAsUser: 5, fsGroup: 2000}' '640 1000 2000'
    rights two 'securityContext: {runAsUser: 1000}' 'initContainers: [{name: i, image: "knarr.local/demo:1", command: ["true"], securityContext: {runAsUser: 1001}}]' '644 0 0'
}

@test "a volume in memory has the sticky bit, as its subPaths" {
    pod sticky 'command: [sh, -c, "stat -c %a /memory /sub /disk"], volumeMounts: [{name: m, mountPath: /memory}, {name: m, mountPath: /sub, subPath: sub}, {name: d, mountPath: /disk}]' \
        'restartPolicy: Never, securityContext: {fsGroup: 2000}, volumes: [{name: m, emptyDir: {medium: Memory}}, {name: d, emptyDir: {}}]'
    wait_for 15 is sticky .status.phase Succeeded
    [ "$(kubectl logs sticky | xargs)" = '3777 3777 2777' ]
    kubectl delete pod sticky
}

@test "memory is memory again after its mount is gone, as after a reboot" {
    pod mem 'command: [sleep, "1000"], volumeMounts: [{name: m, mountPath: /m}]' 'volumes: [{name: m, emptyDir: {medium: Memory, sizeLimit: 8Mi}}]'
    kubectl wait --for=condition=Ready pod/mem --timeout=15s
    dir="$DATA/node/pods/$(uid_of mem)/volumes/m"
    stage1=$(awk '/^PPid:/ {print $2}' "/proc/$(cat "$DATA/node/pods/$(uid_of mem)/apps/c.0/pid")/status")
    umount "$dir"
    kill -9 "$stage1"
    again() { is mem '.status.containerStatuses[0].restartCount' 1 && kubectl exec mem -- df -T /m | grep -q tmpfs; }
    wait_for 30 again
    grep -q " $dir tmpfs " /proc/mounts
    kubectl delete pod mem
}

@test "a termination message is the last 4096 bytes, and a pod's messages share 12 kB" {
    pod msg 'command: [sh, -c, "head -c 50000000 /dev/zero | tr \"\\\\0\" x >/dev/termination-log; printf END >>/dev/termination-log"]' 'restartPolicy: Never'
    wait_for 20 is msg .status.phase Succeeded
    [ "$(field msg '.status.containerStatuses[0].state.terminated.message' | wc -c)" = 4096 ]
    field msg '.status.containerStatuses[0].state.terminated.message' | grep -q 'xEND$'
    kubectl delete pod msg
}

@test "restart counts go on after down and up" {
    pod again 'command: [sleep, "1000"]'
    kubectl wait --for=condition=Ready pod/again --timeout=15s
    inside "$KN" down --data-dir "$DATA"
    inside "$KN" up --data-dir "$DATA" --detach 3>&-
    counted() { is again '.status.containerStatuses[0].restartCount' 1 && [ -n "$(field again '.status.containerStatuses[0].state.running.startedAt')" ]; }
    wait_for 30 counted
    kubectl delete pod again
}

node_kb() { # resident memory of the node agent
    awk '/^Rss:/ {print $2}' "/proc/$(pgrep -P "$(jq .supervisor "$DATA/cluster.json")" -f "knarr-node " | head -n 1)/smaps_rollup"
}
small_again() { [ "$(node_kb)" -le "$((idle + 16384))" ]; }

@test "what pods took is given back when they are gone" {
    idle=$(node_kb)
    node=$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')
    for _ in 1 2; do
        jq -n --arg node "$node" '{apiVersion: "v1", kind: "List", items: [range(400) | {apiVersion: "v1", kind: "Pod",
            metadata: {name: "much-\(.)", labels: {app: "much"}}, spec: {hostUsers: false, nodeName: $node,
            containers: [{name: "c", image: "x", env: [range(40) | {name: "E\(.)", value: "some value of a variable, to have some weight"}]}]}}]}' >"$DATA/much.json"
        kubectl create -f "$DATA/much.json" >/dev/null
        all_wait() { [ "$(kubectl get pods -l app=much --no-headers | grep -c CreateContainerConfigError)" = 400 ]; }
        wait_for 60 all_wait
        kubectl delete pods -l app=much --wait=false >/dev/null
        none() { [ -z "$(kubectl get pods -l app=much -o name)" ]; }
        wait_for 60 none
    done
    wait_for 15 small_again
}
