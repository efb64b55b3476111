/* test_spec.c - config.json: what is read, and what is refused with which place and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "codec/json.h"
#include "oci/runtime/spec.h"

#define NAMESPACES                                                                                 \
    "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":"        \
    "\"ipc\"},{\"type\":\"network\"}]"
/* A configuration with more behind it, at the top and in `linux`. */
#define WITH(top, linux_part)                                                                      \
    "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"}," top                                \
    "\"linux\":{" linux_part NAMESPACES "}}"
#define PROCESS(more) "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]" more "},"

static OciSpec *parse(Arena *a, const char *text)
{
    OciSpec *s = NULL;
    Err err = { 0 };

    arena_init(a, 0);
    if (oci_spec_parse(sv_cstr(text), "config.json", a, &s, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return s;
}

static void refuses(const char *text, const char *want)
{
    OciSpec *s = NULL;
    Err err = { 0 };
    Arena a;

    arena_init(&a, 0);
    if (oci_spec_parse(sv_cstr(text), "config.json", &a, &s, &err) >= 0)
        fail_msg("was read: %s", text);
    if (!strstr(err.msg, want))
        fail_msg("'%s' is not in '%s' (%s)", want, err.msg, text);
    assert_null(s);
    arena_free(&a);
}

static void test_default_is_read(void **state)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    OciSpec *s;
    Arena a;

    for (int rootless = 0; rootless < 2; rootless++) {
        buf_clear(&text);
        assert_int_equal(oci_spec_default(rootless, 1000, 1001, &text, NULL), 0);
        s = parse(&a, buf_cstr(&text));
        assert_string_equal(s->version, OCI_VERSION);
        assert_string_equal(s->root, "rootfs");
        assert_true(s->root_readonly);
        assert_int_equal(s->mounts.len, 7);
        assert_string_equal(s->mounts.items[6].options.items[3], "relatime");
        assert_null(s->mounts.items[6].options.items[5]);
        assert_true(s->ns_new[OCI_NS_PID] && s->ns_new[OCI_NS_MOUNT]);
        assert_int_equal(s->ns_new[OCI_NS_USER], rootless);
        assert_int_equal(s->ns_new[OCI_NS_NETWORK], !rootless);
        assert_int_equal(s->has_resources, !rootless);
        assert_int_equal(s->resources.devices.len, rootless ? 11 : 12);
        assert_int_equal(s->uid_maps.len, rootless);
        if (rootless) {
            assert_int_equal(s->uid_maps.items[0].host, 1000);
            assert_int_equal(s->gid_maps.items[0].host, 1001);
            assert_int_equal(oci_spec_check_rootless(s, NULL), 0);
        }
        assert_true(s->process->terminal && s->process->no_new_privs && s->process->has_caps);
        assert_int_equal(s->process->bounding, 1 << 29 | 1 << 5 | 1 << 10);
        assert_int_equal(s->process->inheritable, 0);
        assert_int_equal(s->process->rlimits.items[0].resource, RLIMIT_NOFILE);
        assert_int_equal(s->masked.len, 10);
        assert_int_equal(s->warnings.len, 0);
        arena_free(&a);
    }
}

static void test_process_is_read(void **state)
{
    static const char text[] =
        "{\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80},\"user\":{\"uid\":1,"
        "\"gid\":4294967295,\"umask\":18,\"additionalGids\":[5,6]},\"args\":[\"a\",\"\"],\"env\":["
        "\"A=b\"],\"cwd\":\"/tmp\",\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_NONE\"]},"
        "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":9223372036854775809,\"hard\":"
        "18446744073709551615}],\"oomScoreAdj\":-5,\"apparmorProfile\":\"p\",\"scheduler\":{"
        "\"policy\":\"SCHED_FIFO\",\"priority\":3,\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]},"
        "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4},\"execCPUAffinity\":{"
        "\"initial\":\"0-1\",\"final\":\"1\"},\"unknown\":{}}";
    OciProcess *p = NULL;
    Err err = { 0 };
    Arena a;

    arena_init(&a, 0);
    if (oci_process_parse(sv_cstr(text), "p.json", &a, &p, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(p->console_height, 25);
    assert_int_equal(p->console_width, 80);
    assert_int_equal(p->uid, 1);
    assert_int_equal(p->gid, UINT32_MAX);
    assert_true(p->umask.set && p->umask.n == 18);
    assert_true(p->groups_len == 2 && p->groups[1] == 6);
    assert_true(p->args.len == 2 && p->args.items[1][0] == 0 && !p->args.items[2]);
    assert_true(p->has_caps && p->bounding == 1 << 5);
    assert_int_equal(p->warnings.len, 1);
    assert_non_null(strstr(p->warnings.items[0], "CAP_NONE"));
    assert_true(p->rlimits.items[0].hard == UINT64_MAX);
    assert_true(p->rlimits.items[0].soft == UINT64_C(9223372036854775809));
    assert_true(p->oom_score_adj.set && p->oom_score_adj.n == -5);
    assert_string_equal(p->apparmor, "p");
    assert_true(p->scheduler->policy == SCHED_FIFO && p->scheduler->flags == 1);
    assert_int_equal(p->io_priority->level, 4);
    assert_string_equal(p->cpus_initial, "0-1");
    arena_free(&a);
}

static void test_linux_is_read(void **state)
{
    static const char text[] = WITH(
        "\"hostname\":\"h\",\"annotations\":{\"a\":\"1\",\"b\":\"\"},\"hooks\":{\"poststop\":[{"
        "\"path\":\"/h\",\"timeout\":3}]},",
        "\"cgroupsPath\":\"/x\",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"kernel/sem\":\"1 1\"},"
        "\"devices\":[{\"path\":\"/dev/null\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":"
        "8630}],\"personality\":{\"domain\":\"LINUX32\"},\"rootfsPropagation\":\"rslave\","
        "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/s\"},\"intelRdt\":{}"
        ",");
    OciSpec *s;
    Arena a;

    s = parse(&a, text);
    assert_string_equal(s->hostname, "h");
    assert_int_equal(s->annotations.len, 2);
    assert_string_equal(s->annotations.items[1].value, "");
    assert_int_equal(s->hooks.poststop.items[0].timeout_s, 3);
    assert_string_equal(s->hooks.poststop.items[0].path, "/h");
    assert_int_equal(s->sysctl.len, 2);
    assert_int_equal(s->devices.items[0].type, S_IFCHR);
    assert_int_equal(s->devices.items[0].mode.n, 0666);
    /* /dev/null is the bundle's own: its rule is not among those of everybody. */
    assert_int_equal(s->resources.devices.len, 10);
    assert_true(s->has_personality && s->personality == 8);
    assert_non_null(s->seccomp);
    assert_string_equal(s->seccomp_listener, "/s");
    assert_true(s->intel_rdt && !s->has_resources && !s->process);
    arena_free(&a);
    s = parse(&a, WITH("", "\"seccomp\":{},\"resources\":null,"));
    assert_null(s->seccomp);
    assert_false(s->has_resources);
    arena_free(&a);
}

static void test_resources_are_read(void **state)
{
    static const char text[] =
        "{\"devices\":[{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"rw\"},{\"allow\":"
        "false,\"access\":\"rwm\"}],\"memory\":{\"limit\":-1,\"swap\":5,\"kernel\":1,"
        "\"swappiness\":60,\"disableOOMKiller\":true},\"cpu\":{\"shares\":1024,\"quota\":-1,"
        "\"period\":1000,\"burst\":5,\"idle\":1,\"cpus\":\"0-1\",\"mems\":\"\"},\"pids\":{\"limit\":"
        "0},\"blockIO\":{\"weight\":10,\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":500}],"
        "\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":1,\"rate\":18446744073709551615}]},"
        "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":9}],\"network\":{\"classID\":7,"
        "\"priorities\":[{\"name\":\"eth0\",\"priority\":3}]},\"rdma\":{\"mlx5\":{\"hcaHandles\":3}"
        "},\"unified\":{\"memory.high\":\"max\"}}";
    OciResources r;
    Err err = { 0 };
    char rule[64];
    Arena a;

    arena_init(&a, 0);
    if (oci_resources_parse(sv_cstr(text), "r.json", &a, &r, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(r.devices.len, 2);
    oci_device_rule_format(&r.devices.items[0], rule);
    assert_string_equal(rule, "c 1:* rw");
    oci_device_rule_format(&r.devices.items[1], rule);
    assert_string_equal(rule, "a *:* rwm");
    assert_true(r.memory.limit.set && r.memory.limit.n == -1 && !r.memory.reservation.set);
    assert_true(r.memory.disable_oom_killer && r.memory.swappiness.n == 60);
    assert_true(r.cpu.burst.n == 5 && r.cpu.idle.n == 1 && !r.cpu.mems);
    assert_true(r.pids_limit.set && r.pids_limit.n == 0);
    assert_true(r.block.devices.items[0].weight.n == 500);
    assert_true(r.block.read_iops.items[0].rate == UINT64_MAX);
    assert_string_equal(r.hugepages.items[0].size, "2MB");
    assert_string_equal(r.net_priorities.items[0].value, "3");
    assert_string_equal(r.rdma.items[0].device, "mlx5");
    assert_true(r.rdma.items[0].handles.set && !r.rdma.items[0].objects.set);
    assert_string_equal(r.unified.items[0].name, "memory.high");
    arena_free(&a);
}

static void test_wrong_fields_are_refused(void **state)
{
    static const char *const rows[][2] = {
        { "{", "config.json: " },
        { "[]", "config.json:1: cannot unmarshal !!seq into an object" },
        { "{}", "root: root must be specified" },
        { "{\"root\":{}}", "root.path: " },
        { "{\n\"root\":{\n\"path\":5}}", "config.json:3: root.path: cannot unmarshal a number" },
        { "{\"root\":{\"path\":\"a\\u0000\"}}", "root.path: a text without NUL bytes" },
        { WITH("\"ociVersion\":\"2.0.0\",", ""), "ociVersion: version 2.0.0 is not known" },
        { WITH("\"ociVersion\":\"new\",", ""), "ociVersion: a version like" },
        { WITH("\"process\":{\"args\":[\"a\"]},", ""), "process.cwd: Cwd property must not be" },
        { WITH("\"process\":{\"args\":[\"a\"],\"cwd\":\"x\"},", ""),
          "process.cwd: Cwd must be an absolute path" },
        { WITH("\"process\":{\"cwd\":\"/\"},", ""), "process.args: args must not be empty" },
        { WITH("\"process\":{\"cwd\":\"/\",\"args\":[\"a\",1]},", ""), "process.args[1]: " },
        { WITH(PROCESS(",\"user\":{\"uid\":-1}"), ""), "process.user.uid: a whole number from 0" },
        { WITH(PROCESS(",\"user\":{\"uid\":1.5}"), ""), "process.user.uid: a whole number from 0" },
        { WITH(PROCESS(",\"user\":{\"additionalGids\":[4294967296]}"), ""),
          "process.user.additionalGids[0]: a whole number from 0 to 4294967295" },
        { WITH(PROCESS(",\"rlimits\":[{\"type\":\"NOFILE\"}]"), ""),
          "process.rlimits[0].type: wrong rlimit value: 'NOFILE'" },
        { WITH(PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\"},{\"type\":\"RLIMIT_CPU\"}]"), ""),
          "process.rlimits: item 1 names a limit for the second time" },
        { WITH(PROCESS(",\"oomScoreAdj\":1001"), ""), "process.oomScoreAdj: a number from -1000" },
        { WITH(PROCESS(",\"scheduler\":{\"policy\":\"SCHED_X\"}"), ""),
          "process.scheduler.policy: 'SCHED_X' is no scheduling policy; one of SCHED_OTHER" },
        { WITH(PROCESS(",\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}"), ""),
          "process.scheduler.nice: a number from -20 to 19" },
        { WITH(PROCESS(",\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}"), ""),
          "process.ioPriority.priority: a number from 0 to 7" },
        { WITH("\"mounts\":[{}],", ""), "mounts[0].destination: an absolute path" },
        { WITH("\"mounts\":[{\"destination\":\"/\",\"uidMappings\":[{\"size\":1}]}],", ""),
          "mounts[0]: uidMappings and gidMappings are expected together" },
        { WITH("\"hooks\":{\"prestart\":[{\"path\":\"x\"}]},", ""),
          "hooks.prestart[0].path: an absolute path" },
        { WITH("\"hooks\":{\"poststop\":[{\"path\":\"/x\",\"timeout\":0}]},", ""),
          "hooks.poststop[0].timeout: a number of seconds above 0" },
        { WITH("\"annotations\":{\"a\":1},", ""), "annotations.a: cannot unmarshal a number" },
        { "{\"root\":{\"path\":\"r\"},\"linux\":{\"namespaces\":[{\"type\":\"net\"}]}}",
          "linux.namespaces[0].type: 'net' is no namespace; one of pid, network" },
        { "{\"root\":{\"path\":\"r\"},\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}}",
          "linux.namespaces[1].type: malformed spec file: duplicated ns \"pid\"" },
        { WITH("", "\"uidMappings\":[{\"size\":1}],"),
          "linux.uidMappings: User namespace mappings specified, but USER namespace isn't" },
        { WITH("", "\"uidMappings\":[{\"size\":0}],"), "linux.uidMappings: item 0 maps no ids" },
        { WITH("", "\"uidMappings\":[{\"size\":5},{\"size\":1,\"containerID\":4,\"hostID\":9}],"),
          "linux.uidMappings: items 0 and 1 overlap" },
        { WITH("", "\"sysctl\":{\"vm.swappiness\":\"1\"},"),
          "sysctl \"vm.swappiness\" is not in a separate kernel namespace" },
        { WITH("", "\"sysctl\":{\"kernel.hostname\":\"1\"},"), "conflicts with the OCI" },
        { WITH("", "\"sysctl\":{\"net.ipv4.../x\":\"1\"},"), "is no name of a sysctl" },
        { WITH("", "\"rootfsPropagation\":\"up\","), "linux.rootfsPropagation: 'up' is no" },
        { WITH("", "\"devices\":[{\"path\":\"/dev/x\"}],"), "linux.devices[0].type: one of" },
        { WITH("", "\"personality\":{\"domain\":\"BSD\"},"), "linux.personality.domain: 'BSD'" },
        { WITH("", "\"timeOffsets\":{\"boottime\":{\"secs\":1}},"), "linux.timeOffsets: " },
        { WITH("", "\"intelRdt\":{\"closID\":\"a/b\"},"), "closID: invalid intelRdt.ClosID" },
        { WITH("", "\"resources\":{\"devices\":[{\"allow\":true}]},"),
          "linux.resources.devices[0].access: device access cannot be empty" },
        { WITH("", "\"resources\":{\"devices\":[{\"access\":\"x\"}]},"),
          "linux.resources.devices[0].access: 'x' is no access" },
        { WITH("", "\"resources\":{\"devices\":[{\"access\":\"r\",\"type\":\"d\"}]},"),
          "linux.resources.devices[0].type: 'd' is no type" },
        { WITH("", "\"resources\":{\"memory\":{\"limit\":\"1\"}},"),
          "linux.resources.memory.limit: cannot unmarshal !!str `1` into a whole number" },
        { WITH("", "\"resources\":{\"memory\":{\"swappiness\":101}},"),
          "invalid memory swappiness value: 101 (valid range is 0-100)" },
        { WITH("", "\"resources\":{\"blockIO\":{\"weight\":9}},"),
          "linux.resources.blockIO.weight: a weight from 10 to 1000" },
        { WITH("", "\"resources\":{\"hugepageLimits\":[{\"pageSize\":\"2M\"}]},"),
          "linux.resources.hugepageLimits[0].pageSize: a size of pages" },
        { WITH("", "\"resources\":{\"rdma\":{\"a\":{\"hcaHandles\":-1}}},"),
          "linux.resources.rdma.a.hcaHandles: a whole number" },
        { WITH("", "\"resources\":{\"unified\":{\"a/b\":\"1\"}},"), "must be a file name" },
        { "{\"root\":{\"path\":\"r\"},\"hostname\":\"h\"}",
          "hostname: unable to set hostname without a private UTS namespace" },
        { "{\"root\":{\"path\":\"r\"},\"linux\":{\"maskedPaths\":[\"/x\"]}}",
          "linux.maskedPaths: unable to restrict sys entries without a private MNT namespace" },
        { "{\"root\":{\"path\":\"r\"},\"linux\":{\"sysctl\":{\"net.x\":\"1\"}}}",
          "sysctl \"net.x\" not allowed in host network namespace" },
        { "{\"root\":{\"path\":\"r\"},\"linux\":{\"sysctl\":{\"kernel.sem\":\"1\"}}}",
          "sysctl \"kernel.sem\" is not allowed in the hosts ipc namespace" },
        { "{\"root\":{\"path\":\"r\"},\"linux\":{\"namespaces\":[{\"type\":\"user\"}]}}",
          "linux.uidMappings: User namespaces enabled, but no uid mappings found." },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        refuses(rows[i][0], rows[i][1]);
}

static void test_the_callers_network_is_not_one_of_the_containers(void **state)
{
    refuses("{\"root\":{\"path\":\"r\"},\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":"
            "\"/proc/self/ns/net\"}],\"sysctl\":{\"net/ipv4/ip_forward\":\"1\"}}}",
            "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace");
    refuses("{\"root\":{\"path\":\"r\"},\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":"
            "\"/nowhere\"}],\"sysctl\":{\"net.x\":\"1\"}}}",
            "invalid netns path: /nowhere");
}

static void test_rootless_wants_mapped_ids(void **state)
{
    static const char text[] =
        "{\"root\":{\"path\":\"r\"},\"mounts\":[{\"destination\":\"/a\",\"options\":[\"ro\","
        "\"gid=%d\"]}],\"linux\":{\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{\"size\":1"
        "}],\"gidMappings\":[{\"size\":5}]}}";
    char full[sizeof text + 16];
    Err err = { 0 };
    Arena a;

    snprintf(full, sizeof full, text, 4);
    assert_int_equal(oci_spec_check_rootless(parse(&a, full), &err), 0);
    arena_free(&a);
    snprintf(full, sizeof full, text, 5);
    assert_int_equal(oci_spec_check_rootless(parse(&a, full), &err), -ERR_INVALID);
    assert_string_equal(err.msg,
                        "mounts[0].options: cannot specify gid= mount options for unmapped "
                        "gid in rootless containers");
    arena_free(&a);
    assert_int_equal(oci_spec_check_rootless(parse(&a, WITH("", "")), &err), -ERR_INVALID);
    arena_free(&a);
}

/* Whatever the memory ends at, it is an error and no crash. */
static void test_short_memory_is_an_error(void **state)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = -1;

    assert_int_equal(oci_spec_default(true, 1, 1, &text, NULL), 0);
    for (size_t limit = 4096; r < 0 && limit < 1 << 20; limit += 1024) {
        OciSpec *s = NULL;
        Err err = { 0 };
        Arena a;

        arena_init(&a, limit);
        r = oci_spec_parse(buf_view(&text), "config.json", &a, &s, &err);
        assert_true(r == 0 || err.code == ERR_NOMEM);
        arena_free(&a);
    }
    assert_int_equal(r, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_is_read),
        cmocka_unit_test(test_process_is_read),
        cmocka_unit_test(test_linux_is_read),
        cmocka_unit_test(test_resources_are_read),
        cmocka_unit_test(test_wrong_fields_are_refused),
        cmocka_unit_test(test_the_callers_network_is_not_one_of_the_containers),
        cmocka_unit_test(test_rootless_wants_mapped_ids),
        cmocka_unit_test(test_short_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
