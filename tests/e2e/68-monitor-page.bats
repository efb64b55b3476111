#!/usr/bin/env bats
# The web page of knarr-monitor in a real browser: Debian's Chromium without a screen, driven by page.py, in a network
# namespace that has nothing but the monitor.

load helpers

setup() {
    need_root
    command -v chromium >/dev/null || skip "needs Debian's chromium"
    new_place
    URL=http://127.0.0.1:9090
    cat >"$DATA/monitor.yml" <<'Y'
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs:
- {job_name: self, metrics_path: PREFIX/metrics, static_configs: [{targets: ['127.0.0.1:9090']}]}
Y
    echo 'groups: []' >"$DATA/rules.yml"
}

teardown() { stop_all; }

start_monitor() { # FLAGS…
    sed -i "s,PREFIX,${PREFIX:-}," "$DATA/monitor.yml"
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml" \
        --web.enable-remote-write-receiver --web.enable-otlp-receiver "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}

scraped() { [ "$(inside curl -sf "$URL/api/v1/query" -d 'query=up == 1' | jq '.data.result | length')" -ge 1 ]; }
page() { # NAME ARGUMENT…
    local name=$1
    shift
    PATIENCE=$(patience 15) inside timeout "$(patience 100)" "$E2E_DIR/page.py" "$name" "$URL" "$@"
}
put() { # SERIES VALUE…
    local now samples=()
    now=$(date +%s%3N)
    while [ $# -gt 0 ]; do
        samples+=("$1 $2 $now")
        shift 2
    done
    "$E2E_DIR/remote-write.py" 1 "${samples[@]}" >"$DATA/write"
    inside curl -sf --data-binary @"$DATA/write" -H 'Content-Type: application/x-protobuf' -H 'Content-Encoding: snappy' \
        "$URL/api/v1/write"
}
header() { inside curl -s -o /dev/null -D - "${@:2}" "$URL$1" | tr -d '\r'; } # PATH OPTIONS…

@test "an expression gives a table and a graph, and the address keeps both" {
    start_monitor
    wait_for 20 scraped
    page expression
    page address
    page staying
}

@test "a mistake is shown at its place, warnings and infos below the expression" {
    start_monitor
    wait_for 20 scraped
    page mistake
    page notes
}

@test "completion by keyboard knows functions, metrics, labels and values" {
    start_monitor
    wait_for 20 scraped
    page completion
}

@test "a graph has a legend, values under the mouse, and a zoom" {
    start_monitor
    wait_for 20 scraped
    page drawing
}

@test "exemplars are marks in the graph" {
    mkdir "$DATA/www"
    printf '# TYPE work counter\nwork_total 5 # {trace_id="abc"} 0.0 %s\n# EOF\n' "$(date +%s)" >"$DATA/www/metrics"
    nsenter --net="/run/netns/$NS" python3 -m http.server --bind 127.0.0.1 --directory "$DATA/www" 8080 >"$DATA/log/www.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 10 inside curl -sf http://127.0.0.1:8080/metrics
    echo "- {job_name: work, fallback_scrape_protocol: OpenMetricsText1.0.0, static_configs: [{targets: ['127.0.0.1:8080']}]}" \
        >>"$DATA/monitor.yml"
    start_monitor --enable-feature=exemplar-storage
    page exemplars
}

@test "targets, rules, alerts and status" {
    cat >>"$DATA/monitor.yml" <<'Y'
- {job_name: away, static_configs: [{targets: ['127.0.0.1:1']}]}
- {job_name: found, http_sd_configs: [{url: 'http://127.0.0.1:9090/nothing', refresh_interval: 200ms}]}
- job_name: gone
  static_configs: [{targets: ['127.0.0.1:2']}]
  relabel_configs: [{source_labels: [__address__], action: drop}]
Y
    cat >"$DATA/rules.yml" <<'Y'
groups:
- name: node
  rules:
  - {record: 'job:up:avg', expr: 'avg by (job) (up)'}
  - {alert: Down, expr: 'up == 0', labels: {severity: page}, annotations: {summary: '{{ $labels.instance }} is down <i>'}}
  - {alert: Never, expr: 'up > 2'}
Y
    start_monitor
    wait_for 20 scraped
    page targets
    page rules
    page status
}

@test "text from labels is never taken for HTML" {
    start_monitor
    put "evil{x=<img src=x onerror=window.hurt=1>}" 1
    page escaping
}

@test "ten thousand series do not hang the browser, native histograms are readable, a query that runs is given up" {
    local series=() i
    start_monitor
    for ((i = 0; i < 10000; i++)); do series+=("many{i=$i}" "$i"); done
    put "${series[@]}"
    page many 10000
    "$E2E_DIR/otlp.py" "$(date +%s%3N)" 2 >"$DATA/otlp"
    inside curl -sf --data-binary @"$DATA/otlp" -H 'Content-Type: application/x-protobuf' "$URL/api/v1/otlp/v1/metrics" >/dev/null
    page histograms
    page cancelling
}

@test "below a route prefix all links hold; the title is the flag's" {
    PREFIX=/deep/prom
    URL=$URL$PREFIX
    start_monitor --web.external-url=http://mon.example/deep/prom/ --web.page-title='A & <B>'
    wait_for 20 scraped
    page expression
    page status
    [ "$(header '' | sed -n 's/^location: //p')" = prom/graph ]
    [ "$(header '/query?g0.expr=up' | sed -n 's/^location: //p')" = 'graph?g0.expr=up' ]
    inside curl -s "$URL/graph" | grep -qF '<title>A &amp; &lt;B></title>'
}

@test "behind a proxy that takes a path away all links hold" {
    start_monitor --web.external-url=http://mon.example/mon/ --web.route-prefix=/
    wait_for 20 scraped
    nsenter --net="/run/netns/$NS" "$E2E_DIR/path-proxy.py" 8080 /mon "$URL" >"$DATA/log/proxy.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    URL=http://127.0.0.1:8080/mon
    wait_for 10 inside curl -sf "$URL/graph" -o /dev/null
    page expression
    page status
}

@test "files are served with their type, an ETag and gzip, the document with a policy" {
    start_monitor
    local etag
    etag=$(header /page/app.js | sed -n 's/^etag: //p')
    [ -n "$etag" ]
    [[ $(header /page/app.js -H "If-None-Match: $etag") == *' 304 '* ]]
    [[ $(header /page/app.js -H 'If-None-Match: "other"') == *' 200 '* ]]
    [[ $(header /page/app.js --compressed) == *'content-encoding: gzip'* ]]
    cmp <(inside curl -s "$URL/page/app.js") <(inside curl -s --compressed "$URL/page/app.js")
    cmp <(inside curl -s "$URL/page/dygraph.min.js") /usr/share/javascript/dygraphs/dygraph.min.js
    [[ $(header /page/style.css) == *'content-type: text/css'* ]]
    [[ $(header /page/index.html) == *' 404 '* ]]
    [[ $(header /page/../graph --path-as-is) == *' 404 '* ]]
    [[ $(header /graph) == *"content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';"* ]]
    [ "$(header / | sed -n 's/^location: //p')" = graph ]
    for p in graph targets rules alerts tsdb-status status flags config; do [[ $(header "/$p") == *' 200 '* ]]; done
}

@test "the page's words of PromQL are those of the parser" {
    local root=$E2E_DIR/../..
    diff <(grep -oE '(MATH|DATE|OVER_TIME|OVER_TIME_EXP|SPECIAL|ROW)\("[a-z0-9_]+"' "$root/src/monitor/promql/function.c" |
        cut -d'"' -f2 | sort) \
        <(sed -n '/^export const FUNCTIONS/,/^};/s/^  \([a-z0-9_]*\): .*/\1/p' "$root/src/monitor/page/terms.js" | sort)
}

@test "nothing of the page parses HTML or runs text" {
    run grep -nE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function' "$E2E_DIR"/../../src/monitor/page/*.js
    [ "$status" -eq 1 ]
}
