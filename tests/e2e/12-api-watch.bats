#!/usr/bin/env bats
# Watches of the API server alone: clients that read late get everything, and cost little.

load helpers

setup_file() {
    need_root
    new_cluster
    start_server
    kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >"$BATS_FILE_TMPDIR/crt"
    kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >"$BATS_FILE_TMPDIR/key"
}
teardown_file() { stop_all; }

watchers() { # WATCHERS OBJECTS BYTES [state]
    inside python3 "$BATS_TEST_DIRNAME/watchers.py" "$DATA/pki/ca.crt" "$BATS_FILE_TMPDIR/crt" "$BATS_FILE_TMPDIR/key" "$@"
}
peak_kb() { awk '/VmHWM/ { print $2 }' "/proc/$(cat "$DATA/server.pid")/status"; }

@test "a burst of large objects reaches every client that reads late" {
    [ "$(watchers 10 60 920000 | sort | uniq -c | xargs)" = "10 60" ]
}

@test "a burst of many objects reaches every client that reads late" {
    [ "$(watchers 10 4000 4000 | sort | uniq -c | xargs)" = "10 4000" ]
}

@test "a state of 55 MB is told whole at the start of a watch" {
    [ "$(watchers 10 60 920000 state | sort | uniq -c | xargs)" = "10 60" ]
}

@test "what waits for clients is bounded" {
    echo "peak: $(peak_kb) kB"
    [ "$(peak_kb)" -lt 300000 ] # 55 MB stored, as much deleted and still in the history, and 10 clients
}
