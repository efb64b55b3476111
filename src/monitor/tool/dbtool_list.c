/* dbtool_list.c - the blocks of a folder. */
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "monitor/tool/dbtool_internal.h"

static bool is_ulid(const char *name)
{
    return strlen(name) == ULID_SIZE - 1 &&
           strspn(name, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ULID_SIZE - 1;
}

static int by_time(const void *x, const void *y)
{
    const BlockMeta *a = &(*(Block *const *)x)->meta, *b = &(*(Block *const *)y)->meta;
    if (a->min != b->min)
        return a->min < b->min ? -1 : 1;
    return strcmp(a->ulid, b->ulid);
}

int db_open_blocks(const char *dir, DbBlocks *ret, Err *err)
{
    struct dirent *e;
    DIR *d;
    int r = dir_list(AT_FDCWD, dir, &d), more = 0;
    *ret = (DbBlocks){ 0 };
    if (r < 0)
        return err_neg(err, r, "open %s", dir);
    while (r >= 0 && (more = dir_next(d, &e)) > 0) {
        char path[PATH_MAX];
        Block *b;
        if (!is_ulid(e->d_name))
            continue;
        snprintf(path, sizeof path, "%.3800s/%.200s", dir, e->d_name);
        if ((r = block_open(path, &b, err)) < 0) {
            r = err_wrap(err, "unexpected corrupted block:%s", e->d_name);
        } else if (!vec_push(ret, b)) {
            block_unref(b);
            r = err_nomem(err);
        }
    }
    closedir(d);
    if (more < 0)
        r = err_neg(err, more, "read %s", dir);
    if (ret->len)
        qsort(ret->items, ret->len, sizeof *ret->items, by_time);
    return r;
}

void db_close_blocks(DbBlocks *l)
{
    vec_foreach (b, l)
        block_unref(*b);
    vec_free(l);
}

int db_selector(const char *text, Arena *a, PromqlExpr **ret, const Matcher **ret_ms,
                unsigned *ret_n, Err *err)
{
    StrView s = sv_trim(sv_cstr(text));
    int r = promql_parse_selector(s, a, ret, ret_ms, ret_n, err);
    if (r >= 0 || !sv_starts(s, SV("{")) || sv_find(sv_cstr(err->msg), SV("non-empty")) < 0)
        return r;
    /* PromQL wants a condition that not every series fulfils; every series has a name. */
    s = arena_printf(a, "{__name__!=\"\",%.*s", SV_FMT(sv_skip(s, 1)));
    return s.ptr ? promql_parse_selector(s, a, ret, ret_ms, ret_n, err) : err_nomem(err);
}

static StrView time_text(int64_t ms, bool human, Arena *a)
{
    char text[RFC3339_SIZE];
    if (!human)
        return arena_printf(a, "%lld", (long long)ms);
    rfc3339_format(ms / 1000 * NSEC_PER_SEC, 0, text);
    return arena_printf(a, "%.10s %.8s +0000 UTC", text, text + 11);
}

/* "1MiB5KiB3B". */
static StrView bytes_text(uint64_t n, bool human, Arena *a)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    if (!human || !n)
        return arena_printf(a, "%llu%s", (unsigned long long)n, human ? "B" : "");
    StrView text = SV("");
    for (unsigned i = 0; i < ARRAY_SIZE(units) && n; i++, n /= 1024)
        if (n % 1024)
            text = arena_printf(a, "%llu%s%.*s", (unsigned long long)(n % 1024), units[i],
                                SV_FMT(text));
    return text;
}

void db_print_blocks(FILE *out, const Block *const *blocks, size_t n, bool header, bool human)
{
    static const StrView heads[] = { SV_INIT("BLOCK ULID"),  SV_INIT("MIN TIME"),
                                     SV_INIT("MAX TIME"),    SV_INIT("DURATION"),
                                     SV_INIT("NUM SAMPLES"), SV_INIT("NUM CHUNKS"),
                                     SV_INIT("NUM SERIES"),  SV_INIT("SIZE") };
    const ToolTable table = { .n_columns = ARRAY_SIZE(heads), .min = 13, .padding = 2 };
    _cleanup_arena_ Arena a;
    size_t at = 0;
    arena_init(&a, 0);
    StrView *cells = arena_array(&a, StrView, (n + 1) * ARRAY_SIZE(heads));
    if (!cells)
        return;
    for (size_t i = 0; header && i < ARRAY_SIZE(heads); i++)
        cells[at++] = heads[i];
    for (size_t i = 0; i < n; i++) {
        const BlockMeta *m = &blocks[i]->meta;
        char duration[DURATION_SIZE];
        duration_format((m->max - m->min) * NSEC_PER_MSEC, duration);
        cells[at++] = sv_cstr(m->ulid);
        cells[at++] = time_text(m->min, human, &a);
        cells[at++] = time_text(m->max, human, &a);
        cells[at++] = arena_sv(&a, sv_cstr(duration));
        cells[at++] = arena_printf(&a, "%llu", (unsigned long long)m->samples);
        cells[at++] = arena_printf(&a, "%llu", (unsigned long long)m->chunks);
        cells[at++] = arena_printf(&a, "%llu", (unsigned long long)m->series);
        cells[at++] = bytes_text(blocks[i]->bytes, human, &a);
    }
    tool_table(out, &table, cells, at / ARRAY_SIZE(heads));
}

int tool_tsdb_list(const ToolIo *io, const char *dir, bool human)
{
    DbBlocks blocks;
    Err err = { 0 };
    int r = db_open_blocks(dir, &blocks, &err);
    if (r >= 0)
        db_print_blocks(io->out, (const Block *const *)blocks.items, blocks.len, true, human);
    db_close_blocks(&blocks);
    return r < 0 ? tool_failed(io, &err) : TOOL_OK;
}
