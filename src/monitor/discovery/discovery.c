/* discovery.c - one Discovery over all sections of a job, and static lists, which need no more. */
#include "monitor/discovery/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "codec/yaml.h"

#define ADDRESS SV("__address__")

static void count_targets(Discovery *d, const TargetGroup *g)
{
    void *old = NULL;
    if (!g->n_targets)
        old = map_del(&d->counts, g->source);
    else if (!map_set(&d->counts, g->source, (void *)(uintptr_t)g->n_targets, &old))
        return; /* shown too low */
    d->targets += g->n_targets;
    d->targets -= (size_t)(uintptr_t)old;
}

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
    if (!out || !n)
        return;
    for (size_t i = 0; i < n; i++)
        count_targets(p->owner, &out[i]);
    p->owner->stats->updates[p->owner->opt.user]++;
    p->owner->fn(p->owner->ctx, out, n);
}

/* ---- what does not work ---- */

void provider_log(const Provider *p, const char *what, StrView path, const char *why)
{
    static const char *const users[] = {
        [DISCOVERY_SCRAPE] = "scrape", [DISCOVERY_NOTIFY] = "notify"
    };
    _cleanup_buf_ Buf line = BUF_INIT;
    if (p->owner->opt.user == DISCOVERY_TOOL)
        return;
    buf_printf(&line, "%s component=\"discovery manager %s\" discovery=%s config=", what,
               users[p->owner->opt.user], p->kind);
    text_quote(p->owner->opt.section, &line);
    if (path.len) {
        buf_sv(&line, SV(" path="));
        text_quote(path, &line);
    }
    buf_sv(&line, SV(" err="));
    text_quote(sv_cstr(why), &line);
    log_error("%.*s", SV_FMT(buf_view(&line)));
}

void provider_failed(Provider *p, const char *what, const Err *why)
{
    if (strcmp(p->error.msg, why->msg) != 0)
        p->said = (LogGate){ 0 };
    p->error = *why;
    if (log_gate(&p->said, SAID_MS))
        provider_log(p, what, SV(""), why->msg);
}

void provider_works(Provider *p)
{
    p->error = (Err){ 0 };
    p->said = (LogGate){ 0 };
}

void provider_refreshed(Provider *p, RefreshKind kind, int64_t started_ns, bool failed)
{
    DiscoveryStats *s = p->owner->stats;
    timing_add(&s->refresh[kind].duration,
               (double)(clock_mono_ns() - started_ns) / (double)NSEC_PER_SEC);
    s->refresh[kind].failures += failed;
}

const Err *discovery_next_error(const Discovery *d, size_t *pos, StrView *ret_part)
{
    while (*pos < d->providers.len) {
        const Provider *p = d->providers.items[(*pos)++];
        const Err *why = p->error.code || !p->check ? &p->error : p->check(p);
        *ret_part = sv_cstr(p->name);
        if (why && why->code)
            return why;
    }
    return NULL;
}

const Err *discovery_last_error(const Discovery *d)
{
    static const Err none;
    size_t pos = 0;
    StrView part;
    const Err *why = discovery_next_error(d, &pos, &part);
    return why ? why : &none;
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

/* ---- a section that can never work ---- */

static Provider *broken_stop(Provider *p)
{
    free(p);
    return NULL;
}

static Provider *broken_new(Discovery *d)
{
    Provider *p = calloc(1, sizeof *p);
    if (p)
        *p = (Provider){ .owner = d, .stop = broken_stop };
    return p;
}

/* ---- the whole ---- */

/* Takes over what a provider_new() gave: `r` and `p`, or why not. */
static int keep(Discovery *d, int r, Provider **made, const char *kind, unsigned i, Err *err)
{
    bool broken = r < 0 && err->code != ERR_NOMEM;
    Err why = { 0 };
    Provider *p = r < 0 ? NULL : *made;
    if (broken) {
        why = *err;
        err_clear(err);
        p = broken_new(d);
        r = p ? 0 : err_nomem(err);
    }
    if (r < 0)
        return r;
    p->kind = kind;
    snprintf(p->name, sizeof p->name, "%s/%u", kind, i);
    d->failed += broken;
    if (broken)
        provider_failed(p, "Cannot create service discovery", &why);
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

    if (c->statics.len)
        r = keep(d, static_new(d, &p, err), &p, "static", 0, err);
    for (unsigned i = 0; r >= 0 && i < c->files.len; i++)
        r = keep(d, file_provider_new(d, &c->files.items[i], &p, err), &p, "file", i, err);
    for (unsigned i = 0; r >= 0 && i < c->https.len; i++)
        r = keep(d, http_provider_new(d, &c->https.items[i], &p, err), &p, "http", i, err);
    for (unsigned i = 0; r >= 0 && i < c->dns.len; i++)
        r = keep(d, dns_provider_new(d, &c->dns.items[i], &p, err), &p, "dns", i, err);
    for (unsigned i = 0; r >= 0 && i < c->kubernetes.len; i++)
        r = keep(d, k8s_provider_new(d, &c->kubernetes.items[i], &p, err), &p, "kubernetes", i,
                 err);
    return r;
}

static int set_options(Discovery *d, const DiscoveryOptions *opt, Err *err)
{
    d->opt = opt ? *opt : (DiscoveryOptions){ 0 };
    d->dns_server = d->opt.dns_server ? strdup(d->opt.dns_server) : NULL;
    d->user_agent = strdup(d->opt.user_agent ? d->opt.user_agent : "Prometheus/3");
    d->section = strndup(d->opt.section.len ? d->opt.section.ptr : "", d->opt.section.len);
    if (!d->user_agent || !d->section || (d->opt.dns_server && !d->dns_server))
        return err_nomem(err);
    d->opt.dns_server = d->dns_server;
    d->opt.user_agent = d->user_agent;
    d->opt.section.ptr = d->section;
    if (!d->opt.stats) {
        int r = discovery_stats_new(&d->own_stats, err);
        if (r < 0)
            return r;
    }
    d->stats = d->own_stats ? d->own_stats : d->opt.stats;
    return vec_push(&d->stats->live, d) ? 0 : err_nomem(err);
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
    int r = set_options(d, opt, err);
    if (r >= 0)
        r = start_all(d, err);
    if (r < 0) {
        discovery_stop(d);
        return r;
    }
    *ret = d;
    return 0;
}

void discovery_rename(Discovery *d, StrView section)
{
    char *name = d && !sv_eq(d->opt.section, section) ? strndup(section.ptr, section.len) : NULL;
    if (!name)
        return;
    free(d->section);
    d->section = name;
    d->opt.section = sv_cstr(name);
}

Discovery *discovery_stop(Discovery *d)
{
    if (!d)
        return NULL;
    vec_foreach (p, &d->providers)
        (*p)->stop(*p);
    vec_free(&d->providers);
    for (size_t i = d->stats ? d->stats->live.len : 0; i-- > 0;)
        if (d->stats->live.items[i] == d)
            vec_remove(&d->stats->live, i);
    discovery_stats_free(d->own_stats);
    map_free(&d->counts);
    free(d->dns_server);
    free(d->user_agent);
    free(d->section);
    free(d);
    return NULL;
}
