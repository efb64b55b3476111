#!/bin/bash
# bench/idle.sh BUILD [SECONDS] - resident memory of a server that scrapes itself every 15 s and is asked nothing, after SECONDS
# (40): knarr, Prometheus and VictoriaMetrics at the same time.
set -eu
cd "$(dirname "$0")/.."
BUILD=${1:-build} seconds=${2:-40}
. bench/servers.bash
ninja -C "$BUILD" src/cmd/knarr-monitor >/dev/null
for name in knarr prometheus victoria; do
    case $name in prometheus) have prometheus || continue ;; victoria) have victoria-metrics || continue ;; esac
    printf 'global: {scrape_interval: 15s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ["127.0.0.1:%d"]}]}]\n' \
        $((PORT_NEXT + 1)) >"$TMP/$name.yml"
    server_start $name "$TMP/$name.yml" "$TMP/$name"
done
sleep "$seconds"
echo "one target, $seconds s after the start:"
for name in knarr prometheus victoria; do
    [ -z "${PID[$name]:-}" ] || awk -v n=$name -v kb="$(resident_kb $name)" 'BEGIN { printf "  %-11s %6.1f MB resident\n", n, kb / 1000 }'
done
