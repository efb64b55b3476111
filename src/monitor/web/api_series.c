/* api_series.c - /api/v1/series, labels and label/NAME/values. */
#include <string.h>

#include "base/vec.h"
#include "monitor/web/internal.h"

typedef struct Range {
    int64_t start, end, limit;
} Range;

static bool take_range(Call *c, Range *ret)
{
    return call_limit(c, &ret->limit) && call_time(c, SV("start"), CALL_TIME_MIN, &ret->start) &&
           call_time(c, SV("end"), CALL_TIME_MAX, &ret->end);
}

/* ---- lists of names and values ---- */

typedef struct Names {
    StrView *items;
    size_t len;
} Names;

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const StrView *)a, *(const StrView *)b);
}

static int join(Call *c, Names *to, StrView *items, size_t n, Err *err)
{
    if (to->len == 0) {
        *to = (Names){ items, n };
        return 0;
    }
    StrView *all = arena_array(&c->arena, StrView, to->len + n + 1);
    if (!all)
        return err_nomem(err);
    memcpy(all, to->items, to->len * sizeof *all);
    if (n)
        memcpy(all + to->len, items, n * sizeof *all);
    qsort(all, to->len + n, sizeof *all, by_text);
    size_t kept = 0;
    for (size_t i = 0; i < to->len + n; i++)
        if (i == 0 || !sv_eq(all[i], all[kept - 1]))
            all[kept++] = all[i];
    *to = (Names){ all, kept };
    return 0;
}

/* Names where `name` is NULL, else values; of each set of matchers, as one sorted list. */
static int collect(Call *c, const StrView *name, const Range *range, const CallMatchers *m,
                   Names *ret, Err *err)
{
    CallQuerier both;
    int r = call_querier(c, range->start, range->end, &both, err);
    if (r < 0)
        return r;
    Querier *q = both.q;
    for (unsigned i = 0; r == 0 && i < MAX(m->len, 1); i++) {
        const MatcherSet none = { 0 }, *s = m->len ? &m->sets[i] : &none;
        StrView *items = NULL;
        size_t n = 0;
        if (name)
            r = q->ops->label_values(q, *name, range->start, range->end, s->items, s->len,
                                     &c->arena, &items, &n, err);
        else
            r = q->ops->label_names(q, range->start, range->end, s->items, s->len, &c->arena,
                                    &items, &n, err);
        if (r >= 0)
            r = join(c, ret, items, n, err);
    }
    call_querier_free(&both);
    return r;
}

int collect_names(Call *c, const StrView *label, int64_t start, int64_t end, const CallMatchers *m,
                  StrView **ret, size_t *ret_n, Err *err)
{
    const Range range = { .start = start, .end = end };
    Names names = { 0 };
    int r = collect(c, label, &range, m, &names, err);
    *ret = names.items;
    *ret_n = names.len;
    return r;
}

static void serve_names(Call *c, const StrView *name)
{
    Range range;
    CallMatchers m = { 0 };
    Names names = { 0 };
    Err err = { 0 };
    StrView warning = API_TRUNCATED;
    if (!take_range(c, &range))
        return;
    if (call_matchers(c, true, &m)) {
        if (collect(c, name, &range, &m, &names, &err) < 0) {
            api_error(c, API_EXECUTION, "%s", err.msg);
        } else {
            bool cut = range.limit && names.len > (size_t)range.limit;
            size_t n = cut ? (size_t)range.limit : names.len;
            api_begin(c);
            buf_putc(&c->out, '[');
            for (size_t i = 0; i < n; i++) {
                if (i)
                    buf_putc(&c->out, ',');
                json_put_text(&c->out, names.items[i]);
            }
            buf_putc(&c->out, ']');
            api_end(c, NULL, 0, &warning, cut ? 1 : 0);
        }
    }
    call_matchers_free(&m);
}

void serve_labels(Call *c)
{
    serve_names(c, NULL);
}

static void put_rune(uint64_t r, Buf *out)
{
    if (r < 0x80) {
        buf_putc(out, (char)r);
        return;
    }
    if (r >= 0x800 && r >= 0x10000)
        buf_putc(out, (char)(0xf0 | r >> 18));
    if (r >= 0x800)
        buf_putc(out, (char)(r >= 0x10000 ? 0x80 | (r >> 12 & 0x3f) : 0xe0 | r >> 12));
    buf_putc(out, (char)(r >= 0x800 ? 0x80 | (r >> 6 & 0x3f) : 0xc0 | r >> 6));
    buf_putc(out, (char)(0x80 | (r & 0x3f)));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "U__my_2e_name": "__" is an underscore, "_HEX_" a character. What is not of that form stays as it
 * is, as in Prometheus. Source: the escaping scheme "values" of UTF-8 names. */
StrView label_unescape(StrView s, Arena *a)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    if (!sv_starts(s, SV("U__")))
        return s;
    StrView rest = sv_skip(s, 3);
    while (rest.len) {
        char c = rest.ptr[0];
        rest = sv_skip(rest, 1);
        if (c != '_') {
            buf_putc(&out, c);
            continue;
        }
        if (rest.len && rest.ptr[0] == '_') {
            buf_putc(&out, '_');
            rest = sv_skip(rest, 1);
            continue;
        }
        uint64_t rune = 0;
        size_t i = 0;
        for (; i < rest.len && i < 6 && rest.ptr[i] != '_'; i++) {
            int digit = hex_digit(rest.ptr[i]);
            if (digit < 0)
                return s;
            rune = rune << 4 | (unsigned)digit;
        }
        if (i == 0 || i == rest.len || rest.ptr[i] != '_' || rune > 0x10ffff ||
            (rune >= 0xd800 && rune < 0xe000))
            return s;
        put_rune(rune, &out);
        rest = sv_skip(rest, i + 1);
    }
    StrView copy = arena_sv(a, buf_view(&out));
    return copy.ptr ? copy : s;
}

void serve_label_values(Call *c)
{
    StrView name = label_unescape(c->arg, &c->arena);
    if (name.len == 0 || !sv_is_utf8(name)) {
        api_error(c, API_BAD_DATA, "invalid label name: \"%.*s\"", SV_FMT(name));
        return;
    }
    serve_names(c, &name);
}

/* ---- series ---- */

typedef VEC(Labels) LabelsList;

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(*(const Labels *)a, *(const Labels *)b);
}

/* One more than the limit, so that the cut is known. With several sets of matchers all are read,
 * as they have to be joined. */
static int read_series(Call *c, Querier *q, const Range *range, const MatcherSet *s, size_t most,
                       LabelsList *out, Err *err)
{
    const SelectHints hints = { .start = range->start,
                                .end = range->end,
                                .func = SV("series"),
                                .sorted = true,
                                .labels_only = true };
    SeriesSet *set;
    Labels l, copy;
    int r = q->ops->select(q, &hints, s->items, s->len, &set, err);
    if (r < 0)
        return r;
    while ((most == 0 || out->len <= most) && (r = q->ops->next(set, &l, NULL, err)) > 0) {
        if (call_gone(c))
            r = err_set(err, ERR_CLOSED, 0, "context canceled");
        else if (!labels_copy(l, &c->arena, &copy) || !vec_push(out, copy))
            r = err_nomem(err);
        if (r < 0)
            break;
    }
    q->ops->set_free(set);
    return r < 0 ? r : 0;
}

static int collect_series(Call *c, const Range *range, const CallMatchers *m, LabelsList *out,
                          Err *err)
{
    CallQuerier q;
    int r = call_querier(c, range->start, range->end, &q, err);
    if (r < 0)
        return r;
    size_t most = m->len == 1 ? (size_t)range->limit : 0;
    for (unsigned i = 0; r == 0 && i < m->len; i++)
        r = read_series(c, q.q, range, &m->sets[i], most, out, err);
    call_querier_free(&q);
    if (r < 0 || m->len < 2)
        return r;
    qsort(out->items, out->len, sizeof *out->items, by_labels);
    size_t kept = 0;
    for (size_t i = 0; i < out->len; i++)
        if (i == 0 || !labels_eq(out->items[i], out->items[kept - 1]))
            out->items[kept++] = out->items[i];
    out->len = kept;
    return 0;
}

static void put_series(Call *c, const LabelsList *list, int64_t limit)
{
    StrView warning = API_TRUNCATED;
    bool cut = limit && list->len > (size_t)limit;
    size_t n = cut ? (size_t)limit : list->len;
    api_begin(c);
    buf_putc(&c->out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(&c->out, ',');
        json_put_labels(&c->out, list->items[i]);
    }
    buf_putc(&c->out, ']');
    api_end(c, NULL, 0, &warning, cut ? 1 : 0);
}

void serve_series(Call *c)
{
    Range range;
    CallMatchers m = { 0 };
    LabelsList list = { 0 };
    Err err = { 0 };
    if (call_param(c, SV("match[]")).len == 0) {
        api_error(c, API_BAD_DATA, "no match[] parameter provided");
        return;
    }
    if (!take_range(c, &range))
        return;
    if (call_matchers(c, true, &m)) {
        if (collect_series(c, &range, &m, &list, &err) < 0)
            api_error_from(c, &err);
        else
            put_series(c, &list, range.limit);
    }
    call_matchers_free(&m);
    vec_free(&list);
}
