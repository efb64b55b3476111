#!/usr/bin/env bats
# `knarr image` and registries: pulls from and pushes to Debian's docker-registry (clear text, TLS with passwords, tokens),
# and what a registry that misbehaves (registry-peer.py) does not get away with.
bats_require_minimum_version 1.5.0
load helpers

setup_file() {
    need_root
    new_place
    export DATA NS PIDS
    mkdir "$DATA/peer"
    nsenter --net="/run/netns/$NS" python3 "$BATS_TEST_DIRNAME/registry-peer.py" "$DATA/peer" >"$DATA/log/peer.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 30 test -s "$DATA/peer/port"
}
teardown_file() { stop_all; }

setup() {
    need_root
    PEER="127.0.0.1:$(cat "$DATA/peer/port")"
    OTHER=$(cat "$DATA/peer/other")
    IMAGES="$BATS_TEST_TMPDIR"
    STORE="$IMAGES/images"
    : >"$DATA/peer/log"
    # Nobody's own files.
    export HOME="$BATS_TEST_TMPDIR"
    unset DOCKER_CONFIG XDG_RUNTIME_DIR XDG_CONFIG_HOME REGISTRY_AUTH_FILE
}

image() { # VERB ARGS…
    inside timeout "$(patience 60)" "$BIN/knarr-image" "$1" --data-dir "$IMAGES" --registries "$IMAGES/registries.yaml" "${@:2}"
}
pull() { # ARGS…
    [ -e "$IMAGES/registries.yaml" ] || : >"$IMAGES/registries.yaml"
    image pull --quiet "$@"
}
asked() { grep -cE "$1" "$DATA/peer/log" || true; } # how many requests were like this
nothing_counts() { # what a failed pull may leave: blobs that nobody refers to, and parts
    [ ! -s "$STORE/index.json" ] || [ "$(jq '.manifests | length' "$STORE/index.json")" = 0 ]
    local left
    left=$("$BIN/knarr-image" list --data-dir "$IMAGES" | wc -l)
    [ "$left" = 1 ]
    "$BIN/knarr-image" gc --data-dir "$IMAGES"
    [ -z "$(ls "$STORE/tmp" "$STORE/blobs/sha256" "$STORE/layers" | grep -v :)" ]
}
fails_with() { # TEXT ARGS…: a pull that fails, says so and leaves nothing
    local text=$1
    shift
    run pull "$@"
    [ "$status" -eq 1 ]
    [[ "$output" == *"$text"* ]] || { echo "expected: $text"; echo "$output"; return 1; }
    nothing_counts
}
has_image() { # NAME [TEXT of its file hello]
    local layer
    "$BIN/knarr-image" inspect --data-dir "$IMAGES" "$1" >"$IMAGES/inspect.json"
    layer=$(jq -r '.[0].RootFS.diff_ids[0]' "$IMAGES/inspect.json")
    [ "$(cat "$STORE/layers/${layer#sha256:}/hello")" = "${2:-hello of plain}" ]
}

# ---- pulls ----

@test "an image is pulled once: manifest, then each blob, and the second time only the manifest" {
    pull "$PEER/plain/app:1"
    has_image "$PEER/plain/app:1"
    [ "$(asked 'GET /v2/plain/app/manifests/1 ')" = 1 ]
    [ "$(asked 'GET /v2/plain/app/blobs/')" = 3 ]
    pull "$PEER/plain/app:1"
    [ "$(asked 'GET /v2/plain/app/manifests/1 ')" = 2 ]
    [ "$(asked 'GET /v2/plain/app/blobs/')" = 3 ]
}

@test "layers of zstd are unpacked" {
    pull "$PEER/zstd/app:1"
    has_image "$PEER/zstd/app:1" hello
}

@test "of an index this machine's image is taken, or that of --platform" {
    pull "$PEER/index/app:1"
    has_image "$PEER/index/app:1" "hello of index"
    pull --platform linux/arm64 "$PEER/index/app:arm"
    has_image "$PEER/index/app:arm" "hello of arm"
    run pull --platform linux/s390x "$PEER/index/app:none"
    [ "$status" -eq 1 ]
    [[ "$output" == *"no image for linux/s390x in the index"* ]]
    run pull --platform linux "$PEER/index/app:none"
    [[ "$output" == *"expected OS/ARCHITECTURE[/VARIANT]"* ]]
}

@test "by digest the image is that digest's, also where it is an index" {
    index=$(inside curl -sI "http://$PEER/v2/index/app/manifests/1" | tr -d '\r' | sed -n 's/^Docker-Content-Digest: //p')
    pull "$PEER/index/app@$index"
    has_image "$PEER/index/app@$index" "hello of index"
    "$BIN/knarr-image" gc --data-dir "$IMAGES"
    has_image "$PEER/index/app@$index" "hello of index"
    fails=sha256:$(printf x | sha256sum | cut -d' ' -f1)
    run pull "$PEER/plain/app@$fails"
    [ "$status" -eq 1 ]
    [[ "$output" == *"the manifest that came has digest"* ]]
}

@test "two pulls at once into one store download each blob once" {
    : >"$IMAGES/registries.yaml"
    rm -f "$DATA/peer/open-gate"
    image pull --quiet "$PEER/gate/app:1" 3>&- &
    first=$!
    wait_for 20 grep -q gate/app/blobs "$DATA/peer/log"
    image pull --quiet "$PEER/gate/app:2" 3>&- &
    second=$!
    wait_for 20 grep -q gate/app/manifests/2 "$DATA/peer/log"
    touch "$DATA/peer/open-gate"
    wait "$first"
    wait "$second"
    has_image "$PEER/gate/app:1" "hello of gate"
    has_image "$PEER/gate/app:2" "hello of gate"
    [ "$(asked 'GET /v2/gate/app/blobs/')" = 3 ]
}

# ---- registries that misbehave ----

@test "a broken connection is carried on with behind its last byte" {
    pull "$PEER/broken/app:1"
    has_image "$PEER/broken/app:1" "hello of broken"
    [ "$(asked 'bytes=700000-')" = 1 ]
    [ "$(asked 'bytes=2800000-')" = 1 ]
}

@test "a registry without ranges, or with wrong ones, is begun with anew" {
    pull "$PEER/norange/app:1"
    has_image "$PEER/norange/app:1" "hello of norange"
    pull "$PEER/badrange/app:1"
    has_image "$PEER/badrange/app:1" "hello of badrange"
}

@test "a connection that has fallen silent is broken" {
    pull --stall-timeout 2 "$PEER/stall/app:1"
    has_image "$PEER/stall/app:1" "hello of stall"
    [ "$(asked 'bytes=500000-')" = 1 ]
    rm -rf "$STORE"
    fails_with "not a byte for 1 s" --stall-timeout 1 "$PEER/silent/app:1"
}

@test "what a registry says commands no terminal and forges no line" {
    fails_with 'says it is '"'"'\x1b]0;owned\x07 knarr image' "$PEER/terminal/app:1"
    [[ "$output" != *$'\e'* && "${#lines[@]}" = 1 ]]
}

@test "a byte now and then is no progress" {
    fails_with "bytes in 1 s are too slow" --stall-timeout 1 "$PEER/drip/app:1"
}

@test "429 is waited for, 500 and 502 are tried again, 9999 seconds are not waited" {
    pull "$PEER/busy/app:1"
    has_image "$PEER/busy/app:1" "hello of busy"
    pull "$PEER/fail/app:1"
    has_image "$PEER/fail/app:1" "hello of fail"
}

@test "what fails is said, and leaves nothing" {
    fails_with "asks to be left alone for 9999 s" "$PEER/forever/app:1"
    fails_with "is no JSON" "$PEER/garbage/app:1"
    fails_with "is no JSON (content type 'text/html')" "$PEER/html/app:1"
    fails_with "schema 1" "$PEER/schema1/app:1"
    fails_with "have digest sha256:" "$PEER/wrong/app:1"
    fails_with "the body ended after" "$PEER/short/app:1"
    fails_with "more comes than the" "$PEER/long/app:1"
    fails_with "it says the digest is" "$PEER/liar/app:1"
    fails_with "the answer is larger than 4194304 bytes" "$PEER/huge/app:1"
    fails_with "URLs of its manifest, which are not fetched" "$PEER/urls/app:1"
    fails_with "'../../escaped' leads out of the layer" "$PEER/escape/app:1"
    fails_with "more than 10 redirects" "$PEER/loop/app:1"
    fails_with "403 Forbidden: DENIED: denied" "$PEER/refused/app:1"
    fails_with "404 Not Found: NAME_UNKNOWN" "$PEER/nothing/app:1"
    fails_with "refused" "127.0.0.1:1/app:1"
    [ ! -e "$STORE/../escaped" ]
}

@test "a pull that is killed anywhere leaves nothing that counts, and the next one carries on" {
    : >"$IMAGES/registries.yaml"
    nsenter --net="/run/netns/$NS" "$BIN/knarr-image" pull --quiet --data-dir "$IMAGES" \
        --registries "$IMAGES/registries.yaml" "$PEER/broken/app:1" 3>&- &
    wait_for 20 grep -q 'bytes=700000-' "$DATA/peer/log"
    kill -9 "$!"
    wait "$!" || true
    [ "$("$BIN/knarr-image" list --data-dir "$IMAGES" | wc -l)" = 1 ]
    : >"$DATA/peer/log"
    pull "$PEER/broken/app:1"
    has_image "$PEER/broken/app:1" "hello of broken"
    [ "$(asked 'app/blobs/.* - -$')" -lt 3 ] # not all from the first byte
    # At each of the calls that change the store.
    for call in flock fsync rename renameat syncfs; do
        for nth in 1 3; do
            rm -rf "$STORE"
            inside strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$nth \
                "$BIN/knarr-image" pull --quiet --data-dir "$IMAGES" --registries "$IMAGES/registries.yaml" "$PEER/plain/app:1" || true
            pull "$PEER/plain/app:1"
            has_image "$PEER/plain/app:1"
        done
    done
}

@test "what an earlier process has left and is damaged is downloaded again" {
    : >"$IMAGES/registries.yaml"
    blob=$(inside curl -s "http://$PEER/v2/plain/app/manifests/1" | jq -r '.layers[1].digest')
    mkdir -p "$STORE/tmp"
    head -c 100000 /dev/zero >"$STORE/tmp/part-${blob#sha256:}"
    pull "$PEER/plain/app:1"
    has_image "$PEER/plain/app:1"
    [ "$(asked "blobs/$blob bytes=100000-")" = 1 ]
    [ "$(asked "blobs/$blob -")" = 1 ]
}

spoil_blob() { # HOW FILE
    case $1 in
    empty) truncate -s 0 "$2" ;;
    short) truncate -s 20 "$2" ;;
    changed) printf 'xyz' | dd of="$2" bs=1 seek=11 conv=notrunc status=none ;;
    esac
}

@test "blobs that a power cut has left empty, cut off or changed are downloaded again" {
    : >"$IMAGES/registries.yaml"
    pull "$PEER/plain/app:1"
    local manifest config layer blob what
    manifest=$(inside curl -s "http://$PEER/v2/plain/app/manifests/1")
    config=$(jq -r .config.digest <<<"$manifest")
    layer=$(jq -r '.layers[0].digest' <<<"$manifest")
    for blob in "$config" "$layer"; do
        for what in empty short changed; do
            spoil_blob "$what" "$STORE/blobs/sha256/${blob#sha256:}"
            pull "$PEER/plain/app:1"
            [ "$(sha256sum <"$STORE/blobs/sha256/${blob#sha256:}" | cut -d' ' -f1)" = "${blob#sha256:}" ]
            has_image "$PEER/plain/app:1"
        done
    done
}

# ---- who is told what ----

@test "passwords: --creds, an authfile, config.json, a credential helper" {
    fails_with "wants a user and a password, and none are known for it" "$PEER/basic/app:1"
    fails_with "401 Unauthorized" --creds user:wrong "$PEER/basic/app:1"
    pull --creds user:secret "$PEER/basic/app:1"
    auth=$(printf user:secret | base64)
    printf '{"auths":{"%s":{"auth":"%s"}}}' "$PEER" "$auth" >"$IMAGES/auth.json"
    pull --authfile "$IMAGES/auth.json" "$PEER/basic/app:2"
    mkdir -p "$HOME/.docker" "$IMAGES/bin"
    printf '{"auths":{"http://127.*.*.*:%s/basic":{"username":"user","password":"secret"}}}' "${PEER#*:}" >"$HOME/.docker/config.json"
    pull "$PEER/basic/app:3"
    printf '{"auths":{"%s":{"auth":1}}}' "$PEER" >"$HOME/.docker/config.json"
    run pull "$PEER/basic/app:3"
    [[ "$output" == *'.docker/config.json: auths["'*'"].auth: expected a string'* ]]
    printf '{"credHelpers":{"%s":"test"}}' "$PEER" >"$HOME/.docker/config.json"
    printf '#!/bin/sh\ncat >"%s/asked"\necho "{\\"Username\\":\\"user\\",\\"Secret\\":\\"secret\\"}"\n' "$IMAGES" >"$IMAGES/bin/docker-credential-test"
    chmod +x "$IMAGES/bin/docker-credential-test"
    PATH="$IMAGES/bin:$PATH" pull "$PEER/basic/app:4"
    [ "$(cat "$IMAGES/asked")" = "$PEER" ]
    run pull --creds nocolon "$PEER/basic/app:1"
    [[ "$output" == *"--creds: expected USER:PASSWORD"* ]]
}

@test "tokens: with a password, and with an identity token" {
    pull --creds user:secret "$PEER/token/app:1"
    [ "$(asked 'GET /token')" = 1 ] # one for all blobs
    printf '{"auths":{"%s":{"identitytoken":"an-identity-token"}}}' "$PEER" >"$IMAGES/auth.json"
    pull --authfile "$IMAGES/auth.json" "$PEER/token/app:2"
    [ "$(asked 'POST /token')" = 1 ]
    printf '{"auths":{"%s":{"registrytoken":"tok:repository:token/app:pull"}}}' "$PEER" >"$IMAGES/auth.json"
    rm -rf "$STORE"
    pull --authfile "$IMAGES/auth.json" "$PEER/token/app:3"
    [ "$(asked '/token\?')" = 1 ]
    fails_with "401 Unauthorized" --creds user:wrong "$PEER/token/app:4" || true
}

@test "a redirect to another host gets no Authorization" {
    pull --creds user:secret "$PEER/redirect/app:1"
    has_image "$PEER/redirect/app:1" "hello of redirect"
    [ "$(asked "^$OTHER GET /store/")" = 1 ]
    [ "$(asked "^$OTHER GET /store/.* -$")" = 1 ]
    [ "$(asked 'app/blobs/.*Bearer')" = 3 ]
}

@test "a token service elsewhere gets no password" {
    fails_with "names a token service elsewhere" --creds user:secret "$PEER/elsewhere/app:1"
    [ "$(asked "^$OTHER ")" = 0 ]
}

# ---- registries.yaml ----

@test "mirrors are asked in order, with rewritten paths and without the registry's credentials" {
    cat >"$IMAGES/registries.yaml" <<EOF
mirrors:
  example.com:
    endpoint: ["http://127.0.0.1:1", "http://$PEER"]
    rewrite: {"^library/(.*)": "mirrored/\$1"}
EOF
    pull --creds user:secret example.com/library/app:1
    has_image example.com/library/app:1
    [ "$(asked "GET /v2/mirrored/app/manifests/1 - -$")" = 1 ]
    [ "$(asked Basic)" = 0 ]
    # A mirror that has it damaged: the next one.
    cat >"$IMAGES/registries.yaml" <<EOF
mirrors:
  example.com:
    endpoint: ["http://$PEER/v2/garbage", "http://$PEER/v2/plain"]
EOF
    rm -rf "$STORE"
    pull example.com/app:1
    has_image example.com/app:1
    printf 'mirrors:\n  a:\n    endpint: []\n' >"$IMAGES/registries.yaml"
    run pull example.com/app:1
    [ "$status" -eq 1 ]
    [[ "$output" == *"registries.yaml:3: mirrors.a: field endpint not found"* ]]
}

@test "credentials of registries.yaml" {
    printf 'configs:\n  "%s": {auth: {username: user, password: secret}}\n' "$PEER" >"$IMAGES/registries.yaml"
    pull "$PEER/basic/app:1"
    has_image "$PEER/basic/app:1" "hello of basic"
}

# ---- signatures ----

sign() { # KEY DIGEST NAME: a signature of the image, as cosign makes it
    local payload
    payload=$(printf '{"critical":{"identity":{"docker-reference":"%s"},"image":{"docker-manifest-digest":"%s"},"type":"cosign container image signature"},"optional":null}' "$3" "$2")
    printf '%s\n%s\n' "$payload" "$(printf %s "$payload" | openssl dgst -sha256 -sign "$1" | base64 -w 0)" >"$DATA/peer/sha256-${2#sha256:}.sig"
}

@test "policy.json: what is rejected, not signed, or signed by somebody else leaves nothing" {
    for who in ours other; do
        openssl ecparam -name prime256v1 -genkey -noout -out "$IMAGES/$who.key"
        openssl ec -in "$IMAGES/$who.key" -pubout -out "$IMAGES/$who.pub" 2>/dev/null
    done
    cat >"$IMAGES/policy.json" <<EOF
{"default": [{"type": "reject"}],
 "transports": {"docker": {
   "$PEER/zstd": [{"type": "insecureAcceptAnything"}],
   "$PEER": [{"type": "sigstoreSigned", "keyPath": "$IMAGES/ours.pub", "signedIdentity": {"type": "matchRepository"}}]}}}
EOF
    digest() { inside curl -sI "http://$PEER/v2/$1/app/manifests/1" | tr -d '\r' | sed -n 's/^Docker-Content-Digest: //p'; }
    plain=$(digest plain)
    index=$(digest index)
    fails_with "the policy rejects images of this name" --policy "$IMAGES/policy.json" "localhost:1/app:1"
    fails_with "policy: $plain has no signature" --policy "$IMAGES/policy.json" "$PEER/plain/app:1"
    sign "$IMAGES/other.key" "$plain" "$PEER/plain/app"
    fails_with "the signature is not by the policy's key" --policy "$IMAGES/policy.json" "$PEER/plain/app:1"
    sign "$IMAGES/ours.key" "$plain" "$PEER/other/app"
    fails_with "the signature is of the name '$PEER/other/app'" --policy "$IMAGES/policy.json" "$PEER/plain/app:1"
    sign "$IMAGES/ours.key" "$index" "$PEER/plain/app"
    mv "$DATA/peer/sha256-${index#sha256:}.sig" "$DATA/peer/sha256-${plain#sha256:}.sig"
    fails_with "the signature is of manifest '$index'" --policy "$IMAGES/policy.json" "$PEER/plain/app:1"
    [ "$(asked 'plain/app/blobs/.*')" -le 3 ] # payloads alone
    sign "$IMAGES/ours.key" "$plain" "$PEER/plain/app"
    pull --policy "$IMAGES/policy.json" "$PEER/plain/app:1"
    has_image "$PEER/plain/app:1"
    sign "$IMAGES/ours.key" "$index" "$PEER/index/app"
    pull --policy "$IMAGES/policy.json" "$PEER/index/app:1" "$PEER/zstd/app:1"
    has_image "$PEER/index/app:1" "hello of index"
    # What cannot be read is not passed over.
    sed -i 's/reject/rejct/' "$IMAGES/policy.json"
    run pull --policy "$IMAGES/policy.json" "$PEER/zstd/app:1"
    [ "$status" -eq 1 ]
    [[ "$output" == *"policy.json:1: default[0].type: 'rejct': expected insecureAcceptAnything, reject or sigstoreSigned"* ]]
    sed -i 's/rejct/reject/; s/ours.pub/none.pub/' "$IMAGES/policy.json"
    run pull --policy "$IMAGES/policy.json" "$PEER/zstd/app:1"
    [ "$status" -eq 1 ]
    [[ "$output" == *"keyPath: read '$IMAGES/none.pub': No such file"* ]]
    run pull --policy "$IMAGES/nothing.json" "$PEER/zstd/app:1"
    [ "$status" -eq 1 ]
    rm -f "$DATA"/peer/*.sig
}

# ---- Debian's registry ----

start_registry() { # NAME PORT [LINES of http, of the rest]
    command -v docker-registry >/dev/null || skip "docker-registry is not installed"
    cat >"$BATS_TEST_TMPDIR/$1.yml" <<EOF
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $BATS_TEST_TMPDIR/$1}}
http: {addr: "127.0.0.1:$2"${3:-}}
${4:-}
EOF
    nsenter --net="/run/netns/$NS" docker-registry serve "$BATS_TEST_TMPDIR/$1.yml" >"$DATA/log/$1.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -ks -o /dev/null "${5:-http}://127.0.0.1:$2/v2/"
}

@test "docker-registry: an image is pushed, blobs that are there are not sent again, and pulled" {
    start_registry clear 5001
    : >"$IMAGES/registries.yaml"
    make_image "$IMAGES/demo.tar" demo:1
    "$BIN/knarr-image" import "$IMAGES/demo.tar" --data-dir "$IMAGES"
    image push --quiet demo:1 127.0.0.1:5001/team/demo:1
    run image push demo:1 127.0.0.1:5001/team/demo:2
    [ "$status" -eq 0 ]
    [ "$(grep -c Exists <<<"$output")" -ge 2 ]
    ! grep -q Uploading <<<"$output" || return 1
    IMAGES="$IMAGES/other"
    mkdir "$IMAGES"
    pull 127.0.0.1:5001/team/demo:2
    "$BIN/knarr-image" inspect --data-dir "$IMAGES" 127.0.0.1:5001/team/demo:2 | jq -e '.[0].Os == "linux"'
    command -v skopeo >/dev/null || skip "skopeo is not installed"
    inside skopeo copy -q --src-tls-verify=false docker://127.0.0.1:5001/team/demo:1 "dir:$IMAGES/dir"
    # What skopeo has made of it: Docker's schema 2.
    inside skopeo copy -q --format v2s2 --src-tls-verify=false --dest-tls-verify=false \
        docker://127.0.0.1:5001/team/demo:1 docker://127.0.0.1:5001/team/demo:docker
    pull 127.0.0.1:5001/team/demo:docker
    "$BIN/knarr-image" inspect --data-dir "$IMAGES" 127.0.0.1:5001/team/demo:docker |
        jq -e '.[0].ManifestType == "application/vnd.docker.distribution.manifest.v2+json"'
}

@test "docker-registry over TLS with passwords: certificates are checked, push and pull" {
    command -v htpasswd >/dev/null || skip "htpasswd is not installed"
    htpasswd -Bbn user secret >"$BATS_TEST_TMPDIR/htpasswd"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$BATS_TEST_TMPDIR/key.pem" -out "$BATS_TEST_TMPDIR/cert.pem" 2>/dev/null
    start_registry tls 5002 ", tls: {certificate: $BATS_TEST_TMPDIR/cert.pem, key: $BATS_TEST_TMPDIR/key.pem}" \
        "auth: {htpasswd: {realm: r, path: $BATS_TEST_TMPDIR/htpasswd}}" https
    : >"$IMAGES/registries.yaml"
    make_image "$IMAGES/demo.tar" demo:1
    "$BIN/knarr-image" import "$IMAGES/demo.tar" --data-dir "$IMAGES"
    run image push --quiet --creds user:secret demo:1 127.0.0.1:5002/demo:1
    [ "$status" -eq 1 ]
    [[ "$output" == *certificate* ]]
    image push --quiet --tls-verify=false --creds user:secret demo:1 127.0.0.1:5002/demo:1
    cat >"$IMAGES/registries.yaml" <<EOF
configs:
  "127.0.0.1:5002":
    tls: {ca_file: $BATS_TEST_TMPDIR/cert.pem}
EOF
    "$BIN/knarr-image" rm demo:1 --data-dir "$IMAGES"
    pull --creds user:secret 127.0.0.1:5002/demo:1
    run pull --creds user:wrong 127.0.0.1:5002/demo:1
    [ "$status" -eq 1 ]
    [[ "$output" == *"401 Unauthorized"* ]]
}

# ---- files ----

@test "what is exported is what others read, and is imported again" {
    pull "$PEER/plain/app:1"
    "$BIN/knarr-image" export --data-dir "$IMAGES" "$PEER/plain/app:1" "docker-archive:$IMAGES/d.tar"
    "$BIN/knarr-image" export --data-dir "$IMAGES" "$PEER/plain/app:1" "oci-archive:$IMAGES/o.tar"
    "$BIN/knarr-image" export --data-dir "$IMAGES" "$PEER/plain/app:1" "oci:$IMAGES/layout"
    "$BIN/knarr-image" export --data-dir "$IMAGES" "$PEER/plain/app:1" "oci:$IMAGES/layout"
    [ "$(jq '.manifests | length' "$IMAGES/layout/index.json")" = 1 ]
    for source in "docker-archive:$IMAGES/d.tar" "oci-archive:$IMAGES/o.tar" "oci:$IMAGES/layout"; do
        mkdir -p "$IMAGES/again"
        "$BIN/knarr-image" import --data-dir "$IMAGES/again" "$source"
        rm -rf "$IMAGES/again"
        ! command -v skopeo >/dev/null || skopeo inspect --raw "$source" | grep -q layers || return 1
    done
    run "$BIN/knarr-image" export --data-dir "$IMAGES" "$PEER/plain/app:1" "$IMAGES/x.tar"
    [ "$status" -eq 1 ]
    [[ "$output" == *"expected docker-archive:FILE, oci-archive:FILE or oci:DIR"* ]]
    [ -z "$(ls "$IMAGES"/*.tmp* 2>/dev/null)" ]
}

@test "flags that a verb does not take are refused" {
    run "$BIN/knarr-image" list --creds a:b --data-dir "$IMAGES"
    [ "$status" -eq 2 ]
    [[ "$output" == *"for pull and push only"* ]]
    run "$BIN/knarr-image" pull --name x y --data-dir "$IMAGES"
    [ "$status" -eq 2 ]
    run "$BIN/knarr-image" fetch x --data-dir "$IMAGES"
    [[ "$output" == *"expected pull, push, list, inspect, rm, gc, import or export"* ]]
}

@test "on a terminal there is a bar per blob, in a log a line for each that has happened" {
    : >"$IMAGES/registries.yaml"
    run image pull "$PEER/broken/app:1"
    [ "$status" -eq 0 ]
    [ "$(grep -c ': Done' <<<"$output")" = 3 ]
    [ "$(grep -c ': Retrying' <<<"$output")" = 4 ]
    rm -rf "$STORE"
    inside script -qec "stty rows 20 cols 100; $BIN/knarr-image pull --data-dir $IMAGES --registries $IMAGES/registries.yaml $PEER/broken/app:1" /dev/null >"$IMAGES/screen" </dev/null
    grep -q 'Downloading *\[=*>* *\] .*/3.0MB' "$IMAGES/screen"
    grep -q 'Done *3.0MB' "$IMAGES/screen"
}

@test "what umoci and skopeo have made is pulled and unpacked as they do" {
    command -v umoci >/dev/null || skip "umoci is not installed"
    start_registry umoci 5003
    : >"$IMAGES/registries.yaml"
    umoci init --layout "$IMAGES/layout"
    umoci new --image "$IMAGES/layout:1"
    mkdir -p "$IMAGES/tree/etc"
    echo first >"$IMAGES/tree/etc/one"
    umoci insert --image "$IMAGES/layout:1" "$IMAGES/tree/etc" /etc
    umoci insert --image "$IMAGES/layout:1" --whiteout /etc/one
    umoci config --image "$IMAGES/layout:1" --config.cmd /bin/x
    skopeo --version >/dev/null || skip "skopeo is not installed"
    inside skopeo copy -q --dest-tls-verify=false "oci:$IMAGES/layout:1" docker://127.0.0.1:5003/made:1
    inside skopeo copy -q --dest-tls-verify=false --dest-compress-format zstd --format oci "oci:$IMAGES/layout:1" docker://127.0.0.1:5003/made:zstd
    pull 127.0.0.1:5003/made:1 127.0.0.1:5003/made:zstd
    "$BIN/knarr-image" inspect --data-dir "$IMAGES" 127.0.0.1:5003/made:1 | jq -e '.[0].Config.Cmd == ["/bin/x"]'
    [ "$(find "$STORE/layers" -name one -type f -exec cat {} +)" = first ]
    [ "$(find "$STORE/layers" -name one -type c | wc -l)" = 1 ]
}
