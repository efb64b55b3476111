/* test_unit.c - what systemd is told of a container: the unit's name and place, its properties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "oci/runtime/unit.h"

/* --- names --- */

static void test_names_and_places(void **state)
{
    static const struct {
        const char *cgroups_path;
        bool user;
        const char *name, *slice, *path; /* name NULL: refused */
    } rows[] = {
        { NULL, false, "runc-c1.scope", "system.slice", "/system.slice/runc-c1.scope" },
        { "", true, "runc-c1.scope", "user.slice", "/user.slice/runc-c1.scope" },
        { "machine.slice:libpod:abc", false, "libpod-abc.scope", "machine.slice",
          "/machine.slice/libpod-abc.scope" },
        { ":docker:1", false, "docker-1.scope", "system.slice", "/system.slice/docker-1.scope" },
        { "a-b-c.slice:p:n", false, "p-n.scope", "a-b-c.slice",
          "/a.slice/a-b.slice/a-b-c.slice/p-n.scope" },
        { "-.slice:p:n", false, "p-n.scope", "-.slice", "/p-n.scope" },
        { "a.slice::a-pod.slice", false, "a-pod.slice", "a.slice", "/a.slice/a-pod.slice" },
        { "/a/b", false, NULL, NULL, NULL },
        { "a.slice:p", false, NULL, NULL, NULL },
        { "a.slice:p:n:m", false, NULL, NULL, NULL },
        { "a:p:n", false, NULL, NULL, NULL },
        { ".slice:p:n", false, NULL, NULL, NULL },
        { "a--b.slice:p:n", false, NULL, NULL, NULL },
        { "-a.slice:p:n", false, NULL, NULL, NULL },
        { "a-.slice:p:n", false, NULL, NULL, NULL },
        { "a/b.slice:p:n", false, NULL, NULL, NULL },
        { "a.slice:p:../../n", false, NULL, NULL, NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_arena_ Arena a = { 0 };
        OciUnit u;
        Err err = { 0 };
        int r = oci_unit_of(rows[i].cgroups_path, "c1", rows[i].user, &a, &u, &err);

        if (!rows[i].name) {
            assert_int_equal(r, -ERR_INVALID);
            assert_non_null(strstr(err.msg, "cgroupsPath"));
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", rows[i].cgroups_path, err.msg);
        assert_string_equal(u.name, rows[i].name);
        assert_string_equal(u.slice, rows[i].slice);
        assert_string_equal(u.path, rows[i].path);
        assert_int_equal(u.is_slice, strstr(u.name, ".slice") != NULL);
    }
}

static void test_units_of_a_state_are_names(void **state)
{
    static const char *const bad[] = { "",           "a",         ".scope",   "a/b.scope",
                                       "../x.slice", "a.service", "a b.scope" };

    assert_true(oci_unit_name_is_valid(SV("runc-a_1+.scope")) == false);
    assert_true(oci_unit_name_is_valid(SV("runc-a_1.scope")));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(oci_unit_name_is_valid(sv_cstr(bad[i])));
}

/* --- properties --- */

static const char *join(const UnitWords *w, Buf *out)
{
    buf_clear(out);
    assert_false(w->arena->failed);
    for (size_t i = 0; i < w->len; i++)
        buf_printf(out, i ? " %s" : "%s", w->items[i]);
    buf_append(out, "", 1);
    return out->ptr;
}

static void expect(const OciResources *r, bool v2, const char *want)
{
    _cleanup_arena_ Arena a = { 0 };
    _cleanup_buf_ Buf out = BUF_INIT;
    UnitWords w = { .arena = &a };
    Err err = { 0 };

    if (unit_resources(&w, r, v2, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(join(&w, &out), want);
}

static void test_limits(void **state)
{
    OciResources r = {
        .memory = { .limit = { true, 64 << 20 },
                    .reservation = { true, 32 << 20 },
                    .swap = { true, 96 << 20 } },
        .cpu = { .shares = { true, 1024 }, .quota = { true, 25001 }, .period = { true, 100000 } },
        .pids_limit = { true, 7 },
        .block = { .weight = { true, 500 } }
    };

    expect(&r, true,
           "MemoryMax t 67108864 MemoryLow t 33554432 MemorySwapMax t 33554432 CPUWeight t 39 "
           "CPUQuotaPeriodUSec t 100000 CPUQuotaPerSecUSec t 260000 TasksMax t 7");
    expect(&r, false,
           "MemoryLimit t 67108864 CPUShares t 1024 CPUQuotaPeriodUSec t 100000 "
           "CPUQuotaPerSecUSec t 260000 BlockIOWeight t 500 TasksMax t 7");
    r = (OciResources){ .pids_limit = { true, -1 }, .cpu = { .quota = { true, -1 } } };
    expect(&r, true, "CPUQuotaPerSecUSec t 18446744073709551615 TasksMax t 18446744073709551615");
    r = (OciResources){ .cpu = { .quota = { true, 50000 }, .cpus = "0,2-3,9", .mems = "0" } };
    expect(&r, true, "CPUQuotaPerSecUSec t 500000 AllowedCPUs ay 2 13 2 AllowedMemoryNodes ay 1 1");
    r = (OciResources){ 0 };
    expect(&r, true, "");
}

static void test_files_of_version_2(void **state)
{
    OciPair pairs[] = { { "cpu.max", "30000 60000" }, { "memory.high", "max" },
                        { "pids.max", " 12 " },       { "memory.oom.group", "1" },
                        { "cpuset.cpus", "1" },       { "cpu.weight", "200" } };
    OciPair wrong[] = { { "memory.max", "much" }, { "cpu.max", "1 2 3" }, { "cpuset.mems", "x" } };
    OciResources r = { .unified = { pairs, ARRAY_SIZE(pairs) } };

    expect(&r, true,
           "CPUQuotaPeriodUSec t 60000 CPUQuotaPerSecUSec t 500000 MemoryHigh t "
           "18446744073709551615 TasksMax t 12 AllowedCPUs ay 1 2 CPUWeight t 200");
    expect(&r, false, "");
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_arena_ Arena a = { 0 };
        UnitWords w = { .arena = &a };
        Err err = { 0 };

        r = (OciResources){ .unified = { &wrong[i], 1 } };
        assert_int_equal(unit_resources(&w, &r, true, &err), -ERR_INVALID);
        assert_non_null(strstr(err.msg, wrong[i].name));
    }
}

static void test_devices(void **state)
{
    OciDeviceRule list[] = {
        { .allow = false, .type = 'a', .major = -1, .minor = -1, .r = true, .w = true, .m = true },
        { .allow = true, .type = 'c', .major = -1, .minor = -1, .m = true },
        { .allow = true, .type = 'c', .major = 1, .minor = 3, .r = true, .w = true },
        { .allow = true, .type = 'c', .major = -1, .minor = 5, .r = true },
        { .allow = true, .type = 'b', .major = 3999, .minor = 1, .r = true }
    };
    OciDeviceRule denied[] = { { .allow = true, .type = 'a' },
                               { .allow = false, .type = 'c', .major = 1, .minor = 3, .w = true } };
    OciResources r = { .devices = { list, ARRAY_SIZE(list) } };

    /* What systemd cannot say, and what is not there, is left to our own rules. */
    expect(&r, true,
           "DevicePolicy s strict DeviceAllow a(ss) 0 DeviceAllow a(ss) 2 char-* m /dev/char/1:3 "
           "rw");
    r.devices.len = 0;
    expect(&r, true, "");
    r = (OciResources){ .devices = { denied, 1 } };
    expect(&r, false, "DevicePolicy s auto DeviceAllow a(ss) 0");
    r.devices.len = 2;
    expect(&r, false, "DevicePolicy s strict DeviceAllow a(ss) 0");
    expect(&r, true, "DevicePolicy s auto DeviceAllow a(ss) 0");
}

static void test_groups_of_devices(void **state)
{
    const StrView text =
        SV("Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  1 ramdisk\n");
    char name[64];

    assert_true(unit_device_group(text, false, 136, name));
    assert_string_equal(name, "char-pts");
    assert_true(unit_device_group(text, true, 1, name));
    assert_string_equal(name, "block-ramdisk");
    assert_false(unit_device_group(text, true, 136, name));
}

static void test_cpu_lists(void **state)
{
    static const char *const bad[] = { "", ",", "x", "3-1", "1-", "-1", "0-8192", "1-2-3" };
    uint8_t bits[UNIT_CPUS_MAX / 8];
    size_t n;

    assert_int_equal(unit_cpu_bits(" 0-1 ,, 8191", bits, &n), 0);
    assert_int_equal(n, sizeof bits);
    assert_int_equal(bits[0], 3);
    assert_int_equal(bits[n - 1], 128);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(unit_cpu_bits(bad[i], bits, &n) < 0);
}

/* --- annotations --- */

static void test_annotations(void **state)
{
    static const struct {
        const char *name, *value, *want; /* NULL: refused */
    } rows[] = {
        { "org.systemd.property.CollectMode", "'inactive-or-failed'",
          "CollectMode s inactive-or-failed" },
        { "org.systemd.property.After", "['a.service', \"b.service\"]",
          "After as 2 a.service b.service" },
        { "org.systemd.property.Before", "@as []", "Before as 0" },
        { "org.systemd.property.SendSIGHUP", " true ", "SendSIGHUP b true" },
        { "org.systemd.property.TimeoutStopUSec", "uint64 123456789",
          "TimeoutStopUSec t 123456789" },
        { "org.systemd.property.TimeoutStopSec", "7", "TimeoutStopUSec t 7000000" },
        { "org.systemd.property.TimeoutStopSec", "1.5", "TimeoutStopUSec t 1500000" },
        { "org.systemd.property.IOWeight", "@t 0x10", "IOWeight t 16" },
        { "org.systemd.property.Nice", "-5", "Nice i -5" },
        { "org.systemd.property.Bytes", "[byte 1, 2]", NULL }, /* its type stands before it */
        { "org.systemd.property.Bytes", "@ay [1, 255]", "Bytes ay 2 1 255" },
        { "org.systemd.property.Description", "'it\\'s \\\\ here'", "Description s it's \\ here" },
        { "io.kubernetes.x", "anything", "" },
        { "org.systemd.property.", "1", NULL },
        { "org.systemd.property.ab", "1", NULL },
        { "org.systemd.property.a-b-c", "1", NULL },
        { "org.systemd.property.TimeoutStopSec", "'x'", NULL },
        { "org.systemd.property.TimeoutStopSec", "-1", NULL },
        { "org.systemd.property.Name", "unquoted", NULL },
        { "org.systemd.property.Name", "'open", NULL },
        { "org.systemd.property.Name", "'a' 'b'", NULL },
        { "org.systemd.property.Name", "['a', 1]", NULL },
        { "org.systemd.property.Name", "['a'", NULL },
        { "org.systemd.property.Name", "[]", NULL },
        { "org.systemd.property.Name", "byte 256", NULL },
        { "org.systemd.property.Name", "uint32 -1", NULL },
        { "org.systemd.property.Name", "3000000000", NULL },
        { "org.systemd.property.Name", "{'a': 1}", NULL },
        { "org.systemd.property.Name", "@q", NULL },
        { "org.systemd.property.Name", "", NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_arena_ Arena a = { 0 };
        _cleanup_buf_ Buf out = BUF_INIT;
        UnitWords w = { .arena = &a };
        OciPair pair = { rows[i].name, rows[i].value };
        OciPairs list = { &pair, 1 };
        Err err = { 0 };
        int r = unit_annotations(&w, &list, &err);

        if (!rows[i].want) {
            if (r != -ERR_INVALID)
                fail_msg("%s=%s was taken", pair.name, pair.value);
            assert_non_null(strstr(err.msg, pair.name));
            continue;
        }
        if (r < 0)
            fail_msg("%s", err.msg);
        assert_string_equal(join(&w, &out), rows[i].want);
    }
}

static void test_short_memory_is_noticed(void **state)
{
    _cleanup_arena_ Arena a = { .limit = 64 };
    UnitWords w = { .arena = &a };

    for (int i = 0; i < 100; i++)
        unit_word(&w, "word %d", i);
    assert_true(a.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_places),
        cmocka_unit_test(test_units_of_a_state_are_names),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_files_of_version_2),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_groups_of_devices),
        cmocka_unit_test(test_cpu_lists),
        cmocka_unit_test(test_annotations),
        cmocka_unit_test(test_short_memory_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
