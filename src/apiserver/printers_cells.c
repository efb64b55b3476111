/* printers_cells.c - the forms that cells of Tables have, whatever the kind. */
#include "apiserver/printers_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/quantity.h"
#include "api/selector.h"
#include "base/clock.h"

/* Kubernetes' duration.HumanDuration: "5s", "3m20s", "2h", "5d". */
StrView print_duration(Arena *a, int64_t sec)
{
    if (sec < -1)
        return SV("<invalid>");
    if (sec < 0)
        return SV("0s");
    if (sec < 120)
        return arena_printf(a, "%llds", (long long)sec);
    int64_t min = sec / 60, hours = sec / 3600, days = hours / 24;
    if (min < 10)
        return sec % 60 ? arena_printf(a, "%lldm%llds", (long long)min, (long long)(sec % 60))
                        : arena_printf(a, "%lldm", (long long)min);
    if (min < 180)
        return arena_printf(a, "%lldm", (long long)min);
    if (hours < 8)
        return min % 60 ? arena_printf(a, "%lldh%lldm", (long long)hours, (long long)(min % 60))
                        : arena_printf(a, "%lldh", (long long)hours);
    if (hours < 48)
        return arena_printf(a, "%lldh", (long long)hours);
    if (hours < 192)
        return hours % 24 ? arena_printf(a, "%lldd%lldh", (long long)days, (long long)(hours % 24))
                          : arena_printf(a, "%lldd", (long long)days);
    if (days < 730)
        return arena_printf(a, "%lldd", (long long)days);
    if (days < 365 * 8 && days % 365)
        return arena_printf(a, "%lldy%lldd", (long long)(days / 365), (long long)(days % 365));
    return arena_printf(a, "%lldy", (long long)(days / 365));
}

/* Longer than this is no duration in Go: it shows its longest instead. */
static const int64_t DURATION_MAX_SEC = INT64_MAX / NSEC_PER_SEC;

StrView print_since(Arena *a, StrView rfc3339)
{
    Moment m;
    if (!rfc3339.len || moment_parse(rfc3339, &m) < 0)
        return SV("<unknown>");
    int64_t now = clock_real_ns();
    int64_t sec = now / NSEC_PER_SEC - m.sec - (now % NSEC_PER_SEC < m.nsec);
    return print_duration(a, MIN(sec, DURATION_MAX_SEC));
}

/* ---- the forms of cells ---- */

Value cell_text(StrView s)
{
    return value_sv(s.ptr ? s : SV(""));
}

StrView cell_or_none(StrView s)
{
    return s.len ? s : SV("<none>");
}

StrView cell_take(Arena *a, Buf *b)
{
    StrView s = arena_sv(a, buf_view(b));
    buf_free(b);
    return s;
}

bool cell_of_field(const FieldColumn *rows, size_t n, StrView col, const Value *obj, Value *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (!sv_eq(rows[i].col, col))
            continue;
        const Value *v = value_path(obj, rows[i].path);
        StrView otherwise = sv_cstr(rows[i].otherwise);
        if (rows[i].form == FIELD_BOOL)
            *ret = value_bool(value_bool_or(v, false));
        else if (rows[i].form == FIELD_NUMBER)
            *ret = value_is(v, VALUE_INT) || !otherwise.ptr ? value_int(value_int_or(v, 0))
                                                            : cell_text(otherwise);
        else
            *ret = cell_text(value_str(v).len ? value_str(v) : otherwise);
        return true;
    }
    return false;
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const StrView *)a, *(const StrView *)b);
}

StrView cell_set(Arena *a, StrView *items, size_t n)
{
    Buf out = BUF_INIT;
    if (n)
        qsort(items, n, sizeof *items, by_text);
    for (size_t i = 0; i < n; i++) {
        if (i && sv_eq(items[i], items[i - 1]))
            continue;
        if (i)
            buf_putc(&out, ',');
        buf_sv(&out, items[i]);
    }
    return cell_take(a, &out);
}

StrView cell_labels(Arena *a, const Value *labels)
{
    StrView *items = arena_array(a, StrView, value_len(labels) + 1);
    size_t n = 0;
    if (!items)
        return SV_NULL;
    value_map_foreach (m, labels)
        items[n++] = arena_printf(a, "%.*s=%.*s", SV_FMT(m->key), SV_FMT(value_str(&m->val)));
    return cell_or_none(cell_set(a, items, n));
}

StrView cell_selector(Arena *a, const Value *label_selector)
{
    Selector s;
    Buf out = BUF_INIT;
    if (!label_selector)
        return SV("<none>");
    if (selector_from_object(label_selector, a, &s, NULL) < 0)
        return SV("<error>");
    selector_format(&s, &out);
    return cell_or_none(cell_take(a, &out));
}

StrView cell_quantity(Arena *a, const Value *v)
{
    ApiQuantity q = { 0 };
    return api_quantity_from(v, &q, NULL) < 0 ? value_str(v) : api_quantity_text(&q, a);
}

StrView cell_scalar(Arena *a, const Value *v, StrView otherwise)
{
    if (value_is(v, VALUE_INT))
        return arena_printf(a, "%lld", (long long)v->i);
    return value_is(v, VALUE_STRING) ? value_str(v) : otherwise;
}

bool cell_of_containers(Arena *a, StrView col, const Value *pod_spec, Value *ret)
{
    Buf out = BUF_INIT;
    StrView member = sv_eq(col, SV("Containers")) ? SV("name")
                     : sv_eq(col, SV("Images"))   ? SV("image")
                                                  : SV_NULL;
    if (!member.len)
        return false;
    value_list_foreach (c, value_get(pod_spec, SV("containers")))
        buf_printf(&out, "%s%.*s", out.len ? "," : "", SV_FMT(value_str(value_get(c, member))));
    *ret = cell_text(cell_take(a, &out));
    return true;
}

StrView cell_lower(Arena *a, StrView s)
{
    char *low = arena_alloc(a, s.len + 1);
    for (size_t i = 0; low && i < s.len; i++)
        low[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] + ('a' - 'A') : s.ptr[i]);
    return low ? sv_n(low, s.len) : SV_NULL;
}

bool cell_condition(const Value *obj, StrView type)
{
    value_list_foreach (c, value_path(obj, "status.conditions")) {
        if (sv_eq(value_str(value_get(c, SV("type"))), type))
            return sv_eq(value_str(value_get(c, SV("status"))), SV("True"));
    }
    return false;
}

StrView cell_annotation(const Value *obj, StrView key)
{
    return value_str(value_get(value_path(obj, "metadata.annotations"), key));
}

void cell_list_add(CellList *l, const char *fmt, ...)
{
    char item[512];
    va_list ap;
    if (l->n++ >= CELL_SHOWN)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(item, sizeof item, fmt, ap);
    va_end(ap);
    if (l->n > 1)
        buf_putc(&l->text, ',');
    if (n > 0)
        buf_append(&l->text, item, MIN((size_t)n, sizeof item - 1));
}

StrView cell_list_end(Arena *a, CellList *l, StrView none)
{
    if (l->n > CELL_SHOWN)
        buf_printf(&l->text, " + %u more...", l->n - CELL_SHOWN);
    StrView s = cell_take(a, &l->text);
    return s.len ? s : none;
}
