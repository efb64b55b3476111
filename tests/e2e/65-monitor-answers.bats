#!/usr/bin/env bats
# knarr monitor beside Debian's Prometheus: the same data folder, the same queries, the same answers; and a real exporter.

load helpers

setup_file() {
    need_root
    command -v prometheus >/dev/null || skip "Debian's prometheus is not installed (tools/deps installs it)"
    new_place
    echo 'global: {}' >"$DATA/empty.yml"
    export DATA NS PIDS
}
teardown_file() { stop_all; }

background() { # NAME COMMAND…
    local name=$1
    shift
    nsenter --net="/run/netns/$NS" "$@" >>"$DATA/log/$name.log" 2>&1 3>&- &
    echo "$!" >"$DATA/$name.pid"
    echo "$!" >>"$PIDS"
}
monitor() { # NAME PORT ARGS…
    local name=$1 port=$2
    shift 2
    background "$name" "$BIN/knarr-monitor" --web.listen-address="127.0.0.1:$port" "$@"
    wait_for 30 inside curl -fsS "http://127.0.0.1:$port/-/ready"
}
query() { inside curl -fsS --data-urlencode "query=$1" "http://127.0.0.1:${2:-9090}/api/v1/query"; }

@test "the same folder gives the same answers" {
    "$KNARR_BUILD/bench/bench-tsdb" write "$DATA/ours" 300 6
    cp -r "$DATA/ours" "$DATA/theirs"
    monitor ours 9090 --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/ours" --storage.tsdb.retention.time=100y
    background theirs prometheus --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/theirs" \
        --storage.tsdb.retention.time=100y --web.listen-address=127.0.0.1:9091
    wait_for 60 inside curl -fsS http://127.0.0.1:9091/-/ready
    run inside python3 "$E2E_DIR/same_answers.py" http://127.0.0.1:9090 http://127.0.0.1:9091 1700010000 1700025000 "$E2E_DIR/queries.txt"
    echo "$output" | cut -c1-300
    [ "$status" -eq 0 ]
    kill_role ours
    kill_role theirs
}

@test "statistics of queries count the same samples" {
    "$KNARR_BUILD/bench/bench-tsdb" write "$DATA/counted" 20 6
    cp -r "$DATA/counted" "$DATA/counted-theirs"
    monitor ours 9090 --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/counted" --storage.tsdb.retention.time=100y \
        --enable-feature=promql-per-step-stats
    background theirs prometheus --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/counted-theirs" \
        --storage.tsdb.retention.time=100y --web.listen-address=127.0.0.1:9091 --enable-feature=promql-per-step-stats
    wait_for 60 inside curl -fsS http://127.0.0.1:9091/-/ready
    local metric q
    metric=$(inside curl -fsS http://127.0.0.1:9090/api/v1/label/__name__/values | jq -r '.data[0]')
    counted() { # PORT QUERY: at times between samples: windows are open on the left only since 3.0
        inside curl -fsS "http://127.0.0.1:$1/api/v1/query_range" --data-urlencode "query=$2" -d start=1700010003.5 \
            -d end=1700013603.5 -d step=70 -d stats=all |
            jq -c '.data.stats.samples | .totalQueryableSamples, .totalQueryableSamplesPerStep'
    }
    for q in "$metric" "sum(rate($metric[5m]))" "max_over_time($metric[2m]) / $metric offset 1m" \
        "$metric @ 1700011000.5" "sum(rate($metric[5m] @ 1700011000.5))" "max_over_time(rate($metric[3m])[10m:37s])"; do
        echo "$q: $(counted 9090 "$q" | cut -c1-200)"
        [ "$(counted 9090 "$q" | head -1)" -gt 0 ]
        [ "$(counted 9090 "$q")" = "$(counted 9091 "$q")" ]
    done
    # Without "all" there are none for each step.
    inside curl -fsS "http://127.0.0.1:9090/api/v1/query?query=$metric&time=1700010003.5&stats=true" |
        jq -e '.data.stats | (.samples | has("totalQueryableSamples") and (has("totalQueryableSamplesPerStep") | not)) and
            (.timings | keys) == ["evalTotalTime", "execQueueTime", "execTotalTime", "innerEvalTime", "queryPreparationTime", "resultSortTime"]'
    kill_role ours
    kill_role theirs
}

@test "three hundred generated queries over counters, gauges, gaps and histograms give the same answers" {
    local start=1700006400
    monitor ours 9090 --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/generated" --storage.tsdb.retention.time=100y \
        --web.enable-remote-write-receiver
    inside python3 "$E2E_DIR/write_samples.py" http://127.0.0.1:9090 "$start"
    kill_role ours
    cp -r "$DATA/generated" "$DATA/generated-theirs"
    monitor ours 9090 --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/generated" --storage.tsdb.retention.time=100y
    background theirs prometheus --config.file="$DATA/empty.yml" --storage.tsdb.path="$DATA/generated-theirs" \
        --storage.tsdb.retention.time=100y --web.listen-address=127.0.0.1:9091
    wait_for 60 inside curl -fsS http://127.0.0.1:9091/-/ready
    run inside python3 "$E2E_DIR/same_answers.py" http://127.0.0.1:9090 http://127.0.0.1:9091 $((start + 601)) $((start + 14111)) \
        <(python3 "$E2E_DIR/generate_queries.py" 1 300)
    echo "$output" | cut -c1-600
    [ "$status" -eq 0 ]
    [[ "$output" == *"1500 the same, 0 different"* ]]
    kill_role ours
    kill_role theirs
}

@test "a real exporter is scraped, and nothing acknowledged is lost by SIGKILL" {
    command -v prometheus-node-exporter >/dev/null || skip "prometheus-node-exporter is not installed (tools/deps installs it)"
    cat >"$DATA/node.yml" <<Y
global: {scrape_interval: 1s}
scrape_configs:
- job_name: node
  static_configs: [{targets: ['127.0.0.1:9100'], labels: {site: here}}]
- job_name: gone
  static_configs: [{targets: ['127.0.0.1:9']}]
Y
    background exporter prometheus-node-exporter --web.listen-address=127.0.0.1:9100
    monitor first 9090 --config.file="$DATA/node.yml" --storage.tsdb.path="$DATA/node"
    up() { [ "$(query 'up{job="node"}' | jq -r '.data.result[0].value[1]')" = 1 ]; }
    wait_for 30 up
    many() { [ "$(query 'count_over_time(up{job="node",site="here"}[1h])' | jq -r '.data.result[0].value[1]')" -ge 3 ]; }
    wait_for 30 many
    [ "$(query 'up{job="gone"}' | jq -r '.data.result[0].value[1]')" = 0 ]
    inside curl -fsS http://127.0.0.1:9090/api/v1/targets | jq -e '.data.activeTargets | length == 2'
    [ "$(query 'count({job="node"}) > 200' | jq '.data.result | length')" = 1 ]
    before=$(query 'timestamp(up{job="node"})' | jq -r '.data.result[0].value[1] | tonumber | floor')
    kill_role first KILL
    monitor second 9090 --config.file="$DATA/node.yml" --storage.tsdb.path="$DATA/node"
    samples=$(query "count_over_time(up{job=\"node\"}[1h] @ $before.999)" | jq -r '.data.result[0].value[1]')
    [ "$samples" -ge 3 ]
    kill_role second
}

@test "a wrong configuration is named by file, line and key, and a reload leaves the old one in force" {
    printf 'global:\n  scrape_interval: 1x\n' >"$DATA/wrong.yml"
    run inside "$BIN/knarr-monitor" --config.file="$DATA/wrong.yml" --storage.tsdb.path="$DATA/wrong" --web.listen-address=127.0.0.1:9090
    [ "$status" -ne 0 ]
    [[ "$output" == *"wrong.yml:2"*"scrape_interval"* ]]
    cp "$DATA/empty.yml" "$DATA/reload.yml"
    monitor third 9090 --config.file="$DATA/reload.yml" --storage.tsdb.path="$DATA/reload" --web.enable-lifecycle
    cp "$DATA/wrong.yml" "$DATA/reload.yml"
    run inside curl -sS -o /dev/null -w '%{http_code}' -X POST http://127.0.0.1:9090/-/reload
    [ "$output" = 500 ]
    inside curl -fsS http://127.0.0.1:9090/-/ready
    cp "$DATA/node.yml" "$DATA/reload.yml"
    inside curl -fsS -X POST http://127.0.0.1:9090/-/reload
    inside curl -fsS http://127.0.0.1:9090/api/v1/scrape_pools | jq -e '.data.scrapePools | length == 2'
    kill_role third
}
