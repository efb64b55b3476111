/* call.h - one request to the API while it is answered, and the parts of the server it may use.
 *
 * A request goes: route.c parses and authenticates it into an ApiCall, authorises it, and calls the
 * verb's function (handlers.h). That function answers at once through respond.h, or makes a WriteOp
 * (write.h) that answers when the write is durable. */
#pragma once

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

struct ApiServer {
    Loop *loop;
    Store *store;
    HttpServer *http;
    TokenSigner *tokens;
    Rbac *rbac;
    WatchHub *hub;
    ServiceAlloc *services;
    ApiKinds *kinds; /* that are served now */
    OpenApiCache *openapi;
    HeavyQueue *heavy;    /* large writes */
    Backends *backends;   /* what requests are forwarded to */
    HttpBodyLimit bodies; /* of requests that arrive */
    Source *housekeeping;
    uint64_t trim_rev; /* the store's at the last look at the heap */
    size_t trimmed_to; /* what was free in it after the last trim */
    ApiMetrics metrics;
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
