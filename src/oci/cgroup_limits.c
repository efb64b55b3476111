/* cgroup_limits.c - limits, freezer and statistics, in the files of version 1 and
 * version 2. */
#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "oci/cgroup.h"
#include "oci/cgroup_internal.h"

enum { DEFAULT_PERIOD_US = 100000 };

uint64_t cgroup_weight_of_shares(uint64_t shares)
{
    /* The linear map that the OCI runtime specification's users agreed on: 2 -> 1, 262144 -> 10000.
     */
    shares = MAX(shares, 2);
    shares = MIN(shares, 262144);
    return 1 + (shares - 2) * 9999 / 262142;
}

static int need(const CgroupSystem *sys, const char *controller, const CgroupHierarchy **ret,
                Err *err)
{
    *ret = cgroup_find(sys, controller);
    return *ret ? 0
                : err_set(err, ERR_UNSUPPORTED, 0,
                          "this machine has no '%s' control group controller", controller);
}

static int write_i64(const CgroupHierarchy *h, const char *path, const char *file, int64_t value,
                     Err *err)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    return cgroup_write(h, path, file, text, err);
}

/* Version 2 writes "max" for no limit. */
static int write_max(const CgroupHierarchy *h, const char *path, const char *file, int64_t value,
                     Err *err)
{
    if (value < 0)
        return cgroup_write(h, path, file, "max", err);
    return write_i64(h, path, file, value, err);
}

static int set_cpu(const CgroupSystem *sys, const char *path, const CgroupLimits *l, Err *err)
{
    int64_t period = l->cpu_period_us ? l->cpu_period_us : DEFAULT_PERIOD_US;
    const CgroupHierarchy *h;
    char text[64];
    int r;

    if (!l->cpu_shares && !l->cpu_quota_us && !l->cpu_period_us)
        return 0;
    r = need(sys, "cpu", &h, err);
    if (r >= 0 && l->cpu_shares > 0)
        r = h->v2 ? write_i64(h, path, "cpu.weight",
                              (int64_t)cgroup_weight_of_shares((uint64_t)l->cpu_shares), err)
                  : write_i64(h, path, "cpu.shares", l->cpu_shares, err);
    if (r < 0 || (!l->cpu_quota_us && !l->cpu_period_us))
        return r;
    if (h->v2) {
        if (l->cpu_quota_us > 0)
            snprintf(text, sizeof text, "%lld %lld", (long long)l->cpu_quota_us, (long long)period);
        else
            snprintf(text, sizeof text, "max %lld", (long long)period);
        return cgroup_write(h, path, "cpu.max", text, err);
    }
    r = write_i64(h, path, "cpu.cfs_period_us", period, err);
    if (r >= 0 && l->cpu_quota_us)
        r = write_i64(h, path, "cpu.cfs_quota_us", l->cpu_quota_us, err);
    return r;
}

static int set_memory(const CgroupSystem *sys, const char *path, const CgroupLimits *l, Err *err)
{
    const CgroupHierarchy *h;
    int r;

    if (!l->memory_max && !l->memory_low && !l->oom_group)
        return 0;
    r = need(sys, "memory", &h, err);
    if (r < 0)
        return r;
    if (l->memory_max) {
        r = h->v2 ? write_max(h, path, "memory.max", l->memory_max, err)
                  : write_i64(h, path, "memory.limit_in_bytes", l->memory_max, err);
        /* No swap beyond the limit, where swap is accounted at all. */
        if (r >= 0 && l->memory_max > 0)
            (void)!(h->v2 ? cgroup_write(h, path, "memory.swap.max", "0", NULL)
                          : write_i64(h, path, "memory.memsw.limit_in_bytes", l->memory_max, NULL));
    }
    if (r >= 0 && l->memory_low)
        r = h->v2 ? write_max(h, path, "memory.low", l->memory_low, err)
                  : write_i64(h, path, "memory.soft_limit_in_bytes", l->memory_low, err);
    if (r >= 0 && l->oom_group && h->v2)
        r = cgroup_write(h, path, "memory.oom.group", "1", err);
    return r;
}

static int set_rest(const CgroupSystem *sys, const char *path, const CgroupLimits *l, Err *err)
{
    const CgroupHierarchy *h;
    int r = 0;

    if (l->pids_max) {
        r = need(sys, "pids", &h, err);
        if (r >= 0)
            r = write_max(h, path, "pids.max", l->pids_max, err);
    }
    if (r >= 0 && ((l->cpuset_cpus && *l->cpuset_cpus) || (l->cpuset_mems && *l->cpuset_mems))) {
        r = need(sys, "cpuset", &h, err);
        if (r >= 0 && l->cpuset_cpus && *l->cpuset_cpus)
            r = cgroup_write(h, path, "cpuset.cpus", l->cpuset_cpus, err);
        if (r >= 0 && l->cpuset_mems && *l->cpuset_mems)
            r = cgroup_write(h, path, "cpuset.mems", l->cpuset_mems, err);
    }
    return r;
}

int cgroup_set_limits(const CgroupSystem *sys, const char *path, const CgroupLimits *l, Err *err)
{
    int r;

    if ((r = set_cpu(sys, path, l, err)) < 0 || (r = set_memory(sys, path, l, err)) < 0)
        return r;
    return set_rest(sys, path, l, err);
}

int cgroup_freeze(const CgroupSystem *sys, const char *path, bool frozen, Err *err)
{
    const CgroupHierarchy *h = cgroup_find(sys, "freezer");

    if (h)
        return cgroup_write(h, path, "freezer.state", frozen ? "FROZEN" : "THAWED", err);
    for (size_t i = 0; i < sys->len; i++)
        if (sys->list[i].v2)
            return cgroup_write(&sys->list[i], path, "cgroup.freeze", frozen ? "1" : "0", err);
    return err_set(err, ERR_UNSUPPORTED, 0, "this machine cannot freeze control groups");
}

/* --- statistics --- */

static uint64_t read_number(const CgroupHierarchy *h, const char *path, const char *file,
                            uint64_t fallback)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    uint64_t n;

    if (!h || cgroup_read(h, path, file, &text) < 0 || sv_to_u64(sv_trim(buf_view(&text)), &n) < 0)
        return fallback;
    return n;
}

/* The number behind `key` in a file of "key value" lines. */
static uint64_t read_key(const CgroupHierarchy *h, const char *path, const char *file, StrView key)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, name, value;
    uint64_t n;

    if (!h || cgroup_read(h, path, file, &text) < 0)
        return 0;
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line))
        if (sv_cut(line, ' ', &name, &value) && sv_eq(name, key) &&
            sv_to_u64(sv_trim(value), &n) == 0)
            return n;
    return 0;
}

uint64_t cgroup_oom_kills(const CgroupSystem *sys, const char *path)
{
    const CgroupHierarchy *h = cgroup_find(sys, "memory");

    return read_key(h, path, h && h->v2 ? "memory.events" : "memory.oom_control", SV("oom_kill"));
}

static void stat_memory(const CgroupHierarchy *h, const char *path, CgroupStat *st)
{
    bool v2 = h && h->v2;
    uint64_t inactive =
        read_key(h, path, "memory.stat", v2 ? SV("inactive_file") : SV("total_inactive_file"));

    st->memory_bytes = read_number(h, path, v2 ? "memory.current" : "memory.usage_in_bytes", 0);
    st->memory_working_set = st->memory_bytes > inactive ? st->memory_bytes - inactive : 0;
    st->memory_rss = read_key(h, path, "memory.stat", v2 ? SV("anon") : SV("total_rss"));
    st->page_faults = read_key(h, path, "memory.stat", v2 ? SV("pgfault") : SV("total_pgfault"));
    st->major_page_faults =
        read_key(h, path, "memory.stat", v2 ? SV("pgmajfault") : SV("total_pgmajfault"));
    st->memory_limit =
        read_number(h, path, v2 ? "memory.max" : "memory.limit_in_bytes", UINT64_MAX);
    if (st->memory_limit >=
        INT64_MAX - 4095) /* version 1 writes "none" as the largest page-aligned number */
        st->memory_limit = UINT64_MAX;
}

int cgroup_stat(const CgroupSystem *sys, const char *path, CgroupStat *ret, Err *err)
{
    const CgroupHierarchy *cpu = cgroup_find(sys, "cpuacct");
    char full[CGROUP_FULL_MAX];
    bool found = false;

    for (size_t i = 0; !found && i < sys->len; i++) {
        cgroup_full(&sys->list[i], path, NULL, full);
        found = path_exists(AT_FDCWD, full);
    }
    if (!found)
        return err_set(err, ERR_NOT_FOUND, 0, "no control group %s", path);
    memset(ret, 0, sizeof *ret);
    if (cpu) {
        ret->cpu_ns = read_number(cpu, path, "cpuacct.usage", 0);
    } else {
        for (size_t i = 0; i < sys->len; i++)
            if (sys->list[i].v2)
                ret->cpu_ns = read_key(&sys->list[i], path, "cpu.stat", SV("usage_usec")) * 1000;
    }
    stat_memory(cgroup_find(sys, "memory"), path, ret);
    ret->pids = read_number(cgroup_find(sys, "pids"), path, "pids.current", 0);
    ret->oom_kills = cgroup_oom_kills(sys, path);
    return 0;
}
