/* names.c - names of metrics, units and labels, by the translation strategy. */
#include "monitor/otlp/internal.h"

static const struct {
    StrView unit, name;
} units[] = {
    { SV_INIT("d"), SV_INIT("days") },          { SV_INIT("h"), SV_INIT("hours") },
    { SV_INIT("min"), SV_INIT("minutes") },     { SV_INIT("s"), SV_INIT("seconds") },
    { SV_INIT("ms"), SV_INIT("milliseconds") }, { SV_INIT("us"), SV_INIT("microseconds") },
    { SV_INIT("ns"), SV_INIT("nanoseconds") },  { SV_INIT("By"), SV_INIT("bytes") },
    { SV_INIT("KiBy"), SV_INIT("kibibytes") },  { SV_INIT("MiBy"), SV_INIT("mebibytes") },
    { SV_INIT("GiBy"), SV_INIT("gibibytes") },  { SV_INIT("TiBy"), SV_INIT("tibibytes") },
    { SV_INIT("KBy"), SV_INIT("kilobytes") },   { SV_INIT("MBy"), SV_INIT("megabytes") },
    { SV_INIT("GBy"), SV_INIT("gigabytes") },   { SV_INIT("TBy"), SV_INIT("terabytes") },
    { SV_INIT("m"), SV_INIT("meters") },        { SV_INIT("V"), SV_INIT("volts") },
    { SV_INIT("A"), SV_INIT("amperes") },       { SV_INIT("J"), SV_INIT("joules") },
    { SV_INIT("W"), SV_INIT("watts") },         { SV_INIT("g"), SV_INIT("grams") },
    { SV_INIT("Cel"), SV_INIT("celsius") },     { SV_INIT("Hz"), SV_INIT("hertz") },
    { SV_INIT("1"), SV_INIT("") },              { SV_INIT("%"), SV_INIT("percent") },
}, per_units[] = {
    { SV_INIT("s"), SV_INIT("second") }, { SV_INIT("m"), SV_INIT("minute") },
    { SV_INIT("h"), SV_INIT("hour") },   { SV_INIT("d"), SV_INIT("day") },
    { SV_INIT("w"), SV_INIT("week") },   { SV_INIT("mo"), SV_INIT("month") },
    { SV_INIT("y"), SV_INIT("year") },
};

OtlpNaming otlp_naming(const ConfigOtlp *c)
{
    StrView s = c->translation_strategy;
    return (OtlpNaming){ .suffixes = sv_eq(s, SV("UnderscoreEscapingWithSuffixes")) ||
                                     sv_eq(s, SV("NoUTF8EscapingWithSuffixes")),
                         .utf8 = sv_eq(s, SV("NoUTF8EscapingWithSuffixes")) ||
                                 sv_eq(s, SV("NoTranslation")),
                         .label_sanitization = c->label_name_underscore_sanitization,
                         .preserve_underscores = c->label_name_preserve_multiple_underscores };
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- units ---- */

/* "By/s" is "bytes" and "second"; annotations in braces are none. */
static void split_unit(StrView unit, StrView *ret_main, StrView *ret_per)
{
    StrView main, per;
    sv_cut(unit, '/', &main, &per);
    main = sv_trim(main);
    per = sv_trim(per);
    *ret_main = sv_find_char(main, '{') >= 0 || sv_find_char(main, '}') >= 0 ? SV("") : main;
    *ret_per = sv_find_char(per, '{') >= 0 || sv_find_char(per, '}') >= 0 ? SV("") : per;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (sv_eq(*ret_main, units[i].unit)) {
            *ret_main = units[i].name;
            break;
        }
    for (size_t i = 0; i < ARRAY_SIZE(per_units); i++)
        if (sv_eq(*ret_per, per_units[i].unit)) {
            *ret_per = per_units[i].name;
            break;
        }
}

/* Only letters, digits, colons, and single underscores between them. */
static StrView clean_unit(StrView s, Arena *a)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;
    if (!out)
        return SV_NULL;
    for (size_t i = 0; i < s.len; i++) {
        bool good = is_alnum(s.ptr[i]) || s.ptr[i] == ':';
        if (good)
            out[n++] = s.ptr[i];
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    }
    return sv_n(out, n);
}

StrView otlp_unit_name(StrView unit, Arena *a)
{
    StrView main, per;
    split_unit(unit, &main, &per);
    main = clean_unit(main, a);
    per = clean_unit(per, a);
    if (!main.ptr || !per.ptr || !per.len)
        return per.ptr ? main : SV_NULL;
    return arena_printf(a, "%.*s%sper_%.*s", SV_FMT(main), main.len ? "_" : "", SV_FMT(per));
}

/* ---- metrics ---- */

typedef struct Tokens {
    StrView *items;
    size_t len;
} Tokens;

static bool tokens_have(const Tokens *t, StrView s)
{
    for (size_t i = 0; i < t->len; i++)
        if (sv_eq(t->items[i], s))
            return true;
    return false;
}

static void tokens_move_to_end(Tokens *t, StrView s)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->len; i++)
        if (!sv_eq(t->items[i], s))
            t->items[kept++] = t->items[i];
    t->items[kept++] = s;
    t->len = kept;
}

/* Runs of good characters; `underscore`: which counts as good. */
static bool tokenize(StrView name, bool underscore, Arena *a, Tokens *ret)
{
    ret->items = arena_array(a, StrView, name.len / 2 + 8);
    ret->len = 0;
    for (size_t i = 0, begin = 0; ret->items && i <= name.len; i++) {
        char c = i < name.len ? name.ptr[i] : ' ';
        if (i < name.len && (is_alnum(c) || c == ':' || (underscore && c == '_')))
            continue;
        if (i > begin)
            ret->items[ret->len++] = sv_n(name.ptr + begin, i - begin);
        begin = i + 1;
    }
    return ret->items != NULL;
}

static StrView join(const Tokens *t, Arena *a)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    for (size_t i = 0; i < t->len; i++) {
        if (i)
            buf_putc(&out, '_');
        else if (is_digit(t->items[0].ptr[0]))
            buf_putc(&out, '_');
        buf_sv(&out, t->items[i]);
    }
    return out.failed ? SV_NULL : arena_sv(a, buf_view(&out));
}

static StrView escaped_name(const OtlpNaming *n, StrView name, StrView unit, OtlpType type,
                            Arena *a)
{
    Tokens t;
    StrView main, per;
    if (!tokenize(name, !n->suffixes, a, &t))
        return SV_NULL;
    if (!n->suffixes)
        return join(&t, a);
    split_unit(unit, &main, &per);
    main = clean_unit(main, a);
    per = clean_unit(per, a);
    if (!main.ptr || !per.ptr)
        return SV_NULL;
    if (per.len && tokens_have(&t, per))
        per = SV("");
    if (per.len && sv_ends(main, SV("_")))
        main = sv_head(main, main.len - 1);
    if (main.len && !tokens_have(&t, main))
        t.items[t.len++] = main;
    if (per.len) {
        t.items[t.len++] = SV("per");
        t.items[t.len++] = per;
    }
    if (type == OTLP_COUNTER)
        tokens_move_to_end(&t, SV("total"));
    if (type == OTLP_GAUGE && sv_eq(unit, SV("1")))
        tokens_move_to_end(&t, SV("ratio"));
    return join(&t, a);
}

/* Without "_suffix", or whatever stands for the underscore, at its end. */
static StrView trim_suffix(StrView name, StrView suffix)
{
    if (!sv_ends(name, suffix) || name.len <= suffix.len + 1)
        return name;
    return sv_head(name, name.len - suffix.len - 1);
}

static StrView utf8_name(const OtlpNaming *n, StrView name, StrView unit, OtlpType type, Arena *a)
{
    StrView main, per;
    bool ratio = type == OTLP_GAUGE && sv_eq(unit, SV("1")), total = type == OTLP_COUNTER;
    if (!n->suffixes || !name.len)
        return arena_sv(a, name);
    split_unit(unit, &main, &per);
    if (ratio)
        name = trim_suffix(name, SV("ratio"));
    if (total)
        name = trim_suffix(name, SV("total"));
    if (per.len) {
        StrView whole = arena_printf(a, "per_%.*s", SV_FMT(per));
        if (!whole.ptr)
            return SV_NULL;
        name = trim_suffix(name, whole);
    }
    bool add = main.len && !sv_ends(name, main);
    return arena_printf(a, "%.*s%s%.*s%s%.*s%s%s", SV_FMT(name), add ? "_" : "",
                        SV_FMT(add ? main : SV("")), per.len ? "_per_" : "", SV_FMT(per),
                        total ? "_total" : "", ratio ? "_ratio" : "");
}

StrView otlp_metric_name(const OtlpNaming *n, StrView name, StrView unit, OtlpType type, Arena *a)
{
    return n->utf8 ? utf8_name(n, name, unit, type, a) : escaped_name(n, name, unit, type, a);
}

/* ---- labels ---- */

StrView otlp_label_name(const OtlpNaming *n, StrView name, Arena *a)
{
    if (n->utf8 || !name.len)
        return arena_sv(a, name);
    char *out = arena_alloc(a, name.len + 5);
    size_t len = 0;
    if (!out)
        return SV_NULL;
    bool reserved = sv_starts(name, SV("__")) && sv_ends(name, SV("__")) && name.len > 4;
    if (is_digit(name.ptr[0])) {
        memcpy(out, "key_", 4);
        len = 4;
    } else if (n->label_sanitization && !sv_starts(name, SV("__")) && !is_alnum(name.ptr[0])) {
        memcpy(out, "key", 3);
        len = 3;
    }
    for (size_t i = 0; i < name.len; i++) {
        bool good = is_alnum(name.ptr[i]);
        if (!good && !n->preserve_underscores && !reserved && i && len && out[len - 1] == '_')
            continue;
        if (!good && ((unsigned char)name.ptr[i] & 0xc0) == 0x80)
            continue; /* one underscore for a character, not for each of its bytes */
        out[len++] = good ? name.ptr[i] : '_';
    }
    return sv_n(out, len);
}
