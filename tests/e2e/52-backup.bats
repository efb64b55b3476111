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
