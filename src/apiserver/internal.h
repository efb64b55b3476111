/* internal.h - what the files of the API server share.
 *
 * A request goes: route_request() parses and authenticates it into an Exchange, authorises it, and
 * calls the verb's function (rest_*.c, watch.c, subresource.c). That function answers at once
 * through respond.h's functions, or hands a write to commit_object() and is called back on the
 * loop. */
#pragma once

#include "api/check.h"
#include "api/selector.h"
#include "apiserver/apiserver.h"
#include "apiserver/token.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/json.h"
#include "codec/value.h"

typedef struct Rbac Rbac;
typedef struct WatchHub WatchHub;
typedef struct ServiceAlloc ServiceAlloc;
typedef struct OpenApiCache OpenApiCache;
typedef struct NodeLinks NodeLinks;

enum {
    BODY_MAX = 3 * 1024 * 1024,
    JSON_DEPTH_LIMIT = 100,
    GROUPS_MAX = 24,
    PATCH_RETRIES_MAX = 8,
};

struct ApiServer {
    Loop *loop;
    Store *store;
    HttpServer *http;
    TokenSigner *tokens;
    Rbac *rbac;
    WatchHub *hub;
    ServiceAlloc *services;
    OpenApiCache *openapi;
    NodeLinks *nodes; /* connections to kubelets */
    StrView client_ca;
    uint16_t advertise_port;
};

/* Who asks. Views live as long as the exchange's arena. */
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

typedef struct Exchange {
    ApiServer *srv;
    HttpReq *req;
    Arena *arena;
    User user;

    /* What is asked for, as authorisation sees it. */
    StrView verb; /* "get", "list", "watch", "create", "update", "patch", "delete",
                     "deletecollection" */
    bool is_resource;
    StrView group, version, resource, ns, name, sub;
    const ApiResource *res;

    /* How the answer is wanted. */
    OutputForm form;
    OutputType type;
    bool dry_run;
    int status_on_success; /* 200 or 201 */
    bool answer_status;    /* answer a write with Status: Success instead of the object */
    bool answer_scale;     /* ...or with its Scale */
    Value *eviction;       /* the DeleteOptions of an Eviction */
    char key[STORE_KEY_MAX];
    unsigned tries;           /* of a patch or update that meets a concurrent one */
    struct Managers *applied; /* an apply has settled who owns which field; else NULL */
} Exchange;

/* ---- respond.c: every answer goes through these ---- */

/* The Status reasons of metav1.StatusReason with their HTTP codes. */
typedef enum Reason {
    REASON_BAD_REQUEST,
    REASON_UNAUTHORIZED,
    REASON_FORBIDDEN,
    REASON_NOT_FOUND,
    REASON_METHOD_NOT_ALLOWED,
    REASON_NOT_ACCEPTABLE,
    REASON_CONFLICT,
    REASON_ALREADY_EXISTS,
    REASON_EXPIRED,
    REASON_TOO_LARGE,
    REASON_UNSUPPORTED_MEDIA_TYPE,
    REASON_INVALID,
    REASON_TOO_MANY_REQUESTS,
    REASON_INTERNAL,
    REASON_SERVICE_UNAVAILABLE,
    REASON_TIMEOUT,
    REASON_MAX
} Reason;

void respond_status(Exchange *x, Reason reason, const char *fmt, ...) PRINTF(3, 4);
void respond_not_found(Exchange *x); /* `pods "web" not found` */
void respond_exists(Exchange *x, StrView name);
void respond_conflict(Exchange *x, const char *why); /* NULL: modified by somebody else */
void respond_forbidden(Exchange *x, const char *fmt, ...)
    PRINTF(2, 3); /* text behind "is forbidden: " */
void respond_invalid(Exchange *x, StrView name, const ApiErrors *errors);
void respond_with_causes(Exchange *x, Reason reason, StrView message, const Value *causes);
void respond_err(Exchange *x, const Err *err);  /* maps the code to a reason */
void respond_success(Exchange *x, StrView uid); /* Status: Success, after a deletion */
void respond_json(Exchange *x, int status, StrView json);
/* Text that may be worth compressing: gzip from 128 KiB on, where the client takes it. */
void respond_large(Exchange *x, StrView content_type, StrView text);
void respond_value(Exchange *x, int status, const Value *v); /* in the type asked for */
/* An object as stored; takes a reference of its own. Form and type as asked for. */
void respond_object(Exchange *x, int status, ObjectRev *o);
/* Appends the object as clients see it: with kind, apiVersion (unless `item`) and resourceVersion.
 */
void object_encode(const ApiResource *res, const ObjectRev *o, uint64_t rev, bool item, Buf *out);
/* The same as a tree in the arena. */
int object_decode(const ApiResource *res, const ObjectRev *o, Arena *a, Value *ret, Err *err);
/* The raw text of the stored object's metadata: from "{" to the matching "}". */
StrView object_metadata_text(const ObjectRev *o);
/* Status object as text, for ERROR events of watches. */
StrView status_text(Arena *a, Reason reason, StrView message);

/* ---- object.c: between documents and stored bytes ---- */

/* "/registry/pods/" for a resource; with ns and name the object's key. False when too long. */
bool registry_key(const ApiResource *res, StrView ns, StrView name, char buf[static STORE_KEY_MAX]);
/* Resource, namespace and name of a key; false when it is none of ours. */
bool registry_parse(StrView key, const ApiResource **ret_res, StrView *ret_ns, StrView *ret_name);
/* Stored form: metadata first, without kind, apiVersion and resourceVersion. */
void object_store_form(const Value *obj, Buf *out);
/* Labels and selectable fields in compact form (ObjectRev.attrs). */
void attrs_build(const ApiResource *res, const Value *obj, Buf *out);
StrView attrs_label(StrView attrs, StrView key, bool *ret_found);
/* A selectable field of a stored object; empty when it is not set. */
StrView attrs_field(const ApiResource *res, const ObjectRev *o, StrView label);

/* Label and field selector of a list or watch. */
typedef struct Filter {
    Selector labels, fields;
} Filter;
int filter_parse(Exchange *x, Filter *ret, Err *err);
bool filter_empty(const Filter *f); /* selects everything */
bool filter_match(const ApiResource *res, const Filter *f, const ObjectRev *o);

/* ---- writing (rest_write.c) ---- */

/* Commits `obj` (complete, already defaulted, admitted and validated) under x->key and answers with
 * x->status_on_success. `have` is the version it was made from (NULL: must not exist). On a
 * concurrent change `retry` is called again on the loop (NULL: answers with a conflict). */
typedef void RetryFn(Exchange *x, void *ctx);
void commit_object(Exchange *x, const Value *obj, const ObjectRev *have, RetryFn *retry, void *ctx);
/* The same for a deletion; respond_deleted() answers. */
void commit_delete(Exchange *x, const ObjectRev *have, RetryFn *retry, void *ctx);
/* The answer to a deletion: the object for what goes slowly, Status: Success for the rest. */
void respond_deleted(Exchange *x, ObjectRev *o);
/* Decodes the body (JSON or YAML) of the given kind with fieldValidation; answers itself on
 * failure. */
bool read_body(Exchange *x, const SchemaObject *schema, StrView group, StrView version,
               StrView kind, Value *ret);
/* Decodes the body of an action (DeleteOptions, Scale …) in whatever form it came; no checks. */
int decode_body(Exchange *x, const char *schema_name, Value *ret, Err *err);
/* The object that the exchange names in the newest snapshot; answers 404 itself when it is missing.
 * The reference is dropped with the snapshot at the end of the exchange's turn: use within the
 * call. */
ObjectRev *current_object(Exchange *x, Snapshot *sn);

/* Creates x's object from `obj`: names, strategy, admission, validation, commit, answer 201. */
void create_object(Exchange *x, Value *obj);
/* Replaces it: same chain; `status` is the subresource's view. */
void update_object(Exchange *x, Value *obj, const ObjectRev *have, RetryFn *retry, void *ctx);

/* Brings metadata.managedFields of `obj` up to date, just before it is committed. `old` is what is
 * stored (NULL: nothing), `given` what the client sent for managedFields (NULL: nothing). */
bool track_fields(Exchange *x, Value *obj, const Value *old, const Value *given);

void rest_get(Exchange *x);
void rest_list(Exchange *x);
void rest_watch(Exchange *x);
void rest_create(Exchange *x);
void rest_update(Exchange *x);
void rest_patch(Exchange *x);
void rest_apply(Exchange *x); /* a patch of type application/apply-patch+yaml */
void rest_delete(Exchange *x);
void rest_delete_collection(Exchange *x);

/* ---- subresources, reviews, other paths; false: not theirs ---- */
bool subresource_handle(Exchange *x);
bool review_handle(Exchange *x);
bool discovery_handle(Exchange *x);
bool openapi_handle(Exchange *x);
bool health_handle(Exchange *x);
bool node_link_handle(Exchange *x); /* log, exec, attach, portforward, proxy */

/* Assigns the pod x->name to the node of a Binding. */
void bind_pod(Exchange *x, Value *binding);
void respond_scale(Exchange *x, ObjectRev *o);

/* ---- strategy.c, admission.c ---- */
void strategy_prepare_create(Exchange *x, Value *obj);
/* `old` and `obj` as trees; x->sub tells which part may change. */
void strategy_prepare_update(Exchange *x, Value *obj, const Value *old);
/* A warning in the answer where the kind is stored but nothing acts on it. */
void warn_if_idle(Exchange *x);
/* Changes or refuses; answers itself and returns false when refused. `old` is NULL on create. */
bool admit(Exchange *x, Value *obj, const Value *old);
bool admit_delete(Exchange *x, const Value *old);

/* ---- authentication and authorisation ---- */
/* Fills x->user; ERR_UNAUTHENTICATED for bad credentials. No credentials: system:anonymous. */
int authenticate(Exchange *x, Err *err);
/* Puts whom the request claims to act as in place of x->user, where that is allowed; answers itself
 * and returns false when it is not. */
bool impersonate(Exchange *x);
/* Checks a bearer token against the store (account and pod still there). */
int authenticate_token(ApiServer *srv, StrView token, Arena *a, const StrView *audiences,
                       unsigned n_audiences, User *ret, TokenClaims *ret_claims, Err *err);

typedef struct Access {
    const User *user;
    StrView verb;
    bool is_resource;
    StrView group, version, resource, sub, ns, name; /* resource requests */
    StrView path;                                    /* others */
} Access;
/* True when RBAC or the Node authoriser allows it. */
bool authorize(ApiServer *srv, const Access *a);
bool rbac_allows(Rbac *rbac, const Access *a);
bool node_authorize(ApiServer *srv, const Access *a, bool *ret_decided);

/* rbac.c */
int rbac_new(Store *store, Rbac **ret, Err *err);
Rbac *rbac_free(Rbac *r);
void rbac_invalidate(Rbac *r); /* something of rbac.authorization.k8s.io has changed */
/* The rules of a user in a namespace (for SelfSubjectRulesReview), appended as JSON values. */
void rbac_rules_for(Rbac *r, const User *u, StrView ns, Arena *a, Value *ret_resource_rules,
                    Value *ret_path_rules);
/* Escalation check: does the user hold all rules of this Role's `rules`? */
bool rbac_covers(Rbac *r, const User *u, StrView ns, const Value *rules);

/* bootstrap.c */
int bootstrap_objects(ApiServer *srv, const ApiServerConfig *cfg, Err *err);

/* watch.c */
int hub_new(ApiServer *srv, WatchHub **ret, Err *err);
WatchHub *hub_free(WatchHub *h);

/* services.c */
int services_new(Store *store, StrView cidr, uint16_t port_min, uint16_t port_max,
                 ServiceAlloc **ret, Err *err);
ServiceAlloc *services_free(ServiceAlloc *a);
/* Fills clusterIP(s) and nodePorts of a Service; errors in Kubernetes' words. Reserved until the
 * event of the committed object confirms, or services_forget() gives them back. */
bool services_assign(ServiceAlloc *a, Arena *arena, Value *obj, const Value *old,
                     ApiErrors *errors);
void services_forget(ServiceAlloc *a, const Value *obj);
void services_event(ServiceAlloc *a, const StoreEvent *ev);
void services_first_address(const ServiceAlloc *a, unsigned nth, char buf[static 16]);

/* openapi.c */
OpenApiCache *openapi_cache_free(OpenApiCache *c);

/* node_link.c */
int node_links_new(ApiServer *srv, const ApiServerConfig *cfg, NodeLinks **ret, Err *err);
NodeLinks *node_links_free(NodeLinks *n);

/* table.c */
/* Appends a meta.k8s.io/v1 Table; `objs` as stored. */
void table_encode(Exchange *x, ObjectRev *const *objs, size_t n, StrView rv, StrView cont,
                  bool with_columns, Buf *out);
