#!/usr/bin/env bats
# The monitor's metrics of itself: Prometheus' names are there, with values that are true.

load helpers

setup() {
    need_root
    new_place
    URL=http://127.0.0.1:9090
    cat >"$DATA/rules.yml" <<'Y'
groups:
- {name: g, rules: [{alert: Good, expr: up == 1, annotations: {a: '{{ $value }}'}}, {alert: Bad, expr: up == 1, annotations: {a: '{{ template "none" }}'}}]}
Y
    cat >"$DATA/monitor.yml" <<Y
global: {scrape_interval: 300ms, evaluation_interval: 300ms, query_log_file: $DATA/query.log}
rule_files: [$DATA/rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9']}]}]}
remote_write: [{url: 'http://127.0.0.1:9/w', name: far}]
remote_read: [{url: 'http://127.0.0.1:9/r'}]
scrape_configs:
- {job_name: self, static_configs: [{targets: ['127.0.0.1:9090']}]}
- {job_name: files, file_sd_configs: [{files: ['$DATA/none.json']}]}
Y
}

teardown() { stop_all; }

start_monitor() { # FLAGS…
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml" --storage.remote.flush-deadline=100ms "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
    scraped() { [ -n "$(metric 'prometheus_target_interval_length_seconds_count{interval="300ms"}')" ]; }
    wait_for 20 scraped
}
metric() { inside curl -sf "$URL/metrics" | awk -v name="$1" '{ v = $NF; sub(/ [^ ]*$/, "") } $0 == name { print v }'; }
is() { [ "$(metric "$1")" = "$2" ] || { echo "$1: $(metric "$1"), not $2" && false; }; }
positive() { awk -v v="$(metric "$1")" 'BEGIN { exit !(v > 0) }'; }

@test "every metric of the Prometheus mixin's alerts is there" {
    start_monitor
    evaluated() { positive 'prometheus_remote_storage_shards_max{remote_name="far",url="http://127.0.0.1:9/w"}'; }
    wait_for 20 evaluated
    inside curl -sf "$URL/metrics" | sed 's/[{ ].*//' | sort -u >"$DATA/names"
    for name in prometheus_config_last_reload_successful prometheus_sd_refresh_failures_total prometheus_sd_kubernetes_failures_total \
        prometheus_notifications_queue_length prometheus_notifications_queue_capacity prometheus_notifications_errors_total \
        prometheus_notifications_sent_total prometheus_notifications_alertmanagers_discovered prometheus_tsdb_reloads_failures_total \
        prometheus_tsdb_compactions_failed_total prometheus_tsdb_head_samples_appended_total prometheus_target_metadata_cache_entries \
        prometheus_rule_group_rules prometheus_target_scrapes_sample_duplicate_timestamp_total \
        prometheus_target_scrapes_sample_out_of_order_total prometheus_remote_storage_samples_failed_total \
        prometheus_remote_storage_samples_total prometheus_remote_storage_highest_timestamp_in_seconds \
        prometheus_remote_storage_queue_highest_timestamp_seconds prometheus_remote_storage_queue_highest_sent_timestamp_seconds \
        prometheus_remote_storage_shards_desired prometheus_remote_storage_shards_max prometheus_rule_evaluation_failures_total \
        prometheus_rule_group_iterations_missed_total prometheus_target_scrape_pool_exceeded_target_limit_total \
        prometheus_target_scrape_pool_exceeded_label_limits_total prometheus_target_scrapes_exceeded_body_size_limit_total \
        prometheus_target_scrapes_exceeded_sample_limit_total prometheus_target_sync_failed_total prometheus_engine_queries \
        prometheus_engine_queries_concurrent_max prometheus_tsdb_clean_start process_start_time_seconds; do
        grep -qx "$name" "$DATA/names" || { echo "$name" && false; }
    done
}

@test "every metric of Debian's Prometheus is there, but for those that the manual leaves out" {
    command -v prometheus >/dev/null || skip "no prometheus"
    sed '/remote_read/d' "$DATA/monitor.yml" >"$DATA/peer.yml"
    sed -i '/query_log_file/s/, query_log_file: [^}]*//' "$DATA/peer.yml"
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/peer.yml" --storage.tsdb.path="$DATA/peer" \
        --web.listen-address=127.0.0.1:9091 >>"$DATA/log/peer.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    start_monitor
    wait_for 30 inside curl -sf 127.0.0.1:9091/-/ready
    families() { inside curl -sf "$1/metrics" | sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' | grep -v '^go_' | sort -u; }
    complete() { families 127.0.0.1:9091 >"$DATA/theirs" && grep -q wal_watcher "$DATA/theirs" && grep -q rule_group_rules "$DATA/theirs"; }
    wait_for 20 complete
    families "$URL" >"$DATA/ours"
    sed -n 's/^<!-- metrics left out: \(.*\) -->$/\1/p' "$E2E_DIR/../../docs/monitor.md" | tr ' ' '\n' | sort >"$DATA/left-out"
    comm -23 "$DATA/theirs" "$DATA/ours" | grep -vxEf "$DATA/left-out" >"$DATA/missing" || true
    [ ! -s "$DATA/missing" ] || { cat "$DATA/missing" && false; }
}

@test "what is counted has happened" {
    start_monitor --enable-feature=exemplar-storage
    is prometheus_tsdb_clean_start 1
    is prometheus_engine_query_log_enabled 1
    is promhttp_metric_handler_requests_in_flight 1
    inside curl -sf "$URL/api/v1/query?query=count_over_time(up%5B1m%5D)" >/dev/null
    for name in prometheus_template_text_expansions_total prometheus_template_text_expansion_failures_total \
        prometheus_engine_query_samples_total prometheus_tsdb_wal_page_flushes_total \
        'prometheus_target_metadata_cache_entries{scrape_job="self"}' 'promhttp_metric_handler_requests_total{code="200"}' \
        'prometheus_wal_watcher_records_read_total{consumer="far",type="samples"}'; do
        wait_for 20 positive "$name" || { echo "$name: $(metric "$name")" && false; }
    done
    is 'prometheus_target_metadata_cache_entries{scrape_job="files"}' 0
    for name in 'net_conntrack_dialer_conn_established_total{dialer_name="self"}' \
        'net_conntrack_dialer_conn_failed_total{dialer_name="remote_storage_write_client",reason="refused"}' \
        'net_conntrack_dialer_conn_failed_total{dialer_name="alertmanager",reason="refused"}'; do
        wait_for 20 positive "$name" || { echo "$name: $(metric "$name")" && false; }
    done
    # A run that is killed leaves its lock file, one that ends takes it away.
    [ -e "$DATA/monitor/lock" ]
    kill_role monitor KILL
    start_monitor
    is prometheus_tsdb_clean_start 0
    kill_role monitor TERM
    [ ! -e "$DATA/monitor/lock" ]
    start_monitor
    is prometheus_tsdb_clean_start 1
    positive prometheus_tsdb_data_replay_duration_seconds
}
