/* informer.c - a local copy of one kind of objects, kept up to date by a watch.
 *
 * The life of an informer is a cycle of four phases:
 *
 *   STREAM   watch with sendInitialEvents: the state arrives as ADDED events up to a bookmark
 *   LIST     pages of a list, for servers without that
 *   WATCH    changes since `rv`, after either
 *   BACKOFF  waits before the next attempt
 *
 * A whole state (STREAM, LIST) is collected in `fresh` and then swapped in, so that users never see
 * half of it; only differences reach the handlers. Each user has handlers of its own (listeners).
 * Handlers may free the informer or stop listening: `busy` counts the frames that still use both.
 */
#include "api/informer.h"

#include <stdio.h>

#include "api/object_index.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"

enum {
    BACKOFF_MIN_DEFAULT = 800,
    BACKOFF_MAX_DEFAULT = 30 * 1000,
    WATCH_MIN_S = 300, /* servers end watches after a while; ask for 5 to 10 minutes */
    WATCH_SPREAD_S = 300,
};

#define LIST_PAGE "500"
/* A watch that ends in order sooner than this is followed by a pause: a server that ends every
 * watch at once must not be hammered. */
#define WATCH_FAIR_NS (5 * INT64_C(1000000000))

typedef enum Phase { PHASE_STREAM, PHASE_LIST, PHASE_WATCH, PHASE_BACKOFF } Phase;

/* One user's handlers. */
struct InformerListener {
    Informer *inf;
    InformerEvents ev;
    bool told; /* of what was there when it came; from then on it hears changes */
    bool gone; /* freed by the outermost frame */
    InformerListener *next;
};

struct Informer {
    ApiClient *client;
    InformerConfig cfg;
    char *texts[6]; /* what cfg's views point to */
    Map store;      /* key -> ApiObject, one reference each */
    Map fresh;      /* the state that is arriving */
    ObjectIndex indexes[INFORMER_INDEXES_MAX];
    InformerListener *listeners;
    Phase phase;
    ApiWatch *watch;
    ApiCall *call;
    Source *timer;
    Buf rv;    /* up to here everything is in `store`; empty while a whole state arrives */
    Buf token; /* where the next page of a list starts */
    unsigned failures;
    unsigned busy;
    int64_t watch_since_ns;
    bool synced, no_stream, freed;
    Err last;
};

struct InformerEmit {
    Informer *inf;
    unsigned index;
    ApiObject *obj;
    bool add, failed;
};

static void start(Informer *inf);

/* ---- objects ---- */

ApiObject *api_object_ref(ApiObject *o)
{
    if (o)
        o->refs++;
    return o;
}

ApiObject *api_object_unref(ApiObject *o)
{
    if (!o || --o->refs > 0)
        return NULL;
    if (o->unproject && o->projection)
        o->unproject(o->projection);
    free(o);
    return NULL;
}

static StrView put(char **at, StrView s)
{
    char *p = *at;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    *at = p + s.len + 1;
    return sv_n(p, s.len);
}

/* One block for the object and its texts. */
static ApiObject *object_new(Informer *inf, Value *obj)
{
    const Value *meta = value_get(obj, SV("metadata"));
    StrView ns = value_str(value_get(meta, SV("namespace")));
    StrView name = value_str(value_get(meta, SV("name")));
    StrView uid = value_str(value_get(meta, SV("uid")));
    StrView rv = value_str(value_get(meta, SV("resourceVersion")));
    _cleanup_buf_ Buf json = BUF_INIT;
    if (!inf->cfg.drop_json) {
        value_del((Value *)meta, SV("managedFields"));
        json_encode(obj, &json);
    }
    size_t key_len = ns.len + (ns.len > 0) + name.len;
    ApiObject *o =
        json.failed ? NULL : calloc(1, sizeof *o + key_len + uid.len + rv.len + json.len + 4);
    if (!o)
        return NULL;
    o->refs = 1;
    char *at = (char *)(o + 1);
    char *key = at;
    if (ns.len) {
        memcpy(at, ns.ptr, ns.len);
        at[ns.len] = '/';
        at += ns.len + 1;
    }
    put(&at, name);
    o->key = sv_n(key, key_len);
    o->ns = sv_n(key, ns.len);
    o->name = sv_n(key + key_len - name.len, name.len);
    o->uid = put(&at, uid);
    o->resource_version = put(&at, rv);
    o->json = put(&at, buf_view(&json));
    if (inf->cfg.project) {
        o->unproject = inf->cfg.unproject;
        o->projection = inf->cfg.project(inf->cfg.ctx, obj);
        if (!o->projection)
            return api_object_unref(o);
    }
    return o;
}

/* ---- indexes ---- */

void informer_emit(InformerEmit *e, StrView value)
{
    ObjectIndex *x = &e->inf->indexes[e->index];
    if (!e->add)
        object_index_del(x, value, e->obj);
    else if (!object_index_add(x, value, e->obj))
        e->failed = true;
}

static bool index_object(Informer *inf, ApiObject *o, bool add)
{
    bool ok = true;
    for (unsigned i = 0; i < inf->cfg.n_indexes; i++) {
        InformerEmit e = { inf, i, o, add, false };
        inf->cfg.indexes[i](o, &e);
        ok = ok && !e.failed;
    }
    return ok;
}

ApiObject *const *informer_by_index(const Informer *inf, unsigned index, StrView value,
                                    size_t *ret_n)
{
    ASSERT(index < inf->cfg.n_indexes);
    return object_index_get(&inf->indexes[index], value, ret_n);
}

/* ---- listeners ---- */

static void sweep_listeners(Informer *inf)
{
    for (InformerListener **at = &inf->listeners; *at;) {
        InformerListener *l = *at;
        if (!l->gone) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        free(l);
    }
}

static void listeners_free(Informer *inf)
{
    for (InformerListener *l = inf->listeners; l; l = l->next)
        informer_unlisten(l);
    sweep_listeners(inf);
}

/* Frames that call handlers stand between these two: what the handlers free goes in leave(). */
static void enter(Informer *inf)
{
    inf->busy++;
}

static void leave(Informer *inf)
{
    if (--inf->busy > 0)
        return;
    if (inf->freed)
        informer_free(inf);
    else
        sweep_listeners(inf);
}

static void tell_synced(InformerListener *l)
{
    if (!l->gone && l->told && l->ev.on_synced)
        l->ev.on_synced(l->ev.ctx);
}

/* `now` in place of `old`; either may be NULL. */
static void tell(Informer *inf, ApiObject *old, ApiObject *now)
{
    for (InformerListener *l = inf->listeners; l && !inf->freed; l = l->next) {
        if (l->gone || !l->told)
            continue;
        if (old && now && l->ev.on_update)
            l->ev.on_update(l->ev.ctx, old, now);
        else if (!old && l->ev.on_add)
            l->ev.on_add(l->ev.ctx, now);
        else if (!now && l->ev.on_delete)
            l->ev.on_delete(l->ev.ctx, old);
    }
}

/* Tells one that came later what is there. */
static void tell_all(void *ctx)
{
    InformerListener *l = ctx;
    Informer *inf = l->inf;
    ApiObject *o;
    enter(inf);
    l->told = true;
    for (size_t i = 0; !l->gone && l->ev.on_add && (o = informer_next(inf, &i)) != NULL;)
        l->ev.on_add(l->ev.ctx, o);
    if (inf->synced)
        tell_synced(l);
    leave(inf);
}

static InformerListener *add_listener(Informer *inf, const InformerEvents *ev)
{
    InformerListener *l = calloc(1, sizeof *l), **end = &inf->listeners;
    if (!l)
        return NULL;
    *l = (InformerListener){ .inf = inf, .ev = *ev };
    while (*end)
        end = &(*end)->next;
    *end = l;
    return l;
}

int informer_listen(Informer *inf, const InformerEvents *ev, InformerListener **ret, Err *err)
{
    InformerListener *l = add_listener(inf, ev);
    if (!l)
        return err_nomem(err);
    int r = loop_defer(api_client_loop(inf->client), tell_all, l, err);
    if (r < 0)
        informer_unlisten(l);
    else
        *ret = l;
    return r;
}

InformerListener *informer_unlisten(InformerListener *l)
{
    if (!l || l->gone)
        return NULL;
    l->gone = true;
    if (!l->told)
        loop_defer_cancel(api_client_loop(l->inf->client), tell_all, l);
    if (l->inf->busy == 0 && !l->inf->freed)
        sweep_listeners(l->inf);
    return NULL;
}

/* ---- the store ---- */

static void free_map(Map *m)
{
    StrView key;
    void *val;
    for (size_t i = 0; map_next(m, &i, &key, &val);)
        api_object_unref(val);
    map_free(m);
}

/* Puts `o` (takes the reference) in the place of what was there and tells the handlers. */
static bool store_set(Informer *inf, ApiObject *o)
{
    ApiObject *old = map_get(&inf->store, o->key);
    if (old && o->resource_version.len > 0 && sv_eq(old->resource_version, o->resource_version)) {
        api_object_unref(o);
        return true;
    }
    if (!map_set(&inf->store, o->key, o, NULL)) {
        api_object_unref(o);
        return false;
    }
    if (old)
        index_object(inf, old, false);
    if (!index_object(inf, o, true)) {
        /* Half indexed is worse than absent: the next whole state brings it back. */
        index_object(inf, o, false);
        api_object_unref(map_del(&inf->store, o->key));
        api_object_unref(old);
        return false;
    }
    api_object_ref(o); /* the handler's change may replace it */
    tell(inf, old, o);
    api_object_unref(o);
    api_object_unref(old);
    return true;
}

/* `last` is what the server sent with the deletion; NULL when it was missed. */
static void store_del(Informer *inf, StrView key, ApiObject *last)
{
    ApiObject *old = map_del(&inf->store, key);
    if (!old)
        return;
    index_object(inf, old, false);
    tell(inf, last ? last : old, NULL);
    api_object_unref(old);
}

static void set_text(Buf *b, StrView s)
{
    buf_clear(b);
    buf_sv(b, s);
}

/* Makes `fresh` the state, as of `rv`: deletes what is not in it, then adds and updates. */
static bool swap_state(Informer *inf, StrView rv)
{
    VEC(ApiObject *) gone = { 0 };
    Map fresh = inf->fresh;
    StrView key;
    void *val;
    bool ok = true;
    inf->fresh = (Map){ 0 };
    for (size_t i = 0; map_next(&inf->store, &i, &key, &val);)
        if (!map_has(&fresh, key))
            ok = ok && vec_push(&gone, api_object_ref(val));
    vec_foreach (o, &gone) {
        if (!inf->freed)
            store_del(inf, (*o)->key, NULL);
        api_object_unref(*o);
    }
    vec_free(&gone);
    for (size_t i = 0; !inf->freed && ok && map_next(&fresh, &i, &key, &val);)
        ok = store_set(inf, api_object_ref(val));
    free_map(&fresh);
    if (ok && !inf->freed)
        set_text(&inf->rv, rv);
    if (ok && !inf->freed && !inf->synced) {
        inf->synced = true;
        for (InformerListener *l = inf->listeners; l; l = l->next)
            tell_synced(l);
    }
    return ok;
}

/* ---- attempts ---- */

static void on_retry(void *ctx)
{
    Informer *inf = ctx;
    inf->timer = source_free(inf->timer);
    start(inf);
}

static void back_off(Informer *inf)
{
    uint64_t delay = inf->cfg.backoff_min_ms;
    if (inf->failures > 0)
        delay = MIN(delay << MIN(inf->failures, 16u), (uint64_t)inf->cfg.backoff_max_ms);
    inf->failures++;
    /* Between once and twice: a thousand clients must not come back in the same moment. */
    uint32_t r = 0;
    random_bytes(&r, sizeof r);
    delay += delay * (r % 1000) / 1000;
    inf->phase = PHASE_BACKOFF;
    inf->timer = source_free(inf->timer);
    if (loop_add_timer(api_client_loop(inf->client), delay, 0, on_retry, inf, &inf->timer, NULL) <
        0)
        (void)!loop_defer(api_client_loop(inf->client), on_retry, inf, NULL);
}

static void retry(Informer *inf, const Err *why)
{
    enter(inf);
    inf->watch = api_watch_cancel(inf->watch);
    inf->call = api_call_cancel(inf->call);
    if (why)
        inf->last = *why;
    for (InformerListener *l = why ? inf->listeners : NULL; l; l = l->next)
        if (!l->gone && l->told && l->ev.on_failed)
            l->ev.on_failed(l->ev.ctx, why);
    if (!inf->freed)
        back_off(inf);
    leave(inf);
}

static void out_of_memory(Informer *inf)
{
    Err err = { 0 };
    err_nomem(&err);
    free_map(&inf->fresh);
    buf_clear(&inf->rv); /* what was missed is found by a whole state */
    retry(inf, &err);
}

static void went_well(Informer *inf)
{
    inf->failures = 0;
    err_clear(&inf->last);
}

static void selectors(const Informer *inf, Buf *query)
{
    if (inf->cfg.label_selector.len)
        api_query_add(query, SV("labelSelector"), inf->cfg.label_selector);
    if (inf->cfg.field_selector.len)
        api_query_add(query, SV("fieldSelector"), inf->cfg.field_selector);
}

static bool ends_initial_events(const Value *obj)
{
    const Value *notes = value_path(obj, "metadata.annotations");
    return sv_eq(value_str(value_get(notes, SV("k8s.io/initial-events-end"))), SV("true"));
}

static bool keep_fresh(Informer *inf, ApiObject *o)
{
    /* The same version is there already: no second copy while both states are alive. */
    ApiObject *old = map_get(&inf->store, o->key);
    void *before = NULL;
    if (old && sv_eq(old->resource_version, o->resource_version)) {
        api_object_ref(old);
        api_object_unref(o);
        o = old;
    }
    if (!map_set(&inf->fresh, o->key, o, &before)) {
        api_object_unref(o);
        return false;
    }
    api_object_unref(before);
    return true;
}

static void on_change(Informer *inf, StrView type, Value *obj)
{
    ApiObject *o = object_new(inf, obj);
    if (!o) {
        out_of_memory(inf);
        return;
    }
    bool deleted = sv_eq(type, SV("DELETED")), ok = true;
    if (inf->phase == PHASE_WATCH)
        set_text(&inf->rv, o->resource_version);
    if (inf->phase == PHASE_STREAM) {
        if (deleted)
            api_object_unref(map_del(&inf->fresh, o->key));
        else
            ok = keep_fresh(inf, api_object_ref(o));
    } else if (deleted) {
        store_del(inf, o->key, o);
    } else {
        ok = store_set(inf, api_object_ref(o));
    }
    api_object_unref(o);
    if (!ok && !inf->freed)
        out_of_memory(inf);
}

static void on_event(void *ctx, StrView type, Value *obj, Arena *arena)
{
    (void)arena;
    Informer *inf = ctx;
    enter(inf);
    if (sv_eq(type, SV("BOOKMARK"))) {
        StrView rv = value_str(value_path(obj, "metadata.resourceVersion"));
        if (inf->phase == PHASE_WATCH && rv.len)
            set_text(&inf->rv, rv);
        if (inf->phase == PHASE_STREAM && ends_initial_events(obj)) {
            inf->phase = PHASE_WATCH;
            went_well(inf);
            if (!swap_state(inf, rv) && !inf->freed)
                out_of_memory(inf);
        }
    } else {
        if (inf->phase == PHASE_WATCH)
            went_well(inf);
        on_change(inf, type, obj);
    }
    leave(inf);
}

/* A client error that says "I do not know these parameters", not "you may not" or "later". */
static bool means_no_stream(const Err *err)
{
    return err->code == ERR_INVALID || err->code == ERR_UNSUPPORTED;
}

/* It would come again where the watch ended. */
static bool is_unreadable(const Err *err)
{
    return err->code == ERR_INVALID || err->code == ERR_LIMIT || err->code == ERR_PROTO;
}

static void on_watch_end(void *ctx, const Err *err)
{
    Informer *inf = ctx;
    inf->watch = NULL;
    free_map(&inf->fresh);
    if (inf->phase == PHASE_STREAM && err && means_no_stream(err)) {
        inf->no_stream = true;
        start(inf);
        return;
    }
    if (inf->phase == PHASE_WATCH && err && is_unreadable(err))
        log_warn("a watch of %.*s brought what cannot be read (%s): its state is read anew",
                 SV_FMT(inf->cfg.target.plural), err->msg);
    if (inf->phase == PHASE_STREAM || (err && (err->code == ERR_GONE || is_unreadable(err))))
        buf_clear(&inf->rv); /* a whole state is needed */
    if (err && err->code == ERR_GONE && inf->failures == 0) {
        inf->failures++; /* the first time at once */
        start(inf);
    } else if (!err && inf->phase == PHASE_WATCH &&
               loop_now_ns(api_client_loop(inf->client)) - inf->watch_since_ns > WATCH_FAIR_NS) {
        went_well(inf); /* its time was up */
        start(inf);
    } else {
        retry(inf, err);
    }
}

static void start_watch(Informer *inf, bool stream)
{
    _cleanup_buf_ Buf query = BUF_INIT;
    Err err = { 0 };
    uint32_t r = 0;
    char seconds[16];
    random_bytes(&r, sizeof r);
    snprintf(seconds, sizeof seconds, "%u", WATCH_MIN_S + r % WATCH_SPREAD_S);
    selectors(inf, &query);
    api_query_add(&query, SV("allowWatchBookmarks"), SV("true"));
    api_query_add(&query, SV("timeoutSeconds"), sv_cstr(seconds));
    if (stream) {
        api_query_add(&query, SV("sendInitialEvents"), SV("true"));
        api_query_add(&query, SV("resourceVersionMatch"), SV("NotOlderThan"));
    } else {
        api_query_add(&query, SV("resourceVersion"), buf_view(&inf->rv));
    }
    inf->phase = stream ? PHASE_STREAM : PHASE_WATCH;
    inf->watch_since_ns = loop_now_ns(api_client_loop(inf->client));
    ApiWatchEvents ev = { on_event, on_watch_end, inf };
    if (query.failed) {
        err_nomem(&err);
        retry(inf, &err);
    } else if (api_watch(inf->client, &inf->cfg.target, buf_view(&query), &ev, &inf->watch, &err) <
               0) {
        retry(inf, &err);
    }
}

static void start_list(Informer *inf);

/* Items of a list come without apiVersion and kind: the list's own name them. */
static bool take_items(Informer *inf, const ApiResult *r)
{
    StrView version = value_str(value_get(r->body, SV("apiVersion")));
    StrView kind = value_str(value_get(r->body, SV("kind")));
    if (sv_ends(kind, SV("List")))
        kind.len -= 4;
    value_list_foreach (it, value_get(r->body, SV("items"))) {
        if (!value_get(it, SV("kind")))
            value_set(r->arena, it, SV("kind"), value_sv(kind));
        if (!value_get(it, SV("apiVersion")))
            value_set(r->arena, it, SV("apiVersion"), value_sv(version));
        ApiObject *o = object_new(inf, it);
        if (!o || !keep_fresh(inf, o))
            return false;
    }
    return true;
}

static void list_failed(Informer *inf, const Err *why)
{
    free_map(&inf->fresh);
    buf_clear(&inf->token);
    retry(inf, why);
}

static void on_list(void *ctx, const ApiResult *r)
{
    Informer *inf = ctx;
    inf->call = NULL;
    if (r->err) {
        list_failed(inf, r->err);
        return;
    }
    if (!take_items(inf, r)) {
        out_of_memory(inf);
        return;
    }
    StrView token = value_str(value_path(r->body, "metadata.continue"));
    set_text(&inf->token, token);
    if (token.len > 0) {
        start_list(inf);
        return;
    }
    went_well(inf);
    enter(inf);
    if (!swap_state(inf, value_str(value_path(r->body, "metadata.resourceVersion"))) && !inf->freed)
        out_of_memory(inf);
    else if (!inf->freed)
        start_watch(inf, false);
    leave(inf);
}

static void start_list(Informer *inf)
{
    _cleanup_buf_ Buf query = BUF_INIT;
    Err err = { 0 };
    inf->phase = PHASE_LIST;
    selectors(inf, &query);
    api_query_add(&query, SV("limit"), SV(LIST_PAGE));
    if (inf->token.len)
        api_query_add(&query, SV("continue"), buf_view(&inf->token));
    if (query.failed) {
        err_nomem(&err);
        list_failed(inf, &err);
    } else if (api_list(inf->client, &inf->cfg.target, buf_view(&query), on_list, inf, &inf->call,
                        &err) < 0) {
        list_failed(inf, &err);
    }
}

static void start(Informer *inf)
{
    if (inf->rv.len > 0 && inf->synced)
        start_watch(inf, false);
    else if (inf->no_stream)
        start_list(inf);
    else
        start_watch(inf, true);
}

/* ---- the public side ---- */

static bool own_texts(Informer *inf)
{
    StrView *views[6] = {
        &inf->cfg.target.group, &inf->cfg.target.version, &inf->cfg.target.plural,
        &inf->cfg.target.ns,    &inf->cfg.label_selector, &inf->cfg.field_selector
    };
    for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
        inf->texts[i] = strndup(views[i]->ptr ? views[i]->ptr : "", views[i]->len);
        if (!inf->texts[i])
            return false;
        *views[i] = sv_n(inf->texts[i], views[i]->len);
    }
    return true;
}

int informer_new(ApiClient *c, const InformerConfig *cfg, Informer **ret, Err *err)
{
    ASSERT(cfg->n_indexes <= INFORMER_INDEXES_MAX);
    Informer *inf = calloc(1, sizeof *inf);
    if (!inf)
        return err_nomem(err);
    inf->client = c;
    inf->cfg = *cfg;
    if (!inf->cfg.backoff_min_ms)
        inf->cfg.backoff_min_ms = BACKOFF_MIN_DEFAULT;
    if (!inf->cfg.backoff_max_ms)
        inf->cfg.backoff_max_ms = BACKOFF_MAX_DEFAULT;
    InformerListener *first = add_listener(inf, &cfg->events);
    if (!first || !own_texts(inf)) {
        informer_free(inf);
        return err_nomem(err);
    }
    start(inf);
    first->told = true; /* nobody is called back from in here */
    *ret = inf;
    return 0;
}

Informer *informer_free(Informer *inf)
{
    if (!inf)
        return NULL;
    inf->freed = true;
    inf->watch = api_watch_cancel(inf->watch);
    inf->call = api_call_cancel(inf->call);
    inf->timer = source_free(inf->timer);
    if (inf->busy > 0)
        return NULL; /* the outermost frame comes back here */
    loop_defer_cancel(api_client_loop(inf->client), on_retry, inf);
    free_map(&inf->store);
    free_map(&inf->fresh);
    for (unsigned i = 0; i < inf->cfg.n_indexes; i++)
        object_index_free(&inf->indexes[i]);
    listeners_free(inf);
    for (size_t i = 0; i < ARRAY_SIZE(inf->texts); i++)
        free(inf->texts[i]);
    buf_free(&inf->rv);
    buf_free(&inf->token);
    free(inf);
    return NULL;
}

bool informer_synced(const Informer *inf)
{
    return inf->synced;
}

StrView informer_resource_version(const Informer *inf)
{
    return buf_view(&inf->rv);
}

size_t informer_len(const Informer *inf)
{
    return inf->store.len;
}

ApiObject *informer_get(const Informer *inf, StrView key)
{
    return map_get(&inf->store, key);
}

ApiObject *informer_get_named(const Informer *inf, StrView ns, StrView name)
{
    char small[512];
    if (ns.len == 0)
        return informer_get(inf, name);
    size_t n = ns.len + 1 + name.len;
    if (n > sizeof small)
        return NULL; /* longer than any name can be */
    memcpy(small, ns.ptr, ns.len);
    small[ns.len] = '/';
    memcpy(small + ns.len + 1, name.ptr, name.len);
    return informer_get(inf, sv_n(small, n));
}

ApiObject *informer_next(const Informer *inf, size_t *pos)
{
    StrView key;
    void *val;
    return map_next(&inf->store, pos, &key, &val) ? val : NULL;
}

const Err *informer_last_error(const Informer *inf)
{
    return &inf->last;
}
