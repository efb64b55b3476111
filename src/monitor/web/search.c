/* search.c - /api/v1/search/metric_names, label_names and label_values: names that fit what a user
 * has typed, best first where asked. The answer is lines of JSON: batches of results, then how it
 * ended. */
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"
#include "monitor/model/number.h"
#include "monitor/web/internal.h"
#include "monitor/web/search_match.h"

enum { LIMIT_DEFAULT = 100, BATCH_DEFAULT = 100, TERMS_MAX = 32, SCRATCH_MAX = 64 << 20 };

typedef enum Order { BY_NAME, BY_NAME_DOWN, BY_SCORE } Order;

typedef struct Hit {
    StrView name;
    double score;
} Hit;

typedef struct Search {
    Call *call;
    const char *member; /* "name" or "value" */
    int64_t start, end, limit, batch;
    SearchFilter filter;
    Order order;
    bool with_score, with_metadata;
    CallMatchers matchers;
    VEC(Hit) hits;
    Arena metadata_arena;
    Map metadata; /* name of a metric -> Value */
} Search;

/* ---- what was asked ---- */

static bool flag(Call *c, const char *name, bool preset, bool *ret)
{
    StrView v = call_param(c, sv_cstr(name));
    *ret = preset;
    return !v.len || bool_param_parse(v, ret) == 0 ||
           api_error(c, API_BAD_DATA, "invalid %s \"%.*s\": must be boolean", name, SV_FMT(v));
}

static bool positive(Call *c, const char *name, int64_t preset, int64_t *ret)
{
    StrView v = call_param(c, sv_cstr(name));
    *ret = preset;
    return !v.len || (sv_to_i64(v, ret) == 0 && *ret > 0) ||
           api_error(c, API_BAD_DATA, "invalid %s \"%.*s\": must be a positive integer", name,
                     SV_FMT(v));
}

static bool take_terms(Search *s)
{
    Call *c = s->call;
    StrView *terms = arena_array(&c->arena, StrView, TERMS_MAX), v;
    unsigned pos = 0, n = 0;
    if (!terms)
        return api_error(c, API_INTERNAL, "out of memory");
    for (; call_param_next(c, SV("search[]"), &pos, &v); n++)
        if (n < TERMS_MAX)
            terms[n] = v;
    if (n > TERMS_MAX)
        return api_error(c, API_BAD_DATA, "too many search[] terms: got %u, maximum is %d", n,
                         TERMS_MAX);
    s->filter.terms = terms;
    s->filter.n = n;
    return true;
}

static bool take_fuzz(Search *s)
{
    Call *c = s->call;
    StrView v = call_param(c, SV("fuzz_threshold")), alg = call_param(c, SV("fuzz_alg"));
    int64_t percent = 0;
    bool exact_case;
    if (v.len && (sv_to_i64(v, &percent) < 0 || percent < 0 || percent > 100))
        return api_error(c, API_BAD_DATA, "invalid fuzz_threshold \"%.*s\": must be 0-100",
                         SV_FMT(v));
    bool jaro = sv_eq(alg, SV("jarowinkler"));
    if (alg.len && !jaro && !sv_eq(alg, SV("subsequence")))
        return api_error(c, API_BAD_DATA,
                         "unsupported fuzz_alg \"%.*s\": must be one of [subsequence jarowinkler]",
                         SV_FMT(alg));
    s->filter.algorithm = jaro ? SEARCH_JARO_WINKLER : SEARCH_SUBSEQUENCE;
    s->filter.threshold = (double)percent / 100;
    if (!flag(c, "case_sensitive", true, &exact_case))
        return false;
    s->filter.fold = !exact_case;
    return flag(c, "include_score", false, &s->with_score);
}

static bool take_order(Search *s)
{
    Call *c = s->call;
    StrView by = call_param(c, SV("sort_by")), dir = call_param(c, SV("sort_dir"));
    bool score = sv_eq(by, SV("score")), down = sv_eq(dir, SV("dsc"));
    if (dir.len && !by.len)
        return api_error(c, API_BAD_DATA, "sort_dir is only valid when sort_by is set");
    if (dir.len && score)
        return api_error(c, API_BAD_DATA, "sort_dir is not supported for sort_by=score");
    if (dir.len && !down && !sv_eq(dir, SV("asc")))
        return api_error(c, API_BAD_DATA, "invalid sort_dir \"%.*s\": must be \"asc\" or \"dsc\"",
                         SV_FMT(dir));
    if (score && !s->filter.n)
        return api_error(c, API_BAD_DATA, "sort_by=score requires search[] to be set");
    if (by.len && !score && !sv_eq(by, SV("alpha")))
        return api_error(c, API_BAD_DATA,
                         "invalid sort_by \"%.*s\": must be \"alpha\" or \"score\"", SV_FMT(by));
    s->order = score ? BY_SCORE : down ? BY_NAME_DOWN : BY_NAME;
    return true;
}

static bool take_limits(Search *s)
{
    Call *c = s->call;
    int64_t max = c->web->opt.search_limit;
    if (!positive(c, "limit", max ? MIN(max, LIMIT_DEFAULT) : LIMIT_DEFAULT, &s->limit) ||
        !positive(c, "batch_size", BATCH_DEFAULT, &s->batch))
        return false;
    return !max || s->limit <= max ||
           api_error(c, API_BAD_DATA,
                     "limit %lld exceeds the configured maximum (%lld, see --web.search.max-limit)",
                     (long long)s->limit, (long long)max);
}

static bool take_params(Search *s)
{
    Call *c = s->call;
    int64_t now = clock_real_ns() / NSEC_PER_MSEC;
    if (!c->web->opt.search)
        return api_error(c, API_UNAVAILABLE, "search API disabled");
    if (!call_time(c, SV("start"), now - 3600 * 1000, &s->start) ||
        !call_time(c, SV("end"), now, &s->end))
        return false;
    if (s->end < s->start)
        return api_error(c, API_BAD_DATA, "end timestamp must not be before start timestamp");
    return call_matchers(c, true, &s->matchers) && take_terms(s) && take_fuzz(s) && take_order(s) &&
           take_limits(s);
}

/* ---- finding ---- */

static int by_name(const void *a, const void *b)
{
    return sv_cmp(((const Hit *)a)->name, ((const Hit *)b)->name);
}

static int by_name_down(const void *a, const void *b)
{
    return by_name(b, a);
}

static int by_score(const void *a, const void *b)
{
    double x = ((const Hit *)a)->score, y = ((const Hit *)b)->score;
    return x > y ? -1 : x < y ? 1 : by_name(a, b);
}

static bool find(Search *s, const StrView *label)
{
    static int (*const orders[])(const void *, const void *) = {
        [BY_NAME] = by_name, [BY_NAME_DOWN] = by_name_down, [BY_SCORE] = by_score
    };
    Call *c = s->call;
    _cleanup_arena_ Arena scratch;
    StrView *names = NULL;
    size_t n = 0;
    Err err = { 0 };
    arena_init(&scratch, SCRATCH_MAX);
    if (collect_names(c, label, s->start, s->end, &s->matchers, &names, &n, &err) < 0)
        return api_error(c, API_EXECUTION, "%s", err.msg);
    for (size_t i = 0; i < n && !call_gone(c); i++) {
        Hit hit = { .name = names[i] };
        arena_reset(&scratch);
        if (search_matches(&s->filter, hit.name, &scratch, &hit.score) && !vec_push(&s->hits, hit))
            return api_error(c, API_INTERNAL, "out of memory");
    }
    if (s->hits.len)
        qsort(s->hits.items, s->hits.len, sizeof *s->hits.items, orders[s->order]);
    return true;
}

/* ---- metadata ---- */

void prepare_search_metric_names(Call *c)
{
    const WebParts *p = &c->web->opt.parts;
    bool wanted = false;
    if (bool_param_parse(call_param(c, SV("include_metadata")), &wanted) == 0 && wanted &&
        c->web->opt.search && p->metadata)
        p->metadata(p->ctx, SV(""), -1, 1, &c->prepared);
}

/* {"metric":[{"type":…,"help":…,"unit":…}],…} */
static bool take_metadata(Search *s)
{
    Value v;
    Err err = { 0 };
    if (!s->call->prepared.len)
        return true;
    if (json_decode(buf_view(&s->call->prepared), &s->metadata_arena, NULL, &v, &err) < 0)
        return api_error(s->call, API_INTERNAL, "%s", err.msg);
    value_map_foreach (m, &v)
        if (value_is(&m->val, VALUE_LIST) && m->val.len &&
            !map_set(&s->metadata, m->key, &m->val.items[0], NULL))
            return api_error(s->call, API_INTERNAL, "out of memory");
    return true;
}

static void put_metadata(const Search *s, StrView name, Buf *out)
{
    static const char *const members[] = { "type", "help", "unit" };
    const Value *v = map_get(&s->metadata, name);
    for (size_t i = 0; v && i < ARRAY_SIZE(members); i++) {
        StrView text = value_path_str(v, members[i]);
        if (!text.len)
            continue;
        buf_printf(out, ",\"%s\":", members[i]);
        json_put_text(out, text);
    }
}

/* ---- the answer ---- */

static void put_hit(const Search *s, const Hit *h, Buf *out)
{
    buf_printf(out, "{\"%s\":", s->member);
    json_put_text(out, h->name);
    if (s->with_score) {
        buf_sv(out, SV(",\"score\":"));
        double_format_g(h->score, out);
    }
    if (s->with_metadata)
        put_metadata(s, h->name, out);
    buf_putc(out, '}');
}

/* At least one batch, be it empty. */
static void put_lines(const Search *s)
{
    Buf *out = &s->call->out;
    size_t n = MIN(s->hits.len, (size_t)s->limit);
    for (size_t i = 0; i < n || i == 0; i += (size_t)s->batch) {
        buf_sv(out, SV("{\"results\":["));
        for (size_t k = i; k < n && k - i < (size_t)s->batch; k++) {
            if (k > i)
                buf_putc(out, ',');
            put_hit(s, &s->hits.items[k], out);
        }
        buf_sv(out, SV("]}\n"));
        if (n - i <= (size_t)s->batch)
            break;
    }
    buf_printf(out, "{\"status\":\"success\",\"has_more\":%s}\n",
               s->hits.len > n ? "true" : "false");
    s->call->out_type = SV("application/x-ndjson; charset=utf-8");
}

static void search(Search *s, const StrView *label)
{
    arena_init(&s->metadata_arena, CALL_ARENA_MAX);
    if (find(s, label) && (!s->with_metadata || take_metadata(s)))
        put_lines(s);
    map_free(&s->metadata);
    arena_free(&s->metadata_arena);
    vec_free(&s->hits);
}

void serve_search_metric_names(Call *c)
{
    Search s = { .call = c, .member = "name" };
    if (take_params(&s) && flag(c, "include_metadata", false, &s.with_metadata))
        search(&s, &(const StrView)SV_INIT("__name__"));
    call_matchers_free(&s.matchers);
}

void serve_search_label_names(Call *c)
{
    Search s = { .call = c, .member = "name" };
    if (take_params(&s))
        search(&s, NULL);
    call_matchers_free(&s.matchers);
}

void serve_search_label_values(Call *c)
{
    Search s = { .call = c, .member = "value" };
    StrView label = call_param(c, SV("label"));
    if (take_params(&s) &&
        (label.len || api_error(c, API_BAD_DATA, "missing required parameter \"label\"")))
        search(&s, &label);
    call_matchers_free(&s.matchers);
}
