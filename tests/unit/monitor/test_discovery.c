/* test_discovery.c - every kind of discovery against the real thing on loopback: files that are
 * replaced, an HTTP server, a name server, and a small API server. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "monitor/discovery/discovery.h"
#include "net/http.h"
#include "unit.h"

typedef struct World {
    Loop *loop;
    Config *config;
    Discovery *d;
    Map groups; /* source → text */
    HttpServer *server;
    const char *body, *type;
    HttpReq *pod_watch;
    int dns_fd;
    const char *want_source, *want_text;
} World;

static void on_groups(void *ctx, const TargetGroup *groups, size_t n)
{
    World *w = ctx;
    for (size_t i = 0; i < n; i++) {
        _cleanup_buf_ Buf text = BUF_INIT;
        void *old = NULL;
        labels_format_set(groups[i].labels, &text);
        for (size_t j = 0; j < groups[i].n_targets; j++) {
            buf_putc(&text, '\n');
            labels_format_set(groups[i].targets[j], &text);
        }
        if (groups[i].n_targets)
            assert_true(map_set(&w->groups, groups[i].source, strdup(buf_cstr(&text)), &old));
        else
            old = map_del(&w->groups, groups[i].source);
        free(old);
    }
}

static void start(World *w, const char *sd, const DiscoveryOptions *opt)
{
    char text[4096];
    Err err = { 0 };
    snprintf(text, sizeof text, "scrape_configs:\n- job_name: j\n%s", sd);
    if (config_parse(sv_cstr(text), "t.yml", SV(""), NULL, &w->config, &err) < 0 ||
        discovery_start(w->loop, &w->config->jobs.items[0]->sd, opt, on_groups, w, &w->d, &err) < 0)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    static World w;
    Err err = { 0 };
    w = (World){ .dns_fd = -1, .type = "application/json" };
    assert_int_equal(loop_new(&w.loop, &err), 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    World *w = *state;
    StrView key;
    void *val;
    discovery_stop(w->d);
    config_unref(w->config);
    http_server_free(w->server);
    assert_int_equal(loop_source_count(w->loop), w->dns_fd >= 0 ? 1 : 0);
    loop_free(w->loop);
    closep(&w->dns_fd);
    for (size_t i = 0; map_next(&w->groups, &i, &key, &val);)
        free(val);
    map_free(&w->groups);
    return 0;
}

/* ---- waiting for a group to be as it should ---- */

typedef struct Wait {
    World *w;
    int64_t deadline;
    bool done;
} Wait;

static const char *group(World *w, const char *source)
{
    return map_get(&w->groups, sv_cstr(source));
}

static void poll(void *ctx)
{
    Wait *x = ctx;
    const char *have = group(x->w, x->w->want_source), *want = x->w->want_text;
    x->done = want ? have && strcmp(have, want) == 0 : !have;
    if (x->done || clock_mono_ns() > x->deadline)
        loop_stop(x->w->loop);
}

/* `text` NULL: until the group is gone. */
static void wait_group(World *w, const char *source, const char *text)
{
    Wait x = { w, clock_mono_ns() + 10 * NSEC_PER_SEC, false };
    Source *timer = NULL;
    Err err = { 0 };
    w->want_source = source;
    w->want_text = text;
    assert_int_equal(loop_add_timer(w->loop, 1, 5, poll, &x, &timer, &err), 0);
    assert_int_equal(loop_run(w->loop, &err), 0);
    source_free(timer);
    if (!x.done)
        fail_msg("group '%s' is\n%s\nwanted\n%s", source, group(w, source), text);
}

/* ---- tests ---- */

static void test_static(void **state)
{
    World *w = *state;
    start(w, "  static_configs:\n  - {targets: [a, b], labels: {x: y}}\n  - targets: [c]\n", NULL);
    wait_group(w, "static/0/1", "{}\n{__address__=\"c\"}");
    wait_group(w, "static/0/0", "{x=\"y\"}\n{__address__=\"a\"}\n{__address__=\"b\"}");
}

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_write_atomic(AT_FDCWD, path, sv_cstr(text), 0600, false), 0);
}

static void test_files_are_followed(void **state)
{
    World *w = *state;
    char dir[] = "/tmp/knarr-sd-XXXXXX", sd[256], source[128], want[256];
    assert_non_null(mkdtemp(dir));
    put_file(dir, "a.json",
             "[{\"targets\":[\"x:1\"],\"labels\":{\"k\":\"v\"}},{\"targets\":[\"y\"]}]");
    snprintf(sd, sizeof sd, "  file_sd_configs: [{files: ['%s/*.json', '%s/b.yml']}]\n", dir, dir);
    start(w, sd, NULL);
    snprintf(source, sizeof source, "file/0/%s/a.json:0", dir);
    snprintf(want, sizeof want, "{__meta_filepath=\"%s/a.json\", k=\"v\"}\n{__address__=\"x:1\"}",
             dir);
    wait_group(w, source, want);
    /* A broken file changes nothing, and is reported. */
    put_file(dir, "a.json", "[{");
    put_file(dir, "b.yml", "- targets: [z]\n  labels: {n: 010}\n");
    snprintf(source, sizeof source, "file/0/%s/b.yml:0", dir);
    snprintf(want, sizeof want, "{__meta_filepath=\"%s/b.yml\", n=\"010\"}\n{__address__=\"z\"}",
             dir);
    wait_group(w, source, want);
    snprintf(source, sizeof source, "file/0/%s/a.json:1", dir);
    assert_non_null(group(w, source));
    assert_non_null(strstr(discovery_last_error(w->d)->msg, "a.json"));
    put_file(dir, "a.json", "[{\"targets\":[\"x:2\"]}]");
    wait_group(w, source, NULL); /* the second group is gone */
    assert_int_equal(rm_rf(AT_FDCWD, dir), 0);
    snprintf(source, sizeof source, "file/0/%s/b.yml:0", dir);
    wait_group(w, source, NULL);
}

static void answer(void *ctx, HttpReq *req)
{
    World *w = ctx;
    assert_sv(http_header(req, SV("x-prometheus-refresh-interval-seconds")), "0.1");
    http_respond(req, 200, sv_cstr(w->type), sv_cstr(w->body));
}

static void serve(World *w, HttpHandlerFn *fn)
{
    Err err = { 0 };
    HttpServerConfig hc = { .handler = fn, .ctx = w, .body_max = 1024 };
    assert_int_equal(http_server_new(w->loop, "127.0.0.1:0", &hc, &w->server, &err), 0);
}

static void test_http(void **state)
{
    World *w = *state;
    char sd[256], url[64], source[128], want[256];
    serve(w, answer);
    w->body = "[{\"targets\":[\"a\",\"b\"],\"labels\":{\"l\":\"1\"}}]";
    snprintf(url, sizeof url, "http://127.0.0.1:%u/sd", http_server_port(w->server));
    snprintf(sd, sizeof sd, "  http_sd_configs: [{url: '%s', refresh_interval: 100ms}]\n", url);
    start(w, sd, NULL);
    snprintf(source, sizeof source, "http/0/%s:0", url);
    snprintf(want, sizeof want,
             "{__meta_url=\"%s\", l=\"1\"}\n{__address__=\"a\"}\n{__address__=\"b\"}", url);
    wait_group(w, source, want);
    w->body = "[]";
    wait_group(w, source, NULL);
}

static void put_metrics(const DiscoveryStats *s, Buf *out)
{
    buf_clear(out);
    discovery_metrics(s, out);
    assert_false(out->failed);
}

static void test_one_part_that_works_does_not_hide_another_that_fails(void **state)
{
    World *w = *state;
    _cleanup_buf_ Buf text = BUF_INIT;
    DiscoveryStats *stats = NULL;
    DiscoveryOptions opt = { .user = DISCOVERY_TOOL };
    char sd[512], source[128], want[128], dir[] = "/tmp/knarr-sd-XXXXXX";
    size_t pos = 0;
    StrView part;
    Err err = { 0 };
    assert_int_equal(discovery_stats_new(&stats, &err), 0);
    assert_non_null(mkdtemp(dir));
    put_file(dir, "a.json", "{");
    opt.stats = stats;
    serve(w, answer);
    snprintf(sd, sizeof sd,
             "  file_sd_configs: [{files: ['%s/a.json']}]\n"
             "  http_sd_configs: [{url: 'http://127.0.0.1:%u/sd', refresh_interval: 100ms}]\n"
             "  kubernetes_sd_configs: [{role: pod, kubeconfig_file: '%s/none'}]\n",
             dir, http_server_port(w->server), dir);
    start(w, sd, &opt);
    snprintf(source, sizeof source, "http/0/http://127.0.0.1:%u/sd:1", http_server_port(w->server));
    w->body = "[{\"targets\":[\"a\"]},{\"targets\":[\"b\"]}]";
    snprintf(want, sizeof want, "{__meta_url=\"http://127.0.0.1:%u/sd\"}\n{__address__=\"b\"}",
             http_server_port(w->server));
    wait_group(w, source, want);
    assert_non_null(strstr(discovery_next_error(w->d, &pos, &part)->msg, "a.json"));
    assert_sv(part, "file/0");
    assert_non_null(discovery_next_error(w->d, &pos, &part));
    assert_sv(part, "kubernetes/0");
    assert_null(discovery_next_error(w->d, &pos, &part));
    put_metrics(stats, &text);
    assert_non_null(strstr(buf_cstr(&text), "\nprometheus_sd_file_read_errors_total 1\n"));
    assert_non_null(strstr(buf_cstr(&text), "\nprometheus_sd_http_failures_total 0\n"));
    w->d = discovery_stop(w->d);
    discovery_stats_free(stats);
    assert_int_equal(rm_rf(AT_FDCWD, dir), 0);
}

/* ---- DNS ---- */

static size_t put_name(uint8_t *at, const char *dotted)
{
    size_t n = 0;
    while (*dotted) {
        const char *dot = strchrnul(dotted, '.');
        at[n++] = (uint8_t)(dot - dotted);
        memcpy(at + n, dotted, (size_t)(dot - dotted));
        n += (size_t)(dot - dotted);
        dotted = *dot ? dot + 1 : dot;
    }
    at[n++] = 0;
    return n;
}

/* One answer for every type; names that start with "no" do not exist. */
static size_t dns_reply(uint8_t *m, size_t n)
{
    size_t q = 12;
    bool missing = m[13] == 'n' && m[14] == 'o';
    while (m[q])
        q += m[q] + 1u;
    unsigned type = (unsigned)m[q + 1] << 8 | m[q + 2];
    n = q + 5;
    m[2] = 0x84;
    m[3] = missing ? 3 : 0;
    m[6] = 0;
    m[7] = !missing;
    m[8] = m[9] = m[10] = m[11] = 0;
    if (missing)
        return n;
    const uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60 };
    memcpy(m + n, head, sizeof head);
    n += sizeof head;
    uint8_t *len = m + n, *data = m + n + 2;
    size_t dn = 0;
    if (type == 1) {
        memcpy(data, "\x0a\x00\x00\x07", dn = 4);
    } else if (type == 33) {
        memcpy(data, "\0\1\0\1\x23\x28", 6);
        dn = 6 + put_name(data + 6, "host.example");
    } else {
        memcpy(data, "\0\5", 2);
        dn = 2 + put_name(data + 2, "mail.example");
    }
    len[0] = 0;
    len[1] = (uint8_t)dn;
    return n + 2 + dn;
}

static void on_query(void *ctx, uint32_t events)
{
    World *w = ctx;
    uint8_t m[1024] = { 0 };
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t n = recvfrom(w->dns_fd, m, 512, 0, (struct sockaddr *)&from, &len);
    if (n > 12)
        sendto(w->dns_fd, m, dns_reply(m, (size_t)n), 0, (struct sockaddr *)&from, len);
}

static void test_dns(void **state)
{
    World *w = *state;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof in;
    Source *source = NULL;
    char server[64];
    Err err = { 0 };

    w->dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(w->dns_fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(getsockname(w->dns_fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(loop_add_fd(w->loop, w->dns_fd, LOOP_READ, on_query, w, &source, &err), 0);
    snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(in.sin_port));
    DiscoveryOptions opt = { .dns_server = server };
    start(w,
          "  dns_sd_configs:\n"
          "  - {names: [a.example., no.example.], type: A, port: 80}\n"
          "  - {names: [_x._tcp.example.]}\n"
          "  - {names: [m.example.], type: MX, port: 25}\n",
          &opt);
    wait_group(w, "dns/0/a.example.",
               "{}\n{__address__=\"10.0.0.7:80\", __meta_dns_name=\"a.example.\"}");
    wait_group(w, "dns/1/_x._tcp.example.",
               "{}\n{__address__=\"host.example:9000\", __meta_dns_name=\"_x._tcp.example.\", "
               "__meta_dns_srv_record_port=\"9000\", "
               "__meta_dns_srv_record_target=\"host.example.\"}");
    wait_group(w, "dns/2/m.example.",
               "{}\n{__address__=\"mail.example:25\", "
               "__meta_dns_mx_record_target=\"mail.example.\", __meta_dns_name=\"m.example.\"}");
    assert_null(group(w, "dns/0/no.example."));
    w->d = discovery_stop(w->d);
}

/* ---- Kubernetes ---- */

#define META(name)                                                                                 \
    "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"d\",\"uid\":\"u-" name                    \
    "\",\"resourceVersion\":\"1\",\"labels\":{\"app.kubernetes.io/x\":\"1\"}"

static const char pod[] = "{\"kind\":\"Pod\"," META(
    "p") ",\"ownerReferences\":[{\"kind\":\"ReplicaSet\",\"name\":\"rs\","
         "\"controller\":true}]},\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\","
         "\"image\":\"i\",\"ports\":[{\"name\":\"web\",\"containerPort\":80,\"protocol\":\"TCP\"},"
         "{\"containerPort\":81,\"protocol\":\"TCP\"}]}],\"initContainers\":[{\"name\":\"init\","
         "\"image\":\"j\"}]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.1.1.1\",\"hostIP\":"
         "\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
         "\"containerStatuses\":[{\"name\":\"c\",\"containerID\":\"cri://1\"}]}}";
static const char service[] = "{\"kind\":\"Service\"," META(
    "s") "},\"spec\":{\"type\":"
         "\"ClusterIP\",\"clusterIP\":\"10.2.0.1\",\"ports\":[{\"name\":"
         "\"web\",\"port\":8080,\"protocol\":\"TCP\"}]}}";
static const char slice[] =
    "{\"kind\":\"EndpointSlice\",\"addressType\":\"IPv4\",\"metadata\":{\"name\":\"s-1\","
    "\"namespace\":\"d\",\"uid\":\"u\",\"resourceVersion\":\"1\",\"labels\":{"
    "\"kubernetes.io/service-name\":\"s\"}},\"endpoints\":[{\"addresses\":[\"10.1.1.1\"],"
    "\"conditions\":{\"ready\":true},\"nodeName\":\"n\",\"targetRef\":{\"kind\":\"Pod\","
    "\"namespace\":\"d\",\"name\":\"p\"}}],\"ports\":[{\"name\":\"web\",\"port\":80,\"protocol\":"
    "\"TCP\"}]}";
static const char node[] =
    "{\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"1\"},"
    "\"status\":{\"addresses\":[{\"type\":\"Hostname\",\"address\":\"h\"},{\"type\":\"InternalIP\","
    "\"address\":\"10.0.0.1\"}],\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}}}}";
static const char ingress[] =
    "{\"kind\":\"Ingress\",\"metadata\":{\"name\":\"i\",\"namespace\":\"d\",\"uid\":\"u\","
    "\"resourceVersion\":\"1\"},\"spec\":{\"ingressClassName\":\"k\",\"tls\":[{\"hosts\":["
    "\"*.x.org\"]}],\"rules\":[{\"host\":\"a.x.org\",\"http\":{\"paths\":[{\"path\":\"/p\"}]}},{"
    "\"host\":\"b.org\"}]}}";

static void send_event(HttpReq *req, const char *type, const char *obj)
{
    _cleanup_buf_ Buf line = BUF_INIT;
    buf_printf(&line, "{\"type\":\"%s\",\"object\":%s}\n", type, obj);
    assert_int_equal(http_stream_write(req, line.ptr, line.len, NULL), 0);
}

static void watch_gone(void *ctx)
{
    ((World *)ctx)->pod_watch = NULL;
}

static void api(void *ctx, HttpReq *req)
{
    World *w = ctx;
    static const struct {
        const char *end, *obj;
    } rows[] = { { "/pods", pod },
                 { "/services", service },
                 { "/endpointslices", slice },
                 { "/nodes", node },
                 { "/ingresses", ingress } };
    assert_sv(http_header(req, SV("authorization")), "Bearer tok");
    assert_int_equal(http_stream_start(req, 200, SV("application/json"), NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (sv_ends(req->path, sv_cstr(rows[i].end)))
            send_event(req, "ADDED", rows[i].obj);
    send_event(req, "BOOKMARK",
               "{\"metadata\":{\"resourceVersion\":\"1\",\"annotations\":{"
               "\"k8s.io/initial-events-end\":\"true\"}}}");
    if (sv_ends(req->path, SV("/pods"))) {
        w->pod_watch = req;
        http_on_close(req, watch_gone, w);
    }
}

static void start_role(World *w, const char *role)
{
    char sd[512];
    serve(w, api);
    snprintf(sd, sizeof sd,
             "  kubernetes_sd_configs: [{role: %s, api_server: 'http://127.0.0.1:%u', "
             "authorization: {credentials: tok}}]\n",
             role, http_server_port(w->server));
    start(w, sd, NULL);
}

#define K "__meta_kubernetes_"
#define APP(role)                                                                                  \
    K role "_label_app_kubernetes_io_x=\"1\", " K role "_labelpresent_app_kubernetes_io_x=\"true\""
#define POD_LABELS                                                                                 \
    K "pod_controller_kind=\"ReplicaSet\", " K "pod_controller_name=\"rs\", " K                    \
      "pod_host_ip=\"10.0.0.1\", " K                                                               \
      "pod_ip=\"10.1.1.1\", " APP("pod") ", " K "pod_name=\"p\", " K "pod_node_name=\"n\", " K     \
                                         "pod_phase=\"Running\", " K "pod_ready=\"true\", " K      \
                                         "pod_uid=\"u-p\""
#define CONTAINER(n)                                                                               \
    "{__address__=\"10.1.1.1:" n "\", " K "pod_container_id=\"cri://1\", " K                       \
    "pod_container_image=\"i\", " K "pod_container_init=\"false\", " K                             \
    "pod_container_name=\"c\", "

static void test_kubernetes_pods(void **state)
{
    World *w = *state;
    start_role(w, "pod");
    wait_group(w, "kubernetes/0/pod/d/p",
               "{" K "namespace=\"d\", " POD_LABELS "}\n" CONTAINER("80") K
               "pod_container_port_name=\"web\", " K "pod_container_port_number=\"80\", " K
               "pod_container_port_protocol=\"TCP\"}\n" CONTAINER("81") K
               "pod_container_port_number=\"81\", " K "pod_container_port_protocol=\"TCP\"}\n"
               "{__address__=\"10.1.1.1\", " K "pod_container_image=\"j\", " K
               "pod_container_init=\"true\", " K "pod_container_name=\"init\"}");
    send_event(w->pod_watch, "DELETED", pod);
    wait_group(w, "kubernetes/0/pod/d/p", NULL);
}

static void test_kubernetes_services(void **state)
{
    World *w = *state;
    start_role(w, "service");
    wait_group(w, "kubernetes/0/svc/d/s",
               "{" K "namespace=\"d\", " APP("service") ", " K "service_name=\"s\"}\n"
                                                        "{__address__=\"s.d.svc:8080\", " K
                                                        "service_cluster_ip=\"10.2.0.1\", " K
                                                        "service_port_name=\"web\", " K
                                                        "service_port_number=\"8080\", " K
                                                        "service_port_protocol=\"TCP\", " K
                                                        "service_type=\"ClusterIP\"}");
}

#define SLICE_GROUP                                                                                \
    "{" K "endpointslice_address_type=\"IPv4\", " K                                                \
    "endpointslice_label_kubernetes_io_service_name=\"s\", " K                                     \
    "endpointslice_labelpresent_kubernetes_io_service_name=\"true\", " K                           \
    "endpointslice_name=\"s-1\", " K "namespace=\"d\", " APP("service") ", " K                     \
                                                                        "service_name=\"s\"}\n"
#define SLICE_TARGET                                                                               \
    "{__address__=\"10.1.1.1:80\", " K "endpointslice_address_target_kind=\"Pod\", " K             \
    "endpointslice_address_target_name=\"p\", " K                                                  \
    "endpointslice_endpoint_conditions_ready=\"true\", " K                                         \
    "endpointslice_endpoint_node_name=\"n\", " K "endpointslice_port=\"80\", " K                   \
    "endpointslice_port_name=\"web\", " K "endpointslice_port_protocol=\"TCP\""
#define POD_CONTAINER(port)                                                                        \
    K "pod_container_image=\"i\", " K "pod_container_init=\"false\", " K                           \
      "pod_container_name=\"c\", " port K "pod_container_port_protocol=\"TCP\", " POD_LABELS

static void test_kubernetes_slices_follow_their_pods(void **state)
{
    World *w = *state;
    start_role(w, "endpointslice");
    wait_group(
        w, "kubernetes/0/endpointslice/d/s-1",
        SLICE_GROUP SLICE_TARGET ", " POD_CONTAINER(
            K "pod_container_port_name=\"web\", " K
              "pod_container_port_number=\"80\", ") "}\n"
                                                    "{__address__=\"10.1.1.1:81\", " POD_CONTAINER(
                                                        K
                                                        "pod_container_port_number=\"81\", ") "}");
    /* Without the pod the endpoint stays, without the pod's labels. */
    send_event(w->pod_watch, "DELETED", pod);
    wait_group(w, "kubernetes/0/endpointslice/d/s-1", SLICE_GROUP SLICE_TARGET "}");
}

static void test_kubernetes_nodes_and_ingresses(void **state)
{
    World *w = *state;
    start_role(w, "node");
    wait_group(w, "kubernetes/0/node/n",
               "{" K "node_name=\"n\"}\n{__address__=\"10.0.0.1:10250\", " K
               "node_address_Hostname=\"h\", " K "node_address_InternalIP=\"10.0.0.1\", "
               "instance=\"n\"}");
    w->d = discovery_stop(w->d);
    w->config = config_unref(w->config);
    w->server = http_server_free(w->server);
    start_role(w, "ingress");
    wait_group(w, "kubernetes/0/ingress/d/i",
               "{" K "ingress_class_name=\"k\", " K "ingress_name=\"i\", " K "namespace=\"d\"}\n"
               "{__address__=\"a.x.org\", " K "ingress_host=\"a.x.org\", " K
               "ingress_path=\"/p\", " K "ingress_scheme=\"https\"}\n"
               "{__address__=\"b.org\", " K "ingress_host=\"b.org\", " K "ingress_path=\"/\", " K
               "ingress_scheme=\"http\"}");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_static),
        T(test_files_are_followed),
        T(test_http),
        T(test_one_part_that_works_does_not_hide_another_that_fails),
        T(test_dns),
        T(test_kubernetes_pods),
        T(test_kubernetes_services),
        T(test_kubernetes_slices_follow_their_pods),
        T(test_kubernetes_nodes_and_ingresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
