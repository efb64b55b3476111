/* controller_internal.h - what all controllers share: shared informers, jobs, access to objects.
 *
 * A controller is a ControllerDef. It names the kinds that it looks at; observe() turns changes of
 * their objects into keys "namespace/name"; reconcile() brings what one key names nearer to its
 * wish by API calls of its Job. When a job's calls have all ended, its key is forgotten (success)
 * or comes back later (failure). A key is not worked on again before the informers have seen what
 * its last job wrote, so that no decision is made twice.
 *
 * Informers are shared: a kind that several controllers name is watched and held once, as the view
 * that views.h has of it. A controller begins when all of its kinds are synced, whatever becomes of
 * others. It sees the kinds that it names, and no others; what it needs beyond a view it reads from
 * the server in its job.
 *
 * To add a controller: write its file, declare its def below, name it in controllers.c. */
#pragma once

#include "api/events.h"
#include "api/informer.h"
#include "api/selector.h"
#include "api/workqueue.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "controller/controller.h"
#include "controller/views.h"

typedef struct Controller Controller;
typedef struct Job Job;

enum { CONTROLLER_KINDS_MAX = 6 };

typedef struct ControllerDef {
    const char *name;  /* component of its events, too */
    const char *queue; /* name of its work queue in metrics, as Kubernetes has it */
    unsigned workers;  /* keys under way at the same time */
    const WatchedKind *kinds[CONTROLLER_KINDS_MAX]; /* NULL behind the last */
    /* Either object may be NULL. Not called for a controller without kinds. */
    void (*observe)(Controller *c, const WatchedKind *kind, ApiObject *old, ApiObject *now);
    void (*reconcile)(Job *j);
    /* A controller with a state of its own; both may be NULL. */
    int (*setup)(Controller *c, Err *err);
    void (*teardown)(Controller *c); /* also after a failed setup */
} ControllerDef;

typedef struct Watching { /* a controller's part in one kind */
    Controller *c;
    const WatchedKind *kind;
    InformerUse *use;
    bool told; /* that it may not be watched */
} Watching;

struct Controller {
    Controllers *cs;
    const ControllerDef *def;
    WorkQueue *queue;
    EventRecorder *events;
    Watching watching[CONTROLLER_KINDS_MAX];
    unsigned n_watching, n_synced;
    bool running;
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

struct Controllers {
    Loop *loop;
    ApiClient *api;
    InformerSet *informers;
    Buf root_ca;
    unsigned n_running;
    void (*on_synced)(void *ctx);
    void *ctx;
    Controller *controllers;
    unsigned n_controllers;
    Job *jobs;
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
    const WatchedKind *kind; /* what is written; NULL: a kind that no view shows */
    ApiTarget target;        /* with an empty plural: group, version and plural come from `kind` */
    const Value *body;
    StrView content_type, query;
    StrView raw_path, accept; /* instead of a target; of the answer */
    JobDoneFn *done;          /* may be NULL */
    void *arg;                /* must live as long as the job: its arena, or NULL */
} JobRequest;

void job_call(Job *j, const JobRequest *req); /* a failure to start marks the job as failed */
void job_fail(Job *j);
void job_again(Job *j, uint64_t delay_ms); /* the key comes back after this time */
/* Shorthands of job_call(). NotFound on a delete counts as success. */
void job_get(Job *j, const WatchedKind *kind, StrView ns, StrView name, JobDoneFn *done, void *arg);
void job_create(Job *j, const WatchedKind *kind, const Value *body, JobDoneFn *done, void *arg);
void job_update(Job *j, const WatchedKind *kind, StrView subresource, const Value *body);
void job_delete(Job *j, const WatchedKind *kind, const ApiObject *o, StrView propagation,
                JobDoneFn *done, void *arg);
/* Patches `o` as it was seen: the patch gets its uid, and for a merge patch its resourceVersion, so
 * that another object of the same name, or a newer version, is a conflict. */
void job_patch(Job *j, const WatchedKind *kind, const ApiObject *o, StrView subresource,
               StrView content_type, Value *patch);

/* ---- objects ---- */

bool obj_deleting(const ApiObject *o); /* false for NULL */
/* The controller's own kinds only. */
ApiObject *obj_find(const Controller *c, const WatchedKind *kind, StrView ns, StrView name);
size_t obj_count(const Controller *c, const WatchedKind *kind);
/* for (size_t i = 0; (o = obj_next(c, kind, &i)) != NULL;) … */
ApiObject *obj_next(const Controller *c, const WatchedKind *kind, size_t *pos);
ApiObject *const *obj_indexed(const Controller *c, const WatchedKind *kind, unsigned index,
                              StrView value, size_t *ret_n);
/* Those that `owner` controls. */
ApiObject *const *obj_owned(const Controller *c, const WatchedKind *kind, const ApiObject *owner,
                            size_t *ret_n);
/* metadata.ownerReferences of something that `owner` controls. */
Value obj_owner_refs(Arena *a, const WatchedKind *kind, const ApiObject *owner);
/* The part of a merge patch that makes the map `had` the map `want`. */
Value map_patch(Arena *a, const Value *had, const Value *want);
void obj_event(Controller *c, const WatchedKind *kind, const ApiObject *o, StrView type,
               StrView reason, const char *fmt, ...) PRINTF(6, 7);
void controller_queue(Controller *c, StrView ns, StrView name);
int64_t time_of(const Value *v); /* RFC 3339 to ns; 0 when absent or wrong */
Value time_now(Arena *a);        /* as metav1.Time */

/* ---- pods ---- */

static inline const PodView *pod_of(const ApiObject *pod)
{
    return pod->projection;
}
bool pod_ended(const PodView *pod);                         /* Succeeded or Failed */
bool pod_active(const Controller *c, const ApiObject *pod); /* not ended, not being deleted */
/* Ready for minReadySeconds; *ret_wait_ms: when it will be, or 0. */
bool pod_available(const PodView *pod, int64_t min_ready_s, int64_t now_ns, uint64_t *ret_wait_ms);

/* ---- claiming ---- */

bool claim_matches(const Selector *selector, const ApiObject *o);
/* Makes `owner`, which must be the object that the job is for, control the objects of `kind` in its
 * namespace that match, are not on their way out and have no controller. True when there are any:
 * the job should end, and comes back when the informers have seen them. The selector must live as
 * long as the job. */
bool claim_orphans(Job *j, const WatchedKind *owner_kind, const ApiObject *owner,
                   const WatchedKind *kind, const Selector *selector);
/* `o` is left to itself: `owner` does not own it any more. */
void claim_release(Job *j, const ApiObject *owner, const WatchedKind *kind, const ApiObject *o);
