/* dbtool_rules.c - recording rules over times that are past: a server evaluates them, and what it
 * answers becomes blocks. One range of a block's length after the other is asked for and written,
 * for all rules together. */
#include <stdio.h>

#include "base/clock.h"
#include "monitor/model/number.h"
#include "monitor/rules/rulefile.h"
#include "monitor/tool/dbtool_internal.h"
#include "monitor/tool/query_internal.h"

enum { STEPS_MAX = 10000 }; /* of one question: servers have a limit of 11,000 points */
#define LATEST_MS (INT64_C(3) * 3600 * 1000) /* a server's head may hold what is newer */

typedef struct Backfill {
    const ToolIo *io;
    const TsdbRulesOptions *o;
    Server *server;
    RuleFile **files;
    int64_t start, end;
    Buf text; /* samples of one range, as OpenMetrics */
    Err *err;
} Backfill;

/* ---- one rule ---- */

/* The rule's labels win over those of the answer. */
static int rule_labels(const RuleDef *rule, const Value *metric, Arena *a, Labels *ret, Err *err)
{
    LabelsBuilder b;
    Labels own;
    int r = value_labels(metric, a, &own, err);
    if (r < 0)
        return r;
    labels_builder_init(&b, a, own);
    for (unsigned i = 0; i < rule->labels.len; i++)
        labels_builder_set(&b, rule->labels.items[i].name, rule->labels.items[i].value);
    labels_builder_set(&b, LABEL_METRIC_NAME, rule->name);
    return labels_builder_take(&b, ret) ? 0 : err_nomem(err);
}

static int put_answer(Backfill *b, const RuleDef *rule, const Value *data, Arena *a)
{
    const Value *series = value_get(data, SV("result"));
    if (!sv_eq(value_path_str(data, "resultType"), SV("matrix")) || !value_is(series, VALUE_LIST))
        return err_set(b->err, ERR_PROTO, 0, "rule result is wrong type");
    for (uint32_t i = 0; i < series->len; i++) {
        _cleanup_buf_ Buf name = BUF_INIT;
        const Value *values = value_get(&series->items[i], SV("values"));
        Labels l;
        int r = rule_labels(rule, value_get(&series->items[i], SV("metric")), a, &l, b->err);
        if (r < 0)
            return r;
        db_put_openmetrics_labels(l, &name);
        for (uint32_t k = 0; value_is(values, VALUE_LIST) && k < values->len; k++) {
            const Value *pair = &values->items[k];
            if (!value_is(pair, VALUE_LIST) || pair->len != 2)
                return err_set(b->err, ERR_PROTO, 0, "the answer has a sample that is none");
            buf_sv(&b->text, buf_view(&name));
            buf_putc(&b->text, ' ');
            double_format_g(value_number(&pair->items[1]), &b->text);
            buf_printf(&b->text, " %.3f\n", value_number(&pair->items[0]));
        }
        b->text.failed |= name.failed;
    }
    return b->text.failed ? err_nomem(b->err) : 0;
}

static int ask_rule(Backfill *b, const RuleDef *rule, int64_t step, int64_t from, int64_t to)
{
    _cleanup_buf_ Buf form = BUF_INIT;
    _cleanup_arena_ Arena a;
    Value data;
    char number[64];
    arena_init(&a, ARENA_DEFAULT_LIMIT);
    form_add(&form, SV("query"), rule->expr_text);
    snprintf(number, sizeof number, "%.3f", (double)from / 1000);
    form_add(&form, SV("start"), sv_cstr(number));
    snprintf(number, sizeof number, "%.3f", (double)to / 1000);
    form_add(&form, SV("end"), sv_cstr(number));
    snprintf(number, sizeof number, "%.3f", (double)step / 1000);
    form_add(&form, SV("step"), sv_cstr(number));
    if (form.failed)
        return err_nomem(b->err);
    int r =
        query_api(b->server, SV("/api/v1/query_range"), buf_view(&form), true, &a, &data, b->err);
    return r < 0 ? err_wrap(b->err, "rule %.*s: query range", SV_FMT(rule->name))
                 : put_answer(b, rule, &data, &a);
}

static int do_rule(Backfill *b, const RuleGroupDef *g, const RuleDef *rule, int64_t from,
                   int64_t to)
{
    int64_t step = g->interval ? g->interval : b->o->interval_ms;
    int r = 0;
    from = (from + step - 1) / step * step;
    for (; r == 0 && from <= to; from += step * STEPS_MAX)
        r = ask_rule(b, rule, step, from, MIN(to, from + step * (STEPS_MAX - 1)));
    return r;
}

/* ---- all rules, range by range ---- */

static int do_range(Backfill *b, int64_t from, int64_t to)
{
    int r = 0;
    buf_clear(&b->text);
    for (unsigned f = 0; f < b->o->n_files; f++)
        for (unsigned i = 0; i < b->files[f]->n; i++) {
            const RuleGroupDef *g = &b->files[f]->groups[i];
            for (unsigned k = 0; r == 0 && k < g->n; k++)
                if (!g->rules[k].alerting)
                    r = do_rule(b, g, &g->rules[k], from, to);
        }
    if (r < 0 || !b->text.len)
        return r;
    buf_sv(&b->text, SV("# EOF\n"));
    const TsdbImportOptions o = { .dir = b->o->dir, .block_ms = b->o->block_ms, .quiet = true };
    return b->text.failed ? err_nomem(b->err)
                          : db_import_text(b->io, &o, buf_view(&b->text), b->err);
}

static int do_all(Backfill *b)
{
    int64_t d = db_block_duration(b->o->block_ms);
    int r = 0;
    for (int64_t from = b->start; r == 0 && from <= b->end;) {
        int64_t next = from - from % d + d;
        r = do_range(b, from, MIN(next - 1, b->end));
        from = next;
    }
    return r;
}

/* ---- what is asked for ---- */

static int take_times(Backfill *b)
{
    int64_t now = clock_real_ns() / NSEC_PER_MSEC;
    b->end = now - LATEST_MS;
    if (tool_time(sv_cstr(b->o->start), &b->start, b->err) < 0)
        return err_wrap(b->err, "error parsing start time");
    if (b->o->end && tool_time(sv_cstr(b->o->end), &b->end, b->err) < 0)
        return err_wrap(b->err, "error parsing end time");
    if (b->end <= b->start)
        return err_set(b->err, ERR_INVALID, 0, "start time is not before end time");
    if (b->start < 0)
        return err_set(b->err, ERR_INVALID, 0, "start time is before 1970");
    return 0;
}

static int load_files(Backfill *b)
{
    int r = 0;
    b->files = calloc(b->o->n_files + 1u, sizeof *b->files);
    if (!b->files)
        return err_nomem(b->err);
    for (unsigned i = 0; r == 0 && i < b->o->n_files; i++)
        r = rule_file_load(b->o->files[i], b->o->features, NULL, &b->files[i], b->err);
    return r;
}

int tool_tsdb_backfill(const ToolIo *io, const TsdbRulesOptions *o)
{
    Err err = { 0 };
    Backfill b = { .io = io, .o = o, .err = &err };
    const ServerOptions server = { .url = o->url, .http_config = o->http_config };
    int r = take_times(&b);
    if (r == 0)
        r = load_files(&b);
    if (r == 0)
        r = server_new(&server, &b.server, &err);
    if (r == 0)
        r = do_all(&b);
    server_free(b.server);
    for (unsigned i = 0; b.files && i < o->n_files; i++)
        rule_file_free(b.files[i]);
    free(b.files);
    buf_free(&b.text);
    return r < 0 ? tool_failed(io, &err) : TOOL_OK;
}
