/* test_parts.c - small pure parts of the kubelet: /proc/net/dev, propagation of mounts, sysctls. */
#include <errno.h>

#include "codec/json.h"
#include "kubelet/internal.h"
#include "kubelet/net_dev.h"
#include "kubelet/propagation.h"
#include "unit.h"

static Arena arena;
static Err err;

static int setup(void **state)
{
    err_clear(&err);
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_free(&arena);
    return 0;
}

static Value tree(const char *text)
{
    Value v;
    if (json_decode(sv_cstr(text), &arena, NULL, &v, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return v;
}

/* ---- /proc/PID/net/dev ---- */

#define HEADINGS                                                                                   \
    "Inter-|   Receive                            |  Transmit\n"                                   \
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"

static void test_interfaces_are_read(void **state)
{
    NetDevs d;
    assert_int_equal(net_dev_parse(SV(HEADINGS
                                      "    lo:  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                                      "  eth0: 18446744073709551615 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\n"
                                      "long-named-if0:21 0 1 0 0 0 0 0 22 0 2 0 0 0 0 0\n"),
                                   &arena, &d),
                     0);
    assert_int_equal(d.len, 3);
    assert_sv(d.items[0].name, "lo");
    assert_int_equal(d.items[0].rx_bytes, 1);
    assert_int_equal(d.items[0].rx_errors, 3);
    assert_int_equal(d.items[0].tx_bytes, 9);
    assert_int_equal(d.items[0].tx_errors, 11);
    assert_true(d.items[1].rx_bytes == UINT64_MAX);
    assert_sv(d.items[2].name, "long-named-if0");
    assert_int_equal(d.items[2].tx_errors, 2);
}

static void test_no_interface_is_no_error(void **state)
{
    NetDevs d;
    assert_int_equal(net_dev_parse(SV(""), &arena, &d), 0);
    assert_int_equal(d.len, 0);
    assert_int_equal(net_dev_parse(SV(HEADINGS "\n"), &arena, &d), 0);
    assert_int_equal(d.len, 0);
}

static void test_other_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",   "eth0: 1 2 3\n",
        "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x\n",   "eth0:\n",
        "eth0: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        NetDevs d = { .len = 77 };
        StrView text = arena_printf(&arena, "%s%s", HEADINGS, bad[i]);
        if (net_dev_parse(text, &arena, &d) != -EINVAL || d.len != 77)
            fail_msg("%s is taken", bad[i]);
    }
}

static void test_a_full_arena_is_told(void **state)
{
    NetDevs d;
    Arena a;
    arena_init(&a, 1);
    assert_int_equal(net_dev_parse(SV(HEADINGS "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"), &a,
                                   &d),
                     -ENOMEM);
    arena_free(&a);
}

/* ---- propagation of mounts ---- */

static const char mountinfo[] =
    "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "22 21 0:21 / /shared rw,nosuid shared:7 - tmpfs shared:no rw\n"
    "23 21 0:22 / /slave rw master:7 - tmpfs none rw\n"
    "24 21 0:23 / /both rw shared:8 master:7 - tmpfs none rw\n"
    "25 21 0:24 / /named rw - tmpfs shared:9 rw\n"; /* a device of that name */

static int check(uint64_t id, Propagation want)
{
    err_clear(&err);
    return propagation_check_mount(sv_cstr(mountinfo), id, "/p", want, &err);
}

static void test_mounts_that_tell_others_are_known(void **state)
{
    static const struct {
        uint64_t id;
        int from_host, both_ways;
    } rows[] = { { 21, -ERR_DENIED, -ERR_DENIED }, { 22, 0, 0 },
                 { 23, 0, -ERR_DENIED },           { 24, 0, 0 },
                 { 25, -ERR_DENIED, -ERR_DENIED }, { 2, -ERR_NOT_FOUND, -ERR_NOT_FOUND } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(check(rows[i].id, PROPAGATION_FROM_HOST), rows[i].from_host);
        assert_int_equal(check(rows[i].id, PROPAGATION_BOTH_WAYS), rows[i].both_ways);
    }
    assert_int_equal(check(21, PROPAGATION_NONE), 0);
}

static void test_the_refusal_names_path_and_mount(void **state)
{
    assert_int_equal(check(23, PROPAGATION_BOTH_WAYS), -ERR_DENIED);
    assert_string_equal(err.msg,
                        "path \"/p\" is mounted on \"/slave\" but it is not a shared mount");
    assert_int_equal(check(21, PROPAGATION_FROM_HOST), -ERR_DENIED);
    assert_string_equal(err.msg,
                        "path \"/p\" is mounted on \"/\" but it is not a shared or slave mount");
}

static void test_fields_of_propagation(void **state)
{
    assert_int_equal(propagation_of(SV("Bidirectional")), PROPAGATION_BOTH_WAYS);
    assert_int_equal(propagation_of(SV("HostToContainer")), PROPAGATION_FROM_HOST);
    assert_int_equal(propagation_of(SV("None")), PROPAGATION_NONE);
    assert_int_equal(propagation_of(SV_NULL), PROPAGATION_NONE);
    assert_int_equal(propagation_check("/no/such/path", PROPAGATION_NONE, &err), 0);
    assert_int_equal(propagation_check("/no/such/path", PROPAGATION_FROM_HOST, &err),
                     -ERR_NOT_FOUND);
    assert_int_equal(propagation_check("/proc/self", PROPAGATION_NONE, &err), 0);
}

/* ---- sysctls ---- */

static int sysctls(const char *spec)
{
    Value pod = value_map();
    value_set(&arena, &pod, SV("spec"), tree(spec));
    err_clear(&err);
    return sysctls_check(&pod, &err);
}

static void test_the_safe_sysctls_are_taken(void **state)
{
    assert_int_equal(sysctls("{}"), 0);
    assert_int_equal(sysctls("{\"securityContext\":{\"sysctls\":[]}}"), 0);
    assert_int_equal(
        sysctls(
            "{\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_rmem\",\"value\":\"1\"},"
            "{\"name\":\"kernel.shm_rmid_forced\",\"value\":\"1\"}]}}"),
        0);
    assert_int_equal(
        sysctls(
            "{\"securityContext\":{\"sysctls\":[{\"name\":\"net/ipv4/tcp_rmem\",\"value\":\"1\"}]}}"),
        0);
}

static void test_others_are_forbidden_by_name_and_place(void **state)
{
    assert_int_equal(
        sysctls(
            "{\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_rmem\",\"value\":\"1\"},"
            "{\"name\":\"kernel.msgmax\",\"value\":\"1\"}]}}"),
        -ERR_DENIED);
    assert_string_equal(
        err.msg,
        "forbidden sysctl: \"kernel.msgmax\" not allowlisted (spec.securityContext.sysctls[1].name)");
    /* With slashes a dot is part of a name. */
    assert_int_equal(
        sysctls(
            "{\"securityContext\":{\"sysctls\":[{\"name\":\"net/ipv4.tcp_rmem\",\"value\":\"1\"}]}}"),
        -ERR_DENIED);
    assert_int_equal(
        sysctls(
            "{\"hostNetwork\":true,\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_rmem\"}]}}"),
        -ERR_DENIED);
    assert_non_null(strstr(err.msg, "host net"));
    assert_int_equal(
        sysctls(
            "{\"hostIPC\":true,\"securityContext\":{\"sysctls\":[{\"name\":\"kernel.shm_rmid_forced\"}]}}"),
        -ERR_DENIED);
    assert_non_null(strstr(err.msg, "host ipc"));
    assert_int_equal(
        sysctls(
            "{\"hostIPC\":true,\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_rmem\"}]}}"),
        0);
}

static void test_sysctls_are_handed_on_with_dots(void **state)
{
    PodSpec spec = { 0 };
    Value pod = tree(
        "{\"spec\":{\"securityContext\":{\"sysctls\":[{\"name\":\"net/ipv4/tcp_rmem\",\"value\":\"1 2 3\"},"
        "{\"name\":\"net.ipv4.tcp_wmem\",\"value\":\"4\"}]}}}");
    assert_int_equal(sysctls_of(&pod, &arena, &spec, &err), 0);
    assert_int_equal(spec.sysctls.len, 2);
    assert_string_equal(spec.sysctls.items[0].key, "net.ipv4.tcp_rmem");
    assert_string_equal(spec.sysctls.items[0].value, "1 2 3");
    assert_string_equal(spec.sysctls.items[1].key, "net.ipv4.tcp_wmem");
    Arena a;
    for (size_t limit = 1, done = 0; !done; limit *= 2) {
        PodSpec one = { 0 };
        arena_init(&a, limit);
        int r = sysctls_of(&pod, &a, &one, &err);
        assert_true(r == 0 || r == -ERR_NOMEM);
        done = r == 0;
        arena_free(&a);
    }
}

/* ---- names on the disk ---- */

static Kubelet kubelet = { .cfg = { .data_dir = "/data/one" } };

static void test_where_a_pod_lies(void **state)
{
    char buf[PATH_SIZE];
    Worker w = { .k = &kubelet, .uid = "u-1", .ns = "shop", .name = "web" };
    Container c = { .worker = &w, .name = "c", .attempt = 3 };
    assert_string_equal(worker_dir(&w, buf), "/data/one/node/pods/u-1");
    assert_string_equal(worker_netns(&w, buf), "/data/one/node/netns/u-1");
    assert_string_equal(log_root(&kubelet, buf), "/data/one/log/pods");
    assert_string_equal(container_log_path(&c, 2, buf), "/data/one/log/pods/shop_web_u-1/c/2.log");
    char id[APP_ID_MAX + 1];
    assert_string_equal(container_app_id(&c, id), "c.3");
    assert_true(pod_id_is_valid(id, APP_ID_MAX));
}

static void test_a_pod_has_its_class_in_its_group(void **state)
{
    static const char *const rows[][2] = { { "Guaranteed", "/k1/pods/guaranteed/podu-1" },
                                           { "Burstable", "/k1/pods/burstable/podu-1" },
                                           { "BestEffort", "/k1/pods/besteffort/podu-1" },
                                           { "", "/k1/pods/besteffort/podu-1" } };
    Kubelet k = { .cfg = { .instance = "k1" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char buf[PATH_SIZE];
        Value pod =
            tree(arena_printf(&arena, "{\"status\":{\"qosClass\":\"%s\"}}", rows[i][0]).ptr);
        sandbox_cgroup(&k, &pod, "u-1", buf);
        assert_string_equal(buf, rows[i][1]);
    }
}

static void test_containers_are_found_by_name(void **state)
{
    Worker w = { .k = &kubelet };
    Container one = { .name = "one" }, two = { .name = "two" };
    w.containers[w.n_containers++] = &one;
    w.containers[w.n_containers++] = &two;
    assert_ptr_equal(worker_container(&w, SV("two")), &two);
    assert_ptr_equal(worker_container(&w, SV("one")), &one);
    assert_null(worker_container(&w, SV("tw")));
    assert_null(worker_container(&w, SV("")));
}

static void test_how_long_a_pod_may_take_to_end(void **state)
{
    Worker w = { .pod = tree("{\"spec\":{}}") };
    assert_int_equal(worker_grace(&w), 30);
    w.pod = tree("{\"spec\":{\"terminationGracePeriodSeconds\":5}}");
    assert_int_equal(worker_grace(&w), 5);
    /* Whoever deletes it may say otherwise. */
    w.pod = tree(
        "{\"metadata\":{\"deletionGracePeriodSeconds\":0},\"spec\":{\"terminationGracePeriodSeconds\":5}}");
    assert_int_equal(worker_grace(&w), 0);
    w.pod = tree("{\"spec\":{\"hostNetwork\":true}}");
    assert_true(pod_is_host_network(&w.pod));
    w.pod = tree("{\"spec\":{\"hostNetwork\":\"yes\"}}");
    assert_false(pod_is_host_network(&w.pod));
}

#define PART_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PART_TEST(test_interfaces_are_read),
        PART_TEST(test_no_interface_is_no_error),
        PART_TEST(test_other_lines_are_refused),
        PART_TEST(test_a_full_arena_is_told),
        PART_TEST(test_mounts_that_tell_others_are_known),
        PART_TEST(test_the_refusal_names_path_and_mount),
        PART_TEST(test_fields_of_propagation),
        PART_TEST(test_the_safe_sysctls_are_taken),
        PART_TEST(test_others_are_forbidden_by_name_and_place),
        PART_TEST(test_sysctls_are_handed_on_with_dots),
        PART_TEST(test_where_a_pod_lies),
        PART_TEST(test_a_pod_has_its_class_in_its_group),
        PART_TEST(test_containers_are_found_by_name),
        PART_TEST(test_how_long_a_pod_may_take_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
