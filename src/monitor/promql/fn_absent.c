/* fn_absent.c - absent() and absent_over_time(): 1 where the argument has nothing. */
#include "monitor/promql/fn.h"

/* Labels that the selector asks for by equality, and by that alone. */
static bool selector_labels(const Node *arg, Arena *a, Labels *ret)
{
    LabelsBuilder b;
    labels_builder_init(&b, a, (Labels){ 0 });
    for (unsigned i = 0;
         (arg->type == NODE_VECTOR || arg->type == NODE_MATRIX) && i < arg->sel.n_matchers; i++) {
        const Matcher *m = &arg->sel.matchers[i];
        bool seen = false;
        if (sv_eq(m->name, LABEL_METRIC_NAME))
            continue;
        for (unsigned k = 0; k < i; k++)
            seen |=
                arg->sel.matchers[k].op == MATCH_EQ && sv_eq(arg->sel.matchers[k].name, m->name);
        if (m->op == MATCH_EQ && !seen)
            labels_builder_set(&b, m->name, m->value);
        else
            labels_builder_del(&b, m->name);
    }
    return labels_builder_take(&b, ret);
}

int eval_absent(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    Node *arg = call->args[0];
    bool range = call->fn->id == FN_ABSENT_OVER_TIME;
    Stream *child;
    Column c, out;
    Matrix m = { 0 };
    int r = range ? eval_range_call(ev, call, steps, &child) : eval_stream(ev, arg, steps, &child);
    if (r >= 0)
        r = column_init(ev, &out, steps->n);
    if (r < 0)
        return r;
    memset(out.kind, SAMPLE_FLOAT, steps->n);
    for (unsigned i = 0; i < steps->n; i++)
        out.v[i] = 1;
    while ((r = stream_next(child, &c)) > 0)
        for (unsigned i = 0; i < steps->n; i++)
            if (c.kind[i] != SAMPLE_NONE)
                out.kind[i] = SAMPLE_NONE;
    if (r < 0)
        return r;
    out.drop_name = range;
    while (arg->type == NODE_STEP_INVARIANT)
        arg = arg->expr;
    if (!selector_labels(arg, ev->arena, &out.labels))
        return eval_nomem(ev);
    r = matrix_push(ev, &m, &out);
    return r < 0 ? r : matrix_stream(ev, &m, steps, ret);
}
