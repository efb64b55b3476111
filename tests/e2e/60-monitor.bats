#!/usr/bin/env bats
# knarr-monitor as Prometheus' users meet it: promtool, curl and Debian's Prometheus itself, in a network namespace of
# its own. Debian's Prometheus scrapes itself and writes to the monitor; either opens the other's data directory.

load helpers

setup() {
    need_root
    command -v prometheus >/dev/null || skip "needs Debian's prometheus"
    new_place
    echo 'global: {}' >"$DATA/monitor.yml"
    URL=http://127.0.0.1:9090
}

teardown() { stop_all; }

start_monitor() { # FLAGS…
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml" "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}

# start_prometheus FOLDER FLAGS…: scrapes itself every 200 ms and writes to the monitor.
start_prometheus() {
    local dir=$1
    shift
    cat >"$DATA/prometheus.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {from: peer}}
scrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:9091']}]}]
remote_write:
  - url: $URL/api/v1/write
    queue_config: {batch_send_deadline: 200ms}
Y
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$dir" \
        --web.listen-address=127.0.0.1:9091 "$@" >>"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >"$DATA/prometheus.pid"
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9091/-/ready
}

get() { inside curl -sfg "$URL$1"; }
value() { inside curl -sf -G "${2:-$URL}/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1]'; }
# All samples of series that match, from the raw data: samples SELECTOR [URL]
samples() {
    inside curl -sf -G "${2:-$URL}/api/v1/query" --data-urlencode "query=$1[1h]" |
        jq -r '[.data.result[].values | length] | add'
}
# The answer to an instant query without the label that remote write adds.
answer() { # QUERY TIME URL
    inside curl -sf -G "$3/api/v1/query" --data-urlencode "query=$1" --data-urlencode "time=$2" |
        jq -S 'if .data.resultType == "vector" then del(.data.result[].metric.from) | .data.result |= sort else . end'
}
# No remote write is under way: between two looks at all samples nothing came.
quiet() {
    local first
    first=$(samples '{__name__=~".+"}')
    sleep 0.3
    [ "$(samples '{__name__=~".+"}')" = "$first" ]
}
at_least() { [ "$(value "$1" "${3:-$URL}")" -ge "$2" ]; }
tool() { inside promtool "$@"; }

@test "promtool and curl query what a Prometheus has written" {
    start_monitor --web.enable-remote-write-receiver
    start_prometheus "$DATA/peer"
    wait_for 30 at_least 'count_over_time(up[1h])' 5
    run tool query instant "$URL" 'up'
    [ "$status" -eq 0 ]
    [[ $output == *'up{from="peer", instance="127.0.0.1:9091", job="self"} => 1'* ]]
    run tool query range --start=$(($(date +%s) - 5)) --end="$(date +%s)" --step=1s "$URL" 'count({__name__=~".+"})'
    [ "$status" -eq 0 ]
    [ "$(tool query labels "$URL" job)" = self ]
    run tool query series --match='up' "$URL"
    [[ $output == *'__name__="up"'* ]]
    # Both give the same answer to the same question once the same samples are there.
    local now
    now=$(date +%s.%3N)
    wait_for 20 at_least 'timestamp(up) * 1000 > bool '"${now/./}" 1
    for q in 'sum by (handler) (prometheus_http_requests_total)' 'rate(process_cpu_seconds_total[2s])' \
        'histogram_quantile(0.9, prometheus_tsdb_compaction_chunk_size_bytes_bucket)' '1/3' '"text"' 'vector(0)/0'; do
        diff <(answer "$q" "$now" "$URL") <(answer "$q" "$now" http://127.0.0.1:9091)
        [ -n "$(answer "$q" "$now" "$URL")" ]
    done
    [ "$(get '/api/v1/label/__name__/values' | jq '.data | index("up") != null')" = true ]
    [ "$(get '/api/v1/labels?match[]=up' | jq -c .data)" = '["__name__","from","instance","job"]' ]
    [ "$(get '/api/v1/series?match[]=up&match[]={job="self",__name__="up"}' | jq '.data | length')" = 1 ]
    [ "$(get '/api/v1/series?match[]={job="self"}&limit=3' | jq -c '[(.data | length), .warnings]')" = \
        '[3,["results truncated due to limit"]]' ]
    [ "$(inside curl -s --compressed -d 'query=up{' "$URL/api/v1/query" | jq -r '.errorType')" = bad_data ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' "$URL/api/v1/query_range?query=up&start=1&end=0&step=1")" = 400 ]
    get /metrics | promtool check metrics >/dev/null || [ "$?" -eq 3 ]
    get /metrics | grep -q '^prometheus_tsdb_head_series [1-9]'
}

@test "what was acknowledged is there after SIGKILL" {
    start_monitor --web.enable-remote-write-receiver
    start_prometheus "$DATA/peer"
    wait_for 30 at_least 'count_over_time(up[1h])' 10
    kill_role prometheus KILL
    local before series
    wait_for 10 quiet # what was on its way when the sender was killed
    before=$(samples '{__name__=~".+"}')
    series=$(value 'count({__name__=~".+"} offset 0s)')
    kill_role monitor KILL
    start_monitor
    [ "$before" -gt 1000 ]
    [ "$(samples '{__name__=~".+"}')" = "$before" ]
    [ "$series" -gt 100 ]
}

@test "a data directory of Prometheus opens with all its samples, and ours is read by Prometheus and promtool" {
    start_monitor --web.enable-remote-write-receiver --web.enable-admin-api
    start_prometheus "$DATA/peer" --web.enable-admin-api
    wait_for 30 at_least 'count_over_time(up[1h])' 10
    wait_for 30 at_least 'count_over_time(up[1h])' 10 http://127.0.0.1:9091
    local query='{__name__=~"prometheus_.+"}' snapshot
    kill_role prometheus
    local mine
    mine=$(samples "$query")
    snapshot=$(inside curl -sf -X POST "$URL/api/v1/admin/tsdb/snapshot" | jq -r .data.name)
    tool tsdb list "$DATA/monitor/snapshots/$snapshot" | grep -q '^01\|^[0-9A-Z]\{26\}'
    tool tsdb analyze "$DATA/monitor/snapshots/$snapshot" | grep -q '^Series: [1-9]'
    kill_role monitor
    [ "$(tool tsdb dump --match='up' "$DATA/monitor" | wc -l)" -ge 10 ]
    # Ours, log and all, in Prometheus.
    sed -i '/^remote_write:/,$d; /^scrape_configs/d' "$DATA/prometheus.yml"
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/monitor" \
        --web.listen-address=127.0.0.1:9091 >>"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >"$DATA/prometheus.pid"
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9091/-/ready
    [ "$mine" -gt 1000 ]
    echo "mine $mine, as Prometheus reads it $(samples "$query" http://127.0.0.1:9091)"
    [ "$(samples "$query" http://127.0.0.1:9091)" = "$mine" ]
    # Prometheus', log and all, in ours: asked at the same moment both say the same.
    kill_role prometheus
    rm -rf "$DATA/monitor"
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/peer" \
        --web.listen-address=127.0.0.1:9091 >>"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >"$DATA/prometheus.pid"
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9091/-/ready
    local theirs
    theirs=$(samples "$query" http://127.0.0.1:9091)
    kill_role prometheus
    mv "$DATA/peer" "$DATA/monitor"
    start_monitor
    [ "$theirs" -gt 1000 ]
    [ "$(samples "$query")" = "$theirs" ]
}

@test "Prometheus reads remotely from the monitor, and federates it" {
    start_monitor --web.enable-remote-write-receiver
    start_prometheus "$DATA/peer"
    wait_for 30 at_least 'count_over_time(up[1h])' 10
    kill_role prometheus
    cat >"$DATA/prometheus.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
remote_read: [{url: $URL/api/v1/read, read_recent: true}]
scrape_configs:
  - job_name: federate
    honor_labels: true
    metrics_path: /federate
    params: {'match[]': ['prometheus_build_info']}
    static_configs: [{targets: ['127.0.0.1:9090']}]
Y
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/reader" \
        --web.listen-address=127.0.0.1:9092 >>"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9092/-/ready
    # Streamed chunks are what Prometheus asks for.
    local match='{__name__=~"prometheus_.+", __name__!="prometheus_build_info"}' mine
    mine=$(samples "$match")
    [ "$mine" -gt 1000 ]
    [ "$(samples "$match" http://127.0.0.1:9092)" = "$mine" ]
    wait_for 20 at_least 'up{job="federate"}' 1 http://127.0.0.1:9092
    get '/federate?match[]=up' | grep -q '^up{from="peer",instance="127.0.0.1:9091",job="self"} 1 [0-9]*$'
}

# write_samples VERSION SERIES…: the response, headers and all.
write_samples() {
    local type=application/x-protobuf
    [ "$1" = 1 ] || type="$type;proto=io.prometheus.write.v2.Request"
    "$E2E_DIR/remote-write.py" "$@" >"$DATA/write"
    inside curl -si --data-binary @"$DATA/write" -H "Content-Type: $type" -H 'Content-Encoding: snappy' \
        "$URL/api/v1/write" | tr -d '\r'
}

@test "remote write: what cannot be stored is named, the rest is stored" {
    start_monitor --web.enable-remote-write-receiver
    local t
    t=$(date +%s000)
    [[ $(write_samples 1 "a{x=1} 1 $t" "b 2 $t") == 'HTTP/1.1 204'* ]]
    [ "$(value a)" = 1 ]
    # 1.0: the first mistake's sentence.
    run write_samples 1 "a{x=1} 5 $((t - 1000))" "c 3 $t" "b 9 $t"
    [[ $output == 'HTTP/1.1 400'* && $output == *'out of order sample' ]]
    [ "$(value c)" = 3 ]
    [ "$(value b)" = 2 ]
    run write_samples 1 "b 9 $t"
    [[ $output == 'HTTP/1.1 400'* && $output == *'duplicate sample for timestamp'* ]]
    [[ $(write_samples 1 "b 2 $t") == 'HTTP/1.1 204'* ]] # the very same again is fine
    # 2.0: each of them, and how much was written.
    run write_samples 2 "d{y=2} 4 $t" "a{x=1} 5 $((t - 1000))" "{x=1} 1 $t"
    [[ $output == 'HTTP/1.1 400'* && $output == *'x-prometheus-remote-write-samples-written: 1'* ]]
    [[ $output == *'out of order sample for series {__name__="a", x="1"}'* ]]
    [[ $output == *'invalid metric name or labels for series {x="1"}'* ]]
    [ "$(value 'd{y="2"}')" = 4 ]
    run write_samples 2 "d{y=2} 4 $((t + 1))" "e 1 $t"
    [[ $output == 'HTTP/1.1 204'* && $output == *'x-prometheus-remote-write-samples-written: 2'* ]]
    run write_samples 1 "f 1 $((t + 3600000))"
    [[ $output == 'HTTP/1.1 400'* && $output == *'too far in the future'* ]]
    # What is no remote write at all.
    [ "$(inside curl -so /dev/null -w '%{http_code}' -d x "$URL/api/v1/write")" = 415 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -d x -H 'Content-Type: application/x-protobuf' "$URL/api/v1/write")" = 400 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -d x -H 'Content-Type: application/x-protobuf;proto=x.Y' \
        "$URL/api/v1/write")" = 415 ]
}

@test "a query ends when its client goes away, and when its time is over" {
    start_monitor --web.enable-remote-write-receiver
    local slow
    slow='quantile_over_time(0.5, quantile_over_time(0.5, vector(time())[6h:1s])[6h:1s])'
    run inside curl -s -G "$URL/api/v1/query" --data-urlencode "query=$slow" -d timeout=200ms
    [ "$(jq -r .errorType <<<"$output")" = timeout ]
    run inside curl -s -m 0.3 -G "$URL/api/v1/query" --data-urlencode "query=$slow"
    [ "$status" -eq 28 ]
    wait_for 10 no_query_runs
}
no_query_runs() { get /metrics | grep -qx 'prometheus_engine_queries 0'; }

@test "admin and lifecycle only where they are allowed" {
    start_monitor
    [ "$(inside curl -so /dev/null -w '%{http_code}' -X POST "$URL/-/reload")" = 403 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -X POST "$URL/-/quit")" = 403 ]
    [ "$(inside curl -s -X POST "$URL/api/v1/admin/tsdb/snapshot" | jq -r .error)" = 'admin APIs disabled' ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -X POST "$URL/api/v1/write")" = 404 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -X DELETE "$URL/api/v1/query")" = 405 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' "$URL/api/v1/nothing")" = 404 ]
    kill_role monitor
    start_monitor --web.enable-lifecycle --web.enable-admin-api --web.enable-remote-write-receiver
    [ "$(inside curl -so /dev/null -w '%{http_code}' "$URL/-/reload")" = 405 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -X POST "$URL/-/reload")" = 200 ]
    [ "$(get /api/v1/status/flags | jq -r '.data["web.enable-lifecycle"]')" = true ]
    start_prometheus "$DATA/peer"
    wait_for 30 at_least 'count_over_time(up[1h])' 3
    kill_role prometheus
    [ "$(inside curl -so /dev/null -w '%{http_code}' -g -X POST "$URL/api/v1/admin/tsdb/delete_series?match[]=up")" = 204 ]
    [ "$(value 'count_over_time(up[1h])')" = null ]
    [ "$(value 'count_over_time(scrape_duration_seconds[1h])')" -ge 3 ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' -X PUT "$URL/api/v1/admin/tsdb/clean_tombstones")" = 204 ]
    [ "$(inside curl -s -X POST "$URL/-/quit")" = 'Requesting termination... Goodbye!' ]
    wait_for 10 role_is_gone monitor
}

@test "a route prefix is taken from the external URL, and wrong flags are named" {
    run_role monitor --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 \
        --web.external-url=http://example.org/prom/
    wait_for 20 inside curl -sf "$URL/prom/-/ready"
    [ "$(inside curl -so /dev/null -w '%{http_code} %{redirect_url}' "$URL/")" = "302 $URL/prom" ]
    [ "$(inside curl -so /dev/null -w '%{http_code}' "$URL/api/v1/query?query=1")" = 404 ]
    [ "$(inside curl -s "$URL/prom/api/v1/query?query=1" | jq -r .status)" = success ]
    run "$BIN/knarr-monitor" --query.timeout=soon
    [ "$status" -eq 2 ]
    [[ $output == *"--query.timeout: 'soon' is no DURATION"* ]]
    run "$BIN/knarr-monitor" --storage.tsdb.retention.size=12
    [ "$status" -eq 2 ]
    run inside "$BIN/knarr-monitor" --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/other" --web.listen-address=127.0.0.1:9090
    [ "$status" -eq 1 ]
    [[ $output == *"--web.listen-address=127.0.0.1:9090"* ]]
    run inside "$BIN/knarr-monitor" --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9099
    [ "$status" -eq 1 ]
}

@test "an installed knarr finds its programs under any prefix" {
    DESTDIR="$DATA/installed" meson install -C "$KNARR_BUILD" --no-rebuild --quiet
    knarr=$(find "$DATA/installed" -path '*/bin/knarr')
    "$knarr" monitor --version
    "$knarr" promtool --help | grep -q 'check'
    rm -rf "$DATA/installed"
}
