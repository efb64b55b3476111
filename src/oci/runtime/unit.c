/* unit.c - the names and limits of a container's unit. */
#include "oci/runtime/unit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/file.h"
#include "oci/runtime/groups_internal.h"

enum { UNIT_NAME_MAX = 255, PROC_DEVICES_MAX = 1024 * 1024, PERIOD_DEFAULT = 100000 };

/* --- names --- */

bool oci_unit_name_is_valid(StrView name)
{
    static const char other[] = ":-_.\\@";

    if (name.len > UNIT_NAME_MAX || name.ptr == NULL ||
        !((sv_ends(name, SV(".scope")) && name.len > 6) ||
          (sv_ends(name, SV(".slice")) && name.len > 6)))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (!c || !strchr(other, c)))
            return false;
    }
    return true;
}

/* A dash in the name of a slice is a level: "a-b.slice" is /a.slice/a-b.slice. */
static int expand_slice(StrView slice, Buf *out, Err *err)
{
    StrView stem = sv_head(slice, slice.len - MIN(slice.len, 6u)), rest = stem, part;

    if (sv_eq(slice, SV("-.slice")))
        return 0;
    if (!sv_ends(slice, SV(".slice")) || !oci_unit_name_is_valid(slice))
        return err_set(err, ERR_INVALID, 0, "linux.cgroupsPath: invalid slice name: %.*s",
                       SV_FMT(sv_head(slice, 200)));
    while (sv_next(&rest, '-', &part)) {
        if (sv_empty(part) || sv_ends(stem, SV("-")))
            return err_set(err, ERR_INVALID, 0, "linux.cgroupsPath: invalid slice name: %.*s",
                           SV_FMT(slice));
        buf_printf(out, "/%.*s.slice",
                   SV_FMT(sv_head(stem, (size_t)(part.ptr + part.len - stem.ptr))));
    }
    return out->failed ? err_nomem(err) : 0;
}

int oci_unit_of(const char *cgroups_path, const char *id, bool user, Arena *a, OciUnit *ret,
                Err *err)
{
    StrView slice = user ? SV("user.slice") : SV("system.slice"), prefix = SV("runc");
    StrView name = sv_cstr(id), rest = sv_cstr(cgroups_path);
    _cleanup_buf_ Buf path = BUF_INIT;
    int r;

    if (!sv_empty(rest)) {
        StrView given;

        if (!sv_cut(rest, ':', &given, &rest) || !sv_cut(rest, ':', &prefix, &name) ||
            sv_find_char(name, ':') >= 0)
            return err_set(err, ERR_INVALID, 0,
                           "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd "
                           "cgroups, got \"%.200s\" instead",
                           cgroups_path);
        slice = sv_empty(given) ? slice : given;
    }
    *ret = (OciUnit){ .is_slice = sv_ends(name, SV(".slice")),
                      .slice = arena_cstr(a, slice),
                      .title = arena_cstr(a, name) };
    ret->name = ret->is_slice
                    ? ret->title
                    : arena_printf(a, "%.*s-%.*s.scope", SV_FMT(prefix), SV_FMT(name)).ptr;
    if (!ret->name || !ret->slice || !ret->title)
        return err_nomem(err);
    if (!oci_unit_name_is_valid(sv_cstr(ret->name)))
        return err_set(err, ERR_INVALID, 0, "linux.cgroupsPath: '%.200s' is no name of a unit",
                       ret->name);
    if ((r = expand_slice(ret->is_slice ? sv_cstr(ret->name) : slice, &path, err)) < 0)
        return r;
    if (!ret->is_slice)
        buf_printf(&path, "/%s", ret->name);
    ret->path = path.failed ? NULL : arena_cstr(a, buf_view(&path));
    return ret->path ? 0 : err_nomem(err);
}

/* --- words --- */

void unit_word(UnitWords *w, const char *format, ...)
{
    va_list ap;

    if (w->len + 2 > w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        const char **items =
            arena_realloc(w->arena, w->items, w->cap * sizeof *items, cap * sizeof *items);

        if (!items)
            return;
        w->items = items;
        w->cap = cap;
    }
    va_start(ap, format);
    w->items[w->len++] = arena_vprintf(w->arena, format, ap).ptr;
    va_end(ap);
    w->items[w->len] = NULL;
}

static void put_u64(UnitWords *w, const char *name, uint64_t value)
{
    unit_word(w, "%s", name);
    unit_word(w, "t");
    unit_word(w, "%llu", (unsigned long long)value);
}

/* --- devices --- */

bool unit_device_group(StrView devices, bool block, int64_t major, char ret[static 64])
{
    bool in_block = false;
    StrView line, number, name;
    uint64_t n;

    while (sv_next(&devices, '\n', &line)) {
        line = sv_trim(line);
        if (sv_eq(line, SV("Block devices:")) || sv_eq(line, SV("Character devices:")))
            in_block = line.ptr[0] == 'B';
        else if (in_block == block && sv_cut(line, ' ', &number, &name) &&
                 sv_to_u64(number, &n) >= 0 && (int64_t)n == major)
            return (size_t)snprintf(ret, 64, "%s-%.*s", block ? "block" : "char", SV_FMT(name)) <
                   64;
    }
    return false;
}

/* How DeviceAllow= says it; false: it cannot, and our own rules alone do. */
static bool device_name(const DeviceRule *d, StrView devices, char ret[static 64])
{
    bool block = d->type == BPF_DEVCG_DEV_BLOCK;
    char in_sys[80];

    if (d->major == DEVICE_ANY) {
        snprintf(ret, 64, "%s-*", block ? "block" : "char");
        return d->minor == DEVICE_ANY;
    }
    if (d->minor == DEVICE_ANY)
        return unit_device_group(devices, block, d->major, ret);
    snprintf(ret, 64, "/dev/%s/%d:%d", block ? "block" : "char", (int)d->major, (int)d->minor);
    snprintf(in_sys, sizeof in_sys, "/sys%.64s", ret);
    return path_exists(AT_FDCWD, ret) || path_exists(AT_FDCWD, in_sys);
}

static void put_policy(UnitWords *w, const char *policy)
{
    unit_word(w, "DevicePolicy");
    unit_word(w, "s");
    unit_word(w, "%s", policy);
    unit_word(w, "DeviceAllow"); /* an empty list takes away what is there */
    unit_word(w, "a(ss)");
    unit_word(w, "0");
}

static void put_devices(UnitWords *w, const DeviceSet *set, StrView devices)
{
    char name[64];
    size_t n = 0;

    put_policy(w, "strict");
    for (size_t i = 0; i < set->n; i++)
        n += device_name(&set->rules[i], devices, name);
    unit_word(w, "DeviceAllow");
    unit_word(w, "a(ss)");
    unit_word(w, "%zu", n);
    for (size_t i = 0; i < set->n; i++) {
        uint32_t access = set->rules[i].access;

        if (!device_name(&set->rules[i], devices, name))
            continue;
        unit_word(w, "%s", name);
        unit_word(w, "%s%s%s", access & BPF_DEVCG_ACC_READ ? "r" : "",
                  access & BPF_DEVCG_ACC_WRITE ? "w" : "", access & BPF_DEVCG_ACC_MKNOD ? "m" : "");
    }
}

/* systemd knows no list of what is denied. Under version 1 it denies everything until our own rules
 * are written; under version 2, where its program and ours must agree, it leaves the matter to
 * ours. */
static int devices(UnitWords *w, const OciResources *r, bool v2, Err *err)
{
    _cleanup_buf_ Buf known = BUF_INIT;
    DeviceSet set = { 0 };
    int e;

    if (!r->devices.len)
        return 0;
    for (unsigned i = 0; i < r->devices.len; i++)
        if ((e = device_set_add(&set, &r->devices.items[i], err)) < 0)
            return e;
    if (set.allow) {
        put_policy(w, v2 || !set.n ? "auto" : "strict");
        return 0;
    }
    (void)!file_read(AT_FDCWD, "/proc/devices", PROC_DEVICES_MAX, &known);
    put_devices(w, &set, buf_view(&known));
    return 0;
}

/* --- limits --- */

static bool has(const OciNumber *n)
{
    return n->set && n->n;
}

/* systemd counts in percents of a CPU: what lies between is rounded up, so that a group below can
 * have what its own file says. */
static void put_quota(UnitWords *w, int64_t quota, uint64_t period)
{
    uint64_t per_s = UINT64_MAX;

    if (!quota && !period)
        return;
    if (period)
        put_u64(w, "CPUQuotaPeriodUSec", period);
    if (quota > 0) {
        double exact = (double)quota * 1e6 / (double)(period ? period : PERIOD_DEFAULT);

        per_s = exact < 1e18 ? ((uint64_t)exact + 9999) / 10000 * 10000 : UINT64_MAX;
    }
    put_u64(w, "CPUQuotaPerSecUSec", per_s);
}

int unit_cpu_bits(const char *list, uint8_t ret[static UNIT_CPUS_MAX / 8], size_t *ret_len)
{
    StrView rest = sv_cstr(list), part;
    size_t len = 0;

    memset(ret, 0, UNIT_CPUS_MAX / 8);
    while (sv_next(&rest, ',', &part)) {
        StrView first = sv_trim(part), last = first;
        uint64_t from, to;

        if (sv_empty(first))
            continue;
        if (!sv_cut(first, '-', &first, &last))
            last = first;
        if (sv_to_u64(first, &from) < 0 || sv_to_u64(last, &to) < 0 || from > to)
            return -EINVAL;
        if (to >= UNIT_CPUS_MAX)
            return -ERANGE;
        for (; from <= to; from++)
            ret[from / 8] |= (uint8_t)(1u << from % 8);
        len = MAX(len, (size_t)(to / 8 + 1));
    }
    *ret_len = len;
    return len ? 0 : -EINVAL;
}

static int put_cpus(UnitWords *w, const char *property, const char *field, const char *list,
                    Err *err)
{
    uint8_t bits[UNIT_CPUS_MAX / 8];
    size_t n = 0;
    int r;

    if (!list || !*list)
        return 0;
    if ((r = unit_cpu_bits(list, bits, &n)) < 0)
        return err_set(err, ERR_INVALID, 0,
                       "%s: '%.100s' is no list of numbers below %d for systemd", field, list,
                       UNIT_CPUS_MAX);
    unit_word(w, "%s", property);
    unit_word(w, "ay");
    unit_word(w, "%zu", n);
    for (size_t i = 0; i < n; i++)
        unit_word(w, "%u", bits[i]);
    return 0;
}

/* --- files of version 2 that are properties, too --- */

static int put_max(UnitWords *w, const char *property, StrView value)
{
    uint64_t n = UINT64_MAX;

    if (!sv_eq(value, SV("max")) && sv_to_u64(value, &n) < 0)
        return -EINVAL;
    put_u64(w, property, n);
    return 0;
}

static int put_cpu_max(UnitWords *w, StrView value)
{
    StrView quota = value, period = SV("");
    uint64_t n = 0, p = PERIOD_DEFAULT;

    if (sv_cut(value, ' ', &quota, &period) && sv_to_u64(sv_trim(period), &p) < 0)
        return -EINVAL;
    if (!sv_eq(quota, SV("max")) && (sv_to_u64(quota, &n) < 0 || n > INT64_MAX))
        return -EINVAL;
    put_quota(w, (int64_t)n, p);
    return 0;
}

/* What is no property is written to its file alone. */
static int put_unified(UnitWords *w, const OciPair *p, Err *err)
{
    static const char *const numbers[][2] = {
        { "cpu.weight", "CPUWeight" }, { "memory.high", "MemoryHigh" },
        { "memory.low", "MemoryLow" }, { "memory.max", "MemoryMax" },
        { "memory.min", "MemoryMin" }, { "memory.swap.max", "MemorySwapMax" },
        { "pids.max", "TasksMax" },
    };
    StrView value = sv_trim(sv_cstr(p->value));
    int r = 0;

    if (!strcmp(p->name, "cpuset.cpus"))
        return put_cpus(w, "AllowedCPUs", "linux.resources.unified.cpuset.cpus", p->value, err);
    if (!strcmp(p->name, "cpuset.mems"))
        return put_cpus(w, "AllowedMemoryNodes", "linux.resources.unified.cpuset.mems", p->value,
                        err);
    if (!strcmp(p->name, "cpu.max"))
        r = put_cpu_max(w, value);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (!strcmp(p->name, numbers[i][0]))
            r = put_max(w, numbers[i][1], value);
    return r < 0 ? err_set(err, ERR_INVALID, 0,
                           "unified resource \"%.60s\" value invalid: \"%.60s\"", p->name, p->value)
                 : 0;
}

/* --- all of them --- */

static int memory(UnitWords *w, const OciResources *r, bool v2, Err *err)
{
    int64_t swap = 0;
    int e;

    if (has(&r->memory.limit))
        put_u64(w, v2 ? "MemoryMax" : "MemoryLimit", (uint64_t)r->memory.limit.n);
    if (!v2)
        return 0;
    if (has(&r->memory.reservation))
        put_u64(w, "MemoryLow", (uint64_t)r->memory.reservation.n);
    if ((e = group_v2_swap(r->memory.swap.n, r->memory.limit.n, &swap, err)) < 0)
        return e;
    if (swap)
        put_u64(w, "MemorySwapMax", (uint64_t)swap);
    return 0;
}

int unit_resources(UnitWords *w, const OciResources *r, bool v2, Err *err)
{
    uint64_t shares = (uint64_t)r->cpu.shares.n;
    int e;

    if ((e = devices(w, r, v2, err)) < 0 || (e = memory(w, r, v2, err)) < 0)
        return e;
    if (has(&r->cpu.shares))
        put_u64(w, v2 ? "CPUWeight" : "CPUShares", v2 ? cgroup_weight_of_shares(shares) : shares);
    put_quota(w, r->cpu.quota.set ? r->cpu.quota.n : 0,
              r->cpu.period.set ? (uint64_t)r->cpu.period.n : 0);
    if (!v2 && has(&r->block.weight))
        put_u64(w, "BlockIOWeight", (uint64_t)r->block.weight.n);
    if (has(&r->pids_limit))
        put_u64(w, "TasksMax", r->pids_limit.n < 0 ? UINT64_MAX : (uint64_t)r->pids_limit.n);
    if ((e = put_cpus(w, "AllowedCPUs", "linux.resources.cpu.cpus", r->cpu.cpus, err)) < 0 ||
        (e = put_cpus(w, "AllowedMemoryNodes", "linux.resources.cpu.mems", r->cpu.mems, err)) < 0)
        return e;
    for (unsigned i = 0; v2 && i < r->unified.len; i++)
        if ((e = put_unified(w, &r->unified.items[i], err)) < 0)
            return e;
    return 0;
}
