/* matcher.h - one condition on a label: name="v", name!="v", name=~"re", name!~"re".
 * A regular expression is anchored on both ends, in RE2's syntax, and dot matches newline. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/regex.h"
#include "monitor/model/glob.h"
#include "monitor/model/labels.h"

typedef enum MatchOp { MATCH_EQ, MATCH_NE, MATCH_RE, MATCH_NRE, MATCH_MAX } MatchOp;

/* What a regular expression comes down to, so that an index can look values up instead of trying
 * each. */
typedef enum MatchShape {
    MATCH_SHAPE_REGEX,       /* the compiled expression decides; `prefix` may be known */
    MATCH_SHAPE_LITERALS,    /* "a|b|c": one of `literals` */
    MATCH_SHAPE_PREFIX,      /* "abc.*", ".*": anything behind `prefix` */
    MATCH_SHAPE_PREFIX_SOME, /* "abc.+", ".+": at least one character behind `prefix` */
} MatchShape;

typedef struct Matcher {
    MatchOp op;
    MatchShape shape; /* of MATCH_RE and MATCH_NRE */
    StrView name, value;
    Regex *regex; /* only with MATCH_SHAPE_REGEX; owned */
    Glob *glob;   /* the same, where it is simple; else NULL */
    const StrView *literals;
    unsigned n_literals;
    StrView prefix;
} Matcher;

enum { MATCHER_LITERALS_MAX = 4096 }; /* alternatives beyond it are left to the regex */

/* Compiles; texts are copied into `a`. ERR_INVALID: RE2's sentence. Ends with matcher_free(). */
int matcher_init(Matcher *m, MatchOp op, StrView name, StrView value, Arena *a, Err *err) NODISCARD;
void matcher_free(Matcher *m);
bool matcher_matches(const Matcher *m, StrView value); /* value empty: the label is absent */
void matcher_format(const Matcher *m, Buf *out);       /* `job=~"a|b"` */
