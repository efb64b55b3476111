/* seccomp_json.c - system call filters in the JSON of the OCI runtime specification
 * (config-linux.md#seccomp), compiled as runc does. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>

#include "codec/json.h"
#include "oci/seccomp_internal.h"
#include "oci/seccomp_load.h"

enum { PROFILE_TEXT_MAX = 4 * 1024 * 1024, CALL_NAME_MAX = 64, ARGS_MAX = 6 };

#define X32_BIT 0x40000000u

/* --- names --- */

static const char *const action_names[] = {
    "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",        NULL,
};
static const char *const operator_names[] = {
    "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
    "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL,
};
static const uint32_t operators[] = {
    SCMP_CMP_EQ, SCMP_CMP_GE,        SCMP_CMP_GT, SCMP_CMP_LE,
    SCMP_CMP_LT, SCMP_CMP_MASKED_EQ, SCMP_CMP_NE,
};
static const char *const arch_names[] = {
    "SCMP_ARCH_AARCH64",   "SCMP_ARCH_ARM",      "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",   "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",    "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC",      "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",   "SCMP_ARCH_RISCV64",  "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",
    "SCMP_ARCH_X32",       "SCMP_ARCH_X86",      "SCMP_ARCH_X86_64",   NULL,
};
static const uint32_t archs[] = {
    SCMP_ARCH_AARCH64,   SCMP_ARCH_ARM,      SCMP_ARCH_MIPS,     SCMP_ARCH_MIPS64,
    SCMP_ARCH_MIPS64N32, SCMP_ARCH_MIPSEL,   SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32,
    SCMP_ARCH_PARISC,    SCMP_ARCH_PARISC64, SCMP_ARCH_PPC,      SCMP_ARCH_PPC64,
    SCMP_ARCH_PPC64LE,   SCMP_ARCH_RISCV64,  SCMP_ARCH_S390,     SCMP_ARCH_S390X,
    SCMP_ARCH_X32,       SCMP_ARCH_X86,      SCMP_ARCH_X86_64,
};
static const char *const flag_names[] = {
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    NULL,
};
static const uint32_t flags[] = {
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
};

const char *const *seccomp_action_names(void)
{
    return action_names;
}
const char *const *seccomp_operator_names(void)
{
    return operator_names;
}
const char *const *seccomp_arch_names(void)
{
    return arch_names;
}
const char *const *seccomp_flag_names(void)
{
    return flag_names;
}

void seccomp_library_version(char ret[static 32])
{
    const struct scmp_version *v = seccomp_version();

    snprintf(ret, 32, "%u.%u.%u", v->major, v->minor, v->micro);
}

/* The number beside the name; `what` it is for the message: "action". */
static int find_name(const Value *v, const char *const *names, const uint32_t *numbers,
                     const char *what, uint32_t *ret, Err *err)
{
    StrView s = value_str(v);

    for (size_t i = 0; names[i]; i++)
        if (sv_eq(s, sv_cstr(names[i]))) {
            *ret = numbers[i];
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "string %.*s is not a valid %s for seccomp",
                   (int)MIN(s.len, (size_t)CALL_NAME_MAX), s.ptr ? s.ptr : "", what);
}

/* --- actions and rules --- */

/* Without a number of its own an error is EPERM. */
static int read_errno(const Value *v, uint16_t *ret, Err *err)
{
    uint64_t n = EPERM;

    if (v && v->kind != VALUE_NULL && (!value_to_u64(v, &n) || n > UINT16_MAX))
        return err_set(err, ERR_INVALID, 0, "errnoRet: a number from 0 to 65535 is expected");
    *ret = (uint16_t)n;
    return 0;
}

static int read_action(const Value *name, const Value *number, uint32_t *ret, Err *err)
{
    uint16_t e;
    int r = read_errno(number, &e, err);

    if (r < 0)
        return r;
    const uint32_t actions[] = {
        SCMP_ACT_ALLOW,        SCMP_ACT_ERRNO(e),    SCMP_ACT_KILL_THREAD,
        SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG,
        SCMP_ACT_NOTIFY,       SCMP_ACT_TRACE(e),    SCMP_ACT_TRAP,
    };
    _Static_assert(ARRAY_SIZE(actions) + 1 == ARRAY_SIZE(action_names), "one for each name");
    return find_name(name, action_names, actions, "action", ret, err);
}

static int read_number(const Value *v, const char *what, uint64_t *ret, Err *err)
{
    *ret = 0;
    if (v && v->kind != VALUE_NULL && !value_to_u64(v, ret))
        return err_set(err, ERR_INVALID, 0, "%s: a whole number is expected", what);
    return 0;
}

static int read_arg(const Value *v, struct scmp_arg_cmp *ret, Err *err)
{
    uint64_t index, value, two;
    uint32_t op;
    int r;

    if ((r = read_number(value_get(v, SV("index")), "index", &index, err)) < 0 ||
        (r = read_number(value_get(v, SV("value")), "value", &value, err)) < 0 ||
        (r = read_number(value_get(v, SV("valueTwo")), "valueTwo", &two, err)) < 0 ||
        (r = find_name(value_get(v, SV("op")), operator_names, operators, "operator", &op, err)) <
            0)
        return r;
    if (index >= ARGS_MAX)
        return err_set(err, ERR_INVALID, 0, "index: a system call has no argument %llu",
                       (unsigned long long)index);
    /* Masked: the first value is the mask, the second what has to be left. */
    *ret = (struct scmp_arg_cmp){ (unsigned)index, (enum scmp_compare)op, value, two };
    return 0;
}

typedef struct Call {
    uint32_t action;
    struct scmp_arg_cmp args[ARGS_MAX * 4];
    unsigned n;
    bool apart; /* an argument has several conditions: each then is a rule of its own */
} Call;

static int read_call(const Value *v, Call *ret, Err *err)
{
    const Value *list = value_get(v, SV("args"));
    unsigned seen = 0;
    int r =
        read_action(value_get(v, SV("action")), value_get(v, SV("errnoRet")), &ret->action, err);

    if (r < 0)
        return err_wrap(err, "action");
    if (value_len(list) > ARRAY_SIZE(ret->args))
        return err_set(err, ERR_INVALID, 0, "args: at most %zu are possible",
                       ARRAY_SIZE(ret->args));
    value_list_foreach (item, list) {
        struct scmp_arg_cmp *arg = &ret->args[ret->n];

        if ((r = read_arg(item, arg, err)) < 0)
            return err_wrap(err, "args[%u]", ret->n);
        ret->apart = ret->apart || seen >> arg->arg & 1;
        seen |= 1u << arg->arg;
        ret->n++;
    }
    return 0;
}

static int add_call(scmp_filter_ctx ctx, const Call *c, const char *name, Err *err)
{
    int r = 0;

    if (!c->apart)
        return seccomp_rule(ctx, c->action, name, c->args, c->n, err);
    for (unsigned i = 0; r >= 0 && i < c->n; i++)
        r = seccomp_rule(ctx, c->action, name, &c->args[i], 1, err);
    return r;
}

static int json_rule(scmp_filter_ctx ctx, const Value *v, SeccompFilter *f, Err *err)
{
    const Value *names = value_get(v, SV("names"));
    Call call = { 0 };
    int r = read_call(v, &call, err);

    if (r < 0)
        return r;
    if (!value_is(names, VALUE_LIST))
        return err_set(err, ERR_INVALID, 0, "names: a list of system calls is expected");
    value_list_foreach (item, names) {
        char name[CALL_NAME_MAX];

        if (!value_is(item, VALUE_STRING) || !value_str(item).len)
            return err_set(err, ERR_INVALID, 0, "empty string is not a valid syscall");
        if (!sv_copy_cstr(value_str(item), name, sizeof name))
            continue; /* no call has such a name */
        /* Whoever sets the container up hands the listener on by writing, after the filter holds.
         */
        if (call.action == SCMP_ACT_NOTIFY && !strcmp(name, "write"))
            return err_set(err, ERR_INVALID, 0,
                           "SCMP_ACT_NOTIFY cannot be used for the write syscall");
        f->notify = f->notify || call.action == SCMP_ACT_NOTIFY;
        if ((r = add_call(ctx, &call, name, err)) < 0)
            return r;
    }
    return 0;
}

static int add_architectures(scmp_filter_ctx ctx, const Value *list, Err *err)
{
    unsigned n = 0;

    value_list_foreach (item, list) {
        uint32_t arch;
        int r = find_name(item, arch_names, archs, "arch", &arch, err);

        if (r < 0)
            return err_wrap(err, "architectures[%u]", n);
        r = seccomp_arch_add(ctx, arch);
        if (r < 0 && r != -EEXIST && r != -EINVAL) /* EINVAL: other byte order, cannot run here */
            return err_neg(err, r, "architectures[%u]", n);
        n++;
    }
    return 0;
}

/* --- calls that are newer than the profile --- */

/* The largest number that the profile names on an architecture, or -1. */
static int64_t last_call(const Value *profile, uint32_t arch)
{
    int64_t last = -1;

    value_list_foreach (call, value_get(profile, SV("syscalls")))
        value_list_foreach (item, value_get(call, SV("names"))) {
            char name[CALL_NAME_MAX];

            if (sv_copy_cstr(value_str(item), name, sizeof name))
                last = MAX(last, (int64_t)seccomp_syscall_resolve_name_arch(arch, name));
        }
    return last;
}

static bool lists_arch(const Value *profile, const char *name)
{
    value_list_foreach (item, value_get(profile, SV("architectures")))
        if (sv_eq(value_str(item), sv_cstr(name)))
            return true;
    return false;
}

static void put(Buf *out, struct sock_filter f)
{
    buf_append(out, &f, sizeof f);
}

static void put_jump(Buf *out, uint16_t op, uint32_t k, uint8_t yes, uint8_t no)
{
    put(out, (struct sock_filter)BPF_JUMP(BPF_JMP | op | BPF_K, k, yes, no));
}

static void put_return_enosys(Buf *out)
{
    put(out, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
}

/* ENOSYS for numbers above `last`, else on behind these `rest` instructions. */
static void put_newer(Buf *out, int64_t last, uint8_t rest)
{
    if (last >= 0) {
        put_jump(out, BPF_JGT, (uint32_t)last, 0, 1);
        put_return_enosys(out);
    }
    if (rest)
        put(out, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, rest));
}

/* One architecture of the kernel. x32 shares x86_64's, and is told by a bit of the number. */
static void put_arch(Buf *out, uint32_t token, int64_t last, int64_t last_x32)
{
    bool shared = token == AUDIT_ARCH_X86_64,
         s390 = token == AUDIT_ARCH_S390 || token == AUDIT_ARCH_S390X;
    uint8_t native = last >= 0 ? 2 : 0, x32 = shared && last_x32 >= 0 ? 2 : 0;
    uint8_t len = (uint8_t)(1 + (s390 ? 2 : 0) + (shared ? 2 : 0) + native + x32);

    if (!native && !x32)
        return;
    put_jump(out, BPF_JEQ, token, 0, len);
    put(out,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    if (s390) { /* an unknown number arrives as that of setup(), which nobody calls any more */
        put_jump(out, BPF_JEQ, 0, 0, 1);
        put_return_enosys(out);
    }
    if (!shared) {
        put_newer(out, last, 0);
        return;
    }
    put_jump(out, BPF_JSET, X32_BIT, (uint8_t)(native + 1), 0);
    put_newer(out, last, x32);
    if (!x32) /* so that both ways are as long */
        put(out, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
    else
        put_newer(out, last_x32, 0);
}

/* The tests of all architectures of the profile one behind the other; each loads the token anew,
 * since the one before has loaded the number. */
static void put_stub(const Value *profile, Buf *out)
{
    static const struct {
        const char *name;
        uint32_t arch, token;
    } rows[] = {
        { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64 },
        { "SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386 },
        { "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64 },
        { "SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM },
        { "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE },
        { "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64, AUDIT_ARCH_PPC64 },
        { "SCMP_ARCH_S390X", SCMP_ARCH_S390X, AUDIT_ARCH_S390X },
        { "SCMP_ARCH_S390", SCMP_ARCH_S390, AUDIT_ARCH_S390 },
        { "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64 },
        { "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS, AUDIT_ARCH_MIPS },
        { "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64, AUDIT_ARCH_MIPS64 },
        { "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32, AUDIT_ARCH_MIPS64 | 0x20000000 },
        { "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL, AUDIT_ARCH_MIPSEL },
        { "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64, AUDIT_ARCH_MIPSEL64 },
        { "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32, AUDIT_ARCH_MIPSEL64 | 0x20000000 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool x32 = rows[i].token == AUDIT_ARCH_X86_64 && lists_arch(profile, "SCMP_ARCH_X32");
        bool own = lists_arch(profile, rows[i].name);

        if (!own && !x32)
            continue;
        put(out, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                              offsetof(struct seccomp_data, arch)));
        put_arch(out, rows[i].token, own ? last_call(profile, rows[i].arch) : -1,
                 x32 ? last_call(profile, SCMP_ARCH_X32) : -1);
    }
}

static bool denies(uint32_t action)
{
    uint32_t kind = action & SECCOMP_RET_ACTION_FULL;

    return kind != SCMP_ACT_ALLOW && kind != SCMP_ACT_LOG && kind != SECCOMP_RET_TRACE;
}

/* --- the whole --- */

static int compile(scmp_filter_ctx ctx, const Value *profile, uint32_t action, SeccompFilter *f,
                   Err *err)
{
    const Value *calls = value_get(profile, SV("syscalls"));
    unsigned n = 0;
    int r = add_architectures(ctx, value_get(profile, SV("architectures")), err);

    if (r < 0)
        return r;
    value_list_foreach (item, calls) {
        if ((r = json_rule(ctx, item, f, err)) < 0)
            return err_wrap(err, "syscalls[%u]", n);
        n++;
    }
    if (denies(action))
        put_stub(profile, &f->bytes);
    r = seccomp_export(ctx, &f->bytes, err);
    if (r >= 0 && f->bytes.failed)
        r = err_nomem(err);
    if (r >= 0 && f->bytes.len > SECCOMP_FILTER_MAX)
        r = err_set(err, ERR_LIMIT, 0, "the filter is longer than the kernel takes");
    return r;
}

static int read_flags(const Value *list, unsigned *ret, Err *err)
{
    unsigned n = 0;

    value_list_foreach (item, list) {
        uint32_t one;

        if (find_name(item, flag_names, flags, "flag", &one, err) < 0)
            return err_wrap(err, "flags[%u]", n);
        *ret |= one;
        n++;
    }
    return 0;
}

static int compile_profile(const Value *profile, SeccompFilter *f, Err *err)
{
    scmp_filter_ctx ctx;
    uint32_t action;
    int r;

    if ((r = read_action(value_get(profile, SV("defaultAction")),
                         value_get(profile, SV("defaultErrnoRet")), &action, err)) < 0)
        return err_wrap(err, "defaultAction");
    if (action == SCMP_ACT_NOTIFY)
        return err_set(err, ERR_INVALID, 0,
                       "defaultAction: SCMP_ACT_NOTIFY cannot be used as default action");
    if ((r = read_flags(value_get(profile, SV("flags")), &f->flags, err)) < 0 ||
        (r = seccomp_context(action, &ctx, err)) < 0)
        return r;
    r = compile(ctx, profile, action, f, err);
    seccomp_release(ctx);
    return r;
}

int seccomp_profile_compile(const Value *profile, SeccompFilter *ret, Err *err)
{
    SeccompFilter f = { 0 };
    Err own = { 0 };

    err = err ? err : &own; /* the code is in it */
    if (compile_profile(profile, &f, err) < 0) {
        buf_free(&f.bytes);
        return err_wrap(err, "seccomp");
    }
    if (f.notify)
        f.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (f.notify && f.flags & SECCOMP_FILTER_FLAG_TSYNC) /* both return a number otherwise */
        f.flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    *ret = f;
    return 0;
}

int seccomp_profile_json(StrView text, Buf *out, Err *err)
{
    _cleanup_arena_ Arena a;
    SeccompFilter f;
    Value doc;
    int r;

    arena_init(&a, ARENA_DEFAULT_LIMIT);
    if (text.len > PROFILE_TEXT_MAX)
        return err_set(err, ERR_LIMIT, 0, "a seccomp profile of %zu bytes", text.len);
    if ((r = json_decode(text, &a, NULL, &doc, err)) < 0 ||
        (r = seccomp_profile_compile(&doc, &f, err)) < 0)
        return r;
    if (f.notify)
        r = err_set(err, ERR_UNSUPPORTED, 0,
                    "seccomp: SCMP_ACT_NOTIFY needs a listener, which pods have not");
    else
        buf_sv(out, buf_view(&f.bytes));
    buf_free(&f.bytes);
    return r < 0 ? r : out->failed ? err_nomem(err) : 0;
}
