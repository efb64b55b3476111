/* informer.h - a local copy of one kind of objects, kept up to date by a watch.
 *
 * Opens a streaming list (sendInitialEvents) and falls back to list + watch on servers without it.
 * What goes wrong on the way - lost connections, expired revisions, servers that are away - is
 * mended inside, with jittered back-off; handlers see only changes of objects. All on the loop's
 * thread. */
#pragma once

#include "api/client.h"

typedef struct Informer Informer;

/* One object as last seen. Reference-counted and never changed: a handler may keep it with
 * api_object_ref() for as long as it likes. */
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
 * none; "by owner uid": one for each owner). */
typedef struct InformerEmit InformerEmit;
void informer_emit(InformerEmit *e, StrView value);
typedef void InformerIndexFn(const ApiObject *o, InformerEmit *e);

enum { INFORMER_INDEXES_MAX = 8 };

typedef struct InformerConfig {
    ApiTarget target;       /* group, version, plural, ns; copied */
    StrView label_selector; /* empty: none; copied */
    StrView field_selector;
    /* Makes the part of an object that its user needs; called once for each new version. NULL on
     * failure of memory only: the informer then starts again later. */
    void *(*project)(void *ctx, const Value *obj);
    void (*unproject)(void *projection);            /* frees it; may be NULL */
    bool drop_json;                                 /* keep the projection only */
    InformerIndexFn *indexes[INFORMER_INDEXES_MAX]; /* by number in informer_by_index() */
    unsigned n_indexes;
    /* May be NULL. The store has been changed already when they are called. After a gap (relist)
     * only real differences are reported. */
    void (*on_add)(void *ctx, ApiObject *o);
    void (*on_update)(void *ctx, ApiObject *old, ApiObject *now);
    void (*on_delete)(void *ctx, ApiObject *last);
    void (*on_synced)(void *ctx);                 /* once, when the first whole state is there */
    void (*on_failed)(void *ctx, const Err *why); /* a list or watch failed; it is tried again */
    void *ctx;
    uint32_t backoff_min_ms, backoff_max_ms; /* 0: 800 ms and 30 s */
} InformerConfig;

int informer_new(ApiClient *c, const InformerConfig *cfg, Informer **ret, Err *err) NODISCARD;
Informer *informer_free(Informer *inf); /* also from a handler; always NULL */

bool informer_synced(const Informer *inf);
StrView informer_resource_version(
    const Informer *inf); /* up to which it has seen everything;
                                   empty while a whole state arrives */
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
