/* groups_devices.c - device policy of a container: linux.resources.devices read in order into what
 * it comes to, which version 1 gets line by line and version 2 as a program. */
#include <stdio.h>

#include "base/file.h"
#include "oci/runtime/groups_internal.h"

enum {
    ACCESS_ALL = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE,
    LIST_MAX = 1024 * 1024,
};

/* --- what the rules come to --- */

static void format(const DeviceRule *r, char ret[static 64])
{
    OciDeviceRule rule = { .type = r->type == BPF_DEVCG_DEV_BLOCK ? 'b' : 'c',
                           .major = r->major,
                           .minor = r->minor,
                           .r = r->access & BPF_DEVCG_ACC_READ,
                           .w = r->access & BPF_DEVCG_ACC_WRITE,
                           .m = r->access & BPF_DEVCG_ACC_MKNOD };

    oci_device_rule_format(&rule, ret);
}

static DeviceRule *find(DeviceSet *s, const DeviceRule *rule)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->rules[i].type == rule->type && s->rules[i].major == rule->major &&
            s->rules[i].minor == rule->minor)
            return &s->rules[i];
    return NULL;
}

static uint32_t access_of(const DeviceSet *s, const DeviceRule *rule)
{
    const DeviceRule *own = find((DeviceSet *)s, rule);

    return own ? own->access : 0;
}

static int add_exception(DeviceSet *s, const DeviceRule *rule, Err *err)
{
    DeviceRule *own = find(s, rule);

    if (own) {
        own->access |= rule->access;
        return 0;
    }
    if (s->n == DEVICE_RULES_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d device rules", DEVICE_RULES_MAX);
    s->rules[s->n++] = *rule;
    return 0;
}

/* The kernel would silently leave a wider exception as it is. */
static int remove_exception(DeviceSet *s, const DeviceRule *rule, Err *err)
{
    const int32_t wide[][2] = { { DEVICE_ANY, rule->minor },
                                { rule->major, DEVICE_ANY },
                                { DEVICE_ANY, DEVICE_ANY } };
    DeviceRule *own = find(s, rule);

    for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
        DeviceRule wider = { rule->type, wide[i][0], wide[i][1], 0 };
        char text[64];

        if ((wider.major == rule->major && wider.minor == rule->minor) ||
            !(access_of(s, &wider) & rule->access))
            continue;
        format(rule, text);
        return err_set(err, ERR_INVALID, 0,
                       "requested rule [%s] not supported by devices cgroupv1 (cannot punch hole "
                       "in existing wildcard rule)",
                       text);
    }
    if (!own)
        return 0;
    own->access &= ~rule->access;
    if (!own->access)
        *own = s->rules[--s->n];
    return 0;
}

int device_set_add(DeviceSet *s, const OciDeviceRule *rule, Err *err)
{
    DeviceRule one = { .type = rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR,
                       .major = rule->major < 0 ? DEVICE_ANY : (int32_t)rule->major,
                       .minor = rule->minor < 0 ? DEVICE_ANY : (int32_t)rule->minor,
                       .access = (rule->r ? BPF_DEVCG_ACC_READ : 0) |
                                 (rule->w ? BPF_DEVCG_ACC_WRITE : 0) |
                                 (rule->m ? BPF_DEVCG_ACC_MKNOD : 0) };

    if (rule->type == 'a') { /* whatever its numbers are, it begins anew */
        s->allow = rule->allow;
        s->n = 0;
        return 0;
    }
    return s->allow == rule->allow ? remove_exception(s, &one, err) : add_exception(s, &one, err);
}

int device_set_parse(DeviceSet *s, StrView list, Err *err)
{
    StrView line;
    int r;

    *s = (DeviceSet){ 0 };
    while (sv_next(&list, '\n', &line)) {
        char text[64];
        DeviceRule rule;

        if (!sv_copy_cstr(line, text, sizeof text))
            return err_set(err, ERR_INVALID, 0, "'%.*s' is no device rule",
                           SV_FMT(sv_head(line, 64)));
        if ((r = device_rule_parse(text, &rule, err)) < 0)
            return r;
        if (!rule.type) { /* exceptions of a list that allows are not shown */
            s->allow = true;
            s->n = 0;
        } else if ((r = add_exception(s, &rule, err)) < 0) {
            return r;
        }
    }
    return 0;
}

/* --- from one to the other --- */

static int change(uint32_t access, const DeviceRule *rule, bool allow, DeviceLineFn *fn, void *ctx,
                  Err *err)
{
    DeviceRule part = *rule;
    char line[64];

    part.access = access;
    if (!access)
        return 0;
    format(&part, line);
    return fn(ctx, allow, line, err);
}

int device_set_change(const DeviceSet *from, const DeviceSet *to, DeviceLineFn *fn, void *ctx,
                      Err *err)
{
    bool anew = from->allow || from->allow != to->allow;
    int r = anew ? fn(ctx, to->allow, "a", err) : 0;

    for (size_t i = 0; r >= 0 && !anew && i < from->n; i++)
        r = change(from->rules[i].access & ~access_of(to, &from->rules[i]), &from->rules[i],
                   to->allow, fn, ctx, err);
    for (size_t i = 0; r >= 0 && i < to->n; i++)
        r = change(to->rules[i].access & ~(anew ? 0 : access_of(from, &to->rules[i])),
                   &to->rules[i], !to->allow, fn, ctx, err);
    return r;
}

/* --- the kernel --- */

static int write_line(void *ctx, bool allow, const char *line, Err *err)
{
    return group_write(ctx, allow ? "devices.allow" : "devices.deny", line, err);
}

static int set_v1(GroupAt *at, const DeviceSet *want, Err *err)
{
    _cleanup_buf_ Buf list = BUF_INIT;
    DeviceSet now;
    int r;

    if ((r = cgroup_read(at->h, at->path, "devices.list", &list)) < 0)
        return err_neg(err, r, "read devices.list of %s", at->path);
    if (device_set_parse(&now, buf_view(&list), NULL) < 0)
        now = (DeviceSet){ .allow = true }; /* whatever it is, it goes */
    return device_set_change(&now, want, write_line, at, err);
}

static int set_v2(const GroupAt *at, const DeviceSet *want, Err *err)
{
    struct bpf_insn program[DEVICE_INSNS_MAX];
    size_t n = want->allow ? device_program_deny(want->rules, want->n, program)
                           : device_program(want->rules, want->n, program);

    if (want->allow && !want->n)
        n = 0;
    return device_program_attach(at->h, at->path, program, n, err);
}

/* In a user namespace that is not the machine's nobody may change it, and needs not. */
static bool in_user_namespace(void)
{
    _cleanup_buf_ Buf map = BUF_INIT;
    uint64_t first;
    StrView word, rest;

    if (file_read(AT_FDCWD, "/proc/self/uid_map", LIST_MAX, &map) < 0)
        return false;
    rest = sv_trim(buf_view(&map));
    if (sv_find_char(rest, '\n') >= 0)
        return true;
    for (int i = 0; i < 2; i++) {
        sv_cut(sv_trim(rest), ' ', &word, &rest);
        if (sv_to_u64(word, &first) < 0 || first != 0)
            return true;
    }
    return !sv_eq(sv_trim(rest), SV("4294967295"));
}

int groups_set_devices(const OciGroups *g, const OciResources *r, Err *err)
{
    DeviceSet want = { 0 };
    GroupAt at = { 0 };
    int e;

    if (!r->devices.len || in_user_namespace())
        return 0;
    for (unsigned i = 0; i < r->devices.len; i++)
        if ((e = device_set_add(&want, &r->devices.items[i], err)) < 0)
            return e;
    for (size_t i = 0; !at.h && i < g->sys.len; i++)
        if (g->path[i] && cgroup_carries(&g->sys.list[i], "devices"))
            at = (GroupAt){ &g->sys.list[i], g->path[i] };
    if (at.h)
        return set_v1(&at, &want, err);
    at.h = groups_v2(g, &at.path);
    if (!at.h)
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "cannot set devices limit: container could not join or create cgroup");
    return set_v2(&at, &want, err);
}
