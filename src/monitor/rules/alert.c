/* alert.c - one alerting rule: from the vector of its expression to pending, firing and resolved
 * alerts.
 *
 * New alerts are first built aside, with labels and annotations expanded, so that an error leaves
 * the rule's state as it was. Then they are merged into the active ones by their labels. */
#include <math.h>

#include "monitor/rules/internal.h"

typedef struct Fresh {
    Labels labels, annotations;
    StrView key;
    double value;
} Fresh;

const char *alert_state_name(AlertState s)
{
    return s == ALERT_FIRING ? "firing" : s == ALERT_PENDING ? "pending" : "inactive";
}

Alert *alert_free(Alert *x)
{
    if (!x)
        return NULL;
    arena_free(&x->arena);
    arena_free(&x->notes);
    free(x);
    return NULL;
}

static StrView key_of(Labels l, Arena *a)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    labels_format(l, &b);
    return b.failed ? SV_NULL : arena_sv(a, buf_view(&b));
}

static StrView expand(Rules *r, StrView text, const TemplateOptions *o, Arena *a)
{
    Err err = { 0 };
    _cleanup_buf_ Buf b = BUF_INIT;
    if (sv_find(text, SV("{{")) < 0)
        return text;
    atomic_fetch_add(&r->expansions, 1);
    if (template_expand(text, o, &b, &err) < 0) {
        atomic_fetch_add(&r->expansion_failures, 1);
        buf_printf(&b, "<error expanding template: %s>", err.msg);
    }
    return arena_sv(a, buf_view(&b));
}

static int build(const Eval *e, const TemplateSample *s, Fresh *ret, Err *err)
{
    const RuleDef *d = e->rule->def;
    const RuleStorage *st = &e->r->opt.storage;
    Arena *a = e->a;
    LabelsBuilder b, notes;
    TemplateOptions o = { .name = arena_printf(a, "__alert_%.*s", SV_FMT(d->name)),
                          .labels = s->labels,
                          .external_labels = e->external_labels,
                          .external_url = e->external_url,
                          .value = s->value,
                          .histogram = s->h,
                          .time = e->t,
                          .query = st->query,
                          .ctx = st->ctx };
    labels_builder_init(&b, a, s->labels);
    labels_builder_init(&notes, a, (Labels){ 0 });
    labels_builder_del(&b, LABEL_METRIC_NAME);
    for (unsigned i = 0; i < d->labels.len; i++)
        labels_builder_set(&b, d->labels.items[i].name,
                           expand(e->r, d->labels.items[i].value, &o, a));
    labels_builder_set(&b, SV("alertname"), d->name);
    for (unsigned i = 0; i < d->annotations.len; i++)
        labels_builder_set(&notes, d->annotations.items[i].name,
                           expand(e->r, d->annotations.items[i].value, &o, a));
    if (!labels_builder_take(&b, &ret->labels) || !labels_builder_take(&notes, &ret->annotations))
        return err_nomem(err);
    ret->key = key_of(ret->labels, a);
    ret->value = s->value;
    return ret->key.ptr ? 0 : err_nomem(err);
}

static int merge(Rule *rule, const Fresh *f, int64_t t, Err *err)
{
    Alert *x = map_get(&rule->by_key, f->key);
    if (!x) {
        if (!(x = calloc(1, sizeof *x)))
            return err_nomem(err);
        if (!labels_copy(f->labels, &x->arena, &x->a.labels) ||
            !(x->key = arena_sv(&x->arena, f->key)).ptr ||
            !vec_reserve(&rule->active, rule->active.len + 1) ||
            !map_set(&rule->by_key, f->key, x, NULL)) {
            alert_free(x);
            return err_nomem(err);
        }
        (void)vec_push(&rule->active, x);
    }
    if (x->a.state == ALERT_INACTIVE) {
        Labels labels = x->a.labels;
        x->a = (RuleAlert){ .state = ALERT_PENDING, .labels = labels, .active_at = t };
    }
    x->a.value = f->value;
    arena_reset(&x->notes);
    return labels_copy(f->annotations, &x->notes, &x->a.annotations) ? 0 : err_nomem(err);
}

/* What happens to an alert whose series is not in the vector; true: it goes on firing. */
static bool absent(const RuleDef *d, RuleAlert *a, int64_t t, bool *ret_drop)
{
    bool keep = false;
    if (a->state == ALERT_FIRING && d->keep_firing > 0) {
        if (!a->keep_firing_since)
            a->keep_firing_since = t;
        keep = t - a->keep_firing_since < d->keep_firing;
    }
    *ret_drop = a->state == ALERT_PENDING ||
                (a->resolved_at && t - a->resolved_at > RULES_RESOLVED_RETENTION);
    if (a->state != ALERT_INACTIVE && !keep) {
        a->state = ALERT_INACTIVE;
        a->resolved_at = t;
    }
    return keep;
}

static void advance(const RuleDef *d, RuleAlert *a, int64_t t)
{
    if (a->state == ALERT_PENDING && t - a->active_at >= d->hold) {
        a->state = ALERT_FIRING;
        a->fired_at = t;
    }
    if (a->state == ALERT_FIRING && t - a->active_at < d->hold) { /* `for` has grown */
        a->state = ALERT_PENDING;
        a->fired_at = a->sent_at = a->keep_firing_since = 0;
    }
}

static bool add_samples(const Rule *rule, const RuleAlert *a, int64_t t, Arena *arena,
                        RuleSample out[2])
{
    for (int i = 0; i < 2; i++) {
        LabelsBuilder b;
        labels_builder_init(&b, arena, a->labels);
        labels_builder_set(&b, LABEL_METRIC_NAME, i ? SV("ALERTS_FOR_STATE") : SV("ALERTS"));
        labels_builder_set(&b, SV("alertname"), rule->def->name);
        if (i == 0)
            labels_builder_set(&b, SV("alertstate"), sv_cstr(alert_state_name(a->state)));
        out[i] = (RuleSample){ .t = t, .v = i ? floor((double)a->active_at / 1000) : 1 };
        Labels l;
        if (!labels_builder_take(&b, &l) || !labels_copy(l, arena, &out[i].labels))
            return false;
    }
    return true;
}

static void drop(Rule *rule, size_t i)
{
    Alert *x = rule->active.items[i];
    map_del(&rule->by_key, x->key);
    vec_swap_remove(&rule->active, i);
    alert_free(x);
}

/* The alerts of this evaluation, made aside. */
static int build_all(const Eval *e, Map *seen, Fresh **ret, size_t *ret_n, Err *err)
{
    TemplateSample *v = NULL;
    size_t n = 0;
    const RuleStorage *st = &e->r->opt.storage;
    int r = st->query(st->ctx, e->rule->def->expr_text, e->t - e->g->offset, e->a, &v, &n, err);
    Fresh *fresh = arena_array(e->a, Fresh, n + 1);
    if (r < 0 || !fresh)
        return r < 0 ? r : err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        if ((r = build(e, &v[i], &fresh[i], err)) < 0)
            return r;
        if (map_has(seen, fresh[i].key))
            return err_set(err, ERR_INVALID, 0,
                           "vector contains metrics with the same labelset "
                           "after applying alert labels");
        if (!map_set(seen, fresh[i].key, &fresh[i], NULL))
            return err_nomem(err);
    }
    *ret = fresh;
    *ret_n = n;
    return 0;
}

/* Every alert's next state; the samples that show it. *ret_active: pending and firing ones. */
static int step_all(const Eval *e, const Map *seen, RuleSample *samples, size_t *ret_n,
                    size_t *ret_active, Err *err)
{
    Rule *rule = e->rule;
    for (size_t i = rule->active.len; i-- > 0;) {
        Alert *x = rule->active.items[i];
        bool gone = false;
        if (map_has(seen, x->key))
            x->a.keep_firing_since = 0;
        else if (!absent(rule->def, &x->a, e->t, &gone)) {
            if (gone)
                drop(rule, i);
            continue;
        }
        ++*ret_active;
        advance(rule->def, &x->a, e->t);
        if (!rule->restored)
            continue;
        if (!add_samples(rule, &x->a, e->t - e->g->offset, e->a, samples + *ret_n))
            return err_nomem(err);
        *ret_n += 2;
    }
    return 0;
}

/* With the lock held: views show alerts. */
static int update(const Eval *e, const Map *seen, const Fresh *fresh, size_t n, RuleSample **ret,
                  size_t *ret_n, Err *err)
{
    Rule *rule = e->rule;
    size_t out = 0, active = 0;
    int64_t limit = e->g->def->limit;
    int r;
    for (size_t i = 0; i < n; i++)
        if ((r = merge(rule, &fresh[i], e->t, err)) < 0)
            return r;
    RuleSample *samples = arena_array(e->a, RuleSample, 2 * rule->active.len + 1);
    if (!samples)
        return err_nomem(err);
    if ((r = step_all(e, seen, samples, &out, &active, err)) < 0)
        return r;
    if (limit > 0 && active > (size_t)limit) {
        while (rule->active.len)
            drop(rule, rule->active.len - 1);
        return err_set(err, ERR_LIMIT, 0, "exceeded limit of %lld with %zu alerts",
                       (long long)limit, active);
    }
    *ret = samples;
    *ret_n = out;
    return 0;
}

int alert_eval(const Eval *e, RuleSample **ret, size_t *ret_n, Err *err)
{
    _cleanup_map_ Map seen = { 0 };
    Fresh *fresh = NULL;
    size_t n = 0;
    int r = build_all(e, &seen, &fresh, &n, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&e->r->lock);
    r = update(e, &seen, fresh, n, ret, ret_n, err);
    pthread_mutex_unlock(&e->r->lock);
    return r;
}

static size_t collect(const Eval *e, RuleAlert *send)
{
    size_t n = 0;
    int64_t resend = e->r->opt.resend_delay;
    vec_foreach (it, &e->rule->active) {
        RuleAlert *x = &(*it)->a;
        if (x->state == ALERT_PENDING ||
            (x->resolved_at <= x->sent_at && x->sent_at + resend >= e->t))
            continue;
        x->sent_at = e->t;
        /* long enough for two evaluations or posts to fail */
        x->valid_until = e->t + 4 * MAX(e->g->interval, resend);
        send[n++] = *x;
    }
    return n;
}

void alert_notify(const Eval *e)
{
    Rules *r = e->r;
    RuleAlert *send = arena_array(e->a, RuleAlert, e->rule->active.len + 1);
    if (!send || !r->opt.notify)
        return;
    pthread_mutex_lock(&r->lock);
    size_t n = collect(e, send);
    pthread_mutex_unlock(&r->lock);
    if (n > 0)
        r->opt.notify(r->opt.ctx, e->rule->def->expr_text, send, n);
}

/* Sets active_at from what ALERTS_FOR_STATE said before the restart: the time that the monitor was
 * down does not count, and nothing fires before the grace period is over. */
static void restore_one(const Rules *r, const RuleDef *d, RuleAlert *a, const RuleSample *s,
                        int64_t now)
{
    if (is_stale_nan(s->v) || !(fabs(s->v) < 1e15))
        return;
    int64_t was = (int64_t)s->v * 1000, left = d->hold - (s->t - was);
    if (left <= 0)
        ; /* was firing: the next evaluation makes it fire again */
    else if (left < r->opt.grace_period)
        was = now + r->opt.grace_period - d->hold;
    else
        was += now - s->t;
    a->active_at = was;
}

void alert_restore(Rules *r, Rule *rule, int64_t now)
{
    RuleSample *s = NULL;
    size_t n = 0;
    Arena a;
    const RuleStorage *st = &r->opt.storage;
    rule->restored = true; /* whatever happens: there is no second try */
    if (rule->def->hold < r->opt.grace_period || !st->last)
        return;
    arena_init(&a, RULES_EVAL_MEMORY_MAX);
    if (st->last(st->ctx, SV("ALERTS_FOR_STATE"), rule->def->name, now - r->opt.outage_tolerance,
                 now, &a, &s, &n, NULL) < 0)
        n = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < n; i++) {
        LabelsBuilder b;
        Labels l;
        labels_builder_init(&b, &a, s[i].labels);
        labels_builder_del(&b, LABEL_METRIC_NAME);
        Alert *x = labels_builder_take(&b, &l) ? map_get(&rule->by_key, key_of(l, &a)) : NULL;
        if (x)
            restore_one(r, rule->def, &x->a, &s[i], now);
    }
    pthread_mutex_unlock(&r->lock);
    arena_free(&a);
}
