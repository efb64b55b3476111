/* groups_stats.c - what a container uses, in the JSON of runc's `events --stats`: its keys, their
 * order, and which of them are left out when they are zero. What cannot be read counts nothing.
 *
 * Each part is gathered from version 1 or from version 2, and written by one function. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "codec/json.h"
#include "oci/runtime/groups_internal.h"

enum {
    NSEC_PER_TICK = 10000000 /* USER_HZ is 100 */,
    RAW_MAX = 256,
    CPUS_MAX = 65536,
    PAGE_SIZES_MAX = 16
};

/* --- writing --- */

typedef struct Out {
    Buf *buf;
    bool more; /* something stands before */
} Out;

static void put_key(Out *o, const char *key)
{
    buf_printf(o->buf, "%s\"%s\":", o->more ? "," : "", key);
    o->more = true;
}

static Out open_map(Out *o, const char *key)
{
    put_key(o, key);
    buf_putc(o->buf, '{');
    return (Out){ o->buf, false };
}

static void close_map(Out *o)
{
    buf_putc(o->buf, '}');
}

static void put_always(Out *o, const char *key, uint64_t n)
{
    put_key(o, key);
    buf_u64(o->buf, n);
}

static void put_some(Out *o, const char *key, uint64_t n) /* Go's omitempty */
{
    if (n)
        put_always(o, key, n);
}

/* --- reading --- */

static bool read_text(const GroupAt *at, const char *file, Buf *out)
{
    buf_clear(out);
    return at->h && cgroup_read(at->h, at->path, file, out) >= 0;
}

static uint64_t read_u64(const GroupAt *at, const char *file)
{
    uint64_t n = 0;

    return at->h && group_read_u64(at, file, &n) >= 0 ? n : 0;
}

/* The next "key value" line of a text. */
static bool next_pair(StrView *rest, StrView *ret_key, uint64_t *ret)
{
    StrView line, value;

    while (sv_next(rest, '\n', &line))
        if (sv_cut(line, ' ', ret_key, &value) && sv_to_u64(sv_trim(value), ret) == 0)
            return true;
    return false;
}

static uint64_t pair_of(StrView text, StrView key)
{
    StrView name;
    uint64_t n;

    while (next_pair(&text, &name, &n))
        if (sv_eq(name, key))
            return n;
    return 0;
}

static GroupAt at_of(const OciGroups *g, const char *controller, const char *v2_name)
{
    GroupAt at = { 0 };

    at.h = groups_find(g, controller, &at.path);
    if (!at.h && v2_name)
        at.h = groups_find(g, v2_name, &at.path);
    return at;
}

/* --- CPU --- */

/* The numbers of one column of a file, as a list; column 0 is the first. */
static void put_column(Out *o, const char *key, const GroupAt *at, const char *file,
                       unsigned column, bool lines)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, word = SV("");
    bool any = false;

    if (!read_text(at, file, &text))
        return;
    rest = buf_view(&text);
    if (lines)
        sv_next(&rest, '\n', &line); /* the names of the columns */
    while (sv_next(&rest, lines ? '\n' : ' ', &line)) {
        uint64_t n;

        for (unsigned i = 0; i <= column; i++)
            sv_next(&line, ' ', &word);
        if (sv_to_u64(sv_trim(word), &n) < 0)
            continue;
        if (!any)
            put_key(o, key);
        buf_printf(o->buf, "%c%llu", any ? ',' : '[', (unsigned long long)n);
        any = true;
    }
    if (any)
        buf_putc(o->buf, ']');
}

static void put_usage_v1(Out *o, const GroupAt *at)
{
    _cleanup_buf_ Buf text = BUF_INIT;

    put_some(o, "total", read_u64(at, "cpuacct.usage"));
    put_column(o, "percpu", at, "cpuacct.usage_percpu", 0, false);
    put_column(o, "percpu_kernel", at, "cpuacct.usage_all", 2, true);
    put_column(o, "percpu_user", at, "cpuacct.usage_all", 1, true);
    read_text(at, "cpuacct.stat", &text);
    put_always(o, "kernel", pair_of(buf_view(&text), SV("system")) * NSEC_PER_TICK);
    put_always(o, "user", pair_of(buf_view(&text), SV("user")) * NSEC_PER_TICK);
}

static void put_cpu(Out *o, const OciGroups *g)
{
    GroupAt acct = at_of(g, "cpuacct", NULL), at = at_of(g, "cpu", NULL);
    _cleanup_buf_ Buf text = BUF_INIT;
    Out cpu = open_map(o, "cpu"), usage = open_map(&cpu, "usage"), throttling;
    bool v2 = !acct.h;

    if (!at.h) /* version 2 counts without the controller as well */
        at.h = groups_v2(g, &at.path);
    read_text(&at, "cpu.stat", &text);
    if (v2) {
        put_some(&usage, "total", pair_of(buf_view(&text), SV("usage_usec")) * 1000);
        put_always(&usage, "kernel", pair_of(buf_view(&text), SV("system_usec")) * 1000);
        put_always(&usage, "user", pair_of(buf_view(&text), SV("user_usec")) * 1000);
    } else {
        put_usage_v1(&usage, &acct);
    }
    close_map(&usage);
    throttling = open_map(&cpu, "throttling");
    put_some(&throttling, "periods", pair_of(buf_view(&text), SV("nr_periods")));
    put_some(&throttling, "throttledPeriods", pair_of(buf_view(&text), SV("nr_throttled")));
    put_some(&throttling, "throttledTime",
             at.h && at.h->v2 ? pair_of(buf_view(&text), SV("throttled_usec")) * 1000
                              : pair_of(buf_view(&text), SV("throttled_time")));
    close_map(&throttling);
    close_map(&cpu);
}

/* "0-2,5" as a list of numbers. */
static void put_set(Out *o, const char *key, const GroupAt *at, const char *file)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, range, low, high;
    unsigned count = 0;

    if (!read_text(at, file, &text) || sv_empty(sv_trim(buf_view(&text))))
        return;
    put_key(o, key);
    rest = sv_trim(buf_view(&text));
    while (sv_next(&rest, ',', &range)) {
        uint64_t from, to;

        if (!sv_cut(range, '-', &low, &high))
            high = low;
        if (sv_to_u64(low, &from) < 0 || sv_to_u64(high, &to) < 0)
            continue;
        for (uint64_t n = from; n <= to && count < CPUS_MAX; n++)
            buf_printf(o->buf, "%c%llu", count++ ? ',' : '[', (unsigned long long)n);
    }
    buf_sv(o->buf, count ? SV("]") : SV("[]"));
}

static void put_cpuset(Out *o, const OciGroups *g)
{
    static const char *const numbers[] = { "mem_hardwall",       "mem_exclusive",
                                           "memory_migrate",     "memory_spread_page",
                                           "memory_spread_slab", "memory_pressure",
                                           "sched_load_balance" };
    GroupAt at = at_of(g, "cpuset", NULL);
    _cleanup_buf_ Buf text = BUF_INIT;
    Out set = open_map(o, "cpuset");
    int64_t level = 0;
    char file[64];

    if (at.h && at.h->v2)
        at.h = NULL; /* runc says nothing of version 2's */
    put_set(&set, "cpus", &at, "cpuset.cpus");
    put_always(&set, "cpu_exclusive", read_u64(&at, "cpuset.cpu_exclusive"));
    put_set(&set, "mems", &at, "cpuset.mems");
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        snprintf(file, sizeof file, "cpuset.%s", numbers[i]);
        put_always(&set, numbers[i], read_u64(&at, file));
    }
    if (read_text(&at, "cpuset.sched_relax_domain_level", &text))
        (void)!sv_to_i64(sv_trim(buf_view(&text)), &level);
    put_key(&set, "sched_relax_domain_level");
    buf_i64(set.buf, level);
    close_map(&set);
}

/* --- memory --- */

static void put_entry(Out *o, const char *key, uint64_t limit, uint64_t usage, uint64_t max,
                      uint64_t fails)
{
    Out entry = open_map(o, key);

    put_always(&entry, "limit", limit);
    put_some(&entry, "usage", usage);
    put_some(&entry, "max", max);
    put_always(&entry, "failcnt", fails);
    close_map(&entry);
}

/* memory.usage_in_bytes and its like; `part` is "", "memsw.", "kmem." or "kmem.tcp.". */
static void put_v1(Out *o, const char *key, const GroupAt *at, const char *part)
{
    static const char *const what[] = { "limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes",
                                        "failcnt" };
    uint64_t n[ARRAY_SIZE(what)] = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
        char file[64];

        snprintf(file, sizeof file, "memory.%s%s", part, what[i]);
        n[i] = read_u64(at, file);
    }
    put_entry(o, key, n[0], n[1], n[2], n[3]);
}

/* Version 1's sums of memory and swap. */
static void put_v2(Out *o, const GroupAt *at)
{
    uint64_t usage = read_u64(at, "memory.current"), limit = read_u64(at, "memory.max");
    uint64_t swap = read_u64(at, "memory.swap.current"), most = read_u64(at, "memory.swap.max");

    put_entry(o, "usage", limit, usage, 0, 0);
    put_entry(o, "swap", most == UINT64_MAX ? most : most + limit, swap + usage, 0, 0);
    put_entry(o, "kernel", 0, 0, 0, 0);
    put_entry(o, "kernelTCP", 0, 0, 0, 0);
}

static int by_key(const void *a, const void *b)
{
    return sv_cmp(((const StrPair *)a)->name, ((const StrPair *)b)->name);
}

/* memory.stat, sorted as Go writes a map. */
static void put_raw(Out *o, StrView text)
{
    StrPair rows[RAW_MAX];
    StrView line;
    size_t n = 0;
    Out raw;

    while (n < RAW_MAX && sv_next(&text, '\n', &line))
        if (sv_cut(line, ' ', &rows[n].name, &rows[n].value))
            n++;
    if (!n)
        return;
    qsort(rows, n, sizeof *rows, by_key);
    raw = open_map(o, "raw");
    for (size_t i = 0; i < n; i++) {
        char key[64];
        uint64_t value;

        if (sv_copy_cstr(rows[i].name, key, sizeof key) &&
            sv_to_u64(sv_trim(rows[i].value), &value) == 0)
            put_always(&raw, key, value);
    }
    close_map(&raw);
}

static void put_memory(Out *o, const OciGroups *g)
{
    GroupAt at = at_of(g, "memory", NULL);
    _cleanup_buf_ Buf text = BUF_INIT;
    Out memory = open_map(o, "memory");
    bool v2 = at.h && at.h->v2;

    read_text(&at, "memory.stat", &text);
    put_some(&memory, "cache", pair_of(buf_view(&text), v2 ? SV("file") : SV("cache")));
    if (v2) {
        put_v2(&memory, &at);
    } else {
        put_v1(&memory, "usage", &at, "");
        put_v1(&memory, "swap", &at, "memsw.");
        put_v1(&memory, "kernel", &at, "kmem.");
        put_v1(&memory, "kernelTCP", &at, "kmem.tcp.");
    }
    put_raw(&memory, buf_view(&text));
    close_map(&memory);
}

/* --- processes, block devices, large pages --- */

static void put_pids(Out *o, const OciGroups *g)
{
    GroupAt at = at_of(g, "pids", NULL);
    Out pids = open_map(o, "pids");
    uint64_t limit = read_u64(&at, "pids.max");

    put_some(&pids, "current", read_u64(&at, "pids.current"));
    put_some(&pids, "limit", limit == UINT64_MAX ? 0 : limit);
    close_map(&pids);
}

static void put_block_entry(Out *o, const char *key, unsigned *count, uint64_t major,
                            uint64_t minor, StrView op, uint64_t value)
{
    Out entry;

    if (!(*count)++) {
        put_key(o, key);
        buf_putc(o->buf, '[');
    } else {
        buf_putc(o->buf, ',');
    }
    buf_putc(o->buf, '{');
    entry = (Out){ o->buf, false };
    put_some(&entry, "major", major);
    put_some(&entry, "minor", minor);
    if (op.len) {
        put_key(&entry, "op");
        json_encode_string(op, o->buf);
    }
    put_some(&entry, "value", value);
    close_map(&entry);
}

/* Lines of "8:0 Read 5" or "8:0 5"; false: there is no such file, or nothing is in it. */
static bool put_block_file(Out *o, const char *key, const GroupAt *at, const char *file)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, device, more, op, number, major, minor;
    unsigned count = 0;

    if (!read_text(at, file, &text))
        return false;
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line)) {
        uint64_t a, b, n;

        if (!sv_cut(line, ' ', &device, &more) || !sv_cut(device, ':', &major, &minor))
            continue;
        if (!sv_cut(more, ' ', &op, &number)) {
            number = more;
            op = SV("");
        }
        if (sv_to_u64(major, &a) == 0 && sv_to_u64(minor, &b) == 0 && sv_to_u64(number, &n) == 0)
            put_block_entry(o, key, &count, a, b, op, n);
    }
    if (count)
        buf_putc(o->buf, ']');
    return count > 0;
}

/* The files that the kernel's I/O schedulers have had, in runc's order: the first set of which
 * there is something is taken. */
static void put_block_v1(Out *o, const GroupAt *at)
{
    static const char *const parts[][2] = {
        { "ioServiceBytesRecursive", "io_service_bytes" },
        { "ioServicedRecursive", "io_serviced" },
        { "ioQueueRecursive", "io_queued" },
        { "ioServiceTimeRecursive", "io_service_time" },
        { "ioWaitTimeRecursive", "io_wait_time" },
        { "ioMergedRecursive", "io_merged" },
        { "ioTimeRecursive", "time" },
        { "sectorsRecursive", "sectors" },
    };
    static const char *const sets[][2] = {
        { "blkio.bfq.", "_recursive" },
        { "blkio.", "_recursive" },
        { "blkio.throttle.", "_recursive" },
        { "blkio.throttle.", "" },
    };
    bool any = false;

    for (size_t s = 0; !any && s < ARRAY_SIZE(sets); s++)
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
            char file[96];

            snprintf(file, sizeof file, "%s%s%s", sets[s][0], parts[i][1], sets[s][1]);
            any = put_block_file(o, parts[i][0], at, file) || any;
        }
}

/* "8:0 rbytes=5 wbytes=6 rios=7 …", one of the two tables that version 1 has of it. */
static void put_block_v2(Out *o, const char *key, const GroupAt *at, StrView read, StrView write)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView rest, line, device, word, name, number, major, minor;
    unsigned count = 0;

    read_text(at, "io.stat", &text);
    rest = buf_view(&text);
    while (sv_next(&rest, '\n', &line)) {
        uint64_t a, b, n;

        if (!sv_cut(line, ' ', &device, &line) || !sv_cut(device, ':', &major, &minor) ||
            sv_to_u64(major, &a) < 0 || sv_to_u64(minor, &b) < 0)
            continue;
        while (sv_next(&line, ' ', &word)) {
            bool is_read = sv_cut(word, '=', &name, &number) && sv_eq(name, read);

            if ((is_read || sv_eq(name, write)) && sv_to_u64(number, &n) == 0)
                put_block_entry(o, key, &count, a, b, is_read ? SV("Read") : SV("Write"), n);
        }
    }
    if (count)
        buf_putc(o->buf, ']');
}

static void put_block(Out *o, const OciGroups *g)
{
    GroupAt at = at_of(g, "blkio", "io");
    Out block = open_map(o, "blkio");

    if (at.h && at.h->v2) {
        put_block_v2(&block, "ioServiceBytesRecursive", &at, SV("rbytes"), SV("wbytes"));
        put_block_v2(&block, "ioServicedRecursive", &at, SV("rios"), SV("wios"));
    } else {
        put_block_v1(&block, &at);
    }
    close_map(&block);
}

static void put_page_size(Out *o, const GroupAt *at, const char *size)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Out entry = open_map(o, size);
    char file[64];

    snprintf(file, sizeof file,
             at->h->v2 ? "hugetlb.%.31s.current" : "hugetlb.%.31s.usage_in_bytes", size);
    put_some(&entry, "usage", read_u64(at, file));
    if (at->h->v2) {
        snprintf(file, sizeof file, "hugetlb.%.31s.events", size);
        read_text(at, file, &text);
        put_always(&entry, "failcnt", pair_of(buf_view(&text), SV("max")));
    } else {
        snprintf(file, sizeof file, "hugetlb.%.31s.max_usage_in_bytes", size);
        put_some(&entry, "max", read_u64(at, file));
        snprintf(file, sizeof file, "hugetlb.%.31s.failcnt", size);
        put_always(&entry, "failcnt", read_u64(at, file));
    }
    close_map(&entry);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The kernel lists its sizes as folders: hugepages-2048kB is 2MB. Sorted, as Go writes a map. */
static size_t page_sizes(char ret[PAGE_SIZES_MAX][32])
{
    static const char *const units[] = { "KB", "MB", "GB" };
    struct dirent *e;
    size_t len = 0;
    DIR *dir;

    if (dir_list(AT_FDCWD, "/sys/kernel/mm/hugepages", &dir) < 0)
        return 0;
    while (len < PAGE_SIZES_MAX && dir_next(dir, &e) > 0) {
        unsigned long long n;
        unsigned unit = 0;

        if (sscanf(e->d_name, "hugepages-%llukB", &n) != 1)
            continue;
        for (; n >= 1024 && n % 1024 == 0 && unit < 2; unit++)
            n /= 1024;
        snprintf(ret[len++], sizeof ret[0], "%llu%s", n, units[unit]);
    }
    closedir(dir);
    qsort(ret, len, sizeof ret[0], by_text);
    return len;
}

static void put_hugetlb(Out *o, const OciGroups *g)
{
    GroupAt at = at_of(g, "hugetlb", NULL);
    Out sizes = open_map(o, "hugetlb");
    char size[PAGE_SIZES_MAX][32];
    size_t len = at.h ? page_sizes(size) : 0;

    for (size_t i = 0; i < len; i++)
        put_page_size(&sizes, &at, size[i]);
    close_map(&sizes);
}

int oci_groups_stats(const OciGroups *g, Buf *out, Err *err)
{
    Out all = { out, false };

    if (!oci_groups_exist(g))
        return err_set(err, ERR_NOT_FOUND, 0, "the container has no control groups");
    buf_putc(out, '{');
    put_cpu(&all, g);
    put_cpuset(&all, g);
    put_memory(&all, g);
    put_pids(&all, g);
    put_block(&all, g);
    put_hugetlb(&all, g);
    put_key(&all, "intel_rdt");
    buf_sv(out, SV("{}"));
    put_key(&all, "network_interfaces");
    buf_sv(out, SV("null}"));
    return out->failed ? err_nomem(err) : 0;
}
