/* promql.h - PromQL: parse, show and evaluate expressions.
 *
 * Evaluation has no state: options go in, a result comes out, several queries may run at once, each
 * with its own querier; what they share is in engine.h. Evaluation goes operator by operator over
 * whole series: a selector reads a series once for all steps, functions and aggregations work on
 * columns of steps. */
#pragma once

#include <stdatomic.h>

#include "monitor/model/querier.h"
#include "monitor/promql/engine.h"

/* What Prometheus has behind feature flags. */
typedef enum PromqlFeature {
    PROMQL_EXPERIMENTAL_FUNCTIONS = 1 << 0,   /* promql-experimental-functions */
    PROMQL_DURATION_EXPR = 1 << 1,            /* promql-duration-expr */
    PROMQL_EXTENDED_RANGE_SELECTORS = 1 << 2, /* promql-extended-range-selectors */
    PROMQL_BINOP_FILL_MODIFIERS = 1 << 3,     /* promql-binop-fill-modifiers */
    PROMQL_DELAYED_NAME_REMOVAL = 1 << 4,     /* promql-delayed-name-removal */
    PROMQL_TYPE_AND_UNIT_LABELS = 1 << 5,     /* type-and-unit-labels */
    PROMQL_START_TIMESTAMPS = 1 << 6,         /* use-start-timestamps */
    PROMQL_PER_STEP_STATS = 1 << 7,           /* promql-per-step-stats: of who shows statistics */
} PromqlFeature;

/* The feature of a flag's name; 0: unknown. */
unsigned promql_feature(StrView name);

/* Function `i` by name, and whether it is on with these features; false: there are no more. */
bool promql_function_at(unsigned i, unsigned features, StrView *ret_name, bool *ret_on);

typedef enum PromqlType {
    PROMQL_NONE,
    PROMQL_SCALAR,
    PROMQL_VECTOR,
    PROMQL_MATRIX,
    PROMQL_STRING,
} PromqlType;
const char *promql_type_name(PromqlType t); /* "vector", as in the HTTP API */

typedef struct PromqlExpr PromqlExpr;

/* Parses and checks types. The tree lives in `a`; promql_expr_free() ends it (compiled regular
 * expressions are not in the arena). ERR_INVALID: "1:5: parse error: …". ERR_LIMIT, ERR_NOMEM. */
int promql_parse(StrView text, unsigned features, Arena *a, PromqlExpr **ret, Err *err) NODISCARD;
PromqlExpr *promql_expr_free(PromqlExpr *e); /* always NULL */
PromqlType promql_expr_type(const PromqlExpr *e);
/* Calls fn for the matchers of every selector in the expression; they live in the tree. */
void promql_expr_selectors(const PromqlExpr *e,
                           void (*fn)(void *ctx, const Matcher *ms, unsigned n), void *ctx);
/* What `name` has to match in every selector of the expression: instead of what is said of it, or
 * beside the rest. For showing it only: a regular expression is not looked at. */
int promql_expr_set_matcher(PromqlExpr *e, MatchOp op, StrView name, StrView value,
                            Err *err) NODISCARD;
int promql_expr_drop_matchers(PromqlExpr *e, StrView name, Err *err) NODISCARD; /* likewise */
/* `{job="a"}` or `up{…}` alone, as match[] has it. *ret_ms lives in the tree. */
int promql_parse_selector(StrView text, Arena *a, PromqlExpr **ret, const Matcher **ret_ms,
                          unsigned *ret_n, Err *err) NODISCARD;

/* One line in normal form, or `pretty` over several lines of at most 100 characters. */
void promql_format(const PromqlExpr *e, bool pretty, Buf *out);
/* The tree as /api/v1/parse_query shows it. */
void promql_tree_json(const PromqlExpr *e, Buf *out);

typedef struct PromqlOptions {
    unsigned features;
    int64_t lookback_ms;      /* 0: five minutes */
    int64_t subquery_step_ms; /* of subqueries that name none; 0: one minute */
    int64_t timeout_ms;       /* 0: none */
    uint64_t max_samples;     /* held at once; 0: 50 million */
    size_t max_annotations;   /* of each kind that are shown; 0: all */
    size_t memory_limit;      /* bytes of each of a query's arenas; 0: 2 GiB */
    PromqlEngine *engine;     /* gives turns; NULL: queries do not wait for each other */
} PromqlOptions;

typedef struct PromqlQuery {
    StrView text;
    bool range;                /* else instant, at `start` */
    int64_t start, end, step;  /* ms */
    const atomic_bool *cancel; /* may be NULL; looked at between series */
    bool stats;                /* samples are counted */
    int64_t waited_ns;         /* before promql_query(), counted as waiting for its turn */
    StrView origin;            /* who asks, as members of JSON for the log; may be empty */
} PromqlQuery;

/* The error types of the HTTP API. */
typedef enum PromqlErrorType {
    PROMQL_OK,
    PROMQL_BAD_DATA,
    PROMQL_EXECUTION,
    PROMQL_TIMEOUT,
    PROMQL_CANCELED,
    PROMQL_INTERNAL,
} PromqlErrorType;

enum { PROMQL_STEPS_MAX = 11000 * 1000 }; /* of one evaluation; the HTTP API has its own limit */

typedef struct PromqlPoint {
    int64_t t;
    double v;
    const Histogram *h; /* NULL: a float */
} PromqlPoint;

typedef struct PromqlSeries {
    Labels labels;
    const PromqlPoint *points; /* by time; of a vector exactly one */
    size_t n;
} PromqlSeries;

typedef struct PromqlAnnotation {
    bool warning; /* else info */
    StrView text; /* with position: "PromQL info: … (1:5)" */
} PromqlAnnotation;

typedef struct PromqlStats {
    uint64_t peak_samples;
    /* Parsing and checking; waiting for a turn; evaluating; ordering series. */
    int64_t prepare_ns, queue_ns, inner_ns, sort_ns;
    /* The rest only where PromqlQuery.stats asks for it. A histogram counts by its size. */
    uint64_t samples_scanned;             /* a sample counts in every window that it is in */
    uint64_t samples_read;                /* from storage, for all steps */
    const uint64_t *scanned_at, *read_at; /* the same for each of `steps` steps */
    int64_t start, step;
    unsigned steps;
} PromqlStats;
/* "timings":{…} as the HTTP API and the query log have it. */
void promql_put_timings(const PromqlStats *s, Buf *out);

typedef struct PromqlResult {
    PromqlErrorType error_type; /* PROMQL_OK, or the text is in the Err */
    PromqlType type;
    double scalar;
    StrView string;
    int64_t time;               /* of a scalar or string */
    const PromqlSeries *series; /* of matrices sorted by labels, of vectors in their own order */
    size_t n;
    const PromqlAnnotation *annotations;
    size_t n_annotations;
    PromqlStats stats;
    Arena arena; /* holds all of the above */
} PromqlResult;

/* Evaluates. Whatever it returns, promql_result_free() ends *ret. Codes: ERR_INVALID (bad_data or
 * execution, see error_type), ERR_LIMIT (samples), ERR_NOMEM, ERR_TIMEOUT, ERR_CLOSED (canceled),
 * and those of the querier. */
int promql_query(const PromqlOptions *opts, Querier *q, const PromqlQuery *query, PromqlResult *ret,
                 Err *err) NODISCARD;
void promql_result_free(PromqlResult *r);
