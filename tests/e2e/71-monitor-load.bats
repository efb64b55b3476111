#!/usr/bin/env bats
# One client cannot starve the others: heavy queries, readers that do not read, clients that go away.

load helpers

setup() {
    need_root
    new_place
    mkdir "$DATA/out"
    URL=http://127.0.0.1:9090
    # About a minute of one core.
    HEAVY='quantile_over_time(0.5, (vector(1) * time() % 17)[40h:1s])'
    cat >"$DATA/monitor.yml" <<Y
scrape_configs:
- {job_name: self, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ['127.0.0.1:9090']}]}
Y
}

teardown() { stop_all; }

start_monitor() {
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 \
        --config.file="$DATA/monitor.yml" "$@"
    wait_for 20 inside curl -sf "$URL/-/ready"
}
heavy() { # NAME CURL-FLAGS…
    local name=$1
    shift
    inside curl -s "$@" -G "$URL/api/v1/query_range?start=1700000000&end=1700100000&step=10" \
        --data-urlencode "query=$HEAVY" >"$DATA/out/$name" 3>&- &
    echo "$!" >>"$PIDS"
}
engine() { inside curl -sf "$URL/metrics" | awk '$1 == "prometheus_engine_queries" {print $2}'; }
engine_has() { [ "$(engine)" = "$1" ]; }
value() { inside curl -sf -G "$URL/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1] // "0"'; }
all_answered() { [ "$(find "$DATA/out" -type f -size +0 | wc -l)" = "$1" ]; }

@test "fifty heavy queries of one client end by their limits while another client is served, and scrapes go on" {
    start_monitor --query.timeout=8s --query.max-concurrency=4
    local i began
    for i in $(seq 4); do heavy "$i"; done
    wait_for 10 engine_has 4
    # These have less time than those before them in the queue take.
    for i in $(seq 5 10); do heavy "$i" --data-urlencode timeout=1s; done
    for i in $(seq 11 50); do heavy "$i"; done
    wait_for 10 test -s "$DATA/out/10"
    for i in $(seq 12); do
        inside curl -sf -m 2 --interface 127.0.0.2 "$URL/api/v1/query?query=1%2B1" | jq -e '.data.result[1] == "2"'
        inside curl -sf -m 2 --interface 127.0.0.2 "$URL/api/v1/labels" >/dev/null
        inside curl -sf -m 2 "$URL/-/healthy" >/dev/null
        sleep 0.2
    done
    wait_for 20 all_answered 50
    [ "$(cat "$DATA"/out/* | jq -s '[.[] | select(.status == "error" and .errorType == "timeout")] | length')" = 50 ]
    [ "$(grep -l 'query timed out in query queue' "$DATA"/out/{5,6,7,8,9,10} | wc -l)" = 6 ]
    grep -q "query timed out in expression evaluation" "$DATA"/out/{1,2,3,4}
    engine_has 0
    [ "$(value 'count_over_time(up[8s]) >= 7')" != 0 ]
    [ "$(value 'min_over_time(up[8s])')" = 1 ]
}

@test "a client that goes away ends its queries, also those that wait" {
    start_monitor --query.max-concurrency=2
    local i
    for i in $(seq 6); do heavy "$i" -m 2; done
    wait_for 5 engine_has 6
    wait_for 5 engine_has 0
    local used
    used=$(awk '{print $14}' "/proc/$(cat "$DATA/monitor.pid")/stat")
    sleep 1
    [ $(($(awk '{print $14}' "/proc/$(cat "$DATA/monitor.pid")/stat") - used)) -lt 50 ]
}

@test "limits are told with Prometheus' types of errors" {
    start_monitor --query.max-samples=1000
    error() { inside curl -sg "$URL/api/v1/$1" | jq -r '.errorType + ": " + .error'; }
    [[ $(error 'query_range?query=vector(1)&start=1700000000&end=1700010000&step=1') == 'execution: query processing would load too many samples into memory'* ]]
    [[ $(error 'query_range?query=vector(1)&start=1700000000&end=1700100000&step=1') == 'bad_data: exceeded maximum resolution'* ]]
    [[ $(error 'query?query=up{') == 'bad_data: '* ]]
    [[ $(error 'query?query=1&timeout=x') == 'bad_data: '* ]]
}

@test "answers that nobody reads take bounded memory and no thread" {
    nsenter --net="/run/netns/$NS" python3 - 9300 3>&- <<'P' >/dev/null 2>&1 &
import http.server, sys
body = b"".join(b'big{n="%d",text="%s"} 1\n' % (i, b"x" * 100) for i in range(50000))
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9300), H).serve_forever()
P
    echo "$!" >>"$PIDS"
    cat >>"$DATA/monitor.yml" <<Y
- {job_name: big, scrape_interval: 5s, static_configs: [{targets: ['127.0.0.1:9300']}]}
Y
    start_monitor
    has_big() { [ "$(value 'count(big)')" = 50000 ]; }
    wait_for 20 has_big
    # 120 answers of about 10 MB each; nobody reads them.
    nsenter --net="/run/netns/$NS" python3 - 3>&- <<'P' >"$DATA/log/readers" 2>&1 &
import socket, time
held = []
for i in range(120):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", 9090))
    s.sendall(b"GET /api/v1/query?query=big HTTP/1.1\r\nHost: x\r\n\r\n")
    held.append(s)
print("sent", flush=True)
time.sleep(60)
P
    echo "$!" >>"$PIDS"
    wait_for 20 grep -q sent "$DATA/log/readers"
    wait_for 60 engine_has 0
    inside curl -sf -m 2 "$URL/api/v1/query?query=1" >/dev/null
    # 256 MiB of answers, and what 50000 series and the queries themselves take.
    grep VmRSS "/proc/$(cat "$DATA/monitor.pid")/status"
    [ "$(awk '/VmRSS/ {print $2}' "/proc/$(cat "$DATA/monitor.pid")/status")" -lt $((448 * 1024)) ]
    # Who reads gets all of it.
    [ "$(inside curl -sf "$URL/api/v1/query?query=big" | jq '.data.result | length')" = 50000 ]
}
