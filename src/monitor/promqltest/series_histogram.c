/* series_histogram.c - see series_histogram.h. */
#include "monitor/promqltest/series_histogram.h"

#include "monitor/promql/lex.h"
#include "monitor/promqltest/series.h"

typedef struct Side {
    double *counts;
    unsigned n;
    int64_t offset;
} Side;

typedef struct Reader {
    StrView rest;
    Arena *arena;
    Histogram *h;
    Side pos, neg;
    bool hint_given;
    Err *err;
} Reader;

static int bad(Reader *r, const char *what)
{
    return err_set(r->err, ERR_INVALID, 0, "%s in histogram description: '%.*s'", what,
                   SV_FMT(sv_head(r->rest, 40)));
}

static int read_number(Reader *r, double *ret)
{
    size_t n = 0;
    while (n < r->rest.len && !strchr(" \t]}", r->rest.ptr[n]))
        n++;
    StrView text = sv_head(r->rest, n);
    bool negative = sv_starts(text, SV("-"));
    if (negative || sv_starts(text, SV("+")))
        text = sv_skip(text, 1);
    if (!text.len || text_number(text, ret) < 0)
        return bad(r, "bad number");
    if (negative)
        *ret = -*ret;
    r->rest = sv_skip(r->rest, n);
    return 0;
}

static int read_list(Reader *r, double **ret, unsigned *ret_n)
{
    double *v = arena_array(r->arena, double, SERIES_BUCKETS_MAX);
    unsigned n = 0;
    if (!v)
        return err_nomem(r->err);
    if (!sv_starts(r->rest, SV("[")))
        return bad(r, "expected \"[\"");
    r->rest = sv_trim(sv_skip(r->rest, 1));
    while (!sv_starts(r->rest, SV("]"))) {
        if (n == SERIES_BUCKETS_MAX)
            return err_set(r->err, ERR_LIMIT, 0, "histogram has more than %d buckets",
                           SERIES_BUCKETS_MAX);
        int e = read_number(r, &v[n++]);
        if (e < 0)
            return e;
        r->rest = sv_trim(r->rest);
    }
    r->rest = sv_skip(r->rest, 1);
    *ret = v;
    *ret_n = n;
    return 0;
}

static int read_hint(Reader *r)
{
    static const StrView names[] = { SV_INIT("unknown"), SV_INIT("reset"), SV_INIT("not_reset"),
                                     SV_INIT("gauge") };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        StrView after = sv_skip(r->rest, names[i].len);
        if (!sv_starts(r->rest, names[i]) || (after.len && !strchr(" \t}", after.ptr[0])))
            continue;
        r->h->hint = (HistogramHint)i;
        r->hint_given = true;
        r->rest = after;
        return 0;
    }
    return bad(r, "unknown counter reset hint");
}

static int read_integer(Reader *r, int64_t *ret)
{
    double v;
    int e = read_number(r, &v);
    if (e < 0)
        return e;
    if (!(fabs(v) <= HISTOGRAM_INDEX_MAX) || v != trunc(v))
        return bad(r, "number is not a whole one, or too large");
    *ret = (int64_t)v;
    return 0;
}

static int read_field(Reader *r, StrView key)
{
    int64_t schema;
    unsigned n;
    double *bounds;
    int e;
    if (sv_eq(key, SV("schema"))) {
        e = read_integer(r, &schema);
        if (e >= 0 && !histogram_schema_is_valid((int32_t)schema))
            return bad(r, "invalid schema");
        r->h->schema = e < 0 ? 0 : (int32_t)schema;
        return e;
    }
    if (sv_eq(key, SV("sum")))
        return read_number(r, &r->h->sum);
    if (sv_eq(key, SV("count")))
        return read_number(r, &r->h->count);
    if (sv_eq(key, SV("z_bucket")))
        return read_number(r, &r->h->zero_count);
    if (sv_eq(key, SV("z_bucket_w")))
        return read_number(r, &r->h->zero_threshold);
    if (sv_eq(key, SV("offset")))
        return read_integer(r, &r->pos.offset);
    if (sv_eq(key, SV("n_offset")))
        return read_integer(r, &r->neg.offset);
    if (sv_eq(key, SV("buckets")))
        return read_list(r, &r->pos.counts, &r->pos.n);
    if (sv_eq(key, SV("n_buckets")))
        return read_list(r, &r->neg.counts, &r->neg.n);
    if (sv_eq(key, SV("counter_reset_hint")))
        return read_hint(r);
    if (!sv_eq(key, SV("custom_values")))
        return bad(r, "bad histogram descriptor");
    e = read_list(r, &bounds, &n);
    if (e >= 0) {
        r->h->bounds = bounds;
        r->h->n_bounds = n;
    }
    return e;
}

static int set_side(Reader *r, const Side *s, const HistogramSpan **spans, unsigned *n_spans,
                    const double **counts, unsigned *n)
{
    if (!s->n)
        return 0;
    HistogramSpan *span = arena_new(r->arena, HistogramSpan);
    if (!span)
        return err_nomem(r->err);
    *span = (HistogramSpan){ (int32_t)s->offset, s->n };
    *spans = span;
    *n_spans = 1;
    *counts = s->counts;
    *n = s->n;
    return 0;
}

int series_parse_histogram(StrView *rest, Arena *a, const Histogram **ret, bool *ret_hint_given,
                           Err *err)
{
    Reader r = { .arena = a, .h = arena_new(a, Histogram), .err = err };
    int e = 0;
    if (!r.h)
        return err_nomem(err);
    if (!sv_starts(*rest, SV("{{")))
        return err_set(err, ERR_INVALID, 0, "expected a histogram: '%.*s'",
                       SV_FMT(sv_head(*rest, 40)));
    r.rest = sv_trim(sv_skip(*rest, 2));
    while (e >= 0 && !sv_starts(r.rest, SV("}}"))) {
        ssize_t colon = sv_find_char(r.rest, ':');
        if (colon < 0)
            return bad(&r, "missing \":\"");
        StrView key = sv_head(r.rest, (size_t)colon);
        r.rest = sv_skip(r.rest, (size_t)colon + 1);
        e = read_field(&r, key);
        r.rest = sv_trim(r.rest);
    }
    if (e >= 0)
        e = set_side(&r, &r.pos, &r.h->pos_spans, &r.h->n_pos_spans, &r.h->pos, &r.h->n_pos);
    if (e >= 0)
        e = set_side(&r, &r.neg, &r.h->neg_spans, &r.h->n_neg_spans, &r.h->neg, &r.h->n_neg);
    if (e < 0)
        return e;
    *rest = sv_skip(r.rest, 2);
    *ret = r.h;
    *ret_hint_given = r.hint_given;
    return 0;
}
