/* prometheus.c - Prometheus' own template functions. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/regex.h"
#include "monitor/model/duration.h"
#include "monitor/model/number.h"
#include "base/encode.h"
#include "monitor/template/internal.h"

#define FN(name) static int name(TmplExec *x, const TmplVal *args, unsigned n, TmplVal *ret)
#define UNUSED   (void)x, (void)args, (void)n

/* What strconv.ParseFloat takes. */
static bool text_to_float(StrView s, double *ret)
{
    StrView plain = s.len && strchr("+-", s.ptr[0]) ? sv_skip(s, 1) : s;
    bool minus = s.len && s.ptr[0] == '-';
    if (sv_eq_nocase(plain, SV("nan")) && plain.len == s.len)
        *ret = NAN;
    else if (sv_eq_nocase(plain, SV("inf")) || sv_eq_nocase(plain, SV("infinity")))
        *ret = minus ? -INFINITY : INFINITY;
    else
        return tmpl_parse_float(s, ret);
    return true;
}

static int to_float(TmplExec *x, const TmplVal *v, double *ret)
{
    *ret = v->kind == TMPL_FLOAT      ? v->f
           : v->kind == TMPL_INT      ? (double)v->i
           : v->kind == TMPL_DURATION ? (double)v->i / 1e9
                                      : 0;
    if (v->kind == TMPL_FLOAT || v->kind == TMPL_INT || v->kind == TMPL_DURATION ||
        (v->kind == TMPL_STRING && text_to_float(v->s, ret)))
        return 0;
    if (v->kind == TMPL_STRING)
        return tmpl_fail(x,
                         "error calling %.*s: strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
                         SV_FMT(x->at), SV_FMT(v->s));
    return tmpl_fail(x, "error calling %.*s: can't convert %s to float", SV_FMT(x->at),
                     tmpl_type_name(v));
}

static int give(TmplExec *x, TmplVal *ret, StrView s)
{
    *ret = tmpl_string(s);
    return s.ptr ? 0 : err_nomem(x->err);
}

static int give_number(TmplExec *x, TmplVal *ret, double v, const char *unit)
{
    if (isnan(v) || isinf(v))
        return give(x, ret, isnan(v) ? SV("NaN") : v > 0 ? SV("+Inf") : SV("-Inf"));
    return give(x, ret, arena_printf(x->arena, "%.4g%s", v, unit));
}

static const char *const small_units[] = { "", "m", "u", "n", "p", "f", "a", "z", "y" };

FN(fn_humanize)
{
    static const char *const units[] = { "", "k", "M", "G", "T", "P", "E", "Z", "Y" };
    double v;
    unsigned i = 0;
    (void)n;
    if (to_float(x, &args[0], &v) < 0)
        return -(int)ERR_INVALID;
    if (v == 0 || isnan(v) || isinf(v))
        return give_number(x, ret, v, "");
    if (fabs(v) >= 1) {
        for (; i + 1 < ARRAY_SIZE(units) && fabs(v) >= 1000; i++)
            v /= 1000;
        return give_number(x, ret, v, units[i]);
    }
    for (; i + 1 < ARRAY_SIZE(small_units) && fabs(v) < 1; i++)
        v *= 1000;
    return give_number(x, ret, v, small_units[i]);
}

FN(fn_humanize1024)
{
    static const char *const units[] = { "", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi" };
    double v;
    unsigned i = 0;
    (void)n;
    if (to_float(x, &args[0], &v) < 0)
        return -(int)ERR_INVALID;
    for (; i + 1 < ARRAY_SIZE(units) && fabs(v) >= 1024 && !isinf(v); i++)
        v /= 1024;
    return give_number(x, ret, v, units[i]);
}

FN(fn_humanize_duration)
{
    double v;
    unsigned i = 0;
    char unit[8];
    (void)n;
    if (to_float(x, &args[0], &v) < 0)
        return -(int)ERR_INVALID;
    if (v == 0 || isnan(v) || isinf(v))
        return give_number(x, ret, v, "s");
    const char *sign = v < 0 ? "-" : "";
    if (fabs(v) >= 1) {
        double a = fabs(v);
        long long s = a > 9e18 ? 9000000000000000000LL : (long long)a;
        if (s >= 86400)
            return give(x, ret,
                        arena_printf(x->arena, "%s%lldd %lldh %lldm %llds", sign, s / 86400,
                                     s / 3600 % 24, s / 60 % 60, s % 60));
        if (s >= 3600)
            return give(x, ret,
                        arena_printf(x->arena, "%s%lldh %lldm %llds", sign, s / 3600, s / 60 % 60,
                                     s % 60));
        if (s >= 60)
            return give(x, ret, arena_printf(x->arena, "%s%lldm %llds", sign, s / 60, s % 60));
        return give_number(x, ret, v, "s");
    }
    for (; i + 1 < ARRAY_SIZE(small_units) && fabs(v) < 1; i++)
        v *= 1000;
    snprintf(unit, sizeof unit, "%ss", small_units[i]);
    return give_number(x, ret, v, unit);
}

FN(fn_humanize_percentage)
{
    double v;
    (void)n;
    if (to_float(x, &args[0], &v) < 0)
        return -(int)ERR_INVALID;
    if (isnan(v) || isinf(v))
        return give(x, ret, isnan(v) ? SV("NaN%") : v > 0 ? SV("+Inf%") : SV("-Inf%"));
    return give_number(x, ret, v * 100, "%");
}

static int time_of(TmplExec *x, double v, TmplVal *ret)
{
    if (isnan(v) || isinf(v))
        return tmpl_fail(x, "error calling toTime: value is NaN or Inf");
    if (fabs(v * 1e9) > 9.2e18)
        return tmpl_fail(x,
                         "error calling toTime: %g cannot be represented as a nanoseconds "
                         "timestamp since it overflows int64",
                         v);
    /* Prometheus has milliseconds. */
    *ret = (TmplVal){ .kind = TMPL_TIME, .i = (int64_t)(v * 1e9) / NSEC_PER_MSEC * NSEC_PER_MSEC };
    return 0;
}

FN(fn_to_time)
{
    double v;
    (void)n;
    return to_float(x, &args[0], &v) < 0 ? -(int)ERR_INVALID : time_of(x, v, ret);
}

FN(fn_humanize_timestamp)
{
    double v;
    TmplVal t;
    _cleanup_buf_ Buf b = BUF_INIT;
    (void)n;
    if (to_float(x, &args[0], &v) < 0)
        return -(int)ERR_INVALID;
    if (isnan(v) || isinf(v))
        return give_number(x, ret, v, "");
    if (time_of(x, v, &t) < 0)
        return -(int)ERR_INVALID;
    tmpl_print(&t, &b);
    return tmpl_take(x, &b, ret);
}

FN(fn_to_duration)
{
    double v;
    (void)n;
    if (to_float(x, &args[0], &v) < 0)
        return -(int)ERR_INVALID;
    if (!(fabs(v * 1e9) < 9.2e18))
        return tmpl_fail(x, "error calling toDuration: %g s is out of range", v);
    *ret = (TmplVal){ .kind = TMPL_DURATION, .i = (int64_t)(v * 1e9) };
    return 0;
}

FN(fn_parse_duration)
{
    int64_t ms;
    (void)n;
    bool minus = sv_starts(args[0].s, SV("-"));
    if (prom_duration_parse(minus ? sv_skip(args[0].s, 1) : args[0].s, &ms) < 0)
        return tmpl_fail(x, "error calling parseDuration: not a valid duration string: \"%.*s\"",
                         SV_FMT(args[0].s));
    *ret = tmpl_float((double)(minus ? -ms : ms) / 1000);
    return 0;
}

FN(fn_now)
{
    UNUSED;
    *ret = tmpl_float((double)x->opt->time / 1000);
    return 0;
}

FN(fn_query)
{
    Err err = { 0 };
    TemplateSample *samples = NULL;
    size_t len = 0;
    (void)n;
    if (!x->opt->query)
        return tmpl_fail(x, "error calling query: queries are not possible here");
    if (x->opt->query(x->opt->ctx, args[0].s, x->opt->time, x->arena, &samples, &len, &err) < 0)
        return tmpl_fail(x, "error calling query: %s", err.msg);
    *ret = (TmplVal){ .kind = TMPL_VECTOR, .n = (unsigned)len, .samples = samples };
    return 0;
}

FN(fn_first)
{
    (void)n;
    if (!args[0].n)
        return tmpl_fail(x, "error calling first: first() called on vector with no elements");
    *ret = (TmplVal){ .kind = TMPL_SAMPLE, .n = 1, .samples = args[0].samples };
    return 0;
}

FN(fn_label)
{
    UNUSED;
    *ret = tmpl_string(labels_get(args[1].samples->labels, args[0].s));
    return 0;
}

FN(fn_value)
{
    UNUSED;
    const TemplateSample *s = args[0].samples;
    *ret = s->h ? (TmplVal){ .kind = TMPL_HISTOGRAM, .h = s->h } : tmpl_float(s->value);
    return 0;
}

FN(fn_strvalue)
{
    UNUSED;
    *ret = tmpl_string(labels_get(args[0].samples->labels, SV("__value__")));
    return 0;
}

FN(fn_sort_by_label) /* stable */
{
    (void)n;
    unsigned len = args[1].n;
    TemplateSample *s = arena_array(x->arena, TemplateSample, len + 1);
    if (!s)
        return err_nomem(x->err);
    for (unsigned i = 0; i < len; i++) {
        StrView key = labels_get(args[1].samples[i].labels, args[0].s);
        unsigned at = i;
        if (++x->steps > TEMPLATE_STEPS_MAX)
            return err_set(x->err, ERR_LIMIT, 0, "template: too many steps");
        for (; at > 0 && sv_cmp(labels_get(s[at - 1].labels, args[0].s), key) > 0; at--)
            s[at] = s[at - 1];
        s[at] = args[1].samples[i];
    }
    *ret = (TmplVal){ .kind = TMPL_VECTOR, .n = len, .samples = s };
    return 0;
}

FN(fn_args)
{
    UNUSED;
    *ret = (TmplVal){ .kind = TMPL_ARGS, .n = n, .args = args };
    return 0;
}

static int map_text(TmplExec *x, StrView s, int (*fn)(int), bool words, TmplVal *ret)
{
    char *text = arena_alloc(x->arena, s.len + 1);
    if (!text)
        return err_nomem(x->err);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        unsigned char before = i ? (unsigned char)s.ptr[i - 1] : ' ';
        bool inside = words && (isalnum(before) || before == '_' || before > 127);
        text[i] = (char)(c < 128 && !inside ? fn(c) : c);
    }
    *ret = tmpl_string(sv_n(text, s.len));
    return 0;
}

FN(fn_title)
{
    (void)n;
    return map_text(x, args[0].s, toupper, true, ret);
}
FN(fn_upper)
{
    (void)n;
    return map_text(x, args[0].s, toupper, false, ret);
}
FN(fn_lower)
{
    (void)n;
    return map_text(x, args[0].s, tolower, false, ret);
}

FN(fn_match)
{
    char why[200];
    (void)n;
    Regex *re = regex_new(args[0].s, false, why, sizeof why);
    if (!re)
        return tmpl_fail(x, "error calling match: error parsing regexp: %s", why);
    *ret = tmpl_bool(regex_match(re, args[1].s));
    regex_free(re);
    return 0;
}

enum { GROUPS_MAX = 32 };

/* $1, ${1}, $name, ${name}, $$: as Go's Regexp.Expand. */
static void add_replacement(StrView repl, const Regex *re, const StrView *groups, Buf *out)
{
    while (repl.len) {
        size_t n = 0;
        uint64_t g;
        if (repl.ptr[0] != '$' || repl.len < 2) {
            buf_putc(out, repl.ptr[0]);
            repl = sv_skip(repl, 1);
            continue;
        }
        if (repl.ptr[1] == '$') {
            buf_putc(out, '$');
            repl = sv_skip(repl, 2);
            continue;
        }
        bool brace = repl.ptr[1] == '{';
        StrView rest = sv_skip(repl, brace ? 2 : 1);
        while (n < rest.len && (isalnum((unsigned char)rest.ptr[n]) || rest.ptr[n] == '_'))
            n++;
        if (!n || (brace && (n >= rest.len || rest.ptr[n] != '}'))) {
            buf_putc(out, '$');
            repl = sv_skip(repl, 1);
            continue;
        }
        StrView name = sv_head(rest, n);
        int at = sv_to_u64(name, &g) == 0 ? (int)MIN(g, (uint64_t)GROUPS_MAX)
                                          : regex_group_number(re, name);
        if (at >= 0 && at < GROUPS_MAX)
            buf_sv(out, groups[at]);
        repl = sv_skip(rest, n + brace);
    }
}

/* As Go does it: an empty match right behind another match counts for nothing. */
static void replace_all(const Regex *re, StrView repl, StrView text, Buf *out)
{
    StrView groups[GROUPS_MAX];
    size_t at = 0, copied = 0; /* where the search goes on; up to where the text is in `out` */
    bool any = false;
    while (at <= text.len && !out->failed) {
        memset(groups, 0, sizeof groups);
        if (!regex_groups_from(re, text, at, groups, GROUPS_MAX))
            break;
        size_t begin = (size_t)(groups[0].ptr - text.ptr), end = begin + groups[0].len;
        buf_sv(out, sv_n(text.ptr + copied, begin - copied));
        if (end > begin || !any || begin > copied)
            add_replacement(repl, re, groups, out);
        any = true;
        copied = end;
        at = end;
        while (end == begin && ++at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80)
            ; /* past one character */
    }
    buf_sv(out, sv_skip(text, copied));
}

FN(fn_re_replace_all)
{
    char why[200];
    _cleanup_buf_ Buf b = { .limit = TEMPLATE_OUTPUT_MAX };
    (void)n;
    Regex *re = regex_new(args[0].s, false, why, sizeof why);
    if (!re)
        return tmpl_fail(x, "error calling reReplaceAll: regexp: Compile: %s", why);
    replace_all(re, args[1].s, args[2].s, &b);
    regex_free(re);
    return tmpl_take(x, &b, ret);
}

static int link_to(TmplExec *x, StrView expr, int tab, TmplVal *ret)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    buf_sv(&b, SV("/graph?g0.expr="));
    query_escape(expr, &b);
    buf_printf(&b, "&g0.tab=%d", tab);
    return tmpl_take(x, &b, ret);
}

FN(fn_graph_link)
{
    (void)n;
    return link_to(x, args[0].s, 0, ret);
}
FN(fn_table_link)
{
    (void)n;
    return link_to(x, args[0].s, 1, ret);
}

FN(fn_same)
{
    UNUSED;
    *ret = args[0];
    return 0;
}

/* As Go's net.SplitHostPort; false: there is no port. */
static bool split_host(StrView s, StrView *ret_host, StrView *ret_port)
{
    ssize_t colon = sv_rfind_char(s, ':');
    if (colon < 0)
        return false;
    StrView host = sv_head(s, (size_t)colon);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = sv_n(host.ptr + 1, host.len - 2);
    else if (sv_find_char(host, ':') >= 0)
        return false;
    *ret_host = host;
    *ret_port = sv_skip(s, (size_t)colon + 1);
    return true;
}

FN(fn_strip_port)
{
    UNUSED;
    StrView host = args[0].s, port;
    split_host(args[0].s, &host, &port);
    *ret = tmpl_string(host);
    return 0;
}

FN(fn_strip_domain)
{
    (void)n;
    StrView host = args[0].s, port = SV_NULL;
    char text[INET6_ADDRSTRLEN + 1];
    unsigned char addr[16];
    split_host(args[0].s, &host, &port);
    *ret = args[0];
    if (sv_copy_cstr(host, text, sizeof text) &&
        (inet_pton(AF_INET, text, addr) == 1 || inet_pton(AF_INET6, text, addr) == 1))
        return 0;
    sv_cut(host, '.', &host, &(StrView){ 0 });
    return give(x, ret,
                port.len ? arena_printf(x->arena, "%.*s:%.*s", SV_FMT(host), SV_FMT(port))
                         : arena_sv(x->arena, host));
}

FN(fn_external_url)
{
    UNUSED;
    *ret = tmpl_string(x->opt->external_url);
    return 0;
}

FN(fn_path_prefix)
{
    UNUSED;
    StrView url = x->opt->external_url;
    ssize_t scheme = sv_find(url, SV("://"));
    url = sv_skip(url, scheme < 0 ? 0 : (size_t)scheme + 3);
    ssize_t slash = sv_find_char(url, '/');
    *ret = tmpl_string(slash < 0 ? SV("") : sv_skip(url, (size_t)slash));
    return 0;
}

FN(fn_query_escape)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    (void)n;
    query_escape(args[0].s, &b);
    return tmpl_take(x, &b, ret);
}

const TmplFunc tmpl_prometheus[] = {
    { SV_INIT("query"), "s", fn_query },
    { SV_INIT("first"), "v", fn_first },
    { SV_INIT("label"), "sm", fn_label },
    { SV_INIT("value"), "m", fn_value },
    { SV_INIT("strvalue"), "m", fn_strvalue },
    { SV_INIT("sortByLabel"), "sv", fn_sort_by_label },
    { SV_INIT("args"), "x*", fn_args },
    { SV_INIT("humanize"), "x", fn_humanize },
    { SV_INIT("humanize1024"), "x", fn_humanize1024 },
    { SV_INIT("humanizeDuration"), "x", fn_humanize_duration },
    { SV_INIT("humanizePercentage"), "x", fn_humanize_percentage },
    { SV_INIT("humanizeTimestamp"), "x", fn_humanize_timestamp },
    { SV_INIT("toTime"), "x", fn_to_time },
    { SV_INIT("toDuration"), "x", fn_to_duration },
    { SV_INIT("parseDuration"), "s", fn_parse_duration },
    { SV_INIT("now"), "", fn_now },
    { SV_INIT("title"), "s", fn_title },
    { SV_INIT("toUpper"), "s", fn_upper },
    { SV_INIT("toLower"), "s", fn_lower },
    { SV_INIT("match"), "ss", fn_match },
    { SV_INIT("reReplaceAll"), "sss", fn_re_replace_all },
    { SV_INIT("graphLink"), "s", fn_graph_link },
    { SV_INIT("tableLink"), "s", fn_table_link },
    { SV_INIT("safeHtml"), "s", fn_same },
    { SV_INIT("stripPort"), "s", fn_strip_port },
    { SV_INIT("stripDomain"), "s", fn_strip_domain },
    { SV_INIT("externalURL"), "", fn_external_url },
    { SV_INIT("pathPrefix"), "", fn_path_prefix },
    { SV_INIT("urlQueryEscape"), "s", fn_query_escape },
};
const unsigned tmpl_prometheus_len = ARRAY_SIZE(tmpl_prometheus);
