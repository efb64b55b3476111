/* eval.h - evaluation, private to promql/.
 *
 * An expression of type vector becomes a Stream of Columns: one series after the other, each with
 * its value at every step. Who needs all of them at once collects them (matrix_collect). Scalars
 * are plain arrays.
 *
 * What holds, and why:
 * - A stream is pulled by one user, from its first series to its end, and hands each label set out
 *   once (merge_stream() where an operator could make two alike). So `sum(rate(x[5m]))` over a
 *   million series holds one of them at a time, beside the sums.
 * - Memory: streams, buffers and collected columns live in the query's arena and go with it; nobody
 *   frees them one by one. What a column refers to (labels, histograms) is good until the next call
 *   of the same stream: who keeps it copies it (column_copy, histogram_keep).
 * - A column has a value for every step of its stream, or SAMPLE_NONE; all streams of an operator
 *   have the same steps, but for subqueries, which have their own.
 * - What counts against the query's limit is what is held: eval_hold() when samples come into
 *   memory, eval_release() when they go. What takes long asks eval_check() in between.
 * - An error is set once in ev->err and ends the query; a warning is an annotation. */
#pragma once

#include "monitor/promql/annotations.h"
#include "monitor/promql/function.h"
#include "monitor/promql/step_stats.h"

typedef struct Steps {
    int64_t start, step;
    unsigned n;
    StepStats *stats; /* what is counted at them; NULL: nothing */
} Steps;

static inline int64_t step_time(const Steps *s, unsigned i)
{
    return s->start + (int64_t)i * s->step;
}

typedef enum SampleKind { SAMPLE_NONE, SAMPLE_FLOAT, SAMPLE_HISTOGRAM } SampleKind;

typedef struct Column {
    Labels labels;
    bool drop_name; /* the metric's name goes at the end (delayed name removal) */
    uint8_t *kind;  /* SampleKind of each step */
    double *v;
    const Histogram **h; /* NULL: no histogram in the whole column */
} Column;

typedef struct Stream Stream;

typedef struct Eval {
    unsigned features;
    int64_t lookback, subquery_step;
    uint64_t max_samples;
    size_t memory_limit;
    Querier *querier;
    const atomic_bool *cancel;
    int64_t deadline_ns; /* 0: none */
    Arena *arena;
    Annotations annos;
    Stream *streams; /* all of the query, freed with it */
    uint64_t samples, peak;
    StepStats *stats; /* of all evaluations inside the query, the innermost first */
    int64_t sort_ns;
    PromqlErrorType error_type;
    Err *err;
} Eval;

typedef struct StreamOps {
    int (*next)(Stream *s, Column *ret); /* 1, 0 at the end, negative */
    void (*free)(Stream *s);             /* NULL: nothing outside the arenas */
} StreamOps;

/* The head of each kind of stream. */
struct Stream {
    const StreamOps *ops;
    Eval *ev;
    Steps steps;
    bool unique;   /* no two series become the same without their names */
    Arena scratch; /* of the current column */
    Stream *link;
};

int eval_fail(Eval *ev, PromqlErrorType type, ErrCode code, const char *fmt, ...) PRINTF(4, 5);
int eval_nomem(Eval *ev);
int eval_check(Eval *ev);            /* cancelled or timed out? */
int eval_hold(Eval *ev, uint64_t n); /* n more samples are in memory: within the limit? */
static inline void eval_release(Eval *ev, uint64_t n)
{
    ev->samples -= MIN(n, ev->samples);
}
static inline bool eval_delayed(const Eval *ev)
{
    return (ev->features & PROMQL_DELAYED_NAME_REMOVAL) != 0;
}

/* Evaluates an expression of type vector, or of type scalar. */
int eval_stream(Eval *ev, Node *n, const Steps *steps, Stream **ret);
int eval_scalar(Eval *ev, Node *n, const Steps *steps, double **ret);

/* Gives `steps` counters of their own that belong to those of `outer`, if those have any. */
int steps_count(Eval *ev, const Steps *outer, StepStatsKind kind, const Modifiers *m, Steps *steps);
/* Counts the samples of a column that a selector has made. */
void steps_count_column(const Steps *steps, const Column *c);

/* Allocates a stream of `size` bytes with its head set. NULL: ev->err is set. */
void *stream_new(Eval *ev, size_t size, const StreamOps *ops, const Steps *steps);
static inline int stream_next(Stream *s, Column *ret)
{
    return s->ops->next(s, ret);
}
void streams_free(Eval *ev);

/* Columns. Buffers are of the query's arena. */
int column_init(Eval *ev, Column *c, unsigned n);
int column_histograms(Eval *ev, Column *c, unsigned n); /* makes room for them */
bool column_is_empty(const Column *c, unsigned n);
uint64_t column_weight(const Column *c, unsigned n); /* samples that it counts for */
int column_copy(Eval *ev, const Column *from, unsigned n, Column *ret); /* deep, in the arena */

/* The name (and __type__, __unit__) is dropped: now, or at the end when removal is delayed. */
int column_drop_name(Stream *s, Column *c);
/* The labels without name, type and unit, in `a`. */
bool labels_without_metadata(Labels l, Arena *a, Labels *ret);
StrView metric_name(Labels l);

typedef struct Matrix {
    Column *cols;
    size_t len, cap;
} Matrix;

int matrix_push(Eval *ev, Matrix *m, const Column *c);
int matrix_collect(Stream *s, Matrix *ret); /* deep copies of all columns */
int matrix_stream(Eval *ev, const Matrix *m, const Steps *steps, Stream **ret);

/* Gathers output by label set: the same labels again go on in the same column. */
typedef struct Merger {
    Eval *ev;
    Steps steps;
    Matrix out;
    uint32_t *slots; /* hash table of column numbers + 1 */
    size_t n_slots;
    bool keep_apart; /* do not merge: instant queries with delayed removal */
    bool twice;      /* kinds have a second half, for the owner's notes of each step */
} Merger;

int merger_init(Merger *m, Eval *ev, const Steps *steps, bool keep_apart);
/* The column of these labels (copied when new), empty at first. */
int merger_column(Merger *m, Labels labels, bool drop_name, Column **ret);
/* A value at a step; a second one there is an error of the query. Histograms are kept as they are:
 * they must outlive the query's evaluation. */
int merger_put(Merger *m, Column *c, unsigned step, SampleKind kind, double v, const Histogram *h);
int merger_put_column(Merger *m, const Column *c, bool copy_histograms);
/* Wraps `s` so that series that became the same are joined (or, strict, refused). */
int merge_stream(Stream *s, bool strict, Stream **ret);

const Histogram *histogram_keep(Eval *ev, const Histogram *h); /* a copy that lasts */

/* Operators, one file each. */
int eval_select(Eval *ev, Node *n, const Steps *steps, Stream **ret);         /* select.c */
int eval_timestamp(Eval *ev, Node *call, const Steps *steps, Stream **ret);   /* select.c */
int eval_range_call(Eval *ev, Node *call, const Steps *steps, Stream **ret);  /* range.c */
int eval_absent(Eval *ev, Node *call, const Steps *steps, Stream **ret);      /* fn_absent.c */
int eval_vector_call(Eval *ev, Node *call, const Steps *steps, Stream **ret); /* fn_math.c */
int eval_label_call(Eval *ev, Node *call, const Steps *steps, Stream **ret);  /* fn_label.c */
int eval_sort(Eval *ev, Node *call, const Steps *steps, Stream **ret);        /* fn_sort.c */
int eval_histogram_call(Eval *ev, Node *call, const Steps *steps, Stream **ret);
int eval_info(Eval *ev, Node *call, const Steps *steps, Stream **ret);   /* info.c */
int eval_aggregate(Eval *ev, Node *n, const Steps *steps, Stream **ret); /* agg.c */
int eval_binary(Eval *ev, Node *n, const Steps *steps, Stream **ret);    /* binary.c */
double scalar_binop(Tok op, double l, double r);

/* A function of one sample: exactly one of these is set. `args` are the scalar arguments at that
 * step. */
struct VectorFunction {
    double (*of_float)(double v, const double *args, unsigned n_args);
    double (*of_histogram)(const Histogram *h);
    double (*of_date)(int64_t seconds);
};

/* The time that a selector looks at when evaluated at `t`. */
static inline int64_t modifiers_time(const Modifiers *m, int64_t t)
{
    return (m->has_at ? m->at : t) - m->offset;
}
/* The steps of a subquery that serve `outer`; its samples are counted as `kind` says. */
int subquery_steps(Eval *ev, const Modifiers *m, const Steps *outer, StepStatsKind kind,
                   Steps *ret);
/* Raw samples of a top-level range vector. */
int eval_matrix_result(Eval *ev, Node *n, const Steps *steps, PromqlResult *res);

/* Asks the querier for the samples that the steps need. */
int selector_open(Eval *ev, Node *n, const Steps *steps, SeriesSet **ret);

/* The next series of a selector. Where buckets are not needed they are dropped, after they have
 * told which samples are counter resets. 1, 0 or negative. */
int selector_next(Eval *ev, const Node *n, SeriesSet *set, Labels *ret_labels, SampleCols *cols);

double quantile_sorted(double q, const double *v, size_t n);
void sort_doubles_nan_first(double *v, size_t n);
