#!/bin/bash
# bench/queries.sh BUILD [SERIES...] - range queries over 6 h of samples every 15 s, one point each 15 s, by HTTP, over blocks
# on disk: knarr beside Prometheus, which opens a copy of the same folder, and VictoriaMetrics, which imports them; for 1,000 and
# 100,000 series. Then a regular expression over a million series. The best of some runs each; the
# answers of knarr and Prometheus are compared.
set -eu
cd "$(dirname "$0")/.."
BUILD=${1:-build}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- 1000 100000
. bench/servers.bash
ninja -C "$BUILD" src/cmd/knarr-monitor src/cmd/knarr-promtool bench/bench-queries bench/bench-tsdb >/dev/null
echo 'global: {}' >"$TMP/empty.yml"
flags="--storage.tsdb.retention.time=100y --query.max-samples=2000000000 --query.timeout=10m"
begin=1700006407 # not at a sample's time: the edges of windows changed with Prometheus 3.0

# ask NAME RUNS START END STEP QUERY: the best time in ms; what is compared of the answer into $TMP/NAME.answer
ask() {
    for _ in $(seq "$2"); do
        curl -s -o "$TMP/answer" -w '%{time_total}\n' "http://127.0.0.1:${PORT[$1]}/api/v1/query_range" \
            -d "start=$3" -d "end=$4" -d "step=$5" -d nocache=1 --data-urlencode "query=$6"
    done | sort -g | head -n 1 | awk '{ printf "%.2f", $1 * 1000 }'
    python3 - "$TMP/answer" >"$TMP/$1.answer" <<'PY'
import json, sys
answer = json.load(open(sys.argv[1]))
for row in sorted([json.dumps(s["metric"], sort_keys=True), len(s["values"]), "%.9g" % float(s["values"][-1][1])]
                  for s in answer["data"]["result"]) if answer["status"] == "success" else [answer]:
    print(row)
PY
}

compare() { # RUNS START END STEP, queries on stdin
    local runs=$1 query
    shift
    while read -r query; do
        k=$(ask knarr "$runs" "$@" "$query")
        v=
        [ -z "${PID[victoria]:-}" ] || v=$(ask victoria "$runs" "$@" "$query")
        if have prometheus; then
            p=$(ask prometheus "$runs" "$@" "$query")
            same=$(cmp -s "$TMP/knarr.answer" "$TMP/prometheus.answer" && echo same || echo DIFFERENT)
            awk -v k="$k" -v p="$p" -v v="$v" -v q="$query" -v same="$same" 'BEGIN {
                printf "%10.1f ms %10.1f ms %6.1fx  %-9s %13s  %s\n", k, p, p / k, same, v == "" ? "" : sprintf("%.1f ms", v), q }'
        else
            printf '%10.1f ms  %s\n' "$k" "$query"
        fi
    done
}

both_start() { # DIR
    server_start knarr "$TMP/empty.yml" "$1" $flags
    have prometheus || return 0
    cp -r "$1" "$1.peer"
    rm -f "$1.peer/lock"
    server_start prometheus "$TMP/empty.yml" "$1.peer" $flags
}
victoria_start() { # DIR: with its samples, through the format that it imports
    have victoria-metrics || return 0
    server_start victoria "$TMP/empty.yml" "$TMP/victoria"
    "$BUILD/src/cmd/knarr-promtool" tsdb dump-openmetrics "$1" | awk '!/^#/ { $NF = sprintf("%.0f", $NF * 1000); print }' |
        curl -sf -X POST -T - "http://127.0.0.1:${PORT[victoria]}/api/v1/import/prometheus"
    curl -sf -o /dev/null "http://127.0.0.1:${PORT[victoria]}/internal/force_flush"
}
both_stop() {
    local name all=
    for name in knarr prometheus victoria; do
        [ -z "${PID[$name]:-}" ] || all="$all${all:+, }$name $(($(resident_kb $name) / 1000)) MB"
    done
    echo "  resident afterwards: $all"
    for name in knarr prometheus victoria; do [ -z "${PID[$name]:-}" ] || server_stop $name; done
    rm -rf "${1:?}" "$1.peer" "$TMP/victoria"
}

for series; do
    "$BUILD/bench/bench-queries" "$TMP/db" "$series"
    both_start "$TMP/db"
    victoria_start "$TMP/db"
    printf '%s series, 6 h at 15 s:\n%13s %13s %32s\n' "$series" knarr Prometheus VictoriaMetrics
    compare $((series > 10000 ? 2 : 10)) $begin $((begin + 6 * 3600 - 15)) 15 <<'Q'
sum by (path) (rate(http_requests_total[5m]))
histogram_quantile(0.99, sum by (le) (rate(latency_seconds_bucket[5m])))
sum(topk(5, rate(http_requests_total[5m])))
sum(rate(http_requests_total{instance=~"host-.*[05]"}[5m]))
max by (code) (http_requests_total)
avg by (code) (avg_over_time(http_requests_total[1h]))
Q
    both_stop "$TMP/db"
done

"$BUILD/bench/bench-tsdb" write "$TMP/million" 1000000 1 300000 >/dev/null
both_start "$TMP/million"
victoria_start "$TMP/million"
printf "1000000 series, 1 h at 5 min:\n%13s %13s %32s\n" knarr Prometheus VictoriaMetrics
compare 3 $begin $((begin + 3600)) 300 <<'Q'
count({instance=~"host-.*77.*:9100"})
sum(node_metric_1_total{instance=~".*5.example:9100"})
count({__name__=~"node_metric_1.*", cpu!~"[12]"})
Q
both_stop "$TMP/million"
