/* lex.h - PromQL's tokens. */
#pragma once

#include "base/buf.h"
#include "base/arena.h"
#include "base/str.h"

/* The groups keep their order: tok_is_*() test ranges. */
typedef enum Tok {
    TOK_EOF,
    TOK_ERROR,
    TOK_IDENTIFIER,
    TOK_METRIC_IDENTIFIER, /* with a colon */
    TOK_NUMBER,
    TOK_DURATION,
    TOK_STRING,
    TOK_COMMA,
    TOK_COLON,
    TOK_LEFT_PAREN,
    TOK_RIGHT_PAREN,
    TOK_LEFT_BRACE,
    TOK_RIGHT_BRACE,
    TOK_LEFT_BRACKET,
    TOK_RIGHT_BRACKET,
    TOK_EQL,
    /* operators */
    TOK_ADD,
    TOK_SUB,
    TOK_MUL,
    TOK_DIV,
    TOK_MOD,
    TOK_POW,
    TOK_ATAN2,
    TOK_EQLC,
    TOK_NEQ,
    TOK_LTE,
    TOK_LSS,
    TOK_GTE,
    TOK_GTR,
    TOK_TRIM_UPPER, /* </ */
    TOK_TRIM_LOWER, /* >/ */
    TOK_LAND,
    TOK_LOR,
    TOK_LUNLESS,
    TOK_EQL_REGEX,
    TOK_NEQ_REGEX,
    TOK_AT,
    /* aggregations */
    TOK_AVG,
    TOK_BOTTOMK,
    TOK_COUNT,
    TOK_COUNT_VALUES,
    TOK_GROUP,
    TOK_MAX,
    TOK_MIN,
    TOK_QUANTILE,
    TOK_STDDEV,
    TOK_STDVAR,
    TOK_SUM,
    TOK_TOPK,
    TOK_LIMITK,
    TOK_LIMIT_RATIO,
    /* keywords */
    TOK_BOOL,
    TOK_BY,
    TOK_GROUP_LEFT,
    TOK_GROUP_RIGHT,
    TOK_FILL,
    TOK_FILL_LEFT,
    TOK_FILL_RIGHT,
    TOK_IGNORING,
    TOK_OFFSET,
    TOK_SMOOTHED,
    TOK_ANCHORED,
    TOK_ON,
    TOK_WITHOUT,
    /* functions that are words of the language */
    TOK_START,
    TOK_END,
    TOK_STEP,
    TOK_RANGE,
    TOK_MAX_OF,
    TOK_MIN_OF,
    TOK_COUNT_OF_TOKENS
} Tok;

typedef struct Token {
    Tok type;
    unsigned pos; /* byte offset */
    StrView text; /* of TOK_ERROR: the message, good until the next call */
} Token;

typedef struct Lexer {
    StrView input;
    size_t at;
    int parens;
    bool brace, bracket, duration, colon, got_duration, stopped;
    char message[160];
} Lexer;

void lexer_init(Lexer *l, StrView input);
void lexer_next(Lexer *l, Token *ret); /* comments and space are skipped */

static inline bool tok_is_operator(Tok t)
{
    return t >= TOK_ADD && t <= TOK_AT;
}
static inline bool tok_is_aggregator(Tok t)
{
    return t >= TOK_AVG && t <= TOK_LIMIT_RATIO;
}
static inline bool tok_is_comparison(Tok t)
{
    return t >= TOK_EQLC && t <= TOK_GTR;
}
static inline bool tok_is_set_operator(Tok t)
{
    return t >= TOK_LAND && t <= TOK_LUNLESS;
}
static inline bool tok_takes_param(Tok t)
{
    return t == TOK_TOPK || t == TOK_BOTTOMK || t == TOK_COUNT_VALUES || t == TOK_QUANTILE ||
           t == TOK_LIMITK || t == TOK_LIMIT_RATIO;
}
/* May stand as a metric's or a label's name. */
bool tok_is_metric_name(Tok t);
bool tok_is_label_name(Tok t);
StrView tok_text(Tok t); /* the fixed text of a token; empty where it varies */
/* As messages call it: `identifier "foo"`, `<op:+>`, `end of input`. */
void token_describe(const Token *t, Buf *out);
bool tok_keyword(StrView word, Tok *ret); /* any case; also inf and nan as TOK_NUMBER */

/* The value of a string token, quotes included, in `a`. 0, -EINVAL (an escape that is no character)
 * or -ENOMEM. */
int text_unquote(StrView quoted, Arena *a, StrView *ret);
int text_number(StrView s, double *ret); /* a number as Go writes it; 0 or -EINVAL */
