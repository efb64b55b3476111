/* test_proxy.c - the plan made of given services, and that the kernel takes it, in a network
 * namespace of its own. */
#include "unit.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/json.h"
#include "netlink/nft_need.h"
#include "proxy/internal.h"

static const char service_json[] =
    "{\"metadata\":{\"namespace\":\"d\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.0.9\",\"type\":\"NodePort\","
    "\"sessionAffinity\":\"%s\",\"externalTrafficPolicy\":\"%s\",\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":\"%s\"}]}}";
static const char slice_json[] =
    "{\"metadata\":{\"namespace\":\"d\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},\"ports\":[{\"port\":8080,"
    "\"protocol\":\"%s\"}],\"endpoints\":[{\"addresses\":[\"10.42.0.2\"],\"nodeName\":\"n\",\"conditions\":{\"ready\":%s}},"
    "{\"addresses\":[\"10.42.0.3\"],\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}}]}";

static Value parse(Arena *a, const char *text)
{
    Value v = { 0 };
    Err err = { 0 };
    if (json_decode(sv_cstr(text), a, NULL, &v, &err) < 0)
        fail_msg("%s", err.msg);
    return v;
}

static Plan *make(const char *affinity, const char *policy, const char *proto, const char *ready)
{
    Arena a;
    arena_init(&a, 0);
    char text[1024];
    snprintf(text, sizeof text, service_json, affinity, policy, proto);
    Value v = parse(&a, text);
    ServiceModel *s = service_model_new(&v);
    snprintf(text, sizeof text, slice_json, proto, ready ? ready : "false");
    v = parse(&a, text);
    SliceModel *l = slice_model_new(&v, SV("n"));
    Plan *p = NULL;
    Err err = { 0 };
    const ServiceModel *services[] = { s };
    const SliceModel *slices[] = { l };
    PlanInput in = { services, slices, 1, ready ? 1 : 0 };
    if (plan_new(&in, &p, &err) < 0)
        fail_msg("%s", err.msg);
    service_model_free(s);
    slice_model_free(l);
    arena_free(&a);
    return p;
}

static void expect(Plan *p, const char *want)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    plan_text(p, &b);
    assert_sv(buf_view(&b), want);
    plan_free(p);
}

static void test_node_port(void **state)
{
    expect(make("None", "Cluster", "TCP", "true"),
           "chain any/d/web/tcp/80: dnat 10.42.0.2:8080\n"
           "chain ext/d/web/tcp/80: mark; goto any/d/web/tcp/80\n"
           "chain svc/d/web/tcp/80: mark-outsiders; dnat 10.42.0.2:8080\n"
           "hairpin 10.42.0.2\n"
           "nodeports 6 30080 -> ext/d/web/tcp/80\n"
           "services 10.43.0.9 6 80 -> svc/d/web/tcp/80\n");
}

static void test_local_policy_drops_without_local_endpoint(void **state)
{
    expect(make("None", "Local", "UDP", "false"),
           "chain any/d/web/udp/80: dnat 10.42.0.3:8080\n"
           "chain ext/d/web/udp/80: pods-goto any/d/web/udp/80; host-goto any/d/web/udp/80; drop\n"
           "chain svc/d/web/udp/80: mark-outsiders; dnat 10.42.0.3:8080\n"
           "hairpin 10.42.0.3\n"
           "nodeports 17 30080 -> ext/d/web/udp/80\n"
           "services 10.43.0.9 17 80 -> svc/d/web/udp/80\n");
}

static void test_sctp(void **state)
{
    expect(make("None", "Cluster", "SCTP", "true"),
           "chain any/d/web/sctp/80: dnat 10.42.0.2:8080\n"
           "chain ext/d/web/sctp/80: mark; goto any/d/web/sctp/80\n"
           "chain svc/d/web/sctp/80: mark-outsiders; dnat 10.42.0.2:8080\n"
           "hairpin 10.42.0.2\n"
           "nodeports 132 30080 -> ext/d/web/sctp/80\n"
           "services 10.43.0.9 132 80 -> svc/d/web/sctp/80\n");
}

static void test_no_endpoints_are_refused(void **state)
{
    expect(make("None", "Cluster", "TCP", NULL), "refused 10.43.0.9 6 80 -> -\n"
                                                 "refused-nodeports 6 30080 -> -\n");
}

static Plan *make_of(const char *service, const char *slice, PlanInput *in)
{
    static Arena a; /* refusals name the service: both live until the next call */
    static ServiceModel *s;
    static SliceModel *l;
    service_model_free(s);
    slice_model_free(l);
    arena_init(&a, 0);
    Value v = parse(&a, service);
    s = service_model_new(&v);
    v = parse(&a, slice);
    l = slice_model_new(&v, SV("n"));
    arena_free(&a);
    const ServiceModel *services[] = { s };
    const SliceModel *slices[] = { l };
    in->services = services;
    in->slices = slices;
    in->n_services = in->n_slices = 1;
    in->service_addr = inet_addr("10.43.0.0");
    in->service_mask = htonl(0xffff0000);
    in->pod_addr = inet_addr("10.42.0.0");
    in->pod_mask = htonl(0xffffff00);
    Plan *p = NULL;
    Err err = { 0 };
    if (plan_new(in, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return p;
}

static void test_many_source_ranges(void **state)
{
    _cleanup_buf_ Buf ranges = BUF_INIT, text = BUF_INIT, service = BUF_INIT;
    enum { N = 2000 };
    for (int i = 0; i < N; i++)
        buf_printf(&ranges, "%s\"10.%d.%d.0/24\"", i ? "," : "", i / 256, i % 256);
    buf_printf(
        &service,
        "{\"metadata\":{\"namespace\":\"d\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.0.9\","
        "\"type\":\"LoadBalancer\",\"ports\":[{\"port\":80}],\"loadBalancerSourceRanges\":[%.*s]},"
        "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"192.0.2.9\"}]}}}",
        (int)ranges.len, ranges.ptr);
    buf_putc(&service, 0);
    PlanInput in = { 0 };
    Plan *p = make_of(
        service.ptr,
        "{\"metadata\":{\"namespace\":\"d\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"
        "\"ports\":[{\"port\":8080}],\"endpoints\":[{\"addresses\":[\"10.42.0.2\"]}]}",
        &in);
    plan_text(p, &text);
    size_t n = 0;
    for (const char *at = text.ptr;
         (at = memmem(at, text.len - (size_t)(at - text.ptr), "range-goto", 10)); at++)
        n++;
    assert_int_equal(n, N);
    assert_null(p->refusals);
    plan_free(p);
}

/* Many ports with an endpoint each are planned; a service that is too large is told, and costs
 * nobody else anything. */
static void test_many_ports(void **state)
{
    enum { N = 9000 };
    _cleanup_buf_ Buf ports = BUF_INIT, service = BUF_INIT, slice = BUF_INIT, eps = BUF_INIT;
    for (int i = 0; i < N; i++)
        buf_printf(&ports, "%s{\"name\":\"p%d\",\"port\":%d}", i ? "," : "", i, i + 1);
    for (int i = 0; i < 20; i++)
        buf_printf(&eps, "%s{\"addresses\":[\"10.42.0.%d\"]}", i ? "," : "", i + 2);
    buf_printf(&service,
               "{\"metadata\":{\"namespace\":\"d\",\"name\":\"web\"},\"spec\":{\"clusterIP\":"
               "\"10.43.0.9\",\"ports\":[%.*s]}}",
               (int)ports.len, ports.ptr);
    buf_putc(&service, 0);
    for (int many = 0; many < 2; many++) {
        buf_clear(&slice);
        buf_printf(
            &slice,
            "{\"metadata\":{\"namespace\":\"d\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"
            "\"ports\":[%.*s],\"endpoints\":[%.*s]}",
            (int)ports.len, ports.ptr, many ? (int)eps.len : 27, eps.ptr);
        buf_putc(&slice, 0);
        PlanInput in = { 0 };
        Plan *p = make_of(service.ptr, slice.ptr, &in);
        assert_int_equal(p->chains.len, many ? 0 : N);
        assert_int_equal(p->refusals != NULL, many);
        plan_free(p);
    }
}

/* Addresses and ports that belong to the machine, to Services or to nobody are told, not taken. */
static void test_what_is_never_programmed(void **state)
{
    static const char service[] =
        "{\"metadata\":{\"namespace\":\"d\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.0.9\","
        "\"type\":\"NodePort\",\"ports\":[{\"port\":8443,\"nodePort\":%u}],"
        "\"externalIPs\":[\"10.43.0.1\",\"10.42.0.7\",\"127.0.0.1\",\"192.0.2.1\",\"192.0.2.50\"]}}";
    static const char slice[] =
        "{\"metadata\":{\"namespace\":\"d\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"
        "\"ports\":[{\"port\":8080}],\"endpoints\":[{\"addresses\":[\"10.43.0.1\"]},{\"addresses\":[\"127.0.0.1\"]},"
        "{\"addresses\":[\"224.0.0.1\"]},{\"addresses\":[\"169.254.169.254\"]}]}";
    char text[1024];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8443) };
    socklen_t len = sizeof a;
    int own = socket(AF_INET, SOCK_STREAM, 0), any = socket(AF_INET, SOCK_STREAM, 0);
    if (unshare(CLONE_NEWNET) == 0) {
        close(any);
        close(own);
        own = socket(AF_INET, SOCK_STREAM, 0);
        any = socket(AF_INET, SOCK_STREAM, 0);
    }
    assert_int_equal(bind(own, (void *)&a, sizeof a), 0);
    assert_int_equal(listen(own, 1), 0);
    assert_int_equal(listen(any, 1), 0);
    assert_int_equal(getsockname(any, (void *)&a, &len), 0);
    uint32_t local[] = { inet_addr("192.0.2.1") };
    PlanInput in = { .local = local, .n_local = 1 };
    Listeners *l = NULL;
    Err err = { 0 };
    assert_int_equal(listeners_read(&l, &err), 0);
    in.listeners = l;
    snprintf(text, sizeof text, service, ntohs(a.sin_port));
    Plan *p = make_of(text, slice, &in);
    unsigned n = 0;
    for (const PlanRefusal *r = p->refusals; r; r = r->next)
        n++;
    assert_int_equal(n, 6); /* the node port, four external addresses, one for the endpoints */
    expect(p, "refused 10.43.0.9 6 8443 -> -\nrefused 192.0.2.50 6 8443 -> -\n");
    listeners_free(l);
    close(own);
    close(any);

    /* with nothing listening, a reserved port is still none; others are given */
    assert_int_equal(listeners_read(&l, &err), 0);
    static const uint16_t reserved[] = { 30443 };
    in = (PlanInput){
        .listeners = l, .local = local, .n_local = 1, .reserved = reserved, .n_reserved = 1
    };
    snprintf(text, sizeof text, service, 30443);
    p = make_of(text, slice, &in);
    expect(p, "refused 10.43.0.9 6 8443 -> -\nrefused 192.0.2.1 6 8443 -> -\n"
              "refused 192.0.2.50 6 8443 -> -\n");
    listeners_free(l);
}

/* Debian's nft reads every rule, and makes the same ones of its own words in another namespace. */
static void assert_nft_reads_it(void)
{
    static const char cmd[] =
        "command -v nft >/dev/null || exit 0; d=$(mktemp -d) || exit 1; "
        "nft list ruleset >$d/a && unshare -n sh -c \"nft -f $d/a 2>&1 && nft list ruleset >$d/b\" && "
        "sed 's/ expires [^,} ]*//' $d/a | cmp - $d/b; r=$?; [ $r = 0 ] || cat $d/a; rm -r $d; exit $r";
    if (system(cmd) != 0)
        fail_msg("nft does not read the table");
}

/* Every kind of change is taken by the kernel, and the table is gone afterwards. */
static void test_kernel_takes_it(void **state)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
        print_message("skipped: needs root and a network namespace of its own\n");
        skip();
    }
    Err err = { 0 };
    Nft *n = NULL;
    ProgramConfig cfg = { .table = "unit",
                          .bridge = "unit0",
                          .pod_addr = inet_addr("10.42.0.0"),
                          .pod_mask = htonl(0xffffff00) };
    Plan *plans[] = {
        make("None", "Cluster", "TCP", "true"),      make("ClientIP", "Cluster", "TCP", "true"),
        make("ClientIP", "Cluster", "TCP", "false"), make("ClientIP", "Cluster", "SCTP", "true"),
        make("ClientIP", "Local", "UDP", "true"),    make("ClientIP", "Local", "UDP", "false"),
        make("None", "Cluster", "TCP", NULL)
    };
    if (nft_open(&n, &err) < 0)
        fail_msg("%s", err.msg);
    for (int calls = 0; calls < 2; calls++) {
        cfg.bridge_calls = calls;
        if (program_replace(n, &cfg, NULL, &err) < 0)
            fail_msg("%s", err.msg);
        for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
            if (program_change(n, &cfg, i ? plans[i - 1] : NULL, plans[i], NULL, &err) < 0)
                fail_msg("plan %zu: %s", i, err.msg);
            assert_nft_reads_it();
        }
        size_t ops = 1;
        if (program_change(n, &cfg, plans[6], plans[6], &ops, &err) < 0 || ops != 0)
            fail_msg("equal plans: %zu operations", ops);
    }
    if (program_change(n, &cfg, NULL, plans[0], NULL, &err) < 0 ||
        program_change(n, &cfg, plans[1], plans[6], NULL, &err) == 0)
        fail_msg("a wrong idea of the state must be refused: %s", err.msg);
    if (proxy_cleanup("unit", &err) < 0 || proxy_cleanup("unit", &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < ARRAY_SIZE(plans); i++)
        plan_free(plans[i]);
    nft_close(n);
}

static void no_rule(NftBatch *b)
{
    nft_x_verdict(b, NF_ACCEPT, NULL);
}

/* What this kernel has is found, and what no kernel has is missed. */
static void test_missing_modules(void **state)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
        skip();
    assert_null(nft_missing_module());
    assert_true(nft_try("filter", NF_INET_PRE_ROUTING, no_rule));
    assert_false(nft_try("no-such-type", NF_INET_PRE_ROUTING, no_rule));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_port),
        cmocka_unit_test(test_local_policy_drops_without_local_endpoint),
        cmocka_unit_test(test_sctp),
        cmocka_unit_test(test_no_endpoints_are_refused),
        cmocka_unit_test(test_many_source_ranges),
        cmocka_unit_test(test_many_ports),
        cmocka_unit_test(test_what_is_never_programmed),
        cmocka_unit_test(test_missing_modules),
        cmocka_unit_test(test_kernel_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
