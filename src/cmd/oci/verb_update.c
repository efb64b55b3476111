/* verb_update.c - other limits for a container: by flags, or from a file in the form of
 * linux.resources. What is not said, or is 0, stays as it is, as with runc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cmd/oci/verbs.h"

static void state_freep(OciState **s)
{
    oci_state_free(*s);
}

typedef struct UpdateFlags {
    const char *resources;
    const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_share, *cpu_rt_period, *cpu_rt_runtime;
    const char *cpuset_cpus, *cpuset_mems;
    const char *memory, *memory_reservation, *memory_swap, *kernel_memory, *kernel_memory_tcp;
    const char *pids_limit;
    const char *l3_cache_schema, *mem_bw_schema;
} UpdateFlags;

/* --- values --- */

/* Go's sentence for a text that is no number. */
static int not_a_number(const char *flag, const char *fn, const char *text, int r, Err *err)
{
    return err_set(err, ERR_INVALID, 0, "invalid value for %s: strconv.%s: parsing \"%s\": %s",
                   flag, fn, text, r == -ERANGE ? "value out of range" : "invalid syntax");
}

static int read_uint(const char *flag, const char *text, OciNumber *ret, Err *err)
{
    uint64_t n;
    int r;

    if (!text || !*text)
        return 0;
    if ((r = sv_to_u64(sv_cstr(text), &n)) < 0)
        return not_a_number(flag, "ParseUint", text, r, err);
    *ret = (OciNumber){ true, (int64_t)n };
    return 0;
}

static int read_int(const char *flag, const char *text, OciNumber *ret, Err *err)
{
    int r;

    if (!text || !*text)
        return 0;
    if ((r = sv_to_i64(sv_cstr(text), &ret->n)) < 0)
        return not_a_number(flag, "ParseInt", text, r, err);
    ret->set = true;
    return 0;
}

/* What Go's command line says of a flag that wants a number. */
static int read_flag_int(const char *flag, const char *text, OciNumber *ret, Err *err)
{
    if (!text)
        return 0;
    if (sv_to_i64(sv_cstr(text), &ret->n) < 0)
        return err_set(err, ERR_INVALID, 0, "invalid value \"%s\" for flag -%s: parse error", text,
                       flag);
    ret->set = true;
    return 0;
}

/* "50M", "1.5 GiB", "1024": as docker's units have it, in powers of 1024. */
static bool parse_size(const char *text, int64_t *ret)
{
    static const char units[] = "kmgtp";
    size_t digits = strspn(text, "0123456789.");
    const char *end = text + digits, *unit;
    StrView number = sv_n(text, digits);
    double n;

    if (!digits || text[0] == '.' || sv_ends(number, SV(".")) || sv_to_double(number, &n) < 0)
        return false;
    end += *end == ' ';
    unit = *end ? strchr(units, *end | 0x20) : NULL;
    if (unit) {
        n *= (double)(UINT64_C(1) << 10 * (unit - units + 1));
        end++;
        end += (*end | 0x20) == 'i';
    }
    end += (*end | 0x20) == 'b';
    if (*end || n >= 0x1p63)
        return false;
    *ret = (int64_t)n;
    return true;
}

static int read_size(const char *flag, const char *text, OciNumber *ret, Err *err)
{
    int64_t n = -1;

    if (!text || !*text)
        return 0;
    if (strcmp(text, "-1") != 0 && !parse_size(text, &n))
        return err_set(err, ERR_INVALID, 0, "invalid value for %s: invalid size: '%s'", flag, text);
    *ret = (OciNumber){ true, n };
    return 0;
}

static int from_flags(const UpdateFlags *f, OciResources *r, Err *err)
{
    int e;

    if ((e = read_flag_int("blkio-weight", f->blkio_weight, &r->block.weight, err)) < 0 ||
        (e = read_flag_int("pids-limit", f->pids_limit, &r->pids_limit, err)) < 0 ||
        (e = read_uint("cpu-period", f->cpu_period, &r->cpu.period, err)) < 0 ||
        (e = read_uint("cpu-rt-period", f->cpu_rt_period, &r->cpu.rt_period, err)) < 0 ||
        (e = read_uint("cpu-share", f->cpu_share, &r->cpu.shares, err)) < 0 ||
        (e = read_int("cpu-quota", f->cpu_quota, &r->cpu.quota, err)) < 0 ||
        (e = read_int("cpu-rt-runtime", f->cpu_rt_runtime, &r->cpu.rt_runtime, err)) < 0 ||
        (e = read_size("memory", f->memory, &r->memory.limit, err)) < 0 ||
        (e = read_size("memory-swap", f->memory_swap, &r->memory.swap, err)) < 0 ||
        (e = read_size("kernel-memory", f->kernel_memory, &r->memory.kernel, err)) < 0 ||
        (e = read_size("kernel-memory-tcp", f->kernel_memory_tcp, &r->memory.kernel_tcp, err)) < 0)
        return e;
    if (f->cpuset_cpus && *f->cpuset_cpus)
        r->cpu.cpus = f->cpuset_cpus;
    if (f->cpuset_mems && *f->cpuset_mems)
        r->cpu.mems = f->cpuset_mems;
    return read_size("memory-reservation", f->memory_reservation, &r->memory.reservation, err);
}

static int from_file(const char *path, Arena *a, OciResources *r, Err *err)
{
    bool input = !strcmp(path, "-");
    _cleanup_close_ int file = input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_buf_ Buf text = BUF_INIT;
    int e;

    if (!input && file < 0)
        return err_errno(err, "open %s", path);
    if ((e = fd_read_all(input ? STDIN_FILENO : file, OCI_CONFIG_MAX, &text)) < 0)
        return err_neg(err, e, "read %s", input ? "standard input" : path);
    e = oci_resources_parse(buf_view(&text), input ? "standard input" : path, a, r, err);
    /* Devices stay what they were at the start: others may have added to them. */
    r->devices.len = 0;
    return e;
}

/* --- the verb --- */

static int check_rdt(const UpdateFlags *f, Err *err)
{
    if (f->l3_cache_schema && *f->l3_cache_schema)
        return err_set(err, ERR_UNSUPPORTED, 0, "Intel RDT/CAT: l3 cache schema is not enabled");
    if (f->mem_bw_schema && *f->mem_bw_schema)
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "Intel RDT/MBA: memory bandwidth schema is not enabled");
    return 0;
}

static int update(const OciGlobal *g, const char *id, const UpdateFlags *f, Arena *a, Err *err)
{
    _cleanup_(state_freep) OciState *s = NULL;
    OciResources r = { 0 };
    int e = oci_state_load(g->root, id, true, &s, err);

    if (e < 0)
        return e;
    e = f->resources && *f->resources ? from_file(f->resources, a, &r, err)
                                      : from_flags(f, &r, err);
    if (e < 0)
        return e;
    if (r.memory.kernel.n || r.memory.kernel_tcp.n)
        oci_log(g, OCI_LEVEL_WARNING, "Kernel memory settings are ignored and will be removed");
    if ((e = check_rdt(f, err)) < 0)
        return e;
    if (s->status == OCI_STOPPED)
        return err_set(err, ERR_CONFLICT, 0, "container not running");
    if (!s->groups)
        return err_set(err, ERR_UNSUPPORTED, 0, "the container has no control groups");
    return oci_groups_set(s->groups, &r, err);
}

static int parse(const OciGlobal *g, int argc, char **argv, UpdateFlags *f)
{
    const OciFlag flags[] = {
        { "resources", 'r', OCI_FLAG_TEXT, &f->resources, NULL,
          "file of linux.resources, or - for standard input; other flags are then ignored" },
        { "blkio-weight", 0, OCI_FLAG_TEXT, &f->blkio_weight, NULL,
          "Specifies per cgroup weight, range is from 10 to 1000" },
        { "cpu-period", 0, OCI_FLAG_TEXT, &f->cpu_period, NULL,
          "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default" },
        { "cpu-quota", 0, OCI_FLAG_TEXT, &f->cpu_quota, NULL,
          "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period" },
        { "cpu-share", 0, OCI_FLAG_TEXT, &f->cpu_share, NULL,
          "CPU shares (relative weight vs. other containers)" },
        { "cpu-rt-period", 0, OCI_FLAG_TEXT, &f->cpu_rt_period, NULL,
          "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default" },
        { "cpu-rt-runtime", 0, OCI_FLAG_TEXT, &f->cpu_rt_runtime, NULL,
          "CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period" },
        { "cpuset-cpus", 0, OCI_FLAG_TEXT, &f->cpuset_cpus, NULL, "CPU(s) to use" },
        { "cpuset-mems", 0, OCI_FLAG_TEXT, &f->cpuset_mems, NULL, "Memory node(s) to use" },
        { "kernel-memory", 0, OCI_FLAG_TEXT, &f->kernel_memory, NULL, "(obsolete, ignored)" },
        { "kernel-memory-tcp", 0, OCI_FLAG_TEXT, &f->kernel_memory_tcp, NULL,
          "(obsolete, ignored)" },
        { "memory", 0, OCI_FLAG_TEXT, &f->memory, NULL, "Memory limit (in bytes)" },
        { "memory-reservation", 0, OCI_FLAG_TEXT, &f->memory_reservation, NULL,
          "Memory reservation or soft_limit (in bytes)" },
        { "memory-swap", 0, OCI_FLAG_TEXT, &f->memory_swap, NULL,
          "Total memory usage (memory + swap); set '-1' to enable unlimited swap" },
        { "pids-limit", 0, OCI_FLAG_TEXT, &f->pids_limit, NULL,
          "Maximum number of pids allowed in the container" },
        { "l3-cache-schema", 0, OCI_FLAG_TEXT, &f->l3_cache_schema, NULL,
          "refused: there is no support for Intel RDT/CAT" },
        { "mem-bw-schema", 0, OCI_FLAG_TEXT, &f->mem_bw_schema, NULL,
          "refused: there is no support for Intel RDT/MBA" },
    };
    const OciVerb verb = { .name = "update",
                           .usage = "update container resource constraints",
                           .args = "<container-id>",
                           .args_min = 1,
                           .args_max = 1,
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags) };
    int n;

    return oci_flags_parse(g, &verb, argc, argv, &n);
}

int verb_update(const OciGlobal *g, int argc, char **argv)
{
    UpdateFlags f = { 0 };
    Err err = { 0 };
    Arena a;
    int r = parse(g, argc, argv, &f);

    if (r != OCI_FLAGS_OK)
        return r;
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    r = update(g, argv[1], &f, &a, &err);
    arena_free(&a);
    return r < 0 ? oci_fail(g, 1, &err) : 0;
}
