#!/usr/bin/env bats
# Targets that nobody should trust (hostile.py): each scrape fails with its reason, memory stays bounded, and targets
# that are scraped every second beside them are scraped as often as by a monitor that knows no others.

load helpers

KINDS="drip flood flood_samples long_line long_value garbage slow_headers many_headers short_body mid_close bad_length
    redirect gzip_bomb gzip_garbage gzip_torn proto_length proto_nested"
RESIDENT_MAX_KB=$((1536 * 1024)) # docs/monitor.md: 1 GiB of bodies, and what a million series take

setup() {
    need_root
    new_place
    URL=http://127.0.0.1:9090
}

teardown() { stop_all; }

serve() { # PORT
    nsenter --net="/run/netns/$NS" python3 "$E2E_DIR/hostile.py" "$1" >>"$DATA/log/hostile.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    wait_for 60 inside curl -sf "http://127.0.0.1:$1/good"
}

job() { # NAME PORT INTERVAL
    echo "- {job_name: $1, metrics_path: /${1%%-*}, scrape_interval: $3, scrape_timeout: $3, static_configs: [{targets: ['127.0.0.1:$2']}]}"
}

targets() { inside curl -sf "$URL/api/v1/targets" | jq -r "$@"; }
value() { inside curl -sf -G "${2:-$URL}/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // "0"'; }
scraped() { [ "$(targets '[.data.activeTargets[] | select(.health == "unknown")] | length')" = 0 ]; }
why() { targets --arg job "$1" '.data.activeTargets[] | select(.labels.job == $job) | .health + " " + .lastError'; }

@test "hostile targets fail with their reason, take bounded memory and disturb nobody" {
    serve 9100
    serve 9200
    {
        echo 'scrape_configs:'
        for i in 1 2 3 4 5; do job "good-$i" 9200 1s; done
    } | tee "$DATA/calm.yml" >"$DATA/monitor.yml"
    for kind in $KINDS million; do job "$kind" 9100 4s; done >>"$DATA/monitor.yml"
    # The measure of how busy the machine is.
    nsenter --net="/run/netns/$NS" "$BIN/knarr-monitor" --storage.tsdb.path="$DATA/calm" --web.listen-address=127.0.0.1:9091 \
        --config.file="$DATA/calm.yml" >>"$DATA/log/calm.log" 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    calm=http://127.0.0.1:9091
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml"
    wait_for 20 inside curl -sf "$URL/-/ready"
    wait_for 120 scraped
    sleep 16 # the window that is looked at below; every kind is scraped some times in it
    for i in 1 2 3 4 5; do
        scrapes=$(value "count_over_time(up{job='good-$i'}[15s])")
        of=$(value "count_over_time(up{job='good-$i'}[15s])" "$calm")
        echo "good-$i: $scrapes scrapes, without the others $of"
        [ "$scrapes" -ge $((of * 2 / 3)) ] # one more or less at either end, and all share two processors
        [ "$(value "min_over_time(up{job='good-$i'}[15s])")" = 1 ]
        [ "$(value "count_over_time(good_total{job='good-$i'}[15s])")" -ge $((of * 2 / 3)) ]
    done
    local kind
    for kind in $KINDS; do
        [ "$(value "max_over_time(up{job='$kind'}[15s])")" = 0 ]
        [[ $(why "$kind") == 'down '?* ]]
    done
    [[ $(why drip) == *'context deadline exceeded' ]]
    [[ $(why slow_headers) == *'context deadline exceeded' ]]
    [[ $(why flood) == *'body size limit exceeded' ]]
    [[ $(why gzip_bomb) == *'body size limit exceeded' ]]
    [[ $(why long_value) == *'label_value_length_limit exceeded'* ]]
    [[ $(why many_headers) == *'head is larger than'* ]]
    [[ $(why redirect) == *'stopped after 10 redirects' ]]
    [[ $(why gzip_torn) == *gzip* ]]
    [[ $(why short_body) == *'closed before the answer was complete' ]]
    [[ $(why mid_close) == *'closed before the answer was complete' ]]
    # A million series are many, but no mistake.
    [ "$(value 'max_over_time(up{job="million"}[15s])')" = 1 ]
    [ "$(value 'max_over_time(scrape_samples_scraped{job="million"}[15s])')" = 1000000 ]
    [ "$(awk '/VmHWM/ {print $2}' "/proc/$(cat "$DATA/monitor.pid")/status")" -lt "$RESIDENT_MAX_KB" ]
    # It goes on answering, and ends when it is asked to.
    inside curl -sf -m 2 "$URL/-/healthy"
    kill_role monitor
}
