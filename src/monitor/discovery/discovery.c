/* discovery.c - one Discovery over all sections of a job, and static lists, which need no more. */
#include "monitor/discovery/internal.h"

#include <stdio.h>
#include <string.h>

#include "codec/yaml.h"

#define ADDRESS SV("__address__")

void provider_emit(Provider *p, const TargetGroup *groups, size_t n)
{
    _cleanup_arena_ Arena a;
    arena_init(&a, 0);
    TargetGroup *out = arena_array(&a, TargetGroup, n + 1);
    for (size_t i = 0; out && i < n; i++) {
        out[i] = groups[i];
        out[i].source = arena_printf(&a, "%s/%.*s", p->name, SV_FMT(groups[i].source));
        if (!out[i].source.ptr)
            out = NULL;
    }
    if (out && n)
        p->owner->fn(p->owner->ctx, out, n);
}

void provider_error(Provider *p, const Err *err)
{
    p->owner->last_error = err ? *err : (Err){ 0 };
}

const Err *discovery_last_error(const Discovery *d)
{
    return &d->last_error;
}

/* ---- lists of groups ---- */

static int group_labels(const Value *v, const Label *extra, Arena *a, Labels *ret, Err *err)
{
    LabelsBuilder b;
    labels_builder_init(&b, a, (Labels){ 0 });
    value_map_foreach (m, v) {
        if (m->val.kind != VALUE_STRING && m->val.kind != VALUE_NULL)
            return err_set(err, ERR_INVALID, 0, "label \"%.*s\": expected a string",
                           SV_FMT(m->key));
        if (sv_empty(m->key) || !sv_is_utf8(m->key))
            return err_set(err, ERR_INVALID, 0, "\"%.*s\" is not a valid label name",
                           SV_FMT(m->key));
        labels_builder_set(&b, m->key, value_str(&m->val));
    }
    if (extra)
        labels_builder_set(&b, extra->name, extra->value);
    return labels_builder_take(&b, ret) ? 0 : err_nomem(err);
}

static int group_targets(const Value *v, Arena *a, TargetGroup *g, Err *err)
{
    if (v && v->kind != VALUE_LIST && v->kind != VALUE_NULL)
        return err_set(err, ERR_INVALID, 0, "targets: expected a list of strings");
    Labels *targets = arena_array(a, Labels, value_len(v) + 1u);
    if (!targets)
        return err_nomem(err);
    value_list_foreach (it, v) {
        Label *l = arena_new(a, Label);
        if (!l)
            return err_nomem(err);
        if (it->kind != VALUE_STRING)
            return err_set(err, ERR_INVALID, 0, "targets: expected a list of strings");
        *l = (Label){ ADDRESS, value_str(it) };
        targets[g->n_targets++] = (Labels){ l, 1 };
    }
    g->targets = targets;
    return 0;
}

static int one_group(const Value *v, const Label *extra, Arena *a, TargetGroup *g, Err *err)
{
    int r;
    if (v->kind != VALUE_MAP)
        return err_set(err, ERR_INVALID, 0, "expected a map with targets and labels");
    value_map_foreach (m, v)
        if (!sv_eq(m->key, SV("targets")) && !sv_eq(m->key, SV("labels")))
            return err_set(err, ERR_INVALID, 0, "unknown field \"%.*s\"", SV_FMT(m->key));
    if ((r = group_targets(value_get(v, SV("targets")), a, g, err)) < 0)
        return r;
    return group_labels(value_get(v, SV("labels")), extra, a, &g->labels, err);
}

int groups_parse(StrView text, bool json, StrView source, const Label *extra, Arena *a,
                 TargetGroup **ret, size_t *ret_n, Err *err)
{
    JsonOptions opt = { .plain_text = true };
    Value v;
    int r = json ? json_decode(text, a, NULL, &v, err) : yaml_decode(text, a, &opt, &v, NULL, err);

    if (r < 0)
        return r;
    if (v.kind != VALUE_LIST && v.kind != VALUE_NULL)
        return err_set(err, ERR_INVALID, 0, "expected a list of target groups");
    if (value_len(&v) > DISCOVERY_GROUPS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d target groups", DISCOVERY_GROUPS_MAX);
    TargetGroup *groups = arena_array(a, TargetGroup, value_len(&v) + 1u);
    if (!groups)
        return err_nomem(err);
    unsigned n = 0;
    value_list_foreach (it, &v) {
        if ((r = one_group(it, extra, a, &groups[n], err)) < 0)
            return err_wrap(err, "target group %u", n);
        groups[n].source = arena_printf(a, "%.*s:%u", SV_FMT(source), n);
        if (!groups[n].source.ptr)
            return err_nomem(err);
        n++;
    }
    *ret = groups;
    *ret_n = n;
    return 0;
}

/* ---- static_configs ---- */

typedef struct StaticProvider {
    Provider base;
    const ConfigDiscovery *cfg;
} StaticProvider;

static void emit_static(void *ctx)
{
    StaticProvider *p = ctx;
    _cleanup_arena_ Arena a;
    unsigned n = p->cfg->statics.len;

    arena_init(&a, 0);
    TargetGroup *groups = arena_array(&a, TargetGroup, n);
    for (unsigned i = 0; groups && i < n; i++) {
        const ConfigStatic *s = &p->cfg->statics.items[i];
        Label *l = arena_array(&a, Label, s->targets.len + 1u);
        Labels *targets = arena_array(&a, Labels, s->targets.len + 1u);
        groups[i].source = arena_printf(&a, "%u", i);
        if (!l || !targets || !groups[i].source.ptr)
            return;
        for (unsigned j = 0; j < s->targets.len; j++) {
            l[j] = (Label){ ADDRESS, s->targets.items[j] };
            targets[j] = (Labels){ &l[j], 1 };
        }
        groups[i].labels = s->labels;
        groups[i].targets = targets;
        groups[i].n_targets = s->targets.len;
    }
    if (groups)
        provider_emit(&p->base, groups, n);
}

static Provider *static_stop(Provider *base)
{
    loop_defer_cancel(base->owner->loop, emit_static, base);
    free(base);
    return NULL;
}

static int static_new(Discovery *d, Provider **ret, Err *err)
{
    StaticProvider *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(err);
    p->base = (Provider){ .owner = d, .stop = static_stop };
    p->cfg = d->cfg;
    int r = loop_defer(d->loop, emit_static, p, err);
    if (r < 0)
        free(p);
    else
        *ret = &p->base;
    return r;
}

/* ---- the whole ---- */

static int keep(Discovery *d, Provider *p, const char *kind, unsigned i, Err *err)
{
    snprintf(p->name, sizeof p->name, "%s/%u", kind, i);
    if (vec_push(&d->providers, p))
        return 0;
    p->stop(p);
    return err_nomem(err);
}

static int start_all(Discovery *d, Err *err)
{
    const ConfigDiscovery *c = d->cfg;
    Provider *p = NULL;
    int r = 0;

    if (c->statics.len &&
        ((r = static_new(d, &p, err)) < 0 || (r = keep(d, p, "static", 0, err)) < 0))
        return r;
    for (unsigned i = 0; i < c->files.len; i++)
        if ((r = file_provider_new(d, &c->files.items[i], &p, err)) < 0 ||
            (r = keep(d, p, "file", i, err)) < 0)
            return r;
    for (unsigned i = 0; i < c->https.len; i++)
        if ((r = http_provider_new(d, &c->https.items[i], &p, err)) < 0 ||
            (r = keep(d, p, "http", i, err)) < 0)
            return r;
    for (unsigned i = 0; i < c->dns.len; i++)
        if ((r = dns_provider_new(d, &c->dns.items[i], &p, err)) < 0 ||
            (r = keep(d, p, "dns", i, err)) < 0)
            return r;
    for (unsigned i = 0; i < c->kubernetes.len; i++)
        if ((r = k8s_provider_new(d, &c->kubernetes.items[i], &p, err)) < 0 ||
            (r = keep(d, p, "kubernetes", i, err)) < 0)
            return r;
    return 0;
}

int discovery_start(Loop *l, const ConfigDiscovery *cfg, const DiscoveryOptions *opt,
                    DiscoveryFn *fn, void *ctx, Discovery **ret, Err *err)
{
    Discovery *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(err);
    d->loop = l;
    d->cfg = cfg;
    d->fn = fn;
    d->ctx = ctx;
    d->dns_server = opt && opt->dns_server ? strdup(opt->dns_server) : NULL;
    d->user_agent = strdup(opt && opt->user_agent ? opt->user_agent : "Prometheus/3");
    d->opt = (DiscoveryOptions){ .dns_server = d->dns_server, .user_agent = d->user_agent };
    int r = !d->user_agent ? err_nomem(err) : start_all(d, err);
    if (r < 0) {
        discovery_stop(d);
        return r;
    }
    *ret = d;
    return 0;
}

Discovery *discovery_stop(Discovery *d)
{
    if (!d)
        return NULL;
    vec_foreach (p, &d->providers)
        (*p)->stop(*p);
    vec_free(&d->providers);
    free(d->dns_server);
    free(d->user_agent);
    free(d);
    return NULL;
}
