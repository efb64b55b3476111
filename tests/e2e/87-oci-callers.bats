#!/usr/bin/env bats
# podman and containerd on knarr-oci.
bats_require_minimum_version 1.5.0
load oci

setup() { oci_setup; }
teardown() {
    [ -z "${CONTAINERD:-}" ] || kill "$CONTAINERD" 2>/dev/null || true
    [ ! -d "$T/podman" ] || pod rm -fa >/dev/null 2>&1 || true
    oci_teardown
}

pod() {
    timeout 60 podman --root "$T/podman/root" --runroot "$T/podman/run" --tmpdir "$T/podman/tmp" --storage-driver vfs \
        --events-backend file --runtime "$OCI_BIN" --cgroup-manager cgroupfs "$@"
}
LIMITS=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --net none)

need_podman() {
    command -v podman >/dev/null || skip "without podman"
    tar -C rootfs -c . | pod import - knarr.local/busybox:1 >/dev/null 2>&1
}

@test "podman: run, exit codes, exec, logs, stop" {
    need_podman
    [ "$(pod run --rm "${LIMITS[@]}" knarr.local/busybox:1 sh -c 'echo hello; id -u' 2>&1)" = $'hello\n0' ]
    run pod run --rm "${LIMITS[@]}" knarr.local/busybox:1 sh -c 'exit 9'
    [ "$status" = 9 ]
    run -127 pod run --rm "${LIMITS[@]}" knarr.local/busybox:1 nothing
    [ "$status" = 127 ] && [[ "$output" == *"executable file not found in \$PATH"* ]]
    pod run -d --name one "${LIMITS[@]}" knarr.local/busybox:1 sh -c 'trap "exit 4" TERM; echo started; while :; do sleep 0.1; done'
    wait_for 10 eval '[ "$(pod logs one 2>&1)" = started ]'
    [ "$(pod exec -e A=b one sh -c 'echo $A; ps | grep -c trap')" = $'b\n1' ] || pod exec one ps
    run pod exec one sh -c 'exit 5'
    [ "$status" = 5 ]
    pod stop -t 10 one
    [ "$(pod inspect -f '{{.State.Status}} {{.State.ExitCode}}' one)" = "exited 4" ]
    pod rm one
}

@test "podman: pause, volumes, user, read-only, terminal, attach" {
    need_podman
    mkdir "$T/vol"
    pod run -d --name two -v "$T/vol:/vol" --user 1000:1000 --read-only "${LIMITS[@]}" knarr.local/busybox:1 sleep 1000
    pod pause two
    [ "$(pod inspect -f '{{.State.Status}}' two)" = paused ]
    pod unpause two
    [ "$(pod exec two sh -c 'id -u; touch /x 2>/dev/null || echo read-only')" = $'1000\nread-only' ]
    pod exec --user 0 two touch /vol/made
    [ -e "$T/vol/made" ]
    pod rm -f -t 0 two
    run pod run --rm -t "${LIMITS[@]}" knarr.local/busybox:1 tty
    [[ "$output" == *"/dev/pts/0"* ]]
}

@test "containerd: ctr runs, executes, pauses and kills" {
    command -v containerd >/dev/null && command -v ctr >/dev/null || skip "without containerd"
    mkdir -p "$T/cd"
    printf 'version = 2\nroot = "%s/cd/root"\nstate = "%s/cd/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "%s/cd/sock"\n' \
        "$T" "$T" "$T" >"$T/cd/config.toml"
    containerd -c "$T/cd/config.toml" >"$T/cd/log" 2>&1 3>&- &
    CONTAINERD=$!
    wait_for 20 test -S "$T/cd/sock"
    ct() { timeout 60 ctr -a "$T/cd/sock" "$@"; }
    wait_for 20 ct version
    run ct run --rm --rootfs --runc-binary "$OCI_BIN" "$B/rootfs" "$ID" echo hello
    [ "$status" = 0 ] && [[ "$output" == *hello* ]]
    run ct run --rm --rootfs --runc-binary "$OCI_BIN" "$B/rootfs" "$ID" sh -c 'exit 6'
    [ "$status" = 6 ]
    ct run -d --rootfs --runc-binary "$OCI_BIN" "$B/rootfs" "$ID" sleep 1000
    [ "$(ct task exec --exec-id e1 "$ID" id -u)" = 0 ]
    ct task pause "$ID"
    [[ "$(ct task ls)" == *PAUSED* ]]
    ct task resume "$ID"
    ct task kill -s KILL "$ID"
    wait_for 10 eval '[[ "$(ct task ls)" == *STOPPED* ]]'
    ct task rm "$ID" || true
    ct container rm "$ID"
}
