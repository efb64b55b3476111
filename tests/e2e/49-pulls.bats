#!/usr/bin/env bats
# The node pulls images: from registries without and with credentials, from a mirror, with every policy; who may use what was
# pulled with a secret; what the node shows of its images, and when they go. Debian's docker-registry, real kubectl.

load helpers

# registry NAME PORT [USER PASSWORD]: one in the cluster's network namespace, whose blobs lie in DATA/NAME
registry() {
    local auth=""
    if [ -n "${3:-}" ]; then
        htpasswd -Bbn "$3" "$4" >"$DATA/$1.htpasswd"
        auth="auth: {htpasswd: {realm: $1, path: $DATA/$1.htpasswd}}"
    fi
    cat >"$DATA/$1.yml" <<Y
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $DATA/$1}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$2"}
$auth
Y
    # Not by inside(): what is killed is the program, not a shell around it.
    nsenter --net="/run/netns/$NS" docker-registry serve "$DATA/$1.yml" >"$DATA/$1.log" 2>&1 3>&- &
    echo $! >>"$PIDS"
    echo $! >"$DATA/$1.pid"
    wait_for 10 inside curl -so /dev/null "http://127.0.0.1:$2/v2/"
}
# push NAME [USER:PASSWORD]: the demo's image, made different by its name
push() {
    make_image "$DATA/push.tar" local/image:1 "$1"
    inside skopeo copy -q --dest-tls-verify=false ${2:+--dest-creds "$2"} "docker-archive:$DATA/push.tar" "docker://$1"
}

setup_file() {
    need_root
    command -v docker-registry >/dev/null || skip "no docker-registry"
    new_cluster
    start_server
    run_role controller --kubeconfig "$DATA/pki/controller/kubeconfig" --root-ca-file "$DATA/pki/ca.crt"
    run_role scheduler --kubeconfig="$DATA/pki/scheduler/kubeconfig"
    registry open 5000
    registry closed 5001 ana secret
    cat >"$DATA/registries.yaml" <<Y
mirrors:
  mirrored.example:
    endpoint: ["http://127.0.0.1:5999", "http://127.0.0.1:5000"]
    rewrite: {"^library/(.*)": "team/\$1"}
Y
    REGISTRY_ARGS="--private-registry=$DATA/registries.yaml"
    export REGISTRY_ARGS
    NODE=$(hostname | tr '[:upper:]' '[:lower:]')
    export NODE
    start_pulling_node
    wait_for 20 kubectl get serviceaccount default
    push 127.0.0.1:5000/team/app:1
    push 127.0.0.1:5001/private/app:1 ana:secret
}
teardown_file() { stop_all; }

start_pulling_node() { # FLAGS…
    # shellcheck disable=SC2046
    run_role node $(node_args) "$REGISTRY_ARGS" "$@"
    wait_for 20 node_is_ready
}
# pod NAME IMAGE [CONTAINER-FIELDS] [SPEC-FIELDS]
pod() {
    kubectl apply -n "${NS_OF:-default}" -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "$2", command: [sleep, "1000"]${3:+, $3}}]
${4:+  $4}
Y
}
is_running() { kubectl wait -n "${NS_OF:-default}" --for=condition=Ready "pod/$1" --timeout=60s; }
waits_for() { # POD REASON
    wait_for 60 why_is "$1" "$2"
}
why_is() {
    [ "$(kubectl get pod -n "${NS_OF:-default}" "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}')" = "$2" ]
}
message_of() { kubectl get pod -n "${NS_OF:-default}" "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.message}'; }
event() { # POD REASON TEXT
    kubectl get events -n "${NS_OF:-default}" --field-selector "involvedObject.name=$1,reason=$2" -o jsonpath='{.items[*].message}' | grep -qF "$3"
}
pull_secret() { # NAME SERVER USER PASSWORD
    kubectl create secret docker-registry -n "${NS_OF:-default}" "$1" --docker-server="$2" --docker-username="$3" --docker-password="$4"
}
node_has() { kubectl get node "$NODE" -o jsonpath='{.status.images[*].names[*]}' | grep -qF "$1"; }

@test "a pod's image is pulled, and told of as in Kubernetes" {
    pod plain 127.0.0.1:5000/team/app:1
    is_running plain
    event plain Pulling 'Pulling image "127.0.0.1:5000/team/app:1"'
    event plain Pulled 'Successfully pulled image "127.0.0.1:5000/team/app:1" in '
    wait_for 60 node_has 127.0.0.1:5000/team/app:1
    node_has 127.0.0.1:5000/team/app@sha256:
    pod again 127.0.0.1:5000/team/app:1
    is_running again
    event again Pulled 'Container image "127.0.0.1:5000/team/app:1" already present on machine and can be accessed by the pod'
    kubectl delete pod plain again
}

@test "an image that is nowhere: ErrImagePull, then back-off; it runs once it is there" {
    pod later 127.0.0.1:5000/team/later:1
    waits_for later ErrImagePull
    waits_for later ImagePullBackOff
    [[ "$(message_of later)" == 'Back-off pulling image "127.0.0.1:5000/team/later:1": ErrImagePull: '* ]]
    event later Failed 'Failed to pull image "127.0.0.1:5000/team/later:1": '
    event later Failed 'Error: ErrImagePull'
    event later BackOff 'Back-off pulling image "127.0.0.1:5000/team/later:1"'
    push 127.0.0.1:5000/team/later:1
    is_running later
    kubectl delete pod later
}

@test "a registry that is not there, a name that is none, a policy that pulls nothing" {
    pod down 127.0.0.1:5998/team/app:1
    waits_for down RegistryUnavailable
    waits_for down ImagePullBackOff
    pod bad 'Team//App:1'
    waits_for bad InvalidImageName
    pod never 127.0.0.1:5000/team/never:1 'imagePullPolicy: Never'
    waits_for never ErrImageNeverPull
    kubectl delete pod down bad never
}

@test "a mirror that is down is passed over, and paths are rewritten" {
    pod mirrored mirrored.example/library/app:1
    is_running mirrored
    kubectl delete pod mirrored
}

@test "Always asks the registry, and takes what the name means there now" {
    pod always 127.0.0.1:5000/team/app:1 'imagePullPolicy: Always'
    is_running always
    local before
    before=$(kubectl get pod always -o jsonpath='{.status.containerStatuses[0].imageID}')
    kubectl delete pod always
    inside skopeo copy -q --src-tls-verify=false --dest-tls-verify=false docker://127.0.0.1:5000/team/later:1 docker://127.0.0.1:5000/team/app:1
    pod present 127.0.0.1:5000/team/app:1
    is_running present
    [ "$(kubectl get pod present -o jsonpath='{.status.containerStatuses[0].imageID}')" = "$before" ]
    pod always 127.0.0.1:5000/team/app:1 'imagePullPolicy: Always'
    is_running always
    [ "$(kubectl get pod always -o jsonpath='{.status.containerStatuses[0].imageID}')" != "$before" ]
    kubectl delete pod always present
}

@test "an image behind a password: with the secret, as soon as there is one; without it never" {
    local image=127.0.0.1:5001/private/app:1
    pod with $image '' 'imagePullSecrets: [{name: pull}]'
    waits_for with ErrImagePull
    event with FailedToRetrieveImagePullSecret 'Unable to retrieve some image pull secrets (pull)'
    pull_secret pull 127.0.0.1:5001 ana secret
    is_running with

    # It is on the node now, and still not for those who have no right to it.
    pod without $image 'imagePullPolicy: IfNotPresent'
    waits_for without ErrImagePull
    pod nor $image 'imagePullPolicy: Never'
    waits_for nor ErrImageNeverPull
    kubectl delete pod without nor
    pull_secret wrong 127.0.0.1:5001 ana guessed
    pod guessed $image '' 'imagePullSecrets: [{name: wrong}]'
    waits_for guessed ErrImagePull

    # Others with the same credential have it, by the service account as well, though the registry does not answer.
    kubectl create namespace other
    export NS_OF=other
    pull_secret theirs 127.0.0.1:5001 ana secret
    wait_for 20 kubectl get serviceaccount -n other default
    kubectl patch serviceaccount -n other default -p '{"imagePullSecrets":[{"name":"theirs"}]}'
    kill "$(cat "$DATA/closed.pid")"
    pod theirs $image
    is_running theirs
    kubectl delete namespace other
    NS_OF=default kubectl delete pod with guessed
}

@test "knowing digests is no right: another registry that names them has to have what they stand for" {
    registry closed 5001 ana secret
    local image=127.0.0.1:5001/private/own:1
    make_image "$DATA/push.tar" local/image:1 own
    skopeo copy -q "docker-archive:$DATA/push.tar" "dir:$DATA/theirs"
    "$BATS_TEST_DIRNAME/thief-registry.py" "$DATA/theirs" layer
    inside skopeo copy -q --dest-tls-verify=false --dest-creds ana:secret "dir:$DATA/theirs" "docker://$image"
    rm -r "$DATA/theirs"
    inside skopeo copy -q --src-tls-verify=false --src-creds ana:secret "docker://$image" "dir:$DATA/theirs"
    pull_secret owner 127.0.0.1:5001 ana secret
    pod owner $image '' 'imagePullSecrets: [{name: owner}]'
    is_running owner
    # It has the manifest, and the configuration as well; for the layers it has other bytes, of which it says the truth.
    inside python3 "$BATS_TEST_DIRNAME/thief-registry.py" "$DATA/theirs" 5996 3>&- &
    echo $! >>"$PIDS"
    wait_for 20 inside curl -so /dev/null http://127.0.0.1:5996/v2/
    local how
    for how in bare config bytes; do
        pod thief-$how 127.0.0.1:5996/$how/app:1
    done
    for how in bare config bytes; do
        wait_for 60 event thief-$how Failed 'Error: ErrImagePull'
        [ "$(kubectl get pod thief-$how -o jsonpath='{.status.containerStatuses[0].state.running}')" = "" ]
    done
    # Nor has it made the image one for everybody.
    pod still $image 'imagePullPolicy: Never'
    wait_for 60 event still Failed 'Error: ErrImageNeverPull'
    kubectl delete pod thief-bare thief-config thief-bytes still
    # Who has all of it may: what is downloaded again is what the store has.
    pod thief-all 127.0.0.1:5996/all/app:1
    is_running thief-all
    kubectl delete pod thief-all owner
}

@test "an image that was brought by hand stays everybody's when somebody pulls it with a secret" {
    make_image "$DATA/both.tar" local/both:1 both
    inside "$BIN/knarr" image import "$DATA/both.tar" --name local.example/both:1 --data-dir "$DATA"
    inside skopeo copy -q --dest-tls-verify=false --dest-creds ana:secret "docker-archive:$DATA/both.tar" docker://127.0.0.1:5001/private/both:1
    pull_secret both 127.0.0.1:5001 ana secret
    pod pulls 127.0.0.1:5001/private/both:1 '' 'imagePullSecrets: [{name: both}]'
    is_running pulls
    kubectl get pod pulls -o jsonpath='{.status.containerStatuses[0].imageID}' >"$DATA/both.id"
    inside "$BIN/knarr" image list --data-dir "$DATA" | grep local.example/both | grep -qF "$(sed 's/^.*sha256://' "$DATA/both.id" | cut -c 1-12)"
    pod hand local.example/both:1 'imagePullPolicy: Never'
    is_running hand
    kubectl delete pod pulls hand
}

@test "a credential for another path or host is not used" {
    pull_secret path 127.0.0.1:5001/other ana secret
    pull_secret host localhost:5001 ana secret
    pod path 127.0.0.1:5001/private/app:1 'imagePullPolicy: Always' 'imagePullSecrets: [{name: path}, {name: host}]'
    waits_for path ErrImagePull
    kubectl delete pod path
}

@test "an image that is damaged on the node is pulled again, and so is one without a readable record" {
    local config
    push 127.0.0.1:5000/team/hurt:1
    pod whole 127.0.0.1:5000/team/hurt:1 "imagePullPolicy: IfNotPresent"
    is_running whole
    config=$(inside "$BIN/knarr-image" inspect --data-dir "$DATA" 127.0.0.1:5000/team/hurt:1 | jq -r '.[0].Id')
    truncate -s 0 "$DATA/images/blobs/sha256/${config#sha256:}" "$DATA/node/pulled/${config#sha256:}"
    pod mended 127.0.0.1:5000/team/hurt:1 "imagePullPolicy: IfNotPresent"
    is_running mended
    event mended Pulled 'Successfully pulled image'
    [ -s "$DATA/images/blobs/sha256/${config#sha256:}" ] && [ -s "$DATA/node/pulled/${config#sha256:}" ]
    kubectl delete pod whole mended --timeout=30s
}

@test "a pod that is deleted while it pulls goes at once" {
    # A registry that takes connections and says nothing.
    nsenter --net="/run/netns/$NS" python3 -c 'import socket, time
s = socket.create_server(("127.0.0.1", 5997)); s.settimeout(None)
held = []
while True: held.append(s.accept())' 3>&- &
    echo $! >>"$PIDS"
    pod stuck 127.0.0.1:5997/team/app:1
    wait_for 20 event stuck Pulling 'Pulling image'
    kubectl delete pod stuck --timeout=20s
}

@test "what the policy refuses is not pulled, and not kept" {
    push 127.0.0.1:5000/team/refused:1
    echo '{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"127.0.0.1:5000/team/refused": [{"type": "reject"}]}}}' \
        >"$DATA/policy.json"
    kill_role node
    start_pulling_node --signature-policy="$DATA/policy.json"
    pod refused 127.0.0.1:5000/team/refused:1
    waits_for refused ErrImagePull
    [[ "$(message_of refused)" == *polic* || "$(message_of refused)" == *reject* ]]
    run inside "$BIN/knarr" image list --data-dir "$DATA"
    [[ "$output" != *team/refused* ]]
    kubectl delete pod refused
    pod allowed 127.0.0.1:5000/team/app:1 'imagePullPolicy: Always'
    is_running allowed
    kubectl delete pod allowed
    kill_role node
    run inside "$BIN/knarr-node" $(node_args) --signature-policy="$DATA/none.json"
    [ "$status" = 1 ] && [[ "$output" == *"none.json"* ]]
    start_pulling_node
}

@test "a node that is killed in the middle of a pull carries on with it" {
    local peer
    mkdir "$DATA/peer"
    nsenter --net="/run/netns/$NS" python3 "$BATS_TEST_DIRNAME/registry-peer.py" "$DATA/peer" >"$DATA/log/peer.log" 2>&1 3>&- &
    echo $! >>"$PIDS"
    wait_for 30 test -s "$DATA/peer/port"
    peer="127.0.0.1:$(cat "$DATA/peer/port")"
    pod cut "$peer/stall/app:1"
    begun() { [ -n "$(find "$DATA/images/tmp" -name 'part-*' -size +1k)" ]; }
    wait_for 30 begun
    kill_role node KILL
    [ -z "$(inside "$BIN/knarr-image" list --data-dir "$DATA" | grep stall/app)" ]
    start_pulling_node
    wait_for 60 event cut Pulled 'Successfully pulled image'
    grep -q 'stall/app/blobs/.* bytes=' "$DATA/peer/log"
    inside "$BIN/knarr-image" list --data-dir "$DATA" | grep -q stall/app
    kubectl delete pod cut --timeout=30s
}

@test "unused images go when the disk is full, those that run and those that were brought stay" {
    make_image "$DATA/hand.tar" local/hand:1
    inside "$BIN/knarr" image import "$DATA/hand.tar" --name local.example/hand:1 --data-dir "$DATA"
    push 127.0.0.1:5000/team/goes:1
    pod goes 127.0.0.1:5000/team/goes:1
    is_running goes
    kubectl delete pod goes
    pod keeps 127.0.0.1:5000/team/app:1
    is_running keeps
    kill_role node
    start_pulling_node --image-gc-high-threshold=1 --image-gc-low-threshold=0 --minimum-image-ttl-duration=0s
    gone() { ! inside "$BIN/knarr" image list --data-dir "$DATA" | grep -q team/goes; }
    wait_for 60 gone
    inside "$BIN/knarr" image list --data-dir "$DATA" | grep -q team/app
    inside "$BIN/knarr" image list --data-dir "$DATA" | grep -q local.example/hand
    [ "$(kubectl get pod keeps -o jsonpath='{.status.phase}')" = Running ]
}
