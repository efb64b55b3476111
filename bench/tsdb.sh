#!/bin/bash
# bench/tsdb.sh BUILD [SERIES] - the time-series database: samples appended per CPU-second, bytes resident per series, bytes
# per sample in blocks; then the start with a log of SERIES series (1,000,000), beside Debian's Prometheus on a copy of the
# same folder where it is installed.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
series=${2:-1000000}
ninja -C "$build" bench/bench-tsdb >/dev/null
tmp=$(mktemp -d)
prometheus=
trap '[ -z "$prometheus" ] || kill -9 "$prometheus" 2>/dev/null; rm -rf "$tmp"' EXIT
"$build/bench/bench-tsdb" write "$tmp/small" 10000 9
"$build/bench/bench-tsdb" write "$tmp/large" "$series" 1 300000
cp -r "$tmp/large" "$tmp/peer"
echo "start with $series series in the log:"
echo "  knarr: $("$build/bench/bench-tsdb" open "$tmp/large")"
command -v prometheus >/dev/null || { echo "  Prometheus is not installed"; exit 0; }
echo 'global: {}' >"$tmp/prometheus.yml"
begin=$(date +%s%N)
prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/peer" --storage.tsdb.retention.time=10y \
    --web.listen-address=127.0.0.1:39090 >"$tmp/log" 2>&1 &
prometheus=$!
deadline=$((SECONDS + 300))
until curl -fsS -o /dev/null http://127.0.0.1:39090/-/ready 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] && kill -0 "$prometheus" || { tail -n 3 "$tmp/log"; exit 1; }
    sleep 0.05
done
echo "  Prometheus: opened in $(awk "BEGIN { printf \"%.2f\", ($(date +%s%N) - $begin) / 1e9 }") s," \
    "$(awk '/VmRSS/ { printf "%.1f MB", $2 / 1000 }' "/proc/$prometheus/status") resident"
