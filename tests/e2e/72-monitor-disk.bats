#!/usr/bin/env bats
# A full disk: what cannot be stored is said to be so, queries go on, and when there is room again so does everything.

load helpers

setup() {
    need_root
    new_place
    mkdir "$DATA/disk"
    mount -t tmpfs -o size=16m tmpfs "$DATA/disk" || skip "cannot mount a tmpfs"
    URL=http://127.0.0.1:9090
    cat >"$DATA/rules.yml" <<'Y'
groups: [{name: a, interval: 1s, rules: [{record: ruled, expr: 'vector(time())'}]}]
Y
    cat >"$DATA/monitor.yml" <<Y
rule_files: [rules.yml]
scrape_configs:
- {job_name: self, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ['127.0.0.1:9090']}]}
Y
}

teardown() {
    [ -z "${DATA:-}" ] || kill_role monitor
    umount "$DATA/disk" 2>/dev/null || true
    stop_all
}

start_monitor() {
    run_role monitor --storage.tsdb.path="$DATA/disk/data" --web.listen-address=127.0.0.1:9090 \
        --config.file="$DATA/monitor.yml" --web.enable-remote-write-receiver
    wait_for 20 inside curl -sf "$URL/-/ready"
}
value() { inside curl -sf -G "$URL/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // "0"'; }
at_least() { [ "$(value "$1")" -ge "$2" ]; }
target() { inside curl -sf "$URL/api/v1/targets" | jq -r '.data.activeTargets[0] | .health + " " + .lastError'; }
target_is() { [[ $(target) == $1 ]]; }
rule() { inside curl -sf "$URL/api/v1/rules" | jq -r '.data.groups[0].rules[0] | .health + " " + .lastError'; }
rule_is() { [[ $(rule) == $1 ]]; }
write() { # VALUE: prints the status
    "$E2E_DIR/remote-write.py" 1 "written{} $1 $(date +%s%3N)" >"$DATA/write"
    inside curl -s -o "$DATA/written" -w '%{http_code}' --data-binary @"$DATA/write" -H 'Content-Encoding: snappy' \
        -H 'Content-Type: application/x-protobuf' "$URL/api/v1/write"
}
write_is() { [ "$(write 7)" = "$1" ]; }

@test "a full disk is told, queries go on, and with room again everything goes on without a restart" {
    start_monitor
    wait_for 10 at_least 'count_over_time(up[1m])' 3
    [ "$(write 1)" = 204 ]
    dd if=/dev/zero of="$DATA/disk/ballast" bs=64k 2>/dev/null || true
    wait_for 20 target_is 'down *No space left on device*'
    wait_for 20 rule_is 'err *No space left on device*'
    wait_for 20 write_is 500
    grep -q 'No space left on device' "$DATA/written"
    # Several scrapes, one line.
    sleep 3
    [ "$(grep -c 'scrapes cannot be stored' "$DATA/log/monitor.log")" = 1 ]
    [ "$(grep -c 'remote write: ' "$DATA/log/monitor.log")" = 1 ]
    [ "$(value 'count_over_time(up[2m])')" -ge 3 ]
    [ "$(inside curl -sf "$URL/api/v1/label/__name__/values" | jq '.data | index("up") != null')" = true ]
    local before
    before=$(value 'count_over_time(up[5m])')
    rm "$DATA/disk/ballast"
    wait_for 20 target_is 'up '
    wait_for 20 rule_is 'ok '
    [ "$(write 5)" = 204 ]
    wait_for 20 at_least 'count_over_time(up[5m])' $((before + 3))
    [ "$(value written)" = 5 ]
    # The log is whole: after SIGKILL all of it is read, and Prometheus' own tools do not mind it either.
    local up ruled
    kill_role monitor KILL
    : >"$DATA/log/monitor.log"
    start_monitor
    ! grep -qi 'damage\|torn\|corrupt\|cut' "$DATA/log/monitor.log" || false
    [ "$(value 'count_over_time(up[5m])')" -ge $((before + 3)) ]
    [ "$(value 'max_over_time(written[5m])')" = 5 ]
    [ "$(inside curl -sf "$URL/metrics" | awk '$1 == "prometheus_tsdb_wal_corruptions_total" {print $2}')" = 0 ]
}
