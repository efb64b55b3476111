/* info.c - info(v, {…}): adds the labels of info metrics (target_info unless the selector names
 * others) that have the same job and instance. Of several info series the newest sample counts. */
#include "monitor/promql/agg.h"
#include "monitor/promql/select.h"

enum { INFO_NAMES_MAX = 1024 };

#define LABEL_INSTANCE SV("instance")
#define LABEL_JOB      SV("job")

typedef struct InfoGroup { /* info series of one name, job and instance */
    AggGroup head;
    Matrix cols; /* v is the sample's time in ms */
} InfoGroup;

typedef struct InfoCall {
    Eval *ev;
    Node *selector; /* NULL without a second argument */
    Steps steps;
    Matrix base;
    bool *ignored; /* base series that are info series themselves */
    Node fetch;    /* a selector of the info series */
    AggGroups groups;
    StrView *names; /* of info metrics */
    unsigned n_names;
    Merger out;
} InfoCall;

static bool is_name(const Matcher *m)
{
    return sv_eq(m->name, LABEL_METRIC_NAME);
}

static int add_matcher(InfoCall *c, MatchOp op, StrView name, StrView value)
{
    Selector *s = &c->fetch.sel;
    int r = matcher_init(&s->matchers[s->n_matchers], op, name, value, c->ev->arena, c->ev->err);
    if (r >= 0)
        s->n_matchers++;
    return r;
}

/* The matchers on the name that select info series: those given; without a positive one also
 * ".+_info"; without any target_info. */
static int name_matchers(InfoCall *c)
{
    bool positive = false, any = false;
    int r = 0;
    for (unsigned i = 0; c->selector && i < c->selector->sel.n_matchers; i++) {
        const Matcher *m = &c->selector->sel.matchers[i];
        if (!is_name(m))
            continue;
        any = true;
        positive |= m->op == MATCH_EQ || m->op == MATCH_RE;
    }
    if (!any)
        return add_matcher(c, MATCH_EQ, LABEL_METRIC_NAME, SV("target_info"));
    if (!positive)
        r = add_matcher(c, MATCH_RE, LABEL_METRIC_NAME, SV(".+_info"));
    for (unsigned i = 0; r >= 0 && i < c->selector->sel.n_matchers; i++) {
        const Matcher *m = &c->selector->sel.matchers[i];
        if (is_name(m))
            r = add_matcher(c, m->op, m->name, m->value);
    }
    return r;
}

static void put_literal(StrView s, Buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("\\.+*?()|[]{}^$", s.ptr[i]))
            buf_putc(out, '\\');
        buf_putc(out, s.ptr[i]);
    }
}

static int by_text(const void *a, const void *b)
{
    return sv_cmp(*(const StrView *)a, *(const StrView *)b);
}

/* `label=~"a|b|c"` of all values that base series have. 0: none has it. */
static int value_matcher(InfoCall *c, StrView label)
{
    StrView *values = arena_array(c->ev->arena, StrView, c->base.len + 1);
    size_t n = 0;
    _cleanup_buf_ Buf regex = BUF_INIT;
    if (!values)
        return eval_nomem(c->ev);
    for (size_t i = 0; i < c->base.len; i++) {
        StrView v = labels_get(c->base.cols[i].labels, label);
        if (!c->ignored[i] && v.len)
            values[n++] = v;
    }
    qsort(values, n, sizeof *values, by_text);
    for (size_t i = 0; i < n; i++) {
        if (i && sv_eq(values[i], values[i - 1]))
            continue;
        if (regex.len)
            buf_putc(&regex, '|');
        put_literal(values[i], &regex);
    }
    if (!n)
        return 0;
    int r = regex.failed ? eval_nomem(c->ev) : add_matcher(c, MATCH_RE, label, buf_view(&regex));
    return r < 0 ? r : 1;
}

static void find_ignored(InfoCall *c)
{
    const Selector *s = &c->fetch.sel; /* only the name's matchers so far */
    for (size_t i = 0; i < c->base.len; i++) {
        StrView name = metric_name(c->base.cols[i].labels);
        c->ignored[i] = true;
        for (unsigned k = 0; k < s->n_matchers; k++)
            c->ignored[i] = c->ignored[i] && matcher_matches(&s->matchers[k], name);
    }
}

static bool known_name(InfoCall *c, StrView name)
{
    for (unsigned i = 0; i < c->n_names; i++)
        if (sv_eq(c->names[i], name))
            return true;
    return false;
}

static int add_info(InfoCall *c, const Column *col)
{
    AggGroup *g;
    Column copy;
    bool is_new;
    int r = agg_group_of(&c->groups, col->labels, &g, &is_new);
    if (r >= 0)
        r = column_copy(c->ev, col, c->steps.n, &copy);
    if (r >= 0)
        r = matrix_push(c->ev, &((InfoGroup *)g)->cols, &copy);
    if (r < 0 || known_name(c, metric_name(copy.labels)))
        return r;
    if (c->n_names == INFO_NAMES_MAX)
        return eval_fail(c->ev, PROMQL_EXECUTION, ERR_LIMIT,
                         "info() matches more than %d info metrics", INFO_NAMES_MAX);
    c->names[c->n_names++] = metric_name(copy.labels);
    return 0;
}

static int fetch(InfoCall *c)
{
    Stream *s;
    Column col;
    int job, instance = value_matcher(c, LABEL_INSTANCE);
    job = instance < 0 ? instance : value_matcher(c, LABEL_JOB);
    if (job < 0 || (!job && !instance))
        return job;
    for (unsigned i = 0; c->selector && i < c->selector->sel.n_matchers; i++) {
        const Matcher *m = &c->selector->sel.matchers[i];
        int r = is_name(m) ? 0 : add_matcher(c, m->op, m->name, m->value);
        if (r < 0)
            return r;
    }
    int r = select_times_ms(c->ev, &c->fetch, &c->steps, &s);
    while (r >= 0 && (r = stream_next(s, &col)) > 0)
        r = add_info(c, &col);
    return r;
}

/* Two info series of one kind with samples of the same time contradict each other. */
static int check_group(InfoCall *c, const InfoGroup *g, const uint8_t *any_base)
{
    for (size_t a = 0; a < g->cols.len; a++) {
        for (size_t b = a + 1; b < g->cols.len; b++) {
            const Column *x = &g->cols.cols[a], *y = &g->cols.cols[b];
            for (unsigned i = 0; i < c->steps.n; i++) {
                if (!any_base[i] || !x->kind[i] || !y->kind[i] || x->v[i] != y->v[i])
                    continue;
                _cleanup_buf_ Buf one = BUF_INIT, two = BUF_INIT;
                labels_format_set(x->labels, &one);
                labels_format_set(y->labels, &two);
                return eval_fail(c->ev, PROMQL_EXECUTION, ERR_INVALID,
                                 "found duplicate series for info metric: existing %.*s @ %lld, "
                                 "new %.*s @ %lld",
                                 SV_FMT(buf_view(&one)), (long long)x->v[i], SV_FMT(buf_view(&two)),
                                 (long long)y->v[i]);
            }
        }
    }
    return 0;
}

static int check_groups(InfoCall *c)
{
    uint8_t *any = arena_alloc(c->ev->arena, c->steps.n);
    int r = any ? 0 : eval_nomem(c->ev);
    for (size_t b = 0; any && b < c->base.len; b++)
        for (unsigned i = 0; i < c->steps.n; i++)
            any[i] |= c->base.cols[b].kind[i];
    for (size_t i = 0; r >= 0 && i < c->groups.len; i++)
        r = check_group(c, c->groups.items[i], any);
    return r;
}

/* The data labels that the selector asks for; without any, all are taken. */
static bool wants_label(const InfoCall *c, StrView name)
{
    bool any = false;
    for (unsigned i = 0; c->selector && i < c->selector->sel.n_matchers; i++) {
        const Matcher *m = &c->selector->sel.matchers[i];
        if (is_name(m))
            continue;
        any = true;
        if (sv_eq(m->name, name))
            return true;
    }
    return !any;
}

static bool may_lack_info(const InfoCall *c)
{
    for (unsigned i = 0; c->selector && i < c->selector->sel.n_matchers; i++) {
        const Matcher *m = &c->selector->sel.matchers[i];
        if (!is_name(m) && !matcher_matches(m, SV("")))
            return false;
    }
    return true;
}

static const Column *newest(const InfoGroup *g, unsigned step)
{
    const Column *best = NULL;
    for (size_t i = 0; i < g->cols.len; i++) {
        const Column *x = &g->cols.cols[i];
        if (x->kind[step] && (!best || x->v[step] > best->v[step]))
            best = x;
    }
    return best;
}

/* Adds the labels of one info series; those of the base series stay. */
static int add_labels(InfoCall *c, LabelsBuilder *b, Labels base, Labels info)
{
    for (unsigned i = 0; i < info.len; i++) {
        const Label *l = &info.items[i];
        if (sv_eq(l->name, LABEL_METRIC_NAME) || !wants_label(c, l->name) ||
            labels_has(base, l->name))
            continue;
        StrView old = labels_builder_get(b, l->name);
        if (old.len && !sv_eq(old, l->value))
            return eval_fail(c->ev, PROMQL_EXECUTION, ERR_INVALID, "conflicting label: %.*s",
                             SV_FMT(l->name));
        labels_builder_set(b, l->name, l->value);
    }
    return 0;
}

static int find_groups(InfoCall *c, Labels base, InfoGroup **ret)
{
    for (unsigned i = 0; i < c->n_names; i++) {
        LabelsBuilder b;
        Labels l;
        AggGroup *g;
        bool is_new;
        labels_builder_init(&b, c->ev->arena, base);
        labels_builder_set(&b, LABEL_METRIC_NAME, c->names[i]);
        if (!labels_builder_take(&b, &l))
            return eval_nomem(c->ev);
        int r = agg_group_of(&c->groups, l, &g, &is_new);
        if (r < 0)
            return r;
        ret[i] = (InfoGroup *)g;
    }
    return 0;
}

/* The output column of a base series with these info series; NULL: it has none. */
static int enriched_column(InfoCall *c, const Column *base, const Column **infos, Column **ret)
{
    LabelsBuilder b;
    Labels l;
    bool found = false;
    int r = 0;
    *ret = NULL;
    labels_builder_init(&b, c->ev->arena, base->labels);
    for (unsigned i = 0; r >= 0 && i < c->n_names; i++) {
        found |= infos[i] != NULL;
        if (infos[i])
            r = add_labels(c, &b, base->labels, infos[i]->labels);
    }
    if (r < 0 || (!found && !may_lack_info(c)))
        return r;
    if (!labels_builder_take(&b, &l))
        return eval_nomem(c->ev);
    return merger_column(&c->out, l, base->drop_name, ret);
}

/* Info series seldom change: labels are put together only where they do. */
static int enrich_series(InfoCall *c, const Column *base, InfoGroup **groups, const Column **infos)
{
    Column *out = NULL;
    bool known = false;
    int r = 0;
    for (unsigned k = 0; r >= 0 && k < c->steps.n; k++) {
        if (base->kind[k] == SAMPLE_NONE)
            continue;
        for (unsigned i = 0; i < c->n_names; i++) {
            const Column *now = newest(groups[i], k);
            known = known && now == infos[i];
            infos[i] = now;
        }
        if (!known)
            r = enriched_column(c, base, infos, &out);
        known = true;
        if (r >= 0 && out)
            r = merger_put(&c->out, out, k, base->kind[k], base->v[k],
                           base->kind[k] == SAMPLE_HISTOGRAM ? base->h[k] : NULL);
    }
    return r;
}

static int enrich(InfoCall *c)
{
    InfoGroup **groups = arena_alloc_n(c->ev->arena, c->n_names + 1, sizeof *groups);
    const Column **infos = arena_alloc_n(c->ev->arena, c->n_names + 1, sizeof *infos);
    int r = groups && infos ? 0 : eval_nomem(c->ev);
    for (size_t i = 0; r >= 0 && i < c->base.len; i++) {
        const Column *base = &c->base.cols[i];
        if (c->ignored[i]) {
            r = merger_put_column(&c->out, base, false);
            continue;
        }
        r = find_groups(c, base->labels, groups);
        if (r >= 0)
            r = enrich_series(c, base, groups, infos);
    }
    return r;
}

/* Info series are looked up at the time that the first selector inside is: its @ and offset, and
 * those of subqueries around it up to the first @. */
static bool selector_time(Node *n, Modifiers *ret)
{
    if (n->type == NODE_VECTOR || n->type == NODE_MATRIX) {
        ret->has_at = n->mod.has_at;
        ret->at = n->mod.at;
        ret->offset = n->mod.offset;
        return true;
    }
    for (unsigned i = 0;; i++) {
        Node **child = node_child(n, i);
        if (!child)
            return false;
        if (!selector_time(*child, ret))
            continue;
        if (n->type == NODE_SUBQUERY && !ret->has_at) {
            ret->offset += n->mod.offset;
            ret->has_at = n->mod.has_at;
            ret->at = n->mod.at;
        }
        return true;
    }
}

static int run(InfoCall *c, Node *call)
{
    Stream *s;
    unsigned n = c->selector ? c->selector->sel.n_matchers : 0;
    c->fetch = (Node){ .type = NODE_VECTOR, .start = call->start, .sel.func = SV("info") };
    selector_time(call->args[0], &c->fetch.mod);
    c->fetch.sel.matchers = arena_array(c->ev->arena, Matcher, n * 2 + 4);
    c->names = arena_array(c->ev->arena, StrView, INFO_NAMES_MAX);
    if (!c->fetch.sel.matchers || !c->names)
        return eval_nomem(c->ev);
    int r = eval_stream(c->ev, call->args[0], &c->steps, &s);
    if (r >= 0)
        r = matrix_collect(s, &c->base);
    if (r < 0)
        return r;
    c->ignored = arena_alloc(c->ev->arena, c->base.len + 1);
    if (!c->ignored)
        return eval_nomem(c->ev);
    r = name_matchers(c);
    if (r < 0)
        return r;
    find_ignored(c);
    r = fetch(c);
    if (r >= 0)
        r = check_groups(c);
    return r < 0 ? r : enrich(c);
}

int eval_info(Eval *ev, Node *call, const Steps *steps, Stream **ret)
{
    StrView by[] = { LABEL_METRIC_NAME, LABEL_INSTANCE, LABEL_JOB };
    InfoCall c = { .ev = ev, .steps = *steps };
    Node grouping = { .grouping = by, .n_grouping = ARRAY_SIZE(by) };
    c.selector = call->n_args > 1 ? call->args[1] : NULL;
    int r = agg_groups_init(&c.groups, ev, &grouping, sizeof(InfoGroup));
    if (r < 0)
        return r;
    merger_init(&c.out, ev, steps, false);
    r = run(&c, call);
    for (unsigned i = 0; i < c.fetch.sel.n_matchers; i++)
        matcher_free(&c.fetch.sel.matchers[i]);
    return r < 0 ? r : matrix_stream(ev, &c.out.out, steps, ret);
}
