/* test_cgroup_devices.c - device rules and the eBPF program made of them: its behaviour under an
 * interpreter of the few instructions it uses, against the rules read one by one; its shape; and,
 * where the machine has a version 2 hierarchy, the kernel's own verdict (root only). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/cgroup_devices.h"

enum {
    C = BPF_DEVCG_DEV_CHAR,
    B = BPF_DEVCG_DEV_BLOCK,
    M = BPF_DEVCG_ACC_MKNOD,
    R = BPF_DEVCG_ACC_READ,
    W = BPF_DEVCG_ACC_WRITE,
};

static DeviceRule rule(const char *text)
{
    DeviceRule ret;
    Err err = { 0 };

    if (device_rule_parse(text, &ret, &err) < 0)
        fail_msg("%s", err.msg);
    return ret;
}

static void test_rules_are_parsed(void **state)
{
    DeviceRule r = rule("c 10:200 rwm");

    assert_int_equal(r.type, C);
    assert_int_equal(r.major, 10);
    assert_int_equal(r.minor, 200);
    assert_int_equal(r.access, R | W | M);
    r = rule("b *:7 m");
    assert_int_equal(r.type, B);
    assert_int_equal(r.major, DEVICE_ANY);
    assert_int_equal(r.minor, 7);
    assert_int_equal(r.access, M);
    r = rule("a");
    assert_int_equal(r.type, 0);
    assert_int_equal(r.access, R | W | M);
    assert_int_equal(rule("a 1:* r").type, 0);
    assert_int_equal(rule("c 2147483647:0 r").major, INT32_MAX);
}

static void test_bad_rules_are_refused(void **state)
{
    static const char *const bad[] = {
        "",         "c",         "c 1:3",        "c 1 r",     "x 1:3 r",          "c 1:3 q",
        "c 1:3 ",   "c -1:3 r",  "c 1:-1 r",     "c 1:3:4 r", "c 2147483648:0 r", "cc 1:3 r",
        "c  1:3 r", "c 1:3 r w", "c 0x10:* rwm", "a *",       "c :3 r",           "c 1: r",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        DeviceRule r;
        Err err = { 0 };

        assert_int_equal(device_rule_parse(bad[i], &r, &err), -ERR_INVALID);
        assert_non_null(strstr(err.msg, "is no device rule"));
    }
}

/* Runs the program as the kernel would; whatever it does not use fails the test. */
static int interpret(const struct bpf_insn *p, size_t n, const struct bpf_cgroup_dev_ctx *ctx)
{
    uint64_t reg[MAX_BPF_REG] = { 0 };
    size_t steps = 0;

    for (size_t pc = 0; pc < n; pc++) {
        const struct bpf_insn *i = &p[pc];
        uint32_t word;

        assert_true(++steps <= n); /* never backwards */
        switch (i->code) {
        case BPF_LDX | BPF_MEM | BPF_W:
            assert_int_equal(i->src_reg, BPF_REG_1);
            assert_true((size_t)i->off + sizeof word <= sizeof *ctx);
            memcpy(&word, (const char *)ctx + i->off, sizeof word);
            reg[i->dst_reg] = word;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            reg[i->dst_reg] = (uint32_t)reg[i->dst_reg] & (uint32_t)i->imm;
            break;
        case BPF_ALU | BPF_MOV | BPF_X:
            reg[i->dst_reg] = (uint32_t)reg[i->src_reg];
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += reg[i->dst_reg] == (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
            break;
        case BPF_ALU | BPF_RSH | BPF_K:
            reg[i->dst_reg] = (uint32_t)reg[i->dst_reg] >> i->imm;
            break;
        case BPF_ALU64 | BPF_MOV | BPF_K:
            reg[i->dst_reg] = (uint64_t)(int64_t)i->imm;
            break;
        case BPF_JMP | BPF_JNE | BPF_K:
            pc += reg[i->dst_reg] != (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += reg[i->dst_reg] & (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
            break;
        case BPF_JMP | BPF_EXIT:
            return (int)reg[BPF_REG_0];
        default:
            fail_msg("instruction %zu has code 0x%x", pc, i->code);
        }
    }
    fail_msg("the program runs off its end");
    return -1;
}

static int verdict(const DeviceRule *rules, size_t n, uint32_t type, uint32_t major, uint32_t minor,
                   uint32_t access)
{
    struct bpf_insn program[DEVICE_INSNS_MAX];
    struct bpf_cgroup_dev_ctx ctx = { access << 16 | type, major, minor };
    size_t len = device_program(rules, n, program);

    assert_true(len <= DEVICE_INSNS_MAX);
    return interpret(program, len, &ctx);
}

static int verdict_deny(const DeviceRule *rules, size_t n, uint32_t type, uint32_t major,
                        uint32_t minor, uint32_t access)
{
    struct bpf_insn program[DEVICE_INSNS_MAX];
    struct bpf_cgroup_dev_ctx ctx = { access << 16 | type, major, minor };
    size_t len = device_program_deny(rules, n, program);

    assert_true(len <= DEVICE_INSNS_MAX);
    return interpret(program, len, &ctx);
}

/* An access of which a part is denied is denied: who may not read may not open for both. */
static void test_a_list_that_denies(void **state)
{
    const DeviceRule rules[] = { rule("c 1:3 r"), rule("b 8:* wm"), rule("a *:200 rwm") };
    const uint32_t c = BPF_DEVCG_DEV_CHAR, b = BPF_DEVCG_DEV_BLOCK, r = BPF_DEVCG_ACC_READ,
                   w = BPF_DEVCG_ACC_WRITE, m = BPF_DEVCG_ACC_MKNOD;

    assert_int_equal(verdict_deny(rules, 3, c, 1, 3, r), 0);
    assert_int_equal(verdict_deny(rules, 3, c, 1, 3, r | w), 0);
    assert_int_equal(verdict_deny(rules, 3, c, 1, 3, w), 1);
    assert_int_equal(verdict_deny(rules, 3, b, 1, 3, r), 1);
    assert_int_equal(verdict_deny(rules, 3, b, 8, 7, r | m), 0);
    assert_int_equal(verdict_deny(rules, 3, b, 8, 7, r), 1);
    assert_int_equal(verdict_deny(rules, 3, c, 9, 200, m), 0);
    assert_int_equal(verdict_deny(rules, 0, c, 9, 200, m), 1);
}

static bool covered(const DeviceRule *rules, size_t n, uint32_t type, uint32_t major,
                    uint32_t minor, uint32_t access)
{
    for (size_t i = 0; i < n; i++)
        if ((!rules[i].type || rules[i].type == type) &&
            (rules[i].major == DEVICE_ANY || (uint32_t)rules[i].major == major) &&
            (rules[i].minor == DEVICE_ANY || (uint32_t)rules[i].minor == minor) &&
            !(access & ~rules[i].access))
            return true;
    return false;
}

static void test_program_decides_as_the_rules(void **state)
{
    const DeviceRule rules[] = { rule("c *:* m"),  rule("b *:* m"),       rule("c 1:3 rwm"),
                                 rule("c 1:5 r"),  rule("c 1:5 w"),       rule("c 136:* rwm"),
                                 rule("b 8:1 rw"), rule("a *:200 r"),     rule("c 5:2 rm"),
                                 rule("b 7:* r"),  rule("c 4294:65 rwm"), rule("b *:3 w") };
    static const uint32_t majors[] = { 0, 1, 5, 7, 8, 136, 4294, 0xffffffff };
    static const uint32_t minors[] = { 0, 1, 2, 3, 5, 65, 200, 0xffffffff };
    size_t allowed = 0;

    for (size_t n = 0; n <= ARRAY_SIZE(rules); n++)
        for (size_t a = 0; a < ARRAY_SIZE(majors); a++)
            for (size_t b = 0; b < ARRAY_SIZE(minors); b++)
                for (uint32_t access = 1; access <= (R | W | M); access++)
                    for (uint32_t type = B; type <= C; type++) {
                        int got = verdict(rules, n, type, majors[a], minors[b], access);

                        assert_int_equal(got,
                                         covered(rules, n, type, majors[a], minors[b], access));
                        allowed += (size_t)got;
                    }
    assert_true(allowed > 1000);
}

static void test_shape(void **state)
{
    const DeviceRule rules[] = { rule("c 1:3 r") };
    struct bpf_insn p[DEVICE_INSNS_MAX];
    static const struct {
        uint8_t code, dst;
        int16_t off;
        int32_t imm;
    } want[] = {
        { 0x61, 2, 0, 0 },      /* r2 = access_type */
        { 0x61, 3, 0, 0 },      /* r3 = access_type */
        { 0x61, 4, 4, 0 },      /* r4 = major */
        { 0x61, 5, 8, 0 },      /* r5 = minor */
        { 0x54, 2, 0, 0xffff }, /* w2 &= 0xffff */
        { 0x74, 3, 0, 16 },     /* w3 >>= 16 */
        { 0x55, 2, 5, 2 },      /* if r2 != char goto deny */
        { 0x45, 3, 4, M | W },  /* if r3 & (mknod | write) goto deny */
        { 0x55, 4, 3, 1 },      /* if r4 != 1 goto deny */
        { 0x55, 5, 2, 3 },      /* if r5 != 3 goto deny */
        { 0xb7, 0, 0, 1 },      /* r0 = 1 */
        { 0x95, 0, 0, 0 },      /* exit */
        { 0xb7, 0, 0, 0 },      /* deny: r0 = 0 */
        { 0x95, 0, 0, 0 },      /* exit */
    };

    assert_int_equal(device_program(rules, 1, p), ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(p[i].code, want[i].code);
        assert_int_equal(p[i].dst_reg, want[i].dst);
        assert_int_equal(p[i].off, want[i].off);
        assert_int_equal(p[i].imm, want[i].imm);
    }
}

static void test_nothing_follows_a_rule_that_allows_all(void **state)
{
    const DeviceRule rules[] = { rule("c 1:3 r"), rule("a"), rule("b 8:0 rwm") };
    struct bpf_insn p[DEVICE_INSNS_MAX];
    size_t len = device_program(rules, 3, p);

    assert_int_equal(len, device_program(rules, 2, p));
    assert_int_equal(p[len - 1].code, BPF_JMP | BPF_EXIT);
    assert_int_equal(p[len - 2].imm, 1);
}

static void test_most_rules_fit(void **state)
{
    DeviceRule rules[DEVICE_RULES_MAX];

    for (int i = 0; i < DEVICE_RULES_MAX; i++)
        rules[i] = (DeviceRule){ C, i + 1, i + 2, R };
    assert_int_equal(verdict(rules, DEVICE_RULES_MAX, C, DEVICE_RULES_MAX, DEVICE_RULES_MAX + 1, R),
                     1);
    assert_int_equal(verdict(rules, DEVICE_RULES_MAX, C, 1, 1, R), 0);
}

static void test_too_many_rules_are_refused(void **state)
{
    const char *extra[DEVICE_RULES_MAX];
    CgroupSystem sys = { .list = { { .mount = "/nonexistent", .v2 = true } }, .len = 1 };
    Err err = { 0 };

    for (size_t i = 0; i < DEVICE_RULES_MAX; i++)
        extra[i] = "c 1:3 r";
    assert_int_equal(cgroup_set_devices(&sys, "/x", false, extra, DEVICE_RULES_MAX, &err),
                     -ERR_LIMIT);
}

/* --- the kernel's verdict --- */

/* In the group: makes the node in a folder of its own and opens it. Exit code: the errno. */
static int open_in_group(const CgroupSystem *v2, const char *path, mode_t type, dev_t dev,
                         int flags)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char dir[] = "/tmp/knarr-dev-XXXXXX", node[64];
        int fd, failed;

        if (cgroup_attach(v2, path, 0, NULL) < 0 || !mkdtemp(dir))
            _exit(255);
        snprintf(node, sizeof node, "%s/node", dir);
        if (mknod(node, type | 0600, dev) < 0)
            _exit(254);
        fd = open(node, flags | O_CLOEXEC);
        failed = fd < 0 ? errno : 0;
        unlink(node);
        rmdir(dir);
        _exit(failed);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_kernel_enforces_it(void **state)
{
    static const char *const extra[] = { "c 1:11 r" };
    CgroupSystem sys, v2 = { 0 };
    char path[64];
    Err err = { 0 };

    if (geteuid() != 0 || cgroup_system_find(&sys, NULL, NULL) < 0)
        skip();
    for (size_t i = 0; i < sys.len; i++)
        if (sys.list[i].v2)
            v2.list[v2.len++] = sys.list[i];
    snprintf(path, sizeof path, "/knarr-test-devices-%d", (int)getpid());
    if (!v2.len || cgroup_create(&v2, path, NULL) < 0)
        skip();
    int r = cgroup_set_devices(&v2, path, false, NULL, 0, &err);
    if (r == -ERR_UNSUPPORTED) {
        assert_int_equal(cgroup_remove(&v2, path, NULL), 0);
        skip();
    }
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(open_in_group(&v2, path, S_IFCHR, makedev(1, 3), O_RDWR), 0);
    assert_int_equal(open_in_group(&v2, path, S_IFCHR, makedev(1, 11), O_RDONLY), EPERM);
    /* again, with one device more: in place of the first program */
    assert_int_equal(cgroup_set_devices(&v2, path, false, extra, 1, &err), 0);
    assert_int_equal(open_in_group(&v2, path, S_IFCHR, makedev(1, 11), O_RDONLY), 0);
    assert_int_equal(open_in_group(&v2, path, S_IFCHR, makedev(1, 11), O_RDWR), EPERM);
    /* everything, twice: there is nothing left to take off */
    assert_int_equal(cgroup_set_devices(&v2, path, true, NULL, 0, &err), 0);
    assert_int_equal(cgroup_set_devices(&v2, path, true, NULL, 0, &err), 0);
    assert_int_equal(open_in_group(&v2, path, S_IFCHR, makedev(1, 11), O_RDWR), 0);
    assert_int_equal(cgroup_remove(&v2, path, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_parsed),
        cmocka_unit_test(test_bad_rules_are_refused),
        cmocka_unit_test(test_program_decides_as_the_rules),
        cmocka_unit_test(test_a_list_that_denies),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_nothing_follows_a_rule_that_allows_all),
        cmocka_unit_test(test_most_rules_fit),
        cmocka_unit_test(test_too_many_rules_are_refused),
        cmocka_unit_test(test_kernel_enforces_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
