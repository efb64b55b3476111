#!/usr/bin/env bats
# `knarr up` as a program: what it says to wrong flags and busy machines, that it then leaves nothing half-started, and
# that two clusters run side by side on one machine (here: in one network namespace).

load helpers

setup_file() {
    need_root
    new_cluster
    KN="$KNARR_BUILD/src/cmd/knarr"
    ONE="$DATA/one"
    TWO="$DATA/two"
    export KN ONE TWO
    make_image "$DATA/demo.tar" knarr.local/demo:1
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    [ -z "${LISTENER:-}" ] || kill "$LISTENER" 2>/dev/null || true
    inside "$KN" down --data-dir "$ONE" || true
    inside "$KN" down --data-dir "$TWO" || true
    stop_all
}

k() { # DIR ARGS…: kubectl of the cluster in that folder
    local dir=$1
    shift
    KUBECONFIG="$dir/admin.kubeconfig" kubectl "$@"
}
# No process, no mount, no lock, no socket of a cluster in that folder.
nothing_runs() {
    ! pgrep -f -- "--data-dir[= ]$1" >/dev/null || false
    ! grep -q "$1" /proc/self/mounts || false
    [ ! -S "$1/run/notify" ]
    ! inside ss -ltnH | grep -qE ":($2) " || false
}
# One line on standard error, exit code as expected, nothing on standard output.
refused() { # CODE ARGS…
    local code=$1
    shift
    run inside "$KN" up "$@"
    echo "exit code $status: $output"
    [ "$status" -eq "$code" ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == 'knarr up: '* ]]
}

@test "a range that is none is refused, with an example" {
    for cidr in 10.0.0.0 10.0.0.0/33 10.0.0.0/4 10.0.0.0/30 300.0.0.0/16 10.244.0.1/16 fd00::/64 '' x/16; do
        refused 2 --data-dir "$ONE" --pod-cidr "$cidr"
        [[ $output == *--pod-cidr*"'$cidr'"* ]]
        refused 2 --data-dir "$ONE" --service-cidr "$cidr" --detach
        [[ $output == *--service-cidr*"'$cidr'"* ]]
    done
    refused 2 --data-dir "$ONE" --pod-cidr 10.96.0.0/12 --service-cidr 10.96.0.0/16
    [[ $output == *overlap* ]]
    [ ! -e "$ONE" ]
}

@test "a port that is none is refused, and so are a relative folder and stray words" {
    for port in 0 65536 -1 http 6443x ''; do
        refused 2 --data-dir "$ONE" --api-port "$port"
        [[ $output == *"--api-port: '$port' is no port; expected 1-65535"* ]]
    done
    refused 2 --data-dir some/folder
    [[ $output == *"absolute path"* ]]
    refused 2 --data-dir "$ONE" now
    [[ $output == *"now: unexpected argument"* ]]
    [ ! -e "$ONE" ]
}

@test "a busy port is named with the flag that changes it, and nothing is left half-started" {
    for port in 6443 10250; do
        nsenter --net="/run/netns/$NS" busybox nc -l -p "$port" </dev/null >/dev/null 2>&1 3>&- &
        LISTENER=$!
        export LISTENER
        listens() { inside ss -ltnH | grep -q ":$port "; }
        wait_for 5 listens
        for how in --detach ''; do
            refused 1 --data-dir "$ONE" $how
            [[ $output == *"port $port "*"in use"*--api-port* ]]
            kill -0 "$LISTENER"
        done
        kill "$LISTENER"
        wait "$LISTENER" || true
        nothing_runs "$ONE" '6443|10250'
        [ ! -e "/sys/fs/cgroup/unified/$(basename "$ONE")" ]
        ! inside ip -br link | grep -q '^kn' || false
        run "$KN" status --data-dir "$ONE"
        [ "$status" -ne 0 ]
    done
}

@test "who is not root is told so, by every verb that needs it" {
    for verb in up down 'backup /tmp/nowhere' 'restore /tmp/nowhere'; do
        run setpriv --reuid 65534 --clear-groups "$KN" $verb
        echo "$output"
        [ "$status" -eq 1 ]
        [[ $output == "knarr ${verb%% *}: must be run as root"* ]]
    done
}

@test "images of a folder that is not there are none, and none is begun" {
    for verb in list 'rm x' "import $DATA/demo.tar"; do
        run "$KN" image $verb --data-dir "$DATA/misspelt"
        echo "$output"
        [ "$status" -eq 1 ]
        [[ $output == *"--data-dir: there is no folder '$DATA/misspelt'"* ]]
        [ ! -e "$DATA/misspelt" ]
    done
}

@test "a folder that cannot be one is named" {
    : >"$DATA/file"
    refused 1 --data-dir "$DATA/file"
    [[ $output == *"$DATA/file"* ]]
    refused 1 --data-dir "$DATA/file/below" --detach
    [[ $output == *"$DATA/file/below"* ]]
}

@test "a folder that the roles' users cannot reach is named" {
    mkdir -m 700 "$DATA/private"
    refused 1 --data-dir "$DATA/private/cluster"
    [[ $output == *"--data-dir: "*"$DATA/private/cluster"*"chmod o+x"* ]]
}

@test "two clusters run side by side, and both serve pods" {
    inside "$KN" up --data-dir "$ONE" --detach 3>&-
    inside "$KN" up --data-dir "$TWO" --api-port 7443 --pod-cidr 10.50.0.0/16 --service-cidr 10.60.0.0/16 --detach 3>&-
    for dir in "$ONE" "$TWO"; do
        "$KN" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$dir"
        wait_for 20 k "$dir" get serviceaccount default
    done
    # The node port is the machine's: the second cluster takes another.
    k "$ONE" apply -f "$E2E_DIR/../../examples/hello.yaml"
    sed -e 's/30080/30081/' -e 's/Hello from knarr/Hello from the second/' "$E2E_DIR/../../examples/hello.yaml" | k "$TWO" apply -f -
    k "$ONE" rollout status deployment/hello --timeout=60s
    k "$TWO" rollout status deployment/hello --timeout=60s
    says() { inside curl -fsS --max-time 20 "$1" | grep -q "$2"; }
    for _ in 1 2 3; do # the second's tables did not replace the first's
        wait_for 10 says "http://$(k "$ONE" get service hello -o jsonpath='{.spec.clusterIP}')/" 'Hello from knarr'
        wait_for 10 says "http://$(k "$TWO" get service hello -o jsonpath='{.spec.clusterIP}')/" 'Hello from the second'
    done
    [[ $(k "$TWO" get pods -l app=hello -o jsonpath='{.items[0].status.podIP}') == 10.50.* ]]
    [[ $(k "$ONE" get pods -l app=hello -o jsonpath='{.items[0].status.podIP}') == 10.244.* ]]
}

@test "roles have no capability to give, no new ones, and nothing of the caller's environment" {
    for role in server controller scheduler dns; do
        pid=$(pgrep -P "$(jq .supervisor "$ONE/cluster.json")" -f "/knarr-$role ")
        [ "$(awk '/^Cap(Inh|Prm|Eff|Bnd|Amb):/ { print $2 }' "/proc/$pid/status" | sort -u)" = 0000000000000000 ]
        grep -q '^NoNewPrivs:.*1' "/proc/$pid/status"
        [ "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")" -gt 1000000000 ]
        [ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" = 2 ]
    done
    [ "$(stat -c %u "$ONE/store")" != "$(stat -c %u "$TWO/store")" ]
    for pid in $(pgrep -P "$(jq .supervisor "$ONE/cluster.json")"); do
        [ -z "$(tr '\0' '\n' <"/proc/$pid/environ" | grep -vE '^(PATH|NOTIFY_SOCKET|KNARR_LOG|TZ)=')" ]
    done
}

@test "each cluster's pods resolve their own names" {
    for dir in "$ONE" "$TWO"; do
        k "$dir" run visitor --image=knarr.local/demo:1 --restart=Never --command -- sh -c \
            'ip=$(nslookup -type=a hello.default.svc.cluster.local | sed -n "s/^Address: //p" | tail -n 1); printf "GET / HTTP/1.0\r\n\r\n" | nc -w 5 "$ip" 80'
    done
    for dir in "$ONE" "$TWO"; do
        k "$dir" wait --for=jsonpath='{.status.phase}'=Succeeded pod/visitor --timeout=30s
    done
    k "$ONE" logs visitor | grep -q 'Hello from knarr'
    k "$TWO" logs visitor | grep -q 'Hello from the second'
}

@test "what has ended before down is not run again after up, and its end stays known" {
    ended() { k "$ONE" get pod visitor -o jsonpath='{.status.phase} {.status.containerStatuses}'; }
    before=$(ended)
    [[ $before == *Completed* ]]
    for _ in 1 2; do
        inside "$KN" down --data-dir "$ONE"
        inside "$KN" up --data-dir "$ONE" --detach 3>&-
        k "$ONE" label pod visitor round="$RANDOM" --overwrite # another version of the pod
        k "$ONE" rollout status deployment/hello --timeout=60s
        [ "$(ended)" = "$before" ]
    done
}

@test "a data directory in use is refused, and what runs there goes on" {
    refused 1 --data-dir "$TWO" --api-port 8443 --detach
    [[ $output == *"$TWO"*'in use by a running cluster'*"knarr down --data-dir $TWO"* ]]
    "$KN" status --data-dir "$TWO" | grep -q 'running: https://127.0.0.1:7443'
    k "$TWO" get --raw /readyz
    ! inside ss -ltnH | grep -q ':8443 ' || false
}

@test "a supervisor that was killed is known to be gone, even when its number is another process by now" {
    up=$(jq .supervisor "$ONE/cluster.json")
    kill -9 "$up"
    stopped() { ! "$KN" status --data-dir "$ONE" >/dev/null && ! pgrep -f -- "--store=$ONE" >/dev/null; }
    wait_for 10 stopped
    sleep 1000 3>&- &
    sleeper=$!
    jq -c ".supervisor = $sleeper" "$ONE/cluster.json" >"$ONE/new" && mv "$ONE/new" "$ONE/cluster.json"
    run "$KN" status --data-dir "$ONE"
    [ "$status" -eq 3 ]
    inside "$KN" down --data-dir "$ONE"
    kill -0 "$sleeper"
    inside "$KN" up --data-dir "$ONE" --detach 3>&-
    kill "$sleeper"
}

@test "certificates and kubeconfigs that are good are not written again; what changed is" {
    pki() { "$KNARR_BUILD/src/cmd/knarr-pki" --data-dir "$DATA" --api-port "$1" --pod-cidr 10.244.0.0/16 --service-cidr "$2"; }
    files() { (cd "$DATA" && find pki admin.kubeconfig -type f -exec stat -c '%n %i %y' {} + | sort); }
    pki 6443 10.96.0.0/16
    before=$(files)
    [ "$(wc -l <<<"$before")" -gt 15 ]
    pki 6443 10.96.0.0/16
    [ "$(files)" = "$before" ]
    pki 6443 10.98.0.0/16
    changed=$(diff <(echo "$before") <(files) | awk '/^>/{print $2}' | xargs)
    [ "$changed" = "pki/server/serving.crt pki/server/serving.key" ]
    : >"$DATA/pki/dns/client.crt"
    pki 6443 10.98.0.0/16
    openssl x509 -in "$DATA/pki/dns/client.crt" -noout
}

# notify DIR PID TEXT: as if that role had said it.
notify() {
    python3 - "$@" <<'EOF'
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
creds = struct.pack("3i", int(sys.argv[2]), 0, 0)
s.connect(sys.argv[1] + "/run/notify")
s.sendmsg([sys.argv[3].encode()], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, creds)])
EOF
}

@test "a role that does not answer is ended and started again" {
    up=$(jq .supervisor "$ONE/cluster.json")
    for role in dns server; do
        role_pid() { pgrep -P "$up" -f "knarr-$role"; }
        before=$(role_pid)
        # Its own limit, as a unit with WatchdogSec= would have it: a minute is long for a test.
        notify "$ONE" "$before" WATCHDOG_USEC=6000000
        kill -STOP "$before"
        other_pid() { pid=$(role_pid) && [ "$pid" != "$before" ]; }
        wait_for 30 other_pid
        grep -q "$role has not answered for [0-9]* s and is ended" "$ONE/log/up.log"
    done
    wait_for 30 k "$ONE" get --raw /readyz
}

@test "one goes down, the other serves on" {
    ids() { k "$TWO" get pods -l app=hello -o jsonpath='{.items[*].status.containerStatuses[*].containerID}'; }
    before=$(ids)
    inside "$KN" down --data-dir "$ONE"
    nothing_runs "$ONE" '6443|10250'
    says() { inside curl -fsS --max-time 20 "$1" | grep -q "$2"; }
    wait_for 10 says "http://$(k "$TWO" get service hello -o jsonpath='{.spec.clusterIP}')/" 'Hello from the second'
    [ "$(ids)" = "$before" ]
    inside "$KN" down --data-dir "$TWO"
    nothing_runs "$TWO" '7443|11250'
    ! inside ip -br link | grep -q '^kn' || false
}

@test "a cluster comes up although nobody reads what is said about it" {
    inside "$KN" down --data-dir "$ONE"
    exec 8> >(:)
    wait "$!"
    inside "$KN" up --data-dir "$ONE" --detach >&8 2>&8 3>&-
    exec 8>&-
    "$KN" status --data-dir "$ONE" | grep -q '^running: '
    k "$ONE" get --raw /readyz
    inside "$KN" down --data-dir "$ONE"
}

@test "status names a role that keeps dying, and its log" {
    inside "$KN" up --data-dir "$ONE" --detach 3>&-
    ! "$KN" status --data-dir "$ONE" | grep dying || false
    up=$(jq .supervisor "$ONE/cluster.json")
    dies() {
        kill -9 "$(pgrep -P "$up" -f knarr-dns)" || true
        "$KN" status --data-dir "$ONE" |
            grep -qE "^dns keeps dying: it ended [0-9]+ times in a row, with signal 9 the last time; its log: $ONE/log/dns.log$"
    }
    wait_for 20 dies
    [ "$("$KN" status --data-dir "$ONE" | grep -c dying)" -eq 1 ]
    inside "$KN" down --data-dir "$ONE"
    inside "$KN" up --data-dir "$ONE" --detach 3>&-
    ! "$KN" status --data-dir "$ONE" | grep dying || false
    inside "$KN" down --data-dir "$ONE"
}
