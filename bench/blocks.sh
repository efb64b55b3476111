#!/bin/bash
# bench/blocks.sh BUILD [SCRAPES] - bytes per sample on disk after compaction: SCRAPES (960) answers of a real node exporter,
# asked twice a second and dated 15 s apart, are made into blocks by promtool and by knarr promtool, and compacted by
# Prometheus and by knarr's monitor. Takes SCRAPES / 2 seconds to record.
set -eu
cd "$(dirname "$0")/.."
BUILD=${1:-build} scrapes=${2:-960}
. bench/servers.bash
ninja -C "$BUILD" src/cmd/knarr-monitor src/cmd/knarr-promtool >/dev/null
for program in prometheus promtool prometheus-node-exporter; do
    have $program || { echo "$program is not installed: no comparison" >&2; exit 1; }
done
prometheus-node-exporter --web.listen-address=127.0.0.1:$PORT_NEXT >"$TMP/exporter.log" 2>&1 &
PID[exporter]=$!
until curl -sf -o /dev/null "http://127.0.0.1:$PORT_NEXT/metrics"; do sleep 0.1; done
start=1699999200 # the begin of a block's range
for ((i = 0; i < scrapes; i++)); do
    curl -sf "http://127.0.0.1:$PORT_NEXT/metrics" | awk -v t=$((start + 15 * i)) '!/^#/ { print $0, t }'
    sleep 0.5
done >"$TMP/data.om"
server_stop exporter
echo "# EOF" >>"$TMP/data.om"
samples=$(($(wc -l <"$TMP/data.om") - 1))
promtool tsdb create-blocks-from openmetrics "$TMP/data.om" "$TMP/prometheus" >/dev/null
"$BUILD/src/cmd/knarr-promtool" tsdb create-blocks-from openmetrics "$TMP/data.om" "$TMP/knarr" >/dev/null
echo 'global: {}' >"$TMP/empty.yml"
echo "$samples samples of a node exporter, $((scrapes / 4)) minutes; bytes per sample in blocks:"
for name in knarr prometheus; do
    server_start $name "$TMP/empty.yml" "$TMP/$name" --storage.tsdb.retention.time=100y
    # Both compact a minute after the start at the latest.
    deadline=$((SECONDS + 150)) before=0 quiet=0
    while [ $quiet -lt 8 ] && [ $SECONDS -lt $deadline ]; do
        sleep 10
        now=$(du -sb "$TMP/$name" | cut -f1)
        if [ "$now" = "$before" ]; then quiet=$((quiet + 1)); else quiet=0; fi
        before=$now
    done
    server_stop $name
    bytes=$(cat "$TMP/$name"/0*/chunks/* "$TMP/$name"/0*/index | wc -c)
    awk -v n="$name" -v b="$bytes" -v s="$samples" -v k="$(ls -d "$TMP/$name"/0* | wc -l)" 'BEGIN { printf "  %-11s %.3f (%d blocks)\n", n, b / s, k }'
done
