/* ast.h - the tree of an expression, private to promql/. Nodes live in the arena of the parse. */
#pragma once

#include "monitor/model/matcher.h"
#include "monitor/promql/lex.h"
#include "monitor/promql/promql.h"

typedef enum NodeType {
    NODE_NUMBER,
    NODE_STRING,
    NODE_VECTOR, /* instant vector selector */
    NODE_MATRIX, /* range vector selector */
    NODE_SUBQUERY,
    NODE_CALL,
    NODE_AGGREGATE,
    NODE_BINARY,
    NODE_UNARY,
    NODE_PAREN,
    NODE_DURATION,       /* arithmetic of durations, only where a duration is expected */
    NODE_STEP_INVARIANT, /* put in before evaluation: the same at every step */
} NodeType;

typedef struct Node Node;
typedef struct Function Function;

typedef enum Card { CARD_ONE_TO_ONE, CARD_MANY_TO_ONE, CARD_ONE_TO_MANY, CARD_MANY_TO_MANY } Card;

typedef struct Matching {
    Card card;
    bool on; /* else ignoring */
    StrView *labels, *include;
    unsigned n_labels, n_include;
    bool has_fill_left, has_fill_right;
    double fill_left, fill_right;
} Matching;

/* What selectors and subqueries have behind them. Times in ms. */
typedef struct Modifiers {
    int64_t offset;
    Node *offset_expr;
    bool has_at;
    int64_t at;
    Tok at_function; /* TOK_START, TOK_END or 0 */
    bool anchored, smoothed;
    int64_t range, step;
    Node *range_expr, *step_expr;
} Modifiers;

typedef struct Selector {
    StrView name; /* in front of the braces */
    Matcher *matchers;
    unsigned n_matchers;
    StrView func;         /* what it is for, as a hint: the nearest call or aggregation around it */
    bool may_be_empty;    /* of info(): need not select by something */
    bool without_buckets; /* of histograms only count, sum and resets are looked at */
    const struct Node *by; /* the aggregation by some labels that is all who sees the series */
} Selector;

struct Node {
    NodeType type;
    unsigned start, end; /* bytes of the query */
    unsigned depth;      /* of the tree below */
    Tok op;              /* binary, unary, aggregate, duration */
    unsigned op_pos;
    double number;
    bool is_duration; /* a number written as one */
    bool wrapped;     /* a duration in parentheses */
    StrView string;
    Selector sel;
    Modifiers mod;
    const Function *fn;
    Node **args;
    unsigned n_args;
    Node *expr, *param; /* aggregate, unary, paren, subquery, step invariant */
    StrView *grouping;
    unsigned n_grouping;
    bool without, has_grouping;
    Node *lhs, *rhs;
    bool return_bool, no_matching; /* no_matching: one side is a scalar */
    Matching matching;
};

struct PromqlExpr {
    Node *root;
    Arena *arena;
    StrView text;
    unsigned features;
    struct OwnedMatchers *owned; /* those with compiled expressions */
};

PromqlType node_type(const Node *n);
/* Checks types and rules that need the whole tree. */
int promql_check(Node *n, StrView text, Err *err) NODISCARD;
/* "1:5: parse error: …": sets ERR_INVALID. */
int parse_error(Err *err, StrView text, unsigned pos, const char *fmt, ...) PRINTF(4, 5);
void position_format(StrView text, unsigned pos, Buf *out); /* "1:5" */
/* Walks children; used by all passes that change the tree. Returns NULL at the end. */
Node **node_child(Node *n, unsigned i);

/* Of parentheses and calls; of the tree, which chains of operators make deep without nesting. */
enum { PROMQL_DEPTH_MAX = 200, PROMQL_TREE_DEPTH_MAX = 2000, PROMQL_TEXT_MAX = 1024 * 1024 };
