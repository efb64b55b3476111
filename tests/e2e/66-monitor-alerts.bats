#!/usr/bin/env bats
# Rules and alerts of knarr-monitor, with Debian's Alertmanager to take them and Debian's Prometheus to compare with, in
# a network namespace of their own. What rules see is written by remote write, so that each test decides when it changes.

load helpers

setup() {
    need_root
    command -v prometheus-alertmanager >/dev/null || skip "needs Debian's prometheus-alertmanager"
    new_place
    mkdir "$DATA/rules"
    URL=http://127.0.0.1:9090
    AM=http://127.0.0.1:9093
    printf 'route: {receiver: none}\nreceivers: [{name: none}]\n' >"$DATA/am.yml"
    config "static_configs: [{targets: ['127.0.0.1:9093']}]"
}

teardown() { stop_all; }

# config SECTION-OF-ALERTMANAGERS
config() {
    cat >"$DATA/monitor.yml" <<Y
global: {evaluation_interval: 100ms, external_labels: {region: eu}}
rule_files: [rules/*.yml]
alerting:
  alert_relabel_configs: [{source_labels: [secret], regex: 'yes', action: drop}]
  alertmanagers:
  - $1
Y
}

start_monitor() { # FLAGS…
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml" \
        --web.enable-remote-write-receiver --web.enable-lifecycle --web.external-url=http://mon.example/ --web.route-prefix=/ "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}

start_alertmanager() { # [PORT]
    local port=${1:-9093}
    nsenter --net="/run/netns/$NS" prometheus-alertmanager --config.file="$DATA/am.yml" --storage.path="$DATA/am$port" \
        --web.listen-address="127.0.0.1:$port" --cluster.listen-address= >>"$DATA/log/alertmanager.log" 2>&1 3>&- &
    echo "$!" >"$DATA/alertmanager$port.pid"
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf "http://127.0.0.1:$port/-/ready"
}

put() { # SERIES VALUE…: now
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

get() { inside curl -sfg "$URL$1"; }
reload() { inside curl -s -X POST "$URL/-/reload"; }
alert() { get /api/v1/alerts | jq -c --arg n "$1" '[.data.alerts[] | select(.labels.alertname == $n)]'; } # NAME
is() { [ "$(alert "$1" | jq -r '.[0].state // "none"')" = "$2" ]; }                                     # NAME STATE
at_am() { inside curl -sf "${2:-$AM}/api/v2/alerts" | jq -c --arg n "$1" '[.[] | select(.labels.alertname == $n)]'; }
count_at_am() { [ "$(at_am "$1" "${3:-$AM}" | jq length)" = "$2" ]; } # NAME N [URL]
metric() { get /metrics | awk -v m="$1" 'index($0, m) == 1 { sum += $NF } END { print sum + 0 }'; }

@test "an alert is pending, fires, arrives at the Alertmanager as it should look, and is resolved" {
    cat >"$DATA/rules/a.yml" <<'Y'
groups:
- name: load
  labels: {team: infra}
  rules:
  - {record: 'load:double', expr: 'load * 2', labels: {kind: rec}}
  - alert: HighLoad
    expr: load:double > 10
    for: 1s
    labels: {severity: page, kind: ''}
    annotations:
      summary: '{{ $labels.host }} has {{ $value | printf "%.1f" }} in {{ $externalLabels.region }}'
      link: '{{ $externalURL }}/x'
  - {alert: Quiet, expr: 'load > 0', labels: {secret: 'yes'}}
Y
    start_alertmanager
    start_monitor
    put 'load{host=a}' 3 'load{host=b}' 7.5
    wait_for 10 is HighLoad pending
    count_at_am HighLoad 0
    wait_for 10 is HighLoad firing
    wait_for 10 count_at_am HighLoad 1
    run at_am HighLoad
    [ "$(jq -cS '.[0].labels' <<<"$output")" = \
        '{"alertname":"HighLoad","host":"b","region":"eu","severity":"page","team":"infra"}' ]
    [ "$(jq -cS '.[0].annotations' <<<"$output")" = '{"link":"http://mon.example/x","summary":"b has 15.0 in eu"}' ]
    [ "$(jq -r '.[0].generatorURL' <<<"$output")" = 'http://mon.example/graph?g0.expr=load%3Adouble+%3E+10&g0.tab=1' ]
    # It began to fire a second after it became active.
    local active starts
    active=$(date -d "$(alert HighLoad | jq -r '.[0].activeAt')" +%s%3N)
    starts=$(date -d "$(jq -r '.[0].startsAt' <<<"$output")" +%s%3N)
    [ $((starts - active)) -ge 1000 ]
    is Quiet firing
    count_at_am Quiet 0 # dropped by alert_relabel_configs
    [ "$(inside curl -sf -G "$URL/api/v1/query" --data-urlencode 'query=ALERTS{alertname="HighLoad"}' |
        jq -c '.data.result | length')" = 1 ]
    put 'load{host=b}' 1
    wait_for 10 is HighLoad none
    wait_for 10 count_at_am HighLoad 0
    [ "$(metric prometheus_notifications_errors_total)" = 0 ]
    [ "$(metric prometheus_notifications_sent_total)" -ge 2 ]
    [ "$(metric prometheus_rule_evaluation_failures_total)" = 0 ]
    get /metrics | promtool check metrics >/dev/null || [ "$?" -eq 3 ]
}

@test "keep_firing_for, and what waits is sent before the monitor ends" {
    cat >"$DATA/rules/a.yml" <<'Y'
groups:
- {name: g, rules: [{alert: Kept, expr: load > 5, keep_firing_for: 3s}, {alert: Late, expr: load < 0}]}
Y
    start_alertmanager
    start_monitor
    put load 9
    wait_for 10 count_at_am Kept 1
    put load 1
    wait_for 10 kept_since
    is Kept firing
    wait_for 10 is Kept none
    wait_for 10 count_at_am Kept 0
    # The Alertmanager hangs when the alert comes: it gets it all the same, after SIGTERM.
    kill -STOP "$(cat "$DATA/alertmanager9093.pid")"
    put load -1
    wait_for 10 is Late firing
    kill -TERM "$(cat "$DATA/monitor.pid")"
    wait_for 10 grep -q 'stopping on signal' "$DATA/log/monitor.log"
    kill -CONT "$(cat "$DATA/alertmanager9093.pid")"
    wait_for 10 role_is_gone monitor
    count_at_am Late 1
}
kept_since() { [ "$(alert Kept | jq -r '.[0].keepFiringSince // "no"')" != no ]; }

@test "alerts go on after SIGKILL: pending ones keep their time, firing ones fire at once" {
    cat >"$DATA/rules/a.yml" <<'Y'
groups:
- name: g
  rules:
  - {alert: Waits, expr: load > 5, for: 1h, labels: {host: '{{ $labels.host }}!'}}
  - {alert: Fires, expr: load > 5, for: 1s}
Y
    start_alertmanager
    start_monitor --rules.alert.for-grace-period=0s
    put 'load{host=a}' 9
    wait_for 10 is Fires firing
    wait_for 10 count_at_am Fires 1
    wait_for 10 stored Fires
    wait_for 10 stored Waits
    local before killed after
    before=$(alert Fires | jq -r '.[0].activeAt')
    kill_role monitor KILL
    killed=$(date +%s%3N)
    start_monitor --rules.alert.for-grace-period=0s
    wait_for 10 restored Waits "$killed"
    wait_for 10 restored Fires "$killed"
    after=$(alert Fires | jq -r '.[0].activeAt')
    [ "$(date -d "$before" +%s)" = "$(date -d "$after" +%s)" ]
    wait_for 10 is Fires firing
    is Waits pending
    count_at_am Fires 1
}
stored() { # NAME: ALERTS_FOR_STATE has it
    [ "$(inside curl -sf -G "$URL/api/v1/query" --data-urlencode "query=ALERTS_FOR_STATE{alertname=\"$1\"}" |
        jq '.data.result | length')" = 1 ]
}
restored() { # NAME MS: active since before that time
    [ "$(date -d "$(alert "$1" | jq -r '.[0].activeAt')" +%s%3N)" -lt "$2" ]
}

@test "Alertmanagers are found by file_sd_configs, come and go, and do not hold each other up" {
    config "{file_sd_configs: [{files: ['$DATA/am*.json'], refresh_interval: 1s}], path_prefix: /x/,
     relabel_configs: [{source_labels: [role], regex: other, action: drop},
       {source_labels: [path], regex: (.+), target_label: __alerts_path__}]}"
    echo '[{"targets": ["127.0.0.1:9093"], "labels": {"path": "/api/v2/alerts"}},
        {"targets": ["127.0.0.1:9099"], "labels": {"role": "other"}}]' >"$DATA/am1.json"
    echo 'groups: [{name: g, rules: [{alert: A, expr: load > 5}]}]' >"$DATA/rules/a.yml"
    start_alertmanager
    start_alertmanager 9094
    kill -STOP "$(cat "$DATA/alertmanager9093.pid")"
    start_monitor --rules.alert.resend-delay=200ms
    wait_for 10 managers '[["http://127.0.0.1:9093/api/v2/alerts"],["http://127.0.0.1:9099/x/api/v2/alerts"]]'
    echo '[{"targets": ["127.0.0.1:9094"], "labels": {"path": "/api/v2/alerts"}}]' >"$DATA/am2.json"
    wait_for 10 managers '[["http://127.0.0.1:9093/api/v2/alerts","http://127.0.0.1:9094/api/v2/alerts"],["http://127.0.0.1:9099/x/api/v2/alerts"]]'
    put load 9
    wait_for 10 count_at_am A 1 http://127.0.0.1:9094 # while the first one hangs
    kill -CONT "$(cat "$DATA/alertmanager9093.pid")"
    wait_for 10 count_at_am A 1
    echo '[]' >"$DATA/am1.json"
    wait_for 10 managers '[["http://127.0.0.1:9094/api/v2/alerts"],[]]'
    wait_for 10 no_metric_of 9093
    [ "$(get /metrics | grep '^prometheus_notifications_alertmanagers_discovered')" = \
        'prometheus_notifications_alertmanagers_discovered 1' ]
}
managers() {
    [ "$(get /api/v1/alertmanagers | jq -c '.data | [[.activeAlertmanagers[].url], [.droppedAlertmanagers[].url]] | map(sort)')" = "$1" ]
}
no_metric_of() { ! get /metrics | grep -q "^prometheus_notifications_.*127.0.0.1:$1/"; }

@test "a broken rule file leaves the running configuration in force, and is named" {
    echo 'groups: [{name: g, rules: [{alert: A, expr: load > 5, labels: {v: "1"}}]}]' >"$DATA/rules/a.yml"
    start_alertmanager
    start_monitor
    put load 9
    wait_for 10 is A firing
    local since
    since=$(alert A | jq -r '.[0].activeAt')
    printf 'groups:\n- name: other\n  rules:\n  - {alert: B, expr: "load >"}\n' >"$DATA/rules/b.yml"
    config "static_configs: [{targets: ['127.0.0.1:9999']}]"
    run reload
    [[ $output == *"rules/b.yml: 4:"* && $output == *'"other", rule 1, "B"'* ]]
    [ "$(get /api/v1/rules | jq -c '[.data.groups[].name]')" = '["g"]' ]
    managers '[["http://127.0.0.1:9093/api/v2/alerts"],[]]'
    is A firing
    run timeout 10 "$BIN/knarr-monitor" --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/other" \
        --web.listen-address=127.0.0.1:0
    [ "$status" -eq 1 ]
    [[ $output == *"rules/b.yml: 4:"* ]]
    # Mended, it is taken over, and the alert goes on as it was.
    printf 'groups:\n- name: other\n  rules:\n  - {alert: B, expr: "load > 5"}\n' >"$DATA/rules/b.yml"
    config "static_configs: [{targets: ['127.0.0.1:9093', '127.0.0.1:9999']}]"
    [ -z "$(reload)" ]
    wait_for 10 is B firing
    wait_for 10 count_at_am B 1
    [ "$(alert A | jq -r '.[0].activeAt')" = "$since" ]
    # A rule that is gone leaves no alert and no series.
    rm "$DATA/rules/a.yml"
    [ -z "$(reload)" ]
    is A none
    wait_for 10 no_series 'ALERTS{alertname="A"}'
}
no_series() {
    [ "$(inside curl -sf -G "$URL/api/v1/query" --data-urlencode "query=$1" | jq '.data.result | length')" = 0 ]
}

# What may differ between two servers is taken out: times, how long things took; that version leaves out empty labels
# of recording rules and shows groups without any rule that was asked for.
shape() {
    inside curl -sfg "$1" | jq -S 'del(.. | .evaluationTime?, .lastEvaluation?, .activeAt?) |
        walk(if type == "object" and .labels == {} then del(.labels) else . end) |
        if .data.groups then .data.groups |= map(select(.rules | length > 0)) else . end | .data.alerts |= (. // [] | sort)'
}

@test "rules and alerts are told as Debian's Prometheus tells them" {
    cat >"$DATA/rules/a.yml" <<'Y'
groups:
- name: one
  interval: 200ms
  limit: 5
  rules:
  - {record: 'up:sum', expr: 'sum(up)', labels: {a: b}}
  - {record: bad, expr: 'up + on() group_left() up{x="1"} or label_replace(up, "instance", "", "", "")'}
  - {alert: Up, expr: 'up == 1', labels: {sev: page}, annotations: {text: 'is {{ $value }}'}}
  - {alert: Slow, expr: 'up == 1', for: 1h30m}
  - {alert: Never, expr: 'up > 1 # a comment', keep_firing_for: 5m}
- {name: two, rules: [{alert: Up, expr: 'sum(up) / 4 > 0'}]}
Y
    echo 'groups: [{name: three, rules: [{record: again, expr: up:sum}]}]' >"$DATA/rules/b.yml"
    cat >>"$DATA/monitor.yml" <<Y
scrape_configs: [{job_name: peer, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: ['127.0.0.1:9091']}]}]
Y
    start_alertmanager
    start_monitor
    nsenter --net="/run/netns/$NS" prometheus --config.file="$DATA/monitor.yml" --storage.tsdb.path="$DATA/peer" \
        --web.listen-address=127.0.0.1:9091 >>"$DATA/log/prometheus.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 20 inside curl -sf http://127.0.0.1:9091/-/ready
    for path in '/api/v1/rules' '/api/v1/rules?type=alert' '/api/v1/rules?type=record' '/api/v1/alerts' \
        '/api/v1/alertmanagers'; do
        wait_for 20 same_shape "$path"
    done
    [ "$(get /api/v1/rules | jq '[.data.groups[].rules[]] | length')" = 7 ]
    # What is newer than that version.
    [ "$(get '/api/v1/rules?rule_name[]=Up&rule_name[]=Slow&rule_group[]=one' | jq -c '[.data.groups[].rules[].name]')" = \
        '["Up","Slow"]' ]
    [ "$(get "/api/v1/rules?file[]=$DATA/rules/b.yml" | jq -c '[.data.groups[].rules[].name]')" = '["again"]' ]
    [ "$(get '/api/v1/rules?match[]={sev="page"}' | jq -c '[.data.groups[].rules[].name]')" = '["Up"]' ]
    [ "$(get '/api/v1/rules?exclude_alerts=true&rule_name[]=Up' | jq -c '[.data.groups[].rules[].alerts]')" = '[null,null]' ]
    local names=() token='' page
    for _ in 1 2 3; do
        page=$(get "/api/v1/rules?group_limit=1${token:+&group_next_token=$token}")
        names+=("$(jq -r '.data.groups[].name' <<<"$page")")
        token=$(jq -r '.data.groupNextToken // ""' <<<"$page")
    done
    [ "${names[*]}" = 'one two three' ]
    [ -z "$token" ]
    local wrong
    for wrong in 'type=x' 'group_limit=0' 'group_limit=x' 'group_next_token=x' 'group_limit=1&group_next_token=x' \
        'exclude_alerts=perhaps' 'match[]={}' 'match[]=up{'; do
        [ "$(inside curl -sg "$URL/api/v1/rules?$wrong" | jq -r .errorType)" = bad_data ]
    done
}
same_shape() {
    shape "$URL$1" >"$DATA/ours"
    shape "http://127.0.0.1:9091$1" >"$DATA/theirs"
    diff "$DATA/ours" "$DATA/theirs"
}
