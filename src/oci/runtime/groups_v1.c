/* groups_v1.c - linux.resources in the files of version 1. What is not set is left as it is; 0
 * means "not set" where runc takes it so.
 *
 * Docs: kernel Documentation/admin-guide/cgroup-v1/, scheduler/sched-bwc.rst. */
#include <errno.h>
#include <stdio.h>

#include "oci/runtime/groups_internal.h"

static bool has(const OciNumber *n)
{
    return n->set && n->n;
}

int group_v1_cpuset(const GroupAt *at, const OciResources *r, Err *err)
{
    int e = 0;

    if (r->cpu.cpus)
        e = group_write(at, "cpuset.cpus", r->cpu.cpus, err);
    if (e >= 0 && r->cpu.mems)
        e = group_write(at, "cpuset.mems", r->cpu.mems, err);
    return e;
}

/* --- memory --- */

static int set_limit(const GroupAt *at, int64_t limit, Err *err)
{
    uint64_t usage = 0, peak = 0;
    Err why = { 0 };

    if (!limit || group_write_i64(at, "memory.limit_in_bytes", limit, &why) >= 0)
        return 0;
    if (why.sys != EBUSY) /* more is in use than the new limit */
        return err_set(err, why.code, 0, "%s", why.msg);
    (void)!group_read_u64(at, "memory.usage_in_bytes", &usage);
    (void)!group_read_u64(at, "memory.max_usage_in_bytes", &peak);
    return err_set(err, ERR_BUSY, 0,
                   "unable to set memory limit to %lld (current usage: %llu, peak usage: %llu)",
                   (long long)limit, (unsigned long long)usage, (unsigned long long)peak);
}

static int set_swap(const GroupAt *at, int64_t swap, Err *err)
{
    return swap ? group_write_i64(at, "memory.memsw.limit_in_bytes", swap, err) : 0;
}

/* The kernel wants the limit of memory at or below that of memory and swap at any time: which one
 * is written first depends on where they are now. */
static int set_limits(const GroupAt *at, int64_t limit, int64_t swap, Err *err)
{
    uint64_t now = 0;
    int e;

    if (limit == -1 && !swap && group_has(at, "memory.memsw.limit_in_bytes"))
        swap = -1; /* no limit of memory is none of both */
    if (limit && swap) {
        if ((e = group_read_u64(at, "memory.limit_in_bytes", &now)) < 0)
            return err_neg(err, e, "read memory.limit_in_bytes of %s", at->path);
        if (swap == -1 || now < (uint64_t)swap) {
            e = set_swap(at, swap, err);
            return e < 0 ? e : set_limit(at, limit, err);
        }
    }
    e = set_limit(at, limit, err);
    return e < 0 ? e : set_swap(at, swap, err);
}

static int check_usage(const GroupAt *at, const OciResources *r, Err *err)
{
    uint64_t usage = 0;

    if (!r->memory.check_before_update || r->memory.limit.n <= 0 ||
        group_read_u64(at, "memory.usage_in_bytes", &usage) < 0 ||
        usage <= (uint64_t)r->memory.limit.n)
        return 0;
    return err_set(err, ERR_BUSY, 0, "rejecting memory limit %lld < usage %llu",
                   (long long)r->memory.limit.n, (unsigned long long)usage);
}

int group_v1_memory(const GroupAt *at, const OciResources *r, Err *err)
{
    int e = check_usage(at, r, err);

    if (e >= 0)
        e = set_limits(at, r->memory.limit.n, r->memory.swap.n, err);
    if (e >= 0 && has(&r->memory.reservation))
        e = group_write_i64(at, "memory.soft_limit_in_bytes", r->memory.reservation.n, err);
    if (e >= 0 && r->memory.disable_oom_killer)
        e = group_write(at, "memory.oom_control", "1", err);
    if (e >= 0 && r->memory.swappiness.set)
        e = group_write_i64(at, "memory.swappiness", r->memory.swappiness.n, err);
    return e;
}

/* --- CPU --- */

static int set_shares(const GroupAt *at, uint64_t shares, Err *err)
{
    uint64_t now = shares;
    int e = group_write_u64(at, "cpu.shares", shares, err);

    if (e < 0)
        return e;
    (void)!group_read_u64(at, "cpu.shares", &now);
    if (now == shares)
        return 0;
    return err_set(err, ERR_INVALID, 0, "the %s allowed cpu-shares is %llu",
                   shares > now ? "maximum" : "minimum", (unsigned long long)now);
}

/* A period that is smaller than the one before may be refused because the quota is then more than
 * the parent's; where the quota is changed as well, it is tried again behind that. */
static int set_quota(const GroupAt *at, const OciResources *r, Err *err)
{
    bool again = false;
    int e;

    if (has(&r->cpu.period)) {
        Err why = { 0 };

        if (group_write_u64(at, "cpu.cfs_period_us", (uint64_t)r->cpu.period.n, &why) < 0) {
            if (why.sys != EINVAL || !has(&r->cpu.quota))
                return err_set(err, why.code, 0, "%s", why.msg);
            again = true;
        }
    }
    if (has(&r->cpu.quota) &&
        (e = group_write_i64(at, "cpu.cfs_quota_us", r->cpu.quota.n, err)) < 0)
        return e;
    if (again && (e = group_write_u64(at, "cpu.cfs_period_us", (uint64_t)r->cpu.period.n, err)) < 0)
        return e;
    return 0;
}

int group_v1_cpu(const GroupAt *at, const OciResources *r, Err *err)
{
    int e = 0;

    if (has(&r->cpu.rt_period))
        e = group_write_u64(at, "cpu.rt_period_us", (uint64_t)r->cpu.rt_period.n, err);
    if (e >= 0 && has(&r->cpu.rt_runtime))
        e = group_write_i64(at, "cpu.rt_runtime_us", r->cpu.rt_runtime.n, err);
    if (e >= 0 && has(&r->cpu.shares))
        e = set_shares(at, (uint64_t)r->cpu.shares.n, err);
    if (e >= 0)
        e = set_quota(at, r, err);
    if (e >= 0 && r->cpu.burst.set)
        e = group_write_u64(at, "cpu.cfs_burst_us", (uint64_t)r->cpu.burst.n, err);
    if (e >= 0 && r->cpu.idle.set)
        e = group_write_i64(at, "cpu.idle", r->cpu.idle.n, err);
    return e;
}

/* --- block devices --- */

static int set_rates(const GroupAt *at, const char *file, const OciBlockRates *list, Err *err)
{
    for (unsigned i = 0; i < list->len; i++) {
        char line[64];
        int e;

        snprintf(line, sizeof line, "%u:%u %llu", list->items[i].major, list->items[i].minor,
                 (unsigned long long)list->items[i].rate);
        if ((e = group_write(at, file, line, err)) < 0)
            return e;
    }
    return 0;
}

static int set_device_weight(const GroupAt *at, const char *file, const OciBlockWeight *d,
                             const OciNumber *weight, Err *err)
{
    char line[64];

    if (!has(weight))
        return 0;
    snprintf(line, sizeof line, "%u:%u %u", d->major, d->minor, (unsigned)weight->n);
    return group_write(at, file, line, err);
}

int group_v1_block(const GroupAt *at, const OciResources *r, Err *err)
{
    /* The scheduler that knows weights changed with kernel 5.0, and the name with it. */
    bool bfq = group_has(at, "blkio.bfq.weight");
    int e = 0;

    if (has(&r->block.weight))
        e = group_write_i64(at, bfq ? "blkio.bfq.weight" : "blkio.weight", r->block.weight.n, err);
    if (e >= 0 && has(&r->block.leaf_weight))
        e = group_write_i64(at, "blkio.leaf_weight", r->block.leaf_weight.n, err);
    for (unsigned i = 0; e >= 0 && i < r->block.devices.len; i++) {
        const OciBlockWeight *d = &r->block.devices.items[i];

        e = set_device_weight(at, bfq ? "blkio.bfq.weight_device" : "blkio.weight_device", d,
                              &d->weight, err);
        if (e >= 0)
            e = set_device_weight(at, "blkio.leaf_weight_device", d, &d->leaf_weight, err);
    }
    if (e < 0 ||
        (e = set_rates(at, "blkio.throttle.read_bps_device", &r->block.read_bps, err)) < 0 ||
        (e = set_rates(at, "blkio.throttle.write_bps_device", &r->block.write_bps, err)) < 0 ||
        (e = set_rates(at, "blkio.throttle.read_iops_device", &r->block.read_iops, err)) < 0)
        return e;
    return set_rates(at, "blkio.throttle.write_iops_device", &r->block.write_iops, err);
}

/* --- the rest --- */

int group_v1_hugetlb(const GroupAt *at, const OciResources *r, Err *err)
{
    for (unsigned i = 0; i < r->hugepages.len; i++) {
        char file[64];
        int e;

        snprintf(file, sizeof file, "hugetlb.%.30s.limit_in_bytes", r->hugepages.items[i].size);
        if ((e = group_write_u64(at, file, r->hugepages.items[i].limit, err)) < 0)
            return e;
    }
    return 0;
}

int group_v1_net_cls(const GroupAt *at, const OciResources *r, Err *err)
{
    return group_write_i64(at, "net_cls.classid", r->net_class.n, err);
}

int group_v1_net_prio(const GroupAt *at, const OciResources *r, Err *err)
{
    for (unsigned i = 0; i < r->net_priorities.len; i++) {
        char line[128];
        int e;

        snprintf(line, sizeof line, "%.64s %s", r->net_priorities.items[i].name,
                 r->net_priorities.items[i].value);
        if ((e = group_write(at, "net_prio.ifpriomap", line, err)) < 0)
            return e;
    }
    return 0;
}
