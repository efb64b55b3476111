/* events.c - records what happens to objects as Event objects.
 *
 * As client-go's correlator does, in a simpler form: equal events become one object whose count
 * grows; after SIMILAR_MAX different messages for the same object and reason within SIMILAR_WINDOW
 * the rest shares one object; and each object has a bucket of tokens, so that a crash loop cannot
 * fill the store. A writing per event is under way at a time; what is counted meanwhile goes with
 * the next. */
#include "api/events.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "codec/json.h"

enum {
    ENTRIES_MAX = 4096, /* then everything is forgotten: counts start again */
    SWEEP_EVERY_MS = 60 * 1000,
    SIMILAR_MAX = 10,
    BURST = 25,
    MESSAGE_MAX = 1024,
};
#define SIMILAR_WINDOW  (600 * NSEC_PER_SEC)
#define IDLE_NS         (600 * NSEC_PER_SEC) /* longer than any back-off: then it is forgotten */
#define TOKEN_PERIOD_NS (300 * NSEC_PER_SEC)

typedef struct Entry { /* one Event object */
    EventRecorder *recorder;
    char *name, *ns;
    Buf body; /* the object as first written: JSON; gone once that is done */
    int64_t count;
    int64_t first_ns, last_ns;
    ApiCall *call;
    bool created, dirty;
    bool expired; /* the object is gone: the next event begins again */
} Entry;

typedef struct Flood { /* per object, and per object and reason */
    int64_t since_ns, last_ns;
    unsigned n;    /* different messages since then */
    unsigned used; /* tokens */
} Flood;

struct EventRecorder {
    ApiClient *client;
    char *component, *host;
    Map entries;   /* -> Entry */
    Map floods;    /* -> Flood */
    Source *sweep; /* timer while there is something to forget */
};

static void entry_free(Entry *e)
{
    api_call_cancel(e->call);
    free(e->name);
    free(e->ns);
    buf_free(&e->body);
    free(e);
}

static void forget_all(EventRecorder *r)
{
    StrView key;
    void *val;
    for (size_t i = 0; map_next(&r->entries, &i, &key, &val);)
        entry_free(val);
    map_free(&r->entries);
    for (size_t i = 0; map_next(&r->floods, &i, &key, &val);)
        free(val);
    map_free(&r->floods);
}

int event_recorder_new(ApiClient *c, StrView component, StrView host, EventRecorder **ret, Err *err)
{
    EventRecorder *r = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(err);
    r->client = c;
    r->component = strndup(component.ptr ? component.ptr : "", component.len);
    r->host = strndup(host.ptr ? host.ptr : "", host.len);
    if (!r->component || !r->host) {
        event_recorder_free(r);
        return err_nomem(err);
    }
    *ret = r;
    return 0;
}

EventRecorder *event_recorder_free(EventRecorder *r)
{
    if (!r)
        return NULL;
    forget_all(r);
    source_free(r->sweep);
    free(r->component);
    free(r->host);
    free(r);
    return NULL;
}

/* ---- forgetting ---- */

typedef struct Forget {
    StrView uid;              /* of this object; empty: whatever is idle */
    int64_t real_ns, mono_ns; /* entries and floods not used since then */
} Forget;

/* Keys begin with kind, namespace, name and uid, a line each. */
static bool is_of(StrView key, StrView uid)
{
    StrView line = SV_NULL;
    for (int i = 0; i < 4; i++)
        if (!sv_cut(key, '\n', &line, &key))
            return false;
    return sv_eq(line, uid);
}

static bool keep_entry(void *ctx, StrView key, void *val)
{
    const Forget *f = ctx;
    Entry *e = val;
    if (e->call || (f->uid.len ? !is_of(key, f->uid) : e->last_ns > f->real_ns))
        return true;
    entry_free(e);
    return false;
}

static bool keep_flood(void *ctx, StrView key, void *val)
{
    const Forget *f = ctx;
    if (f->uid.len ? !is_of(key, f->uid) : ((Flood *)val)->last_ns > f->mono_ns)
        return true;
    free(val);
    return false;
}

static void forget(EventRecorder *r, Forget f)
{
    map_retain(&r->entries, keep_entry, &f);
    map_retain(&r->floods, keep_flood, &f);
}

static void on_sweep(void *ctx)
{
    EventRecorder *r = ctx;
    forget(r,
           (Forget){ .real_ns = clock_real_ns() - IDLE_NS, .mono_ns = clock_mono_ns() - IDLE_NS });
    if (!r->entries.len && !r->floods.len)
        r->sweep = source_free(r->sweep);
}

void event_forget(EventRecorder *r, StrView uid)
{
    if (uid.len)
        forget(r, (Forget){ .uid = uid });
}

/* ---- limits ---- */

static Flood *flood(EventRecorder *r, StrView key, int64_t now)
{
    Flood *f = map_get(&r->floods, key);
    if (f) {
        f->last_ns = now;
        return f;
    }
    f = calloc(1, sizeof *f);
    if (!f || !map_set(&r->floods, key, f, NULL)) {
        free(f);
        return NULL;
    }
    f->since_ns = f->last_ns = now;
    return f;
}

static bool take_token(Flood *f, int64_t now)
{
    int64_t back = (now - f->since_ns) / TOKEN_PERIOD_NS;
    if (back > 0) {
        f->used = back >= f->used ? 0 : f->used - (unsigned)back;
        f->since_ns += back * TOKEN_PERIOD_NS;
    }
    if (f->used >= BURST)
        return false;
    f->used++;
    return true;
}

static bool too_many_similar(Flood *f, int64_t now)
{
    if (now - f->since_ns > SIMILAR_WINDOW) {
        f->since_ns = now;
        f->n = 0;
    }
    return ++f->n > SIMILAR_MAX;
}

/* ---- writing ---- */

static void set(Arena *a, Value *map, StrView key, StrView s)
{
    if (s.len)
        value_set(a, map, key, value_sv(s));
}

static Value event_object(const Entry *e, const EventRef *ref, StrView type, StrView reason,
                          StrView message, Arena *a)
{
    const EventRecorder *r = e->recorder;
    char *time = arena_alloc(a, RFC3339_SIZE);
    Value ev = value_map(), meta = value_map(), obj = value_map(), source = value_map();
    StrView when = time ? sv_cstr(rfc3339_format(e->first_ns, 0, time)) : SV("");
    set(a, &meta, SV("name"), sv_cstr(e->name));
    set(a, &meta, SV("namespace"), sv_cstr(e->ns));
    set(a, &obj, SV("kind"), ref->kind);
    set(a, &obj, SV("namespace"), ref->ns);
    set(a, &obj, SV("name"), ref->name);
    set(a, &obj, SV("uid"), ref->uid);
    set(a, &obj, SV("apiVersion"), ref->api_version);
    set(a, &obj, SV("resourceVersion"), ref->resource_version);
    set(a, &obj, SV("fieldPath"), ref->field_path);
    set(a, &source, SV("component"), sv_cstr(r->component));
    set(a, &source, SV("host"), sv_cstr(r->host));
    set(a, &ev, SV("kind"), SV("Event"));
    set(a, &ev, SV("apiVersion"), SV("v1"));
    value_set(a, &ev, SV("metadata"), meta);
    value_set(a, &ev, SV("involvedObject"), obj);
    set(a, &ev, SV("reason"), reason);
    set(a, &ev, SV("message"), message);
    value_set(a, &ev, SV("source"), source);
    set(a, &ev, SV("firstTimestamp"), when);
    set(a, &ev, SV("lastTimestamp"), when);
    value_set(a, &ev, SV("count"), value_int(1));
    set(a, &ev, SV("type"), type);
    value_set(a, &ev, SV("eventTime"), value_null());
    set(a, &ev, SV("reportingComponent"), sv_cstr(r->component));
    value_set(a, &ev, SV("reportingInstance"), value_sv(sv_cstr(r->host)));
    return ev;
}

static void write_event(Entry *e);

static void on_written(void *ctx, const ApiResult *res)
{
    Entry *e = ctx;
    e->call = NULL;
    if (!res->err) {
        e->created = true;
        buf_free(&e->body);
    } else if (res->err->code == ERR_NOT_FOUND && e->created)
        e->expired = true;
    if (e->dirty && !e->expired)
        write_event(e);
}

/* An event that cannot be sent is dropped: nobody waits for it. */
static void send_request(Entry *e, const ApiRequest *req)
{
    if (api_request(e->recorder->client, req, &e->call, NULL) < 0)
        e->call = NULL;
}

static void write_event(Entry *e)
{
    ApiTarget t = {
        .version = SV("v1"), .plural = SV("events"), .ns = sv_cstr(e->ns), .name = sv_cstr(e->name)
    };
    e->dirty = false;
    if (!e->created) {
        ApiRequest req = { .method = SV("POST"),
                           .target = t,
                           .raw_body = buf_view(&e->body),
                           .done = on_written,
                           .ctx = e };
        req.target.name = SV_NULL;
        send_request(e, &req);
        return;
    }
    char time[RFC3339_SIZE], patch[256];
    int n = snprintf(patch, sizeof patch, "{\"count\":%lld,\"lastTimestamp\":\"%s\"}",
                     (long long)e->count, rfc3339_format(e->last_ns, 0, time));
    ApiRequest req = { .method = SV("PATCH"),
                       .target = t,
                       .content_type = API_PATCH_MERGE,
                       .raw_body = sv_n(patch, (size_t)n),
                       .done = on_written,
                       .ctx = e };
    send_request(e, &req);
}

static Entry *entry_new(EventRecorder *r, const EventRef *ref, StrView type, StrView reason,
                        StrView message, int64_t now)
{
    Entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    StrView ns =
        ref->ns.len ? ref->ns : SV("default"); /* where events of cluster-scoped objects go */
    e->recorder = r;
    e->first_ns = e->last_ns = now;
    e->ns = strndup(ns.ptr, ns.len);
    if (asprintf(&e->name, "%.*s.%016llx", SV_FMT(ref->name), (unsigned long long)now) < 0)
        e->name = NULL;
    Arena a;
    arena_init(&a, 0);
    if (e->name && e->ns) {
        Value v = event_object(e, ref, type, reason, message, &a);
        json_encode(&v, &e->body);
    }
    arena_free(&a);
    if (!e->name || !e->ns || e->body.failed) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static void count_event(EventRecorder *r, StrView key, const EventRef *ref, StrView type,
                        StrView reason, StrView message)
{
    int64_t now = clock_real_ns();
    Entry *e = map_get(&r->entries, key);
    if (e && e->expired && !e->call) {
        map_del(&r->entries, key);
        entry_free(e);
        e = NULL;
    }
    if (!e) {
        e = entry_new(r, ref, type, reason, message, now);
        if (!e || !map_set(&r->entries, key, e, NULL)) {
            if (e)
                entry_free(e);
            return;
        }
    }
    e->count++;
    e->last_ns = now;
    if (e->call)
        e->dirty = true;
    else
        write_event(e);
}

void event_record(EventRecorder *r, const EventRef *ref, StrView type, StrView reason,
                  const char *fmt, ...)
{
    static const char combined[] = "(combined from similar events): ";
    char text[MESSAGE_MAX + sizeof combined];
    char *message = text + sizeof combined - 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, MESSAGE_MAX, fmt, ap);
    va_end(ap);
    if (r->entries.len >= ENTRIES_MAX || r->floods.len >= ENTRIES_MAX)
        forget_all(r);
    if (!r->sweep && loop_add_timer(api_client_loop(r->client), SWEEP_EVERY_MS, SWEEP_EVERY_MS,
                                    on_sweep, r, &r->sweep, NULL) < 0)
        r->sweep = NULL; /* then it is forgotten when there is too much */

    _cleanup_buf_ Buf key = BUF_INIT;
    int64_t now = clock_mono_ns();
    buf_printf(&key, "%.*s\n%.*s\n%.*s\n%.*s\n%.*s", SV_FMT(ref->kind), SV_FMT(ref->ns),
               SV_FMT(ref->name), SV_FMT(ref->uid), SV_FMT(ref->field_path));
    Flood *per_object = key.failed ? NULL : flood(r, buf_view(&key), now);
    if (!per_object || !take_token(per_object, now))
        return;
    buf_printf(&key, "\n%.*s\n%.*s", SV_FMT(type), SV_FMT(reason));
    Flood *per_reason = key.failed ? NULL : flood(r, buf_view(&key), now);
    if (!per_reason)
        return;
    buf_printf(&key, "\n%s", message);
    StrView said = sv_cstr(message);
    if (!key.failed && !map_has(&r->entries, buf_view(&key)) && too_many_similar(per_reason, now)) {
        memcpy(text, combined, sizeof combined - 1);
        said = sv_cstr(text);
        key.len -= strlen(message);
    }
    if (!key.failed)
        count_event(r, buf_view(&key), ref, type, reason, said);
}
