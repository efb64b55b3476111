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
META="application/json;g=meta.k8s.io;v=v1"
LIST=/api/v1/namespaces/default/configmaps
api() { # PATH [ARGS…]: curl as the administrator
    local path=$1
    shift
    inside curl -sS --max-time 60 --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/crt" --key "$BATS_FILE_TMPDIR/key" \
        -H "Content-Type: application/json" "$@" "https://127.0.0.1:6443$path"
}
rss_kb() { awk '/VmRSS/ { print $2 }' "/proc/$(cat "$DATA/server.pid")/status"; }
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

@test "a list of 55 MB is whole in every form, compressed or not" {
    for i in $(seq 60); do
        head -c 700000 /dev/urandom | base64 -w 0 |
            jq -Rc --arg n "big-$i" '{metadata: {name: $n}, data: {a: .}}' >"$BATS_TEST_TMPDIR/body"
        api /api/v1/namespaces/default/configmaps --data-binary "@$BATS_TEST_TMPDIR/body" >/dev/null
    done
    for zip in "" --compressed; do
        [ "$(api $LIST $zip | jq '[.kind, (.items | length), (.items | map(.data.a | length) | add)] | join(" ")' -r)" = \
            "ConfigMapList 60 $((60 * 933336))" ]
        [ "$(api $LIST $zip -H "Accept: $META;as=PartialObjectMetadataList" | jq '.items | length')" = 60 ]
        [ "$(api "$LIST?includeObject=Object" $zip -H "Accept: $META;as=Table" | jq '.rows | length')" = 60 ]
        [ "$(api "$LIST?limit=50" $zip | jq '.items | length')" = 50 ]
    done
    [ "$(api $LIST --http1.1 | jq '.items | length')" = 60 ]
    api $LIST -I | grep -q '^HTTP/2 200'
    api $LIST -H 'Accept: application/yaml' | grep -q 'too large for YAML'
}

holds_streams() { # CONNECTIONS STREAMS PATH: their process is $holder
    nsenter --net="/run/netns/$NS" python3 "$BATS_TEST_DIRNAME/closed_window.py" "$DATA/pki/ca.crt" "$BATS_FILE_TMPDIR/crt" "$BATS_FILE_TMPDIR/key" \
        "$@" >"$BATS_TEST_TMPDIR/out" 3>&- &
    holder=$!
    echo "$holder" >>"$PIDS"
    wait_for 60 grep -q asked "$BATS_TEST_TMPDIR/out"
}

@test "clients that never open their window cost little, and others are served" {
    before=$(rss_kb)
    holds_streams 3 100 /api/v1/configmaps
    echo "before $before kB, with 300 lists $(rss_kb) kB"
    [ "$(rss_kb)" -lt $((before + 96 * 1024)) ]
    kubectl get namespaces
    kill "$holder"
}

@test "a document that many wait for is in memory once" {
    api /openapi/v2 >/dev/null
    for path in /openapi/v2 /openapi/v3/api/v1; do
        before=$(rss_kb)
        holds_streams 4 100 "$path"
        echo "before $before kB, with 400 of $path $(rss_kb) kB"
        [ "$(rss_kb)" -lt $((before + 32 * 1024)) ]
        [ "$(api "$path" | jq '.paths | length')" -gt 20 ] # the one that is on its way
        [ "$(api "$path" --compressed | jq '.paths | length')" -gt 20 ]
        [ "$(api "$path" -H "If-None-Match: $(api "$path" -I | tr -d '\r' | sed -n 's/^etag: //p')" -o /dev/null -w '%{http_code}')" = 304 ]
        kill "$holder"
        [ "$(api "$path" | jq '.paths | length')" -gt 20 ]
    done
}

@test "bodies that never end are bounded, the platform's own are taken, and the memory goes back" {
    before=$(rss_kb)
    nsenter --net="/run/netns/$NS" python3 "$BATS_TEST_DIRNAME/half_bodies.py" "$DATA/pki/ca.crt" 100 2900000 >"$BATS_TEST_TMPDIR/out" 3>&- &
    holder=$!
    echo "$holder" >>"$PIDS"
    wait_for 60 grep -q sent "$BATS_TEST_TMPDIR/out"
    echo "before $before kB, with 290 MB on their way $(rss_kb) kB; $(cat "$BATS_TEST_TMPDIR/out") refused"
    [ "$(rss_kb)" -lt $((before + 200 * 1024)) ]
    [ "$(awk '{ print $2 }' "$BATS_TEST_TMPDIR/out")" -gt 50 ]
    kubectl --kubeconfig "$DATA/pki/controller/kubeconfig" create serviceaccount own
    kill "$holder"
    memory_is_back() { [ "$(rss_kb)" -lt $((before + 16 * 1024)) ]; }
    wait_for 60 memory_is_back
}

@test "what waits for clients is bounded" {
    echo "peak: $(peak_kb) kB"
    [ "$(peak_kb)" -lt 300000 ] # 55 MB stored, as much deleted and still in the history, and 10 clients
}
