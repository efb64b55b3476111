#!/usr/bin/env bats
# knarr promtool against servers, beside Debian's promtool: a knarr monitor and Debian's Prometheus, each scraping
# itself, in a network namespace of their own.
bats_require_minimum_version 1.5.0

load helpers

setup() {
    need_root
    command -v prometheus >/dev/null || skip "needs Debian's prometheus"
    new_place
    OURS=http://127.0.0.1:9090 THEIRS=http://127.0.0.1:9091
    KNARR_PROMTOOL="${KNARR_BUILD:-$BATS_TEST_DIRNAME/../../build}/src/cmd/knarr-promtool"
    cd "$DATA"
    for port in 9090 9091; do
        printf 'global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: self, static_configs: [{targets: ["127.0.0.1:%s"]}]}]\n' \
            $port >$port.yml
    done
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/9090.yml"
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/9091.yml" --storage.tsdb.path="$DATA/theirs" \
        --web.listen-address=127.0.0.1:9091 >"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    for url in "$OURS" "$THEIRS"; do
        wait_for 20 inside curl -sf "$url/-/ready"
        wait_for 20 scraped_often "$url"
    done
}

teardown() { stop_all; }

scraped_often() { # URL: five times and more
    local n
    n=$(inside curl -sf -G "$1/api/v1/query" --data-urlencode 'query=count_over_time(up[1h])' | jq -r '.data.result[0].value[1]')
    [ "${n:-0}" != null ] && [ "${n:-0}" -ge 5 ]
}

# The same arguments to both tools: output, errors and exit code must agree.
same() {
    local want=0 got=0
    inside timeout "$(patience 60)" promtool "$@" >want.out 2>want.err || want=$?
    inside timeout "$(patience 60)" "$KNARR_PROMTOOL" "$@" >got.out 2>got.err || got=$?
    diff want.out got.out
    diff want.err got.err
    [ "$want" -eq "$got" ]
}

@test "query instant and range print what promtool prints" {
    # A second ago: what is asked for twice is not written any more.
    local now=$(($(date +%s) - 1)) url format
    for url in "$OURS" "$THEIRS"; do
        for format in promql json; do
            same query -o $format instant --time=$now "$url" up
            same query -o $format instant --time=$now "$url" 'prometheus_http_request_duration_seconds_bucket'
            same query -o $format instant --time=$now "$url" 'up[1s]'
            same query -o $format instant --time=$now "$url" 'nothing'
            same query -o $format instant --time=$now "$url" '1 / 0'
            same query -o $format instant --time=$now "$url" 'label_replace(vector(1e30), "x", "<&>\"", "", "")'
            same query --format=$format range --start=$((now - 1)) --end=$now --step=500ms "$url" 'up'
            same query --format=$format range --end=$now "$url" 'vector(1)'
        done
        same query instant "$url" 'up +'
        same query instant "$url/no/such/path" up
        same query range --start=$now --end=$((now - 5)) "$url" up
        same query instant --time=whenever "$url" up
        same query range --header=X-Scope-OrgID=1 --header=Other=a=b --end=$now "$url" 1
    done
    run -0 inside "$KNARR_PROMTOOL" query instant "$OURS" '"a <text>"' # which 2.42 cannot print
    [ "$output" = "a <text>" ]
    run -1 inside "$KNARR_PROMTOOL" query instant http://127.0.0.1:1 up
    [[ "$output" == 'query error: Post "http://127.0.0.1:1/api/v1/query": '*"Connection refused" ]]
}

@test "query series and labels" {
    for url in "$OURS" "$THEIRS"; do
        for format in promql json; do
            same query -o $format series --match=up --match='scrape_duration_seconds{job="self"}' "$url"
            same query -o $format series --match=nothing "$url"
            same query -o $format series --match=up --start=1000 --end=2000 "$url"
            same query -o $format labels "$url" job
            same query -o $format labels "$url" nothing
            same query -o $format labels --match=up "$url" instance
        done
        same query series --match='{' "$url"
    done
    run -1 inside "$KNARR_PROMTOOL" query series "$OURS"
    [[ "$output" == *"--match is needed"* ]]
}

@test "query analyze counts buckets in use" {
    run -0 inside "$KNARR_PROMTOOL" query analyze --server="$THEIRS" --type=histogram --duration=1h \
        --match=prometheus_http_request_duration_seconds_bucket
    [[ "$output" == *'- prometheus_http_request_duration_seconds_bucket{handler="/metrics", instance="127.0.0.1:9091", job="self"} (classic): '*"/10"* ]]
    [[ "$output" == *"Classic histogram series ("*" in total):"*"- total: 10/10.000/10"* ]]
    run -1 inside "$KNARR_PROMTOOL" query analyze --server="$THEIRS" --type=counter --match=up
    [[ "$output" == *"analyze type is counter, must be 'histogram'"* ]]
}

@test "check healthy and ready" {
    for url in "$OURS" "$OURS/" "${OURS#http://}" "$THEIRS"; do
        run -0 --separate-stderr inside "$KNARR_PROMTOOL" check healthy --url="$url"
        [[ "$stderr" == *"SUCCESS:  "*"Healthy."* ]]
        run -0 --separate-stderr inside "$KNARR_PROMTOOL" check ready --url "$url"
    done
    run -1 inside "$KNARR_PROMTOOL" check ready --url "$OURS/prefix"
    [ "$output" = "check failed: URL=$OURS/prefix, status=404" ]
    run -1 inside "$KNARR_PROMTOOL" check healthy --url http://127.0.0.1:1
}

@test "debug writes an archive, and says what a server does not offer" {
    inside "$KNARR_PROMTOOL" debug metrics "$THEIRS"
    tar xzOf debug.tar.gz metrics.txt | grep -q ^prometheus_build_info
    rm debug.tar.gz
    run -0 --separate-stderr inside "$KNARR_PROMTOOL" debug all "$OURS"
    [[ "$stderr" == *"the server does not offer /debug/pprof/heap: it answers with status 404"* ]]
    [ "$(tar tzf debug.tar.gz)" = metrics.txt ]
    rm debug.tar.gz
    run -1 inside "$KNARR_PROMTOOL" debug pprof "$OURS"
    [ ! -e debug.tar.gz ]
}

@test "a file says how to talk to a server" {
    printf 'basic_auth: {username: u, password: p}\n' >http.yml
    inside "$KNARR_PROMTOOL" query --http.config.file=http.yml instant "$OURS" 1
    printf 'basic_auth: {username: u, nonsense: p}\n' >bad.yml
    run -1 inside "$KNARR_PROMTOOL" query --http.config.file=bad.yml instant "$OURS" 1
    [[ "$output" == *"bad.yml:1: basic_auth: field nonsense not found"* ]] || { echo "$output"; false; }
}

@test "create-blocks-from rules fills in what recording rules would have recorded, as promtool does" {
    python3 - >in.om <<'P'
print("# TYPE x gauge")
for i in range(4):
    for t in range(0, 5 * 3600, 60):
        print('x{job="j%d",i="%d"} %d %d' % (i % 2, i, i + 1, 1700000040 + t))
print("# EOF")
P
    "$KNARR_PROMTOOL" tsdb create-blocks-from openmetrics -q in.om past
    echo 'global: {}' >past.yml
    nsenter --net="/run/netns/$NS" "$BIN/knarr-monitor" --config.file=past.yml --storage.tsdb.path=past --storage.tsdb.retention.time=100y \
        --web.listen-address=127.0.0.1:9092 >"$DATA/log/past.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9092/-/ready
    cat >rules.yml <<'Y'
groups:
- name: g
  interval: 5m
  rules:
  - {record: 'job:x:sum', expr: 'sum by (job) (x)', labels: {kind: 'a"b'}}
  - {record: 'x:count', expr: 'count(x)'}
  - {alert: None, expr: 'x > 1'}
- {name: usual, rules: [{record: 'x:max', expr: 'max without (i) (x)'}]}
Y
    local tool
    for tool in "$KNARR_PROMTOOL" promtool; do
        inside "$tool" tsdb create-blocks-from rules --url=http://127.0.0.1:9092 --start=1700000040 --end=1700014440 \
            --output-dir="${tool##*/}.blocks" rules.yml
        mkdir -p "${tool##*/}.blocks/wal"
        "$KNARR_PROMTOOL" tsdb dump "${tool##*/}.blocks" >"${tool##*/}.dump"
    done
    # The same series with the same values; promtool also takes alerts for series, and its times have an offset of the
    # group's own.
    told() { sed 's/ [0-9]*$//' "$1" | grep -v '"None"' | sort | uniq -c | awk '{$1 = int(($1 + 2) / 5); print}'; }
    diff <(told promtool.dump) <(told knarr-promtool.dump)
    [ "$(grep -c None knarr-promtool.dump)" = 0 ]
    [ "$(grep -c '^{__name__="x:count"} 4 17000[0-9]*00000$' knarr-promtool.dump)" = 48 ]
    [ "$(grep '__name__="x:max", job="j1"' knarr-promtool.dump | head -n 1)" = '{__name__="x:max", job="j1"} 4 1700000040000' ]
    promtool tsdb list knarr-promtool.blocks >/dev/null
    run inside "$KNARR_PROMTOOL" tsdb create-blocks-from rules --url=http://127.0.0.1:1 --start=1700000040 --end=1700014440 rules.yml
    [[ "$status" = 1 && "$output" == *'connect to 127.0.0.1 port 1'* ]]
    run "$KNARR_PROMTOOL" tsdb create-blocks-from rules --start=5 --end=4 rules.yml
    [[ "$status" = 1 && "$output" == 'start time is not before end time' ]]
    run "$KNARR_PROMTOOL" tsdb create-blocks-from rules rules.yml
    [[ "$status" = 1 && "$output" == *'--start is needed'* ]]
}

@test "push metrics sends a text by remote write of either version" {
    cat >push.txt <<'T'
# HELP pushed_total Things.
# TYPE pushed_total counter
pushed_total{job="own",q="a\"b"} 7
# TYPE took histogram
took_bucket{le="1"} 3
took_bucket{le="+Inf"} 4
took_sum 2.5
took_count 4
T
    nsenter --net="/run/netns/$NS" "$BIN/knarr-monitor" --config.file=9090.yml --storage.tsdb.path=receiver --web.enable-remote-write-receiver \
        --web.listen-address=127.0.0.1:9092 >"$DATA/log/receiver.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9092/-/ready
    value() { inside curl -sf -G http://127.0.0.1:9092/api/v1/query --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // "none"'; }
    run inside "$KNARR_PROMTOOL" push metrics http://127.0.0.1:9092 push.txt
    [ "$output" = "Parsing metrics file push.txt
  SUCCESS: metrics file push.txt pushed to remote write." ]
    [ "$(value 'pushed_total{job="promtool",exported_job="own",q="a\"b"}')" = 7 ]
    [ "$(value 'histogram_quantile(0.5, took_bucket)')" != none ]
    sed 's/7$/8/' push.txt | inside "$KNARR_PROMTOOL" push metrics --label=job=j --label=zone=z --protobuf_message=io.prometheus.write.v2.Request \
        http://127.0.0.1:9092
    [ "$(value 'pushed_total{job="j",zone="z"}')" = 8 ]
    run inside "$KNARR_PROMTOOL" push metrics --protobuf_message=x http://127.0.0.1:9092 push.txt
    [[ "$status" = 1 && "$output" == *'--protobuf_message: expected prometheus.WriteRequest or io.prometheus.write.v2.Request'* ]]
    run inside "$KNARR_PROMTOOL" push metrics http://127.0.0.1:9090 push.txt # takes none
    [[ "$status" = 1 && "$output" == *'FAILED: server returned HTTP status 404'* ]]
    echo 'a{' >bad.txt
    run inside "$KNARR_PROMTOOL" push metrics http://127.0.0.1:9092 bad.txt
    [[ "$status" = 1 && "$output" == *'FAILED: '* ]]
    # Debian's Prometheus as the receiver.
    nsenter --net="/run/netns/$NS" prometheus --config.file=9091.yml --storage.tsdb.path=theirs-receiver --web.enable-remote-write-receiver \
        --web.listen-address=127.0.0.1:9093 >"$DATA/log/their-receiver.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9093/-/ready
    inside "$KNARR_PROMTOOL" push metrics http://127.0.0.1:9093 push.txt
    [ "$(inside curl -sf -G http://127.0.0.1:9093/api/v1/query --data-urlencode 'query=took_sum' | jq -r '.data.result[0].value[1]')" = 2.5 ]
}
