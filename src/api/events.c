/* events.c - records what happens to objects as Event objects.
 *
 * As client-go's correlator does, in a simpler form: equal events become one object whose count
 * grows; after SIMILAR_MAX different messages for the same object and reason within SIMILAR_WINDOW
 * the rest shares one object; and each object has a bucket of tokens, so that a crash loop cannot
 * fill the store. A writing per event is under way at a time; what is counted meanwhile goes with
 * the next.
 *
 * What is remembered hangs on the object that it is about (Subject) and goes with it. Events and
 * limits are told apart by keyed hashes of what they have in common, so that no texts are kept. */
#include "api/events.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "codec/json.h"

enum {
    KEPT_MAX = 8192, /* then all but what is under way is forgotten: counts start again */
    SWEEP_EVERY_MS = 60 * 1000,
    SIMILAR_MAX = 10,
    BURST = 25,
    MESSAGE_MAX = 1024,
};
#define COMBINED        "(combined from similar events): "
#define SIMILAR_WINDOW  (600 * NSEC_PER_SEC)
#define IDLE_NS         (600 * NSEC_PER_SEC) /* longer than any back-off: then it is forgotten */
#define TOKEN_PERIOD_NS (300 * NSEC_PER_SEC)

typedef struct Subject Subject;

typedef struct Entry { /* one Event object */
    struct Entry *next;
    Subject *subject;
    uint64_t id; /* of type, reason, message */
    char *name;
    Buf body; /* the object as first written: JSON; gone once that is done */
    int64_t count;
    int64_t first_ns, last_ns;
    ApiCall *call;
    bool created, dirty;
    bool expired; /* the object is gone: the next event begins again */
} Entry;

typedef struct Flood { /* of a part of an object, and of that and a reason */
    struct Flood *next;
    uint64_t id;
    int64_t since_ns, last_ns;
    unsigned n;    /* different messages since then */
    unsigned used; /* tokens */
} Flood;

struct Subject { /* an object that events are about */
    EventRecorder *recorder;
    Entry *entries;
    Flood *floods;
    bool gone; /* forgotten, when what is under way has ended */
    StrView key, ns;
};

struct EventRecorder {
    ApiClient *client;
    char *component, *host;
    Map subjects;       /* by uid; without one by kind, namespace and name */
    size_t kept;        /* entries and floods */
    int64_t cleared_ns; /* when all but what was under way was last forgotten */
    Source *sweep;      /* timer while there is something to forget */
};

static void entry_free(Entry *e)
{
    if (!e)
        return;
    api_call_cancel(e->call);
    free(e->name);
    buf_free(&e->body);
    free(e);
}

/* Forgets of a subject what keep_entry() and keep_flood() do not want; NULL: all. */
static void subject_prune(Subject *s, bool (*keep_entry)(const Entry *e, int64_t since),
                          bool (*keep_flood)(const Flood *f, int64_t since), int64_t real_ns,
                          int64_t mono_ns)
{
    for (Entry **at = &s->entries, *e; (e = *at) != NULL;) {
        if (keep_entry && keep_entry(e, real_ns)) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        entry_free(e);
        s->recorder->kept--;
    }
    for (Flood **at = &s->floods, *f; (f = *at) != NULL;) {
        if (keep_flood && keep_flood(f, mono_ns)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free(f);
        s->recorder->kept--;
    }
}

static bool subject_is_empty(const Subject *s)
{
    return !s->entries && !s->floods;
}

static Subject *subject_new(EventRecorder *r, StrView key, StrView ns)
{
    Subject *s = calloc(1, sizeof *s + key.len + ns.len + 1);
    if (!s)
        return NULL;
    char *at = (char *)(s + 1);
    memcpy(at, key.ptr, key.len);
    s->key = sv_n(at, key.len);
    if (ns.len)
        memcpy(at + key.len, ns.ptr, ns.len);
    s->ns = sv_n(at + key.len, ns.len);
    s->recorder = r;
    if (map_set(&r->subjects, s->key, s, NULL))
        return s;
    free(s);
    return NULL;
}

static void subject_drop(Subject *s)
{
    map_del(&s->recorder->subjects, s->key);
    free(s);
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
    StrView key;
    void *val;
    for (size_t i = 0; map_next(&r->subjects, &i, &key, &val);) {
        subject_prune(val, NULL, NULL, 0, 0);
        free(val);
    }
    map_free(&r->subjects);
    source_free(r->sweep);
    free(r->component);
    free(r->host);
    free(r);
    return NULL;
}

/* ---- forgetting ---- */

static bool is_under_way(const Entry *e, int64_t since)
{
    (void)since;
    return e->call != NULL;
}

static bool is_recent(const Entry *e, int64_t since)
{
    return e->call || e->last_ns > since;
}

static bool is_recent_flood(const Flood *f, int64_t since)
{
    return f->last_ns > since;
}

typedef struct Since {
    int64_t real_ns, mono_ns;
} Since;

static bool keep_recent(void *ctx, StrView key, void *val)
{
    const Since *since = ctx;
    Subject *s = val;
    (void)key;
    subject_prune(s, is_recent, is_recent_flood, since->real_ns, since->mono_ns);
    if (!subject_is_empty(s))
        return true;
    free(s);
    return false;
}

static bool keep_under_way(void *ctx, StrView key, void *val)
{
    Subject *s = val;
    (void)ctx, (void)key;
    subject_prune(s, is_under_way, NULL, 0, 0);
    if (!subject_is_empty(s))
        return true;
    free(s);
    return false;
}

static void on_sweep(void *ctx)
{
    EventRecorder *r = ctx;
    Since since = { clock_real_ns() - IDLE_NS, clock_mono_ns() - IDLE_NS };
    map_retain(&r->subjects, keep_recent, &since);
    if (!r->subjects.len)
        r->sweep = source_free(r->sweep);
}

void event_forget(EventRecorder *r, StrView uid)
{
    Subject *s = uid.len ? map_get(&r->subjects, uid) : NULL;
    if (!s)
        return;
    subject_prune(s, is_under_way, NULL, 0, 0);
    s->gone = true;
    if (subject_is_empty(s))
        subject_drop(s);
}

size_t event_kept(const EventRecorder *r)
{
    return r->kept;
}

/* ---- limits ---- */

static Flood *flood(Subject *s, uint64_t id, int64_t now)
{
    for (Flood *f = s->floods; f; f = f->next)
        if (f->id == id) {
            f->last_ns = now;
            return f;
        }
    Flood *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    *f = (Flood){ .next = s->floods, .id = id, .since_ns = now, .last_ns = now };
    s->floods = f;
    s->recorder->kept++;
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
    const EventRecorder *r = e->subject->recorder;
    char *time = arena_alloc(a, RFC3339_SIZE);
    Value ev = value_map(), meta = value_map(), obj = value_map(), source = value_map();
    StrView when = time ? sv_cstr(rfc3339_format(e->first_ns, 0, time)) : SV("");
    set(a, &meta, SV("name"), sv_cstr(e->name));
    set(a, &meta, SV("namespace"), e->subject->ns);
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

static void entry_drop(Entry *e)
{
    Subject *s = e->subject;
    Entry **at = &s->entries;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    s->recorder->kept--;
    entry_free(e);
}

static void on_written(void *ctx, const ApiResult *res)
{
    Entry *e = ctx;
    Subject *s = e->subject;
    e->call = NULL;
    if (!res->err) {
        e->created = true;
        buf_free(&e->body);
    } else if (res->err->code == ERR_NOT_FOUND && e->created)
        e->expired = true;
    if (e->dirty && !e->expired)
        write_event(e);
    if (s->gone && !e->call)
        entry_drop(e);
    if (s->gone && subject_is_empty(s))
        subject_drop(s);
}

/* An event that cannot be sent is dropped: nobody waits for it. */
static void send_request(Entry *e, const ApiRequest *req)
{
    if (api_request(e->subject->recorder->client, req, &e->call, NULL) < 0)
        e->call = NULL;
}

static void write_event(Entry *e)
{
    ApiTarget t = {
        .version = SV("v1"), .plural = SV("events"), .ns = e->subject->ns, .name = sv_cstr(e->name)
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

static Entry *entry_new(Subject *s, const EventRef *ref, StrView type, StrView reason,
                        StrView message)
{
    int64_t now = clock_real_ns();
    Entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->subject = s;
    e->first_ns = e->last_ns = now;
    if (asprintf(&e->name, "%.*s.%016llx", SV_FMT(ref->name), (unsigned long long)now) < 0)
        e->name = NULL;
    Arena a;
    arena_init(&a, 0);
    if (e->name) {
        Value v = event_object(e, ref, type, reason, message, &a);
        json_encode(&v, &e->body);
    }
    arena_free(&a);
    if (!e->name || e->body.failed) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static Entry *entry_find(const Subject *s, uint64_t id)
{
    for (Entry *e = s->entries; e; e = e->next)
        if (e->id == id)
            return e;
    return NULL;
}

static void count_event(Subject *s, uint64_t id, const EventRef *ref, StrView type, StrView reason,
                        StrView message)
{
    Entry *e = entry_find(s, id);
    if (e && e->expired && !e->call) {
        entry_drop(e);
        e = NULL;
    }
    if (!e) {
        e = entry_new(s, ref, type, reason, message);
        if (!e)
            return;
        e->id = id;
        e->next = s->entries;
        s->entries = e;
        s->recorder->kept++;
    }
    e->count++;
    e->last_ns = clock_real_ns();
    if (e->call)
        e->dirty = true;
    else
        write_event(e);
}

static Subject *subject_of(EventRecorder *r, const EventRef *ref)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    if (ref->uid.len)
        buf_sv(&key, ref->uid);
    else
        buf_printf(&key, "%.*s\n%.*s\n%.*s", SV_FMT(ref->kind), SV_FMT(ref->ns), SV_FMT(ref->name));
    if (key.failed)
        return NULL;
    Subject *s = map_get(&r->subjects, buf_view(&key));
    /* Events of cluster-scoped objects go to "default". */
    if (!s)
        s = subject_new(r, buf_view(&key), ref->ns.len ? ref->ns : SV("default"));
    if (s)
        s->gone = false;
    return s;
}

/* Makes room, once a second at most, and sees to it that what is idle is forgotten. False: there is
 * none. */
static bool make_room(EventRecorder *r)
{
    int64_t now = clock_mono_ns();
    if (r->kept >= KEPT_MAX && now - r->cleared_ns >= NSEC_PER_SEC) { /* it looks at all */
        map_retain(&r->subjects, keep_under_way, NULL);
        r->cleared_ns = now;
    }
    if (!r->sweep && loop_add_timer(api_client_loop(r->client), SWEEP_EVERY_MS, SWEEP_EVERY_MS,
                                    on_sweep, r, &r->sweep, NULL) < 0)
        r->sweep = NULL; /* then it is forgotten when there is too much */
    return r->kept < KEPT_MAX;
}

static void record(Subject *s, const EventRef *ref, StrView type, StrView reason, char *text,
                   const char *message)
{
    _cleanup_buf_ Buf key = BUF_INIT;
    int64_t now = clock_mono_ns();
    buf_sv(&key, ref->field_path);
    Flood *part = key.failed ? NULL : flood(s, sv_hash(buf_view(&key)), now);
    if (!part || !take_token(part, now))
        return;
    buf_printf(&key, "\n%.*s\n%.*s", SV_FMT(type), SV_FMT(reason));
    uint64_t combined = sv_hash(buf_view(&key));
    Flood *per_reason = key.failed ? NULL : flood(s, combined, now);
    if (!per_reason)
        return;
    buf_printf(&key, "\n%s", message);
    if (key.failed)
        return;
    uint64_t id = sv_hash(buf_view(&key));
    if (entry_find(s, id) || !too_many_similar(per_reason, now)) {
        count_event(s, id, ref, type, reason, sv_cstr(message));
        return;
    }
    memcpy(text, COMBINED, sizeof COMBINED - 1);
    count_event(s, combined, ref, type, reason, sv_cstr(text));
}

void event_record(EventRecorder *r, const EventRef *ref, StrView type, StrView reason,
                  const char *fmt, ...)
{
    char text[MESSAGE_MAX + sizeof COMBINED];
    char *message = text + sizeof COMBINED - 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, MESSAGE_MAX, fmt, ap);
    va_end(ap);
    Subject *s = make_room(r) ? subject_of(r, ref) : NULL;
    if (!s)
        return;
    record(s, ref, type, reason, text, message);
    if (subject_is_empty(s)) /* no memory */
        subject_drop(s);
}
