#!/usr/bin/env bats
# Parts of Prometheus' HTTP API that no Prometheus of the distribution has: asked by curl, in a network namespace.

load helpers

setup() {
    need_root
    new_place
    cat >"$DATA/monitor.yml" <<Y
global: {scrape_interval: 1s}
scrape_configs:
- job_name: self
  basic_auth: {username: a, password: hidden}
  static_configs: [{targets: ['127.0.0.1:9090']}]
  relabel_configs:
  - {source_labels: [__address__], regex: '(.*):.*', target_label: host}
  - {source_labels: [zone], action: drop, regex: far}
  - {target_label: last, replacement: x}
Y
    URL=http://127.0.0.1:9090
}

teardown() { stop_all; }

start_monitor() { # FLAGS…
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml" "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}
get() { inside curl -sfg "$URL$1" "${@:2}"; }
error() { inside curl -sg -G "$URL$1" "${@:2}" | jq -r '"\(.errorType): \(.error)"'; }

@test "one scrape pool: its section, and its relabelling step by step" {
    start_monitor
    get '/api/v1/scrape_pools/config?scrapePool=self' | jq -r .data.yaml >"$DATA/pool.yml"
    grep -q '^job_name: self$' "$DATA/pool.yml"
    grep -q 'password: <secret>' "$DATA/pool.yml"
    ! grep -q hidden "$DATA/pool.yml" || false
    [ "$(error /api/v1/scrape_pools/config)" = "bad_data: no scrapePool parameter provided" ]
    [ "$(error '/api/v1/scrape_pools/config?scrapePool=x')" = 'bad_data: error retrieving scrape config: scrape pool "x" not found' ]

    steps() { get /api/v1/targets/relabel_steps -G -d scrapePool=self --data-urlencode "labels=$1" | jq -c .data.steps; }
    [ "$(steps '{"__address__":"h:1"}' | jq -c '[.[] | .keep, .output]')" = \
        '[true,{"__address__":"h:1","host":"h"},true,{"__address__":"h:1","host":"h"},true,{"__address__":"h:1","host":"h","last":"x"}]' ]
    [ "$(steps '{"__address__":"h:1","zone":"far"}' | jq -c '[.[] | .keep, .output]')" = \
        '[true,{"__address__":"h:1","host":"h","zone":"far"},false,{},false,{}]' ]
    [ "$(steps '{}' | jq -c '.[0].rule')" = \
        '{"source_labels":["__address__"],"separator":";","regex":"(.*):.*","target_label":"host","replacement":"$1","action":"replace"}' ]
    [ "$(error /api/v1/targets/relabel_steps -d scrapePool=self)" = "bad_data: no labels parameter provided" ]
    [[ "$(error /api/v1/targets/relabel_steps -d scrapePool=self -d labels=%7B)" == "bad_data: error parsing labels: "* ]]
    [[ "$(error /api/v1/targets/relabel_steps -d scrapePool=self --data-urlencode 'labels={"a":1}')" == "bad_data: error parsing labels: a: "* ]]
}

@test "blocks are told as their meta.json says" {
    "$KNARR_BUILD/bench/bench-tsdb" write "$DATA/monitor" 20 6
    start_monitor --storage.tsdb.retention.time=100y
    get /api/v1/status/tsdb/blocks | jq -S '.data.blocks | sort_by(.ulid)' >"$DATA/told"
    jq -S -s 'sort_by(.ulid)' "$DATA"/monitor/*/meta.json >"$DATA/there"
    [ "$(jq length "$DATA/there")" -gt 0 ]
    diff "$DATA/there" "$DATA/told"
}

@test "self_metrics has every family of /metrics" {
    start_monitor
    get /metrics | sed -n 's/^# TYPE \([^ ]*\) \(.*\)/\1 \U\2/p' | sort >"$DATA/there"
    get /api/v1/status/self_metrics >"$DATA/self"
    jq -r '.data[] | "\(.name) \(.type)"' "$DATA/self" | sort >"$DATA/told"
    diff "$DATA/there" "$DATA/told"
    jq -e '.data[] | select(.name == "prometheus_http_request_duration_seconds") | .metric[0] |
        (.label[0].name == "handler") and (.histogram.bucket | length == 10) and
        (.histogram.bucket[-1] | .upperBound == "Infinity") and
        (.histogram.sampleCount == .histogram.bucket[-1].cumulativeCount)' "$DATA/self"
    jq -e '.data[] | select(.name == "prometheus_ready") | .metric == [{gauge: {value: 1}}]' "$DATA/self"
    get '/api/v1/status/self_metrics?metric_name_pattern=process_open.*' | jq -e '[.data[].name] == ["process_open_fds"]'
    [[ "$(error '/api/v1/status/self_metrics?metric_name_pattern=(')" == "bad_data: invalid metric_name_pattern: "* ]]
}

@test "queries that SIGKILL has ended are named at the next start" {
    "$KNARR_BUILD/bench/bench-tsdb" write "$DATA/monitor" 2000 6
    start_monitor --storage.tsdb.retention.time=100y
    inside curl -sg -o /dev/null "$URL/api/v1/query_range" -d start=1700006400 -d end=1700028000 -d step=2 \
        --data-urlencode 'query=sum(quantile_over_time(0.9, {__name__=~".+", job!="a\"b"}[3h]))' 3>&- &
    echo "$!" >>"$PIDS"
    noted() { tr -d '\0' <"$DATA/monitor/queries.active" | grep -q 'quantile_over_time.*job!=.*timestamp_sec'; }
    wait_for 20 noted
    kill_role monitor KILL
    start_monitor --storage.tsdb.retention.time=100y
    grep -q 'did not finish in the last run: .*quantile_over_time' "$DATA/log/monitor.log"
    [ "$(tr -d '\0' <"$DATA/monitor/queries.active")" = "[" ]
    # Those that end are gone.
    get '/api/v1/query?query=1' >/dev/null
    [ "$(tr -d '\0' <"$DATA/monitor/queries.active")" = "[" ]
}

@test "the series of Prometheus' own dashboard and alerts are there" {
    sed -i 's/job_name: self/job_name: "se\\"lf"/' "$DATA/monitor.yml"
    start_monitor --web.enable-lifecycle
    scraped() { get /metrics | grep -q '^prometheus_target_interval_length_seconds_count{interval="1s"} [1-9]'; }
    wait_for 20 scraped
    get '/api/v1/query?query=up' >/dev/null
    get /metrics >"$DATA/metrics"
    for series in 'prometheus_sd_discovered_targets{name="scrape",config="se\"lf"} 1' \
        'prometheus_target_scrape_pool_targets{scrape_job="se\"lf"} 1' 'prometheus_target_sync_length_seconds_count{scrape_job="se\"lf"} 1' \
        'prometheus_target_sync_failed_total{scrape_job="se\"lf"} 0' 'prometheus_target_scrape_pools_total 1' \
        'prometheus_engine_query_duration_seconds_count{slice="prepare_time"} 1' 'prometheus_engine_query_duration_seconds_count{slice="result_sort"} 1' \
        'prometheus_config_last_reload_successful 1' 'prometheus_tsdb_reloads_failures_total 0' \
        'prometheus_tsdb_head_series_removed_total 0' 'prometheus_tsdb_head_truncations_total 0' 'prometheus_tsdb_retention_limit_seconds 1.296e+06' \
        'prometheus_tsdb_retention_limit_bytes 0' 'net_conntrack_listener_conn_accepted_total{listener_name="http"}' \
        'prometheus_target_scrapes_sample_duplicate_timestamp_total 0' \
        'prometheus_notifications_alertmanagers_discovered' 'prometheus_tsdb_head_samples_appended_total'; do
        grep -qF "$series" "$DATA/metrics" || { echo "$series"; false; }
    done
    # A configuration that changes is counted, and so are its targets.
    sed -i "s/targets: \['127.0.0.1:9090'\]/targets: ['127.0.0.1:9090', '127.0.0.1:1']/" "$DATA/monitor.yml"
    inside curl -sf -X POST "$URL/-/reload"
    two() { get /metrics | grep -qF 'prometheus_target_scrape_pool_targets{scrape_job="se\"lf"} 2'; }
    wait_for 20 two
    get /metrics | grep -q '^prometheus_target_scrape_pool_reloads_total 1$'
}

@test "times have Go's form: as many digits as there are" {
    start_monitor
    scraped() { get /api/v1/targets | jq -e '.data.activeTargets[0].lastScrape != "0001-01-01T00:00:00Z"'; }
    wait_for 20 scraped
    get /api/v1/targets | jq -e '.data.activeTargets[0].lastScrape | test("T[0-9:]{8}(\\.[0-9]{0,2}[1-9])?Z$")'
}

@test "openapi.yaml describes every path, and each path it describes is served" {
    start_monitor
    get /api/v1/openapi.yaml >"$DATA/openapi.yaml"
    python3 - "$DATA/openapi.yaml" >"$DATA/paths" <<'PY'
import re, sys, yaml
doc = yaml.safe_load(open(sys.argv[1]))
assert doc["openapi"] == "3.1.0" and doc["servers"][0]["url"].endswith(":9090/api/v1"), doc
def resolve(ref):
    at = doc
    for part in ref.removeprefix("#/").split("/"):
        at = at[part]
def walk(x):
    if isinstance(x, dict):
        if "$ref" in x: resolve(x["$ref"])
        for v in x.values(): walk(v)
    elif isinstance(x, list):
        for v in x: walk(v)
walk(doc)
ids = [op["operationId"] for p in doc["paths"].values() for op in p.values()]
assert len(set(ids)) == len(ids)
assert [p["name"] for p in doc["paths"]["/query"]["get"]["parameters"] if p["required"]] == ["query"]
assert "match[]" in doc["paths"]["/series"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["required"]
for path, ops in doc["paths"].items():
    for name in re.findall("{(.*?)}", path):
        assert any(p["in"] == "path" and p["name"] == name for p in ops["get"]["parameters"])
    for method in ops: print(method.upper(), path.replace("{name}", "job"))
PY
    while read -r method path; do
        answer=$(inside curl -s -m 1 -X "$method" "$URL/api/v1$path" || true)
        [[ "$answer" != "404 page not found" && "$answer" != "Method Not Allowed" ]] || { echo "$method $path: $answer"; return 1; }
    done <"$DATA/paths"
    # What /metrics counts are the routes that there are.
    get /metrics | grep -o 'handler="/api/v1/[^"]*"' | sort -u | sed 's,.*/api/v1,,; s,",,; s,:name,job,' >"$DATA/counted"
    sed 's/^[A-Z]* //' "$DATA/paths" | sort -u | diff - <(sort "$DATA/counted")
    get '/api/v1/openapi.yaml?openapi_version=3.2' | grep -qx 'openapi: 3.2.0'
}

@test "OPTIONS and CORS: any path of the API; origins that --web.cors.origin lets in" {
    start_monitor --web.cors.origin='https://(a|b)\.example'
    headers() { inside curl -s -o /dev/null -D - "$@" | tr -d '\r'; }
    for path in query write no/such/path; do
        headers -X OPTIONS -H 'Origin: https://a.example' "$URL/api/v1/$path" >"$DATA/headers"
        head -1 "$DATA/headers" | grep -q ' 204'
        grep -qix 'access-control-allow-origin: https://a.example' "$DATA/headers"
        grep -qix 'access-control-allow-methods: GET, POST, OPTIONS' "$DATA/headers"
        grep -qix 'vary: Origin' "$DATA/headers"
    done
    ! headers -H 'Origin: https://a.example.evil' "$URL/api/v1/query?query=1" | grep -qi allow-origin || false
    headers -H 'Origin: https://b.example' "$URL/api/v1/query?query=1" | grep -qix 'access-control-allow-origin: https://b.example'
    ! headers "$URL/api/v1/query?query=1" | grep -qi access-control || false
    headers -X OPTIONS "$URL/metrics" | head -1 | grep -q ' 405'
}

@test "notifications: what is so now, and live what changes, for so many readers" {
    start_monitor --web.enable-lifecycle --web.max-notifications-subscribers=1
    [ "$(get /api/v1/notifications | jq -c .data)" = "[]" ]
    nsenter --net="/run/netns/$NS" curl -sN -D "$DATA/head" "$URL/api/v1/notifications/live" >"$DATA/events" 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 10 grep -q "^content-type: text/event-stream" "$DATA/head"
    [ "$(inside curl -s -o /dev/null -w '%{http_code}' "$URL/api/v1/notifications/live")" = 204 ]
    cp "$DATA/monitor.yml" "$DATA/good.yml"
    echo 'wrong: true' >"$DATA/monitor.yml"
    ! get /-/reload -X POST || false
    wait_for 10 grep -q '^data: .*"active":true}$' "$DATA/events"
    get /api/v1/notifications | jq -e '.data | length == 1 and .[0].text == "Configuration reload has failed." and .[0].active'
    cp "$DATA/good.yml" "$DATA/monitor.yml"
    get /-/reload -X POST
    wait_for 10 grep -q '^data: .*"active":false}$' "$DATA/events"
    [ "$(grep -c . "$DATA/events")" = 2 ]
    [ "$(get /api/v1/notifications | jq -c .data)" = "[]" ]
    get /metrics | grep -qx 'prometheus_api_notification_updates_sent_total 2'
    get /metrics | grep -qx 'prometheus_api_notification_active_subscribers 1'
    kill "$(tail -1 "$PIDS")"
    none() { get /metrics | grep -qx 'prometheus_api_notification_active_subscribers 0'; }
    wait_for 10 none
}

@test "/federate in protobuf, for a Prometheus that prefers it: numbers, and histograms with custom bounds as classic ones" {
    mkdir -p "$DATA/www"
    printf '# TYPE took histogram\ntook_bucket{le="0.5"} 1\ntook_bucket{le="+Inf"} 3\ntook_sum 9\ntook_count 3\n# TYPE n gauge\nn 7\n' >"$DATA/www/metrics"
    (cd "$DATA/www" && exec nsenter --net="/run/netns/$NS" python3 -m http.server --bind 127.0.0.1 9094 >/dev/null 2>&1 3>&-) &
    echo "$!" >>"$PIDS"
    cat >"$DATA/monitor.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {region: eu}}
scrape_configs:
- job_name: source
  convert_classic_histograms_to_nhcb: true
  fallback_scrape_protocol: PrometheusText0.0.4
  static_configs: [{targets: ['127.0.0.1:9094']}]
Y
    start_monitor
    scraped() { [ "$(get '/api/v1/query?query=took' | jq '.data.result | length')" = 1 ]; }
    wait_for 20 scraped
    proto='application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
    inside curl -sg -o "$DATA/body" -D - -H "Accept: $proto;q=0.7,text/plain;q=0.3" "$URL/federate?match[]=n" | tr -d '\r' |
        grep -qix "content-type: ${proto//;/; }; escaping=underscores"
    ! grep -qa '# TYPE' "$DATA/body" || false
    inside curl -sg -D - -H "Accept: $proto;q=0.3,text/plain;q=0.7" "$URL/federate?match[]=n" | grep -qa '^# TYPE n untyped'
    command -v prometheus >/dev/null || skip "no prometheus"
    cat >"$DATA/prometheus.yml" <<Y
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
- job_name: federate
  honor_labels: true
  metrics_path: /federate
  params: {'match[]': ['{job="source"}']}
  static_configs: [{targets: ['127.0.0.1:9090']}]
Y
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/reader" \
        --enable-feature=native-histograms --web.listen-address=127.0.0.1:9092 >"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    theirs() { inside curl -sfG http://127.0.0.1:9092/api/v1/query --data-urlencode "query=$1" | jq -r '.data.result[0].value[1]'; }
    read_there() { [ "$(theirs 'n{region="eu", job="source", instance="127.0.0.1:9094"}')" = 7 ] && [ "$(theirs 'up{job="federate"}')" = 1 ]; }
    wait_for 30 read_there
    [ "$(theirs 'took_bucket{le="0.5",region="eu"}')" = 1 ]
    [ "$(theirs 'took_bucket{le="+Inf"}')" = 3 ]
    [ "$(theirs 'took_sum')" = 9 ]
}

@test "rules and clients share --query.max-concurrency: neither passes the other, and none waits for ever" {
    "$KNARR_BUILD/bench/bench-tsdb" write "$DATA/monitor" 2000 6
    cat >"$DATA/rules.yml" <<'Y'
groups:
- {name: light1, interval: 100ms, rules: [{record: one, expr: '1'}, {record: two, expr: 'one + 1'}]}
- {name: light2, interval: 100ms, rules: [{record: three, expr: '3'}, {alert: Always, expr: 'vector(1)', annotations: {a: '{{ query "1" | first | value }}'}}]}
Y
    printf 'rule_files: [%s]\n' "$DATA/rules.yml" >"$DATA/monitor.yml"
    start_monitor --storage.tsdb.retention.time=100y --query.max-concurrency=1 --web.enable-lifecycle --enable-feature=concurrent-rule-eval
    ! grep -q "has no effect" "$DATA/log/monitor.log" || false
    get /metrics | grep -qx 'prometheus_engine_queries_concurrent_max 1'
    for i in $(seq 50); do [ "$(get '/api/v1/query?query=1%2B1' | jq -r '.data.result[1]')" = 2 ]; done
    evaluated() { get /api/v1/rules | jq -e '[.data.groups[].rules[] | .health == "ok"] | all'; }
    wait_for 20 evaluated
    # A rule that takes its time: clients wait behind it, up to their own timeout.
    cat >"$DATA/rules.yml" <<'Y'
groups:
- {name: heavy, interval: 100ms, rules: [{record: heavy, expr: 'sum_over_time(sum(quantile_over_time(0.9, {__name__=~".+"}[3h]))[6h:2s] @ 1700028000)'}]}
Y
    inside curl -sf -X POST "$URL/-/reload"
    noted() { tr -d '\0' <"$DATA/monitor/queries.active" | grep -q quantile_over_time; }
    wait_for 20 noted
    [ "$(error '/api/v1/query?query=1&timeout=200ms')" = "timeout: query timed out in query queue" ]
    get /metrics | grep -qx 'prometheus_engine_queries 1'
    printf 'rule_files: []\n' >"$DATA/monitor.yml"
    inside curl -sf -X POST "$URL/-/reload"
    kill_role monitor
}

@test "search: names and values that resemble a text, as lines of JSON" {
    start_monitor
    [ "$(error '/api/v1/search/metric_names?search[]=up')" = "unavailable: search API disabled" ]
    kill_role monitor
    start_monitor --enable-feature=search-api --web.search.max-limit=50
    scraped() {
        get /api/v1/search/metric_names | jq -se '.[0].results | length == 50' &&
            get '/api/v1/metadata?metric=prometheus_http_requests_total' | jq -e '.data | length == 1' &&
            get '/api/v1/query?query=prometheus_http_requests_total' | jq -e '.data.result | length > 0'
    }
    wait_for 20 scraped
    for n in 0 1 2; do get "/api/v1/metadata?limit=$n" | jq -e ".data | length == $n"; done
    get /api/v1/search/metric_names -D "$DATA/head" >"$DATA/all"
    tr -d '\r' <"$DATA/head" | grep -qix 'content-type: application/x-ndjson; charset=utf-8'
    jq -se '.[-1] == {status: "success", has_more: true}' "$DATA/all"
    [ "$(get '/api/v1/search/metric_names?search[]=httpreqtot&sort_by=score&limit=1&include_metadata=true&include_score=true' | head -1 |
        jq -c '.results[0] | [.name, .type, .help, (.score > 0.1 and .score < 1)]')" = \
        '["prometheus_http_requests_total","counter","Counter of HTTP requests.",true]' ]
    [ "$(get '/api/v1/search/label_names?search[]=ins' | head -1)" = '{"results":[{"name":"instance"}]}' ]
    [ "$(get '/api/v1/search/label_values?label=instance&search[]=:90&match[]=up')" = \
        $'{"results":[{"value":"127.0.0.1:9090"}]}\n{"status":"success","has_more":false}' ]
    [ "$(get '/api/v1/search/label_values?label=instance&search[]=nothing')" = $'{"results":[]}\n{"status":"success","has_more":false}' ]
    [ "$(get '/api/v1/search/metric_names?search[]=UP&case_sensitive=false&search[]=nonsense&sort_by=score&limit=1&include_score=true' | head -1)" = \
        '{"results":[{"name":"up","score":1}]}' ]
    # Batches, downwards; both methods.
    get /api/v1/search/label_names -d limit=5 -d batch_size=2 -d sort_by=alpha -d sort_dir=dsc >"$DATA/down"
    [ "$(jq -c '.results | length?' "$DATA/down" | tr '\n' ' ')" = "2 2 1 0 " ]
    jq -se '[.[].results[]?.name] == ([.[].results[]?.name] | sort | reverse)' "$DATA/down"
    for case in 'metric_names?limit=51|limit 51 exceeds the configured maximum (50, see --web.search.max-limit)' \
        'metric_names?limit=0|invalid limit "0": must be a positive integer' \
        'metric_names?sort_dir=asc|sort_dir is only valid when sort_by is set' \
        'metric_names?sort_by=score|sort_by=score requires search[] to be set' \
        'metric_names?fuzz_alg=x|unsupported fuzz_alg "x": must be one of [subsequence jarowinkler]' \
        'metric_names?fuzz_threshold=101|invalid fuzz_threshold "101": must be 0-100' \
        'metric_names?include_metadata=x|invalid include_metadata "x": must be boolean' \
        'metric_names?start=2&end=1|end timestamp must not be before start timestamp' \
        'label_values|missing required parameter "label"'; do
        [ "$(error "/api/v1/search/${case%%|*}")" = "bad_data: ${case#*|}" ] || { echo "$case"; error "/api/v1/search/${case%%|*}"; false; }
    done
}

@test "features: what is there, and whether it is on" {
    start_monitor --web.enable-lifecycle --enable-feature=search-api,promql-experimental-functions
    get /api/v1/features | jq -e '.data | .api.search and .api.lifecycle and (.api.admin | not) and .rules.keep_firing_for and
        (.rules.concurrent_rule_eval | not) and .promql_functions.rate and .promql_functions.info and .promql.at_modifier and
        (.promql.fill | not) and .prometheus.server_mode and .promql_operators.sum and .promql_operators.atan2 and
        .promql_operators["=~"] and .promql_operators.limitk and (.promql_operators | length) == 35'
    kill_role monitor
    start_monitor --enable-feature=concurrent-rule-eval,exemplar-storage,promql-binop-fill-modifiers
    get /api/v1/features | jq -e '.data | .rules.concurrent_rule_eval and .tsdb.exemplar_storage and .promql.fill and .promql.fill_left and
        (.promql_functions.info | not) and (.promql_operators.limit_ratio | not) and .promql_operators.unless and (.api.search | not) and (.api.lifecycle | not)'
}

@test "query_log_file: each query is a line, of clients and of rules; a reload changes it, one that cannot be opened is named" {
    printf 'groups: [{name: g, interval: 200ms, rules: [{record: "x", expr: "sum(up) + 1"}]}]\n' >"$DATA/rules.yml"
    config() { printf 'global: {query_log_file: %s}\nrule_files: [rules.yml]\n' "$1" >"$DATA/monitor.yml"; }
    config first.log
    start_monitor --web.enable-lifecycle
    get '/api/v1/query?query=vector(1)&time=1700000000.5' >/dev/null
    inside curl -sf "$URL/api/v1/query_range" -d 'query=time()&start=1700000000&end=1700000060&step=15' >/dev/null
    inside curl -s "$URL/api/v1/query?query=quantile_over_time(0.5,x%5B1h:1s%5D)&timeout=1ms" >/dev/null
    jq -se 'map(select(.params.query == "vector(1)")) | .[0] | .params.start == "2023-11-14T22:13:20.500Z" and .params.step == 0 and .msg == "promql query logged" and
        .httpRequest == {clientIP: "127.0.0.1", method: "GET", path: "/api/v1/query"}' "$DATA/first.log"
    jq -se 'map(select(.params.query == "time()")) | .[0] | .params.end == "2023-11-14T22:14:20.000Z" and .params.step == 15 and
        .httpRequest.method == "POST" and .stats.timings.evalTotalTime > 0 and .stats.samples.peakSamples >= 0' "$DATA/first.log"
    has_rule() { grep -q '"query":"sum(up) + 1"' "$DATA/$1"; }
    wait_for 10 has_rule first.log
    config second.log
    inside curl -sf -X POST "$URL/-/reload"
    wait_for 10 has_rule second.log
    config nowhere/third.log
    inside curl -s -X POST "$URL/-/reload" | grep -q "query_log_file: open '.*/nowhere/third.log': No such file"
    rm "$DATA/second.log" && touch "$DATA/second.log" # the old one is in force, and is written to
    printf 'rule_files: [rules.yml]\n' >"$DATA/monitor.yml"
    inside curl -sf -X POST "$URL/-/reload"
    get '/api/v1/query?query=vector(2)' >/dev/null
    [ ! -s "$DATA/second.log" ]
}

@test "scrape_failure_log_file: each scrape that fails is a line; one that cannot be opened is named and costs nothing else" {
    cat >"$DATA/monitor.yml" <<Y
global: {scrape_interval: 200ms, scrape_failure_log_file: failed.log}
scrape_configs:
- {job_name: gone, static_configs: [{targets: ['127.0.0.1:1']}]}
- {job_name: "a\"b", scrape_failure_log_file: nowhere/own.log, static_configs: [{targets: ['127.0.0.1:9090']}]}
Y
    start_monitor
    logged() { [ -s "$DATA/failed.log" ]; }
    wait_for 10 logged
    head -n 1 "$DATA/failed.log" | jq -e '.level == "ERROR" and .job_name == "gone" and .target == "http://127.0.0.1:1/metrics" and (.msg | test("onnection refused"))'
    grep -q 'job "a"b": scrape_failure_log_file: open .*/nowhere/own.log' "$DATA/log/monitor.log"
    is_up() { [ "$(get '/api/v1/query?query=sum(up)' | jq -r '.data.result[0].value[1]')" = 1 ]; }
    wait_for 10 is_up
}
