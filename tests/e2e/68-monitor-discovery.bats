#!/usr/bin/env bats
# Discovery that fails: what the log, the metrics and the targets' page say, and that all is well again afterwards.

load helpers

setup() {
    need_root
    new_place
    URL=http://127.0.0.1:9090
    mkdir "$DATA/sd"
    cat >"$DATA/monitor.yml" <<Y
global: {scrape_interval: 1s}
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]}]}
scrape_configs:
- job_name: files
  file_sd_configs: [{files: ['$DATA/sd/*.json']}]
- job_name: web
  static_configs: [{targets: ['127.0.0.1:1']}]
  http_sd_configs: [{url: 'http://127.0.0.1:9090/nothing', refresh_interval: 300ms}]
- job_name: names
  dns_sd_configs: [{names: [a.invalid], type: A, port: 1, refresh_interval: 300ms}]
- job_name: cluster
  kubernetes_sd_configs: [{role: pod, api_server: 'http://127.0.0.1:9'}]
- job_name: outside
  kubernetes_sd_configs: [{role: node}]
- job_name: empty
  static_configs: [{targets: ['127.0.0.1:1', x]}]
  relabel_configs: [{source_labels: [__address__], regex: x, target_label: __address__, replacement: ''}]
Y
}

teardown() { stop_all; }

start_monitor() { # FLAGS…
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml" "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}
metric() { inside curl -sf "$URL/metrics" | awk -v name="$1" '{ v = $NF; sub(/ [^ ]*$/, "") } $0 == name { print v }'; }
grows() { [ "$(metric "$1" | cut -d. -f1)" -gt 0 ]; }
why() { inside curl -sf "$URL/api/v1/targets" | jq -r --arg pool "$1" '.data.discoveryErrors[] | select(.scrapePool == $pool) | "\(.discovery): \(.error)"'; }

@test "what discovery fails at is logged, counted and shown beside its job" {
    echo '[{"targets": [' >"$DATA/sd/bad.json"
    echo '[{"targets": ["127.0.0.1:1"]}]' >"$DATA/sd/good.json"
    start_monitor
    for name in prometheus_sd_file_read_errors_total prometheus_sd_http_failures_total \
        'prometheus_sd_refresh_failures_total{mechanism="http"}' prometheus_sd_kubernetes_failures_total \
        prometheus_sd_dns_lookups_total prometheus_sd_dns_lookup_failures_total \
        'prometheus_sd_refresh_duration_seconds_count{mechanism="http"}' 'prometheus_sd_refresh_duration_seconds_count{mechanism="dns"}' \
        'prometheus_target_sync_failed_total{scrape_job="empty"}'; do
        wait_for 60 grows "$name" || { echo "$name: $(metric "$name")" && false; }
    done
    [ "$(metric 'prometheus_sd_failed_configs{name="scrape"}')" = 1 ]
    [ "$(metric 'prometheus_sd_discovered_targets{name="notify",config="config-0"}')" = 2 ]
    [ "$(metric 'prometheus_sd_discovered_targets{name="scrape",config="files"}')" = 1 ]
    [ "$(metric "prometheus_sd_file_mtime_seconds{filename=\"$DATA/sd/good.json\"}" | awk '{ printf "%d", $1 }')" = "$(stat -c %Y "$DATA/sd/good.json")" ]
    [ -z "$(metric "prometheus_sd_file_mtime_seconds{filename=\"$DATA/sd/bad.json\"}")" ]

    log="$DATA/log/monitor.log"
    grep -q "Error reading file component=\"discovery manager scrape\" discovery=file config=\"files\" path=\"$DATA/sd/bad.json\" err=" "$log"
    grep -q 'Unable to refresh target groups component="discovery manager scrape" discovery=http config="web" err="server returned HTTP status 404 Not Found"' "$log"
    grep -q 'Error refreshing DNS targets component="discovery manager scrape" discovery=dns config="names" err="could not resolve ' "$log"
    grep -q 'Failed to watch component="discovery manager scrape" discovery=kubernetes config="cluster" err="failed to list or watch pods: ' "$log"
    grep -q 'Cannot create service discovery component="discovery manager scrape" discovery=kubernetes config="outside" err=' "$log"
    grep -q 'Creating target failed component="scrape manager" scrape_pool="empty" err="instance 1 in group 0: no address"' "$log"
    # The same failure again and again is not a line each time.
    [ "$(grep -c 'Unable to refresh target groups' "$log")" -le 3 ]

    [[ "$(why files)" == "file/0: $DATA/sd/bad.json: "* ]]
    [ "$(why web)" = "http/0: server returned HTTP status 404 Not Found" ]
    [[ "$(why names)" == "dns/0: could not resolve \"a.invalid\": "* ]]
    [[ "$(why cluster)" == "kubernetes/0: "* ]]
    [[ "$(why outside)" == "kubernetes/0: "* ]]
    [ -z "$(why empty)" ]

    # Mended, it is shown no more.
    echo '[{"targets": ["127.0.0.1:3", "127.0.0.1:4"]}]' >"$DATA/sd/bad.json"
    mended() { [ -z "$(why files)" ] && [ "$(metric 'prometheus_sd_discovered_targets{name="scrape",config="files"}')" = 3 ]; }
    wait_for 20 mended
    grows prometheus_sd_received_updates_total{name=\"scrape\"}
}
