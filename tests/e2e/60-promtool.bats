#!/usr/bin/env bats
# knarr promtool beside Debian's promtool on the same files: output and exit codes are the same.
bats_require_minimum_version 1.5.0

setup() {
    command -v promtool >/dev/null || skip "promtool is not installed"
    KNARR_PROMTOOL="${KNARR_BUILD:-$BATS_TEST_DIRNAME/../../build}/src/cmd/knarr-promtool"
    cd "$BATS_TEST_TMPDIR"
    printf 'groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  - {alert: B, expr: up == 0, for: 1m}\n' >good.yml
    printf 'groups:\n- name: g\n  rules:\n  - {record: a, expr: "up =="}\n' >bad.yml
    printf 'groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  - {record: a, expr: down}\n  - {record: b, expr: up, labels: {x: "1"}}\n' >twice.yml
}

# The same arguments (and standard input) to both: output and exit code must agree.
same() {
    local input=/dev/null
    [ "$1" = --stdin ] && { input="$2"; shift 2; }
    local want got want_code=0 got_code=0
    timeout "$(patience 60)" promtool "$@" <"$input" >want.out 2>want.err || want_code=$?
    timeout "$(patience 60)" "$KNARR_PROMTOOL" "$@" <"$input" >got.out 2>got.err || got_code=$?
    diff want.out got.out
    [ "$want_code" -eq "$got_code" ] || { echo "$*: exit code $got_code, not $want_code"; cat got.err; return 1; }
}
same_errors() {
    same "$@"
    diff want.err got.err
}

# ---- check ----

@test "check rules says what promtool says" {
    same check rules good.yml
    run "$KNARR_PROMTOOL" check rules <good.yml # which 2.42 does not do
    [ "$output" = $'Checking standard input\n  SUCCESS: 2 rules found' ]
    same check rules twice.yml
    same check rules --lint-fatal twice.yml
    same check rules --lint=none --lint-fatal twice.yml
    run "$KNARR_PROMTOOL" check rules --lint all,nonsense good.yml
    [ "${lines[0]}" = 'WARNING: unknown lint option: "nonsense"' ]
    run --separate-stderr "$KNARR_PROMTOOL" check rules bad.yml
    [ "$status" -eq 1 ] && [ "$output" = "Checking bad.yml" ]
    [[ "$stderr" == *'group "g", rule 1, "a": could not parse expression'* ]]
}

@test "a rule that is there twice is named with its labels" {
    run --separate-stderr "$KNARR_PROMTOOL" check rules --lint-fatal twice.yml
    [ "$status" -eq 3 ]
    [[ "$stderr" == *$'lint error 1 duplicate rule(s) found.\nMetric: a\nLabel(s):\nMight cause'* ]]
}

@test "unknown keys of rule files are allowed when asked for" {
    printf 'groups:\n- name: g\n  owner: me\n  rules: [{record: a, expr: up, team: x}]\n' >extra.yml
    run --separate-stderr "$KNARR_PROMTOOL" check rules extra.yml
    [ "$status" -eq 1 ] && [[ "$stderr" == *"field owner not found"* ]]
    "$KNARR_PROMTOOL" check rules --ignore-unknown-fields extra.yml
}

@test "check config looks at what a configuration names" {
    printf '[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}]' >targets.json
    printf 'not: a list\n' >targets.yml
    printf 'rule_files: [good.yml, "t*.yml"]\nscrape_configs:\n- job_name: a\n  static_configs: [{targets: ["h:1"]}]\n' >rules.cfg
    mv targets.yml wrong.yml
    printf 'scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [targets.json, "none*.yml"]}]\n' >files.cfg
    printf 'scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [wrong.yml]}]\n' >wrong.cfg
    printf 'rule_files: [nowhere.yml]\n' >missing.cfg
    printf 'scrape_configs:\n- job_name: a\n  authorization: {credentials_file: nowhere}\n' >auth.cfg
    printf 'scrape_configs:\n- job_name: a\n  tls_config: {cert_file: c, key_file: k}\n' >tls.cfg
    printf 'scrape_configs:\n- job_name: a\n  static_configs: [{targets: ["http://h/"]}]\n' >url.cfg
    printf 'alerting:\n  alertmanagers:\n  - static_configs: [{targets: ["am:9093"]}]\n' >alerting.cfg
    printf 'scrape_configs:\n- job_name: a\n  nonsense: 1\n' >bad.cfg
    for f in rules files wrong missing auth tls url alerting bad; do
        same check config $f.cfg
        same check config --syntax-only $f.cfg
        same check config --agent $f.cfg
    done
    same check config rules.cfg files.cfg auth.cfg
    same check config --lint=all --lint-fatal rules.cfg
    run --separate-stderr "$KNARR_PROMTOOL" check config auth.cfg
    [[ "$stderr" == *'error checking authorization credentials or bearer token file "nowhere"'* ]]
    run --separate-stderr "$KNARR_PROMTOOL" check config missing.cfg
    [[ "$stderr" == *'"nowhere.yml" does not point to an existing file'* ]]
}

@test "a scrape interval beyond the lookback is a lint problem" {
    printf 'scrape_configs:\n- job_name: slow\n  scrape_interval: 10m\n' >slow.cfg
    "$KNARR_PROMTOOL" check config --lint-fatal slow.cfg
    run --separate-stderr "$KNARR_PROMTOOL" check config --lint=too-long-scrape-interval --lint-fatal slow.cfg
    [ "$status" -eq 3 ] && [[ "$stderr" == *"job: slow, interval: 10m"* ]]
    "$KNARR_PROMTOOL" check --query.lookback-delta=15m config --lint=all --lint-fatal slow.cfg
}

@test "check metrics lints and counts as promtool does" {
    cat >metrics <<'EOF'
# HELP ok_total Fine.
# TYPE ok_total counter
ok_total{a="1"} 1
ok_total{a="2"} 2
# TYPE requests counter
requests 1
# HELP size_kilobytes Not in bytes.
# TYPE size_kilobytes gauge
size_kilobytes{camelCase="x"} 1
# HELP time_ms_count Abbreviated.
# TYPE time_ms_count gauge
time_ms_count 1
# HELP my:gauge_total Many.
# TYPE my:gauge_total gauge
my:gauge_total{le="1",quantile="2"} 1
untyped_thing 3
# HELP dur_seconds A histogram.
# TYPE dur_seconds histogram
dur_seconds_bucket{le="1"} 1
dur_seconds_bucket{le="+Inf"} 2
dur_seconds_sum 3
dur_seconds_count 2
dur_seconds_bucket{x="y",le="1"} 1
dur_seconds_bucket{x="y",le="+Inf"} 2
dur_seconds_sum{x="y"} 3
dur_seconds_count{x="y"} 2
# HELP lat_minutes A summary.
# TYPE lat_minutes summary
lat_minutes{quantile="0.5"} 1
lat_minutes{quantile="0.9"} 2
lat_minutes_sum 3
lat_minutes_count 2
EOF
    same_errors --stdin metrics check metrics
    sed 1,2d metrics | head -0 >empty
    same_errors --stdin empty check metrics
    printf '# HELP a_total A.\n# TYPE a_total counter\na_total{x="1"} 1\na_total{x="2"} 1\na_total{x="3"} 1\n# HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds 1\n' >clean
    same_errors --stdin clean check metrics --extended
    printf 'this is not a metric\n' >broken
    same --stdin broken check metrics
    run "$KNARR_PROMTOOL" check metrics --lint=none </dev/null
    [ "$status" -eq 1 ]
}

@test "check web-config reads certificates and hashes" {
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout key.pem -out cert.pem -days 2 2>/dev/null
    openssl genrsa -out other.pem 2048 2>/dev/null
    hash='$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi'
    printf 'tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {a: "%s"}\n' "$hash" >ok.web
    printf 'tls_server_config: {cert_file: cert.pem, key_file: other.pem}\n' >pair.web
    printf 'tls_server_config: {cert_file: none.pem, key_file: key.pem}\n' >file.web
    printf 'tls_server_config: {cert_file: cert.pem}\n' >half.web
    printf 'tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem}\n' >policy.web
    printf 'tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: Maybe}\n' >auth.web
    printf 'basic_auth_users: {a: plain}\n' >plain.web
    printf 'nonsense: 1\n' >unknown.web
    printf 'http_server_config: {headers: {X-Frame-Options: deny}}\n' >header.web
    printf 'http_server_config: {headers: {X-Other: deny}}\n' >other.web
    for f in ok pair file half policy auth plain unknown header other; do
        same check web-config $f.web
    done
    same_errors check web-config ok.web header.web
    same check web-config pair.web ok.web
}

# ---- test ----

rules_and_tests() {
    cat >rules.yml <<'EOF'
groups:
- name: second
  rules:
  - record: job:double
    expr: job:up:sum * 2
- name: first
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 2m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }} of {{ $externalLabels.dc }} is down, see {{ $externalURL }}"}
EOF
    cat >test.yml <<'EOF'
rule_files: ["rul*.yml"]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
- name: both
  interval: 1m
  external_labels: {dc: north}
  external_url: http://prometheus.example
  input_series:
  - {series: 'up{job="a",instance="1"}', values: "1 1 0 0 0 0 _ stale 1x3"}
  - {series: 'up{job="a",instance="2"}', values: "1+0x10"}
  alert_rule_test:
  - eval_time: 3m
    alertname: Down
    exp_alerts: []
  - eval_time: 4m
    alertname: Down
    exp_alerts:
    - exp_labels: {job: a, instance: "1", severity: page}
      exp_annotations: {summary: "1 of north is down, see http://prometheus.example"}
  promql_expr_test:
  - expr: job:double
    eval_time: 3m
    exp_samples: [{labels: 'job:double{job="a"}', value: 2}]
  - expr: count(up) > 7
    eval_time: 3m
    exp_samples: []
  - expr: up{instance="2"} + 1
    eval_time: 5m
    exp_samples: [{labels: '{job="a",instance="2"}', value: 2}]
EOF
}

@test "test rules: what holds is a success" {
    rules_and_tests
    run -0 --separate-stderr "$KNARR_PROMTOOL" test rules test.yml
    [ "$output" = "  SUCCESS" ] && [ -z "$stderr" ]
}

@test "test rules: what fails is shown as promtool shows it" {
    rules_and_tests
    sed -i 's/value: 2}/value: 3}/; s/is down, see/was down, see/; s/eval_time: 5m/eval_time: 12m/' test.yml
    promtool test rules test.yml 2>want.err >want.out || want=$?
    "$KNARR_PROMTOOL" test rules test.yml 2>got.err >got.out || got=$?
    [ "$want" -eq 1 ] && [ "$got" -eq 1 ]
    diff want.err got.err
    diff <(sed '/^Unit Testing/d' want.out) got.out # newer ones do not print this line
}

@test "test rules: errors of rules, series, files and expressions" {
    rules_and_tests
    printf 'tests:\n- input_series: [{series: "up{", values: "1"}]\n  promql_expr_test: [{expr: up, eval_time: 0}]\n' >series.yml
    printf 'rule_files: [bad.yml]\ntests:\n- promql_expr_test: [{expr: up, eval_time: 0}]\n' >rulefile.yml
    printf 'tests:\n- promql_expr_test: [{expr: "up +", eval_time: 0}]\n' >expr.yml
    printf 'tests:\n- alert_rule_test: [{eval_time: 1m}]\n' >noname.yml
    printf 'group_eval_order: [a, b, a]\n' >order.yml
    printf 'tests: [{nonsense: 1}]\n' >unknown.yml
    for f in series rulefile expr noname order unknown; do
        run promtool test rules $f.yml
        [ "$status" -eq 1 ]
        run --separate-stderr "$KNARR_PROMTOOL" test rules $f.yml
        [ "$status" -eq 1 ] && [[ "$stderr" == *"FAILED:"* ]] || { echo "$f: $status, $stderr"; false; }
    done
    run --separate-stderr "$KNARR_PROMTOOL" test rules noname.yml
    [[ "$stderr" == *"misses required attribute alertname at eval_time 1m"* ]]
    run --separate-stderr "$KNARR_PROMTOOL" test rules order.yml
    [[ "$stderr" == *"group name repeated in evaluation order: a"* ]]
}

@test "test rules: tests are chosen by name, results go to a JUnit file" {
    rules_and_tests
    cat >more.yml <<'EOF'
tests:
- name: passes
  promql_expr_test: [{expr: "1", eval_time: 0, exp_samples: [{value: 1, labels: "{}"}]}]
- name: fails & more
  promql_expr_test: [{expr: "1", eval_time: 0, exp_samples: [{value: 2, labels: "{}"}]}]
EOF
    run -1 "$KNARR_PROMTOOL" test --junit=out.xml rules more.yml
    python3 - <<'EOF'
import xml.etree.ElementTree as et
suite = et.parse("out.xml").getroot()[0]
assert suite.get("tests") == "2" and suite.get("failures") == "1", suite.attrib
assert [c.get("name") for c in suite] == ["passes", "fails & more"]
assert "exp: {} 2E+00" in suite[1][0].text
EOF
    run -0 "$KNARR_PROMTOOL" test rules --run passes --run nothing more.yml
    run -1 "$KNARR_PROMTOOL" test rules --run 'fails.*' more.yml
}

@test "test rules: histograms, start times, fuzzy comparison, a coloured difference" {
    cat >new.yml <<'EOF'
fuzzy_compare: true
tests:
- start_timestamp: 2026-01-02T03:04:05Z
  input_series:
  - {series: h, values: "{{schema:0 count:3 sum:4 buckets:[1 2]}}"}
  - {series: x, values: "2.9999999999999996"}
  promql_expr_test:
  - expr: h
    eval_time: 0
    exp_samples: [{labels: h, histogram: "{{schema:0 count:3 sum:4 buckets:[1 2]}}"}]
  - expr: timestamp(x)
    eval_time: 0
    exp_samples: [{labels: "{}", value: 1767323045}]
  - expr: x
    eval_time: 0
    exp_samples: [{labels: x, value: 3}]
EOF
    run -0 "$KNARR_PROMTOOL" test rules new.yml
    rules_and_tests
    sed -i 's/severity: page}$/severity: mail}/' test.yml
    run --separate-stderr "$KNARR_PROMTOOL" test rules --diff test.yml
    [ "$status" -eq 1 ]
    [[ "$stderr" == *$'"severity": \033[0;33m"mail" => "page"\033[0m'* ]] || { printf '%q\n' "$stderr"; false; }
    run --separate-stderr "$KNARR_PROMTOOL" test rules --debug new.yml
    [[ "$stderr" == *"DEBUG: Starting test unnamed#0"*"x =>"*"3 @[1767323045000]"* ]] ||
        [[ "$stderr" == *"2.9999999999999996 @[1767323045000]"* ]]
}

@test "check service-discovery shows what a job finds as promtool does, and why a target cannot be" {
    cat >sd.yml <<'Y'
scrape_configs:
- job_name: a
  static_configs: [{targets: ['h1:1', 'h2:2'], labels: {zone: '<z>'}}]
  relabel_configs: [{source_labels: [__address__], regex: 'h2.*', action: drop}]
- job_name: files
  file_sd_configs: [{files: ['targets.json']}]
  relabel_configs: [{source_labels: [__meta_x], target_label: x}]
- job_name: b
  static_configs: [{targets: ['h9:1']}]
  relabel_configs: [{target_label: __address__, replacement: ''}]
- job_name: down
  http_sd_configs: [{url: 'http://127.0.0.1:1/'}]
Y
    echo '[{"targets": ["f1:1"], "labels": {"__meta_x": "1"}}]' >targets.json
    # Without labels that 2.42 does not have.
    older() { jq -S 'walk(if type == "object" then with_entries(select(.key | test("histograms") | not)) else . end)'; }
    peer_found() { promtool check service-discovery --timeout="${1}s" sd.yml a 2>/dev/null | older >want && [ "$(jq length want)" = 2 ]; }
    peer_found 2 || peer_found 10 # on a machine that is busy it may need longer
    "$KNARR_PROMTOOL" check service-discovery --timeout=500ms sd.yml a >got.json
    older <got.json | diff want -
    grep -q '"zone": "\\u003cz\\u003e"' got.json
    run "$KNARR_PROMTOOL" check service-discovery --timeout=500ms sd.yml files
    [ "$(jq -c '.[0].labels | [.instance, .x, .__meta_x]' <<<"$output")" = '["f1:1","1",null]' ]
    run "$KNARR_PROMTOOL" check service-discovery --timeout=300ms sd.yml b
    [ "$(jq -r '.[0].error' <<<"$output")" = 'no address' ]
    run -1 "$KNARR_PROMTOOL" check service-discovery --timeout=300ms sd.yml down
    [[ "$output" == *'connect to 127.0.0.1 port 1'* ]]
    run -1 "$KNARR_PROMTOOL" check service-discovery --timeout=1s sd.yml nobody
    [ "$output" = $'Job nobody not found. Select one of:\n\ta\n\tfiles\n\tb\n\tdown' ]
}

# ---- promql ---- (which 2.42 does not have)

@test "promql shows expressions in normal form and changes their matchers, when it is told that it may" {
    edit() { run "$KNARR_PROMTOOL" --experimental promql "$@"; }
    edit format 'sum(rate(a{x="1"}[5m])) by(y)'
    [ "$output" = 'sum by (y) (rate(a{x="1"}[5m]))' ]
    edit label-matchers set 'up{job="a"} + rate(b[5m])' job c
    [ "$output" = 'up{job="c"} + rate(b{job="c"}[5m])' ]
    edit label-matchers set -t '!~' 'max_over_time(b{x="1"}[1h:5m])' job 'c|d'
    [ "$output" = 'max_over_time(b{job!~"c|d",x="1"}[1h:5m])' ]
    edit label-matchers delete 'sum(up{job="a",job!="b",x="y"})' job
    [ "$output" = 'sum(up{x="y"})' ]
    edit label-matchers set -t '==' up job c
    [[ "$status" -eq 1 && "$output" == "--type: expected =, !=, =~ or !~, got '=='" ]]
    edit format 'up{'
    [[ "$status" -eq 1 && "$output" == '1:4: parse error: '* ]]
    run -1 "$KNARR_PROMTOOL" promql format up
    [[ "$output" == *'it needs the flag --experimental'* ]]
}

# ---- all ----

@test "every verb has --help, and a mistake exits with 1" {
    for verb in "check config" "check rules" "check metrics" "check web-config" "check service-discovery" "test rules" "test promql" "push metrics" \
        "promql format" "tsdb create-blocks-from rules"; do
        run -0 "$KNARR_PROMTOOL" $verb --help
        [[ "$output" == "usage: knarr promtool $verb"* ]]
        run -1 "$KNARR_PROMTOOL" $verb --no-such-flag
    done
    run -1 "$KNARR_PROMTOOL" check nothing
    run -1 "$KNARR_PROMTOOL" check config nowhere.cfg
    [[ "$output" == *"'nowhere.cfg' does not exist"* ]]
}
