#!/usr/bin/env bats
# Files of a cluster that are lost, emptied or damaged: what can be mended is, what cannot is named, and a cluster that
# runs can always be stopped.

load helpers

setup_file() {
    need_root
    new_up_place
    start_up
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$CLUSTER" || true
    stop_all
}

supervisors() { pgrep -f -- "up --data-dir $CLUSTER" || true; }
# Flips a bit in the middle of a file, or at a byte: flip FILE [AT]
flip() {
    python3 - "$@" <<'EOF'
import sys
name = sys.argv[1]
data = bytearray(open(name, "rb").read())
data[int(sys.argv[2]) if len(sys.argv) > 2 else len(data) // 2] ^= 4
open(name, "wb").write(data)
EOF
}

# What a damaged pod leaves is nothing, and the node serves on: damaged_pod FILE HOW. FILE is below the pod's folder, or
# "netns", "lease", "result".
damaged_pod() {
    local uid ip file
    kubectl run victim --image=knarr.local/demo:1 --restart=Never --command -- sleep 1000
    kubectl wait --for=condition=Ready pod/victim --timeout=60s
    uid=$(kubectl get pod victim -o jsonpath='{.metadata.uid}')
    ip=$(kubectl get pod victim -o jsonpath='{.status.podIP}')
    case $1 in
    netns) file="$CLUSTER/node/netns/$uid" && umount -l "$file" ;;
    lease) file="$CLUSTER/node/cni/pods/$ip" ;;
    result) file="$CLUSTER/node/cni/results/pods-$uid-eth0" ;;
    *) file="$CLUSTER/node/pods/$uid/$1" ;;
    esac
    kill -9 "$(pgrep -f -- "knarr-node --data-dir=$CLUSTER ")"
    case $2 in
    missing) rm "$file" ;;
    emptied) : >"$file" ;;
    folder) rm "$file" && mkdir "$file" && : >"$file/x" ;;
    *) flip "$file" ;;
    esac
    wait_for 30 kubectl exec anchor -- true # the node is back
    kubectl delete pod victim --grace-period=1 --timeout=60s
    left() { find "$CLUSTER/node" "$CLUSTER/images/pins" -name "*$uid*" | grep . || pgrep -f "$uid" || [ -e "$CLUSTER/node/cni/pods/$ip" ]; }
    gone() { ! left; }
    wait_for 20 gone
}

@test "a pod whose files are lost, emptied or damaged can be deleted, and leaves nothing" {
    kubectl run anchor --image=knarr.local/demo:1 --restart=Never --command -- sleep 10000
    kubectl wait --for=condition=Ready pod/anchor --timeout=60s
    for what in pod:missing pod:emptied pod:flipped pod:folder stage1.sock:missing stage1.sock:folder lock:missing \
        lock:folder apps/victim.0/spec:emptied \
        netns:missing lease:emptied result:missing result:emptied; do
        echo "$what"
        damaged_pod "${what%:*}" "${what#*:}"
    done
    [ "$(find "$CLUSTER/node/cni/results" -type f | wc -l)" -eq 1 ] # the other pod's
    kubectl delete pod anchor --now
}

@test "a pod whose folder is lost is taken down by the next agent: processes, address, mappings of ports" {
    kubectl run lost --image=knarr.local/demo:1 --restart=Never --overrides='{"spec": {"terminationGracePeriodSeconds": 0, "containers":
        [{"name": "c", "image": "knarr.local/demo:1", "command": ["sleep", "7316"], "ports": [{"containerPort": 80, "hostPort": 18080}]}]}}'
    kubectl wait --for=condition=Ready pod/lost --timeout=60s
    local uid ip pid
    uid=$(kubectl get pod lost -o jsonpath='{.metadata.uid}')
    ip=$(kubectl get pod lost -o jsonpath='{.status.podIP}')
    pid=$(cat "$CLUSTER/node/pods/$uid/apps/c.0/pid")
    mapped() { inside nft list ruleset | grep -q 18080; }
    mapped
    local supervisor
    supervisor=$(jq .supervisor "$CLUSTER/cluster.json")
    kill -STOP "$supervisor" # no agent in between
    kill -9 "$(pgrep -f -- "knarr-node --data-dir=$CLUSTER ")"
    kill -0 "$pid"
    rm -rf "$CLUSTER/node/pods/$uid"
    kubectl delete pod lost --force --grace-period=0
    kill -CONT "$supervisor"
    taken_down() { ! kill -0 "$pid" 2>/dev/null && [ ! -e "$CLUSTER/node/cni/pods/$ip" ] && [ ! -e "$CLUSTER/node/netns/$uid" ] && ! mapped; }
    wait_for 30 taken_down
    [ -z "$(find "$CLUSTER/node" "$CLUSTER/images/pins" -name "*$uid*")" ]
}

@test "down ends what runs also where nothing can be removed: it says what stays, and removes that the next time" {
    local uid pid
    for part in images node/pods node/cni; do
        echo "$part"
        kubectl run stays --image=knarr.local/demo:1 --restart=Never --command -- sleep 1000
        kubectl wait --for=condition=Ready pod/stays --timeout=60s
        uid=$(kubectl get pod stays -o jsonpath='{.metadata.uid}')
        pid=$(cat "$CLUSTER/node/pods/$uid/apps/stays.0/pid")
        kill -0 "$pid"
        mount --bind "$CLUSTER/$part" "$CLUSTER/$part"
        mount -o remount,bind,ro "$CLUSTER/$part"
        run inside "$KN" down --data-dir "$CLUSTER"
        umount "$CLUSTER/$part"
        echo "$output"
        [ "$status" -eq 1 ]
        [[ $output == *"knarr down: take the node down: "*"Read-only file system"* ]]
        [ -z "$(supervisors)" ]
        [ ! -e "/proc/$pid" ]
        [ -z "$(pgrep -f "$uid")" ]
        [ -z "$(find /sys/fs/cgroup -name "*$uid*")" ]
        [ -z "$(grep "$uid" /proc/self/mounts)" ]
        inside "$KN" down --data-dir "$CLUSTER"
        [ -z "$(find "$CLUSTER/node" "$CLUSTER/images/pins" -name "*$uid*")" ]
        inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
        kubectl delete pod stays --now
    done
}

@test "a running cluster whose cluster.json is lost or damaged is seen, not started twice, and stopped" {
    for how in rm truncate flip; do
        case $how in
        rm) rm "$CLUSTER/cluster.json" ;;
        truncate) : >"$CLUSTER/cluster.json" ;;
        flip) flip "$CLUSTER/cluster.json" 3 ;;
        esac
        "$KN" status --data-dir "$CLUSTER" | grep -q 'running: https://127.0.0.1:6443'
        run inside "$KN" up --data-dir "$CLUSTER" --api-port 7443
        [ "$status" -eq 1 ]
        [[ $output == *"in use by a running cluster"* ]]
        inside "$KN" down --data-dir "$CLUSTER"
        [ -z "$(supervisors)" ]
        inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
        jq .supervisor "$CLUSTER/cluster.json"
    done
}

@test "a running cluster whose lock was removed is seen, not started twice, and stopped" {
    for how in removed another; do
        rm "$CLUSTER/lock"
        [ "$how" = removed ] || : >"$CLUSTER/lock"
        "$KN" status --data-dir "$CLUSTER" | grep -q 'running: https://127.0.0.1:6443'
        run inside "$KN" up --data-dir "$CLUSTER" --api-port 7443
        echo "$output"
        [ "$status" -eq 1 ]
        [[ $output == *"in use by a running cluster"* ]]
        inside "$KN" down --data-dir "$CLUSTER"
        [ -z "$(supervisors)" ]
        inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
    done
}

@test "a stopped cluster without a readable cluster.json says what mends it" {
    inside "$KN" down --data-dir "$CLUSTER"
    : >"$CLUSTER/cluster.json"
    : >"$CLUSTER/lock"
    run inside "$KN" down --data-dir "$CLUSTER"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *"$CLUSTER/cluster.json"* && $output == *"knarr up"* ]]
    inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
    inside "$KN" down --data-dir "$CLUSTER"
}

pki() { inside "$KNARR_BUILD/src/cmd/knarr-pki" --data-dir "$CLUSTER" --pod-cidr 10.244.0.0/16 --service-cidr 10.96.0.0/16; }
files() { (cd "$CLUSTER" && find pki -type f -exec sha256sum {} + | sort); }

@test "what everybody trusts is never made again: one that is missing, emptied or damaged is named with the remedy" {
    inside "$KN" down --data-dir "$CLUSTER"
    cp -a "$CLUSTER/pki" "$DATA/pki"
    for file in ca.crt ca.key server/sa.key; do
        size=$(stat -c %s "$CLUSTER/pki/$file")
        for how in missing emptied $((size / 4)) $((size / 3)) $((size / 2)) $((size * 2 / 3)); do
            rm -r "$CLUSTER/pki"
            cp -a "$DATA/pki" "$CLUSTER/pki"
            case $how in
            missing) rm "$CLUSTER/pki/$file" ;;
            emptied) : >"$CLUSTER/pki/$file" ;;
            *) flip "$CLUSTER/pki/$file" "$how" ;;
            esac
            before=$(files)
            run pki
            echo "$file $how: $output"
            [ "$status" -eq 1 ]
            [[ $output == *"$CLUSTER/pki/$file"*"knarr restore"* ]]
            [ "$(files)" = "$before" ]
        done
    done
    run inside "$KN" up --data-dir "$CLUSTER" --detach
    [ "$status" -eq 1 ]
    [[ $output == "knarr up: "*"$CLUSTER/pki/server/sa.key"* ]]
    rm -r "$CLUSTER/pki"
    cp -a "$DATA/pki" "$CLUSTER/pki"
}

@test "a certificate of one authority and the key of another are told apart" {
    mkdir -p "$DATA/other/pki"
    inside "$KNARR_BUILD/src/cmd/knarr-pki" --data-dir "$DATA/other" --pod-cidr 10.244.0.0/16 --service-cidr 10.96.0.0/16
    cp "$DATA/other/pki/ca.crt" "$CLUSTER/pki/ca.crt"
    run pki
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *"$CLUSTER/pki/ca.crt"*"another key"* ]]
    cp "$DATA/pki/ca.crt" "$CLUSTER/pki/ca.crt"
}

@test "every other certificate, key and kubeconfig is made again when it is missing, emptied or damaged" {
    for file in $(cd "$CLUSTER" && find pki admin.kubeconfig -type f ! -name sa.key ! -path 'pki/ca.*'); do
        size=$(stat -c %s "$CLUSTER/$file")
        for how in missing emptied $((size / 3)); do
            case $how in
            missing) rm "$CLUSTER/$file" ;;
            emptied) : >"$CLUSTER/$file" ;;
            *) flip "$CLUSTER/$file" "$how" ;;
            esac
            pki >/dev/null
            case $file in
            *.crt) openssl verify -CAfile "$CLUSTER/pki/ca.crt" "$CLUSTER/$file" ;;
            *.key) openssl pkey -in "$CLUSTER/$file" -noout -check ;;
            esac
        done
    done
    inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
    kubectl get --raw /readyz
}

@test "a folder of certificates that was removed is begun anew, and that is said" {
    inside "$KN" down --data-dir "$CLUSTER"
    rm -r "$CLUSTER/pki"
    inside "$KN" up --data-dir "$CLUSTER" --detach >"$DATA/said" 2>&1 3>&-
    grep -q "'$CLUSTER/pki' was empty" "$DATA/said"
    kubectl get --raw /readyz
}
