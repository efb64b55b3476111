#!/bin/sh
# Samples scraped per CPU-second, knarr's scraper (storing nothing) against Prometheus (storing), on the body of
# a node exporter: bench/scrape.sh BUILD [BODY]. BODY is a file; without it one is asked of the node exporter.
set -eu
build=$1
dir=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
if [ $# -gt 1 ]; then
    cp "$2" "$dir/body"
else
    prometheus-node-exporter --web.listen-address=127.0.0.1:19191 >/dev/null 2>&1 &
    pids="$pids $!"
    for _ in 1 2 3 4 5 6 7 8 9 10; do curl -sf http://127.0.0.1:19191/metrics >"$dir/body" && break; sleep 0.3; done
fi
lines=$(grep -vc '^#' "$dir/body")
targets=20 seconds=10
echo "body: $(wc -c <"$dir/body") bytes, $lines samples; $targets targets every 200 ms for $seconds s"
"$build/bench/bench-scrape" serve 19192 "$dir/body" &
pids="$pids $!"
sleep 0.5
"$build/bench/bench-scrape" run 19192 $targets $seconds
command -v prometheus >/dev/null || { echo "prometheus: not installed"; exit 0; }
{
    echo "global: {scrape_interval: 200ms, scrape_timeout: 200ms}"
    echo "scrape_configs:"
    i=0
    while [ $i -lt $targets ]; do
        echo "- {job_name: j$i, metrics_path: /m$i, static_configs: [{targets: ['127.0.0.1:19192']}]}"
        i=$((i + 1))
    done
} >"$dir/prometheus.yml"
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" --web.listen-address=127.0.0.1:19193 \
    >/dev/null 2>&1 &
prom=$!
pids="$pids $prom"
value() { curl -sf http://127.0.0.1:19193/metrics | awk -v n="$1" '{ sub(/\{.*/, "", $1) } $1 == n { s += $2 } END { printf "%d", s }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$prom/stat"; }
sleep 7
a=$(value prometheus_tsdb_head_samples_appended_total) t=$(ticks)
sleep $seconds
b=$(value prometheus_tsdb_head_samples_appended_total) u=$(ticks)
awk -v n=$((b - a)) -v t=$((u - t)) -v hz="$(getconf CLK_TCK)" 'BEGIN {
    s = t / hz
    printf "prometheus: %d samples in %.2f CPU-seconds: %.2f million a CPU-second, %.0f ns each\n", n, s, n / s / 1e6, s * 1e9 / n }'
