/* federate.c - /federate: the newest sample of the series that match, in the text format, for
 * another Prometheus to scrape.
 *
 * Native histograms have no form in the text format and are left out, as Prometheus does for
 * clients that take text alone; those with custom bounds become classic ones. */
#include "base/vec.h"
#include "monitor/model/number.h"
#include "monitor/web/internal.h"

enum { LOOKBACK_DEFAULT_MS = 5 * 60 * 1000 };

typedef struct Found {
    Labels labels;
    StrView name;
    int64_t t;
    double v;
    const Histogram *h;
} Found;

typedef VEC(Found) FoundList;

static int gather(Call *c, Querier *q, const SelectHints *hints, const MatcherSet *s,
                  FoundList *out, Err *err)
{
    SeriesSet *set;
    SampleCols cols;
    Labels l;
    int r = q->ops->select(q, hints, s->items, s->len, &set, err);
    if (r < 0)
        return r;
    sample_cols_init(&cols);
    while ((r = q->ops->next(set, &l, &cols, err)) > 0) {
        size_t last = cols.len - 1;
        if (cols.len == 0 || is_stale_nan(cols.v[last]))
            continue;
        const Histogram *h = cols.h ? cols.h[last] : NULL;
        Found f = { .t = cols.t[last], .v = cols.v[last] };
        if (h && !histogram_is_custom(h))
            continue;
        f.h = h ? histogram_copy(h, &c->arena) : NULL;
        if ((h && !f.h) || !labels_copy(l, &c->arena, &f.labels))
            r = err_nomem(err);
        f.name = labels_get(f.labels, LABEL_METRIC_NAME);
        if (r > 0 && f.name.len && !vec_push(out, f))
            r = err_nomem(err);
        if (r < 0)
            break;
    }
    q->ops->set_free(set);
    sample_cols_free(&cols);
    return r;
}

static int by_name(const void *a, const void *b)
{
    const Found *x = a, *y = b;
    int r = sv_cmp(x->name, y->name);
    return r ? r : labels_cmp(x->labels, y->labels);
}

/* Names of UTF-8 stand quoted for those who can read that, else with underscores. */
static void put_name(Buf *out, StrView name, bool metric, bool utf8)
{
    if (metric ? metric_name_is_legacy(name) : label_name_is_legacy(name)) {
        buf_sv(out, name);
        return;
    }
    if (utf8) {
        text_quote(name, out);
        return;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      (metric && c == ':') || (i && c >= '0' && c <= '9');
        if (((unsigned char)c & 0xc0) != 0x80) /* one for each character */
            buf_putc(out, letter ? c : '_');
    }
}

typedef struct Line {
    Buf *out;
    const Found *f;
    Labels external;
    bool utf8;
} Line;

static void put_pair(const Line *l, bool *any, StrView name, StrView value)
{
    buf_putc(l->out, *any ? ',' : '{');
    *any = true;
    put_name(l->out, name, false, l->utf8);
    buf_putc(l->out, '=');
    text_quote_value(value, l->out);
}

static void put_line(const Line *l, const char *suffix, StrView le, double v)
{
    const Found *f = l->f;
    bool any = false, quoted = l->utf8 && !metric_name_is_legacy(f->name);
    if (quoted) {
        _cleanup_buf_ Buf name = BUF_INIT;
        buf_printf(&name, "%.*s%s", SV_FMT(f->name), suffix);
        buf_putc(l->out, '{');
        text_quote(buf_view(&name), l->out);
        any = true;
    } else {
        put_name(l->out, f->name, true, l->utf8);
        buf_sv(l->out, sv_cstr(suffix));
    }
    for (unsigned i = 0; i < f->labels.len; i++)
        if (!sv_eq(f->labels.items[i].name, LABEL_METRIC_NAME))
            put_pair(l, &any, f->labels.items[i].name, f->labels.items[i].value);
    for (unsigned i = 0; i < l->external.len; i++)
        if (!labels_has(f->labels, l->external.items[i].name))
            put_pair(l, &any, l->external.items[i].name, l->external.items[i].value);
    /* Without it the scraping side would put its own target there. */
    if (!labels_has(f->labels, SV("instance")) && !labels_has(l->external, SV("instance")))
        put_pair(l, &any, SV("instance"), SV(""));
    if (le.len)
        put_pair(l, &any, SV("le"), le);
    if (any)
        buf_putc(l->out, '}');
    buf_putc(l->out, ' ');
    double_format_g(v, l->out);
    buf_putc(l->out, ' ');
    buf_i64(l->out, f->t);
    buf_putc(l->out, '\n');
}

/* A native histogram with custom bounds is a classic one. */
static void put_classic(const Line *l)
{
    const Histogram *h = l->f->h;
    HistogramIter it;
    HistogramBucket b;
    double sum = 0;
    histogram_iter(h, WALK_POSITIVE, &it);
    bool more = histogram_next(&it, &b);
    for (unsigned i = 0; i < h->n_bounds; i++) {
        _cleanup_buf_ Buf le = BUF_INIT;
        for (; more && b.index <= (int32_t)i; more = histogram_next(&it, &b))
            sum += b.count;
        double_format_g(h->bounds[i], &le);
        put_line(l, "_bucket", buf_view(&le), sum);
    }
    put_line(l, "_bucket", SV("+Inf"), h->count);
    put_line(l, "_sum", SV(""), h->sum);
    put_line(l, "_count", SV(""), h->count);
}

static void put_found(Call *c, const FoundList *list)
{
    bool utf8 = sv_find(c->accept, SV("escaping=allow-utf-8")) >= 0;
    const Found *before = NULL;
    vec_foreach (f, list) {
        Line l = { &c->out, f, c->external, utf8 };
        if (before && sv_eq(before->name, f->name) && labels_eq(before->labels, f->labels))
            continue; /* matched twice */
        if (!before || !sv_eq(before->name, f->name) || !before->h != !f->h) {
            buf_sv(&c->out, SV("# TYPE "));
            put_name(&c->out, f->name, true, utf8);
            buf_sv(&c->out, f->h ? SV(" histogram\n") : SV(" untyped\n"));
        }
        before = f;
        if (f->h)
            put_classic(&l);
        else
            put_line(&l, "", SV(""), f->v);
    }
    c->out_type = utf8 ? SV("text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8")
                       : SV("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
}

void serve_federate(Call *c)
{
    CallMatchers m = { 0 };
    FoundList list = { 0 };
    Querier *q;
    Err err = { 0 };
    int64_t lookback = c->web->opt.promql.lookback_ms, now = clock_real_ns() / NSEC_PER_MSEC;
    SelectHints hints = { .start = now - (lookback ? lookback : LOOKBACK_DEFAULT_MS), .end = now };
    StrView v;
    unsigned pos = 0;
    for (; call_param_next(c, SV("match[]"), &pos, &v);) {
        PromqlExpr *e = NULL;
        const Matcher *ms;
        unsigned n;
        if (promql_parse_selector(v, &c->arena, &e, &ms, &n, &err) < 0) {
            call_text(c, 400, "%s\n", err.msg);
            return;
        }
        promql_expr_free(e);
    }
    if (!call_matchers(c, false, &m)) {
        call_matchers_free(&m);
        return;
    }
    int r = tsdb_querier_new(call_db(c), hints.start, hints.end, &q, &err);
    if (r == 0) {
        for (unsigned i = 0; r == 0 && i < m.len; i++)
            r = gather(c, q, &hints, &m.sets[i], &list, &err);
        tsdb_querier_free(q);
    }
    call_matchers_free(&m);
    if (r < 0) {
        call_text(c, 500, "%s\n", err.msg);
    } else if (list.len) {
        qsort(list.items, list.len, sizeof *list.items, by_name);
        put_found(c, &list);
    }
    c->counts.federation_failed = r < 0;
    vec_free(&list);
}
