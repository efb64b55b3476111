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

static StrView expand(StrView text, const TemplateOptions *o, Arena *a)
{
    Err err = { 0 };
    _cleanup_buf_ Buf b = BUF_INIT;
    if (sv_find(text, SV("{{")) < 0)
        return text;
    if (template_expand(text, o, &b, &err) < 0)
        buf_printf(&b, "<error expanding template: %s>", err.msg);
    return arena_sv(a, buf_view(&b));
}

static int build(Rules *r, const Rule *rule, const TemplateSample *s, int64_t t, Arena *a,
                 Fresh *ret, Err *err)
{
    const RuleDef *d = rule->def;
    LabelsBuilder b, notes;
    TemplateOptions o = { .name = arena_printf(a, "__alert_%.*s", SV_FMT(d->name)),
                          .labels = s->labels,
                          .external_labels = r->opt.external_labels,
                          .external_url = r->opt.external_url,
                          .value = s->value,
                          .histogram = s->h,
                          .time = t,
                          .query = r->opt.storage.query,
                          .ctx = r->opt.storage.ctx };
    labels_builder_init(&b, a, s->labels);
    labels_builder_init(&notes, a, (Labels){ 0 });
    labels_builder_del(&b, LABEL_METRIC_NAME);
    for (unsigned i = 0; i < d->labels.len; i++)
        labels_builder_set(&b, d->labels.items[i].name, expand(d->labels.items[i].value, &o, a));
    labels_builder_set(&b, SV("alertname"), d->name);
    for (unsigned i = 0; i < d->annotations.len; i++)
        labels_builder_set(&notes, d->annotations.items[i].name,
                           expand(d->annotations.items[i].value, &o, a));
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

int alert_eval(Rules *r, const Group *g, Rule *rule, int64_t t, Arena *a, RuleSample **ret,
               size_t *ret_n, Err *err)
{
    TemplateSample *v = NULL;
    size_t n = 0, out = 0, active = 0;
    _cleanup_map_ Map seen = { 0 };
    int e = r->opt.storage.query(r->opt.storage.ctx, rule->def->expr_text, t - g->offset, a, &v, &n,
                                 err);
    Fresh *fresh = arena_array(a, Fresh, n + 1);
    if (e < 0 || !fresh)
        return e < 0 ? e : err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        if ((e = build(r, rule, &v[i], t, a, &fresh[i], err)) < 0)
            return e;
        if (map_has(&seen, fresh[i].key))
            return err_set(err, ERR_INVALID, 0,
                           "vector contains metrics with the same labelset "
                           "after applying alert labels");
        if (!map_set(&seen, fresh[i].key, &fresh[i], NULL))
            return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++)
        if ((e = merge(rule, &fresh[i], t, err)) < 0)
            return e;
    RuleSample *samples = arena_array(a, RuleSample, 2 * rule->active.len + 1);
    if (!samples)
        return err_nomem(err);
    for (size_t i = rule->active.len; i-- > 0;) {
        Alert *x = rule->active.items[i];
        bool gone = false;
        if (map_has(&seen, x->key))
            x->a.keep_firing_since = 0;
        else if (!absent(rule->def, &x->a, t, &gone)) {
            if (gone)
                drop(rule, i);
            continue;
        }
        active++;
        advance(rule->def, &x->a, t);
        if (rule->restored) {
            if (!add_samples(rule, &x->a, t - g->offset, a, samples + out))
                return err_nomem(err);
            out += 2;
        }
    }
    if (g->def->limit > 0 && active > (size_t)g->def->limit) {
        while (rule->active.len)
            drop(rule, rule->active.len - 1);
        return err_set(err, ERR_LIMIT, 0, "exceeded limit of %lld with %zu alerts",
                       (long long)g->def->limit, active);
    }
    *ret = samples;
    *ret_n = out;
    return 0;
}

void alert_notify(Rules *r, const Group *g, Rule *rule, int64_t t, Arena *a)
{
    size_t n = 0;
    RuleAlert *send = arena_array(a, RuleAlert, rule->active.len + 1);
    if (!send || !r->opt.notify)
        return;
    vec_foreach (it, &rule->active) {
        RuleAlert *x = &(*it)->a;
        if (x->state == ALERT_PENDING ||
            (x->resolved_at <= x->sent_at && x->sent_at + r->opt.resend_delay >= t))
            continue;
        x->sent_at = t;
        /* long enough for two evaluations or posts to fail */
        x->valid_until = t + 4 * MAX(g->interval, r->opt.resend_delay);
        send[n++] = *x;
    }
    if (n > 0)
        r->opt.notify(r->opt.notify_ctx, rule->def->expr_text, send, n);
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
    for (size_t i = 0; i < n; i++) {
        LabelsBuilder b;
        Labels l;
        labels_builder_init(&b, &a, s[i].labels);
        labels_builder_del(&b, LABEL_METRIC_NAME);
        Alert *x = labels_builder_take(&b, &l) ? map_get(&rule->by_key, key_of(l, &a)) : NULL;
        if (x)
            restore_one(r, rule->def, &x->a, &s[i], now);
    }
    arena_free(&a);
}
