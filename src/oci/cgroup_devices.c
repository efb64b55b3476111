/* cgroup_devices.c - device access under version 2.
 *
 * The program is a chain of comparisons, one block per rule; a block that does not match jumps to
 * the next one, the end denies (or, where the rules deny, allows):
 *
 *     r2 = type, r3 = access, r4 = major, r5 = minor
 *     rule:  if r2 != TYPE goto next;  if r3 & ~ACCESS goto next
 *            if r4 != MAJOR goto next; if r5 != MINOR goto next
 *            return 1
 *     next:  …
 *            return 0 */
#include "oci/cgroup_devices.h"

#include <errno.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "oci/cgroup_internal.h"

enum {
    ACCESS_ALL = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE,
    TYPE_MASK = 0xffff, /* access_type is access << 16 | type */
    ACCESS_SHIFT = 16,
    PROGRAMS_MAX = 64, /* on one group; the kernel's own limit */
};

/* --- rules --- */

static bool parse_number(StrView text, int32_t *ret)
{
    uint64_t n;

    if (sv_eq(text, SV("*"))) {
        *ret = DEVICE_ANY;
        return true;
    }
    if (sv_to_u64(text, &n) < 0 || n > INT32_MAX)
        return false;
    *ret = (int32_t)n;
    return true;
}

static bool parse_access(StrView text, uint32_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < text.len; i++)
        switch (text.ptr[i]) {
        case 'r':
            *ret |= BPF_DEVCG_ACC_READ;
            break;
        case 'w':
            *ret |= BPF_DEVCG_ACC_WRITE;
            break;
        case 'm':
            *ret |= BPF_DEVCG_ACC_MKNOD;
            break;
        default:
            return false;
        }
    return *ret != 0;
}

static bool parse_type(StrView text, uint32_t *ret)
{
    *ret = sv_eq(text, SV("c"))   ? BPF_DEVCG_DEV_CHAR
           : sv_eq(text, SV("b")) ? BPF_DEVCG_DEV_BLOCK
                                  : 0;
    return *ret || sv_eq(text, SV("a"));
}

int device_rule_parse(const char *text, DeviceRule *ret, Err *err)
{
    StrView type, rest, numbers, access, major, minor;
    DeviceRule rule;

    if (strcmp(text, "a") == 0) {
        *ret = (DeviceRule){ 0, DEVICE_ANY, DEVICE_ANY, ACCESS_ALL };
        return 0;
    }
    if (!sv_cut(sv_cstr(text), ' ', &type, &rest) || !sv_cut(rest, ' ', &numbers, &access) ||
        !sv_cut(numbers, ':', &major, &minor) || !parse_type(type, &rule.type) ||
        !parse_number(major, &rule.major) || !parse_number(minor, &rule.minor) ||
        !parse_access(access, &rule.access))
        return err_set(err, ERR_INVALID, 0,
                       "'%.100s' is no device rule; expected TYPE MAJOR:MINOR ACCESS, like "
                       "c 10:200 rwm",
                       text);
    *ret = rule;
    return 0;
}

/* --- program --- */

static struct bpf_insn load_word(uint8_t to, int16_t offset) /* to = *(u32 *)(r1 + offset) */
{
    return (struct bpf_insn){
        .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = to, .src_reg = BPF_REG_1, .off = offset
    };
}

static struct bpf_insn alu_k(uint8_t op, uint8_t reg, int32_t value)
{
    return (struct bpf_insn){ .code = BPF_ALU | op | BPF_K, .dst_reg = reg, .imm = value };
}

/* The distance of a jump is filled in when the end of its block is known. */
static struct bpf_insn jump_if(uint8_t op, uint8_t reg, int32_t value)
{
    return (struct bpf_insn){ .code = BPF_JMP | op | BPF_K, .dst_reg = reg, .imm = value };
}

static size_t put_return(struct bpf_insn *out, int32_t value)
{
    out[0] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K,
                                .dst_reg = BPF_REG_0,
                                .imm = value };
    out[1] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
    return 2;
}

/* Returns `verdict` where the rule fits: to all of an access that it allows, to a part of one that
 * it denies. */
static size_t put_rule(const DeviceRule *rule, int32_t verdict, struct bpf_insn *out)
{
    size_t n = 0, end;

    if (rule->type)
        out[n++] = jump_if(BPF_JNE, BPF_REG_2, (int32_t)rule->type);
    if (rule->access != ACCESS_ALL && verdict) {
        out[n++] = jump_if(BPF_JSET, BPF_REG_3, (int32_t)(~rule->access & ACCESS_ALL));
    } else if (rule->access != ACCESS_ALL) {
        out[n++] = (struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_X,
                                      .dst_reg = BPF_REG_0,
                                      .src_reg = BPF_REG_3 };
        out[n++] = alu_k(BPF_AND, BPF_REG_0, (int32_t)rule->access);
        out[n++] = jump_if(BPF_JEQ, BPF_REG_0, 0);
    }
    if (rule->major != DEVICE_ANY)
        out[n++] = jump_if(BPF_JNE, BPF_REG_4, rule->major);
    if (rule->minor != DEVICE_ANY)
        out[n++] = jump_if(BPF_JNE, BPF_REG_5, rule->minor);
    end = n + put_return(out + n, verdict);
    for (size_t i = 0; i < n; i++)
        if (BPF_CLASS(out[i].code) == BPF_JMP)
            out[i].off = (int16_t)(end - i - 1);
    return end;
}

static bool fits_all(const DeviceRule *rule)
{
    return !rule->type && rule->access == ACCESS_ALL && rule->major == DEVICE_ANY &&
           rule->minor == DEVICE_ANY;
}

static size_t put_rules(const DeviceRule *rules, size_t n, int32_t verdict, struct bpf_insn *out)
{
    size_t len = 0;

    ASSERT(n <= DEVICE_RULES_MAX);
    out[len++] = load_word(BPF_REG_2, offsetof(struct bpf_cgroup_dev_ctx, access_type));
    out[len++] = load_word(BPF_REG_3, offsetof(struct bpf_cgroup_dev_ctx, access_type));
    out[len++] = load_word(BPF_REG_4, offsetof(struct bpf_cgroup_dev_ctx, major));
    out[len++] = load_word(BPF_REG_5, offsetof(struct bpf_cgroup_dev_ctx, minor));
    out[len++] = alu_k(BPF_AND, BPF_REG_2, TYPE_MASK);
    out[len++] = alu_k(BPF_RSH, BPF_REG_3, ACCESS_SHIFT);
    for (size_t i = 0; i < n; i++) {
        len += put_rule(&rules[i], verdict, out + len);
        if (fits_all(&rules[i]))
            return len; /* the kernel refuses a program with instructions that are never reached */
    }
    return len + put_return(out + len, !verdict);
}

size_t device_program(const DeviceRule *rules, size_t n, struct bpf_insn *out)
{
    return put_rules(rules, n, 1, out);
}

size_t device_program_deny(const DeviceRule *rules, size_t n, struct bpf_insn *out)
{
    return put_rules(rules, n, 0, out);
}

/* --- kernel --- */

static int bpf(int command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

static int load(const struct bpf_insn *program, size_t n, Err *err)
{
    union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                            .insns = (uint64_t)(uintptr_t)program,
                            .insn_cnt = (uint32_t)n,
                            .license = (uint64_t)(uintptr_t) "Apache-2.0" };
    int fd = bpf(BPF_PROG_LOAD, &attr);

    if (fd < 0 && (errno == ENOSYS || errno == EINVAL))
        return err_set(err, ERR_UNSUPPORTED, errno,
                       "this kernel cannot restrict devices under control groups version 2; use "
                       "one with CONFIG_CGROUP_BPF");
    return fd < 0 ? err_errno(err, "load the program that restricts devices") : fd;
}

/* The programs that are on the group itself; -1: the kernel has none of the kind. */
static int programs_on(int group, uint32_t ids[static PROGRAMS_MAX])
{
    union bpf_attr attr = { 0 };

    attr.query.target_fd = (uint32_t)group;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
    attr.query.prog_cnt = PROGRAMS_MAX;
    return bpf(BPF_PROG_QUERY, &attr) < 0 ? -1 : (int)attr.query.prog_cnt;
}

static int take_off(int group, uint32_t id)
{
    union bpf_attr attr = { .prog_id = id };
    _cleanup_close_ int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    attr = (union bpf_attr){ .target_fd = (uint32_t)group,
                             .attach_bpf_fd = (uint32_t)fd,
                             .attach_type = BPF_CGROUP_DEVICE };
    return bpf(BPF_PROG_DETACH, &attr) < 0 && errno != ENOENT ? -1 : 0;
}

int device_program_attach(const CgroupHierarchy *h, const char *path,
                          const struct bpf_insn *program, size_t n, Err *err)
{
    union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI };
    uint32_t old[PROGRAMS_MAX];
    char full[CGROUP_FULL_MAX];
    int n_old;

    cgroup_full(h, path, NULL, full);
    _cleanup_close_ int group = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return err_errno(err, "open %s", full);
    n_old = programs_on(group, old);
    if (n) {
        _cleanup_close_ int fd = load(program, n, err);
        if (fd < 0)
            return fd;
        /* Beside others, so that a group below can have its own; all of them must agree. The kernel
         * keeps the program for as long as the group lives. */
        attr.target_fd = (uint32_t)group;
        attr.attach_bpf_fd = (uint32_t)fd;
        if (bpf(BPF_PROG_ATTACH, &attr) < 0)
            return err_errno(err, "restrict the devices of %s", full);
    }
    for (int i = 0; i < n_old; i++)
        if (take_off(group, old[i]) < 0)
            return err_errno(err, "lift the restriction of devices from %s", full);
    return 0;
}

/* --- the policy of a container --- */

/* mknod of anything, use of null, zero, full, random, urandom, tty, ptmx, ptys, console. */
static const char *const standard[] = {
    "c *:* m",   "b *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",   "c 1:8 rwm",
    "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm",
};

static int set_v1(const CgroupHierarchy *h, const char *path, bool all, const char *const *extra,
                  uint32_t extra_len, Err *err)
{
    int r = cgroup_write(h, path, all ? "devices.allow" : "devices.deny", "a", err);

    for (size_t i = 0; r >= 0 && !all && i < ARRAY_SIZE(standard); i++)
        r = cgroup_write(h, path, "devices.allow", standard[i], err);
    for (uint32_t i = 0; r >= 0 && !all && i < extra_len; i++)
        r = cgroup_write(h, path, "devices.allow", extra[i], err);
    return r;
}

static int set_v2(const CgroupHierarchy *h, const char *path, const char *const *extra,
                  uint32_t extra_len, Err *err)
{
    DeviceRule rules[DEVICE_RULES_MAX];
    struct bpf_insn program[DEVICE_INSNS_MAX];
    size_t n = 0;
    int r = 0;

    if (extra_len > DEVICE_RULES_MAX - ARRAY_SIZE(standard))
        return err_set(err, ERR_LIMIT, 0, "%u device rules, at most %zu are possible", extra_len,
                       DEVICE_RULES_MAX - ARRAY_SIZE(standard));
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(standard); i++)
        r = device_rule_parse(standard[i], &rules[n++], err);
    for (uint32_t i = 0; r >= 0 && i < extra_len; i++)
        r = device_rule_parse(extra[i], &rules[n++], err);
    if (r < 0)
        return r;
    return device_program_attach(h, path, program, device_program(rules, n, program), err);
}

int cgroup_set_devices(const CgroupSystem *sys, const char *path, bool all,
                       const char *const *extra, uint32_t extra_len, Err *err)
{
    const CgroupHierarchy *h = cgroup_find(sys, "devices");

    if (h && !h->v2)
        return set_v1(h, path, all, extra, extra_len, err);
    for (size_t i = 0; i < sys->len; i++)
        if (sys->list[i].v2)
            return all ? device_program_attach(&sys->list[i], path, NULL, 0, err)
                       : set_v2(&sys->list[i], path, extra, extra_len, err);
    return 0;
}
