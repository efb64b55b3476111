/* dbtool_dump.c - the samples of a database as text.
 *
 * Opening a database mends its log and makes files. So a sandbox is opened instead: a folder with
 * links to the blocks and a copy of the log, which goes as soon as that is open. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "monitor/model/number.h"
#include "monitor/tool/dbtool_internal.h"
#include "monitor/tsdb/tsdb.h"

#define DB_TIME_MAX (INT64_MAX / 4) /* far enough, and can be added to */

/* ---- the sandbox ---- */

static int copy_file(const char *from, const char *to, Err *err)
{
    char chunk[64 * 1024];
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n = 0;
    int r = in < 0 || out < 0 ? -errno : 0;
    while (r == 0 && (n = read(in, chunk, sizeof chunk)) > 0)
        r = fd_write_full(out, chunk, (size_t)n);
    if (r == 0 && n < 0)
        r = -errno;
    return r < 0 ? err_neg(err, r, "copy '%s' to '%s'", from, to) : 0;
}

/* A folder of the log with its checkpoints; none is fine. */
static int copy_folder(const char *from, const char *to, Err *err)
{
    struct dirent *e;
    DIR *d;
    int r = dir_list(AT_FDCWD, from, &d), more = 0;
    if (r < 0)
        return r == -ENOENT ? 0 : err_neg(err, r, "open '%s'", from);
    if (mkdir(to, 0700) < 0)
        r = err_errno(err, "make '%s'", to);
    while (r >= 0 && (more = dir_next(d, &e)) > 0) {
        char a[PATH_MAX], b[PATH_MAX];
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        snprintf(a, sizeof a, "%.3700s/%s", from, e->d_name);
        snprintf(b, sizeof b, "%.3700s/%s", to, e->d_name);
        if (stat(a, &st) < 0)
            r = err_errno(err, "look at '%s'", a);
        else
            r = S_ISDIR(st.st_mode) ? copy_folder(a, b, err) : copy_file(a, b, err);
    }
    closedir(d);
    return more < 0 ? err_neg(err, more, "read '%s'", from) : r;
}

static int link_blocks(const char *dir, const char *sandbox, const DbBlocks *blocks, Err *err)
{
    char root[PATH_MAX];
    if (!realpath(dir, root))
        return err_errno(err, "open %s", dir);
    vec_foreach (b, blocks) {
        char from[PATH_MAX], to[PATH_MAX];
        snprintf(from, sizeof from, "%.3800s/%s", root, (*b)->meta.ulid);
        snprintf(to, sizeof to, "%.3800s/%s", sandbox, (*b)->meta.ulid);
        if (symlink(from, to) < 0)
            return err_errno(err, "link '%s'", to);
    }
    return 0;
}

static int fill_sandbox(const char *dir, const char *sandbox, const DbBlocks *blocks, Err *err)
{
    static const char *const logs[] = { "wal", "wbl" };
    int r = link_blocks(dir, sandbox, blocks, err);
    for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(logs); i++) {
        char from[PATH_MAX], to[PATH_MAX];
        snprintf(from, sizeof from, "%.3800s/%s", dir, logs[i]);
        snprintf(to, sizeof to, "%.3800s/%s", sandbox, logs[i]);
        r = copy_folder(from, to, err);
    }
    return r;
}

/* ---- what is written of a series ---- */

/* Labels without spaces, the metric's name in front. */
void db_put_openmetrics_labels(Labels l, Buf *out)
{
    bool first = true;
    buf_sv(out, labels_get(l, LABEL_METRIC_NAME));
    buf_putc(out, '{');
    for (unsigned i = 0; i < l.len; i++) {
        if (sv_eq(l.items[i].name, LABEL_METRIC_NAME))
            continue;
        if (!first)
            buf_putc(out, ',');
        first = false;
        buf_sv(out, l.items[i].name);
        buf_putc(out, '=');
        text_quote(l.items[i].value, out);
    }
    buf_putc(out, '}');
}

static void put_samples(Labels l, const SampleCols *c, TsdbDumpFormat format, Buf *out)
{
    _cleanup_buf_ Buf name = BUF_INIT;
    bool openmetrics = format == TSDB_DUMP_OPENMETRICS;
    if (openmetrics)
        db_put_openmetrics_labels(l, &name);
    else
        labels_format_set(l, &name);
    for (size_t i = 0; i < c->len; i++) {
        const Histogram *h = c->h ? c->h[i] : NULL;
        if (openmetrics && (h || is_stale_nan(c->v[i])))
            continue;
        buf_sv(out, buf_view(&name));
        buf_putc(out, ' ');
        if (h)
            histogram_format(h, out);
        else
            double_format_g(c->v[i], out);
        if (openmetrics)
            buf_printf(out, " %.3f\n", (double)c->t[i] / 1000);
        else
            buf_printf(out, " %lld\n", (long long)c->t[i]);
    }
    out->failed |= name.failed;
}

static int put_series(const ToolIo *io, const TsdbDumpOptions *o, Labels l, const SampleCols *c,
                      Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    if (!c->len)
        return 0;
    if (o->format == TSDB_DUMP_SERIES_JSON) {
        tool_json_labels(l, &out);
        buf_putc(&out, '\n');
    } else {
        put_samples(l, c, o->format, &out);
    }
    if (out.failed)
        return err_nomem(err);
    if (fwrite(buf_view(&out).ptr, 1, out.len, io->out) != out.len)
        return err_errno(err, "write the dump");
    return 0;
}

/* ---- series of several selections, each once ---- */

typedef struct Selection {
    SeriesSet *set;
    PromqlExpr *expr;
    SampleCols cols;
    Labels labels;
    bool more;
} Selection;

static int advance(Querier *q, Selection *s, Err *err)
{
    int r = q->ops->next(s->set, &s->labels, &s->cols, err);
    s->more = r > 0;
    return r;
}

static int merge(const ToolIo *io, const TsdbDumpOptions *o, Querier *q, Selection *all, unsigned n,
                 Err *err)
{
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < n; i++)
        r = advance(q, &all[i], err);
    while (r >= 0) {
        Selection *first = NULL;
        for (unsigned i = 0; i < n; i++)
            if (all[i].more && (!first || labels_cmp(all[i].labels, first->labels) < 0))
                first = &all[i];
        if (!first)
            return 0;
        r = put_series(io, o, first->labels, &first->cols, err);
        for (unsigned i = 0; r >= 0 && i < n; i++)
            if (&all[i] != first && all[i].more && labels_eq(all[i].labels, first->labels))
                r = advance(q, &all[i], err);
        if (r >= 0)
            r = advance(q, first, err);
    }
    return r;
}

static int dump(const ToolIo *io, const TsdbDumpOptions *o, Querier *q, bool sorted, Err *err)
{
    unsigned n = MAX(o->n_matches, 1u); /* without a selector one that has no matchers */
    _cleanup_arena_ Arena a;
    Selection all[DB_SELECTORS_MAX] = { 0 };
    SelectHints hints = { .start = MAX(o->min_time, -DB_TIME_MAX),
                          .end = MIN(o->max_time, DB_TIME_MAX),
                          .sorted = sorted || n > 1 };
    int r = 0;
    arena_init(&a, 0);
    if (n > DB_SELECTORS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d selectors", DB_SELECTORS_MAX);
    for (unsigned i = 0; r >= 0 && i < n; i++) {
        const Matcher *ms = NULL;
        unsigned n_ms = 0;
        sample_cols_init(&all[i].cols);
        if (o->n_matches)
            r = db_selector(o->matches[i], &a, &all[i].expr, &ms, &n_ms, err);
        if (r >= 0)
            r = q->ops->select(q, &hints, ms, n_ms, &all[i].set, err);
    }
    if (r >= 0)
        r = merge(io, o, q, all, n, err);
    for (unsigned i = 0; i < n; i++) {
        q->ops->set_free(all[i].set);
        promql_expr_free(all[i].expr);
        sample_cols_free(&all[i].cols);
    }
    return r;
}

/* Removes the sandbox, whatever it returns. */
static int dump_sandbox(const ToolIo *io, const TsdbDumpOptions *o, const char *sandbox,
                        const DbBlocks *blocks, Err *err)
{
    const TsdbOptions opt = { .dir = sandbox, .retention_ms = DB_TIME_MAX, .no_lock = true };
    Tsdb *db = NULL;
    Querier *q = NULL;
    int r = fill_sandbox(o->dir, sandbox, blocks, err);
    if (r >= 0)
        r = tsdb_open(&opt, &db, err);
    if (r >= 0)
        r = tsdb_querier_new(db, MAX(o->min_time, -DB_TIME_MAX), MIN(o->max_time, DB_TIME_MAX), &q,
                             err);
    /* What is open or in memory is all that is needed: nothing stays however the dump ends. */
    int n = rm_rf(AT_FDCWD, sandbox);
    if (r >= 0 && n < 0)
        r = err_neg(err, n, "remove the sandbox '%s'", sandbox);
    if (r >= 0)
        r = dump(io, o, q, blocks->len > 0, err);
    tsdb_querier_free(q);
    tsdb_close(db);
    return r;
}

int tool_tsdb_dump(const ToolIo *io, const TsdbDumpOptions *o)
{
    DbBlocks blocks;
    char sandbox[PATH_MAX], unique[ULID_SIZE];
    Err err = { 0 };
    int r = db_open_blocks(o->dir, &blocks, &err);
    ulid_new(clock_real_ns() / NSEC_PER_MSEC, unique);
    snprintf(sandbox, sizeof sandbox, "%.3800s/tmp_dbro_sandbox-%s",
             o->sandbox_root ? o->sandbox_root : o->dir, unique);
    if (r >= 0 && mkdir(sandbox, 0700) < 0)
        r = err_errno(&err, "make the sandbox '%s' (--sandbox-dir-root says where)", sandbox);
    if (r >= 0)
        r = dump_sandbox(io, o, sandbox, &blocks, &err);
    db_close_blocks(&blocks);
    if (r >= 0 && o->format == TSDB_DUMP_OPENMETRICS)
        fputs("# EOF\n", io->out);
    return r < 0 ? tool_failed(io, &err) : TOOL_OK;
}
