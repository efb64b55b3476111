#!/usr/bin/env bats
# `knarr backup` and `knarr restore`: what a running cluster is comes back, into the same folder or another, and a
# damaged file changes nothing.

load helpers

setup_file() {
    need_root
    new_cluster
    KN="$KNARR_BUILD/src/cmd/knarr"
    ONE="$DATA/one"
    export KN ONE
    inside "$KN" up --data-dir "$ONE" --detach
    export KUBECONFIG="$ONE/admin.kubeconfig"
    kubectl create configmap kept --from-literal=a=1
    kubectl create configmap changed --from-literal=a=1
    inside "$KN" backup --data-dir "$ONE" "$DATA/backup"
    kubectl delete configmap kept
    kubectl create configmap later --from-literal=a=1
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$ONE" || true
    stop_all
}
revision() { kubectl get --raw /api/v1/configmaps | jq -r .metadata.resourceVersion; }

@test "a backup exists once, is root's alone, and nothing is left beside it" {
    [ "$(stat -c %a "$DATA/backup")" = 600 ]
    run inside "$KN" backup --data-dir "$ONE" "$DATA/backup"
    [ "$status" -eq 1 ]
    [[ $output == *"$DATA/backup"*exists* ]]
    [ ! -e "$DATA/backup.part" ]
    [ ! -e "$ONE/store/backup.db" ]
}

@test "only root is handed the state" {
    run inside setpriv --reuid 65534 --clear-groups "$KN" backup --data-dir "$ONE" "$DATA/other"
    [ "$status" -eq 1 ]
    [ ! -e "$DATA/other" ]
}

@test "a running cluster is not restored over" {
    run inside "$KN" restore --data-dir "$ONE" "$DATA/backup"
    [ "$status" -eq 1 ]
    [[ $output == *"knarr down"* ]]
}

@test "a damaged backup is refused before anything is touched" {
    inside "$KN" down --data-dir "$ONE"
    local before size at
    before=$(cd "$ONE" && find store pki cluster.json -type f -exec sha256sum {} + | sort)
    size=$(stat -c %s "$DATA/backup")
    for at in 0 20 $((size / 3)) $((size / 2)) $((size - 30)) $((size - 1)); do
        cp "$DATA/backup" "$DATA/bad"
        printf '\377' | dd of="$DATA/bad" bs=1 seek="$at" conv=notrunc 2>/dev/null
        run "$KN" restore --data-dir "$ONE" "$DATA/bad"
        echo "byte $at: $output"
        [ "$status" -eq 1 ]
        [[ $output == *"$DATA/bad"* ]]
    done
    head -c $((size / 2)) "$DATA/backup" >"$DATA/bad"
    run "$KN" restore --data-dir "$ONE" "$DATA/bad"
    [ "$status" -eq 1 ]
    [ "$before" = "$(cd "$ONE" && find store pki cluster.json -type f -exec sha256sum {} + | sort)" ]
    [ ! -e "$ONE/restore.new" ]
}

@test "after a restore the old state is back, with the same keys, and revisions go on above all that was seen" {
    local seen ca
    inside "$KN" up --data-dir "$ONE" --detach
    seen=$(revision)
    ca=$(sha256sum <"$ONE/pki/server/sa.key")
    inside "$KN" down --data-dir "$ONE"
    "$KN" restore --data-dir "$ONE" "$DATA/backup"
    inside "$KN" up --data-dir "$ONE" --detach
    kubectl get configmap kept changed
    run kubectl get configmap later
    [ "$status" -ne 0 ]
    [ "$(revision)" -gt "$seen" ]
    [ "$ca" = "$(sha256sum <"$ONE/pki/server/sa.key")" ]
    # What a client remembers is older than anything kept: it must list anew.
    run kubectl get --raw "/api/v1/configmaps?watch=1&resourceVersion=$seen&timeoutSeconds=2"
    [[ $output == *410* || $output == *Expired* || $output == *"too old"* ]]
}

@test "a state that is missing, or emptied, is refused with the word restore, and comes back by it" {
    inside "$KN" down --data-dir "$ONE"
    rm "$ONE/store/state.db"
    run inside "$KN" up --data-dir "$ONE" --detach
    [ "$status" -ne 0 ]
    grep -q "state.db' is missing.*knarr restore" "$ONE/log/server.log"
    mv "$ONE/store" "$DATA/lost"
    run inside "$KN" up --data-dir "$ONE" --detach
    echo "$output"
    [ "$status" -ne 0 ]
    [[ $output == *"store '$ONE/store' is missing"*"knarr restore"* ]]
    [ ! -e "$ONE/store" ]
    "$KN" restore --data-dir "$ONE" "$DATA/backup"
    inside "$KN" up --data-dir "$ONE" --detach
    kubectl get configmap kept
}

# restore_killed N FILE: the N-th time that it renames something it is killed instead. False when it came to its end.
restore_killed() {
    local calls='?rename,?renameat,renameat2'
    run strace -f -qq -o /dev/null -e trace="$calls" -e inject="$calls:signal=KILL:when=$1" \
        "$KN" restore --data-dir "$ONE" "$2"
    [ "$status" -ne 0 ]
}
before_restore() { rm -rf "$ONE" && cp -a "$DATA/before" "$ONE"; }
ca_of() { sha256sum <"$1/pki/ca.crt"; }

@test "a restore that is killed at any of its renames leaves one whole cluster, and the one before it" {
    local n=0 was new old=0
    inside "$KN" down --data-dir "$ONE"
    rm -rf "$ONE/restore.old"
    inside "$KN" up --data-dir "$DATA/two" --detach
    KUBECONFIG="$DATA/two/admin.kubeconfig" kubectl create configmap two
    inside "$KN" backup --data-dir "$DATA/two" "$DATA/backup-two"
    inside "$KN" down --data-dir "$DATA/two"
    cp -a "$ONE" "$DATA/before"
    was=$(ca_of "$DATA/before")
    new=$(ca_of "$DATA/two")
    while before_restore && restore_killed $((n += 1)) "$DATA/backup-two"; do
        echo "killed at rename $n"
        [ "$status" -eq 137 ]
        inside "$KN" up --data-dir "$ONE" --detach
        if [ "$(ca_of "$ONE")" = "$was" ]; then
            kubectl get configmap changed
            old=$n
        else
            [ "$(ca_of "$ONE")" = "$new" ]
            kubectl get configmap two
            [ "$(ca_of "$ONE/restore.old")" = "$was" ]
            cmp "$DATA/before/store/state.db" "$ONE/restore.old/store/state.db"
            [ ! -e "$ONE/restore.new" ]
        fi
        inside "$KN" down --data-dir "$ONE"
        # Repeated instead, also with a kill at the same place on the way back, it is as if done once.
        before_restore
        restore_killed "$n" "$DATA/backup-two"
        if restore_killed "$n" "$DATA/backup-two"; then [ "$status" -eq 137 ]; fi
        "$KN" restore --data-dir "$ONE" "$DATA/backup-two"
        [ "$(ca_of "$ONE") $(jq -c .apiPort "$ONE/cluster.json")" = "$new 6443" ]
        [ "$(ca_of "$ONE/restore.old")" = "$was" ]
        cmp "$DATA/before/store/state.db" "$ONE/restore.old/store/state.db"
    done
    [ "$old" -ge 1 ]
    [ $((n - old)) -ge 6 ] # names that change
    inside "$KN" up --data-dir "$ONE" --detach
    kubectl get configmap two
}
