/* spec_process.c - config.json's `process`, which is also the document of `exec --process`. */
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "oci/caps.h"
#include "oci/process.h"
#include "oci/runtime/spec_internal.h"

enum { SELINUX_MAGIC_NUMBER = 0xf97cff8c & 0x7fffffff, NICE_MIN = -20, NICE_MAX = 19 };

static int take_group(Binder *b, void *ctx, unsigned index, const Value *it)
{
    uint64_t n;
    int r = spec_read_uint(b, it, UINT32_MAX, &n);

    if (r >= 0)
        ((uint32_t *)ctx)[index] = (uint32_t)n;
    return r;
}

int spec_read_groups(Binder *b, void *at, const Value *v)
{
    OciProcess *p = at;
    int r;

    p->groups = arena_array(b->arena, uint32_t, value_len(v) + 1u);
    p->groups_len = 0;
    if (!p->groups)
        return err_nomem(b->err);
    if ((r = bind_each(b, v, "[]uint32", take_group, p->groups)) < 0)
        return r;
    p->groups_len = v->len;
    return 0;
}

/* --- capabilities --- */

/* The specification: what cannot be granted is warned of, and is no error. */
static bool cap_known(StrView name, uint64_t *ret_mask)
{
    for (unsigned cap = 0; caps_name(cap); cap++)
        if (sv_eq(name, sv_cstr(caps_name(cap)))) {
            *ret_mask = UINT64_C(1) << cap;
            return prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; /* the kernel knows it, too */
        }
    return false;
}

static int take_cap(Binder *b, void *ctx, unsigned index, const Value *it)
{
    uint64_t one;

    (void)index;
    if (it->kind != VALUE_STRING)
        return bind_bad_type(b, it, "string");
    if (cap_known(value_str(it), &one))
        *(uint64_t *)ctx |= one;
    else
        spec_warn(b, "ignoring unknown or unavailable capabilities: [%.*s]",
                  SV_FMT(sv_head(value_str(it), 64)));
    return 0;
}

int spec_read_caps(Binder *b, void *at, const Value *v)
{
    return bind_each(b, v, "[]string", take_cap, at);
}

static const Field caps_fields[] = {
    BIND(OciProcess, "bounding", OCI_CAPS, bounding),
    BIND(OciProcess, "effective", OCI_CAPS, effective),
    BIND(OciProcess, "inheritable", OCI_CAPS, inheritable),
    BIND(OciProcess, "permitted", OCI_CAPS, permitted),
    BIND(OciProcess, "ambient", OCI_CAPS, ambient),
};

static int caps_check(Binder *b, void *obj, const Value *v)
{
    ((OciProcess *)obj)->has_caps = true;
    return 0;
}

static const Type caps_type = { "capabilities", 0, caps_fields, ARRAY_SIZE(caps_fields),
                                .check = caps_check };

/* --- limits --- */

int spec_read_rlimit(Binder *b, void *at, const Value *v)
{
    StrView name = value_str(v);

    if (!sv_starts(name, SV("RLIMIT_")) || rlimit_parse(name, at, NULL) < 0)
        return bind_fail(b, v, "wrong rlimit value: '%.*s'; a name like RLIMIT_NOFILE is expected",
                         SV_FMT(sv_head(name, 64)));
    return 0;
}

static int rlimit_check(Binder *b, void *obj, const Value *v)
{
    const OciSpecRlimit *l = obj;

    if (!value_is(value_get(v, SV("type")), VALUE_STRING))
        return bind_fail_key(b, v, "type", "a name like RLIMIT_NOFILE is expected");
    if (l->soft > l->hard)
        return bind_fail_key(b, v, "soft", "%llu is above the hard limit, %llu",
                             (unsigned long long)l->soft, (unsigned long long)l->hard);
    return 0;
}

static const Field rlimit_fields[] = {
    BIND(OciSpecRlimit, "type", OCI_RLIMIT, resource),
    BIND(OciSpecRlimit, "soft", OCI_U64, soft),
    BIND(OciSpecRlimit, "hard", OCI_U64, hard),
};
static const Type rlimit_type = { "rlimit", sizeof(OciSpecRlimit), rlimit_fields,
                                  ARRAY_SIZE(rlimit_fields), .check = rlimit_check };

/* --- scheduling --- */

static const SpecName policies[] = {
    { "SCHED_OTHER", SCHED_NORMAL },
    { "SCHED_FIFO", SCHED_FIFO },
    { "SCHED_RR", SCHED_RR },
    { "SCHED_BATCH", SCHED_BATCH },
    { "SCHED_ISO", 4 },
    { "SCHED_IDLE", SCHED_IDLE },
    { "SCHED_DEADLINE", SCHED_DEADLINE },
};

int spec_read_policy(Binder *b, void *at, const Value *v)
{
    int64_t policy;
    int r = spec_read_name(b, v, policies, ARRAY_SIZE(policies), "scheduling policy", &policy);

    if (r >= 0)
        *(uint32_t *)at = (uint32_t)policy;
    return r;
}

static int take_sched_flag(Binder *b, void *ctx, unsigned index, const Value *it)
{
    static const SpecName flags[] = {
        { "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
        { "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
        { "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
        { "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
        { "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
        { "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
        { "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
    };
    int64_t flag;
    int r = spec_read_name(b, it, flags, ARRAY_SIZE(flags), "scheduling flag", &flag);

    (void)index;
    if (r >= 0)
        *(uint64_t *)ctx |= (uint64_t)flag;
    return r;
}

int spec_read_sched_flags(Binder *b, void *at, const Value *v)
{
    return bind_each(b, v, "[]string", take_sched_flag, at);
}

static int scheduler_check(Binder *b, void *obj, const Value *v)
{
    const OciScheduler *s = obj;
    bool real_time = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
    bool nice = s->policy == SCHED_NORMAL || s->policy == SCHED_BATCH;

    if (!value_is(value_get(v, SV("policy")), VALUE_STRING))
        return bind_fail_key(b, v, "policy", "a scheduling policy like SCHED_OTHER is expected");
    if (nice && (s->nice < NICE_MIN || s->nice > NICE_MAX))
        return bind_fail_key(b, v, "nice", "a number from %d to %d is expected", NICE_MIN,
                             NICE_MAX);
    if (s->priority && !real_time)
        return bind_fail_key(b, v, "priority", "only SCHED_FIFO and SCHED_RR have a priority");
    if ((s->runtime || s->deadline || s->period) && s->policy != SCHED_DEADLINE)
        return bind_fail(b, v, "runtime, deadline and period belong to SCHED_DEADLINE alone");
    return 0;
}

static const Field scheduler_fields[] = {
    BIND(OciScheduler, "policy", OCI_POLICY, policy),
    BIND(OciScheduler, "nice", OCI_I32, nice),
    BIND(OciScheduler, "priority", OCI_I32, priority),
    BIND(OciScheduler, "flags", OCI_SCHED_FLAGS, flags),
    BIND(OciScheduler, "runtime", OCI_U64, runtime),
    BIND(OciScheduler, "deadline", OCI_U64, deadline),
    BIND(OciScheduler, "period", OCI_U64, period),
};
static const Type scheduler_type = { "scheduler", sizeof(OciScheduler), scheduler_fields,
                                     ARRAY_SIZE(scheduler_fields), .check = scheduler_check };

int spec_read_io_class(Binder *b, void *at, const Value *v)
{
    static const SpecName classes[] = { { "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
                                        { "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
                                        { "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE } };
    int64_t class;
    int r = spec_read_name(b, v, classes, ARRAY_SIZE(classes), "I/O priority class", &class);

    if (r >= 0)
        *(int *)at = (int)class;
    return r;
}

static int io_check(Binder *b, void *obj, const Value *v)
{
    const OciIoPriority *p = obj;

    if (!value_is(value_get(v, SV("class")), VALUE_STRING))
        return bind_fail_key(b, v, "class", "a class like IOPRIO_CLASS_BE is expected");
    if (p->level < 0 || p->level >= IOPRIO_NR_LEVELS)
        return bind_fail_key(b, v, "priority", "a number from 0 to %d is expected",
                             IOPRIO_NR_LEVELS - 1);
    return 0;
}

static const Field io_fields[] = {
    BIND(OciIoPriority, "class", OCI_IO_CLASS, class),
    BIND(OciIoPriority, "priority", OCI_I32, level),
};
static const Type io_type = { "ioPriority", sizeof(OciIoPriority), io_fields, ARRAY_SIZE(io_fields),
                              .check = io_check };

static const Field affinity_fields[] = {
    BIND(OciProcess, "initial", OCI_TEXT, cpus_initial),
    BIND(OciProcess, "final", OCI_TEXT, cpus_final),
};
static const Type affinity_type = { "execCPUAffinity", 0, affinity_fields,
                                    ARRAY_SIZE(affinity_fields) };

/* --- process --- */

static const Field console_fields[] = {
    BIND(OciProcess, "height", OCI_U32, console_height),
    BIND(OciProcess, "width", OCI_U32, console_width),
};
static const Type console_type = { "consoleSize", 0, console_fields, ARRAY_SIZE(console_fields) };

static const Field user_fields[] = {
    BIND(OciProcess, "uid", OCI_U32, uid),
    BIND(OciProcess, "gid", OCI_U32, gid),
    BIND(OciProcess, "umask", OCI_N32, umask),
    { "additionalGids", FIELD_OCI_GROUPS, false, 0, NULL },
};
static const Type user_type = { "user", 0, user_fields, ARRAY_SIZE(user_fields) };

static bool selinux_is_on(void)
{
    struct statfs fs;

    return statfs("/sys/fs/selinux", &fs) == 0 && (fs.f_type & 0x7fffffff) == SELINUX_MAGIC_NUMBER;
}

static int rlimits_check(Binder *b, const OciProcess *p, const Value *v)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < p->rlimits.len; i++) {
        uint64_t bit = UINT64_C(1) << p->rlimits.items[i].resource;

        if (seen & bit)
            return bind_fail_key(b, v, "rlimits", "item %u names a limit for the second time", i);
        seen |= bit;
    }
    return 0;
}

static int process_check(Binder *b, void *obj, const Value *v)
{
    const OciProcess *p = obj;

    if (!p->cwd)
        return bind_fail_key(b, v, "cwd", "Cwd property must not be empty");
    if (p->cwd[0] != '/')
        return bind_fail_key(b, v, "cwd", "Cwd must be an absolute path");
    if (!p->args.len)
        return bind_fail_key(b, v, "args", "args must not be empty");
    if (p->oom_score_adj.set && (p->oom_score_adj.n < -1000 || p->oom_score_adj.n > 1000))
        return bind_fail_key(b, v, "oomScoreAdj", "a number from -1000 to 1000 is expected");
    if (p->selinux && !selinux_is_on())
        return bind_fail_key(
            b, v, "selinuxLabel",
            "selinux label is specified in config, but selinux is disabled or not supported");
    return rlimits_check(b, p, v);
}

static const Field process_fields[] = {
    BIND(OciProcess, "terminal", BOOL, terminal),
    { "consoleSize", FIELD_STRUCT, false, 0, &console_type },
    { "user", FIELD_STRUCT, false, 0, &user_type },
    BIND(OciProcess, "args", OCI_TEXTS, args),
    BIND(OciProcess, "env", OCI_TEXTS, env),
    BIND(OciProcess, "cwd", OCI_TEXT, cwd),
    { "capabilities", FIELD_STRUCT, false, 0, &caps_type },
    BIND_SUB(OciProcess, "rlimits", LIST, rlimits, rlimit_type),
    BIND(OciProcess, "noNewPrivileges", BOOL, no_new_privs),
    BIND(OciProcess, "apparmorProfile", OCI_TEXT, apparmor),
    BIND(OciProcess, "oomScoreAdj", OCI_INT, oom_score_adj),
    BIND(OciProcess, "selinuxLabel", OCI_TEXT, selinux),
    BIND_SUB(OciProcess, "scheduler", POINTER, scheduler, scheduler_type),
    BIND_SUB(OciProcess, "ioPriority", POINTER, io_priority, io_type),
    { "execCPUAffinity", FIELD_STRUCT, false, 0, &affinity_type },
};

static void process_init(void *obj)
{
    static const char *const none[1];
    OciProcess *p = obj;

    p->args.items = p->env.items = (const char **)none;
}

const Type spec_process_type = { "process",      sizeof(OciProcess),
                                 process_fields, ARRAY_SIZE(process_fields),
                                 process_init,   process_check };

int oci_process_parse(StrView text, const char *name, Arena *a, OciProcess **ret, Err *err)
{
    OciProcess *p = arena_new(a, OciProcess);
    SpecReader reader;
    Value doc;
    int r;

    if (!p)
        return err_nomem(err);
    if ((r = spec_open(&reader, text, name, a, &doc, err)) < 0 ||
        (r = bind_struct(&reader.b, &spec_process_type, p, &doc)) < 0)
        return r;
    p->warnings = spec_warnings(&reader);
    if (a->failed)
        return err_nomem(err);
    *ret = p;
    return 0;
}
