/* json_decode.c - JSON text to a Value in one pass.
 *
 * The members of every open container lie on one scratch stack; when a container closes they are
 * copied to the arena in one piece of the exact size. Strings without escapes are views into the
 * text. Keys that occur twice are found when a map closes: by comparing all pairs while there are
 * few, by sorting when a hostile document brings many, so that the cost stays n log n.
 */
#include <stdio.h>

#include "codec/json.h"
#include "codec/json_internal.h"

enum { SCRATCH_FIXED = 48, PAIRWISE_MAX = 16, PATH_TEXT_MAX = 1024 };

/* Where the decoder stands in an open container; on the C stack, for paths in reports. */
typedef struct Frame {
    struct Frame *up;
    StrView key;
    size_t index;
    bool is_map;
} Frame;

typedef struct Decoder {
    const char *p, *end, *text;
    Arena *arena;
    Err *err;
    const JsonOptions *opt;
    uint32_t depth, depth_max;
    const char *counted; /* up to here lines were counted; NULL: nobody wants to know */
    uint32_t line;
    Frame *frame;
    Member *stack; /* `fixed`, or on the heap once that is full */
    size_t top, cap;
    Member fixed[SCRATCH_FIXED];
} Decoder;

static int decode_value(Decoder *d, Value *ret);

/* "line 1 column 7: invalid character 'x' looking for beginning of value" */
static int fail(Decoder *d, const char *what)
{
    size_t line = 1, column = 1;

    for (const char *p = d->text; p < d->p; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    if (d->p >= d->end)
        return err_set(d->err, ERR_INVALID, 0, "line %zu column %zu: unexpected end of JSON input",
                       line, column);
    unsigned char c = (unsigned char)*d->p;
    if (c < 0x20 || c >= 0x7F)
        return err_set(d->err, ERR_INVALID, 0,
                       "line %zu column %zu: invalid character '\\x%02x' %s", line, column, c,
                       what);
    return err_set(d->err, ERR_INVALID, 0, "line %zu column %zu: invalid character '%c' %s", line,
                   column, c, what);
}

static inline void skip_space(Decoder *d)
{
    while (d->p < d->end && (*d->p == ' ' || *d->p == '\n' || *d->p == '\t' || *d->p == '\r'))
        d->p++;
}

static bool stack_grow(Decoder *d)
{
    size_t cap = d->cap * 2;
    Member *m = realloc(d->stack == d->fixed ? NULL : d->stack, cap * sizeof *m);

    if (!m)
        return false;
    if (d->stack == d->fixed)
        memcpy(m, d->fixed, sizeof d->fixed);
    d->stack = m;
    d->cap = cap;
    return true;
}

static int hex4(const char *p, const char *end, uint32_t *ret)
{
    uint32_t c = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char x = p[i];
        uint32_t digit;
        if (x >= '0' && x <= '9')
            digit = (uint32_t)(x - '0');
        else if ((x | 0x20) >= 'a' && (x | 0x20) <= 'f')
            digit = (uint32_t)((x | 0x20) - 'a' + 10);
        else
            return -1;
        c = c << 4 | digit;
    }
    *ret = c;
    return 0;
}

/* The escape behind a backslash at d->p; writes it to *out. Half surrogates become U+FFFD, as in
 * Go. */
static int unescape(Decoder *d, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;

    if (d->p >= d->end)
        return fail(d, "");
    const char *known = *d->p ? strchr(from, *d->p) : NULL;
    if (known) {
        *(*out)++ = to[known - from];
        d->p++;
        return 0;
    }
    if (*d->p != 'u')
        return fail(d, "in string escape code");
    d->p++;
    if (hex4(d->p, d->end, &c) < 0)
        return fail(d, "in \\u hexadecimal character escape");
    d->p += 4;
    if (c >= 0xD800 && c < 0xDC00 && d->end - d->p >= 6 && d->p[0] == '\\' && d->p[1] == 'u' &&
        hex4(d->p + 2, d->end, &low) == 0 && low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        d->p += 6;
    } else if (c >= 0xD800 && c < 0xE000) {
        c = 0xFFFD;
    }
    *out += utf8_put(c, *out);
    return 0;
}

/* Upper bound of the decoded length from d->p to the closing quote: a malformed byte grows to
 * three. */
static size_t string_bound(const Decoder *d)
{
    size_t n = 0;

    for (const char *p = d->p; p < d->end && *p != '"'; p++) {
        n += (unsigned char)*p >= 0x80 ? 3 : 1;
        if (*p == '\\' && p + 1 < d->end) {
            p++;
            n++;
        }
    }
    return n;
}

/* A string with escapes or malformed UTF-8; `start` to d->p is already known to be plain. */
static int decode_string_slow(Decoder *d, const char *start, StrView *ret)
{
    size_t done = (size_t)(d->p - start);
    char *copy = arena_alloc(d->arena, done + string_bound(d) + 1), *out;
    int r;

    if (!copy)
        return err_nomem(d->err);
    memcpy(copy, start, done);
    out = copy + done;
    while (d->p < d->end && *d->p != '"') {
        size_t run = json_plain_run(d->p, d->end);
        memcpy(out, d->p, run);
        out += run;
        d->p += run;
        if (d->p >= d->end || *d->p == '"')
            break;
        if (*d->p == '\\') {
            d->p++;
            if ((r = unescape(d, &out)) < 0)
                return r;
        } else if ((unsigned char)*d->p < 0x20) {
            return fail(d, "in string literal");
        } else {
            unsigned n = utf8_sequence(d->p, d->end);
            if (n > 0)
                memcpy(out, d->p, n);
            out += n ? n : utf8_put(0xFFFD, out);
            d->p += n ? n : 1;
        }
    }
    if (d->p >= d->end)
        return fail(d, "");
    d->p++;
    *ret = sv_n(copy, (size_t)(out - copy));
    return 0;
}

/* d->p stands behind the opening quote. */
static int decode_string(Decoder *d, StrView *ret)
{
    const char *start = d->p;

    for (;;) {
        d->p += json_plain_run(d->p, d->end);
        if (d->p >= d->end)
            return fail(d, "");
        unsigned char c = (unsigned char)*d->p;
        if (c == '"') {
            *ret = sv_n(start, (size_t)(d->p - start));
            d->p++;
            return 0;
        }
        if (c < 0x20)
            return fail(d, "in string literal");
        unsigned n = c == '\\' ? 0 : utf8_sequence(d->p, d->end);
        if (n == 0)
            return decode_string_slow(d, start, ret);
        d->p += n;
    }
}

static void path_text(const Frame *f, Buf *out)
{
    if (!f)
        return;
    path_text(f->up, out);
    if (f->is_map) {
        if (out->len)
            buf_putc(out, '.');
        buf_sv(out, f->key);
    } else {
        buf_printf(out, "[%zu]", f->index);
    }
}

static void report_duplicate(Decoder *d, StrView key)
{
    _cleanup_buf_ Buf path = BUF_INIT;

    if (!d->opt || !d->opt->on_duplicate)
        return;
    path.limit = PATH_TEXT_MAX;
    path_text(d->frame->up, &path);
    if (path.len)
        buf_putc(&path, '.');
    buf_sv(&path, key);
    d->opt->on_duplicate(d->opt->ctx, path.failed ? key : buf_view(&path));
}

/* Marks m[later] as a repetition of m[first]: the value moves to the first place, the later member
 * is taken out at the end. A key with a NULL pointer is the mark. */
static void merge_duplicate(Decoder *d, Member *first, Member *later)
{
    report_duplicate(d, first->key);
    first->val = later->val;
    later->key = SV_NULL;
}

static int by_key_then_place(const void *x, const void *y)
{
    const Member *a = *(Member *const *)x, *b = *(Member *const *)y;
    int r = sv_cmp(a->key, b->key);

    return r ? r : (a > b) - (a < b);
}

static int find_duplicates_sorted(Decoder *d, Member *m, size_t n, bool *ret_any)
{
    _cleanup_free_ Member **order = malloc(n * sizeof(Member *));

    if (!order)
        return err_nomem(d->err);
    for (size_t i = 0; i < n; i++)
        order[i] = &m[i];
    qsort(order, n, sizeof *order, by_key_then_place);
    for (size_t i = 1, first = 0; i < n; i++) {
        if (sv_eq(order[first]->key, order[i]->key)) {
            merge_duplicate(d, order[first], order[i]);
            *ret_any = true;
        } else {
            first = i;
        }
    }
    return 0;
}

static bool find_duplicates_pairwise(Decoder *d, Member *m, size_t n)
{
    bool any = false;

    for (size_t i = 1; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (m[j].key.len != m[i].key.len || !m[j].key.ptr || !sv_eq(m[j].key, m[i].key))
                continue;
            merge_duplicate(d, &m[j], &m[i]);
            any = true;
            break;
        }
    }
    return any;
}

static int close_map(Decoder *d, size_t base, Value *ret)
{
    Member *m = d->stack + base;
    size_t n = d->top - base;
    bool any = false;
    int r;

    if (n <= PAIRWISE_MAX)
        any = find_duplicates_pairwise(d, m, n);
    else if ((r = find_duplicates_sorted(d, m, n, &any)) < 0)
        return r;
    if (any) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (m[i].key.ptr)
                m[kept++] = m[i];
        }
        n = kept;
    }
    d->top = base;
    *ret = value_map();
    if (n == 0)
        return 0;
    ret->members = arena_alloc(d->arena, n * sizeof(Member));
    if (!ret->members)
        return err_nomem(d->err);
    memcpy(ret->members, m, n * sizeof(Member));
    ret->len = ret->cap = (uint32_t)n;
    return 0;
}

static int close_list(Decoder *d, size_t base, Value *ret)
{
    size_t n = d->top - base;

    d->top = base;
    *ret = value_list();
    if (n == 0)
        return 0;
    ret->items = arena_alloc(d->arena, n * sizeof(Value));
    if (!ret->items)
        return err_nomem(d->err);
    for (size_t i = 0; i < n; i++)
        ret->items[i] = d->stack[base + i].val;
    ret->len = ret->cap = (uint32_t)n;
    return 0;
}

/* The line that d->p is in, at most what Value.line holds. */
static uint32_t line_of(Decoder *d)
{
    for (; d->counted < d->p; d->counted++)
        d->line += *d->counted == '\n' && d->line < 0xffffff;
    return d->line;
}

/* One value onto the stack, under `key`. The slot is taken after the value's own children left. */
static int push_value(Decoder *d, StrView key)
{
    Value v = value_null();
    uint32_t line = d->counted ? line_of(d) : 0;
    int r = decode_value(d, &v);

    if (r < 0)
        return r;
    v.line = line;
    if (d->top == d->cap && !stack_grow(d))
        return err_nomem(d->err);
    d->stack[d->top++] = (Member){ key, v };
    return 0;
}

static int decode_member(Decoder *d, Frame *f)
{
    int r;

    if (d->p >= d->end || *d->p != '"')
        return fail(d, "looking for beginning of object key string");
    d->p++;
    if ((r = decode_string(d, &f->key)) < 0)
        return r;
    skip_space(d);
    if (d->p >= d->end || *d->p != ':')
        return fail(d, "after object key");
    d->p++;
    return push_value(d, f->key);
}

/* d->p stands behind the opening bracket. */
static int decode_container(Decoder *d, bool is_map, Value *ret)
{
    Frame f = { .up = d->frame, .is_map = is_map };
    size_t base = d->top;
    char closing = is_map ? '}' : ']';
    int r;

    if (++d->depth > d->depth_max)
        return err_set(d->err, ERR_LIMIT, 0, "exceeded max depth of %u", d->depth_max);
    d->frame = &f;
    skip_space(d);
    if (d->p < d->end && *d->p == closing)
        goto done;
    for (;; f.index++) {
        r = is_map ? decode_member(d, &f) : push_value(d, SV_NULL);
        if (r < 0)
            return r;
        skip_space(d);
        if (d->p < d->end && *d->p == closing)
            break;
        if (d->p >= d->end || *d->p != ',')
            return fail(d, is_map ? "after object key:value pair" : "after array element");
        d->p++;
        skip_space(d);
    }
done:
    d->p++;
    r = is_map ? close_map(d, base, ret) : close_list(d, base, ret);
    d->frame = f.up;
    d->depth--;
    return r;
}

static int decode_word(Decoder *d, StrView word, Value v, Value *ret)
{
    for (size_t i = 0; i < word.len; i++, d->p++) {
        if (d->p >= d->end || *d->p != word.ptr[i])
            return fail(d, i == 0 ? "looking for beginning of value" : "in literal");
    }
    *ret = v;
    return 0;
}

static int decode_value(Decoder *d, Value *ret)
{
    StrView s;
    const char *why;
    int r;

    skip_space(d);
    if (d->p >= d->end)
        return fail(d, "");
    switch (*d->p) {
    case '"':
        d->p++;
        if ((r = decode_string(d, &s)) < 0)
            return r;
        *ret = value_sv(s);
        return 0;
    case '{':
    case '[':
        d->p++;
        return decode_container(d, d->p[-1] == '{', ret);
    case 't':
        return decode_word(d, SV("true"), value_bool(true), ret);
    case 'f':
        return decode_word(d, SV("false"), value_bool(false), ret);
    case 'n':
        return decode_word(d, SV("null"), value_null(), ret);
    case '-':
    case '0' ... '9':
        why = json_number(&d->p, d->end, ret);
        return why ? fail(d, why) : 0;
    default:
        return fail(d, "looking for beginning of value");
    }
}

int json_decode(StrView text, Arena *a, const JsonOptions *opt, Value *ret, Err *err)
{
    Decoder d = { .p = text.ptr, .text = text.ptr, .arena = a, .err = err, .opt = opt };
    Value v = value_null();
    int r;

    if (text.len > JSON_TEXT_MAX)
        return err_set(err, ERR_LIMIT, 0, "JSON text of %zu bytes is over the limit of %d",
                       text.len, JSON_TEXT_MAX);
    d.end = text.ptr + text.len;
    d.depth_max = opt && opt->depth_max ? opt->depth_max : VALUE_DEPTH_MAX;
    d.stack = d.fixed;
    d.cap = SCRATCH_FIXED;
    if (opt && opt->lines) {
        d.counted = d.text;
        d.line = 1;
    }
    r = decode_value(&d, &v);
    v.line = d.counted != NULL;
    if (r >= 0) {
        skip_space(&d);
        if (d.p < d.end)
            r = fail(&d, "after top-level value");
    }
    if (d.stack != d.fixed)
        free(d.stack);
    if (r >= 0)
        *ret = v;
    return r;
}
