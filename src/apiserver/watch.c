/* watch.c - streams of changes.
 *
 * The hub reads the store's events once per publish, encodes each once per kind, and hands the text
 * to every watch that it concerns. A watch starts at a revision: what lies between that and the
 * hub's position is replayed from the store's history, so that no event is lost or doubled. A
 * watcher that does not read is cut when more than WATCH_PENDING_MAX bytes wait for it; it resumes
 * where it was. */
#include <stdio.h>

#include "apiserver/handlers.h"
#include "apiserver/hub.h"
#include "apiserver/object.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"
#include "apiserver/table.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    WATCH_PENDING_MAX = 8 * 1024 * 1024,
    WATCH_TIMEOUT_MIN_SEC = 1800,
    BOOKMARK_EVERY_MS = 60 * 1000,
    EVENTS_AT_ONCE = 256,
};

typedef struct Watch Watch;
struct Watch {
    Watch *next, **link;
    WatchHub *hub;
    ApiCall *x;
    const ApiResource *res;
    char prefix[STORE_KEY_MAX];
    size_t prefix_len;
    Filter filter;
    uint64_t rev; /* everything up to here has been sent */
    bool bookmarks, table_columns_sent;
    Source *timeout, *bookmark;
};

struct WatchHub {
    ApiServer *srv;
    Watch *watches;
    uint64_t pos;
    atomic_bool posted; /* a wake-up is on its way to the loop */
    Buf text;           /* scratch of the event in hand */
    HubSubscriber subscribers[HUB_SUBSCRIBERS_MAX];
    unsigned n_subscribers;
};

/* ---- one watch ---- */

static void watch_free(Watch *w)
{
    if (w->link) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
    }
    source_free(w->timeout);
    source_free(w->bookmark);
    free(w);
}

static void watch_end(Watch *w)
{
    HttpReq *req = w->x->req;
    watch_free(w);
    http_stream_end(req);
}

static void on_peer_gone(void *ctx)
{
    watch_free(ctx);
}

static void on_timeout(void *ctx)
{
    watch_end(ctx);
}

/* Sends text; false when the watch is gone. */
static bool watch_send(Watch *w, StrView text)
{
    Err err = { 0 };
    if (http_stream_pending(w->x->req) > WATCH_PENDING_MAX ||
        http_stream_write(w->x->req, text.ptr, text.len, &err) < 0) {
        HttpReq *req = w->x->req;
        log_warn("watch of %.*s is cut: the client does not read", SV_FMT(w->res->plural));
        watch_free(w);
        http_abort(req);
        return false;
    }
    return true;
}

static bool send_bookmark(Watch *w, uint64_t rev, bool initial_end)
{
    char text[512];
    int n = snprintf(
        text, sizeof text,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",\"metadata\":{"
        "\"resourceVersion\":\"%llu\",\"creationTimestamp\":null%s}}}\n",
        SV_FMT(w->res->kind), SV_FMT(w->res->api_version), (unsigned long long)rev,
        initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    return watch_send(w, sv_n(text, (size_t)n));
}

static void on_bookmark(void *ctx)
{
    Watch *w = ctx;
    if (w->rev < w->hub->pos)
        w->rev = w->hub->pos; /* nothing that concerns it came in between */
    send_bookmark(w, w->rev, false);
}

static void encode_event(Watch *w, const char *type, ObjectRev *o, uint64_t rev, Buf *out)
{
    buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
    if (w->x->form == OUTPUT_TABLE) {
        char rv[24];
        int n = snprintf(rv, sizeof rv, "%llu", (unsigned long long)rev);
        table_encode(w->x, &o, 1, sv_n(rv, (size_t)n), SV_NULL, !w->table_columns_sent, out);
        w->table_columns_sent = true;
    } else if (w->x->form == OUTPUT_PARTIAL) {
        buf_printf(
            out,
            "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"
            "\"resourceVersion\":\"%llu\",",
            (unsigned long long)rev);
        buf_sv(out, sv_skip(object_metadata_text(o), 1));
        buf_putc(out, '}');
    } else
        object_encode(w->res, o, rev, false, out);
    buf_sv(out, SV("}\n"));
}

/* What an event means for this watch; NULL: nothing. A change into or out of the selection is an
 * addition or a deletion. */
static const char *event_type(const Watch *w, const StoreEvent *ev, ObjectRev **ret_obj)
{
    bool now = ev->obj && filter_match(w->res, &w->filter, ev->obj);
    bool before = ev->prev && filter_match(w->res, &w->filter, ev->prev);
    *ret_obj = now ? ev->obj : ev->prev;
    if (now)
        return before ? "MODIFIED" : "ADDED";
    if (!before)
        return NULL;
    if (ev->obj)
        *ret_obj = ev->obj; /* left the selection: the state that it left with */
    return "DELETED";
}

/* A watch of one object has its whole key as prefix. */
static bool in_scope(const Watch *w, StrView key)
{
    StrView prefix = sv_n(w->prefix, w->prefix_len);
    return w->x->name.len ? sv_eq(key, prefix) : sv_starts(key, prefix);
}

static bool concerns(const Watch *w, const StoreEvent *ev)
{
    return ev->rev > w->rev && in_scope(w, ev->obj ? ev->obj->key : ev->prev->key);
}

/* Delivers one event; false when the watch is gone. `shared` keeps the plain text for the next one.
 */
static bool deliver(Watch *w, const StoreEvent *ev, Buf *shared, const char **shared_type)
{
    ObjectRev *o;
    const char *type = event_type(w, ev, &o);
    w->rev = ev->rev;
    if (!type)
        return true;
    if (w->x->form != OUTPUT_OBJECT) {
        _cleanup_buf_ Buf own = BUF_INIT;
        encode_event(w, type, o, ev->rev, &own);
        return own.failed || watch_send(w, buf_view(&own));
    }
    if (!*shared_type || strcmp(*shared_type, type) != 0) {
        buf_clear(shared);
        encode_event(w, type, o, ev->rev, shared);
        *shared_type = type;
    }
    return shared->failed || watch_send(w, buf_view(shared));
}

/* ---- the hub ---- */

static void tell_subscribers(WatchHub *h, const ApiResource *res, const StoreEvent *ev)
{
    for (unsigned i = 0; i < h->n_subscribers; i++) {
        const HubSubscriber *s = &h->subscribers[i];
        if (sv_eq(res->group, s->group) && (!s->kind.len || sv_eq(res->kind, s->kind)))
            s->fn(s->ctx, ev);
    }
}

static void dispatch_event(WatchHub *h, const StoreEvent *ev)
{
    const ApiResource *res;
    StrView ns, name, key = ev->obj ? ev->obj->key : ev->prev->key;
    if (!registry_parse(key, &res, &ns, &name))
        return;
    tell_subscribers(h, res, ev);
    const char *shared_type = NULL;
    for (Watch *w = h->watches, *next; w; w = next) {
        next = w->next;
        if (w->res == res && concerns(w, ev))
            deliver(w, ev, &h->text, &shared_type);
    }
}

static void hub_run(void *ctx)
{
    WatchHub *h = ctx;
    atomic_store(&h->posted, false);
    StoreEvent events[EVENTS_AT_ONCE];
    size_t n;
    Err err = { 0 };
    do {
        if (store_events(h->srv->store, &h->pos, events, EVENTS_AT_ONCE, &n, &err) < 0) {
            /* Only after minutes without a turn of the loop: let the clients list again. */
            log_error("watches fell out of the kept history: %s", err.msg);
            while (h->watches)
                watch_end(h->watches);
            h->pos = store_revision(h->srv->store);
            for (unsigned i = 0; i < h->n_subscribers; i++)
                h->subscribers[i].fn(h->subscribers[i].ctx, NULL);
            return;
        }
        for (size_t i = 0; i < n; i++)
            dispatch_event(h, &events[i]);
        store_events_release(events, n);
    } while (n);
}

static void on_publish(void *ctx)
{
    WatchHub *h = ctx;
    if (!atomic_exchange(&h->posted, true))
        loop_post(h->srv->loop, hub_run, h, NULL);
}

int hub_new(ApiServer *srv, const HubSubscriber *subscribers, unsigned n, WatchHub **ret, Err *err)
{
    ASSERT(n <= HUB_SUBSCRIBERS_MAX);
    WatchHub *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    h->srv = srv;
    memcpy(h->subscribers, subscribers, n * sizeof *subscribers);
    h->n_subscribers = n;
    h->pos = store_revision(srv->store);
    store_on_publish(srv->store, on_publish, h);
    *ret = h;
    return 0;
}

WatchHub *hub_free(WatchHub *h)
{
    if (!h)
        return NULL;
    store_on_publish(h->srv->store, NULL, NULL);
    while (h->watches)
        watch_free(h->watches);
    buf_free(&h->text);
    free(h);
    return NULL;
}

/* ---- starting a watch ---- */

typedef struct WatchOptions {
    uint64_t rev;     /* 0: none given */
    bool initial;     /* send the present state first */
    bool initial_end; /* ...and mark its end with a bookmark */
    bool bookmarks;
    uint64_t timeout_sec;
} WatchOptions;

static bool query_bool(ApiCall *x, StrView name)
{
    return http_query_true(x->req, name);
}

static int parse_options(ApiCall *x, WatchOptions *o, Err *err)
{
    StrView text;
    if (http_query(x->req, SV("resourceVersion"), &text) && text.len &&
        sv_to_u64(text, &o->rev) < 0)
        return err_set(err, ERR_INVALID, 0, "resourceVersion: Invalid value: \"%.*s\"",
                       SV_FMT(sv_head(text, 64)));
    if (http_query(x->req, SV("timeoutSeconds"), &text) && text.len &&
        sv_to_u64(text, &o->timeout_sec) < 0)
        return err_set(err, ERR_INVALID, 0, "timeoutSeconds: Invalid value: \"%.*s\"",
                       SV_FMT(sv_head(text, 64)));
    o->bookmarks = query_bool(x, SV("allowWatchBookmarks"));
    o->initial_end = query_bool(x, SV("sendInitialEvents"));
    bool has_match = http_query(x->req, SV("resourceVersionMatch"), &text) && text.len;
    if (o->initial_end && (!has_match || !sv_eq(text, SV("NotOlderThan"))))
        return err_set(err, ERR_INVALID, 0,
                       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                       "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (has_match && !o->initial_end)
        return err_set(
            err, ERR_INVALID, 0,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    o->initial = o->initial_end || o->rev == 0;
    if (query_bool(x, SV("sendInitialEvents")) == false &&
        http_query(x->req, SV("sendInitialEvents"), &text))
        o->initial = false;
    return 0;
}

/* All that matches now, as ADDED; then, where asked for, the bookmark that ends it. */
static bool send_initial(Watch *w, const WatchOptions *o)
{
    Snapshot *sn = store_snapshot(w->hub->srv->store);
    SnapshotIter it;
    snapshot_iter(sn, sv_n(w->prefix, w->prefix_len), SV_NULL, &it);
    bool alive = true;
    _cleanup_buf_ Buf text = BUF_INIT;
    for (ObjectRev *obj; alive && (obj = snapshot_next(&it));) {
        if (!in_scope(w, obj->key) || !filter_match(w->res, &w->filter, obj))
            continue;
        encode_event(w, "ADDED", obj, obj->mod_rev, &text);
        if (text.len > 64 * 1024 || text.failed) {
            alive = watch_send(w, buf_view(&text));
            buf_clear(&text);
        }
    }
    if (alive && text.len)
        alive = watch_send(w, buf_view(&text));
    if (alive) {
        w->rev = snapshot_revision(sn);
        if (o->initial_end)
            alive = send_bookmark(w, w->rev, true);
    }
    snapshot_unref(sn);
    return alive;
}

/* What happened between the asked-for revision and the hub's position. */
static bool replay(Watch *w)
{
    StoreEvent events[EVENTS_AT_ONCE];
    uint64_t pos = w->rev;
    size_t n;
    bool alive = true;
    _cleanup_buf_ Buf text = BUF_INIT;
    do {
        if (store_events(w->hub->srv->store, &pos, events, EVENTS_AT_ONCE, &n, NULL) < 0)
            n = 0;
        for (size_t i = 0; i < n && alive; i++) {
            const char *type = NULL;
            StrView key = events[i].obj ? events[i].obj->key : events[i].prev->key;
            if (in_scope(w, key))
                alive = deliver(w, &events[i], &text, &type);
        }
        store_events_release(events, n);
    } while (n && alive);
    if (alive)
        w->rev = pos;
    return alive;
}

/* A revision that is no longer kept: one ERROR event with Status 410, as the peer sends it. */
static void refuse_old(ApiCall *x, const Err *why)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView status = status_text(x->arena, REASON_EXPIRED, sv_cstr(why->msg));
    buf_printf(&out, "{\"type\":\"ERROR\",\"object\":%.*s}\n", SV_FMT(status));
    if (http_stream_start(x->req, 200, SV("application/json"), NULL) == 0) {
        http_stream_write(x->req, out.ptr, out.len, NULL);
        http_stream_end(x->req);
    }
}

static Watch *watch_new(ApiCall *x, const WatchOptions *o, Err *err)
{
    Watch *w = calloc(1, sizeof *w);
    if (!w) {
        err_nomem(err);
        return NULL;
    }
    WatchHub *h = x->srv->hub;
    w->hub = h;
    w->x = x;
    w->res = x->res;
    w->rev = o->rev;
    w->bookmarks = o->bookmarks;
    uint64_t seconds = o->timeout_sec ? o->timeout_sec
                                      : WATCH_TIMEOUT_MIN_SEC +
                                            (uint64_t)(uintptr_t)w / 64 % WATCH_TIMEOUT_MIN_SEC;
    if (filter_parse(x, &w->filter, err) < 0 ||
        loop_add_timer(x->srv->loop, seconds * 1000, 0, on_timeout, w, &w->timeout, err) < 0 ||
        (o->bookmarks && loop_add_timer(x->srv->loop, BOOKMARK_EVERY_MS, BOOKMARK_EVERY_MS,
                                        on_bookmark, w, &w->bookmark, err) < 0)) {
        watch_free(w);
        return NULL;
    }
    /* A watch of one object comes as a field selector on its name, or with the name in the path. */
    StrView ns = x->res->namespaced ? x->ns : SV_NULL;
    registry_key(x->res, ns, x->name, w->prefix);
    w->prefix_len = strlen(w->prefix);
    return w;
}

void rest_watch(ApiCall *x)
{
    WatchOptions o = { 0 };
    Err err = { 0 };
    Watch *w = NULL;
    char key[STORE_KEY_MAX];
    if (!registry_key(x->res, x->res->namespaced ? x->ns : SV_NULL, x->name, key)) {
        respond_not_found(x);
        return;
    }
    if (parse_options(x, &o, &err) < 0 || !(w = watch_new(x, &o, &err))) {
        respond_err(x, &err);
        return;
    }
    StoreEvent probe[STORE_OPS_MAX];
    uint64_t pos = o.rev;
    size_t n = 0;
    if (!o.initial && store_events(x->srv->store, &pos, probe, STORE_OPS_MAX, &n, &err) < 0) {
        watch_free(w);
        refuse_old(x, &err);
        return;
    }
    store_events_release(probe, n);
    if (http_stream_start(x->req, 200, SV("application/json"), &err) < 0) {
        watch_free(w);
        return;
    }
    http_on_close(x->req, on_peer_gone, w);
    if (!(o.initial ? send_initial(w, &o) : replay(w)))
        return;
    w->link = &x->srv->hub->watches;
    w->next = *w->link;
    if (w->next)
        w->next->link = &w->next;
    *w->link = w;
}
