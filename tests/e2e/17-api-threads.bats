#!/usr/bin/env bats
# The API server on several loops, under load from many connections. Run on a build with ThreadSanitizer (KNARR_BUILD) it
# also finds what two threads touch at once: tools/check does.

load helpers

setup_file() {
    need_root
    export TSAN_OPTIONS="suppressions=$E2E_DIR/../../tools/tsan.supp exitcode=66"
    new_cluster
    start_server --serving-threads=3
    kubectl create serviceaccount default
    client_files
}
teardown_file() { stop_all; }

many() { inside python3 "$BATS_TEST_DIRNAME/many_at_once.py" "$DATA/pki/ca.crt" "$DATA/crt" "$DATA/key" "$1" 3>&-; }

@test "a server has as many threads that serve as it is told, and no more than eight" {
    # shellcheck disable=SC2012
    [ "$(ls "/proc/$(cat "$DATA/server.pid")/task" | wc -l)" -ge 4 ]
    run "$BIN/knarr-server" --serving-threads=9 --store=x --tls-cert-file=x --tls-private-key-file=x --client-ca-file=x \
        --service-account-signing-key-file=x
    [ "$status" -eq 2 ]
    [[ $output == *"--serving-threads: expected 1 to 8"* ]]
}

@test "many connections write, read, watch and change rights while certificates come anew" {
    many 40 >"$DATA/many" 2>&1 &
    local load=$!
    while kill -0 "$load" 2>/dev/null; do
        kill -HUP "$(cat "$DATA/server.pid")"
        sleep 0.3
    done
    wait "$load" || { cat "$DATA/many"; false; }
    grep -q "^fine: " "$DATA/many"
    [ "$(grep -c 'read the certificates again' "$DATA/log/server.log")" -gt 2 ]
}

@test "the end may come in the middle of it" {
    kubectl delete configmaps --all
    many 100000 >"$DATA/many" 2>&1 &
    local load=$!
    wait_for 20 kubectl get configmap shared || { cat "$DATA/many"; false; }
    local pid
    pid=$(cat "$DATA/server.pid")
    kill_role server TERM
    wait "$load" || true
    ! kill -0 "$pid" 2>/dev/null || false
    ! grep -E 'Sanitizer|runtime error|assertion' "$DATA/log/server.log" || false
    start_server
    kubectl get configmap shared
}

@test "at an orderly end what was begun is answered, and what is not answered was not begun" {
    for round in 1 2 3; do
        inside python3 "$BATS_TEST_DIRNAME/to_the_end.py" "$DATA/pki/ca.crt" "$DATA/crt" "$DATA/key" "end$round" \
            >"$DATA/asked" 2>"$DATA/begun" 3>&- &
        local load=$!
        wait_for 20 grep -q begun "$DATA/begun"
        kill_role server TERM
        wait "$load"
        start_server
        kubectl get configmaps --no-headers -o custom-columns=NAME:.metadata.name | grep "^end$round-" | sort >"$DATA/there"
        grep ' 201$' "$DATA/asked" | cut -d ' ' -f 1 | sort | diff - "$DATA/there"
        # The next server is asked again.
        run grep -vE ' (201|429|0)$' "$DATA/asked"
        [ "$output" = "" ]
    done
}
