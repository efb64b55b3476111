/* internal.h - private to template/: the tree, values, and what runs them. */
#pragma once

#include "base/vec.h"
#include "monitor/template/template.h"

/* ---- values ---- */

typedef enum TmplKind {
    TMPL_NIL,
    TMPL_BOOL,
    TMPL_INT,
    TMPL_FLOAT,
    TMPL_STRING,
    TMPL_LABELS, /* a map of texts */
    TMPL_ARGS,   /* a map of anything: arg0, arg1, … */
    TMPL_SAMPLE,
    TMPL_VECTOR,
    TMPL_HISTOGRAM,
    TMPL_TIME,     /* i: ns since 1970 */
    TMPL_DURATION, /* i: ns */
    TMPL_MONTH,    /* i: from 1 */
    TMPL_WEEKDAY,  /* i: from 0, Sunday */
    TMPL_DATA,     /* what a template is given */
} TmplKind;

typedef struct TmplVal TmplVal;
struct TmplVal {
    TmplKind kind;
    unsigned n; /* of args, vector */
    union {
        bool b;
        int64_t i;
        double f;
        StrView s;
        Labels labels;
        const TmplVal *args;
        const TemplateSample *samples; /* a sample is a vector of one */
        const Histogram *h;
    };
};

static inline TmplVal tmpl_string(StrView s)
{
    return (TmplVal){ .kind = TMPL_STRING, .s = s };
}
static inline TmplVal tmpl_float(double f)
{
    return (TmplVal){ .kind = TMPL_FLOAT, .f = f };
}
static inline TmplVal tmpl_bool(bool b)
{
    return (TmplVal){ .kind = TMPL_BOOL, .b = b };
}
const char *tmpl_type_name(const TmplVal *v); /* Go's: "float64" */
bool tmpl_true(const TmplVal *v);             /* not the zero value */
void tmpl_print(const TmplVal *v, Buf *out);  /* as %v */

/* ---- tree ---- */

typedef enum TmplNodeKind {
    NODE_TEXT,
    NODE_ACTION,
    NODE_IF,
    NODE_RANGE,
    NODE_WITH,
    NODE_TEMPLATE,
    NODE_BREAK,
    NODE_CONTINUE,
} TmplNodeKind;

typedef enum TmplOperandKind {
    OPERAND_DOT,
    OPERAND_VALUE, /* a constant */
    OPERAND_VAR,
    OPERAND_FUNC,
    OPERAND_PIPE, /* in parentheses */
} TmplOperandKind;

typedef struct TmplFunc TmplFunc;
typedef struct TmplPipe TmplPipe;
typedef struct TmplNode TmplNode;

typedef struct TmplOperand {
    TmplOperandKind kind;
    StrView text; /* where it stands in the source */
    TmplVal value;
    StrView name; /* of a variable, with its $ */
    const TmplFunc *func;
    TmplPipe *pipe;
    StrView *fields; /* .A.B behind it */
    unsigned n_fields;
} TmplOperand;

typedef struct TmplCommand {
    TmplOperand *args;
    unsigned n;
} TmplCommand;

struct TmplPipe {
    StrView text;
    StrView vars[2]; /* declared or assigned */
    unsigned n_vars;
    bool assign;
    TmplCommand *commands;
    unsigned n;
};

typedef struct TmplList {
    TmplNode *first, *last;
} TmplList;

struct TmplNode {
    TmplNodeKind kind;
    StrView text;  /* NODE_TEXT: to be written; NODE_TEMPLATE: its name */
    StrView where; /* NODE_TEMPLATE: the name as it stands in the source */
    TmplPipe *pipe;
    TmplList body, other;
    TmplNode *next;
};

typedef struct TmplDefine {
    StrView name;
    TmplList body;
} TmplDefine;

typedef struct TmplTree {
    StrView source;
    TmplList body;
    TmplDefine *defines;
    unsigned n_defines;
} TmplTree;

/* Source and tree live in `a`. ERR_INVALID: "template: NAME:LINE: …". */
int tmpl_parse(StrView source, StrView name, Arena *a, TmplTree *ret, Err *err) NODISCARD;
/* Reads a Go literal ("…", `…`, '…' or a number) at the head of *rest; false: not one. literal.c */
bool tmpl_literal(StrView *rest, Arena *a, TmplVal *ret);

/* A whole text as a finite number, in the forms of Go's strconv.ParseFloat. */
bool tmpl_parse_float(StrView text, double *ret);

/* ---- times (time.c) ---- */

#define TMPL_TIME_STRING "2006-01-02 15:04:05.999999999 -0700 MST"
/* As Go's Time.Format, in UTC. */
void tmpl_time_format(int64_t ns, StrView layout, Buf *out);
StrView tmpl_month_name(int64_t month);
StrView tmpl_weekday_name(int64_t day);

/* ---- running ---- */

typedef struct TmplVar {
    StrView name;
    TmplVal value;
} TmplVar;

typedef struct TmplExec {
    const TemplateOptions *opt;
    const TmplTree *tree;
    Arena *arena;
    StrView template_name;
    Buf *out;
    size_t out_start;
    VEC(TmplVar) vars;
    unsigned depth;
    uint64_t steps;
    StrView at; /* the operand that is being evaluated, for messages */
    Err *err;
} TmplExec;

int tmpl_run(TmplExec *x) NODISCARD;
/* "template: NAME:LINE:COL: executing … at <…>: …" */
int tmpl_fail(TmplExec *x, const char *fmt, ...) PRINTF(2, 3);

/* Which arguments a function takes: `s` text, `v` vector, `m` sample, `x` anything; `*` behind:
 * any number of further ones of that kind. */
struct TmplFunc {
    StrView name;
    const char *args;
    int (*fn)(TmplExec *x, const TmplVal *args, unsigned n, TmplVal *ret);
};
const TmplFunc *tmpl_func(StrView name); /* NULL: not known */
extern const TmplFunc tmpl_builtins[], tmpl_prometheus[];
extern const unsigned tmpl_builtins_len, tmpl_prometheus_len;
bool tmpl_is_and(const TmplFunc *f); /* these two stop at the first argument that decides */
bool tmpl_is_or(const TmplFunc *f);

/* method.c: calls a method of `of`. 1: done; 0: there is no such method; negative: an error. `args`
 * are without the receiver. */
int tmpl_method(TmplExec *x, const TmplVal *of, StrView name, const TmplVal *args, unsigned n,
                TmplVal *ret) NODISCARD;

/* Takes what was written to `b` as a text of the arena. */
int tmpl_take(TmplExec *x, Buf *b, TmplVal *ret);
void tmpl_printf(StrView format, const TmplVal *args, unsigned n, Buf *out);
