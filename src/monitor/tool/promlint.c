/* promlint.c - see promlint.h. */
#include "monitor/tool/promlint.h"

#include <ctype.h>

typedef struct Lint {
    Families *families;
    const Family *family;
    StrView lower; /* the name in lower case */
    LintProblem *items;
    size_t n, cap;
    bool failed;
} Lint;

static void problem(Lint *l, StrView text)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 32;
        LintProblem *grown =
            arena_realloc(&l->families->arena, l->items, l->n * sizeof *grown, cap * sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->items = grown;
        l->cap = cap;
    }
    l->failed |= !text.ptr;
    l->items[l->n++] = (LintProblem){ l->family->name, text };
}

static void rule_help(Lint *l)
{
    if (!l->family->helped)
        problem(l, SV("no help text"));
}

static const struct {
    StrView unit, base;
} units[] = {
    { SV_INIT("amperes"), SV_INIT("amperes") }, { SV_INIT("bytes"), SV_INIT("bytes") },
    { SV_INIT("celsius"), SV_INIT("celsius") }, { SV_INIT("grams"), SV_INIT("grams") },
    { SV_INIT("joules"), SV_INIT("joules") },   { SV_INIT("kelvin"), SV_INIT("kelvin") },
    { SV_INIT("meters"), SV_INIT("meters") },   { SV_INIT("metres"), SV_INIT("metres") },
    { SV_INIT("seconds"), SV_INIT("seconds") }, { SV_INIT("volts"), SV_INIT("volts") },
    { SV_INIT("minutes"), SV_INIT("seconds") }, { SV_INIT("hours"), SV_INIT("seconds") },
    { SV_INIT("days"), SV_INIT("seconds") },    { SV_INIT("weeks"), SV_INIT("seconds") },
    { SV_INIT("kelvins"), SV_INIT("kelvin") },  { SV_INIT("fahrenheit"), SV_INIT("celsius") },
    { SV_INIT("rankine"), SV_INIT("celsius") }, { SV_INIT("inches"), SV_INIT("meters") },
    { SV_INIT("yards"), SV_INIT("meters") },    { SV_INIT("miles"), SV_INIT("meters") },
    { SV_INIT("bits"), SV_INIT("bytes") },      { SV_INIT("calories"), SV_INIT("joules") },
    { SV_INIT("pounds"), SV_INIT("grams") },    { SV_INIT("ounces"), SV_INIT("grams") },
};
static const StrView prefixes[] = {
    SV_INIT(""),      SV_INIT("pico"), SV_INIT("nano"), SV_INIT("micro"), SV_INIT("milli"),
    SV_INIT("centi"), SV_INIT("deci"), SV_INIT("deca"), SV_INIT("hecto"), SV_INIT("kilo"),
    SV_INIT("kibi"),  SV_INIT("mega"), SV_INIT("mibi"), SV_INIT("giga"),  SV_INIT("gibi"),
    SV_INIT("tera"),  SV_INIT("tebi"), SV_INIT("peta"), SV_INIT("pebi"),
};

/* The base unit of a part of a name, or empty. */
static StrView base_of(StrView word)
{
    for (unsigned p = 0; p < ARRAY_SIZE(prefixes); p++) {
        if (!sv_starts(word, prefixes[p]))
            continue;
        for (unsigned u = 0; u < ARRAY_SIZE(units); u++)
            if (sv_eq(sv_skip(word, prefixes[p].len), units[u].unit))
                return units[u].base;
    }
    return SV("");
}

static void rule_units(Lint *l)
{
    StrView rest = l->family->name, word;
    while (sv_next(&rest, '_', &word)) {
        StrView base = base_of(word);
        if (!base.len)
            continue;
        if (!sv_eq(base, word))
            problem(l,
                    arena_printf(&l->families->arena, "use base unit \"%.*s\" instead of \"%.*s\"",
                                 SV_FMT(base), SV_FMT(word)));
        return;
    }
}

static void rule_counter(Lint *l)
{
    bool total = sv_ends(l->family->name, SV("_total"));
    if (l->family->type == EXPO_COUNTER && !total)
        problem(l, SV("counter metrics should have \"_total\" suffix"));
    else if (l->family->type != EXPO_UNKNOWN && l->family->type != EXPO_COUNTER && total)
        problem(l, SV("non-counter metrics should not have \"_total\" suffix"));
}

static void rule_gauge(Lint *l)
{
    if (l->family->type != EXPO_UNKNOWN && l->family->type != EXPO_GAUGE &&
        sv_ends(l->family->name, SV("_timestamp_seconds")))
        problem(l, SV("non-gauge metrics should not have \"_timestamp_seconds\" suffix"));
}

static void rule_reserved(Lint *l)
{
    const Family *f = l->family;
    bool histogram = f->type == EXPO_HISTOGRAM_TYPE, summary = f->type == EXPO_SUMMARY;
    if (f->type == EXPO_UNKNOWN)
        return;
    if (!histogram && sv_ends(f->name, SV("_bucket")))
        problem(l, SV("non-histogram metrics should not have \"_bucket\" suffix"));
    if (!histogram && !summary && sv_ends(f->name, SV("_count")))
        problem(l, SV("non-histogram and non-summary metrics should not have \"_count\" suffix"));
    if (!histogram && !summary && sv_ends(f->name, SV("_sum")))
        problem(l, SV("non-histogram and non-summary metrics should not have \"_sum\" suffix"));
    for (size_t i = 0; i < f->n; i++) {
        if (!histogram && labels_has(f->metrics[i].labels, SV("le")))
            problem(l, SV("non-histogram metrics should not have \"le\" label"));
        if (!summary && labels_has(f->metrics[i].labels, SV("quantile")))
            problem(l, SV("non-summary metrics should not have \"quantile\" label"));
    }
}

/* "_word_" in the name, or "_word" at its end. */
static bool has_word(StrView name, StrView word)
{
    for (size_t i = 0; i + word.len < name.len; i++) {
        StrView rest = sv_skip(name, i + 1);
        if (name.ptr[i] == '_' && sv_starts(rest, word) &&
            (rest.len == word.len || rest.ptr[word.len] == '_'))
            return true;
    }
    return false;
}

static void rule_type_in_name(Lint *l)
{
    static const StrView types[] = { SV_INIT("counter"), SV_INIT("gauge"), SV_INIT("summary"),
                                     SV_INIT("histogram"), SV_INIT("gauge_histogram") };
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
        if (has_word(l->lower, types[i]))
            problem(l,
                    arena_printf(&l->families->arena, "metric name should not include type '%.*s'",
                                 SV_FMT(types[i])));
}

static void rule_colon(Lint *l)
{
    if (sv_find_char(l->family->name, ':') >= 0)
        problem(l, SV("metric names should not contain ':'"));
}

static bool is_camel(StrView s)
{
    for (size_t i = 1; i < s.len; i++)
        if (islower((unsigned char)s.ptr[i - 1]) && isupper((unsigned char)s.ptr[i]))
            return true;
    return false;
}

static void rule_camel_case(Lint *l)
{
    const Family *f = l->family;
    if (is_camel(f->name))
        problem(l, SV("metric names should be written in 'snake_case' not 'camelCase'"));
    for (size_t i = 0; i < f->n; i++)
        for (unsigned k = 0; k < f->metrics[i].labels.len; k++)
            if (is_camel(f->metrics[i].labels.items[k].name))
                problem(l, SV("label names should be written in 'snake_case' not 'camelCase'"));
}

static void rule_abbreviation(Lint *l)
{
    static const StrView units_short[] = { SV_INIT("s"),  SV_INIT("ms"),  SV_INIT("us"),
                                           SV_INIT("ns"), SV_INIT("sec"), SV_INIT("b"),
                                           SV_INIT("kb"), SV_INIT("mb"),  SV_INIT("gb"),
                                           SV_INIT("tb"), SV_INIT("pb"),  SV_INIT("m"),
                                           SV_INIT("h"),  SV_INIT("d") };
    for (unsigned i = 0; i < ARRAY_SIZE(units_short); i++)
        if (has_word(l->lower, units_short[i]))
            problem(l, SV("metric names should not contain abbreviated units"));
}

static int metric_cmp(const void *a, const void *b)
{
    return labels_cmp(((const FamilyMetric *)a)->labels, ((const FamilyMetric *)b)->labels);
}

static void rule_duplicate(Lint *l)
{
    const Family *f = l->family;
    FamilyMetric *sorted = arena_array(&l->families->arena, FamilyMetric, f->n + 1);
    if (!sorted) {
        l->failed = true;
        return;
    }
    if (f->n)
        memcpy(sorted, f->metrics, f->n * sizeof *sorted);
    qsort(sorted, f->n, sizeof *sorted, metric_cmp);
    for (size_t i = 1; i < f->n; i++)
        if (metric_cmp(&sorted[i - 1], &sorted[i]) == 0)
            problem(l, SV("metric not unique"));
}

static void (*const rules[])(Lint *l) = {
    rule_help,         rule_units, rule_counter,    rule_gauge,        rule_reserved,
    rule_type_in_name, rule_colon, rule_camel_case, rule_abbreviation, rule_duplicate,
};

static int problem_cmp(const void *a, const void *b)
{
    const LintProblem *x = a, *y = b;
    int c = sv_cmp(x->metric, y->metric);
    return c ? c : sv_cmp(x->text, y->text);
}

int promlint(Families *f, LintProblem **ret, size_t *ret_n, Err *err)
{
    Lint l = { .families = f };
    for (size_t i = 0; i < f->n; i++) {
        char *lower = arena_alloc(&f->arena, f->items[i]->name.len + 1);
        if (!lower)
            return err_nomem(err);
        for (size_t k = 0; k < f->items[i]->name.len; k++)
            lower[k] = (char)tolower((unsigned char)f->items[i]->name.ptr[k]);
        l.family = f->items[i];
        l.lower = sv_n(lower, l.family->name.len);
        /* A family that has only a HELP or TYPE line is nothing that a target would show. */
        for (unsigned k = 0; l.family->n && k < ARRAY_SIZE(rules); k++)
            rules[k](&l);
    }
    if (l.failed)
        return err_nomem(err);
    if (l.n)
        qsort(l.items, l.n, sizeof *l.items, problem_cmp);
    *ret = l.items;
    *ret_n = l.n;
    return 0;
}
