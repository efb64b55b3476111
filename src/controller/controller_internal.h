/* controller_internal.h - what all controllers share: informers, jobs, access to objects.
 *
 * A controller is a ControllerDef: observe() turns changes of objects into keys "namespace/name",
 * and reconcile() brings what one key names nearer to its wish by API calls of its Job. When a
 * job's calls have all ended, its key is forgotten (success) or comes back later (failure). A key
 * is not worked on again before the informers have seen what its last job wrote, so that no
 * decision is made twice. To add a controller: write its file, declare its def below, name it in
 * controllers.c. */
#pragma once

#include "api/events.h"
#include "api/informer.h"
#include "api/selector.h"
#include "api/workqueue.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "controller/controller.h"

typedef enum KindId {
    KIND_POD,
    KIND_REPLICASET,
    KIND_REPLICATIONCONTROLLER,
    KIND_DEPLOYMENT,
    KIND_SERVICE,
    KIND_ENDPOINTSLICE,
    KIND_ENDPOINTS,
    KIND_NAMESPACE,
    KIND_SERVICEACCOUNT,
    KIND_TOKEN_SECRET, /* Secrets with a service account's token, their metadata only */
    KIND_ROOT_CA,      /* ConfigMaps named kube-root-ca.crt */
    KIND_NODE,
    KIND_LEASE,
    KIND_MAX,
} KindId;

typedef struct KindInfo {
    StrView group, version, plural, kind, api_version;
} KindInfo;
extern const KindInfo kind_info[KIND_MAX];

enum { INDEX_OWNER, INDEX_NS, INDEX_NODE }; /* controller's uid; namespace; spec.nodeName */

typedef struct Controller Controller;
typedef struct Job Job;

typedef struct ControllerDef {
    const char *name; /* component of its events, too */
    void (*observe)(Controller *c, KindId kind, ApiObject *old,
                    ApiObject *now); /* either may be NULL */
    void (*reconcile)(Job *j);
    unsigned workers;
    /* A controller with a state of its own; all may be NULL. */
    int (*setup)(Controller *c, Err *err);
    void (*teardown)(Controller *c); /* also after a failed setup */
} ControllerDef;

struct Controller {
    Controllers *cs;
    const ControllerDef *def;
    WorkQueue *queue;
    EventRecorder *events;
    Map written; /* key → Written: revisions that the informers must have seen */
    Map doomed;  /* uid of a pod whose deletion was asked for and not yet seen */
    void *state; /* its own, made by setup() */
};

struct Job {
    Controller *c;
    StrView key, ns, name; /* ns is empty for cluster-scoped keys */
    Arena arena;           /* lives as long as the job */
    unsigned pending;
    bool failed;
    struct JobCall *calls; /* not yet ended, and ended ones */
    Job *prev, *next;
};

enum { CONTROLLERS_MAX = 16 };

struct Controllers {
    Loop *loop;
    ApiClient *api;
    Buf root_ca;
    Informer *informers[KIND_MAX];
    unsigned n_synced;
    bool running;
    void (*on_synced)(void *ctx);
    void *ctx;
    Controller controllers[CONTROLLERS_MAX];
    unsigned n_controllers;
    Job *jobs;
    struct Feeds *feeds;
};

extern const ControllerDef serviceaccount_controller, rootca_controller, replicaset_controller,
    replication_controller, deployment_controller, endpointslice_controller, endpoints_controller,
    namespace_controller, garbage_controller, node_controller, eviction_controller,
    pod_gc_controller, token_secret_controller, endpoints_mirror_controller;

/* ---- calls ---- */

/* True: the result is dealt with. False: the usual handling (a failure makes the key come back). */
typedef bool JobDoneFn(Job *j, const ApiResult *r, void *arg);

typedef struct JobRequest {
    StrView method;
    KindId kind;      /* KIND_MAX: no shared informer shows it */
    ApiTarget target; /* with an empty plural: group, version and plural come from `kind` */
    const Value *body;
    StrView content_type, query;
    JobDoneFn *done; /* may be NULL */
    void *arg;       /* must live as long as the job: its arena, or NULL */
} JobRequest;

void job_call(Job *j, const JobRequest *req); /* a failure to start marks the job as failed */
void job_fail(Job *j);
void job_again(Job *j, uint64_t delay_ms); /* the key comes back after this time */
/* Shorthands of job_call(). NotFound on a delete counts as success. */
void job_create(Job *j, KindId kind, const Value *body, JobDoneFn *done, void *arg);
void job_update(Job *j, KindId kind, StrView subresource, const Value *body);
void job_delete(Job *j, KindId kind, const ApiObject *o, StrView propagation, JobDoneFn *done,
                void *arg);

/* ---- objects ---- */

const Value *obj_doc(const ApiObject *o); /* the document; NULL for NULL */
const Value *obj_meta(const ApiObject *o);
bool obj_deleting(const ApiObject *o);
const Value *obj_controller_ref(
    const ApiObject *o); /* the ownerReference that controls it, or NULL */
bool obj_has_finalizer(const ApiObject *o, StrView name);
ApiObject *obj_find(Controllers *cs, KindId kind, StrView ns, StrView name);
ApiObject *const *obj_owned(Controllers *cs, KindId kind, const ApiObject *owner, size_t *ret_n);
/* A copy that may be changed; the job's arena. value_null() without memory (the job is marked). */
Value obj_copy(Job *j, const ApiObject *o);
/* metadata.ownerReferences of something that `owner` controls. */
Value obj_owner_refs(Arena *a, KindId kind, const ApiObject *owner);
void obj_event(Controller *c, KindId kind, const ApiObject *o, StrView type, StrView reason,
               const char *fmt, ...) PRINTF(6, 7);
void controller_queue(Controller *c, StrView ns, StrView name);
int64_t time_of(const Value *v); /* RFC 3339 to ns; 0 when absent or wrong */
Value time_now(Arena *a);        /* as metav1.Time */
/* The condition of this type in status.conditions, or NULL. */
const Value *condition_find(const Value *obj, StrView type);
bool condition_true(const Value *obj, StrView type);

/* ---- pods ---- */

bool pod_active(const Controller *c, const ApiObject *pod); /* not ended, not being deleted */
bool pod_ready(const Value *pod);
/* Since when it is ready, for minReadySeconds; *ret_wait_ms: when it will be, or 0. */
bool pod_available(const Value *pod, int64_t min_ready_s, int64_t now_ns, uint64_t *ret_wait_ms);

/* ---- claiming ---- */

bool claim_matches(const Selector *selector, const ApiObject *o);
/* Makes `owner`, which must be the object that the job is for, control the objects of `kind` in its
 * namespace that match, are not on their way out and have no controller. True when there are any:
 * the job should end, and comes back when the informers have seen them. The selector must live as
 * long as the job. */
bool claim_orphans(Job *j, KindId owner_kind, const ApiObject *owner, KindId kind,
                   const Selector *selector);
/* `o` is left to itself: `owner` does not own it any more. */
void claim_release(Job *j, const ApiObject *owner, KindId kind, const ApiObject *o);
