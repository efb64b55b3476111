# helpers.bash - a control plane and a node for end-to-end tests, in a network namespace, control groups and a data
# directory of their own. Everything that is started is remembered by pid and ended in stop_all.

E2E_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${KNARR_BUILD:=$E2E_DIR/../../build}"
BIN="$KNARR_BUILD/src/cmd"
TOOLS="$E2E_DIR/../../build/tools"

need_root() {
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# kubectl 1.35, fetched where it is missing: in a fresh clone, for a program of bench/ or one file of tests.
need_kubectl() { [ -n "${KUBECTL:-}" ] || "$E2E_DIR/../../tools/kubectl135"; }

# new_place: a folder, and a network namespace of its own. Sets DATA, NS, PIDS.
new_place() {
    DATA=$(mktemp -d /tmp/knarr-e2e-XXXXXX)
    NS="kn-${DATA##*-}"
    PIDS="$DATA/pids"
    : >"$PIDS"
    mkdir -p "$DATA/log"
    ip netns add "$NS"
    ip -n "$NS" link set lo up
}

# new_cluster: a place with what a cluster needs. Sets INSTANCE, KUBECONFIG too.
new_cluster() {
    need_kubectl
    new_place
    chmod 755 "$DATA"
    INSTANCE="k${DATA##*-}"
    mkdir -p "$DATA"/{store,node,images,pki}
    "$BIN/knarr-pki" --data-dir "$DATA" --api-port 6443 --pod-cidr 10.244.0.0/16 --service-cidr 10.96.0.0/16
    export KUBECONFIG="$DATA/admin.kubeconfig"
    # As the user of a test would: outside of the namespace nothing is reachable.
    HOME="$DATA"
    export HOME DATA NS INSTANCE PIDS
}

# new_up_place: a place for a cluster of `knarr up`. Sets KN, CLUSTER, KUBECONFIG too.
new_up_place() {
    need_kubectl
    new_place
    chmod 755 "$DATA"
    KN="$BIN/knarr"
    CLUSTER="$DATA/cluster"
    KUBECONFIG="$CLUSTER/admin.kubeconfig"
    HOME="$DATA"
    export DATA NS PIDS KN CLUSTER KUBECONFIG HOME
    make_image "$DATA/demo.tar" knarr.local/demo:1
}
# With the image in it, and what pods need.
start_up() {
    inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
    "$KN" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$CLUSTER"
    wait_for 20 kubectl get serviceaccount default
}

inside() { nsenter --net="/run/netns/$NS" "$@"; }
# What it waits for (`wait`, `rollout`, `delete`) has as much more time as the machine is slower.
kubectl() {
    local word words=()
    for word; do
        [[ $word =~ ^--timeout=([0-9]+)s$ ]] && word=--timeout=$(patience "${BASH_REMATCH[1]}")s
        words+=("$word")
    done
    inside "${KUBECTL:-$TOOLS/kubectl-1.35}" "${words[@]}"
}
kubectl120() { inside "$TOOLS/kubectl-1.20" "$@"; }

# run_role NAME ARGS…: in the background, its log at DATA/log/NAME.log.
run_role() {
    local role=$1
    shift
    nsenter --net="/run/netns/$NS" "$BIN/knarr-$role" "$@" >>"$DATA/log/$role.log" 2>&1 3>&- &
    echo "$!" >"$DATA/$role.pid"
    echo "$!" >>"$PIDS"
}

start_server() { # FLAGS…
    run_role server "$@" --store="$DATA/store" --secure-port=6443 --advertise-address=10.244.0.1 \
        --service-cluster-ip-range=10.96.0.0/16 --cluster-dns-endpoint=10.244.0.1:10053 \
        --tls-cert-file="$DATA/pki/server/serving.crt" --tls-private-key-file="$DATA/pki/server/serving.key" \
        --client-ca-file="$DATA/pki/ca.crt" --service-account-signing-key-file="$DATA/pki/server/sa.key" \
        --kubelet-client-certificate="$DATA/pki/server/kubelet-client.crt" \
        --kubelet-client-key="$DATA/pki/server/kubelet-client.key"
    wait_for 20 kubectl get --raw /readyz
}

start_node() {
    NODE=$(hostname | tr '[:upper:]' '[:lower:]')
    run_role node $(node_args)
    wait_for 20 node_is_ready
}

# The administrator's certificate and key in DATA/crt and DATA/key.
client_files() {
    kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$DATA/crt"
    kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$DATA/key"
}

# Every role but DNS, the image, and the administrator's certificate in DATA/crt and DATA/key. Sets NODE.
start_roles() {
    start_server
    run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"
    run_role scheduler --kubeconfig="$DATA/pki/scheduler/kubeconfig"
    start_node
    export NODE
    make_image "$DATA/demo.tar" knarr.local/demo:1
    inside "$BIN/knarr" image import "$DATA/demo.tar" --name knarr.local/demo:1 --data-dir "$DATA"
    wait_for 20 kubectl get serviceaccount default
    client_files
}

node_args() {
    echo "--data-dir=$DATA --instance=$INSTANCE --kubeconfig=$DATA/pki/node/kubeconfig" \
        "--proxy-kubeconfig=$DATA/pki/node/proxy.kubeconfig --hostname-override=$(hostname | tr '[:upper:]' '[:lower:]')" \
        "--node-ip=10.244.0.1 --port=10250 --pod-cidr=10.244.0.0/16 --service-cidr=10.96.0.0/16" \
        "--cluster-dns=10.96.0.10 --tls-cert-file=$DATA/pki/node/serving.crt" \
        "--tls-private-key-file=$DATA/pki/node/serving.key --client-ca-file=$DATA/pki/ca.crt"
}

node_is_ready() { kubectl get node "$NODE" --no-headers | grep -qw Ready; }

kill_role() { # NAME [SIGNAL]
    kill "-${2:-TERM}" "$(cat "$DATA/$1.pid")" 2>/dev/null || true
    wait_for 10 role_is_gone "$1"
}
role_is_gone() { ! kill -0 "$(cat "$DATA/$1.pid")" 2>/dev/null; }

stop_all() {
    [ -n "${DATA:-}" ] || return 0
    local pid
    for pid in $(cat "$PIDS" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    for pid in $(cat "$PIDS" 2>/dev/null); do wait_for 10 pid_is_gone "$pid" || kill -9 "$pid" 2>/dev/null || true; done
    [ ! -f "$DATA/node.pid" ] || inside "$BIN/knarr-node" $(node_args) --cleanup || true
    ip netns del "$NS" 2>/dev/null || true
    rm -rf "$DATA"
}
pid_is_gone() { ! kill -0 "$1" 2>/dev/null; }

# How many times longer than on an idle machine something takes now, from 1 to 10: a fixed bit of work is done, by a program,
# because bats looks at each step of a shell, and what it takes is compared with what it takes where nothing else runs.
# Asked again after some seconds, not each time.
load_factor() {
    local began ended
    [ "$SECONDS" -ge "${LOAD_KNOWN:-0}" ] || return 0
    began=${EPOCHREALTIME/[.,]/}
    awk 'BEGIN { for (n = 0; n < 8000000; n++); }'
    ended=${EPOCHREALTIME/[.,]/}
    LOAD_FACTOR=$(((ended - began) / IDLE_US))
    [ "$LOAD_FACTOR" -ge 1 ] || LOAD_FACTOR=1
    [ "$LOAD_FACTOR" -le 10 ] || LOAD_FACTOR=10
    LOAD_KNOWN=$((SECONDS + 5))
}
IDLE_US=130000

# wait_for SECONDS COMMAND…: until it succeeds. SECONDS are those of an idle machine, in which nothing happens: they begin
# anew whenever the command says something else than before, and are as many more as this machine is slower now
# (load_factor), with as much again for what it does not tell. Who succeeds does not wait for any of it. On failure shows
# what the command last said.
wait_for() {
    local out last="" idle=$1 since=$SECONDS begin=$SECONDS
    shift
    until out=$("$@" 2>&1); do
        if [ "$out" != "$last" ]; then
            last=$out
            since=$SECONDS
        fi
        if [ $((SECONDS - since)) -ge "$idle" ] || [ $((SECONDS - begin)) -ge $((idle * 5)) ]; then
            load_factor
            if [ $((SECONDS - since)) -ge $((idle * 2 * LOAD_FACTOR)) ] || [ $((SECONDS - begin)) -ge $((idle * 10 * LOAD_FACTOR)) ]; then
                echo "not in time ($((SECONDS - begin)) s on a machine that is $LOAD_FACTOR times slower): $*: $out"
                return 1
            fi
        fi
        sleep 0.1
    done
}

# SECONDS of an idle machine, on this one now: for programs that have a limit of their own.
patience() {
    load_factor
    echo $(($1 * 2 * LOAD_FACTOR))
}

# An image with busybox and all its names, as `docker save` writes it: make_image FILE NAME
make_image() {
    "$E2E_DIR/../../tools/demo-image" "$@"
}
