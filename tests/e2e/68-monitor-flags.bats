#!/usr/bin/env bats
# Flags of knarr-monitor that Prometheus has: each one works, or is refused or warned of by name.

load helpers

setup() {
    need_root
    new_place
    echo 'global: {}' >"$DATA/monitor.yml"
    URL=http://127.0.0.1:9090
}

teardown() { stop_all; }

start_monitor() {
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 \
        --web.listen-address=127.0.0.1:9092 --config.file="$DATA/monitor.yml" "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}
log_says() { grep -q -- "$1" "$DATA/log/monitor.log"; }
refused() { # FLAGS…; the output is in $output
    run "$BIN/knarr-monitor" --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/monitor" \
        --web.listen-address=127.0.0.1:0 "$@"
    [ "$status" -eq 2 ]
}

@test "every flag of Prometheus is known; those without effect are named" {
    refused --agent
    [[ $output == *"--agent: not supported: there is no agent mode here"* ]]
    refused --storage.agent.path=x
    [[ $output == *"--storage.agent.path: not supported"* ]]
    refused --storage.tsdb.delay-compact-file.path=x
    refused --no-storage.tsdb.allow-overlapping-compaction
    refused --web.remote-write-receiver.accepted-protobuf-messages=x
    refused --no-such-flag
    start_monitor --no-auto-gomaxprocs --auto-gomemlimit.ratio=0.5 --storage.tsdb.samples-per-chunk=60 \
        --web.search.max-limit=10000 --enable-feature=delayed-compaction,nonsense
    log_says '--auto-gomaxprocs has no effect: there is no Go runtime here'
    log_says '--auto-gomemlimit.ratio has no effect'
    log_says '--storage.tsdb.samples-per-chunk has no effect'
    log_says '--enable-feature=delayed-compaction has no effect: '
    log_says '--enable-feature=nonsense: no such feature'
    ! log_says 'web.search.max-limit' || false
    [ "$(inside curl -s "$URL/api/v1/status/flags" | jq -r '.data["auto-gomemlimit.ratio"]')" = 0.5 ]
}

@test "--log.format=json writes objects" {
    start_monitor --log.format=json --auto-gomemlimit.ratio=0.5
    [ "$(jq -r 'select(.msg | startswith("--auto-gomemlimit.ratio")).level' "$DATA/log/monitor.log")" = WARN ]
    # Every line is one object, also one that quotes what stands in a file.
    printf 'global: {scrape_interval: "x\\"\\\\y"}\n' >"$DATA/monitor.yml"
    kill -HUP "$(cat "$DATA/monitor.pid")"
    wait_for 10 log_says 'ERROR'
    jq -es 'all(.[]; .time and .level and .msg and .component == "monitor")' "$DATA/log/monitor.log"
    kill_role monitor
    : >"$DATA/log/monitor.log"
    echo 'global: {}' >"$DATA/monitor.yml"
    start_monitor --log.level=error
    [ ! -s "$DATA/log/monitor.log" ]
}

@test "the configuration is read again by itself when it or a rule file changes" {
    mkdir "$DATA/rules"
    echo 'rule_files: [rules/*.yml]' >"$DATA/monitor.yml"
    start_monitor --config.auto-reload --config.auto-reload-interval=1s
    groups() { inside curl -s "$URL/api/v1/rules" | jq '.data.groups | length'; }
    groups_are() { [ "$(groups)" = "$1" ]; }
    [ "$(groups)" = 0 ]
    echo 'groups: [{name: a, rules: [{record: x, expr: "1"}]}]' >"$DATA/rules/a.yml"
    wait_for 10 groups_are 1
    echo 'rule_files: [' >"$DATA/monitor.yml"
    wait_for 10 log_says 'error monitor: reload: '
    [ "$(groups)" = 1 ]
    echo 'rule_files: []' >"$DATA/monitor.yml"
    wait_for 10 groups_are 0
}

@test "--web.max-connections bounds all listeners together, and further connections wait" {
    start_monitor --web.max-connections=3
    # Three that say nothing yet, two on one listener and one on the other.
    inside python3 - "$DATA" <<'P' &
import socket, sys, time
held = [socket.create_connection(("127.0.0.1", p)) for p in (9090, 9090, 9092)]
open(sys.argv[1] + "/held", "w").close()
time.sleep(3)
P
    echo "$!" >>"$PIDS"
    wait_for 10 test -e "$DATA/held"
    run inside curl -s -m 1 "$URL/-/healthy"
    [ "$status" -eq 28 ]
    [ "$(inside curl -s -m 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:9092/-/healthy")" = 200 ]
    [ "$(inside curl -s -m 10 -o /dev/null -w '%{http_code}' "$URL/-/healthy")" = 200 ]
}

@test "segments of the log are as large as they are to be, and only accepted messages are written" {
    start_monitor --storage.tsdb.wal-segment-size=10MB --web.enable-remote-write-receiver \
        --web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest
    post() {
        inside curl -s -o /dev/null -w '%{http_code}' -X POST --data-binary '' -H 'Content-Encoding: snappy' \
            -H "Content-Type: application/x-protobuf;proto=$1" "$URL/api/v1/write"
    }
    [ "$(post io.prometheus.write.v2.Request)" = 415 ]
    [ "$(post prometheus.WriteRequest)" != 415 ]
    refused --storage.tsdb.wal-segment-size=1MB
}
