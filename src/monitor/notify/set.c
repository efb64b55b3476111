/* set.c - one section of alerting.alertmanagers: what discovery finds becomes URLs by relabelling,
 * URLs become peers. */
#include <stdio.h>

#include "base/encode.h"
#include "monitor/notify/internal.h"

#define ALERTS_PATH SV("__alerts_path__")

/* ---- from targets to URLs ---- */

/* "/PREFIX/api/v2/alerts", without doubled slashes. */
static StrView post_path(const ConfigAlertmanager *cfg, Arena *a)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    StrView rest = cfg->path_prefix, piece;
    while (sv_next(&rest, '/', &piece))
        if (piece.len)
            buf_printf(&b, "/%.*s", SV_FMT(piece));
    buf_printf(&b, "/api/%.*s/alerts", SV_FMT(cfg->api_version));
    return b.failed ? SV_NULL : arena_sv(a, buf_view(&b));
}

static StrView url_of(Labels l, Arena *a)
{
    _cleanup_buf_ Buf b = BUF_INIT;
    StrView path = labels_get(l, ALERTS_PATH);
    buf_printf(&b, "%.*s://%.*s%s", SV_FMT(labels_get(l, SV("__scheme__"))),
               SV_FMT(labels_get(l, SV("__address__"))), path.len && path.ptr[0] != '/' ? "/" : "");
    percent_encode_only(path, "\"%<>?#[\\]^`{|}", &b);
    return b.failed ? SV_NULL : arena_sv(a, buf_view(&b));
}

static bool populate(const ConfigAlertmanager *cfg, Labels target, Labels group, LabelsBuilder *b)
{
    StrView path = post_path(cfg, b->arena);
    for (unsigned i = 0; i < target.len; i++)
        labels_builder_set(b, target.items[i].name, target.items[i].value);
    labels_builder_set(b, SV("__scheme__"), cfg->scheme);
    labels_builder_set(b, ALERTS_PATH, path);
    for (unsigned i = 0; i < group.len; i++)
        if (!labels_has(target, group.items[i].name))
            labels_builder_set(b, group.items[i].name, group.items[i].value);
    return path.ptr != NULL;
}

/* The rest of a group counts for nothing where one of its addresses is wrong, as in Prometheus. */
static int add_target(const ConfigAlertmanager *cfg, Labels target, Labels group, SourceUrls *u,
                      Err *err)
{
    LabelsBuilder b;
    Labels before, after;
    labels_builder_init(&b, &u->arena, (Labels){ 0 });
    if (!populate(cfg, target, group, &b) || !labels_builder_take(&b, &before))
        return err_nomem(err);
    labels_builder_init(&b, &u->arena, before);
    bool keep = relabel(cfg->relabel.items, cfg->relabel.len, &b);
    if (!labels_builder_take(&b, &after))
        return err_nomem(err);
    StrView address = labels_get(after, SV("__address__"));
    if (keep && (sv_empty(address) || sv_find_char(address, '/') >= 0))
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is not a valid hostname", SV_FMT(address));
    StrView url = url_of(keep ? after : before, &u->arena);
    if (!url.ptr)
        return err_nomem(err);
    if (keep)
        u->active[u->n_active++] = url;
    else
        u->dropped[u->n_dropped++] = url;
    return 0;
}

static SourceUrls *urls_free(SourceUrls *u)
{
    if (u)
        arena_free(&u->arena);
    free(u);
    return NULL;
}

static int make_urls(const ConfigAlertmanager *cfg, const TargetGroup *g, SourceUrls **ret,
                     Err *err)
{
    SourceUrls *u = calloc(1, sizeof *u);
    if (!u)
        return err_nomem(err);
    arena_init(&u->arena, 0);
    u->active = arena_array(&u->arena, StrView, g->n_targets + 1);
    u->dropped = arena_array(&u->arena, StrView, g->n_targets + 1);
    int r = u->active && u->dropped ? 0 : err_nomem(err);
    for (size_t i = 0; r >= 0 && i < g->n_targets; i++)
        r = add_target(cfg, g->targets[i], g->labels, u, err);
    if (r < 0)
        urls_free(u);
    else
        *ret = u;
    return r;
}

/* ---- from URLs to peers ---- */

static Peer *find_peer(const Set *s, StrView url)
{
    vec_foreach (p, &s->peers)
        if (sv_eq((*p)->stats.url, url))
            return *p;
    return NULL;
}

static void want_peer(Set *s, StrView url)
{
    Peer *p = find_peer(s, url);
    Err err = { 0 };
    if (!p && (peer_new(s, url, &p, &err) < 0 || !vec_push(&s->peers, p))) {
        peer_free(p); /* the next look at the group tries again */
        return;
    }
    p->wanted = true;
}

static void leave_unwanted(Set *s)
{
    vec_foreach (it, &s->peers)
        if (!(*it)->wanted && !s->n->opt.drain)
            peer_drop_queue(*it);
    notifier_want_sweep(s->n);
}

static void sync_peers(Set *s)
{
    StrView name;
    void *val;
    vec_foreach (p, &s->peers)
        (*p)->wanted = false;
    for (size_t i = 0; map_next(&s->sources, &i, &name, &val);) {
        const SourceUrls *u = val;
        for (size_t k = 0; k < u->n_active; k++)
            want_peer(s, u->active[k]);
    }
    leave_unwanted(s);
}

static void on_groups(void *ctx, const TargetGroup *groups, size_t n)
{
    Set *s = ctx;
    for (size_t i = 0; i < n; i++) {
        SourceUrls *u = NULL;
        void *old = NULL;
        Err err = { 0 };
        if (groups[i].n_targets == 0) {
            urls_free(map_del(&s->sources, groups[i].source));
            continue;
        }
        if (make_urls(s->cfg, &groups[i], &u, &err) < 0) {
            notifier_report(s->n, NULL, 0, &err);
            continue; /* what was there stays */
        }
        if (!map_set(&s->sources, groups[i].source, u, &old))
            old = u;
        urls_free(old);
    }
    sync_peers(s);
}

/* ---- the set ---- */

enum { SECTION_SIZE = 32 };

static StrView section_name(unsigned i, char buf[SECTION_SIZE])
{
    snprintf(buf, SECTION_SIZE, "config-%u", i);
    return sv_cstr(buf);
}

void set_name(Set *s, unsigned i)
{
    char section[SECTION_SIZE];
    discovery_rename(s->discovery, section_name(i, section));
}

int set_new(Notifier *n, Config *c, const ConfigAlertmanager *cfg, Set **ret, Err *err)
{
    DiscoveryOptions o = n->opt.discovery;

    Set *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(err);
    s->n = n;
    s->config = config_ref(c);
    s->cfg = cfg;
    int r = fetcher_new(n->loop, &cfg->http, &s->fetcher, err);
    o.user = DISCOVERY_NOTIFY;
    char section[SECTION_SIZE];
    o.section = section_name((unsigned)(cfg - c->alerting.alertmanagers.items), section);
    if (r >= 0)
        fetcher_count(s->fetcher, &n->dials);
    if (r >= 0)
        r = discovery_start(n->loop, &cfg->sd, &o, on_groups, s, &s->discovery, err);
    if (r < 0)
        set_free(s);
    else
        *ret = s;
    return r;
}

static void free_sources(Set *s)
{
    StrView name;
    void *val;
    for (size_t i = 0; map_next(&s->sources, &i, &name, &val);)
        urls_free(val);
    map_free(&s->sources);
}

Set *set_free(Set *s)
{
    if (!s)
        return NULL;
    discovery_stop(s->discovery);
    free_sources(s);
    vec_foreach (p, &s->peers)
        peer_free(*p);
    vec_free(&s->peers);
    fetcher_free(s->fetcher);
    config_unref(s->config);
    free(s);
    return NULL;
}

void set_retire(Set *s)
{
    s->discovery = discovery_stop(s->discovery);
    free_sources(s);
    sync_peers(s);
}

bool set_sweep(Set *s)
{
    for (size_t i = s->peers.len; i-- > 0;) {
        Peer *p = s->peers.items[i];
        if (p->wanted || peer_busy(p))
            continue;
        vec_remove(&s->peers, i);
        peer_free(p);
    }
    return s->peers.len == 0;
}
