/* informer.h - a local copy of one kind of objects, kept up to date by a watch, and shared by all
 * parts of a process that need it.
 *
 * An informer opens a streaming list (sendInitialEvents) and falls back to list + watch on servers
 * without it. What goes wrong on the way - lost connections, expired revisions, servers that are
 * away - is mended inside, with jittered back-off; handlers see only changes of objects.
 *
 * What it holds of an object is a *projection*: the part that its users need, in a structure of
 * their own. Whole documents are kept (as text) only where nothing else says what is needed. Who
 * wants to write an object back reads it at that moment, or sends a patch.
 *
 * A process that needs one kind in several places opens it through an InformerSet: the first one
 * that asks opens the informer, the others join it, the last one that leaves ends it. Kinds that
 * become known while the process runs are opened and left in the same way.
 *
 * Everything happens on the loop's thread. Nothing is called back from inside the function that
 * opens or joins; handlers may free whatever they like, the informer included. Views in a
 * configuration are copied. Times are in ms. Functions that return int fail with ERR_NOMEM or what
 * api_watch() says. */
#pragma once

#include "api/client.h"

typedef struct Informer Informer;

/* One object as last seen. Reference-counted and never changed: a handler may keep it with
 * api_object_ref() for as long as it likes, also beyond the informer's end. */
typedef struct ApiObject {
    unsigned refs;
    StrView key; /* "namespace/name", or "name" when cluster-scoped */
    StrView ns, name, uid, resource_version;
    StrView json;     /* the object without managedFields; empty with drop_json */
    void *projection; /* what `project` made of it; NULL without one */
    void (*unproject)(void *projection);
} ApiObject;

ApiObject *api_object_ref(ApiObject *o);
ApiObject *api_object_unref(ApiObject *o); /* always NULL; NULL is fine */

/* An index: calls emit(e, value) for each value the object is found under ("by node name": one, or
 * none; "by owner uid": one for each owner). Depends on the object alone. */
typedef struct InformerEmit InformerEmit;
void informer_emit(InformerEmit *e, StrView value);
typedef void InformerIndexFn(const ApiObject *o, InformerEmit *e);

enum { INFORMER_INDEXES_MAX = 8 };

/* One user's handlers; each may be NULL. The store has been changed already when they are called.
 * After a gap (relist) only real differences are reported. */
typedef struct InformerEvents {
    void (*on_add)(void *ctx, ApiObject *o);
    void (*on_update)(void *ctx, ApiObject *old, ApiObject *now);
    void (*on_delete)(void *ctx, ApiObject *last);
    void (*on_synced)(void *ctx);                 /* once, when the first whole state is there */
    void (*on_failed)(void *ctx, const Err *why); /* a list or watch failed; it is tried again */
    void *ctx;
} InformerEvents;

typedef struct InformerConfig {
    ApiTarget target;       /* group, version, plural, ns */
    StrView label_selector; /* empty: none */
    StrView field_selector;
    /* Makes the part of an object that its users need; called once for each new version. NULL on
     * failure of memory only: the informer then starts again later. */
    void *(*project)(void *ctx, const Value *obj);
    void (*unproject)(void *projection);            /* frees it; may be NULL */
    void *ctx;                                      /* of project() */
    bool drop_json;                                 /* keep the projection only */
    InformerIndexFn *indexes[INFORMER_INDEXES_MAX]; /* by number in informer_by_index() */
    unsigned n_indexes;
    uint32_t backoff_min_ms, backoff_max_ms; /* 0: 800 ms and 30 s */
    InformerEvents events;                   /* of who opens it */
} InformerConfig;

/* One for its owner alone. */
int informer_new(ApiClient *c, const InformerConfig *cfg, Informer **ret, Err *err) NODISCARD;
Informer *informer_free(Informer *inf); /* also from a handler; always NULL */

/* ---- what it holds ---- */

bool informer_synced(const Informer *inf);
/* Up to which it has seen everything; empty while a whole state arrives. */
StrView informer_resource_version(const Informer *inf);
size_t informer_len(const Informer *inf);
/* Borrowed: valid until the next turn of the loop unless a reference is taken. NULL when absent. */
ApiObject *informer_get(const Informer *inf, StrView key);
ApiObject *informer_get_named(const Informer *inf, StrView ns, StrView name);
/* for (size_t i = 0; (o = informer_next(inf, &i)) != NULL;) … in no order. */
ApiObject *informer_next(const Informer *inf, size_t *pos);
/* The objects under `value` of index number `index`; *ret_n may be 0. Valid until the next change.
 */
ApiObject *const *informer_by_index(const Informer *inf, unsigned index, StrView value,
                                    size_t *ret_n);
/* Why the last attempt failed; code ERR_NONE while all is well. For logs and health checks. */
const Err *informer_last_error(const Informer *inf);

/* ---- sharing ---- */

/* More handlers for an informer. What is there already is told by on_add, and on_synced follows if
 * the informer is synced, later in this turn of the loop; changes are heard from then on. */
typedef struct InformerListener InformerListener;
int informer_listen(Informer *inf, const InformerEvents *ev, InformerListener **ret,
                    Err *err) NODISCARD;
InformerListener *informer_unlisten(InformerListener *l); /* before the informer; always NULL */

/* The informers of a process. The client stays the caller's and must outlive the set. */
typedef struct InformerSet InformerSet;
int informer_set_new(ApiClient *c, InformerSet **ret, Err *err) NODISCARD;
/* Always NULL. Every use must have been left. */
InformerSet *informer_set_free(InformerSet *s);

/* One user's part in a shared informer. */
typedef struct InformerUse InformerUse;
/* Joins the informer with the same target, selectors and projection (function and ctx), or opens
 * it; cfg->events are the user's handlers. The other fields of cfg count when it is opened: users
 * of one projection agree on its indexes. */
int informer_join(InformerSet *s, const InformerConfig *cfg, InformerUse **ret, Err *err) NODISCARD;
InformerUse *informer_leave(InformerUse *u); /* always NULL; NULL is fine */
Informer *informer_of(const InformerUse *u); /* borrowed: until the use is left */
