#!/usr/bin/env bats
# knarr promtool tsdb beside Debian's promtool, on databases that either of them, Debian's Prometheus and the monitor
# have made.
bats_require_minimum_version 1.5.0

load helpers

setup() {
    command -v promtool >/dev/null || skip "promtool is not installed"
    KNARR_PROMTOOL="${KNARR_BUILD:-$BATS_TEST_DIRNAME/../../build}/src/cmd/knarr-promtool"
    cd "$BATS_TEST_TMPDIR"
    python3 - >in.om <<'EOF'
import math
print("# HELP c_total C.\n# TYPE c counter")
for i in range(3):
    for t in range(0, 5 * 3600, 30):
        print('c_total{a="%d",q="x\\"y"} %g %d' % (i, t * 1.5 + i, 1700000000 + t))
print("# TYPE g gauge")
for t in range(0, 9 * 3600, 60):
    print("g %.9g %.3f" % (math.sin(t) * 1e7, 1700000000.5 + t))
print("# EOF")
EOF
    promtool tsdb create-blocks-from openmetrics in.om theirs >theirs.list
    "$KNARR_PROMTOOL" tsdb create-blocks-from openmetrics in.om ours >ours.list
    mkdir -p theirs/wal ours/wal # promtool 2.42 dumps nothing without
}

blocks() { find "$1" -maxdepth 1 -name '01*' -printf '%f\n' | sort; }
# Columns but the name, chunks and size of blocks, which depend on who writes them.
ranges() { awk '{print $2, $3, $4, $5, $7}' "$1"; }

@test "tsdb create-blocks-from makes the blocks that promtool makes" {
    diff <(sed 1d theirs.list | ranges /dev/stdin) <(sed 1d ours.list | ranges /dev/stdin)
    [ "$(head -1 ours.list)" = "$(head -1 theirs.list)" ]
    diff <(promtool tsdb dump theirs) <(promtool tsdb dump ours)
}

@test "tsdb list prints what promtool prints" {
    for dir in ours theirs .; do
        diff <(promtool tsdb list $dir) <("$KNARR_PROMTOOL" tsdb list $dir)
        diff <(promtool tsdb list -r $dir) <("$KNARR_PROMTOOL" tsdb list -r $dir)
    done
    run -1 "$KNARR_PROMTOOL" tsdb list nowhere
    [[ "$output" == *"open nowhere: No such file or directory" ]]
}

@test "tsdb dump prints what promtool prints, and leaves nothing behind" {
    for dir in ours theirs; do
        diff <(promtool tsdb dump $dir) <("$KNARR_PROMTOOL" tsdb dump $dir)
        diff <(promtool tsdb dump --min-time=1700003600000 --max-time=1700009000000 --match='{a=~"1|2"}' $dir) \
            <("$KNARR_PROMTOOL" tsdb dump --min-time=1700003600000 --max-time=1700009000000 --match='{a=~"1|2"}' $dir)
    done
    diff <(promtool tsdb dump ours) <("$KNARR_PROMTOOL" tsdb dump --match='{a!="1"}' --match='{a="1"}' --match g ours)
    "$KNARR_PROMTOOL" tsdb dump ours | head -1 >/dev/null || true
    [ "$(ls -A ours | grep -c sandbox)" -eq 0 ]
    run -0 "$KNARR_PROMTOOL" tsdb dump --format=seriesjson --match=g ours
    [ "$output" = '{"__name__":"g"}' ]
    run -1 "$KNARR_PROMTOOL" tsdb dump --match='{' ours
    mkdir sandboxes
    "$KNARR_PROMTOOL" tsdb dump --sandbox-dir-root=sandboxes ours >/dev/null
    [ -z "$(ls -A sandboxes)" ]
}

@test "what dump-openmetrics prints makes the same blocks again" {
    "$KNARR_PROMTOOL" tsdb dump-openmetrics theirs >again.om
    "$KNARR_PROMTOOL" tsdb create-blocks-from openmetrics -q again.om again
    diff <("$KNARR_PROMTOOL" tsdb dump theirs) <("$KNARR_PROMTOOL" tsdb dump again)
    "$KNARR_PROMTOOL" tsdb create-blocks-from --max-block-duration=1d openmetrics --label=x=y --label b=z -q again.om long
    [ "$(blocks long | wc -l)" -lt "$(blocks again | wc -l)" ]
    "$KNARR_PROMTOOL" tsdb dump long | head -1 >first
    [ "$(cat first)" = '{__name__="c_total", a="0", b="z", q="x\"y", x="y"} 0 1700000000000' ]
}

@test "tsdb create-blocks-from refuses what it cannot keep" {
    printf 'a 1\n# EOF\n' >notime.om
    printf 'a 1 1\n' >noeof.om
    printf 'a 1 2\na 2 2\n# EOF\n' >two.om
    for f in notime noeof two; do
        run -1 "$KNARR_PROMTOOL" tsdb create-blocks-from openmetrics $f.om out
        [ -z "$(blocks out)" ]
    done
    printf 'a 2 2\na 1 1\na 2 2\n# EOF\n' >late.om
    "$KNARR_PROMTOOL" tsdb create-blocks-from openmetrics -q late.om out
    [ "$("$KNARR_PROMTOOL" tsdb dump out)" = $'{__name__="a"} 1 1000\n{__name__="a"} 2 2000' ]
    printf '# EOF\n' >empty.om
    "$KNARR_PROMTOOL" tsdb create-blocks-from openmetrics empty.om none
    [ -z "$(blocks none)" ]
}

@test "tsdb analyze counts what promtool counts" {
    for dir in ours theirs; do
        for block in $(blocks $dir); do
            diff <(promtool tsdb analyze $dir $block | sed 's/^Series:/Total Series:/' | sort) \
                <("$KNARR_PROMTOOL" tsdb analyze $dir $block | sort)
        done
        [ "$("$KNARR_PROMTOOL" tsdb analyze $dir | head -1)" = "$(promtool tsdb analyze $dir | head -1)" ]
    done
    run -0 "$KNARR_PROMTOOL" tsdb analyze --match='{a=~".+"}' --limit=1 --extended ours "$(blocks ours | head -1)"
    [[ "$output" == *'Matcher: {a=~".+"}'*"Matched series: 3"*$'Most common label pairs:\n3 __name__=c_total\n\n'* ]]
    [[ "$output" == *$'Compaction analysis:\n\nsamples per float chunk (min/avg/max): 214/214/214\n'*"bytes per histogram chunk: N/A"* ]]
    run -1 "$KNARR_PROMTOOL" tsdb analyze ours 01AAAAAAAAAAAAAAAAAAAAAAAA
    [ "$output" = "block 01AAAAAAAAAAAAAAAAAAAAAAAA not found" ]
    mkdir empty
    run -1 "$KNARR_PROMTOOL" tsdb analyze empty
    [ "$output" = "no blocks found" ]
}

@test "a running Prometheus' log is dumped without touching it" {
    need_root
    command -v prometheus >/dev/null || skip "needs Debian's prometheus"
    new_place
    printf 'global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: self, static_configs: [{targets: ["127.0.0.1:9091"]}]}]\n' >p.yml
    nsenter --net="/run/netns/$NS" prometheus --config.file=p.yml --storage.tsdb.path=head \
        --web.listen-address=127.0.0.1:9091 >prometheus.log 2>&1 3>&- &
    local pid=$!
    echo "$pid" >>"$PIDS"
    wait_for 20 test -s head/wal/00000000
    dumped() { "$KNARR_PROMTOOL" tsdb dump --match=up head | grep -q '^{__name__="up", instance="127.0.0.1:9091", job="self"} 1 '; }
    wait_for 20 dumped
    kill -STOP "$pid"
    find head -type f -exec sha256sum {} + | sort >before
    diff <(promtool tsdb dump head | sort) <("$KNARR_PROMTOOL" tsdb dump head | sort)
    find head -type f -exec sha256sum {} + | sort >after
    kill -CONT "$pid"
    local ok=0
    diff before after || ok=1
    stop_all
    [ "$ok" -eq 0 ]
}
