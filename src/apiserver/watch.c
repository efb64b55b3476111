/* watch.c - streams of changes.
 *
 * The hub reads the store's events once per publish, encodes each once per kind, and hands the text
 * to every watch that it concerns and that keeps up. A watch whose client has not taken what it got
 * is `behind`: it gets no more from the hub, but reads on by itself, from the state at its start (a
 * snapshot) or from the store's history, each time the client has taken everything, and large
 * objects in parts. So what waits for a client is little more than WATCH_CHUNK, however much
 * happens, and no event is lost or doubled: `rev` says up to which revision everything has been
 * handed out, and `done` how many events of the next one.
 *
 * Over a WebSocket each event is a message of its own, a large one in fragments (net/ws.h).
 *
 * Cut are only clients that take nothing for a minute, and those whose place has left the history:
 * these hear of it (410), and list again. */
#include <stdio.h>

#include "apiserver/handlers.h"
#include "apiserver/hub.h"
#include "apiserver/object.h"
#include "apiserver/options.h"
#include "apiserver/respond.h"
#include "apiserver/rest_read.h"
#include "apiserver/table.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/ws.h"

enum {
    WATCH_CHUNK = 64 * 1024,
    WATCH_TIMEOUT_MIN_SEC = 1800,
    BOOKMARK_EVERY_MS = 60 * 1000,
    SWEEP_EVERY_MS = 5 * 1000,
    STALL_MAX_MS = 60 * 1000,
    INITIAL_MAX_MS = 10 * 60 * 1000, /* for the state at the start, of which a snapshot is held */
    EVENTS_AT_ONCE = 256,
    INITIAL_AT_ONCE = 1024, /* objects of the state at the start that are looked at in one go */
    EVENT_TEXTS = 8,        /* forms of one event that are kept for the next watch */
    EVENT_END_MAX = 16,
    SCRATCH_MAX = 64 * 1024 * 1024, /* the tree of one object, for a Table's cells */
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
    uint64_t rev; /* everything up to here has been handed out */
    bool behind;  /* reads the store by itself; else the hub hands it what comes */
    bool takes;   /* the revision that the hub has in hand */
    bool due;     /* catch_up_later() has been asked for */
    bool bookmarks, table_columns_sent;
    WsPush *ws;        /* NULL: plain HTTP. An event is a message of it. */
    bool ws_inside;    /* a message has begun */
    Snapshot *initial; /* the state at the start while it is being sent; NULL: done */
    SnapshotIter at;
    bool initial_end;   /* a bookmark follows it */
    unsigned done;      /* of the revision behind `rev`: so many events have been handed out */
    ObjectRev *part_of; /* an object in the middle of being handed out; NULL: none */
    StrView part;       /* what is left of its text, and what follows that */
    char part_end[EVENT_END_MAX];
    bool over;      /* its time is up: it ends with the object in the middle of which it is */
    size_t waiting; /* what waited for the client at the last look, and since when it is that */
    int64_t since_ns, start_ns;
    Source *timeout, *bookmark;
};

/* An event as text in one form. Of a large object it is only what comes before `rest`, a view into
 * the object, which is handed out in parts; `end` follows it. */
typedef struct EventText {
    const char *type; /* a literal; NULL: not made */
    const ObjectRev *obj;
    const ApiResource *res; /* in whose form */
    int form;               /* OutputForm */
    TableInclude include;
    bool columns;
    Buf text;
    StrView rest; /* NULL: nothing */
    char end[EVENT_END_MAX];
} EventText;

struct WatchHub {
    ApiLoop *on;
    HubSubscriber subscribers[HUB_SUBSCRIBERS_MAX];
    unsigned n_subscribers;
    Watch *watches;
    uint64_t pos;        /* everything up to here has been handed out, while somebody listens */
    atomic_bool listens; /* there is a watch or a subscriber: else nobody wakes it */
    atomic_bool posted;  /* a wake-up is on its way to the loop: this */
    LoopTask wake_up;
    const StoreEvent *in_hand;    /* that is being dispatched; NULL: none */
    EventText texts[EVENT_TEXTS]; /* of it, for all watches that want the same */
    Source *sweep;
};

/* ---- one watch ---- */

static void catch_up_later(void *ctx);

static void watch_free(Watch *w)
{
    if (w->link) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
        if (!w->hub->watches && !w->hub->n_subscribers)
            atomic_store(&w->hub->listens, false);
    }
    if (w->due)
        loop_defer_cancel(w->hub->on->loop, catch_up_later, w);
    snapshot_unref(w->initial);
    object_rev_unref(w->part_of);
    source_free(w->timeout);
    source_free(w->bookmark);
    ws_push_free(w->ws);
    free(w);
}

static void watch_end(Watch *w)
{
    HttpReq *req = w->x->req;
    WsPush *ws = TAKE_PTR(w->ws);
    watch_free(w);
    if (ws)
        ws_push_end(ws);
    else
        http_stream_end(req);
}

static void on_peer_gone(void *ctx)
{
    watch_free(ctx);
}

static void on_timeout(void *ctx)
{
    Watch *w = ctx;
    w->over = true;
    if (!w->part_of)
        watch_end(w);
}

/* Without an end of the stream, so that the client does not take it for one. */
static void watch_cut(Watch *w, const char *why)
{
    HttpReq *req = w->x->req;
    log_warn("a watch of %.*s by %.*s is cut: %s", SV_FMT(w->res->plural), SV_FMT(w->x->user.name),
             why);
    watch_free(w);
    http_abort(req);
}

/* Each line is a message; what ends without a line's end goes on with the next text. */
static int send_messages(Watch *w, StrView text, Err *err)
{
    int r = 0;
    while (text.len && r == 0) {
        ssize_t end = sv_find_char(text, '\n');
        StrView some = end < 0 ? text : sv_head(text, (size_t)end + 1);
        WsPart part = { .text = true, .first = !w->ws_inside, .last = end >= 0 };
        r = ws_push(w->ws, part, some.ptr, some.len, err);
        w->ws_inside = end < 0;
        text = sv_skip(text, some.len);
    }
    return r;
}

/* Hands text out; false when the watch is gone. `text.failed`: an event would be lost in silence.
 */
static bool watch_send(Watch *w, const Buf *text)
{
    Err err = { 0 };
    int r = text->failed ? -ERR_NOMEM
            : w->ws      ? send_messages(w, buf_view(text), &err)
                         : http_stream_write(w->x->req, text->ptr, text->len, &err);
    if (r == 0)
        return true;
    watch_cut(w, "memory is exhausted");
    return false;
}

static bool is_full(const Watch *w)
{
    return http_stream_pending(w->x->req) >= WATCH_CHUNK;
}

static bool send_bookmark(Watch *w, uint64_t rev, bool initial_end)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    buf_printf(
        &text,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",\"metadata\":{"
        "\"resourceVersion\":\"%llu\",\"creationTimestamp\":null%s}}}\n",
        SV_FMT(w->res->kind), SV_FMT(w->res->api_version), (unsigned long long)rev,
        initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    return watch_send(w, &text);
}

static void on_bookmark(void *ctx)
{
    Watch *w = ctx;
    if (w->behind) /* what it has taken tells how far it is */
        return;
    w->rev = MAX(w->rev, w->hub->pos); /* nothing that concerns it came in between */
    send_bookmark(w, w->rev, false);
}

static bool is_large(const ObjectRev *o)
{
    return o->val.len > WATCH_CHUNK;
}

static void begin_table(Watch *w, const ObjectRev *o, uint64_t rev, EventText *t)
{
    _cleanup_arena_ Arena scratch;
    char rv[24];
    StrView end;
    arena_init(&scratch, SCRATCH_MAX);
    int n = snprintf(rv, sizeof rv, "%llu", (unsigned long long)rev);
    table_begin(w->x, sv_n(rv, (size_t)n), SV_NULL, !w->table_columns_sent, &t->text);
    w->table_columns_sent = true;
    table_row_parts(w->x, o, &scratch, &t->text, &t->rest, &end);
    snprintf(t->end, sizeof t->end, "%.*s]}}\n", SV_FMT(end));
}

/* Appends an event; of a large object its beginning. */
static void make_text(Watch *w, const char *type, const ObjectRev *o, uint64_t rev, EventText *t)
{
    Buf *out = &t->text;
    buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
    if (w->x->form == OUTPUT_TABLE)
        begin_table(w, o, rev, t);
    else if (w->x->form == OUTPUT_PARTIAL) {
        buf_printf(
            out,
            "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"
            "\"resourceVersion\":\"%llu\",",
            (unsigned long long)rev);
        t->rest = sv_skip(object_metadata_text(o), 1);
        strcpy(t->end, "}}\n");
    } else {
        t->rest = object_open(w->res, o, rev, false, out);
        strcpy(t->end, "}\n");
    }
    if (is_large(o) && t->rest.len)
        return;
    buf_sv(out, t->rest);
    buf_sv(out, sv_cstr(t->end));
    t->rest = SV_NULL;
}

/* What an event means for this watch; NULL: nothing. A change into or out of the selection is an
 * addition or a deletion: of the object as it was, which the selection knows. */
static const char *event_type(const Watch *w, const StoreEvent *ev, ObjectRev **ret_obj)
{
    bool now = ev->obj && filter_match(&w->filter, ev->obj);
    bool before = ev->prev && filter_match(&w->filter, ev->prev);
    *ret_obj = now ? ev->obj : ev->prev;
    if (now)
        return before ? "MODIFIED" : "ADDED";
    return before ? "DELETED" : NULL;
}

/* A watch of one object has its whole key as prefix. */
static bool in_scope(const Watch *w, StrView key)
{
    StrView prefix = sv_n(w->prefix, w->prefix_len);
    return w->x->name.len ? sv_eq(key, prefix) : sv_starts(key, prefix);
}

static void forget_texts(WatchHub *h, const StoreEvent *next)
{
    h->in_hand = next;
    for (EventText *t = h->texts; t < h->texts + EVENT_TEXTS && t->type; t++) {
        t->type = NULL;
        if (t->text.cap > WATCH_CHUNK)
            buf_free(&t->text);
    }
}

/* The text in this watch's form, made if no watch before had the same. NULL: it is not of the event
 * in hand, or there is no place to keep it. */
static EventText *shared_text(Watch *w, const char *type, const ObjectRev *o, uint64_t rev)
{
    const StoreEvent *ev = w->hub->in_hand;
    bool table = w->x->form == OUTPUT_TABLE, columns = table && !w->table_columns_sent;
    TableInclude include = table ? table_include(w->x) : TABLE_METADATA;
    if (!ev || ev->rev != rev || (o != ev->obj && o != ev->prev))
        return NULL;
    EventText *t = w->hub->texts, *end = t + EVENT_TEXTS;
    for (; t < end && t->type; t++)
        if (strcmp(t->type, type) == 0 && t->obj == o && t->res == w->res &&
            t->form == (int)w->x->form && t->include == include && t->columns == columns) {
            w->table_columns_sent |= columns;
            return t;
        }
    if (t == end)
        return NULL;
    t->type = type;
    t->obj = o;
    t->res = w->res;
    t->form = (int)w->x->form;
    t->include = include;
    t->columns = columns;
    buf_clear(&t->text);
    make_text(w, type, o, rev, t);
    return t;
}

/* False when the watch is gone. */
static bool send_text(Watch *w, const EventText *t, ObjectRev *o)
{
    if (t->rest.ptr) {
        w->part_of = object_rev_ref(o);
        w->part = t->rest;
        strcpy(w->part_end, t->end);
    }
    return watch_send(w, &t->text);
}

/* Hands one event out, or the beginning of a large one; false when the watch is gone. */
static bool deliver(Watch *w, const StoreEvent *ev)
{
    ObjectRev *o;
    if (!in_scope(w, ev->obj ? ev->obj->key : ev->prev->key))
        return true;
    const char *type = event_type(w, ev, &o);
    if (!type)
        return true;
    EventText own = { .text = BUF_INIT }, *t = shared_text(w, type, o, ev->rev);
    if (!t)
        make_text(w, type, o, ev->rev, t = &own);
    bool alive = send_text(w, t, o);
    buf_free(&own.text);
    return alive;
}

/* ---- a watch that reads by itself ---- */

static bool send_part(Watch *w)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    StrView some = sv_head(w->part, WATCH_CHUNK);
    w->part = sv_skip(w->part, some.len);
    buf_sv(&text, some);
    if (w->part.len == 0) {
        buf_sv(&text, sv_cstr(w->part_end));
        w->part_of = object_rev_unref(w->part_of);
    }
    return watch_send(w, &text);
}

/* More of the state at the start; false when the watch is gone. */
static bool send_initial(Watch *w)
{
    EventText t = { .text = BUF_INIT };
    ObjectRev *o = NULL;
    bool alive = true;
    for (unsigned i = 0; i < INITIAL_AT_ONCE && t.text.len < WATCH_CHUNK && !t.text.failed &&
                         !t.rest.ptr && (o = snapshot_next(&w->at));
         i++)
        if (in_scope(w, o->key) && filter_match(&w->filter, o))
            make_text(w, "ADDED", o, o->mod_rev, &t);
    alive = send_text(w, &t, o);
    buf_free(&t.text);
    if (!alive)
        return false;
    if (o)
        return true;
    w->rev = snapshot_revision(w->initial);
    w->initial = snapshot_unref(w->initial);
    return !w->initial_end || send_bookmark(w, w->rev, true);
}

/* The place has left the history: one ERROR event with Status 410, as the peer sends it. */
static void send_expired(Watch *w, const Err *why)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    StrView status = status_text(w->x->arena, REASON_EXPIRED, sv_cstr(why->msg));
    buf_printf(&out, "{\"type\":\"ERROR\",\"object\":%.*s}\n", SV_FMT(status));
    if (watch_send(w, &out))
        watch_end(w);
}

/* More of what happened since; false when the watch is gone. */
static bool send_history(Watch *w)
{
    StoreEvent events[STORE_OPS_MAX];
    const uint64_t begin = w->rev;
    uint64_t pos = begin;
    size_t n = 0, i = 0;
    unsigned nth = 0; /* of its revision */
    bool alive = true;
    Err err = { 0 };
    if (store_events(w->hub->on->srv->store, sv_n(w->prefix, w->prefix_len), &pos, events,
                     STORE_OPS_MAX, &n, &err) < 0) {
        send_expired(w, &err);
        return false;
    }
    for (; i < n && alive; i++) {
        if (i && events[i].rev != events[i - 1].rev) {
            w->rev = events[i - 1].rev;
            w->done = nth = 0;
        }
        if (nth++ < w->done)
            continue;
        if (is_full(w) || w->part_of)
            break;
        if ((alive = deliver(w, &events[i])))
            w->done = nth;
    }
    if (alive && i == n) {
        w->rev = pos;
        w->done = 0;
        w->behind = pos != begin;
    }
    store_events_release(events, n);
    return alive;
}

/* Fills up what waits for the client, a piece at a time: others have their turn in between, however
 * much is passed over until something concerns this watch. When nothing is left to read, the hub
 * takes over. */
static void catch_up(void *ctx)
{
    Watch *w = ctx;
    if (!w->behind || is_full(w) ||
        !(w->part_of   ? send_part(w)
          : w->initial ? send_initial(w)
                       : send_history(w)))
        return;
    if (w->over && !w->part_of) {
        watch_end(w);
        return;
    }
    if (!w->behind || is_full(w) || w->due)
        return;
    w->due = loop_defer(w->hub->on->loop, catch_up_later, w, NULL) == 0;
    if (!w->due)
        watch_cut(w, "memory is exhausted");
}

static void catch_up_later(void *ctx)
{
    Watch *w = ctx;
    w->due = false;
    catch_up(w);
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

static bool is_large_event(const StoreEvent *ev)
{
    return (ev->obj && is_large(ev->obj)) || (ev->prev && is_large(ev->prev));
}

static void dispatch_event(WatchHub *h, const StoreEvent *ev, bool first_of_rev)
{
    StrView ns, name, key = ev->obj ? ev->obj->key : ev->prev->key;
    const ApiResource *res = api_kinds_of_key(h->on->srv->kinds, key, &ns, &name);
    if (first_of_rev)
        for (Watch *w = h->watches; w; w = w->next)
            w->takes = !w->behind && ev->rev > w->rev;
    if (!res)
        return;
    tell_subscribers(h, res, ev);
    forget_texts(h, ev);
    for (Watch *w = h->watches, *next; w; w = next) {
        next = w->next;
        if (!sv_eq(w->res->place, res->place) || !w->takes) /* whichever set its row is of */
            continue;
        if (w->rev < ev->rev && (is_full(w) || is_large_event(ev))) {
            w->behind = true; /* before anything of this revision */
            w->takes = false;
            w->rev = ev->rev - 1;
            catch_up(w);
            continue;
        }
        w->rev = ev->rev;
        deliver(w, ev);
    }
}

/* Only after minutes without a turn of the loop: let the clients list again. */
static void fell_out(WatchHub *h, const Err *why)
{
    log_error("watches fell out of the kept history: %s", why->msg);
    for (Watch *w = h->watches, *next; w; w = next) {
        next = w->next;
        if (!w->behind) /* those that read by themselves find out by themselves */
            send_expired(w, why);
    }
    h->pos = store_revision(h->on->srv->store);
    for (unsigned i = 0; i < h->n_subscribers; i++)
        h->subscribers[i].fn(h->subscribers[i].ctx, NULL);
}

static void hub_run(void *ctx)
{
    WatchHub *h = ctx;
    atomic_store(&h->posted, false);
    StoreEvent events[EVENTS_AT_ONCE];
    size_t n;
    Err err = { 0 };
    do {
        if (store_events(h->on->srv->store, SV(""), &h->pos, events, EVENTS_AT_ONCE, &n, &err) <
            0) {
            fell_out(h, &err);
            return;
        }
        for (size_t i = 0; i < n; i++)
            dispatch_event(h, &events[i], i == 0 || events[i].rev != events[i - 1].rev);
        forget_texts(h, NULL);
        store_events_release(events, n);
    } while (n);
}

/* Clients that take nothing. */
static void hub_sweep(void *ctx)
{
    WatchHub *h = ctx;
    int64_t now = loop_now_ns(h->on->loop);
    for (Watch *w = h->watches, *next; w; w = next) {
        next = w->next;
        size_t waiting = http_stream_pending(w->x->req);
        if (waiting == 0 || waiting != w->waiting) {
            w->waiting = waiting;
            w->since_ns = now;
        }
        if (now - w->since_ns > STALL_MAX_MS * NSEC_PER_MSEC)
            watch_cut(w, "the client takes nothing");
        else if (w->initial && now - w->start_ns > INITIAL_MAX_MS * NSEC_PER_MSEC)
            watch_cut(w, "the client takes the state at its start too slowly");
    }
}

void hub_wake(WatchHub *h)
{
    if (atomic_load(&h->listens) && !atomic_exchange(&h->posted, true))
        loop_post_task(h->on->loop, &h->wake_up);
}

int hub_new(ApiLoop *on, const HubSubscriber *subscribers, unsigned n, WatchHub **ret, Err *err)
{
    ASSERT(n <= HUB_SUBSCRIBERS_MAX);
    WatchHub *h = calloc(1, sizeof *h);
    if (!h)
        return err_nomem(err);
    h->on = on;
    h->wake_up = (LoopTask){ .fn = hub_run, .ctx = h };
    memcpy(h->subscribers, subscribers, n * sizeof *subscribers);
    h->n_subscribers = n;
    atomic_init(&h->listens, n > 0);
    int r = loop_add_timer(on->loop, SWEEP_EVERY_MS, SWEEP_EVERY_MS, hub_sweep, h, &h->sweep, err);
    if (r < 0) {
        free(h);
        return r;
    }
    h->pos = store_revision(on->srv->store);
    *ret = h;
    return 0;
}

WatchHub *hub_free(WatchHub *h)
{
    if (!h)
        return NULL;
    loop_task_cancel(h->on->loop, &h->wake_up);
    while (h->watches)
        watch_free(h->watches);
    source_free(h->sweep);
    for (unsigned i = 0; i < EVENT_TEXTS; i++)
        buf_free(&h->texts[i].text);
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

static int parse_options(ApiCall *x, WatchOptions *o, Err *err)
{
    StrView text;
    int r = read_revision(x, &o->rev, err);
    if (r < 0)
        return r;
    if (http_query(x->req, SV("timeoutSeconds"), &text) && text.len &&
        sv_to_u64(text, &o->timeout_sec) < 0)
        return err_set(err, ERR_INVALID, 0, "timeoutSeconds: Invalid value: \"%.*s\"",
                       SV_FMT(sv_head(text, 64)));
    o->bookmarks = http_query_true(x->req, SV("allowWatchBookmarks"));
    bool asked = http_query_true(x->req, SV("sendInitialEvents"));
    o->initial = asked || (o->rev == 0 && !http_query(x->req, SV("sendInitialEvents"), &text));
    o->initial_end = asked && o->bookmarks;
    return 0;
}

static Watch *watch_new(ApiCall *x, const WatchOptions *o, Err *err)
{
    Watch *w = calloc(1, sizeof *w);
    if (!w) {
        err_nomem(err);
        return NULL;
    }
    WatchHub *h = x->on->hub;
    w->hub = h;
    w->x = x;
    w->res = x->res;
    w->rev = o->rev;
    w->behind = true;
    w->initial_end = o->initial_end;
    w->start_ns = w->since_ns = loop_now_ns(x->on->loop);
    w->bookmarks = o->bookmarks;
    uint64_t seconds = o->timeout_sec ? o->timeout_sec
                                      : WATCH_TIMEOUT_MIN_SEC +
                                            (uint64_t)(uintptr_t)w / 64 % WATCH_TIMEOUT_MIN_SEC;
    if (filter_parse(x, &w->filter, err) < 0 ||
        loop_add_timer(x->on->loop, seconds * 1000, 0, on_timeout, w, &w->timeout, err) < 0 ||
        (o->bookmarks && loop_add_timer(x->on->loop, BOOKMARK_EVERY_MS, BOOKMARK_EVERY_MS,
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

/* Begins the answer: a stream of lines, or a WebSocket with a message for each. */
static int watch_answer(Watch *w, Err *err)
{
    HttpReq *req = w->x->req;
    StrView named = http_header(req, SV("sec-websocket-protocol")), protocol = SV("");
    int r;
    if (!ws_asked_for(req)) {
        r = http_stream_start(req, 200, SV("application/json"), err);
        if (r == 0)
            http_on_close(req, on_peer_gone, w);
        return r;
    }
    /* As the peer: whatever single protocol is named is the one that is spoken. */
    if (!ws_choose_protocol(req, SV(""), &protocol))
        (void)ws_choose_protocol(req, named, &protocol);
    return ws_push_start(req, protocol, on_peer_gone, w, &w->ws, err);
}

void rest_watch(ApiCall *x)
{
    WatchOptions o = { 0 };
    Err err = { 0 };
    Watch *w = NULL;
    char key[STORE_KEY_MAX];
    if (!registry_key(x->res, call_scope(x), x->name, key)) {
        respond_not_found(x);
        return;
    }
    if (!options_of_list(x))
        return;
    if (parse_options(x, &o, &err) < 0) {
        respond_err(x, &err);
        return;
    }
    if (o.initial && is_too_new(x, o.rev)) {
        respond_too_new(x, o.rev);
        return;
    }
    if (!(w = watch_new(x, &o, &err))) {
        respond_err(x, &err);
        return;
    }
    if (x->form == OUTPUT_TABLE)
        (void)table_include(x); /* while it can be refused */
    if (respond_exhausted(x)) { /* an option may be missing */
        watch_free(w);
        return;
    }
    if (watch_answer(w, &err) < 0) {
        watch_free(w);
        if (err.code == ERR_UNSUPPORTED)
            respond_status(x, REASON_BAD_REQUEST, "%s", err.msg);
        else
            respond_nomem(x);
        return;
    }
    if (!o.initial && w->rev == 0)
        w->rev = store_revision(x->srv->store);
    if (o.initial) {
        w->initial = store_snapshot(x->srv->store);
        snapshot_iter(w->initial, sv_n(w->prefix, w->prefix_len), SV_NULL, &w->at);
    }
    http_stream_on_drain(x->req, catch_up, w);
    WatchHub *h = w->hub;
    if (!atomic_exchange(&h->listens, true)) /* in this order: what comes now wakes it */
        h->pos = store_revision(x->srv->store);
    w->link = &h->watches;
    w->next = *w->link;
    if (w->next)
        w->next->link = &w->next;
    *w->link = w;
    catch_up(w);
}
