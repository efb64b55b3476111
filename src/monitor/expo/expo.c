/* expo.c - the public face: which format, and on to its parser. */
#include <stdio.h>

#include "monitor/expo/internal.h"

const char *const expo_type_names[EXPO_TYPE_MAX] = {
    [EXPO_UNKNOWN] = "unknown",
    [EXPO_COUNTER] = "counter",
    [EXPO_GAUGE] = "gauge",
    [EXPO_HISTOGRAM_TYPE] = "histogram",
    [EXPO_GAUGE_HISTOGRAM] = "gaugehistogram",
    [EXPO_SUMMARY] = "summary",
    [EXPO_INFO] = "info",
    [EXPO_STATESET] = "stateset",
};

/* ---- errors ---- */

static const char *token_name(const char *at, const char *end)
{
    if (at >= end)
        return "EOF";
    switch (*at) {
    case '\n':
        return "LINEBREAK";
    case '{':
        return "BOPEN";
    case '}':
        return "BCLOSE";
    case ',':
        return "COMMA";
    case '=':
        return "EQUAL";
    case '#':
        return "COMMENT";
    default:
        return "INVALID";
    }
}

int expo_fail(ExpoParser *p, const char *start, const char *at, const char *what, Err *err)
{
    _cleanup_buf_ Buf got = BUF_INIT, line = BUF_INIT;
    size_t n = (size_t)(at - start) + (at < p->end);

    text_quote(sv_n(at, at < p->end ? 1 : 0), &got);
    text_quote(sv_n(start, MIN(n, (size_t)200)), &line);
    return err_set(err, ERR_INVALID, 0, "%s, got %s (\"%s\") while parsing: %s", what,
                   got.failed ? "" : buf_cstr(&got), token_name(at, p->end),
                   line.failed ? "" : buf_cstr(&line));
}

int expo_fail_plain(ExpoParser *p, const char *start, const char *at, const char *what, Err *err)
{
    _cleanup_buf_ Buf line = BUF_INIT;
    text_quote(sv_n(start, MIN((size_t)(at - start), (size_t)200)), &line);
    return err_set(err, ERR_INVALID, 0, "%s while parsing: %s", what,
                   line.failed ? "" : buf_cstr(&line));
}

/* ---- the format ---- */

static const struct {
    const char *media, *protocol; /* protocol: how names of scrape protocols begin */
    ExpoFormat format;
} formats[] = {
    { "application/openmetrics-text", "OpenMetricsText", EXPO_FORMAT_OPENMETRICS },
    { "application/vnd.google.protobuf", "PrometheusProto", EXPO_FORMAT_PROTOBUF },
    { "text/plain", "PrometheusText", EXPO_FORMAT_TEXT },
};

int expo_format(StrView content_type, StrView fallback, ExpoFormat *ret, Err *err)
{
    StrView media = sv_trim(content_type), rest;
    sv_cut(media, ';', &media, &rest);
    media = sv_trim(media);
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        if (sv_eq_nocase(media, sv_cstr(formats[i].media))) {
            *ret = formats[i].format;
            return 0;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        if (fallback.len && sv_starts(fallback, sv_cstr(formats[i].protocol))) {
            *ret = formats[i].format;
            return 0;
        }
    }
    if (sv_empty(media))
        return err_set(err, ERR_INVALID, 0,
                       "non-compliant scrape target sending blank Content-Type and no "
                       "fallback_scrape_protocol specified for target");
    return err_set(err, ERR_INVALID, 0,
                   "received unsupported Content-Type \"%.*s\" and no fallback_scrape_protocol "
                   "specified for target",
                   (int)MIN(content_type.len, (size_t)200), content_type.ptr);
}

/* ---- the parser ---- */

void expo_parser_reset(ExpoParser *p, ExpoFormat format, StrView body, const ExpoOptions *opt)
{
    p->format = format;
    p->opt = opt ? *opt : (ExpoOptions){ 0 };
    p->begin = p->at = body.ptr ? body.ptr : "";
    p->end = p->begin + body.len;
    p->entry = (ExpoEntry){ 0 };
    p->type = EXPO_UNKNOWN;
    p->family = SV("");
    p->expected = SV_NULL;
    p->start = 0;
    buf_clear(&p->start_key);
    if (p->proto)
        proto_state_reset(p->proto);
    if (p->nhcb)
        nhcb_state_reset(p->nhcb);
}

ExpoParser *expo_parser_new(ExpoFormat format, StrView body, const ExpoOptions *opt)
{
    ExpoParser *p = calloc(1, sizeof *p);
    if (p)
        expo_parser_reset(p, format, body, opt);
    return p;
}

ExpoParser *expo_parser_free(ExpoParser *p)
{
    if (!p)
        return NULL;
    buf_free(&p->text);
    buf_free(&p->start_key);
    proto_state_free(p->proto);
    nhcb_state_free(p->nhcb);
    free(p);
    return NULL;
}

void expo_expect(ExpoParser *p, StrView series)
{
    p->expected = series;
}

int expo_raw_next(ExpoParser *p, Err *err)
{
    if (p->format == EXPO_FORMAT_TEXT)
        return expo_text_next(p, err);
    if (p->format == EXPO_FORMAT_OPENMETRICS)
        return expo_om_next(p, err);
    if (p->proto || (p->proto = proto_state_new()))
        return expo_proto_next(p, err);
    return err_nomem(err);
}

int expo_next(ExpoParser *p, ExpoEntry *ret, Err *err)
{
    if (p->opt.classic_to_custom && p->format != EXPO_FORMAT_PROTOBUF) {
        if (!p->nhcb && !(p->nhcb = nhcb_state_new()))
            return err_nomem(err);
        return nhcb_next(p, ret, err);
    }
    int r = expo_raw_next(p, err);
    if (r >= 0)
        *ret = p->entry;
    return r;
}

int expo_raw_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err)
{
    if (p->format == EXPO_FORMAT_PROTOBUF)
        return expo_proto_labels(p, a, ret, err);
    return expo_text_labels(p, p->entry.series, false, a, ret, err);
}

int expo_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err)
{
    return nhcb_emits(p) ? nhcb_labels(p, a, ret, err) : expo_raw_labels(p, a, ret, err);
}

int expo_raw_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err)
{
    if (p->format == EXPO_FORMAT_PROTOBUF)
        return expo_proto_exemplar(p, i, a, ret, err);
    *ret = (ExpoExemplar){ .value = p->exemplar_value,
                           .has_t = p->exemplar_has_t,
                           .t = p->exemplar_t };
    return expo_text_labels(p, p->exemplar_labels, true, a, &ret->labels, err);
}

int expo_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err)
{
    return nhcb_emits(p) ? nhcb_exemplar(p, i, a, ret, err) : expo_raw_exemplar(p, i, a, ret, err);
}

int64_t expo_raw_start(ExpoParser *p)
{
    switch (p->format) {
    case EXPO_FORMAT_OPENMETRICS:
        return expo_om_start(p);
    case EXPO_FORMAT_PROTOBUF:
        return expo_proto_start(p);
    default:
        return 0;
    }
}

int64_t expo_start_time(ExpoParser *p)
{
    return nhcb_emits(p) ? nhcb_start(p) : expo_raw_start(p);
}
