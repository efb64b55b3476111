#!/usr/bin/env bats
# Remote storages of knarr-monitor: what it sends arrives whole and in order at Debian's Prometheus and at another
# monitor, whatever happens to either side; what Prometheus holds is read from here.

load helpers

setup() {
    need_root
    command -v prometheus >/dev/null || skip "needs Debian's prometheus"
    new_place
    URL=http://127.0.0.1:9090
    RECEIVER=http://127.0.0.1:9091
    remember "$E2E_DIR/remote-peer.py" 9093 "$DATA" "$RECEIVER/api/v1/write"
    wait_for 20 inside curl -s -o /dev/null http://127.0.0.1:9093/metrics
}

teardown() { stop_all; }

remember() { # COMMAND…: in the background, in the namespace
    nsenter --net="/run/netns/$NS" "$@" >>"$DATA/log/$(basename "$1").log" 2>&1 3>&- &
    echo "$!" >"$DATA/$(basename "$1").pid"
    echo "$!" >>"$PIDS"
}

# sender_config VERSION [MORE KEYS OF remote_write]: scrapes the peer, sends through it.
sender_config() {
    local message=prometheus.WriteRequest
    [ "$1" = 1 ] || message=io.prometheus.write.v2.Request
    cat >"$DATA/sender.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {from: sender}}
scrape_configs:
  - job_name: peer
    static_configs: [{targets: ['127.0.0.1:9093']}]
  - job_name: self
    static_configs: [{targets: ['127.0.0.1:9090']}]
  - job_name: histograms
    scrape_protocols: [PrometheusProto]
    convert_classic_histograms_to_nhcb: true
    static_configs: [{targets: [$([ "$1" = 1 ] || echo 127.0.0.1:9092)]}]
remote_write:
  - url: http://127.0.0.1:9093/write
    protobuf_message: $message
    headers: {X-Own: mine}
    basic_auth: {username: u, password: p}
    send_exemplars: true
    send_native_histograms: true
    queue_config: {batch_send_deadline: 200ms, max_samples_per_send: 100, min_backoff: 30ms, max_backoff: 200ms}
    metadata_config: {send_interval: 1s}
${2:-}
Y
}

start_sender() { # FLAGS…
    run_role monitor --storage.tsdb.path="$DATA/sender" --web.listen-address=127.0.0.1:9090 --web.enable-lifecycle \
        --config.file="$DATA/sender.yml" --enable-feature=exemplar-storage --storage.remote.flush-deadline=5s "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}

start_prometheus() { # [PORT FOLDER]
    echo 'global: {}' >"$DATA/prometheus.yml"
    remember prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/${2:-prometheus}" \
        --web.listen-address=127.0.0.1:${1:-9091} --web.enable-remote-write-receiver --enable-feature=exemplar-storage
    wait_for 20 inside curl -sf "http://127.0.0.1:${1:-9091}/-/ready"
}

start_receiver() { # [OUT OF ORDER WINDOW]
    echo "storage: {exemplars: {max_exemplars: 10000}, tsdb: {out_of_order_time_window: ${1:-0s}}}" >"$DATA/receiver.yml"
    nsenter --net="/run/netns/$NS" "$BIN/knarr-monitor" --storage.tsdb.path="$DATA/receiver" --config.file="$DATA/receiver.yml" \
        --web.listen-address=127.0.0.1:9091 --web.enable-remote-write-receiver --enable-feature=exemplar-storage \
        >>"$DATA/log/receiver.log" 2>&1 3>&- &
    echo "$!" >"$DATA/receiver.pid"
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf "$RECEIVER/-/ready"
}

value() { inside curl -sf -G "${2:-$RECEIVER}/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1]'; }
at_least() { [ "$(value "$1" "${3:-$RECEIVER}")" -ge "$2" ]; }
metric() { inside curl -sf "$URL/metrics" | awk -v n="$1" 'index($0, n) == 1 { print int($NF) }' | head -1; }
grows() { [ "$(metric "$1")" -gt "$2" ]; }
posts() { [ "$(grep -c "$1" "$DATA/posts" 2>/dev/null)" -ge "$2" ]; }
is() { [ "$(value "$1" "$URL")" = "$2" ]; }
# All samples of a server by series, without the label that sending adds.
all() { # URL [SELECTOR]
    inside curl -sf -G "$1/api/v1/query" --data-urlencode "query=${2:-"{__name__=~\".+\"}"}[1h]" |
        jq -cS '.data.result | map(del(.metric.from)) | map(select(.metric.__name__ != null)) | sort_by(.metric | tostring) | .[]'
}
# Sends the rest and compares every sample of both: the sender is started anew without scraping, to be asked.
everything_arrived() {
    kill_role monitor
    sed -i '/^scrape_configs:/,$d' "$DATA/sender.yml"
    start_sender
    all "$URL" >"$DATA/sent"
    all "$RECEIVER" >"$DATA/received"
    [ "$(wc -l <"$DATA/sent")" -gt 100 ]
    diff "$DATA/sent" "$DATA/received" | cut -c1-300 | head -20
    cmp "$DATA/sent" "$DATA/received"
}

@test "remote write 1.0: Debian's Prometheus receives every sample, exemplars and headers" {
    start_prometheus
    sender_config 1
    start_sender
    wait_for 20 at_least 'count_over_time(jobs_total{from="sender"}[1h])' 10
    wait_for 10 posts '^204 Content-Type=application/x-protobuf Content-Encoding=snappy X-Prometheus-Remote-Write-Version=0.1.0 X-Own=mine Authorization=Basic dTpw$' 1
    [ "$(inside curl -sf "$RECEIVER/api/v1/query_exemplars?query=jobs_total&start=0&end=$(($(date +%s) + 60))" |
        jq '.data[0].exemplars | length')" -ge 1 ]
    wait_for 10 grows prometheus_remote_storage_metadata_total 1
    [ "$(metric prometheus_remote_storage_samples_failed_total)" = 0 ]
    everything_arrived
}

@test "remote write 2.0: another monitor receives every sample, histograms with custom bounds and exemplars" {
    start_receiver
    start_prometheus 9092 target
    sender_config 2
    start_sender
    wait_for 20 at_least 'count_over_time(prometheus_tsdb_compaction_chunk_size_bytes[1h])' 10
    wait_for 10 posts '^204 Content-Type=application/x-protobuf;proto=io.prometheus.write.v2.Request Content-Encoding=snappy X-Prometheus-Remote-Write-Version=2.0.0' 1
    [ "$(inside curl -sf "$RECEIVER/api/v1/query_exemplars?query=jobs_total&start=0&end=$(($(date +%s) + 60))" |
        jq '.data[0].exemplars | length')" -ge 1 ]
    [ "$(metric prometheus_remote_storage_histograms_total)" -ge 5 ]
    [ "$(metric prometheus_remote_storage_histograms_failed_total)" = 0 ]
    everything_arrived
}

@test "a receiver that is down, or answers 500 and 429, gets all of it later; reloads and many shards change nothing" {
    start_prometheus
    sender_config 1
    sed -i 's/queue_config: {/queue_config: {retry_on_http_429: true, min_shards: 4, /' "$DATA/sender.yml"
    echo 500 >"$DATA/answer"
    start_sender
    wait_for 20 posts '^500.*Retry-Attempt=3' 1
    inside curl -sf -X POST "$URL/-/reload"
    grows prometheus_remote_storage_samples_retried_total 0
    echo 429 >"$DATA/answer"
    wait_for 20 posts '^429' 2
    rm "$DATA/answer"
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' 10
    kill_role prometheus KILL
    wait_for 20 posts '^502' 3
    start_prometheus
    local before
    before=$(value 'count_over_time(jobs_total[1h])')
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' $((before + 10))
    inside curl -sf -X POST "$URL/-/reload"
    everything_arrived
}

@test "what a receiver refuses is dropped, counted and told; what follows arrives" {
    start_prometheus
    sender_config 1
    echo 400 >"$DATA/answer"
    start_sender
    wait_for 20 grows prometheus_remote_storage_samples_failed_total 100
    grep -q 'the receiver refuses a message, which is dropped: server returned HTTP status 400: as the test wants it' "$DATA/log/monitor.log"
    rm "$DATA/answer"
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' 5
    ! posts 'Retry-Attempt' 1 || false
}

@test "a sender that is killed while the receiver is down sends all of it after its restart" {
    start_prometheus
    sender_config 1
    start_sender
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' 5
    echo 503 >"$DATA/answer"
    wait_for 20 posts '^503' 5
    local sent
    sent=$(metric prometheus_tsdb_head_samples_appended_total)
    sleep 1
    kill_role monitor KILL
    sender_config 1
    start_sender
    rm "$DATA/answer"
    grep -q 'goes on at byte' "$DATA/log/monitor.log"
    [ "$sent" -gt 100 ]
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' 15
    everything_arrived
}

# put_late N SECONDS: N new samples and histograms, each with one that is SECONDS older.
put_late() {
    local n t args=()
    for ((n = 0; n < $1; n++)); do
        t=$(($(date +%s%3N) + n))
        args=("late_total{n=$((n % 7))} $n $t" "late_total{n=$((n % 7))} $n $((t - $2 * 1000))"
            "late_seconds{n=$((n % 3))} n$((n + 9)) $t" "late_seconds{n=$((n % 3))} n$((n + 1)) $((t - $2 * 1000))")
        "$E2E_DIR/remote-write.py" 1 "${args[@]}" | inside curl -sf --data-binary @- -H 'Content-Encoding: snappy' \
            -H 'Content-Type: application/x-protobuf' -H 'X-Prometheus-Remote-Write-Version: 0.1.0' "$URL/api/v1/write"
    done
}
same_late() {
    all "$URL" '{__name__=~"late_.*"}' >"$DATA/sent"
    all "$RECEIVER" '{__name__=~"late_.*"}' >"$DATA/received"
    [ "$(wc -l <"$DATA/sent")" = 10 ] && cmp "$DATA/sent" "$DATA/received"
}

@test "late samples and histograms are sent, also after the sender was killed while the receiver was down" {
    local version
    for version in 1 2; do
        start_receiver 1h
        sender_config $version
        sed -i '1i storage: {tsdb: {out_of_order_time_window: 1h}}' "$DATA/sender.yml"
        start_sender --web.enable-remote-write-receiver
        put_late 21 600
        wait_for 20 same_late
        echo 503 >"$DATA/answer"
        put_late 21 300
        inside curl -sf -X POST "$URL/-/reload"
        ! same_late || false
        kill_role monitor KILL
        start_sender --web.enable-remote-write-receiver
        put_late 21 100
        kill_role monitor KILL
        rm "$DATA/answer"
        start_sender --web.enable-remote-write-receiver
        wait_for 20 same_late
        [ "$(value 'sum(count_over_time(late_total[1h]))')" = 126 ]
        [ "$(metric prometheus_remote_storage_samples_failed_total)" = 0 ]
        kill_role monitor KILL
        kill_role receiver KILL
        rm -rf "$DATA/sender" "$DATA/receiver"
    done
}

@test "round_robin_dns: connections go to all addresses of a name, without it to the first" {
    printf '127.0.0.%d spread.test\n' 1 2 3 4 >"$DATA/hosts"
    echo 204 >"$DATA/answer"
    touch "$DATA/close"
    sender_config 1
    sed -i 's/127.0.0.1:9093.write/spread.test:9093\/write/' "$DATA/sender.yml"
    start_named() { # with names of its own
        nsenter --net="/run/netns/$NS" unshare --mount sh -c "mount --bind $DATA/hosts /etc/hosts && exec \"\$@\"" sh \
            "$BIN/knarr-monitor" --storage.tsdb.path="$DATA/sender" --web.listen-address=127.0.0.1:9090 \
            --config.file="$DATA/sender.yml" >>"$DATA/log/monitor.log" 2>&1 3>&- &
        echo "$!" | tee -a "$PIDS" >"$DATA/monitor.pid"
    }
    start_named
    wait_for 20 posts '^204' 10
    [ "$(sort -u "$DATA/reached" | wc -l)" = 1 ]
    kill_role monitor KILL
    sed -i 's/^remote_write:/&\n  - {url: "http:\/\/spread.test:9093\/other", name: spread, round_robin_dns: true, queue_config: {batch_send_deadline: 100ms}}/' "$DATA/sender.yml"
    start_named
    all_four() { [ "$(sort -u "$DATA/reached" | wc -l)" = 4 ]; }
    wait_for 20 all_four
    kill_role monitor KILL
}

@test "remote write 2.0: what has a start time begins with zero where that is asked for" {
    echo '{}' >"$DATA/sender.yml"
    local t
    t=$(date +%s)000
    for features in exemplar-storage exemplar-storage,created-timestamp-zero-ingestion; do
        start_sender --web.enable-remote-write-receiver --enable-feature=$features
        for i in 1 2; do
            "$E2E_DIR/remote-write.py" 2 "began_total 5 $((t + i))/$((t - 60000))" "began_seconds n4 $((t + i))/$((t - 60000))" |
                inside curl -sf --data-binary @- -H 'Content-Encoding: snappy' -H 'X-Prometheus-Remote-Write-Version: 2.0.0' \
                    -H 'Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request' "$URL/api/v1/write"
        done
        [ "$features" = exemplar-storage ] || break
        is 'count_over_time(began_total[1h] offset -5s)' 2
        kill_role monitor
        rm -rf "$DATA/sender"
    done
    is 'count_over_time(began_total[1h] offset -5s)' 3
    is 'increase(began_total[1h] offset -5s) > bool 4' 1
    is 'count_over_time(began_seconds[1h] offset -5s)' 3
    is 'histogram_count(first_over_time(began_seconds[1h] offset -5s))' 0
    kill_role monitor
}

@test "relabelling, sample_age_limit and a section that goes" {
    start_prometheus
    sender_config 1 "    write_relabel_configs:
      - {source_labels: [__name__], regex: 'jobs_total|up', action: keep}
      - {target_label: added, replacement: here}"
    start_sender
    wait_for 20 at_least 'count_over_time(jobs_total{added="here",from="sender"}[1h])' 5
    [ "$(value 'count(count by (__name__) ({__name__=~".+"}))')" = 2 ]
    inside curl -sf "$URL/metrics" | grep 'samples_dropped_total.*reason="dropped_series"} [1-9]'
    sed -i '/^remote_write:/,$d' "$DATA/sender.yml"
    inside curl -sf -X POST "$URL/-/reload"
    [ -z "$(inside curl -sf "$URL/metrics" | grep prometheus_remote_storage_shards)" ]
    wait_for 5 at_least 'timestamp(up{job="self"}) > bool 0' 1 "$URL"
}

@test "remote read: queries also answer with what Debian's Prometheus and another monitor hold" {
    start_prometheus
    sender_config 1
    start_sender
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' 10
    kill_role monitor
    # What only the other side has; with read_recent also what is new. Its label was added by the sender.
    cat >"$DATA/sender.yml" <<Y
global: {external_labels: {from: sender}}
remote_read:
  - {url: '$RECEIVER/api/v1/read', read_recent: true, name: other}
Y
    rm -rf "$DATA/sender"
    start_sender
    all "$RECEIVER" >"$DATA/there"
    all "$URL" >"$DATA/here"
    [ "$(wc -l <"$DATA/there")" -gt 100 ]
    cmp "$DATA/there" "$DATA/here"
    local q now
    now=$(date +%s.%3N)
    for q in 'sum by (job) (count_over_time(up[1h]))' 'rate(jobs_total[2s])' 'topk(3, max_over_time({job="self"}[1h]))' \
        'histogram_quantile(0.9, sum by (le) (max_over_time(took_bucket[1h])))' 'absent(nothing)'; do
        answer() {
            inside curl -sf -G "$1/api/v1/query" --data-urlencode "query=$q" --data-urlencode "time=$now" |
                jq -cS 'del(.data.result[].metric.from)'
        }
        diff <(answer "$RECEIVER") <(answer "$URL")
    done
    [ "$(inside curl -sfg "$URL/api/v1/series?match[]=jobs_total" | jq -r '.data[0].kind')" = a ]
    # Names and values of labels, and federation, are what is here: as in Prometheus, which warns of the first.
    for q in labels label/kind/values; do
        [ "$(inside curl -sf "$URL/api/v1/$q" | jq -c '[.data, .warnings]')" = '[[],["not implemented"]]' ]
    done
    [ -z "$(inside curl -sfg "$URL/federate?match[]=jobs_total")" ]
    # A remote read is answered with what others hold: Prometheus reads through the monitor.
    echo "remote_read: [{url: '$URL/api/v1/read', read_recent: true, filter_external_labels: false}]" >"$DATA/prometheus.yml"
    mv "$DATA/prometheus.pid" "$DATA/other.pid"
    remember prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/reader" --web.listen-address=127.0.0.1:9092
    wait_for 20 inside curl -sf http://127.0.0.1:9092/-/ready
    all http://127.0.0.1:9092 | sed 's/,"from":"sender"//' >"$DATA/through"
    cmp "$DATA/there" "$DATA/through"
    kill_role prometheus
    mv "$DATA/other.pid" "$DATA/prometheus.pid"
    # Others' failures are warnings; without what is required they are not asked; reloads take effect.
    kill_role prometheus KILL
    inside curl -sf "$URL/api/v1/query?query=jobs_total" | jq -r '.warnings[0]' | grep -q '^remote_read: error sending request: Post "'
    sed -i "s/name: other/required_matchers: {which: other}/" "$DATA/sender.yml"
    inside curl -sf -X POST "$URL/-/reload"
    [ "$(inside curl -sf "$URL/api/v1/query?query=jobs_total" | jq -c '[.status, .warnings]')" = '["success",null]' ]
    inside curl -sf "$URL/metrics" | grep -q prometheus_remote_read_client_queries
}

@test "rules are evaluated over what other storages hold, too" {
    start_prometheus
    sender_config 1
    start_sender
    wait_for 20 at_least 'count_over_time(jobs_total[1h])' 10
    kill_role monitor
    rm -rf "$DATA/sender"
    cat >"$DATA/rules.yml" <<Y
groups:
  - name: g
    interval: 200ms
    rules:
      - {record: there:samples, expr: 'max(count_over_time(jobs_total[1h]))'}
      - {alert: There, expr: 'count_over_time(jobs_total[1h]) > 0'}
      - {record: here:one, expr: 'vector(1)'}
Y
    cat >"$DATA/sender.yml" <<Y
global: {external_labels: {from: sender}}
rule_files: [rules.yml]
remote_read:
  - {url: '$RECEIVER/api/v1/read', read_recent: true}
Y
    start_sender
    there=$(inside curl -sf -G "$RECEIVER/api/v1/query" --data-urlencode 'query=max(count_over_time(jobs_total[1h]))' |
        jq -r '.data.result[0].value[1]')
    recorded() { [ "$(inside curl -sf "$URL/api/v1/query?query=there:samples" | jq -r '.data.result[0].value[1]')" = "$there" ]; }
    wait_for 20 recorded
    firing() { [ "$(inside curl -sf "$URL/api/v1/alerts" | jq -r '.data.alerts[0].labels.alertname')" = There ]; }
    wait_for 20 firing
    # A storage that is gone takes only its own samples away; reloads while rules run are harmless.
    kill_role prometheus KILL
    for _ in $(seq 40); do inside curl -sf -X POST "$URL/-/reload"; done
    silent() { [ "$(inside curl -sf "$URL/api/v1/alerts" | jq -r '.data.alerts | length')" = 0 ]; }
    wait_for 20 silent
    inside curl -sf "$URL/api/v1/rules" | jq -e '[.data.groups[0].rules[].health] | unique == ["ok"]'
    kill_role monitor
}

# post_otlp TIME TEMPORALITY [CURL ARGS…]: status and body.
post_otlp() {
    "$E2E_DIR/otlp.py" "$1" "$2" >"$DATA/otlp"
    shift 2
    send_otlp "$@"
}

send_otlp() { # [CURL ARGS…]: what $DATA/otlp holds
    inside curl -s -w '%{http_code}' --data-binary @"$DATA/otlp" -H 'Content-Type: application/x-protobuf' "$@" \
        "$URL/api/v1/otlp/v1/metrics" | tr -d '\0'
}

@test "OTLP: metrics are received and translated; what cannot be is told" {
    echo 'otlp: {promote_resource_attributes: [host.name]}' >"$DATA/sender.yml"
    start_sender
    local now
    now=$(date +%s)000
    [ "$(inside curl -s -o /dev/null -w '%{http_code}' -d '' "$URL/api/v1/otlp/v1/metrics")" = 404 ]
    kill_role monitor
    start_sender --web.enable-otlp-receiver
    [ "$(post_otlp "$now" 2)" = 200 ]
    [ "$(value 'http_requests_total{http_method="GET",job="shop",instance="i1",host_name="h"}' "$URL")" = 42 ]
    [ "$(value 'took_seconds_bucket{le="1",kind="slow"}' "$URL")" = 3 ]
    [ "$(value 'histogram_count(size_bytes)' "$URL")" = 10 ]
    [ "$(value 'used_ratio' "$URL")" = 0.5 ]
    [ "$(value 'target_info{host_name="h"}' "$URL")" = 1 ]
    inside curl -sf "$URL/api/v1/query_exemplars?query=http_requests_total&start=0&end=$((now / 1000 + 60))" |
        grep -q '"trace_id":"000102030405060708090a0b0c0d0e0f"'
    # Compressed; histograms with custom bounds after a reload.
    echo 'otlp: {convert_histograms_to_nhcb: true, translation_strategy: NoTranslation}' >"$DATA/sender.yml"
    inside curl -sf -X POST "$URL/-/reload"
    "$E2E_DIR/otlp.py" "$((now + 1000))" 2 | gzip >"$DATA/otlp.gz"
    [ "$(inside curl -s -w '%{http_code}' --data-binary @"$DATA/otlp.gz" -H 'Content-Type: application/x-protobuf' \
        -H 'Content-Encoding: gzip' "$URL/api/v1/otlp/v1/metrics")" = 200 ]
    wait_for 5 is '{"http.requests","http.method"="GET"}' 42
    is 'histogram_sum(took)' 9.5
    # Delta of three of four metrics is refused: a partial success.
    [[ $(post_otlp "$((now + 2000))" 1) == *'invalid temporality and type combination for metric "http.requests"'*200 ]]
    [ "$(value 'timestamp(used offset -5s)' "$URL")" = "$((now / 1000 + 2))" ]
    # Older than the newest: nothing could be stored.
    [[ $(post_otlp "$((now - 3600000))" 2) == *'for series'*400 ]]
    [[ $(inside curl -s -w '%{http_code}' -d x -H 'Content-Type: application/x-protobuf' "$URL/api/v1/otlp/v1/metrics") == *malformed*400 ]]
    [[ $(inside curl -s -w '%{http_code}' -d '{}' -H 'Content-Type: text/plain' "$URL/api/v1/otlp/v1/metrics") == *'supported: [application/json, application/x-protobuf]'*400 ]]
}

@test "OTLP as JSON: it is stored, what cannot be is told in JSON, mistakes are named" {
    echo '{}' >"$DATA/sender.yml"
    start_sender --web.enable-otlp-receiver
    post_json() { inside curl -s -w '%{http_code}' -H 'Content-Type: application/json' -d "$1" "$URL/api/v1/otlp/v1/metrics"; }
    local now metrics
    now=$(date +%s)000000000
    metrics='{"name":"jobs.done","unit":"{job}","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"asInt":"17","timeUnixNano":"'$now'",
        "attributes":[{"key":"queue.name","value":{"stringValue":"q1"}}]}]}}'
    request() { echo '{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeMetrics":[{"metrics":['"$1"']}]}]}'; }
    [ "$(post_json "$(request "$metrics")")" = '{}200' ]
    [ "$(value 'jobs_done_total{job="shop",queue_name="q1"}' "$URL")" = 17 ]
    metrics+=",${metrics/:2,/:1,}" # once more, as delta
    [ "$(post_json "$(request "${metrics//jobs/tasks}")")" = '{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"invalid temporality and type combination for metric \"tasks.done\""}}200' ]
    [[ $(post_json "$(request '{"gauge":{"dataPoints":[{"asDouble":"x"}]}}')") == 'the message is malformed: resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].asDouble: expected a number'*400 ]]
    [[ $(post_json '{') == 'the message is malformed: line 1 column 2: '*400 ]]
    # Compressed, like other bodies.
    request "${metrics//jobs/things}" | gzip >"$DATA/otlp.gz"
    [[ $(inside curl -s -w '%{http_code}' --data-binary @"$DATA/otlp.gz" -H 'Content-Type: application/json' -H 'Content-Encoding: gzip' \
        "$URL/api/v1/otlp/v1/metrics") == *200 ]]
    [ "$(value 'things_done_total' "$URL")" = 17 ]
}

otlp_counter() { inside curl -sf "$URL/metrics" | sed -n "s/^prometheus_api_otlp_$1 //p"; }

@test "OTLP: deltas add up where the feature is on, and only one way to take them is" {
    echo '{}' >"$DATA/sender.yml"
    start_sender --web.enable-otlp-receiver --enable-feature=otlp-deltatocumulative
    local now
    now=$(($(date +%s) - 10))000
    [ "$(post_otlp "$now" 1)" = 200 ]
    [ "$(post_otlp "$((now + 1000))" 1)" = 200 ]
    [ "$(post_otlp "$((now + 1000))" 1)" = 200 ] # sent again
    [ "$(post_otlp "$((now + 2000))" 1)" = 200 ]
    [ "$(value 'http_requests_total{job="shop"}' "$URL")" = 126 ]
    [ "$(value 'took_seconds_bucket{le="1",kind="slow"}' "$URL")" = 9 ]
    [ "$(value 'histogram_count(size_bytes)' "$URL")" = 30 ]
    [ "$(value 'used_ratio' "$URL")" = 0.5 ]
    inside curl -sf "$URL/api/v1/metadata?metric=http_requests_total" >/dev/null
    run "$BIN/knarr-monitor" --config.file="$DATA/sender.yml" --enable-feature=otlp-deltatocumulative,otlp-native-delta-ingestion
    [ "$status" = 2 ]
    [[ "$output" == *'cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time'* ]]
}

@test "OTLP: exemplars out of order and samples without metadata are counted" {
    echo '{}' >"$DATA/sender.yml"
    start_sender
    [ -z "$(otlp_counter out_of_order_exemplars_total)" ] # no receiver, no counters
    kill_role monitor
    start_sender --web.enable-otlp-receiver --enable-feature=otlp-native-delta-ingestion
    local now
    now=$(date +%s)000
    [ "$(post_otlp "$now" 2)" = 200 ]
    [ "$(otlp_counter out_of_order_exemplars_total)" = 0 ]
    # The samples are newer, their two exemplars a minute older.
    "$E2E_DIR/otlp.py" "$((now + 1000))" 2 "$((now - 60000))" >"$DATA/otlp"
    [ "$(send_otlp)" = 200 ]
    [ "$(otlp_counter out_of_order_exemplars_total)" = 2 ]
    [ "$(otlp_counter appended_samples_without_metadata_total)" = 0 ]
    # Of delta temporality the type is unknown: without unit and description nothing is left. One of the counter, five
    # of the histogram, one of the exponential one. A gauge has no temporality and keeps its type, whatever its field 2 says.
    "$E2E_DIR/otlp.py" "$((now + 2000))" 1 "$((now + 2000))" bare >"$DATA/otlp"
    [ "$(send_otlp)" = 200 ]
    [ "$(otlp_counter appended_samples_without_metadata_total)" = 7 ]
}
