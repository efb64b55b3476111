#!/usr/bin/env bats
# --web.config.file of knarr-monitor: curl and Debian's Prometheus over TLS with passwords and client certificates, and
# files that are replaced while it runs.

load helpers

setup() {
    need_root
    new_place
    echo 'global: {}' >"$DATA/monitor.yml"
    URL=https://127.0.0.1:9090
    # Of "fakepassword" and of "secret two".
    HASH='$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi'
    HASH2='$2b$05$QOauhQNbBCuQDKes6eFzPeduZ76P3Z6SBnq7B8UzsOzQlfnF1QrQK'
}

teardown() { stop_all; }

# certificate NAME SUBJECT [SAN]: signed by the CA, DATA/NAME.crt and .key.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$DATA/$1.key" \
        -out "$DATA/$1.csr" 2>/dev/null
    openssl x509 -req -in "$DATA/$1.csr" -CA "$DATA/ca.crt" -CAkey "$DATA/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=${3:-DNS:$2}") -out "$DATA/$1.crt" 2>/dev/null
}

make_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -keyout "$DATA/ca.key" \
        -out "$DATA/ca.crt" -days 2 2>/dev/null
    certificate server one IP:127.0.0.1
}

# start_monitor FLAGS…: with DATA/web.yml.
start_monitor() {
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 \
        --config.file="$DATA/monitor.yml" --web.config.file="$DATA/web.yml" "$@"
    wait_for 20 log_says 'listening on'
}

log_says() { grep -q -- "$1" "$DATA/log/monitor.log"; }
ask() { inside curl -s --cacert "$DATA/ca.crt" "$@"; }
code() { ask -o /dev/null -w '%{http_code}' "$@"; }
has_code() { local want=$1; shift; [ "$(code "$@")" = "$want" ]; }
subject() {
    inside openssl s_client -connect 127.0.0.1:9090 -CAfile "$DATA/ca.crt" "$@" </dev/null 2>/dev/null |
        openssl x509 -noout -subject | sed 's/.*CN *= *//'
}
subject_is() { [ "$(subject)" = "$1" ]; }

@test "passwords, headers and protocols are those of the file" {
    make_ca
    cat >"$DATA/web.yml" <<Y
tls_server_config: {cert_file: server.crt, key_file: server.key}
http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=60}}
basic_auth_users: {alice: '$HASH', bob: '$HASH2'}
Y
    start_monitor
    wait_for 10 has_code 200 -u alice:fakepassword "$URL/-/ready"
    has_code 401 "$URL/-/ready"
    has_code 401 -u alice:other "$URL/-/ready"
    has_code 401 -u bob:fakepassword "$URL/-/ready"
    has_code 401 -u nobody:fakepassword "$URL/-/ready"
    has_code 401 -u alice: "$URL/-/ready"
    has_code 401 -H 'Authorization: Bearer x' "$URL/-/ready"
    has_code 401 -H 'Authorization: Basic !!' "$URL/-/ready"
    has_code 200 -u 'bob:secret two' "$URL/api/v1/labels"
    has_code 401 "$URL/no/such/page"
    ask -D - -o /dev/null "$URL/-/ready" >"$DATA/head"
    grep -qi '^www-authenticate: basic' "$DATA/head"
    grep -qi '^x-frame-options: deny' "$DATA/head"
    ask -D - -o /dev/null -u alice:fakepassword "$URL/metrics" | grep -qi '^strict-transport-security: max-age=60'
    [ "$(ask -o /dev/null -w '%{http_version}' "$URL/-/ready")" = 2 ]
    # The hash of a user that does not exist takes as long as that of one that does.
    local known unknown
    known=$(ask -o /dev/null -w '%{time_total}' -u alice:wrong "$URL/-/ready")
    unknown=$(ask -o /dev/null -w '%{time_total}' -u who:wrong "$URL/-/ready")
    [ "$(jq -n "$unknown > $known / 2")" = true ]
    # What was right once needs no hash again.
    local again
    again=$(ask -o /dev/null -w '%{time_total}' -u alice:fakepassword "$URL/-/ready")
    [ "$(jq -n "$again < $known")" = true ]
    # Clear text is not spoken any more.
    ! inside curl -sf http://127.0.0.1:9090/-/ready || false
}

@test "Prometheus scrapes the monitor over TLS with a password" {
    command -v prometheus >/dev/null || skip "needs Debian's prometheus"
    make_ca
    printf "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {bob: '%s'}\n" "$HASH2" \
        >"$DATA/web.yml"
    start_monitor
    cat >"$DATA/prometheus.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
- job_name: good
  scheme: https
  tls_config: {ca_file: ca.crt}
  basic_auth: {username: bob, password: secret two}
  static_configs: [{targets: ['127.0.0.1:9090']}]
- job_name: bad
  scheme: https
  tls_config: {ca_file: ca.crt}
  basic_auth: {username: bob, password: secret}
  static_configs: [{targets: ['127.0.0.1:9090']}]
Y
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/peer" \
        --web.listen-address=127.0.0.1:9091 >>"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    peer() { inside curl -sf -G http://127.0.0.1:9091/api/v1/query --data-urlencode "query=$1" | jq -r '.data.result[0].value[1]'; }
    is() { [ "$(peer "$1")" = "$2" ]; }
    wait_for 20 is 'up{job="good"}' 1
    wait_for 20 is 'up{job="bad"}' 0
    inside curl -sf http://127.0.0.1:9091/api/v1/targets |
        jq -r '.data.activeTargets[] | select(.labels.job == "bad").lastError' | grep -q 401
}

@test "files that are replaced are read again, wrong ones are not put in force" {
    make_ca
    echo 'tls_server_config: {cert_file: server.crt, key_file: server.key}' >"$DATA/web.yml"
    start_monitor
    wait_for 10 subject_is one
    certificate next two IP:127.0.0.1
    mv "$DATA/next.crt" "$DATA/server.crt"
    mv "$DATA/next.key" "$DATA/server.key"
    wait_for 10 subject_is two
    # A key that does not belong to the certificate: the old pair stays, and the log says so once.
    cp "$DATA/server.key" "$DATA/good.key"
    openssl ecparam -name prime256v1 -genkey -noout -out "$DATA/server.key"
    wait_for 10 log_says 'does not belong to the certificate'
    sleep 2.5
    [ "$(grep -c 'does not belong to the certificate' "$DATA/log/monitor.log")" = 1 ]
    has_code 200 "$URL/-/ready"
    subject_is two
    mv "$DATA/good.key" "$DATA/server.key"
    printf 'tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {a: plain}\n' >"$DATA/web.yml"
    wait_for 10 log_says 'web.yml:2: .*"a" is no bcrypt hash'
    has_code 200 "$URL/-/ready"
    printf "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: {a: '%s'}\n" "$HASH2" \
        >"$DATA/web.yml"
    wait_for 10 has_code 401 "$URL/-/ready"
    has_code 200 -u 'a:secret two' "$URL/-/ready"
    echo '{}' >"$DATA/web.yml"
    wait_for 10 log_says 'by a restart only'
    has_code 401 "$URL/-/ready"
    # At the start a wrong file is an error, which names file, line and key.
    kill_role monitor
    echo 'tls_server_config: {cert_file: server.crt, min_version: TLS9}' >"$DATA/web.yml"
    run "$BIN/knarr-monitor" --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/monitor" \
        --web.listen-address=127.0.0.1:0 --web.config.file="$DATA/web.yml"
    [ "$status" -ne 0 ]
    [[ $output == *"web.yml:1: tls_server_config.min_version: unknown TLS version: TLS9"* ]]
}

@test "client certificates: each kind of client_auth_type, and their names" {
    make_ca
    certificate client client.example DNS:client.example,email:me@example.org
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=stranger -keyout "$DATA/stranger.key" \
        -out "$DATA/stranger.crt" -days 2 2>/dev/null
    local good="--cert $DATA/client.crt --key $DATA/client.key"
    local stranger="--cert $DATA/stranger.crt --key $DATA/stranger.key"
    # kind: without, with one of a stranger, with a good one
    try() {
        local kind=$1 sans=${5:-}
        echo "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, client_auth_type: $kind$sans}" \
            >"$DATA/web.yml"
        start_monitor
        wait_for 10 has_code "$4" $good "$URL/-/healthy"
        [ "$(code "$URL/-/healthy")" = "$2" ]
        [ "$(code $stranger "$URL/-/healthy")" = "$3" ]
        kill_role monitor
        : >"$DATA/log/monitor.log"
    }
    try RequestClientCert 200 200 200
    try VerifyClientCertIfGiven 200 000 200
    try RequireAnyClientCert 000 200 200
    try RequireAndVerifyClientCert 000 000 200
    try RequireAndVerifyClientCert 000 000 200 ', client_allowed_sans: [x.example, me@example.org]'
    try RequireAndVerifyClientCert 000 000 000 ', client_allowed_sans: [x.example]'
    echo 'tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: NoClientCert}' >"$DATA/web.yml"
    start_monitor
    wait_for 10 has_code 200 $stranger "$URL/-/healthy"
}

@test "versions, suites, curves, HTTP/2 and the rate can be chosen" {
    make_ca
    cat >"$DATA/web.yml" <<Y
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
  curve_preferences: [CurveP384]
http_server_config: {http2: false}
rate_limit: {burst: 5, interval: 1h}
Y
    start_monitor
    wait_for 10 has_code 200 "$URL/-/healthy"
    [ "$(ask -o /dev/null -w '%{http_version}' "$URL/-/healthy")" = 1.1 ]
    ! ask --tlsv1.3 "$URL/-/healthy" || false
    inside openssl s_client -connect 127.0.0.1:9090 </dev/null 2>&1 >"$DATA/session" || true
    grep -q 'ECDHE-ECDSA-AES256-GCM-SHA384' "$DATA/session"
    grep -q 'P-384\|secp384r1' "$DATA/session"
    for _ in 1 2 3; do has_code 200 "$URL/-/healthy"; done
    has_code 429 "$URL/-/healthy"
}
