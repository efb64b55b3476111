/* federate.c - /federate: the newest sample of the series that match, for another Prometheus to
 * scrape, in protobuf or text as it prefers.
 *
 * Native histograms have no form in the text format and are left out there, as Prometheus does;
 * those with custom bounds become classic ones. */
#include "base/metric_text.h"
#include "monitor/model/number.h"
#include "monitor/web/federate.h"
#include "monitor/web/internal.h"

enum { LOOKBACK_DEFAULT_MS = 5 * 60 * 1000 };

static int gather(Call *c, Querier *q, const SelectHints *hints, const MatcherSet *s, bool native,
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
        if (h && ((!native && !histogram_is_custom(h)) || is_stale_nan(h->sum)))
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

/* ---- the series and their order ---- */

static int kind(const Found *f)
{
    return !f->h ? 0 : f->h->hint == HINT_GAUGE ? 2 : 1;
}

static int by_family(const void *a, const void *b)
{
    const Found *x = a, *y = b;
    int r = sv_cmp(x->name, y->name);
    r = r ? r : kind(x) - kind(y);
    return r ? r : labels_cmp(x->labels, y->labels);
}

bool found_same_family(const Found *a, const Found *b)
{
    return sv_eq(a->name, b->name) && kind(a) == kind(b);
}

/* Sorts, and leaves out what was matched twice. */
static void arrange(FoundList *list)
{
    size_t kept = 0;
    if (list->len)
        qsort(list->items, list->len, sizeof *list->items, by_family);
    for (size_t i = 0; i < list->len; i++)
        if (i == 0 || !labels_eq(list->items[i].labels, list->items[kept - 1].labels))
            list->items[kept++] = list->items[i];
    list->len = kept;
}

bool found_label(const Found *f, Labels external, unsigned *pos, Label *ret)
{
    static const StrView instance = SV_INIT("instance");
    while (*pos < f->labels.len) {
        *ret = f->labels.items[(*pos)++];
        if (!sv_eq(ret->name, LABEL_METRIC_NAME))
            return true;
    }
    while (*pos < f->labels.len + external.len) {
        *ret = external.items[(*pos)++ - f->labels.len];
        if (!labels_has(f->labels, ret->name))
            return true;
    }
    if ((*pos)++ > f->labels.len + external.len || labels_has(f->labels, instance) ||
        labels_has(external, instance))
        return false;
    *ret = (Label){ instance, SV("") };
    return true;
}

/* ---- text ---- */

void federate_put_legacy(Buf *out, StrView name, bool metric)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      (metric && c == ':') || (i && c >= '0' && c <= '9');
        if (((unsigned char)c & 0xc0) != 0x80) /* one for each character */
            buf_putc(out, letter ? c : '_');
    }
}

/* Names of UTF-8 stand quoted for those who can read that. */
static void put_name(Buf *out, StrView name, bool metric, bool utf8)
{
    if (utf8 && !(metric ? metric_name_is_legacy(name) : label_name_is_legacy(name)))
        text_quote(name, out);
    else
        federate_put_legacy(out, name, metric);
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
    Label shown;
    for (unsigned pos = 0; found_label(f, l->external, &pos, &shown);)
        put_pair(l, &any, shown.name, shown.value);
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

static void put_text(Call *c, const FoundList *list, bool utf8)
{
    vec_foreach (f, list) {
        Line l = { &c->out, f, c->external, utf8 };
        if (f == list->items || !found_same_family(f - 1, f)) {
            buf_sv(&c->out, SV("# TYPE "));
            put_name(&c->out, f->name, true, utf8);
            buf_sv(&c->out, f->h ? SV(" histogram\n") : SV(" untyped\n"));
        }
        if (f->h)
            put_classic(&l);
        else
            put_line(&l, "", SV(""), f->v);
    }
}

void serve_federate(Call *c)
{
    CallMatchers m = { 0 };
    FoundList list = { 0 };
    Querier *q;
    Err err = { 0 };
    const FederateForm form = federate_negotiate(c->accept);
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
            r = gather(c, q, &hints, &m.sets[i], form.proto, &list, &err);
        tsdb_querier_free(q);
    }
    call_matchers_free(&m);
    arrange(&list);
    c->out_type = federate_type(form);
    if (r < 0)
        call_text(c, 500, "%s\n", err.msg);
    else if (form.proto)
        federate_put_proto(&c->out, &list, c->external, form.utf8);
    else
        put_text(c, &list, form.utf8);
    c->counts.federation_failed = r < 0;
    vec_free(&list);
}
