/* test_volumes.c - what volumes hold, and the files by which a pod's containers look names up: in
 * folders of their own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "codec/json.h"
#include "kubelet/internal.h"
#include "unit.h"

static Kubelet kubelet;
static SetupJob job;
static char data[64];
static Err err;

static Value tree(const char *text)
{
    Value v;
    if (json_decode(sv_cstr(text), &job.arena, NULL, &v, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return v;
}

static int setup(void **state)
{
    err_clear(&err);
    strcpy(data, "/tmp/knarr-volumes-XXXXXX");
    if (!mkdtemp(data))
        return -1;
    kubelet = (Kubelet){ .cfg = { .data_dir = data,
                                  .node_ip = "192.0.2.7",
                                  .cluster_dns = "10.96.0.10",
                                  .cluster_domain = "cluster.local" } };
    memset(&job, 0, sizeof job);
    arena_init(&job.arena, 0);
    job.k = &kubelet;
    strcpy(job.uid, "u-1");
    strcpy(job.pod_ip, "10.1.2.3");
    return 0;
}

static int teardown(void **state)
{
    resources_free(&job.resources);
    arena_free(&job.arena);
    return rm_rf(AT_FDCWD, data);
}

static void ok(int r)
{
    if (r < 0)
        fail_msg("%s", err.msg);
}

static void put(const char *key, const char *json)
{
    Map one = { 0 };
    Buf b = BUF_INIT;
    buf_sv(&b, sv_cstr(json));
    assert_true(map_set(&one, sv_cstr(key), &b, NULL));
    assert_true(resources_copy(&one, &job.resources));
    map_free(&one);
    buf_free(&b);
}

static void pod_with(const char *volumes)
{
    job.pod = tree(
        arena_printf(
            &job.arena,
            "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"labels\":{\"a\":\"1\"}},\"spec\":{\"volumes\":%s}}",
            volumes)
            .ptr);
}

/* Where the volume lies, by the one way that containers find it. */
static const char *volume(const char *mount)
{
    VolumeSource from;
    Value m = tree(mount);
    ok(volume_source(&job, &m, &from, &err));
    return *from.root ? arena_printf(&job.arena, "%s/%s", from.root, from.path).ptr : from.path;
}

static bool holds(const char *file, const char *want)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    const char *path = arena_printf(&job.arena, "%s/%s", volume("{\"name\":\"v\"}"), file).ptr;
    if (!want)
        return access(path, F_OK) < 0 && errno == ENOENT;
    return file_read(AT_FDCWD, path, 65536, &text) == 0 && sv_eq(buf_view(&text), sv_cstr(want));
}

static unsigned mode_of(const char *file)
{
    struct stat st;
    if (stat(arena_printf(&job.arena, "%s/%s", volume("{\"name\":\"v\"}"), file).ptr, &st) < 0)
        fail_msg("%s: %s", file, strerror(errno));
    return st.st_mode & 07777;
}

static void test_a_config_map_is_files(void **state)
{
    pod_with("[{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}]");
    put("configmap/c", "{\"data\":{\"a\":\"one\",\"b\":\"\"},\"binaryData\":{\"x\":\"AP8=\"}}");
    ok(volumes_write(&job, &err));
    assert_true(holds("a", "one"));
    assert_true(holds("b", ""));
    assert_int_equal(mode_of("a"), 0644);
    struct stat st;
    assert_int_equal(stat(arena_printf(&job.arena, "%s/x", volume("{\"name\":\"v\"}")).ptr, &st),
                     0);
    assert_int_equal(st.st_size, 2);
}

static void test_new_contents_come_in_one_step(void **state)
{
    char before[256], after[256];
    pod_with("[{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}]");
    put("configmap/c", "{\"data\":{\"a\":\"one\",\"gone\":\"x\"}}");
    ok(volumes_write(&job, &err));
    const char *link = arena_printf(&job.arena, "%s/..data", volume("{\"name\":\"v\"}")).ptr;
    ssize_t n = readlink(link, before, sizeof before - 1);
    assert_true(n > 0);
    before[n] = 0;
    ok(volumes_write(&job, &err)); /* the same: nothing is touched */
    n = readlink(link, after, sizeof after - 1);
    after[n] = 0;
    assert_string_equal(before, after);
    resources_free(&job.resources);
    put("configmap/c", "{\"data\":{\"a\":\"two\",\"new\":\"y\"}}");
    ok(volumes_write(&job, &err));
    n = readlink(link, after, sizeof after - 1);
    after[n] = 0;
    assert_string_not_equal(before, after);
    assert_true(holds("a", "two"));
    assert_true(holds("new", "y"));
    assert_true(holds("gone", NULL));
    assert_true(holds(before, NULL)); /* the folder of before */
}

static void test_items_choose_keys_paths_and_modes(void **state)
{
    pod_with(
        "[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\",\"defaultMode\":256,\"items\":[{\"key\":\"k\",\"path\":\"deep/er/file\"},"
        "{\"key\":\"l\",\"path\":\"open\",\"mode\":292}]}}]");
    put("secret/s", "{\"data\":{\"k\":\"c2VjcmV0\",\"l\":\"bA==\",\"m\":\"bQ==\"}}");
    ok(volumes_write(&job, &err));
    assert_true(holds("deep/er/file", "secret"));
    assert_true(holds("open", "l"));
    assert_true(holds("m", NULL));
    assert_int_equal(mode_of("deep/er/file"), 0400);
    assert_int_equal(mode_of("open"), 0444);
    assert_non_null(strstr(volume("{\"name\":\"v\"}"), "/node/memory/")); /* on no disk */
}

static void test_a_key_that_is_missing_is_named(void **state)
{
    pod_with(
        "[{\"name\":\"v\",\"configMap\":{\"name\":\"c\",\"items\":[{\"key\":\"none\",\"path\":\"p\"}]}}]");
    put("configmap/c", "{\"data\":{\"a\":\"one\"}}");
    assert_true(volumes_write(&job, &err) < 0);
    assert_non_null(strstr(err.msg, "none"));
    assert_non_null(strstr(err.msg, "MountVolume.SetUp failed for volume \"v\""));
}

static void test_one_volume_that_fails_does_not_hold_up_the_others(void **state)
{
    pod_with(
        "[{\"name\":\"bad\",\"configMap\":{\"name\":\"c\",\"items\":[{\"key\":\"none\",\"path\":\"p\"}]}},"
        "{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}]");
    put("configmap/c", "{\"data\":{\"a\":\"one\"}}");
    assert_true(volumes_write(&job, &err) < 0);
    assert_true(holds("a", "one"));
}

static void test_a_projected_volume_joins_its_sources(void **state)
{
    pod_with(
        "[{\"name\":\"v\",\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"c\"}},{\"secret\":{\"name\":\"s\"}},"
        "{\"serviceAccountToken\":{\"path\":\"token\"}},{\"configMap\":{\"name\":\"none\",\"optional\":true}},"
        "{\"downwardAPI\":{\"items\":[{\"path\":\"labels\",\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}}]}}]}}]");
    put("configmap/c", "{\"data\":{\"a\":\"map\",\"both\":\"first\"}}");
    put("secret/s", "{\"data\":{\"both\":\"c2Vjb25k\"}}");
    put("token/v/2", "a.b.c");
    put("configmap/none", "");
    ok(volumes_write(&job, &err));
    assert_true(holds("a", "map"));
    assert_true(holds("both", "second")); /* the later one */
    assert_true(holds("token", "a.b.c"));
    assert_true(holds("labels", "a=\"1\""));
}

static void test_paths_stay_inside(void **state)
{
    static const char *const bad[] = { "../x", "/x", "a/../../x", "..", "a//../../x" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        VolumeSource from;
        pod_with("[{\"name\":\"v\",\"emptyDir\":{}}]");
        ok(volumes_write(&job, &err));
        Value m = tree(arena_printf(&job.arena, "{\"name\":\"v\",\"subPath\":\"%s\"}", bad[i]).ptr);
        err_clear(&err);
        if (volume_source(&job, &m, &from, &err) >= 0)
            fail_msg("subPath '%s' is taken", bad[i]);
    }
}

static void test_a_sub_path_that_is_missing_becomes_a_folder(void **state)
{
    struct stat st;
    pod_with("[{\"name\":\"v\",\"emptyDir\":{}}]");
    ok(volumes_write(&job, &err));
    const char *path = volume("{\"name\":\"v\",\"subPath\":\"new/one\"}");
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0777); /* as its volume */
    Value m = tree("{\"name\":\"other\"}");
    VolumeSource from;
    assert_int_equal(volume_source(&job, &m, &from, &err), -ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "other"));
}

static void test_a_link_in_a_volume_does_not_lead_out(void **state)
{
    struct stat st;
    pod_with("[{\"name\":\"v\",\"emptyDir\":{}}]");
    ok(volumes_write(&job, &err));
    const char *root = volume("{\"name\":\"v\"}");
    assert_int_equal(symlink("/", arena_printf(&job.arena, "%s/out", root).ptr), 0);
    volume("{\"name\":\"v\",\"subPath\":\"out/made\"}");
    assert_int_equal(stat(arena_printf(&job.arena, "%s/made", root).ptr, &st),
                     0); /* "/" is the volume */
    assert_true(stat("/made", &st) < 0);
}

static void test_types_of_host_paths(void **state)
{
    static const struct {
        const char *type, *name;
        bool there;
        int r;
    } rows[] = {
        { "", "none", false, 0 },
        { "Directory", "none", false, -ERR_NOT_FOUND },
        { "File", "none", false, -ERR_NOT_FOUND },
        { "DirectoryOrCreate", "made/deep", true, 0 },
        { "FileOrCreate", "made/file", true, 0 },
        { "Directory", "made", true, 0 },
        { "File", "made/file", true, 0 },
        { "Directory", "made/file", true, -ERR_INVALID },
        { "File", "made", true, -ERR_INVALID },
        { "Socket", "made/file", true, -ERR_INVALID },
        { "CharDevice", "made", true, -ERR_INVALID },
        { "BlockDevice", "made/file", true, -ERR_INVALID },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *path = arena_printf(&job.arena, "%s/%s", data, rows[i].name).ptr;
        pod_with(arena_printf(&job.arena,
                              "[{\"name\":\"v\",\"hostPath\":{\"path\":\"%s\",\"type\":\"%s\"}}]",
                              path, rows[i].type)
                     .ptr);
        err_clear(&err);
        if (volumes_write(&job, &err) != rows[i].r)
            fail_msg("%s as %s: %s", rows[i].name, rows[i].type, err.msg);
        assert_int_equal(path_exists(AT_FDCWD, path), rows[i].there);
    }
}

/* ---- names ---- */

static const char *hostname_of(const char *spec)
{
    const char *name = NULL;
    job.pod = tree(
        arena_printf(
            &job.arena,
            "{\"metadata\":{\"name\":\"a-pod-with-a-name-of-more-than-sixty-three-characters-that-is-cut-off.\",\"namespace\":\"shop\"},\"spec\":%s}",
            spec)
            .ptr);
    err_clear(&err);
    return pod_hostname(&job, &name, &err) < 0 ? NULL : name;
}

static void test_host_names(void **state)
{
    assert_string_equal(hostname_of("{}"),
                        "a-pod-with-a-name-of-more-than-sixty-three-characters-that-is-c");
    assert_string_equal(hostname_of("{\"hostname\":\"web\"}"), "web");
    assert_string_equal(hostname_of("{\"hostname\":\"web\",\"subdomain\":\"db\"}"), "web");
    assert_string_equal(
        hostname_of("{\"hostname\":\"web\",\"subdomain\":\"db\",\"setHostnameAsFQDN\":true}"),
        "web.db.shop.svc.cluster.local");
    assert_string_equal(hostname_of("{\"hostname\":\"web\",\"setHostnameAsFQDN\":true}"), "web");
    assert_string_equal(hostname_of(
                            "{\"hostnameOverride\":\"other.example\",\"subdomain\":\"db\"}"),
                        "other.example");
    assert_null(hostname_of(
        "{\"hostname\":\"a-long-name-but-allowed-by-itself\",\"subdomain\":\"another-long-name-here\",\"setHostnameAsFQDN\":true}"));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.msg, "FQDN"));
}

static StrView written(const char *name)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    assert_int_equal(
        file_read(AT_FDCWD, arena_printf(&job.arena, "%s/%s", data, name).ptr, 65536, &text), 0);
    return arena_sv(&job.arena, buf_view(&text));
}

static void assert_has(StrView text, const char *want)
{
    if (sv_find(text, sv_cstr(want)) < 0)
        fail_msg("'%s' is not in:\n%.*s", want, SV_FMT(text));
}

static void test_files_of_names(void **state)
{
    job.pod = tree(
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"},\"spec\":{\"hostname\":\"w\",\"subdomain\":\"db\",\"dnsPolicy\":\"ClusterFirst\","
        "\"hostAliases\":[{\"ip\":\"192.0.2.9\",\"hostnames\":[\"one\",\"two\"]}],"
        "\"dnsConfig\":{\"nameservers\":[\"192.0.2.53\",\"10.96.0.10\"],\"searches\":[\"example.org\"],\"options\":[{\"name\":\"ndots\",\"value\":\"2\"},{\"name\":\"edns0\"}]}}}");
    ok(hosts_write(&job, data, &err));
    assert_has(written("hosts"), "127.0.0.1\tlocalhost");
    assert_has(written("hosts"), "10.1.2.3\tw.db.shop.svc.cluster.local\tw\n");
    assert_has(written("hosts"), "192.0.2.9\tone\ttwo");
    assert_sv(sv_trim(written("hostname")), "w");
    StrView resolv = written("resolv.conf");
    assert_true(
        sv_starts(resolv, SV("nameserver 10.96.0.10\nnameserver 192.0.2.53\n"))); /* each once */
    assert_has(resolv, "search shop.svc.cluster.local svc.cluster.local cluster.local");
    assert_has(resolv, "example.org");
    assert_has(resolv, "ndots:2");
    assert_has(resolv, "edns0");
    assert_true(sv_find(resolv, SV("ndots:5")) < 0);
}

static void test_a_pod_may_bring_all_of_its_dns(void **state)
{
    job.pod = tree(
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"},\"spec\":{\"dnsPolicy\":\"None\",\"dnsConfig\":{\"nameservers\":[\"192.0.2.53\"]}}}");
    ok(hosts_write(&job, data, &err));
    assert_sv(written("resolv.conf"), "nameserver 192.0.2.53\n");
    assert_true(hosts_write(&job, "/no/such/folder", &err) < 0);
    assert_non_null(strstr(err.msg, "/no/such/folder"));
}

static void dns_of(const char *spec)
{
    job.pod = tree(
        arena_printf(&job.arena,
                     "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"},\"spec\":%s}", spec)
            .ptr);
    ok(hosts_write(&job, data, &err));
}

/* resolv.conf(5) asks three servers: a fourth would only look as if it were asked. */
static void test_the_resolver_gets_no_more_servers_than_it_asks(void **state)
{
    dns_of(
        "{\"dnsPolicy\":\"None\",\"dnsConfig\":{\"nameservers\":[\"192.0.2.1\",\"192.0.2.2\","
        "\"192.0.2.1\",\"192.0.2.3\",\"192.0.2.4\"],\"searches\":[\"a.example\",\"b.example\","
        "\"a.example\"],\"options\":[{\"name\":\"timeout\",\"value\":\"1\"},{\"name\":\"timeout\","
        "\"value\":\"2\"}]}}");
    assert_sv(written("resolv.conf"), "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver "
                                      "192.0.2.3\nsearch a.example b.example\noptions timeout:2\n");
}

static void test_a_pod_of_the_hosts_network_asks_the_cluster_only_if_it_says_so(void **state)
{
    dns_of("{\"hostNetwork\":true,\"dnsPolicy\":\"ClusterFirst\"}");
    assert_true(sv_find(written("resolv.conf"), SV("10.96.0.10")) < 0);
    assert_true(sv_find(written("hosts"), SV("10.1.2.3")) < 0);
    assert_has(written("hosts"), "# Kubernetes-managed hosts file (host network).\n");
    dns_of("{\"hostNetwork\":true,\"dnsPolicy\":\"ClusterFirstWithHostNet\"}");
    assert_true(sv_starts(written("resolv.conf"), SV("nameserver 10.96.0.10\n")));
    assert_has(written("resolv.conf"), "options ndots:5");
}

/* Every limit of the arena ends in an error or in all three files, never in half of one. */
static void test_no_memory_for_names_is_an_error(void **state)
{
    int r = -1;
    job.pod = tree("{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"},\"spec\":{"
                   "\"hostname\":\"w\",\"subdomain\":\"db\",\"dnsPolicy\":\"ClusterFirst\"}}");
    for (size_t limit = 0; r < 0; limit += 64) {
        Arena whole = job.arena;
        assert_true(limit < 1024 * 1024);
        arena_init(&job.arena, limit + 1);
        err_clear(&err);
        r = hosts_write(&job, data, &err);
        assert_true(r == 0 || err.code == ERR_NOMEM);
        arena_free(&job.arena);
        job.arena = whole;
        if (r < 0)
            continue;
        assert_has(written("hosts"), "10.1.2.3\tw.db.shop.svc.cluster.local\tw\n");
        assert_has(written("resolv.conf"), "nameserver 10.96.0.10\n");
        assert_sv(written("hostname"), "w\n");
    }
}

#define VOLUME_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VOLUME_TEST(test_a_config_map_is_files),
        VOLUME_TEST(test_new_contents_come_in_one_step),
        VOLUME_TEST(test_items_choose_keys_paths_and_modes),
        VOLUME_TEST(test_a_key_that_is_missing_is_named),
        VOLUME_TEST(test_one_volume_that_fails_does_not_hold_up_the_others),
        VOLUME_TEST(test_a_projected_volume_joins_its_sources),
        VOLUME_TEST(test_paths_stay_inside),
        VOLUME_TEST(test_a_sub_path_that_is_missing_becomes_a_folder),
        VOLUME_TEST(test_a_link_in_a_volume_does_not_lead_out),
        VOLUME_TEST(test_types_of_host_paths),
        VOLUME_TEST(test_host_names),
        VOLUME_TEST(test_files_of_names),
        VOLUME_TEST(test_a_pod_may_bring_all_of_its_dns),
        VOLUME_TEST(test_the_resolver_gets_no_more_servers_than_it_asks),
        VOLUME_TEST(test_a_pod_of_the_hosts_network_asks_the_cluster_only_if_it_says_so),
        VOLUME_TEST(test_no_memory_for_names_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
