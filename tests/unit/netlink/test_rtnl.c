/* test_rtnl.c - links, addresses and routes, for real: in a network namespace of its own, so that
 * nothing of the machine is seen or changed. Needs root. */
#include "netlink/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "netlink/listeners.h"
#include "unit.h"

static Rtnl *nl;
static Err err;

static int setup(void **state)
{
    err_clear(&err);
    nl = NULL;
    if (geteuid() != 0)
        return 0;
    return unshare(CLONE_NEWNET) < 0 || rtnl_open(&nl, &err) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    nl = rtnl_close(nl);
    return 0;
}

#define NEED_ROOT                                                                                  \
    do {                                                                                           \
        if (!nl)                                                                                   \
            skip();                                                                                \
    } while (0)

static void ok(int r)
{
    if (r < 0)
        fail_msg("%s", err.msg);
}

static RtnlLink link_named(const char *name)
{
    RtnlLink l;
    ok(rtnl_link_get(nl, name, &l, &err));
    return l;
}

static IpPrefix prefix(const char *text)
{
    IpPrefix p;
    if (ip_prefix_parse(sv_cstr(text), &p) < 0)
        fail_msg("'%s' is no prefix", text);
    return p;
}

static void test_prefixes_are_read_and_written(void **state)
{
    static const struct {
        const char *in, *whole, *address;
        uint8_t family, bits;
    } good[] = {
        { "10.1.2.3/16", "10.1.2.3/16", "10.1.2.3", AF_INET, 16 },
        { "10.1.2.3", "10.1.2.3/32", "10.1.2.3", AF_INET, 32 },
        { "0.0.0.0/0", "0.0.0.0/0", "0.0.0.0", AF_INET, 0 },
        { "fd00::1/64", "fd00::1/64", "fd00::1", AF_INET6, 64 },
        { "::1", "::1/128", "::1", AF_INET6, 128 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        char text[IP_TEXT_SIZE];
        IpPrefix p = prefix(good[i].in);
        assert_int_equal(p.family, good[i].family);
        assert_int_equal(p.bits, good[i].bits);
        assert_string_equal(ip_text(&p, true, text), good[i].whole);
        assert_string_equal(ip_text(&p, false, text), good[i].address);
    }
}

static void test_what_is_no_prefix_is_refused(void **state)
{
    static const char *const bad[] = {
        "",           "10.1.2",    "10.1.2.3/33", "10.1.2.3/", "10.1.2.3/-1", "x", "fd00::1/129",
        "10.1.2.3/x", "256.0.0.1", " 10.0.0.1",   "fd00:::1",  "10.0.0.1/8 "
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        IpPrefix p = { .bits = 77 };
        if (ip_prefix_parse(sv_cstr(bad[i]), &p) != -EINVAL)
            fail_msg("'%s' is taken", bad[i]);
        assert_int_equal(p.bits, 77);
    }
}

static void test_a_new_namespace_has_lo_alone_and_down(void **state)
{
    NEED_ROOT;
    RtnlLink lo = link_named("lo"), none;
    assert_int_equal(lo.index, 1);
    assert_false(lo.up);
    assert_string_equal(lo.kind, "");
    ok(rtnl_link_set_up(nl, lo.index, &err));
    assert_true(link_named("lo").up);
    assert_int_equal(rtnl_link_get(nl, "eth0", &none, &err), -ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "eth0"));
}

static void test_a_bridge_keeps_its_address(void **state)
{
    NEED_ROOT;
    ok(rtnl_bridge_add(nl, "br", 1400, &err));
    RtnlLink before = link_named("br");
    assert_string_equal(before.kind, "bridge");
    assert_int_equal(before.mtu, 1400);
    assert_int_equal(rtnl_bridge_add(nl, "br", 0, &err), -ERR_EXISTS);
    _cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ok(rtnl_veth_add(nl, "a", "b", own, 1400, &err));
    ok(rtnl_link_set_master(nl, link_named("a").index, before.index, &err));
    assert_int_equal(link_named("a").master, before.index);
    assert_memory_equal(link_named("br").mac, before.mac, 6);
    ok(rtnl_port_set_hairpin(nl, link_named("a").index, true, &err));
    ok(rtnl_link_set_promisc(nl, before.index, true, &err));
    assert_true(rtnl_port_set_hairpin(nl, link_named("b").index, true, &err) < 0); /* no port */
    ok(rtnl_link_del(nl, "br", &err));
    assert_int_equal(rtnl_link_del(nl, "br", &err), -ERR_NOT_FOUND);
    assert_int_equal(link_named("a").master, 0);
}

static void test_a_pair_spans_namespaces(void **state)
{
    NEED_ROOT;
    RtnlLink end;
    Rtnl *there = NULL;
    _cleanup_close_ int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    _cleanup_close_ int other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(here, CLONE_NEWNET), 0);
    ok(rtnl_veth_add(nl, "out", "eth0", other, 1300, &err));
    assert_string_equal(link_named("out").kind, "veth");
    assert_int_equal(link_named("out").mtu, 1300);
    assert_int_equal(rtnl_link_get(nl, "eth0", &end, NULL), -ERR_NOT_FOUND);
    ok(rtnl_open_in(other, &there, &err));
    ok(rtnl_link_get(there, "eth0", &end, &err));
    assert_int_equal(end.mtu, 1300);
    /* The thread is where it was. */
    assert_int_equal(rtnl_link_get(nl, "eth0", &end, NULL), -ERR_NOT_FOUND);
    assert_int_equal(rtnl_veth_add(nl, "out", "eth1", other, 0, &err), -ERR_EXISTS);
    /* One end goes with the other. */
    ok(rtnl_link_del(there, "eth0", &err));
    assert_int_equal(rtnl_link_get(nl, "out", &end, NULL), -ERR_NOT_FOUND);
    rtnl_close(there);
    _cleanup_close_ int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(rtnl_open_in(file, &there, &err) < 0);
}

static void test_the_hardware_address_is_set(void **state)
{
    NEED_ROOT;
    static const uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 }, group[6] = { 1, 1, 2, 3, 4, 5 };
    ok(rtnl_bridge_add(nl, "br", 0, &err));
    ok(rtnl_link_set_mac(nl, link_named("br").index, mac, &err));
    assert_memory_equal(link_named("br").mac, mac, 6);
    assert_true(rtnl_link_set_mac(nl, link_named("br").index, group, &err) < 0);
    assert_memory_equal(link_named("br").mac, mac, 6);
}

static void test_addresses(void **state)
{
    NEED_ROOT;
    bool has;
    ok(rtnl_bridge_add(nl, "br", 0, &err));
    unsigned br = link_named("br").index;
    IpPrefix one = prefix("10.9.0.1/24"), six = prefix("fd00:9::1/64"),
             other = prefix("10.9.0.2/24");
    ok(rtnl_addr_add(nl, br, &one, &err));
    assert_int_equal(rtnl_addr_add(nl, br, &one, &err), -ERR_EXISTS);
    ok(rtnl_addr_has(nl, br, &one, &has, &err));
    assert_true(has);
    one.bits = 8; /* with any length */
    ok(rtnl_addr_has(nl, br, &one, &has, &err));
    assert_true(has);
    ok(rtnl_addr_has(nl, br, &other, &has, &err));
    assert_false(has);
    ok(rtnl_addr_has(nl, br, &six, &has, &err));
    assert_false(has);
    if (path_exists(AT_FDCWD, "/proc/net/if_inet6")) {
        ok(rtnl_addr_add(nl, br, &six, &err));
        ok(rtnl_addr_has(nl, br, &six, &has, &err));
        assert_true(has);
    }
    assert_true(rtnl_addr_add(nl, 4711, &one, &err) < 0);
}

static void test_routes(void **state)
{
    NEED_ROOT;
    ok(rtnl_bridge_add(nl, "br", 0, &err));
    unsigned br = link_named("br").index;
    IpPrefix own = prefix("10.9.0.1/24"), gw = prefix("10.9.0.254"), all = prefix("0.0.0.0/0"),
             services = prefix("10.96.0.0/16"), far = prefix("192.0.2.1"),
             net = prefix("203.0.113.0/24");
    ok(rtnl_addr_add(nl, br, &own, &err));
    ok(rtnl_link_set_up(nl, br, &err));
    ok(rtnl_route_add(nl, br, &services, NULL, &err));
    assert_int_equal(rtnl_route_add(nl, br, &services, NULL, &err), -ERR_EXISTS);
    ok(rtnl_route_add(nl, br, &all, &gw, &err));
    assert_true(rtnl_route_add(nl, br, &net, &far, &err) < 0); /* not near */
}

static void test_what_listens_is_found(void **state)
{
    NEED_ROOT;
    Listeners *l = NULL;
    ok(rtnl_link_set_up(nl, link_named("lo").index, &err));
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons(7001) };
    _cleanup_close_ int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(tcp, (struct sockaddr *)&at, sizeof at), 0);
    ok(listeners_read(&l, &err));
    assert_false(
        listeners_have(l, IPPROTO_TCP, htonl(INADDR_ANY), 7001)); /* bound alone is not enough */
    l = listeners_free(l);
    assert_int_equal(listen(tcp, 1), 0);
    at.sin_port = htons(7002);
    assert_int_equal(bind(udp, (struct sockaddr *)&at, sizeof at), 0);
    ok(listeners_read(&l, &err));
    assert_true(listeners_have(l, IPPROTO_TCP, htonl(INADDR_ANY), 7001));
    assert_true(listeners_have(l, IPPROTO_TCP, htonl(INADDR_LOOPBACK), 7001));
    assert_false(listeners_have(l, IPPROTO_TCP, htonl(0x0a090001), 7001)); /* another address */
    assert_false(listeners_have(l, IPPROTO_UDP, htonl(INADDR_ANY), 7001));
    assert_true(listeners_have(l, IPPROTO_UDP, htonl(INADDR_ANY), 7002));
    assert_false(listeners_have(l, IPPROTO_TCP, htonl(INADDR_ANY), 7002));
    listeners_free(l);
}

#define RTNL_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes_are_read_and_written),
        cmocka_unit_test(test_what_is_no_prefix_is_refused),
        RTNL_TEST(test_a_new_namespace_has_lo_alone_and_down),
        RTNL_TEST(test_a_bridge_keeps_its_address),
        RTNL_TEST(test_a_pair_spans_namespaces),
        RTNL_TEST(test_the_hardware_address_is_set),
        RTNL_TEST(test_addresses),
        RTNL_TEST(test_routes),
        RTNL_TEST(test_what_listens_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
