#!/usr/bin/env bats
# Clocks that are wrong, and certificates that come to their end: the supervisor names the first and replaces the second
# while everything runs. The clock of the machine is never touched: programs are shown another one by faketime (the
# guest of tests/vm has its own set).

load helpers

setup_file() {
    need_root
    command -v faketime >/dev/null || skip "faketime is not installed (tools/deps installs it)"
    new_up_place
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$CLUSTER" || true
    stop_all
}

pki() { "$BIN/knarr-pki" --data-dir "$CLUSTER" --api-port 6443 --pod-cidr 10.244.0.0/16 --service-cidr 10.96.0.0/16 "$@"; }
at() { # WHEN COMMAND…: with that clock; files keep their times
    local when=$1
    shift
    NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1 faketime "$when" "$@"
}
pki_at() { at "$1" "$BIN/knarr-pki" --data-dir "$CLUSTER" --api-port 6443 --pod-cidr 10.244.0.0/16 --service-cidr 10.96.0.0/16 "${@:2}"; }
files() { (cd "$CLUSTER" && find pki -type f -exec sha256sum {} + | sort); }
serial_at() { # PORT: of the certificate that is shown there
    inside openssl s_client -connect "127.0.0.1:$1" </dev/null 2>/dev/null | openssl x509 -noout -serial
}
# In the background, its output in DATA/up.log; the clock that it sees is the first argument.
up_at() {
    NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1 nsenter --net="/run/netns/$NS" faketime "$1" \
        "$KN" up --data-dir "$CLUSTER" "${@:2}" >"$DATA/up.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    UP=$!
}
said() { grep -q "$1" "$DATA/up.log"; }

@test "an authority is not born before the program was installed" {
    mkdir -p "$CLUSTER"
    run pki_at '2001-02-03 04:05:06'
    echo "$output"
    [ "$status" -eq 3 ]
    [[ $output == *"clock says 2001-02-03T0"*"was installed at 20"*"--ignore-clock"* ]]
    [ -z "$(ls -A "$CLUSTER")" ]
}

@test "certificates that a clock in the future made are made anew by the next start" {
    mkdir -p "$CLUSTER/pki"
    pki_at '20 days ago' --ignore-clock # the authority is older than all of this
    ca=$(sha256sum <"$CLUSTER/pki/ca.crt")
    rm -r "$CLUSTER"/pki/*/*.crt
    pki_at '400 days' >/dev/null
    for cert in "$CLUSTER"/pki/*/*.crt; do # none is valid now
        [ "$(date -d "$(openssl x509 -in "$cert" -noout -startdate | cut -d= -f2)" +%s)" -gt "$(date +%s)" ]
    done
    inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
    kubectl get --raw /readyz
    [ "$(sha256sum <"$CLUSTER/pki/ca.crt")" = "$ca" ]
    inside "$KN" down --data-dir "$CLUSTER"
}

@test "a start with a clock behind the authority says both times, waits, and changes nothing" {
    before=$(files)
    up_at '2001-02-03 04:05:06'
    wait_for 20 said 'waiting'
    cat "$DATA/up.log"
    said "^knarr up: the clock says 2001-02-03T0.*'$CLUSTER/pki/ca.crt' is valid from 20.*--ignore-clock; waiting$"
    [ ! -S "$CLUSTER/run/notify" ]
    inside "$KN" down --data-dir "$CLUSTER" # it can be stopped
    gone() { ! pgrep -f -- "up --data-dir $CLUSTER" >/dev/null; }
    wait_for 10 gone
    said 'stopped while it waited for the clock'
    [ "$(files)" = "$before" ]
}

@test "a clock behind the newest write of the store is named, with the time of that write" {
    run pki_at '10 days ago'
    echo "$output"
    [ "$status" -eq 3 ]
    [[ $output == *"'$CLUSTER/store/mark' was written at $(date -u +%Y-)"* ]]
    run pki_at '10 days ago' --running # it was set back
    [ "$status" -eq 0 ]
    run pki_at '2 minutes ago' # clocks differ a little
    [ "$status" -eq 0 ]
    run pki_at '10 days ago' --ignore-clock
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"was written at"*", ignoring"* ]]
    run pki_at '5000 days'
    echo "$output"
    [ "$status" -eq 3 ]
    [[ $output == *"'$CLUSTER/pki/ca.crt' is valid until"* ]]
}

@test "certificates are replaced while everything runs, and every role goes on with the new ones" {
    rm "$CLUSTER"/pki/*/*.crt # else they are good for a year
    inside "$KN" up --data-dir "$CLUSTER" --certificate-lifetime 40s --detach 3>&-
    "$KN" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$CLUSTER"
    began=$SECONDS
    server=$(serial_at 6443) node=$(serial_at 10250)
    roles=$(pgrep -P "$(jq .supervisor "$CLUSTER/cluster.json")" | xargs)
    renewed() { [ "$(serial_at 6443)" != "$server" ] && [ "$(serial_at 10250)" != "$node" ]; }
    wait_for 30 renewed
    [ "$(pgrep -P "$(jq .supervisor "$CLUSTER/cluster.json")" | xargs)" = "$roles" ]
    wait_for 20 kubectl get serviceaccount default
    kubectl run long --image=knarr.local/demo:1 --restart=Never --command -- sleep 1000
    kubectl wait --for=condition=Ready pod/long --timeout=60s
    # Past the end of every certificate that there was at the start, all connect anew.
    while [ $((SECONDS - began)) -le 50 ]; do sleep 1; done
    kill -9 "$(pgrep -P "$(jq .supervisor "$CLUSTER/cluster.json")" -f /knarr-server)"
    wait_for 20 kubectl get --raw /readyz
    kubectl run later --image=knarr.local/demo:1 --restart=Never --command -- sleep 1000
    kubectl wait --for=condition=Ready pod/later --timeout=60s
    kubectl exec later -- true # by way of the kubelet's certificate and the server's for it
    kubectl create deployment many --image=knarr.local/demo:1 --replicas=2 -- sleep 1000
    kubectl rollout status deployment/many --timeout=60s
    ! grep -q 'going on with the old ones' "$CLUSTER"/log/*.log || false
    inside "$KN" down --data-dir "$CLUSTER"
}

@test "a lifetime that is none is refused" {
    for text in 5s 1 -1h 90000h day ''; do
        run inside "$KN" up --data-dir "$CLUSTER" --certificate-lifetime "$text"
        echo "$output"
        [ "$status" -eq 2 ]
        [[ $output == *certificate-lifetime*"'$text'"* ]]
    done
}
