/* groups_v2.c - linux.resources in the files of version 2: what the specification says in terms of
 * version 1 is converted as its users agreed on.
 *
 * Docs: kernel Documentation/admin-guide/cgroup-v2.rst. */
#include <errno.h>
#include <stdio.h>

#include "oci/runtime/groups_internal.h"

static bool has(const OciNumber *n)
{
    return n->set && n->n;
}

int group_v2_cpuset(const GroupAt *at, const OciResources *r, Err *err)
{
    return group_v1_cpuset(at, r, err); /* the files' names are the same */
}

/* --- memory --- */

static int write_limit(const GroupAt *at, const char *file, int64_t value, Err *err)
{
    return value == -1 ? group_write(at, file, "max", err) : group_write_i64(at, file, value, err);
}

int group_v2_swap(int64_t swap, int64_t memory, int64_t *ret, Err *err)
{
    if (memory == -1 && !swap) { /* no limit of memory is none of both */
        *ret = -1;
        return 0;
    }
    *ret = swap;
    if (swap == -1 || swap == 0)
        return 0;
    if (memory == 0)
        return err_set(err, ERR_INVALID, 0, "unable to set swap limit without memory limit");
    if (memory < 0 && memory != -1)
        return err_set(err, ERR_INVALID, 0, "invalid memory value: %lld", (long long)memory);
    if (swap < memory)
        return err_set(err, ERR_INVALID, 0, "memory+swap limit should be >= memory limit");
    *ret = swap - MAX(memory, 0);
    return 0;
}

static int check_usage(const GroupAt *at, const OciResources *r, Err *err)
{
    uint64_t usage = 0;

    if (!r->memory.check_before_update || r->memory.limit.n <= 0 ||
        group_read_u64(at, "memory.current", &usage) < 0 || usage <= (uint64_t)r->memory.limit.n)
        return 0;
    return err_set(err, ERR_BUSY, 0, "rejecting memory limit %lld < usage %llu",
                   (long long)r->memory.limit.n, (unsigned long long)usage);
}

/* Swappiness and the killer's absence are things of version 1; runc says nothing of them here. */
int group_v2_memory(const GroupAt *at, const OciResources *r, Err *err)
{
    int64_t swap;
    int e;

    if ((e = check_usage(at, r, err)) < 0 ||
        (e = group_v2_swap(r->memory.swap.n, r->memory.limit.n, &swap, err)) < 0)
        return e;
    /* Where swap is not accounted there is no file, and "no limit" needs none. */
    if ((swap || r->memory.swap.n > 0) && (swap != -1 || group_has(at, "memory.swap.max")))
        e = write_limit(at, "memory.swap.max", swap, err);
    if (e >= 0 && has(&r->memory.limit))
        e = write_limit(at, "memory.max", r->memory.limit.n, err);
    if (e >= 0 && has(&r->memory.reservation))
        e = write_limit(at, "memory.low", r->memory.reservation.n, err);
    return e;
}

/* --- CPU --- */

/* "QUOTA PERIOD": one that is not said keeps what is there. */
static int set_max(const GroupAt *at, const OciResources *r, Err *err)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView quota = SV("max"), period = SV("");
    char line[64], number[24];

    if (!has(&r->cpu.quota) && !has(&r->cpu.period))
        return 0;
    if (cgroup_read(at->h, at->path, "cpu.max", &text) >= 0)
        sv_cut(sv_trim(buf_view(&text)), ' ', &quota, &period);
    if (has(&r->cpu.quota)) {
        snprintf(number, sizeof number, "%lld", (long long)r->cpu.quota.n);
        quota = r->cpu.quota.n > 0 ? sv_cstr(number) : SV("max");
    }
    if (has(&r->cpu.period))
        snprintf(line, sizeof line, "%.*s %llu", SV_FMT(quota),
                 (unsigned long long)r->cpu.period.n);
    else
        snprintf(line, sizeof line, "%.*s %.*s", SV_FMT(quota),
                 SV_FMT(sv_empty(period) ? SV("100000") : period));
    return group_write(at, "cpu.max", line, err);
}

/* Times of real-time processes are no matter of version 2. */
int group_v2_cpu(const GroupAt *at, const OciResources *r, Err *err)
{
    int e = 0;

    if (r->cpu.idle.set)
        e = group_write_i64(at, "cpu.idle", r->cpu.idle.n, err);
    if (e >= 0 && has(&r->cpu.shares) && !has(&r->cpu.idle))
        e = group_write_u64(at, "cpu.weight", cgroup_weight_of_shares((uint64_t)r->cpu.shares.n),
                            err);
    if (e >= 0)
        e = set_max(at, r, err);
    if (e >= 0 && r->cpu.burst.set)
        e = group_write_u64(at, "cpu.max.burst", (uint64_t)r->cpu.burst.n, err);
    return e;
}

/* --- block devices --- */

/* 10..1000 of version 1 on 1..10000. */
static unsigned io_weight(int64_t weight)
{
    return (unsigned)(1 + (weight - 10) * 9999 / 990);
}

static int set_weights(const GroupAt *at, const OciResources *r, Err *err)
{
    bool bfq = group_has(at, "io.bfq.weight");
    char line[64];
    int e = 0;

    if (has(&r->block.weight))
        e = bfq ? group_write_i64(at, "io.bfq.weight", r->block.weight.n, err)
                : group_write_i64(at, "io.weight", io_weight(r->block.weight.n), err);
    for (unsigned i = 0; e >= 0 && i < r->block.devices.len; i++) {
        const OciBlockWeight *d = &r->block.devices.items[i];

        if (!has(&d->weight))
            continue;
        snprintf(line, sizeof line, "%u:%u %u", d->major, d->minor,
                 bfq ? (unsigned)d->weight.n : io_weight(d->weight.n));
        e = group_write(at, bfq ? "io.bfq.weight" : "io.weight", line, err);
    }
    return e;
}

static int set_rates(const GroupAt *at, const char *what, const OciBlockRates *list, Err *err)
{
    for (unsigned i = 0; i < list->len; i++) {
        const OciBlockRate *d = &list->items[i];
        char line[80], rate[24] = "max"; /* version 1 takes a limit away by 0 */
        int e;

        if (d->rate)
            snprintf(rate, sizeof rate, "%llu", (unsigned long long)d->rate);
        snprintf(line, sizeof line, "%u:%u %s=%s", d->major, d->minor, what, rate);
        if ((e = group_write(at, "io.max", line, err)) < 0)
            return e;
    }
    return 0;
}

int group_v2_block(const GroupAt *at, const OciResources *r, Err *err)
{
    int e;

    if ((e = set_weights(at, r, err)) < 0 ||
        (e = set_rates(at, "rbps", &r->block.read_bps, err)) < 0 ||
        (e = set_rates(at, "wbps", &r->block.write_bps, err)) < 0 ||
        (e = set_rates(at, "riops", &r->block.read_iops, err)) < 0)
        return e;
    return set_rates(at, "wiops", &r->block.write_iops, err);
}

int group_v2_hugetlb(const GroupAt *at, const OciResources *r, Err *err)
{
    for (unsigned i = 0; i < r->hugepages.len; i++) {
        char file[64];
        int e;

        snprintf(file, sizeof file, "hugetlb.%.30s.max", r->hugepages.items[i].size);
        if ((e = group_write_u64(at, file, r->hugepages.items[i].limit, err)) < 0)
            return e;
    }
    return 0;
}
