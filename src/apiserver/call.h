/* call.h - one request to the API while it is answered, and the parts of the server it may use.
 *
 * A request goes: route.c parses and authenticates it into an ApiCall, authorises it, and calls the
 * verb's function (handlers.h). That function answers at once through respond.h, or makes a WriteOp
 * (write.h) that answers when the write is durable.
 *
 * The server has a loop per core, each on a thread of its own (loops.c). A connection belongs to
 * one of them and a request stays on it: what a call, a watch or a WriteOp has is touched by that
 * loop's thread alone, but for its heavy parts (heavy.h). What the loops share is in ApiServer:
 *
 * - store: any thread (store.h); immutable snapshots for readers, one writer thread that answers by
 *   LoopTask. Who must not be overtaken says so by `if_rev`, never by what it saw.
 * - rbac: an immutable index, swapped under a lock when RBAC has changed (rbac.c).
 * - services: hints, bytes that loop 0 writes as events come and all loops read (atomic); what is
 *   taken is taken in the store.
 * - heavy: places for large parts, under a lock; who waits is told on its own loop.
 * - bodies: bytes of requests that are arriving (atomic).
 * - metrics: a lock of their own (base/metrics.h).
 * - finishing, under_way: atomics; a request is counted before it looks whether the server ends.
 * - kinds, tokens, client_ca and the rest: made before the first request, and never changed.
 *
 * Anything else that two loops need is one of these: an immutable snapshot with a count of
 * references, an atomic, a lock held for a few steps, or a message by loop_post_task(). */
#pragma once

#include <pthread.h>

#include "api/kind_set.h"
#include "apiserver/apiserver.h"
#include "apiserver/metrics.h"
#include "codec/value.h"

typedef struct Rbac Rbac;
typedef struct WatchHub WatchHub;
typedef struct ServiceAlloc ServiceAlloc;
typedef struct OpenApiCache OpenApiCache;
typedef struct HeavyQueue HeavyQueue;
typedef struct Backends Backends;
typedef struct TokenSigner TokenSigner;

enum {
    BODY_MAX = 3 * 1024 * 1024,
    JSON_DEPTH_LIMIT = 100, /* of what a client sends */
    OBJECT_DEPTH_MAX = 120, /* of what comes out, who owns its fields included: lists and events
                             * with it must stay far below VALUE_DEPTH_MAX */
    GROUPS_MAX = 24,
};

/* One loop's part of the server: used by its thread alone, but for what is said. */
typedef struct ApiLoop {
    ApiServer *srv;
    Loop *loop;            /* of the first: the caller's; of the others: their own */
    HttpServer *http;      /* the first listens and spreads; http_server_adopt() from its thread */
    WatchHub *hub;         /* hub_wake() from the store's writer */
    Backends *backends;    /* what requests are forwarded to */
    OpenApiCache *openapi; /* NULL: nobody has asked */
    atomic_bool answers;   /* to what the first loop asks from time to time: does it still turn? */
    pthread_t thread;      /* not the first's; the following are its owner's, the first loop's */
    bool runs;
    unsigned silent; /* times that it was asked without having answered */
    LoopTask question, end;
} ApiLoop;

struct ApiServer {
    ApiLoop loops[API_LOOPS_MAX];
    unsigned n_loops;
    unsigned group; /* connections that go to the same loop */
    Store *store;
    TokenSigner *tokens;
    Rbac *rbac;
    ServiceAlloc *services;
    ApiKinds *kinds;      /* that are served */
    HeavyQueue *heavy;    /* large writes */
    HttpBodyLimit bodies; /* of requests that arrive */
    ApiMetrics metrics;
    atomic_bool finishing; /* new requests are to be asked again, of the next server */
    atomic_int under_way;  /* requests of all loops that end by themselves: no watches or streams */
    int64_t finish_by;     /* monotonic ns; the first loop's */
    Source *questions;     /* on the first loop, with the following */
    Source *housekeeping;
    uint64_t trim_rev; /* the store's at the last look at the heap */
    size_t trimmed_to; /* what was free in it after the last trim */
    StrView client_ca, control_plane_node;
    uint16_t advertise_port;
    bool deny_external_ips; /* admission plugin DenyServiceExternalIPs */
};

/* Who asks. Views live as long as the call's arena. */
typedef struct User {
    StrView name, uid;
    StrView groups[GROUPS_MAX];
    unsigned n_groups;
    StrView pod_name, pod_uid, node_name; /* of a bound token */
} User;

bool user_in_group(const User *u, StrView group);

typedef enum OutputForm {
    OUTPUT_OBJECT,
    OUTPUT_TABLE,
    OUTPUT_PARTIAL, /* PartialObjectMetadata */
} OutputForm;

typedef enum OutputType { OUTPUT_JSON, OUTPUT_YAML, OUTPUT_PROTOBUF } OutputType;

/* Where an answer goes that is one of many of a request, instead of to the peer. */
typedef struct Outcome {
    int code;       /* of HTTP */
    Buf status;     /* the Status object when the code is an error's; whoever has it frees it */
    bool abandoned; /* nobody waits any more: what has not been committed ends */
    LoopFn *done;   /* called when the call has been answered or has ended */
    void *ctx;
} Outcome;

typedef struct ApiCall {
    ApiServer *srv;
    ApiLoop *on; /* on which it came, and stays */
    HttpReq *req;
    Arena *arena;
    User user;
    CallCount count;

    /* What is asked for, as authorisation sees it. */
    StrView verb; /* "get", "list", "watch", "create", "update", "patch", "delete",
                     "deletecollection" */
    bool is_resource;
    StrView group, version, resource, ns, name, sub;
    StrView beyond;  /* of the path, behind all these: empty but where something is proxied */
    ApiKinds *kinds; /* that were served when it came: call_hold_kinds() */
    const ApiResource *res;

    /* How the answer is wanted. */
    OutputForm form;
    StrView include; /* a Table's includeObject once it has been read */
    OutputType type;
    bool dry_run;
    bool starved; /* the arena was full once: the answer says so from a reserve */
    char key[STORE_KEY_MAX];
    Outcome *outcome; /* NULL: the peer gets the answer */
} ApiCall;

/* The call goes on with these kinds until its arena is freed. False: no memory. */
bool call_hold_kinds(ApiCall *x, ApiKinds *kinds);

/* The namespace that is part of the key: none for kinds without one, whose path may still carry it
 * (a Namespace's own name). */
StrView call_scope(const ApiCall *x);
