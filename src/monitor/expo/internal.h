/* internal.h - what the parsers share. Private to the folder. */
#pragma once

#include "monitor/expo/expo.h"

typedef struct ProtoState ProtoState;
typedef struct NhcbState NhcbState;

struct ExpoParser {
    ExpoFormat format;
    ExpoOptions opt;
    const char *begin, *at, *end;
    ExpoEntry entry;
    ExpoType type; /* of the family */
    StrView family;
    StrView expected; /* series */
    /* The exemplar behind the current line of OpenMetrics. */
    StrView exemplar_labels; /* with its braces */
    double exemplar_value;
    bool exemplar_has_t;
    int64_t exemplar_t;
    Buf text;      /* unescaped help */
    Buf start_key; /* labels of the series whose start is known */
    int64_t start;
    ProtoState *proto;
    NhcbState *nhcb; /* NULL: classic histograms stay what they are */
};

enum { CHAR_NAME = 1, CHAR_NAME_START = 2, CHAR_LABEL = 4, CHAR_LABEL_START = 8, CHAR_DIGIT = 16 };
extern const uint8_t expo_chars[256];
static inline bool char_is(char c, unsigned class)
{
    return expo_chars[(unsigned char)c] & class;
}

/* A plain decimal at `s`: sets *ret and returns where it ends; NULL: no number, or not a plain one,
 * which expo_number() then decides. */
const char *expo_fast_number(const char *s, const char *end, double *ret);

/* "WHAT, got "x" ("INVALID") while parsing: "LINE"", at `at`. */
int expo_fail(ExpoParser *p, const char *start, const char *at, const char *what, Err *err);
/* "WHAT while parsing: "LINE"". */
int expo_fail_plain(ExpoParser *p, const char *start, const char *at, const char *what, Err *err);

int expo_text_next(ExpoParser *p, Err *err) NODISCARD;
int expo_om_next(ExpoParser *p, Err *err) NODISCARD;
/* Takes `text` (a name with labels, or labels alone with `exemplar`) apart. */
int expo_text_labels(ExpoParser *p, StrView text, bool exemplar, Arena *a, Labels *ret,
                     Err *err) NODISCARD;
int64_t expo_om_start(ExpoParser *p);

/* Behind the quote that ends a quoted text whose first byte is at `s`; NULL: it never ends. */
const char *expo_quoted_end(const char *s, const char *end);
/* The end of `name{…}` at `s`, without looking into the labels; NULL: *ret_at is where it breaks.
 * `spaces`: white space may stand in front of the brace. */
const char *expo_series_end(const char *s, const char *end, bool spaces, const char **ret_at);
/* The same, quickly, where the expected series stands at `s`; NULL: it does not, or the text may go
 * on. */
const char *expo_expected_end(const ExpoParser *p, const char *s);
StrView expo_unescape_help(ExpoParser *p, StrView s, bool quotes);
bool expo_type_parse(StrView s, bool openmetrics, ExpoType *ret);
/* The value of a label "le" or "quantile" in its one form: "1" is "1.0". */
StrView expo_bound_text(Arena *a, StrView name, StrView value, ExpoType type);
StrView expo_float_text(Arena *a, double v);

ProtoState *proto_state_new(void);
ProtoState *proto_state_free(ProtoState *s);
void proto_state_reset(ProtoState *s);
int expo_proto_next(ExpoParser *p, Err *err) NODISCARD;
int expo_proto_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err) NODISCARD;
int expo_proto_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err) NODISCARD;
int64_t expo_proto_start(ExpoParser *p);

/* ---- nhcb.c: between the public face and the text formats ---- */

/* The format's own parser, whose entry is p->entry. */
int expo_raw_next(ExpoParser *p, Err *err) NODISCARD;
int expo_raw_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err) NODISCARD;
int expo_raw_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err) NODISCARD;
int64_t expo_raw_start(ExpoParser *p);

NhcbState *nhcb_state_new(void);
NhcbState *nhcb_state_free(NhcbState *s);
void nhcb_state_reset(NhcbState *s);
int nhcb_next(ExpoParser *p, ExpoEntry *ret, Err *err) NODISCARD;
bool nhcb_emits(const ExpoParser *p); /* the current entry is a made histogram; of that: */
int nhcb_labels(ExpoParser *p, Arena *a, Labels *ret, Err *err) NODISCARD;
int nhcb_exemplar(ExpoParser *p, unsigned i, Arena *a, ExpoExemplar *ret, Err *err) NODISCARD;
int64_t nhcb_start(const ExpoParser *p);
