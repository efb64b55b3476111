#!/usr/bin/env bats
# What a scrape configuration allows and limits, with real targets over HTTP.

load helpers

setup_file() {
    need_root
    new_place
    URL=http://127.0.0.1:9090
    export DATA NS PIDS URL
    job() { # NAME PATH TARGETS KEYS…
        echo "- job_name: $1"
        echo "  metrics_path: $2"
        echo "  static_configs: [{targets: [$3]}]"
        shift 3
        [ $# = 0 ] || printf '  %s\n' "$@"
    }
    one="'127.0.0.1:9093'"
    two="'127.0.0.1:9093', 'localhost:9093'"
    {
        echo 'global: {scrape_interval: 300ms, scrape_timeout: 300ms}'
        echo 'scrape_configs:'
        job all /plain "$one" 'sample_limit: 3' 'extra_scrape_metrics: true' 'label_limit: 4' 'label_name_length_limit: 17' \
            'label_value_length_limit: 20' 'target_limit: 1' 'body_size_limit: 1KB'
        job samples /plain "$one" 'sample_limit: 2' 'extra_scrape_metrics: true'
        job labels /plain "$one" 'label_limit: 3'
        job names /plain "$one" 'label_name_length_limit: 16'
        job values /plain "$one" 'label_value_length_limit: 19'
        job targets /plain "$two" 'target_limit: 1'
        job body /plain "$one" 'body_size_limit: 10B' 'extra_scrape_metrics: true'
        job honoring /labels "$one" 'honor_labels: true'
        job exporting /labels "$one"
        job times /times "$one"
        job notimes /times "$one" 'honor_timestamps: false'
        job untracked /none "$one"
        job fallback /none "$one" 'fallback_scrape_protocol: PrometheusText0.0.4'
        job native /native "$one" 'scrape_protocols: [PrometheusProto]' 'scrape_native_histograms: true'
        job factor /native "$one" 'scrape_protocols: [PrometheusProto]' 'scrape_native_histograms: true' \
            'native_histogram_min_bucket_factor: 1.5'
        job buckets /native "$one" 'scrape_protocols: [PrometheusProto]' 'scrape_native_histograms: true' \
            'native_histogram_bucket_limit: 5'
        job converted /classic "$one" 'convert_classic_histograms_to_nhcb: true'
        job both /classic "$one" 'convert_classic_histograms_to_nhcb: true' 'always_scrape_classic_histograms: true'
        job dropped /plain "$two, '127.0.0.1:9'" 'keep_dropped_targets: 1' \
            'relabel_configs: [{action: drop, source_labels: [__address__], regex: .*}]'
    } >"$DATA/scrape.yml"
    nsenter --net="/run/netns/$NS" "$E2E_DIR/scrape-target.py" 9093 >>"$DATA/log/target.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    nsenter --net="/run/netns/$NS" "$BIN/knarr-monitor" --config.file="$DATA/scrape.yml" --storage.tsdb.path="$DATA/data" \
        --web.listen-address=127.0.0.1:9090 >>"$DATA/log/monitor.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 30 inside curl -sf "$URL/-/ready"
    scraped() { [ "$(query 'count(count_over_time(up[1m]) >= 3)')" = 19 ]; }
    wait_for 30 scraped
}
teardown_file() { stop_all; }

# query EXPR: the first value; nothing where there is no series.
query() {
    inside curl -sf -G "$URL/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // ""'
}
is() { # EXPR VALUE
    local got
    got=$(query "$1")
    [ "$got" = "$2" ] || { echo "$1: '$got', not '$2'" && return 1; }
}
said() { # JOB TEXT: it is down, and says why
    is "max(up{job=\"$1\"})" 0
    local why
    why=$(inside curl -sf "$URL/api/v1/targets" | jq -r --arg job "$1" '[.data.activeTargets[] | select(.labels.job == $job)][0].lastError')
    [ "$why" = "$2" ] || { echo "$1: $why" && return 1; }
}

@test "at its limits a target is scraped" {
    is 'up{job="all"}' 1
    is 'scrape_sample_limit{job="all"}' 3
    is 'scrape_samples_scraped{job="all"}' 3
    is 'scrape_timeout_seconds{job="all"}' 0.3
    is 'count({job="all",__name__=~"a|b|longer_name"})' 3
}

@test "over a limit a target is down, says so, and leaves no sample" {
    said samples 'sample limit exceeded'
    is 'scrape_sample_limit{job="samples"}' 2
    is 'scrape_samples_scraped{job="samples"}' 3
    said labels 'label_limit exceeded (metric: a, number of labels: 4, limit: 3)'
    said names 'label_name_length_limit exceeded (metric: longer_name, label name: label_with_a_name, length: 17, limit: 16)'
    said values 'label_value_length_limit exceeded (metric: longer_name, label name: label_with_a_name, value: "value-of-some-length", length: 20, limit: 19)'
    said targets 'target_limit exceeded (number of targets: 2, limit: 1)'
    said body 'body size limit exceeded'
    is 'scrape_body_size_bytes{job="body"}' -1
    is 'count({job=~"samples|labels|names|values|targets|body",__name__=~"a|b|longer_name"})' ''
    inside curl -sf "$URL/metrics" >"$DATA/metrics"
    grep -E '^prometheus_target_scrapes_exceeded_sample_limit_total [1-9]' "$DATA/metrics"
    grep -E '^prometheus_target_scrapes_exceeded_body_size_limit_total [1-9]' "$DATA/metrics"
    grep -E '^prometheus_target_scrape_pool_exceeded_target_limit_total [1-9]' "$DATA/metrics"
    grep -E '^prometheus_target_scrape_pool_exceeded_label_limits_total [1-9]' "$DATA/metrics"
}

@test "honor_labels and honor_timestamps" {
    is 'own{job="mine",instance="mine",exported_job="taken"}' 1
    is 'own{job="exporting",instance="127.0.0.1:9093",exported_instance="mine",exported_job="taken",exported_exported_job="mine"}' 1
    is 'time() - timestamp(timed{job="times"}) > bool 50' 1
    is 'time() - timestamp(timed{job="notimes"}) > bool 50' 0
}

@test "without a Content-Type only fallback_scrape_protocol helps" {
    said untracked 'non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target'
    is 'up{job="fallback"}' 1
}

@test "native histograms: a limit of buckets and a least factor make them coarser; classic ones are converted" {
    buckets() {
        inside curl -sf -G "$URL/api/v1/query" --data-urlencode "query=$1" | jq '.data.result[0].histogram[1].buckets | length'
    }
    [ "$(buckets 'sizes{job="native"}')" = 10 ]
    is 'histogram_count(sizes{job="factor"})' 10
    [ "$(buckets 'sizes{job="factor"}')" -lt 10 ]
    [ "$(buckets 'sizes{job="buckets"}')" -le 5 ]
    is 'histogram_sum(c{job="converted"})' 4
    [ "$(buckets 'c{job="converted"}')" = 2 ]
    is 'count({job="converted",__name__=~"c_.*"})' ''
    is 'histogram_count(c{job="both"})' 3
    is 'count({job="both",__name__=~"c_.*"})' 4
}

@test "keep_dropped_targets keeps so many, and counts all" {
    inside curl -sf "$URL/api/v1/targets?state=dropped" >"$DATA/dropped"
    [ "$(jq '.data.droppedTargets | length' "$DATA/dropped")" = 1 ]
    [ "$(jq '.data.droppedTargetCounts.dropped' "$DATA/dropped")" = 3 ]
}

@test "track_timestamps_staleness ends series with times, too" {
    cat >"$DATA/scrape.yml" <<Y
global: {scrape_interval: 300ms, scrape_timeout: 300ms}
scrape_configs:
- job_name: tracked
  metrics_path: /once
  track_timestamps_staleness: true
  static_configs: [{targets: ['127.0.0.1:9093']}]
- job_name: times
  metrics_path: /times
  static_configs: [{targets: ['127.0.0.1:9093']}]
Y
    kill -HUP "$(tail -n 1 "$PIDS")"
    begun() { is 'present_over_time(timed{job="tracked"}[1m])' 1; }
    wait_for 20 begun
    ended() { is 'timed{job="tracked"}' ''; }
    wait_for 20 ended
}
