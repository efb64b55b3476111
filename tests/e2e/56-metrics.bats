#!/usr/bin/env bats
# /metrics of every role of a cluster, under Kubernetes' names: who may read it, what it says, and `knarr monitor` that
# scrapes all of them with a service account's token.

load helpers

setup_file() {
    need_root
    new_up_place
    start_up
    kubectl create namespace watching
    kubectl create serviceaccount scraper -n watching
    kubectl create clusterrole scraper --verb=get --non-resource-url=/metrics
    kubectl create clusterrole scraper-nodes --verb=get --resource=nodes/metrics
    kubectl create clusterrolebinding scraper --clusterrole=scraper --serviceaccount=watching:scraper
    kubectl create clusterrolebinding scraper-nodes --clusterrole=scraper-nodes --serviceaccount=watching:scraper
    kubectl create token scraper -n watching >"$DATA/token"
    kubectl create serviceaccount nobody -n watching
    kubectl run web --image=knarr.local/demo:1 --restart=Never -- sleep 1000
    kubectl wait --for=condition=Ready pod/web --timeout=20s
    DNS=10.244.0.1
    export DNS
}
teardown_file() {
    [ -n "${DATA:-}" ] || return 0
    inside "$KN" down --data-dir "$CLUSTER" || true
    stop_all
}

# role ROLE: its URL
url() {
    case $1 in
    apiserver) echo "https://127.0.0.1:6443/metrics" ;;
    controller) echo "https://127.0.0.1:10257/metrics" ;;
    scheduler) echo "https://127.0.0.1:10259/metrics" ;;
    kubelet) echo "https://127.0.0.1:10250/metrics" ;;
    proxy) echo "http://127.0.0.1:10249/metrics" ;;
    dns) echo "http://$DNS:9153/metrics" ;;
    esac
}
get() { # ROLE [CURL-ARGS…]
    local role=$1
    shift
    inside curl -skS "$@" "$(url "$role")"
}
read_all() { get "$1" -f -H "Authorization: Bearer $(cat "$DATA/token")"; }
code() { get "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
# value ROLE SERIES: of exactly this series
value() { read_all "$1" | awk -v name="$2" '{ v = $NF; sub(/ [^ ]*$/, "") } $0 == name { print v }'; }
at_least() { awk -v v="$(value "$1" "$2")" -v least="$3" 'BEGIN { exit !(v != "" && v >= least) }' || { echo "$2: '$(value "$1" "$2")'" && false; }; }
has_family() { read_all "$1" >"$BATS_TEST_TMPDIR/text" && grep -q "^# TYPE $2 $3\$" "$BATS_TEST_TMPDIR/text" || { echo "$1: no $3 $2" && false; }; }

@test "promtool has nothing to say about any role's metrics, the manual names them, and each tells of its process" {
    local role
    for role in apiserver controller scheduler kubelet proxy dns; do
        read_all "$role" >"$BATS_TEST_TMPDIR/text"
        sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$BATS_TEST_TMPDIR/text" | while read -r family; do
            grep -qF "\`$family\`" "$E2E_DIR/../../docs/metrics.md" || { echo "docs/metrics.md: no $family" && false; }
        done
        run "$BIN/knarr-promtool" check metrics <"$BATS_TEST_TMPDIR/text"
        [ "$status" -eq 0 ] && [ -z "$output" ] || { echo "$role: $status: $output" && false; }
        grep -q '^process_resident_memory_bytes [1-9]' "$BATS_TEST_TMPDIR/text"
        get "$role" -f -H "Authorization: Bearer $(cat "$DATA/token")" -H 'Accept: application/openmetrics-text' | tail -n 1 | grep -qx '# EOF'
    done
}

@test "who is not let is refused: without a token, with a false one, without the right" {
    local role nobody
    nobody=$(kubectl create token nobody -n watching)
    for role in controller scheduler kubelet; do
        [ "$(code "$role")" = 401 ]
        [ "$(code "$role" -H 'Authorization: Bearer wrong')" = 401 ]
        [ "$(code "$role" -H "Authorization: Bearer $nobody")" = 403 ]
    done
    [ "$(code apiserver)" = 403 ]
    [ "$(code apiserver -H "Authorization: Bearer $nobody")" = 403 ]
    run get scheduler -H "Authorization: Bearer $nobody"
    [ "$output" = 'forbidden: User "system:serviceaccount:watching:nobody" cannot get path "/metrics"' ]
    [ "$(inside curl -sk https://127.0.0.1:10257/healthz)" = ok ]
    [ "$(code controller -X POST)" = 405 ]
}

@test "an administrator's certificate opens them too" {
    local role
    client_files
    for role in apiserver controller scheduler kubelet; do
        [ "$(code "$role" --cert "$DATA/crt" --key "$DATA/key")" = 200 ]
    done
}

@test "the API server counts requests by what they ask for" {
    local pods='verb="GET",dry_run="",group="",version="v1",resource="pods",subresource="",scope="resource",component="apiserver"' before
    before=$(value apiserver "apiserver_request_total{$pods,code=\"200\"}")
    kubectl get pod web
    at_least apiserver "apiserver_request_total{$pods,code=\"200\"}" $((${before:-0} + 1))
    at_least apiserver "apiserver_request_duration_seconds_count{$pods}" 1
    at_least apiserver "apiserver_request_duration_seconds_bucket{$pods,le=\"60\"}" 1
    kubectl get pod missing || true
    at_least apiserver "apiserver_request_total{$pods,code=\"404\"}" 1
    kubectl create configmap dry --dry-run=server
    at_least apiserver 'apiserver_request_total{verb="POST",dry_run="All",group="",version="v1",resource="configmaps",subresource="",scope="resource",component="apiserver",code="201"}' 1
    kubectl create configmap applied --dry-run=client -o yaml | kubectl apply --server-side -f -
    at_least apiserver 'apiserver_request_total{verb="APPLY",dry_run="",group="",version="v1",resource="configmaps",subresource="",scope="resource",component="apiserver",code="201"}' 1
    at_least apiserver 'apiserver_longrunning_requests{verb="WATCH",group="",version="v1",resource="pods",subresource="",scope="cluster",component="apiserver"}' 1
    at_least apiserver 'apiserver_current_inflight_requests{request_kind="readOnly"}' 1 # that which asks
    [ "$(value apiserver 'apiserver_current_inflight_requests{request_kind="mutating"}')" -ge 0 ]
}

@test "names that a client makes up are no labels" {
    local i
    for i in 1 2 3; do
        kubectl get --raw "/apis/made-up-$i.example/v1/things" || true
        kubectl get --raw "/made-up-$i" || true
        kubectl get --raw "/api/v1/namespaces/default/pods/web/made-up-$i" || true
    done
    read_all apiserver >"$BATS_TEST_TMPDIR/text"
    grep -q 'made-up' "$BATS_TEST_TMPDIR/text" && false
    at_least apiserver 'apiserver_request_total{verb="GET",dry_run="",group="",version="",resource="",subresource="",scope="",component="apiserver",code="404"}' 3
}

@test "controllers, scheduler, kubelet, proxy and DNS count what they do" {
    kubectl create deployment counted --image=knarr.local/demo:1 -- sleep 1000
    kubectl wait --for=condition=Available deployment/counted --timeout=20s
    at_least controller 'workqueue_adds_total{name="deployment"}' 1
    at_least controller 'workqueue_work_duration_seconds_count{name="replicaset"}' 1
    has_family controller workqueue_depth gauge
    has_family controller workqueue_queue_duration_seconds histogram
    has_family controller workqueue_work_duration_seconds histogram
    at_least controller 'rest_client_requests_total{code="201",method="POST",host="127.0.0.1:6443"}' 1
    at_least scheduler 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"}' 2
    at_least scheduler 'scheduler_scheduling_attempt_duration_seconds_count{profile="default-scheduler",result="scheduled"}' 2
    kubectl run nowhere --image=knarr.local/demo:1 --overrides='{"spec":{"nodeSelector":{"no":"node"}}}'
    waits() { at_least scheduler 'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"}' 1 && at_least scheduler 'scheduler_pending_pods{queue="unschedulable"}' 1; }
    wait_for 10 waits
    at_least kubelet kubelet_running_pods 2
    at_least kubelet 'kubelet_running_containers{container_state="running"}' 2
    at_least kubelet kubelet_pod_start_duration_seconds_count 2
    at_least kubelet 'kubelet_started_containers_total{container_type="container"}' 2
    at_least proxy 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}' 1
    at_least proxy 'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"}' 1000000000
    kubectl create service clusterip counted --tcp=80
    seen() { at_least proxy 'kubeproxy_sync_proxy_rules_service_changes_total{ip_family="IPv4"}' 3; }
    wait_for 10 seen
    kubectl exec web -- nslookup kubernetes.default.svc.cluster.local
    at_least dns 'coredns_dns_requests_total{server="dns://:10053",zone=".",view="",proto="udp",family="1",type="A"}' 1
    at_least dns 'coredns_dns_responses_total{server="dns://:10053",zone=".",view="",rcode="NOERROR"}' 1
    has_family dns coredns_dns_request_duration_seconds histogram
    kubectl delete deployment/counted pod/nowhere service/counted
}

@test "the monitor scrapes every role" {
    cat >"$DATA/monitor.yml" <<Y
global: {scrape_interval: 500ms}
scrape_configs:
- job_name: secured
  scheme: https
  authorization: {credentials_file: $DATA/token}
  tls_config: {insecure_skip_verify: true}
  static_configs:
  - {targets: ['127.0.0.1:6443'], labels: {role: apiserver}}
  - {targets: ['127.0.0.1:10257'], labels: {role: controller}}
  - {targets: ['127.0.0.1:10259'], labels: {role: scheduler}}
  - {targets: ['127.0.0.1:10250'], labels: {role: kubelet}}
- job_name: open
  static_configs:
  - {targets: ['127.0.0.1:10249'], labels: {role: proxy}}
  - {targets: ['$DNS:9153'], labels: {role: dns}}
Y
    run_role monitor --storage.tsdb.path="$DATA/monitor" --web.listen-address=127.0.0.1:9090 --config.file="$DATA/monitor.yml"
    query() { inside curl -sf --get --data-urlencode "query=$1" http://127.0.0.1:9090/api/v1/query | jq -r '.data.result[0].value[1]'; }
    wait_for 20 inside curl -sf http://127.0.0.1:9090/-/ready
    all_up() { [ "$(query 'count(up == 1)')" = 6 ]; }
    wait_for 20 all_up
    [ "$(query 'count(count by (role) (process_start_time_seconds))')" = 6 ]
    [ "$(query 'count(count by (role) (rest_client_requests_total))')" = 5 ]
    [ "$(query 'sum(apiserver_request_total{resource="pods"}) > bool 0')" = 1 ]
    [ "$(query 'histogram_quantile(0.5, sum by (le) (scheduler_scheduling_attempt_duration_seconds_bucket)) > bool 0')" = 1 ]
    kill_role monitor
}

@test "a port of metrics that is taken costs the role nothing else" {
    inside "$KN" down --data-dir "$CLUSTER"
    nsenter --net="/run/netns/$NS" python3 -m http.server --bind 127.0.0.1 10259 >/dev/null 2>&1 3>&- &
    echo "$!" >>"$PIDS"
    taken() { inside curl -s -o /dev/null http://127.0.0.1:10259/; }
    wait_for 10 taken
    inside "$KN" up --data-dir "$CLUSTER" --detach 3>&-
    grep -q 'metrics are not served: listen on 127.0.0.1:10259' "$CLUSTER/log/scheduler.log"
    kubectl run after --image=knarr.local/demo:1 -- sleep 1000
    kubectl wait --for=condition=Ready pod/after --timeout=20s
}
