#!/bin/bash
# bench/ingest.sh BUILD [TARGETS] [SECONDS] - samples stored per CPU-second through scrapes of TARGETS (200) targets that
# answer as a node exporter does, one second apart, and the memory that takes: knarr, Prometheus and VictoriaMetrics, one after
# the other, with storage. Bodies are recorded from a real node exporter beforehand.
set -eu
cd "$(dirname "$0")/.."
BUILD=${1:-build} targets=${2:-200} seconds=${3:-30}
. bench/servers.bash
ninja -C "$BUILD" src/cmd/knarr-monitor bench/bench-target >/dev/null
have prometheus-node-exporter || { echo "the node exporter is not installed: nothing to record" >&2; exit 1; }

mkdir "$TMP/bodies"
prometheus-node-exporter --web.listen-address=127.0.0.1:$PORT_NEXT >"$TMP/exporter.log" 2>&1 &
PID[exporter]=$!
until curl -sf -o /dev/null "http://127.0.0.1:$PORT_NEXT/metrics"; do sleep 0.1; done
for i in $(seq 0 29); do curl -sf "http://127.0.0.1:$PORT_NEXT/metrics" >"$TMP/bodies/$i"; done
server_stop exporter
PORT_NEXT=$((PORT_NEXT + 1))
target=$PORT_NEXT
"$BUILD/bench/bench-target" $target "$TMP/bodies" &
PID[target]=$!
{
    echo "global: {scrape_interval: 1s, scrape_timeout: 1s}"
    echo "scrape_configs:"
    for i in $(seq "$targets"); do
        echo "- {job_name: j$i, metrics_path: /m$i, static_configs: [{targets: ['127.0.0.1:$target']}]}"
    done
} >"$TMP/scrape.yml"
echo "$targets targets of $(grep -vc '^#' "$TMP/bodies/0") samples ($(wc -c <"$TMP/bodies/0") bytes) each second, $seconds s:"
for name in knarr prometheus victoria; do
    case $name in prometheus) have prometheus || continue ;; victoria) have victoria-metrics || continue ;; esac
    server_start $name "$TMP/scrape.yml" "$TMP/$name"
    sleep 10 # all series are made, every target was asked some times
    a=$(samples_stored $name) t=$(cpu_ticks $name)
    sleep "$seconds"
    b=$(samples_stored $name) u=$(cpu_ticks $name)
    awk -v name=$name -v n=$((b - a)) -v t=$((u - t)) -v hz="$(getconf CLK_TCK)" -v kb="$(resident_kb $name)" 'BEGIN {
        s = t / hz
        printf "  %-11s %9d samples in %6.2f CPU-seconds: %5.2f million a CPU-second; %4d MB resident\n", name, n, s, n / s / 1e6, kb / 1000 }'
    server_stop $name
done
