#!/usr/bin/env bats
# exec, attach, port-forward, log and watch over WebSocket in every protocol that Kubernetes speaks, and what Debian's
# python3-kubernetes makes of it. A server and a node.

load helpers

setup_file() {
    need_root
    /usr/bin/python3 -c 'import kubernetes, websocket' 2>/dev/null || skip "needs Debian's python3-kubernetes"
    new_cluster
    start_roles
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: knarr.local/demo:1
    command: [sh, -c, 'mkdir /www; echo from the pod >/www/index.html; httpd -p 8080 -h /www; i=0; while :; do echo \$i; i=\$((i+1)); sleep 0.2; done']
    readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: cat}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers: [{name: c, image: "knarr.local/demo:1", command: [cat], stdin: true}, {name: done, image: "knarr.local/demo:1", command: [sh, -c, "echo one; echo two"]}]
Y
    kubectl create configmap small --from-literal=a=b
    head -c 700000 /dev/urandom | base64 -w 0 >"$DATA/large"
    kubectl create configmap large --from-file="$DATA/large"
    kubectl wait --for=condition=Ready pod/web --timeout=30s
    wait_for 20 has_ended
}
teardown_file() { stop_all; }
has_ended() { [ "$(kubectl get pod cat -o jsonpath='{.status.containerStatuses[?(@.name=="done")].state.terminated.exitCode}')" = 0 ]; }

POD=/api/v1/namespaces/default/pods/web
ws() { # PATH PROTOCOL [SEND…]
    inside timeout "$(patience 40)" "$E2E_DIR/websockets.py" wss://127.0.0.1:6443 "$DATA/pki/ca.crt" "$DATA/crt" "$DATA/key" "$@"
}

@test "exec speaks every protocol of channel.k8s.io" {
    run="$POD/exec?command=sh&command=-c&command=read+x%3B+echo+got+%24x%3B+exit+3&stdin=true&stdout=true&stderr=true"
    for protocol in '' channel.k8s.io v4.channel.k8s.io; do
        ws "$run" "$protocol" 'wait:1' 'bytes:\x00abc\n' >"$DATA/out"
        [ "$(sed -n 1p "$DATA/out")" = "protocol $protocol" ] || [ "$(sed -n 1p "$DATA/out")" = "protocol " ]
        [ "$(sed -n 2p "$DATA/out")" = "bytes '\\x01'" ]
        grep -qF "bytes '\\x01got abc\\n'" "$DATA/out"
    done
    grep -F "bytes '\\x03{" "$DATA/out" | grep -qF '"reason":"NonZeroExitCode"'
    # Older protocols tell the sentence alone, and of success nothing.
    ws "$run" channel.k8s.io 'bytes:\x00abc\n' | grep -qF "bytes '\\x03command terminated with non-zero exit code: exit status 3'"
    ! ws "$POD/exec?command=true&stdout=true" channel.k8s.io | grep -F "'\\x03" || false
    ws "$POD/exec?command=true&stdout=true" v4.channel.k8s.io | grep -F "'\\x03{" | grep -q Success
    # The same as text in base64; what is no base64 is dropped.
    for protocol in base64.channel.k8s.io v4.base64.channel.k8s.io; do
        ws "$run" "$protocol" 'wait:1' 'text:0not base64!' 'text:0YWJjCg==' >"$DATA/out"
        [ "$(sed -n 1p "$DATA/out")" = "protocol $protocol" ]
        [ "$(sed -n 2p "$DATA/out")" = "text '1'" ]
        grep -qF "text '1$(printf 'got abc\n' | base64)'" "$DATA/out"
    done
    # Bytes may come as text; the first protocol of the client's that is known is taken.
    ws "$run" unknown,v4.channel.k8s.io,channel.k8s.io 'text:\x00abc\n' >"$DATA/out"
    [ "$(sed -n 1p "$DATA/out")" = "protocol v4.channel.k8s.io" ]
    grep -qF "got abc" "$DATA/out"
    [ "$(ws "$run" unknown)" = "refused 403" ]
}

@test "attach and port-forward do as well" {
    ws "${POD%web}cat/attach?container=c&stdin=1&stdout=1" base64.channel.k8s.io 'wait:1' "text:0$(echo over | base64)" 'wait:2' close >"$DATA/out"
    grep -qF "text '1$(echo over | base64)'" "$DATA/out"
    for protocol in '' v4.channel.k8s.io; do
        ws "$POD/portforward?ports=8080" "$protocol" 'wait:2' 'bytes:\x00GET / HTTP/1.0\r\n\r\n' >"$DATA/out"
        [ "$(sed -n 2,3p "$DATA/out")" = "$(printf '%s\n' "bytes '\\x00\\x90\\x1f'" "bytes '\\x01\\x90\\x1f'")" ]
        grep -q "from the pod" "$DATA/out"
        [ "$(tail -n 1 "$DATA/out")" = "close 1000" ] # the pod has closed its only connection
    done
    ws "$POD/portforward?ports=8080" v4.base64.channel.k8s.io 'wait:2' "text:0$(printf 'GET / HTTP/1.0\r\n\r\n' | base64)" >"$DATA/out"
    [ "$(sed -n 2,3p "$DATA/out")" = "$(printf '%s\n' "text '0kB8='" "text '1kB8='")" ]
    [ "$(ws "$POD/portforward?ports=8080" channel.k8s.io)" = "refused 403" ]
}

@test "a log comes as messages" {
    log="${POD%web}cat/log?container=done"
    for protocol in '' binary.k8s.io; do
        [ "$(ws "$log" "$protocol")" = "$(printf '%s\n' "protocol $protocol" "bytes ''" "bytes 'one\\ntwo\\n'" "close 1000")" ]
    done
    [ "$(ws "$log" base64.binary.k8s.io)" = "$(printf '%s\n' "protocol base64.binary.k8s.io" "text ''" "text '$(printf 'one\ntwo\n' | base64)'" "close 1000")" ]
    [ "$(ws "$log" channel.k8s.io)" = "refused 403" ]
    ws "$POD/log?follow=true" binary.k8s.io 'wait:4' ping close >"$DATA/out"
    grep -q pong "$DATA/out"
    tail -n 1 "$DATA/out" | grep -q '^close'
}

@test "a watch is a message for each event" {
    maps=/api/v1/namespaces/default/configmaps
    ws "$maps?watch=true" '' 'wait:2' ping close >"$DATA/out"
    grep -c '^text ' "$DATA/out" | grep -qx '[2-4]'
    grep '^text ' "$DATA/out" | grep -F '"name":"small"' | grep -q "'{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\".*}\\\\n'$"
    # A large one is still one message.
    [ "$(grep '^text ' "$DATA/out" | grep -F '"name":"large"' | grep -cF "$(cut -c1-100 "$DATA/large")")" = 1 ]
    grep '^text ' "$DATA/out" | grep -F '"name":"large"' | grep -q '}\\n'"'$"
    grep -q pong "$DATA/out"
    # Its end is said, too.
    [ "$(ws "$maps?watch=true&timeoutSeconds=1&resourceVersion=$(kubectl get --raw "$maps" | jq -r .metadata.resourceVersion)" any.thing)" = "$(printf '%s\n' "protocol any.thing" "close 1000")" ]
}

rss() { awk '/VmRSS/ {print $2}' "/proc/$(cat "$DATA/server.pid")/status"; }

@test "watchers that read nothing cost what others cost" {
    before=$(rss)
    nsenter --net="/run/netns/$NS" /usr/bin/python3 - "$DATA" 3>&- <<'P' &
import ssl, socket, sys, time
data = sys.argv[1]
context = ssl.create_default_context(cafile=data + "/pki/ca.crt")
context.check_hostname = False
context.load_cert_chain(data + "/crt", data + "/key")
held = []
for i in range(20):
    s = context.wrap_socket(socket.create_connection(("127.0.0.1", 6443)))
    s.sendall(b"GET /api/v1/configmaps?watch=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
    held.append(s)
open(data + "/held", "w")
time.sleep(60)
P
    holder=$!
    echo "$holder" >>"$PIDS"
    wait_for 10 test -e "$DATA/held"
    for i in 1 2 3 4 5 6 7 8; do
        kubectl annotate configmap large --overwrite "turn=$i" >/dev/null
    done
    kubectl get configmap small
    after=$(rss)
    kill "$holder"
    # The history keeps eight versions of 0.9 MB; 20 watchers with an event each would be 140 MB.
    [ $((after - before)) -lt 40000 ] || { echo "$before $after"; false; }
}

@test "python3-kubernetes watches, runs commands, follows logs and forwards ports" {
    inside timeout "$(patience 100)" "$E2E_DIR/python-client.py" web >"$DATA/out" 2>&1 || { cat "$DATA/out"; false; }
    cat "$DATA/out"
    [ "$(grep -c '^ok ' "$DATA/out")" = 7 ]
}
