/* test_lookup.c - Services and EndpointSlices in, records out. */
#include "unit.h"

#include <stdio.h>

#include "codec/json.h"
#include "dns/zone.h"

#define ZONE "cluster.local"

static Arena arena;
static DnsZone zone = { .domain = ZONE };
static DnsService *services[16];
static DnsSlice *slices[16];
static unsigned n_services, n_slices;

static const Value *parse(const char *text)
{
    Value *v = arena_new(&arena, Value);
    Err err = { 0 };
    if (json_decode(sv_cstr(text), &arena, NULL, v, &err) < 0)
        fail_msg("%s", err.msg);
    return v;
}

static void service(const char *text)
{
    DnsService *s = dns_service_new(parse(text));
    assert_non_null(s);
    assert_true(dns_zone_add_service(&zone, s));
    services[n_services++] = s;
}

static DnsSlice *slice(const char *text)
{
    DnsSlice *s = dns_slice_new(parse(text));
    assert_non_null(s);
    assert_true(dns_zone_add_slice(&zone, s));
    slices[n_slices++] = s;
    return s;
}

static int setup(void **state)
{
    arena_init(&arena, 0);
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.96.0.7\","
        "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":80},"
        "{\"name\":\"dns\",\"protocol\":\"UDP\",\"port\":53}]}}");
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"db\"},\"spec\":{\"clusterIP\":\"None\","
        "\"ports\":[{\"name\":\"sql\",\"port\":5432}]}}");
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"empty\"},\"spec\":{\"clusterIP\":\"None\"}}");
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"out\"},\"spec\":{\"type\":\"ExternalName\","
        "\"externalName\":\"Example.COM.\"}}");
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"in\"},\"spec\":{\"type\":\"ExternalName\","
        "\"externalName\":\"web.default.svc." ZONE "\"}}");
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"loop\"},\"spec\":{\"type\":\"ExternalName\","
        "\"externalName\":\"loop.default.svc." ZONE "\"}}");
    service(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"wide\"},\"spec\":{\"type\":\"ExternalName\","
        "\"externalName\":\"0123456789012345678901234567890123456789012345678901234567890123.com\"}}");
    slice(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web-1\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"
        "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080}],"
        "\"endpoints\":[{\"addresses\":[\"10.244.0.5\"],\"conditions\":{\"ready\":true}}]}");
    slice(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"db-1\",\"labels\":{\"kubernetes.io/service-name\":\"db\"}},"
        "\"ports\":[{\"name\":\"sql\",\"protocol\":\"TCP\",\"port\":15432}],\"endpoints\":["
        "{\"addresses\":[\"10.244.0.10\"],\"hostname\":\"db-0\",\"conditions\":{\"ready\":true}},"
        "{\"addresses\":[\"10.244.0.11\"],\"conditions\":{\"ready\":true}},"
        "{\"addresses\":[\"10.244.0.12\"],\"hostname\":\"db-2\",\"conditions\":{\"ready\":false}}]}");
    return 0;
}

static int teardown(void **state)
{
    while (n_services) {
        dns_zone_remove_service(&zone, services[--n_services]);
        dns_service_free(services[n_services]);
    }
    while (n_slices) {
        dns_zone_remove_slice(&zone, slices[--n_slices]);
        dns_slice_free(slices[n_slices]);
    }
    assert_int_equal(zone.services.len + zone.by_ip.len + zone.slices.len + zone.hosts.len, 0);
    dns_zone_free(&zone);
    arena_free(&arena);
    return 0;
}

/* "NX", or each record as "A 1.2.3.4", "SRV 100 80 name", "+A name 1.2.3.4" (additional) … */
static const char *ask(const char *name, uint16_t type)
{
    DnsRecords r;
    Buf b = BUF_INIT;
    if (!dns_zone_look_up(&zone, sv_cstr(name), type, &arena, &r))
        return "foreign";
    for (size_t i = 0; i < r.n; i++) {
        const DnsRecord *v = &r.v[i];
        buf_printf(&b, "%s%s", i ? "; " : "", v->additional ? "+" : "");
        const char *owner = v->owner ? v->owner : "";
        if (v->type == DNS_TYPE_A)
            buf_printf(&b, "A%s%s %u.%u.%u.%u", *owner ? " " : "", owner, v->addr[0], v->addr[1],
                       v->addr[2], v->addr[3]);
        else if (v->type == DNS_TYPE_SRV)
            buf_printf(&b, "SRV %u %u %s", v->weight, v->port, v->text);
        else
            buf_printf(&b, "%s %s",
                       v->type == DNS_TYPE_PTR   ? "PTR"
                       : v->type == DNS_TYPE_TXT ? "TXT"
                                                 : "CNAME",
                       v->text);
    }
    if (r.chase)
        buf_printf(&b, " -> %s", r.chase);
    const char *text = !r.exists ? "NX" : arena_cstr(&arena, buf_view(&b));
    if (!r.exists)
        assert_int_equal(r.n, 0);
    buf_free(&b);
    return text;
}

#define NAME(x) x ".default.svc." ZONE

static void test_services_by_address_port_and_reverse(void **state)
{
    assert_string_equal(ask(NAME("web"), DNS_TYPE_A), "A 10.96.0.7");
    assert_string_equal(ask(NAME("web"), DNS_TYPE_AAAA), "");
    assert_string_equal(ask(NAME("_http._tcp.web"), DNS_TYPE_SRV),
                        "SRV 100 80 " NAME("web") "; +A " NAME("web") " 10.96.0.7");
    assert_string_equal(ask(NAME("_http._udp.web"), DNS_TYPE_SRV), "NX");
    assert_string_equal(ask(NAME("_http._tcp.web"), DNS_TYPE_A), "");
    assert_string_equal(ask("7.0.96.10.in-addr.arpa", DNS_TYPE_PTR), "PTR " NAME("web"));
    assert_string_equal(ask("7.0.96.10.in-addr.arpa", DNS_TYPE_A), "");
    assert_string_equal(ask("8.0.96.10.in-addr.arpa", DNS_TYPE_PTR), "foreign");
    assert_string_equal(ask(NAME("10-244-0-5.web"), DNS_TYPE_A), "A 10.244.0.5");
    assert_string_equal(ask(NAME("10-244-0-6.web"), DNS_TYPE_A), "NX");
    assert_string_equal(ask(NAME("no"), DNS_TYPE_A), "NX");
    assert_string_equal(ask("web.other.svc." ZONE, DNS_TYPE_A), "NX");
    assert_string_equal(ask("example.com", DNS_TYPE_A), "foreign");
    assert_string_equal(ask("notcluster.local", DNS_TYPE_A), "foreign");
}

static void test_srv_of_a_service_shares_the_weight(void **state)
{
    assert_string_equal(ask(NAME("web"), DNS_TYPE_SRV),
                        "SRV 50 80 " NAME("web") "; +A " NAME("web") " 10.96.0.7; SRV 50 53 " NAME(
                            "web"));
}

static void test_headless_endpoints(void **state)
{
    assert_string_equal(ask(NAME("db"), DNS_TYPE_A), "A 10.244.0.10; A 10.244.0.11");
    assert_string_equal(ask(NAME("db-0.db"), DNS_TYPE_A), "A 10.244.0.10");
    assert_string_equal(ask(NAME("10-244-0-11.db"), DNS_TYPE_A), "A 10.244.0.11");
    assert_string_equal(ask(NAME("10-244-0-10.db"), DNS_TYPE_A), "NX"); /* it has a name */
    assert_string_equal(ask(NAME("db-2.db"), DNS_TYPE_A), "NX");        /* not ready */
    assert_string_equal(ask(NAME("_sql._tcp.db"), DNS_TYPE_SRV),
                        "SRV 50 15432 " NAME("db-0.db") "; +A " NAME(
                            "db-0.db") " 10.244.0.10; "
                                       "SRV 50 15432 " NAME("10-244-0-11.db") "; +A " NAME(
                                           "10-244-0-11.db") " 10.244.0.11");
    assert_string_equal(ask("10.0.244.10.in-addr.arpa", DNS_TYPE_PTR), "PTR " NAME("db-0.db"));
    assert_string_equal(ask("11.0.244.10.in-addr.arpa", DNS_TYPE_PTR), "foreign");
    assert_string_equal(ask(NAME("empty"), DNS_TYPE_A), "");
    assert_string_equal(ask(NAME("a.b.db"), DNS_TYPE_A), "NX");
}

static void test_an_endpoint_in_two_slices_counts_once(void **state)
{
    DnsSlice *again = slice(
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"db-2\",\"labels\":{\"kubernetes.io/service-name\":\"db\"}},"
        "\"endpoints\":[{\"addresses\":[\"10.244.0.10\"],\"hostname\":\"db-0\"},{\"addresses\":[\"fd00::1\"]},"
        "{\"addresses\":[\"10.244.0.13\"],\"hostname\":\"db-3\"}]}");
    assert_string_equal(ask(NAME("db"), DNS_TYPE_A), "A 10.244.0.10; A 10.244.0.13; A 10.244.0.11");
    assert_string_equal(ask(NAME("db-0.db"), DNS_TYPE_A), "A 10.244.0.10");
    dns_zone_remove_slice(&zone, again);
    assert_string_equal(ask(NAME("db"), DNS_TYPE_A), "A 10.244.0.10; A 10.244.0.11");
    assert_string_equal(ask("10.0.244.10.in-addr.arpa", DNS_TYPE_PTR), "PTR " NAME("db-0.db"));
    assert_string_equal(ask("13.0.244.10.in-addr.arpa", DNS_TYPE_PTR), "foreign");
    dns_slice_free(again);
    n_slices--;
}

static void test_external_names(void **state)
{
    assert_string_equal(ask(NAME("out"), DNS_TYPE_A), "CNAME example.com -> example.com");
    assert_string_equal(ask(NAME("out"), DNS_TYPE_CNAME), "CNAME example.com");
    assert_string_equal(ask(NAME("in"), DNS_TYPE_A),
                        "CNAME " NAME("web") "; A " NAME("web") " 10.96.0.7");
    assert_string_equal(ask(NAME("_x._tcp.out"), DNS_TYPE_SRV), "NX");
    assert_string_equal(ask(NAME("wide"), DNS_TYPE_A), ""); /* a label of 64 bytes */
    assert_non_null(strstr(ask(NAME("loop"), DNS_TYPE_A), "CNAME " NAME("loop"))); /* ends */
}

static void test_pods_versions_and_empty_names(void **state)
{
    assert_string_equal(ask("10-1-2-3.default.pod." ZONE, DNS_TYPE_A), "A 10.1.2.3");
    assert_string_equal(ask("10-1-2.default.pod." ZONE, DNS_TYPE_A), "NX");
    assert_string_equal(ask("10.1.2.3.default.pod." ZONE, DNS_TYPE_A), "NX");
    assert_string_equal(ask("10-1-2-3.default.pod." ZONE, DNS_TYPE_TXT), "");
    assert_string_equal(ask("dns-version." ZONE, DNS_TYPE_TXT), "TXT 1.1.0");
    assert_string_equal(ask(ZONE, DNS_TYPE_A), "");
    assert_string_equal(ask("svc." ZONE, DNS_TYPE_A), "");
    assert_string_equal(ask("default.svc." ZONE, DNS_TYPE_A), "");
    assert_string_equal(ask("bogus." ZONE, DNS_TYPE_A), "NX");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services_by_address_port_and_reverse),
        cmocka_unit_test(test_srv_of_a_service_shares_the_weight),
        cmocka_unit_test(test_headless_endpoints),
        cmocka_unit_test(test_an_endpoint_in_two_slices_counts_once),
        cmocka_unit_test(test_external_names),
        cmocka_unit_test(test_pods_versions_and_empty_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
