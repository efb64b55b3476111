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

@test "watches of large objects in every form get each event once, whole" {
    head -c 700000 /dev/urandom | base64 -w 0 | jq -Rc '{metadata: {name: "formed"}, data: {a: ., round: "0"}}' >"$BATS_TEST_TMPDIR/body"
    api "$LIST" --data-binary "@$BATS_TEST_TMPDIR/body" >/dev/null
    forms=("application/json" "$META;as=PartialObjectMetadata" "$META;as=Table")
    watch_of() { # FILE FORM QUERY
        nsenter --net="/run/netns/$NS" curl -sSN --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/crt" --key "$BATS_FILE_TMPDIR/key" \
            -H "Accept: $2" "https://127.0.0.1:6443$LIST?watch=1&fieldSelector=metadata.name%3Dformed$3" >"$1" 3>&- &
        echo "$!" >>"$PIDS"
        holders+=("$!")
    }
    holders=()
    for i in 1 2 3 4; do
        for form in 0 1 2; do watch_of "$BATS_TEST_TMPDIR/w$form.$i" "${forms[$form]}" ""; done
        watch_of "$BATS_TEST_TMPDIR/w3.$i" "${forms[2]}" "&includeObject=Object"
        watch_of "$BATS_TEST_TMPDIR/w4.$i" "${forms[2]}" "&includeObject=None"
    done
    have() { [ "$(cat "$BATS_TEST_TMPDIR"/w?.? | grep -c '}$')" -eq $((20 * $1)) ]; }
    wait_for 30 have 1
    for round in 1 2 3; do
        kubectl patch configmap formed --type merge -p "{\"data\": {\"round\": \"$round\"}, \"metadata\": {\"labels\": {\"round\": \"$round\"}}}"
        wait_for 30 have $((round + 1))
    done
    kubectl delete configmap formed
    wait_for 30 have 5
    kill "${holders[@]}"
    for form in 0 1 2 3 4; do
        # The age, in the third cell, is that of the moment at which each watch began.
        for i in 1 2 3 4; do jq -c 'del(.object.rows[]?.cells[2])' "$BATS_TEST_TMPDIR/w$form.$i" | md5sum; done | sort -u | wc -l | grep -qx 1
        [ "$(jq -r .type "$BATS_TEST_TMPDIR/w$form.1" | xargs)" = "ADDED MODIFIED MODIFIED MODIFIED DELETED" ]
    done
    [ "$(jq -r .object.data.round "$BATS_TEST_TMPDIR/w0.1" | xargs)" = "0 1 2 3 3" ]
    [ "$(jq -r .object.metadata.labels.round "$BATS_TEST_TMPDIR/w1.1" | xargs)" = "null 1 2 3 3" ]
    [ "$(jq -r '.object.rows[0].object.metadata.labels.round' "$BATS_TEST_TMPDIR/w2.1" | xargs)" = "null 1 2 3 3" ]
    [ "$(jq -r '.object.rows[0].object.data.a | length' "$BATS_TEST_TMPDIR/w3.1" | sort -u)" = 933336 ]
    [ "$(jq -r '.object.rows[0].object' "$BATS_TEST_TMPDIR/w4.1" | sort -u)" = null ]
    [ "$(jq -c '.object.columnDefinitions == null' "$BATS_TEST_TMPDIR/w4.1" | xargs)" = "false true true true true" ]
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
    # Under one name: of others there is none.
    for path in another/v1 api/v1/ api/apps/v1 apis/v1 apis//v1 apis//apps/v1; do
        [ "$(api "/openapi/v3/$path" --path-as-is -o /dev/null -w '%{http_code}')" = 404 ]
    done
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
