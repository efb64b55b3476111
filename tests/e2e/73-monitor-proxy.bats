#!/usr/bin/env bats
# Scrapes through a proxy: Debian's tinyproxy, which wants a password, in a network namespace of its own.

load helpers

setup() {
    need_root
    command -v tinyproxy >/dev/null || skip "needs Debian's tinyproxy"
    new_place
    URL=http://127.0.0.1:9090
    inside ip addr add 10.9.9.9/32 dev lo # not one of those that no proxy is asked for
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=target \
        -addext 'subjectAltName=IP:10.9.9.9' -keyout "$DATA/key.pem" -out "$DATA/cert.pem" 2>/dev/null
    printf 'tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n' >"$DATA/web.yml"
    printf 'global: {}\n' >"$DATA/target.yml"
    start target 9443 target.yml --web.config.file="$DATA/web.yml"
    start plain 9080 target.yml
    cat >"$DATA/tinyproxy.conf" <<C
Port 8888
Listen 127.0.0.1
Timeout 60
MaxClients 50
LogLevel Connect
LogFile "$DATA/log/tinyproxy.log"
BasicAuth carrier s3cret
ConnectPort 9443
C
    nsenter --net="/run/netns/$NS" tinyproxy -d -c "$DATA/tinyproxy.conf" >"$DATA/log/tinyproxy.out" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 10 inside curl -s -o /dev/null http://127.0.0.1:8888/
    TLS="scheme: https, tls_config: {ca_file: cert.pem}, static_configs: [{targets: ['10.9.9.9:9443']}]"
    PLAIN="static_configs: [{targets: ['10.9.9.9:9080']}]"
}

teardown() { stop_all; }

start() { # NAME PORT CONFIG FLAGS…
    local name=$1 port=$2 config=$3
    shift 3
    nsenter --net="/run/netns/$NS" "$BIN/knarr-monitor" --storage.tsdb.path="$DATA/$name" --web.listen-address=":$port" \
        --config.file="$DATA/$config" "$@" >>"$DATA/log/$name.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 listens "$port"
}
listens() { inside ss -tln | grep -q ":$1 "; }

jobs_of() { # LINES: jobs
    printf 'global: {scrape_interval: 200ms}\nscrape_configs:\n%s\n' "$1" >"$DATA/monitor.yml"
}
health() { inside curl -sf "$URL/api/v1/targets" | jq -r --arg job "$1" '.data.activeTargets[] | select(.labels.job == $job) | .health'; }
is() { [ "$(health "$1")" = "$2" ]; }
last_error() { inside curl -sf "$URL/api/v1/targets" | jq -r --arg job "$1" '.data.activeTargets[] | select(.labels.job == $job) | .lastError'; }
seen() { grep -c "$1" "$DATA/log/tinyproxy.log" || true; }

@test "https goes through a tunnel, http by its whole URL; both say the password" {
    jobs_of "- {job_name: tls, $TLS, proxy_url: 'http://carrier:s3cret@127.0.0.1:8888'}
- {job_name: plain, $PLAIN, proxy_url: 'http://carrier:s3cret@127.0.0.1:8888'}
- {job_name: header, $TLS, proxy_url: 'http://127.0.0.1:8888', proxy_connect_header: {Proxy-Authorization: ['Basic $(printf carrier:s3cret | base64)']}}
- {job_name: stranger, $TLS, proxy_url: 'http://carrier:wrong@127.0.0.1:8888'}
- {job_name: nobody, $PLAIN, proxy_url: 'http://127.0.0.1:8888'}
- {job_name: gone, $TLS, proxy_url: 'http://127.0.0.1:8889'}
- {job_name: socks, $TLS, proxy_url: 'socks5://127.0.0.1:8889'}"
    start monitor 9090 monitor.yml
    for job in tls plain header; do wait_for 20 is $job up; done
    for job in stranger nobody gone socks; do wait_for 20 is $job down; done
    [[ $(last_error stranger) == *'proxy 127.0.0.1 port 8888: 40'* ]]
    [[ $(last_error nobody) == 'server returned HTTP status 40'* ]]
    [[ $(last_error gone) == *'connect to 127.0.0.1 port 8889'* ]]
    [[ $(last_error socks) == *'only proxies of scheme http are supported'* ]]
    [ "$(seen 'CONNECT 10.9.9.9:9443')" -gt 0 ]
    [ "$(seen 'GET http://10.9.9.9:9080/metrics')" -gt 0 ]
}

@test "no_proxy leaves hosts alone, and the environment is asked where the job says so" {
    jobs_of "- {job_name: left, $TLS, proxy_url: 'http://127.0.0.1:8889', no_proxy: '10.9.0.0/16'}
- {job_name: port, $PLAIN, proxy_url: 'http://127.0.0.1:8889', no_proxy: '10.9.9.9:80'}
- {job_name: environment, $TLS, proxy_from_environment: true}
- {job_name: direct, $PLAIN}"
    HTTPS_PROXY=carrier:s3cret@127.0.0.1:8888 start monitor 9090 monitor.yml
    for job in left environment direct; do wait_for 20 is $job up; done
    wait_for 20 is port down
    [ "$(seen 'CONNECT 10.9.9.9:9443')" -gt 0 ]
    [ "$(seen 'GET http://10.9.9.9')" = 0 ]
}
