# servers.bash - starts knarr's monitor, Prometheus and VictoriaMetrics for a comparison, and measures them. Sourced by
# the programs of this folder, which set BUILD.

TMP=$(mktemp -d)
declare -A PID=() PORT=()
PORT_NEXT=$((20000 + RANDOM % 20000))

server_stop() { # NAME
    kill "${PID[$1]}" 2>/dev/null || return 0
    wait "${PID[$1]}" 2>/dev/null || true
    unset "PID[$1]"
}
servers_end() {
    for name in "${!PID[@]}"; do server_stop "$name"; done
    rm -rf "$TMP"
}
trap servers_end EXIT

have() { command -v "$1" >/dev/null; }

# server_start NAME CONFIG DIR [FLAG...]: NAME is knarr, prometheus or victoria; waits until it answers.
server_start() {
    local name=$1 config=$2 dir=$3
    shift 3
    PORT_NEXT=$((PORT_NEXT + 1))
    PORT[$name]=$PORT_NEXT
    local listen=127.0.0.1:$PORT_NEXT ready=/-/ready
    case $name in
    knarr) exec "$BUILD/src/cmd/knarr-monitor" --config.file="$config" --storage.tsdb.path="$dir" --web.listen-address=$listen "$@" ;;
    prometheus) exec prometheus --config.file="$config" --storage.tsdb.path="$dir" --web.listen-address=$listen "$@" ;;
    victoria) exec victoria-metrics -promscrape.config="$config" -storageDataPath="$dir" -httpListenAddr=$listen -retentionPeriod=100y "$@" ;;
    esac >"$TMP/$name.log" 2>&1 &
    PID[$name]=$!
    [ "$name" != victoria ] || ready=/health
    local deadline=$((SECONDS + 600))
    until curl -fsS -o /dev/null "http://$listen$ready" 2>/dev/null; do
        if [ "$SECONDS" -ge $deadline ] || ! kill -0 "${PID[$name]}" 2>/dev/null; then
            echo "$name does not start:" >&2
            tail -n 5 "$TMP/$name.log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/${PID[$1]}/stat"; }
resident_kb() { awk '/^VmRSS/ { print $2 }' "/proc/${PID[$1]}/status"; }
# What the server has stored so far, in samples.
samples_stored() {
    local metric=prometheus_tsdb_head_samples_appended_total
    [ "$1" != victoria ] || metric=vm_rows_inserted_total
    curl -fsS "http://127.0.0.1:${PORT[$1]}/metrics" | awk -v n=$metric '{ sub(/\{.*/, "", $1) } $1 == n { s += $2 } END { printf "%d", s }'
}
