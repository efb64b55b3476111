/* groups_set.c - linux.resources as a whole: each controller in runc's order, in the hierarchy that
 * carries it, by the functions of its version.
 *
 * To add a controller: a row in `controllers`, and a function in groups_v1.c or groups_v2.c. */
#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "oci/runtime/groups_internal.h"

/* --- files --- */

int group_write(const GroupAt *at, const char *file, const char *value, Err *err)
{
    return cgroup_write(at->h, at->path, file, value, err);
}

int group_write_i64(const GroupAt *at, const char *file, int64_t value, Err *err)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    return group_write(at, file, text, err);
}

int group_write_u64(const GroupAt *at, const char *file, uint64_t value, Err *err)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return group_write(at, file, text, err);
}

bool group_has(const GroupAt *at, const char *file)
{
    char full[CGROUP_FULL_MAX];

    cgroup_full(at->h, at->path, file, full);
    return path_exists(AT_FDCWD, full);
}

int group_read_u64(const GroupAt *at, const char *file, uint64_t *ret)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    int r = cgroup_read(at->h, at->path, file, &text);

    if (r < 0)
        return r;
    if (sv_eq(sv_trim(buf_view(&text)), SV("max"))) {
        *ret = UINT64_MAX;
        return 0;
    }
    return sv_to_u64(sv_trim(buf_view(&text)), ret);
}

/* --- what both versions have alike --- */

/* 0 is "not said", a negative number "no limit", as in runc. */
int group_pids(const GroupAt *at, const OciResources *r, Err *err)
{
    return r->pids_limit.n < 0 ? group_write(at, "pids.max", "max", err)
                               : group_write_i64(at, "pids.max", r->pids_limit.n, err);
}

int group_rdma(const GroupAt *at, const OciResources *r, Err *err)
{
    for (unsigned i = 0; i < r->rdma.len; i++) {
        const OciRdma *d = &r->rdma.items[i];
        char line[256], *end = line + sizeof line, *p = line;
        int e;

        p += snprintf(p, (size_t)(end - p), "%.200s", d->device);
        if (d->handles.set)
            p += snprintf(p, (size_t)(end - p), " hca_handle=%u", (unsigned)d->handles.n);
        if (d->objects.set)
            snprintf(p, (size_t)(end - p), " hca_object=%u", (unsigned)d->objects.n);
        if ((e = group_write(at, "rdma.max", line, err)) < 0)
            return e;
    }
    return 0;
}

/* --- what is asked for --- */

static bool has(const OciNumber *n)
{
    return n->set && n->n; /* 0 is "not said", as in runc */
}

static bool asks_cpuset(const OciResources *r)
{
    return r->cpu.cpus || r->cpu.mems;
}
static bool asks_memory(const OciResources *r)
{
    return has(&r->memory.limit) || has(&r->memory.reservation) || has(&r->memory.swap) ||
           r->memory.swappiness.set || r->memory.disable_oom_killer;
}
static bool asks_cpu(const OciResources *r)
{
    return has(&r->cpu.shares) || has(&r->cpu.quota) || has(&r->cpu.period) || r->cpu.burst.set ||
           has(&r->cpu.rt_runtime) || has(&r->cpu.rt_period) || r->cpu.idle.set;
}
static bool asks_pids(const OciResources *r)
{
    return has(&r->pids_limit);
}
static bool asks_block(const OciResources *r)
{
    return has(&r->block.weight) || has(&r->block.leaf_weight) || r->block.devices.len ||
           r->block.read_bps.len || r->block.write_bps.len || r->block.read_iops.len ||
           r->block.write_iops.len;
}
static bool asks_hugetlb(const OciResources *r)
{
    return r->hugepages.len;
}
static bool asks_net_class(const OciResources *r)
{
    return has(&r->net_class);
}
static bool asks_net_priorities(const OciResources *r)
{
    return r->net_priorities.len;
}
static bool asks_rdma(const OciResources *r)
{
    return r->rdma.len;
}

static const struct Controller {
    const char *name, *v2_name;
    bool (*asks)(const OciResources *r);
    GroupSet *v1, *v2; /* v2 NULL: that version has nothing of the kind, and runc says nothing */
} controllers[] = {
    { "cpuset", "cpuset", asks_cpuset, group_v1_cpuset, group_v2_cpuset },
    { "memory", "memory", asks_memory, group_v1_memory, group_v2_memory },
    { "cpu", "cpu", asks_cpu, group_v1_cpu, group_v2_cpu },
    { "pids", "pids", asks_pids, group_pids, group_pids },
    { "blkio", "io", asks_block, group_v1_block, group_v2_block },
    { "hugetlb", "hugetlb", asks_hugetlb, group_v1_hugetlb, group_v2_hugetlb },
    { "net_cls", NULL, asks_net_class, group_v1_net_cls, NULL },
    { "net_prio", NULL, asks_net_priorities, group_v1_net_prio, NULL },
    { "rdma", "rdma", asks_rdma, group_rdma, group_rdma },
};

static int set_one(const OciGroups *g, const struct Controller *c, const OciResources *r, Err *err)
{
    GroupAt at = { 0 };

    if (!c->asks(r) || (groups_only_v2(g) && !c->v2))
        return 0;
    at.h = groups_find(g, c->name, &at.path);
    if (!at.h && c->v2)
        at.h = groups_find(g, c->v2_name, &at.path);
    if (!at.h || (at.h->v2 && !c->v2))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "cannot set %s limit: container could not join or create cgroup", c->name);
    return at.h->v2 ? c->v2(&at, r, err) : c->v1(&at, r, err);
}

/* --- version 2's own files --- */

static int no_unified(const GroupAt *at, const char *file, const Err *why, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView name, rest, list, one;
    bool there = false;

    if (why->sys != EACCES && why->sys != EPERM && why->sys != ENOENT)
        return err_set(err, why->code, 0, "unable to set unified resource \"%s\": %s", file,
                       why->msg);
    if (!sv_cut(sv_cstr(file), '.', &name, &rest))
        return err_set(err, ERR_INVALID, 0,
                       "unified resource \"%s\" must be in the form CONTROLLER.PARAMETER", file);
    if (cgroup_read(at->h, at->path, "cgroup.controllers", &text) >= 0) {
        list = sv_trim(buf_view(&text));
        while (sv_next(&list, ' ', &one))
            there = there || sv_eq(one, name);
    }
    if (!there && !sv_eq(name, SV("cgroup")))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "unified resource \"%s\" can't be set: controller \"%.*s\" not available",
                       file, SV_FMT(name));
    return err_set(err, why->code, 0, "unable to set unified resource \"%s\": %s", file, why->msg);
}

static int set_unified(const OciGroups *g, const OciResources *r, Err *err)
{
    GroupAt at = { 0 };

    if (!r->unified.len)
        return 0;
    at.h = groups_v2(g, &at.path);
    if (!groups_only_v2(g) || !at.h)
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "invalid configuration: cannot use unified on cgroup v1");
    for (unsigned i = 0; i < r->unified.len; i++) {
        const OciPair *p = &r->unified.items[i];
        Err why = { 0 };

        if (group_write(&at, p->name, p->value, &why) < 0)
            return no_unified(&at, p->name, &why, err);
    }
    return 0;
}

int groups_set_files(const OciGroups *g, const OciResources *r, Err *err)
{
    int e;

    for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
        if ((e = set_one(g, &controllers[i], r, err)) < 0)
            return e;
        if (i == 0 && (e = groups_set_devices(g, r, err)) < 0 && !g->rootless)
            return e;
    }
    return set_unified(g, r, err);
}

/* systemd first: it rounds, and what it writes shall not be the last word. */
int oci_groups_set(OciGroups *g, const OciResources *r, Err *err)
{
    int e = g->unit ? groups_unit_set(g, r, err) : 0;

    return e < 0 ? e : groups_set_files(g, r, err);
}
