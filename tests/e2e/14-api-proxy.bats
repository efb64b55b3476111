#!/usr/bin/env bats
# What the API server forwards: pods/proxy, services/proxy and nodes/proxy, as the conformance tests of Kubernetes ask
# for them, and who may not be reached that way. A server and a node; the pods' server is tests/e2e/proxied.py.

load helpers

API=https://127.0.0.1:6443

setup_file() {
    need_root
    new_cluster
    start_roles
    mkdir "$DATA/tls"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pod -keyout "$DATA/tls/key" -out "$DATA/tls/crt" 2>/dev/null
    cp "$E2E_DIR/proxied.py" "$DATA/tls/"
    chmod -R a+rX "$DATA/tls"
    # The host's own python, seen from the pod.
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: host, hostPath: {path: /}}]
  containers:
  - name: c
    image: knarr.local/demo:1
    command: [chroot, /host, /usr/bin/python3, $DATA/tls/proxied.py, $DATA/tls, '80=<a href="/rewriteme">test</a>',
        '1080=<a href="/rewriteme">test</a>', 160=foo, 162=bar, 'tls:443=<a href="/tlsrewriteme">test</a>', 'tls:460=tls baz', 'tls:462=tls qux']
    ports: [{name: dest1, containerPort: 160}, {name: dest2, containerPort: 162}, {name: tlsdest1, containerPort: 460}, {name: tlsdest2, containerPort: 462}]
    readinessProbe: {httpGet: {port: 80, path: /}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 100}
    volumeMounts: [{name: host, mountPath: /host}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
  - {name: portname1, port: 80, targetPort: dest1}
  - {name: portname2, port: 81, targetPort: 162}
  - {name: tlsportname1, port: 443, targetPort: tlsdest1}
  - {name: tlsportname2, port: 444, targetPort: 462}
---
apiVersion: v1
kind: Service
metadata: {name: one}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: none}
spec: {selector: {app: nothing}, ports: [{port: 80}]}
Y
    kubectl wait --for=condition=Ready pod/web --timeout=30s
    wait_for 20 has_endpoint
}
teardown_file() { stop_all; }

has_endpoint() { kubectl get endpoints web -o jsonpath='{.subsets[*].addresses[*].ip}' | grep -q .; }
curl_as_admin() {
    inside curl -sS --max-time "$(patience 60)" --path-as-is --cacert "$DATA/pki/ca.crt" --cert "$DATA/crt" --key "$DATA/key" "$@"
}
NSP=/api/v1/namespaces/default
# get PATH [ARGS…]: through the proxies of the namespace
get() { curl_as_admin "$API$NSP/$1" "${@:2}"; }
echoed() { get "$1" "${@:3}" | jq -r "$2"; } # PATH FILTER [ARGS…]

@test "every form of a pod's and a Service's name leads to its port" {
    while read -r path want; do
        [ "$(get "$path/proxy/")" = "$want" ] || { echo "$path: $(get "$path/proxy/")"; false; }
        [ "$(get "$path/proxy/" --http1.1)" = "$want" ]
    done <<T
services/web:portname1 foo
services/http:web:portname1 foo
services/web:80 foo
services/web:portname2 bar
services/http:web:portname2 bar
services/https:web:tlsportname1 tls baz
services/https:web:tlsportname2 tls qux
services/https:web:444 tls qux
services/one <a href="$NSP/services/one/proxy/rewriteme">test</a>
pods/web:80 <a href="$NSP/pods/web:80/proxy/rewriteme">test</a>
pods/web:1080 <a href="$NSP/pods/web:1080/proxy/rewriteme">test</a>
pods/http:web:1080 <a href="$NSP/pods/http:web:1080/proxy/rewriteme">test</a>
pods/web foo
pods/web:160 foo
pods/http:web:160 foo
pods/web:162 bar
pods/web:dest2 bar
pods/https:web:443 <a href="$NSP/pods/https:web:443/proxy/tlsrewriteme">test</a>
pods/https:web:460 tls baz
pods/https:web:462 tls qux
T
}

@test "every method goes on with its path, query and body" {
    for kind in pods/web services/one; do
        for verb in DELETE GET OPTIONS PATCH POST PUT; do
            [ "$(echoed "$kind/proxy/echo/some/path/with/$verb?a=b%20c&dryRun=x" '.method + " " + .path' -X $verb)" = "$verb /echo/some/path/with/$verb?a=b%20c&dryRun=x" ]
        done
        [ "$(get $kind/proxy/some/path -o /dev/null -I -w '%{http_code}')" = 200 ]
        [ "$(get "$kind/proxy?method=PUT" -o /dev/null -X PUT -w '%{http_code}')" = 200 ]
        [ "$(get "$kind/proxy?method=GET" -o /dev/null -w '%{http_code} %{redirect_url}')" = "301 $API$NSP/$kind/proxy/?method=GET" ]
        [ "$(get "$kind/proxy?method=HEAD" -o /dev/null -I -w '%{http_code}')" = 301 ]
        [ "$(echoed $kind/proxy/echo '.body' -d 'hello there' -H 'Content-Type: text/plain')" = "hello there" ]
    done
    # Dots lead nowhere; what is escaped stays what it was.
    [ "$(echoed pods/web/proxy/../../../../../echo/./a//b .path)" = /echo/a/b ]
    [ "$(echoed 'pods/web/proxy/echo%3Fa%20b%25/' .path)" = '/echo%3Fa%20b%25/' ]
}

@test "credentials end at the server, and headers of one connection" {
    echoed pods/web/proxy/echo '.headers' -H 'Authorization: Bearer secret' -H 'Impersonate-User: admin' -H 'Impersonate-Group: system:masters' \
        -H 'X-Remote-User: root' -H 'X-Remote-Extra-Scopes: all' -H 'Connection: X-Hop' -H 'X-Hop: 1' -H 'Keep-Alive: 5' -H 'Cookie: a=b' --http1.1 >"$DATA/headers"
    run grep -icE 'authorization|secret|impersonate|x-remote|x-hop|keep-alive|masters' "$DATA/headers"
    [ "$output" = 0 ]
    [ "$(jq -r .cookie "$DATA/headers")" = a=b ]
    [ "$(jq -r '."x-forwarded-uri"' "$DATA/headers")" = $NSP/pods/web/proxy/echo ]
    [ "$(jq -r '."x-forwarded-for"' "$DATA/headers")" = 127.0.0.1 ]
    # Nor does a token among WebSocket protocols, when what looks like a handshake is none.
    echoed pods/web/proxy/echo '.headers' --http1.1 -X GET -d x -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
        -H 'Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io' >"$DATA/headers"
    run grep -icE 'bearer|upgrade' "$DATA/headers"
    [ "$output" = 0 ]
    get pods/web/proxy/echo -i | grep -i '^access-control' && false
    true
}

@test "no header and no answer is taken for another" {
    local path=$API$NSP/pods/web/proxy how
    # A name that is none: whoever is lenient would read another.
    [ "$(get pods/web/proxy/echo --http1.1 -H 'X-Remote-User : root' -o /dev/null -w '%{http_code}')" = 400 ]
    # The path in a header is escaped as it is in the request.
    [ "$(echoed 'pods/web/proxy/echo/a%0d%0aX-Remote-User:%20root' '.headers."x-forwarded-uri"')" = "$NSP/pods/web/proxy/echo/a%0D%0AX-Remote-User:%20root" ]
    # What follows an answer without a body is not the next one.
    for how in --http1.1 --http2; do
        run curl_as_admin $how "$path/forged" "$path/missing" -w ' %{http_code} %{num_connects};'
        [ "$output" = ' 204 1;not here 404 0;' ] || { echo "$how: $output"; false; }
    done
}

@test "redirects and packed pages lead back through the proxy" {
    [ "$(get pods/web/proxy/redirect -o /dev/null -w '%{http_code} %{redirect_url}')" = "302 $API$NSP/pods/web/proxy/there?x=1" ]
    # A link that began with two slashes would lead to a host called "api".
    [ "$(curl_as_admin "$API//$NSP/pods/web/proxy" -o /dev/null -w '%{redirect_url}')" = "$API$NSP/pods/web/proxy/" ]
    [[ "$(curl_as_admin "$API//$NSP/pods/web:80/proxy/")" == *"\"$NSP/pods/web:80/proxy/rewriteme"* ]]
    get pods/web:80/proxy/zipped --compressed >"$DATA/page"
    [ "$(grep -o "$NSP/pods/web:80/proxy/rewriteme" "$DATA/page" | wc -l)" = 20000 ]
    [ "$(get pods/web/proxy/missing -w ' %{http_code}')" = "not here 404" ]
}

@test "bodies of any size stream both ways, and cost the server little" {
    head -c 100M /dev/zero | tr '\0' q >"$DATA/large"
    want="104857600 $(sha256sum <"$DATA/large" | cut -d' ' -f1)"
    for how in --http1.1 --http2; do
        [ "$(get pods/web/proxy/sink $how -T "$DATA/large" -X PUT)" = "$want" ]
        [ "$(get pods/web/proxy/sink $how -H 'Transfer-Encoding: chunked' -T - -X POST <"$DATA/large")" = "$want" ]
    done
    rm "$DATA/large"
    for how in --http1.1 --http2; do
        get pods/web/proxy/endless $how | head -c 50000000 | wc -c | grep -qx 50000000
        # A client that takes nothing holds its own stream.
        nsenter --net="/run/netns/$NS" curl -sS "$how" --limit-rate 1k --cacert "$DATA/pki/ca.crt" --cert "$DATA/crt" --key "$DATA/key" \
            "$API$NSP/pods/web/proxy/endless" >/dev/null 2>&1 3>&- &
        slow=$!
        echo "$slow" >>"$PIDS"
        wait_for 10 streams_are 1
        [ "$(get services/web:80/proxy/)" = foo ]
        kill $slow
        wait $slow || true
        wait_for 10 streams_are 0
    done
    [ "$(awk '/VmHWM/ {print $2}' "/proc/$(cat "$DATA/server.pid")/status")" -lt 90000 ]
}
streams_are() { [ "$(get pods/web:80/proxy/streams)" = "$1" ]; }

@test "forwarded answers that nobody reads cost little, however many" {
    rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$DATA/server.pid")/status"; }
    kill_role server # what an earlier test has left in its memory is no part of this
    start_server
    get pods/web/proxy/ >/dev/null
    before=$(rss_kb)
    nsenter --net="/run/netns/$NS" python3 "$BATS_TEST_DIRNAME/closed_window.py" "$DATA/pki/ca.crt" "$DATA/crt" "$DATA/key" \
        4 100 $NSP/pods/web/proxy/endless >"$BATS_TEST_TMPDIR/out" 3>&- &
    holder=$!
    echo "$holder" >>"$PIDS"
    wait_for 60 grep -q asked "$BATS_TEST_TMPDIR/out"
    # As much as ever waits is there when it grows no more.
    for ((last = -1, now = 0; now > last; now = $(rss_kb))); do
        last=$now
        sleep 1
    done
    echo "before $before kB, with 400 $now kB"
    [ "$now" -lt $((before + 72 * 1024)) ]
    [ "$(get pods/web:162/proxy/)" = bar ]
    kill "$holder"
    wait "$holder" || true
    wait_for 30 streams_are 0
}

# raw PATH TEXT: an upgrade in plain bytes, and what comes back within two seconds
raw() {
    inside openssl s_client -quiet -no_ign_eof -connect 127.0.0.1:6443 -CAfile "$DATA/pki/ca.crt" -cert "$DATA/crt" -key "$DATA/key" -alpn http/1.1 2>/dev/null \
        < <(printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\nAuthorization: Bearer s\r\n\r\n' "$1"; sleep 1; printf '%b' "$2"; sleep 1)
}

@test "an upgrade joins both ends; without a switch nothing more gets through" {
    raw $NSP/pods/web/proxy/ws 'ping' | tr -d '\r' >"$DATA/answer"
    grep -q '^HTTP/1.1 101 ' "$DATA/answer"
    grep -qi '^upgrade: echo' "$DATA/answer"
    grep -q '^hello ping$' "$DATA/answer"
    raw $NSP/pods/web/proxy/ws-no 'GET /echo/smuggled HTTP/1.1\r\nHost: x\r\n\r\n' >"$DATA/answer"
    grep -q '^HTTP/1.1 404 ' "$DATA/answer"
    grep -q 'no such thing' "$DATA/answer"
    run grep -c smuggled.*method "$DATA/answer"
    [ "$output" = 0 ]
    # The same on the way to a kubelet, which trusts this server.
    raw "$NSP/pods/web/exec?command=true" 'GET /pods HTTP/1.1\r\nHost: x\r\n\r\n' >"$DATA/answer"
    grep -q '^HTTP/1.1 400 ' "$DATA/answer"
    run grep -c PodList "$DATA/answer"
    [ "$output" = 0 ]
}

status_of() { get "$1" | jq -r '"\(.code) \(.reason): \(.message)"'; }

@test "what cannot be reached is told as Kubernetes tells it" {
    [ "$(status_of services/none/proxy/)" = '503 ServiceUnavailable: no endpoints available for service "none"' ]
    [ "$(status_of services/web/proxy/)" = '503 ServiceUnavailable: no endpoints available for service "web"' ]
    [ "$(status_of services/web:82/proxy/)" = '503 ServiceUnavailable: no service port 82 found for service "web"' ]
    [ "$(status_of services/absent/proxy/)" = '404 NotFound: services "absent" not found' ]
    [ "$(status_of pods/absent:80/proxy/)" = '404 NotFound: pods "absent" not found' ]
    [ "$(status_of pods/ftp:web:80/proxy/)" = '400 BadRequest: invalid pod request "ftp:web:80"' ]
    [[ "$(status_of pods/web:9999/proxy/)" = '503 ServiceUnavailable: error trying to reach service: '*refused ]]
}

# forge POD IP: what its node would write
forge() {
    kubectl patch pod "$1" --subresource=status --type=merge -p "{\"status\":{\"podIP\":\"$2\",\"podIPs\":[{\"ip\":\"$2\"}]}}" >/dev/null
}

@test "a forged address of a pod leads neither to the host nor to the server" {
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: forged, labels: {app: forged}}
spec: {schedulerName: none, containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Service
metadata: {name: forged}
spec: {ports: [{port: 80, targetPort: 80}]}
Y
    for ip in 127.0.0.1 169.254.169.254 0.0.0.0 224.0.0.1 ::1 fe80::1 ::ffff:127.0.0.1 10.244.0.1 10.96.0.1; do
        forge forged $ip
        [ "$(status_of pods/forged:6443/proxy/)" = "400 BadRequest: address not allowed" ]
    done
    # Bound to the node it may have an address of the node's range, and no other.
    kubectl create -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: bound, finalizers: [test/keep]}
spec: {nodeName: $NODE, containers: [{name: c, image: "knarr.local/demo:1", command: [sleep, "1000"]}]}
Y
    kubectl wait --for=condition=Ready pod/bound --timeout=20s
    kill_role node KILL
    for ip in 127.0.0.1 10.244.0.1 10.96.0.1; do
        forge bound $ip
        [ "$(status_of pods/https:bound:6443/proxy/)" = "400 BadRequest: address not allowed" ]
    done
    # Neither does an endpoint that somebody wrote.
    kubectl apply -f - >/dev/null <<Y
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: forged-1, labels: {kubernetes.io/service-name: forged}}
addressType: IPv4
ports: [{port: 6443, name: ""}]
endpoints: [{addresses: [10.244.0.1], conditions: {ready: true}}, {addresses: [10.244.0.1], targetRef: {kind: Pod, namespace: default, name: bound}}]
Y
    [ "$(status_of services/https:forged:/proxy/)" = '503 ServiceUnavailable: no endpoints available for service "https:forged:"' ]
    kubectl patch pod bound --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null
    start_node
    export NODE
    kubectl delete pod bound forged --grace-period=0 --force
}

as_user() { kubectl --as="$1" "${@:2}"; }

@test "the right to the subresource is asked for by method" {
    kubectl create role reader --verb=get --resource=pods/proxy --resource-name=web:162
    kubectl create rolebinding reader --role=reader --user=reader
    [ "$(as_user reader get --raw $NSP/pods/web:162/proxy/)" = bar ]
    run as_user reader get --raw $NSP/pods/web:160/proxy/
    [[ "$output" == *'cannot get resource "pods/proxy"'* ]]
    run as_user reader create --raw $NSP/pods/web:162/proxy/ -f /dev/null
    [[ "$output" == *'cannot create resource "pods/proxy"'* ]]
    kubectl create clusterrole nodereader --verb=get --resource=nodes/proxy
    kubectl create clusterrolebinding nodereader --clusterrole=nodereader --user=nodereader
    [ "$(as_user nodereader get --raw "/api/v1/nodes/$NODE/proxy/healthz")" = ok ]
    # To read is not to run: an upgrade needs the right to create.
    curl_as_admin --http1.1 -H 'Impersonate-User: nodereader' -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' \
        "$API/api/v1/nodes/$NODE/proxy/exec/default/web/c?command=true&output=1" | grep -q 'cannot create resource \\"nodes/proxy\\"'
}

@test "a node's kubelet is reached by nodes/proxy" {
    for name in "$NODE" "$NODE:10250"; do
        kubectl get --raw "/api/v1/nodes/$name/proxy/pods" >"$DATA/podlist"
        [ "$(jq -r '.kind + " " + .items[0].kind + " " + (.items[] | select(.metadata.name == "web") | .status.phase)' "$DATA/podlist")" = "PodList Pod Running" ]
        kubectl get --raw "/api/v1/nodes/$name/proxy/metrics" | grep -q '^kubelet_running_pods'
        kubectl get --raw "/api/v1/nodes/$name/proxy/logs/" | grep -q '<pre>'
    done
    run kubectl get --raw "/api/v1/nodes/absent/proxy/pods"
    [[ "$output" == *'node "absent" not found'* ]]
}

@test "kubectl's own proxy and port-forward go on working" {
    nsenter --net="/run/netns/$NS" "$TOOLS/kubectl-1.35" proxy --port=8001 >/dev/null 2>&1 3>&- &
    echo $! >>"$PIDS"
    wait_for 10 inside curl -fsS "http://127.0.0.1:8001$NSP/pods/web:162/proxy/"
    [ "$(inside curl -sS "http://127.0.0.1:8001$NSP/pods/web:162/proxy/")" = bar ]
    nsenter --net="/run/netns/$NS" "$TOOLS/kubectl-1.35" port-forward pod/web 8002:160 >/dev/null 2>&1 3>&- &
    echo $! >>"$PIDS"
    wait_for 10 inside curl -fsS http://127.0.0.1:8002/
    [ "$(inside curl -sS http://127.0.0.1:8002/)" = foo ]
}
