#!/bin/bash
# bench/promql.sh BUILD [SERIES] - PromQL range queries over 6 h of data: knarr's engine over memory and, where Prometheus
# is installed, Prometheus over its own blocks of the same data (its time of evaluation, without HTTP and JSON).
set -eu
cd "$(dirname "$0")/.."
build=${1:-build} series=${2:-1000}
ninja -C "$build" bench/bench-promql >/dev/null
bench="$build/bench/bench-promql"
"$bench" "$series"
command -v prometheus >/dev/null && command -v promtool >/dev/null || { echo "prometheus is not installed: no comparison"; exit 0; }
dir=$(mktemp -d) pid=
trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid" || true; }; rm -rf "$dir"' EXIT
"$bench" "$series" dump >"$dir/data.om"
promtool tsdb create-blocks-from openmetrics "$dir/data.om" "$dir/tsdb" >/dev/null
echo "global: {}" >"$dir/prometheus.yml"
port=$((20000 + RANDOM % 20000))
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" --storage.tsdb.retention.time=100y \
    --query.max-samples=1000000000 --web.listen-address=127.0.0.1:$port >"$dir/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -sf "http://127.0.0.1:$port/-/ready" >/dev/null && break; sleep 0.1; done
echo "Prometheus $(prometheus --version 2>&1 | sed -n 's/^prometheus, version \([^ ]*\).*/\1/p'), best of 5"
"$bench" queries | while read -r query; do
    for _ in 1 2 3 4 5; do
        curl -s "http://127.0.0.1:$port/api/v1/query_range" --data-urlencode "query=$query" -d start=3600 -d end=21600 -d step=60 \
            -d stats=true | sed -n 's/.*"evalTotalTime":\([0-9.e-]*\).*/\1/p'
    done | sort -g | head -n 1 | awk -v q="$query" '{ printf "%9.2f ms  %s\n", $1 * 1000, q }'
done
